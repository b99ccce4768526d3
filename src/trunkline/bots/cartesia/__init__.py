"""Cartesia: a bot that hears and speaks by its sockets, one for each direction of a call.

    bot = cartesia.bot(reply, greeting="Hello.", voice="…")   # CARTESIA_API_KEY is set

Audio in the line's own encoding passes untouched both ways: what the caller says is not converted
before it is sent, nor is what the service says. Both sockets are opened while the phone rings, or
else the moment there is a call; the greeting is spoken once, before the first call, and needs none.
What happens when a socket is lost: see ``speaker`` and ``hearing``; when they stay lost,
``Conversation`` apologises and ends the call.

The parts can be had alone: ``VoiceSpeaker``, ``ManualListener`` and ``TurnsListener`` for a
``Conversation`` of your own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial

from ... import websocket
from ...call import Call, ReadyBot
from ...config import variable
from ...errors import ConfigError
from ...events import CallInfo
from ...media.formats import PCMU_8K, AudioFormat
from ...websocket import Connect
from ..conversation import Conversation
from ..ears import Rating
from ..speech import sentences
from ..turns import Answer, Reply, Turn
from .link import ServiceError
from .listener import Loudness, ManualListener, detector
from .speaker import Memory, Voice, VoiceSpeaker
from .turns import TurnsListener
from .wire import URL, Account

__all__ = [
    "Account",
    "CartesiaBot",
    "Loudness",
    "ManualListener",
    "ServiceError",
    "TurnsListener",
    "Voice",
    "VoiceSpeaker",
    "bot",
]

log = logging.getLogger("trunkline.bots")

_Listener = ManualListener | TurnsListener


class CartesiaBot:
    """A ``Bot`` that says ``reply`` to what its callers say, and hears and speaks by Cartesia.

    Args:
        reply: what to say; like ``keyed``, ``silences`` and ``silence_s`` as for ``Conversation``.
        greeting: our first words.
        voice: the id of a voice; default ``CARTESIA_VOICE_ID``.
        api_key: default ``CARTESIA_API_KEY``.
        url: the service's origin; default ``CARTESIA_URL``, or the real one.
        model: which one speaks; pin a dated one (``sonic-3.5-2026-05-04``) in production.
        stt_model: which one listens.
        language: of both; ISO 639-1.
        turns: let the service find out when the caller begins and ends (English only, 2026-11),
            rather than a detector on this machine.
        eager: with ``turns``, answer as soon as the service thinks that they may be done.
        rating: the detector, where the service does not do it; called on a thread.
        on_turn: told of each turn of each call.
        connect: opens sockets.

    ``rating`` and ``connect`` may be set until the first call.

    Raises:
        ConfigError: no key, or no voice.
    """

    def __init__(
        self,
        reply: Answer,
        *,
        greeting: str = "",
        voice: str = "",
        api_key: str = "",
        url: str = "",
        model: str = "sonic-3.5",
        stt_model: str = "ink-2",
        language: str = "en",
        turns: bool = False,
        eager: bool = False,
        keyed: Answer | None = None,
        silences: Sequence[Reply | str] | None = None,
        silence_s: float = 15.0,
        rating: Callable[[], Rating] = detector,
        on_turn: Callable[[Call, Turn], None] | None = None,
        connect: Connect = websocket.connect,
    ) -> None:
        key = api_key or variable("CARTESIA_API_KEY")
        name = voice or variable("CARTESIA_VOICE_ID")
        if not key or not name:
            raise ConfigError(f"set CARTESIA_{'VOICE_ID' if key else 'API_KEY'}")
        where = url or variable("CARTESIA_URL", URL)
        if not where.startswith(("ws://", "wss://")):
            raise ConfigError("CARTESIA_URL begins with wss:// or ws://")
        self._account = Account(key, where.rstrip("/"))
        self._voice = Voice(name, model, language)
        self.connect = connect
        self._greeting = greeting
        self._turns = turns
        self._eager = eager
        self._stt_model = stt_model
        self.rating = rating
        self._on_turn = on_turn
        self._memory: Memory = {}
        self._remember = frozenset(sentences(greeting))
        self._talk = partial(
            Conversation if silences is None else partial(Conversation, silences=silences),
            reply=reply,
            greeting=greeting,
            keyed=keyed,
            silence_s=silence_s,
        )

    async def warm_up(self) -> None:
        """Have the greeting spoken, as most lines carry it, so that no caller waits for it.

        If the service cannot be reached now, the first caller has it spoken.

        Raises:
            ConfigError: the key, the voice or the model is refused.
        """
        if not self._greeting:
            return
        speaker = self._speaker(PCMU_8K)
        try:
            for sentence in sentences(self._greeting):
                async with aclosing(speaker.speak(sentence)) as spoken:
                    async for _ in spoken:
                        continue
        except ServiceError as error:
            if 400 <= error.status < 429:
                raise ConfigError(
                    f"{error}: are CARTESIA_API_KEY and CARTESIA_VOICE_ID right?"
                ) from error
            log.warning("greeting not spoken yet", extra={"error": str(error)})
        finally:
            await speaker.close()

    async def ringing(self, info: CallInfo, hears: AudioFormat, says: AudioFormat) -> ReadyBot:
        """Open both sockets for a call that is about to come."""
        call = info.call_id
        return _Ready(self._hold, self._speaker(says, call), self._listener(hears, call))

    async def __call__(self, call: Call) -> None:
        """Talk with one caller."""
        await self._hold(call)

    async def _hold(
        self, call: Call, speaker: VoiceSpeaker | None = None, listener: _Listener | None = None
    ) -> None:
        # First of all, so that the sockets open while everything else is made ready.
        speaker = speaker or self._speaker(call.audio_out, call.id)
        listener = listener or self._listener(call.audio_in, call.id)
        on_turn = self._on_turn and partial(self._on_turn, call)
        await self._talk(call, listener, speaker, on_turn=on_turn).run()

    def _speaker(self, audio: AudioFormat, call: str = "") -> VoiceSpeaker:
        return VoiceSpeaker(
            self._account,
            self._voice,
            audio,
            self.connect,
            memory=self._memory,
            remember=self._remember,
            call=call,
        )

    def _listener(self, audio: AudioFormat, call: str) -> _Listener:
        if self._turns:
            return TurnsListener(
                self._account,
                audio,
                self.connect,
                model=self._stt_model,
                eager=self._eager,
                call=call,
            )
        return ManualListener(
            self._account,
            audio,
            self.connect,
            model=self._stt_model,
            language=self._voice.language,
            rating=self.rating,
            call=call,
        )


class _Ready:
    """Two sockets that were opened while the phone rang; a ``ReadyBot``."""

    def __init__(
        self,
        hold: Callable[[Call, VoiceSpeaker | None, _Listener | None], Awaitable[None]],
        speaker: VoiceSpeaker,
        listener: _Listener,
    ) -> None:
        self._hold = hold
        self._speaker = speaker
        self._listener = listener

    async def __call__(self, call: Call) -> None:
        """Talk with the caller. A socket that is of no use on their line is replaced."""
        speaks = self._speaker.format == call.audio_out and not self._speaker.given_up
        hears = self._listener.format == call.audio_in and not self._listener.given_up
        unfit = ([] if speaks else [self._speaker]) + ([] if hears else [self._listener])
        closed = asyncio.gather(*(part.close() for part in unfit))
        try:
            await self._hold(
                call, self._speaker if speaks else None, self._listener if hears else None
            )
        finally:
            await closed

    async def close(self) -> None:
        """The call never came."""
        await asyncio.gather(self._speaker.close(), self._listener.close())


bot = CartesiaBot
"""``cartesia.bot(reply, …)`` makes one."""
