"""Wavix: its golden table, its webhooks by its documentation, its REST and what it leaves open."""

import base64
import json
import math
from typing import Any

import pytest
from golden import Golden, Row, check_read, check_written, example, stream_ends

from exchange import Exchange
from trunkline import carrier as seam
from trunkline import events
from trunkline.carrier import Dismissal, Hooks, Offer, Purpose
from trunkline.carriers.wavix import Wavix
from trunkline.errors import (
    BadSignature,
    CallEnded,
    CarrierError,
    ConfigError,
    LocalProtocolError,
    RemoteProtocolError,
    Unsupported,
)
from trunkline.events import CallInfo, CallState, Direction, EndReason, Started, Why
from trunkline.media.formats import L16_16K, L16_24K
from trunkline.web import Request, Response

ASYNCAPI = "docs.wavix.com/api-reference/websocket/websockets/callstreaming"
PACKAGE = "pipecat-wavix 1.1.0, wavix_serializer.py and bot.py"

PCM = bytes(range(240)) * 4  # 960 bytes: 20 ms of L16 at 24 kHz
B64 = base64.b64encode(PCM).decode()
STARTED = Started(call_id="abc-123", stream_id="str-456", inbound=L16_24K, outbound=L16_24K)
IDS = '"event_time":"2024-01-15T10:30:01Z","call_id":"abc-123","stream_id":"str-456"'

GOLDEN = Golden(
    STARTED,
    counters=frozenset({"sequence_number", "event_time", "chunk", "timestamp"}),
    rows=(
        Row(
            "carrier",
            None,
            '{"event":"connected","event_time":"2024-01-15T10:30:00Z"}',
            ASYNCAPI,
            "2026-11-20",
            written=False,
        ),
        Row(
            "carrier",
            STARTED,
            f'{{"event":"start",{IDS},"stream_type":"twoway","channel":"inbound",'
            '"sequence_number":1}',
            PACKAGE,
            "2026-03-18",
        ),
        Row(
            "carrier",
            STARTED,
            f'{{"event":"start",{IDS},"stream_type":"twoway","channel":"both",'
            '"sequence_number":"1"}',
            ASYNCAPI,
            "2026-11-20",
            written=False,
        ),
        Row(
            "carrier",
            events.Audio(PCM),
            f'{{"event":"media",{IDS},"sequence_number":2,'
            f'"media":{{"payload":"{B64}","track":"inbound","timestamp":160,"chunk":1}}}}',
            ASYNCAPI,
            "2026-11-20",
        ),
        Row(
            "carrier",
            events.Audio(PCM),
            f'{{"event":"media","stream_id":"str-456","sequence_number":"2",'
            f'"media":{{"payload":"{B64}","timestamp":"20","chunk":"1"}}}}',
            "docs.wavix.com/voice/call-streaming: numbers in prose, no ids",
            "2025-12-01",
            written=False,
        ),
        Row(
            "carrier",
            None,
            f'{{"event":"media",{IDS},"sequence_number":3,'
            f'"media":{{"payload":"{B64}","track":"outbound","timestamp":160,"chunk":1}}}}',
            "docs.wavix.com/voice/call-streaming: the bot's own track, on a one-way stream",
            "2025-12-01",
            written=False,
        ),
        Row(
            "carrier",
            events.Mark("end-of-greeting"),
            f'{{"event":"mark",{IDS},"sequence_number":10,"mark":{{"name":"end-of-greeting"}}}}',
            ASYNCAPI,
            "2026-11-20",
        ),
        Row(
            "carrier",
            events.Stopped(),
            f'{{"event":"stop",{IDS},"sequence_number":100}}',
            ASYNCAPI,
            "2026-11-20",
        ),
        Row(
            "carrier",
            events.Extra("dtmf", {"digit": "1"}),
            '{"event":"dtmf","digit":"1"}',
            "made up: an event Wavix may add",
            "2026-11-20",
        ),
        Row(
            "bot",
            events.Audio(PCM, format=L16_24K),
            f'{{"event":"media","stream_id":"str-456","media":{{"payload":"{B64}"}}}}',
            PACKAGE,
            "2026-03-18",
        ),
        Row(
            "bot",
            events.Mark("mark-1"),
            '{"event":"mark","stream_id":"str-456","mark":{"name":"mark-1"}}',
            ASYNCAPI,
            "2026-11-20",
        ),
        Row(
            "bot",
            events.Clear(),
            '{"event":"clear","stream_id":"str-456"}',
            PACKAGE,
            "2026-03-18",
        ),
    ),
)

