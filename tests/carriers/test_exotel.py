"""Exotel: its golden table in both spellings, its applet's URL, webhooks in all forms, REST."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from golden import Golden, Row, check_read, check_written, example, stream_ends

from exchange import Exchange
from trunkline import carrier as seam
from trunkline import events
from trunkline.carrier import Dial, Dismissal, Hooks, Offer, Purpose
from trunkline.carriers.exotel import Exotel
from trunkline.errors import (
    BadSignature,
    CarrierError,
    ConfigError,
    LocalProtocolError,
    RemoteProtocolError,
    Unsupported,
)
from trunkline.events import CallInfo, CallState, Direction, EndReason, Started, Who, Why
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMA_8K, PCMU_8K, AudioFormat
from trunkline.web import Request, Response, basic_auth

PROTOCOL = "developer.exotel.com, agentstream/websocket-protocol"
APPLET = "developer.exotel.com, agentstream/stream-voicebot-applet"
EXTENSION = "developer.exotel.com, agentstream/stream-voicebot-extension (beta)"
BRIDGE = "exotel/Agent-Stream, integrations/elevenlabs/exotel/bridge.py"
SERVER = "exotel/Agent-Stream, integrations/agents/_shared/wss_server.py"

# 200 ms of L16 at 8 kHz: 3200 bytes, of which the first ten samples are heard.
SAMPLES = bytes(range(20))
PCM = SAMPLES + bytes(3180)
PAYLOAD = "AAECAwQFBgcICQoLDA0ODxAREhM="
LONG_PAYLOAD = "AAECAwQFBgcICQoLDA0ODxAREhMA" + "A" * 4239 + "="
STARTED = Started(
    call_id="CA1",
    account_id="AC1",
    stream_id="MZ1",
    from_="+919876543210",
    to="+918047491899",
    inbound=L16_8K,
    outbound=L16_8K,
    parameters={"key1": "value1"},
)
SNAKE = (
    '{"event":"start","sequence_number":"1","stream_sid":"MZ1","start":{"stream_sid":"MZ1",'
    '"call_sid":"CA1","account_sid":"AC1","from":"+919876543210","to":"+918047491899",'
    '"custom_parameters":{"key1":"value1"},"media_format":%s}}'
)
CAMEL = (
    '{"event":"start","sequenceNumber":"1","streamSid":"MZ1","start":{"callSid":"CA1",'
    '"accountSid":"AC1","from":"+919876543210","to":"+918047491899",'
    '"customParameters":{"key1":"value1"}},'
    '"mediaFormat":{"encoding":"raw","sampleRate":8000}}'
)
MIXED = (
    '{"event":"start","stream_sid":"MZ1","start":{"callSid":"CA1","account_sid":"AC1",'
    '"from":"+919876543210","to":"+918047491899","customParameters":{"key1":"value1"},'
    '"media_format":{"encoding":"","sampleRate":"8000Hz"}}}'
)
FORMAT = '{"encoding":"audio/x-raw","sample_rate":"8000","bit_rate":"16"}'


def carrier(event: Any, wire: str, source: str, date: str, *, written: bool = False) -> Row:
    return Row("carrier", event, wire, source, date, written)


def bot(event: Any, wire: str, source: str, date: str, *, written: bool = False) -> Row:
    return Row("bot", event, wire, source, date, written)


GOLDEN = Golden(
    STARTED,
    counters=frozenset({"sequence_number", "sequenceNumber", "chunk"}),
    rows=(
        carrier(None, '{"event":"connected"}', PROTOCOL, "2026-08-01"),
        carrier(
            None,
            '{"event":"connected","protocol":"Call","version":"1.0"}',
            BRIDGE,
            "2026-08-01",
        ),
        carrier(STARTED, SNAKE % FORMAT, PROTOCOL, "2026-08-01", written=True),
        carrier(
            STARTED,
            (SNAKE % '{"encoding":"raw","sample_rate":"8000","bit_rate":"128"}').replace(
                '"sequence_number":"1"', '"sequence_number":1'
            ),
            APPLET,
            "2026-08-01",
        ),
        carrier(STARTED, CAMEL, SERVER, "2026-08-01"),
        carrier(STARTED, MIXED, BRIDGE, "2026-08-01"),
        carrier(
            events.Audio(SAMPLES, 200),
            '{"event":"media","sequence_number":"3","stream_sid":"MZ1","media":{"chunk":"2",'
            f'"timestamp":"200","payload":"{PAYLOAD}"}}}}',
            PROTOCOL,
            "2026-08-01",
            written=True,
        ),
        carrier(
            events.Audio(SAMPLES, 10),
            '{"event":"media","sequence_number":3,"stream_sid":"MZ1","media":{"chunk":2,'
            f'"timestamp":"10","payload":"{PAYLOAD}"}}}}',
            APPLET,
            "2026-08-01",
        ),
        carrier(
            events.Audio(SAMPLES),
            f'{{"event":"media","streamSid":"MZ1","media":{{"payload":"{PAYLOAD}"}}}}',
            SERVER,
            "2026-08-01",
        ),
        carrier(
            None,
            '{"event":"media","stream_sid":"MZ1","track":"outbound",'
            f'"media":{{"payload":"{PAYLOAD}"}}}}',
            EXTENSION,
            "2026-08-01",
        ),
        carrier(
            None,
            '{"event":"media","stream_sid":"MZ1",'
            f'"media":{{"track":"outbound","payload":"{PAYLOAD}"}}}}',
            EXTENSION,
            "2026-08-01",
        ),
        carrier(
            events.Digit("5", 100),
            '{"event":"dtmf","sequence_number":"7","stream_sid":"MZ1",'
            '"dtmf":{"digit":"5","duration":"100"}}',
            PROTOCOL,
            "2026-08-01",
            written=True,
        ),
        carrier(events.Digit("5"), '{"event":"dtmf","digit":"5"}', EXTENSION, "2026-08-01"),
        carrier(
            events.Digit("5"),
            '{"event":"dtmf","dtmf":{"digit":5,"duration":"short"}}',
            "made up: a key that is a number",
            "2026-11-21",
        ),
        carrier(
            events.Mark("my-label"),
            '{"event":"mark","sequence_number":"15","stream_sid":"MZ1","mark":{"name":"my-label"}}',
            PROTOCOL,
            "2026-08-01",
            written=True,
        ),
        carrier(
            events.Stopped("callended"),
            '{"event":"stop","sequence_number":"20","stream_sid":"MZ1",'
            '"stop":{"call_sid":"CA1","account_sid":"AC1","reason":"callended"}}',
            PROTOCOL,
            "2026-08-01",
            written=True,
        ),
        carrier(events.Stopped(), '{"event":"stop","stop":null}', SERVER, "2026-08-01"),
        carrier(events.Stopped(), '{"event":"closed"}', SERVER, "2026-08-01"),
        carrier(
            events.Extra("clear", {"stream_sid": "MZ1"}),
            '{"event":"clear","stream_sid":"MZ1"}',
            BRIDGE,
            "2026-08-01",
            written=True,
        ),
        carrier(events.Extra("silence", {}), '{"event":"silence"}', EXTENSION, "2026-08-01"),
        bot(
            events.Audio(PCM, format=L16_8K),
            '{"event":"media","stream_sid":"MZ1","streamSid":"MZ1","sequence_number":"1",'
            '"media":{"chunk":"1","timestamp":"0","sequenceNumber":"1",'
            f'"payload":"{LONG_PAYLOAD}"}}}}',
            f"{BRIDGE} (streamSid, media.timestamp, media.sequenceNumber); {PROTOCOL} (stream_sid)",
            "2026-08-01",
            written=True,
        ),
        bot(
            events.Audio(PCM, format=L16_8K),
            f'{{"event":"media","stream_sid":"MZ1","media":{{"payload":"{LONG_PAYLOAD}"}}}}',
            PROTOCOL,
            "2026-08-01",
        ),
        bot(
            events.Audio(PCM, format=L16_8K),
            f'{{"event":"media","streamSid":"MZ1","media":{{"payload":"{LONG_PAYLOAD}"}}}}',
            SERVER,
            "2026-08-01",
        ),
        bot(
            events.Mark("turn-3-end"),
            '{"event":"mark","stream_sid":"MZ1","streamSid":"MZ1","mark":{"name":"turn-3-end"}}',
            f"{PROTOCOL}, with the id in both spellings",
            "2026-08-01",
            written=True,
        ),
        bot(
            events.Clear(),
            '{"event":"clear","stream_sid":"MZ1","streamSid":"MZ1"}',
            f"{PROTOCOL}, with the id in both spellings",
            "2026-08-01",
            written=True,
        ),
        bot(events.Clear(), '{"event":"clear","streamSid":"MZ1"}', SERVER, "2026-08-01"),
    ),
)

EXOTEL = example(Exotel)
CALL = CallInfo(
    carrier="exotel", call_id="CA1", account_id="acct1", from_="09876543210", to="08047491899"
)
HOOKS = Hooks("https://agent.example.com/exotel")
OFFER = Offer(
    stream_url="wss://agent.example.com/exotel/media",
    token="tok.en-1",
    hooks=HOOKS,
    audio=L16_8K,
)
API = "https://api.exotel.com/v1/Accounts/acct1"
HOOK = "https://agent.example.com/exotel/status"


def changed(**fields: Any) -> Offer:
    kept = {name: getattr(OFFER, name) for name in OFFER.__struct_fields__}
    return Offer(**(kept | fields))


# --- wire ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", GOLDEN.rows)
def test_golden_read(row: Row) -> None:
    check_read(EXOTEL, GOLDEN, row)


@pytest.mark.parametrize("row", [row for row in GOLDEN.rows if row.written])
def test_golden_written(row: Row) -> None:
    check_written(EXOTEL, GOLDEN, row)


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (FORMAT, L16_8K),
        ('{"encoding":"audio/x-raw","sample_rate":"16000","bit_rate":"16"}', L16_16K),
        ('{"encoding":"audio/x-raw","sample_rate":24000,"bit_rate":"256kbps"}', L16_24K),
        # bridge.py strips "Hz", "hz", "kbps"; what it cannot read is 8000 to it.
        ('{"encoding":"raw","sample_rate":"16000Hz"}', L16_16K),
        ('{"encoding":"raw","sample_rate":"24000 hz"}', L16_24K),
        ('{"encoding":"raw","sample_rate":"44100"}', L16_8K),
        # The extension's MediaFormat and the legs API's content_type.
        ('{"encoding":"audio/L16;rate=8000"}', L16_8K),
        ('{"encoding":"audio/x-mulaw;rate=8000"}', PCMU_8K),
        ('{"encoding":"audio/x-mulaw","sample_rate":"8000","bit_rate":"8"}', PCMU_8K),
        ('{"encoding":"PCMU"}', PCMU_8K),
        # Nothing that can be read: as it was asked for.
        ("{}", L16_16K),
        ("null", L16_16K),
        ('"audio/x-raw"', L16_16K),
        ('{"encoding":null,"sample_rate":true}', L16_16K),
        ('{"encoding":["raw"],"sample_rate":"fast"}', L16_16K),
    ],
)
def test_the_stream_says_what_its_audio_is(told: str, heard: AudioFormat) -> None:
    (started,) = EXOTEL.bot_end(L16_16K).receive(SNAKE % told)
    assert isinstance(started, Started)
    assert (started.inbound, started.outbound) == (heard, heard)


@pytest.mark.parametrize(
    ("audio", "size"), [(L16_8K, 3200), (L16_16K, 6400), (L16_24K, 9600), (PCMU_8K, 1600)], ids=str
)
def test_messages_have_a_size_that_exotel_plays_without_gaps(audio: AudioFormat, size: int) -> None:
    """A multiple of 320 bytes, 3.2 to 100 KB of L16 (stream-voicebot-applet, chunk sizes)."""
    assert audio.bytes_in(Exotel.frame.ms) == size
    assert size % 320 == 0
    assert Exotel.frame.whole


def test_our_messages_are_numbered_and_say_how_much_was_sent() -> None:
    ours, _ = stream_ends(EXOTEL, STARTED)
    for _ in range(3):
        ours.send(events.Audio(PCM))
    sent = [json.loads(message) for message in ours.outgoing()]
    assert [message["media"]["timestamp"] for message in sent] == ["0", "200", "400"]
    for number, message in enumerate(sent, 1):
        assert message["sequence_number"] == message["media"]["sequenceNumber"] == str(number)
        assert message["media"]["chunk"] == str(number)
        assert message["stream_sid"] == message["streamSid"] == "MZ1"


def test_a_start_without_its_frills() -> None:
    for start in (
        '{"event":"start","stream_sid":"MZ1","start":{}}',
        '{"event":"start","streamSid":"MZ1","custom_parameters":[]}',
        '{"event":"start","start":{"stream_sid":"MZ1","custom_parameters":null}}',
    ):
        (started,) = EXOTEL.bot_end(L16_8K).receive(start)
        assert started == Started(call_id="", stream_id="MZ1", inbound=L16_8K, outbound=L16_8K)
    flat = '{"event":"start","callSid":17,"customParameters":{"n":5,"x":null,"sample-rate":"8000"}}'
    (started,) = EXOTEL.bot_end(L16_8K).receive(flat)
    assert isinstance(started, Started)
    assert (started.call_id, started.parameters) == ("17", {"n": "5", "x": ""})
    for nobody in ('{"event":"start"}', '{"event":"start","start":{"call_sid":true}}'):
        with pytest.raises(RemoteProtocolError, match="neither"):
            EXOTEL.bot_end(L16_8K).receive(nobody)


def test_a_stream_id_that_needs_quoting() -> None:
    ours = EXOTEL.bot_end(L16_8K)
    ours.receive('{"event":"start","stream_sid":"a\\"\\\\b"}')
    ours.send(events.Audio(PCM))
    assert json.loads(ours.outgoing()[0])["streamSid"] == 'a"\\b'


@pytest.mark.parametrize(
    "message",
    [
        '{"event":"dtmf","dtmf":{"digit":"12"}}',
        '{"event":"dtmf","dtmf":{"digit":""}}',
        '{"event":"dtmf","dtmf":{"digit":"x"}}',
        '{"event":"dtmf"}',
        '{"event":"media","media":{"payload":"???"}}',
        '{"event":"mark"}',
        b"\x00\x01",
    ],
)
def test_what_is_no_message(message: str | bytes) -> None:
    ours, _ = stream_ends(EXOTEL, STARTED)
    with pytest.raises(RemoteProtocolError):
        ours.receive(message)


def test_what_exotel_would_not_play() -> None:
    ours, theirs = stream_ends(EXOTEL, STARTED)
    for size in (319, 321, 320 * 313):
        ours.send(events.Audio(bytes(size)))
        with pytest.raises(RemoteProtocolError, match="bytes"):
            theirs.receive(ours.outgoing()[0])
    for wrong in (
        '{"event":"clear","stream_sid":"MZ2"}',
        '{"event":"clear","stream_sid":"MZ1","streamSid":"MZ2"}',
        '{"event":"clear"}',
        '{"event":"dance","stream_sid":"MZ1"}',
    ):
        with pytest.raises(RemoteProtocolError):
            theirs.receive(wrong)
    with pytest.raises(RemoteProtocolError, match="start"):
        EXOTEL.carrier_end(L16_8K).receive('{"event":"clear","stream_sid":"MZ1"}')


def test_what_the_socket_cannot_carry() -> None:
    ours, theirs = stream_ends(EXOTEL, STARTED)
    for event in (events.Digits("1"), events.Extra("x", {})):
        with pytest.raises(LocalProtocolError, match="carry"):
            ours.send(event)
    for event in (events.Cleared(), events.Extra("media", {})):
        with pytest.raises(LocalProtocolError, match="never"):
            theirs.send(event)
    with pytest.raises(LocalProtocolError, match="stream_sid"):
        EXOTEL.bot_end(L16_8K).send(events.Clear())
    with pytest.raises(LocalProtocolError, match="Started"):
        EXOTEL.carrier_end(L16_8K).send(events.Stopped())
    for end in (EXOTEL.bot_end, EXOTEL.carrier_end):
        with pytest.raises(Unsupported, match="PCMA"):
            end(PCMA_8K)


# --- door ------------------------------------------------------------------------------------


def test_basic_auth_vector() -> None:
    """RFC 7617: user u, password p."""
    ours = example(Exotel, webhook_username="u", webhook_password="p")
    assert ours.sign(Request.get(HOOK)).headers["authorization"] == "Basic dTpw"
    ours.verify(Request.get(HOOK, {"authorization": "Basic dTpw"}))
    ours.verify(Request.get(f"{HOOK}?a=1&key=p&CallSid=x"))
    ours.verify(Request.get(f"{HOOK}?key=p", {"authorization": "Basic e30="}))


@pytest.mark.parametrize("authorization", ["", "Basic", "Basic dTpx", "Bearer dTpw", "Basic é"])
@pytest.mark.parametrize("query", ["", "?key=", "?key=x", "?key=p&key=p", "?key=u:p", "?Key=p"])
def test_other_credentials_are_asked_for(authorization: str, query: str) -> None:
    ours = example(Exotel, webhook_username="u", webhook_password="p")
    with pytest.raises(BadSignature) as caught:
        ours.verify(Request.get(HOOK + query, {"authorization": authorization}))
    assert caught.value.challenge is not None
    assert caught.value.challenge.startswith('Basic realm="')


def test_without_credentials_no_webhook_is_taken() -> None:
    ours = example(Exotel, webhook_username="", webhook_password="")
    for request in (ours.sign(Request.get(HOOK)), Request.get(f"{HOOK}?key=")):
        with pytest.raises(BadSignature, match="EXOTEL_WEBHOOK_PASSWORD"):
            ours.verify(request)


@pytest.mark.parametrize("missing", ["webhook_username", "webhook_password"])
def test_credentials_that_go_together(missing: str) -> None:
    with pytest.raises(ConfigError, match="together"):
        example(Exotel, **{missing: ""})


# --- webhooks --------------------------------------------------------------------------------


def get(purpose: Purpose, **fields: str) -> list[Any]:
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    return list(EXOTEL.read_webhook(Request.get(f"{HOOK}?{query}"), purpose))


def status(**fields: Any) -> list[Any]:
    request = Request.of_json("POST", HOOK, {"CallSid": "CA1"} | fields)
    return list(EXOTEL.read_webhook(request, Purpose.STATUS))


def test_the_applet_asks_for_a_stream() -> None:
    """As the Connect applet's dynamic URL is asked (support.exotel.com, 3000096873)."""
    who = {"CallSid": "CA1", "CallFrom": "09876543210", "CallTo": "08047491899"}
    (offered,) = get(Purpose.ANSWER, **who, Direction="incoming", Created="x", key="pw")
    assert (offered.again, offered.transfer) == (False, None)
    call = offered.call
    assert (call.call_id, call.account_id) == ("CA1", "acct1")
    assert (call.from_, call.to) == ("09876543210", "08047491899")
    assert call.direction is Direction.INBOUND
    assert "key" not in call.raw
    for word in ("outbound-dial", "outgoing"):
        (offered,) = get(Purpose.ANSWER, **who, Direction=word)
        assert offered.call.direction is Direction.OUTBOUND
        assert offered.call.from_ == "09876543210"


