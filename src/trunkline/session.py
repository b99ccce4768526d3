"""One call, from the first message on its socket to a hang-up that the carrier confirmed.

A session joins a ``Call`` to whatever socket carries it at the moment. Callbacks drive it: what
comes is read, heard by the bot and answered in one go; an alarm paces audio out, enforces limits.
The tasks are the reader (the server's own, in ``attach``), the bot and, at the end, the teardown.
The call outlives its socket: when that is lost, the session waits a short while for the carrier to
open another before it gives up.

Closing a socket is not hanging up: whatever ends a session, the carrier is asked to end the call
and then asked whether it did.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from .alarm import Alarm
from .call import Call
from .carrier import Hooks, Marks
from .errors import CallEnded, RemoteProtocolError
from .events import (
    Audio,
    CallInfo,
    Clear,
    Cleared,
    Digit,
    Digits,
    EndReason,
    Extra,
    FromCaller,
    Mark,
    Started,
    Stopped,
    ToCaller,
    Who,
    Why,
)
from .limits import Limits, Watch
from .link import Link
from .media.playout import TOGETHER, Passage, Playout
from .media.tones import DtmfDetector
from .sockets import MediaSocket, SocketClosed
from .teardown import wind_up

if TYPE_CHECKING:
    from .call import Bot
    from .carrier import Carrier, Stream
    from .rest import Rest

__all__ = ["Session"]

log = logging.getLogger("trunkline.session")

PLAYBACK_GRACE_S = 2.0
"""How much longer than its audio lasts a last utterance may take before the call ends anyway."""
NO_MARK_MARGIN_S = 0.3
"""Added to a clock estimate before hanging up: network and carrier buffers it cannot see."""
REATTACH_S = 10.0
"""How long a new socket may take after we asked for what ends the old one (keys, on some)."""
MAX_REATTACHMENTS = 5
DEAD_S = 1.0
"""A socket silent for so long gives way to another: carriers send every 20 ms, speech or not."""
TOLERATED_JUNK = 50


class Session:
    """One call's life. Implements ``call.Line``.

    Args:
        carrier: whose call it is.
        info: who is on it, from a verified webhook.
        started: what its first socket said.
        bot: what answers.
        rest: carries out the carrier's REST flows.
        hooks: our webhook URLs at this carrier.
        limits: what ends the call by itself.
        on_over: told once, when all is torn down.
        on_lost: told whenever the call has lost its socket and would take another.
    """

    __slots__ = (
        "_after_playback", "_alarm", "_attachments", "_bot_task", "_errands", "_hooks", "_junk",
        "_link", "_look_at", "_loop", "_losses", "_lost_until", "_on_lost", "_on_over", "_over",
        "_reason", "_reattach_until", "_rest", "_returned", "_started", "_taking", "_time",
        "_tones", "_transfer", "_watch", "_woken", "call", "carrier", "confirmed", "info",
        "playout",
    )  # fmt: skip

    playout_type: type[Playout] = Playout

    def __init__(
        self,
        carrier: Carrier,
        info: CallInfo,
        started: Started,
        bot: Bot,
        rest: Rest,
        hooks: Hooks,
        limits: Limits,
        on_over: Callable[[Session], None],
        on_lost: Callable[[Session], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self.carrier = carrier
        self.info = info
        clears = Clear in carrier.says
        self.playout = self.playout_type(
            started.outbound, carrier.frame, carrier.marks, can_clear=clears, together=TOGETHER
        )
        self.call = Call(info, started, self)
        self.confirmed = False
        """Whether the carrier said that the call has ended."""
        self._started = started
        self._rest = rest
        self._hooks = hooks
        self._on_over = on_over
        self._on_lost = on_lost
        self._link: Link | None = None
        self._taking = False
        self._woken = False
        self._alarm = Alarm(self._pump)
        self._look_at = -inf
        self._reason: EndReason | None = None
        self._after_playback: tuple[EndReason, float] | None = None
        self._over = self._loop.create_future()
        self._errands: set[asyncio.Task[None]] = set()
        self._attachments = self._losses = self._junk = 0
        now = self.now()
        self._watch = Watch(limits, now)
        # Where the carrier tells keys in no other way, their tones are in the caller's audio.
        told = Digit in carrier.hears or carrier.digits_by_webhook
        self._tones = None if told else DtmfDetector(started.inbound)
        self._lost_until: float | None = None
        self._transfer: asyncio.Future[Why] | None = None
        self._returned: Why | None = None
        self._reattach_until = 0.0
        self._bot_task = self._loop.create_task(self._run_bot(bot), name=f"bot {info.call_id}")
        self.wake()

    # The socket's side.

    async def attach(
        self,
        socket: MediaSocket,
        stream: Stream[FromCaller, ToCaller],
        started: Started,
        rest: list[FromCaller],
    ) -> None:
        """Read a socket until it ends. ``rest`` are events that came with its ``started``."""
        self._attachments += 1
        self._started = started
        write = self._watch.limits.write
        old, link = self._link, Link(socket, stream, write, self.wake, self._lose, self._not_read)
        self._link = link
        self._lost_until = None
        self._reattach_until = 0.0
        self._watch.joined(self.now())
        if self._returned is not None:
            self._transferred(self._returned)
            self._returned = None
        self.look()
        if old is not None:
            await old.close("replaced")
        for event in rest:
            self._hear(event, self.now())
        try:
            await socket.deliver(partial(self._take, link))
        except SocketClosed as closed:
            self._lose(link, closed)
        if self._reason is not None:
            await self.wait()

    def _take(self, link: Link, message: str | bytes) -> None:
        if link is not self._link or self._reason is not None:
            return
        now = self._watch.message_at = self._time()
        try:
            events = link.stream.receive(message)
        except RemoteProtocolError as error:
            self._misunderstood(error)
            return
        self._taking = True
        try:
            for event in events:
                if type(event) is Audio:
                    self._heard(event, now)
                else:
                    self._hear(event, now)
        except Exception:  # what a bot listens with runs right here
            self._bot_failed()
        finally:
            self._taking = False
        if self._woken or link.stream.owes:
            self._pump()

    def _misunderstood(self, error: RemoteProtocolError) -> None:
        self._junk += 1
        if self._junk == 1:
            log.warning("message not understood", extra=self._who(error=str(error)))
        if self._junk > TOLERATED_JUNK:
            self.finish(EndReason(Why.PROTOCOL, Who.CARRIER, str(error)))

    def _heard(self, event: Audio, now: float) -> None:
        if now >= self._watch.listen_at:
            self._watch.heard(event, self.call.audio_in, now)
        self.call.heard(event)
        if self._tones is not None:
            for key in self._tones.push(event.payload):
                self.call.happened(Digit(key))

    def _hear(self, event: FromCaller, now: float) -> None:
        if isinstance(event, Audio):
            self._heard(event, now)
        elif isinstance(event, Mark):
            self.playout.returned(event.name, now)
            self.wake()
        elif isinstance(event, Stopped):
            self._stopped(event)
        elif isinstance(event, Started):
            self._started_again(event)
        elif not isinstance(event, Cleared):
            self.call.happened(event)

    def _stopped(self, event: Stopped) -> None:
        if self._transfer is not None:
            self._detach()  # the caller is with somebody else; the carrier tells what comes of it
        elif self.now() < self._reattach_until:
            self._lost_until = self._reattach_until
            self._detach()
        else:
            self.finish(EndReason(Why.COMPLETED, Who.CALLER, event.reason))

    def _started_again(self, event: Started) -> None:
        # Duplicates happen; another call's id on our socket does not, on a socket we may trust.
        if event.call_id and event.call_id != self.info.call_id:
            self.finish(EndReason(Why.PROTOCOL, Who.CARRIER, "another call's start"))

    def _not_read(self, link: Link) -> None:
        if link is self._link:
            log.warning("the carrier does not read", extra=self._who())
            self.finish(EndReason(Why.NETWORK, Who.CARRIER, "write timed out"))

    def _lose(self, link: Link, closed: SocketClosed) -> None:
        if link is not self._link:
            return
        self._link = None
        if self._reason is not None or self._transfer is not None:
            return
        expected = Stopped not in self.carrier.hears and closed.code in (1000, 1001)
        if expected and self.now() >= self._reattach_until:
            self.finish(EndReason(Why.COMPLETED, Who.CALLER, f"socket closed {closed.code}"))
            return
        log.warning("socket lost", extra=self._who() | {"code": closed.code})
        self._lost_until = max(self.now() + self._watch.limits.reattach, self._reattach_until)
        self.look()
        self._on_lost(self)

    @property
    def waiting(self) -> bool:
        """Whether the call would take another socket: it has none, or one that is dead.

        A carrier may know of a loss before we do: its end is gone, and ours looks open until
        something is written in vain. What tells is that nothing comes any more.
        """
        dead = self.now() >= self._watch.message_at + DEAD_S
        again = self._attachments <= MAX_REATTACHMENTS
        return again and self._reason is None and (self._lost_until is not None or dead)

    @property
    def live(self) -> bool:
        """Whether the call goes on."""
        return self._reason is None

    def lose(self) -> bool:
        """The carrier asks how to go on, so its socket is gone. Whether to give it another."""
        self._losses += 1
        if self._reason is not None or max(self._losses, self._attachments) > MAX_REATTACHMENTS:
            return False
        if self._transfer is not None and self._returned is None:
            self._returned = Why.FAILED  # nobody says how the transfer went, but here the caller is
        self._lost_until = max(self._lost_until or 0.0, self.now() + self._watch.limits.reattach)
        self._detach()
        return True

    def _detach(self) -> None:
        """Let go of the socket, if there is one; its reader ends when it is closed."""
        link, self._link = self._link, None
        if link is not None:
            self._errand(link.close("replaced"))
        self.look()

    def _errand(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    # What a call asks of its line.

    def now(self) -> float:
        return self._loop.time()

    def wake(self) -> None:
        if not self._woken:
            self._woken = True
            if not self._taking:
                self._loop.call_soon(self._pump_if_woken)

    def pass_on(self, passage: Passage, audio: bytes) -> bool:
        link = self._link
        if link is None or link.stalled or self._woken or self._reason is not None:
            return False
        if not self.playout.pass_on(passage, audio, self._time()):
            return False
        link.pass_on(Audio(audio))
        return True

    def clear(self) -> None:
        if self._link is not None:
            self._link.forget()
        if self.playout.clear(self.now()):
            self.say(Clear())
        self.wake()

    def say(self, event: Clear | Digits | Extra) -> bool:
        if type(event) not in self.carrier.says:
            return False
        if self._link is not None:
            self._link.say(event)
        return True

    async def hang_up(self, *, after_playback: bool) -> None:
        end = self._finish_after_playback if after_playback else self.finish
        end(EndReason(Why.COMPLETED, Who.BOT))
        await self.call.wait()

    async def send_digits(self, digits: str) -> None:
        if self.say(Digits(digits)):
            return
        flow = self.carrier.send_digits(self.info, digits, started=self._started, hooks=self._hooks)
        self._reattach_until = self.now() + REATTACH_S
        await self._rest.run(self.carrier.name, flow)

    async def transfer(self, to: str, *, from_: str) -> Why:
        if self._transfer is not None:
            raise CallEnded("the call is being transferred already")
        flow = self.carrier.transfer(self.info, to, from_=from_, hooks=self._hooks)
        self._transfer = self._loop.create_future()
        self._watch.away = True
        try:
            await self._rest.run(self.carrier.name, flow)
            # What they say to each other is none of ours; and some carriers go on to the transfer
            # only when the stream has ended.
            self._detach()
            return await asyncio.shield(self._transfer)
        finally:
            self._transfer = None
            self._watch.away = False

    def back(self, why: Why) -> bool:
        """A transfer is over and the carrier asks how to go on. Whether the bot takes over again.

        ``why`` is ``COMPLETED`` where the other party was reached.
        """
        if why is Why.COMPLETED:
            self.finish(EndReason(Why.TRANSFERRED, Who.BOT))
            return False
        self._returned = why
        return self.lose()

    # What ends it.

    def finish(self, reason: EndReason, *, confirmed: bool = False) -> None:
        """End the call; the first reason counts. ``confirmed``: the carrier itself says so."""
        self.confirmed = self.confirmed or confirmed
        if self._transferred(Why.COMPLETED):
            # Two people may be talking by now: neither our limits nor our stopping cuts them off.
            self.confirmed = self.confirmed or reason.why in (Why.LIMIT, Why.DRAIN)
            reason = EndReason(Why.TRANSFERRED, Who.BOT, reason.raw)
        if self._reason is None:
            self._reason = reason
            self._errand(self._tear_down(reason))

    def _transferred(self, why: Why) -> bool:
        if self._transfer is None or self._transfer.done():
            return False
        self._transfer.set_result(why)
        return True

    def drain(self) -> None:
        """The server stops: end the call when what is being said has been heard."""
        end = self.finish if self._transfer is not None else self._finish_after_playback
        end(EndReason(Why.DRAIN, Who.OPERATOR))

    def _finish_after_playback(self, reason: EndReason) -> None:
        self.call.end_utterances()
        if self._after_playback is None:
            left = self.playout.left_ms(self.now()) / 1000
            self._after_playback = (reason, self.now() + left + PLAYBACK_GRACE_S)
        self.look()

    async def wait(self) -> None:
        """Until all is torn down."""
        await asyncio.wait([self._over])

    async def _run_bot(self, bot: Bot) -> None:
        try:
            await bot(self.call)
        except Exception:
            self._bot_failed()
        else:
            self._finish_after_playback(EndReason(Why.COMPLETED, Who.BOT))

    def _bot_failed(self) -> None:
        log.exception("bot failed", extra=self._who())
        self.finish(EndReason(Why.BOT_ERROR, Who.BOT))

    # What drives it, and what is left to do in the end.

    def look(self) -> None:
        """Something changed that may end the call or put its end off: have a look."""
        self._look_at = -inf
        self.wake()

    def _pump_if_woken(self) -> None:
        if self._woken:
            self._pump()

    def _pump(self) -> None:
        """Send what is due, tell what was heard, end what has to end; and do so again in time."""
        self._woken = False
        if self._reason is not None:
            return
        now = self.now()
        try:
            link = self._link
            due = None
            if link is not None and not link.stalled:
                link.send(self.playout.due(now))
                due = self.playout.next_due(now)
            change = self.playout.next_change(now)
            if change is not None and change <= now:
                change = self._tell(now)
            if now >= self._look_at or self._after_playback is not None:
                self._enforce(now)
            if self._reason is None:
                at = self._look_at if due is None else min(due, self._look_at)
                self._alarm.set(at if change is None else min(change, at))
        except Exception:
            log.exception("call failed", extra=self._who())
            self.finish(EndReason(Why.FAILED, Who.UNKNOWN))

    def _tell(self, now: float) -> float | None:
        spoke = self.call.speaking
        for change in self.playout.changes(now):
            self.call.changed(change)
        if spoke or self.call.speaking:
            self._watch.speaking(now)
        return self.playout.next_change(now)

    def _enforce(self, now: float) -> None:
        if self.call.speaking:
            self._watch.speaking(now)
        connected = self._link is not None
        if self._lost_until is not None and now >= self._lost_until:
            self.finish(EndReason(Why.NETWORK, Who.UNKNOWN, "socket lost"))
        elif limit := self._watch.reached(now, connected=connected):
            self.finish(EndReason(Why.LIMIT, Who.OPERATOR, limit))
        elif self._after_playback is not None:
            reason, deadline = self._after_playback
            if self.playout.left_ms(now) <= 0 or now >= deadline:
                self.finish(reason)
        times = [self._watch.next(connected=connected), self._lost_until or inf]
        self._look_at = min(*times, self._after_playback[1] if self._after_playback else inf)

    async def _tear_down(self, reason: EndReason) -> None:
        self._alarm.off()
        for change in self.playout.changes(self.now()):
            self.call.changed(change)
        self.call.over(reason)
        played = self._after_playback is not None and self._after_playback[0] is reason
        if played and self.carrier.marks is Marks.NONE:
            await asyncio.sleep(NO_MARK_MARGIN_S)
        ask = None if self.confirmed else self._rest
        done = await wind_up(self._bot_task, self.carrier, self.info, ask)
        self.confirmed = self.confirmed or done
        if self._link is not None:
            await self._link.close()
        end = {"why": reason.why.value, "by": reason.who.value, "confirmed": self.confirmed}
        log.info("call over", extra=self._who(**end))
        self._over.set_result(None)
        self._on_over(self)

    def _who(self, **more: object) -> dict[str, object]:
        return {"carrier": self.carrier.name, "call": self.info.call_id, **more}
