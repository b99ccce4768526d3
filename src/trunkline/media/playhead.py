"""Where the far end's playout is, as well as can be known from here.

A carrier buffers what we send and plays it at real time. Two things tell how far it has got: the
*send clock* (playout of a burst begins when its first byte is sent and goes on at real time until
what was sent has run out) and the *marks* that come back. The send clock is never behind the
caller, and ahead by no more than the way there takes; a mark that came back is certain.

Positions are bytes on the wire since the call began, times are seconds on the caller's monotonic
clock. This module knows nothing of passages, messages or pacing, and never looks at a clock.
"""

from __future__ import annotations

from math import inf

__all__ = ["GRACE", "Playhead"]

GRACE = 2.0
"""Seconds a mark may be overdue before it counts as lost and the send clock is believed instead."""

_OVERDUE = 0.25
"""A mark not back this long after its audio was due shows that the far end is late: twice the
80 ms each way that a bad route between carrier and server takes, and some."""

_SETTLE = 0.5
"""Without a mark under way, audio may be unplayed this long after its estimated end."""

_RETURN = 0.04
"""The most of a round trip that is put down to the way back: half of a bad one."""


class Playhead:
    """An estimate of how far the far end has played.

    ``sent`` is the position sent up to, ``reached`` the last one known by a mark to have been
    played, ``ends`` when what was sent will have been played by the send clock.
    """

    __slots__ = (
        "_burst_at", "_burst_from", "_ended_before", "_heard_before", "_pending", "_quickest",
        "_rate", "_trip", "ends", "reached", "sent",
    )  # fmt: skip

    def __init__(self, bytes_per_second: int) -> None:
        self.sent = 0
        self.reached = 0
        self.ends = -inf
        self._rate = bytes_per_second
        self._burst_from = 0
        self._burst_at = -inf
        self._heard_before: float = 0  # when the burst began, and the end of the one before
        self._ended_before = -inf
        self._pending: dict[str, tuple[int, float]] = {}  # name -> position, when it is played
        self._trip = 0.0
        self._quickest = inf

    def add(self, size: int, now: float) -> None:
        """``size`` bytes were sent. Where the far end had run dry, it begins anew."""
        ended = self.ends
        if now >= ended:
            all_heard = not self._pending and now >= ended + self._trip
            self._heard_before = self.sent if all_heard else self.heard(now)
            self._ended_before = ended
            self._burst_at, self._burst_from = now, self.sent
            # What held the last burst up is over; the way there and back is not.
            if self._trip > self._quickest:
                self._trip = self._quickest
        self.sent += size
        # From the burst's beginning, not from the last end: nothing adds up, nothing drifts.
        self.ends = self._burst_at + (self.sent - self._burst_from) / self._rate

    def mark(self, name: str, now: float) -> None:
        """A mark was sent, right after what was sent so far."""
        self._give_up(now)
        self._pending[name] = (self.sent, max(now, self.ends))

    def returned(self, name: str, now: float) -> None:
        """A mark came back. One that is unknown, given up, cleared or double means nothing."""
        if name not in self._pending:
            return
        due = now
        while name in self._pending:  # those before it were lost: playout passed them
            self.reached, due = self._pending.pop(next(iter(self._pending)))
        self._trip = max(0.0, now - due)
        self._quickest = min(self._quickest, self._trip)

    def lost_at(self, name: str) -> float | None:
        """When a mark will be given up; ``None`` where it is not awaited (any more)."""
        awaited = self._pending.get(name)
        return awaited[1] + GRACE if awaited else None

    def heard(self, now: float) -> float:
        """The position heard: certain at a mark, by the clock between that mark and the next."""
        self._give_up(now)
        position = self._clock(now - self._trip)
        if self._pending:
            position = min(position, self._first[0])
        return max(position, self.reached)

    def heard_if_cleared(self, now: float) -> float:
        """The position the caller will have heard when a clear sent now gets there.

        The clear takes as long to get there as the audio took, so it is the send clock's, unless
        an overdue mark shows that the far end is late.
        """
        self._give_up(now)
        position = self._clock(now)
        if self._pending and self._first[1] + _OVERDUE < now:
            position = min(position, self._first[0])
        return max(position, self.reached)

    def holds(self, now: float) -> bool:
        """Whether the far end may hold audio that it has not played."""
        patience = GRACE if self._pending else _SETTLE
        return self.reached < self.sent and now < self.ends + patience

    def ahead(self, now: float) -> float:
        """Seconds of audio that were sent and are not yet played."""
        return max(0.0, min(self.ends - now, (self.sent - self.reached) / self._rate))

    def forget_marks(self) -> None:
        """Marks still out mean nothing any more when they come back."""
        self._pending.clear()

    def clear(self, now: float) -> None:
        """The far end dropped all that it had not played."""
        self._pending.clear()
        self.reached = self._burst_from = self.sent
        self.ends = self._burst_at = now

    @property
    def start_delay(self) -> float:
        """Seconds from the send clock to the caller, for audio about to be heard."""
        return 0.0 if self._quickest == inf else _way_there(self._quickest)

    @property
    def end_delay(self) -> float:
        """Seconds from the send clock to the caller, for the audio before the last mark."""
        return _way_there(self._trip)

    def _clock(self, at: float) -> float:
        if at >= self._burst_at:
            return self.sent - max(0.0, self.ends - at) * self._rate
        left = max(0.0, self._ended_before - at) * self._rate
        return max(self._heard_before, self._burst_from - left)

    def _give_up(self, now: float) -> None:
        while self._pending and self._first[1] + GRACE <= now:
            del self._pending[next(iter(self._pending))]

    @property
    def _first(self) -> tuple[int, float]:
        return next(iter(self._pending.values()))


def _way_there(trip: float) -> float:
    # Half of the round trip; all but 40 ms of a long one, which is long because the far end
    # buffers before it plays. Right to 40 ms whenever the way back takes 80 ms or less.
    return max(trip / 2, trip - _RETURN)
