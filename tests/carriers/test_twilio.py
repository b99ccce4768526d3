"""Twilio: its golden table, its signatures against the official SDK, its TwiML, its REST."""

import hashlib
import json
import xml.etree.ElementTree as ET
from urllib.parse import parse_qsl, urlencode

import pytest
from golden import Golden, Row, check_read, check_written, example, stream_ends
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Connect, Dial, Stream, VoiceResponse

from exchange import Exchange
from trunkline import carrier as seam
from trunkline import events
from trunkline.carrier import Dismissal, Hooks, Offer, Purpose
from trunkline.carriers.twilio import Twilio
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
from trunkline.media.formats import L16_8K, PCMU_8K
from trunkline.web import Request, Response, basic_auth

PAGE = "twilio.com/docs/voice/media-streams/websocket-messages"
SDK_TEST = "twilio-python, tests/unit/test_request_validator.py"

MULAW = bytes.fromhex("ff7f80007e8090ff")
STARTED = Started(
    call_id="CA0123456789abcdef0123456789abcdef",
    account_id="AC0123456789abcdef0123456789abcdef",
    stream_id="MZ0123456789abcdef0123456789abcdef",
    inbound=PCMU_8K,
    outbound=PCMU_8K,
    token="abc123",
    parameters={"FirstName": "Jane"},
)
SID = f'"streamSid":"{STARTED.stream_id}"'
IDS = f'"accountSid":"{STARTED.account_id}","callSid":"{STARTED.call_id}"'
FORMAT = '"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}'

GOLDEN = Golden(
    STARTED,
    counters=frozenset({"sequenceNumber", "chunk", "timestamp"}),
    rows=(
        Row(
            "carrier",
            STARTED,
            f'{{"event":"start","sequenceNumber":"1","start":{{{IDS},{SID},"tracks":["inbound"],'
            f'{FORMAT},"customParameters":{{"FirstName":"Jane","token":"abc123"}}}},{SID}}}',
            PAGE,
            "2026-03-27",
        ),
        Row(
            "carrier",
            events.Audio(MULAW, 5),
            '{"event":"media","sequenceNumber":"4","media":{"track":"inbound","chunk":"2",'
            f'"timestamp":"5","payload":"/3+AAH6AkP8="}},{SID}}}',
            PAGE,
            "2026-03-27",
        ),
        Row(
            "carrier",
            None,
            '{"event":"media","sequenceNumber":"3","media":{"track":"outbound","chunk":"1",'
            f'"timestamp":"5","payload":"/3+AAH6AkP8="}},{SID}}}',
            PAGE,
            "2026-03-27",
            written=False,
        ),
        Row(
            "carrier",
            events.Digit("1"),
            f'{{"event":"dtmf",{SID},"sequenceNumber":"5",'
            '"dtmf":{"track":"inbound_track","digit":"1"}}',
            PAGE,
            "2026-03-27",
        ),
        Row(
            "carrier",
            events.Mark("my label"),
            f'{{"event":"mark","sequenceNumber":"4",{SID},"mark":{{"name":"my label"}}}}',
            PAGE,
            "2026-03-27",
        ),
        Row(
            "carrier",
            events.Stopped(),
            f'{{"event":"stop","sequenceNumber":"5","stop":{{{IDS}}},{SID}}}',
            PAGE,
            "2026-03-27",
        ),
        Row(
            "carrier",
            None,
            '{"event":"connected","protocol":"Call","version":"1.0.0"}',
            PAGE,
            "2026-03-27",
            written=False,
        ),
        Row(
            "carrier",
            events.Extra("later", {"sequenceNumber": "9"}),
            '{"event":"later","sequenceNumber":"9"}',
            "made up: an event Twilio may add",
            "2026-11-01",
        ),
        Row(
            "bot",
            events.Audio(MULAW, format=PCMU_8K),
            f'{{"event":"media",{SID},"media":{{"payload":"/3+AAH6AkP8="}}}}',
            PAGE,
            "2026-03-27",
        ),
        Row(
            "bot",
            events.Mark("u1-end"),
            f'{{"event":"mark",{SID},"mark":{{"name":"u1-end"}}}}',
            PAGE,
            "2026-03-27",
        ),
        Row("bot", events.Clear(), f'{{"event":"clear",{SID}}}', PAGE, "2026-03-27"),
    ),
)

TWILIO = example(Twilio)
CALL = CallInfo(carrier="twilio", call_id=STARTED.call_id, account_id=STARTED.account_id)
HOOKS = Hooks("https://agent.example.com/twilio")
OFFER = Offer(
    stream_url="wss://agent.example.com/twilio/media",
    token="tok.en-1",
    hooks=HOOKS,
    audio=PCMU_8K,
    parameters={"who": 'Jane & "John" <x>'},
)
CALLS = f"https://api.twilio.com/2010-04-01/Accounts/{STARTED.account_id}/Calls"


