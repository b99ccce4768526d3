"""The output end of ``TrunklineTransport``: a pipeline's speech becomes utterances on a ``Call``.

Pipecat's own output transport plays an audio device: it sends in real time and takes what was
sent for heard. Here the call paces, and what comes after this processor gets everything as the
caller hears it: audio, words and what stands between them wait until then. A model's memory
therefore holds, after a barge-in, what was heard.
"""
# Pipecat is an extra that need not be there, and is typed in part only.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
from loguru import logger
from pipecat.frames.frames import (
    AggregatedTextFrame,
    BotSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    FilterControlFrame,
    Frame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputImageRawFrame,
    OutputTransportMessageFrame,
    OutputTransportReadyFrame,
    SpeechOutputAudioRawFrame,
    SpriteFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.processors.frameworks.rtvi.models import MESSAGE_LABEL as RTVI_LABEL
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.utils.utils import obj_id

from ...call import Call, CallEvent, SpeakingStarted, SpeakingStopped
from ...errors import CallEnded, TrunklineError, Unsupported
from ...events import Clear, Digits, Extra, Mark, ToCaller
from ...media.formats import AudioFormat, Encoding
from ...media.tones import dtmf
from .heard import Behind, Due, Voice
from .messages import Messages
from .volume import Volume

__all__ = ["OutputTransport"]

TICK_S = 0.04
"""How often we look what was heard, while something waits for it: one of Pipecat's own chunks."""
SPEAKING_EVERY_S = 0.2
OPEN_S = 3.0
"""Speech that nobody ended has ended when for so long nothing more came; Pipecat's own figure."""
SOUND_OPEN_S = 0.35
GRACE_S = 3.0
"""How much longer than it lasts our last word may take to be heard before we stop waiting."""


class OutputTransport(BaseOutputTransport):
    """See the module. Made by ``TrunklineTransport``.

    Args:
        call: whom to speak to.
        params: Pipecat's ``TransportParams``.
        encoding: what the frames' audio is encoded in; Pipecat's own services make ``L16``.
        auto_hang_up: whether an ``EndFrame`` or ``CancelFrame`` ends the call.
        on_quiet: told when all that was said has been heard, or dropped.
    """

    def __init__(
        self,
        call: Call,
        params: Any,
        *,
        encoding: Encoding,
        auto_hang_up: bool,
        on_quiet: Callable[[], Awaitable[None]],
        name: str | None = None,
    ) -> None:
        super().__init__(params, name=name)
        self._call = call
        self._encoding = encoding
        self._auto_hang_up = auto_hang_up
        self._on_quiet = on_quiet
        self._filter: Any = getattr(params, "audio_out_filter", None)
        self._enabled: bool = params.audio_out_enabled
        self._volume = Volume(getattr(params, "audio_out_volume", 1.0), encoding)
        self._messages: Messages | None = None
        self._behind = Behind()
        self._voice: Voice | None = None
        self._heard_by = 0.0  # when all that was written will have been heard, about
        self._in_memory = True  # whether what is said now goes into the model's memory
        self._changes: list[SpeakingStarted | SpeakingStopped] = []
        self._speaking = False
        self._spoke_at = 0.0
        self._idle = True
        self._waiter: asyncio.Future[None] | None = None
        self._follower: Any = None
        self._unwatch: Callable[[], None] | None = None

    # Its life.

    async def start(self, frame: StartFrame) -> None:
        """Begin: what comes from now on is said."""
        await super().start(frame)
        if self._follower is None:
            self._unwatch = self._call.on(self._happened)
            self._follower = self.create_task(self._follow())
        await self.push_frame(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    async def stop(self, frame: EndFrame) -> None:
        """Have all that was said heard to its last sample, and only then hang up."""
        await super().stop(frame)
        self._end_voice()
        try:
            async with asyncio.timeout(self._behind.left_ms / 1000 + GRACE_S):
                await self._call.quiet()
        except TimeoutError:
            logger.warning(f"{self}: nobody tells that our last words were heard")
        await self._leave()
        if self._auto_hang_up:
            await self._call.hang_up()

    async def cancel(self, frame: CancelFrame) -> None:
        """Stop speaking, and hang up at once."""
        await super().cancel(frame)
        self._behind.drop()
        self._call.clear()
        await self._leave()
        if self._auto_hang_up:
            await self._call.hang_up(after_playback=False)

    async def cleanup(self) -> None:
        """Let go of the call."""
        await super().cleanup()
        await self._leave()

    async def _leave(self) -> None:
        """Tell the last, and follow the call no longer."""
        follower, self._follower = self._follower, None
        if follower is None:
            return
        await self.cancel_task(follower)
        await self._tell()
        if self._unwatch is not None:
            self._unwatch()

    # What comes from the pipeline.

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """See the base class. A barge-in silences the line before anything else happens."""
        if not isinstance(frame, InterruptionFrame):
            await super().process_frame(frame, direction)
            return
        if any(_stays(said) for said in self._behind.said):
            await super().process_frame(frame, direction)  # it may be interrupted, but not silenced
            return
        waiting = self._behind.drop()
        self._call.clear()
        await super().process_frame(frame, direction)
        for kept in waiting:
            if _stays(kept):
                await self._send_on(kept)

    async def write_dtmf(self, frame: Any) -> None:
        """Press keys: out of band where the carrier can, else as tones."""
        buttons = getattr(frame, "buttons", None) or [frame.button]
        keys = "".join(button.value for button in buttons)
        try:
            await self._call.send_digits(keys)
        except Unsupported:
            with contextlib.suppress(CallEnded):
                self._call.play(dtmf(keys, self._call.audio_out))
        except TrunklineError as error:
            await self.push_error(f"keys not pressed: {error}", exception=error)

    async def send_message(self, frame: Any) -> None:
        """Have the carrier told what a raw message says; RTVI's are for no carrier."""
        message = frame.message
        if isinstance(message, Mapping) and message.get("label") == RTVI_LABEL:
            return
        messages = self._messages = self._messages or Messages(self._call)
        try:
            for event in messages.read(message):
                await self._do(event, messages)
        except CallEnded:
            return
        except (TrunklineError, TypeError) as error:
            await self.push_error(f"message not sent: {error}", exception=error)

    async def _do(self, event: ToCaller, messages: Messages) -> None:
        match event:
            case Extra(kind, fields):
                self._call.send_extra(kind, fields)
            case Clear():
                self._behind.drop()
                self._call.clear()
            case Digits(digits):
                await self._call.send_digits(digits)
            case Mark():  # what was said before it has been heard, or it would not be here yet
                for told in messages.write(event):
                    await self.broadcast_frame(InputTransportMessageFrame, message=told)
            case _:
                raise Unsupported("audio is said by audio frames, which are paced")

    async def _handle_frame(self, frame: Frame) -> None:
        # The base class hands its senders here whatever is not for the system; we have none.
        if isinstance(frame, InterruptionFrame | OutputImageRawFrame | SpriteFrame):
            return
        if isinstance(frame, OutputAudioRawFrame):
            await self._say(frame)
        elif isinstance(frame, TTSTextFrame) and not frame.pts:
            self._behind.write(frame)
        else:
            if isinstance(frame, TTSStartedFrame):
                self._in_memory = getattr(frame, "append_to_context", True)
            elif isinstance(frame, AggregatedTextFrame) and frame.will_be_spoken and not frame.pts:
                self._behind.announce(frame)
            elif isinstance(frame, FilterControlFrame) and self._filter is not None:
                await self._filter.process_frame(frame)
            self._volume.told(frame)
            await self._queue(frame)
            if isinstance(frame, TTSStoppedFrame):
                self._end_voice()
        if self._idle:  # else the next look is near, and costs less than one for each frame
            self._wake()

    async def _queue(self, frame: Any) -> None:
        """Have a frame go on when all that was said before it has been heard."""
        if not self._behind and (self._voice is None or self._voice.over):
            await self._send_on(frame)
        elif frame.pts:
            self._behind.time(frame, word=isinstance(frame, TTSTextFrame))
        else:
            self._behind.put(frame)

    async def _say(self, frame: Any) -> None:
        audio: bytes = frame.audio
        if frame.num_channels > 1:
            audio = np.frombuffer(audio, "<i2")[:: frame.num_channels].tobytes()
        if self._filter is not None:
            audio = await self._filter.filter(audio)
        audio = self._volume.scaled(audio)
        voice = self._voice_for(frame)
        if not audio or voice is None:
            return
        begin_ms = voice.utterance.pushed_ms
        if voice.utterance.write(audio):
            self._behind.audio(frame, audio, begin_ms=begin_ms)
            self._heard_by = self._now() + self._behind.left_ms / 1000

    def _voice_for(self, frame: Any) -> Voice | None:
        """What this audio goes on with; ``None`` where nobody is there to hear it."""
        if not self._enabled:
            return None
        spoken = AudioFormat(self._encoding, frame.sample_rate)
        voice = self._voice
        if voice is not None and not (voice.over or voice.ended):
            if voice.utterance.format == spoken:
                return voice
            voice.end()
        try:
            utterance = self._call.utterance(spoken)
        except CallEnded:
            return None
        speech = isinstance(frame, TTSAudioRawFrame | SpeechOutputAudioRawFrame)
        self._voice = Voice(utterance, speech=speech, stamp=self.get_clock().get_time())
        self._behind.begin(self._voice)
        return self._voice

    def _end_voice(self) -> None:
        if self._voice is not None and not self._voice.ended:
            self._voice.end()

    # What comes from the call.

    def _happened(self, event: CallEvent) -> None:
        if isinstance(event, SpeakingStarted | SpeakingStopped):
            self._changes.append(event)
            self._wake()

    async def _follow(self) -> None:
        """Send on what was heard, as it is heard."""
        loop = asyncio.get_running_loop()
        while True:
            busy = await self._tell() or self._open
            self._idle = not busy
            if self._changes:
                continue
            self._waiter = loop.create_future()
            timer = loop.call_later(TICK_S, self._wake) if busy else None
            await self._waiter
            if timer is not None:
                timer.cancel()
                self._end_if_forgotten()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _tell(self) -> bool:
        """Send on what was heard until now; whether there will be more."""
        changes, self._changes = self._changes, []
        for change in changes:
            if isinstance(change, SpeakingStarted):
                await self._started(change)
        for due in self._behind.due():
            await self._send_due(due)
        for change in changes:
            if isinstance(change, SpeakingStopped):
                await self._stopped()
        if self._speaking and self._now() >= self._spoke_at + SPEAKING_EVERY_S:
            self._spoke_at = self._now()
            await self.broadcast_frame(BotSpeakingFrame)
        return bool(self._behind) or self._speaking

    async def _started(self, event: SpeakingStarted) -> None:
        speech = any(v.utterance is event.utterance and v.speech for v in self._behind.voices)
        if speech and not self._speaking:
            self._speaking = True
            await self.broadcast_frame(BotStartedSpeakingFrame)

    async def _stopped(self) -> None:
        if any(voice.left_ms for voice in self._behind.voices):
            return  # the next sentence follows at once
        if self._speaking:
            self._speaking = False
            await self.broadcast_frame(BotStoppedSpeakingFrame)
        await self._on_quiet()

    @property
    def _open(self) -> bool:
        return self._voice is not None and not (self._voice.ended or self._voice.over)

    def _end_if_forgotten(self) -> None:
        voice = self._voice
        if voice is not None and self._open and not voice.left_ms:
            patience = OPEN_S if voice.speech else SOUND_OPEN_S
            if self._now() >= self._heard_by + patience:
                voice.end()

    async def _send_due(self, due: Due) -> None:
        if due.audio is not None:
            frame = copy.copy(due.frame)
            frame.id, frame.audio, frame.num_channels = obj_id(), due.audio, 1
            frame.num_frames = len(due.audio) // 2
            await self.push_frame(frame)
        elif due.words is not None:
            await self.push_frame(self._words(due.frame, due.words))
        else:
            await self._send_on(due.frame)

    def _words(self, frame: Any, words: str) -> Any:
        """``words`` as the text frame that brought them, or (``frame``) announced them."""
        if isinstance(frame, TTSTextFrame):
            told = copy.copy(frame)
            told.id = obj_id()
        else:
            told = TTSTextFrame(words, "word")
            told.context_id = frame.context_id
            told.append_to_context = self._in_memory
        told.text = words if told.includes_inter_frame_spaces else words.strip()
        return told

    async def _send_on(self, frame: Any) -> None:
        if isinstance(frame, OutputDTMFFrame):
            await self.write_dtmf(frame)
        elif isinstance(frame, OutputTransportMessageFrame):
            await self.send_message(frame)
        await self.push_frame(frame)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _stays(frame: Any) -> bool:
    """Whether a barge-in leaves this frame alone: newer Pipecats say so by an attribute."""
    interruptible = getattr(frame, "interruptible", None)
    if interruptible is not None:
        return not interruptible
    return any(kind.__name__ == "UninterruptibleFrame" for kind in type(frame).__mro__)
