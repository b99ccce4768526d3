"""A bot on Pipecat answers SFVoPI's calls: the caller's keys choose what it does."""

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import EndWorkerFrame, InputDTMFFrame, LLMRunFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner
from services import ears, mind, voice, warm_up

from trunkline import Call
from trunkline.pipecat import TrunklineTransport

MENU = "Press one for our opening hours, two for a story, zero to end the call. Or just ask."
HOURS = "We are open from nine to five, Monday to Saturday."
GOODBYE = "Goodbye!"


class Router(FrameProcessor):
    """Does what a key stands for; whatever is being said gives way to it."""

    def __init__(self, memory):
        super().__init__()
        self._memory = memory

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputDTMFFrame):
            await self.push_frame(frame, direction)
            return
        await self.broadcast_interruption()
        match frame.button.value:
            case "1":
                await self.push_frame(TTSSpeakFrame(HOURS))
            case "2":
                self._memory.add_message({"role": "user", "content": "Tell me a story."})
                await self.push_frame(LLMRunFrame())
            case "0":
                await self.push_frame(TTSSpeakFrame(GOODBYE))
                await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)
            case _:
                await self.push_frame(TTSSpeakFrame(MENU))


async def bot(call: Call) -> None:
    transport = TrunklineTransport(call)
    memory = LLMContext()
    user, assistant = LLMContextAggregatorPair(
        memory, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    pipeline = Pipeline(
        [
            transport.input(),
            Router(memory),
            ears(),
            user,
            mind(),
            voice(),
            transport.output(),
            assistant,
        ]
    )
    worker = PipelineWorker(pipeline)

    @transport.event_handler("on_client_connected")
    async def greet(transport, call):
        await worker.queue_frame(TTSSpeakFrame(MENU))

    @transport.event_handler("on_playback_finished")
    async def heard(transport, call):
        # By SFVoPI's own account: its checkpoint behind the last word has come back.
        print("heard to the end")

    @transport.event_handler("on_client_disconnected")
    async def leave(transport, call):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


bot.warm_up = warm_up
