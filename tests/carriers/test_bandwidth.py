"""Bandwidth: its golden table, its BXML, its webhooks as captured, its REST and tokens."""

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from golden import Golden, Row, check_read, check_written, example, stream_ends

from exchange import Exchange
from trunkline import carrier as seam
from trunkline import events
from trunkline.carrier import Dismissal, Hooks, Offer, Purpose
from trunkline.carriers.bandwidth import Bandwidth
from trunkline.errors import (
    BadSignature,
    CallEnded,
    CarrierError,
    ConfigError,
    LocalProtocolError,
    RemoteProtocolError,
    Unsupported,
)
from trunkline.events import CallInfo, CallState, Direction, EndReason, Started, Who, Why
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMA_8K, PCMU_8K, AudioFormat
from trunkline.web import Request, Response, basic_auth

TOOLKIT = "Bandwidth/migration-toolkit, captured frames"
SERIALIZER = "pipecat-bandwidth, serializer.py"
OLD_DOCS = "dev.bandwidth.com/docs/voice/bxml/startStream (2023)"

MULAW = bytes.fromhex("ff7f80007e8090ff")
STARTED = Started(
    call_id="c-15ac29a2-1331029c-2cb0-4a07-b215-b22865662d85",
    account_id="9900000",
    stream_id="s-95ac90b3-e9cd80fa-fca7-4d12-9109-2990afe4d8c5",
    stream_name="s1",
    inbound=PCMU_8K,
    outbound=PCMU_8K,
    parameters={"k": "v"},
)
METADATA = (
    f'"metadata":{{"accountId":"9900000","callId":"{STARTED.call_id}",'
    f'"streamId":"{STARTED.stream_id}","streamName":"s1","tracks":[{{"name":"inbound",'
    '"mediaFormat":{"encoding":"PCMU","sampleRate":8000}}]}'
)
LONG = "audio/pcm;rate={};channels=1;bit-depth=16;endian=little;encoding=signed"

GOLDEN = Golden(
    STARTED,
    counters=frozenset({"sequenceNumber"}),
    rows=(
        Row(
            "carrier",
            STARTED,
            f'{{"eventType":"start",{METADATA},"streamParams":{{"k":"v"}}}}',
            TOOLKIT,
            "2026-09-25",
        ),
        Row(
            "carrier",
            STARTED,
            f'{{{METADATA.replace("PCMU", "audio/PCMU")},"streamParams":{{"k":"v"}},'
            '"eventType":"start"}',
            OLD_DOCS,
            "2023-11-01",
            written=False,
        ),
        Row(
            "carrier",
            events.Audio(MULAW),
            '{"track":"inbound","payload":"/3+AAH6AkP8=","sequenceNumber":"1","eventType":"media"}',
            TOOLKIT,
            "2026-09-25",
        ),
        Row(
            "carrier",
            events.Audio(MULAW),
            '{"eventType":"media","track":"inbound","payload":"/3+AAH6AkP8="}',
            OLD_DOCS,
            "2023-11-01",
            written=False,
        ),
        Row(
            "carrier",
            events.Audio(MULAW),
            '{"sequenceNumber":7,"eventType":"media","track":"inbound","payload":"/3+AAH6AkP8="}',
            "made up: a number that is one",
            "2026-11-01",
            written=False,
        ),
        Row(
            "carrier",
            None,
            '{"track":"outbound","payload":"/3+AAH6AkP8=","sequenceNumber":"2","eventType":"media"}',
            SERIALIZER,
            "2026-06-18",
            written=False,
        ),
        Row(
            "carrier",
            events.Stopped(),
            f'{{"eventType":"stop",{METADATA}}}',
            TOOLKIT,
            "2026-09-25",
        ),
        Row(
            "carrier",
            events.Extra("mediaLater", {"a": 1}),
            '{"eventType":"mediaLater","a":1}',
            "made up: an event Bandwidth may add",
            "2026-11-01",
        ),
        Row(
            "bot",
            events.Audio(MULAW, format=PCMU_8K),
            '{"eventType":"playAudio",'
            '"media":{"contentType":"audio/pcmu","payload":"/3+AAH6AkP8="}}',
            SERIALIZER,
            "2026-06-18",
        ),
        Row("bot", events.Clear(), '{"eventType":"clear"}', SERIALIZER, "2026-06-18"),
        Row(
            "bot",
            events.Extra("playLater", {"a": 1}),
            '{"eventType":"playLater","a":1}',
            "made up: an event Bandwidth may take",
            "2026-11-01",
        ),
    ),
)

BANDWIDTH = example(Bandwidth)
CALL = CallInfo(carrier="bandwidth", call_id=STARTED.call_id, account_id="9900000")
HOOKS = Hooks("https://agent.example.com/bandwidth")
OFFER = Offer(
    stream_url="wss://agent.example.com/bandwidth/media",
    token="tok.en-1",
    hooks=HOOKS,
    audio=PCMU_8K,
    parameters={"who": 'Jane & "John" <x>'},
)
API = "https://voice.bandwidth.com/api/v2/accounts/9900000"
TOKENS = "https://api.bandwidth.com/api/v1/oauth2/token"


