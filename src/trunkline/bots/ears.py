"""Ears: the ``Listener`` made of voice activity detection and a transcriber.

Keeps the audio of the turn that is going on, with half a second from before it was noticed, and
has it written down when it ends. Transcripts come in the order of the turns. The detection runs
where audio is pushed, the transcriber wherever it runs; see ``vad`` for why.

Knows no engine: probabilities come from a function, text from a ``Transcriber``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from ..media.formats import L16_16K, AudioFormat
from .speech import HEARING, Heard, SpeechEnded, SpeechStarted, Transcriber, Transcript, loudness
from .vad import WINDOW_BYTES, WINDOW_MS, Edge, TurnDetector

__all__ = ["Ears", "Rating"]

_BEFORE_MS = 512  # kept from before a turn is noticed: soft beginnings rate low
_FRAMES_STOPPED_S = 0.25  # a muted caller may send nothing at all rather than silence

# A telephone line gives back our voice weakened by 20 dB at the least, up to 0.3 s later. Nothing
# that is no louder than that is taken for the caller while we speak.
_ECHO_DB = -20.0
_ECHO_MARGIN_DB = 3.0
_ECHO_TAIL = 352 // WINDOW_MS


class Rating(Protocol):
    """Rates audio as speech; remembers what it heard (``vad.SileroStream``, for one)."""

    def __call__(self, window: bytes) -> float:
        """The probability that ``WINDOW_BYTES`` of ``L16_16K`` are speech."""
        ...

    def reset(self) -> None:
        """Forget what was heard so far."""
        ...


class Ears:
    """Listens to one caller; a ``Listener``. Make it in a running event loop.

    Args:
        load: gives what rates this caller's audio; called on a thread, and what is pushed before
            it returns is kept.
        transcriber: writes down what was said.
        detector: when a turn begins and ends.
    """

    def __init__(
        self,
        load: Callable[[], Rating],
        transcriber: Transcriber,
        detector: TurnDetector | None = None,
    ) -> None:
        self._rate: Rating | None = None
        self._transcriber = transcriber
        self._detector = detector or TurnDetector()
        self._loop = asyncio.get_running_loop()
        self._window = bytearray()
        self._kept = bytearray()
        self._floor: float | None = None
        self._tail = 0
        self._pushed_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._heard: asyncio.Queue[Heard | Exception | None] = asyncio.Queue()
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._start(self._get_ready(load))

    @property
    def format(self) -> AudioFormat:
        """16 kHz, whatever the line has: what both the detector and Whisper take."""
        return L16_16K

    def push(self, audio: bytes) -> None:
        """See ``Listener.push``."""
        self._pushed_at = self._loop.time()
        self._window += audio
        if self._rate is None:
            return
        try:
            self._hear(self._rate)
        except Exception as error:  # not for the read loop of a call: for whoever iterates
            self._rate = None
            self._heard.put_nowait(error)

    def expect_echo(self, loudness: float | None) -> None:
        """See ``Listener.expect_echo``."""
        if loudness is None:
            self._tail = _ECHO_TAIL
        else:
            self._tail = 0
            self._floor = loudness + _ECHO_DB + _ECHO_MARGIN_DB

    async def __aiter__(self) -> AsyncIterator[Heard]:
        while (heard := await self._heard.get()) is not None:
            if isinstance(heard, Exception):
                raise heard
            yield heard

    async def close(self) -> None:
        """See ``Listener.close``."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._heard.put_nowait(None)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _get_ready(self, load: Callable[[], Rating]) -> None:
        try:
            self._rate = await self._loop.run_in_executor(HEARING, load)
        except Exception as error:
            self._heard.put_nowait(error)
        else:
            self.push(b"")

    def _hear(self, rate: Rating) -> None:
        while len(self._window) >= WINDOW_BYTES:
            window = bytes(self._window[:WINDOW_BYTES])
            del self._window[:WINDOW_BYTES]
            self._hear_window(window, rate(window))

    def _hear_window(self, window: bytes, probability: float) -> None:
        self._kept += window
        edge = self._detector.push(probability, faint=self._is_echo(window))
        if edge is Edge.STARTED:
            self._heard.put_nowait(SpeechStarted())
            self._look_later(_FRAMES_STOPPED_S)
        elif edge is Edge.ENDED:
            self._end_turn()
        elif not self._detector.speaking:
            del self._kept[: -_BEFORE_MS * WINDOW_BYTES // WINDOW_MS]

    def _is_echo(self, window: bytes) -> bool:
        if self._floor is None:
            return False
        quiet = loudness(window, L16_16K) < self._floor
        if self._tail:
            self._tail -= 1
            if not self._tail:
                self._floor = None
        return quiet

    def _end_turn(self) -> None:
        audio = bytes(self._kept)
        self._kept.clear()
        self._heard.put_nowait(SpeechEnded())
        self._start(self._write_down(audio))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_down(self, audio: bytes) -> None:
        try:
            async with self._writing:
                text = await self._transcriber.transcribe(audio)
            self._heard.put_nowait(Transcript(text, L16_16K.ms_in(len(audio)) / 1000))
        except Exception as error:  # handed to whoever iterates
            self._heard.put_nowait(error)

    def _look_later(self, seconds: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """While somebody speaks: have frames stopped?"""
        self._watch = None
        if not self._detector.speaking:
            return
        left = self._pushed_at + _FRAMES_STOPPED_S - self._loop.time()
        if left > 0:
            self._look_later(left)
            return
        self._detector.cut()
        if self._rate is not None:
            self._rate.reset()
        self._end_turn()
