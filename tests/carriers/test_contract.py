"""What every carrier promises, over every carrier found.

Both ends of each stream against each other, junk, answers, signatures, flows against the
carrier's own mirror, facts. A carrier that errs alike at both ends passes all this; hence its own
test file's golden table, whose completeness is checked here.
"""

from __future__ import annotations

import ast
import importlib
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from golden import Golden, example, stream_ends
from hypothesis import given
from hypothesis import strategies as st

import trunkline
from exchange import Exchange
from trunkline import carriers, events
from trunkline.carrier import (
    Carrier,
    Control,
    Dial,
    Dismissal,
    Hangup,
    HangUpLeg,
    Hooks,
    Instruct,
    Marks,
    Offer,
    OpenStream,
    Pause,
    Place,
    Purpose,
    Redirect,
    Reject,
    Step,
)
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
from trunkline.media.formats import AudioFormat
from trunkline.web import Flow, Request, Response

FOUND = carriers.all_carriers()
SOURCES = Path(trunkline.__file__).parent
DOCS = Path(__file__).parents[2] / "docs" / "carriers"

OWN = [found for found in FOUND if found.__module__.startswith("trunkline.")]
TABLES: dict[str, Golden] = {
    found.name: importlib.import_module(f"test_{found.name}").GOLDEN for found in OWN
}

every = pytest.mark.parametrize("found", FOUND, ids=[found.name for found in FOUND])
own = pytest.mark.parametrize("found", OWN, ids=[found.name for found in OWN])
every_format = pytest.mark.parametrize(
    ("found", "audio"),
    [(found, audio) for found in FOUND for audio in found.outbound],
    ids=lambda value: getattr(value, "name", str(value)),
)

CALL_ID = "call-0123456789"
HOOKS = Hooks("https://agent.example.com/base/carrier")


def golden(found: type[Carrier]) -> Golden:
    """A carrier's table; one from elsewhere has its own tests, and lends what its stream says."""
    return TABLES.get(found.name) or Golden(started_for(found, found.outbound[0]), ())


def offer(found: type[Carrier], **changed: Any) -> Offer:
    fields: dict[str, Any] = {
        "stream_url": "wss://agent.example.com/base/carrier/media",
        "token": "eyJhIjoxfQ.Zx-9_y.sig",
        "hooks": HOOKS,
        "audio": found.outbound[0],
        "parameters": {"lang": "en"},
    }
    return Offer(**(fields | changed))


def call_of(found: type[Carrier]) -> CallInfo:
    return CallInfo(carrier=found.name, call_id=CALL_ID, from_="+15551112222", to="+15553334444")


def started_for(found: type[Carrier], audio: AudioFormat) -> Started:
    return Started(
        call_id=CALL_ID,
        account_id="account-1",
        stream_id="stream-1",
        stream_name="name1",
        inbound=audio if found.one_format else found.inbound[0],
        outbound=audio,
        from_="+15551112222",
        to="+15553334444",
        token="eyJhIjoxfQ",
        parameters={"lang": "en"},
    )


# --- both ends -------------------------------------------------------------------------------

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
KINDS = NAMES.map(lambda name: f"x{name}")
VALUES = st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=5)
FIELDS = st.dictionaries(KINDS, VALUES | st.lists(VALUES, max_size=2), max_size=3)


def payloads(audio: AudioFormat, found: type[Carrier]) -> st.SearchStrategy[bytes]:
    """Audio in messages that the carrier's frame rule allows."""
    frame = audio.bytes_in(found.frame.ms)
    if found.frame.whole:
        pieces = st.binary(min_size=1, max_size=40)  # drawn whole, the largest would be too slow
        return pieces.map(lambda piece: (piece * frame)[:frame])
    samples = st.integers(1, 400)
    return samples.flatmap(
        lambda n: st.binary(min_size=n * audio.sample_bytes, max_size=n * audio.sample_bytes)
    )