WAVIX = example(Wavix)
UUID = "bd4ea6a0-4c5a-4ec4-8b2f-0d6f3c1b3f7e"
CALL = CallInfo(carrier="wavix", call_id=UUID, from_="+18045551234", to="+17653889567")
PLACED = CallInfo(
    carrier="wavix",
    call_id=UUID,
    from_="+17653889567",
    to="+18045551234",
    direction=Direction.OUTBOUND,
)
HOOKS = Hooks("https://agent.example.com/wavix")
HOOK = "https://agent.example.com/wavix/answer?key=0a1b2c3d"
OFFER = Offer(
    stream_url="wss://agent.example.com/wavix/media",
    token="tok.en-1",
    hooks=HOOKS,
    audio=L16_24K,
)
API = "https://api.wavix.com/v1/calls"
LOGIN = {"authorization": "Bearer wx-1"}


# --- wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN.rows)
def test_golden_read(row: Row) -> None:
    check_read(WAVIX, GOLDEN, row)


@pytest.mark.parametrize("row", [row for row in GOLDEN.rows if row.written])
def test_golden_written(row: Row) -> None:
    check_written(WAVIX, GOLDEN, row)


def test_a_frame_is_20_ms_of_l16_at_24_khz_and_always_whole() -> None:
    """The package page of pipecat-wavix: 24 kHz, 16 bit, mono, 960 bytes a packet."""
    assert L16_24K.bytes_in(Wavix.frame.ms) == 960
    assert Wavix.frame.whole
    assert (Wavix.inbound, Wavix.outbound) == ((L16_24K,), (L16_24K,))


def media(size: int, **ids: str) -> str:
    payload = base64.b64encode(bytes(size)).decode()
    return json.dumps({"event": "media", **ids, "media": {"payload": payload}})


@pytest.mark.parametrize("size", [1, 160, 320, 640, 959, 961])
def test_audio_in_another_encoding_is_told_by_its_size(size: int) -> None:
    """160, 320 and 640 bytes are 20 ms of G.711 and of L16 at 8 and 16 kHz."""
    bot, _ = stream_ends(WAVIX, STARTED)
    with pytest.raises(RemoteProtocolError, match=f"{size} bytes"):
        bot.receive(media(size))


@pytest.mark.parametrize("size", [480, 960, 1920])
def test_audio_in_tens_of_milliseconds_is_heard(size: int) -> None:
    bot, _ = stream_ends(WAVIX, STARTED)
    assert bot.receive(media(size)) == (events.Audio(bytes(size)),)


@pytest.mark.parametrize("size", [0, 958, 962, 1920])
def test_the_simulated_carrier_takes_whole_frames_only(size: int) -> None:
    bot, theirs = stream_ends(WAVIX, STARTED)
    bot.send(events.Audio(bytes(size)))
    with pytest.raises(RemoteProtocolError, match="960"):
        theirs.receive(bot.outgoing()[0])


def test_counters_and_times_as_numbers() -> None:
    """docs.wavix.com, AsyncAPI page: sequence_number counts all messages, chunk those of media."""
    end = WAVIX.carrier_end(L16_24K)
    end.send(STARTED)
    for event in (events.Audio(PCM), events.Mark("m"), events.Audio(PCM), events.Stopped()):
        end.send(event)
    connected, start, first, mark, second, stop = [json.loads(m) for m in end.outgoing()]
    assert connected == {"event": "connected", "event_time": "2025-06-15T15:06:40.000Z"}
    numbered = (start, first, mark, second, stop)
    assert [message["sequence_number"] for message in numbered] == [1, 2, 3, 4, 5]
    for message in numbered:
        assert (message["call_id"], message["stream_id"]) == ("abc-123", "str-456")
    assert [(m["media"]["chunk"], m["media"]["timestamp"]) for m in (first, second)] == [
        (1, 0),
        (2, 20),
    ]


def test_a_stream_that_only_listens_is_refused() -> None:
    start = {"event": "start", "call_id": "c", "stream_id": "s", "stream_type": "oneway"}
    with pytest.raises(RemoteProtocolError, match="one-way"):
        WAVIX.bot_end(L16_24K).receive(json.dumps(start))


def test_nothing_is_sent_before_the_stream_id_is_known() -> None:
    with pytest.raises(LocalProtocolError, match="stream_id"):
        WAVIX.bot_end(L16_24K).send(events.Audio(PCM))
    with pytest.raises(RemoteProtocolError, match="before start"):
        WAVIX.carrier_end(L16_24K).receive(media(960))
    with pytest.raises(LocalProtocolError, match="Started"):
        WAVIX.carrier_end(L16_24K).send(events.Stopped())


def test_another_streams_id_is_refused() -> None:
    _, theirs = stream_ends(WAVIX, STARTED)
    for message in (media(960), media(960, stream_id="other"), '{"event":"clear"}'):
        with pytest.raises(RemoteProtocolError, match="stream_id"):
            theirs.receive(message)


