"""Vonage Voice API: an NCCO ``connect`` to a WebSocket, binary linear PCM both ways.

    their word                                  ours
    ------------------------------------------  ---------------------------------------
    NCCO connect, endpoint websocket            answer
    endpoint headers, merged into the first     call_id, from_, to, parameters
    message websocket:connected                 Started
    binary message, 20 ms of audio/l16          Audio, both ways at one rate
    action clear, event websocket:cleared       Clear, Cleared
    action notify, event websocket:notify       Mark: reached; lost by a clear
    event websocket:dtmf                        Digit
    uuid of the phone's leg                     call_id
    status disconnected, failed … (socket leg)  Offered(again)
    status completed, busy, timeout …           Ended, reason
    Authorization: Bearer JWT, payload_hash     verify, sign
    PUT /v1/calls/{uuid} hangup, transfer       hang_up, transfer

Wire facts are from Vonage's guides, SDK and specification (2021-2026); docs/carriers/vonage.md
lists. Knows no socket, and of time how old a signature and its own access token are.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import Struct

from .. import carrier as seam
from .. import errors, events, web
from ..carrier import Carrier, Credential, Dial, Hooks, Leg, Platform, Purpose, Shapes, Step, Stream
from ..errors import BadSignature, LocalProtocolError, RemoteProtocolError, Unsupported
from ..events import Audio, CallInfo, CallState, Extra, FromCaller, Notice, Started, ToCaller, Why
from ..media.formats import L16_8K, L16_16K, L16_24K, AudioFormat
from ..web import Flow, Request, Response, e164, text_of
from ..wire import read_key

__all__ = ["BotEnd", "CarrierEnd", "Vonage"]

_API: Final = "https://api.nexmo.com"
# region_url of a webhook is followed to Vonage's own hosts only.
_REGIONS: Final = re.compile(r"https://api(?:-[a-z0-9]+)*\.(?:nexmo|vonage)\.com")
_FRAME_MS: Final = 20
# How old a signature may be, which Vonage leaves to us. It tries a webhook again within seconds.
_TOLERANCE_S: Final = 300.0
# An access token lives 15 minutes, as the SDK's do, and is renewed a minute before.
_TOKEN_LIFE_S: Final = 900
_TOKEN_MARGIN_S: Final = 60
_MOST_S: Final = 7200  # of a connect action, and of a placed call
_HEADERS_BYTES: Final = 512
# What our answer puts into headers, and what they are merged with: no parameter can be called so.
_OWN_HEADERS: Final = ("call_uuid", "from", "to", "direction")
_RESERVED: Final = frozenset({"event", "content-type", *_OWN_HEADERS})

# status of a call, or of a leg, that is over. "unanswered" is also said of one that was declined,
# "rejected" of one that Vonage itself did not let through (webhook reference).
_ENDS: Final = {
    "completed": Why.COMPLETED,
    "busy": Why.BUSY,
    "timeout": Why.NO_ANSWER,
    "unanswered": Why.NO_ANSWER,
    "rejected": Why.REJECTED,
    "failed": Why.FAILED,
    "cancelled": Why.CANCELLED,
}
_END_WORDS: Final = {why: word for word, why in reversed(_ENDS.items())}
_FAULTS: Final = ("rejected", "failed")  # neither party's doing
# After these, the event of a synchronous connect may be answered with another NCCO.
_ASKS: Final = frozenset(_ENDS) - {"completed"} | {"disconnected"}
_STATES: Final = {
    "started": CallState.QUEUED,
    "ringing": CallState.RINGING,
    "answered": CallState.ACTIVE,
} | dict.fromkeys(_ENDS, CallState.ENDED)
_STATE_WORDS: Final = {state: word for word, state in reversed(_STATES.items())}

# For the simulator: a test key made for this file, which opens nothing anywhere.
_TEST_KEY: Final = "-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDkib/27bvAj0S/3+Cb/uePBTBt9/iMuM6wSupOaMJ97/FKnVpU4BZhvgitu1G1sF7qu60iaWC773Dq2Fa+yq+gpkWxpdte4vSTkB/IJNBmo0ApgA5UXvh2DEswn+M34uonca8uTfO5SPygITksryGlThTDlwJHgAVX4QjTrOpeC8mirxZkUICe8iOYfGf0WWkkS8jNRCHPa0ghnh5yMjOkuDHRbJd0EeQzI/+lJ2sWC8D3gYyVkGhd8cm1MfZJKo2eGIeEUpuKMFId3Qqkt9+oj4FjQUvYTiSuZG6mqyrt9hIBTuKJQDFrsw/hxY5i97cGGvOK5fgBWR5sUjRIy2cfAgMBAAECggEABCVUbkkPblNgWzXdUwWbOVbB4Qih0kq/fVF2l9xy+7yXjG8V/WVeCvTIpS/j/1xHK2EvS/tk4EAZOthDayitsy98bCEubi+J25OHoHKwCvMW9Ya5Gkz1s4d5U1UJrCe/oK2yNR4MRy2ywNg7u4Da3cFSN0BOl34UEZfhdTsZxr7NdaIoEo+oiup+MUY8u/Ef7IcyGQNNdpucVUZt2duaOhpTJUwPbM7hkFxz4vB0trQSbIPOt5WLVDGV+KUsHqn2vj+b7XowAeNLGyU7TI4pV/WWU7xfLu0VfXYuubGcHjFxKp0qE9QEV/syX1hUmYzlLdprRYF8LEbTMFTQG87RKQKBgQDyaezjkka+2wdctIEM6Cqo7yl3tAW4laKmF6avy5Rr89UNtXBR+DESWwBWq75JqWchEImvWefCaRP2IB14r7Cb/aINtBOIsRr5PSziyOtYICJpxLnGPFPt2/9oo86LzvsRYJa1e2ybzwEEnmzUcVgzsriZMzFEsFB83+zrnWOdFwKBgQDxWL2bTNqVLSDQ/+RtLGuF2fPZux2MPGM7JuB7my7kqjNw44J3Lm1j4I3V4h4KTcThkFiYGuswKV0PdeiUDKi7Lgwoa9J0NNXzGhutmQzrRpoOBNLyAQrP/27SWUUI8OcS407JsRYzrINvtcAA7jWs/VQ8xtjor/KqKz8Ho9QbOQKBgGhYdCGZK16oBUlAYXRe004YdG8UTIohzvtTnup45RB6yrC18v01qlnOVhz4nFY01zGCXuHd/0bN2EvPkyAJ8CmVSZZAd1AVfBjg3ltYRQWP/4ArsBPGkBII6q3uJNBFbgkS3IyN7jg7KKMGVq4zg9XtDkzTnleE1YCLGv5opyJNAoGBAOvtBMTItzB2wgqs616xupZJPjBM0xCgg5xyX6VVSNztaIXlUUcyUmr9O4mmlhkadujNU121is000izn5Si8y0DXPblR1ZQVhkQz9HSaFd/0z2n+2zsJO8mieHIWI/8eh7SWEhHmE78F2CKeuAfw1PW7Wtpiw+2K+hvRVLciNpk5AoGBAO5/a2M0E9ltSR/zGXEuv7uzOjUifDvillEKYgCnA4MFIjhew9nkAnVbOpSac7HS//mP9YoxaEyr9FMTJ09LHkwz5qrb0Tfy+vX9NkwGmgQuBkWlN216oKAvWjXEU4MOUny/qCyxb3xnTYlhu3/1bIeANtRMG+HAu40gB8/X9u59\n-----END PRIVATE KEY-----\n"  # noqa: E501
_TEST_SECRET: Final = "qwertyuiopasdfghjklzxcvbnm123456"  # noqa: S105 - of the SDK's own tests
_TEST_UUID: Final = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
_KEY_HELP: Final = "its private key: the PEM text, not a path (with \\n for line ends, if need be)"


# --- wire ------------------------------------------------------------------------------------

_OUTBOUND: Final = (L16_16K, L16_8K, L16_24K)
_CONTENT_TYPES: Final = {audio: f"audio/l16;rate={audio.rate}" for audio in _OUTBOUND}
_FORMATS: Final = {name: audio for audio, name in _CONTENT_TYPES.items()}


def _format(content_type: Any) -> AudioFormat:
    audio = _FORMATS.get(re.sub(r"\s", "", str(content_type)).lower())
    if audio is None:
        raise RemoteProtocolError("the content-type is not audio/l16 at 8000, 16000 or 24000 Hz")
    return audio


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class _Dtmf(Struct, tag_field="event", tag="websocket:dtmf"):
    digit: str
    duration: int = -1


class _Notify(Struct, tag_field="event", tag="websocket:notify"):
    payload: dict[str, Any]


class _NotifyUs(Struct, tag_field="action", tag="notify"):
    payload: dict[str, Any]


_KINDS: Final = tuple(f"websocket:{kind}" for kind in ("connected", "cleared", "dtmf", "notify"))
_FROM_VONAGE: Final[Shapes[_Dtmf | _Notify]] = Shapes(_Dtmf | _Notify, "event")
_TO_VONAGE: Final[Shapes[_NotifyUs]] = Shapes(_NotifyUs, "action")


class BotEnd(Stream[FromCaller, ToCaller]):
    """Our server's end. The rate is the one that the first message tells."""

    __slots__ = ("_frame",)

    def __init__(self) -> None:
        super().__init__()
        self._frame = 0

    def receive(self, message: str | bytes) -> Sequence[FromCaller]:
        if isinstance(message, bytes):
            if len(message) % 2:
                raise RemoteProtocolError("half a sample of audio")
            # Before websocket:connected nobody knows what it is.
            return (Audio(message),) if self._frame and message else ()
        return (self._told(_FROM_VONAGE.read(message)),)

    def _told(self, said: _Dtmf | _Notify | Extra) -> FromCaller:
        match said:
            case _Dtmf(digit, duration):
                return read_key(digit, duration)
            case _Notify({"mark": str() as name}) if len(said.payload) == 1:
                return events.Mark(name)
            case _Notify():
                return Extra("websocket:notify", {"payload": said.payload})
            case Extra("websocket:connected"):
                return self._started(dict(said.fields))
            case Extra("websocket:cleared"):
                return events.Cleared()
            case _:
                return said

    def _started(self, fields: dict[str, Any]) -> Started:
        audio = _format(fields.pop("content-type", ""))
        self._frame = audio.bytes_in(_FRAME_MS)
        told = {name: _as_text(value) for name, value in fields.items()}
        call_uuid, from_, to, _ = (told.pop(name, "") for name in _OWN_HEADERS)
        return Started(
            call_id=call_uuid, from_=from_, to=to, inbound=audio, outbound=audio, parameters=told
        )

    def send(self, event: ToCaller) -> None:
        if type(event) is Audio:
            # A message of any other size makes Vonage drop the socket (1006).
            if not self._frame or len(event.payload) != self._frame:
                raise LocalProtocolError("audio before websocket:connected, or not exactly 20 ms")
            self._queue.append(event.payload)
        elif isinstance(event, events.Mark):
            self.put(_NotifyUs({"mark": event.name}))
        elif isinstance(event, events.Clear):
            self.put({"action": "clear"})
        else:
            raise LocalProtocolError(f"Vonage's socket cannot carry {type(event).__name__}")