def happenings(
    kinds: frozenset[type[msgspec.Struct]], found: type[Carrier], audio: AudioFormat
) -> st.SearchStrategy[Any]:
    """Any event of these kinds, but the ``Started`` that a stream begins with."""
    makers: dict[type[Any], st.SearchStrategy[Any]] = {
        events.Audio: st.builds(
            events.Audio, payloads(audio, found), st.just(-1) | st.integers(0, 2**40)
        ),
        events.Digit: st.builds(events.Digit, st.sampled_from("0123456789*#")),
        events.Digits: st.builds(events.Digits, st.text("0123456789*#", min_size=1, max_size=5)),
        events.Mark: st.builds(events.Mark, NAMES),
        events.Clear: st.just(events.Clear()),
        events.Cleared: st.just(events.Cleared()),
        events.Stopped: st.builds(events.Stopped, NAMES),
        events.Failed: st.builds(events.Failed, NAMES, NAMES),
        events.Extra: st.builds(events.Extra, KINDS, FIELDS),
    }
    return st.one_of([makers[kind] for kind in sorted(kinds - {Started}, key=str)])


def assert_heard(said: Any, heard: Any) -> None:
    """What was heard is what was said, as far as the carrier's messages go."""
    assert type(heard) is type(said)
    match said:
        case events.Audio():
            assert heard.payload == said.payload
            assert heard.timestamp == said.timestamp or -1 in (heard.timestamp, said.timestamp)
        case events.Digit():
            assert heard.digit == said.digit
        case events.Failed():
            assert heard.code == said.code
        case events.Mark() | events.Digits() | events.Extra():
            assert heard == said


def without_cleared(told: list[Any]) -> list[Any]:
    return [event for event in told if not isinstance(event, events.Cleared)]


@every_format
@given(data=st.data())
def test_what_one_end_says_the_other_hears(
    found: type[Carrier], audio: AudioFormat, data: st.DataObject
) -> None:
    carrier = example(found)
    started = started_for(found, audio)
    ends = stream_ends(carrier, started)
    kinds = [(found.says, audio), (found.hears, started.inbound)]
    said: list[list[Any]] = [[], []]
    heard: list[list[Any]] = [[], []]

    def pass_on(side: int) -> None:
        for message in ends[side].outgoing():
            heard[side] += ends[1 - side].receive(message)

    for _ in range(data.draw(st.integers(1, 12))):
        side = data.draw(st.integers(0, 1))
        event = data.draw(happenings(kinds[side][0], found, kinds[side][1]))
        ends[side].send(event)
        said[side].append(event)
        if data.draw(st.booleans()):
            pass_on(data.draw(st.integers(0, 1)))
    # Replies that the protocol owes may wait on either side: until nobody has anything left.
    for _ in range(4):
        pass_on(0)
        pass_on(1)
    for side in (0, 1):
        if events.Clear in map(type, said[1 - side]):
            # That one clear is done says nothing once another is asked for: it may be passed over.
            said[side], heard[side] = without_cleared(said[side]), without_cleared(heard[side])
        assert len(heard[side]) == len(said[side])
        for one, other in zip(said[side], heard[side], strict=True):
            assert_heard(one, other)


@every_format
def test_a_stream_begins_with_started(found: type[Carrier], audio: AudioFormat) -> None:
    carrier = example(found)
    said = started_for(found, audio)
    bot, theirs = carrier.bot_end(audio), carrier.carrier_end(audio)
    theirs.send(said)
    heard = [event for message in theirs.outgoing() for event in bot.receive(message)]
    (started,) = heard
    assert isinstance(started, Started)
    assert (started.inbound, started.outbound) == (said.inbound, audio)
    for name in ("call_id", "account_id", "stream_id", "stream_name", "from_", "to", "token"):
        assert getattr(started, name) in ("", getattr(said, name)), name
    assert started.parameters in ({}, said.parameters)


