"""Twilio Media Streams: ``<Connect><Stream>``, one WebSocket both ways.

    their word                                  ours
    ------------------------------------------  ---------------------------------------
    TwiML <Connect><Stream>, then <Redirect>    answer
    event start, streamSid                      Started, stream_id
    customParameters.token                      Started.token (query strings are dropped)
    event media, media.payload                  Audio, always µ-law 8000 Hz
    event mark, mark.name                       Mark: played, or flushed by clear
    event clear                                 Clear (not acknowledged)
    event dtmf, dtmf.digit                      Digit
    event stop                                  Stopped
    CallSid, AccountSid                         call_id, account_id
    CallStatus                                  CallState, Ended.reason
    X-Twilio-Signature                          verify, sign

Wire facts are from Twilio's pages on Media Streams (2026-03-27), the twilio-python 9.13.0 package
and its tests; docs/carriers/twilio.md lists them. Knows no socket, and no clock.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal
from urllib.parse import parse_qs, urlsplit, urlunsplit
from xml.etree.ElementTree import Element

import msgspec
from msgspec import Struct
from pybase64 import b64encode_as_string

from .. import carrier as seam
from .. import errors, events, web
from ..carrier import Carrier, Credential, Dial, Hooks, Leg, Platform, Purpose, Shapes, Step, Stream
from ..errors import BadSignature, LocalProtocolError, RemoteProtocolError, Unsupported
from ..events import Audio, CallInfo, CallState, Extra, FromCaller, Notice, Started, ToCaller, Why
from ..media.formats import PCMU_8K, AudioFormat
from ..web import Flow, Request, Response, element
from ..wire import Numbers, base64_text, read_key

__all__ = ["BotEnd", "CarrierEnd", "Twilio"]

_TOKEN: Final = "token"  # noqa: S105 - the name of the parameter that carries it
_API: Final = "/2010-04-01"
_EXAMPLE_SID: Final = f"AC{'0123456789abcdef' * 2}"
_SHARED_KEY: Final = "secret of the SharedKey, if webhooks are signed with one (HMAC_SHA256)"

# CallStatus of a call that is over, and the DialCallStatus ("answered") of a transfer.
_ENDS: Final = {
    "completed": Why.COMPLETED,
    "busy": Why.BUSY,
    "no-answer": Why.NO_ANSWER,
    "canceled": Why.CANCELLED,
    "failed": Why.FAILED,
    "answered": Why.COMPLETED,
}
_END_WORDS: Final = {why: word for word, why in reversed(_ENDS.items())} | {Why.REJECTED: "busy"}
_STATES: Final = {
    "queued": CallState.QUEUED,
    "initiated": CallState.QUEUED,
    "ringing": CallState.RINGING,
    "in-progress": CallState.ACTIVE,
} | dict.fromkeys(_ENDS, CallState.ENDED)
_STATE_WORDS: Final = {state: word for word, state in reversed(_STATES.items())}

# REST error codes.
_BAD_LOGIN: Final = 20003
_NOT_FOUND: Final = 20404
_NOT_IN_PROGRESS: Final = 21220


# --- wire ------------------------------------------------------------------------------------


class _MediaFormat(Struct):
    encoding: str
    sampleRate: int
    channels: int = 1


class _StartBody(Struct):
    callSid: str
    mediaFormat: _MediaFormat
    accountSid: str = ""
    customParameters: dict[str, str] = {}


class _MediaBody(Struct, gc=False):
    payload: bytes
    timestamp: int = -1
    track: str = "inbound"


class _DtmfBody(Struct):
    digit: str


class _MarkBody(Struct):
    name: str


class _Start(Struct, tag_field="event", tag="start"):
    streamSid: str
    start: _StartBody


class _Media(Struct, tag_field="event", tag="media", gc=False):
    media: _MediaBody
    streamSid: str = ""


class _Mark(Struct, tag_field="event", tag="mark"):
    mark: _MarkBody
    streamSid: str = ""


class _Dtmf(Struct, tag_field="event", tag="dtmf"):
    dtmf: _DtmfBody


class _Connected(Struct, tag_field="event", tag="connected"):
    """Says nothing about the call."""


class _Stop(Struct, tag_field="event", tag="stop"):
    """Whose it is, the socket tells."""


class _Clear(Struct, tag_field="event", tag="clear"):
    streamSid: str


_KINDS: Final = ("connected", "start", "media", "dtmf", "mark", "stop")
_FromTwilio = _Start | _Media | _Dtmf | _Mark | _Connected | _Stop
_ToTwilio = _Media | _Mark | _Clear
_FROM_TWILIO: Final[Shapes[_FromTwilio]] = Shapes(_FromTwilio, "event")
_TO_TWILIO: Final[Shapes[_ToTwilio]] = Shapes(_ToTwilio, "event")


class BotEnd(Stream[FromCaller, ToCaller]):
    """Our server's end."""

    __slots__ = ("_media", "_sid")

    def __init__(self) -> None:
        super().__init__()
        self._sid: str | None = None
        self._media = ""

    def receive(self, message: str | bytes) -> Sequence[FromCaller]:
        said = _FROM_TWILIO.read(message)
        if isinstance(said, _Media):
            media = said.media
            return (Audio(media.payload, media.timestamp),) if media.track == "inbound" else ()
        return self._other(said)

    def _other(
        self, said: _Start | _Dtmf | _Mark | _Connected | _Stop | Extra
    ) -> Sequence[FromCaller]:
        match said:
            case _Start():
                return (self._started(said),)
            case _Dtmf():
                return (read_key(said.dtmf.digit),)
            case _Mark():
                return (events.Mark(said.mark.name),)
            case _Connected():
                return ()
            case _Stop():
                return (events.Stopped(),)
            case _:
                return (said,)

    def _started(self, said: _Start) -> Started:
        body = said.start
        heard = body.mediaFormat
        if (heard.encoding, heard.sampleRate, heard.channels) != ("audio/x-mulaw", 8000, 1):
            raise RemoteProtocolError("the stream's audio is not audio/x-mulaw, 8000 Hz, mono")
        self._sid = said.streamSid
        sid = msgspec.json.encode(said.streamSid).decode()
        self._media = f'{{"event":"media","streamSid":{sid},"media":{{"payload":"'
        parameters = dict(body.customParameters)
        return Started(
            call_id=body.callSid,
            account_id=body.accountSid,
            stream_id=said.streamSid,
            inbound=PCMU_8K,
            outbound=PCMU_8K,
            token=parameters.pop(_TOKEN, ""),
            parameters=parameters,
        )

    def send(self, event: ToCaller) -> None:
        # Messages without the right streamSid are refused (error 31951).
        if self._sid is None:
            raise LocalProtocolError("the stream has not started: its streamSid is not known")
        if type(event) is Audio:
            self._queue.append(f'{self._media}{b64encode_as_string(event.payload)}"}}}}')
        elif isinstance(event, events.Mark):
            self.put(_Mark(_MarkBody(event.name), self._sid))
        elif isinstance(event, events.Clear):
            self.put(_Clear(self._sid))
        else:
            raise LocalProtocolError(f"Twilio's socket cannot carry {type(event).__name__}")


