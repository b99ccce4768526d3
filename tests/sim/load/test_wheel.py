"""The wheel, in virtual time: who has turns when, and what becomes of them after a stall."""

import asyncio
import itertools
from collections import Counter

import pytest

from trunkline.sim.clock import run_virtual
from trunkline.sim.load.figures import Live
from trunkline.sim.load.wheel import SLOTS, Wheel


class Call:
    def __init__(self, times, clock):
        self._times, self._clock = times, clock

    def turn(self, now):
        self._times.append(now)


def turning(calls, seconds, stall_at=None, stall=0.0):
    """The times of each call's turns, their lateness, and how many turns were left out."""
    times, live, stalled = [[] for _ in range(calls)], Live(), [0.0]

    async def scene():
        loop = asyncio.get_running_loop()

        def clock():
            return loop.time() + stalled[0]

        def stop_the_world():
            stalled[0] = stall

        wheel = Wheel(live, clock)
        members = [Call(own, clock) for own in times]
        for member in members:
            wheel.add(member)
        if stall_at is not None:
            loop.call_later(stall_at, stop_the_world)
        await asyncio.sleep(seconds)
        wheel.remove(members[0])
        wheel.remove(members[0])
        await asyncio.sleep(0.1)
        wheel.stop()
        await asyncio.sleep(0.1)

    run_virtual(scene())
    figures = live.take()
    return times, figures.own, figures.frames_skipped


def test_every_call_has_its_turn_every_20_ms_and_all_are_spread_evenly():
    times, late, out = turning(2 * SLOTS, 1.0)
    for own in times[1:]:
        steps = [after - before for before, after in itertools.pairwise(own[1:])]
        assert steps == pytest.approx([0.02] * len(steps), abs=1e-6)
        assert len(own) == pytest.approx(55, abs=1)
    assert len(times[0]) == pytest.approx(50, abs=1)  # it was removed
    phases = Counter(round(own[5] % 0.02 * 1000) % SLOTS for own in times[1:])
    assert max(phases.values()) == 2
    assert late.most < 1.001  # the first, while the wheel begins to turn
    assert late.count == sum(map(len, times))
    assert late.counts[0] >= late.count - 2
    assert out == 0


def test_a_short_stall_is_made_up_for():
    times, late, out = turning(SLOTS, 1.0, stall_at=0.5, stall=0.15)
    assert len(times[5]) == pytest.approx(62, abs=2)
    assert late.most == pytest.approx(150, abs=2)
    assert out == 0


def test_after_a_long_one_what_is_old_is_left_out_and_counted():
    times, late, out = turning(SLOTS, 1.0, stall_at=0.5, stall=1.0)
    assert out == pytest.approx(1000 - SLOTS, abs=3)
    assert len(times[5]) == pytest.approx(56, abs=2)
    assert late.most < 30
