"""Bandwidth Programmable Voice: a bidirectional ``<StartStream>``, held by ``<StopStream wait>``.

    their word                                  ours
    ------------------------------------------  ---------------------------------------
    BXML StartStream, StopStream, Redirect      answer
    initiate, answer / redirect                 Offered / Offered(again)
    transferComplete                            Offered(again, transfer)
    eventType start, streamId, streamName       Started, stream_id, stream_name
    eventType media, payload (track inbound)    Audio, µ-law 8000 Hz
    eventType playAudio, media.contentType      Audio towards the caller, µ-law or PCM
    eventType clear                             Clear (not acknowledged; no marks at all)
    eventType stop                              Stopped
    StartGather, webhook dtmf                   CollectDigits, DigitPressed
    SendDtmf                                    send_digits
    disconnect, cause                           Ended, reason
    tag                                         Dial.key, CallInfo.tag

Wire facts are from Bandwidth's documentation, OpenAPI file and SDK, its Pipecat serializer, and
frames and webhooks captured in its migration toolkit (2026-06 to 09); docs/carriers/bandwidth.md
lists them. Knows no socket, and of time only how long its access token has to live.
"""

# Wire fields keep the carrier's spelling, so that its documentation and this file grep alike.

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from xml.etree.ElementTree import Element

import msgspec
from msgspec import Struct
from pybase64 import b64encode_as_string

from .. import carrier as seam
from .. import errors, events, web
from ..carrier import Carrier, Credential, Dial, Hooks, Leg, Platform, Purpose, Shapes, Step, Stream
from ..errors import BadSignature, LocalProtocolError, RemoteProtocolError, Unsupported
from ..events import Audio, CallInfo, CallState, Extra, FromCaller, Notice, Started, ToCaller, Why
from ..media.formats import L16_8K, L16_16K, L16_24K, PCMU_8K, AudioFormat
from ..web import Flow, Request, Response, element, text_of
from ..wire import Numbers

__all__ = ["Bandwidth", "BotEnd", "CarrierEnd"]

_CALLBACKS: Final = "callback credentials of the Voice application; no webhook is taken without"
_API: Final = "https://voice.bandwidth.com/api/v2"
_TOKENS: Final = "https://api.bandwidth.com/api/v1/oauth2/token"
# An access token is renewed this long before it expires, and taken to live an hour where its
# answer does not say (it always did).
_TOKEN_MARGIN_S: Final = 60.0
_TOKEN_LIFE_S: Final = 3600.0

# disconnectCause, transferComplete's cause (the lists are "not exhaustive"). Faults are neither
# party's doing.
_FAULTS: Final = {
    "error": Why.FAILED,
    "callback-error": Why.NETWORK,
    "invalid-bxml": Why.PROTOCOL,
    "application-error": Why.PROTOCOL,
    "account-limit": Why.LIMIT,
    "node-capacity-exceeded": Why.LIMIT,
}
_CAUSES: Final = {
    "hangup": Why.COMPLETED,
    "busy": Why.BUSY,
    "timeout": Why.NO_ANSWER,
    "cancel": Why.CANCELLED,
    "rejected": Why.REJECTED,
} | _FAULTS
_CAUSE_WORDS: Final = {why: word for word, why in reversed(_CAUSES.items())}
_STATES: Final = {
    "queued": CallState.QUEUED,
    "initiated": CallState.RINGING,
    "answered": CallState.ACTIVE,
    "disconnected": CallState.ENDED,
}
_STATE_WORDS: Final = {state: word for word, state in _STATES.items()}
_MACHINES: Final = {"human": "human", "answering-machine": "machine", "tone-detected": "machine"}


# --- wire ------------------------------------------------------------------------------------


def _content_type(audio: AudioFormat) -> str:
    if audio == PCMU_8K:
        return "audio/pcmu"
    return f"audio/pcm;rate={audio.rate};channels=1;bit-depth=16;endian=little;encoding=signed"


_OUTBOUND: Final = (PCMU_8K, L16_8K, L16_16K, L16_24K)
_FORMATS: Final = {_content_type(audio): audio for audio in _OUTBOUND}


