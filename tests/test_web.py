"""HTTP as data: what requests and answers say of themselves, and what junk becomes."""

from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from trunkline.errors import RemoteProtocolError
from trunkline.web import (
    Recent,
    Request,
    Response,
    basic_auth,
    e164,
    element,
    fields_of,
    is_socket,
    key_fits,
    lacking,
    read_basic_auth,
    read_json,
    read_xml,
    refusal,
    safe_id,
    same,
    seconds_of,
    text_of,
    timestamp,
    with_key,
    xml_text,
)


def test_a_url_is_taken_apart_as_it_was_sent() -> None:
    request = Request.get("https://a.example/v2/calls%2Fx?a=1&b=%2B1&a=&c=+")
    assert request.path == "/v2/calls%2Fx"
    assert request.query == [("a", "1"), ("b", "+1"), ("a", ""), ("c", " ")]
    assert (request.method, request.headers, request.repeatable) == ("GET", {}, True)


PAIRS = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=8)


@given(PAIRS)
def test_a_form_comes_back(pairs: list[tuple[str, str]]) -> None:
    request = Request.of_form("https://a.example", pairs, {"x-a": "b"})
    assert request.headers == {
        "content-type": "application/x-www-form-urlencoded",
        "x-a": "b",
    }
    assert request.method == "POST"
    assert request.form() == pairs


def test_a_form_from_a_mapping_that_must_not_be_repeated() -> None:
    request = Request.of_form("https://a.example", {"To": "+1 2"}, repeatable=False)
    assert (request.body, request.repeatable) == (b"To=%2B1+2", False)


@pytest.mark.parametrize("body", [b"\xff", b"a=%ff", b"&".join([b"a=1"] * 501)])
def test_a_form_that_is_none(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="form"):
        Request(method="POST", url="https://a.example", body=body).form()


def test_json_goes_and_comes() -> None:
    request = Request.of_json("PUT", "https://a.example", {"a": [1]}, {"x": "y"}, repeatable=False)
    assert request.body == b'{"a":[1]}'
    assert request.headers == {"content-type": "application/json", "x": "y"}
    assert not request.repeatable
    assert request.json() == {"a": [1]}
    assert Response.of_json({"a": 1}, 201) == Response(
        201, {"content-type": "application/json"}, b'{"a":1}'
    )


JUNK = [b"", b"[]", b"\xff", b'"\xed\xa0\x80"', b"{" * 9, b'{"a":' * 100_000, b"9" * 5000, b"1e999"]


@pytest.mark.parametrize("body", JUNK, ids=range(len(JUNK)))
def test_json_that_is_none(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="JSON"):
        Request(method="POST", url="https://a.example", body=body).json()
    with pytest.raises(RemoteProtocolError, match="JSON"):
        Response(body=body).json()
    assert Response(body=body).fields == {}


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_a_protocol_error(body: bytes) -> None:
    try:
        assert isinstance(read_json(body, dict[str, Any]), dict)
    except RemoteProtocolError:
        pass


class Shape(Struct):
    number: int


def test_json_of_a_shape() -> None:
    assert read_json(b'{"number":"5","more":1}', Shape) == Shape(5)
    with pytest.raises(RemoteProtocolError, match="number"):
        read_json(b"{}", Shape)


@pytest.mark.parametrize(
    ("value", "seconds"), [("3", 3.0), ("", None), ("soon", None), ("-1", None), ("٣", None)]
)
def test_how_long_to_wait(value: str, seconds: float | None) -> None:
    assert Response(429, {"retry-after": value}).retry_after == seconds


def test_how_long_to_wait_unsaid() -> None:
    assert Response(429).retry_after is None


# --- XML -------------------------------------------------------------------------------------

XML_TEXT = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"
    ),
    max_size=20,
)


