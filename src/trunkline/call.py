"""The call, as a bot author holds it.

A ``Call`` is who is on the line, what they say, and what can be done: speak, stop, press keys,
transfer, hang up. It knows no carrier and no socket; the session behind it is a ``Line``. Nothing
here starts a task: audio reaches a callback in the read loop itself, and a reader that iterates
waits on the one queue it asked for.

Audio that comes before anybody listens is kept, up to ten seconds, and handed to the first
listener, so that a bot may take its time to get ready without losing the caller's first words.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from .errors import CallEnded, Unsupported
from .events import (
    Audio,
    CallInfo,
    Digit,
    Direction,
    EndReason,
    Extra,
    Failed,
    MachineDetected,
    Started,
    Why,
)
from .feed import Feed
from .media.formats import AudioFormat
from .media.playout import Change, ChangeKind
from .media.transcode import Transcoder
from .utterance import Mouth, Utterance, UtteranceState

__all__ = [
    "Bot",
    "Call",
    "CallEvent",
    "Line",
    "ReadyBot",
    "SpeakingStarted",
    "SpeakingStopped",
    "Utterance",
    "UtteranceState",
]

EARLY_AUDIO_MS = 10_000
"""How much unheard audio is kept for a listener; older audio is dropped first."""


class Line(Mouth, Protocol):
    """What a call asks of the session behind it."""

    def clear(self) -> None:
        """Drop all audio, here and at the carrier."""
        ...

    async def hang_up(self, *, after_playback: bool) -> None:
        """End the call."""
        ...

    def say(self, event: Extra) -> bool:
        """Say something on the carrier's socket, at once; False where it carries none such.

        Raises:
            LocalProtocolError: what it says has a word of its own.
        """
        ...

    async def send_digits(self, digits: str) -> None:
        """Press keys towards the caller."""
        ...

    async def transfer(self, to: str, *, from_: str) -> Why:
        """Connect the caller with somebody else; says how that ended."""
        ...


class SpeakingStarted(Struct, frozen=True):
    """The caller begins to hear ``utterance``."""

    utterance: Utterance


class SpeakingStopped(Struct, frozen=True):
    """The caller has heard ``heard_ms`` of ``utterance``, and no more will come of it."""

    utterance: Utterance
    heard_ms: float
    cleared: bool


CallEvent = Audio | Digit | SpeakingStarted | SpeakingStopped | MachineDetected | Failed | Extra


def _weight(event: CallEvent) -> int:
    return len(event.payload) if isinstance(event, Audio) else 0


class _Closing(Protocol):
    def close(self) -> None: ...


class _Tap(Struct, frozen=True, eq=False):
    """Somebody who collects keys; a secret one keeps them from all others."""

    put: Callable[[str], None]
    secret: bool


class Call:
    """A phone call in progress.

    ``async for event in call`` gives everything that happens, the caller's audio included, and
    ends when the call does. ``audio_in`` and ``audio_out`` are the encodings on the wire: audio
    asked for or given in just these passes through untouched.
    """

    __slots__ = (
        "__dict__", "_early", "_early_bytes", "_early_most", "_feeds", "_hearers", "_missed",
        "_over", "_speaking", "_taps", "_utterances", "_watchers", "audio_in", "audio_out",
        "carrier", "direction", "ended", "from_", "heard", "id", "info", "line", "parameters",
        "to",
    )  # fmt: skip

    def __init__(self, info: CallInfo, started: Started, line: Line) -> None:
        self.info = info
        self.id = info.call_id
        self.carrier = info.carrier
        self.from_ = info.from_ or started.from_
        self.to = info.to or started.to
        self.direction: Direction = info.direction
        self.parameters: Mapping[str, str] = started.parameters
        self.audio_in = started.inbound
        self.audio_out = started.outbound
        self.line = line
        self.ended: EndReason | None = None
        self.heard: Callable[[Audio], None] = self._keep
        """Told by the session: the caller's audio. Whoever listens, itself: it is a busy way."""
        self._early: deque[Audio] = deque()
        self._early_bytes = 0
        self._early_most = self.audio_in.bytes_in(EARLY_AUDIO_MS)
        self._hearers: tuple[Callable[[Audio], None], ...] = ()
        self._watchers: list[Callable[[CallEvent], object]] = []
        self._missed: list[CallEvent] | None = []
        self._feeds: list[_Closing] = []
        self._taps: list[_Tap] = []
        self._over: asyncio.Future[EndReason] | None = None
        self._utterances: dict[int, Utterance] = {}
        self._speaking = 0

    # Hearing.

    def __aiter__(self) -> AsyncIterator[CallEvent]:
        feed: Feed[CallEvent] = Feed(self.audio_in.bytes_in(EARLY_AUDIO_MS), _weight)
        self._open(feed)
        self.on(feed.put)
        self._hear_with(feed.put)
        return aiter(feed)

    def audio(self, format: AudioFormat | None = None) -> AsyncIterator[bytes]:  # noqa: A002
        """The caller's audio in ``format`` (default: as on the wire), chunk by chunk."""
        wanted = format or self.audio_in
        feed: Feed[bytes] = Feed(wanted.bytes_in(EARLY_AUDIO_MS), len)
        self._open(feed)
        self.listen(feed.put, wanted)
        return aiter(feed)

    def listen(
        self,
        sink: Callable[[bytes], object],
        format: AudioFormat | None = None,  # noqa: A002
    ) -> Callable[[], None]:
        """Have ``sink`` called with each piece of the caller's audio, in the read loop itself.

        It must not block. Returns a function that ends this.
        """
        transcoder = Transcoder(self.audio_in, format or self.audio_in)

        def hear(event: Audio) -> None:
            if chunk := transcoder.push(event.payload):
                sink(chunk)

        def hear_untouched(event: Audio) -> None:
            if event.payload:
                sink(event.payload)

        return self._hear_with(hear_untouched if transcoder.identity else hear)

    def on(self, sink: Callable[[CallEvent], object]) -> Callable[[], None]:
        """Have ``sink`` called with every event but audio, as it happens; it must not block.

        Events from before the first such call are delivered to it at once. Returns a function
        that ends this.
        """
        self._watchers.append(sink)
        missed, self._missed = self._missed, None
        for event in missed or ():
            sink(event)

        def stop() -> None:
            if sink in self._watchers:
                self._watchers.remove(sink)

        return stop

    # Speaking.

    def play(self, audio: bytes, format: AudioFormat | None = None) -> Utterance:  # noqa: A002
        """Say a whole piece of audio, after what is being said already.

        Args:
            audio: samples in ``format``, without any file header.
            format: its encoding; default as on the wire.

        Raises:
            CallEnded: nobody is there to hear it.
        """
        utterance = self.utterance(format)
        utterance.write(audio)
        utterance.end()
        return utterance

    def utterance(
        self,
        format: AudioFormat | None = None,  # noqa: A002
        *,
        live: bool = False,
    ) -> Utterance:
        """Begin to say something whose audio comes piece by piece; ``end()`` it.

        Args:
            format: the encoding that will be written; default as on the wire.
            live: the source is itself real-time (another person, an echo): send at once what is
                written instead of pacing it.

        Raises:
            CallEnded: nobody is there to hear it.
        """
        if self.ended is not None:
            raise CallEnded(f"the call is over: {self.ended.why}")
        passage = self.line.playout.begin(live=live)
        utterance = Utterance(self.line, passage, format or self.audio_out, self.audio_out)
        self._utterances[passage.id] = utterance
        return utterance

    def clear(self) -> None:
        """Barge-in: stop speaking now, and forget all that was to be said."""
        if self.ended is None:
            self.line.clear()

    @property
    def speaking(self) -> bool:
        """Whether the caller hears us at this moment."""
        return self._speaking > 0

    async def quiet(self) -> None:
        """Wait until everything said so far has been heard, or cleared."""
        for utterance in list(self._utterances.values()):
            await utterance.wait()

    # Acting.

    async def hang_up(self, *, after_playback: bool = True) -> None:
        """End the call; by default only when all that was said has been heard.

        Returns when the call is over. Ending a call that is over does nothing.
        """
        if self.ended is None:
            await self.line.hang_up(after_playback=after_playback)

    async def send_digits(self, digits: str) -> None:
        """Press keys towards the other side, out of band: ``0``-``9 * # A``-``D``, ``w`` = 0.5 s.

        Raises:
            CallEnded, Unsupported, CarrierError, ValueError
        """
        if not digits or set(digits) - set("0123456789*#ABCDabcdwW"):
            raise ValueError("digits are 0-9 * # A-D, and w or W for a pause")
        self._must_be_open()
        await self.line.send_digits(digits)

    def send_extra(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Send the carrier a message that this vocabulary has no word for, at once.

        Args:
            kind: the message's kind, in the carrier's own words.
            fields: its other fields, as JSON has them.

        Raises:
            CallEnded, Unsupported: the carrier takes no such messages.
            LocalProtocolError: there is a word for it: audio, ``clear`` …
        """
        self._must_be_open()
        if not self.line.say(Extra(kind, fields)):
            raise Unsupported(f"{self.carrier} takes no messages but those Trunkline has words for")

    async def transfer(self, to: str, *, from_: str = "") -> Why:
        """Connect the caller with ``to`` (E.164 or ``sip:``), and wait how that ends.

        Returns:
            ``Why.COMPLETED`` when they were connected: the call is then over, for the bot.
            Otherwise (``BUSY``, ``NO_ANSWER`` …) the caller is back, and the bot goes on.

        Raises:
            CallEnded, Unsupported, CarrierError: the caller was never away.
        """
        self._must_be_open()
        return await self.line.transfer(to, from_=from_)

    async def collect_digits(
        self,
        count: int | None = None,
        *,
        terminator: str = "#",
        first_timeout: float = 10.0,
        next_timeout: float = 4.0,
        secret: bool = False,
        clear: bool = False,
    ) -> str:
        """Wait for keys and return them, without the terminator.

        Ends with ``count`` keys, with the terminator, or when no further key comes in time, and
        with what there is when the call ends. Speech goes on meanwhile, and its time counts.

        Args:
            count: how many keys at most; ``None`` for as many as come.
            terminator: the key that ends it; empty for none.
            first_timeout: seconds the first key may take.
            next_timeout: seconds each further key may take.
            secret: keep the keys from everybody else who watches this call (a transcript, a
                record); they are never logged, secret or not.
            clear: stop speaking at the first key.

        Raises:
            CallEnded: the call was over before.
            ValueError: ``count`` is less than one.
        """
        if count is not None and count < 1:
            raise ValueError("count must be at least 1")
        self._must_be_open()
        feed: Feed[str] = Feed(0, lambda _: 0)
        self._open(feed)
        tap = _Tap(feed.put, secret)
        self._taps.append(tap)
        keys = ""
        try:
            while count is None or len(keys) < count:
                async with asyncio.timeout(next_timeout if keys else first_timeout):
                    key = await anext(feed)
                if clear and not keys:
                    self.clear()
                if key == terminator:
                    break
                keys += key
        except (TimeoutError, StopAsyncIteration):
            pass  # what there is, is what was pressed
        finally:
            self._taps.remove(tap)
            self._feeds.remove(feed)
        return keys

    async def wait(self) -> EndReason:
        """Wait until the call is over, and say why."""
        if self.ended is not None:
            return self.ended
        if self._over is None:
            self._over = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._over)

    # What the session tells.

    def happened(self, event: CallEvent) -> None:
        """Told by the session: anything but audio."""
        if isinstance(event, Digit) and self._tapped(event.digit):
            return
        if self._missed is not None:
            self._missed.append(event)
            return
        for watch in list(self._watchers):
            watch(event)

    def _tapped(self, digit: str) -> bool:
        """Give a key to whoever collects keys; whether it is nobody else's business."""
        for tap in self._taps:
            tap.put(digit)
        return any(tap.secret for tap in self._taps)

    def changed(self, change: Change) -> None:
        """Told by the session: what became of an utterance."""
        utterance = self._utterances.get(change.passage.id)
        if utterance is None:
            return
        if change.kind is ChangeKind.STARTED:
            utterance.state = UtteranceState.SPEAKING
            self._speaking += 1
            self.happened(SpeakingStarted(utterance))
            return
        del self._utterances[change.passage.id]
        was_heard = utterance.state is UtteranceState.SPEAKING
        cleared = change.kind is ChangeKind.CLEARED
        state = UtteranceState.CLEARED if cleared else UtteranceState.PLAYED
        utterance.settle(state, change.heard_ms)
        if was_heard:
            self._speaking -= 1
            self.happened(SpeakingStopped(utterance, change.heard_ms, cleared))

    def end_utterances(self) -> None:
        """Told by the session: the bot is done, so what it left open has ended."""
        for utterance in list(self._utterances.values()):
            utterance.end()

    def over(self, reason: EndReason) -> None:
        """Told by the session: the call has ended."""
        self.ended = reason
        for utterance in list(self._utterances.values()):
            utterance.settle(UtteranceState.CLEARED, utterance.heard_ms)
        self._utterances.clear()
        self._speaking = 0
        if self._over is not None and not self._over.done():
            self._over.set_result(reason)
        for feed in self._feeds:
            feed.close()

    def _must_be_open(self) -> None:
        if self.ended is not None:
            raise CallEnded(f"the call is over: {self.ended.why}")

    def _open(self, feed: _Closing) -> None:
        self._feeds.append(feed)
        if self.ended is not None:
            feed.close()

    def _hear_with(self, hear: Callable[[Audio], None]) -> Callable[[], None]:
        self._tell_audio((*self._hearers, hear))
        while self._early:
            hear(self._early.popleft())
        return lambda: self._tell_audio(tuple(one for one in self._hearers if one is not hear))

    def _tell_audio(self, hearers: tuple[Callable[[Audio], None], ...]) -> None:
        self._hearers = hearers
        self.heard = hearers[0] if len(hearers) == 1 else self._all_hear

    def _all_hear(self, event: Audio) -> None:
        for hear in self._hearers:
            hear(event)

    def _keep(self, event: Audio) -> None:
        self._early.append(event)
        self._early_bytes += len(event.payload)
        while self._early_bytes > self._early_most:
            self._early_bytes -= len(self._early.popleft().payload)


Bot = Callable[[Call], Awaitable[None]]
"""A bot: called once for each call. When it returns, what it said is heard to the end, and then
the call is hung up."""


class ReadyBot(Protocol):
    """A ``Bot`` for one call, which got ready while the phone rang: what ``ringing`` gives."""

    async def __call__(self, call: Call) -> None:
        """See ``Bot``. It lets go of everything at its end."""
        ...

    async def close(self) -> None:
        """Called in its stead where the call never came: let go of everything."""
        ...