class _MediaFormat(Struct):
    encoding: str
    sampleRate: int = 8000


class _Track(Struct):
    name: str = "inbound"
    mediaFormat: _MediaFormat = msgspec.field(default_factory=lambda: _MediaFormat("PCMU"))


class _Metadata(Struct):
    callId: str
    accountId: str = ""
    streamId: str = ""
    streamName: str = ""
    tracks: list[_Track] = []


class _Start(Struct, tag_field="eventType", tag="start"):
    metadata: _Metadata
    streamParams: dict[str, str] = {}


class _Media(Struct, tag_field="eventType", tag="media", gc=False):
    payload: bytes
    track: str = "inbound"


class _Spoken(Struct):
    contentType: str
    payload: bytes


class _PlayAudio(Struct, tag_field="eventType", tag="playAudio"):
    media: _Spoken


_KINDS: Final = ("start", "media", "stop")
_FROM_BANDWIDTH: Final[Shapes[_Start | _Media]] = Shapes(_Start | _Media, "eventType")
_TO_BANDWIDTH: Final[Shapes[_PlayAudio]] = Shapes(_PlayAudio, "eventType")


class BotEnd(Stream[FromCaller, ToCaller]):
    """Our server's end; ``audio`` is what ours goes out as."""

    __slots__ = ("_audio", "_play")

    def __init__(self, audio: AudioFormat) -> None:
        super().__init__()
        self._audio = audio
        kind = _content_type(audio)
        self._play = f'{{"eventType":"playAudio","media":{{"contentType":"{kind}","payload":"'

    def receive(self, message: str | bytes) -> Sequence[FromCaller]:
        said = _FROM_BANDWIDTH.read(message)
        if isinstance(said, _Media):
            # "outbound" is the bot's own voice, sent where somebody asked for both tracks.
            return (Audio(said.payload),) if said.track == "inbound" else ()
        if isinstance(said, _Start):
            return (self._started(said),)
        if said.kind == "stop":
            return (events.Stopped(),)
        return (said,)

    def _started(self, said: _Start) -> Started:
        about = said.metadata
        # Written "PCMU" on the wire and "audio/PCMU" in the documentation of 2023.
        for heard in (track.mediaFormat for track in about.tracks):
            if (heard.encoding.upper().rpartition("/")[2], heard.sampleRate) != ("PCMU", 8000):
                raise RemoteProtocolError("the stream's audio is not PCMU at 8000 Hz")
        return Started(
            call_id=about.callId,
            account_id=about.accountId,
            stream_id=about.streamId,
            stream_name=about.streamName,
            inbound=PCMU_8K,
            outbound=self._audio,
            parameters=said.streamParams,
        )

    def send(self, event: ToCaller) -> None:
        if type(event) is Audio:
            self._queue.append(f'{self._play}{b64encode_as_string(event.payload)}"}}}}')
        elif isinstance(event, events.Clear):
            self.put({"eventType": "clear"})
        elif isinstance(event, Extra) and event.kind not in ("playAudio", "clear"):
            self.put({**event.fields, "eventType": event.kind})
        else:
            raise LocalProtocolError(f"Bandwidth's socket cannot carry {type(event).__name__}")


