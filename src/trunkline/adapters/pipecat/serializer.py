"""Pipecat's frames to and from any carrier's messages: one serializer, made for each carrier.

For use in Pipecat's own ``FastAPIWebsocketTransport``. That transport reads the socket's first
messages before it builds the serializer, so that what the stream began with is known from the
arguments; here it is told to the carrier's wire as if it had just come.

What goes out is as long as what came in, to the sample, and late by the filter's delay alone.
Nothing waits for a clock, and a barge-in forgets what was held. ``EndFrame`` and ``CancelFrame``
hang up by REST: once, tried again where it fails, and the carrier asked whether the call is over.
"""
# Pipecat is an extra that need not be there, and is typed in part only.
# pyright: reportMissingImports=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import msgspec
import numpy as np
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    AudioRawFrame,
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.serializers.base_serializer import FrameSerializer

from ... import carriers, events
from ...errors import ConfigError, RemoteProtocolError, TrunklineError
from ...events import Audio, CallInfo, Started
from ...media.formats import AudioFormat, Encoding
from ...media.transcode import Transcoder
from ...rest import HttpSender, Rest, Send
from ...web import Request, Response, safe_id
from .arguments import Arguments, arguments_of, class_name

if TYPE_CHECKING:
    from ...carrier import Carrier

__all__ = ["CarrierFrameSerializer", "frame_serializer", "frame_serializers"]

log = logging.getLogger("trunkline.pipecat")

PLAYBACK_MARGIN_S = 0.3
"""Added to when the last audio should have been heard, before an ``EndFrame`` hangs up: buffers
on the way, which no clock here sees."""
LONGEST_WAIT_S = 5.0
HANG_UP_S = 15.0
UNIT_MS = 20
"""What carriers that take whole frames only take at the least. Some would rather have more, but
a serializer that waits for more has nobody to tell it that no more comes."""

_KEYS = {entry.value: entry for entry in KeypadEntry}