@given(XML_TEXT, XML_TEXT, XML_TEXT)
def test_a_document_comes_back(value: str, text: str, other: str) -> None:
    inner = element("Inner", None, text)
    made = xml_text(element("Outer", {"a": value, "b": other, "gone": None}, inner, element("E")))
    assert made.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<Outer ')
    for read in (read_xml(made.encode()), fromstring(made.encode())):
        assert read.attrib == {"a": value, "b": other}
        assert [child.tag for child in read] == ["Inner", "E"]
        assert (read[0].text or "") == text


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\ufffe", "\ud800"])
def test_what_xml_cannot_hold(bad: str) -> None:
    with pytest.raises(ValueError, match="control"):
        Response.of_xml(element("A", {"a": f"x{bad}y"}))


def test_an_xml_answer() -> None:
    answer = Response.of_xml(element("A", None, "é<"), 202)
    assert answer.status == 202
    assert answer.headers == {"content-type": "application/xml"}
    assert answer.body.endswith("<A>é&lt;</A>".encode())


LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        b"<a>",
        b"<a/><b/>",
        b"\xff\xfe",
        b"<a>\x00</a>",
        LAUGHS.encode(),
        LAUGHS.encode("utf-16"),
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<?xml version="1.0" encoding="nope"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b"<a>" * 50_000,
    ],
    ids=range(12),
)
def test_xml_that_is_none(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="XML"):
        read_xml(body)


# --- secrets and ids -------------------------------------------------------------------------


def test_basic_auth_as_the_rfc_has_it() -> None:
    """RFC 7617, sections 2 and 2.1."""
    assert basic_auth("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert basic_auth("test", "123£") == "Basic dGVzdDoxMjPCow=="
    assert read_basic_auth("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == ("Aladdin", "open sesame")
    assert read_basic_auth("basic dGVzdDoxMjPCow==") == ("test", "123£")


@given(st.text(st.characters(codec="utf-8", exclude_characters=":")), st.text())
def test_credentials_come_back(user: str, password: str) -> None:
    assert read_basic_auth(basic_auth(user, password)) == (user, password)


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Bearer eDp5", "Basic eA==", "Basic !", "Basic /w==", "Basic é", "\ud800"],
)
def test_credentials_that_are_none(header: str) -> None:
    assert read_basic_auth(header) is None


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [("a", "a", True), ("a", "b", False), ("", "", True), ("é", "é", True), ("\ud800", "x", False)],
)
def test_secrets_are_compared_whole(left: str, right: str, equal: bool) -> None:
    assert same(left, right) is equal


@pytest.mark.parametrize("good", ["c-95ac8d6e-1a31", "v3:2EC-70", "CA01", "a.b_c~d", "x" * 256])
def test_ids_that_may_stand_in_a_url(good: str) -> None:
    assert safe_id(good) == good.replace(":", "%3A")


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "...", "a/b", "a\\b", "a?b", "a#b", "a%2f", "a b", "é", "a\n", "x" * 257]
)
def test_ids_that_may_not(bad: str) -> None:
    with pytest.raises(RemoteProtocolError, match="id"):
        safe_id(bad)


# --- the secret in a webhook's URL ------------------------------------------------------------

HOOK = "https://a.example/hook"


def test_a_secret_ends_a_url_once() -> None:
    assert with_key(HOOK, "0a1b") == f"{HOOK}?key=0a1b"
    assert with_key(f"{HOOK}?a=1", "0a1b") == f"{HOOK}?a=1&key=0a1b"
    for held in (f"{HOOK}?key=0a1b", f"{HOOK}?key=", f"{HOOK}?key=other&a=1"):
        assert with_key(held, "0a1b") == held
    assert with_key(HOOK, "") == HOOK


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_secret_fits_where_it_was_put(secret: str) -> None:
    assert key_fits(Request.get(with_key(HOOK, secret)), secret)
    assert not key_fits(Request.get(with_key(HOOK, f"{secret}x")), secret)


@pytest.mark.parametrize(
    "query",
    ["", "?", "?key", "?key=", "?key=0a1", "?key=0a1b&key=x", "?key=0a1b&key=0a1b", "?KEY=0a1b"],
)
def test_keys_that_do_not_fit(query: str) -> None:
    assert not key_fits(Request.get(HOOK + query), "0a1b")


