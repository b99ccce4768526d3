"""SFVoPI (Superfone Voice over Programmable Interface): answered by a Stream JSON, A-law at 8 kHz.

    their word                                  ours
    ------------------------------------------  ---------------------------------------
    answer webhook                              Offered: somebody (or we) picked up
    stream: url, codec, sample_rate             answer
    event start, streamId, callId               Started; also after a reconnection
    event media, contentType, sampleRate        Audio, in the codec of the answer
    event playAudio                             Audio towards the caller, in the same
    event dtmf, digit                           Digit
    event checkpoint, playedStream              Mark: asked for, reached
    event clearAudio, clearedAudio              Clear, Cleared, by sequenceNumber
    the socket closes                           the stream is over, and so is the call
    ring webhook                                Ringing
    hangup webhook, call_status, hangup_cause   Ended, reason
    call_uuid, callId                           call_id
    request_uuid                                dial_id

Wire facts are from Superfone's documentation and its guide for Pipecat (2026-02 to 2026-11);
docs/carriers/sfvopi.md lists them. Knows no socket, and of time only what it stamps webhooks with.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from pybase64 import b64encode_as_string

from .. import carrier as seam
from .. import errors, events, web
from ..carrier import Carrier, Credential, Dial, Platform, Purpose, Shapes, Step, Stream
from ..errors import BadSignature, LocalProtocolError, RemoteProtocolError, Unsupported
from ..events import (
    Audio,
    CallInfo,
    Direction,
    Extra,
    FromCaller,
    Notice,
    Started,
    ToCaller,
    Who,
    Why,
)
from ..media.formats import L16_8K, L16_16K, L16_24K, PCMA_8K, PCMU_8K, AudioFormat, Encoding
from ..web import Flow, Request, Response, text_of, with_key
from ..wire import read_key

__all__ = ["BotEnd", "CarrierEnd", "Sfvopi"]

_API: Final = "https://prod-api.superfone.co.in/superfone"
_CALLS: Final = f"{_API}/sfvopi/calls"
_APPS: Final = f"{_API}/sfvopi/apps"
_KEY_HELP: Final = "a long random word of yours that ends webhook URLs, ?key=…; no call without"
_STREAM_TIMEOUT_S: Final = 86400

# The line itself is A-law at 8000 Hz; L16 goes to 48000 Hz, which only costs (page "Overview").
_OUTBOUND: Final = (PCMA_8K, PCMU_8K, L16_8K, L16_16K, L16_24K)
_CONTENT_TYPES: Final = {
    Encoding.PCMA: "audio/PCMA",
    Encoding.PCMU: "audio/PCMU",
    Encoding.L16: "audio/x-l16",
}

# call_status of a call that is over (page "Hangup Webhook").
_ENDS: Final = {
    "COMPLETED": Why.COMPLETED,
    "NO_ANSWER": Why.NO_ANSWER,
    "BUSY": Why.BUSY,
    "CANCELED": Why.CANCELLED,
    "FAILED": Why.FAILED,
}
# hangup_cause, which says more of a call that FAILED (ITU-T Q.850, 2018-10, table 1).
_CAUSES: Final = {
    "17": Why.BUSY,
    "18": Why.NO_ANSWER,
    "19": Why.NO_ANSWER,
    "20": Why.NO_ANSWER,
    "21": Why.REJECTED,
} | dict.fromkeys(("34", "38", "41", "42", "44", "47", "102"), Why.NETWORK)
# As the simulator tells it; 127 is "interworking, unspecified".
_END_WORDS: Final = {
    Why.NO_ANSWER: ("NO_ANSWER", "19"),
    Why.BUSY: ("BUSY", "17"),
    Why.CANCELLED: ("CANCELED", "16"),
    Why.REJECTED: ("FAILED", "21"),
    Why.NETWORK: ("FAILED", "41"),
    Why.FAILED: ("FAILED", "127"),
}


# --- wire ------------------------------------------------------------------------------------


class _Start(Struct, tag_field="event", tag="start"):
    callId: str
    streamId: str


class _MediaBody(Struct, gc=False):
    payload: bytes
    contentType: str = ""
    sampleRate: int = 0


class _Media(Struct, tag_field="event", tag="media", gc=False):
    media: _MediaBody


class _Dtmf(Struct, tag_field="event", tag="dtmf"):
    digit: str


class _ClearedAudio(Struct, tag_field="event", tag="clearedAudio"):
    sequenceNumber: int


class _PlayedStream(Struct, tag_field="event", tag="playedStream"):
    name: str


class _PlayAudio(Struct, tag_field="event", tag="playAudio"):
    media: _MediaBody


class _ClearAudio(Struct, tag_field="event", tag="clearAudio"):
    sequenceNumber: int


class _Checkpoint(Struct, tag_field="event", tag="checkpoint"):
    streamId: str
    name: str


_KINDS: Final = ("start", "media", "dtmf", "clearedAudio", "playedStream")
_FromSuperfone = _Start | _Media | _Dtmf | _ClearedAudio | _PlayedStream
_ToSuperfone = _PlayAudio | _ClearAudio | _Checkpoint
_FROM_SUPERFONE: Final[Shapes[_FromSuperfone]] = Shapes(_FromSuperfone, "event")
_TO_SUPERFONE: Final[Shapes[_ToSuperfone]] = Shapes(_ToSuperfone, "event")


def _check(media: _MediaBody, audio: AudioFormat) -> None:
    """Audio in another codec or rate than the answer's is noise (guide, "Roundtrip Rule")."""
    kind, rate = media.contentType or _CONTENT_TYPES[audio.encoding], media.sampleRate or audio.rate
    if kind.lower() != _CONTENT_TYPES[audio.encoding].lower() or rate != audio.rate:
        raise RemoteProtocolError(f"{kind[:40]} at {rate} Hz, where the stream is {audio}")
    if len(media.payload) % audio.sample_bytes:
        raise RemoteProtocolError("audio with half a sample")