# --- wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN.rows)
def test_golden_read(row: Row) -> None:
    check_read(BANDWIDTH, GOLDEN, row)


@pytest.mark.parametrize("row", [row for row in GOLDEN.rows if row.written])
def test_golden_written(row: Row) -> None:
    check_written(BANDWIDTH, GOLDEN, row)


@pytest.mark.parametrize(
    ("audio", "content_type"),
    [
        (PCMU_8K, "audio/pcmu"),
        (L16_8K, LONG.format(8000)),
        (L16_16K, LONG.format(16000)),
        (L16_24K, LONG.format(24000)),
    ],
    ids=str,
)
def test_our_audio_names_its_own_format(audio: AudioFormat, content_type: str) -> None:
    """pipecat-bandwidth, serializer.py, 2026-06-18: the long form."""
    bot = BANDWIDTH.bot_end(audio)
    bot.send(events.Audio(b"\1\0\2\0"))
    (message,) = bot.outgoing()
    media = {"contentType": content_type, "payload": "AQACAA=="}
    assert json.loads(message) == {"eventType": "playAudio", "media": media}
    heard = BANDWIDTH.carrier_end(audio).receive(message)
    assert list(heard) == [events.Audio(b"\1\0\2\0", format=audio)]


def test_a_start_without_parameters_or_tracks() -> None:
    end = BANDWIDTH.carrier_end(PCMU_8K)
    end.send(Started(call_id="c-1", inbound=PCMU_8K, outbound=PCMU_8K))
    assert "streamParams" not in json.loads(end.outgoing()[0])
    bot = BANDWIDTH.bot_end(L16_16K)
    (started,) = bot.receive('{"eventType":"start","metadata":{"callId":"c-1"}}')
    assert started == Started(call_id="c-1", inbound=PCMU_8K, outbound=L16_16K)
    (started,) = bot.receive('{"eventType":"start","metadata":{"callId":"c-1","tracks":[{}]}}')
    assert isinstance(started, Started)


@pytest.mark.parametrize(
    "heard", ['{"encoding":"PCMA","sampleRate":8000}', '{"encoding":"PCMU","sampleRate":16000}']
)
def test_audio_that_is_not_mulaw_is_refused_before_any_arrives(heard: str) -> None:
    start = '{"eventType":"start","metadata":{"callId":"c-1","tracks":[{"mediaFormat":%s}]}}'
    with pytest.raises(RemoteProtocolError, match="PCMU"):
        BANDWIDTH.bot_end(PCMU_8K).receive(start % heard)


@pytest.mark.parametrize(
    ("content_type", "payload"),
    [("audio/wav", "AAA="), ("audio/PCMA", "AAA="), (LONG.format(8000), "AA==")],
)
def test_audio_that_bandwidth_could_not_play(content_type: str, payload: str) -> None:
    message = {
        "eventType": "playAudio",
        "media": {"contentType": content_type, "payload": payload},
    }
    with pytest.raises(RemoteProtocolError, match="contentType"):
        BANDWIDTH.carrier_end(PCMU_8K).receive(json.dumps(message))


def test_what_the_socket_cannot_carry() -> None:
    bot, theirs = stream_ends(BANDWIDTH, STARTED)
    for event in (events.Mark("m"), events.Digits("1"), events.Extra("clear", {})):
        with pytest.raises(LocalProtocolError, match="carry"):
            bot.send(event)
    for event in (events.Digit("1"), events.Mark("m"), events.Extra("media", {})):
        with pytest.raises(LocalProtocolError, match="never"):
            theirs.send(event)
    with pytest.raises(LocalProtocolError, match="Started"):
        BANDWIDTH.carrier_end(PCMU_8K).send(events.Stopped())
    with pytest.raises(Unsupported, match="PCMA"):
        BANDWIDTH.bot_end(PCMA_8K)


# --- door ------------------------------------------------------------------------------------

HOOK = "https://agent.example.com/bandwidth/answer"


def test_basic_auth_vector() -> None:
    """RFC 7617 as Bandwidth's documentation uses it: user u, password p."""
    ours = example(Bandwidth, webhook_username="u", webhook_password="p")
    assert ours.sign(Request.get(HOOK)).headers["authorization"] == "Basic dTpw"
    ours.verify(Request.get(HOOK, {"authorization": "Basic dTpw"}))
    ours.verify(Request.get(HOOK, {"authorization": "basic  dTpw"}))


@pytest.mark.parametrize(
    "authorization", ["", "Basic", "Basic dTpx", "Bearer dTpw", "Basic é", "Basic dTpw\ud800"]
)
def test_other_credentials_are_asked_for(authorization: str) -> None:
    ours = example(Bandwidth, webhook_username="u", webhook_password="p")
    with pytest.raises(BadSignature) as caught:
        ours.verify(Request.get(HOOK, {"authorization": authorization}))
    assert caught.value.challenge is not None
    assert caught.value.challenge.startswith('Basic realm="')


