"""HTTP as plain data: what a carrier's webhooks, answers and REST calls are made of.

Nothing here opens a socket. A ``Request`` is either one that reached our server (then ``url`` is
the public URL the carrier called) or one that a ``Flow`` wants sent. What every carrier needs
of HTTP is here and nothing more: forms, JSON, XML, HTTP Basic, the secret in a webhook's URL, how
numbers and times are written, what an unwelcome answer means. Which carrier's, it does not know.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

# Documents from outside are read by ``read_xml`` alone, which takes none that declares entities.
from xml.etree.ElementTree import (
    Element,
    ParseError,
    TreeBuilder,
    XMLParser,
    tostring,
)

import msgspec
from msgspec import Struct

from .errors import CarrierError, RemoteProtocolError

__all__ = [
    "KEY",
    "Flow",
    "Recent",
    "Request",
    "Response",
    "basic_auth",
    "e164",
    "element",
    "fields_of",
    "is_socket",
    "key_fits",
    "lacking",
    "read_basic_auth",
    "read_json",
    "read_xml",
    "refusal",
    "safe_id",
    "same",
    "seconds_of",
    "text_of",
    "timestamp",
    "with_key",
    "xml_text",
]

T = TypeVar("T")

KEY: Final = "key"
"""The query parameter that holds the secret in the URL of a webhook that nobody signs."""

# What may stand in a path segment without quoting, plus ":", which two carriers use in call ids
# (RFC 3986 section 2.3). Anything else in an id is an attack or a bug.
_SAFE_ID = re.compile(r"[A-Za-z0-9._~:-]{1,256}")

# What XML 1.0 has no way to write, escaped or not (section 2.2, production 2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Answers after which the same request may succeed later (RFC 6585, RFC 9110 section 15.6).
_RETRYABLE = frozenset({429, 500, 502, 503, 504})

# A phone number in a carrier's words; seven digits is the shortest there is.
_NUMBER = re.compile(r"\+?\d{7,}")
# One in E.164 (ITU-T E.164, 2010-11, section 6: 15 digits at most), but for its plus.
_BARE = re.compile(r"[1-9][0-9]{6,14}")

_SECONDS = re.compile(r"[0-9]{1,9}")


class Request(Struct, frozen=True, kw_only=True):
    """An HTTP request. Header names are lower case; ``url`` is absolute.

    ``repeatable`` says whether sending it twice does no harm; one that is not is never repeated
    once it may have been carried out. ``after`` is how many seconds to wait before it is sent.
    """

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    repeatable: bool = True
    after: float = 0.0

    @property
    def path(self) -> str:
        """The URL's path, as sent (percent signs kept)."""
        return urlsplit(self.url).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """The URL's query parameters, decoded, in order."""
        return parse_qsl(urlsplit(self.url).query, keep_blank_values=True)

    def form(self) -> list[tuple[str, str]]:
        """The body as ``application/x-www-form-urlencoded`` pairs, in order.

        Raises:
            RemoteProtocolError: the body is not text.
        """
        try:
            return parse_qsl(
                self.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=500
            )
        except ValueError as error:  # UnicodeDecodeError included
            raise RemoteProtocolError(f"the form cannot be read: {error}") from None

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            RemoteProtocolError: the body is not a JSON object.
        """
        return read_json(self.body, dict[str, Any])

    @classmethod
    def get(cls, url: str, headers: Mapping[str, str] | None = None) -> Request:
        """A GET request."""
        return cls(method="GET", url=url, headers=headers or {})

    @classmethod
    def of_json(
        cls,
        method: str,
        url: str,
        data: Any,
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool = True,
    ) -> Request:
        """A request with a JSON body."""
        return cls(
            method=method,
            url=url,
            headers={"content-type": "application/json", **(headers or {})},
            body=msgspec.json.encode(data),
            repeatable=repeatable,
        )

    @classmethod
    def of_form(
        cls,
        url: str,
        fields: Sequence[tuple[str, str]] | Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool = True,
    ) -> Request:
        """A POST request with a form body."""
        pairs = fields if isinstance(fields, Sequence) else list(fields.items())
        return cls(
            method="POST",
            url=url,
            headers={"content-type": "application/x-www-form-urlencoded", **(headers or {})},
            body=urlencode(pairs).encode(),
            repeatable=repeatable,
        )


class Response(Struct, frozen=True):
    """An HTTP answer. Header names are lower case."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            RemoteProtocolError: the body is not a JSON object.
        """
        return read_json(self.body, dict[str, Any])

    @property
    def fields(self) -> dict[str, Any]:
        """The body as a JSON object, or an empty one if it is none; for reading errors."""
        try:
            return self.json()
        except RemoteProtocolError:
            return {}

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks us to wait (RFC 9110 section 10.2.3, the number form only)."""
        return seconds_of(self.headers.get("retry-after", ""))

    @classmethod
    def of_json(cls, data: Any, status: int = 200) -> Response:
        """A JSON answer."""
        return cls(status, {"content-type": "application/json"}, msgspec.json.encode(data))

    @classmethod
    def of_xml(cls, root: Element, status: int = 200) -> Response:
        """An XML answer.

        Raises:
            ValueError: the document holds a character that XML cannot.
        """
        return cls(status, {"content-type": "application/xml"}, xml_text(root).encode())


Flow = Generator[Request, Response, T]
"""An HTTP exchange without I/O: yields requests, is sent their answers, returns what it learned.

The sender raises a ``CarrierError`` into it when no answer can be had.
"""


