"""A response: something on its way to the caller. Thought about, then said, then heard.

What is to be said may come in pieces, as a language model makes them. It is cut into sentences, and
each goes to the voice as soon as it is whole, so that the first is heard while the rest is
still being thought of. The next sentence is asked for when all audio of the one before has come,
but never while more than ten seconds are unheard, so that little is wasted on a caller who
interrupts.

Cancelling ``run`` closes whatever is under way: the voice first, then the reply. Knows nothing of
turns and of who may interrupt.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from ..call import Call, Utterance, UtteranceState
from ..media.formats import AudioFormat
from .recording import Recording
from .said import Sentence, heard_text
from .speech import SILENCE_DB, SentenceCutter, Speaker, Timing, loudness
from .turns import Answered, Reply

__all__ = ["AHEAD_MS", "ENGINE_S", "Response", "Source"]

ENGINE_S = 20.0
"""How long a transcript, the next piece of a reply or of speech may take."""
AHEAD_MS = 10_000.0
"""No further sentence is asked for while so much is unheard."""
_LOOK_MS = 100.0  # at the shortest, before it is looked again whether there is room

Source = Recording | Reply | str | Callable[[], Answered]
"""Where a response comes from: known words, or a reply that is to be asked for them."""

_T = TypeVar("_T")


class Response:
    """One response.

    Args:
        call: who is to hear it.
        speaker: the voice.
        begun: called when it begins to be said; ``text`` is then what is known of it.
        louder: called with the loudness of the loudest so far, in dBFS, before that is heard.
        words: the caller's, that it answers.
    """

    task: asyncio.Task[None]
    """What runs it; whoever starts it sets this."""

    def __init__(
        self,
        call: Call,
        speaker: Speaker,
        *,
        begun: Callable[[Response], None],
        louder: Callable[[float], None],
        words: str = "",
    ) -> None:
        self.words = words
        self.hang_up = False
        self.utterance: Utterance | None = None
        self._call = call
        self._speaker = speaker
        self._begun = begun
        self._louder = louder
        self._parts = [""]
        self._said: list[Sentence] = []
        self._loudness = SILENCE_DB

    async def run(self, source: Source) -> None:
        """Say it. Returns when it was heard to its end, or cleared, or there was nothing to say.

        Raises:
            CallEnded: nobody is there to hear it.
            Exception: whatever the reply or the voice failed with.
        """
        if isinstance(source, Recording):
            await self._play(source)
        else:
            await self._say(source)

    @property
    def text(self) -> str:
        """All that is known of it by now."""
        return " ".join(filter(None, (part.strip() for part in self._parts)))

    @property
    def heard(self) -> str:
        """What the caller has heard of it by now."""
        if self.utterance is None:
            return ""
        if self.played:
            return self.text
        return heard_text(self._said, self.utterance.heard_ms)

    @property
    def played(self) -> bool:
        """Whether it was heard to its end."""
        return self.utterance is not None and self.utterance.state is UtteranceState.PLAYED

    async def _play(self, recording: Recording) -> None:
        self._parts = [recording.text]
        self._expect_echo(recording.audio, recording.format)
        utterance = self._begin(self._call.play(recording.audio, recording.format))
        self._said.append(Sentence(recording.text, utterance.pushed_ms, complete=True))
        await utterance.wait()

    async def _say(self, source: Reply | str | Callable[[], Answered]) -> None:
        utterance: Utterance | None = None
        async with aclosing(self._sentences(source)) as sentences:
            async for sentence in sentences:
                if utterance is None:
                    utterance = self._begin(self._call.utterance(self._speaker.format))
                await _room(utterance)
                if not await self._say_sentence(utterance, sentence):
                    break
        if utterance is not None:
            utterance.end()
            await utterance.wait()

    async def _sentences(
        self, source: Reply | str | Callable[[], Answered]
    ) -> AsyncGenerator[str, None]:
        """What is to be said, sentence by sentence. A ``Reply`` begins and ends one."""
        cutter = SentenceCutter()
        async with aclosing(_pieces(source)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    self._parts[-1] += piece
                    whole = cutter.push(piece)
                else:
                    self._parts += [piece.text, ""]
                    self.hang_up = self.hang_up or piece.hang_up
                    whole = [*cutter.end(), *cutter.push(piece.text), *cutter.end()]
                for sentence in whole:
                    yield sentence
        for sentence in cutter.end():
            yield sentence

    async def _say_sentence(self, utterance: Utterance, text: str) -> bool:
        """Whether more is wanted."""
        begun = utterance.pushed_ms
        sentence = Sentence(text)
        self._said.append(sentence)
        # Closed when left, and that stops the engine.
        async with aclosing(self._speaker.speak(text)) as chunks:
            while (chunk := await _next(chunks)) is not None:
                if isinstance(chunk, Timing):
                    sentence.time(chunk)
                    continue
                self._expect_echo(chunk, self._speaker.format)
                if not utterance.write(chunk):
                    return False
                sentence.ms = utterance.pushed_ms - begun
        sentence.complete = True
        return True

    def _expect_echo(self, audio: bytes, format: AudioFormat) -> None:  # noqa: A002
        self._loudness = max(self._loudness, loudness(audio, format))
        self._louder(self._loudness)

    def _begin(self, utterance: Utterance) -> Utterance:
        self.utterance = utterance
        self._begun(self)
        return utterance


async def _pieces(
    source: Reply | str | Callable[[], Answered],
) -> AsyncGenerator[str | Reply, None]:
    answered = source if isinstance(source, str | Reply) else source()
    if isinstance(answered, str | Reply):
        yield answered
        return
    if isinstance(answered, AsyncGenerator):
        async with aclosing(answered):
            while (piece := await _next(answered)) is not None:
                yield piece
        return
    async with asyncio.timeout(ENGINE_S):
        piece = await answered
    yield piece


async def _next(items: AsyncGenerator[_T, None]) -> _T | None:
    async with asyncio.timeout(ENGINE_S):
        return await anext(items, None)


async def _room(utterance: Utterance) -> None:
    """Wait until so little is unheard that more should be made, or none is wanted any more."""
    while utterance.state in (UtteranceState.QUEUED, UtteranceState.SPEAKING):
        excess = utterance.pushed_ms - utterance.heard_ms - AHEAD_MS
        if excess <= 0:
            return
        await asyncio.sleep(max(excess, _LOOK_MS) / 1000)
