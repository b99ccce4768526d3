"""The alarm of a call, in virtual time."""

import asyncio
import math
from math import inf

import pytest
import uvloop

from trunkline.alarm import Alarm
from trunkline.sim.clock import run_virtual


def test_rings_once_at_the_earliest_time_it_was_set_to():
    async def main():
        loop = asyncio.get_running_loop()
        rang = []
        alarm = Alarm(lambda: rang.append(round(loop.time() - began, 4)))
        began = loop.time()
        for seconds in (inf, 5, 7, 2, 3):
            alarm.set(began + seconds)
        await asyncio.sleep(20)
        alarm.set(loop.time() + 1.0004)
        await asyncio.sleep(20)
        alarm.set(loop.time() + 1)
        alarm.off()
        await asyncio.sleep(20)
        return rang

    assert run_virtual(main()) == [2, pytest.approx(21.0004, abs=0.001)]


def test_never_rings_before_its_time_on_a_loop_that_counts_milliseconds():
    async def main():
        loop = asyncio.get_running_loop()
        early = []
        for microseconds in range(1, 1000, 97):
            at = loop.time() + 0.002 + microseconds / 1e6
            rings = asyncio.Event()

            def ring(at=at, rings=rings):
                early.append(loop.time() < at)
                rings.set()

            Alarm(ring).set(at)
            await rings.wait()
        return early

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        early = runner.run(main())
    assert len(early) == 11
    assert not any(early)


def test_never_rings_an_instant_too_early():
    """Who is rung before the time they asked for asks again: virtual time would never go on."""

    async def main():
        loop = asyncio.get_running_loop()
        early = []
        for whole in range(200):
            at = math.nextafter(round(loop.time() + 0.237 + whole / 7, 3), inf)
            rings = asyncio.Event()

            def ring(at=at, rings=rings):
                early.append(loop.time() < at)
                rings.set()

            Alarm(ring).set(at)
            await rings.wait()
        return early

    early = run_virtual(main())
    assert len(early) == 200
    assert not any(early)
