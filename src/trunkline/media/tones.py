"""Keys as sound: the dual tones of a telephone keypad, made and recognised.

Frequencies are those of ITU-T Q.23. The detector hears what receivers in North America must (the
values ITU-T Q.24 gathers): tones of 40 ms and more from -25 dBm0 up, within 1.5 % of their
frequency, the high one up to 4 dB louder or 8 dB softer than the low one; and it is made so that
speech presses no keys. It knows no call: who pressed a key, and whether to believe it, is asked
elsewhere.

numpy is imported by the first use, not by this module.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi
from typing import TYPE_CHECKING

from . import g711
from .formats import AudioFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DtmfDetector", "dtmf"]

LOW = (697, 770, 852, 941)
HIGH = (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"

FULL_SCALE_DBM0 = 3.17
"""Level of the loudest sine (ITU-T G.711, table 2: µ-law; A-law has 3.14)."""
TONE_DBM0 = -8.0
EDGE_MS = 5

# What makes a block of sound a key, as ratios of power; with a little room, since a block that the
# tone does not fill, or that holds no whole number of its periods, measures it wrong.
BLOCK_S = 0.01275
SOFTEST = 10 ** ((-29 - FULL_SCALE_DBM0) / 10) / 2  # -29 dBm0
LOW_LOUDER = 10 ** (11 / 10)
HIGH_LOUDER = 10 ** (6 / 10)
ABOVE_OTHERS = 10 ** (6 / 10)
SHARE_OF_ALL = 0.75
SOFTEST_RMS = int(32768 * (SOFTEST / 2) ** 0.5) - 1
"""On the 16-bit scale: no tone in a softer block can have that power, which by Cauchy's and
Schwarz's inequality is at most twice the whole sound's."""


def dtmf(digits: str, audio: AudioFormat, *, tone_ms: float = 100, gap_ms: float = 100) -> bytes:
    """The sound of these keys, each followed by a gap: ``0``-``9``, ``*``, ``#``, ``A``-``D``.

    Each of the two tones has -8 dBm0 and swells and fades within 5 ms, so that nothing clicks.

    Raises:
        ValueError: a character is no key.
    """
    gap = audio.silence * (audio.bytes_in(gap_ms) // audio.sample_bytes)
    return b"".join(_key(digit, audio, tone_ms) + gap for digit in digits.upper())


class DtmfDetector:
    """Hears keys in a stream of audio, cut up in any way."""

    __slots__ = ("_block", "_current", "_previous", "_rest", "audio")

    def __init__(self, audio: AudioFormat) -> None:
        self.audio = audio
        self._block = round(audio.rate * BLOCK_S)
        self._rest = b""
        self._current = ""
        self._previous = ""

    def push(self, audio: bytes) -> str:
        """Take audio in; the keys whose tones have begun in it, in order. A held key counts once.

        A key is told 25 to 38 ms after its tone began.
        """
        pcm = self._rest + g711.decode(audio, self.audio.encoding)
        size = 2 * self._block
        whole = len(pcm) // size * size
        self._rest = pcm[whole:]
        found = ""
        for at in range(0, whole, size):
            block = pcm[at : at + size]
            # Most of a call is too soft for any key, and that is known at a tenth of the price.
            loud = g711.audioop.rms(block, 2) >= SOFTEST_RMS
            found += self._next(_key_heard(block, _waves(self.audio.rate)) if loud else "")
        return found

    def reset(self) -> None:
        """Forget the audio so far."""
        self._rest = b""
        self._current = self._previous = ""

    def _next(self, heard: str) -> str:
        """Two blocks must agree before a key begins, and two must lack it before it is over."""
        found = ""
        if self._current not in (heard, self._previous):
            self._current = found = heard if heard == self._previous else ""
        self._previous = heard
        return found


@lru_cache(256)
def _key(key: str, audio: AudioFormat, tone_ms: float) -> bytes:
    import numpy as np

    place = KEYS.find(key)
    if place < 0:
        raise ValueError(f"{key!r} is not a key of a telephone")
    count = audio.bytes_in(tone_ms) // audio.sample_bytes
    at = np.arange(count) / audio.rate
    wave = np.sin(2 * pi * LOW[place // 4] * at) + np.sin(2 * pi * HIGH[place % 4] * at)
    to_edge = np.minimum(at, at[::-1]) * 1000 / EDGE_MS
    swell = (1 - np.cos(pi * to_edge.clip(0, 1))) / 2
    peak = 32767 * 10 ** ((TONE_DBM0 - FULL_SCALE_DBM0) / 20)
    pcm = np.rint(peak * swell * wave).astype("<i2").tobytes()
    return g711.encode(pcm, audio.encoding)


@lru_cache(16)
def _waves(rate: int) -> NDArray[np.float64]:
    """Cosines and sines of all eight tones over one block, as columns; full scale is 1."""
    import numpy as np

    at = np.arange(round(rate * BLOCK_S)) / rate
    phase = 2 * pi * np.outer(at, LOW + HIGH)
    return np.hstack((np.cos(phase), np.sin(phase))) / 32768


def _key_heard(block: bytes, waves: NDArray[np.float64]) -> str:
    """The key that a block of L16 sounds like, or an empty string.

    The same as Goertzel's filter on each tone, for all tones by one matrix product.
    """
    import numpy as np

    samples = np.frombuffer(block, "<i2").astype(np.float64)
    size = len(samples)
    parts = (samples @ waves).tolist()
    powers = [
        (cosine * cosine + sine * sine) * 2 / size**2
        for cosine, sine in zip(parts[:8], parts[8:], strict=True)
    ]
    lows, highs = powers[:4], powers[4:]
    next_low, low = sorted(lows)[2:]
    next_high, high = sorted(highs)[2:]
    is_key = (
        min(low, high) > SOFTEST
        and low < high * LOW_LOUDER
        and high < low * HIGH_LOUDER
        and low > next_low * ABOVE_OTHERS
        and high > next_high * ABOVE_OTHERS
        and low + high > float(samples @ samples) / size / 32768**2 * SHARE_OF_ALL
    )
    return KEYS[lows.index(low) * 4 + highs.index(high)] if is_key else ""
