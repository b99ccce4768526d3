"""Telnyx: its golden table, order of audio, signatures against others' Ed25519, webhooks of both
kinds, answers of both kinds, REST, and its mirror."""

import base64
import hashlib
import json
import time
import xml.etree.ElementTree as ET
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from golden import Golden, Row, check_read, check_written, example, stream_ends
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exchange import Exchange
from trunkline import carrier as seam
from trunkline import events
from trunkline.carrier import Control, Dismissal, Hooks, Offer, Purpose
from trunkline.carriers.telnyx import Telnyx
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
from trunkline.media.formats import L16_16K, PCMA_8K, PCMU_8K
from trunkline.web import Request, Response

PAGE = "developers.telnyx.com, Media Streaming over WebSockets"
API = "developers.telnyx.com, AsyncAPI: Stream call media over WebSocket"

MULAW = bytes.fromhex("ff7f80007e8090ff")
FRAME = bytes(range(160))
FRAME_64 = base64.b64encode(FRAME).decode()
CALL_ID = "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ"
STARTED = Started(
    call_id=CALL_ID,
    account_id="3E6F995F-85F7-4705-9741-53B116D28237",
    stream_id="32DE0DEA-53CB-4B21-89A4-9E1819C043BC",
    inbound=PCMU_8K,
    outbound=PCMA_8K,
    from_="+13122010094",
    to="+13122123456",
)
SID = f'"stream_id":"{STARTED.stream_id}"'
IDS = f'"user_id":"{STARTED.account_id}","call_control_id":"{CALL_ID}"'
NUMBERS = '"from":"+13122010094","to":"+13122123456"'
FORMAT = '"media_format":{"encoding":"PCMU","sample_rate":8000,"channels":1}'

GOLDEN = Golden(
    STARTED,
    counters=frozenset({"sequence_number", "chunk", "timestamp", "occurred_at"}),
    rows=(
        Row(
            "carrier",
            STARTED,
            f'{{"event":"start","sequence_number":"1","start":{{{IDS},{NUMBERS},'
            f'"client_state":null,{FORMAT}}},{SID}}}',
            f"{PAGE}, without call_session_id and tags",
            "2026-04-10",
        ),
        Row(
            "carrier",
            STARTED,
            f'{{"event":"start","sequence_number":"1","start":{{{IDS},'
            f'"call_session_id":"ff55a038-6f5d-11ef-9692-02420aeffb1f",{NUMBERS},'
            f'"tags":["TAG1","TAG2"],"client_state":"aGF2ZSBhIG5pY2UgZGF5ID1d",{FORMAT}}},{SID}}}',
            PAGE,
            "2026-04-10",
            written=False,
        ),
        Row(
            "carrier",
            events.Audio(MULAW, 5),
            '{"event":"media","sequence_number":"4","media":{"track":"inbound","chunk":"2",'
            f'"timestamp":"5","payload":"/3+AAH6AkP8="}},{SID}}}',
            PAGE,
            "2026-04-10",
        ),
        Row(
            "carrier",
            None,
            '{"event":"media","sequence_number":"4","media":{"track":"outbound","chunk":"2",'
            f'"timestamp":"5","payload":"/3+AAH6AkP8="}},{SID}}}',
            PAGE,
            "2026-04-10",
            written=False,
        ),
        Row(
            "carrier",
            events.Audio(MULAW, 5),
            '{"event":"media","media":{"track":"inbound","timestamp":5,"payload":"/3+AAH6AkP8="}}',
            "numbers instead of text, and no chunk: as lenient readers in public code allow",
            "2026-11-21",
            written=False,
        ),
        Row(
            "carrier",
            events.Digit("1"),
            f'{{"event":"dtmf",{SID},"occurred_at":"2025-06-05T08:54:19.698408Z",'
            '"sequence_number":"5","dtmf":{"digit":"1"}}',
            PAGE,
            "2026-04-10",
        ),
        Row(
            "carrier",
            events.Mark("some_mark_name"),
            f'{{"event":"mark",{SID},"sequence_number":"5","mark":{{"name":"some_mark_name"}}}}',
            PAGE,
            "2026-04-10",
        ),
        Row(
            "carrier",
            events.Stopped(),
            f'{{"event":"stop","sequence_number":"5","stop":{{{IDS}}},{SID}}}',
            PAGE,
            "2026-04-10",
        ),
        Row(
            "carrier",
            events.Failed("100004", "invalid_media: Media provided was not base64 encoded"),
            '{"event":"error","payload":{"code":100004,"title":"invalid_media",'
            f'"detail":"Media provided was not base64 encoded"}},{SID}}}',
            PAGE,
            "2026-04-10",
        ),
        Row(
            "carrier",
            events.Failed("100005", "rate_limit_reached"),
            '{"event":"error","payload":{"code":"100005","title":"rate_limit_reached"}}',
            f"{PAGE}: the code as in its table, and no detail",
            "2026-04-10",
            written=False,
        ),
        Row(
            "carrier",
            None,
            '{"event":"connected","version":"1.0.0"}',
            PAGE,
            "2026-04-10",
            written=False,
        ),
        Row(
            "carrier",
            None,
            '{"protocol":"Call","version":"1.0.0","event":"connected",'
            '"connected":{"x-telnyx-streaming-auth-token":"t"}}',
            "a public project's fixture of a real handshake",
            "2026-11-21",
            written=False,
        ),
        Row(
            "carrier",
            events.Extra("later", {"sequence_number": "9"}),
            '{"event":"later","sequence_number":"9"}',
            "made up: an event Telnyx may add",
            "2026-11-21",
        ),
        Row(
            "bot",
            events.Audio(FRAME, format=PCMA_8K),
            f'{{"event":"media","media":{{"payload":"{FRAME_64}"}}}}',
            PAGE,
            "2026-04-10",
        ),
        Row(
            "bot",
            events.Mark("some_mark_name"),
            '{"event":"mark","mark":{"name":"some_mark_name"}}',
            PAGE,
            "2026-04-10",
        ),
        Row("bot", events.Clear(), '{"event":"clear"}', API, "2026-11-21"),
    ),
)

TELNYX = example(Telnyx)
NOW = 1_750_000_000.0  # example()'s clock


# --- wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN.rows)
def test_golden_read(row: Row) -> None:
    check_read(TELNYX, GOLDEN, row)


@pytest.mark.parametrize("row", [row for row in GOLDEN.rows if row.written])
def test_golden_written(row: Row) -> None:
    check_written(TELNYX, GOLDEN, row)


def test_the_stream_begins_with_connected() -> None:
    end = TELNYX.carrier_end(PCMU_8K)
    end.send(replace(STARTED, inbound=PCMA_8K, parameters={"lang": "en"}))
    first, second = (json.loads(message) for message in end.outgoing())
    assert first == {"event": "connected", "version": "1.0.0"}
    assert second["start"]["media_format"]["encoding"] == "PCMA"
    assert second["start"]["custom_parameters"] == {"lang": "en"}


