"""OpenAI's Realtime service, simulated: it hears speech begin and end, and a function is its model.

A session hears the audio it is sent, tells when speech begins and ends by how loud it is, has
``hear`` write it down, asks ``reply`` what to say to the conversation as the service knows it, and
has ``speak`` say it, faster than it is spoken. It keeps items as the real service does: cut to what
it was told was heard, gone where deleted. What it does not allow it says in an ``error`` event, and
in ``complaints``.

Events and their order as in the API reference ("server events" and the guide "Realtime
conversations", developers.openai.com, read 2026-11-21); what a session does when its time is up
as people have met it (pollen-robotics/reachy_mini_conversation_app issue 134).
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from ...web import Request
from .realtime_items import Asked, Calls, Item
from .realtime_session import Model, RealtimeSession, Reply
from .service import Hear, Held, RefusedHandshake, Service, ServiceFaults, Speak

__all__ = ["Asked", "Calls", "Item", "RealtimeService", "Reply"]


class RealtimeService(Service):
    """The service.

    Args:
        reply: the model.
        hear: writes down what a caller said.
        speak: the model's voice.
        keys: API keys that are let in; any, if there are none.
        cap_s: how long a session lives.
        think_s: how long the model thinks before its first sound.
        speed: how much faster than speech its audio comes.
        faults: what else goes wrong; ``fail`` lets a response fail.

    Attributes:
        sessions: every session there ever was, with its items.
    """

    def __init__(
        self,
        reply: Reply,
        *,
        hear: Hear,
        speak: Speak,
        keys: Sequence[str] = (),
        cap_s: float = 3600.0,
        think_s: float = 0.3,
        speed: float = 8.0,
        faults: ServiceFaults | None = None,
    ) -> None:
        super().__init__(faults=faults)
        self._model = Model(
            reply=reply,
            hear=hear,
            speak=speak,
            think_s=think_s,
            speed=speed,
            failure=self.failure,
            complain=self.complain,
        )
        self.sessions: list[RealtimeSession] = []
        self._keys = keys
        self._cap_s = cap_s

    def admit(self, request: Request) -> None:
        """A key as a bearer token, and a model in the query.

        Raises:
            RefusedHandshake: one of them is missing or wrong.
        """
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not key or (self._keys and key not in self._keys):
            raise RefusedHandshake(401)
        if not parse_qs(urlsplit(request.url).query).get("model"):
            raise RefusedHandshake(400)

    async def serve(self, socket: Held, request: Request) -> None:
        """See ``Service.serve``."""
        name = parse_qs(urlsplit(request.url).query)["model"][0]
        session = RealtimeSession(socket, self._model, name)
        self.sessions.append(session)
        await session.run(self._cap_s)
