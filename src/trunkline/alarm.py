"""A timer that is set anew all the time and rarely rings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil, inf

__all__ = ["Alarm"]


class Alarm:
    """Calls ``ring`` at the time it was set to, or earlier: who is called looks what is due.

    An alarm that was set to a later time still rings at the earlier one, which costs less than a
    new timer for each message.
    """

    __slots__ = ("_at", "_loop", "_ring", "_timer")

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at = inf

    def set(self, at: float) -> None:
        """Ring at ``at`` seconds (the loop's), at most 1 ms later. Infinity sets nothing."""
        if at == inf:
            return
        # uvloop counts in whole milliseconds: it would ring in vain until the next one comes.
        rounded = ceil(at * 1000) / 1000
        # The product may lose what made ``at`` later than a whole millisecond; ringing too early
        # would be in vain for ever where the clock stands still meanwhile, as in virtual time.
        at = rounded if rounded >= at else rounded + 0.001
        if at < self._at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._at = self._loop.call_at(at, self._rings), at

    def off(self) -> None:
        """Do not ring any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._at = None, inf

    def _rings(self) -> None:
        self._timer, self._at = None, inf
        self._ring()
