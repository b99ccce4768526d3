"""What a caller hears, by the clock alone: when each piece of audio is played, and what is missing.

The same rules as ``sim.buffer``, which also keeps the audio; here a thousand calls share a core,
so only times are kept. And like a carrier's, this buffer holds audio back for a moment before it
plays (``hold_ms``), so that frames which come from a timer leave no gap. Pure: time is an
argument, in seconds on any monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque

from ..buffer import CLICK_S, PAUSE_S

__all__ = ["Playout"]


class Playout:
    """One caller's playout buffer.

    Args:
        hold_ms: for how long the first audio after a silence is held back.

    ``gaps`` and ``gap_ms`` count the under-runs: silences below a second within speech. ``ends``
    is when all that came so far will have been played; what comes before then just follows it.
    ``marks`` are those not reached yet, each with when it will be.
    """

    __slots__ = ("_expecting", "_hold", "ends", "gap_ms", "gaps", "marks")

    def __init__(self, hold_ms: float) -> None:
        self.gaps = 0
        self.gap_ms = 0.0
        self.ends = -math.inf
        self._hold = hold_ms / 1000
        self._expecting = False
        self.marks: deque[tuple[float, str]] = deque()

    def add(self, seconds: float, now: float) -> float:
        """So much audio came; returns when the caller hears its beginning."""
        begins = self.ends
        late = now - begins
        if late >= CLICK_S:
            begins = now + self._hold
            if self._expecting and late < PAUSE_S:
                self.gaps += 1
                self.gap_ms += (begins - self.ends) * 1000
        self.ends = begins + seconds
        self._expecting = True
        return begins

    def mark(self, name: str, now: float) -> None:
        """A mark came: it is reached when all audio before it has been played."""
        self.marks.append((max(now, self.ends), name))

    def reached(self, now: float) -> list[str]:
        """Names of the marks reached since this was last asked."""
        marks = self.marks
        names: list[str] = []
        while marks and marks[0][0] <= now:
            names.append(marks.popleft()[1])
        return names

    def clear(self, now: float) -> list[str]:
        """Forget what was not played; returns the names of marks that were not reached."""
        names = [name for _, name in self.marks]
        self.marks.clear()
        self.ends = min(self.ends, now)
        self._expecting = False
        return names
