"""What the simulated speech services share: how they are reached, and what goes wrong on the way.

A ``Service`` serves a socket in ``serve`` and does not know whether that is one in memory
(``connect``, a bridge's ``Connect``) or on a port (``listening``). It can refuse
handshakes, answer late or with errors, fall silent, tear sockets off and end sessions, and it
counts who is connected, so that a test sees what a bot left open.

What a service hears and says comes from outside: ``Hear`` writes speech down, ``Speak`` makes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import TracebackType

from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request as Upgrade
from websockets.http11 import Response as Refusal

from ...errors import TrunklineError
from ...media.formats import AudioFormat
from ...sockets import SocketClosed, memory_sockets
from ...web import Request
from ...websocket import Connection, NotConnected, WebSocket, origin

__all__ = ["Hear", "Held", "RefusedHandshake", "Service", "ServiceFaults", "Speak"]

Hear = Callable[[bytes, AudioFormat], Awaitable[str]]
"""Writes down a stretch of speech, which may be silence: then no text."""
Speak = Callable[[str, AudioFormat], Awaitable[bytes]]
"""Says a text, in this format."""

_CLOSE_S = 2.0


class RefusedHandshake(TrunklineError):
    """A socket is not let in; ``status`` is what its handshake is answered with."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message or HTTPStatus(status).phrase)
        self.status = status


class ServiceFaults(Struct, frozen=True, kw_only=True):
    """What goes wrong at a service. By default nothing does."""

    seed: int = 0
    latency_ms: float = 0.0
    """Each message of the service takes so long on its way …"""
    jitter_ms: float = 0.0
    """… and up to so much longer; they stay in order."""
    handshake_ms: float = 0.0
    """A handshake takes so long."""
    refuse: float = 0.0
    """Probability that a handshake is refused …"""
    refuse_status: int = 429
    """… with this."""
    drop_after: tuple[float, float] | None = None
    """Each socket is torn off at a random moment between so many seconds after it opened …"""
    drops: int = 1 << 30
    """… but no more than this many, over all."""
    stall_after: float | None = None
    """So many seconds after it opened a socket falls silent: neither read nor written any more."""
    session_s: float | None = None
    """A socket is closed, orderly, after so long."""
    most_sockets: int = 1 << 30
    """More at once are refused with 429."""


