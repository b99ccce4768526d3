"""Wavix call streaming: calls driven by REST, one two-way WebSocket of L16 at 24 kHz.

    their word                                  ours
    ------------------------------------------  ---------------------------------------
    webhook call_setup (inbound)                Offered: a call rings
    webhook answered (outbound / inbound)       Offered: our call was picked up / Answered
    POST /calls/{uuid}/answer, stream_url       answer, of an inbound call
    POST /calls/{uuid}/streams                  answer, of an outbound call or for the second time
    event start, stream_id                      Started, stream_id
    event media, media.payload                  Audio, L16 24000 Hz
    event mark, mark.name                       Mark: played, or flushed by clear
    event clear                                 Clear (not acknowledged)
    event stop                                  Stopped
    uuid (webhook, REST), call_id (stream)      call_id
    completed, busy, cancelled, rejected        Ended, reason
    DELETE /calls/{uuid}                        hang_up
    tag                                         Dial.key, CallInfo.tag

Wire facts are from Wavix's documentation and its pipecat-wavix package (2025-09 to 2026-11);
docs/carriers/wavix.md lists them. Knows no socket, and of time only what it stamps messages with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from pybase64 import b64encode_as_string

from .. import carrier as seam
from .. import errors, events, web
from ..carrier import Carrier, Credential, Dial, Hooks, Leg, Platform, Purpose, Shapes, Step, Stream
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
from ..media.formats import L16_24K, AudioFormat
from ..web import Flow, Request, Response, text_of, timestamp
from ..wire import Numbers, base64_text

__all__ = ["BotEnd", "CarrierEnd", "Wavix"]

_API: Final = "https://api.wavix.com"
_CALLS: Final = "/v1/calls"
_KEY_HELP: Final = "a long random word of yours that ends webhook URLs, ?key=…; no call without"

# 20 ms of L16 at 24 kHz, each way (pipecat-wavix 1.1.0); whole tens of milliseconds are read too.
_FRAME: Final = 960
_TEN_MS: Final = 480

# event_type of a call that is over, and the disposition of the webhook that follows the call.
_ENDS: Final = {
    "completed": Why.COMPLETED,
    "busy": Why.BUSY,
    "cancelled": Why.CANCELLED,
    "rejected": Why.REJECTED,
    "failed": Why.FAILED,
}
_DISPOSITIONS: Final = {
    "answered": Why.COMPLETED,
    "noanswer": Why.NO_ANSWER,
    "busy": Why.BUSY,
    "failed": Why.FAILED,
}
_END_WORDS: Final = {why: word for word, why in _ENDS.items()}
_STATES: Final = {
    "call_setup": CallState.QUEUED,
    "ringing": CallState.RINGING,
    "early_media": CallState.RINGING,
    "answered": CallState.ACTIVE,
} | dict.fromkeys(_ENDS, CallState.ENDED)
_STATE_WORDS: Final = {state: word for word, state in reversed(_STATES.items())}


# --- wire ------------------------------------------------------------------------------------


class _Start(Struct, tag_field="event", tag="start"):
    call_id: str
    stream_id: str
    stream_type: str = "twoway"


class _MediaBody(Struct, gc=False):
    # timestamp and chunk are not read: the first is "milliseconds", but 160 in the sample.
    payload: bytes
    track: str = "inbound"


class _Media(Struct, tag_field="event", tag="media", gc=False):
    media: _MediaBody
    stream_id: str = ""


class _MarkBody(Struct):
    name: str


class _Mark(Struct, tag_field="event", tag="mark"):
    mark: _MarkBody
    stream_id: str = ""


class _Clear(Struct, tag_field="event", tag="clear"):
    stream_id: str = ""


_KINDS: Final = ("connected", "start", "media", "mark", "stop")
_FromWavix = _Start | _Media | _Mark
_ToWavix = _Media | _Mark | _Clear
_FROM_WAVIX: Final[Shapes[_FromWavix]] = Shapes(_FromWavix, "event")
_TO_WAVIX: Final[Shapes[_ToWavix]] = Shapes(_ToWavix, "event")


class BotEnd(Stream[FromCaller, ToCaller]):
    """Our server's end."""

    __slots__ = ("_media", "_stream_id")

    def __init__(self) -> None:
        super().__init__()
        self._stream_id: str | None = None
        self._media = ""

    def receive(self, message: str | bytes) -> Sequence[FromCaller]:
        said = _FROM_WAVIX.read(message)
        if isinstance(said, _Media):
            return self._heard(said.media)
        match said:
            case _Start():
                return (self._started(said),)
            case _Mark():
                return (events.Mark(said.mark.name),)
            case Extra(kind="connected"):
                return ()  # says nothing about the call
            case Extra(kind="stop"):
                return (events.Stopped(),)
            case _:
                return (said,)

    def _heard(self, media: _MediaBody) -> Sequence[FromCaller]:
        if len(media.payload) % _TEN_MS:
            # No page states the encoding, and no message does. Sizes that come of another rate or
            # of G.711 (160, 320, 640 bytes for 20 ms) are told by this, before anybody hears noise.
            raise RemoteProtocolError(
                f"{len(media.payload)} bytes are no whole 10 ms of L16 at 24000 Hz"
            )
        return (Audio(media.payload),) if media.track == "inbound" else ()

    def _started(self, said: _Start) -> Started:
        if said.stream_type != "twoway":
            raise RemoteProtocolError("the stream is one-way: nobody would hear the bot")
        self._stream_id = said.stream_id
        stream_id = msgspec.json.encode(said.stream_id).decode()
        self._media = f'{{"event":"media","stream_id":{stream_id},"media":{{"payload":"'
        return Started(
            call_id=said.call_id,
            stream_id=said.stream_id,
            inbound=L16_24K,
            outbound=L16_24K,
        )

    def send(self, event: ToCaller) -> None:
        if self._stream_id is None:
            raise LocalProtocolError("the stream has not started: its stream_id is not known")
        if type(event) is Audio:
            self._queue.append(f'{self._media}{b64encode_as_string(event.payload)}"}}}}')
        elif isinstance(event, events.Mark):
            mark = {"name": event.name}
            self.put({"event": "mark", "stream_id": self._stream_id, "mark": mark})
        elif isinstance(event, events.Clear):
            self.put({"event": "clear", "stream_id": self._stream_id})
        else:
            raise LocalProtocolError(f"Wavix's socket cannot carry {type(event).__name__}")