def test_numbers_are_text_and_time_follows_the_audio() -> None:
    _, theirs = stream_ends(TELNYX, STARTED)
    for _ in range(3):
        theirs.send(events.Audio(bytes(160)))
    told = [json.loads(message) for message in theirs.outgoing()]
    assert [m["sequence_number"] for m in told] == ["2", "3", "4"]
    assert [m["media"]["chunk"] for m in told] == ["1", "2", "3"]
    assert [m["media"]["timestamp"] for m in told] == ["0", "20", "40"]


def test_a_key_has_the_time_it_was_pressed_at() -> None:
    _, theirs = stream_ends(TELNYX, STARTED)
    theirs.send(events.Digit("1"))
    (message,) = theirs.outgoing()
    assert json.loads(message)["occurred_at"] == "2025-06-15T15:06:40.000000Z"


def start(**changed: Any) -> str:
    body = {"call_control_id": "v3:x", "media_format": {"encoding": "PCMU", "sample_rate": 8000}}
    return json.dumps({"event": "start", "start": body | changed})


@pytest.mark.parametrize(
    ("told", "heard"), [("PCMU", PCMU_8K), ("PCMA", PCMA_8K)], ids=["PCMU", "PCMA"]
)
@pytest.mark.parametrize("ours", [PCMU_8K, PCMA_8K], ids=str)
def test_each_direction_has_its_own_encoding(told: str, heard: Any, ours: Any) -> None:
    message = start(media_format={"encoding": told, "sample_rate": "8000", "channels": "1"})
    (started,) = TELNYX.bot_end(ours).receive(message)
    assert isinstance(started, Started)
    assert (started.inbound, started.outbound) == (heard, ours)


@pytest.mark.parametrize(
    "wrong",
    [
        {"encoding": "L16", "sample_rate": 16000},
        {"encoding": "G722", "sample_rate": 8000},
        {"encoding": "PCMU", "sample_rate": 16000},
        {"encoding": "PCMU", "sample_rate": 8000, "channels": 2},
    ],
)
def test_other_audio_is_refused_before_any_arrives(wrong: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="PCMU or PCMA"):
        TELNYX.bot_end(PCMU_8K).receive(start(media_format=wrong))


def test_a_caller_who_withholds_the_number() -> None:
    (started,) = TELNYX.bot_end(PCMU_8K).receive(start(**{"from": None, "to": None}))
    assert isinstance(started, Started)
    assert (started.from_, started.to, started.account_id) == ("", "", "")


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ({"a": "1", "b": 2}, {"a": "1"}),
        ([{"name": "a", "value": "1"}, {"name": "b"}, {"value": "x"}, 7], {"a": "1", "b": ""}),
        (None, {}),
        ("a=1", {}),
    ],
    ids=["object", "list", "none", "text"],
)
def test_parameters_in_whichever_form_they_come(told: Any, heard: dict[str, str]) -> None:
    (started,) = TELNYX.bot_end(PCMU_8K).receive(start(custom_parameters=told))
    assert isinstance(started, Started)
    assert started.parameters == heard


def media(chunk: int, **more: Any) -> str:
    payload = base64.b64encode(bytes([chunk % 256])).decode()
    body = {"track": "inbound", "chunk": str(chunk), "timestamp": "0", "payload": payload} | more
    return json.dumps({"event": "media", "media": body})


def heard(end: Any, *chunks: int) -> list[int]:
    """The numbers of the chunks whose audio was handed on, in order."""
    said = [event for chunk in chunks for event in end.receive(media(chunk))]
    return [event.payload[0] for event in said]


def test_audio_is_put_in_order() -> None:
    bot, _ = stream_ends(TELNYX, STARTED)
    assert heard(bot, 1) == [1]  # at once, while nothing is missing
    assert heard(bot, 3, 3, 2, 2, 4) == [2, 3, 4]


def test_a_chunk_that_never_comes_costs_eighty_milliseconds_at_most() -> None:
    bot, _ = stream_ends(TELNYX, STARTED)
    assert heard(bot, 1, 3, 4, 5, 6) == [1]
    assert heard(bot, 7) == [3, 4, 5, 6, 7]
    assert heard(bot, 2, 8) == [8]


def test_the_other_track_has_numbers_of_its_own() -> None:
    bot, _ = stream_ends(TELNYX, STARTED)
    assert heard(bot, 1) == [1]
    assert bot.receive(media(2, track="outbound")) == ()
    assert heard(bot, 2) == [2]


def test_what_is_held_is_heard_before_the_end() -> None:
    bot, _ = stream_ends(TELNYX, STARTED)
    assert heard(bot, 1, 3, 4) == [1]
    *rest, stopped = bot.receive('{"event":"stop"}')
    assert [event.payload[0] for event in rest] == [3, 4]
    assert stopped == events.Stopped()


def test_a_second_start_begins_the_count_anew() -> None:
    bot, _ = stream_ends(TELNYX, STARTED)
    assert heard(bot, 40, 42) == [40]
    bot.receive(start())
    assert heard(bot, 1, 2) == [1, 2]


@pytest.mark.parametrize("told", [None, [], "x", {}, {"code": None, "title": 7}])
def test_a_complaint_that_cannot_be_read_is_one_all_the_same(told: Any) -> None:
    bot, _ = stream_ends(TELNYX, STARTED)
    assert bot.receive(json.dumps({"event": "error", "payload": told})) == (events.Failed("", ""),)


@pytest.mark.parametrize("digit", ["", "12", "x", "a"])
def test_a_key_that_is_none(digit: str) -> None:
    bot, _ = stream_ends(TELNYX, STARTED)
    with pytest.raises(RemoteProtocolError, match="key"):
        bot.receive(f'{{"event":"dtmf","dtmf":{{"digit":"{digit}"}}}}')


def test_what_the_socket_cannot_carry() -> None:
    bot, theirs = stream_ends(TELNYX, STARTED)
    for event in (events.Digits("1"), events.Extra("x", {})):
        with pytest.raises(LocalProtocolError, match="carry"):
            bot.send(event)
    for event in (events.Cleared(), events.Extra("media", {})):
        with pytest.raises(LocalProtocolError, match="never"):
            theirs.send(event)
    with pytest.raises(LocalProtocolError, match="Started"):
        TELNYX.carrier_end(PCMU_8K).send(events.Audio(MULAW))


@pytest.mark.parametrize("size", [0, 159, 240_001])
def test_chunks_of_less_than_20_ms_or_over_30_s(size: int) -> None:
    """As documented (page "Media Streaming over WebSockets", 2026-04-10)."""
    end = TELNYX.carrier_end(PCMU_8K)
    payload = base64.b64encode(bytes(size)).decode()
    with pytest.raises(RemoteProtocolError, match="20"):
        end.receive(f'{{"event":"media","media":{{"payload":"{payload}"}}}}')
    with pytest.raises(RemoteProtocolError, match="100003"):
        end.receive('{"event":"dance"}')


