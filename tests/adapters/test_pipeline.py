"""Whole Pipecat pipelines hold the demo call: Pipecat's own voice detection, turns and memory,
offline speech, a model made of rules; over every kind of carrier, in our transport and in
Pipecat's own with our serializers."""

import asyncio
import warnings
from functools import partial

import pytest

with warnings.catch_warnings():  # of audioop's end, and of what Pipecat deprecates and still uses
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pipecat.services.tts_service")
    pytest.register_assert_rewrite("demo_call")

from by_hand import ByHand
from demo_call import (
    VOICE,
    Bot,
    assert_hung_up,
    call_up,
    hear_out,
    judge,
    person,
    quietly,
    spoken,
)
from pipecat.transports.websocket.fastapi import FastAPIWebsocketTransport
from pipeline_rig import BASE

from trunkline.adapters.pipecat.transport import TrunklineTransport
from trunkline.bots.parrot import STORY
from trunkline.config import Settings
from trunkline.events import Who
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.measure import measure

pytestmark = pytest.mark.speech

LINES = [("bandwidth", 16000), ("wavix", 8000), ("sfvopi", 8000), ("twilio", 16000)]
"""Carriers, and the rate of the pipeline; in Pipecat's transport, the other one of 8 and 16 kHz."""


def ours(bot):
    """Our server, and on each call of it ``bot(call)``."""
    settings = Settings(public_url=BASE, simulator_url="http://sim.test")
    return lambda send: create_app(bot, settings, send=send)


@pytest.mark.parametrize(("carrier", "rate"), LINES)
def test_the_demo_call_in_our_transport(carrier, rate):
    bot = Bot()

    async def on_call(call):
        await bot.converse(TrunklineTransport(call), rate)

    held = quietly(run_virtual, call_up(carrier, ours(on_call), person))
    judge(held, bot)
    assert held.call.reason.who is Who.BOT
    # What the model knows of the story is what of it the caller heard, to about a word.
    roles, texts = zip(*bot.said, strict=True)
    assert "".join(role[0] for role in roles) == "auaauauaua"
    assert STORY.startswith(texts[5])
    first = STORY.split(".")[0] + "."
    whole_s = VOICE.format.ms_in(len(asyncio.run(spoken(first)))) / 1000
    heard_s = measure(held.call.record()).barge_ins[-1].quiet - held.starts["story"]
    words = len(first.split()) * min(1.0, heard_s / whole_s)
    assert len(texts[5].split()) == pytest.approx(words, abs=2)


@pytest.mark.parametrize(("carrier", "rate"), [(name, 24000 - rate) for name, rate in LINES])
def test_the_demo_call_in_pipecats_transport_with_our_serializer(carrier, rate):
    bot = Bot()

    def server(send):
        return ByHand(carrier, BASE, send, bot, rate).app

    # Wavix tells no keys unless asked to over REST; our server hears them in the audio instead.
    the_person = partial(person, key="" if carrier == "wavix" else "5")
    judge(quietly(run_virtual, call_up(carrier, server, the_person)), bot)


def test_a_call_in_pipecats_transport_as_it_is():
    """In real time, since its pacer reads the machine's clock; and therefore short."""
    bot = Bot()

    def server(send):
        return ByHand("twilio", BASE, send, bot, 16000, FastAPIWebsocketTransport).app

    async def briefly(call):
        starts = {"greeting": await hear_out(call, within=60)}
        await call.say("Goodbye.")
        return starts | {"goodbye": await call.wait_for_speech(within=60)}

    held = quietly(asyncio.run, call_up("twilio", server, briefly))
    assert bot.said[-1] == ("assistant", "Goodbye!")
    assert_hung_up(held)
    assert held.call.complaints == []
