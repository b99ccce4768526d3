"""Exotel AgentStream: the Voicebot applet of a call flow, and Connect Voice AI for placed calls.

    their word                                  ours
    ------------------------------------------  ---------------------------------------
    Voicebot applet's URL asks, {"url": wss}    Offered, answer
    another Voicebot applet after it            Offered(again)
    event start, stream_sid or streamSid        Started, stream_id
    media_format audio/x-raw, sample_rate       L16 at 8, 16 or 24 kHz, both ways
    media_format audio/x-mulaw                  µ-law 8000 Hz, both ways
    event media, media.payload                  Audio
    event mark, mark.name                       Mark: played
    event clear                                 Clear (not acknowledged)
    event dtmf, dtmf.digit                      Digit
    event stop or closed, reason                Stopped
    CallSid, AccountSid                         call_id, account_id
    StatusCallback: EventType, Status           Ringing, Answered, Ended
    Passthru applet: Stream[DisconnectedBy]     Ended by the caller, or Other
    Calls/connect, StreamUrl, CustomField       dial, Dial.key

Wire facts are from Exotel's developer and support pages, its documents' source and its own bots
(github.com/exotel/Agent-Stream, 2026-08); docs/carriers/exotel.md lists them. Knows no socket, and
no clock but for the date on a webhook.
"""

# Wire fields keep the carrier's spelling, so that its documentation and this file grep alike.

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from msgspec import Struct
from pybase64 import b64encode_as_string

from .. import carrier as seam
from .. import errors, events, web
from ..carrier import Carrier, Credential, Dial, Leg, Platform, Purpose, Shapes, Step, Stream
from ..errors import BadSignature, LocalProtocolError, RemoteProtocolError, Unsupported
from ..events import (
    Audio,
    CallInfo,
    CallState,
    Direction,
    Extra,
    FromCaller,
    Notice,
    Started,
    ToCaller,
    Why,
)
from ..media.formats import L16_8K, L16_16K, L16_24K, PCMU_8K, AudioFormat, Encoding
from ..web import Flow, Request, Response, text_of
from ..wire import Numbers, read_key

__all__ = ["BotEnd", "CarrierEnd", "Exotel"]

_RATE: Final = "sample-rate"
_USER_HELP: Final = "user name of your choice in the webhooks' URLs; no webhook is taken without"
_KEY_HELP: Final = "long random password of your choice to it; also taken as ?key= of the URL"
_HOST_HELP: Final = "api.in.exotel.com for accounts in Mumbai; otherwise api.exotel.com"

# Messages towards the caller are a multiple of 320 bytes (else 20 ms of silence are put between
# them) and at most 100 KB (pages "Stream & Voicebot applet" and "WebSocket protocol", 2026).
_UNIT: Final = 320
_MOST: Final = 100_000
_URL_MOST: Final = 600
_PARAMETERS_MOST: Final = 3
_QUERY_MOST: Final = 256
_TAG_MOST: Final = 128
_LONGEST_S: Final = 14400

_ENDS: Final = {
    "completed": Why.COMPLETED,
    "busy": Why.BUSY,
    "no-answer": Why.NO_ANSWER,
    "canceled": Why.CANCELLED,
    "failed": Why.FAILED,
}
_END_WORDS: Final = {why: word for word, why in _ENDS.items()} | {Why.REJECTED: "busy"}
_STATES: Final = {
    "queued": CallState.QUEUED,
    "ringing": CallState.RINGING,
    "in-progress": CallState.ACTIVE,
} | dict.fromkeys(_ENDS, CallState.ENDED)
_STATE_WORDS: Final = {state: word for word, state in reversed(_STATES.items())}
# Shown as XML on one page ("WSS errors and Active Stream Monitoring"), as JSON on another.
_LIMIT: Final = re.compile(rb'(?:ThrottleLimit>|"max_allowed_streams":\s*)([0-9]{1,9})')
_MACHINES: Final = {"human": "human", "machine": "machine", "notsure": "unknown"}


# --- wire ------------------------------------------------------------------------------------

