"""The seam itself, on the smallest carrier that can be: two words of JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from trunkline import events
from trunkline.carrier import (
    Answer,
    Carrier,
    Control,
    Credential,
    Dial,
    Dismissal,
    FrameRule,
    Hangup,
    Hooks,
    Level,
    Marks,
    Offer,
    Platform,
    Purpose,
    Redirect,
    Shapes,
    Step,
    Stream,
    read_steps,
)
from trunkline.errors import ConfigError, RemoteProtocolError, Unsupported
from trunkline.events import Audio, CallInfo, Extra, FromCaller, Notice, Started, ToCaller
from trunkline.media.formats import L16_8K, PCMU_8K, AudioFormat
from trunkline.web import Flow, Request, Response


class Said(Struct, tag_field="is", tag="said"):
    number: int = 0
    payload: bytes = b""


class Done(Struct, tag_field="is", tag="done"):
    pass


SHAPES: Shapes[Said | Done] = Shapes(Said | Done, "is")


class End(Stream[Any, Any]):
    def receive(self, message: str | bytes) -> Sequence[Any]:
        said = SHAPES.read(message)
        self.put({"heard": 1})
        return (said,)

    def send(self, event: Any) -> None:
        self.put(event)


class Acme(Carrier):
    """Only what the seam does not do by itself."""

    name = "acme"
    title = "Acme"
    docs = "https://acme.example"
    credentials = (
        Credential("account", "ACME_ACCOUNT", "the account", "a-1"),
        Credential("secret", "ACME_SECRET", "its secret", "s", secret=True),
        Credential("region", "ACME_REGION", "where", required=False),
    )
    inbound = (PCMU_8K,)
    outbound = (PCMU_8K, L16_8K)
    hears = frozenset({Started, Audio})
    says = frozenset({Audio})
    marks = Marks.NONE

    def bot_end(self, audio: AudioFormat) -> Stream[FromCaller, ToCaller]:
        self.can_play(audio)
        return End()

    def carrier_end(self, audio: AudioFormat) -> Stream[ToCaller, FromCaller]:
        return End()

    def verify(self, request: Request) -> None: ...

    def sign(self, request: Request) -> Request:
        return request

    def read_webhook(self, request: Request, purpose: Purpose) -> Sequence[Notice]:
        return ()

    def write_webhook(self, notice: Notice, url: str) -> Request:
        return Request.get(url)

    def answer(self, call: CallInfo, offer: Offer) -> Answer:
        return Answer(Response())

    def dismiss(self, call: CallInfo, why: Dismissal) -> Answer:
        return Answer(Response())

    def read_answer(self, response: Response) -> Sequence[Step]:
        return ()

    def platform(self, request: Request) -> Platform:
        return Response(404)
        yield

    def hang_up(self, call: CallInfo) -> Flow[None]:
        yield Request.get("https://acme.example")


GIVEN: Mapping[str, str] = {"account": "a:1", "secret": "s"}
CALL = CallInfo(carrier="acme", call_id="c")
OFFER = Offer(
    stream_url="wss://h.example/acme/media",
    token="t.1",
    hooks=Hooks("https://h.example/acme"),
    audio=PCMU_8K,
)
STARTED = Started(call_id="c", inbound=PCMU_8K, outbound=PCMU_8K)


# --- shapes and streams ----------------------------------------------------------------------


def test_shapes_read_what_is_declared() -> None:
    assert SHAPES.read('{"is":"said","payload":"/w==","more":[]}') == Said(0, b"\xff")
    assert SHAPES.read('{"number":"7","is":"said"}') == Said(7)
    assert SHAPES.read('{"is":"done"}') == Done()


def test_shapes_pass_through_what_is_not() -> None:
    assert SHAPES.read('{"is":"new","a":{"b":1}}') == Extra("new", {"a": {"b": 1}})


@pytest.mark.parametrize(
    "message",
    [
        b"{}",
        "",
        "{}",
        "[]",
        "null",
        '{"is":5}',
        '{"is":null}',
        '{"is":"said","number":"x"}',
        '{"is":"said","payload":"?"}',
        '{"is":"said","payload":"AAA"}',
        '{"is":"\ud800"}',
        '{"is":' * 100_000,
        '{"is":"said","number":' + "9" * 5000 + "}",
    ],
    ids=range(13),
)
def test_shapes_refuse_the_rest(message: str | bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        SHAPES.read(message)
    assert len(str(caught.value)) < 300


def test_shapes_of_a_single_kind() -> None:
    alone: Shapes[Done] = Shapes(Done, "is")
    assert alone.read('{"is":"done"}') == Done()
    assert alone.read('{"is":"said"}') == Extra("said", {})
    with pytest.raises(RemoteProtocolError):
        alone.read('{"is":"done"')


def test_a_stream_s_queue_is_handed_out_once_and_holds_replies() -> None:
    end = End()
    assert end.outgoing() == []
    end.send({"a": 1})
    end.receive('{"is":"done"}')
    assert end.outgoing() == ['{"a":1}', '{"heard":1}']
    assert end.outgoing() == []
    end.put(Said(1))
    assert end.outgoing() == ['{"is":"said","number":1,"payload":""}']


# --- credentials and facts -------------------------------------------------------------------


def test_credentials_are_kept_and_optional_ones_may_lack() -> None:
    carrier = Acme(GIVEN)
    assert carrier.given == {"account": "a:1", "secret": "s", "region": ""}
    assert carrier.own_id("account") == "a%3A1"


def test_missing_credentials_are_named_by_their_variable() -> None:
    with pytest.raises(ConfigError, match="Acme needs ACME_ACCOUNT, ACME_SECRET"):
        Acme({"region": "x", "account": ""})


def test_a_credential_that_cannot_stand_in_a_url() -> None:
    with pytest.raises(ConfigError, match="ACME_ACCOUNT"):
        Acme({"account": "a/b", "secret": "s"}).own_id("account")


def test_time_comes_from_outside() -> None:
    assert Acme(GIVEN, clock=lambda: 5.0).clock() == 5.0


def test_the_formats_a_carrier_takes() -> None:
    assert Acme.can_play(L16_8K) is L16_8K
    with pytest.raises(Unsupported, match="Acme takes PCMU/8000, L16/8000, not PCMA/8000"):
        Acme.can_play(AudioFormat.parse("PCMA"))


def test_what_is_not_said_is_the_cautious_thing() -> None:
    assert Acme.level is Level.DOCUMENTED
    assert Acme.frame == FrameRule(ms=20, whole=False, max_lead_ms=600)
    assert (Acme.signs_webhooks, Acme.signs_upgrade, Acme.digits_by_webhook) == ("", False, False)
    assert Acme.signature_covers == frozenset()


def test_a_control_is_supported_where_it_is_written() -> None:
    assert [c for c in Control if Acme.supports(c)] == [Control.HANG_UP]
    assert not any(Carrier.supports(control) for control in Control)


def test_what_is_not_written_is_unsupported() -> None:
    hooks = OFFER.hooks
    asked = [
        lambda c: Carrier.hang_up(c, CALL),
        lambda c: c.state(CALL),
        lambda c: c.dial(Dial(to="+1", from_="+2", offer=OFFER)),
        lambda c: c.transfer(CALL, "+1", from_="", hooks=hooks),
        lambda c: c.send_digits(CALL, "1", started=STARTED, hooks=hooks),
        lambda c: c.check(),
    ]
    for ask in asked:
        with pytest.raises(Unsupported, match="Acme has no"):
            ask(Acme(GIVEN))


# --- answers ---------------------------------------------------------------------------------


def test_urls() -> None:
    assert OFFER.token_url == "wss://h.example/acme/media/t.1"
    assert [OFFER.hooks.url(purpose) for purpose in Purpose] == [
        "https://h.example/acme/answer",
        "https://h.example/acme/after",
        "https://h.example/acme/status",
        "https://h.example/acme/digits",
    ]
    asking = Hooks("https://h.example/acme", query="dial=x")
    assert asking.url(Purpose.STATUS) == "https://h.example/acme/status?dial=x"


def test_a_document_is_read_verb_by_verb() -> None:
    def bad(_: object) -> Step:
        raise ValueError("no")

    verbs = {"Hangup": lambda _: Hangup(), "Go": lambda v: Redirect(v.get("to", "")), "Bad": bad}
    document = b"<Response><Go to='/x'/><!-- c --><Hangup/></Response>"
    assert read_steps(document, verbs) == [Redirect("/x"), Hangup()]
    assert read_steps(b"<Response/>", verbs) == []
    for wrong in (b"<Answer/>", b"<Response><Stay/></Response>", b"<Response><Bad/></Response>"):
        with pytest.raises(RemoteProtocolError):
            read_steps(wrong, verbs)
    with pytest.raises(RemoteProtocolError, match="XML"):
        read_steps(b"hello", verbs)


def test_data_of_the_seam_cannot_be_changed() -> None:
    from trunkline import carrier

    for name in carrier.__all__:
        kind = getattr(carrier, name)
        if isinstance(kind, type) and issubclass(kind, Struct):
            assert kind.__struct_config__.frozen, name
    assert msgspec.structs.replace(OFFER, token="u").token_url.endswith("/u")


def test_events_of_the_seam_are_events() -> None:
    assert Acme.hears <= set(events.FromCaller.__args__)
    assert Acme.says <= set(events.ToCaller.__args__)
