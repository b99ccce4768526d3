"""Plivo: its golden table, its signatures against the official SDK, its XML, its REST."""

import base64
import hmac
import json
import xml.etree.ElementTree as ET
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from golden import Golden, Row, check_read, check_written, example, stream_ends
from hypothesis import given
from hypothesis import strategies as st
from plivo import plivoxml
from plivo.utils import validate_signature, validate_v3_signature
from plivo.utils.signature_v3 import construct_get_url, construct_post_url, get_signature_v3

from exchange import Exchange
from trunkline import carrier as seam
from trunkline import events
from trunkline.carrier import Dismissal, Hooks, Marks, Offer, Purpose
from trunkline.carriers.plivo import Plivo
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

PAGE = "plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference"
SDK = "plivo-stream-sdk 0.1.1, types.py"
TRANSPORT = "github.com/plivo-labs/agent-transport, audio_stream/plivo.rs"
READ = "2026-11-21"

MULAW = bytes.fromhex("ff7f80007e8090ff")
STARTED = Started(
    call_id="3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36",
    account_id="MA0123456789ABCDEF01",
    stream_id="b77e037d-4119-44b5-902d-25826b654539",
    inbound=PCMU_8K,
    outbound=PCMU_8K,
    parameters={"token": "abc123", "tenant": "42"},
)
SID = f'"streamId":"{STARTED.stream_id}"'
IDS = f'"callId":"{STARTED.call_id}",{SID},"accountId":"{STARTED.account_id}"'
HEADERS = '"extra_headers":"token=abc123;tenant=42"'


def start(media: str = '"encoding":"audio/x-mulaw","sampleRate":8000', headers: str = "") -> str:
    told = f',"mediaFormat":{{{media}}}' if media else ""
    return (
        f'{{"sequenceNumber":1,"event":"start","start":{{{IDS},"tracks":["inbound"]{told}}}'
        f"{headers}}}"
    )


GOLDEN = Golden(
    STARTED,
    counters=frozenset({"sequenceNumber", "chunk", "timestamp"}),
    rows=(
        Row("carrier", STARTED, start(headers=f",{HEADERS}"), PAGE, READ),
        Row(
            "carrier",
            events.Audio(MULAW, 20),
            f'{{"sequenceNumber":2,{SID},"event":"media","media":{{"track":"inbound",'
            f'"timestamp":"20","chunk":1,"payload":"/3+AAH6AkP8="}},{HEADERS}}}',
            PAGE,
            READ,
        ),
        Row(
            "carrier",
            None,
            f'{{"sequenceNumber":3,{SID},"event":"media","media":{{"track":"outbound",'
            f'"timestamp":"20","chunk":1,"payload":"/3+AAH6AkP8="}},{HEADERS}}}',
            PAGE,
            READ,
            written=False,
        ),
        Row(
            "carrier",
            events.Digit("1"),
            f'{{"event":"dtmf","sequenceNumber":9,{SID},'
            f'"dtmf":{{"track":"inbound","digit":"1","timestamp":"1500"}},{HEADERS}}}',
            PAGE,
            READ,
        ),
        Row(
            "carrier",
            events.Mark("u1-end"),
            f'{{"event":"playedStream","sequenceNumber":"12",{SID},"name":"u1-end"}}',
            SDK,
            READ,
        ),
        Row(
            "carrier",
            events.Mark("u1-end"),
            f'{{"event":"playedStream",{SID},"name":"u1-end"}}',
            PAGE,
            READ,
            written=False,
        ),
        Row(
            "carrier",
            events.Cleared(),
            f'{{"sequenceNumber":13,"event":"clearedAudio",{SID}}}',
            SDK,
            READ,
        ),
        Row(
            "carrier",
            events.Failed("buffer_overflow", "error"),
            f'{{"sequenceNumber":14,"event":"error",{SID},"reason":"buffer_overflow"}}',
            f"{TRANSPORT}; the reason from Plivo's troubleshooting page",
            READ,
        ),
        Row(
            "carrier",
            events.Failed("playFailed", "playFailed"),
            '{"event":"playFailed"}',
            TRANSPORT,
            READ,
            written=False,
        ),
        Row(
            "carrier",
            events.Extra("stop", {"reason": "hangup"}),
            '{"event":"stop","reason":"hangup"}',
            f"{TRANSPORT}; not in {PAGE}",
            READ,
            written=False,
        ),
        Row(
            "carrier",
            events.Extra("later", {"sequenceNumber": 9}),
            '{"event":"later","sequenceNumber":9}',
            "made up: an event Plivo may add",
            READ,
        ),
        Row(
            "bot",
            events.Audio(MULAW, format=PCMU_8K),
            '{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":8000,'
            '"payload":"/3+AAH6AkP8="}}',
            PAGE,
            READ,
        ),
        Row(
            "bot",
            events.Audio(MULAW, format=PCMU_8K),
            '{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":"8000",'
            '"payload":"/3+AAH6AkP8="}}',
            "plivo.com/docs/voice-agents/audio-streaming/xml/stream, whose rate is a string",
            READ,
            written=False,
        ),
        Row(
            "bot",
            events.Mark("u1-end"),
            f'{{"event":"checkpoint",{SID},"name":"u1-end"}}',
            PAGE,
            READ,
        ),
        Row("bot", events.Clear(), f'{{"event":"clearAudio",{SID}}}', PAGE, READ),
        Row(
            "bot",
            events.Clear(),
            '{"event":"clearAudio"}',
            "github.com/plivo/python-agents-examples, gemini-deepgram-cartesia-native",
            READ,
            written=False,
        ),
        Row("bot", events.Digits("1234#"), '{"event":"sendDTMF","dtmf":"1234#"}', PAGE, READ),
    ),
)

PLIVO = example(Plivo)
CALL = CallInfo(carrier="plivo", call_id=STARTED.call_id)
HOOKS = Hooks("https://agent.example.com/plivo")
OFFER = Offer(
    stream_url="wss://agent.example.com/plivo/media",
    token="tok.en-1_x",
    hooks=HOOKS,
    audio=PCMU_8K,
    parameters={"tenant": "42", "lang": "en"},
)
ACCOUNT = "https://api.plivo.com/v1/Account/MA0123456789ABCDEF01"
ONE = f"{ACCOUNT}/Call/{CALL.call_id}/"


# --- wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN.rows)
def test_golden_read(row: Row) -> None:
    check_read(PLIVO, GOLDEN, row)


@pytest.mark.parametrize("row", [row for row in GOLDEN.rows if row.written])
def test_golden_written(row: Row) -> None:
    check_written(PLIVO, GOLDEN, row)


