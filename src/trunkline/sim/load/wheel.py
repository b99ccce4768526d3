"""One timer for all calls: each has its turn every 20 ms, and they share those evenly.

The 20 ms are cut into slots, a call is put into the emptiest, and all calls of a slot have their
turn in one go. Turns are on an absolute clock: one that comes late moves none of the others. The
wheel measures its own lateness, since a load generator that is late itself measures nothing else.
Where it falls far behind it leaves turns out, and says how many: catching up on all of them would
leave no time for anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from ..stream import FRAME_MS
from .figures import Live

__all__ = ["SLOTS", "Turn", "Wheel", "slots_due"]

SLOTS = 20
"""Slots of a millisecond: what timers of event loops can tell apart."""

_PERIOD = FRAME_MS / 1000
_STEP = _PERIOD / SLOTS
# As far behind as this (200 ms), what is older than a period is left out.
_FAR_BEHIND = 10 * SLOTS
# After so many turns of slots (100 ms), what was taken down is counted: that takes no time then.
_SETTLE = 5 * SLOTS


class Turn(Protocol):
    """What has its turn every 20 ms."""

    def turn(self, now: float) -> None:
        """It is time: ``now``, on the wheel's clock."""
        ...


def slots_due(began: float, done: int, now: float) -> range:
    """Which turns of slots are due at ``now`` seconds, when those before ``done`` are done.

    Turn ``n`` is due ``n`` slots after ``began``, and is slot ``n % SLOTS``'s.
    """
    # A millionth of a slot of slack, or a turn due exactly now is lost to rounding.
    return range(done, max(done, int((now - began) / _STEP + 1e-6) + 1))


class Wheel:
    """Gives turns.

    Args:
        live: is told how late each call's turn came, and how many were left out.
        clock: seconds, finer than the loop's own.
    """

    def __init__(self, live: Live, clock: Callable[[], float] = perf_counter) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: list[list[Turn]] = [[] for _ in range(SLOTS)]
        self._slot_of: dict[Turn, list[Turn]] = {}
        self._live = live
        self._clock = clock
        self._began = clock()
        self._done = 0
        self._timer = self._loop.call_later(_STEP, self._turn)

    def add(self, call: Turn) -> None:
        """From now on ``call`` has turns."""
        slot = min(self._slots, key=len)
        slot.append(call)
        self._slot_of[call] = slot

    def remove(self, call: Turn) -> None:
        """It has none any more; does nothing where it had none."""
        slot = self._slot_of.pop(call, None)
        if slot is not None:
            slot.remove(call)

    def stop(self) -> None:
        """Nobody has turns any more."""
        self._timer.cancel()

    def _turn(self) -> None:
        turns = slots_due(self._began, self._done, self._clock())
        if len(turns) > _FAR_BEHIND:
            out, turns = turns[:-SLOTS], turns[-SLOTS:]
            self._done = turns.start
            skipped = sum(len(self._slots[turn % SLOTS]) for turn in out)
            self._live.figures.frames_skipped += skipped
        clock, late = self._clock, self._live.own.add
        for turn in turns[:SLOTS]:  # then what came in has its turn
            due = self._began + turn * _STEP
            self._done = turn + 1
            for call in tuple(self._slots[turn % SLOTS]):
                now = clock()
                late((now - due) * 1000)
                call.turn(now)
            if turn % _SETTLE == 0:
                self._live.settle()
        behind = clock() - self._began - self._done * _STEP >= 0
        # Timers tell milliseconds apart: one that is asked for less comes at once, and the loop
        # would spin until the next turn is due.
        self._timer = self._loop.call_later(0 if behind else _STEP, self._turn)