class CarrierEnd(Stream[ToCaller, FromCaller]):
    """Twilio's end, for the simulator."""

    __slots__ = ("_numbers", "_sid", "_started", "_stream_id")

    def __init__(self) -> None:
        super().__init__()
        self._started: Started | None = None
        self._stream_id: str | None = None
        self._numbers = Numbers(PCMU_8K)
        self._sid = ""

    def receive(self, message: str | bytes) -> Sequence[ToCaller]:
        said = _TO_TWILIO.read(message)
        if isinstance(said, _Media) and said.streamSid == self._stream_id:
            return (Audio(said.media.payload, -1, PCMU_8K),)
        if isinstance(said, Extra) or self._started is None:
            raise RemoteProtocolError("31951: an unknown event, or one before start")
        if isinstance(said, _Media) or said.streamSid != self._stream_id:
            raise RemoteProtocolError("31951: another stream's streamSid, or none")
        match said:
            case _Mark():
                return (events.Mark(said.mark.name),)
            case _:
                return (events.Clear(),)

    def messages(self, event: FromCaller) -> Sequence[str | bytes]:
        if isinstance(event, Audio) and self._started is not None and not self._queue:
            return (self._media(event),)
        return super().messages(event)

    def send(self, event: FromCaller) -> None:
        if isinstance(event, Audio) and self._started is not None:
            self._queue.append(self._media(event))
            return
        if isinstance(event, Started):
            self._started = event
            self._stream_id = event.stream_id
            self._sid = msgspec.json.encode(event.stream_id).decode()
            self.put({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            self._say("start", start=_start(event))
            return
        if self._started is None:
            raise LocalProtocolError("a stream begins with Started")
        match event:
            case events.Digit():
                self._say("dtmf", dtmf={"track": "inbound_track", "digit": event.digit})
            case events.Mark():
                self._say("mark", mark={"name": event.name})
            case events.Stopped():
                self._say("stop", stop=_ids(self._started))
            case _:
                self.put_extra(event, _KINDS, "Twilio")

    def _media(self, event: Audio) -> str:
        # Written by hand: for load tests a mapping takes too long to become JSON.
        payload, numbers = event.payload, self._numbers
        chunk, at = numbers.chunk(payload, event.timestamp)
        return (
            f'{{"event":"media","sequenceNumber":"{numbers.message()}",'
            f'"streamSid":{self._sid},"media":{{"track":"inbound","chunk":"{chunk}",'
            f'"timestamp":"{at}","payload":"{base64_text(payload)}"}}}}'
        )

    def _say(self, kind: str, **fields: Any) -> None:
        sid = self._started.stream_id if self._started else ""
        number = str(self._numbers.message())
        numbered = {"event": kind, "sequenceNumber": number, "streamSid": sid}
        self.put(numbered | fields)


def _start(event: Started) -> dict[str, Any]:
    token = {_TOKEN: event.token} if event.token else {}
    return _ids(event) | {
        "streamSid": event.stream_id,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {**event.parameters, **token},
    }


def _ids(started: Started) -> dict[str, str]:
    return {"accountSid": started.account_id, "callSid": started.call_id}


# --- signatures ------------------------------------------------------------------------------


def _signature(secret: str, digest: Callable[[], Any], text: str) -> str:
    made = hmac.new(secret.encode(), text.encode(errors="surrogatepass"), digest)
    return base64.b64encode(made.digest()).decode()


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0]
    return kind.strip().lower() == "application/x-www-form-urlencoded"


def _signed_body(request: Request) -> str:
    """What a body adds to the signed text: a form its distinct pairs, JSON nothing but a hash."""
    if not request.body:
        return ""
    if _is_form(request):
        return "".join(name + value for name, value in sorted(set(request.form())))
    claimed = parse_qs(urlsplit(request.url).query).get("bodySHA256", [""])[0]
    if not web.same(hashlib.sha256(request.body).hexdigest(), claimed):
        raise BadSignature("the body is not the one whose SHA-256 the signed URL names")
    return ""


def _spellings(url: str) -> Iterator[str]:
    """``url`` as given, and with or without its port: Twilio is not consistent in that.

    The SDK's validator tries the same (twilio-python 9.13.0), but takes 80 for ``wss``.
    """
    yield url
    parts = urlsplit(url)
    if parts.port is not None:
        other = parts.netloc.rpartition(":")[0]
    else:
        other = f"{parts.netloc}:{443 if parts.scheme in ('https', 'wss') else 80}"
    yield urlunsplit(parts._replace(netloc=other))


# --- webhooks --------------------------------------------------------------------------------


def _call_info(form: Mapping[str, str]) -> CallInfo:
    call_id = form.get("CallSid", "")
    if not call_id:
        raise RemoteProtocolError("a webhook without CallSid")
    outbound = form.get("Direction", "").startswith("outbound")
    return CallInfo(
        carrier=Twilio.name,
        call_id=call_id,
        account_id=form.get("AccountSid", ""),
        from_=form.get("From", ""),
        to=form.get("To", ""),
        direction=events.Direction.OUTBOUND if outbound else events.Direction.INBOUND,
        raw=form,
    )


def _direction(call: CallInfo) -> str:
    return "inbound" if call.direction is events.Direction.INBOUND else "outbound-api"


def _who(call: CallInfo) -> dict[str, str]:
    numbers = {"From": call.from_, "To": call.to}
    return {"CallSid": call.call_id, "Direction": _direction(call), **numbers}


def _machine(call: CallInfo, answered_by: str) -> events.MachineDetected:
    """``answered_by``: human, fax, unknown, machine_start, machine_end_beep and others."""
    result = answered_by.partition("_")[0]
    known = result in ("human", "machine", "fax")
    return events.MachineDetected(call.call_id, result if known else "unknown", answered_by)


def _progress(call: CallInfo, form: Mapping[str, str]) -> Notice:
    """A status callback: of the stream, of machine detection, or of the call."""
    status = form.get("CallStatus", "")
    state = _STATES.get(status)
    if "StreamEvent" in form:
        kept = {k: form[k] for k in ("StreamSid", "StreamName", "StreamError") if k in form}
        return events.Other(form["StreamEvent"], call.call_id, kept)
    if state is CallState.ENDED:
        length = web.seconds_of(form.get("CallDuration", ""))
        reason = events.EndReason(_ENDS[status], raw=status)
        return events.Ended(call.call_id, reason, duration_s=length)
    if "AnsweredBy" in form:
        return _machine(call, form["AnsweredBy"])
    if state is CallState.RINGING:
        return events.Ringing(call)
    if state is CallState.ACTIVE:
        return events.Answered(call)
    return events.Other(status, call.call_id)


# --- TwiML -----------------------------------------------------------------------------------


def _response(*verbs: Element) -> Element:
    return element("Response", None, *verbs)


def _redirect(hooks: Hooks) -> Element:
    return element("Redirect", {"method": "POST"}, hooks.url(Purpose.AFTER))


def _connect(verb: Element) -> Step:
    stream = verb.find("Stream")
    url = "" if stream is None else stream.get("url", "")
    # wss only, and its query string is dropped (errors 31922, 31923); ws is for local work.
    if stream is None or not web.is_socket(url) or "?" in url:
        raise RemoteProtocolError("<Connect> needs a <Stream> with a wss URL without a query")
    parameters = {p.get("name", ""): p.get("value", "") for p in stream.iterfind("Parameter")}
    return seam.OpenStream(url=url, parameters=parameters)


def _dial(verb: Element) -> Step:
    sip = verb.find("Sip")
    target = (verb if sip is None else sip).text or ""
    get = verb.get
    return seam.TransferTo(to=target, from_=get("callerId", ""), then_url=get("action", ""))


_VERBS: Final[Mapping[str, Callable[[Element], Step]]] = {
    "Connect": _connect,
    "Dial": _dial,
    "Hangup": lambda verb: seam.Hangup(),
    "Pause": lambda verb: seam.Pause(float(verb.get("length", "1"))),
    "Play": lambda verb: seam.SendTones(verb.get("digits", "")),
    "Redirect": lambda verb: seam.Redirect(verb.text or "", verb.get("method", "POST")),
    "Reject": lambda verb: seam.Reject(verb.get("reason", "rejected")),
}


# --- REST ------------------------------------------------------------------------------------


class _Resource(Struct):
    sid: str
    status: str


class _Number(Struct):
    phone_number: str
    voice_url: str = ""


class _Numbers(Struct):
    incoming_phone_numbers: list[_Number]


def _refused(asked: str, response: Response) -> errors.CarrierError:
    said = str(response.fields.get("message", ""))
    return web.refusal(asked, response, code=_code(response), detail=said)


def _code(response: Response) -> str:
    return str(response.fields.get("code", ""))


def _error(status: int, code: int, message: str) -> Response:
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = {"code": code, "message": message, "more_info": more, "status": status}
    return Response.of_json(body, status)


def _resource(leg: Leg, account: str) -> dict[str, Any]:
    call, over = leg.call, leg.state is CallState.ENDED
    why = leg.reason.why if leg.reason else Why.COMPLETED
    return {
        "sid": call.call_id,
        "account_sid": account,
        "to": call.to,
        "from": call.from_,
        "status": _END_WORDS.get(why, "completed") if over else _STATE_WORDS[leg.state],
        "direction": _direction(call),
        "duration": str(round(leg.duration_s)) if over else None,
        "api_version": _API[1:],
        "uri": f"{_API}/Accounts/{account}/Calls/{call.call_id}.json",
    }


class Twilio(Carrier):
    """Twilio Programmable Voice with bidirectional Media Streams."""

    name = "twilio"
    title = "Twilio"
    docs = "https://www.twilio.com/docs/voice/twiml/stream"
    credentials = (
        Credential("account_sid", "TWILIO_ACCOUNT_SID", "Account SID (AC…)", _EXAMPLE_SID),
        Credential("auth_token", "TWILIO_AUTH_TOKEN", "its Auth Token", "0a1b2c3d", secret=True),
        Credential("api_key", "TWILIO_API_KEY", "API key (SK…) for REST calls", required=False),
        Credential("api_secret", "TWILIO_API_SECRET", "its secret", secret=True, required=False),
        Credential("region", "TWILIO_REGION", "region, if not US1", required=False),
        Credential("edge", "TWILIO_EDGE", "that region's edge", required=False),
        Credential("shared_key", "TWILIO_SHARED_KEY", _SHARED_KEY, secret=True, required=False),
    )
    inbound = (PCMU_8K,)
    outbound = (PCMU_8K,)
    hears = frozenset({Started, Audio, events.Digit, events.Mark, events.Stopped, Extra})
    says = frozenset({Audio, events.Mark, events.Clear})
    marks = seam.Marks.RETURNED
    dial_rate = 1.0  # more are queued, not refused (page "Call resource")
    signs_webhooks = "X-Twilio-Signature: HMAC over the URL and the form, or the body's hash"
    signature_covers: ClassVar[frozenset[Literal["url", "body"]]] = frozenset({"url", "body"})
    signs_upgrade = True
    arguments = (
        "stream_sid=stream call_sid=call account_sid auth_token region edge base_url"
        " * api_key_sid=api_key api_key_secret=api_secret"
    )
    limitations = (
        "Audio is µ-law at 8000 Hz both ways; no other format is documented.",
        "A returned mark means played or flushed; after a clear all pending marks come back.",
        "Keys are sent by REST, which ends the media stream; a new one opens right after.",
        "Who hung up is not told: a call that was answered always ends as completed.",
        "A placed call carries no tag: one whose answer was lost is found by its numbers only.",
    )

    def __init__(self, credentials: Mapping[str, str], **options: Any) -> None:
        super().__init__(credentials, **options)
        given = self.given
        if bool(given["region"]) != bool(given["edge"]):
            raise errors.ConfigError("TWILIO_REGION and TWILIO_EDGE go together")
        if bool(given["api_key"]) != bool(given["api_secret"]):
            raise errors.ConfigError("TWILIO_API_KEY and TWILIO_API_SECRET go together")
        place = f".{given['edge']}.{given['region']}" if given["region"] else ""
        self._account = f"{_API}/Accounts/{self.own_id('account_sid')}"
        self._api = f"https://api{place}.twilio.com{self._account}"
        self._login = web.basic_auth(
            given["api_key"] or given["account_sid"], given["api_secret"] or given["auth_token"]
        )

    # Wire.

    def bot_end(self, audio: AudioFormat) -> BotEnd:
        self.can_play(audio)
        return BotEnd()

    def carrier_end(self, audio: AudioFormat) -> CarrierEnd:
        self.can_play(audio)
        return CarrierEnd()

    # Door.

    def verify(self, request: Request) -> None:
        secret, digest = self._signing(request)
        given = request.headers.get("x-twilio-signature", "")
        try:
            signed = _signed_body(request)
            made = (_signature(secret, digest, url + signed) for url in _spellings(request.url))
            fits = any(web.same(one, given) for one in made)
        except (RemoteProtocolError, ValueError) as error:
            raise BadSignature(f"the request cannot be read: {error}") from None
        if not fits:
            where = request.url.partition("?")[0]
            raise BadSignature(
                f"X-Twilio-Signature does not fit {where}: is that the URL Twilio called, and "
                "TWILIO_AUTH_TOKEN this account's?"
            )

    def sign(self, request: Request) -> Request:
        if request.body and not _is_form(request):
            mark = "&" if "?" in request.url else "?"
            url = f"{request.url}{mark}bodySHA256={hashlib.sha256(request.body).hexdigest()}"
            request = msgspec.structs.replace(request, url=url)
        secret, digest = self._signing(request)
        signature = _signature(secret, digest, request.url + _signed_body(request))
        headers = {**request.headers, "x-twilio-signature": signature}
        return msgspec.structs.replace(request, headers=headers)

    def _signing(self, request: Request) -> tuple[str, Callable[[], Any]]:
        """Secret and hash by the settings header, which SharedKeys came with (SDK 9.13.0)."""
        header = request.headers.get("x-twilio-webhooks-signature-settings", "")
        named = re.search(r"(?:^|,)\s*algorithm\s*=\s*([^,\s]+)", header)
        algorithm = named[1].upper() if named else "HMAC_SHA1"
        if algorithm == "HMAC_SHA1":
            return self.given["auth_token"], hashlib.sha1
        if algorithm == "HMAC_SHA256" and self.given["shared_key"]:
            return self.given["shared_key"], hashlib.sha256
        raise BadSignature(
            f"signed with {algorithm[:20]!r}: unknown, or TWILIO_SHARED_KEY is not set"
        )

    # Webhooks and answers.

    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[Notice]:
        form = dict(request.query if request.method == "GET" else request.form())
        call = _call_info(form)
        over = _STATES.get(form.get("CallStatus", "")) is CallState.ENDED
        if over or purpose not in (Purpose.ANSWER, Purpose.AFTER):
            return [_progress(call, form)]
        transfer = form.get("DialCallStatus")
        why = None if transfer is None else _ENDS.get(transfer, Why.UNKNOWN)
        offered = events.Offered(call, again=purpose is Purpose.AFTER, transfer=why)
        machine = [_machine(call, form["AnsweredBy"])] if "AnsweredBy" in form else []
        return [offered, *machine]

    def write_webhook(self, notice: Notice, url: str) -> Request:
        match notice:
            case events.Offered(call):
                first = call.direction is events.Direction.INBOUND and not notice.again
                form = _who(call) | {"CallStatus": "ringing" if first else "in-progress"}
                if notice.transfer is not None:
                    form["DialCallStatus"] = _END_WORDS.get(notice.transfer, "failed")
            case events.Ringing(call):
                form = _who(call) | {"CallStatus": "ringing"}
            case events.Answered(call):
                form = _who(call) | {"CallStatus": "in-progress"}
            case events.Ended():
                form = {"CallSid": notice.call_id, "CallDuration": f"{notice.duration_s or 0:.0f}"}
                form["CallStatus"] = _END_WORDS.get(notice.reason.why, "completed")
            case events.MachineDetected():
                word = "machine_start" if notice.result == "machine" else notice.result
                form = {"CallSid": notice.call_id, "AnsweredBy": word}
            case events.Other():
                form = {"CallSid": notice.call_id, "StreamEvent": notice.kind}
                form |= {name: str(value) for name, value in notice.fields.items()}
            case _:
                raise Unsupported("Twilio tells of keys on the socket, not by webhook")
        common = {"AccountSid": self.given["account_sid"], "ApiVersion": _API[1:]}
        return Request.of_form(url, common | form)

    def answer(self, call: CallInfo, offer: seam.Offer) -> seam.Answer:
        self.can_play(offer.audio)
        if _TOKEN in offer.parameters:
            raise Unsupported(f"no parameter can be called {_TOKEN!r}: the media token is")
        carried = {**offer.parameters, _TOKEN: offer.token}
        if any(len(name) + len(value) > 500 for name, value in carried.items()):
            raise Unsupported("Twilio carries at most 500 characters a parameter, name included")
        attributes = {
            "url": offer.stream_url,
            "statusCallback": offer.hooks.url(Purpose.STATUS),
            "statusCallbackMethod": "POST",
        }
        parameters = [element("Parameter", {"name": n, "value": v}) for n, v in carried.items()]
        connect = element("Connect", None, element("Stream", attributes, *parameters))
        return seam.Answer(Response.of_xml(_response(connect, _redirect(offer.hooks))))

    def dismiss(self, call: CallInfo, why: seam.Dismissal) -> seam.Answer:
        done = why is seam.Dismissal.DONE
        verb = element("Hangup") if done else element("Reject", {"reason": why.value})
        return seam.Answer(Response.of_xml(_response(verb)))

    def read_answer(self, response: Response) -> Sequence[Step]:
        if response.status >= 300:
            raise RemoteProtocolError(f"11200: the webhook answered HTTP {response.status}")
        return seam.read_steps(response.body, _VERBS)

    # Control.

    def _call(self, call: CallInfo, *form: tuple[str, str]) -> Request:
        url = f"{self._api}/Calls/{web.safe_id(call.call_id)}.json"
        headers = {"authorization": self._login}
        return Request.of_form(url, form, headers) if form else Request.get(url, headers)

    def hang_up(self, call: CallInfo) -> Flow[None]:
        yield from self._unless_over("hang up", call, "Status", "completed")

    def _unless_over(self, asked: str, call: CallInfo, name: str, value: str) -> Flow[bool]:
        """Update a call; returns whether it was there to be updated.

        One that is over is answered with 404/20404 where it is to end (pipecat#2145), else with
        400/21220: "not in-progress", which also fits a call that has not begun, hence asked.
        """
        response = yield self._call(call, (name, value))
        if response.status < 300:
            return True
        if response.status == 404:
            return False
        unclear = _code(response) == str(_NOT_IN_PROGRESS)
        if unclear and (yield from self.state(call)) is CallState.ENDED:
            return False
        raise _refused(asked, response)

    def _instruct(self, asked: str, call: CallInfo, *verbs: Element) -> Flow[None]:
        twiml = web.xml_text(_response(*verbs))
        if not (yield from self._unless_over(asked, call, "Twiml", twiml)):
            raise errors.CallEnded(f"cannot {asked}: the call is over")

    def state(self, call: CallInfo) -> Flow[CallState]:
        response = yield self._call(call)
        if response.status == 404:
            return CallState.ENDED
        if response.status >= 300:
            raise _refused("ask for a call's state", response)
        # A word that is new is no reason to think that the call is over.
        return _STATES.get(web.read_json(response.body, _Resource).status, CallState.ACTIVE)

    def dial(self, wish: Dial) -> Flow[str]:
        status = wish.offer.hooks.url(Purpose.STATUS)
        form = [
            ("To", wish.to),
            ("From", wish.from_),
            ("Url", wish.offer.hooks.url(Purpose.ANSWER)),
            ("StatusCallback", status),
            *(("StatusCallbackEvent", e) for e in ("initiated", "ringing", "answered")),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", str(wish.ring_timeout)),
            ("TimeLimit", str(wish.max_duration)),
        ]
        if wish.detect_machine:
            # Asynchronous: the call connects at once and the result follows (page "AMD").
            form += [("MachineDetection", "Enable"), ("AsyncAmd", "true")]
            form += [("AsyncAmdStatusCallback", status)]
        headers = {"authorization": self._login}
        url = f"{self._api}/Calls.json"
        response = yield Request.of_form(url, form, headers, repeatable=False)
        if response.status != 201:
            raise _refused("place a call", response)
        return web.read_json(response.body, _Resource).sid

    def transfer(self, call: CallInfo, to: str, *, from_: str, hooks: Hooks) -> Flow[None]:
        # URLs in TwiML that comes by REST have nothing to be relative to (error 15004).
        attributes = {"action": hooks.url(Purpose.AFTER), "method": "POST"}
        target = element("Sip", None, to) if to.startswith("sip:") else to
        verb = element("Dial", attributes | ({"callerId": from_} if from_ else {}), target)
        yield from self._instruct("transfer", call, verb)

    def send_digits(
        self, call: CallInfo, digits: str, *, started: Started, hooks: Hooks
    ) -> Flow[None]:
        if not re.fullmatch(r"[0-9*#wW]+", digits):
            raise ValueError("keys are 0-9, * and #; w waits half a second, W a whole one")
        play = element("Play", {"digits": digits})
        yield from self._instruct("send keys", call, play, _redirect(hooks))

    def check(self) -> Flow[Sequence[str]]:
        url = f"{self._api}/IncomingPhoneNumbers.json?PageSize=20"
        response = yield Request.get(url, {"authorization": self._login})
        if response.status >= 300:
            raise _refused("list the account's numbers", response)
        numbers = web.read_json(response.body, _Numbers).incoming_phone_numbers
        return [f"{n.phone_number} asks {n.voice_url or 'nobody'} when it rings" for n in numbers]

    # The carrier's side of control.

    def platform(self, request: Request) -> Platform:
        logins = (self._login, web.basic_auth(self.given["account_sid"], self.given["auth_token"]))
        if not any(web.same(request.headers.get("authorization", ""), one) for one in logins):
            return _error(401, _BAD_LOGIN, "Authenticate")
        if request.path == f"{self._account}/IncomingPhoneNumbers.json":
            number = {"phone_number": "+12025550100", "voice_url": ""}
            return Response.of_json({"incoming_phone_numbers": [number]})
        path = re.fullmatch(rf"{re.escape(self._account)}/Calls(?:/([^/]+))?\.json", request.path)
        if path and path[1] is None:
            return (yield from self._create(dict(request.form())))
        leg = (yield seam.Find(path[1])) if path else None
        form = dict(request.form())
        # As logged: an end comes too late with 404 (pipecat-ai/pipecat#2145, 2025-07-04), another
        # document with 21220 (bmlt-enabled/yap#570, 2021-11-30).
        if leg is None or (leg.state is CallState.ENDED and "Status" in form):
            return _error(404, _NOT_FOUND, f"The resource {request.path} was not found")
        if request.method == "GET":
            return Response.of_json(_resource(leg, self.given["account_sid"]))
        return (yield from self._modify(leg, form))

    def _create(self, form: Mapping[str, str]) -> Platform:
        if not form.get("To") or not form.get("From"):
            return _error(400, 21201, "No 'To' or 'From' number is specified")
        if ("Url" in form) == ("Twiml" in form):
            return _error(400, 21205, "Url parameter is required")
        leg = yield seam.Place(
            to=form["To"],
            from_=form["From"],
            answer_url=form.get("Url", ""),
            status_url=form.get("StatusCallback", ""),
            steps=seam.read_steps(form["Twiml"].encode(), _VERBS) if "Twiml" in form else (),
            ring_timeout=float(form.get("Timeout", "60")),
            detect_machine="MachineDetection" in form,
        )
        assert leg is not None, "Place is answered with a Leg"
        return Response.of_json(_resource(leg, self.given["account_sid"]), 201)

    def _modify(self, leg: Leg, form: Mapping[str, str]) -> Platform:
        call_id = leg.call.call_id
        if leg.state is CallState.ENDED:
            return _error(400, _NOT_IN_PROGRESS, "Call is not in-progress. Cannot redirect.")
        if form.get("Status") in ("completed", "canceled"):
            yield seam.HangUpLeg(call_id)
        elif "Twiml" in form:
            yield seam.Instruct(call_id, seam.read_steps(form["Twiml"].encode(), _VERBS))
        elif "Url" in form:
            yield seam.Fetch(call_id, form["Url"], form.get("Method", "POST"))
        else:
            return _error(400, 20001, "Nothing to update")
        now = (yield seam.Find(call_id)) or leg
        return Response.of_json(_resource(now, self.given["account_sid"]))
