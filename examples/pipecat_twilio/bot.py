"""A bot on Pipecat's own transport answers Twilio's calls, and Telnyx's and Plivo's.

Written for Pipecat's development runner. What was changed is where these names come from.
"""

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner
from services import ears, mind, voice, warm_up

# Before: from pipecat.serializers.plivo import PlivoFrameSerializer, and so on.
from trunkline.pipecat import PlivoFrameSerializer, TelnyxFrameSerializer, TwilioFrameSerializer

GREETING = "Hello! How can I help you?"


def serializer(carrier, data):
    """The server that runs this bot hangs up when it returns; a serializer need not."""
    if carrier == "telnyx":
        params = TelnyxFrameSerializer.InputParams(auto_hang_up=False)
        codec = data["outbound_encoding"]  # of the caller's audio, and of ours
        return TelnyxFrameSerializer(data["stream_id"], codec, codec, params=params)
    kind = {"twilio": TwilioFrameSerializer, "plivo": PlivoFrameSerializer}[carrier]
    return kind(data["stream_id"], params=kind.InputParams(auto_hang_up=False))


async def bot(runner_args) -> None:
    carrier, data = await parse_telephony_websocket(runner_args.websocket)
    params = FastAPIWebsocketParams(
        audio_in_enabled=True,
        audio_out_enabled=True,
        audio_out_end_silence_secs=0,  # hang up behind the last word
        serializer=serializer(carrier, data),
    )
    transport = FastAPIWebsocketTransport(runner_args.websocket, params)
    user, assistant = LLMContextAggregatorPair(
        LLMContext(), user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    pipeline = Pipeline(
        [transport.input(), ears(), user, mind(), voice(), transport.output(), assistant]
    )
    rates = PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000)
    worker = PipelineWorker(pipeline, params=rates)

    @transport.event_handler("on_client_connected")
    async def greet(transport, client):
        await worker.queue_frame(TTSSpeakFrame(GREETING))

    @transport.event_handler("on_client_disconnected")
    async def leave(transport, client):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


bot.warm_up = warm_up
