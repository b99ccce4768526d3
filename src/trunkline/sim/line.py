"""One call inside the simulated carrier: its streams, its voice, and everything that ends it.

A line streams the caller's voice on a clock that does not drift, and tells the server by webhook
when it is over. Like a real one it stays open, in silence, when nobody ends it; ``idle_s`` and
``how`` show that. It names no carrier and knows no REST, nor what it does next: ``program``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from enum import StrEnum

from msgspec.structs import replace

from ..carrier import Carrier, Leg, OpenStream
from ..errors import TrunklineError, Unsupported
from ..events import (
    CallInfo,
    CallState,
    Digit,
    DigitPressed,
    Ended,
    EndReason,
    Notice,
    Started,
    Who,
    Why,
)
from ..media.formats import L16_8K, AudioFormat
from ..media.tones import dtmf
from ..web import Request
from .ear import Ear
from .faults import Gremlin
from .mouth import Mouth
from .network import ABNORMAL, Network, NotConnected
from .record import BOT, CALLER, CARRIER, Kind, Recorder
from .stream import FRAME_MS, Media, MediaStream
from .webhooks import Errands, Webhooks

__all__ = ["How", "Line", "OpenMedia"]

# Carriers end calls after some hours whatever happens (4 h is usual).
_LONGEST_S = 4 * 3600.0
_TONE_MS = 160
# When a carrier that reconnects by itself does, and how often it tries; none documents it.
_RECONNECT_S = 1.0
_RECONNECTS = 3


OpenMedia = Callable[["Line", Request, Started], Awaitable[Media]]
"""Opens a media socket for a call, at a URL with headers, and says first what ``Started`` has.
Raises ``NotConnected`` and ``Overdue`` like ``Network.connect``."""


class How(StrEnum):
    """How a call came to its end: what a bill would want to know."""

    REST = "rest"
    """The server asked for it over REST: a hang-up, properly."""
    VERB = "verb"
    """An answer document said so."""
    DOCUMENT = "document"
    """An answer document came to its end: fallen through rather than hung up."""
    CALLER = "caller"
    """The person hung up."""
    UNANSWERED = "unanswered"
    """An outbound call was not picked up."""
    WEBHOOK = "webhook"
    """A webhook whose answer the call needed got none, or none that could be read."""
    LIMIT = "limit"
    """The carrier's own longest duration."""


