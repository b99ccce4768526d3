"""SFVoPI: its golden table, its Stream JSON, its webhooks by its documentation, its REST."""

import base64
import json
from typing import Any

import pytest
from golden import Golden, Row, check_read, check_written, example, stream_ends

from exchange import Exchange
from trunkline import carrier as seam
from trunkline import events
from trunkline.carrier import Dismissal, Hooks, Offer, Purpose
from trunkline.carriers.sfvopi import Sfvopi
from trunkline.errors import (
    BadSignature,
    CarrierError,
    ConfigError,
    LocalProtocolError,
    RemoteProtocolError,
    Unsupported,
)
from trunkline.events import CallInfo, Direction, EndReason, Started, Who, Why
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMA_8K, PCMU_8K, AudioFormat
from trunkline.web import Request, Response

PROTOCOL = "docs.superfone.dev/docs/sfvopi/audio-streaming/websocket-protocol"
GUIDE = "docs.superfone.dev/docs/sfvopi/integrations/pipecat"
CRM = "third-party client of SFVoPI, outbound calls"

ALAW = bytes.fromhex("d555aa2a7ff5d4d5")
CALL_ID = "550e8400-e29b-41d4-a716-446655440000"
STREAM_ID = "SFV_STRM_BI_01JJXYZ123ABC456DEF789GHI"
STARTED = Started(call_id=CALL_ID, stream_id=STREAM_ID, inbound=PCMA_8K, outbound=PCMA_8K)
MEDIA = '"media":{"payload":"1VWqKn/11NU=","contentType":"audio/PCMA","sampleRate":8000}'
RATE_AS_TEXT = MEDIA.replace("8000", '"8000"')

GOLDEN = Golden(
    STARTED,
    rows=(
        Row(
            "carrier",
            STARTED,
            f'{{"event":"start","streamId":"{STREAM_ID}","callId":"{CALL_ID}"}}',
            PROTOCOL,
            "2026-11-20",
        ),
        Row(
            "carrier",
            Started(
                call_id=CALL_ID,
                stream_id="01JJXYZ123ABC456DEF789GHI",
                inbound=PCMA_8K,
                outbound=PCMA_8K,
            ),
            f'{{"event":"start","streamId":"01JJXYZ123ABC456DEF789GHI","callId":"{CALL_ID}"}}',
            f"{PROTOCOL}, an older version: ids without prefix",
            "2026-02-02",
            written=False,
        ),
        Row(
            "carrier",
            events.Audio(ALAW),
            f'{{"event":"media","streamId":"{STREAM_ID}",{MEDIA}}}',
            PROTOCOL,
            "2026-11-20",
        ),
        Row(
            "carrier",
            events.Audio(ALAW),
            f'{{"event":"media","streamId":"{STREAM_ID}",{RATE_AS_TEXT}}}',
            "made up: a rate that is text",
            "2026-11-21",
            written=False,
        ),
        Row(
            "carrier",
            events.Audio(ALAW),
            '{"event":"media","media":{"payload":"1VWqKn/11NU="}}',
            f"{GUIDE}, serializer: contentType may be missing",
            "2026-11-20",
            written=False,
        ),
        Row(
            "carrier",
            events.Digit("5"),
            f'{{"event":"dtmf","streamId":"{STREAM_ID}","digit":"5"}}',
            PROTOCOL,
            "2026-11-20",
        ),
        Row(
            "carrier",
            events.Mark("greeting_complete"),
            f'{{"event":"playedStream","streamId":"{STREAM_ID}","name":"greeting_complete"}}',
            PROTOCOL,
            "2026-11-20",
        ),
        Row(
            "carrier",
            events.Cleared(),
            '{"event":"clearedAudio","sequenceNumber":0}',
            f"{PROTOCOL}; no clear was asked for here, hence 0",
            "2026-11-20",
        ),
        Row(
            "carrier",
            events.Extra("later", {"a": 1}),
            '{"event":"later","a":1}',
            "made up: an event Superfone may add",
            "2026-11-21",
        ),
        Row(
            "bot",
            events.Audio(ALAW, format=PCMA_8K),
            f'{{"event":"playAudio",{MEDIA}}}',
            GUIDE,
            "2026-11-20",
        ),
        Row(
            "bot",
            events.Clear(),
            '{"event":"clearAudio","sequenceNumber":1}',
            GUIDE,
            "2026-11-20",
        ),
        Row(
            "bot",
            events.Mark("greeting_complete"),
            f'{{"event":"checkpoint","streamId":"{STREAM_ID}","name":"greeting_complete"}}',
            GUIDE,
            "2026-11-20",
        ),
    ),
)