class Held:
    """A socket at the service's end, with what goes wrong on it. A ``Socket``."""

    def __init__(
        self, inner: Connection, faults: Callable[[], ServiceFaults], chance: random.Random
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._opened_at = self._loop.time()
        self._arrival = 0.0
        self._late: deque[tuple[float, str | bytes]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def receive(self) -> str | bytes:
        """See ``Socket.receive``; waits until the peer gives up once the socket has stalled."""
        message = await self._inner.receive()
        while self._stalled:
            message = await self._inner.receive()
        return message

    async def send(self, message: str | bytes) -> None:
        """See ``Socket.send``; late, where the faults say so, and then not waited for."""
        if self._stalled:
            return
        faults = self._faults()
        wait = faults.latency_ms + faults.jitter_ms * self._chance.random()
        if not wait and self._sender is None:
            await self._inner.send(message)
            return
        self._arrival = max(self._arrival, self._loop.time() + wait / 1000)
        self._late.append((self._arrival, message))
        if self._sender is None:
            self._sender = self._loop.create_task(self._send_late())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See ``Socket.close``; what is still on its way arrives before."""
        if self._sender is not None:
            await asyncio.wait([self._sender])
        await self._inner.close(code, reason)

    def abort(self) -> None:
        """Tear it off."""
        self._inner.abort()

    async def release(self) -> None:
        """Nobody serves it any more."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    @property
    def _stalled(self) -> bool:
        after = self._faults().stall_after
        return after is not None and self._loop.time() - self._opened_at >= after

    async def _send_late(self) -> None:
        try:
            while self._late:
                at, message = self._late.popleft()
                await asyncio.sleep(at - self._loop.time())
                await self._inner.send(message)
        except SocketClosed:
            self._late.clear()
        finally:
            self._sender = None


class Service:
    """A simulated service; a subclass has ``serve``, and ``admit`` where it looks at keys.

    As an async context manager it ends what is open when it is left.

    Attributes:
        faults: what goes wrong from now on; may be replaced at any time.
        opened: how many sockets were ever let in.
        refused: how many were not.
        complaints: what clients did that the service does not allow.
    """

    def __init__(self, *, faults: ServiceFaults | None = None) -> None:
        self.faults = faults or ServiceFaults()
        self.opened = 0
        self.refused = 0
        self.complaints: list[str] = []
        self._chance = random.Random(f"{self.faults.seed}/{type(self).__name__}")
        self._sockets: dict[Held, asyncio.Task[None]] = {}
        self._refusals: deque[int] = deque()
        self._failures: deque[int] = deque()
        self._dropped = 0
        self._errors: list[BaseException] = []

    async def __aenter__(self) -> Service:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.aclose()
        except BaseExceptionGroup:
            if error is None:
                raise

    # What a service of its own writes.

    def admit(self, request: Request) -> None:
        """Look at a handshake.

        Raises:
            RefusedHandshake: it is turned away.
        """

    async def serve(self, socket: Held, request: Request) -> None:
        """Serve a socket until it is closed; it is closed when this returns.

        Raises:
            SocketClosed: the client has gone.
        """
        raise NotImplementedError

    # How it is reached.

    async def connect(self, url: str, headers: Mapping[str, str]) -> Connection:
        """Open a socket in memory; a ``Connect``.

        Raises:
            NotConnected: it was refused.
        """
        names = {name.lower(): value for name, value in headers.items()}
        request = Request(method="GET", url=url, headers=names)
        await asyncio.sleep(self.faults.handshake_ms / 1000)
        try:
            self._let_in(request)
        except RefusedHandshake as refused:
            raise NotConnected(
                f"{origin(url)} refused the WebSocket: {refused.status}", refused.status
            ) from None
        near, far = memory_sockets()
        self._start(far, request)
        return near

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncGenerator[str]:
        """Listen on 127.0.0.1; gives the URL (``ws://…``). Port 0 is any that is free.

        Raises:
            OSError: the port is taken.
        """
        base = ""

        def url(upgrade: Upgrade) -> str:
            return base + upgrade.path

        async def look(connection: ServerConnection, upgrade: Upgrade) -> Refusal | None:
            await asyncio.sleep(self.faults.handshake_ms / 1000)
            try:
                self._let_in(_request(url(upgrade), upgrade))
            except RefusedHandshake as refused:
                return connection.respond(HTTPStatus(refused.status), f"{refused}\n")
            return None

        async def hold(connection: ServerConnection) -> None:
            assert connection.request is not None
            request = _request(url(connection.request), connection.request)
            task = self._start(WebSocket(connection), request)
            await asyncio.wait([task])

        server: Server = await serve(
            hold, "127.0.0.1", port, process_request=look, compression=None, max_size=2**22
        )
        try:
            base = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            yield base
        finally:
            await self._end_all()
            server.close()
            async with asyncio.timeout(_CLOSE_S):
                await server.wait_closed()

    # What goes wrong, and what is left.

    @property
    def open(self) -> int:
        """How many sockets are open."""
        return len(self._sockets)

    def refuse(self, *statuses: int) -> None:
        """Refuse the next handshakes with these, one after the other."""
        self._refusals.extend(statuses)

    def recover(self) -> None:
        """Refuse and fail nothing more of what was asked for."""
        self._refusals.clear()
        self._failures.clear()

    def fail(self, *statuses: int) -> None:
        """Answer the next requests on open sockets with these errors, one after the other."""
        self._failures.extend(statuses)

    def failure(self) -> int:
        """For ``serve``: the status of the error to answer with now, or 0."""
        return self._failures.popleft() if self._failures else 0

    def drop(self, chance: random.Random | None = None) -> bool:
        """Tear off one of the open sockets, the oldest or a random one; whether there was one."""
        sockets = list(self._sockets)
        if not sockets:
            return False
        (chance.choice(sockets) if chance else sockets[0]).abort()
        return True

    def complain(self, what: str) -> None:
        """Note that a client did something that is not allowed."""
        self.complaints.append(what)

    def broke(self, error: BaseException) -> None:
        """For ``serve``: something of its own failed beside it; ``aclose`` raises it."""
        self._errors.append(error)

    async def aclose(self) -> None:
        """End everything that is open.

        Raises:
            BaseExceptionGroup: what the service itself failed with, meanwhile.
        """
        await self._end_all()
        if self._errors:
            errors, self._errors = self._errors, []
            raise BaseExceptionGroup(f"{type(self).__name__} failed", errors)

    def _let_in(self, request: Request) -> None:
        try:
            if self._refusals:
                raise RefusedHandshake(self._refusals.popleft())
            if self.faults.refuse and self._chance.random() < self.faults.refuse:
                raise RefusedHandshake(self.faults.refuse_status)
            if self.open >= self.faults.most_sockets:
                raise RefusedHandshake(429)
            self.admit(request)
        except RefusedHandshake:
            self.refused += 1
            raise
        self.opened += 1

    def _start(self, inner: Connection, request: Request) -> asyncio.Task[None]:
        socket = Held(inner, lambda: self.faults, self._chance)
        task = asyncio.get_running_loop().create_task(self._hold(socket, request))
        self._sockets[socket] = task
        task.add_done_callback(lambda _: self._sockets.pop(socket, None))
        return task

    async def _hold(self, socket: Held, request: Request) -> None:
        timers = list(self._ends(socket))
        code = 1000
        session = asyncio.timeout(self.faults.session_s)
        try:
            async with session:
                await self.serve(socket, request)
        except SocketClosed:
            pass
        except Exception as error:
            if not session.expired():
                self.broke(error)
                code = 1011
        finally:
            for timer in timers:
                timer.cancel()
            await socket.release()
            with contextlib.suppress(SocketClosed, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await socket.close(code)

    def _ends(self, socket: Held) -> list[asyncio.TimerHandle]:
        if self.faults.drop_after is None:
            return []

        def drop() -> None:
            if self._dropped < self.faults.drops:
                self._dropped += 1
                socket.abort()

        moment = self._chance.uniform(*self.faults.drop_after)
        return [asyncio.get_running_loop().call_later(moment, drop)]

    async def _end_all(self) -> None:
        tasks = list(self._sockets.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _request(url: str, upgrade: Upgrade) -> Request:
    headers = {name.lower(): value for name, value in upgrade.headers.raw_items()}
    return Request(method="GET", url=url, headers=headers)
