"""``TrunklineTransport``: a Pipecat pipeline holds a call.

Takes the place of ``FastAPIWebsocketTransport`` and its serializer:

    async def bot(call):
        transport = TrunklineTransport(call)
        pipeline = Pipeline([transport.input(), stt, ..., tts, transport.output(), ...])

It knows no carrier: dialect, pacing, barge-in and hanging up are the ``Call``'s. What this adds is
Pipecat's frames: the caller's audio and keys as they come, and the bot's speech as it is heard.
"""
# Pipecat is an extra that need not be there, and is typed in part only.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from loguru import logger
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    CancelFrame,
    ClientConnectedFrame,
    EndFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    StartFrame,
    StopFrame,
)
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams

from ... import carriers
from ...call import Call, CallEvent
from ...events import Digit, Extra, Failed, MachineDetected, Who
from ...media.formats import AudioFormat, Encoding
from .output import OutputTransport

__all__ = ["InputTransport", "TrunklineParams", "TrunklineTransport"]

_KEYS = {entry.value: entry for entry in KeypadEntry}

Tell = Callable[..., Awaitable[None]]


class TrunklineParams(TransportParams):
    """What ``TrunklineTransport`` takes beside Pipecat's ``TransportParams``.

    Parameters:
        audio_in_encoding: what the pipeline gets of the caller: ``L16``, or the carrier's own
            encoding for services that understand it; that is passed through untouched.
        audio_out_encoding: the same for what the pipeline says.
        auto_hang_up: an ``EndFrame`` hangs up when all was heard, a ``CancelFrame`` at once.
        session_timeout: seconds until ``on_session_timeout``; ``None`` for never.
        session_timeout_ends_call: whether the call then ends, after what is being said.
    """

    audio_in_enabled: bool = True
    audio_out_enabled: bool = True
    audio_in_encoding: Encoding = Encoding.L16
    audio_out_encoding: Encoding = Encoding.L16
    auto_hang_up: bool = True
    session_timeout: float | None = None
    session_timeout_ends_call: bool = False


