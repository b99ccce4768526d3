"""The Cartesia bot in whole calls, at every carrier, against the simulated service."""

import asyncio

import pytest

from trunkline import carriers
from trunkline.bots import cartesia
from trunkline.bots.turns import Reply, TurnState
from trunkline.errors import ConfigError
from trunkline.events import Who, Why
from trunkline.sim.clock import run_virtual

from .cartesia_rig import KEY, Scene, hold

every_carrier = pytest.mark.parametrize("carrier", carriers.names())
both_endpoints = pytest.mark.parametrize("turns", [False, True], ids=["manual", "turns"])


@every_carrier
@both_endpoints
def test_a_whole_conversation(carrier, turns):
    scene = Scene()

    async def play(phone):
        call = await phone.call()
        await call.wait_for_silence(1000)
        await call.say(scene.sound("I want a table"))
        await call.wait_for_silence(1500)
        await call.say(scene.sound("tell me a story"))
        await call.wait_for_speech()
        await asyncio.sleep(2)
        await call.say(scene.sound("stop it"))
        await call.wait_for_silence(1500)
        await call.say(scene.sound("goodbye"))
        await call.ended(30)
        return call

    call = hold(carrier, scene, play, scene.bot(turns=turns))
    heard = scene.heard(call)
    assert heard.startswith("hello what do you want you said i want a table once upon a time")
    assert heard.endswith("you said stop it goodbye")
    assert "they all went away" not in heard
    assert call.complaints == scene.service.complaints == []
    assert call.reason.why is Why.COMPLETED
    assert scene.service.opened == 3  # one to warm up, two for the call
    cut = next(turn for turn in scene.turns if turn.state is TurnState.CUT)
    story = heard[heard.index("once") : heard.rindex(" you said")]
    assert abs(len(cut.heard.split()) - len(story.split())) <= 1
    callers = [turn.text for turn in scene.turns if turn.who is Who.CALLER]
    assert callers == ["i want a table", "tell me a story", "stop it", "goodbye"]


def test_a_silent_caller_is_asked_in_words_of_yours():
    scene = Scene()

    async def play(phone):
        call = await phone.call()
        await call.ended(60)
        return call

    bot = scene.bot(silences=["Anybody?", Reply("Well then", hang_up=True)], silence_s=3)
    call = hold("bandwidth", scene, play, bot)
    assert scene.heard(call) == "hello what do you want anybody well then"


def test_the_greeting_is_spoken_once_and_then_heard_at_once():
    scene = Scene(first_ms=2000)  # a slow voice

    async def play(phone):
        for _ in range(2):
            call = await phone.call()
            begun = await call.wait_for_speech()
            assert begun < 0.5
            await call.wait_for_silence(500)
            await call.hang_up()

    hold("twilio", scene, play)
    assert len(scene.service.audio_out) == 2  # its two sentences


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"api_key": "wrong"}, "401"),
        ({"model": "mumble"}, "Bad request"),
    ],
)
def test_what_is_set_wrong_is_told_before_there_is_a_call(change, what):
    async def main():
        scene = Scene()
        with pytest.raises(ConfigError, match=what) as told:
            await scene.bot(**change).warm_up()
        assert "CARTESIA_API_KEY" in str(told.value)
        assert KEY not in str(told.value)
        await asyncio.sleep(0.1)
        assert scene.service.open == 0

    run_virtual(main())


def test_a_service_that_is_away_at_first_keeps_no_server_from_starting():
    scene = Scene()
    scene.service.refuse(*[503] * 7)

    async def play(phone):
        call = await phone.call()
        await call.wait_for_silence(1000)
        await call.hang_up()
        return call

    assert scene.heard(hold("bandwidth", scene, play)) == "hello what do you want"
    assert scene.service.refused == 7


def test_a_bot_that_says_nothing_first_needs_no_service_to_start():
    async def main():
        scene = Scene()
        await scene.bot(greeting="").warm_up()
        assert scene.service.opened == 0

    run_virtual(main())


async def say_nothing(text, history):
    return ""


def test_key_and_voice_come_from_the_environment(monkeypatch):
    for name in ("CARTESIA_API_KEY", "CARTESIA_VOICE_ID", "CARTESIA_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="set CARTESIA_API_KEY"):
        cartesia.bot(say_nothing)
    monkeypatch.setenv("CARTESIA_API_KEY", "sk")
    with pytest.raises(ConfigError, match="set CARTESIA_VOICE_ID"):
        cartesia.bot(say_nothing)
    monkeypatch.setenv("CARTESIA_VOICE_ID", "v")
    cartesia.bot(say_nothing)
    monkeypatch.setenv("CARTESIA_URL", "https://c.test")
    with pytest.raises(ConfigError, match="wss://"):
        cartesia.bot(say_nothing)
