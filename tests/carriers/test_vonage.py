"""Vonage: its golden table, its JWTs against vectors and the official SDK, its NCCOs, its REST."""

import base64
import hashlib
import hmac
import json
from urllib.parse import urlencode

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from golden import Golden, Row, check_read, check_written, example, stream_ends
from hypothesis import given
from hypothesis import strategies as st

from exchange import Exchange
from trunkline import carrier as seam
from trunkline import events
from trunkline.carrier import Dismissal, Hooks, Offer, Purpose
from trunkline.carriers.vonage import Vonage
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
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMU_8K
from trunkline.web import Request, Response

PAGE = "developer.vonage.com/en/voice/voice-api/guides/websockets"
EVENTS = "developer.vonage.com/en/voice/voice-api/webhook-reference"

UUID = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
LEG = "bbbbbbbb-cccc-dddd-eeee-0123456789ab"
FRAME = bytes(range(256)) * 2 + bytes(128)  # 20 ms at 16 kHz: 640 bytes
STARTED = Started(
    call_id=UUID,
    from_="+442079460000",
    to="+447700900000",
    inbound=L16_16K,
    outbound=L16_16K,
    parameters={"language": "en-GB", "callerID": "447700900123"},
)
CONNECTED = (
    '{"event":"websocket:connected","content-type":"audio/l16;rate=16000",'
    f'"call_uuid":"{UUID}","from":"+442079460000","to":"+447700900000",'
    '"language":"en-GB","callerID":"447700900123"}'
)

GOLDEN = Golden(
    STARTED,
    rows=(
        Row("carrier", STARTED, CONNECTED, PAGE, "2026-11-21"),
        Row("carrier", events.Audio(FRAME), FRAME, PAGE, "2026-11-21"),
        Row(
            "carrier",
            events.Digit("5", 260),
            '{"event":"websocket:dtmf","digit":"5","duration":260}',
            PAGE,
            "2026-11-21",
        ),
        Row(
            "carrier",
            events.Mark("1.2"),
            '{"event":"websocket:notify","payload":{"mark":"1.2"}}',
            PAGE,
            "2026-11-21",
        ),
        Row("carrier", events.Cleared(), '{"event":"websocket:cleared"}', PAGE, "2026-11-21"),
        Row(
            "carrier",
            events.Extra("websocket:notify", {"payload": {"customKey": "customValue"}}),
            '{"event":"websocket:notify","payload":{"customKey":"customValue"}}',
            PAGE,
            "2026-11-21",
            written=False,
        ),
        Row(
            "carrier",
            events.Extra("websocket:later", {"n": 9}),
            '{"event":"websocket:later","n":9}',
            "made up: an event Vonage may add",
            "2026-11-21",
        ),
        Row("bot", events.Audio(FRAME, format=L16_16K), FRAME, PAGE, "2026-11-21"),
        Row(
            "bot",
            events.Mark("1.2"),
            '{"action":"notify","payload":{"mark":"1.2"}}',
            PAGE,
            "2026-11-21",
        ),
        Row("bot", events.Clear(), '{"action":"clear"}', PAGE, "2026-11-21"),
    ),
)

VONAGE = example(Vonage)
CALL = CallInfo(carrier="vonage", call_id=UUID, from_="+442079460000", to="+447700900000")
PLACED = CallInfo(
    carrier="vonage",
    call_id=UUID,
    from_="+447700900000",
    to="+442079460000",
    direction=Direction.OUTBOUND,
)
HOOKS = Hooks("https://agent.example.com/vonage")
OFFER = Offer(
    stream_url="wss://agent.example.com/vonage/media",
    token="tok.en-1",
    hooks=HOOKS,
    audio=L16_16K,
    parameters={"who": 'Jane "J" Doe'},
)
CALLS = "https://api.nexmo.com/v1/calls"
KEY = Vonage.examples()["private_key"]


# --- wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN.rows)
def test_golden_read(row: Row) -> None:
    check_read(VONAGE, GOLDEN, row)


@pytest.mark.parametrize("row", [row for row in GOLDEN.rows if row.written])
def test_golden_written(row: Row) -> None:
    check_written(VONAGE, GOLDEN, row)


@pytest.mark.parametrize(
    ("audio", "size"),
    # The table of the guide (2021) for 8 and 16 kHz; 24 kHz is 480 samples of two bytes.
    [(L16_8K, 320), (L16_16K, 640), (L16_24K, 960)],
)
def test_a_message_is_20_ms_at_every_rate_both_ways(audio: object, size: int) -> None:
    started = Started(call_id=UUID, inbound=audio, outbound=audio)  # type: ignore[arg-type]
    bot, theirs = stream_ends(VONAGE, started)
    bot.send(events.Audio(bytes(size)))
    assert bot.outgoing() == [bytes(size)]
    assert theirs.receive(bytes(size)) == (events.Audio(bytes(size), format=audio),)
    for wrong in (size - 2, size + 2, 2 * size, 0):
        with pytest.raises(LocalProtocolError, match="20 ms"):
            bot.send(events.Audio(bytes(wrong)))
        # The words of a log in vocode-core, issue 727, after which the socket was closed (1006).
        with pytest.raises(RemoteProtocolError, match=f"size {wrong}, when required {size}"):
            theirs.receive(bytes(wrong))


@pytest.mark.parametrize(
    ("kind", "audio"),
    [
        ("audio/l16;rate=8000", L16_8K),
        ("audio/l16; rate=16000", L16_16K),
        ("Audio/L16;Rate=24000", L16_24K),
    ],
)
def test_the_rate_is_the_one_the_first_message_tells(kind: str, audio: object) -> None:
    said = json.dumps({"event": "websocket:connected", "content-type": kind})
    (started,) = VONAGE.bot_end(L16_16K).receive(said)
    assert isinstance(started, Started)
    assert (started.inbound, started.outbound) == (audio, audio)


@pytest.mark.parametrize("kind", ["audio/l16;rate=48000", "audio/l16", "audio/pcmu", None, 16000])
def test_another_content_type_is_refused(kind: object) -> None:
    said = json.dumps({"event": "websocket:connected", "content-type": kind})
    with pytest.raises(RemoteProtocolError, match="content-type"):
        VONAGE.bot_end(L16_16K).receive(said)


def test_headers_of_any_json_become_text() -> None:
    """The example NCCO of the guide (2021): numbers, objects, lists and booleans in headers."""
    headers = {"age": 40, "address": {"city": "New York City"}, "roles": [1, 2], "auditing": False}
    first = {"event": "websocket:connected", "content-type": "audio/l16;rate=8000"}
    (started,) = VONAGE.bot_end(L16_8K).receive(json.dumps(first | headers))
    assert isinstance(started, Started)
    assert started.call_id == ""
    assert started.parameters == {
        "age": "40",
        "address": '{"city":"New York City"}',
        "roles": "[1,2]",
        "auditing": "false",
    }