SFVOPI = example(Sfvopi)
CALL = CallInfo(carrier="sfvopi", call_id=CALL_ID)
HOOKS = Hooks("https://agent.example.com/sfvopi")
OFFER = Offer(
    stream_url="wss://agent.example.com/sfvopi/media",
    token="tok.en-1",
    hooks=HOOKS,
    audio=PCMA_8K,
)
CALLS = "https://prod-api.superfone.co.in/superfone/sfvopi/calls"


# --- wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN.rows)
def test_golden_read(row: Row) -> None:
    check_read(SFVOPI, GOLDEN, row)


@pytest.mark.parametrize("row", [row for row in GOLDEN.rows if row.written])
def test_golden_written(row: Row) -> None:
    check_written(SFVOPI, GOLDEN, row)


@pytest.mark.parametrize(
    ("audio", "kind"),
    [
        # docs.superfone.dev, Audio Streaming Overview: codec, content type, rates.
        (PCMA_8K, "audio/PCMA"),
        (PCMU_8K, "audio/PCMU"),
        (L16_8K, "audio/x-l16"),
        (L16_16K, "audio/x-l16"),
        (L16_24K, "audio/x-l16"),
    ],
    ids=str,
)
def test_each_frame_names_the_codec_and_rate_of_the_answer(audio: AudioFormat, kind: str) -> None:
    bot, theirs = stream_ends(
        SFVOPI, Started(call_id="c", stream_id="s", inbound=audio, outbound=audio)
    )
    bot.send(events.Audio(b"\1\0\2\0"))
    theirs.send(events.Audio(b"\1\0\2\0"))
    wanted = {"payload": "AQACAA==", "contentType": kind, "sampleRate": audio.rate}
    (spoken,), (heard,) = bot.outgoing(), theirs.outgoing()
    assert json.loads(spoken) == {"event": "playAudio", "media": wanted}
    assert json.loads(heard) == {"event": "media", "streamId": "s", "media": wanted}
    assert theirs.receive(spoken) == (events.Audio(b"\1\0\2\0", format=audio),)
    assert bot.receive(heard) == (events.Audio(b"\1\0\2\0"),)


@pytest.mark.parametrize(
    ("kind", "rate", "size"),
    [("audio/PCMU", 8000, 4), ("audio/x-l16", 16000, 4), ("audio/x-l16", 8000, 3), ("", 8001, 4)],
)
@pytest.mark.parametrize("event", ["media", "playAudio"])
def test_audio_that_breaks_the_roundtrip_rule(event: str, kind: str, rate: int, size: int) -> None:
    started = Started(call_id="c", stream_id="s", inbound=L16_8K, outbound=L16_8K)
    bot, theirs = stream_ends(SFVOPI, started)
    payload = base64.b64encode(bytes(size)).decode()
    media = {"payload": payload, "contentType": kind, "sampleRate": rate}
    with pytest.raises(RemoteProtocolError, match=r"where the stream is L16/8000|half a sample"):
        (bot if event == "media" else theirs).receive(json.dumps({"event": event, "media": media}))


def test_a_content_type_in_other_letters() -> None:
    bot, _ = stream_ends(SFVOPI, STARTED)
    media = MEDIA.replace("PCMA", "pcma")
    assert bot.receive(f'{{"event":"media",{media}}}') == (events.Audio(ALAW),)


