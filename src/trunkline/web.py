"""HTTP as plain data: what a carrier's webhooks, answers and REST calls are made of.

Nothing here opens a socket. A ``Request`` is either one that reached our server (then ``url`` is
the public URL the carrier called) or one that a ``Flow`` wants sent. Helpers cover what every
carrier needs and nothing more: forms, JSON, XML, HTTP Basic.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
from msgspec import Struct

from .errors import RemoteProtocolError

__all__ = [
    "Flow",
    "Request",
    "Response",
    "basic_auth",
    "read_basic_auth",
    "safe_id",
    "same",
]

T = TypeVar("T")

# What may stand in a path segment without quoting, plus ":", which two carriers use in call ids
# (RFC 3986 section 2.3). Anything else in an id is an attack or a bug.
_SAFE_ID = re.compile(r"[A-Za-z0-9._~:-]{1,256}")


class Request(Struct, frozen=True, kw_only=True):
    """An HTTP request. Header names are lower case; ``url`` is absolute.

    ``repeatable`` says whether sending it twice does no harm; one that is not is never repeated
    once it may have been carried out.
    """

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    repeatable: bool = True

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
        return _json_object(self.body)

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
        return cls(
            method="POST",
            url=url,
            headers={"content-type": "application/x-www-form-urlencoded", **(headers or {})},
            body=urlencode(fields if isinstance(fields, Sequence) else list(fields.items())).encode(),
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
        return _json_object(self.body)

    @classmethod
    def of_json(cls, data: Any, status: int = 200) -> Response:
        """A JSON answer."""
        return cls(status, {"content-type": "application/json"}, msgspec.json.encode(data))

    @classmethod
    def of_xml(cls, document: str, status: int = 200) -> Response:
        """An XML answer; ``document`` is the root element, the declaration is added."""
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'
        return cls(status, {"content-type": "application/xml"}, text.encode())


Flow = Generator[Request, Response, T]
"""An HTTP exchange without I/O: yields requests, is sent their answers, returns what it learned.

The sender raises a ``CarrierError`` into it when no answer can be had.
"""


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"the JSON body cannot be read: {error}") from None


def basic_auth(user: str, password: str) -> str:
    """The value of an ``Authorization`` header for HTTP Basic (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def read_basic_auth(header: str) -> tuple[str, str] | None:
    """User and password out of an ``Authorization: Basic`` header; ``None`` if it is none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def same(left: str, right: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())


def safe_id(value: str) -> str:
    """``value``, quoted for a URL path, if it can be a carrier's id.

    Raises:
        RemoteProtocolError: it holds a character no carrier's id has.
    """
    if not _SAFE_ID.fullmatch(value) or value.strip(".") == "":
        raise RemoteProtocolError("an id holds characters that cannot stand in a URL")
    return quote(value, safe="")
