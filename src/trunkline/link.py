"""A media socket and the stream that is spoken on it, while they carry a call.

What is to be said leaves at once, in order. Only a carrier that does not read makes it wait, and
not for long. Whose call it is, and what becomes of it when the link is lost, is the session's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .events import FromCaller, ToCaller
from .sockets import MediaSocket, SocketClosed

if TYPE_CHECKING:
    from .carrier import Stream

__all__ = ["Link"]

CLOSE_S = 0.5


class Link:
    """One socket's part of a call.

    Args:
        socket: the open socket.
        stream: our end of what is spoken on it.
        patience: seconds the carrier may leave what we send unread.
        ready: is called when it can take more again, after ``stalled``.
        lost: is called when writing shows that the socket is closed.
        unread: is called when the patience is over.
    """

    __slots__ = (
        "_draining", "_lost", "_patience", "_ready", "_unread", "_waiting", "socket", "stalled",
        "stream",
    )  # fmt: skip

    def __init__(
        self,
        socket: MediaSocket,
        stream: Stream[FromCaller, ToCaller],
        patience: float,
        ready: Callable[[], None],
        lost: Callable[[Link, SocketClosed], None],
        unread: Callable[[Link], None],
    ) -> None:
        self.socket = socket
        self.stream = stream
        self.stalled = False
        """Whether the carrier does not read: what is sent now waits."""
        self._patience = patience
        self._ready = ready
        self._lost = lost
        self._unread = unread
        self._waiting: deque[ToCaller | str | bytes] = deque()
        self._draining: asyncio.Task[None] | None = None

    def send(self, events: Iterable[ToCaller]) -> None:
        """Send these after all before them, and after what the stream owes."""
        stream = self.stream
        try:
            if stream.owes and not self.stalled:
                self._write(stream.outgoing())
            for event in events:
                if self.stalled:
                    # Encoded only when its turn comes, so that a clear can still take it back.
                    self._waiting.append(event)
                else:
                    stream.send(event)
                    self._write(stream.outgoing())
        except SocketClosed as closed:
            self._lost(self, closed)

    def pass_on(self, event: ToCaller) -> None:
        """Send one, where nothing waits before it."""
        stream = self.stream
        try:
            stream.send(event)
            self._write(stream.outgoing())
        except SocketClosed as closed:
            self._lost(self, closed)

    def say(self, event: ToCaller) -> None:
        """Send this before what waits.

        Raises:
            LocalProtocolError: the stream cannot say it.
        """
        self.stream.send(event)
        self.send(())

    def forget(self) -> None:
        """Drop what waits and is no message yet."""
        self._waiting = deque(one for one in self._waiting if isinstance(one, str | bytes))

    async def drained(self) -> bool:
        """Wait until the carrier reads again, in bounded time; whether it does."""
        while self.stalled and (draining := self._draining) is not None:
            await asyncio.wait([draining])
            if self._draining is draining:
                break
        return not self.stalled

    async def close(self, reason: str = "") -> None:
        """Close the socket, in bounded time."""
        with contextlib.suppress(TimeoutError, SocketClosed):
            async with asyncio.timeout(CLOSE_S):
                await self.socket.close(1000, reason)

    def _write(self, messages: Iterable[str | bytes]) -> None:
        for message in messages:
            if self.stalled:
                self._waiting.append(message)
            elif not self.socket.write(message):
                self.stalled = True
                self._draining = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self.socket.drained()
            self.stalled = False
            waiting, self._waiting = self._waiting, deque()
            self._write(one for one in waiting if isinstance(one, str | bytes))
        except SocketClosed as closed:
            self._lost(self, closed)
        except TimeoutError:
            self._unread(self)
        else:
            self.send(one for one in waiting if not isinstance(one, str | bytes))
            self._ready()