def test_only_the_latest_clear_is_confirmed() -> None:
    bot, theirs = stream_ends(SFVOPI, STARTED)
    for _ in range(3):
        bot.send(events.Clear())
    for message in bot.outgoing():
        assert theirs.receive(message) == (events.Clear(),)
        theirs.send(events.Cleared())
    told = [json.loads(message) for message in theirs.outgoing()]
    assert [t["sequenceNumber"] for t in told] == [1, 2, 3]
    assert [bot.receive(json.dumps(t)) for t in told] == [(), (), (events.Cleared(),)]
    assert bot.receive('{"event":"clearedAudio","sequenceNumber":4}') == ()


def test_clears_count_up() -> None:
    _, theirs = stream_ends(SFVOPI, STARTED)
    clear = '{"event":"clearAudio","sequenceNumber":%d}'
    assert theirs.receive(clear % 2) == (events.Clear(),)
    for number in (2, 1, 0):
        with pytest.raises(RemoteProtocolError, match="sequenceNumber"):
            theirs.receive(clear % number)


def test_a_second_start_may_bring_another_stream_id() -> None:
    bot, _ = stream_ends(SFVOPI, STARTED)
    (again,) = bot.receive(f'{{"event":"start","streamId":"s-2","callId":"{CALL_ID}"}}')
    assert isinstance(again, Started)
    assert (again.call_id, again.stream_id) == (CALL_ID, "s-2")
    bot.send(events.Mark("m"))
    (message,) = bot.outgoing()
    assert json.loads(message)["streamId"] == "s-2"


@pytest.mark.parametrize("digit", ['""', '"12"', '"E"', '"１"', "null", '{"digit":"5"}'])
def test_keys_that_are_none(digit: str) -> None:
    bot, _ = stream_ends(SFVOPI, STARTED)
    with pytest.raises(RemoteProtocolError):
        bot.receive(f'{{"event":"dtmf","digit":{digit}}}')


def test_what_superfone_would_not_understand() -> None:
    _, theirs = stream_ends(SFVOPI, STARTED)
    with pytest.raises(RemoteProtocolError, match="streamId"):
        theirs.receive('{"event":"checkpoint","streamId":"other","name":"m"}')
    with pytest.raises(RemoteProtocolError, match="unknown"):
        theirs.receive('{"event":"hangup"}')
    with pytest.raises(RemoteProtocolError, match="before start"):
        SFVOPI.carrier_end(PCMA_8K).receive('{"event":"clearAudio","sequenceNumber":1}')


def test_what_the_socket_cannot_carry() -> None:
    bot, theirs = stream_ends(SFVOPI, STARTED)
    for event in (events.Digits("1"), events.Extra("clearAudio", {})):
        with pytest.raises(LocalProtocolError, match="carry"):
            bot.send(event)
    for event in (events.Stopped(), events.Failed("x"), events.Extra("media", {})):
        with pytest.raises(LocalProtocolError, match="never"):
            theirs.send(event)
    with pytest.raises(LocalProtocolError, match="streamId"):
        SFVOPI.bot_end(PCMA_8K).send(events.Clear())
    with pytest.raises(LocalProtocolError, match="Started"):
        SFVOPI.carrier_end(PCMA_8K).send(events.Digit("1"))
    for end in (SFVOPI.bot_end, SFVOPI.carrier_end):
        with pytest.raises(Unsupported, match="PCMA/16000"):
            end(AudioFormat.parse("PCMA/16000"))


# --- door ------------------------------------------------------------------------------------

HOOK = "https://agent.example.com/sfvopi/answer"


def test_the_secret_ends_the_url_once() -> None:
    signed = SFVOPI.sign(Request.get(HOOK))
    assert signed.url == f"{HOOK}?key=0a1b2c3d"
    SFVOPI.verify(signed)
    assert SFVOPI.sign(signed) == signed
    assert SFVOPI.sign(Request.get(f"{HOOK}?a=1")).url == f"{HOOK}?a=1&key=0a1b2c3d"
    odd = example(Sfvopi, webhook_secret="a b&c=d/ü")
    odd.verify(odd.sign(Request.get(HOOK)))


