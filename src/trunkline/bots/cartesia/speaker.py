"""Cartesia's voice, a ``Speaker`` for one call, in the line's own encoding.

One socket for the call, a context for each sentence. Closing ``speak`` cancels its context, and
what still comes of it is dropped. When the socket is lost in mid-sentence, the rest of the sentence
is asked for on the next one, from the word after those whose audio had come; a word that was cut
by more than 60 ms is said again.

Sentences that are to be remembered are asked for once in a process and format.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, MutableMapping
from contextlib import aclosing
from math import inf
from uuid import uuid4

from msgspec import Struct

from ...media.formats import AudioFormat
from ...websocket import Connect
from ..said import Sentence
from ..speech import Timing
from .link import BACK_OFF_S, Link, ServiceError
from .wire import Account, Answer, cancellation, failure, generation, passing, read, tts_url

__all__ = ["CHUNK_S", "Memory", "Voice", "VoiceSpeaker"]

CHUNK_S = 3.0
"""How long the service may take to the next piece of audio."""
_CUT_MS = 60.0
_LATER_S = 0.1  # and more, before what failed in passing is asked for again

Memory = MutableMapping[tuple[AudioFormat, "Voice", str], tuple[bytes | Timing, ...]]
"""What was spoken before: a sentence in a format and a voice."""


class Voice(Struct, frozen=True):
    """Who speaks: a voice's id, the model that makes it, the language it speaks."""

    id: str
    model: str = "sonic-3.5"
    language: str = "en"


class _Lost(Struct, frozen=True):
    """The rest of this context will not come; it may be asked for again, at once or ``later``."""

    later: bool = False


_Item = Answer | _Lost | Exception


class _Received:
    """What has come of one context: how long it is, and which words end within it."""

    def __init__(self, text: str, audio: AudioFormat, begins_ms: float) -> None:
        self.ms = 0.0
        self._sentence = Sentence(text)
        self._audio = audio
        self._begins_ms = begins_ms
        self._untold: list[tuple[str, float]] = []
        self._last: float | None = None  # the end of the last word that was told
        self._timed = False
        self._half = b""  # of a sample whose other half comes with the next chunk

    def add(self, answer: Answer) -> bytes:
        """The audio that this brings."""
        if answer.word_timestamps is not None:
            times = answer.word_timestamps
            words = tuple(zip(times.words, (1000 * end for end in times.end), strict=False))
            self._sentence.time(Timing(words))
            self._untold += words
            self._timed = True
        audio = self._half + answer.audio
        whole = len(audio) - len(audio) % self._audio.sample_bytes
        audio, self._half = audio[:whole], audio[whole:]
        self.ms += self._audio.ms_in(len(audio))
        return audio

    def timing(self, beyond_ms: float = 0.0) -> Timing | None:
        """The words that end within the audio, or so far beyond it, and were not told before."""
        words: list[tuple[str, float]] = []
        while self._untold and self._untold[0][1] <= self.ms + beyond_ms:
            word, self._last = self._untold.pop(0)
            words.append((word, self._last + self._begins_ms))
        return Timing(tuple(words)) if words else None

    def words(self) -> int:
        """How many words were told, or where nobody tells, are likely to have come."""
        if not self._timed:
            return self._sentence.heard(self.ms)
        return 0 if self._last is None else self._sentence.heard(self._last)


