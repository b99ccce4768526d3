"""How many calls a server carries on its core: ever more, until they come late."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ._rig import Callers, Unavailable, Way, Window, answered, machine, measure, progress, save

__all__ = ["FEW", "Found", "Ramp", "command", "number"]

FEW = 40
LATE_MS = 20.0
# The callers' own timer must be clearly better than what it measures.
OWN_MS = 5.0
MISSING = 0.1
# A window of which the host took so much from one core (15 ms), or in which callers were late on a
# core that was not full, so that others had it, is looked at again before it counts against a
# server, so often for each level: else they would be measured.
TAKEN, AGAIN = 0.005, 5
FULL = 0.85
ALONE_S, WINDOW_S = 3.0, 3.0
MOST, TRIES = 3000, 3


class Found(NamedTuple):
    """What was found of a way: medians of the rounds; times in ms, memory in KB a call.

    ``calls`` is the most that came in time; ``limited``: more were not tried, or with more the
    callers themselves were late, or a core was taken away whenever it was looked.
    ``full`` is how many would fill the core by the CPU that calls were seen to need. ``hit`` is how
    many windows were measured again because a core had been taken away.
    """

    p50: float
    p99: float
    cpu: float
    calls: int
    limited: bool
    full: int
    memory: float
    levels: list[dict[str, Any]]
    hit: int = 0


class Ramp:
    """One way, over the rounds; none begins another level after so many ``seconds``."""

    def __init__(self, way: Way, seconds: float) -> None:
        self.way = way
        self._seconds = seconds
        self.few: list[Window] = []
        self.memory: list[float] = []
        self.levels: list[dict[str, Any]] = []
        self.best = self.bad = self.hit = 0
        self._unknown = False  # why so many were ``bad``

    @property
    def limited(self) -> bool:
        """Whether the server may well carry more than were found."""
        return self.best > 0 and (self._unknown or not self.bad)

    async def round(self) -> None:
        """A server from its start to more calls than it carries."""
        async with answered(self.way) as callers:
            server = callers.server
            assert server is not None
            await callers.have(1)
            alone = server.rss_kb()
            await callers.have(FEW)
            few = await self.unhit(callers, ALONE_S)
            self.few.append(few)
            if few.p99 - few.p50 < LATE_MS:
                self.best = max(self.best, FEW)
            calls = self.best if self.best > FEW else max(FEW, round(1000 / max(few.cpu, 1.0)))
            until = time.monotonic() + self._seconds
            while calls < MOST and time.monotonic() < until:
                core = await self.level(callers, calls)
                if core is None:
                    break
                calls = self.following(calls, core)
            up = max(2, callers.up)
            self.memory.append((server.rss_kb() - alone) / (up - 1))

    def following(self, calls: int, core: float) -> int:
        """How many to try after so many have come in time, at so much of the core."""
        if self.bad > calls:
            step = max(2, (self.bad - calls) // 3)
            return calls + step if calls + step < self.bad else MOST
        return round(calls * min(1.6, max(1.08, 0.95 / max(core, 0.01))))

    async def unhit(self, callers: Callers, seconds: float) -> Window:
        """A window in which no core was taken away, if there is one."""
        for _ in range(AGAIN):
            window = await callers.window(seconds)
            if not was_hit(window):
                return window
            self.hit += 1
        return window

    async def level(self, callers: Callers, calls: int) -> float | None:
        """What of a core so many need, the server's or the callers'; ``None``: no going on.

        What comes too late is looked at more than once, lest it was the machine.
        """
        tries, again, clean = TRIES, AGAIN, False
        while tries:
            there = await callers.have(calls)
            window = await callers.window(WINDOW_S)
            if self.judged(window, calls, there):
                self.best = max(self.best, calls)
                return max(window.core, window.own_core)
            if was_hit(window) and again:
                self.hit, again = self.hit + 1, again - 1
            else:
                tries -= 1
            clean = clean or not (was_hit(window) or own_fault(window))
        if calls < (self.bad or MOST):
            self.bad = calls
            # Callers who are late, or a core that is not there, tell nothing of the server.
            self._unknown = not clean
        return None

    def judged(self, window: Window, calls: int, there: bool) -> bool:
        """Whether so many calls were there, and all they heard came in time.

        What comes in time although the callers were late themselves came in time.
        """
        late = window.p99 - self.few[-1].p50  # of the server that runs now
        all_sent = window.figures.frames_skipped == 0
        good = there and late < LATE_MS and window.missing < MISSING and all_sent
        told = {"calls": calls, "late_p99": late, "core": window.core, "good": good}
        own = {"own_p99": window.own_p99, "own_core": window.own_core, "taken": window.taken}
        self.levels.append({**told, **own, "missing": window.missing})
        progress(
            f"{self.way.name}, {calls} calls: p99 {late:.1f} ms later, core {window.core:.0%}; "
            f"callers {window.own_p99:.1f} ms late, core {window.own_core:.0%}; "
            f"taken {window.taken:.1%}"
        )
        return good

    def found(self) -> Found:
        def median(name: str) -> float:
            return statistics.median(getattr(one, name) for one in self.few)

        whole = [one for one in self.levels if one["missing"] < MISSING and one["core"] > 0.1]
        seen = [round(one["calls"] / one["core"]) for one in whole]
        return Found(
            p50=median("p50"),
            p99=median("p99"),
            cpu=median("cpu"),
            calls=self.best,
            limited=self.limited,
            full=max(seen, default=0),
            memory=statistics.median(self.memory),
            levels=self.levels,
            hit=self.hit,
        )


def was_hit(window: Window) -> bool:
    """Whether the host, or another program on the callers' core, took a core away."""
    return window.taken > TAKEN or (own_fault(window) and window.own_core < FULL)


