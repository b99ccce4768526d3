"""The demo call, held by a Pipecat pipeline and judged by ear: the bot, the person, the verdict."""

import asyncio
import warnings
from typing import NamedTuple

from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import InputDTMFFrame, InterruptionFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipeline_rig import BASE, Spy, run

from pipecat_clock import Silero, UserParams
from trunkline import carriers
from trunkline.adapters.pipecat.services import (
    OfflineLLMService,
    OfflineSTTService,
    OfflineTTSService,
)
from trunkline.bots.hibari import Hibari
from trunkline.bots.parrot import key_rules
from trunkline.bots.whisper import Whisper
from trunkline.carrier import Control
from trunkline.demo import BARGE_IN_MS, word_errors
from trunkline.media.formats import L16_8K, L16_16K
from trunkline.media.transcode import convert
from trunkline.sim.in_process import InProcess
from trunkline.sim.line import How
from trunkline.sim.measure import measure
from trunkline.sim.people import clips
from trunkline.sim.phone import Phone

GREETING = "Hello! Say something, and I will repeat it."
VOICE, EARS = Hibari(), Whisper()
SENTENCE, BARGE_IN = (
    next(clip for clip in clips() if clip.name == name)
    for name in ("amiable_woman", "amiable_himself")
)


class Keypad(FrameProcessor):
    """Names the keys that are pressed."""

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, InputDTMFFrame):
            await self.push_frame(TTSSpeakFrame(key_rules(frame.button.value, []).text))


class Bot:
    """A bot, as people write them, and what it noticed.

    ``memory`` is what the model knows in the end, ``noticed`` when it was interrupted (the loop's
    clock).
    """

    def __init__(self):
        self.memory = LLMContext()
        self._before_output = Spy()
        self.worker = None

    @property
    def noticed(self):
        return self._before_output.times(InterruptionFrame)

    @property
    def said(self):
        """Who said what, as the model knows it."""
        return [(message["role"], message["content"]) for message in self.memory.messages]

    async def converse(self, transport, rate):
        turns = UserTurnStrategies(
            stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.6)]
        )
        # Older Pipecats have what is between two pauses written down, newer ones whole turns.
        vad = Silero(params=VADParams(stop_secs=0.6))
        params = UserParams(vad_analyzer=vad, user_turn_strategies=turns)
        pair = LLMContextAggregatorPair(self.memory, user_params=params)
        processors = [
            transport.input(),
            OfflineSTTService(EARS),
            pair.user(),
            OfflineLLMService(),
            Keypad(),
            OfflineTTSService(VOICE),
            self._before_output,
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
        self.worker = worker
        await run(worker)


class Held(NamedTuple):
    """A call that is over.

    ``starts`` are the seconds at which the bot's turns began, by name, ``began`` is the call's
    beginning by the loop's clock, ``requests`` what the carrier was asked over REST.
    """

    call: object
    starts: dict
    began: float
    requests: list


async def call_up(carrier, server, person):
    """Call ``server(send)``, an ASGI application; ``person(call)`` returns when turns began."""

    async def speak(text):
        return await spoken(text), VOICE.format

    await asyncio.gather(VOICE.warm_up(), EARS.warm_up())
    phone = Phone(carrier, base=BASE, speaker=speak)
    async with InProcess(server(phone.send)) as network, phone:
        phone.network = network
        call = await phone.call()
        began = asyncio.get_running_loop().time() - call.now
        starts = await person(call)
        await call.ended()
    return Held(call, starts, began, phone.exchange.requests)


async def spoken(text):
    return b"".join([chunk async for chunk in VOICE.speak(text) if isinstance(chunk, bytes)])


async def person(call, key="5"):
    """What the demo's caller does: listens, speaks, presses a key, interrupts, says goodbye."""
    starts = {"greeting": await hear_out(call)}
    await call.say(SENTENCE.audio, SENTENCE.format, words=SENTENCE.text)
    starts["repeated"] = await hear_out(call)
    if key:
        await call.press(key)
        starts["key"] = await hear_out(call)
    await call.say("Please tell me a story.")
    starts["story"] = await call.wait_for_speech()
    await asyncio.sleep(4.0)
    await call.say(BARGE_IN.audio, BARGE_IN.format, words=BARGE_IN.text)
    starts["answer"] = await hear_out(call)
    await call.say("Goodbye.")
    starts["goodbye"] = await call.wait_for_speech()
    return starts


async def hear_out(call, within=10.0):
    began = await call.wait_for_speech(within)
    await call.wait_for_silence()
    return began


async def understood(pcm):
    return await EARS.transcribe(convert(bytes(1600) + pcm, L16_8K, L16_16K))


def judge(held, bot):
    """As the demo judges: what was heard, by ear; how it was interrupted; how it ended."""
    call, record = held.call, held.call.record()
    edges = [L16_8K.bytes_in(round(at * 1000)) for at in held.starts.values()]
    turns = [record.bot[at:to] for at, to in zip(edges, [*edges[1:], None], strict=True)]
    heard = dict(zip(held.starts, [asyncio.run(understood(turn)) for turn in turns], strict=True))
    users = [text for role, text in bot.said if role == "user"]
    assert "hello" in heard["greeting"].lower()
    assert word_errors(SENTENCE.text, users[0]) <= 0.2
    assert word_errors(f"You said: {users[0]}", heard["repeated"]) <= 0.25
    if "key" in heard:
        assert "pressed" in heard["key"]
        assert "5" in heard["key"].replace("five", "5")
    assert word_errors(BARGE_IN.text, users[2]) <= 0.2
    assert word_errors(f"You said: {users[2]}", heard["answer"]) <= 0.25
    assert "goodbye" in heard["goodbye"].lower().replace(" ", "").replace("-", "")
    cut = measure(record).barge_ins[-1]
    noticed = next(at for at in bot.noticed if at - held.began > cut.at) - held.began
    assert cut.quiet - noticed <= BARGE_IN_MS / 1000
    assert not measure(record).holes
    assert call.complaints == []
    assert_hung_up(held)


def assert_hung_up(held):
    """By the bot, over REST, and then asked whether it was, where there is such a request."""
    if carriers.get(held.call.info.carrier).supports(Control.HANG_UP):
        assert held.call.how is How.REST
        assert any(asked.method == "GET" and asked.status == 200 for asked in held.requests)
    else:
        assert held.call.how is How.DOCUMENT


def quietly(runner, coroutine):
    with warnings.catch_warnings():
        # Pipecat's own code uses what it deprecates itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        return runner(coroutine)
