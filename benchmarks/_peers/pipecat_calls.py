"""Twilio calls in a Pipecat pipeline, on its FastAPI transport with its serializer.

    python pipecat_calls.py PORT RATE echo|speak

``echo`` returns what is heard; ``speak`` speaks for a minute, and begins
anew at a key.
"""

import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import (
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    StartFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

app = FastAPI()
port, rate, bot = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
speech = b"\x00\x20\x00\xe0" * (rate // 2 * 60)


class Bot(FrameProcessor):
    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        begins = isinstance(frame, StartFrame)
        if isinstance(frame, InputAudioRawFrame):
            if bot == "speak":
                return
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, 1)
        elif isinstance(frame, InputDTMFFrame):
            frame, begins = InterruptionFrame(), True
        await self.push_frame(frame, direction)
        if begins and bot == "speak":
            await self.push_frame(OutputAudioRawFrame(speech, rate, 1), direction)


@app.websocket("/")
async def media(line: WebSocket):
    await line.accept()
    start = {}
    while start.get("event") != "start":
        start = await line.receive_json()
    serializer = TwilioFrameSerializer(
        start["start"]["streamSid"] if "streamSid" in start["start"] else start["streamSid"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    params = FastAPIWebsocketParams(
        audio_in_enabled=True,
        audio_out_enabled=True,
        audio_out_10ms_chunks=2,
        serializer=serializer,
    )
    transport = FastAPIWebsocketTransport(line, params)
    worker = PipelineWorker(
        Pipeline([transport.input(), Bot(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=rate),
        idle_timeout_secs=None,
        enable_rtvi=False,
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(*_):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


logger.remove()
logger.add(sys.stderr, level="ERROR")
uvicorn.run(app, port=port, log_level="error", loop="uvloop", ws="websockets-sansio")