def test_the_applet_need_not_say_whose_stream_it_asks_for() -> None:
    """No page tells which fields the Voicebot applet sends."""
    for query in ("", "?", "?key=pw", "?CallSid="):
        (offered,) = EXOTEL.read_webhook(Request.get(HOOK + query), Purpose.ANSWER)
        assert isinstance(offered, events.Offered)
        assert (offered.call.call_id, offered.again) == ("", False)


def test_another_applet_asks_how_to_go_on() -> None:
    (offered,) = get(Purpose.AFTER, CallSid="CA1")
    assert (offered.call.call_id, offered.again) == ("CA1", True)
    form = Request.of_form(HOOK, {"CallSid": "CA1", "From": "1", "To": "2"})
    (offered,) = EXOTEL.read_webhook(form, Purpose.ANSWER)
    assert isinstance(offered, events.Offered)
    assert (offered.again, offered.call.from_, offered.call.to) == (False, "1", "2")


def test_webhooks_that_are_none() -> None:
    for purpose in (Purpose.AFTER, Purpose.STATUS, Purpose.DIGITS):
        with pytest.raises(RemoteProtocolError, match="CallSid"):
            get(purpose)
    for body in (b"", b"a=1", b'{"CallSid":true}', b'{"CallSid":["CA1"]}'):
        with pytest.raises(RemoteProtocolError, match="CallSid"):
            EXOTEL.read_webhook(Request(method="POST", url=HOOK, body=body), Purpose.ANSWER)
    for body in (b"{", b"\xff"):
        with pytest.raises(RemoteProtocolError):
            EXOTEL.read_webhook(Request(method="POST", url=HOOK, body=body), Purpose.STATUS)