def test_only_g711_is_spoken() -> None:
    for make in (TELNYX.bot_end, TELNYX.carrier_end):
        with pytest.raises(Unsupported, match="PCMA/8000"):
            make(L16_16K)


# --- signatures ------------------------------------------------------------------------------

# Computed apart from this project with cryptography 48 from this seed; RFC 8032 is deterministic.
SEED = bytes(range(32))
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
STAMP = "1735689600"
HELLO = "sbhoV2LGKo2thZ/qTtKJ/MqLDB0clN0pBywq+sbBcQ/PuP7ZT5PbJOiQ1UfchBOVEU77q8NUbXrwML7oVo62CA=="
EVENT = (
    b'{"data":{"record_type":"event","event_type":"call.initiated",'
    b'"id":"0ccc7b54-4df3-4bca-a65a-3da1ecc777f0","occurred_at":"2025-01-01T00:00:00.000000Z",'
    b'"payload":{"call_control_id":"v3:test","direction":"incoming","state":"parked"}},'
    b'"meta":{"attempt":1,"delivered_to":"https://example.com/telnyx"}}'
)
EVENT_SIGNATURE = (
    "Q3jgQIA+ioDmjYeDJQrdNKwQojBA/oxD+MSnnjL9vAjKGd2+Oqs1yK4X4ZVo/gS+Gau84vuFKfP4mfC30R4HAA=="
)
URL = "https://agent.example.com/telnyx/answer"


def real(now: float = float(STAMP)) -> Telnyx:
    """As an operator has it: the account's public key, and nobody's private one."""
    given = {"api_key": "KEY1", "public_key": PUBLIC, "connection_id": "149"}
    return Telnyx(given, clock=lambda: now)


def signed(body: bytes, signature: str, stamp: str = STAMP) -> Request:
    headers = {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": signature}
    return Request(method="POST", url=URL, headers=headers, body=body)


def test_vectors() -> None:
    assert hashlib.sha256(EVENT).hexdigest()[:8] == "6f32a88f"
    real().verify(signed(b"hello", HELLO))
    real().verify(signed(EVENT, EVENT_SIGNATURE))
    for body, signature in ((b"hallo", HELLO), (b"hello", EVENT_SIGNATURE), (EVENT, HELLO)):
        with pytest.raises(BadSignature, match="TELNYX_PUBLIC_KEY"):
            real().verify(signed(body, signature))


def test_a_form_is_signed_as_it_is_written() -> None:
    """TeXML's callbacks: the same headers, over the raw form (page "TeXML stream" callback)."""
    form = b"CallSid=v3%3Ax&CallStatus=ringing"
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    signature = base64.b64encode(private.sign(f"{STAMP}|".encode() + form)).decode()
    real().verify(signed(form, signature))
    with pytest.raises(BadSignature):
        real().verify(signed(form.replace(b"%3A", b":"), signature))


@pytest.mark.parametrize("off", [-300, -299.5, 0, 300])
def test_a_clock_that_is_off_by_five_minutes(off: float) -> None:
    real(float(STAMP) + off).verify(signed(b"hello", HELLO))


@pytest.mark.parametrize("off", [-301, 300.5, 3600])
def test_a_webhook_that_is_too_old_or_too_new(off: float) -> None:
    with pytest.raises(BadSignature, match="300 s"):
        real(float(STAMP) + off).verify(signed(b"hello", HELLO))


@pytest.mark.parametrize(
    "stamp", ["", "-1", "1735689600.0", "١٧٣٥٦٨٩٦٠٠", " 1735689600", "9" * 5000]
)
def test_a_time_that_is_none(stamp: str) -> None:
    with pytest.raises(BadSignature, match="telnyx-timestamp"):
        real().verify(signed(b"hello", HELLO, stamp))


def test_nothing_is_believed_that_is_not_signed() -> None:
    """A GET's query is no part of what is signed, and TeXML's default method is GET."""
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    signature = base64.b64encode(private.sign(f"{STAMP}|".encode())).decode()
    asked = Request.get(f"{URL}?CallSid=v3%3Ax", signed(b"", signature).headers)
    with pytest.raises(BadSignature, match="POST"):
        real().verify(asked)


def test_the_simulator_s_own_key() -> None:
    """Whoever simulates signs with a key made from words, and only that is taken then."""
    words = example(Telnyx, signing_key="some words")
    request = words.sign(Request(method="POST", url=URL, body=EVENT))
    assert request.headers["telnyx-timestamp"] == str(int(NOW))
    words.verify(request)
    public = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"some words").digest())
    signature = base64.b64decode(request.headers["telnyx-signature-ed25519"])
    public.public_key().verify(signature, f"{int(NOW)}|".encode() + EVENT)
    for other in (real(NOW), example(Telnyx, signing_key="other words")):
        with pytest.raises(BadSignature):
            other.verify(request)


@given(st.binary(min_size=1, max_size=60))
def test_what_we_sign_libsodium_accepts(body: bytes) -> None:
    """PyNaCl is what the official SDK verifies with."""
    signing = pytest.importorskip("nacl.signing")
    request = TELNYX.sign(Request(method="POST", url=URL, body=body))
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"me").digest()).public_key()
    message = request.headers["telnyx-timestamp"].encode() + b"|" + body
    proof = base64.b64decode(request.headers["telnyx-signature-ed25519"])
    signing.VerifyKey(key.public_bytes_raw()).verify(message, proof)


def test_what_we_sign_the_sdk_accepts() -> None:
    telnyx = pytest.importorskip("telnyx")
    pytest.importorskip("nacl.signing")
    carrier = Telnyx(Telnyx.examples(), clock=time.time)
    request = carrier.sign(Request(method="POST", url=URL, body=EVENT))
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"me").digest()).public_key()
    client = telnyx.Telnyx(api_key="KEY1")
    headers = dict(request.headers)
    event = client.webhooks.unwrap(EVENT.decode(), headers=headers, key=key.public_bytes_raw())
    assert event.data.payload.call_control_id == "v3:test"


@pytest.mark.parametrize("key", ["x", "", PUBLIC[:-4], PUBLIC + "AAAA"])
def test_a_public_key_that_is_none(key: str) -> None:
    with pytest.raises(ConfigError, match="TELNYX_PUBLIC_KEY"):
        example(Telnyx, public_key=key)


STREAM = "wss://agent.example.com/telnyx/media/tok.en-1"


def proof_of(url: str) -> str:
    headers = real().sign(Request.get(url)).headers
    assert set(headers) == {"x-telnyx-streaming-auth-token"}
    return headers["x-telnyx-streaming-auth-token"]


def test_an_upgrade_shows_the_token_it_was_given() -> None:
    header = "x-telnyx-streaming-auth-token"
    proof = proof_of(STREAM)
    real().verify(Request.get(STREAM, {header: proof}))
    # The host is what proxies change; a path has its own proof.
    real().verify(Request.get(STREAM.replace("agent", "media"), {header: proof}))
    with pytest.raises(BadSignature, match=header):
        real().verify(Request.get(STREAM))
    for wrong in ("", f"Bearer {proof}", proof_of(f"{STREAM}x")):
        with pytest.raises(BadSignature, match=header):
            real().verify(Request.get(STREAM, {header: wrong}))
    given = Request.get(STREAM, {header: "as streaming_start said"})
    assert real().sign(given).headers == given.headers


