"""A network without sockets: an ASGI application, driven directly, in the same event loop.

HTTP and WebSocket as ASGI 3 defines them (lifespan, denial response, disconnect), so that any
framework's application takes part, and in virtual time. A connection holds ``WINDOW`` bytes each
way that were sent and not read, as a TCP connection does; beyond, the sender waits. An error the
application raises is kept and raised again when the network is closed, however it was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from ..sockets import SocketClosed
from ..web import Request, Response
from .deadline import deadline
from .network import ABNORMAL, Connection, NotConnected, Unreachable

__all__ = ["WINDOW", "ASGIApp", "InProcess"]

# Bytes on their way before a sender has to wait. A TCP connection holds about this much at first.
WINDOW = 65_536

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class ClientGone(OSError):
    """Raised into an application that sends on a connection whose client has left (ASGI 2.4)."""


class InProcess:
    """Every URL leads to ``app``. An async context manager: enters and leaves its lifespan.

    Args:
        app: an ASGI 3 application.
        timeout: seconds for any request or handshake, and for the application to end.
    """

    def __init__(self, app: ASGIApp, *, timeout: float = 20.0) -> None:
        self._app = app
        self._timeout = timeout
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []
        self._lifespan: _Lifespan | None = None
        self._state: dict[str, Any] = {}

    async def __aenter__(self) -> InProcess:
        self._lifespan = _Lifespan(self._app, self._state)
        async with deadline(self._timeout, "the application's start-up"):
            await self._lifespan.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.aclose()
        except Exception:
            if error is None:
                raise

    async def aclose(self) -> None:
        """Wait for the application to end everything, then for its shutdown.

        Raises:
            ExceptionGroup: what the application raised meanwhile.
            Overdue: something of it went on and on; it is cancelled.
        """
        try:
            if self._tasks:
                async with deadline(self._timeout, f"{len(self._tasks)} connections to end"):
                    await asyncio.wait(self._tasks)
            if self._lifespan is not None:
                async with deadline(self._timeout, "the application's shutdown"):
                    await self._lifespan.stop()
        finally:
            await self._cancel()
        if self._errors:
            raise BaseExceptionGroup("the application raised", self._errors)

    async def _cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def request(self, request: Request) -> Response:
        exchange = _HttpExchange(request)
        task = self._run(self._scope(request, "http"), exchange.receive, exchange.send)
        task.add_done_callback(exchange.over)
        try:
            async with deadline(self._timeout, f"an answer to {request.method} {request.path}"):
                return await exchange.answer
        except BaseException:
            task.cancel()
            raise

    async def connect(self, upgrade: Request) -> Connection:
        link = _Link()
        task = self._run(self._scope(upgrade, "websocket"), link.app_receive, link.app_send)
        task.add_done_callback(link.app_over)
        try:
            async with deadline(self._timeout, "the WebSocket handshake"):
                await link.accepted
        except BaseException:
            link.abort()
            raise
        return link

    def _run(self, scope: dict[str, Any], receive: Receive, send: Send) -> asyncio.Task[None]:
        async def run() -> None:
            await self._app(scope, receive, send)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    def _scope(self, request: Request, kind: str) -> dict[str, Any]:
        url = urlsplit(request.url)
        headers = {"host": url.netloc, **request.headers}
        if kind == "http":
            headers.setdefault("content-length", str(len(request.body)))
        scope: dict[str, Any] = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": url.scheme,
            "path": unquote(url.path) or "/",
            "raw_path": url.path.encode() or b"/",
            "root_path": "",
            "query_string": url.query.encode(),
            "headers": _encoded(headers),
            "client": ("192.0.2.1", 50_000),  # TEST-NET-1 (RFC 5737): nobody's address
            "server": (url.hostname or "", url.port or (443 if url.scheme[-1] == "s" else 80)),
            "state": dict(self._state),
        }
        if kind == "http":
            return {**scope, "method": request.method}
        return {**scope, "subprotocols": [], "extensions": {"websocket.http.response": {}}}


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]


def _decoded(message: Message) -> dict[str, str]:
    pairs: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in pairs}


class _Lifespan:
    """The application's own beginning and end; one that knows of none is left alone."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self._app = app
        self._scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._over = False

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._say("startup")

    async def stop(self) -> None:
        await self._say("shutdown")
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        # ASGI: an application that raises on a lifespan scope, or ends, does without one.
        with contextlib.suppress(Exception):
            await self._app(self._scope, self._inbox.get, self._answers.put)
        self._over = True
        await self._answers.put({"type": "lifespan.none"})

    async def _say(self, word: str) -> None:
        if self._over:
            return
        await self._inbox.put({"type": f"lifespan.{word}"})
        answer = await self._answers.get()
        if answer["type"].endswith(".failed"):
            raise Unreachable(f"the application's {word} failed: {answer.get('message', '')}")


