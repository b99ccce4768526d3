"""A media socket on picows, as its client: messages go out and come in without a task or a queue.

What is behind the socket, and whose protocol is on it, it does not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit, urlunsplit

from ...errors import ConfigError
from ...sockets import SocketClosed
from ...web import Request
from ..deadline import Overdue, deadline
from ..network import ABNORMAL, NotConnected

try:
    from picows import (
        WSCloseCode,
        WSError,
        WSFrame,
        WSHandshakeError,
        WSListener,
        WSMsgType,
        WSTransport,
    )
    from picows import ws_connect as _ws_connect  # pyright: ignore[reportUnknownVariableType]
except ImportError as missing:  # pragma: no cover
    raise ConfigError("the load generator needs picows: pip install 'trunkline[fast]'") from missing

__all__ = ["FastSocket", "connect"]

_TEXT, _BINARY, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CLOSE
_CONTINUATION = WSMsgType.CONTINUATION
_LARGEST = 1 << 20
_HANDSHAKE_S = 20.0
_CLOSE_S = 3.0
# What leaves is masked here, behind room for its header (picows asks for 14 bytes): one place for
# all calls, which stays in the processor's cache.
_HEADER = 14
_LEAVING = bytearray(_HEADER)


class FastSocket(WSListener):
    """An open socket. ``take`` is given each message; ``closed`` is done when it has closed.

    ``paused``: the server does not read what it is sent.
    """

    __slots__ = ("_parts", "_text", "_told", "_transport", "_waiting", "closed", "paused", "take")

    def __init__(self) -> None:
        self.take: Callable[[str | bytes], None] = self._early
        self.closed: asyncio.Future[SocketClosed] = asyncio.get_running_loop().create_future()
        self.paused = False
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []
        self._text = False
        self._waiting: list[str | bytes] = []
        self._told = SocketClosed(ABNORMAL)

    def begin(self, take: Callable[[str | bytes], None]) -> None:
        """From now on ``take`` is given the messages; first those that came already."""
        self.take = take
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            take(message)

    def send(self, message: str | bytes) -> None:
        """Send one message, if the socket is open."""
        if self._transport is None:
            return
        kind = _BINARY
        if isinstance(message, str):
            kind, message = _TEXT, message.encode()
        _LEAVING[_HEADER:] = message
        self._transport.send_reuse_external_bytearray(kind, _LEAVING, _HEADER)

    async def close(self) -> None:
        """Close the socket as the protocol has it; a server that does not answer is left."""
        transport = self._transport
        if transport is None:
            return
        transport.send_close(WSCloseCode.OK)
        try:
            async with deadline(_CLOSE_S, "the server to close the socket"):
                await asyncio.shield(self.closed)
        except Overdue:
            self.abort()

    def abort(self) -> None:
        """Tear the connection off: no close frame, no farewell."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is _TEXT and frame.fin:
            self.take(frame.get_payload_as_utf8_text())
        elif kind is _BINARY and frame.fin:
            self.take(frame.get_payload_as_bytes())
        elif kind is _CLOSE:
            self._told = SocketClosed(frame.get_close_code().value, frame.get_close_reason() or "")
            if not transport.is_close_frame_sent:
                transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind in (_TEXT, _BINARY, _CONTINUATION):
            self._collect(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(self._told)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def _collect(self, frame: WSFrame) -> None:
        """A message in pieces."""
        if frame.msg_type is not _CONTINUATION:
            self._text = frame.msg_type is _TEXT
        self._parts.append(frame.get_payload_as_bytes())
        if frame.fin:
            whole, self._parts = b"".join(self._parts), []
            self.take(whole.decode() if self._text else whole)

    def _early(self, message: str | bytes) -> None:
        self._waiting.append(message)


async def connect(upgrade: Request, via: str = "") -> FastSocket:
    """Open a media socket at ``upgrade.url`` with its headers.

    Args:
        upgrade: a ``GET`` whose URL begins with ``ws``.
        via: an origin to connect to instead of the URL's, as ``RealNetwork`` has it.

    Raises:
        NotConnected: it was refused.
        Overdue: nothing came of it in time.
    """
    where = urlsplit(upgrade.url)
    headers: Mapping[str, str] = dict(upgrade.headers)
    url = upgrade.url
    if via:
        origin = urlsplit(via)
        scheme = {"http": "ws", "https": "wss"}[origin.scheme]
        url = urlunsplit(where._replace(scheme=scheme, netloc=origin.netloc))
        headers = {"Host": where.netloc, **headers}
    told = f"{where.scheme}://{where.netloc}"  # its path may hold a token
    try:
        async with deadline(_HANDSHAKE_S, f"the WebSocket handshake with {told}"):
            _, socket = await _ws_connect(
                FastSocket,
                url,
                extra_headers=headers,
                websocket_handshake_timeout=None,
                max_frame_size=_LARGEST,
                max_redirects=0,
            )
    except WSHandshakeError as error:
        status = int(error.response.status) if error.response else 0
        raise NotConnected(f"{told} refused the media socket: {status or error}", status) from None
    except (OSError, WSError, ValueError) as error:
        if isinstance(error, Overdue):
            raise
        raise NotConnected(f"{told}: {error or type(error).__name__}") from None
    if not isinstance(socket, FastSocket):
        # picows gives none where the connection broke in the moment after the handshake.
        raise NotConnected(f"{told} closed the media socket at once")
    return socket
