"""Switchboard and dialler, observed: what they do, with an observer told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..call import Bot
from ..carrier import Carrier, Dismissal, Purpose, Stream
from ..errors import BadSignature, BadToken, RemoteProtocolError
from ..events import CallInfo, FromCaller, Started, ToCaller
from ..session import Session
from ..sockets import MediaSocket
from ..telemetry.meter import Meter
from ..telemetry.observer import CallEnd, Observer, Turned
from ..telemetry.session import ObservedSession
from ..web import Flow, Request, Response
from .dialled import Dialled, DialState
from .dialling import Dialler
from .switchboard import OFFER_KEPT_S, AnsweredCall, Switchboard
from .tokens import Ticket

__all__ = ["ObservedDialler", "ObservedSwitchboard"]


class ObservedSwitchboard(Switchboard):
    """``Switchboard``, observed.

    Args:
        observer: is told of calls.
        meter: where what is noted of messages goes.

    The others are ``Switchboard``'s.
    """

    def __init__(self, *args: Any, observer: Observer, meter: Meter, **more: Any) -> None:
        super().__init__(*args, **more)
        self._observer = observer
        self._meter = meter
        self._webhook_at = 0.0
        self._offered_at: dict[tuple[str, str], float] = {}

    @property
    def offered(self) -> list[str]:
        """The carriers of the calls that were answered and have no socket yet."""
        return [carrier for carrier, _ in tuple(self._offered_at)]

    async def webhook(
        self, carrier: Carrier, purpose: Purpose, request: Request, shapes: Sequence[str] = ()
    ) -> Response:
        self._webhook_at = _now()
        try:
            return await super().webhook(carrier, purpose, request, shapes)
        except BadSignature:
            self._observer.webhook_refused(carrier.name, Turned.SIGNATURE)
            raise
        except RemoteProtocolError:
            self._observer.webhook_refused(carrier.name, Turned.UNREADABLE)
            raise

    def _accepted(self, carrier: Carrier, info: CallInfo, *, again: bool = False) -> Response:
        response = super()._accepted(carrier, info, again=again)
        if not again and info.call_id:
            self._offered_at[carrier.name, info.call_id] = self._webhook_at
            # Else only the next call would show that this one's socket never came.
            loop = asyncio.get_running_loop()
            loop.call_later(OFFER_KEPT_S + 1, self._forget_expired)
            self._observer.begun(info, _now() - self._webhook_at)
        return response

    def _dismissed(self, carrier: Carrier, info: CallInfo, why: Dismissal) -> Response:
        if why is Dismissal.BUSY:
            self._observer.call_refused(carrier.name, draining=self.draining)
        return super()._dismissed(carrier, info, why)

    def _forget(self, key: tuple[str, str]) -> None:
        answered = self._answered.get(key)
        super()._forget(key)
        if self._offered_at.pop(key, None) is not None and answered is not None:
            self._observer.abandoned(answered.info)

    async def _run(self, carrier: Carrier, info: CallInfo, flow: Callable[[], Flow[None]]) -> None:
        with self._observer.within(info):
            await super()._run(carrier, info, flow)

    async def _open(
        self, carrier: Carrier, answered: AnsweredCall, flow: Callable[[], Flow[None]]
    ) -> None:
        with self._observer.within(answered.info):
            await super()._open(carrier, answered, flow)

    def verify_upgrade(self, carrier: Carrier, upgrade: Request) -> None:
        try:
            super().verify_upgrade(carrier, upgrade)
        except BadSignature:
            self._observer.socket_refused(carrier.name, Turned.SIGNATURE)
            raise

    async def ticket(self, carrier: Carrier, token: str) -> Ticket:
        try:
            return await super().ticket(carrier, token)
        except BadToken:
            self._observer.socket_refused(carrier.name, Turned.TOKEN)
            raise

    async def _handshake(
        self, carrier: Carrier, stream: Stream[FromCaller, ToCaller], socket: MediaSocket
    ) -> tuple[Started, list[FromCaller]]:
        try:
            return await super()._handshake(carrier, stream, socket)
        except RemoteProtocolError:
            self._observer.socket_refused(carrier.name, Turned.NO_START)
            raise

    def _refuse(self, carrier: Carrier, why: str) -> NoReturn:
        self._observer.socket_refused(carrier.name, Turned.CALL)
        super()._refuse(carrier, why)

    def _begin(self, carrier: Carrier, info: CallInfo, started: Started, bot: Bot) -> Session:
        rest, hooks, limits = self._rest, self._hooks[carrier.name], self._limits
        at = self._offered_at.pop((carrier.name, info.call_id), None)
        setup = None if at is None else _now() - at
        if at is None:
            self._observer.begun(info, None)
        with self._observer.within(info):
            session = ObservedSession(
                carrier,
                info,
                started,
                bot,
                rest,
                hooks,
                limits,
                self._gone,
                self._lost,
                observer=self._observer,
                sending=self._meter.sending,
                gaps=self._meter.gaps(carrier.name),
                setup=setup,
            )
        self._observer.joined(info, setup)
        return session

    def _lost(self, session: Session) -> None:
        self._observer.lost(session.info)
        super()._lost(session)

    def _gone(self, session: Session) -> None:
        super()._gone(session)
        if isinstance(session, ObservedSession) and (reason := session.call.ended) is not None:
            end = CallEnd(reason, session.confirmed, _now() - session.began)
            self._observer.over(session.info, end)


class ObservedDialler(Dialler):
    """``Dialler``, observed.

    Args:
        observer: is told of every wish that is settled.

    The others are ``Dialler``'s.
    """

    def __init__(self, *args: Any, observer: Observer, **more: Any) -> None:
        super().__init__(*args, **more)
        self._observer = observer

    def _file(self, dialled: Dialled) -> None:
        super()._file(dialled)
        answered = DialState.ANSWERED in dialled.times
        assert dialled.reason is not None
        outcome = "answered" if answered else dialled.reason.why.value
        self._observer.dialled(dialled.wish.carrier, outcome)


def _now() -> float:
    return asyncio.get_running_loop().time()
