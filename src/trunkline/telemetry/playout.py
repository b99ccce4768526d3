"""A playout that notes how late it was asked, and when the caller's buffer ran dry.

It sends what any playout sends. What is added is a look at two numbers before and after; nothing
is kept for each message.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from math import inf

from ..events import Audio, Mark
from ..media.passage import Passage
from ..media.playout import Change, ChangeKind, Playout
from .buckets import Buckets

__all__ = ["Dry", "ObservedPlayout", "Sending"]

HOLE_S = 0.005
"""A shorter hole is within what the send clock is right to."""


class Dry(StrEnum):
    """Why the caller's buffer ran dry."""

    LATE = "late"
    """We had audio and sent it too late: the loop was held up, or the carrier did not read."""
    STARVED = "starved"
    """The bot had begun to speak and gave no more in time."""


class Sending:
    """How well audio leaves, over all calls.

    ``lateness`` is how long after its time each message left that had waited for it, ``dry`` how
    long callers' buffers were empty in the middle of something said. Seconds.
    """

    def __init__(self, lateness: Buckets, dry: dict[Dry, Buckets]) -> None:
        self.lateness = lateness
        self.dry = dry


class ObservedPlayout(Playout):
    """``Playout``, observed; ``watched_by`` comes before anything else."""

    _figures: Sending
    _told: Callable[[Change], None]

    def watched_by(self, figures: Sending, told: Callable[[Change], None]) -> None:
        """Note in ``figures``, and tell of each change as soon as it is known."""
        self._figures = figures
        self._told = told

    def due(self, now: float) -> list[Audio | Mark]:
        expected = self._expected
        dry = now - self._playhead.ends
        if dry > HOLE_S and self._sending:
            self._ran_dry(self._sending[0], expected, now, dry)
        out = super().due(now)
        if expected <= now and out:
            self._figures.lateness.add(now - expected)
        return out

    def waiting_ms(self) -> float:
        """Milliseconds of audio that were pushed and not yet sent; from any thread."""
        return self._audio.ms_in(sum(passage.waiting for passage in tuple(self._sending)))

    def _ran_dry(self, passage: Passage, expected: float, now: float, dry: float) -> None:
        # Of something new nobody misses a beginning; and a live source has pauses of its own.
        if passage.sent and not passage.live and passage.waiting and self._ready(passage) <= now:
            self._figures.dry[Dry.STARVED if expected == inf else Dry.LATE].add(dry)

    def _change(self, kind: ChangeKind, passage: Passage, at: float) -> None:
        super()._change(kind, passage, at)
        self._told(self._changes[-1])