def test_numbers_count_from_one_and_time_follows_the_audio() -> None:
    _, theirs = stream_ends(PLIVO, STARTED)
    for _ in range(3):
        theirs.send(events.Audio(bytes(160)))
    theirs.send(events.Digit("5"))
    *told, key = [json.loads(message) for message in theirs.outgoing()]
    assert [m["sequenceNumber"] for m in told] == [2, 3, 4]
    assert [m["media"]["chunk"] for m in told] == [1, 2, 3]
    assert [m["media"]["timestamp"] for m in told] == ["0", "20", "40"]
    assert key["dtmf"]["timestamp"] == "60"


@pytest.mark.parametrize(
    ("media", "audio"),
    [
        ('"encoding":"audio/x-mulaw","sampleRate":8000', PCMU_8K),
        ('"encoding":"audio/x-l16","sampleRate":8000', L16_8K),
        ('"encoding":"audio/x-l16","sampleRate":16000', L16_16K),
        ('"encoding":"audio/x-L16;rate=16000","sampleRate":"16000"', L16_16K),
        ("", L16_8K),
    ],
)
def test_formats_of_the_caller_s_audio(media: str, audio: AudioFormat) -> None:
    (started,) = PLIVO.bot_end(L16_8K).receive(start(media))
    assert isinstance(started, Started)
    assert (started.inbound, started.outbound) == (audio, L16_8K)


@pytest.mark.parametrize(
    "media",
    [
        '"encoding":"audio/x-alaw","sampleRate":8000',
        '"encoding":"audio/x-mulaw","sampleRate":16000',
        '"encoding":"audio/x-l16","sampleRate":24000',
    ],
)
def test_audio_in_another_format_is_refused_before_any_arrives(media: str) -> None:
    with pytest.raises(RemoteProtocolError, match="format"):
        PLIVO.bot_end(PCMU_8K).receive(start(media))


@pytest.mark.parametrize(
    ("audio", "content_type", "rate"),
    [
        (PCMU_8K, "audio/x-mulaw", 8000),
        (L16_8K, "audio/x-l16", 8000),
        (L16_16K, "audio/x-l16", 16000),
    ],
)
def test_formats_of_our_audio(audio: AudioFormat, content_type: str, rate: int) -> None:
    started = Started(call_id="c", stream_id="s", inbound=audio, outbound=audio)
    bot, theirs = stream_ends(PLIVO, started)
    bot.send(events.Audio(b"\1\2\3\4"))
    (message,) = bot.outgoing()
    media = json.loads(message)["media"]
    assert media == {"contentType": content_type, "sampleRate": rate, "payload": "AQIDBA=="}
    assert list(theirs.receive(message)) == [events.Audio(b"\1\2\3\4", format=audio)]


@pytest.mark.parametrize(
    "told",
    [
        '"token=abc123;tenant=42"',  # agent-transport
        '"token=abc123,tenant=42"',  # the answer's own form
        '"{\\"token\\": \\"abc123\\", \\"tenant\\": \\"42\\"}"',  # plivo-stream-sdk: JSON text
        '"{token: abc123, tenant: 42}"',  # as older handlers logged it
        '{"token":"abc123","tenant":42}',
        '" token = abc123 ; tenant=42;"',
    ],
)
def test_extra_headers_in_every_form_they_were_seen_in(told: str) -> None:
    (started,) = PLIVO.bot_end(PCMU_8K).receive(start(headers=f',"extra_headers":{told}'))
    assert isinstance(started, Started)
    assert started.parameters == {"token": "abc123", "tenant": "42"}
    assert started.token == "", "the token rides in the URL, whatever a header is called"


@pytest.mark.parametrize("told", ["null", '""', "7", "[]", '"token"', '"=;=,:"', "{}"])
def test_extra_headers_that_are_none(told: str) -> None:
    (started,) = PLIVO.bot_end(PCMU_8K).receive(start(headers=f',"extra_headers":{told}'))
    assert isinstance(started, Started)
    assert started.parameters == {}


@pytest.mark.parametrize("digit", ["", "12", "x", "a"])
def test_a_key_that_is_none(digit: str) -> None:
    bot, _ = stream_ends(PLIVO, STARTED)
    with pytest.raises(RemoteProtocolError, match="key"):
        bot.receive(f'{{"event":"dtmf","dtmf":{{"digit":"{digit}"}}}}')


def test_nothing_can_be_said_before_start() -> None:
    with pytest.raises(LocalProtocolError, match="streamId"):
        PLIVO.bot_end(PCMU_8K).send(events.Audio(MULAW))
    with pytest.raises(LocalProtocolError, match="Started"):
        PLIVO.carrier_end(PCMU_8K).send(events.Audio(MULAW))
    with pytest.raises(RemoteProtocolError, match="before start"):
        PLIVO.carrier_end(PCMU_8K).receive('{"event":"clearAudio"}')


def test_what_the_socket_cannot_carry() -> None:
    bot, theirs = stream_ends(PLIVO, STARTED)
    with pytest.raises(LocalProtocolError, match="carry Extra"):
        bot.send(events.Extra("x", {}))
    for event in (events.Stopped(), events.Extra("media", {})):
        with pytest.raises(LocalProtocolError, match="never"):
            theirs.send(event)


def play(content_type: str) -> str:
    media = f'"contentType":"{content_type}","sampleRate":8000,"payload":""'
    return f'{{"event":"playAudio","media":{{{media}}}}}'


@pytest.mark.parametrize(
    "message",
    [
        '{"event":"dance"}',
        '{"event":"checkpoint","name":"u1-end"}',
        '{"event":"checkpoint","name":"u1-end","streamId":"another"}',
        '{"event":"clearAudio","streamId":"another"}',
        '{"event":"sendDTMF","dtmf":""}',
        '{"event":"sendDTMF","dtmf":"1 2"}',
        # The rate stands beside the type here, not in it; and both are the stream's own.
        play("audio/x-mulaw;rate=8000"),
        play("audio/x-l16"),
        play("wav"),
    ],
)
def test_what_plivo_would_not_take(message: str) -> None:
    _, theirs = stream_ends(PLIVO, STARTED)
    with pytest.raises(RemoteProtocolError):
        theirs.receive(message)


def test_half_a_sample_is_not_taken() -> None:
    started = Started(call_id="c", stream_id="s", inbound=L16_8K, outbound=L16_8K)
    bot, theirs = stream_ends(PLIVO, started)
    bot.send(events.Audio(b"\1\2\3"))
    with pytest.raises(RemoteProtocolError, match="half a sample"):
        theirs.receive(bot.outgoing()[0])


@pytest.mark.parametrize("audio", [L16_24K, PCMA_8K])
def test_other_formats_are_not_spoken(audio: AudioFormat) -> None:
    for make in (PLIVO.bot_end, PLIVO.carrier_end):
        with pytest.raises(Unsupported, match="PCMU/8000, L16/8000, L16/16000"):
            make(audio)


def test_cleared_marks_are_never_returned() -> None:
    """Pending checkpoints are void after clearAudio (reference, "checkpoint")."""
    assert Plivo.marks is Marks.DROPPED
    assert events.Cleared in Plivo.hears