# developer.exotel.com, references/webhooks, "Extended Payload".
TERMINAL = {
    "CallSid": "80bfbec2d78bbbf10fb851f4fa165211",
    "EventType": "terminal",
    "DateCreated": "2024-01-15 14:25:10",
    "DateUpdated": "2024-01-15 14:30:45",
    "To": "09123456789",
    "From": "09876543210",
    "PhoneNumberSid": "0XXXXXX4890",
    "StartTime": "2024-01-15 14:25:12",
    "EndTime": "2024-01-15 14:30:45",
    "Status": "completed",
    "ConversationDuration": 320,
    "Direction": "outbound-api",
    "CustomField": "order_12345",
    "RecordingUrl": None,
    "Legs": [
        {"OnCallDuration": 335, "Status": "completed", "AnsweredBy": "NA"},
        {"OnCallDuration": 320, "Status": "completed", "AnsweredBy": "HUMAN"},
    ],
}


def test_the_extended_status_callback() -> None:
    (ended,) = status(**TERMINAL)
    reason = EndReason(Why.COMPLETED, raw="completed")
    assert ended == events.Ended(TERMINAL["CallSid"], reason, duration_s=335.0)
    (ended,) = status(Status="completed", ConversationDuration="320")
    assert ended.duration_s == 320.0
    (answered,) = status(**TERMINAL | {"EventType": "answered", "Status": "in-progress"})
    call = answered.call
    # An API call's From is who was called.
    assert (call.from_, call.to, call.tag) == ("0XXXXXX4890", "09876543210", "order_12345")
    assert call.direction is Direction.OUTBOUND


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("completed", Why.COMPLETED),
        ("failed", Why.FAILED),
        ("busy", Why.BUSY),
        ("no-answer", Why.NO_ANSWER),
        ("canceled", Why.CANCELLED),
    ],
)
def test_the_default_status_callback(word: str, why: Why) -> None:
    """references/webhooks, "Default Payload": no EventType."""
    (ended,) = status(DateUpdated="2024-01-15 14:30:45", Status=word, RecordingUrl=None)
    assert ended == events.Ended("CA1", EndReason(why, raw=word))


