"""Plivo Audio Streaming: ``<Stream bidirectional keepCallAlive>``, one WebSocket both ways.

    their word                                  ours
    ------------------------------------------  ---------------------------------------
    XML <Stream>, then <Redirect>               answer
    event start, callId, streamId               Started, call_id, stream_id
    extraHeaders, extra_headers                 parameters (the token rides in the URL's path)
    event media, media.payload                  Audio: µ-law 8000, L16 8000 or 16000 Hz
    event playAudio                             Audio, in the same format
    event checkpoint, playedStream              Mark; never returned once cleared
    event clearAudio, clearedAudio              Clear, Cleared
    event dtmf / sendDTMF                       Digit / Digits
    event error, playFailed                     Failed
    CallUUID, RequestUUID                       call_id, dial_id
    Event=StartApp, Redirect                    Offered
    Event=Hangup, HangupCauseCode               Ended, reason
    aleg_url, <Dial>                            transfer

Wire facts are from Plivo's pages on Audio Streaming, the skills it publishes for them, its SDKs and
their tests (2026-11); docs/carriers/plivo.md lists them. Knows no socket, and of time only enough
to number what it signs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree.ElementTree import Element

import msgspec
from msgspec import Struct
from pybase64 import b64encode_as_string

from .. import carrier as seam
from .. import errors, events, web
from ..carrier import Carrier, Credential, Dial, Hooks, Leg, Platform, Purpose, Shapes, Step, Stream
from ..errors import BadSignature, LocalProtocolError, RemoteProtocolError, Unsupported
from ..events import Audio, CallInfo, CallState, Extra, FromCaller, Notice, Started, ToCaller, Why
from ..media.formats import L16_8K, L16_16K, PCMU_8K, AudioFormat
from ..web import Flow, Request, Response, e164, element, text_of
from ..wire import Numbers, read_key

__all__ = ["BotEnd", "CarrierEnd", "Plivo"]

_OLDER: Final = "V2 takes webhooks signed V2 only, which covers no form and no query; default V3"
_ENCODINGS: Final = {PCMU_8K: "audio/x-mulaw", L16_8K: "audio/x-l16", L16_16K: "audio/x-l16"}
_FORMATS: Final = {(name, audio.rate): audio for audio, name in _ENCODINGS.items()}

# CallStatus of a call that is over, and the DialStatus of a transfer.
_ENDS: Final = {
    "completed": Why.COMPLETED,
    "busy": Why.BUSY,
    "no-answer": Why.NO_ANSWER,
    "timeout": Why.NO_ANSWER,
    "cancel": Why.CANCELLED,
    "canceled": Why.CANCELLED,
    "failed": Why.FAILED,
}
_END_WORDS: Final = {why: word for word, why in reversed(_ENDS.items())}
# HangupCauseCode, where it says more than the status does. 4000 and 4010 ("End Of XML
# Instructions") are the normal ends; 1000 is any hang-up by REST.
_CODES: Final = {
    "3000": Why.NO_ANSWER,
    "3010": Why.BUSY,
    "3020": Why.REJECTED,
    "5000": Why.FAILED,
    "6000": Why.LIMIT,  # time_limit
    "6010": Why.NO_ANSWER,  # ring_timeout
    "6020": Why.NETWORK,  # no media for 60 s
    **dict.fromkeys(("3040", "3110", "3130"), Why.REJECTED),  # forbidden, declined, spam block
    **dict.fromkeys(("1010", "1020", "5030"), Why.LIMIT),  # credits, dials at once, calls at once
}
_CODE_OF: Final = {why: code for code, why in reversed(_CODES.items())}
# 7xxx: one of our URLs could not be reached; 8xxx: what it answered was no document.
_CODE_FAMILIES: Final = {"7": Why.NETWORK, "8": Why.PROTOCOL}
_SOURCES: Final = {
    "Caller": events.Who.CALLER,  # of a call we placed, that is us: see _ended
    "API Request": events.Who.BOT,
    "Answer XML": events.Who.BOT,
    "Plivo": events.Who.CARRIER,
    "Carrier": events.Who.CARRIER,
    "Error": events.Who.CARRIER,
}
_SOURCE_WORDS: Final = {who: word for word, who in reversed(_SOURCES.items())}
_STATES: Final = {
    "queued": CallState.QUEUED,
    "ringing": CallState.RINGING,
    "in-progress": CallState.ACTIVE,
}
_STATE_WORDS: Final = {state: word for word, state in _STATES.items()}

# Our own query parameters on aleg_url: the document asked for there connects the call with them.
_TO, _FROM = "TransferTo", "TransferFrom"
# Whom a call can be connected with.
_PARTY: Final = re.compile(r"\+?[0-9]{3,15}|sip:[\x21-\x7e]{3,200}")


# --- wire ------------------------------------------------------------------------------------


class _MediaFormat(Struct):
    encoding: str
    sampleRate: int


class _StartBody(Struct):
    callId: str
    streamId: str
    accountId: str = ""
    mediaFormat: _MediaFormat | None = None


class _MediaBody(Struct, gc=False):
    payload: bytes
    timestamp: int = -1
    track: str = "inbound"


class _DtmfBody(Struct):
    digit: str


class _Spoken(Struct, gc=False):
    contentType: str
    sampleRate: int
    payload: bytes


class _Start(Struct, tag_field="event", tag="start"):
    start: _StartBody
    extra_headers: Any = ""


class _Media(Struct, tag_field="event", tag="media", gc=False):
    media: _MediaBody


class _Dtmf(Struct, tag_field="event", tag="dtmf"):
    dtmf: _DtmfBody


class _PlayedStream(Struct, tag_field="event", tag="playedStream"):
    name: str


class _PlayAudio(Struct, tag_field="event", tag="playAudio"):
    media: _Spoken


class _Checkpoint(Struct, tag_field="event", tag="checkpoint"):
    streamId: str
    name: str


class _ClearAudio(Struct, tag_field="event", tag="clearAudio"):
    streamId: str = ""  # left out in some of Plivo's own examples


class _SendDtmf(Struct, tag_field="event", tag="sendDTMF"):
    dtmf: str


_KINDS: Final = ("start", "media", "dtmf", "playedStream", "clearedAudio", "error", "playFailed")
_FromPlivo = _Start | _Media | _Dtmf | _PlayedStream
_ToPlivo = _PlayAudio | _Checkpoint | _ClearAudio | _SendDtmf
_FROM_PLIVO: Final[Shapes[_FromPlivo]] = Shapes(_FromPlivo, "event")
_TO_PLIVO: Final[Shapes[_ToPlivo]] = Shapes(_ToPlivo, "event")


class BotEnd(Stream[FromCaller, ToCaller]):
    """Our server's end; ``audio`` is what ours goes out as."""

    __slots__ = ("_audio", "_id", "_play")

    def __init__(self, audio: AudioFormat) -> None:
        super().__init__()
        self._audio = audio
        self._id: str | None = None
        about = f'"contentType":"{_ENCODINGS[audio]}","sampleRate":{audio.rate}'
        self._play = f'{{"event":"playAudio","media":{{{about},"payload":"'

    def receive(self, message: str | bytes) -> Sequence[FromCaller]:
        said = _FROM_PLIVO.read(message)
        if isinstance(said, _Media):
            media = said.media
            return (Audio(media.payload, media.timestamp),) if media.track == "inbound" else ()
        return (self._other(said),)

    def _other(self, said: _Start | _Dtmf | _PlayedStream | Extra) -> FromCaller:
        match said:
            case _Start():
                return self._started(said)
            case _Dtmf():
                return read_key(said.dtmf.digit)
            case _PlayedStream():
                return events.Mark(said.name)
            case Extra(kind="clearedAudio"):
                return events.Cleared()
            case Extra(kind="error" | "playFailed"):
                return events.Failed(str(said.fields.get("reason") or said.kind), said.kind)
            case _:
                # "stop" too: no reference has it. The end of the stream is that of its socket.
                return said

    def _started(self, said: _Start) -> Started:
        body = said.start
        inbound: AudioFormat | None = self._audio
        if told := body.mediaFormat:
            name = told.encoding.partition(";")[0].strip().lower()
            inbound = _FORMATS.get((name, told.sampleRate))
        if inbound is None:
            raise RemoteProtocolError("the stream's audio is in no format that Plivo documents")
        self._id = body.streamId
        return Started(
            call_id=body.callId,
            account_id=body.accountId,
            stream_id=body.streamId,
            inbound=inbound,
            outbound=self._audio,
            parameters=_read_headers(said.extra_headers),
        )

    def send(self, event: ToCaller) -> None:
        if self._id is None:
            raise LocalProtocolError("the stream has not started: its streamId is not known")
        if type(event) is Audio:
            self._queue.append(f'{self._play}{b64encode_as_string(event.payload)}"}}}}')
        elif isinstance(event, events.Mark):
            self.put(_Checkpoint(self._id, event.name))
        elif isinstance(event, events.Clear):
            self.put(_ClearAudio(self._id))
        elif isinstance(event, events.Digits):
            self.put(_SendDtmf(event.digits))
        else:
            raise LocalProtocolError(f"Plivo's socket cannot carry {type(event).__name__}")