def test_audio_before_the_first_message_is_dropped() -> None:
    bot = VONAGE.bot_end(L16_16K)
    assert list(bot.receive(FRAME)) == []
    with pytest.raises(LocalProtocolError, match="connected"):
        bot.send(events.Audio(FRAME))


def test_half_a_sample_and_no_audio() -> None:
    bot, _ = stream_ends(VONAGE, STARTED)
    with pytest.raises(RemoteProtocolError, match="half"):
        bot.receive(b"\0\0\0")
    assert list(bot.receive(b"")) == []


@pytest.mark.parametrize("digit", ["", "12", "x", "a"])
def test_a_key_that_is_none(digit: str) -> None:
    bot, _ = stream_ends(VONAGE, STARTED)
    with pytest.raises(RemoteProtocolError, match="key"):
        bot.receive(json.dumps({"event": "websocket:dtmf", "digit": digit, "duration": 260}))


def test_a_key_may_come_without_its_duration() -> None:
    bot, theirs = stream_ends(VONAGE, STARTED)
    assert list(bot.receive('{"event":"websocket:dtmf","digit":"#"}')) == [events.Digit("#", -1)]
    theirs.send(events.Digit("#"))
    assert json.loads(theirs.outgoing()[0])["duration"] == 0


def test_only_our_own_notifications_are_marks() -> None:
    bot, theirs = stream_ends(VONAGE, STARTED)
    for payload in ({"mark": 1}, {"mark": "a", "more": 1}, {}):
        told = json.dumps({"event": "websocket:notify", "payload": payload})
        assert list(bot.receive(told)) == [events.Extra("websocket:notify", {"payload": payload})]
    with pytest.raises(RemoteProtocolError):
        theirs.receive('{"action":"notify","payload":{"name":"x"}}')
    with pytest.raises(RemoteProtocolError, match="neither"):
        theirs.receive('{"action":"dance"}')


def test_what_the_socket_cannot_carry() -> None:
    bot, theirs = stream_ends(VONAGE, STARTED)
    for event in (events.Digits("1"), events.Extra("x", {})):
        with pytest.raises(LocalProtocolError, match="carry"):
            bot.send(event)
    for event in (events.Stopped(), events.Failed("1"), events.Extra("websocket:dtmf", {})):
        with pytest.raises(LocalProtocolError, match="never"):
            theirs.send(event)
    fresh = VONAGE.carrier_end(L16_16K)
    with pytest.raises(LocalProtocolError, match="begins"):
        fresh.send(events.Audio(FRAME))
    with pytest.raises(LocalProtocolError, match="one encoding"):
        fresh.send(Started(call_id=UUID, inbound=L16_8K, outbound=L16_16K))


def test_only_linear_audio_is_spoken() -> None:
    for make in (VONAGE.bot_end, VONAGE.carrier_end):
        with pytest.raises(Unsupported, match="L16/16000, L16/8000, L16/24000"):
            make(PCMU_8K)


# --- signatures ------------------------------------------------------------------------------

# Made with the algorithm of the page "Signed webhooks" apart from this project (2026-11).
POSTED = (
    b'{"to":"442079460000","from":"447700900000","uuid":"aaaaaaaa-bbbb-cccc-dddd-0123456789ab",'
    b'"conversation_uuid":"CON-aaaaaaaa-bbbb-cccc-dddd-0123456789ab",'
    b'"region_url":"https://api-eu-1.nexmo.com"}'
)
POSTED_HASH = "19cb4ef39a3dd3aaf834832f1e92ad42119bd63bda1409346d1e711831d1ef62"
POSTED_JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDAsImp0aSI6ImM1YmE4ZjI0LTFhMTQtNGM"
    "xMC1iZmRmLTNmYmU4Y2U1MTFiNSIsImlzcyI6IlZvbmFnZSIsInBheWxvYWRfaGFzaCI6IjE5Y2I0ZWYzOWEzZGQzYWF"
    "mODM0ODMyZjFlOTJhZDQyMTE5YmQ2M2JkYTE0MDkzNDZkMWU3MTE4MzFkMWVmNjIiLCJhcGlfa2V5IjoiYTFiMmMzZCI"
    "sImFwcGxpY2F0aW9uX2lkIjoiYWFhYWFhYWEtYmJiYi1jY2NjLWRkZGQtMDEyMzQ1Njc4OWFiIn0.B6scDIo3di3BGeN"
    "qJzwRxxWKC8KZx5BbINbDC-RLfuY"
)
# From the tests of vonage-python-sdk (jwt/tests, read 2026-01): valid with this secret, not "asdf".
SECRET = "qwertyuiopasdfghjklzxcvbnm123456"
SDK_JWT = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJPbmxpbmUgSldUIEJ1aWxkZXIiLCJpYXQiOjE2OTc2MzQ2"
    "ODAsImV4cCI6MzMyNTQ1NDA4MjgsImF1ZCI6IiIsInN1YiI6IiJ9.88vJc3I2HhuqEDixHXVhc9R30tA6U_HQHZTC29y"
    "6CGM"
)
SOCKET = "wss://agent.example.com/vonage/media/tok.en-1"


def at(now: float, **changed: str) -> Vonage:
    given = Vonage.examples() | changed
    return Vonage(given, clock=lambda: now)


def posted(token: str = POSTED_JWT, body: bytes = POSTED, **headers: str) -> Request:
    return Request(
        method="POST",
        url="https://agent.example.com/vonage/answer",
        headers={"authorization": f"Bearer {token}", **headers},
        body=body,
    )


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hs256(claims: object, secret: str = SECRET, alg: str = "HS256") -> str:
    header = {"alg": alg, "typ": "JWT"}
    signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    mac = hmac.new(secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{b64(mac.digest())}"


def claims_of(token: str) -> dict[str, object]:
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))  # type: ignore[no-any-return]


def test_vector_of_a_post() -> None:
    at(1_700_000_000).verify(posted())
    with pytest.raises(BadSignature, match="payload"):
        at(1_700_000_000).verify(posted(body=POSTED + b" "))
    with pytest.raises(BadSignature, match="SIGNATURE_SECRET"):
        at(1_700_000_000, signature_secret="asdf").verify(posted())