# --- wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN.rows)
def test_golden_read(row: Row) -> None:
    check_read(TWILIO, GOLDEN, row)


@pytest.mark.parametrize("row", [row for row in GOLDEN.rows if row.written])
def test_golden_written(row: Row) -> None:
    check_written(TWILIO, GOLDEN, row)


def test_the_stream_begins_with_connected() -> None:
    end = TWILIO.carrier_end(PCMU_8K)
    end.send(STARTED)
    first, second = end.outgoing()
    assert json.loads(first) == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert json.loads(second)["event"] == "start"


def test_numbers_count_from_one_and_time_follows_the_audio() -> None:
    _, theirs = stream_ends(TWILIO, STARTED)
    for _ in range(3):
        theirs.send(events.Audio(bytes(160)))
    told = [json.loads(message) for message in theirs.outgoing()]
    assert [m["sequenceNumber"] for m in told] == ["2", "3", "4"]
    assert [m["media"]["chunk"] for m in told] == ["1", "2", "3"]
    assert [m["media"]["timestamp"] for m in told] == ["0", "20", "40"]


def test_a_start_without_token_has_none() -> None:
    end = TWILIO.carrier_end(PCMU_8K)
    end.send(Started(call_id="CA1", stream_id="MZ1", inbound=PCMU_8K, outbound=PCMU_8K))
    start = json.loads(end.outgoing()[1])
    assert start["start"]["customParameters"] == {}


@pytest.mark.parametrize(
    "wrong",
    [
        '"encoding":"audio/x-alaw","sampleRate":8000,"channels":1',
        '"encoding":"audio/x-mulaw","sampleRate":16000,"channels":1',
        '"encoding":"audio/x-mulaw","sampleRate":8000,"channels":2',
    ],
)
def test_audio_that_is_not_mulaw_is_refused_before_any_arrives(wrong: str) -> None:
    start = f'{{"event":"start","streamSid":"MZ1","start":{{{IDS},"mediaFormat":{{{wrong}}}}}}}'
    with pytest.raises(RemoteProtocolError, match="mulaw"):
        TWILIO.bot_end(PCMU_8K).receive(start)


@pytest.mark.parametrize("digit", ["", "12", "x", "a"])
def test_a_key_that_is_none(digit: str) -> None:
    bot, _ = stream_ends(TWILIO, STARTED)
    with pytest.raises(RemoteProtocolError, match="key"):
        bot.receive(f'{{"event":"dtmf","dtmf":{{"digit":"{digit}"}}}}')


def test_a_stream_sid_with_quotes_cannot_break_out_of_the_message() -> None:
    started = Started(call_id="CA1", stream_id='MZ"\\1', inbound=PCMU_8K, outbound=PCMU_8K)
    bot, theirs = stream_ends(TWILIO, started)
    bot.send(events.Audio(MULAW))
    (message,) = bot.outgoing()
    assert json.loads(message)["streamSid"] == started.stream_id
    assert theirs.receive(message)


def test_nothing_can_be_said_before_start() -> None:
    with pytest.raises(LocalProtocolError, match="streamSid"):
        TWILIO.bot_end(PCMU_8K).send(events.Audio(MULAW))
    with pytest.raises(LocalProtocolError, match="Started"):
        TWILIO.carrier_end(PCMU_8K).send(events.Audio(MULAW))
    with pytest.raises(RemoteProtocolError, match="before start"):
        TWILIO.carrier_end(PCMU_8K).receive('{"event":"clear","streamSid":""}')


def test_what_the_socket_cannot_carry() -> None:
    bot, theirs = stream_ends(TWILIO, STARTED)
    for event in (events.Digits("1"), events.Extra("x", {})):
        with pytest.raises(LocalProtocolError, match="carry"):
            bot.send(event)
    for event in (events.Cleared(), events.Failed("1"), events.Extra("media", {})):
        with pytest.raises(LocalProtocolError, match="never"):
            theirs.send(event)


@pytest.mark.parametrize(
    "message", ['{"event":"clear","streamSid":"MZ2"}', '{"event":"dance"}', '{"event":"clear"}']
)
def test_31951(message: str) -> None:
    _, theirs = stream_ends(TWILIO, STARTED)
    with pytest.raises(RemoteProtocolError):
        theirs.receive(message)


def test_only_mulaw_is_spoken() -> None:
    for make in (TWILIO.bot_end, TWILIO.carrier_end):
        with pytest.raises(Unsupported, match="PCMU/8000"):
            make(L16_8K)


# --- signatures ------------------------------------------------------------------------------

SIGNING = example(Twilio, auth_token="12345")
PARAMS = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"