class BotEnd(Stream[FromCaller, ToCaller]):
    """Our server's end; ``audio`` is the codec and rate of the answer, both ways."""

    __slots__ = ("_audio", "_clears", "_kind", "_play", "_rate", "_sample_bytes", "_stream_id")

    def __init__(self, audio: AudioFormat) -> None:
        super().__init__()
        self._audio = audio
        self._stream_id: str | None = None
        self._clears = 0
        self._kind, self._rate = _CONTENT_TYPES[audio.encoding], audio.rate
        self._sample_bytes = audio.sample_bytes
        kind = f'"contentType":"{self._kind}","sampleRate":{self._rate}'
        self._play = f'{{"event":"playAudio","media":{{{kind},"payload":"'

    def receive(self, message: str | bytes) -> Sequence[FromCaller]:
        said = _FROM_SUPERFONE.read(message)
        if isinstance(said, _Media):
            media = said.media
            # Whether all is as it should be, asked fifty times a second; then what is wrong.
            right = media.contentType == self._kind and media.sampleRate == self._rate
            if not right or len(media.payload) % self._sample_bytes:
                _check(media, self._audio)
            return (Audio(media.payload),)
        match said:
            case _Start():
                return (self._started(said),)
            case _Dtmf():
                return (read_key(said.digit),)
            case _PlayedStream():
                return (events.Mark(said.name),)
            case _ClearedAudio():
                # That of an earlier clear says nothing about what was sent since (guide).
                return (events.Cleared(),) if said.sequenceNumber == self._clears else ()
            case _:
                return (said,)

    def _started(self, said: _Start) -> Started:
        # A second one, after a reconnection on this socket, may bring another streamId.
        self._stream_id = said.streamId
        return Started(
            call_id=said.callId,
            stream_id=said.streamId,
            inbound=self._audio,
            outbound=self._audio,
        )

    def send(self, event: ToCaller) -> None:
        if self._stream_id is None:
            raise LocalProtocolError("the stream has not started: its streamId is not known")
        if type(event) is Audio:
            self._queue.append(f'{self._play}{b64encode_as_string(event.payload)}"}}}}')
        elif isinstance(event, events.Mark):
            self.put(_Checkpoint(self._stream_id, event.name))
        elif isinstance(event, events.Clear):
            self._clears += 1
            self.put(_ClearAudio(self._clears))
        else:
            raise LocalProtocolError(f"SFVoPI's socket cannot carry {type(event).__name__}")