def test_what_the_socket_cannot_carry() -> None:
    bot, theirs = stream_ends(WAVIX, STARTED)
    for event in (events.Digits("1"), events.Extra("x", {})):
        with pytest.raises(LocalProtocolError, match="carry"):
            bot.send(event)
    for event in (events.Digit("1"), events.Cleared(), events.Extra("media", {})):
        with pytest.raises(LocalProtocolError, match="never"):
            theirs.send(event)
    with pytest.raises(RemoteProtocolError, match="unknown"):
        theirs.receive('{"event":"dance","stream_id":"str-456"}')
    for make in (WAVIX.bot_end, WAVIX.carrier_end):
        with pytest.raises(Unsupported, match="16000"):
            make(L16_16K)


# --- door ------------------------------------------------------------------------------------


def test_the_secret_stands_in_the_webhooks_url() -> None:
    plain = Request.get("https://agent.example.com/wavix/answer")
    signed = WAVIX.sign(plain)
    assert signed.url == HOOK
    WAVIX.verify(signed)
    assert WAVIX.sign(signed) == signed
    other = WAVIX.sign(Request.get("https://agent.example.com/wavix/answer?a=1"))
    assert other.url == "https://agent.example.com/wavix/answer?a=1&key=0a1b2c3d"
    WAVIX.verify(other)
    odd = example(Wavix, webhook_secret="a&b=ü ?#")
    odd.verify(odd.sign(plain))


@pytest.mark.parametrize(
    "query", ["", "?", "?key", "?key=", "?key=0a1b2c3", "?key=0a1b2c3d&key=x", "?KEY=0a1b2c3d"]
)
def test_webhooks_without_the_secret_are_refused(query: str) -> None:
    with pytest.raises(BadSignature, match="WAVIX_WEBHOOK_SECRET"):
        WAVIX.verify(Request.get(f"https://agent.example.com/wavix/answer{query}"))


def test_without_a_secret_no_webhook_is_taken_and_no_call_placed() -> None:
    ours = example(Wavix, webhook_secret="")
    for query in ("", "?key", "?key=", "?key=0a1b2c3d"):
        with pytest.raises(BadSignature, match="WAVIX_WEBHOOK_SECRET is not set"):
            ours.verify(ours.sign(Request.get(f"https://agent.example.com/wavix/answer{query}")))
    with pytest.raises(ConfigError, match="WAVIX_WEBHOOK_SECRET"):
        next(ours.dial(seam.Dial(to="+1", from_="+2", offer=OFFER)))


# --- webhooks --------------------------------------------------------------------------------

# docs.wavix.com/api-reference/call-webhooks/on-call-event, 2026-11.
SETUP: dict[str, Any] = {
    "uuid": UUID,
    "event_type": "call_setup",
    "event_time": "2025-09-22T12:56:38.547Z",
    "event_payload": None,
    "from": "+18045551234",
    "to": "17653889567",
    "call_started": "2025-09-22T12:56:38.547Z",
    "call_answered": None,
    "call_completed": None,
    "machine_detected": False,
    "tag": "marketing-campaign",
    "direction": "inbound",
}


def hook(purpose: Purpose = Purpose.ANSWER, /, **changed: Any) -> list[Any]:
    return list(WAVIX.read_webhook(Request.of_json("POST", HOOK, SETUP | changed), purpose))


def test_an_inbound_call() -> None:
    (offered,) = hook()
    call = offered.call
    assert (call.call_id, call.account_id, call.tag) == (UUID, "", "marketing-campaign")
    assert (call.from_, call.to) == ("+18045551234", "+17653889567")
    assert (call.direction, offered.again) == (Direction.INBOUND, False)
    assert call.raw == SETUP


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("17653889567", "+17653889567"),
        ("+17653889567", "+17653889567"),
        ("4930901820", "+4930901820"),
        ("911", "911"),
        ("anonymous", "anonymous"),
        ("sip:a@b.example", "sip:a@b.example"),
        ("00491234567", "00491234567"),
        ("１７６５３８８９５６７", "１７６５３８８９５６７"),
        ("1" * 16, "1" * 16),
        ("", ""),
        (None, ""),
        (17653889567, ""),
    ],
)
def test_numbers_get_their_plus_where_they_are_e164(given: Any, number: str) -> None:
    (offered,) = hook(to=given, **{"from": given})
    assert (offered.call.to, offered.call.from_) == (number, number)