class CarrierEnd(Stream[ToCaller, FromCaller]):
    """Plivo's end, for the simulator."""

    def __init__(self) -> None:
        super().__init__()
        self._started: Started | None = None
        self._numbers = Numbers(PCMU_8K)

    def receive(self, message: str | bytes) -> Sequence[ToCaller]:
        said = _TO_PLIVO.read(message)
        if isinstance(said, Extra) or self._started is None:
            raise RemoteProtocolError("an unknown event, or one before start")
        match said:
            case _PlayAudio():
                return (self._heard(said.media, self._started.outbound),)
            case _SendDtmf():
                if not re.fullmatch(r"[0-9*#A-DwW]+", said.dtmf):
                    raise RemoteProtocolError("sendDTMF without keys, or with what is none")
                return (events.Digits(said.dtmf),)
            case _ if said.streamId not in ("", self._started.stream_id):
                raise RemoteProtocolError("another stream's streamId")
            case _Checkpoint():
                return (events.Mark(said.name),)
            case _:
                return (events.Clear(),)

    def _heard(self, said: _Spoken, expected: AudioFormat) -> Audio:
        # contentType has no ";rate=" here, and both must be what the answer's <Stream> said.
        audio = _FORMATS.get((said.contentType, said.sampleRate))
        if audio != expected or len(said.payload) % expected.sample_bytes:
            raise RemoteProtocolError("invalid_content_type, or half a sample")
        return Audio(said.payload, format=audio)

    def send(self, event: FromCaller) -> None:
        if isinstance(event, Started):
            self._started = event
            self._numbers = Numbers(event.inbound)
            self._say("start", start=_start(event), extra_headers=_headers(event.parameters))
            return
        if (started := self._started) is None:
            raise LocalProtocolError("a stream begins with Started")
        match event:
            case Audio():
                self._streamed("media", self._media(event), started)
            case events.Digit():
                at = str(self._numbers.now_ms)
                pressed = {"track": "inbound", "digit": event.digit, "timestamp": at}
                self._streamed("dtmf", pressed, started)
            case events.Mark():
                # The one whose sequenceNumber is a string (plivo-stream-sdk 0.1.1, types).
                number = str(self._numbers.message())
                told = {"sequenceNumber": number, "streamId": started.stream_id}
                self.put({"event": "playedStream", **told, "name": event.name})
            case events.Cleared():
                self._say("clearedAudio", streamId=started.stream_id)
            case events.Failed():
                self._say("error", streamId=started.stream_id, reason=event.code)
            case _:
                self.put_extra(event, _KINDS, "Plivo")

    def _media(self, event: Audio) -> dict[str, Any]:
        chunk, at = self._numbers.chunk(event.payload, event.timestamp)
        payload = b64encode_as_string(event.payload)
        return {"track": "inbound", "timestamp": str(at), "chunk": chunk, "payload": payload}

    def _streamed(self, kind: str, body: dict[str, Any], started: Started) -> None:
        about = {"streamId": started.stream_id, "extra_headers": _headers(started.parameters)}
        self._say(kind, **about, **{kind: body})

    def _say(self, kind: str, **fields: Any) -> None:
        self.put({"sequenceNumber": self._numbers.message(), "event": kind} | fields)


