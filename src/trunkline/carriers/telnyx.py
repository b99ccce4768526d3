"""Telnyx media streaming: Call Control (JSON webhooks, orders by REST) and TeXML (documents).

    their word                                  ours
    ------------------------------------------  ---------------------------------------
    call.initiated incoming / TeXML fetch       Offered
    answer, then streaming_start                answer to a JSON webhook
    <Connect><Stream>, then <Redirect>          answer to a form: TeXML
    call.answered of a call we placed           Offered
    streaming.stopped, streaming.failed         Offered(again): the call outlives its stream
    event start, stream_id, call_control_id     Started, stream_id, call_id
    media_format / stream_bidirectional_codec   inbound / outbound: each its own, µ-law or A-law
    event media, track inbound                  Audio, put in order by chunk
    event mark, clear, dtmf, stop, error        Mark, Clear, Digit, Stopped, Failed
    call.hangup, hangup_cause                   Ended, reason
    client_state                                Dial.key, and what a webhook else leaves out
    stream_auth_token                           proof of the upgrade, beside the token in its path

Wire facts are from Telnyx's documentation (2026-04), its Python SDK 4.189.0 and public code that
runs against it; docs/carriers/telnyx.md lists them. Knows no socket; of time, how old a webhook is.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, cast
from urllib.parse import unquote, urlsplit
from uuid import uuid4
from xml.etree.ElementTree import Element

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct, field
from pybase64 import b64encode_as_string

from .. import carrier as seam
from .. import errors, events, web
from ..carrier import Carrier, Credential, Dial, Hooks, Leg, Platform, Purpose, Step
from ..errors import BadSignature, LocalProtocolError, RemoteProtocolError, Unsupported
from ..events import Audio, CallInfo, CallState, Direction, Extra, Started, Who, Why
from ..media.formats import PCMA_8K, PCMU_8K, AudioFormat
from ..web import Flow, Recent, Request, Response, element, text_of
from ..wire import InOrder, Numbers, Shapes, Stream, read_key

__all__ = ["BotEnd", "CarrierEnd", "Telnyx"]

_API: Final = "https://api.telnyx.com/v2"
_AUTH_HEADER: Final = "x-telnyx-streaming-auth-token"
_EXAMPLE_KEY: Final = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
# In seconds: how old a webhook may be (SDK 4.189.0, webhooks.unwrap), how long it may come again
# (a minute, by the longest retry policy there is), how long an order with the same command_id is
# ignored (page "Command retries"), and when one is repeated that found the call not answered yet
# (whether one just after ``answer`` does, no page says).
_FRESH_S: Final = 300.0
_REPEATS_S: Final = 600.0
_COMMANDS_S: Final = 60.0
_PAUSES_S: Final = (0.25, 0.5, 1.0, 2.0)
# How many chunks may overtake one before it is given up: 80 ms in messages of 20 ms.
_WINDOW: Final = 4
# hangup_cause (an open list: call.hangup, SDK 4.189.0, and two seen in public code), then the
# CallStatus of TeXML calls that are over (page "TeXML Hangup").
_CAUSES: Final = {
    "normal_clearing": Why.COMPLETED,
    "user_busy": Why.BUSY,
    "no_answer": Why.NO_ANSWER,
    "timeout": Why.NO_ANSWER,
    "call_rejected": Why.REJECTED,
    "originator_cancel": Why.CANCELLED,
    "time_limit": Why.LIMIT,
    "not_found": Why.FAILED,
    "unallocated_number": Why.FAILED,
    "busy": Why.BUSY,
    "completed": Why.COMPLETED,
    "no-answer": Why.NO_ANSWER,
    "canceled": Why.CANCELLED,
    "failed": Why.FAILED,
}
_CAUSE_WORDS: Final = {why: word for word, why in reversed(_CAUSES.items())}
_STATUSES: Final = frozenset({"completed", "busy", "no-answer", "canceled", "failed"})
_FORMATS: Final = {"PCMU": PCMU_8K, "PCMA": PCMA_8K}
_REJECTIONS: Final = {"USER_BUSY": "busy", "CALL_REJECTED": "rejected"}
# REST error codes (page "API error codes", 2026-04-10): the call is over, or not answered yet.
_OVER: Final = "90018"
_NOT_YET: Final = "90034"


# --- wire ------------------------------------------------------------------------------------


class _MediaFormat(Struct):
    encoding: str
    sample_rate: int
    channels: int = 1


class _StartBody(Struct):
    call_control_id: str
    media_format: _MediaFormat
    user_id: str | None = None
    from_: str | None = field(default=None, name="from")
    to: str | None = None
    custom_parameters: Any = None


class _MediaBody(Struct, gc=False):
    payload: bytes
    chunk: int = -1
    timestamp: int = -1
    track: str = "inbound"


class _Start(Struct, tag_field="event", tag="start"):
    start: _StartBody
    stream_id: str = ""


class _Media(Struct, tag_field="event", tag="media", gc=False):
    media: _MediaBody


_KINDS: Final = ("connected", "start", "media", "dtmf", "mark", "stop", "error")
_FROM_TELNYX: Final[Shapes[_Start | _Media]] = Shapes(_Start | _Media, "event")
_TO_TELNYX: Final[Shapes[_Media]] = Shapes(_Media, "event")


def _parameters(told: Any) -> dict[str, str]:
    """``custom_parameters``: an object, or a list of names and values; nobody documents which."""
    if isinstance(told, list):
        listed = cast("list[Any]", told)
        told = {text_of(one, "name"): text_of(one, "value") for one in listed}
    pairs = web.fields_of(told).items()
    return {name: value for name, value in pairs if name and isinstance(value, str)}


class BotEnd(Stream[events.FromCaller, events.ToCaller]):
    """Our server's end; ``audio`` is what ours goes out as."""

    __slots__ = ("_audio", "_chunks")

    def __init__(self, audio: AudioFormat) -> None:
        super().__init__()
        self._audio = audio
        self._chunks: InOrder[Audio] = InOrder(_WINDOW)

    def receive(self, message: str | bytes) -> Sequence[events.FromCaller]:
        said = _FROM_TELNYX.read(message)
        if isinstance(said, _Media):
            media = said.media
            if media.track != "inbound":
                return ()  # the bot's own voice
            audio = Audio(media.payload, media.timestamp)
            return (audio,) if media.chunk < 0 else self._chunks.put(media.chunk, audio)
        return self._other(said)

    def _other(self, said: _Start | Extra) -> Sequence[events.FromCaller]:
        match said:
            case _Start():
                return (self._started(said),)
            case Extra("dtmf", fields):
                digit = text_of(fields.get("dtmf"), "digit")
                return (read_key(digit),)
            case Extra("mark", fields):
                return (events.Mark(text_of(fields.get("mark"), "name")),)
            case Extra("connected"):
                return ()  # says nothing about the call
            case Extra("stop"):
                return (*self._chunks.rest(), events.Stopped())
            case Extra("error", fields):
                told = fields.get("payload")
                code = web.fields_of(told).get("code") or ""
                words = filter(None, (text_of(told, "title"), text_of(told, "detail")))
                return (events.Failed(str(code), ": ".join(words)),)
            case _:
                return (said,)

    def _started(self, said: _Start) -> Started:
        body, heard = said.start, said.start.media_format
        inbound = _FORMATS.get(heard.encoding)
        if inbound is None or (heard.sample_rate, heard.channels) != (8000, 1):
            raise RemoteProtocolError("the stream's audio is not PCMU or PCMA at 8000 Hz, mono")
        self._chunks.rest()
        return Started(
            call_id=body.call_control_id,
            account_id=body.user_id or "",
            stream_id=said.stream_id,
            inbound=inbound,
            outbound=self._audio,  # declared by us, and not repeated
            from_=body.from_ or "",
            to=body.to or "",
            parameters=_parameters(body.custom_parameters),
        )

    def send(self, event: events.ToCaller) -> None:
        if type(event) is Audio:
            payload = b64encode_as_string(event.payload)
            self._queue.append(f'{{"event":"media","media":{{"payload":"{payload}"}}}}')
        elif isinstance(event, events.Mark):
            self.put({"event": "mark", "mark": {"name": event.name}})
        elif isinstance(event, events.Clear):
            self.put({"event": "clear"})
        else:
            raise LocalProtocolError(f"Telnyx's socket cannot carry {type(event).__name__}")