def test_the_same_in_other_forms() -> None:
    form = Request.of_form(HOOK, {"CallSid": "CA1", "Status": "busy"})
    body = (
        b'--xYz\r\nContent-Disposition: form-data; name="CallSid"\r\n\r\nCA1\r\n'
        b'--xYz\r\nContent-Disposition: form-data; filename="x"\r\n\r\n?\r\n'
        b'--xYz\r\nContent-Disposition: form-data; name="Status"\r\n\r\nbusy\r\n--xYz--\r\n'
    )
    headers = {"content-type": 'multipart/form-data; charset=utf-8; boundary="xYz"'}
    multipart = Request(method="POST", url=HOOK, headers=headers, body=body)
    unnamed = Request(method="POST", url=HOOK, body=b'\n {"CallSid":"CA1","Status":"busy"}')
    for request in (form, multipart, unnamed):
        (ended,) = EXOTEL.read_webhook(request, Purpose.STATUS)
        assert ended == events.Ended("CA1", EndReason(Why.BUSY, raw="busy"))
    broken = Request(
        method="POST", url=HOOK, headers=headers, body=body.replace(b"busy", b"\xff\xfe")
    )
    with pytest.raises(RemoteProtocolError, match="multipart"):
        EXOTEL.read_webhook(broken, Purpose.STATUS)


