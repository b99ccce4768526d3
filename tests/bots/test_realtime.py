"""Calls with the simulated Realtime service, from the first ring to the verified hang-up."""

import asyncio

import pytest

from trunkline import carriers
from trunkline.bots.turns import TurnState
from trunkline.carrier import Control
from trunkline.events import Who
from trunkline.media.formats import L16_8K
from trunkline.media.tones import dtmf
from trunkline.sim.faults import Faults
from trunkline.sim.line import How

from .realtime_rig import GREETING, STORY, Kitchen, in_restaurant

CARRIERS = carriers.names()


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_call_is_greeted_answered_interrupted_and_hung_up(carrier):
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        await restaurant.say(call, "a table please")
        assert await restaurant.reply(call) == "booked for 2"
        await restaurant.say(call, "the story please")
        begun = await call.wait_for_speech(within=20)
        await asyncio.sleep(3.0)
        await restaurant.say(call, "stop it")
        assert not call.speaking
        heard = restaurant.words(call, begun)
        assert STORY.startswith(heard)
        assert 9 <= len(heard.split()) <= 13
        assert await restaurant.reply(call) == "you said stop it"
        await restaurant.say(call, "goodbye")
        begun = await call.wait_for_speech(within=20)
        await call.ended()
        assert restaurant.words(call, begun) == "goodbye"
        assert call.reason.who is Who.BOT
        rest = carriers.get(carrier).supports(Control.HANG_UP)
        assert call.how is (How.REST if rest else How.DOCUMENT)
        assert not call.complaints
        assert not call.holes
        assert not restaurant.service.complaints

        spoken = [turn for turn in restaurant.turns if turn.state is not TurnState.BEGUN]
        assert [(turn.who, turn.state) for turn in spoken if turn.state is TurnState.CUT] == [
            (Who.BOT, TurnState.CUT)
        ]
        assert restaurant.heard_of_caller() == [
            "a table please",
            "the story please",
            "stop it",
            "goodbye",
        ]
        (cut,) = [item for item in restaurant.service.sessions[0].items if item.heard_ms]
        # What the model knows it said is what the caller heard of it, but for a word cut in two.
        assert abs(len(cut.text.split()) - len(heard.split())) <= 1

    in_restaurant(carrier, scene)


class Monotone(Kitchen):
    """Says everything in one sound of 10 s, so that it can be heard to the millisecond."""

    async def speak(self, text, audio):
        return dtmf("1", audio, tone_ms=10_000, gap_ms=0)


def misheard(carrier, **line):
    """By how many ms the service was told otherwise than the caller heard, at each interruption."""
    errors = []

    async def scene(restaurant, call):
        for moment in (0.3, 2.37, 7.777):
            await restaurant.say(call, "the story please")
            begun = await call.wait_for_speech(within=20)
            await asyncio.sleep(moment)
            await restaurant.say(call, "stop it")
            heard = memoryview(call.heard[L16_8K.bytes_in((begun - 0.1) * 1000) :]).cast("h")
            loud = [at for at, sample in enumerate(heard) if abs(sample) > 300]
            cut = [item for item in restaurant.service.sessions[0].items if item.heard_ms][-1]
            errors.append(cut.heard_ms - (loud[-1] - loud[0]) / 8)
            await call.wait_for_speech(within=20)
            await call.wait_for_silence(1000)
        assert not restaurant.service.complaints

    phone = {"faults": Faults(**line)}
    in_restaurant(carrier, scene, greeting="", model=Monotone(), phone=phone)
    return errors


@pytest.mark.parametrize("carrier", ["bandwidth", "sfvopi", "twilio", "vonage"])
def test_the_service_knows_to_the_millisecond_what_was_heard(carrier):
    assert max(map(abs, misheard(carrier))) <= 1


@pytest.mark.parametrize("carrier", ["bandwidth", "telnyx"])
def test_it_knows_even_if_the_line_is_long(carrier):
    assert max(map(abs, misheard(carrier, delay_ms=60))) <= 1


@pytest.mark.parametrize("carrier", ["bandwidth", "twilio"])
def test_it_is_wrong_by_no_more_than_the_line_wavers(carrier):
    errors = misheard(carrier, delay_ms=30, jitter_ms=20)
    assert 1 < max(map(abs, errors)) <= 20