class CarrierEnd(Stream[ToCaller, FromCaller]):
    """Wavix's end, for the simulator; ``clock`` stamps what it says."""

    __slots__ = ("_clock", "_ids", "_numbers", "_started")

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._started: Started | None = None
        self._numbers = Numbers(L16_24K)
        self._ids = ""

    def receive(self, message: str | bytes) -> Sequence[ToCaller]:
        said = _TO_WAVIX.read(message)
        if isinstance(said, Extra) or self._started is None:
            raise RemoteProtocolError("an unknown event, or one before start")
        if said.stream_id != self._started.stream_id:
            raise RemoteProtocolError("another stream's stream_id, or none")
        if isinstance(said, _Media):
            payload = said.media.payload
            # What the platform does with other sizes is not documented: held to be an error.
            if len(payload) != _FRAME:
                raise RemoteProtocolError(f"{len(payload)} bytes, not {_FRAME}")
            return (Audio(payload, -1, L16_24K),)
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
            ids = {"call_id": event.call_id, "stream_id": event.stream_id}
            self._ids = msgspec.json.encode(ids).decode()[1:-1]
            self.put({"event": "connected", "event_time": timestamp(self._clock())})
            self._say("start", stream_type="twoway", channel="inbound")
            return
        if self._started is None:
            raise LocalProtocolError("a stream begins with Started")
        match event:
            case events.Mark():
                self._say("mark", mark={"name": event.name})
            case events.Stopped():
                self._say("stop")
            case _:
                self.put_extra(event, _KINDS, "Wavix")

    def _media(self, event: Audio) -> str:
        # Written by hand: for load tests a mapping takes too long to become JSON.
        chunk, at = self._numbers.chunk(event.payload)
        return (
            f'{{"event":"media","event_time":"{_event_time(int(self._clock() * 1000))}",'
            f'{self._ids},"sequence_number":{self._numbers.message()},'
            f'"media":{{"payload":"{base64_text(event.payload)}","track":"inbound",'
            f'"timestamp":{at},"chunk":{chunk}}}}}'
        )

    def _say(self, kind: str, **fields: Any) -> None:
        assert self._started is not None
        ids = {"call_id": self._started.call_id, "stream_id": self._started.stream_id}
        about = {"event": kind, "event_time": timestamp(self._clock()), **ids}
        self.put(about | {"sequence_number": self._numbers.message()} | fields)