def test_progress() -> None:
    (ringing,) = status(EventType="ringing")
    assert isinstance(ringing, events.Ringing)
    (answered,) = status(Status="in-progress")
    assert isinstance(answered, events.Answered)
    # The answered event of a call whose second leg failed at once, say.
    (answered,) = status(EventType="answered", Status="failed")
    assert isinstance(answered, events.Answered)
    (ended,) = status(EventType="terminal", Status="odd")
    assert ended.reason == EndReason(Why.UNKNOWN, raw="odd")
    (other,) = status(EventType="leg", StreamUrl="wss://a.example/tok.en-1", N=5)
    assert other == events.Other("leg", "CA1", {"CallSid": "CA1", "EventType": "leg", "N": "5"})
    (other,) = status(Status="odd")
    assert other.kind == "odd"


@pytest.mark.parametrize(
    ("word", "result"),
    [("Human", "human"), ("HUMAN", "human"), ("Machine", "machine"), ("NotSure", "unknown")],
)
def test_who_answered(word: str, result: str) -> None:
    """voice-v1, "AnsweredBy Values"."""
    for told in ({"AnsweredBy": word}, {"Legs": [{"AnsweredBy": word}]}):
        _, machine = status(EventType="answered", **told)
        assert machine == events.MachineDetected("CA1", result, word)
    assert len(status(EventType="answered", AnsweredBy="NA")) == 1