class Line:
    """A call, as the carrier has it.

    Args:
        info: who is on it.
        inbound: the encoding the caller's audio goes out in.
        status_url: who is told how it ended.
        remember_s: for how long the ear remembers what it heard.
        keep_audio: whether the record holds audio, 32 kB a second.
        open_media: opens streams that pace themselves, in place of those that speak with the
            line's mouth and are heard by its ear.
    """

    def __init__(
        self,
        carrier: Carrier,
        signer: Carrier,
        network: Network,
        webhooks: Webhooks,
        info: CallInfo,
        gremlin: Gremlin,
        recorder: Recorder,
        *,
        inbound: AudioFormat,
        status_url: str,
        remember_s: float = 0.0,
        keep_audio: bool = True,
        open_media: OpenMedia | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.info = info
        self.state = CallState.QUEUED
        self.tag = ""
        self.reason: EndReason | None = None
        self.how: How | None = None
        self.over: asyncio.Future[EndReason] = self._loop.create_future()
        self.began = self._loop.time()
        self.idle_s = 0.0
        self.streams: list[Media] = []
        self._open_media = open_media
        self.recorder = recorder
        self.ear = Ear(recorder if keep_audio else None, remember_s=remember_s)
        self._keep_audio = keep_audio
        self.mouth = Mouth(FRAME_MS)
        self.on_tick: list[Callable[[], None]] = []
        self.on_end: list[Callable[[], Awaitable[None]]] = []
        self.echo: Callable[[float, bytes | None], bytes | None] = lambda _, pcm: pcm
        self._carrier = carrier
        self._signer = signer
        self._network = network
        self._webhooks = webhooks
        self._gremlin = gremlin
        self._inbound = inbound
        self.status_url = status_url
        self.errands = Errands()
        self.digits_url = ""
        self._drops_left = gremlin.faults.drops
        self._answered_at = math.inf
        self._ended_at: float | None = None
        self._frame = 0
        self._timers: list[asyncio.TimerHandle] = []
        self._tick_timer: asyncio.TimerHandle | None = None
        self._idle_since = math.inf
        self._watches: list[tuple[str, asyncio.Task[None]]] = []
        self._unwanted: asyncio.Future[None] = self._loop.create_future()

    # What can be seen.

    @property
    def now(self) -> float:
        """Seconds since the call began."""
        return self._loop.time() - self.began

    @property
    def stream(self) -> Media | None:
        """The open media stream opened last, if any."""
        return next((s for s in reversed(self.streams) if not s.closed.done()), None)

    def leg(self) -> Leg:
        """The call as REST sees it."""
        return Leg(
            call=self.info,
            state=self.state,
            reason=self.reason,
            tag=self.tag,
            duration_s=self._duration(),
        )

    def _duration(self) -> float:
        if self._answered_at == math.inf:
            return 0.0
        until = self._loop.time() if self._ended_at is None else self._ended_at
        return until - self._answered_at

    def note(self, kind: str, text: str = "", channel: str = "", *, secret: bool = False) -> None:
        """Take a moment down; marks, which are many, only where all is kept."""
        if kind == Kind.MARK and not self._keep_audio:
            return
        self.recorder.note(self.now, kind, text, channel, secret=secret)

    # How it begins.

    def pick_up(self) -> None:
        """The call is answered: from now on it costs, and its audio flows."""
        if self.state is CallState.ACTIVE or self.reason is not None:
            return
        self.state = CallState.ACTIVE
        self._answered_at = self._idle_since = self._loop.time()
        self.note(Kind.ANSWERED)
        self.later(_LONGEST_S, self._expire)
        if self._open_media is None:
            self._tick_timer = self._loop.call_at(self._answered_at + FRAME_MS / 1000, self._tick)

    def _expire(self) -> None:
        self.end(EndReason(Why.LIMIT, Who.CARRIER), How.LIMIT)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in so many seconds, if the call is still up then."""
        self._timers.append(self._loop.call_later(seconds, act))

    # Its media streams.

    async def open_stream(self, step: OpenStream) -> None:
        """Open a media socket as an answer asks. One that is refused is noted, and that is all."""
        if stream := await self._connect(step):
            watch = self.errands.start(self._watch(stream, step), "stream")
            self._watches.append((step.name, watch))

    async def _connect(self, step: OpenStream) -> Media | None:
        url, parameters = self._gremlin.token(step.url, step.parameters)
        upgrade = Request(method="GET", url=url, headers=step.headers)
        if self._carrier.signs_upgrade:
            upgrade = self._signer.sign(upgrade)
        outbound = step.audio or self._carrier.outbound[0]
        started = Started(
            call_id=self._gremlin.faults.forged_call_id or self.info.call_id,
            account_id=self.info.account_id,
            from_=self.info.from_,
            to=self.info.to,
            inbound=outbound if self._carrier.one_format else self._inbound,
            outbound=outbound,
            stream_id=f"s-{len(self.streams) + 1}-{self.info.call_id}",
            stream_name=step.name,
            parameters=parameters,
        )
        try:
            await asyncio.sleep(self._gremlin.delay())
            stream = await (self._open_media or Line._open_own)(self, upgrade, started)
        except (NotConnected, TimeoutError) as error:
            self.note(Kind.FAULT, str(error), BOT)
            return None
        self.streams.append(stream)
        self.idle(False)
        self.note("stream", "open", CARRIER)
        return stream

    async def _open_own(self, upgrade: Request, started: Started) -> Media:
        return MediaStream(
            self._carrier,
            await self._network.connect(upgrade),
            started,
            self._next_gremlin(),
            ear=self.ear,
            began=self.began,
            note=self.note,
            on_digits=self._keys_wanted,
        )

    def _next_gremlin(self) -> Gremlin:
        """The same faults, but no socket is dropped more often than it should be."""
        faults = self._gremlin.faults
        if faults.drop_after is not None and self._drops_left <= 0:
            faults = replace(faults, drop_after=None)
        self._drops_left -= 1
        return Gremlin(faults, f"{self._gremlin.place}/{len(self.streams)}")

    async def _watch(self, opened: Media, step: OpenStream) -> None:
        """Follow a stream until it is over, the sockets that replace lost ones included."""
        unwanted = self._unwanted
        stream: Media | None = opened
        while stream is not None:
            closed = await asyncio.shield(stream.closed)
            self.note("stream", f"closed {closed.code}", CARRIER)
            if self.stream is None:
                self.idle(True)
            await stream.ended()
            lost = closed.code == ABNORMAL and self._carrier.reconnects
            stream = await self._reconnect(step, unwanted) if lost else None

    async def _reconnect(self, step: OpenStream, unwanted: asyncio.Future[None]) -> Media | None:
        """Open a lost media socket again, at the same URL, unless it is not wanted any more."""
        for _ in range(_RECONNECTS):
            await asyncio.wait([unwanted], timeout=_RECONNECT_S)
            if unwanted.done():
                return None
            if stream := await self._connect(step):
                if unwanted.done():
                    await stream.close()
                return stream
        return None

    async def streams_closed(self, name: str = "") -> None:
        """Wait until no media stream is open or about to come back, or none of that name."""
        if watches := [w for n, w in self._watches if name in ("", n) and not w.done()]:
            await asyncio.wait(watches)

    async def close_streams(self, reason: str) -> None:
        """Close every media socket, with what the carrier says then."""
        self._unwanted.set_result(None)
        self._unwanted = self._loop.create_future()
        await asyncio.gather(*(s.close(reason) for s in self.streams))

    def idle(self, idle: bool) -> None:
        """From now on nobody (or somebody) is there for the caller: count the time."""
        now = self._loop.time()
        if not idle and self._idle_since < now:
            self.idle_s += now - self._idle_since
        self._idle_since = now if idle and self.state is CallState.ACTIVE else math.inf

    # The caller's voice and keys.

    def _tick(self) -> None:
        """Twenty milliseconds have passed: one frame each way, and again, without drift."""
        at = self._answered_at + self._frame * FRAME_MS / 1000
        pcm = self.mouth.frame()
        if pcm is not None and self._keep_audio:
            self.recorder.caller(at - self.began, pcm)
        sent = self.echo(at - self.began, pcm) or self.mouth.silence
        for stream in self.streams:
            if isinstance(stream, MediaStream) and not stream.closed.done():
                stream.speak(sent)
                stream.tick()
        self._look()
        if self.reason is None:
            self._frame += 1
            due = self._answered_at + (self._frame + 1) * FRAME_MS / 1000
            self._tick_timer = self._loop.call_at(due, self._tick)

    def _look(self) -> None:
        for look in tuple(self.on_tick):
            look()

    def press(self, digit: str, *, secret: bool = False) -> None:
        """The caller presses one key; it travels however this carrier's keys do."""
        self.note(Kind.KEY, digit, CALLER, secret=secret)
        if Digit in self._carrier.hears:
            for stream in self.streams:
                stream.press(digit, _TONE_MS)
        elif self._carrier.digits_by_webhook:
            if self.digits_url:
                self.tell(DigitPressed(self.info.call_id, digit), self.digits_url)
        else:
            # No way out of band: the tone travels in the voice, as it does anywhere.
            self.mouth.say(dtmf(digit, L16_8K, tone_ms=_TONE_MS), lambda: None)

    def play_tones(self, digits: str) -> float:
        """Keys pressed towards the caller: heard as tones. Returns how many seconds they last."""
        pauses = sum({"w": 0.5, "W": 1.0, ",": 0.5}.get(d, 0.0) for d in digits)
        keys = "".join(d for d in digits.upper() if d in "0123456789*#ABCD")
        self.note(Kind.KEY, keys, BOT)
        pcm = dtmf(keys, L16_8K) if keys else b""
        self.ear.hear(self.now, pcm)
        return pauses + L16_8K.ms_in(len(pcm)) / 1000

    def _keys_wanted(self, digits: str) -> None:
        self.play_tones(digits)

    # Webhooks nobody waits for.

    def tell(self, notice: Notice, url: str) -> None:
        """Send a webhook and go on, whatever becomes of it."""
        self.errands.start(self._say(notice, url), "webhook")

    async def _say(self, notice: Notice, url: str) -> None:
        if not url:
            return
        try:
            response = await self._webhooks.send(notice, url, self._gremlin)
        except Unsupported:
            return  # this carrier does not tell that: nothing is owed
        except TrunklineError as error:
            self.note(Kind.FAULT, f"{type(notice).__name__}: {error}", BOT)
        else:
            if response.status >= 400:
                what = type(notice).__name__
                self.note(Kind.FAULT, f"{what} webhook answered {response.status}", BOT)

    # How it ends.

    def end(self, reason: EndReason, how: How) -> None:
        """The call is over, now; the first reason counts. What follows is tidied up in a task."""
        if self.reason is not None:
            return
        self.idle(False)
        self._ended_at = self._loop.time()
        self.reason, self.how, self.state = reason, how, CallState.ENDED
        self.note(Kind.HANG_UP, f"{how.value}: {reason.why.value}", _channel(reason.who))
        for timer in (*self._timers, self._tick_timer):
            if timer is not None:
                timer.cancel()
        self.mouth.shut()
        self._loop.call_soon(self._look)
        self.errands.start(self._wind_up(reason), "wind up")

    async def _wind_up(self, reason: EndReason) -> None:
        for undo in self.on_end:
            await undo()
        await self.close_streams("the call ended")
        ended = Ended(
            self.info.call_id,
            reason,
            dial_id=self.info.dial_id,
            duration_s=round(self._duration(), 3),
        )
        await self._say(ended, self.status_url)
        if not self.over.done():
            self.over.set_result(reason)

    async def stop(self) -> None:
        """Let go of everything at once: the simulation is over."""
        self.end(EndReason(Why.CANCELLED, Who.CALLER), How.CALLER)
        await self.errands.cancel()
        for stream in self.streams:
            if not stream.closed.done():
                await stream.close()


def _channel(who: Who) -> str:
    return {Who.CALLER: CALLER, Who.BOT: BOT}.get(who, CARRIER)