class CarrierEnd(Stream[events.ToCaller, events.FromCaller]):
    """Telnyx's end, for the simulator."""

    def __init__(self, audio: AudioFormat, clock: Callable[[], float]) -> None:
        super().__init__()
        self._audio = audio
        self._clock = clock
        self._started: Started | None = None
        self._numbers = Numbers(PCMU_8K)  # A-law is as long

    def receive(self, message: str | bytes) -> Sequence[events.ToCaller]:
        said = _TO_TELNYX.read(message)
        if isinstance(said, _Media):
            lasts = self._audio.ms_in(len(said.media.payload))
            if not 20 <= lasts <= 30_000:  # page "Media Streaming": 20 ms to 30 s
                raise RemoteProtocolError(f"a chunk of {lasts} ms: less than 20, or over 30 s")
            return (Audio(said.media.payload, format=self._audio),)
        if said.kind == "mark":
            return (events.Mark(text_of(said.fields.get("mark"), "name")),)
        if said.kind == "clear":
            return (events.Clear(),)
        raise RemoteProtocolError("100003: an unknown event")

    def send(self, event: events.FromCaller) -> None:
        if isinstance(event, Started):
            self._started = event
            self.put({"event": "connected", "version": "1.0.0"})
            self._say("start", start=_start(event))
            return
        if self._started is None:
            raise LocalProtocolError("a stream begins with Started")
        stream = {"stream_id": self._started.stream_id}
        match event:
            case Audio():
                self._say("media", media=self._media(event))
            case events.Digit():
                at = web.timestamp(self._clock(), "microseconds")
                self._say("dtmf", occurred_at=at, dtmf={"digit": event.digit})
            case events.Mark():
                self._say("mark", mark={"name": event.name})
            case events.Stopped():
                self._say("stop", stop=_ids(self._started))
            case events.Failed():
                self.put({"event": "error", "payload": _error(event)} | stream)
            case _:
                self.put_extra(event, _KINDS, "Telnyx")

    def _media(self, event: Audio) -> dict[str, str]:
        chunk, at = self._numbers.chunk(event.payload, event.timestamp)
        numbered = {"track": "inbound", "chunk": str(chunk), "timestamp": str(at)}
        return numbered | {"payload": b64encode_as_string(event.payload)}

    def _say(self, kind: str, **fields: Any) -> None:
        stream = self._started.stream_id if self._started else ""
        numbered = {"sequence_number": str(self._numbers.message()), "stream_id": stream}
        self.put({"event": kind, **fields, **numbered})