def signed(url: str, params: object, signature: str, **headers: str) -> Request:
    return Request.of_form(url, params, {"x-twilio-signature": signature, **headers})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (URL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com:443/myapp.php?foo=1&bar=2", "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("http://mycompany.com:80/myapp.php?foo=1&bar=2", "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
    ],
    ids=["plain", "443", "80", "1234"],
)
def test_official_vectors(url: str, signature: str) -> None:
    """From twilio-python's own tests (read 2026-11)."""
    SIGNING.verify(signed(url, PARAMS, signature))
    assert SIGNING.sign(Request.of_form(url, PARAMS)).headers["x-twilio-signature"] == signature


def test_official_vector_signed_with_the_port_and_told_without() -> None:
    SIGNING.verify(signed(URL, PARAMS, "kvajT1Ptam85bY51eRf/AJRuM3w="))
    SIGNING.verify(signed(URL.replace(".com", ".com:443"), PARAMS, "RSOYDt4T1cUTdK1PDd93/VVr8B8="))


def test_official_vector_with_duplicate_parameters() -> None:
    pairs = [("Sid", "CA123"), ("SidAccount", "AC123")]
    pairs += [("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]
    SIGNING.verify(signed(URL, pairs, "IK+Dwps556ElfBT0I3Rgjkr1wJU="))


def test_official_vector_of_a_json_body() -> None:
    body = b'{"property": "value", "boolean": true}'
    digest = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    json_type = {"content-type": "application/json"}
    bare = Request(method="POST", url=URL, headers=json_type, body=body)
    made = SIGNING.sign(bare)
    assert made.url == f"{URL}&bodySHA256={digest}"
    assert made.headers["x-twilio-signature"] == "a9nBmqA0ju/hNViExpshrM61xv4="
    SIGNING.verify(made)
    other = Request(method="POST", url=made.url, headers=made.headers, body=body + b" ")
    with pytest.raises(BadSignature, match="SHA-256"):
        SIGNING.verify(other)
    unhashed = Request(method="POST", url=URL, headers=made.headers, body=body)
    with pytest.raises(BadSignature, match="SHA-256"):
        SIGNING.verify(unhashed)
    no_query = Request(method="POST", url="https://a.example/x", headers=json_type, body=body)
    assert "/x?bodySHA256=" in SIGNING.sign(no_query).url


def test_vector_of_a_websocket_upgrade() -> None:
    """Computed apart from this project with openssl, over the wss URL (twilio-aspnet#162)."""
    url = "wss://mycompany.com/media"
    SIGNING.verify(Request.get(url, {"x-twilio-signature": "okykUWKkAOgQseVjzERZh4soLeU="}))
    with_port = Request.get(f"{url[:19]}:443/media", SIGNING.sign(Request.get(url)).headers)
    SIGNING.verify(with_port)


def test_vector_of_a_shared_key() -> None:
    """HMAC_SHA256, computed apart from this project over the first official vector's text."""
    shared = example(Twilio, shared_key="12345", auth_token="other")
    settings = {"x-twilio-webhooks-signature-settings": "key=k1,algorithm=HMAC_SHA256"}
    request = signed(URL, PARAMS, "033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s=", **settings)
    shared.verify(request)
    with pytest.raises(BadSignature, match="TWILIO_SHARED_KEY"):
        SIGNING.verify(request)


def test_an_unknown_algorithm_is_refused() -> None:
    settings = {"x-twilio-webhooks-signature-settings": "algorithm=none"}
    with pytest.raises(BadSignature, match="NONE"):
        SIGNING.verify(signed(URL, PARAMS, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", **settings))


def test_requests_that_cannot_be_read_are_refused() -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    with pytest.raises(BadSignature, match="cannot be read"):
        SIGNING.verify(Request(method="POST", url=URL, headers=form, body=b"\xff"))
    with pytest.raises(BadSignature, match="cannot be read"):
        SIGNING.verify(Request.get("https://a.example:port/"))
    with pytest.raises(BadSignature, match=r"https://mycompany.com/myapp.php:"):
        SIGNING.verify(Request.of_form(URL, PARAMS))


URLS = st.builds(
    "{}://{}{}/{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["agent.example.com", "a-b.example"]),
    st.sampled_from(["", ":443", ":8080", ":80"]),
    st.text("abc/%20-._~", max_size=12),
    st.sampled_from(["", "?a=1", "?a=1&b=%2B&a="]),
)
FORMS = st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), max_size=6)


class MultiDict(dict[str, list[str]]):
    """What the SDK takes for repeated parameters (as web frameworks have them)."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def multi(pairs: list[tuple[str, str]]) -> MultiDict:
    found = MultiDict()
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


@given(URLS, FORMS)
def test_what_we_sign_the_sdk_accepts(url: str, pairs: list[tuple[str, str]]) -> None:
    signature = SIGNING.sign(Request.of_form(url, pairs)).headers["x-twilio-signature"]
    assert RequestValidator("12345").validate(url, multi(pairs), signature)


@given(URLS, FORMS)
def test_what_the_sdk_signs_we_accept(url: str, pairs: list[tuple[str, str]]) -> None:
    signature = RequestValidator("12345").compute_signature(url, multi(pairs))
    SIGNING.verify(signed(url, pairs, signature))


@given(URLS.map(lambda url: url.replace("http", "ws", 1)))
def test_upgrades_that_the_sdk_signs_we_accept(url: str) -> None:
    signature = RequestValidator("12345").compute_signature(url, {})
    SIGNING.verify(Request.get(url, {"x-twilio-signature": signature}))


@given(st.binary(min_size=1, max_size=40))
def test_json_bodies_as_the_sdk_hashes_them(body: bytes) -> None:
    digest = hashlib.sha256(body).hexdigest()
    url = f"https://agent.example.com/x?bodySHA256={digest}"
    signature = RequestValidator("12345").compute_signature(url, {})
    headers = {"x-twilio-signature": signature, "content-type": "application/json"}
    SIGNING.verify(Request(method="POST", url=url, headers=headers, body=body))


# --- webhooks --------------------------------------------------------------------------------

# twilio.com/docs/usage/webhooks/voice-webhooks, read 2026-03-27.
INBOUND = (
    b"CallSid=CA0123456789abcdef0123456789abcdef&AccountSid=AC0123456789abcdef0123456789abcdef"
    b"&From=%2B15551112222&To=%2B15553334444&CallStatus=ringing&ApiVersion=2010-04-01"
    b"&Direction=inbound"
)


def webhook(fields: dict[str, str] | bytes) -> Request:
    url = "https://agent.example.com/twilio/x"
    body = fields if isinstance(fields, bytes) else urlencode({"CallSid": "CA1"} | fields).encode()
    return Request(method="POST", url=url, body=body)


def test_an_inbound_call() -> None:
    (offered,) = TWILIO.read_webhook(webhook(INBOUND), Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    call = offered.call
    assert (call.call_id, call.account_id) == (STARTED.call_id, STARTED.account_id)
    assert (call.from_, call.to) == ("+15551112222", "+15553334444")
    assert (call.direction, offered.again, offered.transfer) == (Direction.INBOUND, False, None)
    assert call.raw["ApiVersion"] == "2010-04-01"


def test_an_inbound_call_by_get() -> None:
    asked = Request.get(f"https://agent.example.com/twilio/answer?{INBOUND.decode()}")
    (offered,) = TWILIO.read_webhook(asked, Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert offered.call.from_ == "+15551112222"


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("completed", Why.COMPLETED),
        ("answered", Why.COMPLETED),
        ("busy", Why.BUSY),
        ("no-answer", Why.NO_ANSWER),
        ("failed", Why.FAILED),
        ("canceled", Why.CANCELLED),
        ("new-word", Why.UNKNOWN),
    ],
)
def test_a_call_that_comes_back_from_a_transfer(word: str, why: Why) -> None:
    fields = {"CallStatus": "in-progress", "DialCallStatus": word, "Direction": "outbound-api"}
    (offered,) = TWILIO.read_webhook(webhook(fields), Purpose.AFTER)
    assert isinstance(offered, events.Offered)
    assert (offered.again, offered.transfer) == (True, why)
    assert offered.call.direction is Direction.OUTBOUND


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("completed", Why.COMPLETED),
        ("busy", Why.BUSY),
        ("no-answer", Why.NO_ANSWER),
        ("failed", Why.FAILED),
        ("canceled", Why.CANCELLED),
    ],
)
@pytest.mark.parametrize("purpose", [Purpose.STATUS, Purpose.ANSWER, Purpose.AFTER])
def test_the_end_of_a_call(word: str, why: Why, purpose: Purpose) -> None:
    fields = {"CallStatus": word, "CallDuration": "42", "AnsweredBy": "human"}
    (ended,) = TWILIO.read_webhook(webhook(fields), purpose)
    assert ended == events.Ended("CA1", EndReason(why, raw=word), duration_s=42.0)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("ringing", events.Ringing),
        ("in-progress", events.Answered),
        ("initiated", events.Other),
        ("queued", events.Other),
        ("", events.Other),
    ],
)
def test_progress(word: str, kind: type) -> None:
    (notice,) = TWILIO.read_webhook(webhook({"CallStatus": word}), Purpose.STATUS)
    assert type(notice) is kind


def test_the_stream_s_own_callbacks_say_nothing_of_the_call() -> None:
    fields = {"StreamEvent": "stream-error", "StreamSid": "MZ1", "StreamError": "31920"}
    (other,) = TWILIO.read_webhook(webhook(fields | {"x": "y"}), Purpose.STATUS)
    kept = {"StreamSid": "MZ1", "StreamError": "31920"}
    assert other == events.Other("stream-error", "CA1", kept)


@pytest.mark.parametrize(
    ("word", "result"),
    [
        # twilio.com/docs/voice/answering-machine-detection, read 2026-11.
        ("human", "human"),
        ("fax", "fax"),
        ("unknown", "unknown"),
        ("machine_start", "machine"),
        ("machine_end_beep", "machine"),
        ("machine_end_silence", "machine"),
        ("machine_end_other", "machine"),
        ("robot_butler", "unknown"),
    ],
)
def test_machine_detection(word: str, result: str) -> None:
    found = events.MachineDetected("CA1", result, word)
    assert TWILIO.read_webhook(webhook({"AnsweredBy": word}), Purpose.STATUS) == [found]
    offered, also = TWILIO.read_webhook(webhook({"AnsweredBy": word}), Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert also == found


def test_a_webhook_without_a_call() -> None:
    with pytest.raises(RemoteProtocolError, match="CallSid"):
        TWILIO.read_webhook(webhook(b"AccountSid=AC1"), Purpose.ANSWER)


def written(notice: events.Notice) -> dict[str, str]:
    request = TWILIO.write_webhook(notice, "https://agent.example.com/x")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    return dict(parse_qsl(request.body.decode(), strict_parsing=False))


def test_webhooks_as_twilio_writes_them() -> None:
    call = CallInfo(
        carrier="twilio", call_id=STARTED.call_id, from_="+15551112222", to="+15553334444"
    )
    assert written(events.Offered(call)) == dict(parse_qsl(INBOUND.decode()))
    assert written(events.Offered(call, again=True))["CallStatus"] == "in-progress"
    assert written(events.Offered(call, again=True, transfer=Why.BUSY))["DialCallStatus"] == "busy"
    outbound = CallInfo(carrier="twilio", call_id="CA1", direction=Direction.OUTBOUND)
    assert written(events.Offered(outbound))["Direction"] == "outbound-api"
    assert written(events.Answered(outbound))["CallStatus"] == "in-progress"
    ended = written(events.Ended("CA1", EndReason(Why.REJECTED), duration_s=41.6))
    assert (ended["CallStatus"], ended["CallDuration"]) == ("busy", "42")
    machine = written(events.MachineDetected("CA1", "machine"))
    assert machine["AnsweredBy"] == "machine_start"
    assert written(events.Ringing(outbound))["CallStatus"] == "ringing"
    other = written(events.Other("stream-started", "CA1", {"StreamSid": "MZ1"}))
    assert (other["StreamEvent"], other["StreamSid"]) == ("stream-started", "MZ1")
    with pytest.raises(Unsupported, match="socket"):
        TWILIO.write_webhook(events.DigitPressed("CA1", "1"), "https://agent.example.com/x")


# --- answers ---------------------------------------------------------------------------------


def same_xml(left: bytes | str, right: bytes | str) -> bool:
    def shape(node: ET.Element) -> object:
        return node.tag, dict(node.attrib), node.text or "", [shape(child) for child in node]

    return shape(ET.fromstring(left)) == shape(ET.fromstring(right))


def test_the_answer_is_what_the_sdk_would_write() -> None:
    stream = Stream(
        url="wss://agent.example.com/twilio/media",
        status_callback="https://agent.example.com/twilio/status",
        status_callback_method="POST",
    )
    stream.parameter(name="who", value='Jane & "John" <x>')
    stream.parameter(name="token", value="tok.en-1")
    expected = VoiceResponse()
    expected.append(Connect().append(stream))
    expected.redirect("https://agent.example.com/twilio/after", method="POST")
    answer = TWILIO.answer(CALL, OFFER)
    assert answer.flow is None
    assert answer.response.headers["content-type"] == "application/xml"
    assert same_xml(answer.response.body, str(expected))


def test_dismissals_are_what_the_sdk_would_write() -> None:
    for why, expected in (
        (Dismissal.BUSY, VoiceResponse().append(VoiceResponse().reject(reason="busy"))),
        (Dismissal.REJECTED, VoiceResponse().append(VoiceResponse().reject(reason="rejected"))),
        (Dismissal.DONE, VoiceResponse().append(VoiceResponse().hangup())),
    ):
        assert same_xml(TWILIO.dismiss(CALL, why).response.body, str(expected))


def test_offers_that_cannot_be_carried() -> None:
    def offer(**changed: object) -> Offer:
        fields = {name: getattr(OFFER, name) for name in OFFER.__struct_fields__}
        return Offer(**(fields | changed))  # type: ignore[arg-type]

    for impossible in (
        offer(audio=L16_8K),
        offer(parameters={"token": "x"}),
        offer(parameters={"long": "x" * 497}),
    ):
        with pytest.raises(Unsupported):
            TWILIO.answer(CALL, impossible)
    TWILIO.answer(CALL, offer(parameters={"long": "x" * 496}))


def twiml(*verbs: str) -> Response:
    return Response(body=f"<Response>{''.join(verbs)}</Response>".encode())


def test_the_answer_as_the_simulated_carrier_reads_it() -> None:
    assert TWILIO.read_answer(TWILIO.answer(CALL, OFFER).response) == [
        seam.OpenStream(
            url="wss://agent.example.com/twilio/media",
            parameters={"who": 'Jane & "John" <x>', "token": "tok.en-1"},
        ),
        seam.Redirect("https://agent.example.com/twilio/after", "POST"),
    ]


def test_verbs_as_the_simulated_carrier_reads_them() -> None:
    document = VoiceResponse()
    document.play(digits="ww12#")
    document.pause(length=2)
    document.dial("+15551234567", caller_id="+15550000000", action="https://a.example/after")
    document.append(Dial().append(Dial().sip("sip:a@b.example")))
    document.redirect("https://a.example/next", method="GET")
    document.reject(reason="busy")
    document.hangup()
    assert TWILIO.read_answer(Response(body=str(document).encode())) == [
        seam.SendTones("ww12#"),
        seam.Pause(2.0),
        seam.TransferTo(
            to="+15551234567", from_="+15550000000", then_url="https://a.example/after"
        ),
        seam.TransferTo(to="sip:a@b.example"),
        seam.Redirect("https://a.example/next", "GET"),
        seam.Reject("busy"),
        seam.Hangup(),
    ]
    assert TWILIO.read_answer(twiml("<Redirect/>")) == [seam.Redirect("")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<Answer/>",
        b"<Response><Dance/></Response>",
        b"<Response><Pause length='soon'/></Response>",
        b"<Response><Connect/></Response>",
        b"<Response><Connect><Stream/></Connect></Response>",
        b"<Response><Connect><Stream url='https://a.example'/></Connect></Response>",
        b"<Response><Connect><Stream url='wss://a.example/?token=1'/></Connect></Response>",
        b"<!DOCTYPE x [<!ENTITY y 'z'>]><Response>&y;</Response>",
    ],
)
def test_documents_that_twilio_would_refuse(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        TWILIO.read_answer(Response(body=body))


def test_an_answer_that_failed() -> None:
    with pytest.raises(RemoteProtocolError, match="11200"):
        TWILIO.read_answer(Response(500))


# --- control ---------------------------------------------------------------------------------


def steps(flow: object, *answers: Response) -> list[Request]:
    """The requests of a flow that is given these answers; its end is left to the last."""
    first: Request = next(flow)  # type: ignore[call-overload]
    return [first, *(flow.send(answer) for answer in answers)]  # type: ignore[attr-defined]


def fault(status: int, code: int = 0, message: str = "no") -> Response:
    return Response.of_json({"code": code, "message": message, "status": status}, status)


def finish(flow: object, answer: Response) -> object:
    with pytest.raises(StopIteration) as done:
        flow.send(answer)  # type: ignore[attr-defined]
    return done.value.value


def test_hang_up_is_one_post() -> None:
    flow = TWILIO.hang_up(CALL)
    (request,) = steps(flow)
    assert (request.method, request.url) == ("POST", f"{CALLS}/{CALL.call_id}.json")
    assert request.body == b"Status=completed"
    assert request.repeatable
    login = basic_auth(STARTED.account_id, "0a1b2c3d")
    assert request.headers["authorization"] == login
    assert finish(flow, Response()) is None


def test_hanging_up_a_call_that_is_over() -> None:
    flow = TWILIO.hang_up(CALL)
    steps(flow)
    finish(flow, fault(404, 20404))
    flow = TWILIO.hang_up(CALL)
    _, asked = steps(flow, fault(400, 21220))
    assert (asked.method, asked.url) == ("GET", f"{CALLS}/{CALL.call_id}.json")
    finish(flow, Response.of_json({"sid": "CA1", "status": "completed"}))


def test_hanging_up_a_call_that_is_not_over() -> None:
    flow = TWILIO.hang_up(CALL)
    steps(flow, fault(400, 21220))
    with pytest.raises(CarrierError) as caught:
        flow.send(Response.of_json({"sid": "CA1", "status": "queued"}))
    assert (caught.value.status, caught.value.code) == (400, "21220")


def test_errors_say_what_twilio_said() -> None:
    flow = TWILIO.hang_up(CALL)
    steps(flow)
    said = b'{"code":20429,"message":"slow +15551112222"}'
    with pytest.raises(CarrierError, match=r"HTTP 429 \(20429, slow \(number\)\)") as caught:
        flow.send(Response(429, {"retry-after": "3"}, said))
    assert (caught.value.retryable, caught.value.retry_after) == (True, 3.0)
    flow = TWILIO.hang_up(CALL)
    steps(flow)
    with pytest.raises(CarrierError, match=r"HTTP 403$") as caught:
        flow.send(Response(403, body=b"<html>"))
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("word", "state"),
    [
        # The enum call.Status of twilio-python 9.13.0.
        ("queued", CallState.QUEUED),
        ("ringing", CallState.RINGING),
        ("in-progress", CallState.ACTIVE),
        ("completed", CallState.ENDED),
        ("busy", CallState.ENDED),
        ("failed", CallState.ENDED),
        ("no-answer", CallState.ENDED),
        ("canceled", CallState.ENDED),
        ("a-new-word", CallState.ACTIVE),
    ],
)
def test_states(word: str, state: CallState) -> None:
    flow = TWILIO.state(CALL)
    steps(flow)
    assert finish(flow, Response.of_json({"sid": "CA1", "status": word})) is state


def test_state_of_a_call_that_is_not_known() -> None:
    flow = TWILIO.state(CALL)
    steps(flow)
    assert finish(flow, fault(404, 20404)) is CallState.ENDED
    flow = TWILIO.state(CALL)
    steps(flow)
    with pytest.raises(CarrierError):
        flow.send(fault(401, 20003))
    flow = TWILIO.state(CALL)
    steps(flow)
    with pytest.raises(RemoteProtocolError):
        flow.send(Response(body=b"{}"))


def test_dial() -> None:
    wish = seam.Dial(to="+15551112222", from_="+15553334444", offer=OFFER, detect_machine=True)
    flow = TWILIO.dial(wish)
    (request,) = steps(flow)
    assert (request.method, request.url, request.repeatable) == ("POST", f"{CALLS}.json", False)
    assert request.form() == [
        ("To", "+15551112222"),
        ("From", "+15553334444"),
        ("Url", "https://agent.example.com/twilio/answer"),
        ("StatusCallback", "https://agent.example.com/twilio/status"),
        ("StatusCallbackEvent", "initiated"),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "completed"),
        ("Timeout", "30"),
        ("TimeLimit", "14400"),
        ("MachineDetection", "Enable"),
        ("AsyncAmd", "true"),
        ("AsyncAmdStatusCallback", "https://agent.example.com/twilio/status"),
    ]
    answer = Response.of_json({"sid": "CA9", "status": "queued"}, 201)
    assert finish(flow, answer) == "CA9"
    plain = TWILIO.dial(seam.Dial(to="+1", from_="+2", offer=OFFER))
    (request,) = steps(plain)
    assert b"Amd" not in request.body
    with pytest.raises(CarrierError, match="21211"):
        plain.send(fault(400, 21211, "The 'To' number is not a valid phone number."))


def test_transfer_is_what_the_sdk_would_write() -> None:
    after = "https://agent.example.com/twilio/after"
    flow = TWILIO.transfer(CALL, "+15551234567", from_="+15550000000", hooks=HOOKS)
    (request,) = steps(flow)
    expected = VoiceResponse()
    expected.dial("+15551234567", caller_id="+15550000000", action=after, method="POST")
    assert same_xml(dict(request.form())["Twiml"], str(expected))
    finish(flow, Response())
    flow = TWILIO.transfer(CALL, "sip:a@b.example", from_="", hooks=HOOKS)
    (request,) = steps(flow)
    expected = VoiceResponse()
    expected.dial(action=after, method="POST").sip("sip:a@b.example")
    assert same_xml(dict(request.form())["Twiml"], str(expected))
    with pytest.raises(CallEnded, match="transfer"):
        flow.send(fault(404, 20404))


def test_keys_are_what_the_sdk_would_write() -> None:
    flow = TWILIO.send_digits(CALL, "ww12#", started=STARTED, hooks=HOOKS)
    (request,) = steps(flow)
    expected = VoiceResponse()
    expected.play(digits="ww12#")
    expected.redirect("https://agent.example.com/twilio/after", method="POST")
    assert same_xml(dict(request.form())["Twiml"], str(expected))


@pytest.mark.parametrize("digits", ["", "A", "1 2", "１", "<"])
def test_keys_that_are_none(digits: str) -> None:
    with pytest.raises(ValueError, match="keys"):
        next(TWILIO.send_digits(CALL, digits, started=STARTED, hooks=HOOKS))


def test_regions_and_keys() -> None:
    there = example(Twilio, region="ie1", edge="dublin", api_key="SK1", api_secret="s")
    (request,) = steps(there.state(CALL))
    assert request.url.startswith("https://api.dublin.ie1.twilio.com/2010-04-01/Accounts/AC")
    assert request.headers["authorization"] == basic_auth("SK1", "s")
    for half in ({"region": "ie1"}, {"edge": "dublin"}, {"api_key": "SK1"}, {"api_secret": "s"}):
        with pytest.raises(ConfigError, match="go together"):
            example(Twilio, **half)
    with pytest.raises(ConfigError, match="TWILIO_ACCOUNT_SID"):
        example(Twilio, account_sid="AC/..")


# --- the simulated REST API ------------------------------------------------------------------


def ask(
    exchange: Exchange, method: str, url: str, *form: tuple[str, str], **changed: str
) -> Response:
    headers = {"authorization": basic_auth(STARTED.account_id, "0a1b2c3d")} | changed
    request = Request.of_form(url, form, headers) if form else Request.get(url, headers)
    return exchange.rest(request)


def test_platform_doors() -> None:
    exchange = Exchange(example(Twilio, api_key="SK1", api_secret="s"))
    exchange.add("CA1")
    one = f"{CALLS}/CA1.json"
    for wrong in ("", "Basic", basic_auth(STARTED.account_id, "no"), basic_auth("SK1", "no")):
        answer = ask(exchange, "GET", one, authorization=wrong)
        assert (answer.status, answer.json()["code"]) == (401, 20003)
    assert ask(exchange, "GET", one).status == 200
    assert ask(exchange, "GET", one, authorization=basic_auth("SK1", "s")).status == 200
    for unknown in (f"{CALLS}/CA2.json", f"{CALLS}", f"{CALLS}/CA1/Streams.json"):
        answer = ask(exchange, "GET", unknown)
        assert (answer.status, answer.json()["code"]) == (404, 20404)
        assert answer.json()["more_info"] == "https://www.twilio.com/docs/errors/20404"


def test_platform_resource() -> None:
    exchange = Exchange(TWILIO)
    exchange.add("CA1", CallState.RINGING, from_="+1", to="+2", direction=Direction.OUTBOUND)
    told = ask(exchange, "GET", f"{CALLS}/CA1.json").json()
    assert told["status"] == "ringing"
    assert told["direction"] == "outbound-api"
    assert told["duration"] is None
    exchange.end("CA1", Why.NO_ANSWER)
    told = ask(exchange, "GET", f"{CALLS}/CA1.json").json()
    assert (told["status"], told["duration"]) == ("no-answer", "7")


def test_platform_creates() -> None:
    exchange = Exchange(TWILIO)
    to, from_ = ("To", "+1"), ("From", "+2")
    url, inline = ("Url", "https://a.example/answer"), ("Twiml", "<Response><Hangup/></Response>")
    for missing in ((to, url), (from_, url), (to, from_), (to, from_, url, inline)):
        assert ask(exchange, "POST", f"{CALLS}.json", *missing).status == 400
    made = ask(exchange, "POST", f"{CALLS}.json", to, from_, inline)
    assert (made.status, made.json()["status"]) == (201, "queued")
    (placed,) = exchange.commands
    assert isinstance(placed, seam.Place)
    assert (placed.steps, placed.answer_url) == ([seam.Hangup()], "")


def test_platform_instructs() -> None:
    exchange = Exchange(TWILIO)
    call = exchange.add("CA1")
    exchange.run(TWILIO.send_digits(call, "1", started=STARTED, hooks=HOOKS))
    after = seam.Redirect("https://agent.example.com/twilio/after", "POST")
    assert exchange.commands == [seam.Instruct("CA1", [seam.SendTones("1"), after])]


def test_platform_updates() -> None:
    exchange = Exchange(TWILIO)
    exchange.add("CA1")
    one = f"{CALLS}/CA1.json"
    assert (
        ask(exchange, "POST", one, ("Url", "https://a.example/x"), ("Method", "GET")).status == 200
    )
    assert exchange.commands == [seam.Fetch("CA1", "https://a.example/x", "GET")]
    assert ask(exchange, "POST", one, ("Nothing", "")).status == 400
    told = ask(exchange, "POST", one, ("Status", "canceled")).json()
    assert (told["status"], told["account_sid"]) == ("completed", STARTED.account_id)
    assert told["uri"] == one.removeprefix("https://api.twilio.com")
    answer = ask(exchange, "POST", one, ("Status", "completed"))
    assert (answer.status, answer.json()["code"]) == (404, 20404)  # pipecat-ai/pipecat#2145
    answer = ask(exchange, "POST", one, ("Url", "https://a.example/x"))
    assert (answer.status, answer.json()["code"]) == (400, 21220)  # bmlt-enabled/yap#570


def test_credentials_are_tried_by_the_accounts_numbers() -> None:
    told = Exchange(TWILIO).run(TWILIO.check())
    assert told == ["+12025550100 asks nobody when it rings"]
    flow = TWILIO.check()
    assert next(flow).path.endswith("/IncomingPhoneNumbers.json")
    hook = {"phone_number": "+12025550101", "voice_url": "https://a.example/twilio/answer"}
    answer = Response.of_json({"incoming_phone_numbers": [hook]})
    shown = finish(flow, answer)
    assert shown == ["+12025550101 asks https://a.example/twilio/answer when it rings"]
    flow = TWILIO.check()
    next(flow)
    with pytest.raises(CarrierError, match="numbers: HTTP 403"):
        flow.send(Response(403))
