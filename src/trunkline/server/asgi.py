"""A session's socket over ASGI: any server's, ours or the one it is mounted in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any, NoReturn

from ..sockets import SocketClosed
from .eager import eagerly

__all__ = ["AsgiSocket"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Message]]
SendMessage = Callable[[Message], Coroutine[Any, Any, None]]


class AsgiSocket:
    """An accepted ASGI WebSocket as a ``MediaSocket``.

    Args:
        receive: the ASGI callable.
        send: the ASGI callable.
        max_message: bytes; a longer message closes the socket with 1009.
    """

    def __init__(self, receive: Receive, send: SendMessage, max_message: int) -> None:
        self._receive = receive
        self._send = send
        self._max_message = max_message
        self._closed: SocketClosed | None = None
        self._sending: asyncio.Future[None] | None = None

    async def receive(self) -> str | bytes:
        if self._closed is not None:
            raise self._closed
        event = await self._receive()
        if event["type"] != "websocket.receive":
            self._closed = SocketClosed(event.get("code") or 1005, event.get("reason") or "")
            raise self._closed
        text = event.get("text")
        message: str | bytes = text if text is not None else event["bytes"]
        if len(message) > self._max_message:
            await self.close(1009, "message too big")
            raise SocketClosed(1009, "message too big")
        return message

    async def deliver(self, sink: Callable[[str | bytes], None]) -> NoReturn:
        while True:
            sink(await self.receive())

    def write(self, message: str | bytes) -> bool:
        if self._closed is not None:
            raise self._closed
        kind = "text" if isinstance(message, str) else "bytes"
        # Servers hand it to the kernel at once, unless that has more than it takes.
        self._sending = eagerly(self._send({"type": "websocket.send", kind: message}))
        if not self._sending.done():
            return False
        self._sent()
        return True

    async def drained(self) -> None:
        if self._sending is not None:
            await asyncio.wait([self._sending])
            self._sent()

    def _sent(self) -> None:
        sending, self._sending = self._sending, None
        if sending is None:
            return
        try:
            sending.result()
        except (OSError, RuntimeError) as error:
            # ASGI servers differ: OSError by the specification, RuntimeError in practice.
            self._closed = self._closed or SocketClosed(1006, str(error))
            raise self._closed from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is not None:
            return
        self._closed = SocketClosed(code, reason)
        if self._sending is not None:
            self._sending.cancel()
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": reason[:120]})
        except (OSError, RuntimeError):
            return  # already gone, which is what was wanted