class InputTransport(BaseInputTransport):
    """The input end: what the caller says and presses. Made by ``TrunklineTransport``."""

    def __init__(
        self, call: Call, params: Any, encoding: Encoding, tell: Tell, name: str | None = None
    ) -> None:
        super().__init__(params, name=name)
        self._call = call
        self._encoding = encoding
        self._tell = tell
        self._filter: Any = params.audio_in_filter
        self._events: asyncio.Queue[CallEvent] = asyncio.Queue()
        self._tasks: list[Any] = []
        self._unwatch: Callable[[], None] | None = None

    async def start(self, frame: StartFrame) -> None:
        """Tell that the caller is there, and begin to listen."""
        await super().start(frame)
        if self._tasks:
            return
        await self._tell("on_client_connected", self._call)
        await self.push_frame(ClientConnectedFrame())
        self._unwatch = self._call.on(self._events.put_nowait)
        self._tasks = [self.create_task(self._hear()), self.create_task(self._watch())]
        timeout: float | None = getattr(self._params, "session_timeout", None)
        if timeout:
            self._tasks.append(self.create_task(self._limit(timeout)))

    async def stop(self, frame: EndFrame) -> None:
        """Listen no more."""
        await super().stop(frame)
        await self._leave()

    async def cancel(self, frame: CancelFrame) -> None:
        """Listen no more."""
        await super().cancel(frame)
        await self._leave()

    async def pause(self, frame: StopFrame) -> None:
        """Drop what the caller says until the next ``StartFrame``."""
        self._paused = True

    async def cleanup(self) -> None:
        """Let go of the call."""
        await super().cleanup()
        await self._leave()

    async def push_audio_frame(self, frame: InputAudioRawFrame) -> None:
        """Audio of the caller's, on its way; without the base class's queue and task."""
        if not self._params.audio_in_enabled or self._paused:
            return
        if self._filter is not None:
            frame.audio = await self._filter.filter(frame.audio)
        if frame.audio and self._params.audio_in_passthrough:
            await self.push_frame(frame)

    async def _leave(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await self.cancel_task(task)

    async def _hear(self) -> None:
        rate: int = self.sample_rate
        async for audio in self._call.audio(AudioFormat(self._encoding, rate)):
            await self.push_audio_frame(InputAudioRawFrame(audio, rate, 1))
        ended = self._call.ended
        if ended is None or ended.who is not Who.BOT:
            await self._tell("on_client_disconnected", self._call)

    async def _watch(self) -> None:
        while True:
            event = await self._events.get()
            if isinstance(event, Digit):
                if entry := _KEYS.get(event.digit):
                    await self.push_frame(InputDTMFFrame(entry))
                await self._tell("on_dtmf", event.digit)
            elif isinstance(event, Extra | Failed | MachineDetected):
                message = {"type": type(event).__name__, **msgspec.to_builtins(event)}
                await self.broadcast_frame(InputTransportMessageFrame, message=message)

    async def _limit(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._tell("on_session_timeout", self._call)
        if getattr(self._params, "session_timeout_ends_call", False):
            await self._call.hang_up()


class TrunklineTransport(BaseTransport):
    """A call, as the two ends of a pipeline.

    Event handlers, each called with the transport first:

    - ``on_client_connected(call)``: the pipeline has started and the caller is there.
    - ``on_client_disconnected(call)``: the call is over, and it was not us who ended it.
    - ``on_session_timeout(call)``: ``session_timeout`` has passed.
    - ``on_dtmf(digit)``: the caller pressed a key.
    - ``on_playback_finished(call)``: all that was said has been heard, or was interrupted.

    Args:
        call: the call.
        params: ``TrunklineParams``, or any ``TransportParams``, such as those of the transport
            that this one takes the place of. Default: audio both ways.
        input_name: the input processor's name.
        output_name: the output processor's.

    Raises:
        ValueError: ``params`` ask for what cannot be: a mixer, or messages of a size that the
            carrier does not take.
    """

    def __init__(
        self,
        call: Call,
        params: TransportParams | None = None,
        input_name: str | None = None,
        output_name: str | None = None,
    ) -> None:
        super().__init__(input_name=input_name, output_name=output_name)
        given: Any = params or TrunklineParams()
        _check(given, call)
        self.call = call
        self._input = InputTransport(
            call,
            given,
            getattr(given, "audio_in_encoding", Encoding.L16),
            self._call_event_handler,
            name=input_name,
        )
        self._output = OutputTransport(
            call,
            given,
            encoding=getattr(given, "audio_out_encoding", Encoding.L16),
            auto_hang_up=getattr(given, "auto_hang_up", True),
            on_quiet=self._quiet,
            name=output_name,
        )
        self._register_event_handler("on_client_connected")
        self._register_event_handler("on_client_disconnected")
        self._register_event_handler("on_session_timeout")
        self._register_event_handler("on_dtmf")
        self._register_event_handler("on_playback_finished")

    def input(self) -> InputTransport:
        """Where the caller's audio and keys enter the pipeline."""
        return self._input

    def output(self) -> OutputTransport:
        """Where what the bot says leaves it."""
        return self._output

    async def _quiet(self) -> None:
        await self._call_event_handler("on_playback_finished", self.call)


def _check(params: Any, call: Call) -> None:
    """Say what of another transport's parameters is not done, and refuse what cannot be."""
    if getattr(params, "audio_out_mixer", None):
        raise ValueError("audio_out_mixer: nothing is mixed into what a caller hears")
    if size := getattr(params, "fixed_audio_packet_size", None):
        rule, audio = carriers.get(call.carrier).frame, call.audio_out
        if rule.whole and size != audio.bytes_in(rule.ms):
            raise ValueError(
                f"fixed_audio_packet_size={size}: {call.carrier} takes {rule.ms} ms a message, "
                f"which are {audio.bytes_in(rule.ms)} bytes of {audio}"
            )
    if getattr(params, "serializer", None) is not None:
        logger.warning("serializer is not used: the call speaks its carrier's dialect already")
    if getattr(params, "add_wav_header", False):
        logger.warning("add_wav_header is not done: the caller would hear the header as noise")