def read_json(body: bytes, shape: type[T]) -> T:
    """``body`` as JSON of that shape.

    Raises:
        RemoteProtocolError: it is not.
    """
    try:
        return msgspec.json.decode(body, type=shape, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"the JSON body cannot be read: {error}") from None


def fields_of(value: Any) -> dict[str, Any]:
    """``value`` out of JSON if it is an object; an empty one if it is not."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def text_of(fields: Any, name: str) -> str:
    """The text of that name in what JSON held; empty where there is none, or ``fields`` is none."""
    value = fields_of(fields).get(name)
    return value if isinstance(value, str) else ""


def lacking(fields: Any, *names: str) -> list[str]:
    """Those of ``names`` under which ``fields`` hold no text, or an empty one."""
    return [name for name in names if not text_of(fields, name)]


def e164(number: str) -> str:
    """A number with the ``+`` that some carriers leave out; what is none (SIP, a name) as it is."""
    return f"+{number}" if _BARE.fullmatch(number) else number


def seconds_of(text: str) -> float | None:
    """A whole number of seconds, as text; ``None`` if it is none."""
    return float(text) if _SECONDS.fullmatch(text) else None


def timestamp(at: float, timespec: str = "milliseconds") -> str:
    """Seconds since 1970 as a date and time in UTC (RFC 3339): ``2026-11-21T09:30:00.250Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def is_socket(url: str) -> bool:
    """Whether ``url`` is a WebSocket's. Carriers open ``wss`` only; ``ws`` is for local work."""
    return url.startswith(("wss://", "ws://"))


def element(
    name: str, attributes: Mapping[str, str | None] | None = None, *content: Element | str
) -> Element:
    """An XML element holding other elements, or one text; attributes that are ``None`` left out."""
    made = Element(name, {k: v for k, v in (attributes or {}).items() if v is not None})
    for part in content:
        if isinstance(part, str):
            made.text = part
        else:
            made.append(part)
    return made


def xml_text(root: Element) -> str:
    """An XML document, declaration included.

    Raises:
        ValueError: it holds a character that XML cannot.
    """
    text = tostring(root, encoding="unicode")
    if _NOT_XML.search(text):
        raise ValueError("a control character cannot stand in an XML document")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'


class _NoDoctype(TreeBuilder):
    """Refuses document types: they are where entities that expand without end are declared."""

    def doctype(self, name: str, pubid: str, system: str) -> None:
        raise ParseError("a document type")


def read_xml(body: bytes) -> Element:
    """The root of an XML document.

    Raises:
        RemoteProtocolError: it is none, or declares a document type.
    """
    parser = XMLParser(target=_NoDoctype())  # noqa: S314
    try:
        parser.feed(body)
        return parser.close()
    except (ParseError, ValueError, LookupError) as error:  # the latter two: odd encodings
        raise RemoteProtocolError(f"the XML document cannot be read: {error}") from None


def refusal(asked: str, response: Response, *, code: str = "", detail: str = "") -> CarrierError:
    """The error that an unwelcome answer to a REST request becomes.

    ``asked`` is what was asked for, ``code`` the carrier's own error code, ``detail`` its words;
    phone numbers in them are blotted out, since errors reach logs.
    """
    said = ", ".join(part for part in (code, _NUMBER.sub("(number)", detail)[:200]) if part)
    return CarrierError(
        f"{asked}: HTTP {response.status}" + (f" ({said})" if said else ""),
        status=response.status,
        code=code or None,
        retryable=response.status in _RETRYABLE,
        retry_after=response.retry_after,
    )


def basic_auth(user: str, password: str) -> str:
    """The value of an ``Authorization`` header for HTTP Basic (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def read_basic_auth(header: str) -> tuple[str, str] | None:
    """User and password out of an ``Authorization: Basic`` header; ``None`` if it is none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except ValueError:  # no base64, no ASCII, no UTF-8
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


def same(left: str, right: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(
        left.encode(errors="surrogatepass"), right.encode(errors="surrogatepass")
    )


def with_key(url: str, secret: str) -> str:
    """``url`` with ``?key=`` and the secret, unless it holds a key already or there is none."""
    query = urlsplit(url).query
    if not secret or KEY in dict(parse_qsl(query, keep_blank_values=True)):
        return url
    return f"{url}{'&' if query else '?'}{urlencode({KEY: secret})}"


def key_fits(request: Request, secret: str) -> bool:
    """Whether the request's URL holds exactly one key, and the secret: never without a secret."""
    given = [value for name, value in request.query if name == KEY]
    return bool(secret) and len(given) == 1 and same(given[0], secret)


def safe_id(value: str) -> str:
    """``value``, quoted for a URL path, if it can be a carrier's id.

    Raises:
        RemoteProtocolError: it holds a character no carrier's id has.
    """
    if not _SAFE_ID.fullmatch(value) or value.strip(".") == "":
        raise RemoteProtocolError("an id holds characters that cannot stand in a URL")
    return quote(value, safe="")


class Recent:
    """Remembers keys for so many seconds, to tell what comes again: webhooks, orders.

    Args:
        seconds: how long.
        clock: seconds since whenever.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: dict[str, float] = {}

    def repeats(self, key: str) -> bool:
        """Whether ``key`` was asked about not long ago; it is remembered from the first time on."""
        now = self._clock()
        while self._until and next(iter(self._until.values())) <= now:
            del self._until[next(iter(self._until))]
        if key in self._until:
            return True
        self._until[key] = now + self._seconds
        return False