def test_only_one_event_of_an_inbound_call_is_an_offer() -> None:
    """pipecat-wavix's own server answers on call_setup, incoming_call and ringing, each time."""
    assert [type(n) for n in hook(event_type="ringing")] == [events.Ringing]
    assert [type(n) for n in hook(event_type="incoming_call")] == [events.Other]
    assert [type(n) for n in hook(event_type="early_media")] == [events.Other]
    assert [type(n) for n in hook(event_type="answered")] == [events.Answered]


def test_a_placed_call_is_offered_when_it_is_answered() -> None:
    """docs.wavix.com/voice/call-streaming: wait for "answered", then start the stream."""
    (other,) = hook(Purpose.STATUS, direction="outbound")
    assert (type(other), other.kind) == (events.Other, "call_setup")
    (offered,) = hook(Purpose.STATUS, event_type="answered", direction="outbound")
    assert (type(offered), offered.call.direction) == (events.Offered, Direction.OUTBOUND)
    fields = {"event_type": "answered", "direction": "outbound", "machine_detected": True}
    offered, machine = hook(Purpose.STATUS, **fields)
    assert machine == events.MachineDetected(UUID, "machine", "machine_detected")


@pytest.mark.parametrize("unsaid", [None, "", "sideways"])
def test_a_direction_that_is_not_told_follows_from_the_url(unsaid: str | None) -> None:
    (offered,) = hook(Purpose.ANSWER, direction=unsaid)
    assert offered.call.direction is Direction.INBOUND
    (offered,) = hook(Purpose.STATUS, direction=unsaid, event_type="answered")
    assert offered.call.direction is Direction.OUTBOUND


def test_other_spellings_that_wavixs_own_server_reads() -> None:
    body = {"call_id": "c-1", "event": "call_setup"}
    (offered,) = WAVIX.read_webhook(Request.of_json("POST", HOOK, body), Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert offered.call.call_id == "c-1"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"event_type": "completed", "call_answered": "2025-09-22T12:56:40.000Z"}, Why.COMPLETED),
        ({"event_type": "busy"}, Why.BUSY),
        ({"event_type": "cancelled"}, Why.CANCELLED),
        ({"event_type": "rejected"}, Why.REJECTED),
        ({"event_type": "failed"}, Why.FAILED),
        # Inferred: there is no event for a call that nobody answered.
        ({"event_type": "completed", "direction": "outbound"}, Why.NO_ANSWER),
        ({"event_type": "completed", "direction": "inbound"}, Why.CANCELLED),
    ],
)
def test_ends(fields: dict[str, Any], why: Why) -> None:
    (ended,) = hook(Purpose.STATUS, **fields)
    assert (type(ended), ended.call_id) == (events.Ended, UUID)
    assert ended.reason == EndReason(why, raw=fields["event_type"])


def test_an_answer_that_is_not_spoken_of_is_not_one_that_is_missing() -> None:
    body = {"uuid": UUID, "event_type": "completed", "direction": "outbound"}
    (ended,) = WAVIX.read_webhook(Request.of_json("POST", HOOK, body), Purpose.STATUS)
    assert ended == events.Ended(UUID, EndReason(Why.COMPLETED, raw="completed"))


def test_how_long_a_call_lasted() -> None:
    times = {"call_answered": "2025-09-22T12:56:40.000Z"}
    (ended,) = hook(event_type="completed", call_completed="2025-09-22T12:57:40.5Z", **times)
    assert ended.duration_s == 60.5
    # The older API's name for it.
    (ended,) = hook(event_type="completed", call_finished="2025-09-22T12:57:40Z", **times)
    assert ended.duration_s == 60.0
    for unclear in (None, "", "yesterday", "2025-09-22T12:57:40", 5):
        (ended,) = hook(event_type="completed", call_completed=unclear, **times)
        assert (ended.reason.why, ended.duration_s) == (Why.COMPLETED, None)


@pytest.mark.parametrize(
    ("disposition", "why"),
    [
        # docs.wavix.com/api-reference/cdrs: the dispositions.
        ("answered", Why.COMPLETED),
        ("noanswer", Why.NO_ANSWER),
        ("busy", Why.BUSY),
        ("failed", Why.FAILED),
        ("a-new-word", Why.UNKNOWN),
    ],
)
def test_the_post_call_webhook_is_the_last_word_too(disposition: str, why: Why) -> None:
    record = {"uuid": UUID, "from": "1", "to": "2", "disposition": disposition, "duration": 6}
    request = Request.of_json("POST", HOOK, record)
    (ended,) = WAVIX.read_webhook(request, Purpose.STATUS)
    assert ended == events.Ended(UUID, EndReason(why, raw=disposition), duration_s=6.0)
    request = Request.of_json("POST", HOOK, record | {"duration": "long"})
    (ended,) = WAVIX.read_webhook(request, Purpose.STATUS)
    assert isinstance(ended, events.Ended)
    assert ended.duration_s is None


