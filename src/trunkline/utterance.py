"""Something said to the caller: written piece by piece, heard in part or whole, waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from enum import StrEnum
from typing import Protocol

from .media.formats import AudioFormat
from .media.playout import Passage, Playout
from .media.transcode import Transcoder

__all__ = ["Mouth", "Utterance", "UtteranceState"]


class Mouth(Protocol):
    """What an utterance asks of the line it is said on."""

    playout: Playout

    def now(self) -> float:
        """Seconds, monotonic."""
        ...

    def wake(self) -> None:
        """Something was pushed: have a look."""
        ...

    def pass_on(self, passage: Passage, audio: bytes) -> bool:
        """Send live audio at once; False where it cannot: it is to be pushed then."""
        ...


class UtteranceState(StrEnum):
    """What has become of an utterance."""

    QUEUED = "queued"
    SPEAKING = "speaking"
    PLAYED = "played"
    CLEARED = "cleared"


class Utterance:
    """Something said to the caller, piece by piece; made by ``Call.utterance`` or ``Call.play``."""

    __slots__ = (
        "_as_it_is", "_done", "_heard_ms", "_mouth", "_passage", "_transcoder", "_wire", "format",
        "state",
    )  # fmt: skip

    def __init__(
        self, mouth: Mouth, passage: Passage, audio: AudioFormat, wire: AudioFormat
    ) -> None:
        self._mouth = mouth
        self._passage = passage
        self._wire = wire
        self._transcoder = Transcoder(audio, wire)
        self._as_it_is = self._transcoder.identity
        self._done: asyncio.Future[UtteranceState] | None = None
        self._heard_ms = 0.0
        self.format = audio
        self.state = UtteranceState.QUEUED

    def write(self, chunk: bytes) -> bool:
        """Say this next. ``chunk`` is in ``format``, any length.

        Returns:
            False once the utterance was cleared or the call is over: no more is wanted.

        Raises:
            ValueError: ``end`` was called before.
        """
        passage = self._passage
        if passage.cleared:
            return False
        audio = chunk if self._as_it_is else self._transcoder.push(chunk)
        if audio and not (passage.live and self._mouth.pass_on(passage, audio)):
            self._mouth.playout.push(passage, audio)
            self._mouth.wake()
        return True

    def end(self) -> None:
        """Nothing more comes. Does nothing the second time."""
        if self._passage.ended or self._passage.cleared:
            return
        if tail := self._transcoder.flush():
            self._mouth.playout.push(self._passage, tail)
        self._mouth.playout.end(self._passage)
        self._mouth.wake()

    @property
    def pushed_ms(self) -> float:
        """Milliseconds of audio written so far (as cut for the wire)."""
        return self._wire.ms_in(self._passage.pushed)

    @property
    def heard_ms(self) -> float:
        """Milliseconds of it that the caller has heard by now.

        Exact where the carrier has marks, estimated by the clock elsewhere; never more than
        was sent.
        """
        if self.state in (UtteranceState.PLAYED, UtteranceState.CLEARED):
            return self._heard_ms
        return self._mouth.playout.heard_ms(self._passage, self._mouth.now())

    async def wait(self) -> UtteranceState:
        """Wait until it was heard to its end, or cleared; says which."""
        if self.state in (UtteranceState.PLAYED, UtteranceState.CLEARED):
            return self.state
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._done)

    def __await__(self) -> Generator[object, None, UtteranceState]:
        return self.wait().__await__()

    def settle(self, state: UtteranceState, heard_ms: float) -> None:
        """Told by the call: this is what became of it."""
        self.state = state
        self._heard_ms = heard_ms
        if state is UtteranceState.CLEARED:
            self._passage.drop()
        if self._done is not None and not self._done.done():
            self._done.set_result(state)