_FORMATS: Final = (L16_8K, L16_16K, L16_24K, PCMU_8K)


class _MediaBody(Struct, gc=False):
    payload: bytes
    timestamp: int = -1
    track: str = "inbound"


class _Media(Struct, tag_field="event", tag="media", gc=False):
    media: _MediaBody
    stream_sid: str = ""
    streamSid: str = ""
    track: str = "inbound"


class _MarkBody(Struct):
    name: str


class _Mark(Struct, tag_field="event", tag="mark"):
    mark: _MarkBody
    stream_sid: str = ""
    streamSid: str = ""


class _Clear(Struct, tag_field="event", tag="clear"):
    stream_sid: str = ""
    streamSid: str = ""


_KINDS: Final = ("connected", "start", "media", "dtmf", "mark", "stop", "closed")
# Starts, keys and stops are read by hand: each has more shapes than one.
_FROM_EXOTEL: Final[Shapes[_Media | _Mark]] = Shapes(_Media | _Mark, "event")
_TO_EXOTEL: Final[Shapes[_Media | _Mark | _Clear]] = Shapes(_Media | _Mark | _Clear, "event")


def _either(fields: Any, name: str) -> Any:
    """A value by its name in snake_case, or in the camelCase that half of Exotel's bots read."""
    head, *rest = name.split("_")
    known = web.fields_of(fields)
    return known.get(name) or known.get(head + "".join(map(str.title, rest)))


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _audio(told: Any, asked: AudioFormat) -> AudioFormat:
    """What ``media_format`` means; what it leaves open is as we asked for it in the URL.

    Never an error: ``raw``, ``audio/x-raw``, ``audio/L16;rate=8000``, ``"8000"``, ``"8000Hz"`` and
    8000 have all been seen, and Exotel's own bots fall back rather than fail.
    """
    if not isinstance(told, dict):
        return asked
    encoding = _text(_either(told, "encoding")).lower()
    if "mulaw" in encoding or "pcmu" in encoding:
        return PCMU_8K
    digits = re.search(r"\d{4,5}", f"{_text(_either(told, 'sample_rate'))} {encoding}")
    found = AudioFormat(Encoding.L16, int(digits[0]) if digits else asked.rate)
    return found if found in _FORMATS else L16_8K


