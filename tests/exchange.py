"""A telephone exchange in a dictionary: carries out what a carrier's ``platform`` commands.

Enough to run a carrier's flows against its own mirror, with no network and no time.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from trunkline.carrier import (
    Carrier,
    Command,
    Fetch,
    Find,
    HangUpLeg,
    Instruct,
    Leg,
    Place,
    Press,
)
from trunkline.events import CallInfo, CallState, Direction, EndReason, Why
from trunkline.web import Flow, Request, Response

__all__ = ["Exchange"]

T = TypeVar("T")


class Exchange:
    """One carrier's exchange: ``legs`` by call id; ``requests`` and ``commands`` as they came."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.legs: dict[str, Leg] = {}
        self.requests: list[Request] = []
        self.commands: list[Command] = []

    def add(self, call_id: str, state: CallState = CallState.ACTIVE, **more: Any) -> CallInfo:
        """A call that is there already."""
        call = CallInfo(carrier=self.carrier.name, call_id=call_id, **more)
        self.legs[call_id] = Leg(call=call, state=state)
        return call

    def end(self, call_id: str, why: Why = Why.COMPLETED) -> None:
        """The call ends by itself."""
        leg = self.legs[call_id]
        self.legs[call_id] = msgspec.structs.replace(
            leg, state=CallState.ENDED, reason=EndReason(why), duration_s=7.0
        )

    def run(self, flow: Flow[T]) -> T:
        """Run our flow against the carrier's mirror."""
        try:
            request = next(flow)
            while True:
                request = flow.send(self.rest(request))
        except StopIteration as done:
            return done.value

    def rest(self, request: Request) -> Response:
        """Answer one REST request as the carrier would."""
        self.requests.append(request)
        platform = self.carrier.platform(request)
        try:
            command = next(platform)
            while True:
                command = platform.send(self._obey(command))
        except StopIteration as done:
            return done.value

    def _obey(self, command: Command) -> Leg | None:
        match command:
            case Find(call_id):
                return self.legs.get(call_id)
            case HangUpLeg(call_id):
                self.end(call_id)
            case Place():
                return self._place(command)
            case Instruct() | Fetch() | Press():
                pass
        self.commands.append(command)
        return None

    def _place(self, wish: Place) -> Leg:
        self.commands.append(wish)
        number = len(self.legs) + 1
        call = CallInfo(
            carrier=self.carrier.name,
            call_id=f"placed-{number}",
            dial_id=wish.dial_id or f"placed-{number}",
            from_=wish.from_,
            to=wish.to,
            direction=Direction.OUTBOUND,
            tag=wish.tag,
        )
        self.legs[call.call_id] = Leg(call=call, state=CallState.QUEUED, tag=wish.tag)
        return self.legs[call.call_id]
