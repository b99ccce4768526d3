"""Coroutines begun at once."""

import asyncio

import pytest

from trunkline.server.eager import at_once, eagerly
from trunkline.sim.clock import run_virtual


def test_what_waits_for_nothing_is_done_at_once():
    async def work(fails):
        if fails:
            raise OSError("no")
        return "yes"

    async def main():
        good, bad = eagerly(work(False)), eagerly(work(True))
        assert good.done()
        with pytest.raises(OSError, match="no"):
            bad.result()
        return good.result(), len(asyncio.all_tasks())

    assert run_virtual(main()) == ("yes", 1)


def test_what_waits_for_nothing_leaves_nothing_to_wait_for():
    async def work(steps, fails=False):
        steps.append("begun")
        if fails:
            raise OSError("no")
        if len(steps) > 1:
            await asyncio.sleep(1)
            steps.append("done")

    async def main():
        steps = []
        assert at_once(work(steps)) is None
        with pytest.raises(OSError, match="no"):
            at_once(work([], fails=True))
        rest = at_once(work(steps))
        assert steps == ["begun"] * 2
        await rest
        return steps

    assert run_virtual(main()) == ["begun", "begun", "done"]


def test_what_has_to_wait_goes_on_by_itself():
    async def work(steps):
        for step in range(3):
            steps.append(step)
            await asyncio.sleep(step)
        return steps

    async def main():
        steps = []
        rest = eagerly(work(steps))
        assert not rest.done()
        assert steps == [0]
        return await rest

    assert run_virtual(main()) == [0, 1, 2]


@pytest.mark.parametrize("stubborn", [False, True])
def test_it_hears_that_it_is_cancelled(stubborn):
    async def work(said):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            said.append("cancelled")
            if not stubborn:
                raise
        await asyncio.sleep(1)
        return said

    async def main():
        said = []
        rest = eagerly(work(said))
        await asyncio.sleep(1)
        rest.cancel()
        await asyncio.wait([rest])
        return rest.cancelled(), said

    assert run_virtual(main()) == (not stubborn, ["cancelled"])


def test_what_it_waits_for_may_fail():
    async def work(other):
        try:
            await other
        except LookupError:
            return "caught"

    async def main():
        other = asyncio.get_running_loop().create_future()
        rest = eagerly(work(other))
        other.set_exception(LookupError())
        return await rest

    assert run_virtual(main()) == "caught"