class BotEnd(Stream[FromCaller, ToCaller]):
    """Our server's end; ``audio`` is what was asked for, should the stream not say."""

    __slots__ = ("_audio", "_ids", "_media", "_numbers")

    def __init__(self, audio: AudioFormat) -> None:
        super().__init__()
        self._audio = audio
        self._ids: dict[str, str] | None = None
        self._media = ""
        self._numbers = Numbers(audio)

    def receive(self, message: str | bytes) -> Sequence[FromCaller]:
        said = _FROM_EXOTEL.read(message)
        if isinstance(said, _Media):
            # Other tracks are our own voice, sent where somebody asked for both.
            ours = said.track == said.media.track == "inbound"
            return (Audio(said.media.payload, said.media.timestamp),) if ours else ()
        if isinstance(said, _Mark):
            return (events.Mark(said.mark.name),)
        return self._other(said)

    def _other(self, said: Extra) -> Sequence[FromCaller]:
        match said.kind:
            case "start":
                return (self._started(said.fields),)
            case "dtmf":
                return (_digit(said.fields),)
            case "stop" | "closed":  # Exotel's own server treats the two alike
                return (events.Stopped(text_of(said.fields.get("stop"), "reason")),)
            case "connected":
                return ()  # says nothing about the call
            case _:
                return (said,)

    def _started(self, fields: Mapping[str, Any]) -> Started:
        body = fields.get("start") or fields
        call_id = _text(_either(body, "call_sid"))
        stream_id = _text(_either(fields, "stream_sid") or _either(body, "stream_sid"))
        if not call_id and not stream_id:
            raise RemoteProtocolError("a start that names neither its call nor its stream")
        told = _either(body, "media_format") or _either(fields, "media_format")
        self._audio = _audio(told, self._audio)
        self._numbers = Numbers(self._audio)
        self._begin(stream_id)
        pairs = web.fields_of(_either(body, "custom_parameters")).items()
        return Started(
            call_id=call_id,
            account_id=_text(_either(body, "account_sid")),
            stream_id=stream_id,
            from_=_text(_either(body, "from")),
            to=_text(_either(body, "to")),
            inbound=self._audio,
            outbound=self._audio,
            parameters={name: _text(value) for name, value in pairs if name != _RATE},
        )

    def _begin(self, stream_id: str) -> None:
        # Either key is understood, and which one depends on the product's generation: both go out.
        self._ids = {"stream_sid": stream_id, "streamSid": stream_id}
        self._media = '{"event":"media",' + msgspec.json.encode(self._ids).decode()[1:-1]

    def send(self, event: ToCaller) -> None:
        if self._ids is None:
            raise LocalProtocolError("the stream has not started: its stream_sid is not known")
        if type(event) is Audio:
            self._queue.append(self._numbered(event.payload))
        elif isinstance(event, events.Mark):
            self.put({"event": "mark", **self._ids, "mark": {"name": event.name}})
        elif isinstance(event, events.Clear):
            self.put({"event": "clear", **self._ids})
        else:
            raise LocalProtocolError(f"Exotel's socket cannot carry {type(event).__name__}")

    def _numbered(self, payload: bytes) -> str:
        # Without timestamp and number some Connect streams drop or end early (a comment in
        # Exotel's own bridge, 2026-08): strings, as in its messages and in those it sends.
        number, at = self._numbers.chunk(payload)
        return (
            f'{self._media},"sequence_number":"{number}","media":{{"chunk":"{number}",'
            f'"timestamp":"{at}","sequenceNumber":"{number}",'
            f'"payload":"{b64encode_as_string(payload)}"}}}}'
        )


def _digit(fields: Mapping[str, Any]) -> events.Digit:
    """A key: in ``dtmf``, or bare (page "Extension guide", beta)."""
    body = fields.get("dtmf") or fields
    digit, lasted = _text(_either(body, "digit")), _text(_either(body, "duration"))
    return read_key(digit, int(lasted) if re.fullmatch(r"[0-9]{1,9}", lasted) else -1)


class CarrierEnd(Stream[ToCaller, FromCaller]):
    """Exotel's end, for the simulator; ``audio`` is the stream's, both ways."""

    def __init__(self, audio: AudioFormat) -> None:
        super().__init__()
        self._audio = audio
        self._started: Started | None = None
        self._numbers = Numbers(audio)

    def receive(self, message: str | bytes) -> Sequence[ToCaller]:
        said = _TO_EXOTEL.read(message)
        if isinstance(said, Extra) or self._started is None:
            raise RemoteProtocolError("an unknown event, or one before start")
        if {said.stream_sid, said.streamSid} - {""} != {self._started.stream_id}:
            raise RemoteProtocolError("another stream's stream_sid, or none")
        match said:
            case _Media():
                size = len(said.media.payload)
                if size % _UNIT or size > _MOST:
                    raise RemoteProtocolError(f"{size} bytes: no multiple of {_UNIT}, or too many")
                return (Audio(said.media.payload, format=self._audio),)
            case _Mark():
                return (events.Mark(said.mark.name),)
            case _:
                return (events.Clear(),)

    def send(self, event: FromCaller) -> None:
        if isinstance(event, Started):
            self._started = event
            self.put({"event": "connected"})
            self._say("start", start=_start(event))
            return
        if self._started is None:
            raise LocalProtocolError("a stream begins with Started")
        match event:
            case Audio():
                self._say("media", media=self._media(event))
            case events.Digit():
                lasted = str(max(0, event.duration_ms))
                self._say("dtmf", dtmf={"duration": lasted, "digit": event.digit})
            case events.Mark():
                self._say("mark", mark={"name": event.name})
            case events.Stopped():
                self._say("stop", stop=_ids(self._started) | {"reason": event.reason})
            case _:
                self.put_extra(event, _KINDS, "Exotel")

    def _media(self, event: Audio) -> dict[str, str]:
        chunk, at = self._numbers.chunk(event.payload, event.timestamp)
        payload = b64encode_as_string(event.payload)
        return {"chunk": str(chunk), "timestamp": str(at), "payload": payload}

    def _say(self, kind: str, **fields: Any) -> None:
        sid = self._started.stream_id if self._started else ""
        number = str(self._numbers.message())
        numbered = {"event": kind, "sequence_number": number, "stream_sid": sid}
        self.put(numbered | fields)


