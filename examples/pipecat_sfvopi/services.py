"""The ears, mind and voice of a bot: of each, the service whose key is set, else one offline."""

import os

from trunkline import pipecat
from trunkline.pipecat import OfflineLLMService, OfflineSTTService, OfflineTTSService

INSTRUCTIONS = "You are on the phone. Answer in one or two short, plain sentences."
VOICE_ID = "71a7ad14-091c-4e8e-a314-022ece01c121"  # one of Cartesia's own


def ears():
    if key := os.environ.get("DEEPGRAM_API_KEY"):
        from pipecat.services.deepgram.stt import DeepgramSTTService

        return DeepgramSTTService(api_key=key)
    return OfflineSTTService()


def mind():
    if key := os.environ.get("OPENAI_API_KEY"):
        from pipecat.services.openai.llm import OpenAILLMService

        settings = OpenAILLMService.Settings(system_instruction=INSTRUCTIONS)
        return OpenAILLMService(api_key=key, settings=settings)
    return OfflineLLMService()


def voice():
    if key := os.environ.get("CARTESIA_API_KEY"):
        from pipecat.services.cartesia.tts import CartesiaTTSService

        voice_id = os.environ.get("CARTESIA_VOICE_ID", VOICE_ID)
        return CartesiaTTSService(api_key=key, settings=CartesiaTTSService.Settings(voice=voice_id))
    return OfflineTTSService()


async def warm_up():
    """Before the first call comes: load what is offline."""
    if not (os.environ.get("DEEPGRAM_API_KEY") and os.environ.get("CARTESIA_API_KEY")):
        await pipecat.warm_up()