def test_what_we_sign_has_the_claims_of_the_vector() -> None:
    signed = at(1_700_000_000).sign(Request(method="POST", url=posted().url, body=POSTED))
    ours = claims_of(signed.headers["authorization"].removeprefix("Bearer "))
    theirs = claims_of(POSTED_JWT)
    assert ours["payload_hash"] == theirs["payload_hash"] == POSTED_HASH
    # The API key is the account's, which no credential of ours names.
    assert ours | {"jti": "", "api_key": ""} == theirs | {"jti": "", "api_key": ""}
    assert len(str(ours["jti"])) == len(str(theirs["jti"]))


@pytest.mark.parametrize("secret", [SECRET, "asdf"])
def test_vector_of_the_sdk(secret: str) -> None:
    """A JWT without payload_hash: as an upgrade it is good, as a webhook never."""
    ours = at(1_697_634_680, signature_secret=secret)
    upgrade = Request.get(SOCKET, {"authorization": f"Bearer {SDK_JWT}"})
    if secret == SECRET:
        ours.verify(upgrade)
    else:
        with pytest.raises(BadSignature):
            ours.verify(upgrade)
    with pytest.raises(BadSignature):
        ours.verify(posted(SDK_JWT))


def test_a_get_is_hashed_as_an_object_of_its_parameters_in_their_order() -> None:
    """api.support.vonage.com, article 19033783342876: compact JSON, in the order received."""
    url = "https://agent.example.com/vonage/answer?to=442079460000&from=4477009&uuid=a%2Bb&city=K%C3%B6ln"
    text = '{"to":"442079460000","from":"4477009","uuid":"a+b","city":"Köln"}'
    claims = {"iat": 1_700_000_000, "payload_hash": hashlib.sha256(text.encode()).hexdigest()}
    ours = at(1_700_000_000)
    headers = {"authorization": f"Bearer {hs256(claims)}"}
    ours.verify(Request.get(url, headers))
    for other in (url + "&x=1", url.replace("4477009", "4477008"), url.replace("to=", "ot=")):
        with pytest.raises(BadSignature, match="payload"):
            ours.verify(Request.get(other, headers))
    ours.verify(ours.sign(Request.get(url)))


@pytest.mark.parametrize(
    ("iat", "good"),
    [
        (0, True),
        (-299, True),
        (299, True),
        (-301, False),
        (301, False),
        (None, False),
        ("0", False),
    ],
)
def test_a_jwt_is_good_for_five_minutes(iat: object, good: bool) -> None:
    issued = 1_700_000_000 + iat if isinstance(iat, int) else iat
    token = hs256({"iat": issued, "payload_hash": POSTED_HASH})
    if good:
        at(1_700_000_000).verify(posted(token))
    else:
        with pytest.raises(BadSignature, match="iat"):
            at(1_700_000_000).verify(posted(token))


def test_another_application_of_the_account_signs_with_the_same_secret() -> None:
    claims = {"iat": 1_700_000_000, "payload_hash": POSTED_HASH, "application_id": LEG}
    with pytest.raises(BadSignature, match="application_id"):
        at(1_700_000_000).verify(posted(hs256(claims)))


@pytest.mark.parametrize("alg", ["none", "HS512", "RS256"])
def test_another_algorithm_is_refused(alg: str) -> None:
    claims = {"iat": 1_700_000_000, "payload_hash": POSTED_HASH}
    with pytest.raises(BadSignature, match="HS256"):
        at(1_700_000_000).verify(posted(hs256(claims, alg=alg)))


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer .", "Bearer x", f"Basic {POSTED_JWT}"])
def test_without_a_jwt_nothing_is_let_in(header: str) -> None:
    request = msgspec.structs.replace(posted(), headers={"authorization": header})
    with pytest.raises(BadSignature):
        at(1_700_000_000).verify(request)


def test_a_jwt_that_cannot_be_read_though_signed() -> None:
    for signed in ("x", "e30", "e30.é", "e30.e30.e30", f"{b64(b'[]')}.{b64(b'{}')}"):
        mac = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256)
        with pytest.raises(BadSignature, match="cannot be read"):
            at(1_700_000_000).verify(posted(f"{signed}.{b64(mac.digest())}"))


@given(st.binary(max_size=60))
def test_what_we_sign_the_sdk_accepts(body: bytes) -> None:
    sdk = pytest.importorskip("vonage_jwt")
    signed = VONAGE.sign(Request(method="POST", url=posted().url, body=body))
    token = signed.headers["authorization"].removeprefix("Bearer ")
    assert sdk.verify_signature(token, SECRET)
    assert not sdk.verify_signature(token, SECRET[::-1])
    VONAGE.verify(signed)


def test_the_access_token_is_what_the_sdk_would_make() -> None:
    sdk = pytest.importorskip("vonage_jwt")
    theirs = sdk.JwtClient(UUID, KEY).generate_application_jwt({"iat": 1_750_000_000}).decode()
    ours = token_of(next(example(Vonage).state(CALL)))
    assert ours.split(".")[0] == theirs.split(".")[0] or header_of(ours) == header_of(theirs)
    mine, other = claims_of(ours), claims_of(theirs)
    assert mine | {"jti": ""} == other | {"jti": ""}
    exchange = Exchange(example(Vonage))
    exchange.add(UUID)
    headers = {"authorization": f"Bearer {theirs}"}
    assert exchange.rest(Request.get(f"{CALLS}/{UUID}", headers)).status == 200


def header_of(token: str) -> object:
    head = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))


def token_of(request: Request) -> str:
    scheme, _, token = request.headers["authorization"].partition(" ")
    assert scheme == "Bearer"
    return token