# --- signatures ------------------------------------------------------------------------------

SECRET = "Y2Q2ZDgxZmY5YWRiOTI5YmQ1Njg0MTAxZWIyOTc4"
NONCE = "31627761595286130198"
SIGNING = example(Plivo, auth_token=SECRET)
CALL_UUID = "3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36"
SIP = "PlivoSignature382029104058171078704104@"
PARAMS = {
    "Direction": "outbound",
    "From": "19792014278",
    "CallStatus": "in-progress",
    "BillRate": "0.002",
    "ParentAuthID": "MANWVLYTK4ZWU1YTY4QA",
    "Event": "StartApp",
    "SessionStart": "2020-04-08 11:34:33.238707",
    "To": f"sip:{SIP}phone-qa.voice.plivodev.com",
    "SIP-H-To": f"<sip:{SIP}52.9.11.55;transport=udp>;tag=1",
    "ALegUUID": CALL_UUID,
    "ALegRequestUUID": CALL_UUID,
    "CallUUID": CALL_UUID,
    "RequestUUID": CALL_UUID,
}
VECTORS_AT = "https://plivobin.non-prod.plivops.com/api/v1/validate_signature03.xml"


def form_request(url: str, params: Any, **headers: str) -> Request:
    return Request.of_form(url, params, {k.replace("_", "-"): v for k, v in headers.items()})


def v3(url: str, method: str, params: Any, signature: str, nonce: str = NONCE) -> Request:
    headers = {"x-plivo-signature-v3": signature, "x-plivo-signature-v3-nonce": nonce}
    if method == "POST":
        return Request.of_form(url, params, headers)
    mark = "&" if "?" in url else "?"
    return Request.get(f"{url}{mark}{urlencode(params)}" if params else url, headers)


@pytest.mark.parametrize(
    ("path", "method", "signature"),
    [
        # plivo-go utils_test.go and plivo-ruby's specs (read 2026-11).
        ("/?a=b&c=d", "POST", "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c="),
        ("/?a=b&c=d", "GET", "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ="),
        ("", "POST", "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="),
        ("", "GET", "i/MQsaQSAd6fiKhOh2qeeeLHZ9faldADSb3/7+Akfbc="),
        # Computed with the SDK apart from this project: the slash at the end matters.
        ("/", "POST", "t4IhTMmfHYM7MTefeI0g6eayTrZhs8/S6icAWntnwzA="),
        ("/", "GET", "4P/HZmppxHqPjtCLHqJQOXaSJNiYAu1m3V641W+vgMk="),
    ],
)
def test_vectors(path: str, method: str, signature: str) -> None:
    request = v3(VECTORS_AT + path, method, PARAMS, signature)
    SIGNING.verify(request)
    sdk = validate_v3_signature(method, VECTORS_AT + path, NONCE, SECRET, signature, dict(PARAMS))
    assert sdk is True
    for wrong in ("X" + signature[1:], signature.lower(), ""):
        with pytest.raises(BadSignature):
            SIGNING.verify(v3(VECTORS_AT + path, method, PARAMS, wrong))
    with pytest.raises(BadSignature):
        SIGNING.verify(v3(VECTORS_AT + path, method, PARAMS, signature, nonce="1"))
    with pytest.raises(BadSignature):
        SIGNING.verify(v3(VECTORS_AT + path, method, PARAMS | {"BillRate": "0.003"}, signature))


def test_a_signature_in_a_list_or_of_the_main_account() -> None:
    """Several while tokens are changed; "Ma" where a sub-account owns the call (signature page)."""
    right = "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="
    other = "k7Pusd4OxCIjR5IfA9iedDNu/h/gbdYqdzG/MiYtd1c="
    SIGNING.verify(v3(VECTORS_AT, "POST", PARAMS, f"{other},{right}"))
    SIGNING.verify(v3(VECTORS_AT, "POST", PARAMS, f"{other}, {right}"))
    main = {"x-plivo-signature-ma-v3": right, "x-plivo-signature-v3-nonce": NONCE}
    SIGNING.verify(Request.of_form(VECTORS_AT, PARAMS, main))
    SIGNING.verify(Request.of_form(VECTORS_AT, PARAMS, main | {"x-plivo-signature-v3": other}))
    with pytest.raises(BadSignature, match=r"validate_signature03\.xml: is that the URL"):
        SIGNING.verify(v3(VECTORS_AT + "?a=b", "POST", PARAMS, f"{other},"))


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        # plivo-python tests/resources/test_signature.py and plivo-go (read 2026-11).
        ("https://answer.url", "ehV3IKhLysWBxC1sy8INm0qGoQYdYsHwuoKjsX7FsXc="),
        ("https://answer.url/", "do1CXv+k99A6+B+eTcyqbxWlezFIxJ/1vz72787r37g="),
        ("https://answer.url/?a=1#x", "do1CXv+k99A6+B+eTcyqbxWlezFIxJ/1vz72787r37g="),
    ],
)
def test_vectors_of_v2(url: str, signature: str) -> None:
    older = example(Plivo, auth_token="my_auth_token", signature="V2")
    proof = {"x_plivo_signature_v2": signature, "x_plivo_signature_v2_nonce": "12345"}
    request = form_request(url, {"From": "1"}, **proof)
    older.verify(request)
    assert validate_signature(url, "12345", signature, "my_auth_token")
    with pytest.raises(BadSignature):
        older.verify(form_request(url, {"From": "1"}, **proof | {"x_plivo_signature_v2": ""}))
    # It covers neither form nor query: hence only where it was asked for, and never beside V3.
    with pytest.raises(BadSignature):
        example(Plivo, auth_token="my_auth_token").verify(request)
    with pytest.raises(BadSignature):
        older.verify(form_request(url, {"From": "1"}, **proof, x_plivo_signature_v3="x"))


def test_v2_allowed_is_not_v3_refused() -> None:
    older = example(Plivo, auth_token=SECRET, signature="V2")
    signature = "iAjE5QqI37mbkYe4w3jTMudqEzbDufdqi7sYwTu64e0="
    older.verify(v3(VECTORS_AT, "POST", PARAMS, signature))
    with pytest.raises(ConfigError, match="PLIVO_SIGNATURE"):
        example(Plivo, signature="V1")


def test_requests_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(BadSignature, match="cannot be read"):
        SIGNING.verify(Request.get("https://[a.example/"))


URLS = st.builds(
    "{}://{}{}/{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["agent.example.com", "a-b.example"]),
    st.sampled_from(["", ":443", ":8080", ":80"]),
    st.text("abc/%20-._~", max_size=12),
    st.sampled_from(["", "?a=1", "?a=1&b=%2B&a=", "?b=2&a=1&a=0&c", "?"]),
)
# The query's names are others: of one that is in both, the SDK forgets the form's value.
NAMES = st.text(max_size=6).filter(lambda name: name not in ("a", "b", "c"))
FORMS = st.lists(st.tuples(NAMES, st.text(max_size=6)), max_size=6)


