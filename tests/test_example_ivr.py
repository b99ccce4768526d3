"""The menu among the examples: every way through it, over every carrier, told from what is heard.

Its lines are spoken as keypad tones, two to a line, so that the recording can be read back.
"""

import asyncio
import runpy
from pathlib import Path

import pytest

from trunkline import carriers
from trunkline.bots.whisper import Whisper
from trunkline.carrier import Control
from trunkline.cli import load_bot
from trunkline.config import Settings
from trunkline.media.formats import L16_8K, L16_16K
from trunkline.media.tones import DtmfDetector, dtmf
from trunkline.media.transcode import convert
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.line import How
from trunkline.sim.phone import Phone
from trunkline.sim.program import Outcome, Party

PATH = Path(__file__).parent.parent / "examples" / "ivr" / "bot.py"
IVR = runpy.run_path(str(PATH))
BASE = "https://bot.example.com"
NAMES = carriers.names()
TRANSFERS = [n for n in NAMES if carriers.get(n).supports(Control.TRANSFER)]
# Whose transfers, when they fail, ask our webhook how to go on.
COMES_BACK = [n for n in TRANSFERS if carriers.get(n).asks_after]
TWO = IVR["BALANCE"].format(IVR["BALANCES"]["4711"])
LINES = [*IVR["LINES"], TWO]


class Tones:
    """A voice that says the number of a line."""

    format = L16_8K

    def __init__(self):
        self.said = []

    async def speak(self, text):
        self.said.append(text)
        yield dtmf(f"A{LINES.index(text):02}", L16_8K) + bytes(16 * 500)


def menu(carrier, caller, **options):
    """A call, and the lines that its caller heard whole."""
    bot = IVR["Bank"](Tones())

    async def main():
        phone = Phone(carrier, base=BASE, **options)
        settings = Settings(public_url=BASE, simulator_url="http://simulator.test")
        app = create_app(bot, settings, send=phone.send)
        async with phone, InProcess(app) as phone.network:
            call = await phone.call()
            await caller(call)
            await call.ended(120)
            await asyncio.sleep(5)
            assert phone.exchange.left_open() == []
        return call

    call = run_virtual(main())
    assert call.complaints == []
    assert max(map(bot.voice.said.count, bot.voice.said)) == 1
    heard = DtmfDetector(L16_8K).push(call.heard).split("A")[1:]
    return call, [LINES[int(number)] for number in heard if len(number) == 2]


async def press(call, keys, after=2.0):
    await asyncio.sleep(after)
    await call.press(keys)


def lines(*names):
    return [IVR[name] for name in names]


@pytest.mark.parametrize("carrier", NAMES)
def test_a_balance_is_told_to_who_knows_the_number(carrier, caplog):
    caplog.set_level("DEBUG")

    async def caller(call):
        await press(call, "1", after=4)
        await press(call, "4711#")
        await press(call, "1", after=5)
        await press(call, "999#")
        await press(call, "9", after=5)

    call, heard = menu(carrier, caller)
    assert heard == [
        *lines("WELCOME", "MENU", "ACCOUNT"),
        TWO,
        *lines("MENU", "ACCOUNT", "UNKNOWN", "MENU", "GOODBYE"),
    ]
    assert call.how is not How.CALLER
    assert "4711" not in caplog.text


@pytest.mark.parametrize("carrier", ["bandwidth", "twilio", "wavix"])
def test_a_key_cuts_the_question_off(carrier):
    async def caller(call):
        await call.wait_for_speech()
        await press(call, "1", after=0.1)
        await press(call, "4711#", after=0.2)
        await press(call, "9", after=4)

    _, heard = menu(carrier, caller)
    assert heard == [TWO, *lines("MENU", "GOODBYE")]


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("carrier", COMES_BACK)
def test_a_person_is_asked_for(carrier, outcome):
    async def caller(call):
        await press(call, "0", after=4)
        if outcome is not Outcome.ANSWER:
            await press(call, "9", after=9)

    call, heard = menu(carrier, caller, party=Party(outcome=outcome, talk_s=20))
    begin = lines("WELCOME", "MENU", "WAIT")
    if outcome is Outcome.ANSWER:
        assert heard == begin
    else:
        assert heard == [*begin, *lines("NOBODY", "MENU", "GOODBYE")]
    assert call.line.idle_s < 60


@pytest.mark.parametrize("carrier", [n for n in NAMES if n not in TRANSFERS])
def test_a_carrier_that_cannot_put_through_says_so(carrier):
    async def caller(call):
        await press(call, "0", after=4)
        await press(call, "9", after=6)

    _, heard = menu(carrier, caller)
    assert heard == lines("WELCOME", "MENU", "WAIT", "CANNOT", "MENU", "GOODBYE")


@pytest.mark.parametrize("carrier", ["bandwidth", "telnyx"])
def test_who_says_nothing_is_asked_three_times(carrier):
    async def caller(call):
        pass

    _, heard = menu(carrier, caller)
    assert heard == lines("WELCOME", *["MENU", "WRONG"] * 3, "GOODBYE")


@pytest.mark.speech
def test_it_speaks_as_it_is_served():
    bot = load_bot(str(PATH))

    async def main():
        phone = Phone("bandwidth", base=BASE)
        settings = Settings(public_url=BASE, simulator_url="http://simulator.test")
        app = create_app(bot, settings, send=phone.send)
        async with phone, InProcess(app) as phone.network:
            call = await phone.call()
            await call.wait_for_speech()
            await call.wait_for_silence()
            await call.press("9")
            await call.ended()
        return await Whisper().transcribe(convert(call.heard, L16_8K, L16_16K))

    text = run_virtual(main()).lower()
    for words in ("riverside bank", "balance", "goodbye"):
        assert words in text