class CarrierEnd(Stream[ToCaller, FromCaller]):
    """Vonage's end, for the simulator."""

    def __init__(self, audio: AudioFormat) -> None:
        super().__init__()
        self._audio = audio
        self._began = False

    def receive(self, message: str | bytes) -> Sequence[ToCaller]:
        if isinstance(message, bytes):
            size, required = len(message), self._audio.bytes_in(_FRAME_MS)
            if size != required:
                raise RemoteProtocolError(f"unexpected frame size {size}, when required {required}")
            return (Audio(message, format=self._audio),)
        match _TO_VONAGE.read(message):
            case _NotifyUs({"mark": str() as name}):
                return (events.Mark(name),)
            case Extra("clear"):
                return (events.Clear(),)
            case _:
                raise RemoteProtocolError("an action that is neither clear nor one of our marks")

    def send(self, event: FromCaller) -> None:
        if not self._began and not isinstance(event, Started):
            raise LocalProtocolError("a stream begins with Started")
        match event:
            case Started():
                self._begin(event)
            case Audio():
                self._queue.append(event.payload)
            case events.Digit():
                self.put(_Dtmf(event.digit, max(event.duration_ms, 0)))
            case events.Mark():
                self.put(_Notify({"mark": event.name}))
            case events.Cleared():
                self.put({"event": "websocket:cleared"})
            case _:
                self.put_extra(event, _KINDS, "Vonage")

    def _begin(self, event: Started) -> None:
        if {event.inbound, event.outbound} != {self._audio}:
            raise LocalProtocolError("a Vonage stream has one encoding for both ways")
        self._began = True
        who = {"call_uuid": event.call_id, "from": event.from_, "to": event.to}
        headers = {name: value for name, value in who.items() if value} | dict(event.parameters)
        first = {"event": "websocket:connected", "content-type": _CONTENT_TYPES[self._audio]}
        self.put(first | headers)


