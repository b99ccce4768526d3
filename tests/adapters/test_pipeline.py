"""Whole Pipecat pipelines hold whole calls: its own voice detection, turns and memory, offline
speech, a model made of rules; over every kind of carrier, in our transport and in Pipecat's own."""

import asyncio
import warnings

import pytest

with warnings.catch_warnings():  # of audioop's end, and of what Pipecat deprecates and still uses
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pipecat.services.tts_service")

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    EndWorkerFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipeline_rig import BASE, run

import trunkline.pipecat as ours
from trunkline.adapters.pipecat.runner import carrier_socket
from trunkline.adapters.pipecat.services import OfflineSTTService, OfflineTTSService
from trunkline.adapters.pipecat.transport import TrunklineTransport
from trunkline.bots.hibari import Hibari
from trunkline.bots.parrot import STORY, rules
from trunkline.bots.whisper import Whisper
from trunkline.config import Settings
from trunkline.demo import word_errors
from trunkline.events import Who
from trunkline.media.formats import L16_8K, L16_16K
from trunkline.media.transcode import convert
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.measure import measure
from trunkline.sim.people import clips
from trunkline.sim.phone import Phone

pytestmark = pytest.mark.speech

CARRIERS = ["bandwidth", "wavix", "sfvopi", "twilio"]
GREETING = "Hello! Say something, and I will repeat it."
VOICE, EARS = Hibari(), Whisper()


class Rules(FrameProcessor):
    """The model: the parrot's rules, word by word as models answer."""

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        asked = [m["content"] for m in frame.context.messages if m["role"] == "user"]
        reply = rules(asked[-1], [])
        await self.push_frame(LLMFullResponseStartFrame())
        for word in reply.text.split():
            await self.push_frame(LLMTextFrame(f"{word} "))
        await self.push_frame(LLMFullResponseEndFrame())
        if reply.hang_up:
            await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)


async def converse(transport, memory, rate=16000):
    """A bot, as people write them."""
    turns = UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.6)])
    # Older Pipecats have what is between two pauses written down, newer ones whole turns.
    vad = SileroVADAnalyzer(params=VADParams(stop_secs=0.6))
    params = LLMUserAggregatorParams(vad_analyzer=vad, user_turn_strategies=turns)
    pair = LLMContextAggregatorPair(memory, user_params=params)
    processors = [
        transport.input(),
        OfflineSTTService(EARS),
        pair.user(),
        Rules(),
        OfflineTTSService(VOICE),
        transport.output(),
        pair.assistant(),
    ]
    rates = PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=rate)
    worker = PipelineWorker(Pipeline(processors), params=rates, idle_timeout_secs=None)

    async def connected(*_):
        await worker.queue_frame(TTSSpeakFrame(GREETING))

    async def disconnected(*_):
        await worker.cancel()

    transport.add_event_handler("on_client_connected", connected)
    transport.add_event_handler("on_client_disconnected", disconnected)
    await run(worker)


async def call_up(carrier, bot, person):
    """Call ``bot``, be ``person(call)``; returns the call."""

    async def speak(text):
        return b"".join([chunk async for chunk in VOICE.speak(text)]), VOICE.format

    await asyncio.gather(VOICE.warm_up(), EARS.warm_up())
    phone = Phone(carrier, base=BASE, speaker=speak)
    settings = Settings(public_url=BASE, simulator_url="http://sim.test")
    app = create_app(bot, settings, send=phone.send)
    async with InProcess(app) as network, phone:
        phone.network = network
        call = await phone.call()
        await person(call)
        await call.ended()
    assert call.complaints == []
    return call


def quietly(runner, coroutine):
    with warnings.catch_warnings():
        # Pipecat's own code uses what it deprecates itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        return runner(coroutine)


async def hear_out(call):
    await call.wait_for_speech()
    return await call.wait_for_silence()


async def understood(pcm):
    return await EARS.transcribe(convert(bytes(1600) + pcm, L16_8K, L16_16K))


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_demo_call_in_our_transport(carrier, rate):
    memory = LLMContext()
    clip = clips()[3]
    marks = {}

    async def bot(call):
        await converse(TrunklineTransport(call), memory, rate)

    async def person(call):
        await hear_out(call)
        await call.say(clip.audio, clip.format)
        await hear_out(call)
        await call.say("Please tell me a story.")
        marks["story"] = await call.wait_for_speech()
        await asyncio.sleep(4.0)
        await call.say("Wait a moment.")
        await call.wait_until(lambda: not call.speaking, "the story to stop", 3)
        await hear_out(call)
        await call.say("Goodbye.")
        marks["goodbye"] = await call.wait_for_speech()

    call = quietly(run_virtual, call_up(carrier, bot, person))
    said = [(m["role"], m["content"]) for m in memory.messages]
    roles, texts = zip(*said, strict=True)
    assert roles == ("assistant", "user") * 4 + ("assistant",)
    assert texts[0] == GREETING
    assert word_errors(clip.text, texts[1]) <= 0.25
    assert texts[2] == f"You said: {texts[1]}"
    # The story was cut, and the model knows to about a word what of it the caller heard.
    assert STORY.startswith(texts[4])
    cut = measure(call.record()).barge_ins[-1]
    story_s = cut.quiet - marks["story"]
    whole_s = len(asyncio.run(said_aloud(STORY.split(".")[0] + "."))) / 2 / VOICE.format.rate
    words = len(STORY.split(".")[0].split()) * min(1.0, story_s / whole_s)
    assert len(texts[4].split()) == pytest.approx(words, abs=2)
    # The last word is heard to its end, and only then the call is hung up.
    assert texts[-1] == "Goodbye!"
    last = call.heard[L16_8K.bytes_in(marks["goodbye"] * 1000) :]
    assert "goodbye" in asyncio.run(understood(last)).lower().replace(" ", "").replace("-", "")
    assert call.reason.who is Who.BOT
    assert not measure(call.record()).holes


async def said_aloud(text):
    return b"".join([chunk async for chunk in VOICE.speak(text)])


SERIALIZERS = {  # and how many ids they want
    "bandwidth": (ours.BandwidthFrameSerializer, 2),
    "wavix": (ours.WavixFrameSerializer, 1),
    "sfvopi": (ours.SFVoPIFrameSerializer, 2),
    "twilio": (ours.TwilioFrameSerializer, 2),
}


def test_a_call_in_pipecats_transport_with_our_serializers():
    """In real time, since that transport reads the machine's clock; all carriers at once."""
    memories = {carrier: LLMContext() for carrier in CARRIERS}

    async def hold(carrier):
        async def bot(call):
            kind, ids = SERIALIZERS[carrier]
            serializer = kind(*[call.id] * ids, params=kind.InputParams(auto_hang_up=False))
            async with carrier_socket(call) as socket:
                params = FastAPIWebsocketParams(
                    audio_in_enabled=True,
                    audio_out_enabled=True,
                    audio_out_10ms_chunks=2,  # one of them takes 20 ms a message and nothing else
                    serializer=serializer,
                )
                await converse(FastAPIWebsocketTransport(socket, params), memories[carrier])

        async def person(call):
            await hear_out(call)
            await call.say("Goodbye.")

        return await call_up(carrier, bot, person)

    async def main():
        return await asyncio.gather(*map(hold, CARRIERS))

    for call in quietly(asyncio.run, main()):
        texts = [m["content"] for m in memories[call.info.carrier].messages]
        assert texts[0] == GREETING
        assert texts[-1] == "Goodbye!"
        assert call.reason.who is Who.BOT
