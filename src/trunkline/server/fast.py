"""The fast media listener: media sockets on picows, on a port beside the app that takes webhooks.

It lets in whom the app lets in, by the same token and upgrade checks, and gives the switchboard the
same kind of socket. It knows no route but the media ones, and no webhook, carrier or call. picows
is the extra ``fast``; this module is imported where a media port is asked for.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import unquote

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,  # pyright: ignore[reportUnknownVariableType] - its keywords
)

from ..errors import Refused
from ..sockets import SocketClosed
from .eager import eagerly

if TYPE_CHECKING:
    from .routes import Admitted, Server

__all__ = ["FastSocket", "MediaListener"]

log = logging.getLogger("trunkline.server")
picows_log = logging.getLogger("trunkline.server.picows")
picows_log.setLevel(logging.WARNING)  # below that it tells of every connection

CLOSE_S = 1.0
"""How long the other end may take to answer a close before the connection is cut."""
READ_BUFFER = 2048
"""Bytes a connection reads into at first; it grows with the messages that come."""
# As plain numbers, which picows takes and gives sooner than members of its enumeration.
_TEXT = cast("WSMsgType", int(cast("Any", WSMsgType.TEXT)))
_BINARY = cast("WSMsgType", int(cast("Any", WSMsgType.BINARY)))
# Whatever stands before is a proxy's or the public URL's.
_PATH = re.compile(r"/(?P<carrier>[^/]+)/media(?:/(?P<token>[^/]+))?")


class FastSocket(WSListener):
    """An accepted picows WebSocket as a ``MediaSocket``.

    Args:
        opened: is called with the socket once it is open.
        max_message: bytes; a longer message closes the socket with 1009.
    """

    __slots__ = (
        "_changed", "_closed", "_inbox", "_loop", "_max_message", "_opened", "_parts",
        "_parts_kind", "_sink", "_transport", "_writable",
    )  # fmt: skip

    def __init__(self, opened: Callable[[FastSocket], None], max_message: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened = opened
        self._max_message = max_message
        self._transport: WSTransport | None = None
        self._inbox: deque[str | bytes] = deque()
        self._sink: Callable[[str | bytes], None] = self._keep
        self._changed = asyncio.Event()
        self._closed: SocketClosed | None = None
        self._parts: list[bytes] = []
        self._parts_kind = _BINARY
        self._writable = True

    # The session's side.

    async def receive(self) -> str | bytes:
        while not self._inbox:
            if self._closed is not None:
                raise self._closed
            await self._changed.wait()
        return self._inbox.popleft()

    async def deliver(self, sink: Callable[[str | bytes], None]) -> NoReturn:
        while self._inbox:
            sink(self._inbox.popleft())
        self._sink = sink
        while self._closed is None:
            await self._changed.wait()
        raise self._closed

    def write(self, message: str | bytes) -> bool:
        if self._closed is not None or self._transport is None:
            raise self._closed or SocketClosed()
        self._transport.send(_TEXT if isinstance(message, str) else _BINARY, message)
        return self._writable

    async def drained(self) -> None:
        while not self._writable:
            if self._closed is not None:
                raise self._closed
            await self._changed.wait()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._close(code, reason)

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if self._closed is not None and kind != WSMsgType.CLOSE:
            return
        if kind == _TEXT and frame.fin:
            try:
                message = frame.get_payload_as_utf8_text()
            except UnicodeDecodeError:
                self._close(1007, "not UTF-8")
                return
            self._sink(message)
        elif kind == _BINARY and frame.fin:
            self._sink(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            code = frame.get_close_code()
            self._end(SocketClosed(code.value or 1005, frame.get_close_reason() or ""))
            if not transport.is_close_frame_sent:
                transport.send_close(code or WSCloseCode.OK)
            transport.disconnect()
        elif kind in (_TEXT, _BINARY, WSMsgType.CONTINUATION):
            self._take_part(kind, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        # Unless it was closed properly before; picows itself closes on what breaks the protocol.
        self._end(SocketClosed())
        self._transport = None

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake()

    # Both.

    def _keep(self, message: str | bytes) -> None:
        self._inbox.append(message)
        self._wake()

    def _take_part(self, kind: WSMsgType, frame: WSFrame) -> None:
        """A piece of a message: carriers send none, but the protocol has them."""
        if kind != WSMsgType.CONTINUATION:
            self._parts_kind = kind
        self._parts.append(frame.get_payload_as_bytes())
        if sum(map(len, self._parts)) > self._max_message:
            self._close(1009, "message too big")
        elif frame.fin:
            whole, self._parts = b"".join(self._parts), []
            text = self._parts_kind == _TEXT
            try:
                self._sink(whole.decode() if text else whole)
            except UnicodeDecodeError:
                self._close(1007, "not UTF-8")

    def _close(self, code: int, reason: str) -> None:
        if self._closed is not None:
            return
        self._end(SocketClosed(code, reason))
        transport = self._transport
        if transport is not None:
            transport.send_close(cast("WSCloseCode", code), reason.encode()[:120])
            # Gone by then, or cut: nobody is waited for.
            self._loop.call_later(CLOSE_S, transport.disconnect, False)

    def _end(self, closed: SocketClosed) -> None:
        if self._closed is None:
            self._closed = closed
        self._wake()

    def _wake(self) -> None:
        # A new event for the next wait: everybody now waiting looks again.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class MediaListener:
    """Listens for media sockets and joins them to ``server``'s calls.

    Args:
        server: who lets them in.
        tls: with which certificate, where the listener itself encrypts.
    """

    def __init__(self, server: Server, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._tls = tls
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        """Take connections from ``listener``, which is bound."""
        settings = self._server.settings
        self._listening = await ws_create_server(
            self._enter,
            sock=listener,
            ssl=self._tls,
            websocket_handshake_timeout=settings.handshake_timeout,
            logger_name=picows_log,
            max_frame_size=settings.max_message,
            read_buffer_init_size=READ_BUFFER,
        )

    def stop(self) -> None:
        """Take no more connections; those there are stay."""
        if self._listening is not None:
            self._listening.close()

    def _enter(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        path, _, query = request.path.decode("latin-1").partition("?")
        wanted = _PATH.search(path)
        if wanted is None or wanted.end() != len(path):
            return _denied(404)
        token = wanted["token"]
        headers = {name.lower(): value for name, value in request.headers.items()}
        admission = eagerly(
            self._server.admit(
                wanted["carrier"], token and unquote(token), query=query, headers=headers
            )
        )
        if admission.done():
            try:
                admission.result()
            except Refused as error:
                return _denied(error.status)
        return FastSocket(
            lambda opened: self._run(self._join(opened, admission)),
            self._server.settings.max_message,
        )

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, opened: FastSocket, admission: asyncio.Future[Admitted]) -> None:
        try:
            # Where used tokens are kept elsewhere, the socket is open before they were asked.
            carrier, ticket = await admission
        except Refused as error:
            await opened.close(1008, str(error))
            return
        try:
            await self._server.switchboard.connect(carrier, opened, ticket)
        except Exception:
            log.exception("media socket failed", extra={"carrier": carrier.name})
            await opened.close(1011)
        await opened.close()


def _denied(status: int) -> WSUpgradeResponseWithListener:
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status), None)