def multi(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """What the SDK takes: a value, or a list of them where a name is repeated."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


@given(URLS, FORMS)
def test_what_we_sign_the_sdk_accepts(url: str, pairs: list[tuple[str, str]]) -> None:
    signed = SIGNING.sign(Request.of_form(url, pairs)).headers
    nonce, signature = signed["x-plivo-signature-v3-nonce"], signed["x-plivo-signature-v3"]
    text = construct_post_url(url, multi(pairs)).decode()
    assert get_signature_v3(SECRET.encode(), text, nonce.encode()).decode() == signature
    signed = SIGNING.sign(Request.get(url)).headers
    nonce, signature = signed["x-plivo-signature-v3-nonce"], signed["x-plivo-signature-v3"]
    text = construct_get_url(url, {}).decode()
    assert get_signature_v3(SECRET.encode(), text, nonce.encode()).decode() == signature


@given(URLS, FORMS)
def test_what_the_sdk_signs_we_accept(url: str, pairs: list[tuple[str, str]]) -> None:
    for method, text in (
        ("POST", construct_post_url(url, multi(pairs)).decode()),
        ("GET", construct_get_url(url, multi(pairs)).decode()),
    ):
        signature = get_signature_v3(SECRET.encode(), text, NONCE.encode()).decode()
        SIGNING.verify(v3(url, method, pairs, signature))


def test_a_query_that_is_not_ascii_is_utf_8() -> None:
    """As plivo-go's url.ParseQuery has it; plivo-python 4.63.0 cannot read it on every Python."""
    url = "https://agent.example.com/x?name=Zo%C3%AB"
    text = f"https://agent.example.com/x?name=Zoë.{NONCE}"
    made = hmac.new(SECRET.encode(), text.encode(), "sha256").digest()
    SIGNING.verify(v3(url, "GET", [], base64.b64encode(made).decode()))


def test_what_the_sdk_signs_changes_on_its_way_and_ours_does_not() -> None:
    """For a GET the SDK (4.63.0) writes the URL's query into the parameters it was given."""
    params = dict(PARAMS)
    url = f"{VECTORS_AT}/?a=b&c=d"
    construct_get_url(url, params)
    assert (params["a"], params["c"]) == (["b"], ["d"])
    request = v3(url, "GET", PARAMS, "UBq8jAtd32wR8EK9VgxbBn4n5rpI/l1H9iN4WfSEHFQ=")
    SIGNING.verify(request)
    SIGNING.verify(request)


def test_nonces_differ_from_moment_to_moment() -> None:
    now = [1_750_000_000.0]
    credentials = Plivo.examples()
    ours = Plivo(credentials, clock=lambda: now[0])
    first = ours.sign(Request.get("https://a.example/")).headers["x-plivo-signature-v3-nonce"]
    now[0] += 0.001
    second = ours.sign(Request.get("https://a.example/")).headers["x-plivo-signature-v3-nonce"]
    assert first != second
    assert len(first) == len(NONCE)
    assert first.isdigit()


# --- webhooks --------------------------------------------------------------------------------

# plivo-go's vector, as an inbound call; see test_vectors.
INBOUND = (
    b"CallUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dbafb36&RequestUUID=3e82ae9d-2c78-4d85-b1a4-6eae7dba"
    b"fb36&From=19792014278&To=15553334444&CallStatus=ringing&Direction=inbound&Event=StartApp"
    b"&ParentAuthID=MA0123456789ABCDEF01"
)


def webhook(fields: dict[str, str] | bytes, url: str = "https://agent.example.com/x") -> Request:
    body = fields if isinstance(fields, bytes) else urlencode({"CallUUID": "c-1"} | fields).encode()
    return Request(method="POST", url=url, body=body)


def read(fields: dict[str, str] | bytes, purpose: Purpose = Purpose.STATUS) -> Any:
    (notice,) = PLIVO.read_webhook(webhook(fields), purpose)
    return notice


def test_an_inbound_call() -> None:
    offered = read(INBOUND, Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    call = offered.call
    assert (call.call_id, call.dial_id) == (CALL_UUID, CALL_UUID)
    assert (call.from_, call.to) == ("+19792014278", "+15553334444")
    assert (call.direction, offered.again, offered.transfer) == (Direction.INBOUND, False, None)
    assert call.raw["Event"] == "StartApp"
    assert call.account_id == "", "ParentAuthID need not be the account that the stream names"


def test_an_inbound_call_by_get() -> None:
    asked = Request.get(f"https://agent.example.com/plivo/answer?{INBOUND.decode()}")
    (offered,) = PLIVO.read_webhook(asked, Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert offered.call.from_ == "+19792014278"


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ("19792014278", "+19792014278"),
        ("+19792014278", "+19792014278"),
        ("919879879876", "+919879879876"),
        ("sip:bob@phone.plivo.com", "sip:bob@phone.plivo.com"),
        ("anonymous", "anonymous"),
        ("12345", "12345"),
        ("0123456789", "0123456789"),
        ("", ""),
    ],
)
def test_numbers_come_without_a_plus(told: str, number: str) -> None:
    offered = read({"From": told, "To": told}, Purpose.ANSWER)
    assert (offered.call.from_, offered.call.to) == (number, number)


@pytest.mark.parametrize(
    ("word", "why"),
    [
        # DialStatus: plivo.com/docs/voice/xml/routing.
        ("completed", Why.COMPLETED),
        ("busy", Why.BUSY),
        ("no-answer", Why.NO_ANSWER),
        ("timeout", Why.NO_ANSWER),
        ("cancel", Why.CANCELLED),
        ("failed", Why.FAILED),
        ("new-word", Why.UNKNOWN),
    ],
)
def test_a_call_that_comes_back_from_a_transfer(word: str, why: Why) -> None:
    fields = {"CallStatus": "in-progress", "DialStatus": word, "Direction": "outbound"}
    offered = read(fields, Purpose.AFTER)
    assert (offered.again, offered.transfer) == (True, why)
    assert offered.call.direction is Direction.OUTBOUND


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        # plivo.com/docs/voice/concepts/callbacks and …/voice/troubleshooting/hangup-causes.
        ("completed", "4000", Why.COMPLETED),
        ("completed", "4010", Why.COMPLETED),
        ("completed", "", Why.COMPLETED),
        ("completed", "0", Why.COMPLETED),
        ("busy", "", Why.BUSY),
        ("no-answer", "", Why.NO_ANSWER),
        ("timeout", "", Why.NO_ANSWER),
        ("cancel", "1000", Why.CANCELLED),
        ("completed", "1000", Why.COMPLETED),
        ("failed", "2000", Why.FAILED),
        ("failed", "3010", Why.BUSY),
        ("failed", "3020", Why.REJECTED),
        ("failed", "3130", Why.REJECTED),
        ("failed", "6010", Why.NO_ANSWER),
        ("completed", "6000", Why.LIMIT),
        ("failed", "1010", Why.LIMIT),
        ("failed", "5030", Why.LIMIT),
        ("completed", "6020", Why.NETWORK),
        ("failed", "7011", Why.NETWORK),
        ("completed", "7014", Why.NETWORK),
        ("failed", "8011", Why.PROTOCOL),
        ("", "", Why.UNKNOWN),
        ("new-word", "80", Why.UNKNOWN),
    ],
)
@pytest.mark.parametrize("purpose", [Purpose.STATUS, Purpose.ANSWER, Purpose.AFTER])
def test_the_end_of_a_call(status: str, code: str, why: Why, purpose: Purpose) -> None:
    fields = {"Event": "Hangup", "CallStatus": status, "HangupCauseCode": code, "Duration": "42"}
    ended = read(fields | {"RequestUUID": "r-1"}, purpose)
    assert isinstance(ended, events.Ended)
    assert ended.reason.why is why
    assert (ended.call_id, ended.dial_id, ended.duration_s) == ("c-1", "r-1", 42.0)


