"""Opening WebSockets: the one client there is, for bots' speech services and the simulated carrier.

``connect`` gives a ``Socket`` that can also be torn off, since real ones are. A bot is given a
``Connect`` rather than calling this, so that a test opens its sockets in memory. It knows nobody it
connects to, and puts no path, query or header into an error: they hold keys and tokens.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as _connect
from websockets.asyncio.connection import Connection as _Connection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from .errors import TrunklineError
from .sockets import Socket, SocketClosed

__all__ = ["ABNORMAL", "Connect", "Connection", "NotConnected", "WebSocket", "connect", "origin"]

# RFC 6455 section 7.4: seen by the end that closes without a word, and by the one it is done to.
ABNORMAL = 1006

_CLOSE_S = 1.0


class NotConnected(TrunklineError):
    """A WebSocket was refused. ``status`` is the HTTP status, 0 where none came."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Connection(Socket, Protocol):
    """A WebSocket as its client holds it."""

    def abort(self) -> None:
        """Tear the connection off: no close frame, no farewell."""
        ...


Connect = Callable[[str, Mapping[str, str]], Awaitable[Connection]]
"""Opens a WebSocket at a URL (``ws`` or ``wss``) with these headers, in bounded time.

Raises ``NotConnected``.
"""


async def connect(
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float | None = 5.0,  # noqa: ASYNC109 - its end is a refusal like any other
    ping: float | None = 10.0,
    at: tuple[str, int] | None = None,
    buffer: int = 0,
    largest: int = 2**20,
) -> Connection:
    """Open a WebSocket; a ``Connect``.

    Args:
        url: ``ws`` or ``wss``.
        headers: for the handshake, beside those it has anyway.
        timeout: seconds for the connection and its handshake together; ``None`` without limit.
        ping: seconds between pings; a peer that answers none for as long is gone. ``None`` for no
            pings.
        at: host and port to connect to instead of the URL's.
        buffer: bytes the kernel keeps for us before the peer must wait; 0 leaves it to the system.
        largest: bytes a message may have; a longer one ends the connection.

    Raises:
        NotConnected: it was refused, or nobody answered in time.
    """
    where = origin(url)
    address = urlsplit(url)
    host = at or (address.hostname, address.port or (443 if address.scheme == "wss" else 80))
    try:
        async with asyncio.timeout(timeout):
            connection = await _connect(
                url,
                host=host[0],
                port=host[1],
                additional_headers=dict(headers or {}),
                compression=None,
                open_timeout=None,
                close_timeout=_CLOSE_S,
                ping_interval=ping,
                ping_timeout=ping,
                max_size=largest,
                max_queue=16,
                proxy=None,
            )
    except InvalidStatus as error:
        status = error.response.status_code
        raise NotConnected(f"{where} refused the WebSocket: {status}", status) from None
    except TimeoutError:
        raise NotConnected(f"{where}: no WebSocket in {timeout} s") from None
    except (OSError, WebSocketException, ValueError, EOFError) as error:
        raise NotConnected(f"{where}: {error or type(error).__name__}") from None
    if buffer:
        _shrink(connection, buffer)
    return WebSocket(connection)


def origin(url: str) -> str:
    """The part of a URL that may be told: never its path or query, which may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")


def _shrink(connection: ClientConnection, size: int) -> None:
    handle: socket.socket | None = connection.transport.get_extra_info("socket")
    if handle is not None:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


class WebSocket:
    """A connection of the websockets library, of either end, as a ``Connection``."""

    def __init__(self, connection: _Connection) -> None:
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