def test_the_access_token_is_signed_with_the_application_s_key() -> None:
    """Checked by hand: RFC 7515 and RFC 7518 section 3.3 (RSASSA-PKCS1-v1_5 with SHA-256)."""
    token = token_of(next(example(Vonage).state(CALL)))
    signed, _, signature = token.rpartition(".")
    key = load_pem_private_key(KEY.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    key.public_key().verify(raw, signed.encode(), padding.PKCS1v15(), SHA256())
    assert header_of(token) == {"alg": "RS256", "typ": "JWT"}
    claims = claims_of(token)
    assert set(claims) == {"application_id", "iat", "jti", "exp"}
    assert claims["application_id"] == UUID
    assert claims["exp"] == 1_750_000_000 + 900


def test_one_access_token_serves_all_calls_until_a_minute_before_its_end() -> None:
    now = [1_750_000_000.0]
    ours = Vonage(Vonage.examples(), clock=lambda: now[0])
    first = token_of(next(ours.state(CALL)))
    now[0] += 839
    assert token_of(next(ours.hang_up(PLACED))) == first
    now[0] += 1
    second = token_of(next(ours.state(CALL)))
    assert second != first
    assert claims_of(second)["iat"] == 1_750_000_840


# --- the key ---------------------------------------------------------------------------------


def test_a_key_with_its_line_ends_written_out() -> None:
    ours = example(Vonage, private_key=KEY.replace("\n", "\\n"))
    assert ours.answer(CALL, OFFER).response.status == 200


def test_a_path_is_no_key() -> None:
    with pytest.raises(ConfigError, match=r"VONAGE_PRIVATE_KEY.*not a path"):
        example(Vonage, private_key="./private.key")


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "wrong", [KEY[::-1], KEY.replace("MII", "MIX", 1), pem(ec.generate_private_key(ec.SECP256R1()))]
)
def test_no_call_is_taken_with_a_key_that_could_not_end_it(wrong: str) -> None:
    ours = example(Vonage, private_key=wrong)
    with pytest.raises(ConfigError, match="VONAGE_PRIVATE_KEY"):
        ours.answer(CALL, OFFER)
    with pytest.raises(ConfigError, match="VONAGE_PRIVATE_KEY"):
        next(ours.hang_up(CALL))


# --- webhooks --------------------------------------------------------------------------------


def webhook(fields: dict[str, object] | bytes, query: str = "") -> Request:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    url = "https://agent.example.com/vonage/x" + (f"?{query}" if query else "")
    return Request(method="POST", url=url, body=body)


def event(status: str, **more: object) -> dict[str, object]:
    """An event of the phone's leg, as the webhook reference has them."""
    return {
        "from": "442079460000",
        "to": "447700900000",
        "uuid": UUID,
        "conversation_uuid": f"CON-{UUID}",
        "status": status,
        "direction": "inbound",
        "timestamp": "2020-01-01T12:00:00.000Z",
    } | more


def test_an_inbound_call() -> None:
    (offered,) = VONAGE.read_webhook(webhook(POSTED), Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    call = offered.call
    assert (call.call_id, call.from_, call.to) == (UUID, "+447700900000", "+442079460000")
    assert (call.direction, offered.again, offered.transfer) == (Direction.INBOUND, False, None)
    assert call.raw["region_url"] == "https://api-eu-1.nexmo.com"


def test_an_inbound_call_by_get() -> None:
    """The default method of the answer webhook; the example of the webhook reference."""
    asked = Request.get(
        "https://agent.example.com/vonage/answer?to=442079460000&from=447700900000"
        f"&conversation_uuid=CON-{UUID}&uuid={UUID}&SipHeader_X-UserId=1938ND9"
    )
    (offered,) = VONAGE.read_webhook(asked, Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert (offered.call.from_, offered.call.to) == ("+447700900000", "+442079460000")
    assert offered.call.raw["SipHeader_X-UserId"] == "1938ND9"


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ({"from": "442079460000"}, "+442079460000"),
        ({"from": "+442079460000"}, "+442079460000"),
        ({"from": "anonymous"}, "anonymous"),
        ({"from": "sip:jane@example.com"}, "sip:jane@example.com"),
        ({"from": "12345"}, "12345"),
        ({"from": None, "from_user": "JaneDoe"}, "JaneDoe"),
        ({}, ""),
    ],
)
def test_numbers(told: dict[str, object], number: str) -> None:
    (offered,) = VONAGE.read_webhook(webhook({"uuid": UUID} | told), Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert offered.call.from_ == number


def test_a_call_we_placed_is_known_by_the_url_it_asks() -> None:
    asked = webhook(POSTED, "direction=outbound&tag=wish-1")
    (offered,) = VONAGE.read_webhook(asked, Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert (offered.call.direction, offered.call.tag) == (Direction.OUTBOUND, "wish-1")


@pytest.mark.parametrize(
    ("status", "why", "who"),
    [
        ("completed", Why.COMPLETED, Who.UNKNOWN),
        ("busy", Why.BUSY, Who.UNKNOWN),
        ("timeout", Why.NO_ANSWER, Who.UNKNOWN),
        ("unanswered", Why.NO_ANSWER, Who.UNKNOWN),
        ("cancelled", Why.CANCELLED, Who.UNKNOWN),
        ("rejected", Why.REJECTED, Who.CARRIER),
        ("failed", Why.FAILED, Who.CARRIER),
    ],
)
@pytest.mark.parametrize("purpose", [Purpose.STATUS, Purpose.ANSWER, Purpose.AFTER])
def test_the_end_of_a_call(status: str, why: Why, who: Who, purpose: Purpose) -> None:
    (ended,) = VONAGE.read_webhook(webhook(event(status, duration="2")), purpose)
    assert ended == events.Ended(UUID, EndReason(why, who, status), duration_s=2.0)


@pytest.mark.parametrize(("told", "seconds"), [(7, 7.0), ("", None), (None, None), ("x", None)])
def test_durations(told: object, seconds: float | None) -> None:
    (ended,) = VONAGE.read_webhook(webhook(event("completed", duration=told)), Purpose.STATUS)
    assert isinstance(ended, events.Ended)
    assert ended.duration_s == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("started", events.Other),
        ("ringing", events.Ringing),
        ("answered", events.Answered),
        ("record", events.Other),
        ("a-new-word", events.Other),
    ],
)
def test_progress(status: str, kind: type) -> None:
    (notice,) = VONAGE.read_webhook(webhook(event(status, direction="outbound")), Purpose.STATUS)
    assert type(notice) is kind
    if isinstance(notice, events.Ringing | events.Answered):
        assert notice.call.direction is Direction.OUTBOUND
        assert notice.call.call_id == UUID


@pytest.mark.parametrize("result", ["human", "machine"])
def test_machine_detection(result: str) -> None:
    """``call_uuid``, not ``uuid`` as in the other events (webhook reference)."""
    fields = {"call_uuid": UUID, "from": "1", "to": "2", "status": result}
    found = events.MachineDetected(UUID, result, result)
    assert VONAGE.read_webhook(webhook(fields), Purpose.STATUS) == [found]
    (beep,) = VONAGE.read_webhook(webhook(fields | {"sub_state": "beep_start"}), Purpose.STATUS)
    assert beep == events.MachineDetected(UUID, result, "beep_start")


def test_an_error_has_a_reason_and_no_uuid() -> None:
    fields = {"reason": "Syntax error in NCCO. Invalid value type or action.", "timestamp": "…"}
    (other,) = VONAGE.read_webhook(webhook(fields), Purpose.STATUS)
    assert other == events.Other("error", "", fields)


