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
        self._events: deque[ToCaller] = deque()
        self._messages: deque[str | bytes] = deque()
        self._waiting: asyncio.Task[None] | None = None

    def send(self, events: Iterable[ToCaller]) -> None:
        """Send these after all before them, and before all what the stream owes."""
        self._events.extend(events)
        if not self.stalled:
            self._flush()

    def say(self, event: ToCaller) -> None:
        """Send this before what waits.

        Raises:
            LocalProtocolError: the stream cannot say it.
        """
        self.stream.send(event)
        self.send(())

    def forget(self) -> None:
        """Drop what waits and is no message yet."""
        self._events.clear()

    async def close(self, reason: str = "") -> None:
        """Close the socket, in bounded time."""
        with contextlib.suppress(TimeoutError, SocketClosed):
            async with asyncio.timeout(CLOSE_S):
                await self.socket.close(1000, reason)

    def _flush(self) -> None:
        # Audio is encoded only when its turn comes, so that a clear in between overtakes it.
        events, messages, write = self._events, self._messages, self.socket.write
        try:
            while True:
                messages.extend(self.stream.outgoing())
                while messages:
                    if not write(messages.popleft()):
                        self.stalled = True
                        self._waiting = asyncio.get_running_loop().create_task(self._wait())
                        return
                if not events:
                    return
                self.stream.send(events.popleft())
        except SocketClosed as closed:
            self._lost(self, closed)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self.socket.drained()
        except SocketClosed as closed:
            self._lost(self, closed)
        except TimeoutError:
            self._unread(self)
        else:
            self.stalled = False
            self._flush()
            self._ready()