@pytest.mark.parametrize("kind", ["collect", "collect_completed"])
def test_keys_that_were_collected(kind: str) -> None:
    """By the on-call page (``collect``) and the Node SDK (``collect_completed``)."""
    payload = {"type": kind, "payload": {"digits": "1a#x", "status": "completed"}}
    keys = hook(event_type="on_call_event", event_payload=payload)
    assert keys == [events.DigitPressed(UUID, key) for key in "1A#"]


@pytest.mark.parametrize(
    "payload", [{"type": "collect"}, {"type": "collect", "payload": {"digits": 5}}]
)
def test_no_keys_that_were_collected(payload: Any) -> None:
    assert hook(event_type="on_call_event", event_payload=payload) == []


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"type": "audio", "payload": {"status": "completed", "playback_id": "p"}}, "audio"),
        (None, "on_call_event"),
        ([], "on_call_event"),
        ({"type": 5}, "on_call_event"),
    ],
)
def test_other_on_call_events(payload: Any, kind: str) -> None:
    (other,) = hook(event_type="on_call_event", event_payload=payload)
    assert (type(other), other.kind, other.call_id) == (events.Other, kind, UUID)


def test_a_machine_that_is_found_later() -> None:
    found = hook(event_type="on_call_event", machine_detected=True)
    assert found == [events.MachineDetected(UUID, "machine", "machine_detected")]


def test_webhooks_that_are_none() -> None:
    for bad in ("", None, 5, "../calls", "a b", "x" * 257):
        with pytest.raises(RemoteProtocolError, match="id"):
            hook(uuid=bad)
    with pytest.raises(RemoteProtocolError, match="event_type"):
        hook(event_type=None)
    with pytest.raises(RemoteProtocolError, match="JSON"):
        WAVIX.read_webhook(Request(method="POST", url=HOOK, body=b"a=1"), Purpose.ANSWER)


def written(notice: events.Notice) -> dict[str, Any]:
    request = WAVIX.write_webhook(notice, HOOK)
    assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
    return request.json()


NOW = "2025-06-15T15:06:40.000Z"


def test_webhooks_as_wavix_writes_them() -> None:
    assert written(events.Offered(CALL)) == SETUP | {
        "event_time": NOW,
        "call_started": NOW,
        "tag": "",
    }
    answered = written(events.Offered(PLACED))
    assert (answered["event_type"], answered["direction"]) == ("answered", "outbound")
    assert (answered["call_answered"], answered["to"]) == (NOW, "18045551234")
    assert written(events.Ringing(PLACED))["event_type"] == "ringing"
    assert written(events.Answered(CALL))["event_type"] == "answered"
    collected = written(events.DigitPressed(UUID, "#"))
    assert collected["event_type"] == "on_call_event"
    assert collected["event_payload"]["payload"]["digits"] == "#"
    assert written(events.MachineDetected(UUID, "machine"))["machine_detected"] is True
    ended = written(events.Ended(UUID, EndReason(Why.COMPLETED), duration_s=1.5))
    assert (ended["event_type"], ended["call_completed"]) == ("completed", NOW)
    assert ended["call_answered"] == "2025-06-15T15:06:38.500Z"
    assert written(events.Ended(UUID, EndReason(Why.DRAIN)))["event_type"] == "completed"
    unanswered = written(events.Ended(UUID, EndReason(Why.NO_ANSWER), duration_s=0.0))
    assert (unanswered["event_type"], unanswered["call_answered"]) == ("completed", None)
    other = written(events.Other("transfer", UUID, {"x": 1}))
    assert (other["event_type"], other["uuid"], other["x"]) == ("transfer", UUID, 1)
    for notice in (
        events.Offered(CALL, again=True),
        events.Answered(PLACED),
        events.MachineDetected(UUID, "human"),
    ):
        with pytest.raises(Unsupported, match="no such webhook"):
            WAVIX.write_webhook(notice, HOOK)


# --- answers ---------------------------------------------------------------------------------


def order(answer: seam.Answer) -> tuple[Any, Request]:
    """The running flow of an answer, and the request it makes."""
    assert answer.response == Response()
    assert answer.flow is not None
    flow = answer.flow()
    return flow, next(flow)


def changed(**fields: Any) -> Offer:
    kept = {name: getattr(OFFER, name) for name in OFFER.__struct_fields__}
    return Offer(**(kept | fields))


def test_a_call_is_answered_and_streamed_by_one_request() -> None:
    """docs.wavix.com/api-reference/call-control/answer-a-call, 2026-11."""
    flow, request = order(WAVIX.answer(CALL, OFFER))
    assert (request.method, request.url) == ("POST", f"{API}/{UUID}/answer")
    assert request.headers == {**LOGIN, "content-type": "application/json"}
    assert request.json() == {
        "stream_url": "wss://agent.example.com/wavix/media/tok.en-1",
        "stream_type": "twoway",
        "stream_channel": "inbound",
    }
    finish(flow, Response.of_json({"success": True}))


