"""Plivo calls in a Pipecat pipeline, on agent-transport's adapter for Pipecat, echoed.

    python agent_transport_pipecat_calls.py PORT

As the package's README and docstrings have it (0.2.2): its ``WebsocketServerTransport`` hands each
call's transport to a handler, which runs a pipeline. The loop is uvloop's, as for other servers.
"""

import sys

import uvloop
from agent_transport.audio_stream.pipecat.serializers.plivo import PlivoFrameSerializer
from agent_transport.audio_stream.pipecat.transports.websocket import WebsocketServerTransport
from loguru import logger
from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

RATE = 8000

logger.remove()
logger.add(sys.stderr, level="ERROR")
server = WebsocketServerTransport(
    serializer=PlivoFrameSerializer(listen_addr=f"127.0.0.1:{sys.argv[1]}", sample_rate=RATE),
    transport_params=TransportParams(
        audio_in_enabled=True, audio_out_enabled=True, audio_out_10ms_chunks=2
    ),
)


class Echo(FrameProcessor):
    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, 1)
        await self.push_frame(frame, direction)


@server.handler()
async def hold(transport):
    worker = PipelineWorker(
        Pipeline([transport.input(), Echo(), transport.output()]),
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
        idle_timeout_secs=None,
        enable_rtvi=False,
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(*_):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


uvloop.run(server.run_async())
