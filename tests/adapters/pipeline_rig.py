"""A pipeline on a call through a simulated carrier, in virtual time; nothing here is a double."""

import asyncio
import warnings

import numpy as np
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from trunkline.adapters.pipecat.transport import TrunklineTransport
from trunkline.config import Settings
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone

BASE = "https://bot.test"


def tone(seconds, rate=16000, hz=440):
    wave = np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * hz / rate)
    return (wave * 8000).astype("<i2").tobytes()


def speech(text, seconds, rate=16000, frame_s=0.2):
    """What a service that tells no words' times pushes for one answer."""
    audio = tone(seconds, rate)
    size = round(frame_s * rate) * 2
    pieces = [audio[at : at + size] for at in range(0, len(audio), size)]
    return [
        TTSStartedFrame(context_id="1"),
        *[TTSAudioRawFrame(piece, rate, 1, context_id="1") for piece in pieces],
        TTSTextFrame(text, "sentence", context_id="1"),
        TTSStoppedFrame(context_id="1"),
    ]


class Spy(FrameProcessor):
    """Takes down what comes by, with the time it came at."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = []
        self.errors = []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, ErrorFrame):
            self.errors.append(frame.error)
        if direction is FrameDirection.DOWNSTREAM:
            self.seen.append((asyncio.get_running_loop().time(), frame))
        await self.push_frame(frame, direction)

    def frames(self, kind):
        return [frame for _, frame in self.seen if isinstance(frame, kind)]

    def times(self, kind):
        return [at for at, frame in self.seen if isinstance(frame, kind)]

    @property
    def text(self):
        return " ".join(frame.text for frame in self.frames(TTSTextFrame))


class Held:
    """A pipeline that holds a call: ``before`` sees what came from the caller, ``after`` what
    they heard; ``last`` are processors after it."""

    def __init__(self, call, params=None, rate=16000, last=()):
        self.call = call
        self.transport = TrunklineTransport(call, params)
        self.before, self.after = Spy(), Spy()
        self.worker = worker(
            [self.transport.input(), self.before, self.transport.output(), self.after, *last], rate
        )
        self.events = []
        for name in ("connected", "disconnected"):
            self.note(f"on_client_{name}")
        for name in ("on_session_timeout", "on_dtmf", "on_playback_finished"):
            self.note(name)

    def note(self, name):
        async def noted(_, what):
            self.events.append((name, what))

        self.transport.add_event_handler(name, noted)

    def named(self, name):
        return [what for event, what in self.events if event == name]

    async def say(self, *frames):
        await self.worker.queue_frames(frames)

    async def end(self):
        await self.worker.queue_frame(EndFrame())


def worker(processors, rate=16000):
    params = PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=rate)
    return PipelineWorker(Pipeline(processors), params=params, idle_timeout_secs=None)


async def run(the_worker):
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(the_worker)
    await runner.run()


def on_call(
    scene,
    *,
    carrier="bandwidth",
    bot=None,
    params=None,
    rate=16000,
    last=(),
    complaints=(),
    **options,
):
    """Run ``scene(phone_call, held)`` beside a pipeline that holds the call; returns both.

    ``complaints`` are what the carrier is expected to find wrong.
    """

    async def main():
        holding = asyncio.get_running_loop().create_future()

        async def the_bot(call):
            held = Held(call, params() if params else None, rate, [make() for make in last])
            holding.set_result(held)
            await run(held.worker)

        phone = Phone(carrier, base=BASE, **options)
        settings = Settings(public_url=BASE, simulator_url="http://sim.test")
        app = create_app(bot or the_bot, settings, send=phone.send)
        async with InProcess(app) as network, phone:
            phone.network = network
            call = await phone.call()
            held = None if bot else await holding
            await scene(call, held)
            if call.reason is None:
                await call.hang_up()
        assert call.complaints == list(complaints)
        return call, held

    with warnings.catch_warnings():
        # Pipecat's own code uses what it deprecates itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        return run_virtual(main())
