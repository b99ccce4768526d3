"""The simulated carriers' REST APIs as a small web server, for a server in another process.

A request for ``https://api.carrier.example/v1/calls`` is sent to
``http://127.0.0.1:PORT/{carrier}/api.carrier.example/v1/calls`` instead; method, headers and body
stay as they are. Plain ASGI, served on the loopback interface and in the caller's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import uvicorn

from ..web import Request, Response
from .deadline import deadline
from .in_process import ASGIApp

__all__ = ["Platform", "platform_app", "serve"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LARGEST = 1 << 20
_START_S = 10.0


class Platform(Protocol):
    """A simulated carrier's REST API: an ``Exchange``, as a rule."""

    @property
    def name(self) -> str:
        """The carrier's name."""
        ...

    async def rest(self, request: Request) -> Response:
        """Answer a request, with the URL the server meant.

        Raises:
            TimeoutError: it gets no answer.
        """
        ...


def platform_app(*platforms: Platform) -> ASGIApp:
    """An ASGI application that answers for these carriers."""
    by_name = {platform.name: platform for platform in platforms}

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        carrier, _, rest = _raw_path(scope).removeprefix("/").partition("/")
        host, _, path = rest.partition("/")
        body = await _body(receive)
        platform = by_name.get(carrier)
        if platform is None or not host or body is None:
            await _answer(send, Response(413 if body is None else 404))
            return
        query = scope["query_string"].decode("latin-1")
        request = Request(
            method=scope["method"],
            url=f"https://{host}/{path}" + (f"?{query}" if query else ""),
            headers={k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]},
            body=body,
        )
        try:
            response = await platform.rest(request)
        except TimeoutError:
            while (await receive())["type"] != "http.disconnect":
                continue
        else:
            await _answer(send, response)

    return app


def _raw_path(scope: MutableMapping[str, Any]) -> str:
    # Undecoded: carriers' ids hold characters that were quoted for the path.
    return (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")


async def _body(receive: Receive) -> bytes | None:
    body, more = b"", True
    while more and len(body) <= _LARGEST:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body if len(body) <= _LARGEST else None


async def _answer(send: Send, response: Response) -> None:
    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in response.headers.items()]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


class _Server(uvicorn.Server):
    """Leaves the process's signals alone: it is a guest in somebody else's event loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def serve(app: ASGIApp, port: int = 0) -> AsyncGenerator[str]:
    """Serve an ASGI application on 127.0.0.1; gives its URL. Port 0 is any that is free.

    Raises:
        OSError: the port is taken.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(
            app,
            log_level="warning",
            lifespan="off",
            ws="websockets-sansio",
            timeout_graceful_shutdown=3,
        )
        server = _Server(config)
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
        try:
            async with deadline(_START_S, "the simulator's web server to start"):
                while not server.started:
                    if task.done():
                        await task
                    await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            async with deadline(_START_S, "the simulator's web server to stop"):
                await task
