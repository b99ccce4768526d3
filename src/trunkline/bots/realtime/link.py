"""One session at the service, on one socket: opened, configured, written to and read from.

A link puts whatever comes into its owner's hands and says once that it is lost. It remembers
nothing of the conversation; an owner that loses a link opens another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from ...errors import RemoteProtocolError, TrunklineError
from ...sockets import Socket, SocketClosed
from ...websocket import Connect, NotConnected
from .session import SessionConfig
from .wire import (
    Append,
    ClientEvent,
    ErrorEvent,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    decode,
    encode,
)

__all__ = ["OPEN_S", "Link", "Refused", "dial", "open_link"]

OPEN_S = 10.0
"""How long a session may take to open: handshake, ``session.created``, ``session.updated``."""
BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Waits before each attempt to open one. After the last there is none."""
WRITE_S = 5.0
CLOSE_S = 1.0
HOPELESS = (400, 401, 403, 404)
"""Refusals that another attempt would not change: a wrong key, a wrong address."""


class Refused(TrunklineError):
    """There is no session. ``again`` tells whether another attempt might bring one."""

    def __init__(self, message: str, *, again: bool = True) -> None:
        super().__init__(message)
        self.again = again


class Link:
    """An open session.

    Args:
        socket: its socket; closed by ``close``.
        deliver: told every event.
        lost: told, once, that the socket is gone; not after ``close``.
    """

    def __init__(
        self,
        socket: Socket,
        deliver: Callable[[Link, ServerEvent], None],
        lost: Callable[[Link, str], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.opened_at = loop.time()
        self._socket = socket
        self._deliver = deliver
        self._lost: Callable[[Link, str], None] | None = lost
        self._outbox: deque[ClientEvent] = deque()
        self._woken = asyncio.Event()
        self._tasks = [loop.create_task(self._read()), loop.create_task(self._write())]

    def hand_over(
        self, deliver: Callable[[Link, ServerEvent], None], lost: Callable[[Link, str], None]
    ) -> bool:
        """Tell these from now on; False where the session is lost already."""
        if self._lost is None:
            return False
        self._deliver, self._lost = deliver, lost
        return True

    def say(self, event: ClientEvent) -> None:
        """Send this after what is being sent. On a lost link it goes nowhere."""
        self._outbox.append(event)
        self._woken.set()

    def append(self, audio: bytes) -> None:
        """Send the caller's audio, after what is being sent."""
        if audio:
            self._outbox.append(Append(audio))
            self._woken.set()

    async def close(self) -> None:
        """End the session. Nothing is delivered any more."""
        self._lost = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _close(self._socket)

    async def _read(self) -> None:
        try:
            while True:
                event = decode(await self._socket.receive())
                if event is not None and self._lost is not None:
                    self._deliver(self, event)
        except SocketClosed as closed:
            self._lose(f"closed with {closed.code}")
        except RemoteProtocolError as error:
            self._lose(str(error))

    async def _write(self) -> None:
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                while self._outbox:
                    async with asyncio.timeout(WRITE_S):
                        await self._socket.send(encode(self._next()))
        except SocketClosed as closed:
            self._lose(f"closed with {closed.code}")
        except TimeoutError:
            self._lose("it does not read")

    def _next(self) -> ClientEvent:
        event = self._outbox.popleft()
        # Audio that has queued up goes in one message.
        while isinstance(event, Append) and self._outbox:
            following = self._outbox[0]
            if not isinstance(following, Append):
                break
            event = Append(event.audio + following.audio)
            self._outbox.popleft()
        return event

    def _lose(self, why: str) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            lost(self, why)


async def open_link(
    connect: Connect,
    url: str,
    headers: Mapping[str, str],
    session: SessionConfig,
    deliver: Callable[[Link, ServerEvent], None],
    lost: Callable[[Link, str], None],
) -> Link:
    """Open a session and have it as wanted.

    Raises:
        Refused: it did not come to that; says why, without anything secret.
    """
    socket: Socket | None = None
    try:
        async with asyncio.timeout(OPEN_S):
            socket = await connect(url, headers)
            await _expect(socket, SessionCreated)
            await socket.send(encode(SessionUpdate(session)))
            await _expect(socket, SessionUpdated)
        return Link(socket, deliver, lost)
    except BaseException as error:
        if socket is not None:
            await _close(socket)
        raise _refused(error) from None


def _refused(error: BaseException) -> BaseException:
    if isinstance(error, NotConnected):
        return Refused(str(error), again=error.status not in HOPELESS)
    if isinstance(error, TimeoutError):
        return Refused(f"no session in {OPEN_S:g} s")
    if isinstance(error, SocketClosed | RemoteProtocolError):
        return Refused(str(error))
    return error


async def dial(attempt: Callable[[], Awaitable[Link]]) -> Link:
    """Open a session, with as many attempts as there are waits in ``BACKOFF_S``.

    Raises:
        Refused: none came of any.
    """
    refused = Refused("no attempt")
    for wait in BACKOFF_S:
        await asyncio.sleep(wait)
        try:
            return await attempt()
        except Refused as error:
            refused = error
            if not error.again:
                break
    raise refused


async def _expect(socket: Socket, kind: type[ServerEvent]) -> None:
    while True:
        event = decode(await socket.receive())
        if isinstance(event, kind):
            return
        if isinstance(event, ErrorEvent):
            error = event.error
            where = f" at {error.param}" if error.param else ""
            raise Refused(
                f"the service refused the session: {error.code or error.type}{where}",
                # What we ask for stays the same, and so does the answer to a request it calls bad.
                again=error.type != "invalid_request_error" or error.code == "session_expired",
            )


async def _close(socket: Socket) -> None:
    with contextlib.suppress(TimeoutError, SocketClosed):
        async with asyncio.timeout(CLOSE_S):
            await socket.close()