def _start(event: Started) -> dict[str, Any]:
    heard = {"encoding": _ENCODINGS[event.inbound], "sampleRate": event.inbound.rate}
    ids = {"callId": event.call_id, "streamId": event.stream_id, "accountId": event.account_id}
    return {**ids, "tracks": ["inbound"], "mediaFormat": heard}


# --- extra headers ---------------------------------------------------------------------------

# All that extraHeaders may hold by the page on <Stream>: 512 bytes, of letters and digits only.
_LONGEST: Final = 512
_PLAIN: Final = re.compile(r"[A-Za-z0-9]+")
_HEADER: Final = re.compile(r'(?<![\w-])([\w-]+)"?\s*[=:]\s*"?([^";,}\s]*)')


def _headers(parameters: Mapping[str, str], separator: str = ";") -> str:
    return separator.join(f"{name}={value}" for name, value in parameters.items())


def _read_headers(told: Any) -> dict[str, str]:
    # JSON (plivo-stream-sdk), or k=v joined by ";" (agent-transport) or "," (the answer).
    text = told if isinstance(told, str) else msgspec.json.encode(told).decode()
    return dict(_HEADER.findall(text))


# --- signatures ------------------------------------------------------------------------------


def _hmac(secret: str, text: str) -> str:
    made = hmac.new(secret.encode(), text.encode(errors="surrogatepass"), hashlib.sha256)
    return base64.b64encode(made.digest()).decode()


