"""A bot on Pipecat answers Bandwidth's calls: OpenAI Realtime hears, thinks and speaks in one."""

import os

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import LLMRunFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.workers.runner import WorkerRunner

from trunkline import Call
from trunkline.pipecat import (
    OfflineLLMService,
    OfflineSTTService,
    OfflineTTSService,
    TrunklineTransport,
    warm_up,
)

GREETING = "Hello! How can I help you?"
INSTRUCTIONS = "You are on the phone. Answer in one or two short, plain sentences."
REALTIME = PipelineParams(audio_in_sample_rate=24000, audio_out_sample_rate=24000)
URL = "wss://api.openai.com/v1/realtime"


def realtime(key, transport):
    """OpenAI's service hears by itself when somebody speaks, and when they have done."""
    from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

    memory = LLMContext([{"role": "user", "content": f"Greet me with: {GREETING}"}])
    user, assistant = LLMContextAggregatorPair(memory, realtime_service_mode=True)
    service = OpenAIRealtimeLLMService(
        api_key=key,
        base_url=os.environ.get("OPENAI_REALTIME_URL", URL),
        settings=OpenAIRealtimeLLMService.Settings(system_instruction=INSTRUCTIONS),
    )
    processors = [transport.input(), user, service, transport.output(), assistant]
    return PipelineWorker(Pipeline(processors), params=REALTIME), LLMRunFrame()


def offline(transport):
    """Without a key: three services in its place."""
    user, assistant = LLMContextAggregatorPair(
        LLMContext(), user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    ears, mind, voice = OfflineSTTService(), OfflineLLMService(), OfflineTTSService()
    processors = [transport.input(), ears, user, mind, voice, transport.output(), assistant]
    return PipelineWorker(Pipeline(processors)), TTSSpeakFrame(GREETING)


async def bot(call: Call) -> None:
    transport = TrunklineTransport(call)
    key = os.environ.get("OPENAI_API_KEY")
    worker, greeting = realtime(key, transport) if key else offline(transport)

    @transport.event_handler("on_client_connected")
    async def greet(transport, call):
        await worker.queue_frame(greeting)

    @transport.event_handler("on_client_disconnected")
    async def leave(transport, call):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


if not os.environ.get("OPENAI_API_KEY"):
    bot.warm_up = warm_up
