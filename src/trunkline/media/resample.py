"""Sample-rate conversion for live speech: late by less than 2 ms, and not a sample lost.

A linear-phase FIR low-pass, windowed by Kaiser's formula, in polyphase block form: 2 ms of input
are one row, the filter one matrix, a push one matrix product. Any pair of rates works whose ratio
is not too odd, among them all of 8, 11.025, 16, 22.05, 24, 32, 44.1 and 48 kHz.

It promises:

- The result does not depend on how the audio was cut up. The coefficients are whole multiples of
  2**-24, so that every sum of products is exact in a double, whatever order a BLAS library adds in.
- Sums are rounded half up, to within 2**-14 of a step, and saturate.
- N samples in are N * target / source samples out, rounded half up, once flushed.
- Output is aligned with input: the filter's delay shows only as the ``delay_ms`` by which the
  output lags while audio still comes in, and ``flush`` brings the rest.
- No clock. A pause of any length changes nothing.

Flat (within 0.1 dB) to one eighth below half the lower rate, and down 70 dB one eighth above it;
at 8 kHz the telephone band's own edge, 3.4 kHz, stays flat, and 4.6 kHz and up is gone.

On a server that goes round hundreds of calls, most of what a push takes is the fetching of code and
data that fell out of the caches. So a push makes few calls: three of numpy (gather and widen,
multiply, narrow to fixed point) and one of ``audioop``, which saturates; and all its memory is the
filter's own, lent to one push at a time. A call keeps only the samples it waits with.

numpy is imported by the first resampler, not by this module.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd, pi
from typing import TYPE_CHECKING

from msgspec import Struct

from .g711 import audioop

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
ONE = 1 << 14
"""A step of L16 in the sums' fixed point: of 32 bits, two are left for what is too loud."""
SATURATING = float((1 << 16) // ONE)
"""Sums times this have their L16 in the upper half; ``audioop`` saturates, and rounds down."""
MOST_SIZES = 16
"""Of products kept by each filter. The largest are of some 160 KB."""
SMALL_PRODUCT = 1 << 18
"""Multiplications up to which OpenBLAS stays in one thread: threads do not pay for audio."""


class Resampler:
    """Converts a stream of L16 mono from one rate to another, both in Hz.

    Equal rates pass audio through, the very same object.

    Raises:
        ValueError: a rate is below 8000, or the ratio is too odd (44101 to 8000).
    """

    __slots__ = ("_fir", "_held", "_skip", "source_rate", "target_rate")

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
        return pcm if self._fir is None else audioop.lin2lin(self.push_wide(pcm), 4, 2)

    def push_wide(self, pcm: bytes) -> bytes:
        """As ``push``, but 4 bytes a sample out, the upper two of which are the L16.

        For G.711, whose encoders take such samples as they are; ``pcm`` must be whole samples.
        """
        fir = self._fir
        if fir is None:
            return audioop.lin2lin(pcm, 2, 4)
        size = fir.most_bytes
        if len(pcm) <= size:
            return self._give(fir, self._held + pcm, False)
        parts = [pcm[i : i + size] for i in range(0, len(pcm), size)]
        return b"".join([self._give(fir, self._held + part, False) for part in parts])

    def flush(self) -> bytes:
        """The audio ends here: give out what was held back, and be as new."""
        return audioop.lin2lin(self.flush_wide(), 4, 2)

    def flush_wide(self) -> bytes:
        """As ``flush``, in the samples of ``push_wide``."""
        rest = self._give(self._fir, self._held, True) if self._fir else b""
        self.reset()
        return rest

    def reset(self) -> None:
        """Forget the audio so far, what was held back included."""
        # L16 that outputs to come look at, from the first that their row looks at. Before the
        # beginning there was silence.
        self._held = bytes(2 * self._fir.before) if self._fir else b""
        self._skip = 0  # outputs of that row which were given out

    def _give(self, fir: _Fir, held: bytes, ends: bool) -> bytes:
        """What can be known now that ``held`` is all there is, of samples of 4 bytes."""
        key = (len(held), self._skip, ends)
        spare = fir.products.get(key)
        if spare is None:
            spare = fir.room_for(key)
        try:
            product = spare.pop()  # another thread's push finds the next, or makes one
        except IndexError:
            product = _Product(fir, *key)
        memory = product.memory
        memory[:] = held
        product.inputs[...] = product.windows
        product.multiply(fir.matrix, product.sums)
        product.fixed[...] = product.sums
        self._held = held[product.done :]
        self._skip = product.skip
        out = audioop.mul(product.known, 4, SATURATING)
        spare.append(product)
        return out


class _Product:
    """One matrix product of a given size, with all the memory that it takes, to be used again.

    Most pushes are of one size. That nothing need be made for them, nor reckoned, is what makes
    them cheap where many calls take turns, and little of this is in the caches any more.
    """

    __slots__ = (
        "done",
        "fixed",
        "inputs",
        "known",
        "memory",
        "multiply",
        "skip",
        "sums",
        "windows",
    )

    def __init__(self, fir: _Fir, size: int, skip: int, ends: bool) -> None:
        """For ``size`` bytes of L16, and all but the first ``skip`` outputs of their first row.

        Where the audio ``ends``, inputs past its end count as silence.
        """
        import numpy as np

        # Input i stands at tick i * up of the common clock, output k at k * down. It is known
        # once the first input that is missing lies beyond its reach.
        ticks = (size // 2 - fir.before) * fir.up
        if ends:
            until = max(skip, (2 * ticks + fir.down) // (2 * fir.down))
        else:
            until = max(skip, -((fir.reach - ticks) // fir.down))
        rows = -(-until // fir.outs)
        self.skip = until % fir.up  # a row begins where both clocks tick together
        self.done = until // fir.up * fir.down * 2

        silence = max(0, (rows * fir.ins + fir.width - fir.ins) * 2 - size)
        pcm = memoryview(bytearray(size + silence))
        self.memory = pcm[:size]
        shape, strides = (rows, fir.width), (fir.ins * 2, 2)
        self.windows = np.ndarray(shape, np.dtype("<i2"), pcm, 0, strides)
        inputs = np.ones((rows, fir.width + 1))  # and what rounding is multiplied by
        self.inputs = inputs[:, :-1]
        self.multiply = inputs.dot
        self.sums = np.empty((rows, fir.outs))
        fixed = memoryview(bytearray(rows * fir.outs * 4))
        self.fixed = np.ndarray((rows, fir.outs), np.dtype("<i4"), fixed)
        self.known = fixed[skip * 4 : until * 4]


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
    """``width`` rows, ``outs`` columns, in fixed point; one more row adds a half, for rounding."""
    most_bytes: int
    """L16 that one matrix product should take at most."""
    products: dict[tuple[int, int, bool], list[_Product]]
    """Those of each size that are not in use right now."""

    def room_for(self, size: tuple[int, int, bool]) -> list[_Product]:
        """Where products of one more size are kept; where they are too many, instead of others."""
        if len(self.products) >= MOST_SIZES:
            self.products.clear()
        return self.products.setdefault(size, [])


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
    matrix = np.full((width + 1, outs), 0.5)
    matrix[:-1] = np.where((tap >= 0) & (tap < len(taps)), taps[tap.clip(0, len(taps) - 1)], 0.0)
    matrix *= ONE
    matrix.setflags(write=False)
    most_bytes = max(1, SMALL_PRODUCT // matrix.size) * ins * 2
    return _Fir(up, down, reach, before, ins, outs, width, matrix, most_bytes, {})


def _low_pass(cutoff: float, transition: float) -> NDArray[np.float64]:
    """Taps, odd in number, with a sum of about 1; arguments in cycles per sample.

    J. F. Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", 1974.
    """
    import numpy as np

    reach = ceil((STOP_DB - 7.95) / (2.285 * 2 * pi * transition) / 2)
    at = np.arange(-reach, reach + 1)
    return 2 * cutoff * np.sinc(2 * cutoff * at) * np.kaiser(len(at), 0.1102 * (STOP_DB - 8.7))