@pytest.mark.parametrize(
    "query", ["", "?", "?key", "?key=", "?key=0a1b2c3", "?key=0a1b2c3d&key=x", "?KEY=0a1b2c3d"]
)
def test_webhooks_without_the_secret(query: str) -> None:
    with pytest.raises(BadSignature, match="SFVOPI_WEBHOOK_SECRET"):
        SFVOPI.verify(Request.get(HOOK + query))


def test_without_a_secret_no_webhook_is_taken_and_no_call_placed() -> None:
    ours = example(Sfvopi, webhook_secret="")
    for url in (HOOK, f"{HOOK}?key="):
        with pytest.raises(BadSignature, match="not set"):
            ours.verify(ours.sign(Request.get(url)))
    with pytest.raises(ConfigError, match="SFVOPI_WEBHOOK_SECRET"):
        next(ours.dial(seam.Dial(to="+1", from_="+2", offer=OFFER)))


# --- webhooks --------------------------------------------------------------------------------

# docs.superfone.dev, Answer Webhook, examples (2026-11-20).
OUTBOUND = {
    "call_uuid": "call-uuid-1738491600-abc123",
    "request_uuid": "sfv_ob_req_a8k3m2x9p1z0",
    "from": "+918000000003",
    "to": "+918000000001",
    "direction": "OUTBOUND",
    "call_status": "IN_PROGRESS",
    "answered_at": "2026-02-02T10:00:00.000Z",
}
INBOUND = {
    "call_uuid": "call-uuid-1738491600-def456",
    "from": "+918000000001",
    "to": "+918000000003",
    "direction": "INBOUND",
    "call_status": "IN_PROGRESS",
    "answered_at": "2026-02-02T10:00:00.000Z",
}


def hook(purpose: Purpose = Purpose.STATUS, **fields: Any) -> Any:
    (notice,) = SFVOPI.read_webhook(Request.of_json("POST", HOOK, fields), purpose)
    return notice


def test_calls_that_were_answered_as_documented() -> None:
    offered = hook(Purpose.ANSWER, **INBOUND)
    call = offered.call
    assert isinstance(offered, events.Offered)
    assert (call.call_id, call.dial_id) == ("call-uuid-1738491600-def456", "")
    assert (call.from_, call.to) == ("+918000000001", "+918000000003")
    assert (call.direction, call.raw) == (Direction.INBOUND, INBOUND)
    call = hook(Purpose.ANSWER, **OUTBOUND).call
    assert (call.call_id, call.dial_id) == (
        "call-uuid-1738491600-abc123",
        "sfv_ob_req_a8k3m2x9p1z0",
    )
    assert call.direction is Direction.OUTBOUND