# --- JSON Web Tokens -------------------------------------------------------------------------


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _jwt(algorithm: str, claims: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    header = {"alg": algorithm, "typ": "JWT"}
    signed = ".".join(_b64(msgspec.json.encode(part)) for part in (header, claims))
    return f"{signed}.{_b64(sign(signed.encode()))}"


def _bearer(request: Request) -> tuple[str, str]:
    """What is signed, and the signature, of the JWT in ``Authorization``; empty without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    signed, _, signature = token.strip().rpartition(".")
    return (signed, signature) if scheme.lower() == "bearer" else ("", "")


def _bearing(request: Request, token: str) -> Request:
    headers = {**request.headers, "authorization": f"Bearer {token}"}
    return msgspec.structs.replace(request, headers=headers)


def _claims(signed: str, algorithm: str) -> dict[str, Any]:
    """A checked JWT's claims; ``ValueError`` or ``RemoteProtocolError`` if it is none such."""
    header, body = (web.read_json(_unb64(part), dict[str, Any]) for part in signed.split("."))
    if header.get("alg") != algorithm:
        raise ValueError(f"not signed with {algorithm}")
    return body


def _payload_hash(request: Request) -> str:
    """Of a POST the body's SHA-256; of a GET its parameters', as a JSON object in their order."""
    body = msgspec.json.encode(dict(request.query)) if request.method == "GET" else request.body
    return hashlib.sha256(body).hexdigest()


# --- webhooks --------------------------------------------------------------------------------


def _with(url: str, direction: events.Direction, **ours: str) -> str:
    """``url`` with parameters that come back with the webhook, since its fields lack them."""
    parts = urlsplit(url)
    outbound = {"direction": "outbound"} if direction is events.Direction.OUTBOUND else {}
    pairs = outbound | {name: value for name, value in ours.items() if value}
    return urlunsplit(parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | pairs)))