def _signed_text(request: Request) -> str:
    """What V3 covers, but for the nonce (plivo 4.63.0, utils/signature_v3.py).

    The query's pairs, sorted; for a POST the form's too, each name and value run together. A form
    brings the question mark even where there is no query, and a dot where there is one.
    """
    parts = urlsplit(request.url)
    base = f"{parts.scheme}://{parts.netloc}{parts.path}"
    query = "&".join(f"{name}={value}" for name, value in sorted(request.query))
    # A body that cannot be read is signed all the same, and refused when it is.
    body = "" if request.method == "GET" else request.body.decode(errors="surrogateescape")
    form = parse_qsl(body, keep_blank_values=True, errors="surrogateescape")
    if not form:
        return f"{base}?{query}" if query else base
    dot = "." if query else ""
    return f"{base}?{query}{dot}" + "".join(name + value for name, value in sorted(form))


# --- webhooks --------------------------------------------------------------------------------


def _bare(number: str) -> str:
    if "<" in number:  # joins several numbers, all of which are called
        raise ValueError("one number, or one sip: address")
    return number.removeprefix("+")


def _call_info(form: Mapping[str, str]) -> CallInfo:
    # No account_id: ParentAuthID is the main account's, where the stream may name a sub-account.
    inbound = form.get("Direction") != "outbound"
    return CallInfo(
        carrier=Plivo.name,
        call_id=form.get("CallUUID", ""),
        from_=e164(form.get("From", "")),
        to=e164(form.get("To", "")),
        direction=events.Direction.INBOUND if inbound else events.Direction.OUTBOUND,
        dial_id=form.get("RequestUUID", ""),
        raw=form,
    )


def _ended(call: CallInfo, form: Mapping[str, str]) -> events.Ended:
    status, code = form.get("CallStatus", ""), form.get("HangupCauseCode", "")
    family = _CODE_FAMILIES.get(code[:1]) if len(code) == 4 else None
    why = _CODES.get(code) or family or _ENDS.get(status, Why.UNKNOWN)
    source = form.get("HangupSource", "")
    if call.direction is events.Direction.OUTBOUND:
        # The person at the other end is not the "Caller" then, but the one who was called.
        source = {"Callee": "Caller", "Call recipient": "Caller", "Caller": ""}.get(source, source)
    who = _SOURCES.get(source, events.Who.UNKNOWN)
    return events.Ended(
        call.call_id,
        events.EndReason(why, who, f"{code} {form.get('HangupCauseName') or status}".strip()),
        dial_id=call.dial_id,
        duration_s=web.seconds_of(form.get("Duration", "")),
    )


def _notice(call: CallInfo, form: Mapping[str, str], purpose: Purpose, url: str) -> Notice:
    event, status = form.get("Event", ""), form.get("CallStatus", "")
    # Where no hangup_url is set, answer_url is told: never to be answered with a stream.
    if event == "Hangup" or status in _ENDS:
        return _ended(call, form)
    if event == "MachineDetection":
        told = form.get("Machine", "")
        result = {"true": "machine", "false": "human"}.get(told.lower(), "unknown")
        return events.MachineDetected(call.call_id, result, told)
    if _TO in form:
        return events.Scripted(call, _connect(form[_TO], form.get(_FROM, ""), url))
    if purpose in (Purpose.ANSWER, Purpose.AFTER):
        dialled = form.get("DialStatus")
        why = None if dialled is None else _ENDS.get(dialled, Why.UNKNOWN)
        return events.Offered(call, again=purpose is Purpose.AFTER, transfer=why)
    return events.Ringing(call) if status == "ringing" else events.Other(event, call.call_id)