class CarrierEnd(Stream[ToCaller, FromCaller]):
    """Bandwidth's end, for the simulator."""

    def __init__(self) -> None:
        super().__init__()
        self._metadata: dict[str, Any] | None = None
        self._numbers = Numbers(PCMU_8K)

    def receive(self, message: str | bytes) -> Sequence[ToCaller]:
        said = _TO_BANDWIDTH.read(message)
        if isinstance(said, Extra):
            return (events.Clear(),) if said.kind == "clear" else (said,)
        audio = _FORMATS.get(said.media.contentType)
        if audio is None or len(said.media.payload) % audio.sample_bytes:
            raise RemoteProtocolError("playAudio in no known contentType, or with half a sample")
        return (Audio(said.media.payload, format=audio),)

    def send(self, event: FromCaller) -> None:
        if isinstance(event, Started):
            self._begin(event)
            return
        if self._metadata is None:
            raise LocalProtocolError("a stream begins with Started")
        match event:
            case Audio():
                # As captured 2026-09-25: eventType last, the number a string.
                number, payload = self._numbers.message(), b64encode_as_string(event.payload)
                numbered = {"sequenceNumber": str(number), "eventType": "media"}
                self.put({"track": "inbound", "payload": payload, **numbered})
            case events.Stopped():
                self.put({"eventType": "stop", "metadata": self._metadata})
            case _:
                self.put_extra(event, _KINDS, "Bandwidth", tag="eventType")

    def _begin(self, event: Started) -> None:
        heard = {"encoding": "PCMU", "sampleRate": 8000}
        self._metadata = {
            "accountId": event.account_id,
            "callId": event.call_id,
            "streamId": event.stream_id,
            "streamName": event.stream_name,
            "tracks": [{"name": "inbound", "mediaFormat": heard}],
        }
        start = {"eventType": "start", "metadata": self._metadata}
        self.put(start | ({"streamParams": event.parameters} if event.parameters else {}))


# --- webhooks --------------------------------------------------------------------------------


def _call_info(fields: Mapping[str, Any]) -> CallInfo:
    outbound = text_of(fields, "direction") == "outbound"
    return CallInfo(
        carrier=Bandwidth.name,
        call_id=text_of(fields, "callId"),
        account_id=text_of(fields, "accountId"),
        from_=text_of(fields, "from"),
        to=text_of(fields, "to"),
        direction=events.Direction.OUTBOUND if outbound else events.Direction.INBOUND,
        tag=text_of(fields, "tag"),
        raw=fields,
    )


def _seconds(fields: Mapping[str, Any]) -> float | None:
    """How long a call lasted from its answer, where both times are told."""
    try:
        told = (text_of(fields, name) for name in ("answerTime", "endTime"))
        began, ended = map(datetime.fromisoformat, told)
        return max(0.0, (ended - began).total_seconds())
    except (ValueError, TypeError):  # not told, or one of them without a time zone
        return None


def _reason(cause: str) -> events.EndReason:
    who = events.Who.CARRIER if cause in _FAULTS else events.Who.UNKNOWN
    return events.EndReason(_CAUSES.get(cause, Why.UNKNOWN), who, cause)


def _machine(call: CallInfo, fields: Mapping[str, Any]) -> events.MachineDetected:
    """The result is a word, or, in the answer webhook of synchronous detection, holds one."""
    name = "machineDetectionResult"
    word = text_of(fields.get(name, {}), "value") or text_of(fields, name)
    return events.MachineDetected(call.call_id, _MACHINES.get(word, "unknown"), word)


def _other(kind: str, call: CallInfo, fields: Mapping[str, Any]) -> events.Other:
    """Any other event. Of a media stream's, not its destination: the media token is in it."""
    kept = {k: v for k, v in fields.items() if k not in ("eventType", "mediaStream")}
    return events.Other(kind, call.call_id, kept)


def _notices(kind: str, call: CallInfo, fields: Mapping[str, Any]) -> list[Notice]:
    cause = text_of(fields, "cause")
    match kind:
        case "initiate" | "answer":
            told = "machineDetectionResult" in fields
            return [events.Offered(call), *([_machine(call, fields)] if told else [])]
        case "redirect":
            return [events.Offered(call, again=True)]
        case "transferComplete":
            return [events.Offered(call, again=True, transfer=_reason(cause).why)]
        case "dtmf":
            return [events.DigitPressed(call.call_id, text_of(fields, "digit"))]
        case "machineDetectionComplete":
            return [_machine(call, fields)]
        case "disconnect":
            return [events.Ended(call.call_id, _reason(cause), duration_s=_seconds(fields))]
        case _:
            return [_other(kind, call, fields)]


# --- BXML ------------------------------------------------------------------------------------


def _response(*verbs: Element) -> Element:
    return element("Response", None, *verbs)


