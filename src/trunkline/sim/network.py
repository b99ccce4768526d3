"""What the simulated carrier reaches the world by: HTTP requests out, media sockets out.

``Network`` is all the exchange knows. ``RealNetwork`` is httpx and ``websocket``; ``in_process.py``
has one without any sockets. Which carrier is at work, neither knows.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import httpx

from .. import websocket
from ..errors import TrunklineError
from ..http import Http
from ..web import Request, Response
from ..websocket import ABNORMAL, Connection, NotConnected
from .deadline import deadline

__all__ = ["ABNORMAL", "Connection", "Network", "NotConnected", "RealNetwork", "Unreachable"]


class Unreachable(TrunklineError):
    """A request got no answer: nobody listens, or the line broke. The message says where."""


class Network(Protocol):
    """How to reach servers. Every method has a deadline of its own."""

    async def request(self, request: Request) -> Response:
        """Carry out an HTTP request.

        Raises:
            Unreachable: nobody answered it.
            Overdue: the answer did not come in time.
        """
        ...

    async def connect(self, upgrade: Request) -> Connection:
        """Open a WebSocket at ``upgrade.url`` (``ws`` or ``wss``) with its headers.

        Raises:
            NotConnected: it was refused.
            Overdue: nothing came of it in time.
        """
        ...


class RealNetwork:
    """Real sockets. Use it as an async context manager, or close it.

    Args:
        via: an origin (``http://127.0.0.1:8000``) that every request goes to instead of where its
            URL points, unencrypted. The URL, and with it the ``Host`` header and any signature,
            stay what the world would see: a server configured for its public name can so be
            tested where it stands.
        timeout: seconds for any request or handshake.
    """

    def __init__(self, *, via: str = "", timeout: float = 20.0) -> None:
        self._via = urlsplit(via)
        self._timeout = timeout
        # trust_env: a proxy set for the machine has no business between a simulator and a server.
        # Many at once, lest a server that answers slowly seems slower still under load.
        self._http = Http(httpx.Timeout(timeout), trust_env=False, most=1024)

    async def __aenter__(self) -> RealNetwork:
        await self._http.warm_up()  # or the first call would seem to wait for the server
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections kept for later requests."""
        await self._http.aclose()

    async def request(self, request: Request) -> Response:
        headers = {"host": urlsplit(request.url).netloc, **request.headers}
        url = self._rerouted(request.url)
        try:
            async with deadline(self._timeout, f"an answer from {_where(request.url)}"):
                answer = await self._http.request(request.method, url, headers, request.body)
        except httpx.HTTPError as error:
            raise Unreachable(f"{_where(request.url)}: {error or type(error).__name__}") from None
        return Response(answer.status_code, dict(answer.headers), answer.content)

    async def connect(self, upgrade: Request) -> Connection:
        url, at = upgrade.url, None
        if self._via.netloc:
            url = urlunsplit(urlsplit(url)._replace(scheme="ws"))
            at = (self._via.hostname or "", self._via.port or 80)
        async with deadline(self._timeout, f"the WebSocket handshake with {_where(upgrade.url)}"):
            # A small buffer, so that a client that stops reading is felt at the other end; and no
            # pings, which not every carrier sends.
            return await websocket.connect(
                url, upgrade.headers, timeout=None, ping=None, at=at, buffer=16_384
            )

    def _rerouted(self, url: str) -> str:
        if not self._via.netloc:
            return url
        return urlunsplit(urlsplit(url)._replace(scheme=self._via.scheme, netloc=self._via.netloc))


def _where(url: str) -> str:
    # Never the whole URL: its path may hold a token.
    return f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
