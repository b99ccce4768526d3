"""The receptionist of examples/realtime, on the simulated service and its model of rules."""

import asyncio
import re
import runpy
from pathlib import Path

import pytest

from trunkline import carriers
from trunkline.bots.realtime import Realtime
from trunkline.carrier import Control
from trunkline.events import Who
from trunkline.sim.line import How
from trunkline.sim.program import Outcome, Party
from trunkline.sim.services import realtime_model

from .realtime_rig import in_restaurant

BOT = Path(__file__).parents[2] / "examples" / "realtime" / "bot.py"


class Rules:
    reply = staticmethod(realtime_model.rules)


@pytest.fixture
def bot(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    return runpy.run_path(str(BOT))["bot"]


def hold(bot, carrier, scene, **given):
    def reached(connect):
        bot.connect = connect

    in_restaurant(carrier, scene, bot=bot, model=Rules(), wrap=reached, **given)


def test_the_code_on_the_page_runs(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    page = (BOT.parents[2] / "docs" / "realtime.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(compile(code, "docs", "exec"), names)
    assert isinstance(names["bot"], Realtime)


def test_it_is_short():
    assert len(BOT.read_text().splitlines()) <= 40


@pytest.mark.parametrize("carrier", ["bandwidth", "telnyx", "twilio", "vonage"])
def test_it_greets_answers_is_interrupted_and_hangs_up(carrier, bot):
    async def scene(hotel, call):
        greeting = "hello this is an offline model what can i do for you"
        begun = await call.wait_for_speech()
        assert begun < 1.5
        await call.wait_for_silence()
        assert hotel.words(call) == greeting
        await hotel.say(call, "is a room free for two nights")
        assert await hotel.reply(call) == "the answer is 3 rooms for 2 nights"
        await hotel.say(call, "then tell me something long")
        begun = await call.wait_for_speech(within=20)
        await asyncio.sleep(1)
        await hotel.say(call, "no wait")
        heard = hotel.words(call, begun)
        assert "you said then tell me something long".startswith(heard)
        assert 3 <= len(heard.split()) <= 6
        assert await hotel.reply(call) == "you said no wait"
        await hotel.say(call, "goodbye")
        begun = await call.wait_for_speech(within=20)
        reason = await call.ended()
        assert hotel.words(call, begun) == "goodbye"
        assert reason.who is Who.BOT
        rest = carriers.get(carrier).supports(Control.HANG_UP)
        assert call.how is (How.REST if rest else How.DOCUMENT)
        assert not hotel.service.complaints
        assert not call.complaints

    hold(bot, carrier, scene)


def test_it_transfers_and_is_there_again_when_nobody_answers(bot):
    async def scene(hotel, call):
        await call.wait_for_speech()
        await call.wait_for_silence()
        await hotel.say(call, "transfer me to the manager")
        assert "busy" in await hotel.reply(call)

    hold(bot, "twilio", scene, phone={"party": Party(outcome=Outcome.BUSY)})
