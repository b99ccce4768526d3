"""Speech to text at the simulated Cartesia: ``/stt/websocket`` and ``/stt/turns/websocket``.

On the first the client says when a stretch of speech has ended, on the second the service does. Who
writes it down, and whether it is speech at all, comes from outside (``Hear``).
"""

from __future__ import annotations

from typing import Any

from ...media.formats import AudioFormat
from ...media.level import rms
from .cartesia_socket import ENCODINGS, RATES, Endpoint, read_object

__all__ = ["Listening", "Manual", "Turns"]

# Turn detection, in ms of audio.
_WINDOW_MS = 20.0
_START_MS = 60.0
_BEFORE_MS = 300.0
_EAGER_MS = 240.0
_END_MS = 480.0
_UPDATE_MS = 300.0
_VOICE = 300.0  # root mean square of a window somebody speaks in


class Listening(Endpoint):
    """What both speech-to-text endpoints share: the audio's format, and taking it in."""

    def _format(self) -> AudioFormat | None:
        query = self._query
        rate = query.get("sample_rate", "")
        if not query.get("model", "").startswith("ink-"):
            return None
        if query.get("encoding") not in ENCODINGS or rate not in map(str, RATES):
            return None
        return AudioFormat(ENCODINGS[query["encoding"]], int(rate))

    async def run(self) -> None:
        self._audio = self._format()
        if self._audio is None:
            await self._mistake("model, encoding or sample_rate is not valid")
            return
        self._all = bytearray()
        self._service.audio_in.append(self._all)
        await self._opened()
        while (message := await self._receive()) is not None:
            if isinstance(message, str):
                if await self._told(message):
                    return
                continue
            if not message or len(message) % self._audio.sample_bytes:
                await self._mistake("audio is not whole samples")
                return
            self._all += message
            await self._heard(message)

    async def _written(self, audio: bytes) -> str | None:
        """The text of ``audio``; ``None`` if that is to fail now, and has been told."""
        if status := self._service.failure():
            await self._fail(status, "as was wished")
            return None
        assert self._audio is not None
        return await self._service.hear(audio, self._audio)

    async def _opened(self) -> None:
        return

    async def _heard(self, audio: bytes) -> None:
        raise NotImplementedError

    async def _told(self, message: str) -> bool:
        """A command; whether it was the last."""
        raise NotImplementedError


class Manual(Listening):
    """``/stt/websocket``: the client says when a stretch of speech has ended."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._kept = bytearray()
        self._since_update = 0.0

    async def _heard(self, audio: bytes) -> None:
        assert self._audio is not None
        self._kept += audio
        self._since_update += self._audio.ms_in(len(audio))
        if self._service.updates and self._since_update >= _UPDATE_MS:
            self._since_update = 0.0
            if text := await self._service.hear(bytes(self._kept), self._audio):
                await self._send("transcript", text=text, is_final=False, language="en")

    async def _told(self, message: str) -> bool:
        if message not in ("finalize", "close"):
            await self._mistake("a text message is finalize or close")
            return True
        kept, self._kept = bytes(self._kept), bytearray()
        text = await self._written(kept)
        if text is None:
            return message == "close"
        assert self._audio is not None
        seconds = self._audio.ms_in(len(kept)) / 1000
        if text:
            await self._send(
                "transcript", text=text, is_final=True, duration=seconds, language="en"
            )
        await self._send("flush_done" if message == "finalize" else "done")
        return message == "close"


class Turns(Listening):
    """``/stt/turns/websocket``: the service says when the caller's turn begins and ends."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._window = bytearray()
        self._kept = bytearray()
        self._in_turn = False
        self._voiced = self._quiet = self._since_update = 0.0
        self._eager = False
        self._text = ""

    async def _opened(self) -> None:
        await self._send("connected")

    async def _heard(self, audio: bytes) -> None:
        assert self._audio is not None
        size = self._audio.bytes_in(_WINDOW_MS)
        self._window += audio
        while len(self._window) >= size:
            window = bytes(self._window[:size])
            del self._window[:size]
            self._kept += window
            voice = rms(window, self._audio) >= _VOICE
            await (self._during(voice) if self._in_turn else self._before(voice))

    async def _before(self, voice: bool) -> None:
        assert self._audio is not None
        self._voiced = self._voiced + _WINDOW_MS if voice else 0.0
        if self._voiced < _START_MS:
            del self._kept[: -self._audio.bytes_in(_BEFORE_MS)]
            return
        self._in_turn, self._eager, self._text = True, False, ""
        self._voiced = self._quiet = self._since_update = 0.0
        await self._send("turn.start")

    async def _during(self, voice: bool) -> None:
        self._quiet = 0.0 if voice else self._quiet + _WINDOW_MS
        self._since_update += _WINDOW_MS
        if voice and self._eager:
            self._eager = False
            await self._send("turn.resume")
        if self._quiet >= _END_MS:
            await self._end()
        elif self._quiet >= _EAGER_MS and not self._eager:
            await self._update("turn.eager_end")
            self._eager = True
        elif self._service.updates and self._since_update >= _UPDATE_MS:
            self._since_update = 0.0
            await self._update("turn.update")

    async def _update(self, kind: str) -> None:
        assert self._audio is not None
        text = await self._service.hear(bytes(self._kept), self._audio)
        if kind != "turn.update" or text != self._text:
            self._text = text
            await self._send(kind, transcript=text)

    async def _end(self) -> None:
        kept, self._kept = bytes(self._kept), bytearray()
        self._in_turn = False
        if (text := await self._written(kept)) is not None:
            await self._send("turn.end", transcript=text)

    async def _told(self, message: str) -> bool:
        told = read_object(message)
        if told.get("type") == "config" and isinstance(told.get("turn"), dict):
            return False
        if told.get("type") != "close":
            await self._mistake("a text message is close or config")
        elif self._in_turn:
            await self._end()
        return True