@pytest.mark.parametrize("missing", ["webhook_username", "webhook_password"])
def test_without_credentials_no_webhook_is_taken(missing: str) -> None:
    ours = example(Bandwidth, **{missing: ""})
    with pytest.raises(BadSignature, match="BANDWIDTH_WEBHOOK"):
        ours.verify(ours.sign(Request.get(HOOK)))


# --- webhooks --------------------------------------------------------------------------------

# Captured 2026-06-10 (Bandwidth/migration-toolkit, test/fixtures; ids changed).
INITIATE = {
    "eventType": "initiate",
    "eventTime": "2026-06-10T19:15:19.624Z",
    "accountId": "9900000",
    "applicationId": "04e88489-df02-4e34-a0ee-27a91849555f",
    "callId": "c-15ac29a2-1331029c-2cb0-4a07-b215-b22865662d85",
    "callUrl": "https://voice.bandwidth.com/api/v2/accounts/9900000/calls/c-15ac29a2",
    "from": "+15551112222",
    "to": "+15553334444",
    "direction": "inbound",
    "startTime": "2026-06-10T19:15:19.622Z",
    "privacy": False,
    "callerDisplayName": "",
}


def hook(purpose: Purpose = Purpose.STATUS, **fields: Any) -> list[Any]:
    request = Request.of_json("POST", HOOK, {"callId": "c-1"} | fields)
    return list(BANDWIDTH.read_webhook(request, purpose))


def test_an_inbound_call_as_captured() -> None:
    (offered,) = hook(Purpose.ANSWER, **INITIATE)
    call = offered.call
    assert (call.call_id, call.account_id) == (STARTED.call_id, "9900000")
    assert (call.from_, call.to) == ("+15551112222", "+15553334444")
    assert (call.direction, call.tag) == (Direction.INBOUND, "")
    assert (offered.again, offered.transfer) == (False, None)
    assert call.raw == INITIATE


