"""How often a time was measured, without keeping the times: a histogram of milliseconds.

Its buckets are a hundredth of a millisecond wide below 50 ms, a tenth up to a second and 10 ms
beyond, so that an hour of a thousand calls takes no more memory than a minute of one. What it
tells is a bucket's upper edge: never less than was measured, and at most one bucket more. Pure.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

import numpy as np
from msgspec import Struct, field

__all__ = ["Histogram", "Times", "lower_edge", "upper_edge"]

# From how many ms on the buckets have which width, and how many there are below.
_FINE, _FINE_PER_MS = 50.0, 100
_MIDDLE, _MIDDLE_PER_MS = 1000.0, 10
_FINE_COUNT = 5_000
_MIDDLE_COUNT = _FINE_COUNT + 9_500
_LONGEST = 60_000.0
_LAST = _MIDDLE_COUNT + 5_900  # a minute, and all that is longer


class Histogram(Struct):
    """Counts of milliseconds; may be encoded as it is.

    ``counts`` has the buckets that are not empty, ``most`` the longest time there was, exactly.
    """

    counts: dict[int, int] = field(default_factory=dict[int, int])
    most: float = 0.0

    def add(self, ms: float) -> None:
        """One more was measured; less than nothing counts as nothing."""
        if ms < _FINE:
            bucket = int(ms * _FINE_PER_MS) if ms > 0 else 0
        elif ms < _MIDDLE:
            bucket = _FINE_COUNT + int((ms - _FINE) * _MIDDLE_PER_MS)
        elif ms < _LONGEST:
            bucket = _MIDDLE_COUNT + int((ms - _MIDDLE) / 10)
        else:
            bucket = _LAST
        counts = self.counts
        counts[bucket] = counts.get(bucket, 0) + 1
        if ms > self.most:
            self.most = ms

    def add_all(self, times: array[float]) -> None:
        """So many were measured, each as ``add`` counts one."""
        if not times:
            return
        ms = np.frombuffer(times)
        most = float(ms.max())
        ms = np.clip(ms, 0.0, _LONGEST)
        buckets = ms * _FINE_PER_MS
        if most >= _FINE:
            middle = _FINE_COUNT + np.floor((ms - _FINE) * _MIDDLE_PER_MS)
            coarse = _MIDDLE_COUNT + np.floor((ms - _MIDDLE) / 10)
            buckets = np.where(ms < _FINE, buckets, np.where(ms < _MIDDLE, middle, coarse))
        found = np.bincount(buckets.astype(np.int64))
        full = np.flatnonzero(found)
        counts = self.counts
        for bucket, count in zip(full.tolist(), found[full].tolist(), strict=True):
            counts[bucket] = counts.get(bucket, 0) + count
        self.most = max(self.most, most)

    def merge(self, other: Histogram) -> None:
        """Count what ``other`` has counted, too."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.most = max(self.most, other.most)

    @property
    def count(self) -> int:
        """How many were measured."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float:
        """The time, in ms, that ``share`` (0 to 1) of all measured ones do not exceed; 0 of none.

        That is the smallest bucket's upper edge below which at least that share lies.
        """
        (value,) = self.quantiles([share])
        return value

    def quantiles(self, shares: Iterable[float]) -> list[float]:
        """The same for several shares, which increase."""
        buckets, total = sorted(self.counts), self.count
        found: list[float] = []
        seen, at = 0, -1
        for share in shares:
            need = max(1, math.ceil(share * total - 1e-9))
            while seen < need and at + 1 < len(buckets):
                at += 1
                seen += self.counts[buckets[at]]
            found.append(min(upper_edge(buckets[at]), self.most) if buckets else 0.0)
        return found


class Times:
    """Milliseconds that wait to be counted: taking one down costs a tenth of counting it.

    ``add`` takes one down.
    """

    __slots__ = ("_waiting", "add")

    def __init__(self) -> None:
        self._waiting = array("d")
        self.add = self._waiting.append

    def count_into(self, histogram: Histogram) -> None:
        """Count them all, and wait for others."""
        histogram.add_all(self._waiting)
        del self._waiting[:]


def lower_edge(bucket: int) -> float:
    """Where a bucket begins, in ms."""
    if bucket < _FINE_COUNT:
        return bucket / _FINE_PER_MS
    if bucket < _MIDDLE_COUNT:
        return _FINE + (bucket - _FINE_COUNT) / _MIDDLE_PER_MS
    return _MIDDLE + (bucket - _MIDDLE_COUNT) * 10


def upper_edge(bucket: int) -> float:
    """Where a bucket ends, in ms; the last one never does."""
    return math.inf if bucket >= _LAST else lower_edge(bucket + 1)