def test_an_upgrade_by_texml_has_its_proof_in_the_query() -> None:
    real().verify(Request.get(f"{STREAM}?auth={proof_of(STREAM)}"))
    with pytest.raises(BadSignature):
        real().verify(Request.get(f"{STREAM}?auth={proof_of(f'{STREAM}x')}"))
    assert real().sign(Request.get(f"{STREAM}?auth=x")).headers == {}


# --- webhooks --------------------------------------------------------------------------------

# From a public project's log of a real call (2025-11-23), numbers changed.
INITIATED = {
    "call_control_id": "v3:2EC-70CTEj",
    "call_leg_id": "b0e6224c-1",
    "call_session_id": "b0e6141e-1",
    "caller_id_name": "+15551112222",
    "calling_party_type": "pstn",
    "client_state": None,
    "connection_codecs": "PCMA,PCMU,VP8,H264",
    "connection_id": "2811212257810187875",
    "direction": "incoming",
    "from": "+15551112222",
    "from_sip_uri": "5551112222@206.147.72.186:5060",
    "offered_codecs": "PCMU,G729",
    "start_time": "2025-11-23T03:30:00.076316Z",
    "state": "parked",
    "to": "+15553334444",
    "to_sip_uri": "+15553334444@192.76.120.10:5060",
}
IDS_ONLY = {name: INITIATED[name] for name in ("call_control_id", "call_leg_id", "connection_id")}


def webhook(kind: str, payload: Any, event_id: str = "") -> Request:
    data = {"event_type": kind, "id": event_id, "payload": payload, "record_type": "event"}
    return Request.of_json("POST", URL, {"data": data, "meta": {"attempt": 1}})


def read(kind: str, payload: Any, *, by: Any = TELNYX, event_id: str = "") -> Any:
    (notice,) = by.read_webhook(webhook(kind, payload, event_id), Purpose.ANSWER)
    return notice


def state(**fields: Any) -> str:
    return base64.b64encode(json.dumps(fields).encode()).decode()


@pytest.mark.parametrize("purpose", list(Purpose))
def test_an_inbound_call(purpose: Purpose) -> None:
    """All events of a call come to the one URL of its application, whichever that is."""
    (offered,) = TELNYX.read_webhook(webhook("call.initiated", INITIATED), purpose)
    assert isinstance(offered, events.Offered)
    call = offered.call
    assert (call.call_id, call.from_, call.to) == ("v3:2EC-70CTEj", "+15551112222", "+15553334444")
    assert (call.direction, offered.again, call.tag) == (Direction.INBOUND, False, "")
    assert call.raw == INITIATED


def test_names_of_events_with_underscores() -> None:
    assert isinstance(read("call_initiated", INITIATED), events.Offered)
    assert isinstance(read("streaming_stopped", IDS_ONLY), events.Offered)


def test_a_call_that_we_placed() -> None:
    ours = IDS_ONLY | {"from": "+1", "to": "+2", "client_state": state(dialled=True, tag="wish-1")}
    ringing = read("call.initiated", ours | {"direction": "outgoing", "state": "bridging"})
    assert isinstance(ringing, events.Ringing)
    offered = read("call.answered", ours)
    assert isinstance(offered, events.Offered)
    assert (offered.call.direction, offered.call.tag) == (Direction.OUTBOUND, "wish-1")
    assert (offered.call.from_, offered.call.to, offered.again) == ("+1", "+2", False)


@pytest.mark.parametrize(
    "text",
    ["", "x", "aGF2ZSBhIG5pY2UgZGF5ID1d", "bnVsbA==", "W10=", "/w==", state(dialled="x"), None],
)
def test_somebody_else_s_client_state_says_nothing(text: str | None) -> None:
    answered = read("call.answered", IDS_ONLY | {"client_state": text})
    assert isinstance(answered, events.Answered)
    assert (answered.call.direction, answered.call.tag) == (Direction.INBOUND, "")


def test_a_call_whose_stream_is_over_asks_how_to_go_on() -> None:
    remembered = IDS_ONLY | {"client_state": state(**{"from": "+1", "to": "+2"})}
    offered = read("streaming.stopped", remembered | {"stream_url": "wss://a.example/1"})
    assert isinstance(offered, events.Offered)
    assert (offered.again, offered.transfer) == (True, None)
    assert (offered.call.from_, offered.call.to) == ("+1", "+2")
    failed = {"failure_reason": "connection_failed", "stream_params": {"stream_url": "wss://b"}}
    offered = read("streaming.failed", IDS_ONLY | failed)
    assert isinstance(offered, events.Offered)
    assert offered.again


def test_one_stream_ends_once() -> None:
    carrier = example(Telnyx)
    params = {"stream_params": {"stream_url": "wss://a.example/1"}}
    failed = read("streaming.failed", IDS_ONLY | params, by=carrier, event_id="1")
    assert isinstance(failed, events.Offered)
    stopped = IDS_ONLY | {"stream_url": "wss://a.example/1"}
    again = read("streaming.stopped", stopped, by=carrier, event_id="2")
    assert again == events.Other("streaming.stopped", "v3:2EC-70CTEj")
    other = IDS_ONLY | {"stream_url": "wss://a.example/2"}
    assert isinstance(read("streaming.stopped", other, by=carrier, event_id="3"), events.Offered)


def test_a_webhook_that_comes_twice_is_read_once() -> None:
    now = [NOW]
    carrier = Telnyx(Telnyx.examples(), clock=lambda: now[0])
    request = webhook("call.initiated", INITIATED, "b97d4d5e")
    assert len(carrier.read_webhook(request, Purpose.ANSWER)) == 1
    now[0] += 300
    assert carrier.read_webhook(request, Purpose.ANSWER) == []
    now[0] += 300
    assert len(carrier.read_webhook(request, Purpose.ANSWER)) == 1


def test_a_key_that_came_on_the_socket_is_not_heard_again() -> None:
    pressed = read("call.dtmf.received", IDS_ONLY | {"digit": "1"})
    assert pressed == events.Other("call.dtmf.received", "v3:2EC-70CTEj")


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        # hangup_cause of call.hangup, telnyx 4.189.0; the last three are not in its list.
        ("normal_clearing", Why.COMPLETED),
        ("call_rejected", Why.REJECTED),
        ("originator_cancel", Why.CANCELLED),
        ("timeout", Why.NO_ANSWER),
        ("time_limit", Why.LIMIT),
        ("user_busy", Why.BUSY),
        ("not_found", Why.FAILED),
        ("no_answer", Why.NO_ANSWER),
        ("unspecified", Why.UNKNOWN),
        ("busy", Why.BUSY),
        ("unallocated_number", Why.FAILED),
        ("new_word", Why.UNKNOWN),
    ],
)
def test_the_end_of_a_call(cause: str, why: Why) -> None:
    ended = read("call.hangup", IDS_ONLY | {"hangup_cause": cause})
    assert ended == events.Ended("v3:2EC-70CTEj", EndReason(why, Who.UNKNOWN, cause))


