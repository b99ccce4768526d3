"""The one thing a session asks of a WebSocket, whoever carries it.

A ``Socket`` is an open WebSocket, ours to read, write and close. The ASGI server, the fast media
listener, the simulator's client and the in-memory pair below all look like this, so that a
session knows none of them.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

__all__ = ["MemorySocket", "Socket", "SocketClosed", "memory_sockets"]


class SocketClosed(Exception):
    """The socket is closed; ``code`` and ``reason`` as in RFC 6455 section 7.4."""

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Socket(Protocol):
    """An open WebSocket."""

    async def receive(self) -> str | bytes:
        """The next message: ``str`` for a text frame, ``bytes`` for a binary one.

        Raises:
            SocketClosed: there will be none.
        """
        ...

    async def send(self, message: str | bytes) -> None:
        """Send one message; waits while the peer does not read.

        Raises:
            SocketClosed: nobody is there to take it.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection. Does nothing where it is closed already."""
        ...


class MemorySocket:
    """One end of an in-memory connection. ``peer`` is the other end."""

    peer: MemorySocket

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[str | bytes | SocketClosed] = asyncio.Queue()
        self._closed: SocketClosed | None = None

    async def receive(self) -> str | bytes:
        if self._closed and self._inbox.empty():
            raise self._closed
        message = await self._inbox.get()
        if isinstance(message, SocketClosed):
            self._closed = message
            raise message
        return message

    async def send(self, message: str | bytes) -> None:
        if self._closed or self.peer._closed:
            raise self._closed or SocketClosed(1006)
        self.peer._inbox.put_nowait(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is None:
            self._closed = SocketClosed(code, reason)
            self._inbox.put_nowait(self._closed)
            self.peer._inbox.put_nowait(SocketClosed(code, reason))

    def abort(self) -> None:
        """Tear the connection off: what is under way is lost, and no end hears a farewell."""
        for end in (self, self.peer):
            if end._closed is None:
                while not end._inbox.empty():
                    end._inbox.get_nowait()
                end._closed = SocketClosed(1006)
                end._inbox.put_nowait(end._closed)


def memory_sockets() -> tuple[MemorySocket, MemorySocket]:
    """Two connected sockets; what one sends the other receives, in order, without limit."""
    left, right = MemorySocket(), MemorySocket()
    left.peer, right.peer = right, left
    return left, right