def test_the_end_of_a_call_in_their_words() -> None:
    fields = {"CallStatus": "completed", "HangupCauseCode": "4010"}
    ended = read(fields | {"HangupCauseName": "End Of XML Instructions", "HangupSource": "Plivo"})
    reason = EndReason(Why.COMPLETED, Who.CARRIER, "4010 End Of XML Instructions")
    assert ended == events.Ended("c-1", reason)
    assert read({"CallStatus": "busy", "Duration": "x"}).reason.raw == "busy"


@pytest.mark.parametrize(
    ("direction", "source", "who"),
    [
        ("inbound", "Caller", Who.CALLER),
        ("inbound", "Callee", Who.UNKNOWN),
        ("outbound", "Caller", Who.UNKNOWN),
        ("outbound", "Callee", Who.CALLER),
        ("outbound", "Call recipient", Who.CALLER),
        ("outbound", "API Request", Who.BOT),
        ("inbound", "Answer XML", Who.BOT),
        ("inbound", "Carrier", Who.CARRIER),
        ("inbound", "Error", Who.CARRIER),
        ("inbound", "Unknown", Who.UNKNOWN),
    ],
)
def test_who_ended_a_call(direction: str, source: str, who: Who) -> None:
    fields = {"Event": "Hangup", "Direction": direction, "HangupSource": source}
    assert read(fields | {"CallStatus": "completed"}).reason.who is who


def test_ringing() -> None:
    assert isinstance(read({"Event": "Ring", "CallStatus": "ringing"}), events.Ringing)
    assert read({"Event": "x", "CallStatus": "in-progress"}) == events.Other("x", "c-1")


@pytest.mark.parametrize(
    "fields",
    [
        {"Event": "StartStream"},
        {"Event": "DroppedStream", "Error": "connection disconnected with the remote service"},
        {"Event": "DegradedStream", "StreamID": "s-1"},
        # The protocol reference calls them so.
        {"Event": "failed", "StreamID": "s-1", "StatusReason": "slow"},
    ],
)
def test_the_stream_s_own_callbacks_say_nothing_of_the_call(fields: dict[str, str]) -> None:
    url = {"ServiceURL": "wss://a.example/plivo/media/token", "CallStatus": "completed"}
    other = read(fields | url)
    kept = {name: value for name, value in fields.items() if name != "Event"}
    assert other == events.Other(fields["Event"], "c-1", kept)


def test_a_stream_s_callback_that_names_no_call() -> None:
    assert read(b"Event=StopStream") == events.Other("StopStream")


@pytest.mark.parametrize(
    ("word", "result"), [("true", "machine"), ("false", "human"), ("maybe", "unknown")]
)
def test_machine_detection(word: str, result: str) -> None:
    """plivo.com/docs/voice/api/call/machine-detection: "Machine … true if a machine"."""
    fields = {"Event": "MachineDetection", "CallStatus": "in-progress", "Machine": word}
    assert read(fields) == events.MachineDetected("c-1", result, word)


def test_a_webhook_without_a_call() -> None:
    for purpose in Purpose:
        with pytest.raises(RemoteProtocolError, match="CallUUID"):
            read(b"From=1", purpose)
    with pytest.raises(RemoteProtocolError, match="CallUUID"):
        read(b"Event=StopStream", Purpose.AFTER)


def written(notice: events.Notice) -> dict[str, str]:
    request = PLIVO.write_webhook(notice, "https://agent.example.com/x")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    return dict(parse_qsl(request.body.decode()))


def test_webhooks_as_plivo_writes_them() -> None:
    call = CallInfo(carrier="plivo", call_id=CALL_UUID, from_="+19792014278", to="+15553334444")
    assert written(events.Offered(call)) == dict(parse_qsl(INBOUND.decode()))
    again = written(events.Offered(call, again=True))
    assert (again["Event"], again["CallStatus"]) == ("Redirect", "in-progress")
    assert written(events.Offered(call, again=True, transfer=Why.BUSY))["DialStatus"] == "busy"
    outbound = CallInfo(carrier="plivo", call_id="c", direction=Direction.OUTBOUND)
    assert written(events.Offered(outbound))["CallStatus"] == "in-progress"
    assert written(events.Ringing(outbound))["Event"] == "Ring"
    assert written(events.MachineDetected("c", "machine"))["Machine"] == "true"
    assert written(events.MachineDetected("c", "human"))["Machine"] == "false"
    reason = EndReason(Why.REJECTED, Who.BOT)
    assert written(events.Ended("c", reason, duration_s=41.6)) == {
        "CallUUID": "c",
        "Event": "Hangup",
        "CallStatus": "completed",
        "HangupCauseCode": "3020",
        "HangupSource": "API Request",
        "Duration": "42",
    }
    ended = written(events.Ended("c", EndReason(Why.COMPLETED, Who.CALLER)))
    assert (ended["HangupCauseCode"], ended["HangupSource"]) == ("4000", "Caller")
    other = written(events.Other("StartStream", "c", {"StreamID": "s-1"}))
    assert (other["Event"], other["StreamID"]) == ("StartStream", "s-1")
    for untold in (
        events.Answered(outbound),
        events.DigitPressed("c", "1"),
        events.MachineDetected("c", "fax"),
    ):
        with pytest.raises(Unsupported, match="no webhook"):
            written(untold)


# --- XML -------------------------------------------------------------------------------------


def shape(node: ET.Element) -> Any:
    text = (node.text or "").strip()
    return node.tag, dict(node.attrib), text, [shape(inner) for inner in node]


def same_xml(ours: bytes, theirs: str) -> bool:
    return bool(shape(ET.fromstring(ours)) == shape(ET.fromstring(theirs)))