# --- XML -------------------------------------------------------------------------------------


def _response(*verbs: Element) -> Response:
    return Response.of_xml(element("Response", None, *verbs))


def _connect(to: str, from_: str, url: str) -> Response:
    """The document that connects a call with ``to``, and asks ``url`` what follows."""
    if not _PARTY.fullmatch(to) or (from_ and not _PARTY.fullmatch(from_)):
        raise RemoteProtocolError("a transfer to what is neither a number nor a sip: address")
    party = element("User", None, to) if to.startswith("sip:") else element("Number", None, to)
    after = {"action": url, "method": "POST", "callerId": _bare(from_) or None}
    return _response(element("Dial", after, party))


def _stream(verb: Element) -> Step:
    url = (verb.text or "").strip()
    # Default "audio/x-l16;rate=8000" by four pages, µ-law by one: hence never left to it.
    name, _, rate = verb.get("contentType", "audio/x-l16;rate=8000").partition(";rate=")
    audio = _FORMATS.get((name, int(rate)))
    both_ways = verb.get("bidirectional") == "true" and verb.get("audioTrack") in (None, "inbound")
    if not web.is_socket(url) or not both_ways or audio is None:
        raise RemoteProtocolError("<Stream> needs a wss URL, bidirectional, inbound, a contentType")
    return seam.OpenStream(
        url=url,
        blocking=verb.get("keepCallAlive") == "true",
        parameters=_read_headers(verb.get("extraHeaders", "")),
        audio=audio,
    )


def _dial(verb: Element) -> Step:
    party = next(iter(verb), None)
    to, caller = "" if party is None else party.text or "", verb.get("callerId", "")
    return seam.TransferTo(to=e164(to), from_=e164(caller), then_url=verb.get("action", ""))


_VERBS: Final[Mapping[str, Callable[[Element], Step]]] = {
    "DTMF": lambda verb: seam.SendTones(verb.text or ""),
    "Dial": _dial,
    "Hangup": lambda verb: (
        seam.Reject(verb.attrib["reason"]) if "reason" in verb.attrib else seam.Hangup()
    ),
    "Redirect": lambda verb: seam.Redirect(verb.text or "", verb.get("method", "POST")),
    "Stream": _stream,
    "Wait": lambda verb: seam.Pause(float(verb.get("length", "1"))),
}


# --- REST ------------------------------------------------------------------------------------


class _Created(Struct):
    request_uuid: str


class _Applications(Struct):
    objects: list[dict[str, Any]]


def _refused(asked: str, response: Response) -> errors.CarrierError:
    return web.refusal(asked, response, detail=str(response.fields.get("error") or ""))


def _answered(status: int, **fields: Any) -> Response:
    return Response.of_json({"api_id": "95727cf4-3eeb-11e7-86da-adf28403fe48"} | fields, status)


_NOT_FOUND: Final = _answered(404, error="not found")