@lru_cache(maxsize=2)
def _event_time(ms: int) -> str:
    """Milliseconds since 1970 as the carrier writes them; a thousand calls share each of them."""
    return timestamp((ms + 0.5) / 1000)


# --- webhooks --------------------------------------------------------------------------------


def _call_info(fields: Mapping[str, Any], purpose: Purpose) -> CallInfo:
    # Two generations of the API live beside each other, and name some fields otherwise.
    call_id = text_of(fields, "uuid") or text_of(fields, "call_id")
    web.safe_id(call_id)  # it will stand in URLs: an id that cannot is refused at the door
    # "direction" is optional. The number's webhook is our answer URL, that of calls we place not.
    unsaid = Direction.INBOUND if purpose is Purpose.ANSWER else Direction.OUTBOUND
    return CallInfo(
        carrier=Wavix.name,
        call_id=call_id,
        from_=web.e164(text_of(fields, "from")),
        to=web.e164(text_of(fields, "to")),
        direction=_DIRECTIONS.get(text_of(fields, "direction"), unsaid),
        tag=text_of(fields, "tag"),
        raw=fields,
    )


_DIRECTIONS: Final = {direction.value: direction for direction in Direction}


def _seconds(fields: Mapping[str, Any]) -> float | None:
    """How long a call lasted from its answer, where both times are told."""
    try:
        began = datetime.fromisoformat(text_of(fields, "call_answered"))
        told = text_of(fields, "call_completed") or text_of(fields, "call_finished")
        ended = datetime.fromisoformat(told)
        return max(0.0, (ended - began).total_seconds())
    except (ValueError, TypeError):  # not told, or one of them without a time zone
        return None


def _ended(kind: str, call: CallInfo, fields: Mapping[str, Any]) -> events.Ended:
    why = _ENDS[kind]
    if why is Why.COMPLETED and fields.get("call_answered", kind) is None:
        # There is no word for a call that was never answered. (Inferred, not documented.)
        inbound = call.direction is Direction.INBOUND
        why = Why.CANCELLED if inbound else Why.NO_ANSWER
    reason = events.EndReason(why, raw=kind)
    return events.Ended(call.call_id, reason, duration_s=_seconds(fields))


def _after_call(call: CallInfo, fields: Mapping[str, Any]) -> Notice:
    """The post-call webhook: a call detail record, with no event_type."""
    word, seconds = text_of(fields, "disposition"), fields.get("duration")
    if not word:
        raise RemoteProtocolError("a webhook without event_type or disposition")
    length = float(seconds) if isinstance(seconds, int) else None
    reason = events.EndReason(_DISPOSITIONS.get(word, Why.UNKNOWN), raw=word)
    return events.Ended(call.call_id, reason, duration_s=length)