@pytest.mark.parametrize(
    ("source", "dialled", "who"),
    [
        ("caller", False, Who.CALLER),
        ("callee", False, Who.BOT),
        ("caller", True, Who.BOT),
        ("callee", True, Who.CALLER),
        ("unknown", False, Who.UNKNOWN),
    ],
)
def test_who_hung_up(source: str, dialled: bool, who: Who) -> None:
    told = {"hangup_source": source, "client_state": state(dialled=dialled)}
    assert read("call.hangup", IDS_ONLY | told).reason.who is who


@pytest.mark.parametrize(
    ("kind", "word", "result"),
    [
        # telnyx 4.189.0: the two events' lists.
        ("detection", "human", "human"),
        ("detection", "machine", "machine"),
        ("detection", "not_sure", "unknown"),
        ("premium.detection", "human_residence", "human"),
        ("premium.detection", "human_business", "human"),
        ("premium.detection", "silence", "unknown"),
        ("premium.detection", "fax_detected", "fax"),
    ],
)
def test_machine_detection(kind: str, word: str, result: str) -> None:
    found = read(f"call.machine.{kind}.ended", IDS_ONLY | {"result": word})
    assert found == events.MachineDetected("v3:2EC-70CTEj", result, word)


def test_the_legs_of_a_transfer() -> None:
    """The caller's own leg stops streaming, which is no reason to end it; the new leg's end is."""
    gone = IDS_ONLY | {"client_state": state(transferred=True)}
    assert isinstance(read("streaming.stopped", gone), events.Other)
    assert isinstance(read("call.hangup", gone), events.Ended)
    told = {"leg_of": "v3:first", "from": "+1", "to": "+2", "dialled": True}
    leg = {"call_control_id": "v3:second", "from": "+3", "to": "+4", "client_state": state(**told)}
    assert isinstance(read("call.initiated", leg | {"direction": "outgoing"}), events.Ringing)
    assert isinstance(read("call.answered", leg), events.Other)
    back = read("call.hangup", leg | {"hangup_cause": "user_busy"})
    assert isinstance(back, events.Offered)
    assert (back.call.call_id, back.again, back.transfer) == ("v3:first", True, Why.BUSY)
    assert (back.call.from_, back.call.to) == ("+1", "+2")
    assert back.call.direction is Direction.OUTBOUND


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}",
        b'{"data":{}}',
        b'{"data":{"event_type":"call.initiated"}}',
        b'{"data":{"event_type":"call.initiated","payload":{}}}',
        b'{"data":{"event_type":"call.initiated","payload":{"call_control_id":"../x"}}}',
        b"CallStatus=ringing",
        b"CallSid=a%2Fb",
        b"\xff=",
    ],
)
def test_webhooks_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        TELNYX.read_webhook(Request(method="POST", url=URL, body=body), Purpose.ANSWER)


TEXML = {
    # The fields of pages "TeXML fetching" and of the stream callback's example (2026-04).
    "AccountSid": "f5586561-8ff0-4291-a51b-c7dfe4139ff9",
    "CallSid": "v3:9X2vxPDFY2RHSJ1EdMS0RHRksMTg7ldNxdjWbVr9zBjbGjGsSe-aiQ",
    "CallSidLegacy": "v3:9X2vxPDFY2RHSJ1EdMS0RHRksMTg7ldNxdjWbVr9zBjbGjGsSe-aiQ",
    "CallStatus": "ringing",
    "From": "+15551112222",
    "To": "+15553334444",
}


def texml(purpose: Purpose = Purpose.ANSWER, **fields: str) -> Any:
    form = urlencode(TEXML | fields).encode()
    (notice,) = TELNYX.read_webhook(Request(method="POST", url=URL, body=form), purpose)
    return notice


def test_texml_that_is_fetched() -> None:
    offered = texml()
    assert isinstance(offered, events.Offered)
    assert (offered.call.call_id, offered.again) == (TEXML["CallSid"], False)
    assert (offered.call.from_, offered.call.to) == ("+15551112222", "+15553334444")
    assert (offered.call.direction, offered.call.raw) == (Direction.INBOUND, TEXML)
    after = texml(Purpose.AFTER, CallStatus="in-progress")
    assert isinstance(after, events.Offered)
    assert after.again


def test_texml_that_only_tells() -> None:
    sid = TEXML["CallSid"]
    for kind in ("stream-started", "stream-stopped", "stream-failed"):
        assert texml(StreamEvent=kind) == events.Other(kind, sid)
    # A status callback may come to the URL that TeXML is fetched from.
    told = texml(CallStatus="answered", CallbackSource="call-progress-events")
    assert told == events.Other("answered", sid)
    assert texml(Purpose.STATUS) == events.Other("ringing", sid)


@pytest.mark.parametrize(
    ("word", "why"),
    [
        # Page "TeXML Hangup", status callback attributes.
        ("completed", Why.COMPLETED),
        ("no-answer", Why.NO_ANSWER),
        ("busy", Why.BUSY),
        ("failed", Why.FAILED),
        ("canceled", Why.CANCELLED),
    ],
)
def test_the_end_of_a_texml_call(word: str, why: Why) -> None:
    ended = texml(CallStatus=word, CallDuration="2", HangupSource="caller")
    reason = EndReason(why, Who.CALLER, word)
    assert ended == events.Ended(TEXML["CallSid"], reason, duration_s=2.0)
    assert texml(CallStatus=word, CallDuration="x").duration_s is None


def written(notice: Any) -> dict[str, Any]:
    request = TELNYX.write_webhook(notice, URL)
    told = request.json()
    assert told["meta"] == {"attempt": 1, "delivered_to": URL}
    assert told["data"]["record_type"] == "event"
    assert told["data"]["occurred_at"] == "2025-06-15T15:06:40.000000Z"
    return {"event_type": told["data"]["event_type"], **told["data"]["payload"]}


