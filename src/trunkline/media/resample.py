"""Sample-rate conversion for live speech: late by less than 2 ms, and not a sample lost.

A linear-phase FIR low-pass, windowed by Kaiser's formula, in polyphase block form: 2 ms of input
are one row, the filter one matrix, a push one matrix product. Any pair of rates works whose ratio
is not too odd, among them all of 8, 11.025, 16, 22.05, 24, 32, 44.1 and 48 kHz.

It promises:

- The result does not depend on how the audio was cut up. The coefficients are whole multiples of
  2**-24, so that every sum of products is exact in a double, whatever order a BLAS library adds in.
- N samples in are N * target / source samples out, rounded half up, once flushed.
- Output is aligned with input: the filter's delay shows only as the ``delay_ms`` by which the
  output lags while audio still comes in, and ``flush`` brings the rest.
- No clock. A pause of any length changes nothing.

Flat (within 0.1 dB) to one eighth below half the lower rate, and down 70 dB one eighth above it;
at 8 kHz the telephone band's own edge, 3.4 kHz, stays flat, and 4.6 kHz and up is gone.

numpy is imported by the first resampler, not by this module.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd, pi
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Resampler"]

LOWEST_RATE = 8000
MOST_PHASES = 640
"""What 11.025 kHz to 48 kHz takes."""
STOP_DB = 72.0
"""Kaiser's formula is an estimate; asking for 72 dB gives the 70 that are promised."""
BLOCK_S = 0.002
COEFFICIENT_STEP = 2.0**-24
SMALL_PRODUCT = 1 << 18
"""Multiplications up to which OpenBLAS stays in one thread: threads do not pay for audio."""


class Resampler:
    """Converts a stream of L16 mono from one rate to another, both in Hz.

    Equal rates pass audio through, the very same object.

    Raises:
        ValueError: a rate is below 8000, or the ratio is too odd (44101 to 8000).
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self.source_rate = source_rate
        self.target_rate = target_rate
        self._fir = _design(source_rate, target_rate) if source_rate != target_rate else None
        self.reset()

    @property
    def delay_ms(self) -> float:
        """The most by which output lags behind input while streaming, in ms; 0 for equal rates."""
        fir = self._fir
        return 1000 * fir.reach / (self.source_rate * fir.up) if fir else 0.0

    def push(self, pcm: bytes) -> bytes:
        """Take samples in, and give out every sample that what follows cannot change any more.

        Raises:
            ValueError: ``pcm`` is not whole samples.
        """
        if len(pcm) & 1:
            raise ValueError(f"{len(pcm)} bytes are not whole 16-bit samples")
        fir = self._fir
        if fir is None:
            return pcm
        if len(pcm) <= fir.most_bytes:
            return self._take(fir, pcm)
        parts = memoryview(pcm)
        size = fir.most_bytes
        return b"".join(self._take(fir, parts[i : i + size]) for i in range(0, len(pcm), size))

    def flush(self) -> bytes:
        """The audio ends here: give out what was held back, and be as new."""
        fir = self._fir
        if fir is None:
            return b""
        rest = self._give(fir, self._held, (2 * self._taken * fir.up + fir.down) // (2 * fir.down))
        self.reset()
        return rest

    def reset(self) -> None:
        """Forget the audio so far, what was held back included."""
        self._taken = 0  # samples in, since the beginning
        self._given = 0  # samples out
        # L16 that outputs to come look at. Before the beginning there was silence.
        self._held = bytes(2 * self._fir.before) if self._fir else b""

    def _take(self, fir: _Fir, pcm: bytes | memoryview) -> bytes:
        self._taken += len(pcm) // 2
        # Input i stands at tick i * up of the common clock, output k at k * down. It is known
        # once the first input that is missing lies beyond its reach.
        known = max(0, -((fir.reach - self._taken * fir.up) // fir.down))
        return self._give(fir, self._held + pcm, known)

    def _give(self, fir: _Fir, held: bytes, until: int) -> bytes:
        """Outputs up to number ``until``; inputs past the end of ``held`` count as silence."""
        import numpy as np

        first = self._given // fir.up * fir.up  # a row begins where both clocks tick together
        rows = -((first - until) // fir.outs)
        size = len(held) // 2
        samples = np.zeros(max(size, rows * fir.ins + fir.width - fir.ins))
        samples[:size] = np.frombuffer(held, "<i2")
        step = samples.itemsize
        windows = np.ndarray((rows, fir.width), np.float64, samples, strides=(fir.ins * step, step))
        out = (windows @ fir.matrix).reshape(-1)[self._given - first : until - first]
        np.rint(out, out=out)
        out.clip(-32768.0, 32767.0, out=out)
        self._held = held[(until // fir.up * fir.down - first // fir.up * fir.down) * 2 :]
        self._given = until
        return out.astype("<i2").tobytes()


class _Fir(Struct, frozen=True):
    """A filter between two rates, as the matrix that turns one row of input into output.

    Times are in ticks of the common clock, which runs ``up`` times per input sample and ``down``
    times per output sample.
    """

    up: int
    down: int
    reach: int
    """Ticks the filter looks to either side."""
    before: int
    """Input samples it looks back."""
    ins: int
    """Input samples by which one row goes on."""
    outs: int
    """Output samples of one row."""
    width: int
    """Input samples that one row looks at."""
    matrix: NDArray[np.float64]
    """``width`` rows, ``outs`` columns."""
    most_bytes: int
    """L16 that one matrix product should take at most."""


@lru_cache(32)
def _design(source_rate: int, target_rate: int) -> _Fir:
    import numpy as np

    divisor = gcd(source_rate, target_rate)
    up, down = target_rate // divisor, source_rate // divisor
    low = min(source_rate, target_rate)
    if low < LOWEST_RATE or max(up, down) > MOST_PHASES:
        raise ValueError(f"cannot convert {source_rate} Hz to {target_rate} Hz")
    clock = source_rate * up
    taps = _low_pass(low / 2 / clock, max(1200, low / 8) / clock) * up
    taps = np.round(taps / COEFFICIENT_STEP) * COEFFICIENT_STEP

    reach = len(taps) // 2
    blocks = max(1, round(BLOCK_S * divisor))
    ins, outs = blocks * down, blocks * up
    before = reach // up
    width = before + ((outs - 1) * down + reach) // up + 1
    inputs = (np.arange(width)[:, None] - before) * up
    tap = inputs - np.arange(outs) * down + reach
    matrix = np.where((tap >= 0) & (tap < len(taps)), taps[tap.clip(0, len(taps) - 1)], 0.0)
    matrix.setflags(write=False)
    most_bytes = max(1, SMALL_PRODUCT // matrix.size) * ins * 2
    return _Fir(up, down, reach, before, ins, outs, width, matrix, most_bytes)


def _low_pass(cutoff: float, transition: float) -> NDArray[np.float64]:
    """Taps, odd in number, with a sum of about 1; arguments in cycles per sample.

    J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", 1974.
    """
    import numpy as np

    reach = ceil((STOP_DB - 7.95) / (2.285 * 2 * pi * transition) / 2)
    at = np.arange(-reach, reach + 1)
    return 2 * cutoff * np.sinc(2 * cutoff * at) * np.kaiser(len(at), 0.1102 * (STOP_DB - 8.7))