def _start(event: Started) -> dict[str, Any]:
    linear = event.inbound.encoding is Encoding.L16
    return {"stream_sid": event.stream_id, **_ids(event)} | {
        "from": event.from_,
        "to": event.to,
        "custom_parameters": dict(event.parameters),
        "media_format": {
            "encoding": "audio/x-raw" if linear else "audio/x-mulaw",
            "sample_rate": str(event.inbound.rate),
            "bit_rate": "16" if linear else "8",
        },
    }


def _ids(started: Started) -> dict[str, str]:
    return {"call_sid": started.call_id, "account_sid": started.account_id}


# --- webhooks --------------------------------------------------------------------------------


def _flat(value: Any, name: str = "", depth: int = 3) -> Iterator[tuple[str, str]]:
    """JSON as a form has it: ``Stream[Status]``, ``Legs[0][AnsweredBy]``."""
    if depth and isinstance(value, dict | list):
        inner = cast("dict[str, Any] | list[Any]", value)
        for key, one in inner.items() if isinstance(inner, dict) else enumerate(inner):
            yield from _flat(one, f"{name}[{key}]" if name else str(key), depth - 1)
    elif text := _text(value):
        yield name, text


def _multipart(body: bytes, boundary: str) -> Iterator[tuple[str, str]]:
    """The fields of a multipart form (RFC 7578): what StatusCallback is, unless asked for JSON."""
    for part in body.split(b"--" + boundary.encode())[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        if name := re.search(rb'[; ]name="([^"]*)"', head):
            yield name[1].decode(), value.removesuffix(b"\r\n").decode()


def _pairs(request: Request) -> Iterator[tuple[str, str]]:
    """A webhook's fields, whichever of four ways they came."""
    kind = request.headers.get("content-type", "")
    if request.method == "GET":
        yield from request.query
    elif "json" in kind or request.body.lstrip().startswith(b"{"):
        yield from _flat(request.json())
    elif boundary := re.search(r'multipart/form-data;.*boundary="?([^";,]+)', kind):
        try:
            yield from _multipart(request.body, boundary[1])
        except UnicodeDecodeError:
            raise RemoteProtocolError("the multipart form is not text") from None
    else:
        yield from request.form()


def _fields(request: Request) -> dict[str, str]:
    fields = dict(_pairs(request))
    fields.pop(web.KEY, None)
    # The Passthru applet has been seen to send Stream[Status]=… and Stream={"Status":…}.
    if fields.get("Stream", "").startswith("{"):
        told = web.read_json(fields.pop("Stream").encode(), dict[str, Any])
        fields.update(_flat({"Stream": told}))
    return fields


def _progress(call: CallInfo, fields: Mapping[str, str]) -> list[Notice]:
    """A StatusCallback. Its plain form is CallSid and Status alone; more comes with EventType."""
    kind = fields.get("EventType", "")
    status = fields.get("Status") or fields.get("CallStatus", "")
    state = _STATES.get(status)
    if kind == "terminal" or (state is CallState.ENDED and kind != "answered"):
        reason = events.EndReason(_ENDS.get(status, Why.UNKNOWN), raw=status)
        return [events.Ended(call.call_id, reason, duration_s=_seconds(fields))]
    if kind == "answered" or (not kind and state is CallState.ACTIVE):
        word = fields.get("Legs[0][AnsweredBy]") or fields.get("AnsweredBy", "")
        result = _MACHINES.get(word.lower())
        machine = events.MachineDetected(call.call_id, result or "", word)
        return [events.Answered(call), *([machine] if result else [])]
    if "ringing" in (kind, status):
        return [events.Ringing(call)]
    return [_other(kind or status, call, fields)]


def _seconds(fields: Mapping[str, str]) -> float | None:
    """How long the called party was on the line, where it is told."""
    told = fields.get("Legs[0][OnCallDuration]") or fields.get("ConversationDuration", "")
    return web.seconds_of(told)


def _passed(call: CallInfo, fields: Mapping[str, str]) -> list[Notice]:
    """A Passthru applet after the stream: how that ended, not yet the call, unless they left."""
    notices: list[Notice] = [_other("passthru", call, fields)]
    if fields.get("Stream[DisconnectedBy]", "").lower() == "user":
        status = fields.get("Stream[Status]", "")
        reason = events.EndReason(Why.COMPLETED, events.Who.CALLER, status)
        notices.append(events.Ended(call.call_id, reason))
    return notices


def _other(kind: str, call: CallInfo, fields: Mapping[str, str]) -> events.Other:
    """Any other webhook. Without the stream's URL: the media token is in it."""
    kept = {name: text for name, text in fields.items() if "StreamUrl" not in name}
    return events.Other(kind, call.call_id, kept)


# --- REST ------------------------------------------------------------------------------------


class _Call(Struct):
    Sid: str = ""
    Status: str = ""


class _Answer(Struct):
    Call: _Call


def _refused(asked: str, response: Response) -> errors.CarrierError:
    said = response.fields.get("RestException")
    code = _text(_either(said, "Code"))
    return web.refusal(asked, response, code=code, detail=text_of(said, "Message"))


def _error(status: int, message: str) -> Response:
    return Response.of_json({"RestException": {"Status": status, "Message": message}}, status)


def _opened(url: str) -> seam.OpenStream:
    """What a stream's URL asks for, by its query too."""
    query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    rate = query.pop(_RATE, None)
    audio = None if rate is None else _audio({"sample_rate": rate}, L16_8K)
    return seam.OpenStream(url=url, parameters=query, audio=audio)


class Exotel(Carrier):
    """Exotel AgentStream: the Voicebot applet, and Connect Voice AI."""

    name = "exotel"
    title = "Exotel"
    docs = "https://developer.exotel.com/docs/agentstream/websocket-protocol"
    credentials = (
        Credential("account_sid", "EXOTEL_ACCOUNT_SID", "Account SID", "acct1"),
        Credential("api_key", "EXOTEL_API_KEY", "API key, for REST calls", "key1"),
        Credential("api_token", "EXOTEL_API_TOKEN", "its API token", "token1", secret=True),
        Credential("subdomain", "EXOTEL_SUBDOMAIN", _HOST_HELP, required=False),
        Credential("webhook_username", "EXOTEL_WEBHOOK_USERNAME", _USER_HELP, "me", required=False),
        Credential(
            "webhook_password", "EXOTEL_WEBHOOK_PASSWORD", _KEY_HELP, "pw", True, required=False
        ),
    )
    inbound = _FORMATS
    outbound = _FORMATS
    one_format = True
    hears = frozenset({Started, Audio, events.Digit, events.Mark, events.Stopped, Extra})
    says = frozenset({Audio, events.Mark, events.Clear})
    marks = seam.Marks.DROPPED
    # 200 ms of L16 at 8 kHz are 3200 bytes, the least that the documentation allows ("3.2 KB, 100
    # ms", which is that only at 16 kHz); what is longer than its message is padded, for a tail that
    # is no multiple of 320 bytes is played with a gap. Exotel's own bots keep 0.9 of real time and
    # report calls that end when much more is sent ahead.
    frame = seam.FrameRule(ms=200, whole=True, max_lead_ms=400)
    dial_rate = 3.0  # an account has 200 requests a minute, all told (page "API FAQs", 2026-11)
    signs_webhooks = "HTTP Basic or a key, which you put into their URLs"
    arguments = "stream_sid=stream call_sid=call"
    limitations = (
        "No request ends a call: closing the socket ends one that was placed.",
        "One that came in goes on to the flow's next applet, which has to be Hangup.",
        "Audio goes out in messages of 200 ms: a live voice is heard that much later.",
        "After a clear, the rest of the message that plays may still be heard: up to 200 ms.",
        "What becomes of marks at a clear is not documented: they are taken never to come back.",
        "A lost socket is not opened again, unless another Voicebot applet follows in the flow.",
        "The webhook that asks for a stream may not say whose it is: then the stream's start does.",
        "Calls cannot be transferred nor keys sent: after the stream, the flow's applets can.",
        "Machine detection cannot be asked for; where a webhook tells who answered, it is read.",
        "A stream carries three custom parameters, of 256 characters together, and lasts an hour.",
    )

    def __init__(self, credentials: Mapping[str, str], **options: Any) -> None:
        super().__init__(credentials, **options)
        given = self.given
        host = given["subdomain"] or "api.exotel.com"
        if not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", host):
            raise errors.ConfigError("EXOTEL_SUBDOMAIN is a host name, such as api.in.exotel.com")
        if bool(given["webhook_username"]) != bool(given["webhook_password"]):
            raise errors.ConfigError(
                "EXOTEL_WEBHOOK_USERNAME and EXOTEL_WEBHOOK_PASSWORD go together"
            )
        self._calls = f"/v1/Accounts/{self.own_id('account_sid')}/Calls"
        self._api = f"https://{host}{self._calls}"
        self._login = {"authorization": web.basic_auth(given["api_key"], given["api_token"])}
        self._password = given["webhook_password"]
        self._webhook_login = web.basic_auth(given["webhook_username"], self._password)

    # Wire.

    def bot_end(self, audio: AudioFormat) -> BotEnd:
        return BotEnd(self.can_play(audio))

    def carrier_end(self, audio: AudioFormat) -> CarrierEnd:
        return CarrierEnd(self.can_play(audio))

    # Door. The upgrade needs no more proof than its token, which a webhook that passed here minted.

    def verify(self, request: Request) -> None:
        challenge = 'Basic realm="webhooks", charset="UTF-8"'
        if not self._password:
            raise BadSignature(
                "Exotel signs no webhook, so none is taken: set EXOTEL_WEBHOOK_USERNAME and "
                "EXOTEL_WEBHOOK_PASSWORD, and put them into the URLs that Exotel calls"
            )
        given = web.read_basic_auth(request.headers.get("authorization", ""))
        known = given is not None and web.same(web.basic_auth(*given), self._webhook_login)
        if not known and not web.key_fits(request, self._password):
            raise BadSignature("the webhook's credentials are not ours", challenge=challenge)

    def sign(self, request: Request) -> Request:
        headers = {**request.headers, "authorization": self._webhook_login}
        return msgspec.structs.replace(request, headers=headers)

    # Webhooks and answers.

    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[Notice]:
        fields = _fields(request)
        call = self._call_info(fields)
        if purpose is Purpose.ANSWER and request.method == "GET":
            return [events.Offered(call)]  # it need not say whose call this is
        if not call.call_id:
            raise RemoteProtocolError("a webhook without CallSid")
        if purpose in (Purpose.ANSWER, Purpose.AFTER):
            return [events.Offered(call, again=purpose is Purpose.AFTER)]
        streams = any(name.startswith("Stream[") for name in fields)
        return _passed(call, fields) if streams else _progress(call, fields)

    def _call_info(self, fields: Mapping[str, str]) -> CallInfo:
        word = fields.get("Direction", "")
        outbound = word.startswith(("outbound", "outgoing"))
        from_ = fields.get("CallFrom") or fields.get("From", "")
        to = fields.get("CallTo") or fields.get("To", "")
        if word == "outbound-api" and "PhoneNumberSid" in fields:
            # The API's words for a call it placed: From is who was called, from the ExoPhone.
            from_, to = fields["PhoneNumberSid"], from_
        return CallInfo(
            carrier=self.name,
            call_id=fields.get("CallSid", ""),
            account_id=self.given["account_sid"],
            from_=from_,
            to=to,
            direction=Direction.OUTBOUND if outbound else Direction.INBOUND,
            tag=fields.get("CustomField", ""),
            raw=fields,
        )

    def write_webhook(self, notice: Notice, url: str) -> Request:
        match notice:
            case events.Offered(call, transfer=None):
                # Not documented for the Voicebot applet; its siblings with dynamic URLs send these.
                inbound = call.direction is Direction.INBOUND
                word = "incoming" if inbound else "outbound-dial"
                who = {"CallSid": call.call_id, "CallFrom": call.from_, "CallTo": call.to}
                return Request.get(_with(url, who | {"Direction": word}))
            case events.Ringing(call):
                told: dict[str, Any] = _who(call) | {"EventType": "ringing", "Status": "ringing"}
            case events.Answered(call):
                told = _who(call) | {"EventType": "answered", "Status": "in-progress"}
            case events.Ended():
                word = _END_WORDS.get(notice.reason.why, "completed")
                legs = [{"OnCallDuration": round(notice.duration_s or 0), "Status": word}]
                told = {"CallSid": notice.call_id, "EventType": "terminal", "Status": word}
                told["Legs"] = legs
            case events.Other():
                return Request.get(_with(url, {**notice.fields, "CallSid": notice.call_id}))
            case _:
                raise Unsupported(f"Exotel sends no webhook for {type(notice).__name__}")
        updated = f"{datetime.fromtimestamp(self.clock(), UTC):%Y-%m-%d %H:%M:%S}"
        return Request.of_json("POST", url, told | {"DateUpdated": updated})

    def _stream_url(self, offer: seam.Offer) -> str:
        """The media URL: the token in its path, since the query is short and comes back as is."""
        self.can_play(offer.audio)
        if len(offer.parameters) > _PARAMETERS_MOST or _RATE in offer.parameters:
            raise Unsupported(f"Exotel carries three parameters, none of them called {_RATE}")
        linear = offer.audio.encoding is Encoding.L16 and offer.audio != L16_8K
        rate = {_RATE: str(offer.audio.rate)} if linear else {}
        query = urlencode({**offer.parameters, **rate})
        if len(query) > _QUERY_MOST:
            raise Unsupported(f"Exotel carries parameters of {_QUERY_MOST} characters together")
        return f"{offer.token_url}?{query}" if query else offer.token_url

    def answer(self, call: CallInfo, offer: seam.Offer) -> seam.Answer:
        return seam.Answer(Response.of_json({"url": self._stream_url(offer)}))

    def dismiss(self, call: CallInfo, why: seam.Dismissal) -> seam.Answer:
        # An applet that gets no URL fails, and the flow goes on to the next: Hangup.
        return seam.Answer(Response.of_json({}))

    def read_answer(self, response: Response) -> Sequence[Step]:
        if response.status >= 300:
            raise RemoteProtocolError(f"the applet's URL answered HTTP {response.status}")
        url = text_of(response.json(), "url")
        if url and not web.is_socket(url):
            raise RemoteProtocolError("the applet's URL answered with something else than wss://")
        # The flow's next applet is Hangup, as docs/carriers/exotel.md sets it up.
        return [_opened(url) if url else seam.Hangup()]

    # Control.

    def state(self, call: CallInfo) -> Flow[CallState]:
        url = f"{self._api}/{web.safe_id(call.call_id)}.json"
        response = yield Request.get(url, self._login)
        if response.status == 404:
            return CallState.ENDED
        if response.status >= 300:
            raise _refused("ask for a call's state", response)
        # A word that is new is no reason to think that the call is over.
        return _STATES.get(web.read_json(response.body, _Answer).Call.Status, CallState.ACTIVE)

    def dial(self, wish: Dial) -> Flow[str]:
        url = self._stream_url(wish.offer)
        if len(url) >= _URL_MOST or len(wish.key) > _TAG_MOST:
            raise Unsupported("Exotel takes stream URLs below 600 characters and keys up to 128")
        form = [
            ("From", wish.to),  # their word for who is rung first
            ("CallerId", wish.from_),
            ("StreamUrl", url),
            ("StreamType", "bidirectional"),
            ("TimeLimit", str(min(wish.max_duration, _LONGEST_S))),
            ("TimeOut", str(wish.ring_timeout)),
            ("StatusCallback", web.with_key(wish.offer.hooks.url(Purpose.STATUS), self._password)),
            *(("StatusCallbackEvents[]", kind) for kind in ("ringing", "answered", "terminal")),
            ("StatusCallbackContentType", "application/json"),
            *([("CustomField", wish.key)] if wish.key else []),
        ]
        where = f"{self._api}/connect.json"
        response = yield Request.of_form(where, form, self._login, repeatable=False)
        if response.status >= 300:
            raise _refused("place a call", response)
        return web.read_json(response.body, _Answer).Call.Sid

    def check(self) -> Flow[Sequence[str]]:
        response = yield Request.get(f"{self._api.removesuffix('Calls')}ActiveStreams", self._login)
        if response.status >= 300:
            raise _refused("read the account's streams", response)
        shown = [f"{most[1].decode()} streams at once" for most in _LIMIT.finditer(response.body)]
        missing = "EXOTEL_WEBHOOK_USERNAME and _PASSWORD are not set: no calls can be taken"
        return shown if self._password else [*shown, missing]

    # The carrier's side of control.

    def platform(self, request: Request) -> Platform:
        login = request.headers.get("authorization", "")
        if not web.same(login, self._login["authorization"]):
            return _error(401, "Authentication failed")
        if request.path == f"{self._calls.removesuffix('Calls')}ActiveStreams":
            return Response.of_json({"active_streams": 0, "max_allowed_streams": 100})
        path = re.fullmatch(rf"{re.escape(self._calls)}/([^/]+)\.json", request.path)
        if path and path[1] == "connect" and request.method == "POST":
            return (yield from self._connect(dict(request.form())))
        leg = (yield seam.Find(path[1])) if path else None
        if leg is None or request.method != "GET":
            return _error(404, "The requested resource was not found")
        return Response.of_json(self._describe(leg))

    def _connect(self, form: Mapping[str, str]) -> Platform:
        if missing := web.lacking(form, "From", "CallerId", "StreamUrl"):
            return _error(400, f"Mandatory parameter missing: {', '.join(missing)}")
        url = form["StreamUrl"]
        if form.get("StreamType") != "bidirectional" or not web.is_socket(url):
            return _error(400, "StreamUrl or StreamType is invalid")
        leg = yield seam.Place(
            to=form["From"],
            from_=form["CallerId"],
            status_url=form.get("StatusCallback", ""),
            steps=[_opened(url)],  # whose end is the call's
            ring_timeout=float(form.get("TimeOut", "30")),
            tag=form.get("CustomField", ""),
        )
        assert leg is not None, "Place is answered with a Leg"
        return Response.of_json(self._describe(leg))

    def _describe(self, leg: Leg) -> dict[str, Any]:
        why = leg.reason.why if leg.reason else Why.COMPLETED
        over = leg.state is CallState.ENDED
        word = _END_WORDS.get(why, "completed") if over else _STATE_WORDS[leg.state]
        told = _who(leg.call) | {"Sid": leg.call.call_id, "Status": word}
        told |= {"AccountSid": self.given["account_sid"], "Duration": str(round(leg.duration_s))}
        return {"Call": told}


def _who(call: CallInfo) -> dict[str, Any]:
    """Who is on a call, in the API's words."""
    if call.direction is Direction.OUTBOUND:
        who = {"From": call.to, "To": "", "PhoneNumberSid": call.from_, "Direction": "outbound-api"}
    else:
        who = {"From": call.from_, "To": call.to, "PhoneNumberSid": call.to, "Direction": "inbound"}
    return {"CallSid": call.call_id, **who} | ({"CustomField": call.tag} if call.tag else {})


def _with(url: str, fields: Mapping[str, Any]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}"