def _stream_name(token: str) -> str:
    """A name of its own for each stream: one that is still registered is refused."""
    return f"t-{hashlib.sha256(token.encode()).hexdigest()[:24]}"


def _start_stream(verb: Element) -> Step:
    url = verb.get("destination", "")
    if not web.is_socket(url) or verb.get("mode") != "bidirectional":
        raise RemoteProtocolError("<StartStream> needs a wss destination and mode bidirectional")
    parameters = {p.get("name", ""): p.get("value", "") for p in verb.iterfind("StreamParam")}
    name = verb.get("name", "")
    return seam.OpenStream(url=url, blocking=False, parameters=parameters, name=name)


def _transfer(verb: Element) -> Step:
    to = next(iter(verb), None)
    target = "" if to is None else to.text or ""
    then = verb.get("transferCompleteUrl", "")
    return seam.TransferTo(to=target, from_=verb.get("transferCallerId", ""), then_url=then)


def _stop_stream(verb: Element) -> Step:
    if verb.get("wait") != "true":
        raise RemoteProtocolError("<StopStream> without wait is not simulated")
    return seam.AwaitStream(verb.get("name", ""))


_VERBS: Final[Mapping[str, Callable[[Element], Step]]] = {
    "Hangup": lambda verb: seam.Hangup(),
    "Pause": lambda verb: seam.Pause(float(verb.get("duration", "1"))),
    "Redirect": lambda verb: seam.Redirect(
        verb.get("redirectUrl", ""), verb.get("redirectMethod", "POST")
    ),
    "SendDtmf": lambda verb: seam.SendTones(verb.text or ""),
    "StartGather": lambda verb: seam.CollectDigits(verb.get("dtmfUrl", "")),
    "StartStream": _start_stream,
    "StopGather": lambda verb: seam.CollectDigits(""),
    "StopStream": _stop_stream,
    "Transfer": _transfer,
}


def _read_bxml(document: bytes) -> list[Step]:
    """A document's steps; a stream that is awaited at once becomes one that blocks."""
    steps: list[Step] = []
    for step in seam.read_steps(document, _VERBS):
        before = steps[-1] if steps else None
        if (
            isinstance(step, seam.AwaitStream)
            and isinstance(before, seam.OpenStream)
            and step.name == before.name
        ):
            steps[-1] = msgspec.structs.replace(before, blocking=True)
        else:
            steps.append(step)
    return steps


# --- REST ------------------------------------------------------------------------------------


class _Token(Struct):
    access_token: str
    expires_in: float = _TOKEN_LIFE_S


class _Created(Struct):
    callId: str


class _State(Struct):
    state: str


def _refused(asked: str, response: Response) -> errors.CarrierError:
    said = response.fields
    kind, words = str(said.get("type") or ""), str(said.get("description") or "")
    return web.refusal(asked, response, code=kind, detail=words)


def _error(status: int, kind: str, description: str) -> Response:
    return Response.of_json({"type": kind, "description": description, "id": None}, status)


def _not_found(call_id: str) -> Response:
    return _error(404, "validation", f"Call [{call_id}] not found")