@pytest.mark.parametrize(("call", "again"), [(PLACED, False), (PLACED, True), (CALL, True)])
def test_a_call_that_is_up_gets_a_stream(call: CallInfo, again: bool) -> None:
    """docs.wavix.com/api-reference/call-streaming/start-call-streaming, 2026-11."""
    flow, request = order(WAVIX.answer(call, changed(again=again)))
    assert (request.method, request.url) == ("POST", f"{API}/{UUID}/streams")
    assert request.json() == {
        "stream_url": "wss://agent.example.com/wavix/media/tok.en-1",
        "stream_type": "twoway",
        "stream_channel": "inbound",
    }
    finish(flow, Response.of_json({"success": True, "stream_id": "8c7b"}, 201))


@pytest.mark.parametrize("status", [400, 409])
def test_another_stream_may_be_refused_while_the_old_one_is_not_known_to_be_gone(
    status: int,
) -> None:
    flow, request = order(WAVIX.answer(CALL, changed(again=True)))
    refused = Response.of_json({"success": False, "message": "no"}, status)
    assert request.after == 0.0
    again = flow.send(refused)
    assert (again.url, again.body, again.after) == (request.url, request.body, 0.5)
    again = flow.send(refused)
    assert again.after == 1.0
    with pytest.raises(CarrierError, match="open a stream"):
        flow.send(refused)


def test_another_stream_that_is_refused_for_good() -> None:
    flow, _ = order(WAVIX.answer(CALL, changed(again=True)))
    with pytest.raises(CarrierError, match="HTTP 401"):
        flow.send(Response(401))


def test_parameters_ride_in_the_streams_url() -> None:
    _, request = order(WAVIX.answer(CALL, changed(parameters={"who": "Jane & John"})))
    url = "wss://agent.example.com/wavix/media/tok.en-1?who=Jane+%26+John"
    assert request.json()["stream_url"] == url
    with pytest.raises(Unsupported, match="16000"):
        WAVIX.answer(CALL, changed(audio=L16_16K))


@pytest.mark.parametrize("again", [False, True])
def test_a_call_that_is_over_before_it_is_answered(again: bool) -> None:
    flow, _ = order(WAVIX.answer(CALL, changed(again=again)))
    message = f"Call with ID={UUID} not found"
    with pytest.raises(CallEnded, match="the call is over"):
        flow.send(Response.of_json({"success": False, "message": message}, 404))


def test_a_call_is_turned_away_by_ending_it() -> None:
    for why in Dismissal:
        flow, request = order(WAVIX.dismiss(CALL, why))
        assert (request.method, request.url) == ("DELETE", f"{API}/{UUID}")
        finish(flow, Response.of_json({"success": True}))


def test_webhooks_are_no_place_for_orders() -> None:
    assert WAVIX.read_answer(Response(200, body=b"<Response/>")) == [seam.Pause(math.inf)]
    with pytest.raises(RemoteProtocolError, match="HTTP 500"):
        WAVIX.read_answer(Response(500))


# --- control ---------------------------------------------------------------------------------


def finish(flow: Any, answer: Response) -> Any:
    with pytest.raises(StopIteration) as done:
        flow.send(answer)
    return done.value.value


def test_hang_up() -> None:
    flow = WAVIX.hang_up(CALL)
    request = next(flow)
    assert (request.method, request.url) == ("DELETE", f"{API}/{UUID}")
    assert (request.headers, request.body) == (LOGIN, b"")
    assert request.repeatable
    finish(flow, Response.of_json({"success": True}))
    flow = WAVIX.hang_up(CALL)
    next(flow)
    finish(flow, Response.of_json({"success": False, "message": "not found"}, 404))


def test_errors_say_what_wavix_said() -> None:
    """The forms are those of wavix-mcp's OpenAPI file, 2025-12."""
    flow = WAVIX.hang_up(CALL)
    next(flow)
    with pytest.raises(CarrierError, match=r"hang up: HTTP 401 \(Access Denied\)") as caught:
        flow.send(Response.of_json({"success": False, "message": "Access Denied"}, 401))
    assert (caught.value.status, caught.value.retryable) == (401, False)
    flow, _ = order(WAVIX.answer(CALL, OFFER))
    wrong = {"errors": {"stream_url": "is invalid for +18045551234"}, "message": "Validation error"}
    with pytest.raises(CarrierError, match=r"Validation error; is invalid for \(number\)\)$"):
        flow.send(Response.of_json({"success": False} | wrong, 400))
    flow = WAVIX.state(CALL)
    next(flow)
    with pytest.raises(CarrierError, match="HTTP 429") as caught:
        flow.send(Response(429, {"retry-after": "3"}, b"slow down"))
    assert (caught.value.retryable, caught.value.retry_after) == (True, 3.0)


