"""The switchboard: webhooks in, instructions out, sockets joined to their calls.

It speaks only the vocabulary of the seam: it names no carrier and knows no web framework. Each
webhook is verified before it is read; a call that wants a stream gets a single-use token bound to
it; a socket that brings that token and that call's id is joined to the call, and nothing else is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from ..call import Bot, CallEvent
from ..carrier import Carrier, Dismissal, Hooks, Offer, Purpose, Stream
from ..errors import (
    BadSignature,
    BadToken,
    CallEnded,
    Refused,
    RemoteProtocolError,
    TrunklineError,
)
from ..events import (
    Answered,
    CallInfo,
    Digit,
    DigitPressed,
    Direction,
    Ended,
    EndReason,
    FromCaller,
    MachineDetected,
    Notice,
    Offered,
    Scripted,
    Started,
    ToCaller,
    Who,
    Why,
)
from ..limits import Limits
from ..media.formats import AudioFormat
from ..rest import Rest
from ..session import Session
from ..sockets import MediaSocket, SocketClosed
from ..web import Flow, Request, Response
from .dialled import Dialled
from .dialling import DIAL, Dialler
from .doorbell import Doorbell
from .refusal import explain
from .tokens import Ticket, Tokens

__all__ = ["OFFER_KEPT_S", "AnsweredCall", "Switchboard"]

log = logging.getLogger("trunkline.server")

HANDSHAKE_MESSAGES = 5
"""How many messages may come before the start: carriers send at most one."""
OFFER_KEPT_S = 60.0
"""How long an answered call is remembered while its socket has not come."""
STREAM_AWAITED_S = 10.0
"""How long a call that was answered by REST may be without its socket before it is hung up: it
asks nobody how to go on, and would stay open. Carriers connect within a second or so."""


class AnsweredCall(msgspec.Struct):
    """A call whose webhook was answered: the answer, for repeats, and who is on it."""

    info: CallInfo
    response: Response
    until: float
    settled: asyncio.Event
    """Its socket came, or the call is forgotten."""
    joined: bool = False


class Switchboard:
    """Everything the server knows about its calls.

    Args:
        bot: what answers them.
        carriers: by name.
        audio: the encoding our audio goes out in, by carrier.
        tokens: mints and takes media tokens.
        rest: carries out REST flows.
        dialler: is told of calls that we placed, and tells which bot is on them.
        bell: is told of calls that were answered, and has bots ready for them.
        hooks: our webhook URLs, by carrier.
        stream_urls: our media URLs without token, by carrier.
        limits: what ends a call by itself.
        max_calls: further ones are answered busy.
        handshake_timeout: seconds a socket may take to say whose it is.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        bot: Bot,
        carriers: Mapping[str, Carrier],
        *,
        audio: Mapping[str, AudioFormat],
        tokens: Tokens,
        rest: Rest,
        dialler: Dialler,
        bell: Doorbell,
        hooks: Mapping[str, Hooks],
        stream_urls: Mapping[str, str],
        limits: Limits,
        max_calls: int,
        handshake_timeout: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.carriers = carriers
        self.draining = False
        self._bot = bot
        self._audio = audio
        self._tokens = tokens
        self._rest = rest
        self._dialler = dialler
        self._bell = bell
        self._hooks = hooks
        self._stream_urls = stream_urls
        self._limits = limits
        self._max_calls = max_calls
        self._handshake_timeout = handshake_timeout
        self._clock = clock
        self._sessions: dict[tuple[str, str], Session] = {}
        self._answered: dict[tuple[str, str], AnsweredCall] = {}
        self._expected = 0
        self._errands: set[asyncio.Task[Any]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    # Webhooks.

    async def webhook(
        self, carrier: Carrier, purpose: Purpose, request: Request, shapes: Sequence[str] = ()
    ) -> Response:
        """Answer one webhook. ``shapes`` are other URLs it may have been called by, for the log.

        Raises:
            Refused: it is not the carrier's.
            RemoteProtocolError: it cannot be read.
        """
        try:
            carrier.verify(request)
        except BadSignature as error:
            explain(carrier, request, error, shapes)
            raise
        answer = Response(204)
        dial = dict(request.query).get(DIAL, "")
        for notice in carrier.read_webhook(request, purpose):
            given = self._act(carrier, notice, dial)
            if given is not None:
                answer = given
        return answer

    def _act(self, carrier: Carrier, notice: Notice, dial: str) -> Response | None:
        dialled = self._dialler.heard(carrier.name, dial, notice)
        if isinstance(notice, Offered):
            return self._offered(carrier, notice, dialled)
        if isinstance(notice, Scripted):
            return notice.response
        if isinstance(notice, Ended):
            self._ended(carrier, notice)
        elif isinstance(notice, DigitPressed):
            self._tell(carrier, notice.call_id, Digit(notice.digit))
        elif isinstance(notice, MachineDetected):
            self._tell(carrier, notice.call_id, notice)
        return None

    def _tell(self, carrier: Carrier, call_id: str, event: CallEvent) -> None:
        if session := self._sessions.get((carrier.name, call_id)):
            session.call.happened(event)

    def _offered(self, carrier: Carrier, notice: Offered, dialled: Dialled | None) -> Response:
        info = notice.call
        key = (carrier.name, info.call_id)
        session = self._sessions.get(key)
        if session is not None and not carrier.asks_after:
            # The same webhook again, to be answered the same: such a call never asks how to go on.
            answered = self._answered.get(key)
            return answered.response if answered else Response(204)
        if session is not None or notice.again:
            # The call asks how to go on, so its stream is gone. Where the call is over too, so
            # be it; one that goes on gets another stream, with a token of its own.
            if session is None or not _goes_on(session, notice):
                return self._dismissed(carrier, info, Dismissal.DONE)
            return self._accepted(carrier, session.info, again=True)
        self._forget_expired()
        if answered := self._answered.get(key):
            return answered.response  # the same webhook again: the same answer, so one stream
        if dialled is not None and not self.draining:
            if not dialled.wants(info):
                return self._dismissed(carrier, info, Dismissal.DONE)
            return self._accepted(carrier, dialled.told(info))  # room was made when it was dialled
        if self.draining or len(self._sessions) + self._expected >= self._max_calls:
            log.warning("call refused", extra={"carrier": carrier.name, "draining": self.draining})
            return self._dismissed(carrier, info, Dismissal.BUSY)
        return self._accepted(carrier, info)

    def _accepted(self, carrier: Carrier, info: CallInfo, *, again: bool = False) -> Response:
        ticket = Ticket(carrier.name, info.call_id, info.account_id)
        offer = Offer(
            stream_url=self._stream_urls[carrier.name],
            token=self._tokens.mint(ticket),
            hooks=self._hooks[carrier.name],
            audio=self._audio[carrier.name],
            again=again,
        )
        answer = carrier.answer(info, offer)
        if not info.call_id:
            return answer.response  # whose it is, its stream will tell: nothing to remember it by
        self._forget((carrier.name, info.call_id))
        until = self._clock() + OFFER_KEPT_S
        answered = AnsweredCall(info, answer.response, until, asyncio.Event())
        self._answered[carrier.name, info.call_id] = answered
        self._expected += 1
        if not (again or info.tag):  # a bot that calls somebody is told by the dialler
            self._bell.begin(carrier, info)
        if answer.flow is not None:
            # A call that had a stream has a session, which ends it when no other comes.
            flow = answer.flow
            run = self._run(carrier, info, flow) if again else self._open(carrier, answered, flow)
            self._errand(run)
        return answer.response

    def _dismissed(self, carrier: Carrier, info: CallInfo, why: Dismissal) -> Response:
        answer = carrier.dismiss(info, why)
        if answer.flow is not None:
            self._errand(self._run(carrier, info, answer.flow))
        return answer.response

    def _errand(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _run(self, carrier: Carrier, info: CallInfo, flow: Callable[[], Flow[None]]) -> None:
        """Carry out what an answer asks of REST."""
        try:
            await self._rest.run(carrier.name, flow())
        except CallEnded:
            self._ended(carrier, Ended(info.call_id, EndReason(Why.COMPLETED, Who.CALLER)))
        except TrunklineError as error:
            log.error(
                "call could not be answered",
                extra={"carrier": carrier.name, "call": info.call_id, "error": str(error)},
            )

    async def _open(
        self, carrier: Carrier, answered: AnsweredCall, flow: Callable[[], Flow[None]]
    ) -> None:
        """Answer a call by REST, and hang it up if its socket does not come."""
        info = answered.info
        about = {"carrier": carrier.name, "call": info.call_id}
        # Refused or not: where an answer was lost, the refusal is of the request's repetition.
        await self._run(carrier, info, flow)
        try:
            await asyncio.wait_for(answered.settled.wait(), STREAM_AWAITED_S)
        except TimeoutError:
            log.warning("no socket came", extra=about)
        key = (carrier.name, info.call_id)
        if answered.joined or self._answered.get(key) is not answered:
            return
        self._forget(key)
        try:
            await self._rest.end_call(carrier, info)
        except TrunklineError as error:
            log.error("hang-up failed", extra=about | {"error": str(error)})

    def _lost(self, session: Session) -> None:
        """A call has lost its socket. Most ask how to go on, or come back; any other is told."""
        carrier = session.carrier
        if not (carrier.asks_after or carrier.reconnects) and session.lose():
            self._accepted(session.carrier, session.info, again=True)

    def _ended(self, carrier: Carrier, notice: Ended) -> None:
        self._forget((carrier.name, notice.call_id))
        if session := self._sessions.get((carrier.name, notice.call_id)):
            session.finish(notice.reason, confirmed=True)

    def _forget(self, key: tuple[str, str]) -> None:
        answered = self._answered.pop(key, None)
        if answered is not None and not answered.joined:
            self._expected -= 1
            answered.settled.set()
            self._bell.end(answered.info)

    def _forget_expired(self) -> None:
        now = self._clock()
        while self._answered:  # oldest first: all are kept equally long
            key = next(iter(self._answered))
            if self._answered[key].until > now:
                return
            self._forget(key)

    # Sockets.

    def verify_upgrade(self, carrier: Carrier, upgrade: Request) -> None:
        """Check a socket's upgrade where the carrier signs those.

        Raises:
            BadSignature: it is not the carrier's.
        """
        if carrier.signs_upgrade:
            try:
                carrier.verify(upgrade)
            except BadSignature as error:
                explain(carrier, upgrade, error)
                raise

    async def ticket(self, carrier: Carrier, token: str) -> Ticket:
        """Take a token (see ``Tokens.take``), with a line in the log where it is refused.

        Raises:
            BadToken: it does not open this door.
        """
        try:
            if carrier.reconnects and token:
                # A socket that comes back has nothing but the token it had: good for one call,
                # and only while that call waits for it.
                ticket = self._tokens.look(token, carrier.name)
                session = self._sessions.get((carrier.name, ticket.call_id))
                if session is not None and session.waiting:
                    return ticket
            return await self._tokens.take(token, carrier.name)
        except BadToken as error:
            log.warning("socket refused", extra={"carrier": carrier.name, "error": str(error)})
            raise

    async def connect(self, carrier: Carrier, socket: MediaSocket, ticket: Ticket | None) -> None:
        """Join an open socket to its call, until it ends. Closes it where it does not belong.

        ``ticket`` is what the token in the URL said; ``None`` where it rides in the stream.
        """
        stream = carrier.bot_end(self._audio[carrier.name])
        try:
            started, rest = await self._handshake(carrier, stream, socket)
            if ticket is None:
                ticket = await self.ticket(carrier, started.token)
            ticket = self._check(carrier, started, ticket)
            session = self._session(carrier, started, ticket)
        except Refused as error:
            await socket.close(1008, str(error))
        except RemoteProtocolError as error:
            log.warning("socket refused", extra={"carrier": carrier.name, "error": str(error)})
            await socket.close(1002, "no start message")
        except SocketClosed as closed:
            log.info("socket left early", extra={"carrier": carrier.name, "code": closed.code})
        else:
            await session.attach(socket, stream, started, rest)

    async def _handshake(
        self, carrier: Carrier, stream: Stream[FromCaller, ToCaller], socket: MediaSocket
    ) -> tuple[Started, list[FromCaller]]:
        try:
            async with asyncio.timeout(self._handshake_timeout):
                for _ in range(HANDSHAKE_MESSAGES):
                    events = list(stream.receive(await socket.receive()))
                    for index, event in enumerate(events):
                        if isinstance(event, Started):
                            return event, events[index + 1 :]
        except TimeoutError:
            raise RemoteProtocolError("no start message in time") from None
        raise RemoteProtocolError("the first messages hold no start")

    def _check(self, carrier: Carrier, started: Started, ticket: Ticket) -> Ticket:
        """Ids on the socket are only ever compared with the verified ones, where those are known.

        A token for a call of unknown id is good for the one that its stream names, if that is a
        new one: it never leads into a call that is there.
        """
        if ticket.call_id:
            wrong = started.call_id not in ("", ticket.call_id)
        else:
            key = (carrier.name, started.call_id)
            wrong = not started.call_id or key in self._sessions or key in self._answered
            if not ticket.tag and len(self._sessions) >= self._max_calls:
                self._refuse(carrier, "no more calls are taken")
            call = CallInfo(carrier=carrier.name, call_id=started.call_id)
            if (dialled := self._dialler.find(ticket.tag)) and not dialled.wants(call):
                self._refuse(carrier, "this call is not wanted any more")
            ticket = msgspec.structs.replace(ticket, call_id=started.call_id)
        if wrong or len({started.account_id, ticket.account_id} - {""}) > 1:
            self._refuse(carrier, "another call's start")
        if started.inbound not in carrier.inbound or started.outbound not in carrier.outbound:
            raise RemoteProtocolError(
                f"{carrier.title} streams {started.inbound} in and {started.outbound} out, "
                "which it is not known to"
            )
        return ticket

    def _refuse(self, carrier: Carrier, why: str) -> NoReturn:
        log.warning("socket refused", extra={"carrier": carrier.name, "error": why})
        raise BadToken(why)

    def _session(self, carrier: Carrier, started: Started, ticket: Ticket) -> Session:
        key = (carrier.name, ticket.call_id)
        answered = self._answered.get(key)
        if answered is not None and not answered.joined:
            answered.joined = True
            answered.settled.set()
            self._expected -= 1
        if session := self._sessions.get(key):
            if not session.live:
                raise BadToken("the call is over")
            return session
        info = (
            answered.info
            if answered
            else CallInfo(
                carrier=carrier.name,
                call_id=ticket.call_id,
                account_id=ticket.account_id,
                from_=started.from_,
                to=started.to,
                direction=Direction.OUTBOUND if ticket.tag else Direction.INBOUND,
                tag=ticket.tag,
            )
        )
        bot = self._bot
        if dialled := self._dialler.find(info.tag):
            bot = dialled.wish.bot or bot
            parameters = {**started.parameters, **dialled.wish.parameters}
            started = msgspec.structs.replace(started, parameters=parameters)
            info = dialled.told(info)
            self._dialler.heard(carrier.name, dialled.id, Answered(info))
            dialled.joined = True
        bot = self._bell.take(info, started, bot)
        self._sessions[key] = session = self._begin(carrier, info, started, bot)
        self._empty.clear()
        if dialled is not None and dialled.machine:
            session.call.happened(MachineDetected(info.call_id, dialled.machine))
        log.info("call started", extra={"carrier": carrier.name, "call": ticket.call_id})
        return session

    def _begin(self, carrier: Carrier, info: CallInfo, started: Started, bot: Bot) -> Session:
        rest, hooks, limits = self._rest, self._hooks[carrier.name], self._limits
        return Session(carrier, info, started, bot, rest, hooks, limits, self._gone, self._lost)

    def _gone(self, session: Session) -> None:
        key = (session.carrier.name, session.info.call_id)
        del self._sessions[key]
        if (answered := self._answered.get(key)) and not answered.joined:
            self._forget(key)  # a second socket that never came
        if session.call.ended is not None:
            self._dialler.left(session.info, session.call.ended)
        if not self._sessions:
            self._empty.set()

    # The whole.

    @property
    def calls(self) -> list[Session]:
        """The calls in progress."""
        return list(self._sessions.values())

    async def drain(self, patience: float) -> None:
        """Take no more calls; wait for those there are, then end them politely, then at once.

        Args:
            patience: seconds the calls may go on.
        """
        self.draining = True
        await self._dialler.stop()
        for polite, seconds in ((None, patience), (True, 5.0), (False, 20.0)):
            for session in self.calls:
                if polite:
                    session.drain()
                elif polite is False:
                    session.finish(EndReason(Why.DRAIN, Who.OPERATOR))
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
                    break
            except TimeoutError:
                log.warning("calls still open while stopping", extra={"calls": len(self.calls)})
        for answered in self._answered.values():
            answered.settled.set()  # whose socket has not come by now is hung up
        if self._errands:
            await asyncio.wait(set(self._errands), timeout=20.0)
        await self._bell.close()


def _goes_on(session: Session, notice: Offered) -> bool:
    return session.lose() if notice.transfer is None else session.back(notice.transfer)