@pytest.mark.parametrize(
    ("audio", "content_type"),
    [
        (PCMU_8K, "audio/x-mulaw;rate=8000"),
        (L16_8K, "audio/x-l16;rate=8000"),
        (L16_16K, "audio/x-l16;rate=16000"),
    ],
)
def test_the_answer_is_what_the_sdk_would_write(audio: AudioFormat, content_type: str) -> None:
    offer = Offer(
        stream_url=OFFER.stream_url,
        token=OFFER.token,
        hooks=HOOKS,
        audio=audio,
        parameters=OFFER.parameters,
    )
    response = PLIVO.answer(CALL, offer).response
    expected = plivoxml.ResponseElement()
    expected.add(
        plivoxml.StreamElement(
            "wss://agent.example.com/plivo/media/tok.en-1_x",
            bidirectional=True,
            keepCallAlive=True,
            audioTrack="inbound",
            contentType=content_type,
            statusCallbackUrl="https://agent.example.com/plivo/status",
            statusCallbackMethod="POST",
            extraHeaders="tenant=42,lang=en",
        )
    )
    expected.add(plivoxml.RedirectElement("https://agent.example.com/plivo/after", method="POST"))
    assert same_xml(response.body, expected.to_string())
    assert response.headers["content-type"] == "application/xml"
    assert PLIVO.read_answer(response) == [
        seam.OpenStream(
            url="wss://agent.example.com/plivo/media/tok.en-1_x",
            parameters={"tenant": "42", "lang": "en"},
            audio=audio,
        ),
        seam.Redirect("https://agent.example.com/plivo/after", "POST"),
    ]


def test_without_parameters_there_is_no_attribute_for_them() -> None:
    offer = Offer(stream_url="wss://a.example/m", token="t", hooks=HOOKS, audio=PCMU_8K)
    assert b"extraHeaders" not in PLIVO.answer(CALL, offer).response.body


@pytest.mark.parametrize(
    "parameters",
    [
        {"user_id": "1"},
        {"id": "a-b"},
        {"number": "+1555"},
        {"name": "Zoë"},
        {"empty": ""},
        {"a": "x" * 511},
    ],
)
def test_parameters_that_would_not_arrive(parameters: dict[str, str]) -> None:
    """plivo.com/docs/voice/xml/audiostream: [A-Z], [a-z], [0-9], 512 bytes."""
    offer = Offer(
        stream_url="wss://a.example/m",
        token="t",
        hooks=HOOKS,
        audio=PCMU_8K,
        parameters=parameters,
    )
    with pytest.raises(Unsupported, match="letters and digits"):
        PLIVO.answer(CALL, offer)


def test_parameters_to_the_last_byte() -> None:
    offer = Offer(
        stream_url="wss://a.example/m",
        token="t",
        hooks=HOOKS,
        audio=PCMU_8K,
        parameters={"a": "x" * 510},
    )
    (opened, _) = PLIVO.read_answer(PLIVO.answer(CALL, offer).response)
    assert isinstance(opened, seam.OpenStream)
    assert opened.parameters == {"a": "x" * 510}


def test_an_offer_in_a_format_that_is_not_taken() -> None:
    offer = Offer(stream_url="wss://a.example/m", token="t", hooks=HOOKS, audio=PCMA_8K)
    with pytest.raises(Unsupported, match="PCMA/8000"):
        PLIVO.answer(CALL, offer)


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        (Dismissal.BUSY, plivoxml.HangupElement(reason="busy")),
        (Dismissal.REJECTED, plivoxml.HangupElement(reason="rejected")),
        (Dismissal.DONE, plivoxml.HangupElement()),
    ],
)
def test_dismissals_are_what_the_sdk_would_write(why: Dismissal, expected: Any) -> None:
    document = plivoxml.ResponseElement().add(expected).to_string()
    response = PLIVO.dismiss(CALL, why).response
    assert same_xml(response.body, document)
    step = seam.Hangup() if why is Dismissal.DONE else seam.Reject(why.value)
    assert PLIVO.read_answer(response) == [step]


def xml(verbs: str) -> Response:
    return Response(body=f"<Response>{verbs}</Response>".encode())


def test_verbs_as_the_simulated_carrier_reads_them() -> None:
    document = plivoxml.ResponseElement()
    document.add(plivoxml.DTMFElement("12#"))
    document.add(plivoxml.WaitElement(length=2))
    number, user = plivoxml.NumberElement("15551234567"), plivoxml.UserElement("sip:a@b.example")
    caller = {"caller_id": "15550000000", "action": "https://a.example/after"}
    document.add(plivoxml.DialElement(**caller).add(number))
    document.add(plivoxml.DialElement().add(user))
    document.add(plivoxml.RedirectElement("https://a.example/next", method="GET"))
    document.add(plivoxml.HangupElement())
    assert PLIVO.read_answer(Response(body=document.to_string().encode())) == [
        seam.SendTones("12#"),
        seam.Pause(2.0),
        seam.TransferTo(
            to="+15551234567", from_="+15550000000", then_url="https://a.example/after"
        ),
        seam.TransferTo(to="sip:a@b.example"),
        seam.Redirect("https://a.example/next", "GET"),
        seam.Hangup(),
    ]
    bare = '<Stream bidirectional="true">\n wss://a.example/x\n</Stream>'
    assert PLIVO.read_answer(
        xml(f"{bare}<Wait/><Redirect/><DTMF/><Dial/><Dial><Number/></Dial>")
    ) == [
        # Without keepCallAlive the next element runs at once; without contentType it is L16.
        seam.OpenStream(url="wss://a.example/x", blocking=False, audio=L16_8K),
        seam.Pause(1.0),
        seam.Redirect(""),
        seam.SendTones(""),
        seam.TransferTo(to=""),
        seam.TransferTo(to=""),
    ]


