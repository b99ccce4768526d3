"""What a call does next: the steps of answer documents, and orders that replace them.

A program asks webhooks, reads their answers and makes the line carry them out, one step after the
other; at the end of the last document the call ends, as it does at every carrier. It names no
carrier; how a step sounds in anybody's XML or JSON, the carrier's ``read_answer`` knows.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from ..carrier import (
    AwaitStream,
    Carrier,
    CollectDigits,
    Hangup,
    OpenStream,
    Pause,
    Place,
    Redirect,
    Reject,
    SendTones,
    Step,
    TransferTo,
)
from ..errors import RemoteProtocolError, TrunklineError
from ..events import Answered, CallState, EndReason, MachineDetected, Offered, Ringing, Who, Why
from .faults import Gremlin
from .line import How, Line
from .record import BOT, CALLER, Kind
from .webhooks import Webhooks

__all__ = ["Callee", "Outcome", "Party", "Program"]

# Redirects that follow each other without any time between: more is a circle.
_REDIRECTS = 10


class Outcome(StrEnum):
    """What becomes of ringing somebody."""

    ANSWER = "answer"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECT = "reject"


_WHY = {
    Outcome.ANSWER: Why.COMPLETED,
    Outcome.BUSY: Why.BUSY,
    Outcome.NO_ANSWER: Why.NO_ANSWER,
    Outcome.REJECT: Why.REJECTED,
}


class Party(Struct, frozen=True, kw_only=True):
    """Whom a call is transferred to: rings ``ring_s`` seconds, and if reached talks ``talk_s``."""

    outcome: Outcome = Outcome.ANSWER
    ring_s: float = 2.0
    talk_s: float = 10.0


class Callee(Struct, frozen=True, kw_only=True):
    """Who is called on outbound calls.

    Rings for ``ring_s`` seconds before its ``outcome``. ``machine`` is what detection says
    ``detection_s`` after the answer, where it was asked for.
    """

    outcome: Outcome = Outcome.ANSWER
    ring_s: float = 2.0
    machine: str = "human"
    detection_s: float = 1.0


class Program:
    """Drives one line."""

    def __init__(
        self, line: Line, carrier: Carrier, webhooks: Webhooks, gremlin: Gremlin, party: Party
    ) -> None:
        self._line = line
        self._carrier = carrier
        self._webhooks = webhooks
        self._gremlin = gremlin
        self._party = party
        self._task: asyncio.Task[Any] | None = None
        self._asked = 0
        self._url = ""
        self._redirects = 0
        line.on_end.append(self._stop)

    # How it begins, and is turned.

    def ring_in(self, answer_url: str) -> None:
        """The caller has dialled; the server is asked what to do."""
        self._line.state = CallState.RINGING
        self._line.note(Kind.RINGING, channel=CALLER)
        self._run(lambda: self._fetch(answer_url))

    def ring_out(self, place: Place, callee: Callee) -> None:
        """The server has dialled; somebody picks up, or does not."""
        self._line.tag = place.tag
        self._line.status_url = place.status_url  # no other is known for a call that was placed
        self._run(lambda: self._dial(place, callee))

    def instruct(self, steps: Sequence[Step], *, keep_stream: bool) -> None:
        """An order over REST: do this now, in place of what the call does."""
        self._run(lambda: self._turn(steps, keep_stream))

    def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Follow ``work`` in place of what is being followed."""
        if self._line.reason is not None:
            return
        if self._task is not None:
            self._task.cancel()
        self._task = self._line.errands.start(self._guarded(work), "program")

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except TrunklineError as error:
            self._line.note(Kind.FAULT, str(error), BOT)
            self._line.end(EndReason(Why.FAILED, Who.CARRIER), How.WEBHOOK)

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # Outbound.

    async def _dial(self, place: Place, callee: Callee) -> None:
        line = self._line
        line.state = CallState.RINGING
        line.note(Kind.RINGING, channel=BOT)
        line.tell(Ringing(line.info), line.status_url)
        silent = callee.outcome is Outcome.NO_ANSWER or callee.ring_s > place.ring_timeout
        await asyncio.sleep(place.ring_timeout if silent else callee.ring_s)
        if silent or callee.outcome is not Outcome.ANSWER:
            why = Why.NO_ANSWER if silent else _WHY[callee.outcome]
            line.end(EndReason(why, Who.CALLER), How.UNANSWERED)
            return
        line.pick_up()
        if place.detect_machine:
            found = MachineDetected(line.info.call_id, callee.machine)
            line.later(callee.detection_s, lambda: line.tell(found, line.status_url))
        if place.steps:
            line.tell(Answered(line.info), line.status_url)
            await self._follow(place.steps)
        else:
            await self._fetch(place.answer_url)

    # Documents.

    async def _turn(self, steps: Sequence[Step], keep_stream: bool) -> None:
        if not keep_stream:
            await self._line.close_streams("the call was updated")
        await self._follow(steps)

    async def _fetch(self, url: str, method: str = "POST", transfer: Why | None = None) -> None:
        """Ask a webhook, and follow what it answers."""
        self._redirects += 1
        if self._redirects > _REDIRECTS:
            raise RemoteProtocolError("the answer documents redirect in a circle")
        self._url = url = url or self._url
        offered = Offered(self._line.info, again=self._asked > 0, transfer=transfer)
        self._asked += 1
        response = await self._webhooks.send(offered, url, self._gremlin, method=method)
        if not 200 <= response.status < 300:
            raise RemoteProtocolError(f"a webhook that needs an answer got {response.status}")
        await self._follow(self._carrier.read_answer(response))

    async def _follow(self, steps: Sequence[Step]) -> None:
        loop = asyncio.get_running_loop()
        for step in steps:
            begun = loop.time()
            if isinstance(step, Redirect):
                await self._fetch(step.url, step.method)
                return
            if isinstance(step, TransferTo):
                why = await self._transfer()
                if step.then_url:
                    self._redirects = 0
                    await self._fetch(step.then_url, transfer=why)
                    return
            else:
                await self._do(step)
            if self._line.reason is not None:
                return
            if loop.time() > begun:
                self._redirects = 0
        self._line.end(EndReason(Why.COMPLETED, Who.BOT), How.DOCUMENT)

    async def _do(self, step: Step) -> None:
        line = self._line
        if isinstance(step, Reject):
            why = Why.BUSY if step.reason == "busy" else Why.REJECTED
            line.end(EndReason(why, Who.BOT), How.VERB)
        elif isinstance(step, Hangup):
            line.end(EndReason(Why.COMPLETED, Who.BOT), How.VERB)
        elif isinstance(step, Pause) and step.seconds == math.inf:
            await asyncio.get_running_loop().create_future()  # until REST says otherwise
        else:
            line.pick_up()  # whatever is done on a call answers it
            await self._perform(step)

    async def _perform(self, step: Step) -> None:
        line = self._line
        if isinstance(step, OpenStream):
            await line.open_stream(step)
            if step.blocking:
                await line.streams_closed()
        elif isinstance(step, AwaitStream):
            await line.streams_closed(step.name)
        elif isinstance(step, CollectDigits):
            line.digits_url = step.url
        elif isinstance(step, SendTones):
            await asyncio.sleep(line.play_tones(step.digits))
        else:
            assert isinstance(step, Pause)
            await asyncio.sleep(step.seconds)

    async def _transfer(self) -> Why:
        line, party = self._line, self._party
        line.pick_up()
        line.note(Kind.TRANSFER, party.outcome.value, BOT)
        line.idle(False)
        await asyncio.sleep(party.ring_s)
        if party.outcome is Outcome.ANSWER:
            await asyncio.sleep(party.talk_s)
        line.idle(True)
        return _WHY[party.outcome]