def test_webhooks_as_telnyx_writes_them() -> None:
    call = CallInfo(carrier="telnyx", call_id="v3:x", from_="+15551112222", to="+15553334444")
    told = written(events.Offered(call))
    assert told["event_type"] == "call.initiated"
    # Every field is as in the real one, of which there are more.
    assert set(told) - {"event_type"} <= set(INITIATED)
    assert (told["direction"], told["state"]) == ("incoming", "parked")
    assert written(events.Offered(call, again=True))["event_type"] == "streaming.stopped"
    back = written(events.Offered(call, again=True, transfer=Why.NO_ANSWER))
    assert (back["event_type"], back["hangup_cause"]) == ("call.hangup", "no_answer")
    assert back["call_control_id"] != "v3:x"
    outbound = replace(call, direction=Direction.OUTBOUND)
    assert written(events.Offered(outbound))["event_type"] == "call.answered"
    ringing = written(events.Ringing(outbound))
    assert (ringing["event_type"], ringing["direction"]) == ("call.initiated", "outgoing")
    ended = written(events.Ended("v3:x", EndReason(Why.BUSY, Who.CALLER)))
    assert (ended["hangup_cause"], ended["hangup_source"]) == ("user_busy", "caller")
    ended = written(events.Ended("v3:x", EndReason(Why.UNKNOWN, Who.BOT)))
    assert (ended["hangup_cause"], ended["hangup_source"]) == ("unspecified", "callee")
    assert written(events.MachineDetected("v3:x", "unknown"))["result"] == "not_sure"
    for none in (events.Ringing(call), events.Answered(call), events.DigitPressed("v3:x", "1")):
        with pytest.raises(Unsupported):
            TELNYX.write_webhook(none, URL)


def test_no_two_webhooks_have_one_id() -> None:
    call = CallInfo(carrier="telnyx", call_id="v3:x")
    made = [TELNYX.write_webhook(events.Offered(call), URL).json()["data"]["id"] for _ in range(3)]
    assert all(left != right for left, right in pairwise(made))


# --- answers ---------------------------------------------------------------------------------

HOOKS = Hooks("https://agent.example.com/telnyx")
OFFER = Offer(
    stream_url="wss://agent.example.com/telnyx/media",
    token="tok.en-1",
    hooks=HOOKS,
    audio=PCMA_8K,
    parameters={"who": 'Jane & "John" <x>'},
)
CALL = CallInfo(carrier="telnyx", call_id="v3:a-b", from_="+1", to="+2")
CALLS = "https://api.telnyx.com/v2/calls"
ACTIONS = f"{CALLS}/v3%3Aa-b/actions"
OK = Response.of_json({"data": {"result": "ok"}})


def fault(status: int, code: str = "", detail: str = "no", **headers: str) -> Response:
    body = json.dumps({"errors": [{"code": code, "title": "no", "detail": detail}]}).encode()
    return Response(status, headers, body)


def steps(flow: Any, *answers: Response) -> list[Request]:
    """The requests of a flow that is given these answers; its end is left to the last."""
    return [next(flow), *(flow.send(answer) for answer in answers)]


def finish(flow: Any, answer: Response) -> Any:
    with pytest.raises(StopIteration) as done:
        flow.send(answer)
    return done.value.value


def order(request: Request) -> tuple[str, dict[str, Any]]:
    """What a command says, but its id."""
    assert request.method == "POST"
    assert request.headers["authorization"] == "Bearer KEY1"
    body = request.json()
    assert len(body.pop("command_id")) == 36
    return request.url, body


def test_a_call_is_answered_and_then_streamed() -> None:
    answer = real().answer(CALL, OFFER)
    assert answer.response == Response()
    assert answer.flow is not None
    flow = answer.flow()
    first, second = steps(flow, OK)
    url, body = order(first)
    assert url == f"{ACTIONS}/answer"
    assert json.loads(base64.b64decode(body.pop("client_state"))) == {"from": "+1", "to": "+2"}
    assert body == {}
    url, body = order(second)
    assert url == f"{ACTIONS}/streaming_start"
    assert json.loads(base64.b64decode(body.pop("client_state"))) == {"from": "+1", "to": "+2"}
    assert body == {
        "stream_url": STREAM,
        "stream_track": "inbound_track",
        "stream_codec": "PCMA",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMA",
        "stream_bidirectional_sampling_rate": 8000,
        "stream_auth_token": proof_of(STREAM),
        "custom_parameters": [{"name": "who", "value": 'Jane & "John" <x>'}],
    }
    assert first.json()["command_id"] != second.json()["command_id"]
    assert first.repeatable
    assert finish(flow, OK) is None


def test_only_a_call_that_rings_is_answered() -> None:
    outbound = replace(CALL, direction=Direction.OUTBOUND)
    for call, offer in ((outbound, OFFER), (CALL, replace(OFFER, again=True))):
        flow = real().answer(call, offer).flow
        assert flow is not None
        (request,) = steps(flow())
        assert request.url == f"{ACTIONS}/streaming_start"


def test_an_order_that_comes_before_the_call_is_answered_waits() -> None:
    flow = real().answer(replace(CALL, direction=Direction.OUTBOUND), OFFER).flow
    assert flow is not None
    running = flow()
    asked = steps(running, *[fault(422, "90034")] * 4)
    assert [request.after for request in asked] == [0.0, 0.25, 0.5, 1.0, 2.0]
    # A command_id that was refused must not be used again: it would be ignored.
    assert len({request.json()["command_id"] for request in asked}) == 5
    assert len({json.dumps(order(request)[1]) for request in asked}) == 1
    with pytest.raises(CarrierError, match="90034"):
        running.send(fault(422, "90034"))


def test_a_caller_who_gave_up() -> None:
    for answers in ([], [OK]):
        flow = real().answer(CALL, OFFER).flow
        assert flow is not None
        running = flow()
        steps(running, *answers)
        with pytest.raises(CallEnded):
            running.send(fault(422, "90018", "Call has already ended"))


def same_xml(left: bytes | str, right: bytes | str) -> bool:
    def shape(node: ET.Element) -> object:
        return node.tag, dict(node.attrib), node.text or "", [shape(child) for child in node]

    return shape(ET.fromstring(left)) == shape(ET.fromstring(right))


def test_a_form_is_answered_by_a_document() -> None:
    """Attributes of page "Stream" (TeXML verbs)."""
    answer = real().answer(replace(CALL, raw=TEXML), OFFER)
    assert answer.flow is None
    assert answer.response.headers["content-type"] == "application/xml"
    expected = (
        f'<Response><Connect><Stream url="{STREAM}?auth={proof_of(STREAM)}" track="inbound_track" '
        'codec="PCMA" bidirectionalMode="rtp" bidirectionalCodec="PCMA" enableReconnect="false" '
        ">"
        '<Parameter name="who" value="Jane &amp; &quot;John&quot; &lt;x&gt;"/></Stream></Connect>'
        '<Redirect method="POST">https://agent.example.com/telnyx/after</Redirect></Response>'
    )
    assert same_xml(answer.response.body, expected)
    real().verify(Request.get(f"{STREAM}?auth={proof_of(STREAM)}"))


def test_dismissals_by_rest() -> None:
    for why, action, body in (
        (Dismissal.BUSY, "reject", {"cause": "USER_BUSY"}),
        (Dismissal.REJECTED, "reject", {"cause": "CALL_REJECTED"}),
        (Dismissal.DONE, "hangup", {}),
    ):
        answer = real().dismiss(CALL, why)
        assert answer.flow is not None
        flow = answer.flow()
        (request,) = steps(flow)
        assert order(request) == (f"{ACTIONS}/{action}", body)
        finish(flow, fault(422, "90018"))
    answer = real().dismiss(replace(CALL, direction=Direction.OUTBOUND), Dismissal.BUSY)
    assert answer.flow is not None
    assert order(steps(answer.flow())[0])[0] == f"{ACTIONS}/hangup"


