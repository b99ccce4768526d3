"""Says in the log why a webhook was refused, and which public URL would have been right.

Most refusals are no attack but a proxy that changed scheme, port or path: the operator needs the
URL that fits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ..carrier import Carrier
from ..errors import BadSignature, TrunklineError
from ..web import Request

__all__ = ["explain"]

log = logging.getLogger("trunkline.server")


def explain(
    carrier: Carrier, request: Request, error: BadSignature, shapes: Sequence[str] = ()
) -> None:
    """Log one line. ``shapes`` are other URLs the request may have been called by."""
    candidates = _shapes(request.url, shapes)
    match = next((url for url in candidates if _fits(carrier, request, url)), "")
    log.warning(
        "webhook refused",
        extra={
            "carrier": carrier.name,
            "error": str(error),
            "url": _without_query(request.url),
            "url_that_fits": _without_query(match),
        },
    )


def _fits(carrier: Carrier, request: Request, url: str) -> bool:
    try:
        carrier.verify(msgspec.structs.replace(request, url=url))
    except TrunklineError:
        return False
    return True


def _shapes(url: str, others: Sequence[str]) -> Iterator[str]:
    """The URL in the shapes that proxies and forms bend it into."""
    for candidate in (url, *others):
        parts = urlsplit(candidate)
        host = parts.hostname or ""
        secure, plain = ("wss", "ws") if parts.scheme.startswith("ws") else ("https", "http")
        path = parts.path.rstrip("/")
        for scheme in (secure, plain):
            for netloc in dict.fromkeys((parts.netloc, host)):
                for shape in (path, path + "/"):
                    for query in dict.fromkeys((parts.query, "")):
                        yield urlunsplit((scheme, netloc, shape, query, ""))


def _without_query(url: str) -> str:
    return url.partition("?")[0]