def test_an_app_set_to_get() -> None:
    query = "call_uuid=c-1&from=%2B918000000001&to=%2B91&direction=INBOUND&key=0a1b2c3d"
    (offered,) = SFVOPI.read_webhook(Request.get(f"{HOOK}?{query}"), Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert offered.call.from_ == "+918000000001"
    assert "key" not in offered.call.raw
    query = "call_uuid=c-1&call_status=COMPLETED&duration=42&hangup_cause=16"
    (ended,) = SFVOPI.read_webhook(Request.get(f"{HOOK}?{query}"), Purpose.STATUS)
    assert isinstance(ended, events.Ended)
    assert ended.duration_s == 42.0


@pytest.mark.parametrize("told", [{"call_status": "RINGING"}, {}])
def test_it_rings(told: dict[str, str]) -> None:
    ringing = hook(call_uuid="c-1", request_uuid="r-1", direction="OUTBOUND", **told)
    assert isinstance(ringing, events.Ringing)
    assert (ringing.call.call_id, ringing.call.dial_id) == ("c-1", "r-1")


def test_other_words_on_the_way() -> None:
    other = hook(call_uuid="c-1", call_status="IN_PROGRESS")
    assert other == events.Other(
        "IN_PROGRESS", "c-1", {"call_uuid": "c-1", "call_status": "IN_PROGRESS"}
    )


@pytest.mark.parametrize(
    ("status", "cause", "why", "who"),
    [
        # docs.superfone.dev, Hangup Webhook: the five words; causes by ITU-T Q.850, table 1.
        ("COMPLETED", "16", Why.COMPLETED, Who.UNKNOWN),
        ("COMPLETED", None, Why.COMPLETED, Who.UNKNOWN),
        ("NO_ANSWER", "19", Why.NO_ANSWER, Who.UNKNOWN),
        ("BUSY", "17", Why.BUSY, Who.UNKNOWN),
        ("CANCELED", "16", Why.CANCELLED, Who.UNKNOWN),
        ("FAILED", None, Why.FAILED, Who.CARRIER),
        ("FAILED", "1", Why.FAILED, Who.CARRIER),
        ("FAILED", "17", Why.BUSY, Who.UNKNOWN),
        ("FAILED", "18", Why.NO_ANSWER, Who.UNKNOWN),
        ("FAILED", "20", Why.NO_ANSWER, Who.UNKNOWN),
        ("FAILED", "21", Why.REJECTED, Who.UNKNOWN),
        ("FAILED", 21, Why.REJECTED, Who.UNKNOWN),
        ("FAILED", "34", Why.NETWORK, Who.CARRIER),
        ("FAILED", "102", Why.NETWORK, Who.CARRIER),
        ("A_NEW_WORD", "21", Why.REJECTED, Who.UNKNOWN),
        ("A_NEW_WORD", "16", Why.UNKNOWN, Who.UNKNOWN),
    ],
)
def test_reasons(status: str, cause: Any, why: Why, who: Who) -> None:
    told = {} if cause is None else {"hangup_cause": cause}
    ended = hook(call_uuid="c-1", call_status=status, **told)
    raw = status if cause is None else f"{status} {cause}"
    assert ended == events.Ended("c-1", EndReason(why, who, raw))


def test_the_end_as_documented() -> None:
    ended = hook(
        **OUTBOUND | {"call_status": "COMPLETED"},
        duration=42,
        started_at="2026-02-02T09:59:50.000Z",
        answer_at="2026-02-02T10:00:00.000Z",
        ended_at="2026-02-02T10:00:42.000Z",
        hangup_cause="16",
    )
    assert ended == events.Ended(
        "call-uuid-1738491600-abc123",
        EndReason(Why.COMPLETED, Who.UNKNOWN, "COMPLETED 16"),
        "sfv_ob_req_a8k3m2x9p1z0",
        42.0,
    )


def test_an_end_that_came_to_the_wrong_url_or_in_a_new_word_is_one() -> None:
    ended = hook(Purpose.ANSWER, call_uuid="c-1", call_status="BUSY")
    assert ended.reason.why is Why.BUSY
    ended = hook(call_uuid="c-1", call_status="TIMED_OUT", ended_at="2026-02-02T10:00:42.000Z")
    assert ended.reason == EndReason(Why.UNKNOWN, Who.UNKNOWN, "TIMED_OUT")


def test_a_call_that_never_got_an_id_of_its_own() -> None:
    ended = hook(request_uuid="r-1", call_status="FAILED")
    assert (ended.call_id, ended.dial_id) == ("r-1", "r-1")


@pytest.mark.parametrize("duration", ["-1", "x", "", None, [], "1e9", True, "9" * 40])
def test_lengths_that_are_none(duration: Any) -> None:
    assert hook(call_uuid="c", call_status="COMPLETED", duration=duration).duration_s is None


@pytest.mark.parametrize("bad", ["", "a/b", "a\r\nX-Evil: 1", "é", 7])
def test_ids_that_could_not_stand_in_a_header(bad: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="id"):
        hook(Purpose.ANSWER, **INBOUND | {"call_uuid": bad})


def test_webhooks_are_written_as_documented() -> None:
    def written(notice: Any) -> dict[str, Any]:
        return SFVOPI.write_webhook(notice, HOOK).json()

    call = CallInfo(
        carrier="sfvopi",
        call_id=OUTBOUND["call_uuid"],
        dial_id=OUTBOUND["request_uuid"],
        from_=OUTBOUND["from"],
        to=OUTBOUND["to"],
        direction=Direction.OUTBOUND,
    )
    assert written(events.Offered(call)) == OUTBOUND | {"answered_at": "2025-06-15T15:06:40.000Z"}
    told = written(
        events.Ended(call.call_id, EndReason(Why.COMPLETED), call.dial_id, duration_s=42.0)
    )
    assert told == {
        "call_uuid": OUTBOUND["call_uuid"],
        "request_uuid": OUTBOUND["request_uuid"],
        "call_status": "COMPLETED",
        "duration": 42,
        "answer_at": "2025-06-15T15:05:58.000Z",
        "ended_at": "2025-06-15T15:06:40.000Z",
        "hangup_cause": "16",
    }
    told = written(events.Ringing(call))
    assert (told["call_status"], told["request_uuid"]) == ("RINGING", OUTBOUND["request_uuid"])
    told = written(events.Ended("c-1", EndReason(Why.NO_ANSWER)))
    assert "answer_at" not in told
    assert (told["duration"], told["call_status"]) == (0, "NO_ANSWER")
    for notice in (
        events.Offered(CALL, again=True),
        events.Answered(CALL),
        events.DigitPressed("c-1", "1"),
        events.MachineDetected("c-1", "human"),
    ):
        with pytest.raises(Unsupported, match="webhook"):
            SFVOPI.write_webhook(notice, HOOK)


# --- answers ---------------------------------------------------------------------------------


def test_the_answer() -> None:
    answer = SFVOPI.answer(CALL, OFFER)
    assert answer.flow is None
    assert answer.response.status == 200
    assert answer.response.json() == {
        "stream": {
            "url": "wss://agent.example.com/sfvopi/media/tok.en-1",
            "codec": "PCMA",
            "sample_rate": 8000,
            "direction": "BOTH",
            "bidirectional": True,
            "stream_timeout": 86400,
            "extra_headers": {"X-Call-UUID": CALL_ID},
        }
    }


@pytest.mark.parametrize(
    ("audio", "codec", "rate"), [(PCMU_8K, "PCMU", 8000), (L16_24K, "L16", 24000)], ids=str
)
def test_an_answer_in_another_codec(audio: AudioFormat, codec: str, rate: int) -> None:
    offer = Offer(stream_url="wss://a", token="t", hooks=HOOKS, audio=audio)
    answer = SFVOPI.answer(CALL, offer)
    told = answer.response.json()["stream"]
    assert (told["codec"], told["sample_rate"]) == (codec, rate)
    (step,) = SFVOPI.read_answer(answer.response)
    assert step == seam.OpenStream(
        url="wss://a/t", headers={"X-Call-UUID": CALL_ID}, audio=audio, blocking=True
    )


def test_parameters_are_headers_of_the_upgrade() -> None:
    offer = Offer(
        stream_url="wss://a",
        token="t",
        hooks=HOOKS,
        audio=PCMA_8K,
        parameters={"X-Lang": "hi IN"},
    )
    (step,) = SFVOPI.read_answer(SFVOPI.answer(CALL, offer).response)
    assert isinstance(step, seam.OpenStream)
    assert step.headers == {"X-Call-UUID": CALL_ID, "X-Lang": "hi IN"}


@pytest.mark.parametrize(
    "parameters", [{"a b": "x"}, {"": "x"}, {"a": "x\r\nb: y"}, {"a": "ü"}, {"a:": "x"}]
)
def test_parameters_that_are_no_headers(parameters: dict[str, str]) -> None:
    offer = Offer(
        stream_url="wss://a", token="t", hooks=HOOKS, audio=PCMA_8K, parameters=parameters
    )
    with pytest.raises(Unsupported, match="headers"):
        SFVOPI.answer(CALL, offer)


@pytest.mark.parametrize("why", list(Dismissal))
def test_a_dismissal_is_an_answer_that_failed(why: Dismissal) -> None:
    answer = SFVOPI.dismiss(CALL, why)
    assert answer.flow is None
    assert answer.response.status == 503
    assert SFVOPI.read_answer(answer.response) == [seam.Reject()]


def test_the_guides_answer() -> None:
    """The minimal one, docs.superfone.dev, Pipecat guide, 2026-11-20."""
    stream = {
        "url": "wss://host.example/ws",
        "codec": "PCMA",
        "sample_rate": 8000,
        "direction": "BOTH",
        "extra_headers": {"X-Call-UUID": "c-1"},
    }
    assert SFVOPI.read_answer(Response.of_json({"stream": stream})) == [
        seam.OpenStream(url="wss://host.example/ws", headers={"X-Call-UUID": "c-1"}, audio=PCMA_8K)
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "https://host.example"},
        {"codec": "OPUS"},
        {"sample_rate": 16000},
        {"direction": "INBOUND"},
        {"url": None},
    ],
)
def test_answers_superfone_would_refuse(changed: dict[str, Any]) -> None:
    stream = {"url": "wss://a.example", "codec": "PCMA", "sample_rate": 8000, "direction": "BOTH"}
    assert SFVOPI.read_answer(Response.of_json({"stream": stream}))
    with pytest.raises(RemoteProtocolError):
        SFVOPI.read_answer(Response.of_json({"stream": stream | changed}))