def test_a_refusal_that_is_a_200() -> None:
    flow = WAVIX.hang_up(CALL)
    next(flow)
    with pytest.raises(CarrierError, match="HTTP 200"):
        flow.send(Response.of_json({"success": False, "error": ["x"]}))


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"event_type": "call_setup"}, CallState.QUEUED),
        ({"event_type": "ringing"}, CallState.RINGING),
        ({"event_type": "early_media"}, CallState.RINGING),
        ({"event_type": "answered"}, CallState.ACTIVE),
        ({"event_type": "on_call_event"}, CallState.ACTIVE),
        ({"event_type": "a-new-word"}, CallState.ACTIVE),
        ({}, CallState.ACTIVE),
        ({"event_type": "completed"}, CallState.ENDED),
        ({"event_type": "busy"}, CallState.ENDED),
        ({"event_type": "on_call_event", "call_completed": NOW}, CallState.ENDED),
    ],
)
def test_states(told: dict[str, Any], state: CallState) -> None:
    flow = WAVIX.state(CALL)
    request = next(flow)
    assert (request.method, request.url, request.headers) == ("GET", f"{API}/{UUID}", LOGIN)
    assert finish(flow, Response.of_json({"uuid": UUID, "call_completed": None} | told)) is state


def test_states_that_are_not_told() -> None:
    flow = WAVIX.state(CALL)
    next(flow)
    assert finish(flow, Response(404)) is CallState.ENDED
    flow = WAVIX.state(CALL)
    next(flow)
    with pytest.raises(RemoteProtocolError):
        flow.send(Response(200, body=b"<html>"))


def test_dial() -> None:
    """docs.wavix.com/api-reference/call-control/start-a-call, 2026-11; max_duration: Node SDK."""
    wish = seam.Dial(
        to="+18045551234",
        from_="+17653889567",
        offer=OFFER,
        ring_timeout=25,
        max_duration=600,
        detect_machine=True,
        key="wish-1",
    )
    flow = WAVIX.dial(wish)
    request = next(flow)
    assert (request.method, request.url, request.repeatable) == ("POST", API, False)
    assert request.headers["authorization"] == "Bearer wx-1"
    assert request.json() == {
        "from": "+17653889567",
        "to": "+18045551234",
        "callback_url": f"{HOOKS.base}/status?key=0a1b2c3d",
        "recording": False,
        "voicemail_detection": True,
        "tag": "wish-1",
        "timeout": 25,
        "max_duration": 600,
    }
    assert finish(flow, Response.of_json(SETUP, 201)) == UUID
    assert "tag" not in next(WAVIX.dial(seam.Dial(to="+1", from_="+2", offer=OFFER))).json()
    for refused in (Response(402), Response.of_json({"success": False, "message": "no"})):
        flow = WAVIX.dial(wish)
        next(flow)
        with pytest.raises(CarrierError, match="place a call"):
            flow.send(refused)


@pytest.mark.parametrize(
    ("call", "from_", "own"),
    [
        (CALL, "", "+17653889567"),
        (PLACED, "", "+17653889567"),
        (CALL, "+12025550100", "+12025550100"),
    ],
)
def test_a_transfer_is_made_from_the_accounts_number(call: CallInfo, from_: str, own: str) -> None:
    """Wavix's Go SDK, call.go: TransferPayload, where both are required."""
    flow = WAVIX.transfer(call, "+12025550155", from_=from_, hooks=HOOKS)
    request = next(flow)
    assert (request.method, request.url) == ("POST", f"{API}/{UUID}/transfer")
    assert request.json() == {"from": own, "to": "+12025550155"}
    finish(flow, Response.of_json({"success": True}))


# --- the simulated REST API ------------------------------------------------------------------


def asked(exchange: Exchange, method: str, path: str, body: Any = None) -> Response:
    if body is None:
        return exchange.rest(Request(method=method, url=f"{API}{path}", headers=LOGIN))
    return exchange.rest(Request.of_json(method, f"{API}{path}", body, LOGIN))


STREAM = {"stream_url": "wss://a.example/x", "stream_type": "twoway", "stream_channel": "inbound"}
OPENED = seam.OpenStream(url="wss://a.example/x", blocking=False)
WAIT = seam.Pause(math.inf)