def test_a_webhook_without_a_call() -> None:
    with pytest.raises(RemoteProtocolError, match="uuid"):
        VONAGE.read_webhook(webhook({"from": "1"}), Purpose.ANSWER)


# The guide "WebSockets", section on fallback options: the socket's leg, with our headers.
SOCKET_EVENT = {
    "from": "442079460000",
    "to": "wss://example.com/socket",
    "uuid": LEG,
    "conversation_uuid": f"CON-{UUID}",
    "status": "disconnected",
    "timestamp": "2020-03-31T12:00:00.000Z",
    "headers": {"call_uuid": UUID, "from": "+15551234567", "to": "+447700900000"},
}


@pytest.mark.parametrize(
    "status", ["disconnected", "failed", "unanswered", "rejected", "busy", "timeout", "cancelled"]
)
def test_a_socket_that_is_lost_asks_how_to_go_on(status: str) -> None:
    (offered,) = VONAGE.read_webhook(webhook(SOCKET_EVENT | {"status": status}), Purpose.AFTER)
    assert isinstance(offered, events.Offered)
    assert (offered.again, offered.transfer) == (True, None)
    assert (offered.call.call_id, offered.call.from_) == (UUID, "+15551234567")
    # Elsewhere nobody waits for the answer.
    (other,) = VONAGE.read_webhook(webhook(SOCKET_EVENT | {"status": status}), Purpose.STATUS)
    assert other == events.Other(f"websocket {status}", UUID)


@pytest.mark.parametrize("status", ["started", "ringing", "answered", "completed"])
def test_other_events_of_the_socket_say_nothing_of_the_call(status: str) -> None:
    told = SOCKET_EVENT | {"status": status}
    assert VONAGE.read_webhook(webhook(told), Purpose.AFTER) == [
        events.Other(f"websocket {status}", UUID)
    ]


@pytest.mark.parametrize("headers", [None, {}, [], {"call_uuid": 1}, {"original_from": "1"}])
def test_a_socket_s_event_that_does_not_say_whose_it_was(headers: object) -> None:
    (other,) = VONAGE.read_webhook(webhook(SOCKET_EVENT | {"headers": headers}), Purpose.AFTER)
    assert other == events.Other("websocket disconnected", "")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ("busy", Why.BUSY),
        ("timeout", Why.NO_ANSWER),
        ("failed", Why.FAILED),
        ("completed", Why.COMPLETED),
    ],
)
def test_a_call_that_comes_back_from_a_transfer(status: str, why: Why) -> None:
    leg = event(status, uuid=LEG, direction="outbound", duration="20")
    ours = f"call_uuid={UUID}"
    (offered,) = VONAGE.read_webhook(webhook(leg, ours), Purpose.AFTER)
    assert isinstance(offered, events.Offered)
    assert (offered.call.call_id, offered.again, offered.transfer) == (UUID, True, why)
    assert offered.call.direction is Direction.INBOUND
    (other,) = VONAGE.read_webhook(webhook(event("ringing", uuid=LEG), ours), Purpose.AFTER)
    assert other == events.Other("transfer ringing", UUID)


@pytest.mark.parametrize("duration", [{}, {"duration": "0"}])
def test_a_party_that_was_not_reached_is_not_told_to_have_been(duration: dict[str, object]) -> None:
    """After busy, timeout and the like completed follows (support article 360057200092)."""
    leg = event("completed", uuid=LEG, **duration)
    (other,) = VONAGE.read_webhook(webhook(leg, f"call_uuid={UUID}"), Purpose.AFTER)
    assert other == events.Other("transfer completed", UUID)


def written(notice: events.Notice) -> tuple[str, dict[str, object]]:
    request = VONAGE.write_webhook(notice, "https://agent.example.com/x")
    assert request.headers["content-type"] == "application/json"
    return request.url.removeprefix("https://agent.example.com/x"), request.json()


def test_webhooks_as_vonage_writes_them() -> None:
    _, asked = written(events.Offered(CALL))
    assert asked == {
        "from": "442079460000",
        "to": "447700900000",
        "uuid": UUID,
        "conversation_uuid": f"CON-{UUID}",
        "region_url": "https://api.nexmo.com",
    }
    query, asked = written(events.Offered(msgspec.structs.replace(PLACED, tag="w 1")))
    assert query == "?direction=outbound&tag=w+1"
    _, lost = written(events.Offered(PLACED, again=True))
    assert (lost["status"], lost["to"]) == ("disconnected", "wss://agent.example.com/socket")
    assert set(lost) == set(SOCKET_EVENT) | {"direction"}
    assert lost["uuid"] != UUID
    query, failed = written(events.Offered(CALL, again=True, transfer=Why.BUSY))
    assert (query, failed["status"]) == (f"?call_uuid={UUID}", "busy")
    _, ringing = written(events.Ringing(PLACED))
    assert ringing == event("ringing", direction="outbound") | {
        "from": "447700900000",
        "to": "442079460000",
        "timestamp": "2025-06-15T15:06:40.000Z",
    }
    _, answered = written(events.Answered(PLACED))
    assert answered["status"] == "answered"
    _, ended = written(events.Ended(UUID, EndReason(Why.NO_ANSWER), duration_s=41.6))
    assert ended == {"uuid": UUID, "status": "timeout", "duration": "42"}
    _, reached = written(events.Offered(CALL, again=True, transfer=Why.COMPLETED))
    assert (reached["status"], reached["duration"]) == ("completed", "1")
    _, machine = written(events.MachineDetected(UUID, "machine"))
    assert machine == {"call_uuid": UUID, "status": "machine"}
    for never in (
        events.DigitPressed(UUID, "1"),
        events.MachineDetected(UUID, "fax"),
        events.Other("record", UUID),
    ):
        with pytest.raises(Unsupported, match="no webhook"):
            written(never)


# --- answers ---------------------------------------------------------------------------------


def test_the_answer() -> None:
    answer = VONAGE.answer(CALL, OFFER)
    assert answer.flow is None
    assert answer.response.headers["content-type"] == "application/json"
    assert json.loads(answer.response.body) == [
        {
            "action": "connect",
            "eventType": "synchronous",
            "eventUrl": ["https://agent.example.com/vonage/after"],
            "from": "447700900000",
            "endpoint": [
                {
                    "type": "websocket",
                    "uri": "wss://agent.example.com/vonage/media/tok.en-1",
                    "content-type": "audio/l16;rate=16000",
                    "headers": {
                        "call_uuid": UUID,
                        "who": 'Jane "J" Doe',
                        "from": "+442079460000",
                        "to": "+447700900000",
                        "direction": "inbound",
                    },
                    "authorization": {"type": "vonage"},
                }
            ],
        }
    ]