class _HttpExchange:
    """One request, as the application sees it."""

    def __init__(self, request: Request) -> None:
        self.answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._request = request
        self._asked = False
        self._status = 200
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        # The client stays on the line until it has its answer, then it is gone.
        await asyncio.wait([self.answer])
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], _decoded(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body") and not self.answer.done():
            self.answer.set_result(Response(self._status, self._headers, bytes(self._body)))

    def over(self, task: asyncio.Task[None]) -> None:
        if self.answer.done():
            return
        if task.cancelled():
            self.answer.cancel()
        elif task.exception() is not None:  # a server answers so; the error is kept aside
            self.answer.set_result(Response(500))
        else:
            self.answer.set_exception(Unreachable("the application ended without an answer"))


class _Pipe:
    """One direction: messages in order, at most ``WINDOW`` bytes of them on their way."""

    def __init__(self) -> None:
        self._messages: deque[str | bytes] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self.closed: SocketClosed | None = None

    async def put(self, message: str | bytes) -> None:
        while self._size >= WINDOW and self.closed is None:
            await self._wait()
        if self.closed is not None:
            raise self.closed
        self._messages.append(message)
        self._size += len(message)
        self._wake()

    async def get(self) -> str | bytes:
        while not self._messages:
            if self.closed is not None:
                raise self.closed
            await self._wait()
        message = self._messages.popleft()
        self._size -= len(message)
        self._wake()
        return message

    def close(self, why: SocketClosed, *, drop: bool = False) -> None:
        if self.closed is None:
            self.closed = why
            if drop:
                self._messages.clear()
            self._wake()

    async def _wait(self) -> None:
        await self._changed.wait()

    def _wake(self) -> None:
        # A new event for the next wait: everybody now waiting looks again.
        self._changed.set()
        self._changed = asyncio.Event()


class _Link:
    """A WebSocket between a client, who holds this, and the application."""

    def __init__(self) -> None:
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._to_app = _Pipe()
        self._to_client = _Pipe()
        self._greeted = False
        self._denied = 0

    # The client's side.

    async def receive(self) -> str | bytes:
        return await self._to_client.get()

    async def send(self, message: str | bytes) -> None:
        await self._to_app.put(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        why = SocketClosed(code, reason)
        self._to_app.close(why)
        self._to_client.close(why, drop=True)

    def abort(self) -> None:
        why = SocketClosed(ABNORMAL)
        self._to_app.close(why, drop=True)
        self._to_client.close(why, drop=True)

    # The application's side.

    async def app_receive(self) -> Message:
        if not self._greeted:
            self._greeted = True
            return {"type": "websocket.connect"}
        try:
            message = await self._to_app.get()
        except SocketClosed as closed:
            return {"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason}
        if isinstance(message, str):
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    async def app_send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.send":
            text: str | None = message.get("text")
            try:
                await self._to_client.put(message["bytes"] if text is None else text)
            except SocketClosed as closed:
                raise ClientGone(str(closed)) from None
        elif kind == "websocket.accept":
            self._answered()
        elif kind == "websocket.close":
            self._app_closes(message.get("code") or 1000, message.get("reason") or "")
        elif kind == "websocket.http.response.start":
            self._denied = message["status"]
        elif not message.get("more_body"):
            self._refuse(self._denied)

    def app_over(self, task: asyncio.Task[None]) -> None:
        failed = not task.cancelled() and task.exception() is not None
        if not self.accepted.done():
            self._refuse(500)
        self._close_both(SocketClosed(1011 if failed else 1000))

    def _answered(self) -> None:
        if not self.accepted.done():
            self.accepted.set_result(None)

    def _app_closes(self, code: int, reason: str) -> None:
        if not self.accepted.done():
            self._refuse(403)
        self._close_both(SocketClosed(code, reason))

    def _close_both(self, why: SocketClosed) -> None:
        self._to_client.close(why)
        self._to_app.close(why, drop=True)

    def _refuse(self, status: int) -> None:
        if not self.accepted.done():
            error = NotConnected(f"the application refused the media socket: {status}", status)
            self.accepted.set_exception(error)