@pytest.mark.parametrize(
    "response", [Response(204), Response(500), Response(200), Response.of_json({"stream": None})]
)
def test_answers_that_are_none(response: Response) -> None:
    with pytest.raises(RemoteProtocolError):
        SFVOPI.read_answer(response)


# --- control ---------------------------------------------------------------------------------


def test_dial() -> None:
    wish = seam.Dial(
        to="+919876543210", from_="+918041234567", offer=OFFER, ring_timeout=25, max_duration=600
    )
    flow = SFVOPI.dial(wish)
    request = next(flow)
    assert (request.method, request.url) == ("POST", CALLS)
    assert request.headers["x-api-key"] == "sfv-1"
    assert not request.repeatable
    # docs.superfone.dev, Initiate Outbound Call: names, limits.
    assert request.json() == {
        "from": "+918041234567",
        "to": "+919876543210",
        "answer_url": f"{HOOKS.base}/answer?key=0a1b2c3d",
        "answer_method": "POST",
        "ring_url": f"{HOOKS.base}/status?key=0a1b2c3d",
        "ring_method": "POST",
        "hangup_url": f"{HOOKS.base}/status?key=0a1b2c3d",
        "hangup_method": "POST",
        "call_time_limit": 600,
        "ring_timeout": 25,
    }
    told = {"data": {"request_uuid": "sfv_ob_req_1", "status": "queued"}, "message": "success"}
    with pytest.raises(StopIteration) as done:
        flow.send(Response.of_json(told))
    assert done.value.value == "sfv_ob_req_1"


