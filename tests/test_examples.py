"""The examples do what they say."""

import asyncio
import runpy
from pathlib import Path

import pytest

from trunkline import carriers
from trunkline.carrier import Control
from trunkline.config import Settings
from trunkline.media.formats import L16_8K
from trunkline.media.tones import DtmfDetector
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone
from trunkline.sim.program import Callee, Outcome

EXAMPLES = Path(__file__).parent.parent / "examples"
BASE = "https://bot.example.com"


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize(
    "carrier", [n for n in carriers.names() if carriers.get(n).supports(Control.DIAL)]
)
def test_outbound_calls_each_number_once_and_tells(carrier, outcome, capsys):
    example = runpy.run_path(str(EXAMPLES / "outbound.py"))
    numbers = ["+12025550123", "+12025550124"]

    async def main():
        phone = Phone(carrier, base=BASE, callee=Callee(outcome=outcome))
        settings = Settings(public_url=BASE, simulator_url="http://simulator.test")
        app = create_app(example["bot"], settings, send=phone.send)
        async with phone, InProcess(app) as phone.network:
            campaign = example["campaign"](
                app.state.trunkline, [*numbers, numbers[0]], carrier=carrier
            )
            calls = asyncio.create_task(campaign)
            placed = [await phone.next_call() for _ in numbers]
            await calls
            assert phone.exchange.placed.empty()
            return placed

    placed = run_virtual(main())
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == [*numbers, numbers[0]]
    assert [call.info.to for call in placed] == numbers
    if outcome is Outcome.ANSWER:
        assert all(line.endswith("heard it") for line in told)
        assert {DtmfDetector(L16_8K).push(call.heard) for call in placed} == {"1234567"}
    else:
        assert not any("heard" in line for line in told)