def _start(event: Started) -> dict[str, Any]:
    heard = {"encoding": event.inbound.encoding.value, "sample_rate": 8000, "channels": 1}
    told = {"from": event.from_, "to": event.to, "client_state": None, "media_format": heard}
    parameters = {"custom_parameters": event.parameters} if event.parameters else {}
    return _ids(event) | told | parameters


def _ids(started: Started) -> dict[str, str]:
    return {"user_id": started.account_id, "call_control_id": started.call_id}


def _error(event: events.Failed) -> dict[str, Any]:
    number = event.code.isascii() and event.code.isdigit() and event.code[0] != "0"
    title, _, detail = event.message.partition(": ")
    return {"code": int(event.code) if number else event.code, "title": title, "detail": detail}


# --- webhooks --------------------------------------------------------------------------------


class _Event(Struct):
    event_type: str
    payload: dict[str, Any]
    id: str = ""


class _Envelope(Struct):
    data: _Event


def _remember(call: CallInfo, **more: Any) -> str:
    """Our ``client_state``, which all later webhooks of a leg repeat: JSON in base64.

    ``leg_of`` is the call whose transfer made this leg; the rest is then about that call.
    """
    dialled = call.direction is Direction.OUTBOUND
    told = {"dialled": dialled, "tag": call.tag, "from": call.from_, "to": call.to} | more
    return base64.b64encode(msgspec.json.encode({k: v for k, v in told.items() if v})).decode()


def _remembered(payload: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = base64.b64decode(text_of(payload, "client_state"), validate=True)
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):  # not ours: no base64, UTF-8 or JSON object
        return {}


# --- REST ------------------------------------------------------------------------------------


class _Told(Struct):
    call_control_id: str
    is_alive: bool = False


class _Resource(Struct):
    data: _Told


def _fault(response: Response) -> tuple[str, str]:
    """Code and words of the first of ``errors``."""
    told = response.fields.get("errors")
    first = cast("list[Any]", told)[0] if isinstance(told, list) and told else None
    return text_of(first, "code"), text_of(first, "detail")


def _refused(asked: str, response: Response) -> errors.CarrierError:
    code, words = _fault(response)
    return web.refusal(asked, response, code=code, detail=words)


def _is_over(response: Response) -> bool:
    return response.status == 404 or (response.status == 422 and _fault(response)[0] == _OVER)


def _fail(status: int, code: str, title: str) -> Response:
    return Response.of_json({"errors": [{"code": code, "title": title, "detail": title}]}, status)


