"""A ``Listener`` by Cartesia's plain endpoint: when the caller begins and ends is found out here.

``Ears`` does that, on this machine: a barge-in is known 96 ms after the caller began (three windows
of 32 ms), without asking anybody. When they have stopped for half a second the service is told to
``finalize``, and what it has written by its acknowledgement is the transcript. Text that it sends
unasked while the detector heard nobody is a turn of its own.

Silero is the detector where it is installed (the ``demo`` extra), else loudness above the line's
own noise. From docs.cartesia.ai, ``api-reference/stt/websocket``, API version
2026-03-01, read 2026-11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import log10

from ...errors import ConfigError
from ...media.formats import L16_16K, AudioFormat
from ...media.level import rms
from ...media.transcode import Transcoder
from ...websocket import Connect
from ..ears import Ears, Rating
from ..speech import SILENCE_DB, SpeechEnded, SpeechStarted, Transcript
from ..vad import TurnDetector, silero
from .hearing import Hearing, joined
from .link import ServiceError
from .wire import Account, Answer, failure, passing, read, stt_url

__all__ = ["FINAL_S", "Loudness", "ManualListener", "detector"]

FINAL_S = 2.0
"""How long the service may take to finish a transcript, before another socket is tried."""
_TRIES = 3
# What the service has not written down yet when it sends a transcript unasked.
_LAG_MS = 500.0


class Loudness:
    """A ``Rating`` by level: speech is what is well above the line's own noise.

    Good enough where nobody but the caller is heard; music and traffic it takes for speech.
    """

    _ABOVE_DB = 12.0
    _AT_LEAST_DB = -45.0
    _RISES_DB = 0.06  # in a window: in noise that grows it is lost for half a minute at most

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """See ``Rating.reset``."""
        self._floor = -60.0

    def __call__(self, window: bytes) -> float:
        """See ``Rating``."""
        level = rms(window, L16_16K)
        loudness = 20 * log10(level / 32768) if level else SILENCE_DB
        self._floor = min(max(loudness, -70.0), self._floor + self._RISES_DB)
        threshold = max(self._floor + self._ABOVE_DB, self._AT_LEAST_DB)
        # From 0 to 1 within 10 dB around the threshold: quiet ends of words do not end a turn.
        return min(1.0, max(0.0, 0.4 + (loudness - threshold) / 10))


def detector() -> Rating:
    """The best that is installed; loads it, so call it on a thread."""
    try:
        return silero().stream()
    except ConfigError:
        return Loudness()


class ManualListener(Ears):
    """A ``Listener``. Make it in a running event loop; its socket is opened at once.

    Args:
        account: who asks.
        audio: what ``push`` takes.
        connect: opens a socket.
        model: which one listens.
        language: what is spoken; ISO 639-1.
        rating: gives what tells speech from silence; called on a thread.
        turns: when a turn begins and ends.
        call: whose call it is, for log lines.
    """

    def __init__(
        self,
        account: Account,
        audio: AudioFormat,
        connect: Connect,
        *,
        model: str = "ink-2",
        language: str = "en",
        rating: Callable[[], Rating] = detector,
        turns: TurnDetector | None = None,
        call: str = "",
    ) -> None:
        self._audio = audio
        self._windows = Transcoder(audio, L16_16K)
        self._text = ""
        self._seam = False  # the next text may repeat the end of the last
        self._pending: asyncio.Future[None] | None = None
        self._mark = 0  # up to where the pending transcript goes
        self._answered = False  # some of it has come
        self._hearing = Hearing(
            account,
            stt_url(account, audio, model=model, language=language, turns=False),
            audio,
            connect,
            replayed=self._replay,
            received=self._received,
            lost=self._lost,
            failed=self._given_up,
            who={"call": call},
        )
        super().__init__(rating, self, turns)

    @property
    def format(self) -> AudioFormat:
        """See ``Listener.format``: the line's own."""
        return self._audio

    @property
    def given_up(self) -> bool:
        """Whether the service is not to be had any more."""
        return self._hearing.link.given_up

    def push(self, audio: bytes) -> None:
        """See ``Listener.push``."""
        if audio:
            self._hearing.push(audio)
        super().push(self._windows.push(audio))

    async def close(self) -> None:
        """See ``Listener.close``."""
        await super().close()
        await self._hearing.close()

    async def warm_up(self) -> None:
        """Wait for the socket; see ``Transcriber.warm_up``.

        Raises:
            ServiceError: there is none to be had.
        """
        await self._hearing.link.ready()

    async def transcribe(self, audio: bytes) -> str:
        """What was said since the last time; see ``Transcriber``. ``audio`` is there already.

        Raises:
            ServiceError: the service does not say.
        """
        self._mark = self._hearing.end
        self._answered = False
        self._pending = asyncio.get_running_loop().create_future()
        self._hearing.link.send("finalize")
        try:
            for _ in range(_TRIES):
                await self._hearing.link.ready()
                if await self._finished():
                    text, self._text = self._text, ""
                    return text
                self._hearing.link.reopen()
        finally:
            self._pending = None
        raise ServiceError("Cartesia STT does not finish a transcript")

    async def _finished(self) -> bool:
        """Whether the transcript is there; text alone will do if its acknowledgement fails."""
        assert self._pending is not None
        await asyncio.wait([self._pending], timeout=FINAL_S)
        return self._pending.done() or self._answered

    # What the service says.

    def _received(self, message: str | bytes) -> None:
        answer = read(message)
        if answer.type == "transcript" and answer.is_final:
            self._written(answer.text)
        elif answer.type == "flush_done":
            self._hearing.link.worked()
            self._hearing.cover(self._mark)
            if self._pending is not None and not self._pending.done():
                self._pending.set_result(None)
        elif answer.type == "error":
            self._failed(answer)

    def _written(self, text: str) -> None:
        self._hearing.link.worked()
        self._text = joined(self._text, text) if self._seam else f"{self._text} {text}".strip()
        self._seam = False
        if self._pending is not None:
            self._answered = True
            self._hearing.cover(self._mark, but_ms=_LAG_MS)
            return
        self._hearing.cover(self._hearing.end, but_ms=_LAG_MS)
        if self._text and not self._detector.speaking:
            for heard in (SpeechStarted(), SpeechEnded(), Transcript(self._text, 0.0)):
                self._heard.put_nowait(heard)
            self._text = ""

    def _failed(self, answer: Answer) -> None:
        if not passing(answer):
            raise failure(answer)
        self._hearing.link.reopen()

    # A socket that is lost, and its successor.

    def _lost(self) -> None:
        self._seam = True

    def _replay(self) -> None:
        if self._pending is None or self._pending.done():
            self._hearing.replay()
            return
        self._hearing.replay(end=self._mark)
        self._hearing.link.send("finalize")
        self._hearing.replay(begin=self._mark)

    def _given_up(self, error: Exception) -> None:
        self._heard.put_nowait(error)