def test_an_application_set_to_get() -> None:
    query = "eventType=initiate&callId=c-1&from=%2B15551112222&to=%2B1&direction=inbound"
    (offered,) = BANDWIDTH.read_webhook(Request.get(f"{HOOK}?{query}"), Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert offered.call.from_ == "+15551112222"


def test_an_outbound_call_that_was_answered() -> None:
    """dev.bandwidth.com/docs/voice/webhooks/answer."""
    fields = {"eventType": "answer", "direction": "outbound", "tag": "example-tag"}
    (offered,) = hook(Purpose.ANSWER, **fields)
    assert (offered.call.direction, offered.call.tag) == (Direction.OUTBOUND, "example-tag")
    result = {"value": "answering-machine", "duration": "PT4.9S"}
    offered, machine = hook(Purpose.ANSWER, **fields, machineDetectionResult=result)
    assert machine == events.MachineDetected("c-1", "machine", "answering-machine")


def test_asked_how_to_go_on() -> None:
    (offered,) = hook(Purpose.AFTER, eventType="redirect")
    assert (offered.again, offered.transfer) == (True, None)


@pytest.mark.parametrize(
    ("cause", "why", "who"),
    [
        # dev.bandwidth.com/docs/voice/webhooks/disconnect: the list, which is not exhaustive.
        ("hangup", Why.COMPLETED, Who.UNKNOWN),
        ("busy", Why.BUSY, Who.UNKNOWN),
        ("timeout", Why.NO_ANSWER, Who.UNKNOWN),
        ("cancel", Why.CANCELLED, Who.UNKNOWN),
        ("rejected", Why.REJECTED, Who.UNKNOWN),
        ("callback-error", Why.NETWORK, Who.CARRIER),
        ("invalid-bxml", Why.PROTOCOL, Who.CARRIER),
        ("application-error", Why.PROTOCOL, Who.CARRIER),
        ("account-limit", Why.LIMIT, Who.CARRIER),
        ("node-capacity-exceeded", Why.LIMIT, Who.CARRIER),
        ("error", Why.FAILED, Who.CARRIER),
        ("unknown", Why.UNKNOWN, Who.UNKNOWN),
        ("new-cause", Why.UNKNOWN, Who.UNKNOWN),
    ],
)
def test_causes(cause: str, why: Why, who: Who) -> None:
    (ended,) = hook(eventType="disconnect", cause=cause)
    assert ended == events.Ended("c-1", EndReason(why, who, cause))
    (offered,) = hook(Purpose.AFTER, eventType="transferComplete", cause=cause)
    assert (offered.again, offered.transfer) == (True, why)


def test_how_long_a_call_lasted() -> None:
    ends = {"eventType": "disconnect", "cause": "hangup", "endTime": "2019-06-20T15:55:54.123Z"}
    (ended,) = hook(**ends, answerTime="2019-06-20T15:54:25.432Z")
    assert ended.duration_s == pytest.approx(88.691)
    for unclear in ("", "yesterday", "2019-06-20T15:54:25.432", 5, None):
        (ended,) = hook(**ends, answerTime=unclear)
        assert ended.duration_s is None


@pytest.mark.parametrize(
    ("word", "result"),
    [
        # dev.bandwidth.com/docs/voice/webhooks/machineDetectionComplete.
        ("human", "human"),
        ("answering-machine", "machine"),
        ("tone-detected", "machine"),
        ("silence", "unknown"),
        ("timeout", "unknown"),
        ("error", "unknown"),
    ],
)
def test_machine_detection(word: str, result: str) -> None:
    found = hook(eventType="machineDetectionComplete", machineDetectionResult=word)
    assert found == [events.MachineDetected("c-1", result, word)]


def test_a_key() -> None:
    assert hook(Purpose.DIGITS, eventType="dtmf", digit="7") == [events.DigitPressed("c-1", "7")]


def test_a_stream_s_events_say_nothing_of_the_call_and_do_not_repeat_its_token() -> None:
    """dev.bandwidth.com/docs/voice/webhooks/mediaStreamStopped."""
    stream = {"destination": "wss://agent.example.com/bandwidth/media/tok.en-1", "name": "s1"}
    fields = {"eventType": "mediaStreamStopped", "cause": "closed", "mediaStream": stream}
    (other,) = hook(**fields)
    assert other == events.Other("mediaStreamStopped", "c-1", {"callId": "c-1", "cause": "closed"})


def test_webhooks_that_are_none() -> None:
    for fields in ({"eventType": 5}, {}, {"eventType": "dtmf", "callId": ""}):
        with pytest.raises(RemoteProtocolError, match="eventType or callId"):
            hook(**fields)
    with pytest.raises(RemoteProtocolError, match="JSON"):
        BANDWIDTH.read_webhook(Request(method="POST", url=HOOK, body=b"[]"), Purpose.ANSWER)


def written(notice: events.Notice) -> dict[str, Any]:
    request = BANDWIDTH.write_webhook(notice, HOOK)
    assert request.headers["content-type"] == "application/json"
    return request.json()


def test_webhooks_as_bandwidth_writes_them() -> None:
    call = CallInfo(
        carrier="bandwidth", call_id="c-1", from_="+15551112222", to="+15553334444", tag="t"
    )
    told = written(events.Offered(call))
    assert told == {
        "eventType": "initiate",
        "eventTime": "2025-06-15T15:06:40.000Z",
        "accountId": "9900000",
        "applicationId": "app-1",
        "callId": "c-1",
        "callUrl": f"{API}/calls/c-1",
        "from": "+15551112222",
        "to": "+15553334444",
        "direction": "inbound",
        "tag": "t",
    }
    outbound = CallInfo(carrier="bandwidth", call_id="c-1", direction=Direction.OUTBOUND)
    assert written(events.Offered(outbound))["eventType"] == "answer"
    assert "tag" not in written(events.Offered(outbound))
    assert written(events.Offered(call, again=True))["eventType"] == "redirect"
    back = written(events.Offered(call, again=True, transfer=Why.NO_ANSWER))
    assert (back["eventType"], back["cause"]) == ("transferComplete", "timeout")
    key = written(events.DigitPressed("c-1", "#"))
    assert (key["eventType"], key["callId"], key["digit"]) == ("dtmf", "c-1", "#")
    machine = written(events.MachineDetected("c-1", "machine"))
    assert machine["machineDetectionResult"] == "answering-machine"
    ended = written(events.Ended("c-1", EndReason(Why.BUSY)))
    assert (ended["cause"], "endTime" in ended) == ("busy", False)
    ended = written(events.Ended("c-1", EndReason(Why.DRAIN), duration_s=1.5))
    assert ended["cause"] == "hangup"
    assert ended["answerTime"] == "2025-06-15T15:06:38.500Z"
    assert ended["endTime"] == "2025-06-15T15:06:40.000Z"
    other = written(events.Other("mediaStreamStarted", "c-1", {"cause": "x"}))
    assert (other["eventType"], other["cause"]) == ("mediaStreamStarted", "x")
    for notice in (events.Ringing(call), events.Answered(call)):
        with pytest.raises(Unsupported, match="no webhook"):
            BANDWIDTH.write_webhook(notice, HOOK)


# --- answers ---------------------------------------------------------------------------------


def shape(node: ET.Element) -> object:
    return node.tag, dict(node.attrib), node.text or "", [shape(child) for child in node]


def test_the_answer_holds_the_call_while_the_stream_lives() -> None:
    """Shape A of the documentation of StopStream (2026): wait, then go on; never a long pause."""
    answer = BANDWIDTH.answer(CALL, OFFER)
    assert answer.flow is None
    assert answer.response.headers["content-type"] == "application/xml"
    login = {"username": "user", "password": "pw"}
    gather, start, stop, redirect, hangup = ET.fromstring(answer.response.body)
    assert shape(gather) == (
        "StartGather",
        {"dtmfUrl": f"{HOOKS.base}/digits", "dtmfMethod": "POST", **login},
        "",
        [],
    )
    name = start.get("name")
    assert shape(start) == (
        "StartStream",
        {
            "name": name,
            "mode": "bidirectional",
            "tracks": "inbound",
            "destination": "wss://agent.example.com/bandwidth/media/tok.en-1",
            "streamEventUrl": f"{HOOKS.base}/status",
            "streamEventMethod": "POST",
            **login,
        },
        "",
        [("StreamParam", {"name": "who", "value": 'Jane & "John" <x>'}, "", [])],
    )
    assert shape(stop) == ("StopStream", {"name": name, "wait": "true"}, "", [])
    assert shape(redirect) == (
        "Redirect",
        {"redirectUrl": f"{HOOKS.base}/after", "redirectMethod": "POST", **login},
        "",
        [],
    )
    assert shape(hangup) == ("Hangup", {}, "", [])


def changed(**fields: Any) -> Offer:
    kept = {name: getattr(OFFER, name) for name in OFFER.__struct_fields__}
    return Offer(**(kept | fields))


def test_each_stream_has_a_name_of_its_own_that_does_not_tell_its_token() -> None:
    def name(offer: Offer) -> str:
        start = ET.fromstring(BANDWIDTH.answer(CALL, offer).response.body)[1]
        return start.get("name", "")

    assert name(OFFER) == name(OFFER)
    assert name(OFFER) != name(changed(token="another"))
    assert OFFER.token not in name(OFFER)


def test_without_callback_credentials_none_are_written() -> None:
    ours = example(Bandwidth, webhook_username="", webhook_password="")
    assert b"username" not in ours.answer(CALL, OFFER).response.body


def test_offers_that_cannot_be_carried() -> None:
    for impossible in (
        {"audio": PCMA_8K},
        {"parameters": {str(n): "" for n in range(13)}},
        {"parameters": {"n" * 257: ""}},
        {"parameters": {"n": "v" * 2049}},
    ):
        with pytest.raises(Unsupported):
            BANDWIDTH.answer(CALL, changed(**impossible))
    most = {f"{n:0256}": "v" * 2048 for n in range(12)}
    BANDWIDTH.answer(CALL, changed(parameters=most, audio=L16_24K))


def test_the_answer_as_the_simulated_carrier_reads_it() -> None:
    keys, stream, *rest = BANDWIDTH.read_answer(BANDWIDTH.answer(CALL, OFFER).response)
    assert keys == seam.CollectDigits(f"{HOOKS.base}/digits")
    assert isinstance(stream, seam.OpenStream)
    assert (stream.url, stream.blocking) == (OFFER.token_url, True)
    assert stream.parameters == OFFER.parameters
    assert stream.name.startswith("t-")
    assert rest == [
        seam.Redirect(f"{HOOKS.base}/after", "POST"),
        seam.Hangup(),
    ]
    for why in Dismissal:
        assert BANDWIDTH.read_answer(BANDWIDTH.dismiss(CALL, why).response) == [seam.Hangup()]


def bxml(verbs: str) -> Response:
    return Response(body=f"<Response>{verbs}</Response>".encode())


def test_verbs_as_the_simulated_carrier_reads_them() -> None:
    """Spelled as in the pages of dev.bandwidth.com/docs/voice/bxml (2023 to 2026)."""
    bare = "<StartStream destination='wss://a.example/x' mode='bidirectional'/>"
    assert BANDWIDTH.read_answer(
        bxml(
            f"{bare}<Pause duration='600'/><SendDtmf toneDuration='200'>12#</SendDtmf>"
            "<StopGather/><StopStream name='s' wait='true'/><Redirect redirectUrl='/x'/>"
            "<Transfer transferCallerId='+1' transferCompleteUrl='/t'>"
            "<PhoneNumber>+15551234567</PhoneNumber></Transfer><Transfer/><SendDtmf/><Pause/>"
        )
    ) == [
        seam.OpenStream(url="wss://a.example/x", blocking=False),
        seam.Pause(600.0),
        seam.SendTones("12#"),
        seam.CollectDigits(""),
        seam.AwaitStream("s"),
        seam.Redirect("/x", "POST"),
        seam.TransferTo(to="+15551234567", from_="+1", then_url="/t"),
        seam.TransferTo(to=""),
        seam.SendTones(""),
        seam.Pause(1.0),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Bxml/>",
        b"<Response><Dance/></Response>",
        b"<Response><StartStream destination='https://a.example'/></Response>",
        b"<Response><StartStream destination='wss://a.example'/></Response>",
        b"<Response><StopStream name='s'/></Response>",
        b"<Response><StopStream name='s' wait='True'/></Response>",
    ],
)
def test_documents_that_bandwidth_would_refuse_or_that_leave_a_bot_deaf(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        BANDWIDTH.read_answer(Response(body=body))


def test_an_answer_that_failed() -> None:
    with pytest.raises(RemoteProtocolError, match="callback-error"):
        BANDWIDTH.read_answer(Response(500))


# --- control ---------------------------------------------------------------------------------

TOKEN = Response.of_json({"access_token": "at", "token_type": "Bearer", "expires_in": 3600})


def finish(flow: Any, answer: Response) -> Any:
    with pytest.raises(StopIteration) as done:
        flow.send(answer)
    return done.value.value


def fault(status: int, kind: str = "validation", description: str = "no") -> Response:
    """dev.bandwidth.com/docs/voice/errors."""
    return Response.of_json({"type": kind, "description": description, "id": None}, status)


def logged_in() -> Bandwidth:
    """A carrier that holds an access token."""
    ours = example(Bandwidth)
    flow = ours.state(CALL)
    next(flow)
    flow.send(TOKEN)
    finish(flow, Response.of_json({"state": "answered"}))
    assert isinstance(ours, Bandwidth)
    return ours


def test_the_login() -> None:
    flow = example(Bandwidth).hang_up(CALL)
    login = next(flow)
    assert (login.method, login.url) == ("POST", TOKENS)
    assert login.form() == [("grant_type", "client_credentials")]
    assert login.headers["authorization"] == basic_auth("cid", "cs")
    order = flow.send(TOKEN)
    assert (order.method, order.url) == ("POST", f"{API}/calls/{CALL.call_id}")
    assert order.json() == {"state": "completed"}
    assert order.headers["authorization"] == "Bearer at"
    assert order.headers["content-type"] == "application/json"
    assert order.repeatable
    finish(flow, Response())


def test_all_calls_share_one_token_until_a_minute_before_its_end() -> None:
    now = [1000.0]
    credentials = Bandwidth.examples()
    ours = Bandwidth(credentials, clock=lambda: now[0])
    flow = ours.hang_up(CALL)
    next(flow)
    flow.send(TOKEN)
    now[0] += 3539.0
    assert next(ours.hang_up(CALL)).url != TOKENS
    now[0] += 1.0
    assert next(ours.hang_up(CALL)).url == TOKENS


def test_a_token_that_does_not_say_how_long_it_lives() -> None:
    now = [1000.0]
    credentials = Bandwidth.examples()
    ours = Bandwidth(credentials, clock=lambda: now[0])
    flow = ours.hang_up(CALL)
    next(flow)
    flow.send(Response.of_json({"access_token": "at"}))
    now[0] += 3539.0
    assert next(ours.hang_up(CALL)).url != TOKENS


def test_a_refused_token_is_renewed_once() -> None:
    ours = logged_in()
    flow = ours.hang_up(CALL)
    assert next(flow).headers["authorization"] == "Bearer at"
    assert flow.send(fault(401)).url == TOKENS
    again = flow.send(Response.of_json({"access_token": "at2", "expires_in": 3600}))
    assert again.headers["authorization"] == "Bearer at2"
    with pytest.raises(CarrierError, match="HTTP 401"):
        flow.send(fault(401))


def test_a_login_that_is_refused() -> None:
    flow = example(Bandwidth).hang_up(CALL)
    next(flow)
    with pytest.raises(CarrierError, match="log in: HTTP 401"):
        flow.send(Response(401, body=b'{"error":"invalid_client"}'))
    flow = example(Bandwidth).hang_up(CALL)
    next(flow)
    with pytest.raises(RemoteProtocolError):
        flow.send(Response(200, body=b"<html>"))


def test_hanging_up_a_call_that_is_over() -> None:
    flow = logged_in().hang_up(CALL)
    next(flow)
    finish(flow, fault(404, description=f"Call [{CALL.call_id}] not found"))
    flow = logged_in().hang_up(CALL)
    next(flow)
    asked = flow.send(fault(409))
    assert (asked.method, asked.url) == ("GET", f"{API}/calls/{CALL.call_id}")
    finish(flow, Response.of_json({"state": "disconnected"}))


def test_hanging_up_a_call_that_is_not_over_but_says_conflict() -> None:
    flow = logged_in().hang_up(CALL)
    next(flow)
    flow.send(fault(409, description="Call [c] cannot be modified in its current state"))
    with pytest.raises(CarrierError, match=r"hang up: HTTP 409 \(validation, Call") as caught:
        flow.send(Response.of_json({"state": "initiated"}))
    assert caught.value.retryable


def test_errors_say_what_bandwidth_said() -> None:
    flow = logged_in().hang_up(CALL)
    next(flow)
    with pytest.raises(CarrierError, match="system-overloaded") as caught:
        flow.send(fault(503, "system-overloaded"))
    assert (caught.value.retryable, caught.value.code) == (True, "system-overloaded")
    flow = logged_in().hang_up(CALL)
    next(flow)
    with pytest.raises(CarrierError, match=r"HTTP 403$") as caught:
        flow.send(Response(403))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("word", "state"),
    [
        # bandwidth-sdk, call_state.py: "current possible values", to be tolerated beyond.
        ("queued", CallState.QUEUED),
        ("initiated", CallState.RINGING),
        ("answered", CallState.ACTIVE),
        ("disconnected", CallState.ENDED),
        ("a-new-word", CallState.ACTIVE),
    ],
)
@pytest.mark.parametrize("form", ["%s", " [%s] "])
def test_states(word: str, state: CallState, form: str) -> None:
    flow = logged_in().state(CALL)
    next(flow)
    told = Response(body=(form % f'{{"state":"{word}","callId":"c"}}').encode())
    assert finish(flow, told) is state