def test_our_number_is_the_only_one_a_connect_can_show() -> None:
    (connect,) = json.loads(VONAGE.answer(PLACED, OFFER).response.body)
    assert connect["from"] == "447700900000"
    unknown = CallInfo(carrier="vonage", call_id=UUID)
    (connect,) = json.loads(VONAGE.answer(unknown, OFFER).response.body)
    assert "from" not in connect
    assert connect["randomFromNumber"] is True


def answered(call: CallInfo = CALL, **changed: object) -> dict[str, object]:
    offer = msgspec.structs.replace(OFFER, **changed)  # type: ignore[arg-type]
    (connect,) = json.loads(VONAGE.answer(call, offer).response.body)
    return connect["endpoint"][0]  # type: ignore[no-any-return]


def test_512_bytes_of_headers() -> None:
    """The limit of the guide; the numbers give way to parameters, the call's id never does."""
    empty = len(json.dumps({"call_uuid": UUID, "p": ""}, separators=(",", ":")))
    full = answered(parameters={"p": "x" * (512 - empty)})["headers"]
    assert full == {"call_uuid": UUID, "p": "x" * (512 - empty)}
    for tail in ("x", "é"):  # bytes, not characters
        with pytest.raises(Unsupported, match="512"):
            answered(parameters={"p": "x" * (512 - empty) + tail})
    sip = msgspec.structs.replace(CALL, from_=f"sip:{'x' * 480}@example.com")
    assert set(answered(sip, parameters={})["headers"]) == {"call_uuid"}  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["event", "content-type", "call_uuid", "from", "to", "direction"])
def test_names_that_parameters_cannot_have(name: str) -> None:
    with pytest.raises(Unsupported, match=name):
        answered(parameters={name: "x"})


def test_offers_of_other_audio() -> None:
    assert answered(audio=L16_24K)["content-type"] == "audio/l16;rate=24000"
    with pytest.raises(Unsupported):
        answered(audio=PCMU_8K)


def test_dismissals() -> None:
    for why in (Dismissal.BUSY, Dismissal.REJECTED):
        response = VONAGE.dismiss(CALL, why).response
        assert (response.status, response.body) == (200, b"[]")
    response = VONAGE.dismiss(CALL, Dismissal.DONE).response
    assert (response.status, response.body) == (204, b"")


def ncco(*actions: object) -> Response:
    return Response.of_json(actions)


def test_the_answer_as_the_simulated_carrier_reads_it() -> None:
    assert VONAGE.read_answer(VONAGE.answer(CALL, OFFER).response) == [
        seam.OpenStream(
            url="wss://agent.example.com/vonage/media/tok.en-1",
            audio=L16_16K,
            parameters={"who": 'Jane "J" Doe'},
        ),
        seam.Redirect("https://agent.example.com/vonage/after", "POST"),
    ]


WEBSOCKET = {"type": "websocket", "uri": "wss://a.example/s", "content-type": "audio/l16;rate=8000"}


def connect(endpoint: object, **more: object) -> dict[str, object]:
    return {"action": "connect", "endpoint": [endpoint], **more}


def test_nccos_of_others_as_the_simulated_carrier_reads_them() -> None:
    plain = connect(WEBSOCKET | {"headers": {"age": 40}}, limit=7200, timeout=60)
    stream = seam.OpenStream(url="wss://a.example/s", audio=L16_8K, parameters={"age": "40"})
    assert VONAGE.read_answer(ncco(plain)) == [stream]
    asks = connect(WEBSOCKET, eventType="synchronous", eventUrl=["https://a.example/e"])
    redirect = seam.Redirect("https://a.example/e", "GET")
    assert VONAGE.read_answer(ncco(asks | {"eventMethod": "GET"}))[1] == redirect
    tells = connect(WEBSOCKET, eventUrl=["https://a.example/e"])
    assert len(VONAGE.read_answer(ncco(tells))) == 1
    phone = connect({"type": "phone", "number": "447700900001"}, **{"from": "447700900000"})
    sip = connect({"type": "sip", "uri": "sip:a@b.example"})
    assert VONAGE.read_answer(ncco(phone, sip)) == [
        seam.TransferTo(to="+447700900001", from_="+447700900000"),
        seam.TransferTo(to="sip:a@b.example"),
    ]
    assert VONAGE.read_answer(ncco()) == [seam.Hangup()]
    assert VONAGE.read_answer(Response(204)) == [seam.Hangup()]


@pytest.mark.parametrize(
    "action",
    [
        {"action": "dance"},
        {"action": "connect"},
        {"action": "connect", "endpoint": []},
        {"action": "connect", "endpoint": [WEBSOCKET, WEBSOCKET]},
        connect({"type": "app", "user": "jane"}),
        connect(WEBSOCKET | {"uri": "https://a.example/s"}),
        connect(WEBSOCKET | {"content-type": "audio/l16;rate=44100"}),
        connect(WEBSOCKET | {"headers": {"x": "y" * 512}}),
        connect(WEBSOCKET | {"headers": []}),
    ],
)
def test_nccos_that_vonage_would_refuse(action: object) -> None:
    with pytest.raises(RemoteProtocolError):
        VONAGE.read_answer(ncco(action))


def test_answers_that_failed() -> None:
    with pytest.raises(RemoteProtocolError, match="500"):
        VONAGE.read_answer(Response(500))
    with pytest.raises(RemoteProtocolError, match="json"):
        VONAGE.read_answer(Response(200, {"content-type": "text/html"}, b"[]"))
    with pytest.raises(RemoteProtocolError):
        VONAGE.read_answer(Response(200, {"content-type": "application/json"}, b"{}"))


# --- control ---------------------------------------------------------------------------------


def steps(flow: object, *answers: Response) -> list[Request]:
    """The requests of a flow that is given these answers; its end is left to the last."""
    first: Request = next(flow)  # type: ignore[call-overload]
    return [first, *(flow.send(answer) for answer in answers)]  # type: ignore[attr-defined]


def finish(flow: object, answer: Response) -> object:
    with pytest.raises(StopIteration) as done:
        flow.send(answer)  # type: ignore[attr-defined]
    return done.value.value


# api.support.vonage.com, article 10359615124380.
BAD_REQUEST = Response.of_json({"type": "BAD_REQUEST", "error_title": "Bad Request"}, 400)


def resource(status: str) -> Response:
    """As in vonage-python-sdk, voice/tests/data/get_call.json (read 2026-01), shortened."""
    number = {"number": "9876543210", "type": "phone"}
    return Response.of_json({"uuid": UUID, "status": status, "duration": "2", "from": number})


