"""Services for Pipecat pipelines that need no key and no network.

Whisper writes down what Pipecat's voice detection cut out, Hibari speaks (the engines of
``trunkline.bots``), and in the model's place stands a function of text. One engine serves the
pipelines of all calls of a process.
"""
# Pipecat is an extra that need not be there, and is typed in part only.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import fields
from functools import cache
from typing import Any, cast

from pipecat.frames.frames import (
    EndWorkerFrame,
    ErrorFrame,
    Frame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.utils.time import time_now_iso8601

from ...bots.hibari import Hibari
from ...bots.parrot import rules
from ...bots.speech import Speaker, Timing, Transcriber
from ...bots.turns import History, Reply, Turn
from ...bots.whisper import Whisper
from ...errors import TrunklineError
from ...events import Who
from ...media.formats import L16_16K, AudioFormat, Encoding
from ...media.transcode import Transcoder, convert
from .sentences import find_sentences

__all__ = ["OfflineLLMService", "OfflineSTTService", "OfflineTTSService", "Rules", "warm_up"]

Rules = Callable[[str, History], Reply | str]
"""What to say to the caller's last words, after all that was said before them."""

OVERLAP_S = 0.3
"""About how long Whisper takes for a sentence: what Pipecat should wait for a transcript."""

_shared_whisper = cache(Whisper)
_shared_hibari = cache(Hibari)


async def warm_up() -> None:
    """Load what the first call would else wait for: the engines that all share, 1 to 3 s.

    As ``bot.warm_up`` it is awaited by a server before it takes calls.

    Raises:
        ConfigError: an engine is not installed.
    """
    OfflineLLMService()  # Pipecat imports an SDK with the first model, 0.5 s
    await asyncio.gather(_shared_whisper().warm_up(), _shared_hibari().warm_up())


class OfflineSTTService(SegmentedSTTService):
    """Whisper as a Pipecat service; needs voice detection in the pipeline.

    Args:
        transcriber: what writes the speech down; by default one ``Whisper()`` for all.
        options: for Pipecat's ``SegmentedSTTService``.
    """

    def __init__(self, transcriber: Transcriber | None = None, **options: Any) -> None:
        settings = STTSettings(model=None, language=None)
        options.setdefault("ttfs_p99_latency", OVERLAP_S)
        super().__init__(settings=settings, **options)
        self._transcriber = transcriber or _shared_whisper()

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
        speaker: the voice; by default one ``Hibari()`` for all.
        options: for Pipecat's ``TTSService``.
    """

    def __init__(self, speaker: Speaker | None = None, **options: Any) -> None:
        settings = TTSSettings(model=None, voice=None, language=None)
        find_sentences()
        options = {"push_start_frame": True, "push_stop_frames": True, **options}
        super().__init__(settings=settings, **options)
        self._speaker = speaker or _shared_hibari()

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


class OfflineLLMService(LLMService):
    """A function of text, in the place of a model: a whole pipeline talks without a key.

    A ``Reply`` that hangs up ends the pipeline when its words have been said. Needs an
    ``LLMContext``, as every model does; messages that hold anything but text are passed over.

    Args:
        rules: what answers; by default the parrot, which repeats, tells a story when asked to, and
            says goodbye.
        options: for Pipecat's ``LLMService``.
    """

    def __init__(self, rules: Rules = rules, **options: Any) -> None:
        super().__init__(settings=_no_model(), **options)
        self._rules = rules

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context; let everything else by."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self._answer(_turns(frame.context.get_messages()))
        else:
            await self.push_frame(frame, direction)

    async def _answer(self, turns: list[Turn]) -> None:
        asked = turns.pop().text if turns and turns[-1].who is Who.CALLER else ""
        answer = self._rules(asked, turns)
        reply = Reply(answer) if isinstance(answer, str) else answer
        await self.push_frame(LLMFullResponseStartFrame())
        for word in reply.text.split():
            await self.push_frame(LLMTextFrame(f"{word} "))
        await self.push_frame(LLMFullResponseEndFrame())
        if reply.hang_up:
            await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)


def _no_model() -> LLMSettings:
    """What a model could be set to, which Pipecat wants to be said: none of it is here."""
    none: dict[str, Any] = {each.name: None for each in fields(LLMSettings)} | {"extra": {}}
    return LLMSettings(**none)


def _turns(messages: Iterable[Any]) -> list[Turn]:
    """A context as the turns of a call: what users and assistants said, where it is text."""
    sides = {"user": Who.CALLER, "assistant": Who.BOT}
    turns: list[Turn] = []
    for message in messages:
        said = cast("Mapping[str, Any]", message) if isinstance(message, Mapping) else {}
        who, text = sides.get(said.get("role", "")), said.get("content")
        if who is not None and isinstance(text, str):
            turns.append(Turn(who, text, heard=text))
    return turns
