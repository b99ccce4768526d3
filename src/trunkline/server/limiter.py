"""Whose turn it is to be dialled: in order, at a carrier's rate, so many at once.

Carriers allow an account so many new calls a second, and answer more with 429 or let them wait
in a queue of their own. A limiter spaces calls evenly, so that no window of any length holds more
than the rate allows; a refusal stops everybody for as long as the carrier said, or longer and
longer where it did not. Pure: time is an argument, seconds on any monotonic clock. It knows no
carrier and no call.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Limiter", "Ticket"]

FIRST_PAUSE_S = 1.0
"""How long all wait after a refusal that names no time; twice as long after each further one."""
LONGEST_PAUSE_S = 30.0


class Ticket:
    """A place in the queue; later, a place among those that are under way."""

    __slots__ = ()


class Limiter:
    """Lets the first through first.

    Args:
        rate: how many a second.
        most: how many may be under way at once.

    Raises:
        ValueError: nobody would ever get through.
    """

    def __init__(self, rate: float, most: int) -> None:
        if not 0 < rate < math.inf or most < 1:
            raise ValueError("a limiter needs a rate above 0 and room for one")
        self._gap = 1 / rate
        self._most = most
        self._queue: deque[Ticket] = deque()
        self._under_way: set[Ticket] = set()
        self._next = -math.inf
        self._pause = FIRST_PAUSE_S
        self._paused_until = -math.inf

    def join(self, *, first: bool = False) -> Ticket:
        """Queue up; ``first`` for somebody who had a turn already, and must try again."""
        ticket = Ticket()
        if first:
            self._queue.appendleft(ticket)
        else:
            self._queue.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give up waiting, or be done. Does nothing the second time."""
        self._under_way.discard(ticket)
        if ticket in self._queue:
            self._queue.remove(ticket)

    def due(self, now: float) -> Ticket | None:
        """Whose turn has come, if anybody's; from now on that one is under way."""
        if not self._queue or now < self._next or len(self._under_way) >= self._most:
            return None
        ticket = self._queue.popleft()
        self._under_way.add(ticket)
        self._next = now + self._gap
        return ticket

    def next_due(self) -> float | None:
        """When ``due`` has somebody next; ``None``: not before a ``join`` or a ``leave``."""
        if not self._queue or len(self._under_way) >= self._most:
            return None
        return self._next

    def refused(self, now: float, retry_after: float | None = None) -> None:
        """The carrier said that this was too fast; ``retry_after``: for how many seconds."""
        if now < self._paused_until:
            pause = retry_after or 0.0  # sent before the pause began: no second reason for one
        else:
            pause = max(self._pause, retry_after or 0.0)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
        self._paused_until = max(self._paused_until, now + pause)
        self._next = max(self._next, self._paused_until)

    def taken(self) -> None:
        """The carrier took one: the next refusal is a first one again."""
        self._pause = FIRST_PAUSE_S

    @property
    def waiting(self) -> int:
        """How many queue."""
        return len(self._queue)

    @property
    def under_way(self) -> int:
        """How many had their turn and are not done."""
        return len(self._under_way)