def test_hang_up_is_one_put_to_the_phone_s_leg() -> None:
    flow = VONAGE.hang_up(CALL)
    (request,) = steps(flow)
    assert (request.method, request.url) == ("PUT", f"{CALLS}/{UUID}")
    assert request.json() == {"action": "hangup"}
    assert request.repeatable
    assert finish(flow, Response(204)) is None


def test_hanging_up_a_call_that_is_over() -> None:
    flow = VONAGE.hang_up(CALL)
    steps(flow)
    finish(flow, Response(404))
    flow = VONAGE.hang_up(CALL)
    _, asked = steps(flow, BAD_REQUEST)
    assert (asked.method, asked.url) == ("GET", f"{CALLS}/{UUID}")
    finish(flow, resource("completed"))


def test_hanging_up_a_call_that_has_just_begun_is_to_be_tried_again() -> None:
    flow = VONAGE.hang_up(CALL)
    steps(flow, BAD_REQUEST)
    with pytest.raises(CarrierError, match="Bad Request") as caught:
        flow.send(resource("started"))
    assert (caught.value.status, caught.value.retryable) == (400, True)


@pytest.mark.parametrize(
    ("told", "host"),
    [
        ("https://api-eu-1.nexmo.com", "https://api-eu-1.nexmo.com"),
        ("https://api-us-3.vonage.com", "https://api-us-3.vonage.com"),
        ("https://evil.example", "https://api.nexmo.com"),
        ("https://api-eu-1.nexmo.com.evil.example", "https://api.nexmo.com"),
        ("http://api.nexmo.com", "https://api.nexmo.com"),
        (1, "https://api.nexmo.com"),
    ],
)
def test_a_call_is_controlled_in_its_region(told: object, host: str) -> None:
    call = msgspec.structs.replace(CALL, raw={"region_url": told})
    (request,) = steps(VONAGE.hang_up(call))
    assert request.url == f"{host}/v1/calls/{UUID}"


def test_errors_say_what_vonage_said() -> None:
    flow = VONAGE.hang_up(CALL)
    steps(flow)
    with pytest.raises(CarrierError, match=r"HTTP 429$") as caught:
        flow.send(Response(429, {"retry-after": "3"}, b"<html>"))
    assert (caught.value.retryable, caught.value.retry_after) == (True, 3.0)
    flow = VONAGE.hang_up(CALL)
    steps(flow)
    said = {
        "type": "https://developer.nexmo.com/api-errors#unauthorized",
        "title": "Unauthorized",
        "detail": "no access to 447700900000",
    }
    expected = r"HTTP 401 \(unauthorized, Unauthorized: no access to \(number\)\)"
    with pytest.raises(CarrierError, match=expected) as caught:
        flow.send(Response.of_json(said, 401))
    assert (caught.value.code, caught.value.retryable) == ("unauthorized", False)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        # The enum of the API specification (2021) and of the SDK, CallState (2026-01).
        ("started", CallState.QUEUED),
        ("ringing", CallState.RINGING),
        ("answered", CallState.ACTIVE),
        ("machine", CallState.ACTIVE),
        ("completed", CallState.ENDED),
        ("busy", CallState.ENDED),
        ("cancelled", CallState.ENDED),
        ("failed", CallState.ENDED),
        ("rejected", CallState.ENDED),
        ("timeout", CallState.ENDED),
        ("unanswered", CallState.ENDED),
        ("a-new-word", CallState.ACTIVE),
    ],
)
def test_states(word: str, state: CallState) -> None:
    flow = VONAGE.state(CALL)
    steps(flow)
    assert finish(flow, resource(word)) is state


def test_state_of_a_call_that_is_not_known() -> None:
    flow = VONAGE.state(CALL)
    steps(flow)
    assert finish(flow, Response(404)) is CallState.ENDED
    for answer, error in ((Response(401), CarrierError), (Response(), RemoteProtocolError)):
        flow = VONAGE.state(CALL)
        steps(flow)
        with pytest.raises(error):
            flow.send(answer)


def test_dial() -> None:
    wish = seam.Dial(
        to="+15551112222", from_="+15553334444", offer=OFFER, detect_machine=True, key="wish-1"
    )
    flow = VONAGE.dial(wish)
    (request,) = steps(flow)
    assert (request.method, request.url, request.repeatable) == ("POST", CALLS, False)
    assert request.json() == {
        "to": [{"type": "phone", "number": "15551112222"}],
        "from": {"type": "phone", "number": "15553334444"},
        "answer_url": ["https://agent.example.com/vonage/answer?direction=outbound&tag=wish-1"],
        "answer_method": "POST",
        "event_url": ["https://agent.example.com/vonage/status"],
        "ringing_timer": 30,
        "machine_detection": "continue",
    }
    created = {"uuid": LEG, "status": "started", "direction": "outbound"}
    assert finish(flow, Response.of_json(created, 201)) == LEG
    bounds = seam.Dial(
        to="sip:a@b.example", from_="+2", offer=OFFER, ring_timeout=300, max_duration=60
    )
    flow = VONAGE.dial(bounds)
    (request,) = steps(flow)
    body = request.json()
    assert (body["ringing_timer"], body["length_timer"]) == (120, 60)
    assert body["to"] == [{"type": "sip", "uri": "sip:a@b.example"}]
    assert "machine_detection" not in body
    with pytest.raises(CarrierError, match="place a call"):
        flow.send(BAD_REQUEST)


def test_transfer() -> None:
    flow = VONAGE.transfer(CALL, "+15551234567", from_="", hooks=HOOKS)
    (request,) = steps(flow)
    assert (request.method, request.url) == ("PUT", f"{CALLS}/{UUID}")
    assert request.json() == {
        "action": "transfer",
        "destination": {
            "type": "ncco",
            "ncco": [
                {
                    "action": "connect",
                    "eventType": "synchronous",
                    "eventUrl": [f"https://agent.example.com/vonage/after?call_uuid={UUID}"],
                    "from": "447700900000",
                    "endpoint": [{"type": "phone", "number": "15551234567"}],
                }
            ],
        },
    }
    finish(flow, Response(204))
    flow = VONAGE.transfer(PLACED, "sip:a@b.example", from_="+15550000000", hooks=HOOKS)
    (request,) = steps(flow)
    (action,) = request.json()["destination"]["ncco"]
    assert action["from"] == "15550000000"
    assert action["endpoint"] == [{"type": "sip", "uri": "sip:a@b.example"}]
    assert action["eventUrl"][0].endswith(f"?direction=outbound&call_uuid={UUID}")
    with pytest.raises(CallEnded, match="transfer"):
        flow.send(Response(404))


