"""A session's socket over ASGI: any server's, ours or the one it is mounted in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any, NoReturn

from ..sockets import SocketClosed
from .eager import at_once

__all__ = ["AsgiSocket"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Message]]
SendMessage = Callable[[Message], Coroutine[Any, Any, None]]
# What servers raise when the client has gone: the first by the specification, both in practice.
_GONE = (OSError, RuntimeError)


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
        return await self._read(await self._receive())

    async def deliver(self, sink: Callable[[str | bytes], None]) -> NoReturn:
        while self._closed is None:
            event = await self._receive()
            text = event.get("text")
            if text is not None and len(text) <= self._max_message:
                sink(text)  # all but a few messages: no further step for them
            else:
                sink(await self._read(event))
        raise self._closed

    async def _read(self, event: Message) -> str | bytes:
        if event["type"] != "websocket.receive":
            self._closed = SocketClosed(event.get("code") or 1005, event.get("reason") or "")
            raise self._closed
        text = event.get("text")
        message: str | bytes = text if text is not None else event["bytes"]
        if len(message) > self._max_message:
            await self.close(1009, "message too big")
            raise SocketClosed(1009, "message too big")
        return message

    def write(self, message: str | bytes) -> bool:
        if self._closed is not None:
            raise self._closed
        kind = "text" if isinstance(message, str) else "bytes"
        try:
            # Servers hand it to the kernel at once, unless that has more than it takes.
            self._sending = at_once(self._send({"type": "websocket.send", kind: message}))
        except _GONE as error:
            raise self._lost(error) from error
        return self._sending is None

    async def drained(self) -> None:
        if self._sending is None:
            return
        await asyncio.wait([self._sending])
        sending, self._sending = self._sending, None
        if sending.cancelled():
            raise self._closed or SocketClosed()
        try:
            sending.result()
        except _GONE as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> SocketClosed:
        self._closed = self._closed or SocketClosed(1006, str(error))
        return self._closed

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._closed is not None:
            return
        self._closed = SocketClosed(code, reason)
        if self._sending is not None:
            self._sending.cancel()
        try:
            await self._send({"type": "websocket.close", "code": code, "reason": reason[:120]})
        except _GONE:
            return  # already gone, which is what was wanted
