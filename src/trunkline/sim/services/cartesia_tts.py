"""Text to speech at the simulated Cartesia: ``/tts/websocket``, many contexts on one socket.

Whose voice it is comes from outside (``Speak``). Words are told as if they shared their audio
equally, which is so for a voice that gives each word the same time.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from pybase64 import b64encode_as_string

from ...media.formats import AudioFormat
from ...sockets import SocketClosed
from .cartesia_socket import ENCODINGS, Endpoint, read_object

__all__ = ["Speaking"]

_CHUNK_MS = 100.0


class _Voice(Struct, frozen=True):
    mode: Literal["id"]
    id: Annotated[str, Meta(min_length=1)]


class _Output(Struct, frozen=True):
    container: Literal["raw"]
    encoding: Literal["pcm_mulaw", "pcm_alaw", "pcm_s16le"]
    sample_rate: Literal[8000, 16_000, 24_000]


class _Generation(Struct, frozen=True, forbid_unknown_fields=True):
    """A request for speech."""

    model_id: Annotated[str, Meta(pattern="^sonic")]
    transcript: str
    voice: _Voice
    output_format: _Output
    context_id: Annotated[str, Meta(min_length=1)]
    language: str = "en"
    goes_on: bool = msgspec.field(default=False, name="continue")
    max_buffer_delay_ms: Annotated[int, Meta(ge=0, le=5000)] = 3000
    add_timestamps: bool = False
    use_normalized_timestamps: bool = False
    generation_config: dict[str, Any] | None = None
    pronunciation_dict_id: str | None = None


class _Context(Struct, eq=False):
    """Speech that is being made: texts that are put together, until ``None``."""

    first: _Generation
    audio: AudioFormat
    texts: asyncio.Queue[str | None]
    task: asyncio.Task[None] | None = None
    sent_ms: float = 0.0
    ended: bool = False

    @property
    def id(self) -> str:
        return self.first.context_id


class Speaking(Endpoint):
    """``/tts/websocket``: many contexts at once."""

    idle_s = 300.0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._contexts: dict[str, _Context] = {}
        self._over: set[str] = set()

    async def run(self) -> None:
        try:
            while (message := await self._receive()) is not None:
                await self._told(message)
        finally:
            tasks = [context.task for context in self._contexts.values() if context.task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _told(self, message: str | bytes) -> None:
        told = read_object(message)
        name = str(told.get("context_id", ""))
        context = self._contexts.get(name)
        if told.get("cancel") is True:
            if context is not None and context.task is not None:
                context.task.cancel()
            return
        try:
            wanted = msgspec.convert(told, _Generation)
        except msgspec.ValidationError as error:
            await self._mistake(str(error), done=True, context_id=name)
            return
        if problem := self._misused(context, wanted):
            await self._mistake(problem, done=True, context_id=name)
            return
        if context is None:
            if status := self._refusal():
                await self._fail(status, "not now", done=True, context_id=name)
                return
            context = self._begin(wanted)
        if wanted.transcript:
            context.texts.put_nowait(wanted.transcript)
        if not wanted.goes_on:
            context.ended = True
            context.texts.put_nowait(None)

    def _refusal(self) -> int:
        if status := self._service.failure():
            return status
        return 429 if self._service.generating >= self._service.contexts else 0

    def _misused(self, context: _Context | None, wanted: _Generation) -> str:
        if wanted.context_id in self._over:
            return "this context is over"
        if context is None:
            return ""
        if context.ended:
            return "nothing may follow on this context"
        same = msgspec.structs.replace(
            wanted, transcript=context.first.transcript, goes_on=context.first.goes_on
        )
        return "" if same == context.first else "only the transcript may change within a context"

    def _begin(self, wanted: _Generation) -> _Context:
        output = wanted.output_format
        audio = AudioFormat(ENCODINGS[output.encoding], output.sample_rate)
        context = _Context(wanted, audio, asyncio.Queue())
        self._contexts[wanted.context_id] = context
        self._service.generating += 1
        context.task = asyncio.get_running_loop().create_task(self._generate(context))
        context.task.add_done_callback(lambda task: self._ended(context, task))
        return context

    def _release(self, context: _Context) -> None:
        if self._contexts.pop(context.id, None) is not None:
            self._service.generating -= 1
            self._over.add(context.id)

    def _ended(self, context: _Context, task: asyncio.Task[None]) -> None:
        self._release(context)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SocketClosed):
            self._service.broke(error)

    async def _generate(self, context: _Context) -> None:
        service = self._service
        sent = service.audio_out.setdefault(context.id, bytearray())
        while (text := await context.texts.get()) is not None:
            audio = await service.speak(text, context.audio)
            words = _spread(text, context.audio.ms_in(len(audio)))
            await asyncio.sleep(service.first_ms / 1000)
            begun = context.sent_ms
            size = context.audio.bytes_in(_CHUNK_MS)
            for at in range(0, len(audio), size):
                piece = audio[at : at + size]
                sent += piece
                await self._chunk(context, piece)
                context.sent_ms += context.audio.ms_in(len(piece))
                await self._timestamps(context, words, begun)
                await asyncio.sleep(context.audio.ms_in(len(piece)) / 1000 / service.pace)
        self._release(context)
        await self._send("done", done=True, status_code=206, context_id=context.id)

    async def _chunk(self, context: _Context, piece: bytes) -> None:
        await self._send(
            "chunk",
            data=b64encode_as_string(piece),
            done=False,
            status_code=206,
            step_time=5.0,
            context_id=context.id,
        )

    async def _timestamps(
        self, context: _Context, words: list[tuple[str, float, float]], begun: float
    ) -> None:
        """Tell of the words that begin in what has been sent."""
        told: list[tuple[str, float, float]] = []
        while words and begun + words[0][1] < context.sent_ms:
            told.append(words.pop(0))
        if told and context.first.add_timestamps:
            await self._send(
                "timestamps",
                done=False,
                status_code=206,
                context_id=context.id,
                word_timestamps={
                    "words": [word for word, _, _ in told],
                    "start": [(begun + start) / 1000 for _, start, _ in told],
                    "end": [(begun + end) / 1000 for _, _, end in told],
                },
            )


def _spread(text: str, ms: float) -> list[tuple[str, float, float]]:
    """The words of ``text``, as if all of its ``ms`` were shared equally: word, start, end."""
    words = text.split()
    each = ms / max(1, len(words))
    return [(word, at * each, (at + 1) * each) for at, word in enumerate(words)]