def _call_info(fields: Mapping[str, Any], call_id: str, about: Any) -> CallInfo:
    """Who is on a call by ``fields``; its direction and tag are told by ``about``."""
    outbound = text_of(about, "direction") == "outbound"
    return CallInfo(
        carrier=Vonage.name,
        call_id=call_id,
        from_=e164(text_of(fields, "from") or text_of(fields, "from_user")),
        to=e164(text_of(fields, "to")),
        direction=events.Direction.OUTBOUND if outbound else events.Direction.INBOUND,
        tag=text_of(about, "tag"),
        raw=fields,
    )


def _seconds(fields: Mapping[str, Any]) -> float | None:
    told = _as_text(fields.get("duration", ""))
    return float(told) if re.fullmatch(r"[0-9]{1,9}", told) else None


def _progress(fields: Mapping[str, Any], status: str, call_id: str) -> Notice:
    """An event of the phone's leg."""
    if status == "ringing":
        return events.Ringing(_call_info(fields, call_id, fields))
    if status == "answered":
        return events.Answered(_call_info(fields, call_id, fields))
    if status in ("human", "machine"):
        return events.MachineDetected(call_id, status, text_of(fields, "sub_state") or status)
    if status in _ENDS:
        who = events.Who.CARRIER if status in _FAULTS else events.Who.UNKNOWN
        reason = events.EndReason(_ENDS[status], who, status)
        return events.Ended(call_id, reason, duration_s=_seconds(fields))
    # Such as started, record, input, transfer; an error has a reason and no status.
    return events.Other(status or "error", call_id, fields)


def _of_socket(fields: Mapping[str, Any], status: str, *, asks: bool) -> Notice:
    """An event of the socket's own leg. Its headers, which are ours, tell whose socket it was."""
    headers = fields.get("headers")
    call_id = text_of(headers, "call_uuid")
    if not (asks and call_id and status in _ASKS):
        return events.Other(f"websocket {status}", call_id)
    who = {name: text_of(headers, name) for name in ("from", "to")}
    return events.Offered(_call_info(who, call_id, headers), again=True)


def _of_transfer(fields: Mapping[str, Any], status: str, ours: Mapping[str, str]) -> Notice:
    """An event of the leg that a call was transferred to; our own URL tells which call."""
    # One that was not reached is told of twice: busy, say, and then completed, of no duration.
    if status not in _ENDS or (status == "completed" and not _seconds(fields)):
        return events.Other(f"transfer {status}", ours["call_uuid"])
    call = _call_info(fields, ours["call_uuid"], ours)
    return events.Offered(call, again=True, transfer=_ENDS[status])


# --- NCCO and REST ---------------------------------------------------------------------------


class _Endpoint(Struct, omit_defaults=True):
    type: str
    uri: str = ""
    number: str = ""
    content_type: str = msgspec.field(name="content-type", default="")
    headers: dict[str, Any] = {}
    authorization: dict[str, str] = {}

    @classmethod
    def of(cls, to: str) -> _Endpoint:
        return (
            cls("sip", uri=to)
            if to.startswith("sip:")
            else cls("phone", number=to.removeprefix("+"))
        )

    def step(self, from_: str, then: str) -> Step:
        if self.type in ("phone", "sip"):
            to = e164(self.number or self.uri)
            return seam.TransferTo(to=to, from_=e164(from_), then_url=then)
        if self.type != "websocket" or not web.is_socket(self.uri):
            raise RemoteProtocolError("an endpoint is a websocket with a wss URI, or a phone")
        if len(msgspec.json.encode(self.headers)) > _HEADERS_BYTES:
            raise RemoteProtocolError(f"headers take more than {_HEADERS_BYTES} bytes")
        return seam.OpenStream(
            url=self.uri,
            audio=_format(self.content_type),
            parameters={n: _as_text(v) for n, v in self.headers.items() if n not in _OWN_HEADERS},
        )


