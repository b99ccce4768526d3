"""The simulated Cartesia against Pipecat's clients of the real one, which others wrote.

They connect over a port, as they do to the real service, and must get from ours what they want.
"""

import asyncio
import inspect
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Pipecat's own, about itself
    pytest.importorskip("pipecat.services.cartesia.turns.stt", reason="needs a newer Pipecat")
    from pipecat.services.cartesia.stt import CartesiaSTTService
    from pipecat.services.cartesia.tts import CartesiaTTSService
    from pipecat.services.cartesia.turns.stt import CartesiaTurnsSTTService

from pipecat.frames.frames import (
    InputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSTextFrame,
    VADUserStoppedSpeakingFrame,
)

from adapters.pipeline_rig import Spy, run, worker
from trunkline.media.formats import L16_16K
from trunkline.sim.services.cartesia import Cartesia
from trunkline.sim.services.tones import Tones

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SAID = "one two three"

ONLY_TLS = 'f"wss://{' in inspect.getsource(CartesiaSTTService)
KEY_IN_QUERY = "?api_key=" in inspect.getsource(CartesiaTTSService)


def beside(make, scene):
    """Run ``scene(worker, spy, service, tones)`` beside a pipeline of what ``make(url)`` gives."""

    async def main():
        tones = Tones()
        async with (
            Cartesia(tones.hear, tones.speak, key="sk") as service,
            service.listening() as url,
        ):
            spy = Spy()
            the_worker = worker([make(url), spy])
            running = asyncio.create_task(run(the_worker))
            try:
                async with asyncio.timeout(30):
                    while not service.open:
                        await asyncio.sleep(0.01)
                    await scene(the_worker, spy, service, tones)
            finally:
                await the_worker.cancel()
                await running
            return spy, service

    return asyncio.run(main())


async def until(spy, kind):
    while not spy.frames(kind):
        await asyncio.sleep(0.01)


async def hear(the_worker, tones):
    audio = tones.sound(SAID, L16_16K) + bytes(32 * 800)
    frames = [
        InputAudioRawFrame(audio[at : at + 3200], 16000, 1) for at in range(0, len(audio), 3200)
    ]
    await the_worker.queue_frames(frames)


@pytest.mark.skipif(ONLY_TLS, reason="this Pipecat's client takes no address but a host's, by TLS")
def test_the_plain_endpoint():
    async def scene(the_worker, spy, service, tones):
        await hear(the_worker, tones)
        await the_worker.queue_frame(VADUserStoppedSpeakingFrame())
        await until(spy, TranscriptionFrame)

    spy, service = beside(lambda url: CartesiaSTTService(api_key="sk", base_url=url), scene)
    assert [frame.text for frame in spy.frames(TranscriptionFrame)] == [SAID]
    assert spy.errors == []
    # It says "done" in the end, as older versions of the API had it.
    assert set(service.complaints) <= {"a text message is finalize or close"}


def test_the_turns_endpoint():
    async def scene(the_worker, spy, service, tones):
        await hear(the_worker, tones)
        await until(spy, TranscriptionFrame)

    def make(url):
        return CartesiaTurnsSTTService(api_key="sk", url=f"{url}/stt/turns/websocket")

    spy, service = beside(make, scene)
    assert [frame.text for frame in spy.frames(TranscriptionFrame)] == [SAID]
    assert spy.errors == service.complaints == []


@pytest.mark.skipif(KEY_IN_QUERY, reason="this Pipecat's client has its key in the URL")
def test_the_voice():
    async def scene(the_worker, spy, service, tones):
        await the_worker.queue_frame(TTSSpeakFrame(SAID))
        while " ".join(frame.text for frame in spy.frames(TTSTextFrame)) != SAID:
            await asyncio.sleep(0.01)
        (sent,) = service.audio_out.values()
        while sum(len(f.audio) for f in spy.frames(TTSAudioRawFrame)) < len(sent):
            await asyncio.sleep(0.01)

    def make(url):
        return CartesiaTTSService(
            api_key="sk",
            url=f"{url}/tts/websocket",
            settings=CartesiaTTSService.Settings(voice="v1", model="sonic-3.5"),
        )

    spy, service = beside(make, scene)
    (sent,) = service.audio_out.values()
    assert b"".join(frame.audio for frame in spy.frames(TTSAudioRawFrame)) == bytes(sent)
    assert spy.errors == service.complaints == []