def own_fault(window: Window) -> bool:
    """Whether the callers were late themselves, or could not send all."""
    return window.own_p99 >= OWN_MS or window.figures.frames_skipped > 0


async def compare(
    ways: Sequence[Way], rounds: int, seconds: float
) -> tuple[dict[str, Found], dict[str, str]]:
    """All ways in turn, ``rounds`` times; and why some could not be measured."""
    ramps, failed = {way.name: Ramp(way, seconds) for way in ways}, dict[str, str]()
    for number in range(rounds):
        for name, ramp in ramps.items():
            if name in failed:
                continue
            try:
                await ramp.round()
            except Unavailable as error:
                failed[name] = str(error)
                progress(f"{name}: {error}")
                continue
            few = ramp.few[-1]
            more = "≥ " if ramp.limited else ""
            progress(
                f"round {number + 1}/{rounds}, {name}: {more}{ramp.best} calls; at {FEW}: "
                f"p50 {few.p50:.2f}, p99 {few.p99:.1f} ms, CPU {few.cpu:.2f} ms/s"
            )
    return {name: ramp.found() for name, ramp in ramps.items() if name not in failed}, failed


def number(one: Found) -> str:
    """The most calls, as it is written."""
    return f"{'≥ ' if one.limited else ''}{one.calls:,}"


def command(
    name: str,
    about: str | None,
    ways: Sequence[Way],
    rounds: int,
    table: Callable[[Mapping[str, Found]], str],
    picture: Callable[[Mapping[str, Found]], str],
    argv: Sequence[str] | None = None,
) -> None:
    """A benchmark's command line: measure, print the table, leave figures and picture."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--out", default="measured", help="where JSON and picture go")
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each has its turn")
    parser.add_argument("--seconds", type=float, default=20.0, help="for a turn, about")
    parser.add_argument(
        "--only", default="", help="servers whose names contain one of these, by semicolons"
    )
    given = parser.parse_args(argv)
    chosen = [way for way in ways if any(one in way.name for one in given.only.split(";"))]
    if not chosen:
        parser.error(f"--only {given.only!r}: there are {', '.join(way.name for way in ways)}")
    rows, failed = measure(compare(chosen, given.rounds, given.seconds))
    written = {**machine(), "rows": {name: one._asdict() for name, one in rows.items()}}
    save(given.out, name, {**written, "failed": failed}, picture(rows))
    print(table(rows))
    if hit := {name: one.hit for name, one in rows.items() if one.hit}:
        told = "; ".join(f"{name}: {count}" for name, count in hit.items())
        print(f"\nWindows measured again, since a core had been taken away: {told}")
    for one, why in failed.items():
        print(f"\nNot measured: {one}: {why}")