@pytest.mark.parametrize(
    ("given", "limits"), [((0, 0), (1, 1)), ((10**6, 10**6), (86400, 600)), ((60, 5), (60, 5))]
)
def test_dial_keeps_within_their_limits(given: tuple[int, int], limits: tuple[int, int]) -> None:
    wish = seam.Dial(to="+1", from_="+2", offer=OFFER, max_duration=given[0], ring_timeout=given[1])
    body = next(SFVOPI.dial(wish)).json()
    assert (body["call_time_limit"], body["ring_timeout"]) == limits


@pytest.mark.parametrize(
    ("response", "says", "retryable"),
    [
        (
            Response.of_json(
                {"message": "VoIP number +918041234567 is not linked to any SFVoPI app"}, 400
            ),
            r"HTTP 400 \(VoIP number \(number\) is not linked",
            False,
        ),
        (
            Response.of_json({"message": "UnAuthorized, Please Provide Valid API Key"}, 401),
            "UnAuthorized",
            False,
        ),
        (Response(429, {"retry-after": "7"}), "HTTP 429$", True),
        (Response.of_json({"message": 7}, 500), "HTTP 500$", True),
    ],
)
def test_a_call_that_is_not_placed(response: Response, says: str, retryable: bool) -> None:
    flow = SFVOPI.dial(seam.Dial(to="+1", from_="+2", offer=OFFER))
    next(flow)
    with pytest.raises(CarrierError, match=says) as caught:
        flow.send(response)
    assert caught.value.retryable is retryable
    assert caught.value.retry_after == response.retry_after


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":{}}', b'{"data":{"request_uuid":null}}'])
def test_an_answer_without_an_id(body: bytes) -> None:
    flow = SFVOPI.dial(seam.Dial(to="+1", from_="+2", offer=OFFER))
    next(flow)
    with pytest.raises(RemoteProtocolError):
        flow.send(Response(200, {}, body))