def test_the_passthru_applet_after_a_stream() -> None:
    """docs.exotel.com, exotel-agentstream/passthru-applet; both forms of Stream."""
    fields = {"CallSid": "CA1", "flow_id": "7", "Direction": "incoming"}
    told = {"StreamSID": "MZ1", "Status": "completed", "Duration": 28, "DisconnectedBy": "bot"}
    secret = {"StreamUrl": "wss://agent.example.com/exotel/media/tok.en-1"}
    apart = {f"Stream[{name}]": str(text) for name, text in (told | secret).items()}
    (passed,) = get(Purpose.STATUS, **fields, **apart)
    assert passed.kind == "passthru"
    assert passed.fields["Stream[Duration]"] == "28"
    assert "tok.en" not in str(passed)
    (same,) = get(Purpose.STATUS, **fields, Stream=json.dumps(told | secret))
    assert same == passed
    assert len(get(Purpose.STATUS, **fields, **apart | {"Stream[DisconnectedBy]": "NA"})) == 1
    left = apart | {"Stream[DisconnectedBy]": "user", "Stream[Status]": "cancelled"}
    _, ended = get(Purpose.STATUS, **fields, **left)
    assert ended == events.Ended("CA1", EndReason(Why.COMPLETED, Who.CALLER, "cancelled"))
    with pytest.raises(RemoteProtocolError, match="JSON"):
        get(Purpose.STATUS, **fields, Stream="{")


def test_the_passthru_applet_before_a_stream() -> None:
    """developer.exotel.com, agentstream/passthru-applet: a POST of JSON, the token in its URL."""
    (other,) = status(EventType="stream-start", StreamSid="MZ1", StreamUrl="wss://a.example/tok")
    kept = {"CallSid": "CA1", "EventType": "stream-start", "StreamSid": "MZ1"}
    assert other == events.Other("stream-start", "CA1", kept)


def test_webhooks_as_exotel_writes_them() -> None:
    asked = EXOTEL.write_webhook(events.Offered(CALL), f"{HOOK}?key=pw")
    assert (asked.method, asked.body) == ("GET", b"")
    assert dict(asked.query) == {
        "key": "pw",
        "CallSid": "CA1",
        "CallFrom": "09876543210",
        "CallTo": "08047491899",
        "Direction": "incoming",
    }
    ended = EXOTEL.write_webhook(events.Ended("CA1", EndReason(Why.REJECTED)), HOOK).json()
    assert (ended["Status"], ended["EventType"]) == ("busy", "terminal")
    assert ended["DateUpdated"] == "2025-06-15 15:06:40"
    ended = EXOTEL.write_webhook(events.Ended("CA1", EndReason(Why.DRAIN)), HOOK).json()
    assert ended["Status"] == "completed"
    placed = CallInfo(
        carrier="exotel", call_id="CA1", from_="+2", to="+1", direction=Direction.OUTBOUND, tag="t"
    )
    for notice, word in (
        (events.Ringing(placed), "ringing"),
        (events.Answered(placed), "answered"),
    ):
        told = EXOTEL.write_webhook(notice, HOOK).json()
        assert (told["EventType"], told["From"], told["PhoneNumberSid"]) == (word, "+1", "+2")
        assert (told["Direction"], told["CustomField"]) == ("outbound-api", "t")
    other = EXOTEL.write_webhook(events.Other("passthru", "CA1", {"Stream[Status]": "x"}), HOOK)
    (read,) = EXOTEL.read_webhook(other, Purpose.STATUS)
    assert read == events.Other("passthru", "CA1", {"Stream[Status]": "x", "CallSid": "CA1"})
    for notice in (
        events.DigitPressed("CA1", "1"),
        events.MachineDetected("CA1", "human"),
        events.Offered(CALL, again=True, transfer=Why.BUSY),
    ):
        with pytest.raises(Unsupported, match="no webhook"):
            EXOTEL.write_webhook(notice, HOOK)


# --- answers ---------------------------------------------------------------------------------


def test_the_answer_is_a_url_and_nothing_else() -> None:
    """stream-voicebot-applet: an https endpoint returns {"url": "wss://…"}."""
    answer = EXOTEL.answer(CALL, OFFER)
    assert answer.flow is None
    assert answer.response.headers["content-type"] == "application/json"
    assert answer.response.json() == {"url": "wss://agent.example.com/exotel/media/tok.en-1"}


@pytest.mark.parametrize(
    ("audio", "query"),
    [
        (L16_8K, ""),
        (L16_16K, "?sample-rate=16000"),
        (L16_24K, "?sample-rate=24000"),
        (PCMU_8K, ""),  # set in the applet, if at all
    ],
    ids=str,
)
def test_the_rate_is_asked_for_in_the_url(audio: AudioFormat, query: str) -> None:
    answer = EXOTEL.answer(CALL, changed(audio=audio))
    assert answer.response.json()["url"] == OFFER.token_url + query
    (opened,) = EXOTEL.read_answer(answer.response)
    assert isinstance(opened, seam.OpenStream)
    assert (opened.blocking, opened.audio) == (True, audio if query else None)


def test_parameters_ride_in_the_url() -> None:
    wish = changed(parameters={"who": "Jané & Co", "n": ""}, audio=L16_16K)
    answer = EXOTEL.answer(CALL, wish)
    query = parse_qsl(urlsplit(answer.response.json()["url"]).query, keep_blank_values=True)
    assert query == [("who", "Jané & Co"), ("n", ""), ("sample-rate", "16000")]
    (opened,) = EXOTEL.read_answer(answer.response)
    assert isinstance(opened, seam.OpenStream)
    assert opened.parameters == wish.parameters