@pytest.mark.parametrize("query", ["", "?key", "?key=", "?key=0a1b"])
def test_without_a_secret_no_key_fits(query: str) -> None:
    assert not key_fits(Request.get(HOOK + query), "")


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (401, False), (404, False), (409, False), (429, True), (500, True), (503, True)],
)
def test_which_refusals_may_pass(status: int, retryable: bool) -> None:
    error = refusal("hang up", Response(status, {"retry-after": "2"}))
    assert str(error) == f"hang up: HTTP {status}"
    assert (error.status, error.retryable, error.retry_after) == (status, retryable, 2.0)
    assert error.code is None


def test_a_refusal_quotes_the_carrier_but_no_phone_number() -> None:
    error = refusal("dial", Response(400), code="21211", detail="+15551112222 is no number" * 20)
    assert str(error).startswith("dial: HTTP 400 (21211, (number) is no number(number)")
    assert len(str(error)) < 240
    assert "5551112222" not in str(error)
    assert error.code == "21211"


# --- what comes again ------------------------------------------------------------------------


def test_what_came_not_long_ago_comes_again() -> None:
    now = [100.0]
    recent = Recent(60.0, lambda: now[0])
    assert [recent.repeats(key) for key in ("a", "b", "a")] == [False, False, True]
    now[0] = 159.9
    assert recent.repeats("b")  # remembered from the first time on, however often it comes
    assert not recent.repeats("c")
    now[0] = 160.0
    assert [recent.repeats(key) for key in ("a", "c", "a")] == [False, True, True]


def test_texts_in_what_json_held() -> None:
    fields = {"text": "x", "null": None, "number": 7}
    assert [text_of(fields, name) for name in ("text", "null", "number", "no")] == ["x", "", "", ""]
    assert [text_of(junk, "text") for junk in (None, [], "text", 7)] == ["", "", "", ""]


def test_what_lacks_and_what_is_no_object() -> None:
    fields = {"to": "+1", "from": "", "tag": 7}
    assert lacking(fields, "to", "from", "tag", "url") == ["from", "tag", "url"]
    assert lacking(fields, "to") == []
    assert fields_of(fields) is fields
    assert [fields_of(junk) for junk in (None, [], "to", 7)] == [{}, {}, {}, {}]


# --- numbers and times -----------------------------------------------------------------------


@pytest.mark.parametrize("bare", ["1234567", "15551112222", "123456789012345"])
def test_a_number_gets_the_plus_that_it_lacks(bare: str) -> None:
    assert e164(bare) == f"+{bare}"


@pytest.mark.parametrize(
    "other",
    [
        *("", "+15551112222", "123456", "0155511122", "1234567890123456", "1555111222\n"),
        *("anonymous", "sip:15551112222", "\u0661\u0665\u0665\u0665\u0661\u0661\u0661"),
    ],
)
def test_what_is_no_bare_number_stays(other: str) -> None:
    assert e164(other) == other


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("0", 0.0), ("61", 61.0), ("999999999", 999999999.0)),
        *((text, None) for text in ("", "-1", "1.5", " 1", "1\n", "soon", "\u0663", "9" * 400)),
    ],
)
def test_seconds_told_as_text(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_times_are_in_utc_to_the_millisecond() -> None:
    """RFC 3339, section 5.8, and what ``date -u -d @1700000000`` says."""
    assert timestamp(482196050.52) == "1985-04-12T23:20:50.520Z"
    assert timestamp(1700000000) == "2023-11-14T22:13:20.000Z"
    assert timestamp(1700000000.25, "microseconds") == "2023-11-14T22:13:20.250000Z"


@pytest.mark.parametrize(
    ("url", "is_one"),
    [("wss://a.example/x", True), ("ws://127.0.0.1", True), ("https://a", False), ("wss:a", False)],
)
def test_which_urls_are_sockets(url: str, is_one: bool) -> None:
    assert is_socket(url) is is_one