def test_platform_doors() -> None:
    exchange = Exchange(WAVIX)
    exchange.add("c-1")
    for wrong in ({}, {"authorization": "Bearer x"}, {"authorization": "wx-1"}):
        answer = exchange.rest(Request.get(f"{API}/c-1", wrong))
        assert (answer.status, answer.json()["message"]) == (401, "Access Denied")
    assert asked(exchange, "GET", "/c-1").status == 200
    for unknown in ("/c-2", "/c-1/dance", "/c-1/answer/x"):
        assert asked(exchange, "GET", unknown).status == 404
    assert asked(exchange, "DELETE", "/c-1").json() == {"success": True}
    assert asked(exchange, "DELETE", "/c-1").status == 404
    assert asked(exchange, "DELETE", "/c-2").json() == {
        "success": False,
        "message": "Call with ID=c-2 not found",
    }


def test_platform_describes() -> None:
    exchange = Exchange(WAVIX)
    exchange.add("c-1", CallState.RINGING, tag="t", to="+17653889567")
    told = asked(exchange, "GET", "/c-1").json()
    assert (told["event_type"], told["tag"], told["to"]) == ("ringing", "t", "17653889567")
    exchange.end("c-1", Why.BUSY)
    told = asked(exchange, "GET", "/c-1").json()
    assert (told["event_type"], told["call_completed"]) == ("busy", NOW)


def test_platform_creates() -> None:
    exchange = Exchange(WAVIX)
    wish = {"from": "+1", "to": "+2", "callback_url": "https://a.example/x"}
    for name in wish:
        answer = asked(exchange, "POST", "", {k: v for k, v in wish.items() if k != name})
        assert (answer.status, answer.json()["errors"]) == (400, {name: "is required"})
    told = asked(exchange, "POST", "", wish | {"tag": "t", "timeout": 20}).json()
    assert (told["event_type"], told["tag"], told["direction"]) == ("call_setup", "t", "outbound")
    assert exchange.commands == [
        seam.Place(
            to="+2",
            from_="+1",
            answer_url="https://a.example/x",
            status_url="https://a.example/x",
            ring_timeout=20.0,
            tag="t",
        )
    ]


def test_platform_answers_and_streams() -> None:
    exchange = Exchange(WAVIX)
    exchange.add("c-1", CallState.RINGING)
    assert asked(exchange, "POST", "/c-1/streams", STREAM).status == 400  # not answered yet
    assert asked(exchange, "POST", "/c-1/answer", STREAM).json() == {"success": True}
    assert asked(exchange, "POST", "/c-1/answer", {}).json() == {"success": True}
    exchange.add("c-1")
    assert asked(exchange, "POST", "/c-1/streams", STREAM).status == 200
    assert exchange.commands == [
        seam.Instruct("c-1", [OPENED, WAIT], keep_stream=True),
        seam.Instruct("c-1", [seam.Pause(0.0), WAIT], keep_stream=True),
        seam.Instruct("c-1", [OPENED, WAIT], keep_stream=True),
    ]
    exchange.end("c-1")
    assert asked(exchange, "POST", "/c-1/streams", STREAM).status == 404


@pytest.mark.parametrize("what", ["answer", "streams"])
@pytest.mark.parametrize(
    "wrong", [{"stream_url": "https://a.example"}, {"stream_type": "oneway"}, {"stream_type": None}]
)
def test_platform_refuses_streams_that_leave_a_bot_mute(what: str, wrong: dict[str, Any]) -> None:
    exchange = Exchange(WAVIX)
    exchange.add("c-1")
    assert asked(exchange, "POST", f"/c-1/{what}", STREAM | wrong).status == 400
    assert exchange.commands == []


def test_platform_transfers() -> None:
    exchange = Exchange(WAVIX)
    exchange.add("c-1")
    assert asked(exchange, "POST", "/c-1/transfer", {"from": "+1"}).status == 400
    assert asked(exchange, "POST", "/c-1", {"to": "+2"}).status == 400
    assert asked(exchange, "POST", "/c-1/transfer", {"from": "+1", "to": "+2"}).status == 200
    assert exchange.commands == [
        seam.Instruct("c-1", [seam.TransferTo(to="+2", from_="+1")]),
    ]


def test_credentials_are_tried_by_the_list_of_calls() -> None:
    """GET /v1/calls (docs.wavix.com, call control; wavix-node-sdk 2026-03)."""
    assert Exchange(WAVIX).run(WAVIX.check()) == []
    (warned,) = Exchange(example(Wavix, webhook_secret="")).run(
        example(Wavix, webhook_secret="").check()
    )
    assert "WAVIX_WEBHOOK_SECRET" in warned
    flow = WAVIX.check()
    assert next(flow).url == "https://api.wavix.com/v1/calls"
    with pytest.raises(CarrierError, match="list calls: HTTP 401"):
        flow.send(Response(401))