@every
def test_what_goes_out_is_handed_out_once(found: type[Carrier]) -> None:
    bot, _ = stream_ends(example(found), started_for(found, found.outbound[0]))
    frame = found.outbound[0].silence * (found.outbound[0].rate * found.frame.ms // 1000)
    bot.send(events.Audio(frame))
    assert len(bot.outgoing()) >= 1
    assert list(bot.outgoing()) == []


@every
def test_the_carriers_messages_are_what_it_sends_queued_ones_first(found: type[Carrier]) -> None:
    started = started_for(found, found.outbound[0])
    frame = started.inbound.silence * (started.inbound.rate * found.frame.ms // 1000)
    one, other = (found.carrier_end(example(found), started.outbound) for _ in range(2))
    for event in (started, events.Audio(frame, 0), events.Audio(frame, 20)):
        one.send(event)
        told = one.outgoing()
        assert told
        assert list(other.messages(event)) == list(told)
    for end in (one, other):
        end.send(events.Audio(frame, 40))
    one.send(events.Audio(frame, 60))
    assert list(other.messages(events.Audio(frame, 60))) == list(one.outgoing())
    assert not other.owes
    with pytest.raises(LocalProtocolError):
        example(found).carrier_end(started.outbound).messages(events.Audio(frame))


# --- junk ------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
EVIL = [
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"event":' * 5_000,
    '"\ud800"',
    '{"event":"\udfff"}',
    '{"event":"\\ud800"}',
    f'{{"event":"media","media":{{"payload":"","timestamp":{"9" * 5000}}}}}',
    f'{{"eventType":"media","sequenceNumber":{"9" * 5000}}}',
    "1e999999",
    "",
    "\x00",
    "null",
    "[]",
    '"start"',
    "{}",
    b"",
    b"\xff" * 70_000,
    b"\x00" * 320,
]


def real_messages(found: type[Carrier]) -> list[str | bytes]:
    end = example(found).carrier_end(found.outbound[0])
    end.send(started_for(found, found.outbound[0]))
    return [*(row.wire for row in golden(found).rows), *end.outgoing()]


def mutate(data: st.DataObject, message: str | bytes) -> str | bytes:
    """A real message with a piece cut out, doubled or overwritten."""
    start = data.draw(st.integers(0, len(message)))
    end = data.draw(st.integers(start, len(message)))
    if isinstance(message, bytes):
        return message[:start] + data.draw(st.binary(max_size=6)) + message[end:]
    middle = data.draw(
        st.text(max_size=6)
        | st.sampled_from(
            ['"', "null", "{}", "[1]", "1e400", "-0", "9" * 30, message[start:end] * 2]
        )
    )
    return message[:start] + middle + message[end:]


def replaced(data: st.DataObject, message: str) -> str:
    """A real message with one value exchanged for any other."""
    fields = json.loads(message)
    node = fields
    while True:
        key = data.draw(st.sampled_from(sorted(node)))
        if not isinstance(node[key], dict) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JSON)
    return json.dumps(fields)


def junk(data: st.DataObject, found: type[Carrier]) -> str | bytes:
    match data.draw(st.integers(0, 5)):
        case 0:
            return data.draw(st.text(st.characters(codec=None), max_size=40))
        case 1:
            return data.draw(st.binary(max_size=700))
        case 2:
            return json.dumps(data.draw(JSON))
        case 3:
            return data.draw(st.sampled_from(EVIL))
        case 4:
            return mutate(data, data.draw(st.sampled_from(real_messages(found))))
        case _:
            texts = [m for m in real_messages(found) if isinstance(m, str)]
            return replaced(data, data.draw(st.sampled_from(texts))) if texts else ""


@every
@pytest.mark.parametrize("side", [0, 1], ids=["bot", "carrier"])
@pytest.mark.parametrize("begun", [True, False], ids=["begun", "fresh"])
@given(data=st.data())
def test_junk_is_events_or_a_protocol_error(
    found: type[Carrier], side: int, begun: bool, data: st.DataObject
) -> None:
    carrier = example(found)
    audio = found.outbound[0]
    if begun:
        end = stream_ends(carrier, golden(found).started)[side]
    else:
        end = carrier.carrier_end(audio) if side else carrier.bot_end(audio)
    allowed = found.says if side else found.hears
    for _ in range(data.draw(st.integers(1, 4))):
        try:
            heard: Sequence[Any] = end.receive(junk(data, found))
        except RemoteProtocolError:
            continue
        assert {type(event) for event in heard} <= allowed


@every
@pytest.mark.parametrize("message", EVIL, ids=range(len(EVIL)))
def test_known_evil(found: type[Carrier], message: str | bytes) -> None:
    for end in stream_ends(example(found), golden(found).started):
        try:
            end.receive(message)
        except RemoteProtocolError as error:
            assert len(str(error)) < 500


@every
@given(body=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_junk_webhooks_are_notices_or_a_protocol_error(found: type[Carrier], body: bytes) -> None:
    for purpose in Purpose:
        request = Request(method="POST", url=HOOKS.url(purpose), body=body)
        try:
            notices = example(found).read_webhook(request, purpose)
        except RemoteProtocolError:
            continue
        assert all(isinstance(notice, events.Notice) for notice in notices)


# --- answers ---------------------------------------------------------------------------------


def asked_for(found: type[Carrier], answer: Any) -> list[Step]:
    """What an answer asks of the carrier, by document or by REST."""
    carrier = example(found)
    steps = list(carrier.read_answer(answer.response))
    if answer.flow is not None:
        exchange = Exchange(carrier)
        exchange.add(CALL_ID)
        exchange.run(answer.flow())
        for command in exchange.commands:
            if isinstance(command, Instruct):
                steps += command.steps
            if isinstance(command, HangUpLeg):
                steps.append(Hangup())
    return steps


@every_format
def test_an_answer_leads_the_caller_back(found: type[Carrier], audio: AudioFormat) -> None:
    wish = offer(found, audio=audio)
    answer = example(found).answer(call_of(found), wish)
    steps = asked_for(found, answer)
    (opened,) = [step for step in steps if isinstance(step, OpenStream)]
    assert opened.url.startswith(wish.stream_url)
    carried = [urlsplit(opened.url).path, *opened.parameters.values(), *opened.headers.values()]
    assert any(wish.token in place for place in carried)
    assert opened.audio in (None, audio)


@every
def test_an_answer_never_leaves_the_call_open(found: type[Carrier]) -> None:
    answer = example(found).answer(call_of(found), offer(found))
    if answer.flow is not None:
        assert found.supports(Control.HANG_UP), "the stream's end is not the call's: we must end it"
        return
    steps = asked_for(found, answer)
    assert not [step for step in steps if isinstance(step, Pause) and step.seconds >= 10]
    last = steps[-1]
    assert isinstance(last, Redirect | Hangup) or (isinstance(last, OpenStream) and last.blocking)
    for step in steps:
        if isinstance(step, Redirect):
            assert step.url == HOOKS.url(Purpose.AFTER)


@every
def test_a_call_that_had_a_stream_gets_another(found: type[Carrier]) -> None:
    """Some ask for it, some come back by themselves; any other is told by REST, unasked."""
    wish = offer(found, again=True)
    answer = example(found).answer(call_of(found), wish)
    if not (found.asks_after or found.reconnects):
        assert answer.flow is not None
    (opened,) = [step for step in asked_for(found, answer) if isinstance(step, OpenStream)]
    assert opened.url.startswith(wish.stream_url)


@every
@pytest.mark.parametrize("why", list(Dismissal))
def test_a_dismissal_ends_the_call(found: type[Carrier], why: Dismissal) -> None:
    steps = asked_for(found, example(found).dismiss(call_of(found), why))
    assert isinstance(steps[-1], Hangup | Reject)
    assert not [step for step in steps if isinstance(step, OpenStream)]


# --- door ------------------------------------------------------------------------------------


def webhook(carrier: Carrier, found: type[Carrier]) -> Request:
    notice = events.Offered(call_of(found))
    return carrier.write_webhook(notice, HOOKS.url(Purpose.ANSWER))


def other_secrets(found: type[Carrier]) -> Carrier:
    changed = {c.name: f"other{c.example}" for c in found.credentials if c.secret and c.example}
    try:
        return example(found, **changed)
    except ConfigError:  # a secret with a form of its own: its owner's tests change it
        pytest.skip("its secrets cannot be made up")


signing = pytest.mark.parametrize(
    "found", [f for f in FOUND if f.signs_webhooks], ids=lambda found: found.name
)


@signing
def test_a_signed_webhook_verifies(found: type[Carrier]) -> None:
    carrier = example(found)
    carrier.verify(carrier.sign(webhook(carrier, found)))


@signing
def test_a_webhook_signed_with_another_secret_does_not_verify(found: type[Carrier]) -> None:
    carrier = example(found)
    with pytest.raises(BadSignature):
        other_secrets(found).verify(carrier.sign(webhook(carrier, found)))


@signing
def test_a_webhook_without_its_proof_does_not_verify(found: type[Carrier]) -> None:
    carrier = example(found)
    plain = webhook(carrier, found)
    url = carrier.sign(plain).url
    proof = set(carrier.sign(plain).headers) - set(plain.headers)
    assert proof or url != plain.url
    if url != plain.url:
        for wrong in (plain.url, url[:-1], f"{url}x", f"{url}&{urlsplit(url).query}"):
            with pytest.raises(BadSignature):
                carrier.verify(msgspec.structs.replace(carrier.sign(plain), url=wrong))
    for name in proof:
        signed = carrier.sign(plain)
        for wrong in (None, "", "x", "\ud800", "Basic e30=", "Bearer e30.e30.e30"):
            headers = {k: v for k, v in signed.headers.items() if k != name}
            headers |= {} if wrong is None else {name: wrong}
            with pytest.raises(BadSignature):
                carrier.verify(msgspec.structs.replace(signed, headers=headers))


@signing
@given(data=st.data())
def test_a_changed_webhook_does_not_verify(found: type[Carrier], data: st.DataObject) -> None:
    carrier = example(found)
    signed = carrier.sign(webhook(carrier, found))
    if "body" in found.signature_covers:
        at = data.draw(st.integers(0, len(signed.body) - 1))
        # A letter for a letter, since a form may be written in more ways than one.
        other = b"x" if signed.body[at : at + 1] != b"x" else b"y"
        body = signed.body[:at] + other + signed.body[at + 1 :]
        with pytest.raises(BadSignature):
            carrier.verify(msgspec.structs.replace(signed, body=body))
    if "url" in found.signature_covers:
        for url in (
            signed.url.replace("/answer", "/status"),
            signed.url.replace("agent.", "agents."),
            signed.url.replace("https", "http"),
            signed.url + ("&" if "?" in signed.url else "?") + "a=1",
        ):
            with pytest.raises(BadSignature):
                carrier.verify(msgspec.structs.replace(signed, url=url))


@every
def test_a_signed_upgrade_verifies(found: type[Carrier]) -> None:
    carrier = example(found)
    upgrade = Request.get(offer(found).stream_url)
    if found.signs_upgrade:
        carrier.verify(carrier.sign(upgrade))
        with pytest.raises(BadSignature):
            carrier.verify(upgrade)
        with pytest.raises(BadSignature):
            other_secrets(found).verify(carrier.sign(upgrade))


# --- webhooks --------------------------------------------------------------------------------

CALLS = st.builds(
    CallInfo,
    carrier=st.just(""),
    call_id=NAMES,
    from_=st.just("+15551112222"),
    to=st.just("+15553334444"),
    direction=st.sampled_from(Direction),
)


def notices() -> st.SearchStrategy[tuple[Any, Purpose]]:
    """A notice and what the URL is for that it goes to."""
    status, results = st.just(Purpose.STATUS), st.sampled_from(["human", "machine", "unknown"])
    plain = st.sampled_from([Why.COMPLETED, Why.BUSY, Why.NO_ANSWER, Why.FAILED])
    ended = st.builds(
        events.Ended, NAMES, plain.map(EndReason), duration_s=st.integers(0, 9999).map(float)
    )
    return st.one_of(
        st.tuples(st.builds(events.Offered, CALLS), st.just(Purpose.ANSWER)),
        st.tuples(st.builds(events.Offered, CALLS, st.just(True)), st.just(Purpose.AFTER)),
        st.tuples(st.builds(events.Offered, CALLS, st.just(True), plain), st.just(Purpose.AFTER)),
        st.tuples(st.builds(events.Ringing, CALLS), status),
        st.tuples(st.builds(events.Answered, CALLS), status),
        st.tuples(ended, status),
        st.tuples(st.builds(events.MachineDetected, NAMES, results), status),
        st.tuples(
            st.builds(events.DigitPressed, NAMES, st.sampled_from("0123456789*#")),
            st.just(Purpose.DIGITS),
        ),
    )


@every
@given(notice_and_purpose=notices())
def test_what_a_carrier_writes_it_reads(
    found: type[Carrier], notice_and_purpose: tuple[Any, Purpose]
) -> None:
    notice, purpose = notice_and_purpose
    carrier = example(found)
    try:
        request = carrier.write_webhook(notice, HOOKS.url(purpose))
    except Unsupported:
        assert not isinstance(notice, events.Ended)
        assert not (isinstance(notice, events.DigitPressed) and found.digits_by_webhook)
        return
    read = next(n for n in carrier.read_webhook(request, purpose) if type(n) is type(notice))
    for name in ("again", "transfer", "digit", "result"):
        if hasattr(notice, name):
            assert getattr(read, name) == getattr(notice, name)
    if hasattr(notice, "call_id"):
        assert notice.call_id in (read.call_id, getattr(read, "dial_id", ""))
    if isinstance(notice, events.Ended):
        assert read.reason.why is notice.reason.why
    if hasattr(notice, "call"):
        assert read.call.carrier == found.name
        for name in ("from_", "to", "direction"):
            assert getattr(read.call, name) == getattr(notice.call, name)


# --- control ---------------------------------------------------------------------------------


def controls(carrier: Carrier, call: CallInfo) -> dict[Control, Callable[[], Flow[Any]]]:
    """Every request about a call that the carrier supports."""
    wish = offer(type(carrier))
    started = started_for(type(carrier), wish.audio)
    to = "+15557654321"
    made: dict[Control, Callable[[], Flow[Any]]] = {
        Control.HANG_UP: lambda: carrier.hang_up(call),
        Control.STATE: lambda: carrier.state(call),
        Control.TRANSFER: lambda: carrier.transfer(call, to, from_="", hooks=HOOKS),
        Control.SEND_DIGITS: lambda: carrier.send_digits(
            call, "123#", started=started, hooks=HOOKS
        ),
    }
    return {name: flow for name, flow in made.items() if carrier.supports(name)}


def test_what_is_not_supported_says_so() -> None:
    for found in FOUND:
        carrier = example(found)
        for control in Control:
            if not found.supports(control):
                with pytest.raises(Unsupported, match=re.escape(found.title)):
                    _call_control(carrier, control)


def _call_control(carrier: Carrier, control: Control) -> None:
    call = call_of(type(carrier))
    wish = offer(type(carrier))
    match control:
        case Control.HANG_UP:
            carrier.hang_up(call)
        case Control.STATE:
            carrier.state(call)
        case Control.DIAL:
            carrier.dial(Dial(to="+1", from_="+2", offer=wish))
        case Control.TRANSFER:
            carrier.transfer(call, "+1", from_="", hooks=HOOKS)
        case Control.SEND_DIGITS:
            started = started_for(type(carrier), wish.audio)
            carrier.send_digits(call, "1", started=started, hooks=HOOKS)
        case Control.CHECK:
            carrier.check()


def can(control: Control) -> pytest.MarkDecorator:
    able = [found for found in FOUND if found.supports(control)]
    return pytest.mark.parametrize("found", able, ids=lambda found: found.name)


@can(Control.HANG_UP)
@pytest.mark.parametrize("state", [CallState.RINGING, CallState.ACTIVE, CallState.ENDED])
def test_hanging_up_ends_the_call_and_may_be_repeated(
    found: type[Carrier], state: CallState
) -> None:
    exchange = Exchange(example(found))
    call = exchange.add(CALL_ID, state)
    exchange.run(exchange.carrier.hang_up(call))
    assert exchange.legs[CALL_ID].state is CallState.ENDED
    exchange.run(exchange.carrier.hang_up(call))
    assert [type(c) for c in exchange.commands].count(HangUpLeg) == (state is not CallState.ENDED)


@can(Control.HANG_UP)
def test_hanging_up_a_call_nobody_knows(found: type[Carrier]) -> None:
    exchange = Exchange(example(found))
    exchange.run(exchange.carrier.hang_up(call_of(found)))
    assert exchange.commands == []


@can(Control.STATE)
@pytest.mark.parametrize("state", list(CallState))
def test_the_state_of_a_call(found: type[Carrier], state: CallState) -> None:
    exchange = Exchange(example(found))
    call = exchange.add(CALL_ID, state)
    told = exchange.run(exchange.carrier.state(call))
    # Some tell no more than whether the call lives.
    assert told is state or (told is CallState.ACTIVE and state is not CallState.ENDED)


@can(Control.STATE)
def test_a_call_nobody_knows_has_ended(found: type[Carrier]) -> None:
    exchange = Exchange(example(found))
    assert exchange.run(exchange.carrier.state(call_of(found))) is CallState.ENDED


@can(Control.DIAL)
def test_a_placed_call(found: type[Carrier]) -> None:
    exchange = Exchange(example(found))
    wish = Dial(
        to="+15551112222",
        from_="+15553334444",
        offer=offer(found),
        ring_timeout=25,
        key="wish-1",
        detect_machine=True,
    )
    made = exchange.run(exchange.carrier.dial(wish))
    assert made in exchange.legs or made in {leg.call.dial_id for leg in exchange.legs.values()}
    (placed,) = exchange.commands
    assert isinstance(placed, Place)
    assert placed.to.lstrip("+") == "15551112222"
    assert placed.from_.lstrip("+") == "15553334444"
    assert placed.ring_timeout == 25.0
    assert placed.tag in ("", "wish-1")
    assert placed.steps or placed.answer_url
    assert not [r for r in exchange.requests if r.method == "POST" and _places(r) and r.repeatable]


def _places(request: Request) -> bool:
    return b"15551112222" in request.body


@can(Control.TRANSFER)
def test_a_transfer_reaches_the_exchange(found: type[Carrier]) -> None:
    exchange = Exchange(example(found))
    call = exchange.add(CALL_ID)
    exchange.run(controls(exchange.carrier, call)[Control.TRANSFER]())
    (command,) = exchange.commands
    assert "15557654321" in str(command)


@can(Control.SEND_DIGITS)
def test_keys_reach_the_exchange(found: type[Carrier]) -> None:
    exchange = Exchange(example(found))
    call = exchange.add(CALL_ID)
    exchange.run(controls(exchange.carrier, call)[Control.SEND_DIGITS]())
    (command,) = exchange.commands
    assert "123#" in str(command)


@every
def test_orders_to_a_call_that_is_over(found: type[Carrier]) -> None:
    exchange = Exchange(example(found))
    call = exchange.add(CALL_ID, CallState.ENDED)
    flows = controls(exchange.carrier, call)
    for control in (Control.TRANSFER, Control.SEND_DIGITS):
        if control in flows:
            with pytest.raises(CallEnded):
                exchange.run(flows[control]())


@every
@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'{"errors":[]}', b"\xff"])
def test_a_refusal_is_a_carrier_error(found: type[Carrier], status: int, body: bytes) -> None:
    for flow in controls(example(found), call_of(found)).values():
        running = flow()
        next(running)
        with pytest.raises(CarrierError) as caught:
            for _ in range(10):
                running.send(Response(status, {}, body))
        assert caught.value.status == status
        assert caught.value.retryable == (status in (429, 500, 503))