class _Connect(Struct, omit_defaults=True, tag_field="action", tag="connect"):
    """The one action we use; its ``limit`` is 7200 s where nothing is said."""

    endpoint: Annotated[list[_Endpoint], msgspec.Meta(min_length=1, max_length=1)]
    from_: str = msgspec.field(name="from", default="")
    randomFromNumber: bool = False
    eventType: str = ""
    eventUrl: list[str] = []
    eventMethod: str = "POST"

    @classmethod
    def asking(
        cls, event_url: str, endpoint: _Endpoint, call: CallInfo, from_: str = ""
    ) -> _Connect:
        """One that asks ``event_url`` how to go on where it fails, or the socket is lost.

        Always the last of its NCCO: an action after it was seen to begin while the socket was up.
        """
        inbound = call.direction is events.Direction.INBOUND
        shown = (from_ or (call.to if inbound else call.from_)).removeprefix("+")
        number = shown if shown.isdigit() else ""  # one of Vonage's: nothing else can be shown
        return cls([endpoint], number, not number, "synchronous", [event_url])

    def steps(self) -> list[Step]:
        then = self.eventUrl[0] if self.eventUrl and self.eventType == "synchronous" else ""
        step = self.endpoint[0].step(self.from_, then)
        asks = then and isinstance(step, seam.OpenStream)
        return [step, seam.Redirect(then, self.eventMethod)] if asks else [step]


class _Call(Struct, omit_defaults=True):
    to: Annotated[list[_Endpoint], msgspec.Meta(min_length=1, max_length=1)]
    from_: _Endpoint = msgspec.field(name="from")
    answer_url: list[str]
    event_url: list[str] = []
    answer_method: str = "GET"
    ringing_timer: int = 60
    length_timer: int = _MOST_S
    machine_detection: str = ""


class _Resource(Struct):
    uuid: str
    status: str


def _steps(ncco: Sequence[_Connect]) -> list[Step]:
    return [step for action in ncco for step in action.steps()]


def _refused(asked: str, response: Response) -> errors.CarrierError:
    said = response.fields
    kind = str(said.get("type") or "").rpartition("#")[2]
    words = [str(said.get(name) or "") for name in ("error_title", "title", "detail")]
    return web.refusal(asked, response, code=kind, detail=": ".join(filter(None, words)))


def _error(status: int, title: str) -> Response:
    kind = title.upper().replace(" ", "_")
    return Response.of_json({"type": kind, "error_title": title}, status)


def _leg(call: CallInfo, status: str) -> dict[str, Any]:
    return {
        "from": call.from_.removeprefix("+"),
        "to": call.to.removeprefix("+"),
        "uuid": call.call_id,
        "conversation_uuid": f"CON-{call.call_id}",
        "status": status,
        "direction": call.direction.value,
    }


def _describe(leg: Leg) -> dict[str, Any]:
    why = leg.reason.why if leg.reason else Why.COMPLETED
    over = leg.state is CallState.ENDED
    status = _END_WORDS.get(why, "completed") if over else _STATE_WORDS[leg.state]
    return _leg(leg.call, status) | {"duration": f"{leg.duration_s:.0f}"}