STREAM = "<Stream bidirectional='true' {}>wss://a.example</Stream>"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<Answer/>",
        b"<Response><Reject/></Response>",
        b"<Response><Wait length='soon'/></Response>",
        b"<Response><Stream/></Response>",
        b"<Response><Stream>wss://a.example</Stream></Response>",
        b"<Response><Stream bidirectional='false'>wss://a.example</Stream></Response>",
        b"<Response><Stream bidirectional='true'>https://a.example</Stream></Response>",
        xml(STREAM.format("audioTrack='both'")).body,
        xml(STREAM.format("contentType='audio/x-mulaw'")).body,
        xml(STREAM.format("contentType='audio/x-mulaw;rate=16000'")).body,
        xml(STREAM.format("contentType='audio/pcmu;rate=8000'")).body,
    ],
)
def test_documents_that_plivo_would_refuse_or_that_leave_a_bot_mute(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        PLIVO.read_answer(Response(body=body))


def test_an_answer_that_failed() -> None:
    with pytest.raises(RemoteProtocolError, match="7011"):
        PLIVO.read_answer(Response(500))


# --- control ---------------------------------------------------------------------------------


def asked(flow: Any, *answers: Response) -> Request:
    """The request of a flow that follows these answers."""
    request = next(flow)
    for answer in answers:
        request = flow.send(answer)
    assert request.headers["authorization"] == basic_auth("MA0123456789ABCDEF01", "0a1b2c3d")
    return request


def finish(flow: Any, answer: Response) -> Any:
    with pytest.raises(StopIteration) as done:
        flow.send(answer)
    return done.value.value


def fault(status: int, error: str = "not found") -> Response:
    return Response.of_json({"api_id": "a", "error": error}, status)


def test_hang_up_is_one_delete() -> None:
    flow = PLIVO.hang_up(CALL)
    request = asked(flow)
    assert (request.method, request.url, request.body) == ("DELETE", ONE, b"")
    assert request.repeatable
    assert finish(flow, Response(204)) is None


def test_hanging_up_a_call_that_is_over_or_was_not_yet_dialled() -> None:
    """Requests above two a second wait in a queue, and would be dialled later."""
    for answer in (Response(204), fault(404)):
        flow = PLIVO.hang_up(CALL)
        request = asked(flow, fault(404))
        assert (request.method, request.url) == ("DELETE", f"{ACCOUNT}/Request/{CALL.call_id}/")
        finish(flow, answer)
    flow = PLIVO.hang_up(CallInfo(carrier="plivo", call_id="c", dial_id="r-1"))
    assert asked(flow, fault(404)).url == f"{ACCOUNT}/Request/r-1/"


def test_errors_say_what_plivo_said() -> None:
    flow = PLIVO.hang_up(CALL)
    asked(flow)
    said = b'{"error":"from parameter +15551112222 is invalid"}'
    with pytest.raises(
        CarrierError, match=r"hang up: HTTP 429 \(from parameter \(number\)"
    ) as told:
        flow.send(Response(429, {"retry-after": "3"}, said))
    assert (told.value.retryable, told.value.retry_after) == (True, 3.0)
    flow = PLIVO.hang_up(CALL)
    asked(flow, fault(404))
    with pytest.raises(CarrierError, match=r"HTTP 401$") as told:
        flow.send(Response(401, body=b"Could not verify your access level for that URL."))
    assert not told.value.retryable


@pytest.mark.parametrize(
    ("answers", "state", "queries"),
    [
        # Fixtures of plivo-python: callGetResponse.json, liveCallGetResponse.json (2026-11).
        ([{"end_time": "2017-05-22 17:49:40+05:30", "call_duration": 0}], CallState.ENDED, [""]),
        ([None, {"call_status": "in-progress"}], CallState.ACTIVE, ["", "live"]),
        ([None, {"call_status": "ringing"}], CallState.RINGING, ["", "live"]),
        ([None, {"call_status": "a-new-word"}], CallState.ACTIVE, ["", "live"]),
        ([{"end_time": None}, {"call_status": "ringing"}], CallState.RINGING, ["", "live"]),
        ([None, None, {"call_status": "queued"}], CallState.QUEUED, ["", "live", "queued"]),
        ([None, None, None], CallState.ENDED, ["", "live", "queued"]),
    ],
)
def test_states(answers: list[Any], state: CallState, queries: list[str]) -> None:
    flow = PLIVO.state(CALL)
    request = next(flow)
    told = []
    for index, answer in enumerate(answers):
        assert (request.method, request.url.partition("?")[0]) == ("GET", ONE)
        told.append(dict(request.query).get("status", ""))
        response = fault(404) if answer is None else Response.of_json(answer)
        if index == len(answers) - 1:
            assert finish(flow, response) is state
        else:
            request = flow.send(response)
    assert told == queries


def test_states_that_are_not_told() -> None:
    flow = PLIVO.state(CALL)
    asked(flow)
    with pytest.raises(CarrierError, match="state"):
        flow.send(fault(500))
    flow = PLIVO.state(CALL)
    asked(flow)
    with pytest.raises(RemoteProtocolError):
        flow.send(Response(body=b"<html>"))


def test_dial() -> None:
    wish = seam.Dial(to="+15551112222", from_="+15553334444", offer=OFFER, detect_machine=True)
    flow = PLIVO.dial(wish)
    request = asked(flow)
    assert (request.method, request.url) == ("POST", f"{ACCOUNT}/Call/")
    assert not request.repeatable
    status = f"{HOOKS.base}/status"
    assert request.json() == {
        "from": "15553334444",
        "to": "15551112222",
        "answer_url": f"{HOOKS.base}/answer",
        "ring_url": status,
        "hangup_url": status,
        "ring_timeout": 30,
        "time_limit": 14400,
        "machine_detection": "true",
        "machine_detection_url": status,
    }
    # plivo-python, fixtures/callCreateResponse.json.
    answer = {"message": "call fired", "request_uuid": "9834029e-58b6-11e1", "api_id": "97ceeb52"}
    assert finish(flow, Response.of_json(answer, 201)) == "9834029e-58b6-11e1"
    plain = PLIVO.dial(seam.Dial(to="+1555", from_="+1556", offer=OFFER))
    assert b"machine" not in asked(plain).body
    with pytest.raises(CarrierError, match="place a call: HTTP 400"):
        plain.send(fault(400, "from parameter is invalid"))


def test_one_call_for_one_wish() -> None:
    """A "<" joins numbers, and all of them would be called."""
    wish = seam.Dial(to="+15551112222<+15551113333", from_="+1555", offer=OFFER)
    with pytest.raises(ValueError, match="one number"):
        next(PLIVO.dial(wish))


def transfer_url(to: str, from_: str = "") -> str:
    flow = PLIVO.transfer(CALL, to, from_=from_, hooks=HOOKS)
    request = asked(flow)
    assert (request.method, request.url) == ("POST", ONE)
    order = request.json()
    assert (order["legs"], order["aleg_method"]) == ("aleg", "POST")
    # plivo-python, fixtures/callUpdateResponse.json; the spelling is theirs.
    finish(flow, Response.of_json({"message": "call transfered", "api_id": "a"}, 202))
    return str(order["aleg_url"])


@pytest.mark.parametrize(
    ("to", "from_", "party"),
    [
        ("+15551234567", "+15550000000", plivoxml.NumberElement("+15551234567")),
        ("15551234567", "", plivoxml.NumberElement("15551234567")),
        ("sip:a&b@c.example", "", plivoxml.UserElement("sip:a&amp;b@c.example")),
    ],
)
def test_a_transfer_is_a_document_in_a_url(to: str, from_: str, party: Any) -> None:
    url = transfer_url(to, from_)
    after = f"{HOOKS.base}/after"
    assert url.partition("?")[0] == after
    fields = {"CallStatus": "in-progress", "Event": "Redirect"}
    (scripted,) = PLIVO.read_webhook(webhook(fields, url), Purpose.AFTER)
    assert isinstance(scripted, events.Scripted)
    assert scripted.call.call_id == "c-1"
    dial = plivoxml.DialElement(
        action=after, method="POST", caller_id=from_.lstrip("+") if from_ else None
    )
    expected = plivoxml.ResponseElement().add(dial.add(party)).to_string()
    assert same_xml(scripted.response.body, expected.replace("&amp;amp;", "&amp;"))
    (step,) = PLIVO.read_answer(scripted.response)
    assert isinstance(step, seam.TransferTo)
    assert (step.to.lstrip("+"), step.from_, step.then_url) == (to.lstrip("+"), from_, after)


def test_the_end_of_a_call_that_is_being_transferred() -> None:
    url = transfer_url("+15551234567")
    fields = {"CallStatus": "completed", "Event": "Hangup"}
    (ended,) = PLIVO.read_webhook(webhook(fields, url), Purpose.AFTER)
    assert isinstance(ended, events.Ended)


@pytest.mark.parametrize(
    ("to", "from_"),
    [("", ""), ("bob", ""), ("+1", ""), ("sip:", ""), ("+15551234567", "bob"), ("1555\x001", "")],
)
def test_a_transfer_to_nobody(to: str, from_: str) -> None:
    with pytest.raises(ValueError, match="transferred"):
        next(PLIVO.transfer(CALL, to, from_=from_, hooks=HOOKS))
    query = urlencode({"TransferTo": to, "TransferFrom": from_})
    with pytest.raises(RemoteProtocolError, match="transfer"):
        PLIVO.read_webhook(webhook({}, f"{HOOKS.base}/after?{query}"), Purpose.AFTER)


def test_a_transfer_that_is_refused() -> None:
    flow = PLIVO.transfer(CALL, "+15551234567", from_="", hooks=HOOKS)
    asked(flow)
    with pytest.raises(CallEnded, match="transfer"):
        flow.send(fault(404))
    flow = PLIVO.transfer(CALL, "+15551234567", from_="", hooks=HOOKS)
    asked(flow)
    with pytest.raises(CarrierError, match="transfer: HTTP 400"):
        flow.send(fault(400, "aleg_url is invalid"))


def test_credentials_are_tried_by_listing_the_applications() -> None:
    flow = PLIVO.check()
    request = asked(flow)
    assert (request.method, request.url) == ("GET", f"{ACCOUNT}/Application/?limit=20")
    listed = [{"app_name": "bot", "answer_url": "https://a.example/plivo/answer"}, {"app_name": 7}]
    assert finish(flow, Response.of_json({"objects": listed})) == [
        "application 'bot' asks https://a.example/plivo/answer what to do",
        "application '' asks nobody what to do",
    ]
    for answer, error in ((fault(401), CarrierError), (Response(body=b"{}"), RemoteProtocolError)):
        flow = PLIVO.check()
        asked(flow)
        with pytest.raises(error):
            flow.send(answer)
    told = Exchange(PLIVO).run(PLIVO.check())
    assert list(told) == ["application 'example' asks nobody what to do"]


def test_an_account_that_could_not_stand_in_a_url() -> None:
    with pytest.raises(ConfigError, match="PLIVO_AUTH_ID"):
        example(Plivo, auth_id="../1")


# --- the simulated REST API ------------------------------------------------------------------

LOGIN = {"authorization": basic_auth("MA0123456789ABCDEF01", "0a1b2c3d")}


def ask(exchange: Exchange, method: str, path: str, data: Any = None, **changed: str) -> Response:
    url, headers = f"{ACCOUNT}/{path}", LOGIN | changed
    if data is not None:
        return exchange.rest(Request.of_json(method, url, data, headers))
    return exchange.rest(Request(method=method, url=url, headers=headers))


def test_platform_doors() -> None:
    exchange = Exchange(PLIVO)
    exchange.add("c-1")
    for wrong in ("", "Basic", basic_auth("MA0123456789ABCDEF01", "no")):
        assert ask(exchange, "GET", "Call/c-1/?status=live", authorization=wrong).status == 401
    assert ask(exchange, "GET", "Call/c-1/?status=live").status == 200
    # Without the slash at its end a path is another.
    for unknown in ("Call/c-2/", "Call/c-1", "Call/", "Calls/c-1/", "Call/c-1/Play/"):
        assert ask(exchange, "GET", unknown).status == 404


def test_platform_describes() -> None:
    exchange = Exchange(PLIVO)
    exchange.add("c-1", CallState.RINGING, from_="+15551112222", to="+15553334444")
    live = ask(exchange, "GET", "Call/c-1/?status=live").json()
    assert (live["call_status"], live["call_uuid"]) == ("ringing", "c-1")
    assert (live["from"], live["to"], live["direction"]) == (
        "15551112222",
        "15553334444",
        "inbound",
    )
    assert ask(exchange, "GET", "Call/c-1/").status == 404
    assert ask(exchange, "GET", "Call/c-1/?status=queued").status == 404
    exchange.end("c-1")
    assert ask(exchange, "GET", "Call/c-1/?status=live").status == 404
    record = ask(exchange, "GET", "Call/c-1/").json()
    assert (record["from_number"], record["to_number"]) == ("15551112222", "15553334444")
    assert record["end_time"] == "2025-06-15 15:06:40+00:00"


def test_platform_queues() -> None:
    exchange = Exchange(PLIVO)
    exchange.add("c-1", CallState.QUEUED)
    assert ask(exchange, "GET", "Call/c-1/?status=queued").json()["call_status"] == "queued"
    assert ask(exchange, "DELETE", "Call/c-1/").status == 404
    assert ask(exchange, "DELETE", "Request/c-1/").status == 204
    assert exchange.commands == [seam.HangUpLeg("c-1")]
    exchange.add("c-2")
    assert ask(exchange, "DELETE", "Request/c-2/").status == 404


def test_platform_creates() -> None:
    exchange = Exchange(PLIVO)
    wish = {"from": "15553334444", "to": "15551112222", "answer_url": "https://a.example/x"}
    for name in wish:
        missing = {key: value for key, value in wish.items() if key != name}
        assert ask(exchange, "POST", "Call/", missing).status == 400
        assert ask(exchange, "POST", "Call/", missing | {name: 1}).status == 400
    made = ask(exchange, "POST", "Call/", wish)
    assert (made.status, made.json()["message"]) == (201, "call fired")
    (placed,) = exchange.commands
    assert placed == seam.Place(
        to="+15551112222",
        from_="+15553334444",
        answer_url="https://a.example/x",
        ring_timeout=120.0,
    )


def test_platform_transfers() -> None:
    exchange = Exchange(PLIVO)
    exchange.add("c-1")
    order = {"legs": "aleg", "aleg_url": "https://a.example/x", "aleg_method": "GET"}
    answer = ask(exchange, "POST", "Call/c-1/", order)
    assert (answer.status, answer.json()["message"]) == (202, "call transfered")
    assert exchange.commands == [seam.Fetch("c-1", "https://a.example/x", "GET")]
    assert ask(exchange, "POST", "Call/c-1/", {"legs": "aleg"}).status == 400