@every
@pytest.mark.parametrize(
    "bad", ["../../x", "a/b", "a?b", "a#b", "", "..", ".", "a b", "é", "a%2fb", "a\nb", "x" * 257]
)
def test_unsafe_ids_never_reach_a_url(found: type[Carrier], bad: str) -> None:
    carrier = example(found)
    exchange = Exchange(carrier)
    call = CallInfo(carrier=found.name, call_id=bad)
    for flow in controls(carrier, call).values():
        with pytest.raises(RemoteProtocolError):
            exchange.run(flow())
    assert not [request for request in exchange.requests if "call" in request.path.lower()]


# --- facts -----------------------------------------------------------------------------------


@every
def test_facts(found: type[Carrier]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*", found.name)
    assert found.title
    assert found.docs.startswith("https://")
    assert found.inbound
    assert found.outbound
    assert not found.one_format or set(found.inbound) == set(found.outbound)
    assert {Started, events.Audio} <= found.hears
    assert events.Audio in found.says
    assert (events.Mark in found.says) == (found.marks is not Marks.NONE)
    assert (events.Mark in found.hears) == (events.Mark in found.says)
    assert not (found.digits_by_webhook and events.Digit in found.hears)
    assert all(line[0].isupper() and line.endswith(".") for line in found.limitations)
    assert found.limitations
    assert bool(found.signature_covers) <= bool(found.signs_webhooks)
    assert 10 <= found.frame.ms <= 200
    assert math.isfinite(found.frame.max_lead_ms)


@every
def test_credentials(found: type[Carrier]) -> None:
    prefix = f"{found.name.upper()}_"
    for credential in found.credentials:
        assert credential.env.startswith(prefix)
        assert credential.help
        assert credential.example or not credential.required
    names = [c.name for c in found.credentials]
    assert len(set(names)) == len(names)
    required = [c for c in found.credentials if c.required]
    for credential in required:
        with pytest.raises(ConfigError, match=credential.env):
            example(found, **{credential.name: ""})


@own
def test_the_golden_table_covers_every_kind_of_event(found: type[Carrier]) -> None:
    table = golden(found)
    for by, kinds in (("carrier", found.hears), ("bot", found.says)):
        shown = {type(row.event) for row in table.rows if row.by == by and row.written}
        assert kinds <= shown, f"{by} rows lack {kinds - shown}"
    for row in table.rows:
        assert len(row.source) > 5
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row.date)


@own
def test_the_docs_page(found: type[Carrier]) -> None:
    page = (DOCS / f"{found.name}.md").read_text()
    for credential in found.credentials:
        assert credential.env in page
    assert found.level.value in page.lower()
    assert "since: 0.1" in page.lower()


PURE = {
    "__future__", "abc", "base64", "binascii", "collections", "collections.abc", "contextlib",
    "cryptography", "dataclasses", "datetime", "enum", "functools", "hashlib", "hmac",
    "itertools", "json", "math", "msgspec", "operator", "pybase64", "re", "secrets", "string",
    "struct", "typing", "urllib.parse", "uuid", "xml.etree.ElementTree", "zlib",
}  # fmt: skip
SEAM = {"carrier", "errors", "events", "media.formats", "web", "wire"}


@own
def test_a_carrier_imports_no_io(found: type[Carrier]) -> None:
    tree = ast.parse((SOURCES / "carriers" / f"{found.name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= PURE
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module in PURE or (node.module or "").split(".")[0] == "cryptography"
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 2
            taken = {node.module} if node.module else {alias.name for alias in node.names}
            assert taken <= SEAM
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval", "__import__"}
