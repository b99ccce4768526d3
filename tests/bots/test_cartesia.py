"""The Cartesia bot in whole calls, at every carrier, against the simulated service."""

import asyncio

import pytest

from trunkline import carriers
from trunkline.bots.turns import TurnState
from trunkline.events import Who, Why

from .cartesia_rig import Scene, hold

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
