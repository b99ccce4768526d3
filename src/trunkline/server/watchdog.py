"""Watches whether the event loop comes round, and says in the log where it did not.

A timer of the loop notes the time again and again; a thread looks at that note. Where it grows old,
something holds the loop up, and the thread takes down what the loop's own thread is doing just
then. One line a stall, with how long it was. What holds the interpreter's lock as well, such as
one long call into C, holds the watchdog up too: what is taken down then is what came right after,
and the line says so.

It knows no call and no server, only a loop, and threads.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from math import inf
from types import FrameType

__all__ = ["Watch", "stack_of", "watching"]

log = logging.getLogger("trunkline.watchdog")

ROUNDS = 4
"""How often the loop's timer rings in the time that a stall must last to be told."""
LONG_S = 5.0
"""A stall that lasts so long is told before it is over."""
QUIET_S = 10.0
"""After a line in the log, stalls are only counted for so long."""
FRAMES = 8
"""The innermost of a stack: enough to show who called whom."""


def stack_of(frame: FrameType | None) -> str:
    """Where a thread is: ``file:line function``, innermost first. Never a value: those are private."""
    places: list[str] = []
    while frame is not None and len(places) < FRAMES:
        code = frame.f_code
        file = "/".join(code.co_filename.replace("\\", "/").split("/")[-2:])
        places.append(f"{file}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(places)


class Watch:
    """What is known of one loop. Two threads meet here: ``beat`` is the loop's, ``look`` the other's.

    Args:
        stall_s: how long the loop may stand still.
        frame: where the loop's thread is at this moment.
        lag: is told how late each beat is, in seconds.
        stalled: is told of each stall, in the loop's thread, once it is over.
    """

    def __init__(
        self,
        stall_s: float,
        frame: Callable[[], FrameType | None],
        lag: Callable[[float], None] | None = None,
        stalled: Callable[[], None] | None = None,
    ) -> None:
        self.every = stall_s / ROUNDS
        self._stall_s = stall_s
        self._frame = frame
        self._lag = lag
        self._stalled = stalled
        self._beat_at = inf
        self._longest = 0.0
        self._look_at = -inf
        self._seen: tuple[float, str, bool] | None = None
        self._told = False
        self._told_at = -inf
        self._untold = 0

    def beat(self, now: float) -> None:
        """The loop came round."""
        took = now - self._beat_at
        if took > self._stall_s:
            self._longest = took  # before what makes the other thread read it
        self._beat_at = now
        if took == -inf:
            return  # the first
        if self._lag is not None:
            self._lag(max(0.0, took - self.every))
        if took > self._stall_s and self._stalled is not None:
            self._stalled()

    def look(self, now: float) -> float:
        """See how it stands; returns in how many seconds to look again."""
        held_up = now - self._look_at > self._stall_s / 2 and self._look_at > -inf
        beat_at = self._beat_at
        age = now - beat_at
        if self._seen is not None and self._seen[0] != beat_at:
            self._over(now)
        if age > self._stall_s:
            if self._seen is None:
                self._seen = (beat_at, stack_of(self._frame()), held_up)
            if age > LONG_S and not self._told:
                self._tell(now, age, over=False)
        pause = (
            self._stall_s / 2 if self._seen else min(self._stall_s, beat_at + self._stall_s - now)
        )
        pause = max(pause, 0.001) if beat_at < inf else self._stall_s
        self._look_at = now + pause
        return pause

    def _over(self, now: float) -> None:
        if not self._told:
            self._tell(now, self._longest, over=True)
        self._seen, self._told = None, False

    def _tell(self, now: float, lasted: float, *, over: bool) -> None:
        assert self._seen is not None
        self._told = True
        if now - self._told_at < QUIET_S:
            self._untold += 1
            return
        _, where, held_up = self._seen
        untold, self._untold, self._told_at = self._untold, 0, now
        log.warning(
            "the event loop stood still" if over else "the event loop stands still",
            extra={"ms": round(lasted * 1000), "where": where, "watch_held_up": held_up}
            | ({"untold_before": untold} if untold else {}),
        )


@contextmanager
def watching(
    stall_s: float,
    *,
    lag: Callable[[float], None] | None = None,
    stalled: Callable[[], None] | None = None,
) -> Generator[None]:
    """Watch the running loop while the block runs. ``stall_s`` of 0 watches nothing.

    Args:
        stall_s: seconds the loop may stand still before that is told in the log.
        lag: is told how late the loop was, some forty times a second for a stall of 100 ms.
        stalled: is told of each stall; both in the loop's thread.
    """
    if not stall_s:
        yield
        return
    loop, thread = asyncio.get_running_loop(), threading.get_ident()
    watch = Watch(stall_s, lambda: sys._current_frames().get(thread), lag, stalled)
    timer: asyncio.TimerHandle | None = None
    stop = threading.Event()

    def beats() -> None:
        nonlocal timer
        watch.beat(time.monotonic())
        timer = loop.call_later(watch.every, beats)

    def looks() -> None:
        while not stop.wait(watch.look(time.monotonic())):
            pass

    watcher = threading.Thread(target=looks, name="trunkline watchdog", daemon=True)
    beats()
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        if timer is not None:
            timer.cancel()
        watcher.join(1.0)
