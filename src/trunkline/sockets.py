"""The one thing a session asks of a WebSocket, whoever carries it.

A ``Socket`` is an open WebSocket, ours to read, write and close. The ASGI server, the fast media
listener, the simulator's client and the in-memory pair below all look like this, so that a
session knows none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn, Protocol

__all__ = ["MediaSocket", "MemorySocket", "Socket", "SocketClosed", "memory_sockets"]


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


class MediaSocket(Protocol):
    """An open WebSocket that carries a call: nothing waits between what is read and the answer.

    Only who writes faster than the other end reads has to wait.
    """

    async def receive(self) -> str | bytes:
        """As ``Socket.receive``; not after ``deliver``."""
        ...

    async def deliver(self, sink: Callable[[str | bytes], None]) -> NoReturn:
        """Call ``sink`` with each further message, right where it is read, until there is none.

        Raises:
            SocketClosed: there will be none.
        """
        ...

    def write(self, message: str | bytes) -> bool:
        """Send one message, without waiting.

        Returns:
            False where the peer does not read as fast as we write: ``drained`` is to be waited
            for before anything else is written.

        Raises:
            SocketClosed: nobody is there to take it.
        """
        ...

    async def drained(self) -> None:
        """Wait until there is room to write again.

        Raises:
            SocketClosed: nobody is there to take anything.
        """
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """As ``Socket.close``."""
        ...


class MemorySocket:
    """One end of an in-memory connection, to be read in either way. ``peer`` is the other end."""

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

    async def deliver(self, sink: Callable[[str | bytes], None]) -> NoReturn:
        while True:
            sink(await self.receive())

    async def send(self, message: str | bytes) -> None:
        self.write(message)

    def write(self, message: str | bytes) -> bool:
        if self._closed or self.peer._closed:
            raise self._closed or SocketClosed(1006)
        self.peer._inbox.put_nowait(message)
        return True

    async def drained(self) -> None:
        if self._closed:
            raise self._closed

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