def test_offers_that_cannot_be_carried() -> None:
    """stream-voicebot-applet: up to three pairs, 256 characters in all."""
    for impossible in (
        {"audio": PCMA_8K},
        {"parameters": dict.fromkeys("abcd", "")},
        {"parameters": {"sample-rate": "8000"}},
        {"parameters": {"n": "v" * 255}},
    ):
        with pytest.raises(Unsupported):
            EXOTEL.answer(CALL, changed(**impossible))
    EXOTEL.answer(CALL, changed(parameters={"n": "v" * 254}))
    EXOTEL.answer(CALL, changed(parameters=dict.fromkeys("abc", ""), audio=L16_24K))


@pytest.mark.parametrize("why", list(Dismissal))
def test_no_url_sends_the_call_on_to_hangup(why: Dismissal) -> None:
    answer = EXOTEL.dismiss(CALL, why)
    assert answer.response.json() == {}
    assert EXOTEL.read_answer(answer.response) == [seam.Hangup()]


@pytest.mark.parametrize(
    "response",
    [
        Response(500),
        Response(302, {}, b'{"url":"wss://a.example/x"}'),
        Response(body=b""),
        Response(body=b"wss://a.example/x"),
        Response(body=b'{"url":"https://a.example/x"}'),
    ],
)
def test_answers_that_open_no_stream(response: Response) -> None:
    with pytest.raises(RemoteProtocolError):
        EXOTEL.read_answer(response)


# --- control ---------------------------------------------------------------------------------


def finish(flow: Any, answer: Response) -> Any:
    with pytest.raises(StopIteration) as done:
        flow.send(answer)
    return done.value.value


def fault(status: int, message: str = "no", **more: Any) -> Response:
    """openapi/exotel-connect-voice-ai.yaml, ErrorResponse."""
    told = {"RestException": {"Status": status, "Message": message, **more}}
    return Response.of_json(told, status)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("queued", CallState.QUEUED),
        ("ringing", CallState.RINGING),
        ("in-progress", CallState.ACTIVE),
        ("completed", CallState.ENDED),
        ("failed", CallState.ENDED),
        ("busy", CallState.ENDED),
        ("no-answer", CallState.ENDED),
        ("canceled", CallState.ENDED),
        ("new-word", CallState.ACTIVE),
    ],
)
def test_states(word: str, state: CallState) -> None:
    flow = EXOTEL.state(CALL)
    asked = next(flow)
    assert (asked.method, asked.url) == ("GET", f"{API}/Calls/CA1.json")
    assert asked.headers["authorization"] == basic_auth("key1", "token1")
    assert finish(flow, Response.of_json({"Call": {"Sid": "CA1", "Status": word}})) is state


def test_a_state_that_cannot_be_told() -> None:
    flow = EXOTEL.state(CALL)
    next(flow)
    assert finish(flow, fault(404)) is CallState.ENDED
    flow = EXOTEL.state(CALL)
    next(flow)
    limited = Response(429, {"retry-after": "7"}, b"")
    with pytest.raises(CarrierError) as caught:
        flow.send(limited)
    assert (caught.value.retryable, caught.value.retry_after) == (True, 7.0)
    for body in (b"[]", b"{}", b'{"Call":{"Status":5}}'):
        flow = EXOTEL.state(CALL)
        next(flow)
        with pytest.raises(RemoteProtocolError):
            flow.send(Response(body=body))


WISH = Dial(
    to="+919876543210",
    from_="08047491899",
    offer=changed(audio=L16_16K),
    ring_timeout=25,
    max_duration=90_000,
    key="wish-1",
)


def test_placing_a_call() -> None:
    """openapi/exotel-connect-voice-ai.yaml, ConnectVoiceAIRequest; TimeOut: …WithFlowRequest."""
    flow = EXOTEL.dial(WISH)
    order = next(flow)
    assert (order.method, order.url) == ("POST", f"{API}/Calls/connect.json")
    assert order.headers["authorization"] == basic_auth("key1", "token1")
    assert not order.repeatable
    assert order.form() == [
        ("From", "+919876543210"),
        ("CallerId", "08047491899"),
        ("StreamUrl", "wss://agent.example.com/exotel/media/tok.en-1?sample-rate=16000"),
        ("StreamType", "bidirectional"),
        ("TimeLimit", "14400"),
        ("TimeOut", "25"),
        ("StatusCallback", "https://agent.example.com/exotel/status?key=pw"),
        ("StatusCallbackEvents[]", "ringing"),
        ("StatusCallbackEvents[]", "answered"),
        ("StatusCallbackEvents[]", "terminal"),
        ("StatusCallbackContentType", "application/json"),
        ("CustomField", "wish-1"),
    ]
    told = {"Sid": "a1b2c3d4e5f6", "Status": "in-progress", "Direction": "outbound-api"}
    assert finish(flow, Response.of_json({"Call": told})) == "a1b2c3d4e5f6"


def test_placing_a_call_with_other_hooks() -> None:
    def callback(ours: Any, hooks: Hooks) -> str:
        wish = Dial(to="+1", from_="+2", offer=changed(hooks=hooks))
        form = dict(next(ours.dial(wish)).form())
        assert "CustomField" not in form
        return form["StatusCallback"]

    hooks = Hooks(HOOKS.base, "about=x")
    assert callback(EXOTEL, hooks).endswith("/exotel/status?about=x&key=pw")
    open_door = example(Exotel, webhook_username="", webhook_password="")
    assert callback(open_door, HOOKS) == "https://agent.example.com/exotel/status"


