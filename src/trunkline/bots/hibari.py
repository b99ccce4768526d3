"""Hibari: a small offline voice (American English, 24 kHz, Apache-2.0, 8 MB).

Makes a sentence in 10-60 ms on one thread, about 150 times as fast as it is spoken, so text goes in
sentence by sentence and each is one chunk. The engine leaves 0.3 s of silence before a sentence and
0.4 s after it; on the phone the first of these is plain delay and goes, the second is cut to
a breath.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media.formats import L16_24K, AudioFormat
from .speech import SPEAKING, engine, sentences

__all__ = ["Hibari", "trim"]

_RATE = 24_000
_SEED = 1  # of the noise in the voice: the same text is the same audio
_QUIET = 0.004  # -48 dBFS; breath and hiss of the voice are at 0.01 and above
_BEFORE_MS, _AFTER_MS = 30, 180
_GAIN = 1.4  # the engine speaks at -27 dBFS, people on a telephone rather at -24


def trim(samples: NDArray[np.float32], rate: int = _RATE) -> NDArray[np.float32]:
    """``samples`` with no more than 30 ms of quiet before and 180 ms after the voice."""
    loud = np.flatnonzero(np.abs(samples) > _QUIET)
    if not len(loud):
        return samples[:0]
    begin = max(0, int(loud[0]) - rate * _BEFORE_MS // 1000)
    return samples[begin : int(loud[-1]) + rate * _AFTER_MS // 1000]


class Hibari:
    """A ``Speaker``; one for all calls.

    Args:
        voice: a name from ``hibari.voices``; ``heart`` is installed, others are downloaded.
        speed: 1.0 is the voice's own pace.
    """

    def __init__(self, voice: str = "heart", *, speed: float = 1.0) -> None:
        self._voice = voice
        self._speed = speed
        self._loading = Lock()
        self._loaded: Any = None

    @property
    def format(self) -> AudioFormat:
        """What ``speak`` gives."""
        return L16_24K

    async def warm_up(self) -> None:
        """Load the voice (0.8 s), which else the first sentence waits for.

        Raises:
            ConfigError: the engine is not installed.
        """
        await asyncio.get_running_loop().run_in_executor(SPEAKING, self._say, "Hello.")

    async def speak(self, text: str) -> AsyncGenerator[bytes, None]:
        """See ``Speaker.speak``; a chunk is a sentence."""
        loop = asyncio.get_running_loop()
        for sentence in sentences(text):
            yield await loop.run_in_executor(SPEAKING, self._say, sentence)

    async def close(self) -> None:
        """See ``Speaker.close``; the voice stays loaded for other calls."""

    def _say(self, sentence: str) -> bytes:
        with self._loading:
            if self._loaded is None:
                self._loaded = engine("hibari").Hibari(voice=self._voice, threads=1)
                self._loaded("Hello.")  # its dictionaries come with the first words
        voice = trim(self._loaded(sentence, self._speed, _SEED))
        return (np.clip(voice * _GAIN, -1, 1) * 32767).astype("<i2").tobytes()