class VoiceSpeaker:
    """A ``Speaker``. Make it in a running event loop; its socket is opened at once.

    Args:
        account: who asks.
        voice: who speaks.
        audio: what ``speak`` gives.
        connect: opens a socket.
        memory: what was spoken before, shared by calls …
        remember: … and the sentences that it is to hold.
        call: whose call it is, for log lines.
    """

    def __init__(
        self,
        account: Account,
        voice: Voice,
        audio: AudioFormat,
        connect: Connect,
        *,
        memory: Memory | None = None,
        remember: Collection[str] = (),
        call: str = "",
    ) -> None:
        self._voice = voice
        self._audio = audio
        self._memory: Memory = {} if memory is None else memory
        self._remember = remember
        self._losses = 0
        self._contexts: dict[str, asyncio.Queue[_Item]] = {}
        self._link = Link(
            "Cartesia TTS",
            connect,
            tts_url(account),
            account.headers,
            opened=lambda: None,
            received=self._received,
            lost=lambda: self._tell_all(_Lost()),
            failed=self._tell_all,
            who={"call": call},
        )

    @property
    def format(self) -> AudioFormat:
        """See ``Speaker.format``."""
        return self._audio

    @property
    def given_up(self) -> bool:
        """Whether the service is not to be had any more."""
        return self._link.given_up

    async def warm_up(self) -> None:
        """Wait for the socket.

        Raises:
            ServiceError: there is none to be had.
        """
        await self._link.ready()

    async def speak(self, text: str) -> AsyncGenerator[bytes | Timing, None]:
        """See ``Speaker.speak``.

        Raises:
            ServiceError: the service said no, or was lost too often.
        """
        key = (self._audio, self._voice, text)
        if (known := self._memory.get(key)) is not None:
            for item in known:
                yield item
            return
        items: list[bytes | Timing] = []
        losses = self._losses
        async with aclosing(self._say(text)) as spoken:
            async for item in spoken:
                if text in self._remember:
                    items.append(item)
                yield item
        if items and losses == self._losses:
            self._memory[key] = tuple(items)

    async def close(self) -> None:
        """See ``Speaker.close``."""
        await self._link.close()

    async def _say(self, text: str) -> AsyncGenerator[bytes | Timing, None]:
        words, begins_ms = text.split(), 0.0
        for wait in BACK_OFF_S[1:]:
            received = _Received(" ".join(words), self._audio, begins_ms)
            lost: _Lost | None = None
            async with aclosing(self._ask(" ".join(words))) as answers:
                async for answer in answers:
                    if isinstance(answer, _Lost):
                        lost = answer
                        break
                    if audio := received.add(answer):
                        yield audio
                    if timing := received.timing():
                        yield timing
            if timing := received.timing(_CUT_MS if lost else inf):
                yield timing
            if lost is None:
                return
            self._losses += 1
            words = words[received.words() :]
            begins_ms += received.ms
            if not words:
                return
            if lost.later:
                await asyncio.sleep(wait + _LATER_S)
        raise ServiceError("Cartesia TTS does not finish a sentence")

    async def _ask(self, text: str) -> AsyncGenerator[Answer | _Lost, None]:
        """Everything that comes of a new context with ``text``; ends with it, or with ``_Lost``."""
        await self._link.ready()
        name = uuid4().hex
        inbox: asyncio.Queue[_Item] = asyncio.Queue()
        self._contexts[name] = inbox
        voice = self._voice
        self._link.send(
            generation(
                name,
                text,
                self._audio,
                model=voice.model,
                voice=voice.id,
                language=voice.language,
            )
        )
        done = False
        try:
            while True:
                item = await self._next(inbox)
                if isinstance(item, Exception):
                    done = True
                    raise ServiceError(str(item), getattr(item, "status", 0)) from item
                done = isinstance(item, _Lost) or item.type == "done"
                if isinstance(item, _Lost):
                    yield item
                    return
                if item.type == "done":
                    return
                yield item
        finally:
            del self._contexts[name]
            if not done:
                self._link.send(cancellation(name))

    def _received(self, message: str | bytes) -> None:
        answer = read(message)
        if answer.type == "error":
            self._failed(answer)
        elif inbox := self._contexts.get(answer.context_id):
            self._link.worked()
            inbox.put_nowait(answer)

    def _failed(self, answer: Answer) -> None:
        item: _Item = _Lost(later=True) if passing(answer) else failure(answer)
        if not answer.context_id:
            self._tell_all(item)
        elif inbox := self._contexts.get(answer.context_id):
            inbox.put_nowait(item)

    def _tell_all(self, item: _Item) -> None:
        for inbox in self._contexts.values():
            inbox.put_nowait(item)

    async def _next(self, inbox: asyncio.Queue[_Item]) -> _Item:
        try:
            async with asyncio.timeout(CHUNK_S):
                return await inbox.get()
        except TimeoutError:
            self._link.reopen()
            return _Lost()
