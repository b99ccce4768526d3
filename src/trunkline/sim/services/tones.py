"""A voice and ears that need no engine: each word is a tone of its own.

What ``speak`` says ``hear`` understands, through µ-law and resampling, cut off in mid-word or not,
and in no time at all. So a test reads off a recording which words a caller heard, exactly. A word
is 300 ms: a tone and a short gap.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ...media.formats import L16_8K, AudioFormat
from ...media.g711 import encode
from ...media.transcode import convert

__all__ = ["Tones"]

_TONE_MS, _GAP_MS = 230, 70
_EDGE_MS = 5
_LOWEST, _APART, _HIGHEST = 400, 40, 3_200  # Hz, within what a telephone carries
_PEAK = 8_000

_FRAME = 80  # samples of 8 kHz: 10 ms
_QUIET = 500  # root mean square of a frame with no tone in it
_GAP_FRAMES = 3  # silence that separates two words
_SHORTEST_FRAMES = 4  # of a tone that can be told from its neighbours


class Tones:
    """A voice, and ears for it. Two of these understand each other if they learn words alike.

    ``word_ms`` is how long each word takes.
    """

    word_ms = float(_TONE_MS + _GAP_MS)

    def __init__(self) -> None:
        self._words: list[str] = []

    async def speak(self, text: str, audio: AudioFormat) -> bytes:
        """Say the words of ``text``; a ``Speak``.

        Raises:
            ValueError: more different words than there are tones.
        """
        return self.sound(text, audio)

    async def hear(self, audio: bytes, form: AudioFormat) -> str:
        """The words in ``audio``; a ``Hear``."""
        return " ".join(word for word, _, _ in self.words(audio, form))

    def sound(self, text: str, audio: AudioFormat) -> bytes:
        """What ``speak`` gives."""
        pcm = b"".join(self._tone(self._index(word), audio.rate) for word in _plain(text))
        return encode(pcm, audio.encoding)

    def words(self, audio: bytes, form: AudioFormat) -> list[tuple[str, float, float]]:
        """Each word in ``audio``, with the ms at which its tone begins and ends."""
        pcm = convert(audio, form, L16_8K)
        samples = np.frombuffer(pcm, "<i2", len(pcm) // 2).astype(np.float64)
        found: list[tuple[str, float, float]] = []
        for begin, end in _runs(samples):
            index = round((_pitch(samples[begin:end]) - _LOWEST) / _APART)
            if 0 <= index < len(self._words):
                found.append((self._words[index], begin / 8, end / 8))
        return found

    def _index(self, word: str) -> int:
        if word not in self._words:
            if _LOWEST + _APART * len(self._words) > _HIGHEST:
                raise ValueError(f"no tone is left for {word!r}")
            self._words.append(word)
        return self._words.index(word)

    def _tone(self, index: int, rate: int) -> bytes:
        time = np.arange(rate * _TONE_MS // 1000) / rate
        wave = np.sin(2 * np.pi * (_LOWEST + _APART * index) * time)
        edge = np.minimum(1.0, np.minimum(time, time[::-1]) * 1000 / _EDGE_MS)
        gap = bytes(2 * (rate * _GAP_MS // 1000))
        return (wave * edge * _PEAK).astype("<i2").tobytes() + gap


def _plain(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def _runs(samples: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Where tones are: sample numbers of beginnings and ends."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    loud = np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > _QUIET)
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > _GAP_FRAMES)
    begins = [int(loud[0]), *(int(loud[at + 1]) for at in breaks)]
    ends = [*(int(loud[at]) for at in breaks), int(loud[-1])]
    return [
        (begin * _FRAME, (end + 1) * _FRAME)
        for begin, end in zip(begins, ends, strict=True)
        if end + 1 - begin >= _SHORTEST_FRAMES
    ]


def _pitch(tone: NDArray[np.float64]) -> float:
    size = 8192  # zeros behind the tone: a bin is one hertz
    power = np.abs(np.fft.rfft(tone * np.hanning(len(tone)), size))
    return float(np.argmax(power)) * L16_8K.rate / size
