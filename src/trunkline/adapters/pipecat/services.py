"""Speech for Pipecat pipelines that needs no key and no network.

The engines of ``trunkline.bots``: Whisper writes down what Pipecat's voice detection cut out,
Hibari speaks. One engine may serve the pipelines of many calls.
"""
# Pipecat is an extra that need not be there, and is typed in part only.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import io
import wave
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pipecat.frames.frames import ErrorFrame, Frame, TranscriptionFrame, TTSAudioRawFrame
from pipecat.services.settings import STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601

from ...bots.hibari import Hibari
from ...bots.speech import Speaker, Timing, Transcriber
from ...bots.whisper import Whisper
from ...errors import TrunklineError
from ...media.formats import L16_16K, AudioFormat, Encoding
from ...media.transcode import Transcoder, convert

__all__ = ["OfflineSTTService", "OfflineTTSService"]

OVERLAP_S = 0.3
"""About how long Whisper takes for a sentence: what Pipecat should wait for a transcript."""


class OfflineSTTService(SegmentedSTTService):
    """Whisper as a Pipecat service; needs voice detection in the pipeline.

    Args:
        transcriber: what writes the speech down; by default ``Whisper()``.
        options: for Pipecat's ``SegmentedSTTService``.
    """

    def __init__(self, transcriber: Transcriber | None = None, **options: Any) -> None:
        settings = STTSettings(model=None, language=None)
        options.setdefault("ttfs_p99_latency", OVERLAP_S)
        super().__init__(settings=settings, **options)
        self._transcriber = transcriber or Whisper()

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Write down one stretch of speech, a WAV file as the base class cuts it."""
        with wave.open(io.BytesIO(audio)) as file:
            heard = AudioFormat(Encoding.L16, file.getframerate())
            samples = file.readframes(file.getnframes())
        try:
            text = await self._transcriber.transcribe(convert(samples, heard, L16_16K))
        except TrunklineError as error:
            yield ErrorFrame(error=str(error))
            return
        if text:
            yield TranscriptionFrame(text, "caller", time_now_iso8601(), finalized=True)


class OfflineTTSService(TTSService):
    """Hibari, or another ``Speaker``, as a Pipecat service.

    Args:
        speaker: the voice; by default ``Hibari()``.
        options: for Pipecat's ``TTSService``.
    """

    def __init__(self, speaker: Speaker | None = None, **options: Any) -> None:
        settings = TTSSettings(model=None, voice=None, language=None)
        options = {"push_start_frame": True, "push_stop_frames": True, **options}
        super().__init__(settings=settings, **options)
        self._speaker = speaker or Hibari()

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Speak ``text``, chunk by chunk as it is made."""
        said = AudioFormat(Encoding.L16, self.sample_rate)
        transcoder = Transcoder(self._speaker.format, said)
        try:
            async with aclosing(self._speaker.speak(text)) as chunks:
                async for chunk in chunks:
                    if isinstance(chunk, Timing):
                        continue
                    if audio := transcoder.push(chunk):
                        yield TTSAudioRawFrame(audio, said.rate, 1, context_id=context_id)
            if tail := transcoder.flush():
                yield TTSAudioRawFrame(tail, said.rate, 1, context_id=context_id)
        except TrunklineError as error:
            yield ErrorFrame(error=str(error))