def _on_call(call: CallInfo, fields: Mapping[str, Any]) -> list[Notice]:
    """Something that happened on a call: keys collected, audio played, a machine found."""
    about = fields.get("event_payload")
    inner = web.fields_of(about).get("payload")
    # "collect" by the documentation, "collect_completed" by the Node SDK (2026-03).
    if text_of(about, "type").startswith("collect"):
        keys = [key for key in text_of(inner, "digits").upper() if key in "0123456789*#ABCD"]
        return [events.DigitPressed(call.call_id, key) for key in keys]
    other = events.Other(text_of(about, "type") or "on_call_event", call.call_id, fields)
    return [_machine(call)] if fields.get("machine_detected") is True else [other]


def _machine(call: CallInfo) -> events.MachineDetected:
    return events.MachineDetected(call.call_id, "machine", "machine_detected")


def _answered(call: CallInfo, fields: Mapping[str, Any]) -> list[Notice]:
    if call.direction is Direction.INBOUND:
        return [events.Answered(call)]  # by us, and the stream came with it
    # False means a human or that nobody looked: which one is not told.
    machine = [_machine(call)] if fields.get("machine_detected") is True else []
    return [events.Offered(call), *machine]


def _notices(kind: str, call: CallInfo, fields: Mapping[str, Any]) -> list[Notice]:
    match kind:
        case "call_setup" if call.direction is Direction.INBOUND:
            return [events.Offered(call)]
        case "ringing":
            return [events.Ringing(call)]
        case "answered":
            return _answered(call, fields)
        case "on_call_event":
            return _on_call(call, fields)
        case _ if kind in _ENDS:
            return [_ended(kind, call, fields)]
        case _:
            return [events.Other(kind, call.call_id, fields)]


# --- REST ------------------------------------------------------------------------------------


class _Call(Struct):
    uuid: str
    event_type: str = ""
    call_completed: str | None = None


def _stream(url: str) -> dict[str, str]:
    return {"stream_url": url, "stream_type": "twoway", "stream_channel": "inbound"}


def _opened(body: Mapping[str, Any]) -> Step | None:
    """The stream an order asks for; the call goes on in silence when it has ended."""
    url = text_of(body, "stream_url")
    right = web.is_socket(url) and body.get("stream_type") == "twoway"
    return seam.OpenStream(url=url, blocking=False) if right else None


def _refused(asked: str, response: Response) -> errors.CarrierError:
    said = response.fields
    wrong = said.get("errors") or said.get("error")
    detail = [str(said.get("message") or ""), *map(str, web.fields_of(wrong).values())]
    return web.refusal(asked, response, detail="; ".join(filter(None, detail)))


def _done() -> Response:
    return Response.of_json({"success": True})


def _invalid(**wrong: str) -> Response:
    body = {"success": False, "message": "Validation error", "errors": wrong}
    return Response.of_json(body, 400)


def _not_found(call_id: str) -> Response:
    message = f"Call with ID={call_id} not found"
    return Response.of_json({"success": False, "message": message}, 404)