def test_states_that_are_not_told() -> None:
    flow = logged_in().state(CALL)
    next(flow)
    assert finish(flow, fault(404)) is CallState.ENDED
    flow = logged_in().state(CALL)
    next(flow)
    with pytest.raises(CarrierError):
        flow.send(fault(500))
    flow = logged_in().state(CALL)
    next(flow)
    with pytest.raises(RemoteProtocolError):
        flow.send(Response(body=b"{}"))


def test_dial() -> None:
    wish = seam.Dial(
        to="+15551112222",
        from_="+15553334444",
        offer=OFFER,
        detect_machine=True,
        ring_timeout=20,
        key="wish-1",
    )
    flow = logged_in().dial(wish)
    request = next(flow)
    login = {"username": "user", "password": "pw"}
    assert (request.method, request.url) == ("POST", f"{API}/calls")
    assert not request.repeatable
    assert request.json() == {
        "to": "+15551112222",
        "from": "+15553334444",
        "applicationId": "app-1",
        "answerUrl": f"{HOOKS.base}/answer",
        "disconnectUrl": f"{HOOKS.base}/status",
        "callTimeout": 20,
        "tag": "wish-1",
        "machineDetection": {"mode": "async", "callbackUrl": f"{HOOKS.base}/status", **login},
        **login,
    }
    assert finish(flow, Response.of_json({"callId": "c-9"}, 201)) == "c-9"
    plain = logged_in().dial(seam.Dial(to="+1", from_="+2", offer=OFFER))
    assert not {"tag", "machineDetection"} & set(next(plain).json())
    with pytest.raises(CarrierError, match="rate limit"):
        plain.send(fault(429, "error", "Account call creation rate limit exceeded"))
    with pytest.raises(ConfigError, match="BANDWIDTH_APPLICATION_ID"):
        next(example(Bandwidth, application_id="").dial(wish))


