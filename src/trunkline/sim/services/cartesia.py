"""Cartesia, simulated: speech to text on its two endpoints, text to speech with contexts.

Messages, fields and limits are those of docs.cartesia.ai, API version 2026-03-01, read 2026-11:
``api-reference/stt/websocket``, ``api-reference/stt/turns/websocket``,
``api-reference/tts/websocket``, ``use-the-api/concurrency-limits-and-timeouts`` and
``use-the-api/api-errors``. It is stricter than the real one about a client's mistakes: besides the
error that is answered, ``complaints`` holds them.

Not simulated: encodings of more than 16 bits a sample, the thresholds of turn detection (a turn
ends after 480 ms of silence here), phoneme timestamps, flush ids.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit
from uuid import UUID

from ...web import Request
from .cartesia_socket import Endpoint
from .cartesia_stt import Manual, Turns
from .cartesia_tts import Speaking
from .service import Hear, Held, RefusedHandshake, Service, ServiceFaults, Speak

__all__ = ["Cartesia"]

_ENDPOINTS: dict[str, type[Endpoint]] = {
    "/stt/websocket": Manual,
    "/stt/turns/websocket": Turns,
    "/tts/websocket": Speaking,
}


class Cartesia(Service):
    """The service; URLs are ``{base}/stt/websocket``, ``/stt/turns/websocket``, ``/tts/websocket``.

    Args:
        hear: writes down what clients say.
        speak: says what clients want said.
        key: the API key it takes; empty for any.
        faults: what goes wrong.
        contexts: how many may be generated at once.
        first_ms: what the first audio of a generation takes to make.
        pace: how many times as fast as it is spoken audio comes.
        updates: whether transcripts of a sentence that goes on are sent; they cost ``hear`` a call
            for every 300 ms.

    Attributes:
        audio_in: what each speech-to-text socket was sent, in the order they were opened.
        audio_out: what was sent of each text-to-speech context.
    """

    def __init__(
        self,
        hear: Hear,
        speak: Speak,
        *,
        key: str = "",
        faults: ServiceFaults | None = None,
        contexts: int = 15,
        first_ms: float = 90.0,
        pace: float = 5.0,
        updates: bool = False,
    ) -> None:
        super().__init__(faults=faults)
        self.hear = hear
        self.speak = speak
        self.contexts = contexts
        self.first_ms = first_ms
        self.pace = pace
        self.updates = updates
        self.generating = 0
        self.audio_in: list[bytearray] = []
        self.audio_out: dict[str, bytearray] = {}
        self._key = key
        self._ids = 0

    def admit(self, request: Request) -> None:
        """See ``Service.admit``: key, version and path."""
        query = dict(request.query)
        key = request.headers.get("x-api-key") or request.headers.get("authorization", "")
        key = key.removeprefix("Bearer ") or query.get("access_token", "")
        if not key or (self._key and key != self._key):
            raise RefusedHandshake(401)
        version = request.headers.get("cartesia-version") or query.get("cartesia_version", "")
        if not re.fullmatch(r"20\d\d-\d\d-\d\d", version):
            raise RefusedHandshake(400, "no Cartesia-Version")
        if urlsplit(request.url).path not in _ENDPOINTS:
            raise RefusedHandshake(404)

    async def serve(self, socket: Held, request: Request) -> None:
        """See ``Service.serve``."""
        self._ids += 1
        endpoint = _ENDPOINTS[urlsplit(request.url).path]
        await endpoint(self, socket, str(UUID(int=self._ids)), dict(request.query)).run()