class CarrierEnd(Stream[ToCaller, FromCaller]):
    """Superfone's end, for the simulator."""

    def __init__(self, audio: AudioFormat) -> None:
        super().__init__()
        self._audio = audio
        self._stream_id: str | None = None
        self._cleared = 0
        self._to_confirm: deque[int] = deque()

    def receive(self, message: str | bytes) -> Sequence[ToCaller]:
        said = _TO_SUPERFONE.read(message)
        if isinstance(said, Extra) or self._stream_id is None:
            raise RemoteProtocolError("an unknown event, or one before start")
        match said:
            case _PlayAudio():
                _check(said.media, self._audio)
                return (Audio(said.media.payload, format=self._audio),)
            case _Checkpoint():
                if said.streamId != self._stream_id:
                    raise RemoteProtocolError("another stream's streamId")
                return (events.Mark(said.name),)
            case _:
                return (self._clear(said.sequenceNumber),)

    def _clear(self, number: int) -> events.Clear:
        if number <= self._cleared:
            raise RemoteProtocolError("clearAudio's sequenceNumber does not increase")
        self._cleared = number
        self._to_confirm.append(number)
        return events.Clear()

    def send(self, event: FromCaller) -> None:
        if isinstance(event, Started):
            self._stream_id = event.stream_id
            self.put(_Start(event.call_id, event.stream_id))
            return
        if self._stream_id is None:
            raise LocalProtocolError("a stream begins with Started")
        match event:
            case Audio():
                self._say("media", media=self._media(event.payload))
            case events.Digit():
                self._say("dtmf", digit=event.digit)
            case events.Mark():
                self._say("playedStream", name=event.name)
            case events.Cleared():
                number = self._to_confirm.popleft() if self._to_confirm else self._cleared
                self.put(_ClearedAudio(number))
            case _:
                self.put_extra(event, _KINDS, "SFVoPI")

    def _media(self, payload: bytes) -> _MediaBody:
        return _MediaBody(payload, _CONTENT_TYPES[self._audio.encoding], self._audio.rate)

    def _say(self, kind: str, **fields: Any) -> None:
        self.put({"event": kind, "streamId": self._stream_id} | fields)


# --- webhooks --------------------------------------------------------------------------------


def _call_info(fields: Mapping[str, Any]) -> CallInfo:
    dial_id = text_of(fields, "request_uuid")
    call_id = text_of(fields, "call_uuid") or dial_id
    web.safe_id(call_id)  # it will stand in a header of the upgrade
    told = text_of(fields, "direction").upper()
    return CallInfo(
        carrier=Sfvopi.name,
        call_id=call_id,
        from_=text_of(fields, "from"),
        to=text_of(fields, "to"),
        direction=Direction.OUTBOUND if told == "OUTBOUND" else Direction.INBOUND,
        dial_id=dial_id,
        raw=fields,
    )


def _seconds(fields: Mapping[str, Any]) -> float | None:
    """``duration``, from the answer on: a number, or text where the webhook is a GET."""
    text = str(fields.get("duration"))
    return float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else None


def _reason(fields: Mapping[str, Any]) -> events.EndReason:
    status, cause = text_of(fields, "call_status"), str(fields.get("hangup_cause") or "")
    why = _ENDS.get(status, Why.UNKNOWN)
    if why in (Why.FAILED, Why.UNKNOWN):
        why = _CAUSES.get(cause, why)
    who = Who.CARRIER if why in (Why.FAILED, Why.NETWORK) else Who.UNKNOWN
    return events.EndReason(why, who, f"{status} {cause}".strip())


def _notice(call: CallInfo, fields: Mapping[str, Any], purpose: Purpose) -> Notice:
    status = text_of(fields, "call_status")
    # A new word for the end must not keep the call alive: no other webhook has these fields.
    if status in _ENDS or "ended_at" in fields or "hangup_cause" in fields:
        length = _seconds(fields)
        return events.Ended(call.call_id, _reason(fields), call.dial_id, length)
    if purpose is Purpose.ANSWER:
        return events.Offered(call)
    # What call_status a ring webhook has could not be read; it is the only other one there is.
    if status in ("RINGING", ""):
        return events.Ringing(call)
    return events.Other(status, call.call_id, fields)


# --- answers ---------------------------------------------------------------------------------


class _Stream(Struct):
    url: str
    codec: str = "PCMA"
    sample_rate: int = 8000
    direction: str = ""
    extra_headers: dict[str, str] = {}


class _Answer(Struct):
    stream: _Stream


def _read_stream(stream: _Stream) -> seam.OpenStream:
    audio = next((a for a in _OUTBOUND if str(a) == f"{stream.codec}/{stream.sample_rate}"), None)
    if audio is None or stream.direction != "BOTH":
        raise RemoteProtocolError("a stream needs a codec at a rate that it has, direction BOTH")
    if not web.is_socket(stream.url):
        raise RemoteProtocolError("a stream's url is wss://")
    return seam.OpenStream(url=stream.url, headers=stream.extra_headers, audio=audio)


# --- REST ------------------------------------------------------------------------------------


class _Queued(Struct):
    request_uuid: str


class _Created(Struct):
    data: _Queued


class _App(Struct):
    name: str
    answer_url: str