class _Way:
    """Audio on its way, there or back: as much comes out as goes in, late by the filter's delay.

    So the pieces that a pipeline and its transport work with stay whole: one that came out short
    would leave every chunk that follows to wait for the next piece. ``unit`` is what the far end
    takes a whole number of, in bytes; what is over waits.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat, unit: int = 1) -> None:
        self._transcoder = Transcoder(source, target)
        self._unit = unit
        self.source = source
        self.reset()

    def push(self, audio: bytes) -> bytes:
        """What can go on now, perhaps nothing."""
        if self._transcoder.identity and not self._held and not len(audio) % self._unit:
            return audio
        source, target = self.source, self._transcoder.target
        self._held += self._transcoder.push(audio)
        self._taken += len(audio) // source.sample_bytes
        due = self._taken * target.rate // source.rate * target.sample_bytes - self._given
        size = min(due, len(self._held)) // self._unit * self._unit
        ready, self._held = self._held[:size], self._held[size:]
        self._given += size
        return ready

    def reset(self) -> None:
        """Forget what was held; what comes next is a beginning."""
        self._transcoder.reset()
        target = self._transcoder.target
        self._taken = self._given = 0
        # The filter's delay, filled with silence: without it, pieces would come out short.
        lag = ceil(self._transcoder.delay_ms * target.rate / 1000)
        self._held = target.silence * lag


class CarrierFrameSerializer(FrameSerializer):
    """Pipecat's frames to and from one carrier's messages.

    Made for each carrier by ``frame_serializer``; what it is built with, its signature tells.
    ``send`` carries the requests that hang up; without it they go to the carrier over HTTP.

    Raises:
        ValueError: a credential or id is missing for ``auto_hang_up``, an id holds characters
            that cannot stand in a URL, or the carrier does not have the encoding asked for.
    """

    takes: ClassVar[Arguments]
    """What it is built with."""
    __signature__: ClassVar[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        bound = self.takes.signature.bind(*args, **kwargs).arguments
        params: Any = bound.pop("params", None) or type(self).InputParams()
        super().__init__(params)
        self._params: Any = params
        self._send: Send | None = bound.pop("send", None)
        self._given = bound
        given = {m: bound.get(n) for n, m in self.takes.meanings.items()}
        self.call_id: str | None = given.get("call")
        self.stream_id: str | None = given.get("stream")
        self._hangs_up = self._wanted(bound)
        self._check_ids()
        if params.audio_track not in ("inbound", None):
            raise ValueError("audio_track can only be 'inbound': the bot must not hear itself")
        options = {name: getattr(params, name) for name in self.takes.options}
        inbound, outbound = self.takes.formats(bound, options)
        self._carrier = self._made()
        self._rate = 0
        self._agree(inbound, outbound)
        self._begin()
        self._heard_by = 0.0
        self._hang_up: asyncio.Task[None] | None = None
        self._tried = False
        self._junk = False

    # Being built.

    def _wanted(self, given: Mapping[str, Any]) -> bool:
        """Whether the call is to be hung up, and all is there for it."""
        wish = getattr(self._params, "auto_hang_up", False)
        missing = self.takes.missing(given)
        if wish is None:
            return not missing
        if wish and missing:
            raise ValueError(
                f"auto_hang_up is enabled but missing required parameters: {', '.join(missing)}"
            )
        if wish and (wrong := self.takes.too_many(given)):
            raise ValueError(wrong)
        return bool(wish)

    def _check_ids(self) -> None:
        name = next((n for n, m in self.takes.meanings.items() if m == "call"), "")
        if self.call_id:
            self._check_id(name, self.call_id)

    def _check_id(self, name: str, value: str) -> None:
        try:
            safe_id(value)
        except RemoteProtocolError:
            raise ValueError(
                f"{name} must contain only unreserved URL characters "
                f"(letters, digits, '.', '_', '~', '-', ':'); got: {value!r}"
            ) from None

    def _made(self) -> Carrier:
        """The carrier, with what was given; what hanging up does not need is filled in."""
        kind = self.takes.carrier
        used = {m: self._given.get(n) or "" for n, m in self.takes.credentials.items()}
        for name, means in self.takes.credentials.items():
            if means.startswith("account_") and used[means]:
                self._check_id(name, used[means])
        if not self._hangs_up:
            used = {}
        filled = {one.name: one.example for one in kind.credentials if one.required}
        try:
            return kind(filled | {name: value for name, value in used.items() if value})
        except ConfigError as error:
            said = str(error)
            for one in kind.credentials:
                argument = next((n for n, m in self.takes.meanings.items() if m == one.name), "")
                said = said.replace(one.env, argument or one.env)
            raise ValueError(said) from None

    def _begin(self) -> None:
        """Tell the wire what the stream began with, in the carrier's own words."""
        self._stream = self._carrier.bot_end(self._outbound)
        self._far_end = self._carrier.carrier_end(self._outbound)
        self._far_end.send(
            Started(
                call_id=self.call_id or "",
                stream_id=self.stream_id or "",
                inbound=self._inbound,
                outbound=self._outbound,
            )
        )
        for message in self._far_end.outgoing():
            self._stream.receive(message)
        self._far_end.send(Audio(bytes(self._inbound.bytes_in(UNIT_MS))))
        self._binary = any(isinstance(message, bytes) for message in self._far_end.outgoing())

    def _agree(self, inbound: AudioFormat, outbound: AudioFormat) -> None:
        self._inbound, self._outbound = inbound, outbound
        self._way_in: _Way | None = None
        self._way_out: _Way | None = None
        rule = self._carrier.frame
        self._piece = outbound.bytes_in(rule.ms)
        self._unit = outbound.bytes_in(UNIT_MS) if rule.whole else 1

    async def setup(self, setup: Any) -> None:
        """Learn the pipeline's rate, from a ``StartFrame`` or, since 1.8, the processors' setup."""
        self._rate = self._params.sample_rate or setup.audio_in_sample_rate

    # From the caller.

    async def deserialize(self, data: str | bytes) -> Frame | None:
        """The frame that a message of the carrier's is, or ``None``."""
        try:
            heard = self._stream.receive(data)
        except RemoteProtocolError as error:
            if not self._junk:
                log.warning("message not understood: %s", error)
            self._junk = True
            return None
        audio = b"".join([event.payload for event in heard if type(event) is Audio])
        if audio:
            return self._audio(audio)
        for event in heard:
            frame = self._told(event, data)
            if frame is not None:
                return frame
        return None

    def _audio(self, audio: bytes) -> Any:
        way = self._way_in
        if way is None:
            self._rate = self._rate or self._params.sample_rate or self._inbound.rate
            way = self._way_in = _Way(self._inbound, AudioFormat(Encoding.L16, self._rate))
        pcm = way.push(audio)
        return (
            InputAudioRawFrame(audio=pcm, sample_rate=self._rate, num_channels=1) if pcm else None
        )

    def _told(self, event: events.FromCaller, data: str | bytes) -> Any:
        match event:
            case Started():
                if (event.inbound, event.outbound) != (self._inbound, self._outbound):
                    self._agree(event.inbound, event.outbound)
                return None
            case events.Stopped():
                return None
            case events.Digit() if event.digit in _KEYS:
                return InputDTMFFrame(_KEYS[event.digit])
            case events.Failed():
                log.warning("the carrier complains: %s %s", event.code, event.message)
            case _:
                pass
        return InputTransportMessageFrame(message=msgspec.json.decode(data))

    # To the caller.

    async def serialize(self, frame: Frame) -> str | bytes | None:
        """The message that says ``frame``; ``None`` where there is none, or not yet."""
        if isinstance(frame, AudioRawFrame):
            return self._speak(frame)
        if isinstance(frame, InterruptionFrame):
            return self._clear()
        if isinstance(frame, EndFrame | CancelFrame):
            if self._hangs_up:
                await self._end(at_once=isinstance(frame, CancelFrame))
            return None
        if isinstance(
            frame, OutputTransportMessageFrame | OutputTransportMessageUrgentFrame
        ) and not self.should_ignore_frame(frame):
            return json.dumps(frame.message)
        return None

    def _speak(self, frame: Any) -> str | bytes | None:
        way = self._way_out
        if way is None or way.source.rate != frame.sample_rate:
            given = AudioFormat(Encoding.L16, frame.sample_rate)
            way = self._way_out = _Way(given, self._outbound, self._unit)
        audio = way.push(_mono(frame.audio, frame.num_channels))
        if not audio:
            return None
        now = asyncio.get_running_loop().time()
        self._heard_by = max(now, self._heard_by) + self._outbound.ms_in(len(audio)) / 1000
        return self._say(audio)

    def _say(self, audio: bytes) -> str | bytes:
        step = self._piece if self._binary else len(audio)
        for at in range(0, len(audio), step):
            self._stream.send(Audio(audio[at : at + step]))
        message = _one(self._stream.outgoing())
        if not self._tried:
            self._tried = True
            self._try(message)
        return message

    def _try(self, message: str | bytes) -> None:
        """Show the first audio to the carrier's own end, to say so where it would be refused."""
        try:
            self._far_end.receive(message)
        except RemoteProtocolError as error:
            log.warning(
                "%s takes no audio cut like this (%s): give the transport audio_out_10ms_chunks=%d "
                "or, where messages are binary, fixed_audio_packet_size=%d",
                *(self._carrier.title, error, self._carrier.frame.ms // 10, self._piece),
            )

    def _clear(self) -> str | bytes | None:
        if self._way_out is not None:
            self._way_out.reset()
        self._heard_by = 0.0
        if events.Clear not in self._carrier.says:
            return None
        self._stream.send(events.Clear())
        return _one(self._stream.outgoing())

    # Hanging up.

    async def _end(self, *, at_once: bool) -> None:
        """Hang up, once; who is cancelled while this waits does not stop it."""
        if self._hang_up is None:
            loop = asyncio.get_running_loop()
            left = self._heard_by + PLAYBACK_MARGIN_S - loop.time() if self._heard_by else 0.0
            wait = 0.0 if at_once else min(max(0.0, left), LONGEST_WAIT_S)
            self._hang_up = loop.create_task(self._hang_up_after(wait), name="hang up")
        await asyncio.shield(self._hang_up)

    async def _hang_up_after(self, wait: float) -> None:
        await asyncio.sleep(wait)
        http = HttpSender() if self._send is None else None
        send = self._at_base(self._send or http)
        call = CallInfo(carrier=self._carrier.name, call_id=self.call_id or "")
        try:
            async with asyncio.timeout(HANG_UP_S):
                await Rest(send).end_call(self._carrier, call)
        except (TrunklineError, TimeoutError) as error:
            log.error("could not hang up: %s", str(error) or "no answer in time")
        finally:
            if http is not None:
                await http.close()

    def _at_base(self, send: Any) -> Send:
        """``send`` to the API that ``base_url`` names, where one was given."""
        base = str(self._given.get("base_url") or "").rstrip("/")

        async def there(carrier: str, request: Request) -> Response:
            where = urlsplit(request.url)
            path = f"{where.path}?{where.query}" if where.query else where.path
            return await send(carrier, msgspec.structs.replace(request, url=base + path))

        return there if base else send


def _mono(pcm: bytes, channels: int) -> bytes:
    if channels == 1:
        return pcm
    return np.frombuffer(pcm, "<i2").reshape(-1, channels).mean(axis=1).astype("<i2").tobytes()


def _one(messages: Sequence[str | bytes]) -> str | bytes:
    """Several binary messages as one, since a serializer hands on one; the transport cuts it."""
    if len(messages) == 1:
        return messages[0]
    return b"".join([message for message in messages if isinstance(message, bytes)])


def frame_serializer(carrier: type[Carrier] | str) -> type[CarrierFrameSerializer]:
    """The serializer class of a carrier, given by class or name.

    Raises:
        ConfigError: no carrier is called that.
    """
    return _made_for(carriers.get(carrier) if isinstance(carrier, str) else carrier)


@lru_cache(None)
def _made_for(carrier: type[Carrier]) -> type[CarrierFrameSerializer]:
    takes = arguments_of(carrier)
    name = class_name(carrier)
    base: Any = FrameSerializer.InputParams
    types = {"int": int, "int | None": int | None, "str": str, "str | None": str | None}
    types |= {"bool": bool, "bool | None": bool | None}
    fields = {n: types[option.type] for n, option in takes.options.items()}
    defaults = {n: option.default for n, option in takes.options.items()}
    about = {"__module__": __name__, "__doc__": f"What may be chosen for {carrier.title}."}
    body = {**defaults, **about, "__annotations__": fields, "__qualname__": f"{name}.InputParams"}
    return type(
        name,
        (CarrierFrameSerializer,),
        {
            "__doc__": f"Pipecat's frames to and from {carrier.title}'s media stream.",
            "__module__": __name__,
            "__signature__": takes.signature,
            "InputParams": type(base)("InputParams", (base,), body),
            "takes": takes,
        },
    )


def frame_serializers() -> dict[str, type[CarrierFrameSerializer]]:
    """Every carrier's serializer class, by its name."""
    return {class_name(carrier): _made_for(carrier) for carrier in carriers.all_carriers()}