class Vonage(Carrier):
    """Vonage Voice API with a WebSocket endpoint."""

    name = "vonage"
    title = "Vonage"
    docs = "https://developer.vonage.com/en/voice/voice-api/guides/websockets"
    credentials = (
        Credential("application_id", "VONAGE_APPLICATION_ID", "the application's id", _TEST_UUID),
        Credential("private_key", "VONAGE_PRIVATE_KEY", _KEY_HELP, _TEST_KEY, secret=True),
        Credential(
            "signature_secret", "VONAGE_SIGNATURE_SECRET", "of webhooks", _TEST_SECRET, True
        ),
    )
    inbound = _OUTBOUND
    outbound = _OUTBOUND
    one_format = True
    hears = frozenset({Started, Audio, events.Digit, events.Mark, events.Cleared, Extra})
    says = frozenset({Audio, events.Mark, events.Clear})
    marks = seam.Marks.DROPPED
    # The buffer at Vonage's end holds 3072 messages, a minute (guide "WebSockets").
    frame = seam.FrameRule(ms=_FRAME_MS, whole=True, max_lead_ms=1000)
    dial_rate = 3.0  # said in many places, and by no page found
    signs_webhooks = "Authorization: a JWT (HS256) with the payload's SHA-256"
    signature_covers: ClassVar[frozenset[Literal["url", "body"]]] = frozenset({"body"})
    signs_upgrade = True
    arguments = "* call_id application_id private_key"
    limitations = (
        "A stream has one sample rate for both ways, and lasts two hours at most.",
        f"Parameters share {_HEADERS_BYTES} bytes with the call's id and numbers.",
        "Who hung up is not told.",
        "A transfer that was answered does not come back: Vonage ends the call after it.",
        "Whether marks come back after a clear is not documented: they are taken to be lost.",
        "A webhook that Vonage sends unsigned, as it may on a fault of its own, is refused.",
    )

    def __init__(self, credentials: Mapping[str, str], **options: Any) -> None:
        super().__init__(credentials, **options)
        self._application = self.given["application_id"]
        self._pem = self.given["private_key"].replace("\\n", "\n")
        if "-----" not in self._pem:
            raise errors.ConfigError("VONAGE_PRIVATE_KEY is the key itself (PEM), not a path")
        self._token = ""
        self._token_until = 0.0

    @cached_property
    def _key(self) -> RSAPrivateKey:
        """The application's key, read when first used; ``ConfigError`` if it is none."""
        try:
            found = load_pem_private_key(self._pem.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise errors.ConfigError(f"VONAGE_PRIVATE_KEY cannot be read: {error}") from None
        if isinstance(found, RSAPrivateKey):
            return found
        raise errors.ConfigError("VONAGE_PRIVATE_KEY is not an RSA key")

    # Wire.

    def bot_end(self, audio: AudioFormat) -> BotEnd:
        self.can_play(audio)
        return BotEnd()

    def carrier_end(self, audio: AudioFormat) -> CarrierEnd:
        return CarrierEnd(self.can_play(audio))

    # Door.

    def _hs256(self, signed: bytes) -> bytes:
        return hmac.digest(self.given["signature_secret"].encode(), signed, "sha256")

    def verify(self, request: Request) -> None:
        signed, signature = _bearer(request)
        made = self._hs256(signed.encode(errors="surrogatepass"))
        if not signed or not web.same(_b64(made), signature):
            raise BadSignature("Authorization holds no JWT signed with VONAGE_SIGNATURE_SECRET")
        try:
            claims = _claims(signed, "HS256")
        except (ValueError, RemoteProtocolError) as error:
            raise BadSignature(f"the JWT cannot be read: {error}") from None
        issued = claims.get("iat")
        if not isinstance(issued, int | float) or abs(self.clock() - issued) > _TOLERANCE_S:
            raise BadSignature(f"the JWT was not issued (iat) within {_TOLERANCE_S:.0f} s of now")
        if claims.get("application_id", self._application) != self._application:
            raise BadSignature("the JWT names another application_id")
        # An upgrade has no payload, and what its hash would be of is not documented.
        if not request.url.startswith("ws") and not web.same(
            _payload_hash(request), text_of(claims, "payload_hash")
        ):
            raise BadSignature("the payload is not the one whose SHA-256 the JWT names")

    def sign(self, request: Request) -> Request:
        claims = self._issued() | {"iss": "Vonage", "payload_hash": _payload_hash(request)}
        return _bearing(request, _jwt("HS256", claims, self._hs256))

    def _issued(self) -> dict[str, Any]:
        jti = str(uuid.uuid4())
        return {"iat": int(self.clock()), "jti": jti, "application_id": self._application}

    # Webhooks and answers.

    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[Notice]:
        ours = dict(request.query)
        fields = ours if request.method == "GET" else request.json()
        call_id = text_of(fields, "uuid") or text_of(fields, "call_uuid")
        status = text_of(fields, "status")
        if not call_id and not status and not text_of(fields, "reason"):
            raise RemoteProtocolError("a webhook without uuid")
        if purpose is Purpose.ANSWER and call_id and not status:
            return [events.Offered(_call_info(fields, call_id, ours))]
        if web.is_socket(text_of(fields, "to")):
            return [_of_socket(fields, status, asks=purpose is Purpose.AFTER)]
        if purpose is Purpose.AFTER and "call_uuid" in ours:
            return [_of_transfer(fields, status, ours)]
        return [_progress(fields, status, call_id)]

    def write_webhook(self, notice: Notice, url: str) -> Request:
        match notice:
            case events.Offered():
                url, fields = self._offered(notice, url)
            case events.Ringing(call) | events.Answered(call):
                fields = self._event(call, type(notice).__name__.lower())
            case events.Ended():
                word = _END_WORDS.get(notice.reason.why, "completed")
                seconds = f"{notice.duration_s or 0:.0f}"
                fields = {"uuid": notice.call_id, "status": word, "duration": seconds}
            case events.MachineDetected(call_id, "human" | "machine" as result):
                fields = {"call_uuid": call_id, "status": result}
            case _:
                raise Unsupported(f"Vonage sends no webhook for such a {type(notice).__name__}")
        return Request.of_json("POST", url, fields)

    def _offered(self, notice: events.Offered, url: str) -> tuple[str, dict[str, Any]]:
        call = notice.call
        who = {
            "from": call.from_.removeprefix("+"),
            "to": call.to.removeprefix("+"),
            "uuid": call.call_id,
        }
        if not notice.again:
            asked = _with(url, call.direction, tag=call.tag)
            return asked, who | {"conversation_uuid": f"CON-{call.call_id}", "region_url": _API}
        leg = {"uuid": str(uuid.uuid4())}
        if notice.transfer is not None:
            asked = _with(url, call.direction, call_uuid=call.call_id)
            word = _END_WORDS.get(notice.transfer, "failed")
            talked = {"duration": "1"} if word == "completed" else {}
            return asked, self._event(call, word) | leg | talked
        socket = urlunsplit(urlsplit(url)._replace(scheme="wss", path="/socket"))
        headers = {"to": socket, "headers": _headers(call, {})}
        return url, self._event(call, "disconnected") | leg | headers

    def _event(self, call: CallInfo, status: str) -> dict[str, Any]:
        return _leg(call, status) | {"timestamp": web.timestamp(self.clock())}

    def answer(self, call: CallInfo, offer: seam.Offer) -> seam.Answer:
        if taken := _RESERVED & set(offer.parameters):
            raise Unsupported(f"no parameter can be called {', '.join(sorted(taken))} here")
        _ = self._key  # no call is taken that could not be ended
        endpoint = _Endpoint(
            "websocket",
            # The token rides in the path: a socket without one is refused before it is accepted,
            # and the scarce headers are left to the call's id, which has no other way.
            uri=offer.token_url,
            content_type=_CONTENT_TYPES[self.can_play(offer.audio)],
            headers=_headers(call, offer.parameters),
            authorization={"type": "vonage"},
        )
        after = offer.hooks.url(Purpose.AFTER)
        connect = _Connect.asking(after, endpoint, call)
        return seam.Answer(Response.of_json([connect]))

    def dismiss(self, call: CallInfo, why: seam.Dismissal) -> seam.Answer:
        # To an event, no NCCO at all: the call goes on with what is left of its own, which is
        # nothing, and one that was transferred meanwhile is left alone.
        left = why is seam.Dismissal.DONE
        return seam.Answer(Response(204) if left else Response.of_json([]))

    def read_answer(self, response: Response) -> Sequence[Step]:
        if response.status >= 300:
            raise RemoteProtocolError(f"the webhook answered HTTP {response.status}")
        if not response.body:
            return [seam.Hangup()]
        if "json" not in response.headers.get("content-type", ""):
            raise RemoteProtocolError("an NCCO is application/json")
        return _steps(web.read_json(response.body, list[_Connect])) or [seam.Hangup()]

    # Control.

    def _authorized(self, request: Request) -> Flow[Response]:
        """Send a request with the access token, which all calls share until it is near its end."""
        if self.clock() >= self._token_until - _TOKEN_MARGIN_S:
            until = int(self.clock()) + _TOKEN_LIFE_S
            sign = partial(self._key.sign, padding=PKCS1v15(), algorithm=SHA256())
            self._token = _jwt("RS256", self._issued() | {"exp": until}, sign)
            self._token_until = until
        return (yield _bearing(request, self._token))

    def _call_url(self, call: CallInfo) -> str:
        """Where a call is controlled: in its region, where its webhook told one."""
        region = text_of(call.raw, "region_url")
        host = region if _REGIONS.fullmatch(region) else _API
        return f"{host}/v1/calls/{web.safe_id(call.call_id)}"

    def _unless_over(self, asked: str, call: CallInfo, order: Any, path: str = "") -> Flow[bool]:
        """Send an order to a call; returns whether it was there to take it.

        404 is a call that is over. 400 is either that, or one that was created less than 1 to 2 s
        ago and cannot be changed yet (support article 10359615124380): hence asked.
        """
        request = Request.of_json("PUT", self._call_url(call) + path, order)
        response = yield from self._authorized(request)
        if response.status < 300:
            return True
        if response.status == 404:
            return False
        if response.status == 400 and (yield from self.state(call)) is CallState.ENDED:
            return False
        refused = _refused(asked, response)
        refused.retryable = refused.retryable or response.status == 400
        raise refused

    def hang_up(self, call: CallInfo) -> Flow[None]:
        # The phone's leg: to hang up the socket's would leave the caller on the line.
        yield from self._unless_over("hang up", call, {"action": "hangup"})

    def state(self, call: CallInfo) -> Flow[CallState]:
        response = yield from self._authorized(Request.get(self._call_url(call)))
        if response.status == 404:
            return CallState.ENDED
        if response.status >= 300:
            raise _refused("ask for a call's state", response)
        # "machine" is a call that is up; a word that is new is no reason to think it is over.
        return _STATES.get(web.read_json(response.body, _Resource).status, CallState.ACTIVE)

    def dial(self, wish: Dial) -> Flow[str]:
        hooks = wish.offer.hooks
        body = _Call(
            [_Endpoint.of(wish.to)],
            _Endpoint.of(wish.from_),
            # Not an ncco: a socket's headers hold the call's id, which is not known before.
            [_with(hooks.url(Purpose.ANSWER), events.Direction.OUTBOUND, tag=wish.key)],
            [hooks.url(Purpose.STATUS)],
            answer_method="POST",
            ringing_timer=min(max(wish.ring_timeout, 1), 120),
            length_timer=min(max(wish.max_duration, 1), _MOST_S),
            machine_detection="continue" if wish.detect_machine else "",
        )
        request = Request.of_json("POST", f"{_API}/v1/calls", body, repeatable=False)
        response = yield from self._authorized(request)
        if response.status != 201:
            raise _refused("place a call", response)
        return web.read_json(response.body, _Resource).uuid

    def transfer(self, call: CallInfo, to: str, *, from_: str, hooks: Hooks) -> Flow[None]:
        asked = _with(hooks.url(Purpose.AFTER), call.direction, call_uuid=call.call_id)
        connect = _Connect.asking(asked, _Endpoint.of(to), call, from_)
        order = {"action": "transfer", "destination": {"type": "ncco", "ncco": [connect]}}
        if not (yield from self._unless_over("transfer", call, order)):
            raise errors.CallEnded("cannot transfer: the call is over")

    def send_digits(
        self, call: CallInfo, digits: str, *, started: Started, hooks: Hooks
    ) -> Flow[None]:
        if not re.fullmatch(r"[0-9*#pw]+", digits):
            raise ValueError("keys are 0-9, * and #; p or w waits half a second")
        keys = {"digits": digits.replace("w", "p")}
        if not (yield from self._unless_over("send keys", call, keys, "/dtmf")):
            raise errors.CallEnded("cannot send keys: the call is over")

    def check(self) -> Flow[Sequence[str]]:
        response = yield from self._authorized(Request.get(f"{_API}/v1/calls?page_size=1"))
        if response.status >= 300:
            raise _refused("list calls", response)
        return []

    # The carrier's side of control.

    def platform(self, request: Request) -> Platform:
        if not self._holds_token(request):
            return _error(401, "Unauthorized")
        path = re.fullmatch(r"/v1/calls(?:/([^/]+)(/dtmf)?)?", request.path)
        if path and path[1] is None and request.method == "GET":
            return Response.of_json({"count": 0, "page_size": 1, "_embedded": {"calls": []}})
        if path and path[1] is None:
            return (yield from self._create(web.read_json(request.body, _Call)))
        leg = (yield seam.Find(path[1])) if path else None
        if leg is not None and request.method == "GET":
            return Response.of_json(_describe(leg))
        if leg is None or path is None or leg.state is CallState.ENDED:
            return _error(404, "Not Found")
        call_id = leg.call.call_id
        if path[2] is not None:
            yield seam.Press(call_id, text_of(request.json(), "digits").replace("p", "w"))
            return Response.of_json({"message": "DTMF sent", "uuid": call_id})
        return (yield from self._modify(call_id, request.json()))

    def _holds_token(self, request: Request) -> bool:
        signed, signature = _bearer(request)
        try:
            public = self._key.public_key()
            public.verify(_unb64(signature), signed.encode(), PKCS1v15(), SHA256())
            claims = _claims(signed, "RS256")
        except (InvalidSignature, ValueError, RemoteProtocolError):
            return False
        fresh = isinstance(claims.get("exp"), int) and self.clock() < claims["exp"]
        return fresh and claims.get("application_id") == self._application

    def _create(self, body: _Call) -> Platform:
        leg = yield seam.Place(
            to=e164(body.to[0].number or body.to[0].uri),
            from_=e164(body.from_.number),
            answer_url="".join(body.answer_url[:1]),
            status_url="".join(body.event_url[:1]),
            ring_timeout=float(body.ringing_timer),
            detect_machine=bool(body.machine_detection),
        )
        assert leg is not None, "Place is answered with a Leg"
        return Response.of_json(_describe(leg), 201)

    def _modify(self, call_id: str, order: dict[str, Any]) -> Platform:
        match order:
            case {"action": "hangup"}:
                yield seam.HangUpLeg(call_id)
            case {"action": "transfer", "destination": {"type": "ncco", "ncco": ncco}}:
                yield seam.Instruct(call_id, _steps(msgspec.convert(ncco, list[_Connect])))
            case _:
                return _error(400, "Bad Request")
        return Response(204)


def _headers(call: CallInfo, parameters: Mapping[str, str]) -> dict[str, str]:
    """What the socket and its events are told: whose they are, and by whom if there is room."""
    whose = {"call_uuid": call.call_id, **parameters}
    who = {"from": call.from_, "to": call.to, "direction": call.direction.value}
    for headers in (whose | who, whose):
        if len(msgspec.json.encode(headers)) <= _HEADERS_BYTES:
            return headers
    raise Unsupported(f"Vonage carries {_HEADERS_BYTES} bytes of parameters and the call's id")
