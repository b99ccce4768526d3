"""Watches whether the event loop comes round, and says in the log where it did not.

The loop notes the time ten times a second; a thread looks at that note. Where the next one is
overdue, something holds the loop up, and the thread takes down what the loop's own thread is doing
just then. One line a stall, with how long it was. What holds the interpreter's lock as well, such
as one long call into C, holds the watchdog up too: what is taken down then is what came right
after, and the line says so.

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

EVERY_S = 0.1
"""How often the loop notes the time. A wake-up costs 20 to 100 µs: more of them would be dearer
than what they find, since a stall that is not caught comes again."""
LONG_S = 5.0
"""A stall that lasts so long is told before it is over."""
QUIET_S = 10.0
"""After a line in the log, stalls are only counted for so long."""
FRAMES = 8
"""The innermost of a stack: enough to show who called whom."""


def stack_of(frame: FrameType | None) -> str:
    """Where a thread is: ``file:line function``, innermost first, and never a value."""
    places: list[str] = []
    while frame is not None and len(places) < FRAMES:
        code = frame.f_code
        file = "/".join(code.co_filename.replace("\\", "/").split("/")[-2:])
        places.append(f"{file}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(places)


class Watch:
    """What is known of one loop; ``beat`` is for the loop's thread, ``look`` for the other one.

    Args:
        late_s: how late the loop may come round. One that stood still for less is never told of,
            for a tenth of a second longer always.
        frame: where the loop's thread is at this moment.
        lag: is told how late each beat is, in seconds.
        stalled: is told of each stall, in the loop's thread, once it is over.
    """

    def __init__(
        self,
        late_s: float,
        frame: Callable[[], FrameType | None],
        lag: Callable[[float], None] | None = None,
        stalled: Callable[[], None] | None = None,
    ) -> None:
        self._late_s = late_s
        self._overdue_s = EVERY_S + late_s
        self._frame = frame
        self._lag = lag
        self._stalled = stalled
        self._beat_at = inf
        self._longest = 0.0
        self._look_at = inf
        self._seen: tuple[float, str, bool] | None = None
        self._told = False
        self._told_at = -inf
        self._untold = 0

    def beat(self, now: float) -> None:
        """The loop came round."""
        took = now - self._beat_at
        if took > self._overdue_s:
            self._longest = took - EVERY_S  # before what makes the other thread read it
        self._beat_at = now
        if took == -inf:
            return  # the first
        if self._lag is not None:
            self._lag(max(0.0, took - EVERY_S))
        if took > self._overdue_s and self._stalled is not None:
            self._stalled()

    def look(self, now: float) -> float:
        """See how it stands; returns in how many seconds to look again."""
        held_up = now - self._look_at > self._late_s / 2
        beat_at = self._beat_at
        overdue = now - beat_at - EVERY_S
        if self._seen is not None and self._seen[0] != beat_at:
            self._over(now)
        if overdue > self._late_s:
            if self._seen is None:
                self._seen = (beat_at, stack_of(self._frame()), held_up)
            if overdue > LONG_S and not self._told:
                self._tell(now, overdue, over=False)
            pause = EVERY_S
        else:
            pause = min(max(self._late_s - overdue, 0.001), self._overdue_s)
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
    late_s: float,
    *,
    lag: Callable[[float], None] | None = None,
    stalled: Callable[[], None] | None = None,
    ticks: bool = True,
) -> Generator[Callable[[], None]]:
    """Watch the running loop while the block runs. ``late_s`` of 0 watches nothing.

    Gives what is to be called every tenth of a second where ``ticks`` is false.

    Args:
        late_s: seconds the loop may come round late before that is told in the log.
        lag: is told how late the loop was, ten times a second.
        stalled: is told of each stall; both in the loop's thread.
        ticks: whether to set a timer; what rings that often anyway may do in its place.
    """
    if not late_s:
        yield lambda: None
        return
    loop, thread = asyncio.get_running_loop(), threading.get_ident()

    def frame() -> FrameType | None:
        return sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]

    watch = Watch(late_s, frame, lag, stalled)
    timer: asyncio.TimerHandle | None = None
    stop = threading.Event()

    def beat() -> None:
        nonlocal timer
        watch.beat(time.monotonic())
        if ticks:
            timer = loop.call_later(EVERY_S, beat)

    def looks() -> None:
        while not stop.wait(watch.look(time.monotonic())):
            pass

    watcher = threading.Thread(target=looks, name="trunkline watchdog", daemon=True)
    beat()
    watcher.start()
    try:
        yield beat
    finally:
        stop.set()
        if timer is not None:
            timer.cancel()
        watcher.join(1.0)
