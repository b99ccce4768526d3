"""What the simulated carrier reaches the world by: HTTP requests out, media sockets out.

``Network`` is all the exchange knows. ``RealNetwork`` is httpx and websockets; ``in_process.py``
has one without any sockets. A ``Connection`` is a ``Socket`` that can also be torn off, since real
ones are. Which carrier is at work, neither knows.
"""

from __future__ import annotations

import asyncio
import socket
from types import TracebackType
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from ..errors import TrunklineError
from ..sockets import Socket, SocketClosed
from ..web import Request, Response
from .deadline import Overdue, deadline

__all__ = ["ABNORMAL", "Connection", "Network", "NotConnected", "RealNetwork", "Unreachable"]

# RFC 6455 section 7.4: seen by the end that closes without a word, and by the one it is done to.
ABNORMAL = 1006


class Unreachable(TrunklineError):
    """A request got no answer: nobody listens, or the line broke. The message says where."""


class NotConnected(TrunklineError):
    """A media socket was refused. ``status`` is the HTTP status, 0 where none came."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Connection(Socket, Protocol):
    """A media socket as its client holds it."""

    def abort(self) -> None:
        """Tear the connection off: no close frame, no farewell."""
        ...


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
        self._client = httpx.AsyncClient(timeout=timeout, trust_env=False)

    async def __aenter__(self) -> RealNetwork:
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
        await self._client.aclose()

    async def request(self, request: Request) -> Response:
        headers = {"host": urlsplit(request.url).netloc, **request.headers}
        url = self._rerouted(request.url)
        try:
            async with deadline(self._timeout, f"an answer from {_where(request.url)}"):
                answer = await self._client.request(
                    request.method, url, headers=headers, content=request.body
                )
        except httpx.HTTPError as error:
            raise Unreachable(f"{_where(request.url)}: {error or type(error).__name__}") from None
        return Response(answer.status_code, dict(answer.headers), answer.content)

    async def connect(self, upgrade: Request) -> Connection:
        where = _where(upgrade.url)
        address = urlsplit(self._rerouted(upgrade.url))
        port = address.port or (443 if address.scheme in ("wss", "https") else 80)
        url = (
            urlunsplit(urlsplit(upgrade.url)._replace(scheme="ws"))
            if self._via.netloc
            else (upgrade.url)
        )
        try:
            async with deadline(self._timeout, f"the WebSocket handshake with {where}"):
                connection = await connect(
                    url,
                    host=address.hostname,
                    port=port,
                    additional_headers=dict(upgrade.headers),
                    compression=None,
                    open_timeout=None,
                    close_timeout=1,
                    ping_interval=None,
                    max_size=2**20,
                    # Small, so that a client that stops reading is felt at the other end.
                    max_queue=16,
                    proxy=None,
                )
        except InvalidStatus as error:
            status = error.response.status_code
            raise NotConnected(f"{where} refused the media socket: {status}", status) from None
        except (OSError, WebSocketException, ValueError) as error:
            if isinstance(error, Overdue):
                raise
            raise NotConnected(f"{where}: {error or type(error).__name__}") from None
        _shrink(connection)
        return _RealConnection(connection)

    def _rerouted(self, url: str) -> str:
        if not self._via.netloc:
            return url
        return urlunsplit(urlsplit(url)._replace(scheme=self._via.scheme, netloc=self._via.netloc))


def _shrink(connection: ClientConnection) -> None:
    """Let the kernel hold little, for the same reason as ``max_queue``."""
    handle: socket.socket | None = connection.transport.get_extra_info("socket")
    if handle is not None:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)


def _where(url: str) -> str:
    # Never the whole URL: its path may hold a token.
    return f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"


class _RealConnection:
    """A websockets client as a ``Connection``."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed:
            raise self._closed() from None

    async def send(self, message: str | bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed:
            raise self._closed() from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._connection.close(code, reason)

    def abort(self) -> None:
        transport: asyncio.Transport = self._connection.transport
        transport.abort()

    def _closed(self) -> SocketClosed:
        connection = self._connection
        return SocketClosed(connection.close_code or ABNORMAL, connection.close_reason or "")