def document(request: Request) -> ET.Element:
    assert request.method == "PUT"
    assert request.url == f"{API}/calls/{CALL.call_id}/bxml"
    assert request.headers["content-type"] == "application/xml"
    return ET.fromstring(request.body)


def test_transfer() -> None:
    """Names from bandwidth-sdk, bxml/verbs/transfer.py, and the Transfer page."""
    flow = logged_in().transfer(CALL, "+15551234567", from_="+15550000000", hooks=HOOKS)
    gather, transfer, hangup = document(next(flow))
    assert (gather.tag, hangup.tag) == ("StopGather", "Hangup")
    assert shape(transfer) == (
        "Transfer",
        {
            "transferCallerId": "+15550000000",
            "transferCompleteUrl": f"{HOOKS.base}/after",
            "transferCompleteMethod": "POST",
            "username": "user",
            "password": "pw",
        },
        "",
        [("PhoneNumber", {}, "+15551234567", [])],
    )
    finish(flow, Response(204))
    flow = logged_in().transfer(CALL, "sip:a@b.example", from_="", hooks=HOOKS)
    _, transfer, _ = document(next(flow))
    assert shape(transfer[0]) == ("SipUri", {}, "sip:a@b.example", [])
    assert "transferCallerId" not in transfer.attrib
    with pytest.raises(CallEnded, match="transfer"):
        flow.send(fault(404))