def test_calls_that_cannot_be_placed() -> None:
    flow = EXOTEL.dial(WISH)
    next(flow)
    with pytest.raises(CarrierError, match=r"403 \(1000, not for \(number\)\)") as caught:
        flow.send(fault(403, "not for +919876543210", Code=1000))
    assert (caught.value.code, caught.value.retryable) == ("1000", False)
    for offer, key in ((changed(token="t" * 600), ""), (OFFER, "k" * 129)):
        with pytest.raises(Unsupported, match="600"):
            next(EXOTEL.dial(Dial(to="+1", from_="+2", offer=offer, key=key)))


def test_mumbai() -> None:
    """openapi/exotel-connect-voice-ai.yaml, servers."""
    mumbai = example(Exotel, subdomain="api.in.exotel.com")
    assert next(mumbai.state(CALL)).url.startswith("https://api.in.exotel.com/v1/Accounts/acct1/")
    for wrong in ("mumbai", "https://api.in.exotel.com", "a.b/c", "a@b.c", "a..b"):
        with pytest.raises(ConfigError, match="EXOTEL_SUBDOMAIN"):
            example(Exotel, subdomain=wrong)
    with pytest.raises(ConfigError, match="EXOTEL_ACCOUNT_SID"):
        example(Exotel, account_sid="../1")


XML = b"<TwilioResponse><Stream><ThrottleLimit>100</ThrottleLimit></Stream></TwilioResponse>"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (XML, ["100 streams at once"]),
        (b'{"active_streams": 3, "max_allowed_streams": 100}', ["100 streams at once"]),
        (b"", []),
    ],
)
def test_trying_the_credentials(body: bytes, shown: list[str]) -> None:
    """developer.exotel.com, agentstream/wss-errors-monitoring (XML); docs.exotel.com (JSON)."""
    flow = EXOTEL.check()
    asked = next(flow)
    assert (asked.method, asked.url) == ("GET", f"{API}/ActiveStreams")
    assert finish(flow, Response(body=body)) == shown
    flow = EXOTEL.check()
    next(flow)
    with pytest.raises(CarrierError, match="401"):
        flow.send(fault(401))
    closed = example(Exotel, webhook_username="", webhook_password="").check()
    next(closed)
    *_, last = finish(closed, Response(body=body))
    assert "no calls can be taken" in last


# --- the simulated REST API ------------------------------------------------------------------


def test_platform_doors() -> None:
    exchange = Exchange(EXOTEL)
    exchange.add("CA1")
    login = {"authorization": basic_auth("key1", "token1")}
    assert exchange.rest(Request.get(f"{API}/Calls/CA1.json", login)).status == 200
    assert exchange.run(EXOTEL.check()) == ["100 streams at once"]
    for wrong in ("", basic_auth("key1", "token2")):
        denied = exchange.rest(Request.get(f"{API}/Calls/CA1.json", {"authorization": wrong}))
        assert (denied.status, "RestException" in denied.json()) == (401, True)
    for unknown in (f"{API}/Calls/CA2.json", f"{API}/Calls/connect.json", f"{API}/Legs/CA1"):
        assert exchange.rest(Request.get(unknown, login)).status == 404
    post = Request.of_form(f"{API}/Calls/CA1.json", {"Status": "completed"}, login)
    assert exchange.rest(post).status == 404


def test_platform_describes() -> None:
    exchange = Exchange(EXOTEL)
    exchange.add("CA1", CallState.RINGING, from_="1", to="2")
    login = {"authorization": basic_auth("key1", "token1")}

    def told() -> dict[str, Any]:
        return exchange.rest(Request.get(f"{API}/Calls/CA1.json", login)).json()["Call"]

    assert (told()["Sid"], told()["Status"], told()["From"]) == ("CA1", "ringing", "1")
    exchange.end("CA1", Why.NO_ANSWER)
    assert (told()["Status"], told()["Duration"]) == ("no-answer", "7")


def test_platform_places() -> None:
    exchange = Exchange(EXOTEL)
    made = exchange.run(EXOTEL.dial(WISH))
    url = "wss://agent.example.com/exotel/media/tok.en-1?sample-rate=16000"
    (placed,) = exchange.commands
    assert placed == seam.Place(
        to="+919876543210",
        from_="08047491899",
        status_url="https://agent.example.com/exotel/status?key=pw",
        # "When the bot closes the WebSocket, the call ends" (CONNECT_VOICE_AI.md).
        steps=[seam.OpenStream(url=url, audio=L16_16K)],
        ring_timeout=25.0,
        tag="wish-1",
    )
    assert exchange.legs[made].call.direction is Direction.OUTBOUND
    good = dict(next(EXOTEL.dial(WISH)).form())
    login = {"authorization": basic_auth("key1", "token1")}
    for wrong in (
        {"From": ""},
        {"CallerId": ""},
        {"StreamUrl": ""},
        {"StreamUrl": "https://a.example"},
        {"StreamType": "unidirectional"},
    ):
        order = Request.of_form(f"{API}/Calls/connect.json", good | wrong, login)
        assert exchange.rest(order).status == 400
