"""The caller's audio in an echo test, which says which frame it is, and finds itself again.

Each frame of 20 ms begins with a few soft samples that spell its number. They survive whatever
passes audio on untouched, and what decodes and encodes it, cut up in any way. What resamples
would lose them; so once a second a frame is a loud beep, whose beginning is heard at any rate.
Pure: bytes in, numbers out.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping

import numpy as np

from ...media.formats import AudioFormat, Encoding
from ...media.g711 import audioop, decode, encode
from ..stream import FRAME_MS

__all__ = ["BEEP_EVERY", "BeepFinder", "NumberFinder", "Pattern"]

BEEP_EVERY = 50
"""One frame in so many is a beep: one a second."""

# Magnitudes by G.711's own steps (0 is silence, 127 the loudest); for L16, multiples of 40. All
# are far softer than a beep.
# Digits are none of those that announce them.
_ANNOUNCE = (46, 4, 46)
_DIGITS = range(8, 40)
_NUMBERS = len(_DIGITS) ** 3
# Frames that are kept, once made.
_KEPT = 1024

_BEEP_HZ = 1000
_BEEP_LEVEL = 14_000
_LOUD = 6_000
# Within this much audio after a beep began there is no other.
_REST_MS = 500.0


def _sample(magnitude: int, encoding: Encoding) -> bytes:
    if encoding is Encoding.PCMU:
        return bytes([0xFF - magnitude])
    if encoding is Encoding.PCMA:
        return bytes([0xD5 ^ magnitude])
    return struct.pack("<h", magnitude * 40)


class _Frames(dict[int, bytes]):
    """Frames by number, made when they are first asked for, and kept for other calls."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, number: int) -> bytes:
        if len(self) >= _KEPT:
            self.clear()
        frame = self[number] = self._make(number)
        return frame


class Pattern:
    """Makes the frames of one encoding; shared by all calls.

    ``frames[number]`` is the frame of that number, 0 and up; the numbers spelt begin anew after
    eleven minutes. ``size`` is the bytes of a frame, ``beep_after_ms`` where in its frame a beep
    begins.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self.audio = audio
        self.size = audio.bytes_in(FRAME_MS)
        self.announce = b"".join(_sample(m, audio.encoding) for m in _ANNOUNCE)
        digits = [_sample(magnitude, audio.encoding) for magnitude in _DIGITS]
        self._spelt = [a + b + c for a in digits for b in digits for c in digits]
        self.numbers = {spelt: number for number, spelt in enumerate(self._spelt)}
        rest = self.size // audio.sample_bytes - 2 * len(_ANNOUNCE)
        self.beep_after_ms = audio.ms_in(2 * len(self.announce))
        self._quiet = audio.silence * rest
        self._beep = encode(_tone(rest, audio.rate), audio.encoding)
        self.frames: Mapping[int, bytes] = _Frames(self._frame)

    def _frame(self, number: int) -> bytes:
        tail = self._beep if number % BEEP_EVERY == BEEP_EVERY - 1 else self._quiet
        return self.announce + self._spelt[number % _NUMBERS] + tail

    @staticmethod
    def latest(spelt: int, sent: int) -> int:
        """Which frame ``spelt`` means, when ``sent`` was the last one to be sent."""
        return sent - (sent - spelt) % _NUMBERS

    @staticmethod
    def latest_beep(sent: int) -> int:
        """The last frame that was a beep; -1 before there was one."""
        return (sent + 1) // BEEP_EVERY * BEEP_EVERY - 1


def _tone(samples: int, rate: int) -> bytes:
    times = np.arange(samples) * (2 * math.pi * _BEEP_HZ / rate)
    return (_BEEP_LEVEL * np.sin(times)).astype("<i2").tobytes()


class NumberFinder:
    """Finds frames by their numbers in one call's audio, however it is cut.

    ``holds``: the last audio ended in what may be the beginning of a number.
    """

    __slots__ = ("_announce", "_head", "_numbers", "_pattern", "_tail")

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._announce = pattern.announce
        self._numbers = pattern.numbers
        self._head = len(pattern.announce)
        self._tail = b""

    @property
    def holds(self) -> bool:
        return bool(self._tail)

    def find(self, audio: bytes) -> list[tuple[int, int]]:
        """The frames that begin in ``audio``, whole samples: their numbers, and at which byte.

        One whose number is complete only now begins before: at a negative byte.
        """
        head = self._head
        if not self._tail and len(audio) == self._pattern.size and audio[:head] == self._announce:
            number = self._numbers.get(audio[head : 2 * head])
            if number is not None:
                return [(number, 0)]
        return self._search(audio)

    def _search(self, audio: bytes) -> list[tuple[int, int]]:
        held, head, step = len(self._tail), self._head, self._pattern.audio.sample_bytes
        audio = self._tail + audio
        found: list[tuple[int, int]] = []
        at = last = 0
        while (at := audio.find(self._announce, at)) >= 0:
            number = self._numbers.get(audio[at + head : at + 2 * head])
            if number is None or at % step:
                at += 1
                continue
            found.append((number, at - held))
            at += 2 * head
            last = at
        # What may still become a number stays for the next piece, but nothing that was one.
        self._tail = self._beginning(audio[last:])
        return found

    def _beginning(self, audio: bytes) -> bytes:
        """The end of ``audio`` that may be the beginning of a spelt number."""
        head, step = self._head, self._pattern.audio.sample_bytes
        for size in range(min(len(audio), 2 * head - step), 0, -step):
            tail = audio[-size:]
            if tail[:head] == self._announce[: len(tail)]:
                return tail
        return b""


class BeepFinder:
    """Finds the beginnings of beeps in one call's audio, to the sample.

    Args:
        audio: the encoding that comes.
    """

    __slots__ = ("_audio", "_since_ms")

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._since_ms = math.inf

    def find(self, audio: bytes) -> float | None:
        """How many ms after the beginning of ``audio`` a beep begins, if one does."""
        pcm = decode(audio, self._audio.encoding)
        lasts = len(pcm) * 500 / self._audio.rate
        since, self._since_ms = self._since_ms, self._since_ms + lasts
        if since < _REST_MS or audioop.max(pcm, 2) < _LOUD:
            return None
        samples = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32))
        at = float(np.argmax(samples >= _LOUD)) * 1000 / self._audio.rate
        self._since_ms = lasts - at
        return at