def test_keys_keep_the_stream_and_wait_for_it_again() -> None:
    flow = logged_in().send_digits(CALL, "12#w,W", started=STARTED, hooks=HOOKS)
    tones, stop, redirect, hangup = document(next(flow))
    assert shape(tones) == ("SendDtmf", {}, "12#w,W", [])
    assert shape(stop) == ("StopStream", {"name": "s1", "wait": "true"}, "", [])
    assert redirect.get("redirectUrl") == f"{HOOKS.base}/after"
    assert hangup.tag == "Hangup"


@pytest.mark.parametrize("digits", ["", "1 2", "x", "１", "1" * 51])
def test_keys_that_are_none(digits: str) -> None:
    with pytest.raises(ValueError, match="keys"):
        next(BANDWIDTH.send_digits(CALL, digits, started=STARTED, hooks=HOOKS))


def test_an_account_that_could_not_stand_in_a_url() -> None:
    with pytest.raises(ConfigError, match="BANDWIDTH_ACCOUNT_ID"):
        example(Bandwidth, account_id="../1")


# --- the simulated REST API ------------------------------------------------------------------


def bearer(exchange: Exchange) -> dict[str, str]:
    form = {"grant_type": "client_credentials"}
    login = {"authorization": basic_auth("cid", "cs")}
    told = exchange.rest(Request.of_form(TOKENS, form, login)).json()
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 3600)
    return {"authorization": f"Bearer {told['access_token']}"}


