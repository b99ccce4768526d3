import asyncio

import pytest

from trunkline.sim.clock import run_virtual
from trunkline.sim.deadline import Overdue, deadline


def test_it_names_what_was_awaited():
    async def main():
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Overdue, match=r"waited 2\.5 s in vain for the milkman") as caught:
            async with deadline(2.5, "the milkman"):
                await asyncio.sleep(3)
        assert (caught.value.awaited, caught.value.seconds) == ("the milkman", 2.5)
        return asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) == pytest.approx(2.5)


def test_other_timeouts_are_not_its_own():
    async def main():
        async with deadline(2, "anything"):
            await asyncio.sleep(1)
        with pytest.raises(TimeoutError) as caught:
            async with deadline(2, "anything"):
                raise TimeoutError("of somebody else")
        assert not isinstance(caught.value, Overdue)

    run_virtual(main())