class Wavix(Carrier):
    """Wavix calls, answered and ended over REST, with bidirectional call streaming."""

    name = "wavix"
    title = "Wavix"
    docs = "https://docs.wavix.com/voice/call-streaming"
    credentials = (
        Credential("api_key", "WAVIX_API_KEY", "API key with write access to calls", "wx-1", True),
        Credential(
            "webhook_secret", "WAVIX_WEBHOOK_SECRET", _KEY_HELP, "0a1b2c3d", True, required=False
        ),
    )
    inbound = (L16_24K,)
    outbound = (L16_24K,)
    hears = frozenset({Started, Audio, events.Mark, events.Stopped, Extra})
    says = frozenset({Audio, events.Mark, events.Clear})
    marks = seam.Marks.RETURNED
    frame = seam.FrameRule(ms=20, whole=True)
    signs_webhooks = "a secret of yours in their URL"
    asks_after: ClassVar[bool] = False
    arguments = "stream_id * call_id api_key"
    limitations = (
        "Webhooks prove their origin by a secret of yours in their URL, not by a signature.",
        "A call stays open when its stream ends: only our server, over REST, hangs it up.",
        "The caller's keys are tones in the audio at best, since the socket does not carry them.",
        "Keys that a request of yours collects arrive; whether that works beside a stream is open.",
        "Keys cannot be sent: no request for it is documented.",
        "A returned mark means played or flushed; after a clear all pending marks come back.",
        "A stream carries no custom parameters: they ride in its URL and are not given back.",
        "A transfer is known from Wavix's SDKs only, and how it went is not told.",
        "Machine detection tells of machines, never of people.",
        "Who hung up is not told.",
    )

    def __init__(self, credentials: Mapping[str, str], **options: Any) -> None:
        super().__init__(credentials, **options)
        self._login = {"authorization": f"Bearer {self.given['api_key']}"}
        self._secret = self.given["webhook_secret"]

    # Wire.

    def bot_end(self, audio: AudioFormat) -> BotEnd:
        self.can_play(audio)
        return BotEnd()

    def carrier_end(self, audio: AudioFormat) -> CarrierEnd:
        self.can_play(audio)
        return CarrierEnd(self.clock)

    # Door.

    def verify(self, request: Request) -> None:
        if not self._secret:
            raise BadSignature(
                "WAVIX_WEBHOOK_SECRET is not set, so that no webhook can prove its origin"
            )
        if not web.key_fits(request, self._secret):
            raise BadSignature(
                "the webhook's URL does not end in ?key= and WAVIX_WEBHOOK_SECRET: set it so where "
                "the number's webhook is set"
            )

    def sign(self, request: Request) -> Request:
        return msgspec.structs.replace(request, url=web.with_key(request.url, self._secret))

    # Webhooks and answers.

    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[Notice]:
        fields = request.json()
        call = _call_info(fields, purpose)
        kind = text_of(fields, "event_type") or text_of(fields, "event")
        return _notices(kind, call, fields) if kind else [_after_call(call, fields)]

    def write_webhook(self, notice: Notice, url: str) -> Request:
        call_id = getattr(notice, "call_id", "")
        match notice:
            case events.Offered(call, again=False):
                inbound = call.direction is Direction.INBOUND
                told = self._describe(call, "call_setup" if inbound else "answered")
            case events.Ringing(call):
                told = self._describe(call, "ringing")
            case events.Answered(call) if call.direction is Direction.INBOUND:
                told = self._describe(call, "answered")
            case events.DigitPressed():
                collected = {"digits": notice.digit, "status": "completed"}
                told = self._event("on_call_event", call_id)
                told["event_payload"] = {"type": "collect", "payload": collected}
            case events.MachineDetected(result="machine"):
                told = self._event("on_call_event", call_id) | {"machine_detected": True}
            case events.Ended():
                told = self._over(notice)
            case events.Other():
                told = {**notice.fields, **self._event(notice.kind, call_id)}
            case _:
                raise Unsupported(f"Wavix sends no such webhook for {type(notice).__name__}")
        return Request.of_json("POST", url, told)

    def _event(self, kind: str, call_id: str) -> dict[str, Any]:
        return {"uuid": call_id, "event_type": kind, "event_time": timestamp(self.clock())}

    def _describe(self, call: CallInfo, kind: str) -> dict[str, Any]:
        """A call as webhooks and REST show it. ``to`` comes without its +, as in every sample."""
        now = timestamp(self.clock())
        return self._event(kind, call.call_id) | {
            "event_payload": None,
            "from": call.from_,
            "to": call.to.removeprefix("+"),
            "call_started": now,
            "call_answered": now if kind == "answered" else None,
            "call_completed": None,
            "machine_detected": False,
            "tag": call.tag,
            "direction": call.direction.value,
        }

    def _over(self, notice: events.Ended) -> dict[str, Any]:
        told = self._event(_END_WORDS.get(notice.reason.why, "completed"), notice.call_id)
        told["call_completed"] = told["event_time"]
        if notice.reason.why is Why.NO_ANSWER:
            return told | {"call_answered": None, "direction": "outbound"}
        if notice.duration_s is not None:
            told["call_answered"] = timestamp(self.clock() - notice.duration_s)
        return told

    def answer(self, call: CallInfo, offer: seam.Offer) -> seam.Answer:
        self.can_play(offer.audio)
        ringing = call.direction is Direction.INBOUND and not offer.again
        query = f"?{urlencode(offer.parameters)}" if offer.parameters else ""
        # Of query strings Wavix is known to keep them: its own bot's token rides in one.
        order = self._call("POST", call, "answer" if ringing else "streams")
        body = _stream(offer.token_url + query)
        if offer.again:
            return seam.Answer(Response(), lambda: self._reopen(order, body))
        return seam.Answer(Response(), lambda: self._order("answer a call", order, body))

    def dismiss(self, call: CallInfo, why: seam.Dismissal) -> seam.Answer:
        # There is no request that rejects a call; one that rings is ended like any other.
        return seam.Answer(Response(), lambda: self.hang_up(call))

    def read_answer(self, response: Response) -> Sequence[Step]:
        if response.status >= 300:
            raise RemoteProtocolError(f"the webhook answered HTTP {response.status}")
        return [seam.Pause(math.inf)]  # whatever it says: calls take orders over REST only

    # Control.

    def _call(self, method: str, call: CallInfo, what: str = "") -> Request:
        url = f"{_API}{_CALLS}/{web.safe_id(call.call_id)}" + (what and f"/{what}")
        return Request(method=method, url=url, headers=self._login)

    def _unless_over(self, asked: str, request: Request) -> Flow[Response | None]:
        """Ask something of a call; ``None`` if it is over: then Wavix knows it no more (404)."""
        response = yield request
        if response.status == 404:
            return None
        if response.status >= 300 or response.fields.get("success") is False:
            raise _refused(asked, response)
        return response

    def _order(
        self, asked: str, request: Request, body: Mapping[str, Any], *, after: float = 0.0
    ) -> Flow[None]:
        order = Request.of_json(request.method, request.url, body, request.headers)
        order = msgspec.structs.replace(order, after=after)
        if (yield from self._unless_over(asked, order)) is None:
            raise errors.CallEnded(f"cannot {asked}: the call is over")

    def _reopen(self, request: Request, body: Mapping[str, Any]) -> Flow[None]:
        """Open another stream. A refusal is not taken for Wavix's last word at once.

        A call has one two-way stream at most, and when the old one is taken for gone is not
        documented.
        """
        for after in (0.0, 0.5):
            try:
                yield from self._order("open a stream", request, body, after=after)
                return
            except errors.CarrierError as error:
                if error.status not in (400, 409):
                    raise
        yield from self._order("open a stream", request, body, after=1.0)

    def hang_up(self, call: CallInfo) -> Flow[None]:
        yield from self._unless_over("hang up", self._call("DELETE", call))

    def state(self, call: CallInfo) -> Flow[CallState]:
        response = yield from self._unless_over("ask for a call's state", self._call("GET", call))
        if response is None:
            return CallState.ENDED
        told = web.read_json(response.body, _Call)
        if told.call_completed:
            return CallState.ENDED
        # event_type is the latest event: an on_call_event, say, or a word that is new.
        return _STATES.get(told.event_type, CallState.ACTIVE)

    def dial(self, wish: Dial) -> Flow[str]:
        if not self._secret:
            raise errors.ConfigError("placing calls needs WAVIX_WEBHOOK_SECRET, to be told of them")
        body: dict[str, Any] = {
            "from": wish.from_,
            "to": wish.to,
            "callback_url": web.with_key(wish.offer.hooks.url(Purpose.STATUS), self._secret),
            "recording": False,
            "voicemail_detection": wish.detect_machine,
            "timeout": wish.ring_timeout,
            "max_duration": wish.max_duration,
        }
        if wish.key:
            body["tag"] = wish.key
        url = f"{_API}{_CALLS}"
        response = yield Request.of_json("POST", url, body, self._login, repeatable=False)
        if response.status >= 300 or response.fields.get("success") is False:
            raise _refused("place a call", response)
        return web.read_json(response.body, _Call).uuid

    def transfer(self, call: CallInfo, to: str, *, from_: str, hooks: Hooks) -> Flow[None]:
        # The SDKs require "from", which must be a number of the account: the one that was called.
        inbound = call.direction is Direction.INBOUND
        body = {"from": from_ or (call.to if inbound else call.from_), "to": to}
        yield from self._order("transfer", self._call("POST", call, "transfer"), body)

    def check(self) -> Flow[Sequence[str]]:
        response = yield Request.get(f"{_API}{_CALLS}", self._login)
        if response.status >= 300:
            raise _refused("list calls", response)
        return [] if self._secret else ["WAVIX_WEBHOOK_SECRET is not set: no webhook is taken"]

    # The carrier's side of control.

    def platform(self, request: Request) -> Platform:
        if not web.same(request.headers.get("authorization", ""), self._login["authorization"]):
            return Response.of_json({"success": False, "message": "Access Denied"}, 401)
        path = re.fullmatch(rf"{_CALLS}(?:/([^/]+)(?:/(answer|streams|transfer))?)?", request.path)
        if path is None:
            return Response.of_json({"success": False, "message": "Not Found"}, 404)
        if path[1] is None and request.method == "GET":
            return Response.of_json({"success": True, "items": []})
        if path[1] is None:
            return (yield from self._create(request.json()))
        leg = yield seam.Find(path[1])
        if leg is not None and request.method == "GET":
            return Response.of_json(self._shown(leg))
        if leg is None or leg.state is CallState.ENDED:
            return _not_found(path[1])
        if request.method == "DELETE":
            yield seam.HangUpLeg(path[1])
            return _done()
        return (yield from self._modify(leg, path[2], request.json()))

    def _create(self, body: Mapping[str, Any]) -> Platform:
        if missing := web.lacking(body, "from", "to", "callback_url"):
            return _invalid(**dict.fromkeys(missing, "is required"))
        leg = yield seam.Place(
            to=body["to"],
            from_=body["from"],
            answer_url=body["callback_url"],
            status_url=body["callback_url"],
            ring_timeout=float(body.get("timeout", 60)),
            detect_machine=body.get("voicemail_detection") is True,
            tag=text_of(body, "tag"),
        )
        assert leg is not None, "Place is answered with a Leg"
        return Response.of_json(self._describe(leg.call, "call_setup"))

    def _shown(self, leg: Leg) -> dict[str, Any]:
        if leg.reason is None:
            return self._describe(leg.call, _STATE_WORDS[leg.state])
        ended = events.Ended(leg.call.call_id, leg.reason, duration_s=leg.duration_s)
        return self._describe(leg.call, "completed") | self._over(ended)

    def _modify(self, leg: Leg, what: str | None, body: Mapping[str, Any]) -> Platform:
        opened = _opened(body)
        wait = seam.Pause(math.inf)
        if what == "answer" and (opened or "stream_url" not in body):
            # An answer without a stream is one, too: nothing happens but that the call is up.
            steps = [opened or seam.Pause(0.0), wait]
            yield seam.Instruct(leg.call.call_id, steps, keep_stream=True)
        elif what == "streams" and opened and leg.state is CallState.ACTIVE:
            yield seam.Instruct(leg.call.call_id, [opened, wait], keep_stream=True)
        elif what == "transfer" and text_of(body, "to"):
            step = seam.TransferTo(to=body["to"], from_=text_of(body, "from"))
            yield seam.Instruct(leg.call.call_id, [step])
        else:
            return _invalid(call=f"{what or 'this'} is not possible now, or lacks a field")
        return _done()
