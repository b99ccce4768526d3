"""The watchdog: by an injected clock, but for one stall that is real."""

import asyncio
import logging
import sys
import threading
import time

import pytest

from trunkline.server.watchdog import EVERY_S, FRAMES, Watch, stack_of, watching

STALL = 0.1


class Loop:
    """A loop and a thread on one clock: the loop beats unless it is held up."""

    def __init__(self, frame=sys._getframe):
        self.now = 100.0
        self.lags = []
        self.stalls = 0
        self.watch = Watch(STALL, frame, self.lags.append, self.stalled)
        self.beat_at = self.look_at = self.now

    def stalled(self):
        self.stalls += 1

    def run(self, seconds, *, held_up=False):
        end = self.now + seconds
        while (due := min(self.look_at, end if held_up else self.beat_at)) < end:
            self.now = due
            if due == self.look_at:
                self.look_at = self.now + self.watch.look(self.now)
            else:
                self.beat()
        self.now = end
        if held_up:
            self.beat()

    def beat(self):
        self.watch.beat(self.now)
        self.beat_at = self.now + EVERY_S


def lines(caplog):
    return [r for r in caplog.records if r.name == "trunkline.watchdog"]


def test_a_loop_that_comes_round_is_not_told_of(caplog):
    loop = Loop()
    loop.run(5)
    assert lines(caplog) == []
    assert len(loop.lags) == pytest.approx(5 / EVERY_S, abs=2)
    assert max(loop.lags) == pytest.approx(0, abs=1e-9)
    assert loop.stalls == 0


@pytest.mark.parametrize("began", [0, 0.01, 0.05, 0.09])
def test_a_stall_is_told_once_with_where_and_how_long(caplog, began):
    def offender():
        return sys._getframe()

    loop = Loop(frame=offender)
    loop.run(1 + began)
    loop.run(0.21, held_up=True)
    loop.run(1)
    (line,) = lines(caplog)
    assert line.levelno == logging.WARNING
    assert line.getMessage() == "the event loop stood still"
    assert line.ms + 1 >= 110 and line.ms <= 210
    assert line.where.split(" < ")[0].endswith(" offender")
    assert "test_watchdog.py" in line.where
    assert line.watch_held_up is False
    assert loop.stalls == 1
    assert max(loop.lags) == pytest.approx(line.ms / 1000, abs=0.001)


def test_a_stall_that_is_short_enough_is_only_lag(caplog):
    loop = Loop()
    loop.run(1.05)
    loop.run(STALL + 0.04, held_up=True)
    loop.run(1)
    assert lines(caplog) == []
    assert loop.stalls == 0
    assert max(loop.lags) == pytest.approx(0.09, abs=0.02)


def test_what_holds_up_the_watchdog_too_is_told_as_such(caplog):
    watch = Watch(STALL, sys._getframe)
    watch.beat(100.0)
    assert watch.look(100.0) == pytest.approx(EVERY_S + STALL)
    # Half a second later the interpreter's lock is free: this thread comes first, then the loop.
    watch.look(100.5)
    watch.beat(100.501)
    watch.look(100.6)
    (line,) = lines(caplog)
    assert line.watch_held_up is True
    assert line.ms == 401


def test_a_loop_that_does_not_come_back_is_told_of_before_it_does(caplog):
    loop = Loop()
    loop.run(1)
    loop.run(30, held_up=True)
    loop.run(1)
    (line,) = lines(caplog)
    assert line.getMessage() == "the event loop stands still"
    assert 5000 <= line.ms < 5200


def test_stalls_that_come_one_after_the_other_are_one_line_every_ten_seconds(caplog):
    loop = Loop()
    for _ in range(40):
        loop.run(0.75)
        loop.run(0.25, held_up=True)
    said = lines(caplog)
    assert 4 <= len(said) <= 5
    assert loop.stalls == 40
    first, *others = [getattr(line, "untold_before", 0) for line in said]
    assert first == 0
    assert all(9 <= untold <= 10 for untold in others)


def test_a_stack_is_short_and_holds_no_values():
    def deep(secret, depth):
        return deep(secret, depth - 1) if depth else stack_of(sys._getframe())

    said = deep("+12025550143", 20)
    assert said.count(" < ") == FRAMES - 1
    assert "2025550143" not in said
    assert stack_of(None) == ""


def blocking_work():
    time.sleep(0.15)


def test_a_real_stall_is_found_where_it_is(caplog):
    lags, stalls = [], []

    async def main():
        with watching(0.04, lag=lags.append, stalled=lambda: stalls.append(1)):
            await asyncio.sleep(0.06)
            blocking_work()
            while not lines(caplog):
                await asyncio.sleep(0.01)
            assert any(thread.name == "trunkline watchdog" for thread in threading.enumerate())

    asyncio.run(asyncio.wait_for(main(), 10))
    assert "blocking_work" in lines(caplog)[0].where
    assert lines(caplog)[0].ms >= 40
    assert stalls
    assert max(lags) >= 0.04
    assert not any(thread.name == "trunkline watchdog" for thread in threading.enumerate())


def test_it_can_be_switched_off():
    async def main():
        with watching(0):
            return [thread.name for thread in threading.enumerate()]

    assert "trunkline watchdog" not in asyncio.run(main())