class Plivo(Carrier):
    """Plivo Voice with bidirectional Audio Streaming."""

    name = "plivo"
    title = "Plivo"
    docs = "https://www.plivo.com/docs/voice-agents/audio-streaming/xml/stream"
    credentials = (
        Credential("auth_id", "PLIVO_AUTH_ID", "Auth ID (MA… or SA…)", "MA0123456789ABCDEF01"),
        Credential("auth_token", "PLIVO_AUTH_TOKEN", "its Auth Token", "0a1b2c3d", secret=True),
        Credential("signature", "PLIVO_SIGNATURE", _OLDER, required=False),
    )
    inbound = (PCMU_8K, L16_8K, L16_16K)
    outbound = (PCMU_8K, L16_8K, L16_16K)
    one_format = True
    hears = frozenset(
        {Started, Audio, events.Digit, events.Mark, events.Cleared, events.Failed, Extra}
    )
    says = frozenset({Audio, events.Mark, events.Clear, events.Digits})
    marks = seam.Marks.DROPPED
    dial_rate = 2.0
    signs_webhooks = "X-Plivo-Signature-V3: HMAC over the URL, the form and a nonce"
    signature_covers: ClassVar[frozenset[Literal["url", "body"]]] = frozenset({"url", "body"})
    limitations = (
        "Audio goes both ways in one format: µ-law at 8000 Hz, or L16 at 8000 or 16000 Hz.",
        "A cleared mark never comes back; the clear itself is acknowledged.",
        "The upgrade's signature is not checked, as it is told differently; the media token is.",
        "Parameters are letters and digits only, and 512 bytes in all.",
        "Machine detection tells of machines only.",
        "A placed call carries no tag: one whose answer was lost is found by its numbers only.",
    )

    def __init__(self, credentials: Mapping[str, str], **options: Any) -> None:
        super().__init__(credentials, **options)
        if self.given["signature"] not in ("", "V2", "V3"):
            raise errors.ConfigError("PLIVO_SIGNATURE is V3 (the default) or V2")
        self._account = f"https://api.plivo.com/v1/Account/{self.own_id('auth_id')}"
        self._login = web.basic_auth(self.given["auth_id"], self.given["auth_token"])

    # Wire.

    def bot_end(self, audio: AudioFormat) -> BotEnd:
        return BotEnd(self.can_play(audio))

    def carrier_end(self, audio: AudioFormat) -> CarrierEnd:
        self.can_play(audio)
        return CarrierEnd()

    # Door.

    def verify(self, request: Request) -> None:
        headers = request.headers
        older = self.given["signature"] == "V2" and "x-plivo-signature-v3" not in headers
        version = "v2" if older else "v3"
        # Lists, while tokens are changed. "Ma" is made with the main account's token, the other
        # with that of the account or sub-account that the call belongs to.
        kinds = (f"x-plivo-signature-{version}", f"x-plivo-signature-ma-{version}")
        given = ",".join(headers.get(kind, "") for kind in kinds).split(",")
        try:
            text = request.url.partition("?")[0] if older else f"{_signed_text(request)}."
        except ValueError as error:
            raise BadSignature(f"the request cannot be read: {error}") from None
        nonce = headers.get(f"x-plivo-signature-{version}-nonce", "")
        made = _hmac(self.given["auth_token"], text + nonce)
        if not any(web.same(one.strip(), made) for one in given):
            where = request.url.partition("?")[0]
            raise BadSignature(
                f"no X-Plivo-Signature fits {where}: is that the URL Plivo called, and "
                "PLIVO_AUTH_TOKEN this account's?"
            )

    def sign(self, request: Request) -> Request:
        nonce = f"{int(self.clock() * 1e9):020d}"
        made = _hmac(self.given["auth_token"], f"{_signed_text(request)}.{nonce}")
        proof = {"x-plivo-signature-v3": made, "x-plivo-signature-v3-nonce": nonce}
        return msgspec.structs.replace(request, headers={**request.headers, **proof})

    # Webhooks and answers.

    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[Notice]:
        form = dict(request.query) | (dict(request.form()) if request.method != "GET" else {})
        call = _call_info(form)
        event = form.get("Event", "")
        if purpose is Purpose.STATUS and ("StreamID" in form or event.endswith("Stream")):
            # Of a stream's own fields those that say how it fares; its URL holds the token.
            kept = {k: form[k] for k in ("StreamID", "Error", "StatusReason") if k in form}
            return [events.Other(event, call.call_id, kept)]
        if not call.call_id:
            raise RemoteProtocolError("a webhook without CallUUID")
        return [_notice(call, form, purpose, request.url.partition("?")[0])]

    def write_webhook(self, notice: Notice, url: str) -> Request:
        match notice:
            case events.Offered(call):
                event = "Redirect" if notice.again else "StartApp"
                first = call.direction is events.Direction.INBOUND and not notice.again
                form = self._about(call, event, "ringing" if first else "in-progress")
                if notice.transfer is not None:
                    form["DialStatus"] = _END_WORDS.get(notice.transfer, "failed")
            case events.Ringing(call):
                form = self._about(call, "Ring", "ringing")
            case events.MachineDetected() if notice.result in ("machine", "human"):
                form = {"CallUUID": notice.call_id, "Event": "MachineDetection"}
                form["Machine"] = "true" if notice.result == "machine" else "false"
            case events.Ended():
                reason = notice.reason
                form = {"CallUUID": notice.call_id, "Event": "Hangup"}
                form["CallStatus"] = _END_WORDS.get(reason.why, "completed")
                form["HangupCauseCode"] = _CODE_OF.get(reason.why, "4000")
                form["HangupSource"] = _SOURCE_WORDS.get(reason.who, "Unknown")
                form["Duration"] = f"{notice.duration_s or 0:.0f}"
            case events.Other():
                form = {"CallUUID": notice.call_id, "Event": notice.kind}
                form |= {name: str(value) for name, value in notice.fields.items()}
            case _:
                raise Unsupported(f"Plivo sends no webhook for {type(notice).__name__}")
        return Request.of_form(url, form)

    def _about(self, call: CallInfo, event: str, status: str) -> dict[str, str]:
        return {
            "CallUUID": call.call_id,
            "From": _bare(call.from_),
            "To": _bare(call.to),
            "CallStatus": status,
            "Direction": call.direction.value,
            "Event": event,
            "RequestUUID": call.dial_id or call.call_id,
            "ParentAuthID": self.given["auth_id"],
        }

    def answer(self, call: CallInfo, offer: seam.Offer) -> seam.Answer:
        audio = self.can_play(offer.audio)
        headers = _headers(offer.parameters, ",")
        texts = [text for pair in offer.parameters.items() for text in pair]
        if len(headers) > _LONGEST or not all(_PLAIN.fullmatch(text) for text in texts):
            raise Unsupported("Plivo carries letters and digits as parameters, 512 bytes in all")
        attributes = {
            "bidirectional": "true",
            "keepCallAlive": "true",
            "audioTrack": "inbound",
            "contentType": f"{_ENCODINGS[audio]};rate={audio.rate}",
            "statusCallbackUrl": offer.hooks.url(Purpose.STATUS),
            "statusCallbackMethod": "POST",
            "extraHeaders": headers or None,
        }
        stream = element("Stream", attributes, offer.token_url)
        after = element("Redirect", {"method": "POST"}, offer.hooks.url(Purpose.AFTER))
        return seam.Answer(_response(stream, after))

    def dismiss(self, call: CallInfo, why: seam.Dismissal) -> seam.Answer:
        reason = None if why is seam.Dismissal.DONE else why.value
        return seam.Answer(_response(element("Hangup", {"reason": reason})))

    def read_answer(self, response: Response) -> Sequence[Step]:
        if response.status >= 300:
            raise RemoteProtocolError(f"7011: the webhook answered HTTP {response.status}")
        return seam.read_steps(response.body, _VERBS)

    # Control.

    def _request(self, method: str, url: str, data: Any = None, **more: Any) -> Request:
        headers = {"authorization": self._login}
        if data is None:
            return Request(method=method, url=url, headers=headers)
        return Request.of_json(method, url, data, headers, **more)

    def _call_url(self, call: CallInfo) -> str:
        return f"{self._account}/Call/{web.safe_id(call.call_id)}/"

    def hang_up(self, call: CallInfo) -> Flow[None]:
        response = yield self._request("DELETE", self._call_url(call))
        if response.status == 404:
            # Over; or one we placed that still waits to be dialled (2 a second are), which is
            # no call yet, but the request for one.
            request_id = web.safe_id(call.dial_id or call.call_id)
            response = yield self._request("DELETE", f"{self._account}/Request/{request_id}/")
        if response.status >= 300 and response.status != 404:
            raise _refused("hang up", response)

    def state(self, call: CallInfo) -> Flow[CallState]:
        for query in ("", "?status=live", "?status=queued"):
            response = yield self._request("GET", self._call_url(call) + query)
            if response.status == 404:
                continue
            if response.status >= 300:
                raise _refused("ask for a call's state", response)
            told = response.json()
            if text_of(told, "end_time"):  # of a record, which only calls that are over have
                break
            if query:
                # A word that is new is no reason to think that the call is over.
                return _STATES.get(text_of(told, "call_status"), CallState.ACTIVE)
        return CallState.ENDED

    def dial(self, wish: Dial) -> Flow[str]:
        status = wish.offer.hooks.url(Purpose.STATUS)
        body: dict[str, Any] = {
            "from": _bare(wish.from_),
            "to": _bare(wish.to),
            "answer_url": wish.offer.hooks.url(Purpose.ANSWER),
            "ring_url": status,
            "hangup_url": status,
            "ring_timeout": wish.ring_timeout,
            "time_limit": wish.max_duration,
        }
        if wish.detect_machine:
            # With a URL of its own it is asynchronous: the call connects, the result follows.
            body |= {"machine_detection": "true", "machine_detection_url": status}
        response = yield self._request("POST", f"{self._account}/Call/", body, repeatable=False)
        if response.status != 201:
            raise _refused("place a call", response)
        return web.read_json(response.body, _Created).request_uuid

    def transfer(self, call: CallInfo, to: str, *, from_: str, hooks: Hooks) -> Flow[None]:
        # Plivo takes no document here, but the URL of one: ours, with whom to connect in it. By its
        # skill it asks there when the stream's socket closes, which the session does after this.
        if not _PARTY.fullmatch(to) or (from_ and not _PARTY.fullmatch(from_)):
            raise ValueError("a call is transferred to a number or a sip: address")
        url = f"{hooks.url(Purpose.AFTER)}?{urlencode({_TO: to, _FROM: from_})}"
        order = {"legs": "aleg", "aleg_url": url, "aleg_method": "POST"}
        response = yield self._request("POST", self._call_url(call), order)
        if response.status == 404:
            raise errors.CallEnded("cannot transfer: the call is over")
        if response.status >= 300:
            raise _refused("transfer", response)

    def check(self) -> Flow[Sequence[str]]:
        response = yield self._request("GET", f"{self._account}/Application/?limit=20")
        if response.status >= 300:
            raise _refused("list the account's applications", response)
        told = web.read_json(response.body, _Applications).objects
        asked = [(text_of(one, "app_name"), text_of(one, "answer_url")) for one in told]
        return [f"application {name!r} asks {url or 'nobody'} what to do" for name, url in asked]

    # The carrier's side of control.

    def platform(self, request: Request) -> Platform:
        if not web.same(request.headers.get("authorization", ""), self._login):
            return Response(401, body=b"Could not verify your access level for that URL.")
        url = request.url.partition("?")[0]
        if url == f"{self._account}/Application/":
            return _answered(200, objects=[{"app_name": "example", "answer_url": ""}])
        path = re.fullmatch(rf"{re.escape(self._account)}/(Call|Request)/(?:([^/]+)/)?", url)
        if path and path[2] is None and request.method == "POST":
            return (yield from self._create(request.json()))
        leg = (yield seam.Find(path[2])) if path and path[2] else None
        if path is None or leg is None:
            return _NOT_FOUND
        if request.method == "GET":
            return self._describe(leg, dict(request.query).get("status", ""))
        queued = leg.state is CallState.QUEUED
        if leg.state is CallState.ENDED or queued != (path[1] == "Request"):
            return _NOT_FOUND
        if request.method == "DELETE":
            yield seam.HangUpLeg(leg.call.call_id)
            return Response(204)
        order = request.json()
        if not (url := text_of(order, "aleg_url")):
            return _answered(400, error="aleg_url parameter must be present")
        yield seam.Fetch(leg.call.call_id, url, str(order.get("aleg_method", "POST")))
        return _answered(202, message="call transfered")  # their spelling

    def _create(self, body: Mapping[str, Any]) -> Platform:
        if missing := web.lacking(body, "from", "to", "answer_url"):
            return _answered(400, error=f"{missing[0]} parameter must be present")
        leg = yield seam.Place(
            to=e164(body["to"]),
            from_=e164(body["from"]),
            answer_url=body["answer_url"],
            status_url=text_of(body, "hangup_url"),
            ring_timeout=float(body.get("ring_timeout", 120)),
            detect_machine="machine_detection" in body,
        )
        assert leg is not None, "Place is answered with a Leg"
        return _answered(201, message="call fired", request_uuid=leg.call.call_id)

    def _describe(self, leg: Leg, status: str) -> Response:
        call, way = leg.call, leg.call.direction.value
        from_, to = _bare(call.from_), _bare(call.to)
        wanted = {CallState.ENDED: "", CallState.QUEUED: "queued"}.get(leg.state, "live")
        if status != wanted:
            return _NOT_FOUND
        if wanted:
            told = {"call_status": _STATE_WORDS[leg.state], "call_uuid": call.call_id}
            told |= {"direction": way, "from": from_, "to": to, "request_uuid": call.call_id}
            return _answered(200, **told)
        end = datetime.fromtimestamp(self.clock(), UTC).isoformat(" ", "seconds")
        told = {"call_uuid": call.call_id, "call_direction": way, "end_time": end}
        return _answered(200, from_number=from_, to_number=to, **told)