class Bandwidth(Carrier):
    """Bandwidth Programmable Voice with bidirectional media streams."""

    name = "bandwidth"
    title = "Bandwidth"
    docs = "https://dev.bandwidth.com/docs/voice/programmable-voice/bxml/startStream"
    credentials = (
        Credential("account_id", "BANDWIDTH_ACCOUNT_ID", "account number", "9900000"),
        Credential("client_id", "BANDWIDTH_CLIENT_ID", "client id of the API credentials", "cid"),
        Credential(
            "client_secret", "BANDWIDTH_CLIENT_SECRET", "their client secret", "cs", secret=True
        ),
        Credential(
            "application_id", "BANDWIDTH_APPLICATION_ID", "to place calls", "app-1", required=False
        ),
        Credential(
            "webhook_username", "BANDWIDTH_WEBHOOK_USERNAME", _CALLBACKS, "user", required=False
        ),
        Credential("webhook_password", "BANDWIDTH_WEBHOOK_PASSWORD", _CALLBACKS, "pw", True, False),
    )
    inbound = (PCMU_8K,)
    outbound = _OUTBOUND
    hears = frozenset({Started, Audio, events.Stopped, Extra})
    says = frozenset({Audio, events.Clear, Extra})
    marks = seam.Marks.NONE
    signs_webhooks = "HTTP Basic, with the callback credentials of the Voice application"
    digits_by_webhook = True
    dial_rate = 5.0  # calls placed and taken together (page "Rate limits")
    limitations = (
        "There are no marks: what the caller heard is estimated by the clock.",
        "The caller's keys come by webhook, since the socket does not carry them.",
        "Webhooks prove their origin by a password sent along, not by a signature.",
        "Who hung up is not told: either party's doing is called hangup.",
        "A placed call's length is limited by our server, not by Bandwidth.",
        "Sending keys keeps the stream by the documentation; not verified on a live call.",
    )

    def __init__(self, credentials: Mapping[str, str], **options: Any) -> None:
        super().__init__(credentials, **options)
        self._account = f"{_API}/accounts/{self.own_id('account_id')}"
        self._login = web.basic_auth(self.given["client_id"], self.given["client_secret"])
        user, password = self.given["webhook_username"], self.given["webhook_password"]
        # For the username and password attributes of verbs; https is needed to have them.
        self._asking = {"username": user, "password": password} if user else {}
        self._webhook_login = web.basic_auth(user, password) if user and password else ""
        self._token = ""
        self._token_until = 0.0

    # Wire.

    def bot_end(self, audio: AudioFormat) -> BotEnd:
        return BotEnd(self.can_play(audio))

    def carrier_end(self, audio: AudioFormat) -> CarrierEnd:
        self.can_play(audio)
        return CarrierEnd()

    # Door.

    def verify(self, request: Request) -> None:
        challenge = 'Basic realm="webhooks", charset="UTF-8"'
        if not self._webhook_login:
            raise BadSignature(
                "BANDWIDTH_WEBHOOK_USERNAME and _PASSWORD are not set, so that no webhook can "
                "prove its origin",
                challenge=challenge,
            )
        given = web.read_basic_auth(request.headers.get("authorization", ""))
        if given is None or not web.same(web.basic_auth(*given), self._webhook_login):
            # Bandwidth may wait to be asked: the challenge asks.
            raise BadSignature("the webhook's credentials are not ours", challenge=challenge)

    def sign(self, request: Request) -> Request:
        headers = {**request.headers, "authorization": self._webhook_login}
        return msgspec.structs.replace(request, headers=headers)

    # Webhooks and answers.

    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[Notice]:
        # Where a URL is set to GET, the same fields come in the query (page "Webhooks").
        fields = dict(request.query) if request.method == "GET" else request.json()
        call = _call_info(fields)
        kind = text_of(fields, "eventType")
        if not kind or not call.call_id:
            raise RemoteProtocolError("a webhook without eventType or callId")
        return _notices(kind, call, fields)

    def write_webhook(self, notice: Notice, url: str) -> Request:
        match notice:
            case events.Offered(call):
                fields = self._offered(notice) | self._who(call)
            case events.DigitPressed():
                fields = {"eventType": "dtmf", "callId": notice.call_id, "digit": notice.digit}
            case events.MachineDetected():
                word = "answering-machine" if notice.result == "machine" else notice.result
                fields = {"eventType": "machineDetectionComplete", "callId": notice.call_id}
                fields["machineDetectionResult"] = word
            case events.Ended():
                fields = {"eventType": "disconnect", "callId": notice.call_id}
                fields["cause"] = _CAUSE_WORDS.get(notice.reason.why, "hangup")
                if notice.duration_s is not None:
                    fields |= self._times(notice.duration_s)
            case events.Other():
                fields = {**notice.fields, "eventType": notice.kind, "callId": notice.call_id}
            case _:
                raise Unsupported(f"Bandwidth sends no webhook for {type(notice).__name__}")
        common = {"eventTime": self._time(0), "accountId": self.given["account_id"]}
        return Request.of_json("POST", url, common | fields)

    def _offered(self, notice: events.Offered) -> dict[str, Any]:
        if notice.transfer is not None:
            cause = _CAUSE_WORDS.get(notice.transfer, "error")
            return {"eventType": "transferComplete", "cause": cause}
        outbound = notice.call.direction is events.Direction.OUTBOUND
        kind = "redirect" if notice.again else "answer" if outbound else "initiate"
        return {"eventType": kind}

    def _who(self, call: CallInfo) -> dict[str, str]:
        who = {
            "applicationId": self.given["application_id"],
            "callId": call.call_id,
            "callUrl": f"{self._account}/calls/{call.call_id}",
            "from": call.from_,
            "to": call.to,
            "direction": call.direction.value,
        }
        return who | ({"tag": call.tag} if call.tag else {})

    def _time(self, before: float) -> str:
        return web.timestamp(self.clock() - before)

    def _times(self, duration_s: float) -> dict[str, str]:
        return {"answerTime": self._time(duration_s), "endTime": self._time(0)}

    def answer(self, call: CallInfo, offer: seam.Offer) -> seam.Answer:
        self.can_play(offer.audio)
        # Beyond these limits the whole document is refused, and with it the call.
        if len(offer.parameters) > 12 or any(
            len(name) > 256 or len(value) > 2048 for name, value in offer.parameters.items()
        ):
            raise Unsupported("Bandwidth carries 12 parameters, names to 256, values to 2048")
        name = _stream_name(offer.token)
        stream = element(
            "StartStream",
            {
                "name": name,
                "mode": "bidirectional",
                "tracks": "inbound",
                "destination": offer.token_url,
                "streamEventUrl": offer.hooks.url(Purpose.STATUS),
                "streamEventMethod": "POST",
                **self._asking,
            },
            *(element("StreamParam", {"name": n, "value": v}) for n, v in offer.parameters.items()),
        )
        digits = {"dtmfUrl": offer.hooks.url(Purpose.DIGITS), "dtmfMethod": "POST"}
        gather = element("StartGather", digits | self._asking)
        return seam.Answer(
            Response.of_xml(_response(gather, stream, *self._wait(name, offer.hooks)))
        )

    def _wait(self, name: str, hooks: Hooks) -> list[Element]:
        """Hold the call while the stream lives, since StartStream alone does not; then ask."""
        after = {"redirectUrl": hooks.url(Purpose.AFTER), "redirectMethod": "POST"}
        return [
            element("StopStream", {"name": name, "wait": "true"}),
            element("Redirect", after | self._asking),
            element("Hangup"),
        ]

    def dismiss(self, call: CallInfo, why: seam.Dismissal) -> seam.Answer:
        return seam.Answer(Response.of_xml(_response(element("Hangup"))))

    def read_answer(self, response: Response) -> Sequence[Step]:
        if response.status >= 300:
            raise RemoteProtocolError(f"callback-error: the webhook answered {response.status}")
        return _read_bxml(response.body)

    # Control.

    def _authorized(self, request: Request) -> Flow[Response]:
        """Send a request with the access token all calls share; a refused one is renewed once."""
        response = yield from self._with_token(request)
        if response.status == 401:
            self._token = ""
            response = yield from self._with_token(request)
        return response

    def _with_token(self, request: Request) -> Flow[Response]:
        if not self._token or self.clock() >= self._token_until - _TOKEN_MARGIN_S:
            yield from self._renew()
        headers = {**request.headers, "authorization": f"Bearer {self._token}"}
        return (yield msgspec.structs.replace(request, headers=headers))

    def _renew(self) -> Flow[None]:
        form = [("grant_type", "client_credentials")]
        response = yield Request.of_form(_TOKENS, form, {"authorization": self._login})
        if response.status != 200:
            raise _refused("log in", response)
        token = web.read_json(response.body, _Token)
        self._token = token.access_token
        self._token_until = self.clock() + token.expires_in

    def _call_url(self, call: CallInfo) -> str:
        return f"{self._account}/calls/{web.safe_id(call.call_id)}"

    def _unless_over(self, asked: str, call: CallInfo, request: Request) -> Flow[bool]:
        """Send an order to a call; returns whether it was there to take it.

        404 means not active any more. 409 means "cannot be modified in its current state", which
        is so just after the end, and before the answer too: hence asked (page "Errors").
        """
        response = yield from self._authorized(request)
        if response.status < 300:
            return True
        if response.status == 404:
            return False
        if response.status == 409 and (yield from self.state(call)) is CallState.ENDED:
            return False
        refused = _refused(asked, response)
        refused.retryable = refused.retryable or response.status == 409
        raise refused

    def hang_up(self, call: CallInfo) -> Flow[None]:
        request = Request.of_json("POST", self._call_url(call), {"state": "completed"})
        yield from self._unless_over("hang up", call, request)

    def state(self, call: CallInfo) -> Flow[CallState]:
        response = yield from self._authorized(Request.get(self._call_url(call)))
        if response.status == 404:
            return CallState.ENDED
        if response.status >= 300:
            raise _refused("ask for a call's state", response)
        # One object, and in some answers an array of it (migration toolkit, 2026-06).
        told = web.read_json(response.body.strip().removeprefix(b"[").removesuffix(b"]"), _State)
        # "Additional states may be added": no reason to think that the call is over.
        return _STATES.get(told.state, CallState.ACTIVE)

    def dial(self, wish: Dial) -> Flow[str]:
        if not self.given["application_id"]:
            raise errors.ConfigError("placing calls needs BANDWIDTH_APPLICATION_ID")
        hooks = wish.offer.hooks
        status = hooks.url(Purpose.STATUS)
        body: dict[str, Any] = {
            "to": wish.to,
            "from": wish.from_,
            "applicationId": self.given["application_id"],
            "answerUrl": hooks.url(Purpose.ANSWER),
            "disconnectUrl": status,
            "callTimeout": wish.ring_timeout,
            **self._asking,
        }
        if wish.key:
            body["tag"] = wish.key
        if wish.detect_machine:
            body["machineDetection"] = {"mode": "async", "callbackUrl": status, **self._asking}
        url = f"{self._account}/calls"
        request = Request.of_json("POST", url, body, repeatable=False)
        response = yield from self._authorized(request)
        if response.status != 201:
            raise _refused("place a call", response)
        return web.read_json(response.body, _Created).callId

    def _instruct(self, asked: str, call: CallInfo, *verbs: Element) -> Flow[None]:
        request = Request(
            method="PUT",
            url=f"{self._call_url(call)}/bxml",
            headers={"content-type": "application/xml"},
            body=web.xml_text(_response(*verbs)).encode(),
        )
        if not (yield from self._unless_over(asked, call, request)):
            raise errors.CallEnded(f"cannot {asked}: the call is over")

    def transfer(self, call: CallInfo, to: str, *, from_: str, hooks: Hooks) -> Flow[None]:
        after = {"transferCompleteUrl": hooks.url(Purpose.AFTER), "transferCompleteMethod": "POST"}
        caller = {"transferCallerId": from_} if from_ else {}
        target = element("SipUri" if to.startswith("sip:") else "PhoneNumber", None, to)
        verb = element("Transfer", caller | after | self._asking, target)
        # What the caller keys to the other party is no longer ours to know.
        yield from self._instruct("transfer", call, element("StopGather"), verb, element("Hangup"))

    def send_digits(
        self, call: CallInfo, digits: str, *, started: Started, hooks: Hooks
    ) -> Flow[None]:
        if not re.fullmatch(r"[0-9*#A-Da-dwW,]{1,50}", digits):
            raise ValueError("keys are up to 50 of 0-9, *, # and A-D; w or , waits 0.5 s, W 1 s")
        # A stream lives until StopStream runs or the call ends (page "StartStream"), so it is
        # waited for again under its name. Were it gone, the next verb would ask for a new one.
        wait = self._wait(started.stream_name, hooks)
        yield from self._instruct("send keys", call, element("SendDtmf", None, digits), *wait)

    def check(self) -> Flow[Sequence[str]]:
        # Queue statistics need the account and the token, and change nothing (OpenAPI, 2026-07).
        response = yield from self._authorized(Request.get(f"{self._account}/statistics"))
        if response.status >= 300:
            raise _refused("read the account's statistics", response)
        application = self.given["application_id"]
        return (
            [] if application else ["BANDWIDTH_APPLICATION_ID is not set: no calls can be placed"]
        )

    # The carrier's side of control.

    def platform(self, request: Request) -> Platform:
        if request.url == _TOKENS:
            return self._issue(request)
        if not self._holds_token(request.headers.get("authorization", "")):
            return _error(401, "authentication-error", "The credentials provided were invalid")
        if request.url == f"{self._account}/statistics":
            return Response.of_json({"currentCallQueueSize": 0, "maxCallQueueSize": 900})
        pattern = rf"{re.escape(self._account)}/calls(?:/([^/?]+)(/bxml)?)?"
        path = re.fullmatch(pattern, request.url)
        if path is None:
            return _error(404, "validation", "Not Found")
        if path[1] is None:
            return (yield from self._create(request.json()))
        leg = yield seam.Find(path[1])
        if leg is not None and request.method == "GET":
            return Response.of_json(self._describe(leg))
        if leg is None or leg.state is CallState.ENDED:
            return _not_found(path[1])
        return (yield from self._modify(leg, request, bxml=path[2] is not None))

    def _issue(self, request: Request) -> Response:
        login = request.headers.get("authorization", "")
        if not web.same(login, self._login) or ("grant_type", "client_credentials") not in (
            request.form()
        ):
            return Response.of_json({"error": "invalid_client"}, 401)
        until = str(int(self.clock() + _TOKEN_LIFE_S))
        token = {"access_token": f"{until}.{self._seal(until)}", "token_type": "Bearer"}
        return Response.of_json(token | {"expires_in": int(_TOKEN_LIFE_S)})

    def _seal(self, until: str) -> str:
        return hmac.new(self._login.encode(), until.encode(), "sha256").hexdigest()

    def _holds_token(self, authorization: str) -> bool:
        until, _, seal = authorization.removeprefix("Bearer ").partition(".")
        fresh = until.isascii() and until.isdigit() and self.clock() < int(until)
        return fresh and web.same(seal, self._seal(until))

    def _create(self, body: Mapping[str, Any]) -> Platform:
        if missing := web.lacking(body, "to", "from", "applicationId", "answerUrl"):
            return _error(400, "validation", f"Invalid {missing[0]}: must not be empty")
        leg = yield seam.Place(
            to=body["to"],
            from_=body["from"],
            answer_url=body["answerUrl"],
            status_url=text_of(body, "disconnectUrl"),
            ring_timeout=float(body.get("callTimeout", 30)),
            detect_machine="machineDetection" in body,
            tag=text_of(body, "tag"),
        )
        assert leg is not None, "Place is answered with a Leg"
        return Response.of_json({**body, **self._describe(leg)}, 201)

    def _modify(self, leg: Leg, request: Request, *, bxml: bool) -> Platform:
        call_id = leg.call.call_id
        order = {} if bxml else request.json()
        if text_of(order, "state") == "completed":
            yield seam.HangUpLeg(call_id)
            return Response()
        if leg.state is not CallState.ACTIVE:
            state = f"Call [{call_id}] cannot be modified in its current state"
            return _error(409, "validation", state)
        if bxml:
            yield seam.Instruct(call_id, _read_bxml(request.body), keep_stream=True)
            return Response(204)
        if not text_of(order, "redirectUrl"):
            return _error(400, "validation", "redirectUrl is required")
        yield seam.Fetch(call_id, order["redirectUrl"], order.get("redirectMethod", "POST"))
        return Response()

    def _describe(self, leg: Leg) -> dict[str, Any]:
        told = self._who(leg.call) | {"accountId": self.given["account_id"]}
        told["state"] = _STATE_WORDS[leg.state]
        if leg.reason is not None:
            told["disconnectCause"] = _CAUSE_WORDS.get(leg.reason.why, "hangup")
        return told
