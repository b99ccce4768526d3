"""A socket to Cartesia that is there when it is needed: opened early, opened again when it is lost.

What is lost with a socket, and what is to be said again on the next one, the owner knows: it is
told when one is ``opened`` and when it is ``lost``. A link gives up, and says so once, when it is
refused for good or when no socket has been of any use for a number of attempts.

Nothing here knows audio or words, and no log line has more than the service's name and a number.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping

from ...errors import TrunklineError
from ...sockets import SocketClosed
from ...websocket import Connect, Connection, NotConnected

__all__ = ["BACK_OFF_S", "JOINED_BYTES", "Garbled", "Link", "ServiceError"]

log = logging.getLogger("trunkline.bots")

BACK_OFF_S = (0.0, 0.0, 0.1, 0.3, 0.7, 1.5, 3.0)
"""How long to wait before each attempt; after the last one it is given up. A lost socket is the
first failure, so that it is opened again at once."""
CONNECT_S = 3.0
WRITE_S = 2.0
READY_S = 15.0
CLOSE_S = 1.0
JOINED_BYTES = 4096
"""Audio that waits to be sent is sent in messages of no more than this, where it came in less."""
WORKED_S = 10.0
"""A socket that lived so long was of use, even if nothing was said on it."""

_FOR_GOOD = frozenset({400, 401, 402, 403, 404})


class ServiceError(TrunklineError):
    """A speech service said no, or cannot be reached. ``status`` is its HTTP-like one, if any."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Garbled(ServiceError):
    """A message of a service cannot be read; raised into ``Link`` it costs the socket."""


class Link:
    """One socket at a time, to one URL. Make it in a running event loop; it begins at once.

    Args:
        name: what the service is called in errors and logs.
        connect: opens a socket.
        url: where.
        headers: for each handshake.
        opened: a socket is there; what is sent from within goes first.
        received: called with each message.
        lost: the socket is gone, and another one is being opened.
        failed: called once, when it is given up.
        who: what log lines tell beside that: whose call it is.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        url: str,
        headers: Mapping[str, str],
        *,
        opened: Callable[[], None],
        received: Callable[[str | bytes], None],
        lost: Callable[[], None],
        failed: Callable[[Exception], None],
        who: Mapping[str, object] | None = None,
    ) -> None:
        self.name = name
        self._connect = connect
        self._url = url
        self._headers = headers
        self._opened = opened
        self._received = received
        self._lost = lost
        self._failed = failed
        self._who = {"service": name, **(who or {})}
        self._failures = 0
        self._outbox: asyncio.Queue[str | bytes | None] | None = None
        self._changed = asyncio.Event()
        self._error: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    @property
    def up(self) -> bool:
        """Whether there is a socket now."""
        return self._outbox is not None

    @property
    def given_up(self) -> bool:
        """Whether there is no socket, and never will be."""
        return self._error is not None

    async def ready(self) -> None:
        """Wait until there is a socket.

        Raises:
            ServiceError: it was given up.
        """
        try:
            async with asyncio.timeout(READY_S):
                while not self.up:
                    if self._error is not None:
                        raise self._error
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise ServiceError(f"{self.name}: no socket in {READY_S:.0f} s") from None

    def send(self, message: str | bytes) -> None:
        """Send, in order. Dropped while there is no socket: ``opened`` is the time to say it."""
        if self._outbox is not None:
            self._outbox.put_nowait(message)

    def worked(self) -> None:
        """The service did its work: earlier failures are forgotten."""
        self._failures = 0

    def reopen(self) -> None:
        """The service is of no use on this socket: tear it off and open another."""
        if self._outbox is not None:
            self._outbox.put_nowait(None)

    async def close(self) -> None:
        """Close the socket, and open no other. Nothing the second time."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                socket = await self._open()
                try:
                    await self._hold(socket)
                except asyncio.CancelledError:
                    await _close(socket)
                    raise
                finally:
                    self._outbox = None
                    socket.abort()
                self._lost()
        except Exception as error:
            log.error("speech service given up", extra=self._who | {"error": str(error)})
            self._error = error
            self._changed.set()
            self._failed(error)

    async def _open(self) -> Connection:
        why = ""
        while self._failures < len(BACK_OFF_S):
            wait = BACK_OFF_S[self._failures]
            # Calls that lost their sockets together do not come back together.
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await self._connect(self._url, self._headers)
            except NotConnected as error:
                why = str(error)
                if error.status in _FOR_GOOD:
                    raise ServiceError(f"{self.name}: {why}", error.status) from None
            except TimeoutError:
                why = f"no handshake in {CONNECT_S:.0f} s"
            self._failures += 1
            log.warning("speech service not reached", extra=self._who | {"error": why})
        raise ServiceError(f"{self.name} cannot be reached: {why or 'its sockets do not last'}")

    async def _hold(self, socket: Connection) -> None:
        """Use a socket until it is lost."""
        began = self._loop.time()
        self._outbox = asyncio.Queue()
        self._opened()
        self._changed.set()
        tasks = [
            self._loop.create_task(self._write(socket, self._outbox)),
            self._loop.create_task(self._read(socket)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        why = next((result for result in results if isinstance(result, Exception)), None)
        if why is not None and not isinstance(why, SocketClosed | TimeoutError | Garbled):
            raise why
        self._failures = 1 if self._loop.time() - began >= WORKED_S else self._failures + 1
        code = why.code if isinstance(why, SocketClosed) else 0
        log.warning("speech service lost", extra=self._who | {"code": code})

    async def _write(self, socket: Connection, outbox: asyncio.Queue[str | bytes | None]) -> None:
        waiting: deque[str | bytes | None] = deque()
        while True:
            if not waiting:
                waiting.append(await outbox.get())
            while not outbox.empty():
                waiting.append(outbox.get_nowait())
            message = _first(waiting)
            if message is None:
                return
            async with asyncio.timeout(WRITE_S):
                await socket.send(message)

    async def _read(self, socket: Connection) -> None:
        while True:
            self._received(await socket.receive())


def _first(waiting: deque[str | bytes | None]) -> str | bytes | None:
    """Take the first message, with the audio behind it: who is late catches up in fewer."""
    message = waiting.popleft()
    while isinstance(message, bytes) and waiting and isinstance(audio := waiting[0], bytes):
        if len(message) + len(audio) > JOINED_BYTES:
            break
        message += audio
        waiting.popleft()
    return message


async def _close(socket: Connection) -> None:
    with contextlib.suppress(TimeoutError, SocketClosed):
        async with asyncio.timeout(CLOSE_S):
            await socket.close()