def test_platform_tokens() -> None:
    exchange = Exchange(BANDWIDTH)
    for form, login in (
        ({"grant_type": "client_credentials"}, basic_auth("cid", "no")),
        ({"grant_type": "password"}, basic_auth("cid", "cs")),
    ):
        asked = Request.of_form(TOKENS, form, {"authorization": login})
        assert exchange.rest(asked).status == 401


def test_platform_doors() -> None:
    now = [1_750_000_000.0]
    credentials = Bandwidth.examples()
    exchange = Exchange(Bandwidth(credentials, clock=lambda: now[0]))
    exchange.add("c-1")
    login = bearer(exchange)
    one = f"{API}/calls/c-1"
    assert exchange.rest(Request.get(one, login)).status == 200
    for wrong in ("", "Bearer ", "Bearer 9999999999.x", "Bearer é.x", login["authorization"] + "0"):
        answer = exchange.rest(Request.get(one, {"authorization": wrong}))
        assert (answer.status, answer.json()["type"]) == (401, "authentication-error")
    for unknown in (f"{API}/calls/c-2", f"{API}/nothing", f"{one}/recordings"):
        assert exchange.rest(Request.get(unknown, login)).status == 404
    now[0] += 3600.0
    assert exchange.rest(Request.get(one, login)).status == 401


def test_platform_describes() -> None:
    exchange = Exchange(BANDWIDTH)
    exchange.add("c-1", CallState.RINGING, tag="t")
    login = bearer(exchange)
    told = exchange.rest(Request.get(f"{API}/calls/c-1", login)).json()
    assert (told["state"], told["tag"], told["accountId"]) == ("initiated", "t", "9900000")
    assert "disconnectCause" not in told
    exchange.end("c-1", Why.NO_ANSWER)
    told = exchange.rest(Request.get(f"{API}/calls/c-1", login)).json()
    assert (told["state"], told["disconnectCause"]) == ("disconnected", "timeout")


def test_platform_creates() -> None:
    exchange = Exchange(BANDWIDTH)
    login = bearer(exchange)
    wish = {"to": "+1", "from": "+2", "applicationId": "a", "answerUrl": "https://a.example/x"}
    for name in wish:
        missing = {key: value for key, value in wish.items() if key != name}
        answer = exchange.rest(Request.of_json("POST", f"{API}/calls", missing, login))
        assert (answer.status, answer.json()["type"]) == (400, "validation")
    answer = exchange.rest(Request.of_json("POST", f"{API}/calls", wish | {"tag": "t"}, login))
    assert (answer.status, answer.json()["tag"], answer.json()["to"]) == (201, "t", "+1")


def test_platform_modifies() -> None:
    exchange = Exchange(BANDWIDTH)
    exchange.add("c-1", CallState.RINGING)
    login = bearer(exchange)
    one = f"{API}/calls/c-1"

    def order(data: dict[str, Any]) -> Response:
        return exchange.rest(Request.of_json("POST", one, data, login))

    assert order({"state": "active", "redirectUrl": "https://a.example/x"}).status == 409
    exchange.add("c-1")
    assert order({"state": "active", "redirectUrl": "https://a.example/x"}).status == 200
    assert order({"state": "active"}).status == 400
    put = Request(method="PUT", url=f"{one}/bxml", headers=login, body=bxml("<Hangup/>").body)
    assert exchange.rest(put).status == 204
    assert exchange.commands == [
        seam.Fetch("c-1", "https://a.example/x"),
        seam.Instruct("c-1", [seam.Hangup()], keep_stream=True),
    ]
    assert order({"state": "completed"}).status == 200
    assert order({"state": "completed"}).status == 404


def test_only_the_stream_of_its_own_name_is_awaited_as_one_with_its_start() -> None:
    start = "<StartStream name='a' destination='wss://a.example/x' mode='bidirectional'/>"
    (together,) = BANDWIDTH.read_answer(bxml(f"{start}<StopStream name='a' wait='true'/>"))
    apart = BANDWIDTH.read_answer(bxml(f"{start}<StopStream name='b' wait='true'/>"))
    assert together == seam.OpenStream(url="wss://a.example/x", blocking=True, name="a")
    assert apart == [
        seam.OpenStream(url="wss://a.example/x", blocking=False, name="a"),
        seam.AwaitStream("b"),
    ]


def test_credentials_are_tried_by_the_accounts_statistics() -> None:
    assert Exchange(BANDWIDTH).run(BANDWIDTH.check()) == []
    bare = example(Bandwidth, application_id="")
    told = Exchange(bare).run(bare.check())
    assert told == ["BANDWIDTH_APPLICATION_ID is not set: no calls can be placed"]
    flow = logged_in().check()
    request = next(flow)
    assert (request.method, request.url) == ("GET", f"{API}/statistics")
    with pytest.raises(CarrierError, match="statistics: HTTP 403"):
        flow.send(fault(403))