class Telnyx(Carrier):
    """Telnyx Voice API (Call Control) and TeXML, with bidirectional media streaming."""

    name = "telnyx"
    title = "Telnyx"
    docs = "https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming"
    credentials = (
        Credential("api_key", "TELNYX_API_KEY", "API key (KEY…)", "KEY0123456789", secret=True),
        Credential("public_key", "TELNYX_PUBLIC_KEY", "the account's public key", _EXAMPLE_KEY),
        Credential("connection_id", "TELNYX_CONNECTION_ID", "to place calls", "149", False, False),
        Credential("api_url", "TELNYX_API_URL", f"if it is not {_API}", required=False),
        Credential("signing_key", "TELNYX_SIGNING_KEY", "the simulator's own", "me", True, False),
    )
    inbound = (PCMU_8K, PCMA_8K)
    outbound = (PCMU_8K, PCMA_8K)
    hears = frozenset(
        {Started, Audio, events.Digit, events.Mark, events.Stopped, events.Failed, Extra}
    )
    says = frozenset({Audio, events.Mark, events.Clear})
    marks = seam.Marks.RETURNED
    # Less than 20 ms is not documented to be played (page "Media Streaming").
    frame = seam.FrameRule(ms=20, whole=True)
    signs_webhooks = "telnyx-signature-ed25519: Ed25519 over the time and the body"
    signature_covers: ClassVar[frozenset[Literal["url", "body"]]] = frozenset({"body"})
    signs_upgrade = True
    dial_rate = 30.0  # page "Dials per second": over five seconds
    arguments = "stream_id outbound_encoding=in inbound_encoding=out call_control_id=call api_key"
    limitations = (
        "Audio is µ-law or A-law at 8000 Hz; L16 is left out, since its byte order is in dispute.",
        "A returned mark means played or flushed; after a clear all pending marks come back.",
        "TeXML must be fetched by POST: of a GET, nothing that it says is signed.",
        "The simulator plays Call Control; TeXML is tested on documents alone.",
        "Orders to TeXML calls are Call Control commands; that works, but is not documented.",
        "At most 30 calls are placed in a second, and two at once while an account is new.",
        "A stream's end comes with each call's: the request to hang up is then made twice.",
    )

    def __init__(self, credentials: Mapping[str, str], **options: Any) -> None:
        super().__init__(credentials, **options)
        self._api = self.given["api_url"].rstrip("/") or _API
        self._login = {"authorization": f"Bearer {self.given['api_key']}"}
        seed = hashlib.sha256(self.given["signing_key"].encode()).digest()
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        try:
            key = base64.b64decode(self.given["public_key"], validate=True)
            self._public = Ed25519PublicKey.from_public_bytes(key)
        except ValueError:
            raise errors.ConfigError("TELNYX_PUBLIC_KEY is not 32 bytes in base64") from None
        if self.given["signing_key"]:
            self._public = self._private.public_key()
        self._seen = Recent(_REPEATS_S, self.clock)
        self._obeyed = Recent(_COMMANDS_S, self.clock)

    # Wire.

    def bot_end(self, audio: AudioFormat) -> BotEnd:
        return BotEnd(self.can_play(audio))

    def carrier_end(self, audio: AudioFormat) -> CarrierEnd:
        return CarrierEnd(self.can_play(audio), self.clock)

    # Door.

    def verify(self, request: Request) -> None:
        if request.url.startswith("ws"):
            return self._verify_upgrade(request)
        if not request.body:
            raise BadSignature("nothing in it is signed: Telnyx must be told to use POST")
        stamp = request.headers.get("telnyx-timestamp", "")
        if not re.fullmatch(r"[0-9]{1,12}", stamp) or abs(self.clock() - int(stamp)) > _FRESH_S:
            raise BadSignature("telnyx-timestamp is missing, or over 300 s from our clock")
        given = request.headers.get("telnyx-signature-ed25519", "")
        try:
            signature = base64.b64decode(given, validate=True)
            self._public.verify(signature, f"{stamp}|".encode() + request.body)
        except (ValueError, InvalidSignature):
            raise BadSignature("does not fit TELNYX_PUBLIC_KEY: is it this account's?") from None

    def _verify_upgrade(self, request: Request) -> None:
        # TeXML has no header to send: there the proof is in the query, which Telnyx keeps.
        given = request.headers.get(_AUTH_HEADER, "") or dict(request.query).get("auth", "")
        if not web.same(given, self._proof(request.url)):
            raise BadSignature(f"{_AUTH_HEADER} is not the one that was given for this stream")

    def _proof(self, url: str) -> str:
        """What shows that a socket was asked for by us: nobody else has the API key."""
        path = f"stream {urlsplit(url).path}"
        return hmac.new(self.given["api_key"].encode(), path.encode(), "sha256").hexdigest()

    def sign(self, request: Request) -> Request:
        if request.url.startswith("ws"):
            told = {} if request.query else {_AUTH_HEADER: self._proof(request.url)}
            return msgspec.structs.replace(request, headers=told | dict(request.headers))
        stamp = str(int(self.clock()))
        made = base64.b64encode(self._private.sign(f"{stamp}|".encode() + request.body)).decode()
        proof = {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": made}
        return msgspec.structs.replace(request, headers={**request.headers, **proof})

    # Webhooks and answers.

    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[events.Notice]:
        if not request.body.lstrip().startswith(b"{"):
            return [self._read_texml(dict(request.form()), purpose)]
        event = web.read_json(request.body, _Envelope).data
        web.safe_id(text_of(event.payload, "call_control_id"))
        if event.id and self._seen.repeats(event.id):
            return []  # webhooks may come twice (page "Receiving webhooks")
        # Some come as "streaming_started" (public code, 2026).
        return [self._notice(event.event_type.replace("_", "."), event)]

    def _notice(self, kind: str, event: _Event) -> events.Notice:
        payload, state = event.payload, _remembered(event.payload)
        call = self._call_info(payload, state)
        inbound = call.direction is Direction.INBOUND
        own = not text_of(state, "leg_of")
        match kind:
            case "call.initiated":
                return events.Offered(call) if inbound and own else events.Ringing(call)
            case "call.answered" if own:
                return events.Answered(call) if inbound else events.Offered(call)
            case "streaming.stopped" | "streaming.failed" if own and "transferred" not in state:
                # The call lives on (page "Media Streaming"). Of one stream we may hear twice.
                params = payload.get("stream_params")
                stream = text_of(payload, "stream_url") or text_of(params, "stream_url")
                known = stream and self._seen.repeats(stream)
                return events.Other(kind, call.call_id) if known else events.Offered(call, True)
            case "call.hangup":
                cause, source = text_of(payload, "hangup_cause"), text_of(payload, "hangup_source")
                reason = self._reason(cause, source, dialled=not inbound)
                if own:
                    return events.Ended(call.call_id, reason)
                # A leg of a transfer: the call it was for may be left with nobody.
                return events.Offered(call, True, reason.why)
            case "call.machine.detection.ended" | "call.machine.premium.detection.ended":
                word = text_of(payload, "result")  # human_residence, say, or fax_detected
                first = word.partition("_")[0]
                result = first if first in ("human", "machine", "fax") else "unknown"
                return events.MachineDetected(call.call_id, result, word)
            case _:
                return events.Other(event.event_type, call.call_id)

    def _read_texml(self, form: Mapping[str, str], purpose: Purpose) -> events.Notice:
        call_id, status = form.get("CallSid", ""), form.get("CallStatus", "")
        web.safe_id(call_id)
        if "StreamEvent" in form:
            return events.Other(form["StreamEvent"], call_id)
        if status in _STATUSES:
            reason = self._reason(status, form.get("HangupSource", ""), dialled=False)
            length = web.seconds_of(form.get("CallDuration", ""))
            return events.Ended(call_id, reason, duration_s=length)
        # A status callback asks nothing, at whichever URL it comes (page "TeXML Hangup").
        if "CallbackSource" in form or purpose not in (Purpose.ANSWER, Purpose.AFTER):
            return events.Other(status, call_id)
        from_, to = form.get("From", ""), form.get("To", "")
        call = CallInfo(carrier=self.name, call_id=call_id, from_=from_, to=to, raw=form)
        return events.Offered(call, again=purpose is Purpose.AFTER)

    def _call_info(self, payload: Mapping[str, Any], state: Mapping[str, Any]) -> CallInfo:
        told = text_of(payload, "direction")
        outbound = told == "outgoing" or (not told and state.get("dialled") is True)
        return CallInfo(
            carrier=self.name,
            call_id=text_of(state, "leg_of") or text_of(payload, "call_control_id"),
            from_=text_of(state, "from") or text_of(payload, "from"),
            to=text_of(state, "to") or text_of(payload, "to"),
            direction=Direction.OUTBOUND if outbound else Direction.INBOUND,
            tag=text_of(state, "tag"),
            raw=payload,
        )

    def _reason(self, cause: str, source: str, *, dialled: bool) -> events.EndReason:
        """``source``: caller or callee of the leg. Of a call we placed, the caller is the bot."""
        who = Who.CALLER if (source == "caller") is not dialled else Who.BOT
        if source not in ("caller", "callee"):
            who = Who.UNKNOWN
        return events.EndReason(_CAUSES.get(cause, Why.UNKNOWN), who, cause)

    def write_webhook(self, notice: events.Notice, url: str) -> Request:
        match notice:
            case events.Offered(call):
                kind, payload = self._offered(notice, call)
            case events.Ringing(call) if call.direction is Direction.OUTBOUND:
                kind = "call.initiated"
                payload = self._leg(call) | {"direction": "outgoing", "state": "bridging"}
            case events.MachineDetected():
                word = "not_sure" if notice.result == "unknown" else notice.result
                kind = "call.machine.detection.ended"
                payload = {"call_control_id": notice.call_id, "result": word}
            case events.Ended():
                kind, payload = "call.hangup", {"call_control_id": notice.call_id}
                payload["hangup_cause"] = _CAUSE_WORDS.get(notice.reason.why, "unspecified")
                payload["hangup_source"] = "caller" if notice.reason.who is Who.CALLER else "callee"
            case _:
                raise Unsupported(f"Telnyx sends no webhook we would need for {notice}")
        data = {"record_type": "event", "event_type": kind, "id": str(uuid4())}
        data |= {"occurred_at": web.timestamp(self.clock(), "microseconds"), "payload": payload}
        meta = {"attempt": 1, "delivered_to": url}
        return Request.of_json("POST", url, {"data": data, "meta": meta})

    def _offered(self, notice: events.Offered, call: CallInfo) -> tuple[str, dict[str, Any]]:
        ids = {"call_control_id": call.call_id, "client_state": _remember(call)}
        if notice.transfer is not None:
            cause = _CAUSE_WORDS.get(notice.transfer, "unspecified")
            leg = {"call_control_id": f"v3:{uuid4()}", "hangup_cause": cause}
            return "call.hangup", leg | {"client_state": _remember(call, leg_of=call.call_id)}
        if notice.again:
            return "streaming.stopped", ids
        if call.direction is Direction.OUTBOUND:
            return "call.answered", self._leg(call) | ids | {"state": "answered"}
        told = {"direction": "incoming", "state": "parked", "client_state": None}
        return "call.initiated", self._leg(call) | told

    def _leg(self, call: CallInfo) -> dict[str, Any]:
        ids = {"call_control_id": call.call_id, "connection_id": self.given["connection_id"]}
        return ids | {"from": call.from_, "to": call.to}

    def answer(self, call: CallInfo, offer: seam.Offer) -> seam.Answer:
        self.can_play(offer.audio)
        if "CallSid" in call.raw:
            return seam.Answer(Response.of_xml(self._document(offer)))
        return seam.Answer(Response(), lambda: self._accept(call, offer))

    def _document(self, offer: seam.Offer) -> Element:
        codec = offer.audio.encoding.value
        attributes = {
            "url": f"{offer.token_url}?auth={self._proof(offer.token_url)}",
            "track": "inbound_track",
            "codec": codec,
            "bidirectionalMode": "rtp",
            "bidirectionalCodec": codec,
            # A token opens one socket: a lost one goes by <Redirect>, which brings another.
            "enableReconnect": "false",
        }
        told = [element("Parameter", {"name": n, "value": v}) for n, v in offer.parameters.items()]
        stream = element("Stream", attributes, *told)
        after = element("Redirect", {"method": "POST"}, offer.hooks.url(Purpose.AFTER))
        return element("Response", None, element("Connect", None, stream), after)

    def _accept(self, call: CallInfo, offer: seam.Offer) -> Flow[None]:
        """Answer, then stream: only ``streaming_start`` takes a token and parameters."""
        state, codec = _remember(call), offer.audio.encoding.value
        if call.direction is Direction.INBOUND and not offer.again:
            yield from self._order("answer", call, client_state=state)
        yield from self._order(
            "streaming_start",
            call,
            stream_url=offer.token_url,
            stream_track="inbound_track",
            # Wideband legs are transcoded where Telnyx can; ``start`` says what came of it.
            stream_codec=codec,
            stream_bidirectional_mode="rtp",
            stream_bidirectional_codec=codec,
            stream_bidirectional_sampling_rate=8000,
            stream_auth_token=self._proof(offer.token_url),
            custom_parameters=[{"name": n, "value": v} for n, v in offer.parameters.items()],
            client_state=state,
        )

    def dismiss(self, call: CallInfo, why: seam.Dismissal) -> seam.Answer:
        done = why is seam.Dismissal.DONE
        if "CallSid" in call.raw:
            verb = element("Hangup") if done else element("Reject", {"reason": why.value})
            return seam.Answer(Response.of_xml(element("Response", None, verb)))
        if done or call.direction is Direction.OUTBOUND:
            return seam.Answer(Response(), lambda: self.hang_up(call))
        cause = next(word for word, reason in _REJECTIONS.items() if reason == why.value)
        return seam.Answer(Response(), lambda: self._end("reject", call, cause=cause))

    def read_answer(self, response: Response) -> Sequence[Step]:
        if response.status >= 300:
            raise RemoteProtocolError(f"the webhook answered HTTP {response.status}")
        return [seam.Pause(math.inf)]  # whatever it says: calls take orders over REST only

    # Control.

    def _command(self, action: str, call: CallInfo, fields: Mapping[str, Any]) -> Request:
        """An order to a call; by its ``command_id`` it may be sent twice without harm."""
        url = f"{self._api}/calls/{web.safe_id(call.call_id)}/actions/{action}"
        return Request.of_json("POST", url, {"command_id": str(uuid4()), **fields}, self._login)

    def _order(self, action: str, call: CallInfo, **fields: Any) -> Flow[None]:
        response = yield self._command(action, call, fields)
        for pause in _PAUSES_S:
            if _fault(response)[0] != _NOT_YET:
                break
            again = self._command(action, call, fields)
            response = yield msgspec.structs.replace(again, after=pause)
        if _is_over(response):
            raise errors.CallEnded(f"cannot {action}: the call is over")
        if response.status >= 300:
            raise _refused(action, response)

    def _end(self, action: str, call: CallInfo, **fields: Any) -> Flow[None]:
        with contextlib.suppress(errors.CallEnded):
            yield from self._order(action, call, **fields)

    def hang_up(self, call: CallInfo) -> Flow[None]:
        yield from self._end("hangup", call)

    def state(self, call: CallInfo) -> Flow[CallState]:
        response = yield Request.get(f"{self._api}/calls/{web.safe_id(call.call_id)}", self._login)
        if _is_over(response):
            return CallState.ENDED
        if response.status >= 300:
            raise _refused("ask for a call's state", response)
        alive = web.read_json(response.body, _Resource).data.is_alive
        return CallState.ACTIVE if alive else CallState.ENDED

    def dial(self, wish: Dial) -> Flow[str]:
        if not self.given["connection_id"]:
            raise errors.ConfigError("placing calls needs TELNYX_CONNECTION_ID")
        placed = CallInfo(carrier=self.name, call_id="", tag=wish.key, direction=Direction.OUTBOUND)
        body: dict[str, Any] = {
            "connection_id": self.given["connection_id"],
            "to": wish.to,
            "from": wish.from_,
            "timeout_secs": min(max(wish.ring_timeout, 5), 600),
            "time_limit_secs": min(max(wish.max_duration, 60), 14400),
            "webhook_url": wish.offer.hooks.url(Purpose.ANSWER),
            "client_state": _remember(placed),
        }
        if wish.detect_machine:
            body["answering_machine_detection"] = "detect"
        url = f"{self._api}/calls"
        response = yield Request.of_json("POST", url, body, self._login, repeatable=False)
        if response.status >= 300:
            raise _refused("place a call", response)
        return web.read_json(response.body, _Resource).data.call_control_id

    def transfer(self, call: CallInfo, to: str, *, from_: str, hooks: Hooks) -> Flow[None]:
        fields = {"to": to, "webhook_url": hooks.url(Purpose.AFTER)}
        fields |= {"from": from_} if from_ else {}
        # The stream's end is then no reason to end the call; the new leg's end is.
        fields["client_state"] = _remember(call, transferred=True)
        fields["target_leg_client_state"] = _remember(call, leg_of=call.call_id)
        yield from self._order("transfer", call, **fields)
        # A stream that went on would keep another from being opened, should the transfer fail.
        with contextlib.suppress(errors.CallEnded, errors.CarrierError):
            yield from self._order("streaming_stop", call, client_state=fields["client_state"])

    def send_digits(
        self, call: CallInfo, digits: str, *, started: Started, hooks: Hooks
    ) -> Flow[None]:
        if not re.fullmatch(r"[0-9A-D*#wW]+", digits):
            raise ValueError("keys are 0-9, A-D, * and #; w waits half a second, W a whole one")
        yield from self._order("send_dtmf", call, digits=digits, duration_millis=250)

    def check(self) -> Flow[Sequence[str]]:
        response = yield Request.get(f"{self._api}/call_control_applications", self._login)
        if response.status >= 300:
            raise _refused("list the account's applications", response)
        told = response.json().get("data")
        listed = cast("list[Any]", told) if isinstance(told, list) else []
        asked = [(text_of(a, "application_name"), text_of(a, "webhook_event_url")) for a in listed]
        return [f"application {name!r} tells {url or 'nobody'} of calls" for name, url in asked]

    # The carrier's side of control.

    def platform(self, request: Request) -> Platform:
        if not web.same(request.headers.get("authorization", ""), self._login["authorization"]):
            return _fail(401, "10009", "Authentication failed")
        if request.url == f"{self._api}/call_control_applications":
            return Response.of_json({"data": [{"application_name": "example"}]})
        pattern = rf"{re.escape(self._api)}/calls(?:/([^/?]+)(?:/actions/([a-z_]+))?)?"
        path = re.fullmatch(pattern, request.url)
        if path and path[1] is None:
            return (yield from self._create(request.json()))
        leg = (yield seam.Find(unquote(path[1]))) if path else None
        if path is None or leg is None:
            return _fail(404, "10005", "Resource not found")
        if path[2] is None:
            alive = leg.state is not CallState.ENDED
            return self._describe(leg, is_alive=alive, call_duration=round(leg.duration_s))
        if leg.state is CallState.ENDED:
            return _fail(422, _OVER, "Call has already ended")
        return (yield from self._obey(leg, path[2], request.json()))

    def _describe(self, leg: Leg, **more: Any) -> Response:
        ids = self._leg(leg.call) | {"record_type": "call"}
        return Response.of_json({"data": ids | more})

    def _create(self, body: Mapping[str, Any]) -> Platform:
        if missing := web.lacking(body, "connection_id", "to", "from"):
            return _fail(422, "10004", f"Missing required parameter: {missing[0]}")
        leg = yield seam.Place(
            to=body["to"],
            from_=body["from"],
            answer_url=text_of(body, "webhook_url"),
            status_url=text_of(body, "webhook_url"),
            ring_timeout=float(body.get("timeout_secs", 30)),
            detect_machine="answering_machine_detection" in body,
            tag=text_of(_remembered(body), "tag"),
        )
        assert leg is not None, "Place is answered with a Leg"
        return self._describe(leg, is_alive=False)

    def _obey(self, leg: Leg, action: str, body: Mapping[str, Any]) -> Platform:
        call_id, ringing = leg.call.call_id, leg.state is not CallState.ACTIVE
        done = Response.of_json({"data": {"result": "ok"}})
        command_id = text_of(body, "command_id")
        if command_id and self._obeyed.repeats(f"{call_id} {command_id}"):
            return done
        if ringing and action not in ("answer", "reject", "hangup"):
            return _fail(422, _NOT_YET, "Call has not been answered yet")
        match action:
            case "answer":
                steps: list[Step] = [seam.Pause(0.0), seam.Pause(math.inf)]
                yield seam.Instruct(call_id, steps, keep_stream=True)
            case "reject":
                reason = _REJECTIONS.get(text_of(body, "cause"), "rejected")
                yield seam.Instruct(call_id, [seam.Reject(reason)])
            case "hangup":
                yield seam.HangUpLeg(call_id)
            case "streaming_start":
                # Its end is told where the call was offered, and the call goes on.
                yield seam.Instruct(call_id, [_open(body), seam.Redirect("")])
            case "transfer":
                after = text_of(body, "webhook_url")
                to, from_ = text_of(body, "to"), text_of(body, "from")
                step = seam.TransferTo(to=to, from_=from_, then_url=after)
                yield seam.Instruct(call_id, [step])  # which ends its stream
            case "streaming_stop":
                return _fail(422, "90048", "Media Streaming is not used")
            case "send_dtmf":
                yield seam.Press(call_id, text_of(body, "digits"))
            case _:
                return _fail(404, "10005", "Resource not found")
        return done


def _open(body: Mapping[str, Any]) -> seam.OpenStream:
    url = text_of(body, "stream_url")
    audio = _FORMATS.get(text_of(body, "stream_bidirectional_codec") or "PCMU")
    mode = text_of(body, "stream_bidirectional_mode")
    if not web.is_socket(url) or mode != "rtp" or audio is None:
        raise RemoteProtocolError("streaming_start needs a wss URL, mode rtp, and PCMU or PCMA")
    token = text_of(body, "stream_auth_token")
    headers = {_AUTH_HEADER: token} if token else {}
    parameters = _parameters(body.get("custom_parameters"))
    return seam.OpenStream(url=url, headers=headers, parameters=parameters, audio=audio)
