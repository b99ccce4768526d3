"""A histogram of plain numbers: what a measurement costs is one search in a short tuple.

Nothing here is Prometheus's; the server translates when it is asked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["Buckets"]


class Buckets:
    """How many values were how large.

    Args:
        bounds: upper bounds, ascending, each included in its bucket; a last bucket takes the rest.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """How many values were at most as large as each bound; the last is how many there are."""
        running = 0
        return [running := running + count for count in self.counts]