def test_keys() -> None:
    flow = VONAGE.send_digits(CALL, "1w2p#", started=STARTED, hooks=HOOKS)
    (request,) = steps(flow)
    assert (request.method, request.url) == ("PUT", f"{CALLS}/{UUID}/dtmf")
    assert request.json() == {"digits": "1p2p#"}
    said = Response.of_json({"message": "DTMF sent", "uuid": UUID})
    assert finish(flow, said) is None
    flow = VONAGE.send_digits(CALL, "1", started=STARTED, hooks=HOOKS)
    steps(flow)
    with pytest.raises(CallEnded, match="keys"):
        flow.send(Response(404))


@pytest.mark.parametrize("digits", ["", "A", "1 2", "１", "W"])
def test_keys_that_are_none(digits: str) -> None:
    with pytest.raises(ValueError, match="keys"):
        next(VONAGE.send_digits(CALL, digits, started=STARTED, hooks=HOOKS))


# --- the simulated REST API ------------------------------------------------------------------


def rs256(claims: dict[str, object], key: rsa.RSAPrivateKey | None = None) -> str:
    signer = key or load_pem_private_key(KEY.encode(), None)
    assert isinstance(signer, rsa.RSAPrivateKey)
    header = {"alg": "RS256", "typ": "JWT"}
    signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{b64(signer.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


GOOD = {"application_id": UUID, "iat": 1_750_000_000, "exp": 1_750_000_900}


def ask(
    exchange: Exchange, method: str, url: str, body: object = None, token: str = ""
) -> Response:
    headers = {"authorization": f"Bearer {token or rs256(GOOD)}"}
    if body is None:
        return exchange.rest(Request(method=method, url=url, headers=headers))
    return exchange.rest(Request.of_json(method, url, body, headers))


def test_platform_doors() -> None:
    exchange = Exchange(VONAGE)
    exchange.add(UUID)
    one = f"{CALLS}/{UUID}"
    other = rsa.generate_private_key(65537, 2048)
    for wrong in (
        rs256(GOOD, other),
        rs256(GOOD | {"exp": 1_750_000_000}),
        rs256(GOOD | {"exp": "later"}),
        rs256(GOOD | {"application_id": LEG}),
        hs256(GOOD, KEY),
        "x.é",
        "x",
    ):
        assert ask(exchange, "GET", one, token=wrong).status == 401
    assert ask(exchange, "GET", one).status == 200
    for unknown in (f"{CALLS}/{LEG}", f"{CALLS}/{UUID}/talk", "https://api.nexmo.com/v2/calls"):
        assert ask(exchange, "GET", unknown).status == 404
        assert ask(exchange, "PUT", unknown, {"action": "hangup"}).status == 404


def test_platform_resource() -> None:
    exchange = Exchange(VONAGE)
    exchange.add(UUID, CallState.RINGING, from_="+1", to="+2", direction=Direction.OUTBOUND)
    told = ask(exchange, "GET", f"{CALLS}/{UUID}").json()
    assert told == {
        "uuid": UUID,
        "conversation_uuid": f"CON-{UUID}",
        "status": "ringing",
        "direction": "outbound",
        "from": "1",
        "to": "2",
        "duration": "0",
    }
    exchange.end(UUID, Why.NO_ANSWER)
    told = ask(exchange, "GET", f"{CALLS}/{UUID}").json()
    assert (told["status"], told["duration"]) == ("timeout", "7")


def test_platform_creates() -> None:
    exchange = Exchange(VONAGE)
    phone = {"type": "phone", "number": "15551112222"}
    who = {"to": [phone], "from": {"type": "phone", "number": "15553334444"}}
    asked = {"answer_url": ["https://a.example/answer"]}
    for wrong in (who, {"to": [phone], **asked}, who | asked | {"to": []}):
        with pytest.raises(RemoteProtocolError):
            ask(exchange, "POST", CALLS, wrong)
    made = ask(exchange, "POST", CALLS, who | asked | {"ringing_timer": 5})
    assert (made.status, made.json()["status"]) == (201, "started")
    (placed,) = exchange.commands
    assert isinstance(placed, seam.Place)
    assert (placed.to, placed.from_) == ("+15551112222", "+15553334444")
    assert (placed.answer_url, placed.ring_timeout) == ("https://a.example/answer", 5.0)


def test_platform_instructs() -> None:
    exchange = Exchange(VONAGE)
    call = exchange.add(UUID, to="+447700900000")
    exchange.run(VONAGE.transfer(call, "+15551234567", from_="", hooks=HOOKS))
    after = f"https://agent.example.com/vonage/after?call_uuid={UUID}"
    to = seam.TransferTo(to="+15551234567", from_="+447700900000", then_url=after)
    exchange.run(VONAGE.send_digits(call, "1w2", started=STARTED, hooks=HOOKS))
    assert exchange.commands == [seam.Instruct(UUID, [to]), seam.Press(UUID, "1w2")]


def test_platform_updates() -> None:
    exchange = Exchange(VONAGE)
    exchange.add(UUID)
    one = f"{CALLS}/{UUID}"
    nowhere = {"action": "transfer", "destination": {"type": "ncco"}}
    for wrong in ({"action": "dance"}, {"action": "transfer"}, nowhere):
        answer = ask(exchange, "PUT", one, wrong)
        assert (answer.status, answer.json()["error_title"]) == (400, "Bad Request")
    assert ask(exchange, "PUT", one, {"action": "hangup"}).status == 204
    assert ask(exchange, "PUT", one, {"action": "hangup"}).status == 404
    assert ask(exchange, "PUT", f"{one}/dtmf", {"digits": "1"}).status == 404


def test_a_url_keeps_the_parameters_it_has() -> None:
    asked = VONAGE.write_webhook(
        events.Offered(PLACED), f"https://agent.example.com/x?{urlencode({'tag': 'a b'})}"
    )
    assert asked.url == "https://agent.example.com/x?tag=a+b&direction=outbound"


def test_credentials_are_tried_by_the_list_of_calls() -> None:
    """GET /v1/calls (Nexmo/api-specification, voice, 2021; vonage-python-sdk list_calls)."""
    assert Exchange(VONAGE).run(VONAGE.check()) == []
    flow = VONAGE.check()
    assert next(flow).url == "https://api.nexmo.com/v1/calls?page_size=1"
    with pytest.raises(CarrierError, match="list calls: HTTP 401"):
        flow.send(Response(401))