def apps(ours: Sfvopi, response: Response) -> list[str]:
    flow = ours.check()
    request = next(flow)
    assert (request.method, request.url) == (
        "GET",
        "https://prod-api.superfone.co.in/superfone/sfvopi/apps",
    )
    assert request.headers["x-api-key"] == "sfv-1"
    with pytest.raises(StopIteration) as done:
        flow.send(response)
    return list(done.value.value)


def test_the_account_is_looked_over() -> None:
    """docs.superfone.dev, List Apps, 2026-11-21."""
    told = {
        "data": [
            {
                "app_id": "sfv_app_abc123xyz456",
                "org_id": 12345,
                "name": "Production Voice App",
                "answer_url": f"{HOOK}?key=0a1b2c3d",
                "answer_method": "POST",
                "hangup_url": None,
                "fallback_answer_url": None,
                "status": "ACTIVE",
            },
            {"name": "Test Voice App", "answer_url": f"{HOOK}?key=another-secret"},
        ],
        "message": "success",
    }
    ours = example(Sfvopi)
    assert isinstance(ours, Sfvopi)
    right, wrong = apps(ours, Response.of_json(told))
    assert right == f"app 'Production Voice App' asks {HOOK}"
    assert wrong.startswith(f"app 'Test Voice App' asks {HOOK} without SFVOPI_WEBHOOK_SECRET")
    assert "another-secret" not in wrong
    bare = example(Sfvopi, webhook_secret="")
    assert isinstance(bare, Sfvopi)
    assert apps(bare, Response.of_json({"data": []})) == [
        "SFVOPI_WEBHOOK_SECRET is not set: no calls can be taken or placed"
    ]
    assert Exchange(SFVOPI).run(SFVOPI.check()) == []
    with pytest.raises(CarrierError, match="list the account's apps: HTTP 401"):
        Exchange(example(Sfvopi, api_key="x")).run(SFVOPI.check())


# --- the simulated REST API ------------------------------------------------------------------

LOGIN = {"x-api-key": "sfv-1"}


def test_platform_doors() -> None:
    exchange = Exchange(SFVOPI)
    for key in ({}, {"x-api-key": "x"}):
        answer = exchange.rest(Request.of_json("POST", CALLS, {}, key))
        assert answer.status == 401
        assert answer.json() == {"message": "UnAuthorized, Please Provide Valid API Key"}
    for request in (Request.get(CALLS, LOGIN), Request.of_json("POST", f"{CALLS}/c", {}, LOGIN)):
        assert exchange.rest(request).status == 404


def test_platform_creates() -> None:
    exchange = Exchange(SFVOPI)
    wish = {"to": "+1", "from": "+2", "answer_url": "https://a.example/x"}
    for name in wish:
        missing = {key: value for key, value in wish.items() if key != name}
        assert exchange.rest(Request.of_json("POST", CALLS, missing, LOGIN)).status == 400
    assert exchange.commands == []
    told = exchange.rest(Request.of_json("POST", CALLS, wish, LOGIN)).json()
    (placed,) = exchange.commands
    assert isinstance(placed, seam.Place)
    assert (placed.ring_timeout, placed.status_url) == (60.0, "")
    request_uuid = told["data"]["request_uuid"]
    assert request_uuid == placed.dial_id
    assert request_uuid.startswith("sfv_ob_req_")
    assert len(request_uuid) == len("sfv_ob_req_a8k3m2x9p1z0")
    assert (told["data"]["status"], told["message"]) == ("queued", "success")