def test_dismissals_by_document() -> None:
    call = replace(CALL, raw=TEXML)
    for why, verb in (
        (Dismissal.BUSY, '<Reject reason="busy"/>'),
        (Dismissal.REJECTED, '<Reject reason="rejected"/>'),
        (Dismissal.DONE, "<Hangup/>"),
    ):
        answer = real().dismiss(call, why)
        assert answer.flow is None
        assert same_xml(answer.response.body, f"<Response>{verb}</Response>")


def test_audio_that_cannot_be_offered() -> None:
    with pytest.raises(Unsupported):
        real().answer(CALL, replace(OFFER, audio=L16_16K))


def test_the_answer_to_a_json_webhook_says_nothing() -> None:
    (pause,) = TELNYX.read_answer(Response(200, {}, b"whatever"))
    assert isinstance(pause, seam.Pause)
    with pytest.raises(RemoteProtocolError, match="500"):
        TELNYX.read_answer(Response(500))


# --- control ---------------------------------------------------------------------------------


def test_hang_up() -> None:
    flow = real().hang_up(CALL)
    (request,) = steps(flow)
    assert order(request) == (f"{ACTIONS}/hangup", {})
    assert finish(flow, OK) is None


@pytest.mark.parametrize("over", [fault(422, "90018"), fault(404, "10005")], ids=["422", "404"])
def test_a_call_that_is_over(over: Response) -> None:
    carrier = real()
    flow: Any = carrier.hang_up(CALL)
    steps(flow)
    finish(flow, over)
    flow = carrier.state(CALL)
    steps(flow)
    assert finish(flow, over) is CallState.ENDED
    for flow in (
        carrier.transfer(CALL, "+1", from_="", hooks=HOOKS),
        carrier.send_digits(CALL, "1", started=STARTED, hooks=HOOKS),
    ):
        steps(flow)
        with pytest.raises(CallEnded):
            flow.send(over)


def test_errors_say_what_telnyx_said() -> None:
    flow = real().hang_up(CALL)
    steps(flow)
    refused = fault(429, "10011", "slow +15551112222", **{"retry-after": "3"})
    with pytest.raises(CarrierError, match=r"HTTP 429 \(10011, slow \(number\)\)") as caught:
        flow.send(refused)
    assert (caught.value.retryable, caught.value.retry_after) == (True, 3.0)
    for odd in (Response(422), Response(422, {}, b'{"errors":[7]}'), fault(422, "90015")):
        flow = real().hang_up(CALL)
        steps(flow)
        with pytest.raises(CarrierError, match="HTTP 422") as caught:
            flow.send(odd)
        assert not caught.value.retryable


def test_state() -> None:
    for alive, expected in ((True, CallState.ACTIVE), (False, CallState.ENDED)):
        flow = real().state(CALL)
        (request,) = steps(flow)
        assert (request.method, request.url) == ("GET", f"{CALLS}/v3%3Aa-b")
        told = {"call_control_id": "v3:a-b", "is_alive": alive, "record_type": "call"}
        assert finish(flow, Response.of_json({"data": told})) is expected
    flow = real().state(CALL)
    steps(flow)
    with pytest.raises(RemoteProtocolError):
        flow.send(Response(200, {}, b"{}"))
    flow = real().state(CALL)
    steps(flow)
    with pytest.raises(CarrierError):
        flow.send(fault(401, "10009"))


def wish(**changed: Any) -> seam.Dial:
    fields: dict[str, Any] = {"to": "+2", "from_": "+1", "offer": OFFER, "key": "wish-1"}
    return seam.Dial(**(fields | changed))


def test_dial() -> None:
    flow = real().dial(wish(detect_machine=True))
    (request,) = steps(flow)
    body = request.json()
    assert (request.url, request.repeatable) == (CALLS, False)
    assert json.loads(base64.b64decode(body.pop("client_state"))) == {
        "dialled": True,
        "tag": "wish-1",
    }
    assert body == {
        "connection_id": "149",
        "to": "+2",
        "from": "+1",
        "timeout_secs": 30,
        "time_limit_secs": 14400,
        "webhook_url": "https://agent.example.com/telnyx/answer",
        "answering_machine_detection": "detect",
    }
    told = {"call_control_id": "v3:new", "call_leg_id": "x", "is_alive": False}
    assert finish(flow, Response.of_json({"data": told})) == "v3:new"


def test_limits_of_dial() -> None:
    """timeout_secs 5 to 600, time_limit_secs 60 to 14400 (telnyx 4.189.0; error code 90029)."""
    body = steps(real().dial(wish(ring_timeout=1, max_duration=1)))[0].json()
    assert (body["timeout_secs"], body["time_limit_secs"]) == (5, 60)
    body = steps(real().dial(wish(ring_timeout=900, max_duration=90_000)))[0].json()
    assert (body["timeout_secs"], body["time_limit_secs"]) == (600, 14400)
    assert "answering_machine_detection" not in body


def test_dial_refused() -> None:
    flow = real().dial(wish())
    steps(flow)
    with pytest.raises(CarrierError, match="90103") as caught:
        flow.send(fault(429, "90103", "dials per second"))
    assert caught.value.retryable
    with pytest.raises(ConfigError, match="TELNYX_CONNECTION_ID"):
        next(example(Telnyx, connection_id="").dial(wish()))
    assert Telnyx.dial_rate == 30


def test_transfer() -> None:
    flow = real().transfer(CALL, "+3", from_="+4", hooks=HOOKS)
    (request,) = steps(flow)
    url, body = order(request)
    assert url == f"{ACTIONS}/transfer"
    own, other = (
        json.loads(base64.b64decode(body.pop(name)))
        for name in ("client_state", "target_leg_client_state")
    )
    assert own == {"from": "+1", "to": "+2", "transferred": True}
    assert other == {"from": "+1", "to": "+2", "leg_of": "v3:a-b"}
    assert body == {
        "to": "+3",
        "from": "+4",
        "webhook_url": "https://agent.example.com/telnyx/after",
    }
    stop = flow.send(OK)
    url, body = order(stop)
    assert url == f"{ACTIONS}/streaming_stop"
    assert json.loads(base64.b64decode(body["client_state"])) == own
    finish(flow, fault(422, "90048"))
    flow = real().transfer(CALL, "sip:a@b.example", from_="", hooks=HOOKS)
    (request,) = steps(flow)
    assert "from" not in request.json()


def test_keys() -> None:
    flow = real().send_digits(CALL, "1w2#", started=STARTED, hooks=HOOKS)
    (request,) = steps(flow)
    url, body = order(request)
    assert url == f"{ACTIONS}/send_dtmf"
    assert body == {"digits": "1w2#", "duration_millis": 250}
    finish(flow, OK)