class _Apps(Struct):
    data: list[_App]


def _refused(asked: str, response: Response) -> errors.CarrierError:
    return web.refusal(asked, response, detail=text_of(response.fields, "message"))


def _error(status: int, message: str) -> Response:
    return Response.of_json({"message": message}, status)


class Sfvopi(Carrier):
    """Superfone's SFVoPI: Stream JSON, a two-way stream, outbound calls over REST."""

    name = "sfvopi"
    title = "Superfone SFVoPI"
    docs = "https://docs.superfone.dev/docs/sfvopi/getting-started"
    credentials = (
        Credential("api_key", "SFVOPI_API_KEY", "API key, to place calls", "sfv-1", True),
        Credential(
            "webhook_secret", "SFVOPI_WEBHOOK_SECRET", _KEY_HELP, "0a1b2c3d", True, required=False
        ),
    )
    inbound = _OUTBOUND
    outbound = _OUTBOUND
    hears = frozenset({Started, Audio, events.Digit, events.Mark, events.Cleared, Extra})
    says = frozenset({Audio, events.Mark, events.Clear})
    marks = seam.Marks.DROPPED
    one_format = True
    signs_webhooks = "a secret of yours in their URL"
    reconnects = True
    asks_after = False
    limitations = (
        "A call is hung up by closing its media socket; no request for it is documented.",
        "A call whose media socket is lost can therefore not be hung up.",
        "Webhooks prove their origin by a secret of yours in their URL, not by a signature.",
        "Calls come answered: one that is dismissed has been picked up, and costs.",
        "Whether a checkpoint comes back that was cleared is not documented; none is waited for.",
        "The line is A-law at 8000 Hz: Superfone converts anything else, and it sounds no better.",
        "Keys cannot be sent, calls not be transferred, their state not be asked.",
        "A stream carries no custom parameters: they are headers of its upgrade, not given back.",
        "There is no machine detection, and who hung up is not told.",
        "A placed call carries no tag: our own URL tells which it is.",
    )

    def __init__(self, credentials: Mapping[str, str], **options: Any) -> None:
        super().__init__(credentials, **options)
        self._login = {"x-api-key": self.given["api_key"]}
        self._secret = self.given["webhook_secret"]

    # Wire.

    def bot_end(self, audio: AudioFormat) -> BotEnd:
        return BotEnd(self.can_play(audio))

    def carrier_end(self, audio: AudioFormat) -> CarrierEnd:
        return CarrierEnd(self.can_play(audio))

    # Door.

    def verify(self, request: Request) -> None:
        if not self._secret:
            raise BadSignature(
                "SFVOPI_WEBHOOK_SECRET is not set, so that no webhook can prove its origin"
            )
        if not web.key_fits(request, self._secret):
            raise BadSignature(
                "the webhook's URL does not end in ?key= and SFVOPI_WEBHOOK_SECRET: set it so in "
                "the app's answer_url and hangup_url"
            )

    def sign(self, request: Request) -> Request:
        return msgspec.structs.replace(request, url=with_key(request.url, self._secret))

    # Webhooks and answers.

    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[Notice]:
        # Where a method is set to GET, the same fields come in the query.
        told = dict(request.query) if request.method == "GET" else request.json()
        fields = {name: value for name, value in told.items() if name != web.KEY}
        return [_notice(_call_info(fields), fields, purpose)]

    def write_webhook(self, notice: Notice, url: str) -> Request:
        match notice:
            case events.Offered(call, again=False):
                told = self._who(call) | {"call_status": "IN_PROGRESS", "answered_at": self._time()}
            case events.Ringing(call):
                told = self._who(call) | {"call_status": "RINGING"}
            case events.Ended():
                told = self._over(notice)
            case _:
                raise Unsupported(f"SFVoPI sends no such webhook for {type(notice).__name__}")
        return Request.of_json("POST", url, told)

    def _who(self, call: CallInfo) -> dict[str, Any]:
        told = {
            "call_uuid": call.call_id,
            "from": call.from_,
            "to": call.to,
            "direction": call.direction.value.upper(),
        }
        return told | ({"request_uuid": call.dial_id} if call.dial_id else {})

    def _over(self, notice: events.Ended) -> dict[str, Any]:
        status, cause = _END_WORDS.get(notice.reason.why, ("COMPLETED", "16"))
        told: dict[str, Any] = {"call_uuid": notice.call_id, "call_status": status}
        if notice.dial_id:
            told["request_uuid"] = notice.dial_id
        length = notice.duration_s or 0.0
        if length:  # its name is not that in the answer webhook
            told["answer_at"] = self._time(length)
        return told | {"duration": length, "ended_at": self._time(), "hangup_cause": cause}

    def _time(self, before: float = 0.0) -> str:
        return web.timestamp(self.clock() - before)

    def answer(self, call: CallInfo, offer: seam.Offer) -> seam.Answer:
        audio = self.can_play(offer.audio)
        for name, value in offer.parameters.items():
            if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name) or not re.fullmatch(r"[ -~]*", value):
                raise Unsupported("SFVoPI's parameters are headers: letters, digits, - in names")
        # keep_call_alive, which the documentation's sample has, is left out: our closing of the
        # socket is the only hang-up there is, and must be one. The guide's does without it too.
        stream = {
            "url": offer.token_url,
            "codec": audio.encoding.value,
            "sample_rate": audio.rate,
            "direction": "BOTH",
            "bidirectional": True,
            "stream_timeout": _STREAM_TIMEOUT_S,
            "extra_headers": {"X-Call-UUID": call.call_id, **offer.parameters},
        }
        return seam.Answer(Response.of_json({"stream": stream}))

    def dismiss(self, call: CallInfo, why: seam.Dismissal) -> seam.Answer:
        # There is no word for it. Without a Stream JSON the fallback_answer_url is asked, if the
        # app has one (which may well be another server's), and then the call fails.
        return seam.Answer(_error(503, f"no stream: {why.value}"))

    def read_answer(self, response: Response) -> Sequence[Step]:
        if response.status == 503:
            return [seam.Reject()]
        if response.status != 200:
            raise RemoteProtocolError(f"the webhook answered HTTP {response.status}")
        return [_read_stream(web.read_json(response.body, _Answer).stream)]

    # Control.

    def dial(self, wish: Dial) -> Flow[str]:
        if not self._secret:
            raise errors.ConfigError("placing calls needs SFVOPI_WEBHOOK_SECRET, to answer them")
        hooks = wish.offer.hooks
        status = with_key(hooks.url(Purpose.STATUS), self._secret)
        body = {
            "from": wish.from_,
            "to": wish.to,
            "answer_url": with_key(hooks.url(Purpose.ANSWER), self._secret),
            "answer_method": "POST",
            "ring_url": status,
            "ring_method": "POST",
            "hangup_url": status,
            "hangup_method": "POST",
            "call_time_limit": min(max(wish.max_duration, 1), 86400),
            "ring_timeout": min(max(wish.ring_timeout, 1), 600),
        }
        response = yield Request.of_json("POST", _CALLS, body, self._login, repeatable=False)
        if response.status >= 300:
            raise _refused("place a call", response)
        return web.read_json(response.body, _Created).data.request_uuid

    def check(self) -> Flow[Sequence[str]]:
        response = yield Request.get(_APPS, self._login)
        if response.status >= 300:
            raise _refused("list the account's apps", response)
        missing = "SFVOPI_WEBHOOK_SECRET is not set: no calls can be taken or placed"
        told = [self._describe(app) for app in web.read_json(response.body, _Apps).data]
        return told if self._secret else [missing, *told]

    def _describe(self, app: _App) -> str:
        # Of the URL no more than its path, since a secret may follow.
        asks = f"app {app.name!r} asks {app.answer_url.partition('?')[0]}"
        try:
            self.verify(Request.get(app.answer_url))
        except BadSignature:
            return f"{asks} without SFVOPI_WEBHOOK_SECRET: its calls would be refused"
        return asks

    # The carrier's side of control.

    def platform(self, request: Request) -> Platform:
        if not web.same(request.headers.get("x-api-key", ""), self._login["x-api-key"]):
            return _error(401, "UnAuthorized, Please Provide Valid API Key")
        if (request.method, request.url) == ("GET", _APPS):
            return Response.of_json({"data": [], "message": "success"})
        if (request.method, request.url) != ("POST", _CALLS):
            return _error(404, "Not Found")
        body = request.json()
        if missing := web.lacking(body, "from", "to", "answer_url"):
            return _error(400, f"{missing[0]} is required")
        leg = yield seam.Place(
            to=body["to"],
            from_=body["from"],
            answer_url=body["answer_url"],
            status_url=text_of(body, "hangup_url"),
            ring_timeout=float(body.get("ring_timeout", 60)),
            dial_id=f"sfv_ob_req_{secrets.token_hex(6)}",
        )
        assert leg is not None, "Place is answered with a Leg"
        queued = {"request_uuid": leg.call.dial_id, "status": "queued"}
        return Response.of_json({"data": queued, "message": "success"})
