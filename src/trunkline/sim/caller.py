"""The person on the phone, for tests and scripts: says, listens, presses keys, hangs up.

Every wait has a deadline and says in its error what was awaited. Times are seconds since the call
began. It knows no carrier: how a key or a voice travels is the ``line``'s business.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import wave
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from ..errors import CallEnded
from ..events import CallInfo, CallState, EndReason, Who, Why
from ..media.formats import L16_8K, AudioFormat, Encoding
from ..media.transcode import convert
from .buffer import Hole
from .deadline import deadline
from .line import How, Line
from .record import CALLER, CallRecord, Kind

__all__ = ["PhoneCall", "Speaker", "read_wav"]

Speaker = Callable[[str], "tuple[bytes, AudioFormat] | Awaitable[tuple[bytes, AudioFormat]]"]
"""Turns words into audio. A plain function is run in a thread, since it will take a while."""

# Between two keys of a row: slower than a machine, faster than a person.
_KEY_GAP_S = 0.25


def read_wav(source: Path | bytes) -> tuple[bytes, AudioFormat]:
    """The samples of a 16-bit WAV, of its first channel where it has several.

    Raises:
        ValueError: it is something else.
        OSError: it cannot be read.
    """
    data = source.read_bytes() if isinstance(source, Path) else source
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV file: {error}") from None
    if width != 2:
        raise ValueError(f"the WAV file has {8 * width} bits a sample; 16 are needed")
    first = np.frombuffer(frames, dtype="<i2")[::channels]
    return first.tobytes(), AudioFormat(Encoding.L16, rate)


class PhoneCall:
    """One call as the person lives it; made by ``Phone``."""

    def __init__(self, line: Line, speaker: Speaker | None = None) -> None:
        self.line = line
        self._speaker = speaker

    # What is.

    @property
    def id(self) -> str:
        """The carrier's id of the call."""
        return self.line.info.call_id

    @property
    def info(self) -> CallInfo:
        """Who is on it."""
        return self.line.info

    @property
    def now(self) -> float:
        """Seconds since the call began."""
        return self.line.now

    @property
    def state(self) -> CallState:
        """Whether it rings, is up, or is over."""
        return self.line.state

    @property
    def reason(self) -> EndReason | None:
        """Why it is over; ``None`` while it is not."""
        return self.line.reason

    @property
    def how(self) -> How | None:
        """How it ended: hung up over REST, say, or fallen through the end of a document."""
        return self.line.how

    @property
    def speaking(self) -> bool:
        """Whether the caller hears somebody at this moment."""
        return self.line.ear.speaking(self.now)

    @property
    def heard(self) -> bytes:
        """All the caller has heard until now: L16 at 8 kHz from the call's beginning."""
        return self.line.recorder.record().bot

    @property
    def holes(self) -> list[Hole]:
        """Where speech stopped because the server sent it too late."""
        return [hole for stream in self.line.streams for hole in stream.holes]

    @property
    def complaints(self) -> list[str]:
        """What the server did that the carrier's protocol does not allow."""
        return [text for stream in self.line.streams for text in stream.complaints]

    def record(self, *, verdict: str = "", failed: bool = False) -> CallRecord:
        """Everything that was heard, said and noted until now."""
        return self.line.recorder.record(verdict=verdict, failed=failed)

    # What the person does.

    async def say(
        self,
        what: str | bytes | Path,
        audio: AudioFormat = L16_8K,
        *,
        words: str = "",
        wait: bool = True,
    ) -> None:
        """Say something, after what is being said.

        Args:
            what: samples in ``audio``, the path of a 16-bit WAV, or words for the speaker.
            audio: the encoding of the samples.
            words: what the samples say, for the record.
            wait: return when it has been said, rather than at once.

        Raises:
            CallEnded: the call is over, or ended meanwhile.
            ValueError: words, but no speaker; or a file that is no 16-bit WAV.
        """
        samples, audio = await self._samples(what, audio)
        self._must_be_up()
        text = what if isinstance(what, str) else words
        self.line.note(Kind.SAID, text, CALLER)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.line.mouth.say(convert(samples, audio, L16_8K), lambda: _settle(done))
        if wait:
            await done
            self._must_be_up()

    async def _samples(
        self, what: str | bytes | Path, audio: AudioFormat
    ) -> tuple[bytes, AudioFormat]:
        if isinstance(what, bytes):
            return what, audio
        if isinstance(what, Path):
            return read_wav(what)
        if self._speaker is None:
            raise ValueError("words to say, but the phone has no speaker; give it one, or audio")
        if inspect.iscoroutinefunction(self._speaker):
            spoken = self._speaker(what)
        else:
            spoken = await asyncio.to_thread(self._speaker, what)
        return await spoken if inspect.isawaitable(spoken) else spoken

    def shut_up(self) -> None:
        """Stop speaking in mid-word."""
        self.line.mouth.shut()

    async def press(self, digits: str, *, secret: bool = False) -> None:
        """Press keys, one after the other: ``0``-``9``, ``*``, ``#``, ``A``-``D``.

        ``secret`` ones are in the record as dots.

        Raises:
            CallEnded: the call is over.
            ValueError: there is no such key.
        """
        if not digits or set(digits) - set("0123456789*#ABCD"):
            raise ValueError("keys are 0-9, *, # and A-D")
        for index, digit in enumerate(digits):
            if index:
                await asyncio.sleep(_KEY_GAP_S)
            self._must_be_up()
            self.line.press(digit, secret=secret)

    async def hang_up(self, within: float = 20.0) -> None:
        """Hang up, and wait until the carrier has told the server. Twice does no harm.

        Raises:
            Overdue: that took too long.
        """
        self.line.end(EndReason(Why.COMPLETED, Who.CALLER), How.CALLER)
        await self.ended(within)

    # What the person waits for.

    async def answered(self, within: float = 20.0) -> bool:
        """Wait until somebody is there to talk to: a media stream is open.

        Returns:
            False if the call ended before that.

        Raises:
            Overdue: neither happened.
        """
        await self.wait_until(
            lambda: self.line.stream is not None, "the call to be answered", within
        )
        return self.line.stream is not None

    async def wait_for_speech(self, within: float = 10.0) -> float:
        """Wait until the caller hears somebody speak; returns when that began.

        Raises:
            CallEnded: the call ended in silence.
            Overdue: nobody said anything.
        """
        await self.wait_until(lambda: self.speaking, "the bot to speak", within)
        if not self.speaking:
            raise CallEnded("the call ended before the bot spoke")
        return self.line.ear.onset_at

    async def wait_for_silence(self, ms: float = 700.0, within: float = 60.0) -> float:
        """Wait until nobody has been heard for ``ms``; returns when the silence began.

        The end of the call is silence too.

        Raises:
            Overdue: somebody talks and talks.
        """
        begun = self.now

        def quiet() -> bool:
            # A frame of slack: what arrives in a tick is heard up to its end.
            return min(self.line.ear.quiet_s(self.now), self.now - begun + 0.02) * 1000 >= ms

        await self.wait_until(quiet, f"{ms:g} ms of silence", within)
        return max(self.line.ear.voice_at, 0.0)

    async def ended(self, within: float = 20.0) -> EndReason:
        """Wait until the call is over and the server has been told; returns why.

        Raises:
            Overdue: it goes on.
        """
        async with deadline(within, "the call to end"):
            return await asyncio.shield(self.line.over)

    async def wait_until(
        self, happened: Callable[[], bool], what: str, within: float = 10.0
    ) -> None:
        """Wait for anything; looked at every 20 ms. Returns, too, when the call ends.

        Raises:
            Overdue: it did not happen; the message holds ``what``.
        """
        if self.line.reason is not None or happened():
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def look() -> None:
            if self.line.reason is not None or happened():
                _settle(woken)

        self.line.on_tick.append(look)
        try:
            async with deadline(within, what):
                await woken
        finally:
            self.line.on_tick.remove(look)

    def _must_be_up(self) -> None:
        if self.line.reason is not None:
            raise CallEnded(f"the call is over: {self.line.reason.why.value}")


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
