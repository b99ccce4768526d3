"""What the sockets of the simulated Cartesia share: messages, errors, and an end to idling.

Knows nothing of speech; ``cartesia_stt`` and ``cartesia_tts`` do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...errors import RemoteProtocolError
from ...media.formats import Encoding
from ...web import read_json
from .service import Held

if TYPE_CHECKING:
    from .cartesia import Cartesia

__all__ = ["ENCODINGS", "RATES", "Endpoint", "read_object"]

ENCODINGS = {
    "pcm_mulaw": Encoding.PCMU,
    "pcm_alaw": Encoding.PCMA,
    "pcm_s16le": Encoding.L16,
}
RATES = (8000, 16_000, 24_000)

# docs.cartesia.ai, use-the-api/api-errors
_TITLES = {
    400: ("Bad request", None),
    402: ("Quota exceeded", "quota_exceeded"),
    429: ("Too many concurrent requests", "concurrency_limited"),
    500: ("Internal server error", None),
    503: ("Service unavailable", None),
}


class Endpoint:
    """One socket of the service."""

    idle_s = 180.0
    """Seconds without a message from the client after which the socket is closed."""

    def __init__(
        self, service: Cartesia, socket: Held, request_id: str, query: Mapping[str, str]
    ) -> None:
        self._service = service
        self._socket = socket
        self._id = request_id
        self._query = query

    async def run(self) -> None:
        raise NotImplementedError

    async def _receive(self) -> str | bytes | None:
        """The next message; ``None`` when the client was idle for too long."""
        try:
            async with asyncio.timeout(self.idle_s):
                return await self._socket.receive()
        except TimeoutError:
            return None

    async def _send(self, kind: str, **fields: object) -> None:
        message = {"type": kind, "request_id": self._id, **fields}
        await self._socket.send(msgspec.json.encode(message).decode())

    async def _fail(self, status: int, message: str, **fields: object) -> None:
        title, code = _TITLES.get(status, _TITLES[400])
        await self._send(
            "error", title=title, message=message, error_code=code, status_code=status, **fields
        )

    async def _mistake(self, message: str, **fields: object) -> None:
        self._service.complain(message)
        await self._fail(400, message, **fields)


def read_object(message: str | bytes) -> dict[str, Any]:
    """A JSON object, or an empty one where it is none."""
    try:
        data = message if isinstance(message, bytes) else message.encode()
        return read_json(data, dict[str, Any])
    except RemoteProtocolError:
        return {}