@pytest.mark.parametrize("digits", ["", "a", "1 2", "１", "1,2"])
def test_keys_that_are_none(digits: str) -> None:
    with pytest.raises(ValueError, match="keys"):
        next(real().send_digits(CALL, digits, started=STARTED, hooks=HOOKS))


def test_check() -> None:
    flow = real().check()
    (request,) = steps(flow)
    assert request.url == "https://api.telnyx.com/v2/call_control_applications"
    told = [{"application_name": "bot", "webhook_event_url": URL}, {"application_name": "old"}]
    assert finish(flow, Response.of_json({"data": told})) == [
        f"application 'bot' tells {URL} of calls",
        "application 'old' tells nobody of calls",
    ]
    flow = real().check()
    steps(flow)
    with pytest.raises(CarrierError, match="10009"):
        flow.send(fault(401, "10009"))
    exchange = exchange_with()
    assert exchange.run(exchange.carrier.check()) == ["application 'example' tells nobody of calls"]


def test_another_place() -> None:
    there = example(Telnyx, api_url="https://api.telnyx.eu/v2/")
    assert steps(there.hang_up(CALL))[0].url.startswith("https://api.telnyx.eu/v2/calls/v3%3A")
    for control in Control:
        assert Telnyx.supports(control)


# --- the simulated REST API ------------------------------------------------------------------


def ask(exchange: Exchange, path: str, body: Any = None, key: str = "KEY0123456789") -> Response:
    headers = {"authorization": f"Bearer {key}"}
    url = f"{CALLS}{path}"
    if body is None:
        return exchange.rest(Request.get(url, headers))
    return exchange.rest(Request.of_json("POST", url, body, headers))


def code(response: Response) -> tuple[int, str]:
    return response.status, response.json()["errors"][0]["code"]


def exchange_with(*calls: str, state: CallState = CallState.ACTIVE) -> Exchange:
    exchange = Exchange(example(Telnyx))
    for call in calls:
        exchange.add(call, state)
    return exchange


def test_platform_doors() -> None:
    exchange = exchange_with("v3:x")
    assert code(ask(exchange, "/v3%3Ax", key="KEY2")) == (401, "10009")
    assert ask(exchange, "/v3%3Ax").json()["data"]["is_alive"] is True
    for unknown in ("/v3%3Ay", "/v3%3Ax/", "/v3%3Ax/actions/dance/x", "s"):
        assert code(ask(exchange, unknown)) == (404, "10005")
    assert code(ask(exchange, "/v3%3Ax/actions/dance", {})) == (404, "10005")
    exchange.end("v3:x")
    told = ask(exchange, "/v3%3Ax").json()["data"]
    assert (told["is_alive"], told["call_duration"]) == (False, 7)
    assert code(ask(exchange, "/v3%3Ax/actions/answer", {})) == (422, "90018")


def test_platform_obeys_a_command_once() -> None:
    exchange = exchange_with("v3:x", "v3:y")
    once = {"command_id": "891510ac", "digits": "1"}
    for path in ("/v3%3Ax", "/v3%3Ax", "/v3%3Ay"):
        assert ask(exchange, f"{path}/actions/send_dtmf", once).status == 200
    assert exchange.commands == [seam.Press("v3:x", "1"), seam.Press("v3:y", "1")]


def test_platform_orders_to_a_call_that_rings() -> None:
    exchange = exchange_with("v3:x", state=CallState.RINGING)
    for action in ("streaming_start", "transfer", "send_dtmf"):
        assert code(ask(exchange, f"/v3%3Ax/actions/{action}", {})) == (422, "90034")
    assert ask(exchange, "/v3%3Ax/actions/answer", {}).status == 200
    assert ask(exchange, "/v3%3Ax/actions/reject", {"cause": "USER_BUSY"}).status == 200
    assert ask(exchange, "/v3%3Ax/actions/reject", {"cause": "NOT_FOUND"}).status == 200
    answered, busy, other = exchange.commands
    assert isinstance(answered, seam.Instruct)
    assert busy == seam.Instruct("v3:x", [seam.Reject("busy")])
    assert other == seam.Instruct("v3:x", [seam.Reject("rejected")])


def test_platform_streams() -> None:
    exchange = exchange_with("v3:x")
    start = {"stream_url": STREAM, "stream_bidirectional_mode": "rtp"}
    assert ask(exchange, "/v3%3Ax/actions/streaming_start", start).status == 200
    token = {"stream_auth_token": "t", "stream_bidirectional_codec": "PCMA"}
    assert ask(exchange, "/v3%3Ax/actions/streaming_start", start | token).status == 200
    plain, proved = exchange.commands
    again = seam.Redirect("")
    assert plain == seam.Instruct("v3:x", [seam.OpenStream(url=STREAM, audio=PCMU_8K), again])
    headers = {"x-telnyx-streaming-auth-token": "t"}
    opened = seam.OpenStream(url=STREAM, headers=headers, audio=PCMA_8K)
    assert proved == seam.Instruct("v3:x", [opened, again])
    assert code(ask(exchange, "/v3%3Ax/actions/streaming_stop", {})) == (422, "90048")
    # Without a mode it would be mp3, and silence.
    for wrong in ({"stream_url": "https://x"}, {"stream_bidirectional_mode": "mp3"}):
        with pytest.raises(RemoteProtocolError, match="rtp"):
            ask(exchange, "/v3%3Ax/actions/streaming_start", start | wrong)
    with pytest.raises(RemoteProtocolError, match="rtp"):
        codec = {"stream_bidirectional_codec": "OPUS"}
        ask(exchange, "/v3%3Ax/actions/streaming_start", start | codec)


def test_platform_hangs_up() -> None:
    exchange = exchange_with("v3:x", state=CallState.RINGING)
    exchange.run(exchange.carrier.hang_up(replace(CALL, call_id="v3:x")))
    assert exchange.commands == [seam.HangUpLeg("v3:x")]


def test_platform_transfers() -> None:
    exchange = exchange_with("v3:x")
    body = {"to": "+3", "from": "+4", "webhook_url": "https://a.example/after"}
    assert ask(exchange, "/v3%3Ax/actions/transfer", body).status == 200
    step = seam.TransferTo(to="+3", from_="+4", then_url="https://a.example/after")
    assert exchange.commands == [seam.Instruct("v3:x", [step])]


def test_platform_creates() -> None:
    exchange = exchange_with()
    body = {"connection_id": "149", "to": "+2", "from": "+1", "webhook_url": URL}
    for name in ("connection_id", "to", "from"):
        assert code(ask(exchange, "", body | {name: ""})) == (422, "10004")
    made = ask(exchange, "", body | {"client_state": "eCBtZW4="})
    assert made.status == 200
    assert made.json()["data"]["is_alive"] is False
    (placed,) = exchange.commands
    assert isinstance(placed, seam.Place)
    assert (placed.answer_url, placed.status_url, placed.tag) == (URL, URL, "")


def test_the_public_key_of_the_vectors() -> None:
    key = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    assert isinstance(key, Ed25519PublicKey)
    assert base64.b64encode(key.public_bytes_raw()).decode() == PUBLIC
