"""What waits behind our voice: everything that must not go on before the caller has heard it.

Speech is made faster than it is heard. What comes after our voice in a pipeline, above all the
model's memory of what it said, has to learn of it at the caller's pace, or a barge-in leaves words
there that nobody heard. ``Behind`` is that queue. A sentence's words count as heard one by one, as
if each took equally long. Frames are only carried; this knows no pipeline and has no clock.
"""

from __future__ import annotations

import re
from bisect import insort
from collections import deque
from math import inf
from typing import Any

from msgspec import Struct

from ...call import Utterance, UtteranceState

__all__ = ["WORD_MS", "Behind", "Due", "Voice"]

WORD_MS = 330.0
"""About how long a word takes to say, for a sentence whose audio is still being made."""

_WORD = re.compile(r"\s*\S+(?:\s+$)?")


class Voice:
    """One utterance, as a pipeline sees it.

    Args:
        utterance: what is said.
        speech: whether it is the bot's speech rather than another sound.
        stamp: when it began on the pipeline's clock, in ns; presentation times count from there.
    """

    def __init__(self, utterance: Utterance, *, speech: bool, stamp: int) -> None:
        self.utterance = utterance
        self.speech = speech
        self.stamp = stamp
        self.ended = False

    @property
    def over(self) -> bool:
        """Whether all that will ever be heard of it was heard."""
        return self.utterance.state in (UtteranceState.PLAYED, UtteranceState.CLEARED)

    @property
    def cleared(self) -> bool:
        """Whether the rest of it will not be heard."""
        return self.utterance.state is UtteranceState.CLEARED

    @property
    def heard_ms(self) -> float:
        """How much was heard; no end of it where it was heard to its end."""
        return inf if self.utterance.state is UtteranceState.PLAYED else self.utterance.heard_ms

    @property
    def left_ms(self) -> float:
        """How much of what there is was not heard yet, and will be."""
        return 0.0 if self.over else max(0.0, self.utterance.pushed_ms - self.heard_ms)

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self.utterance.end()


class Due(Struct, frozen=True):
    """A frame's turn has come: all of it, or words of it, or a part of its audio."""

    frame: Any
    words: str | None = None
    audio: bytes | None = None


class _Sentence:
    """Words of a voice from ``begin_ms`` on; ``frame`` brought them."""

    def __init__(self, voice: Voice, frame: Any, begin_ms: float) -> None:
        self.voice = voice
        self.frame = frame
        self.begin_ms = begin_ms
        self.end_ms: float | None = None
        self.told = 0

    def due(self) -> str:
        """The words heard since last asked; empty where there are none."""
        words = _WORD.findall(self.frame.text)
        heard = int(len(words) * self._part(len(words)))
        if heard <= self.told:
            return ""
        told, self.told = self.told, heard
        return "".join(words[told:heard])

    @property
    def over(self) -> bool:
        """Whether no more of it will be heard."""
        return self.voice.over or (self.end_ms is not None and self.voice.heard_ms >= self.end_ms)

    def _part(self, words: int) -> float:
        end = self.end_ms
        if end is None:
            end = max(self.voice.utterance.pushed_ms, self.begin_ms + words * WORD_MS)
        passed = self.voice.heard_ms - self.begin_ms
        return 1.0 if passed >= end - self.begin_ms else max(0.0, passed / (end - self.begin_ms))


class _Waiting(Struct):
    """A frame that goes on at ``at_ms`` of ``voice``; its ``audio`` piece by piece before that."""

    voice: Voice
    at_ms: float
    frame: Any
    audio: bytes = b""
    begin_ms: float = 0.0


class Behind:
    """The queue: put frames in as they come, ask what is ``due``."""

    def __init__(self) -> None:
        self.voices: list[Voice] = []
        self._row: deque[_Waiting] = deque()
        self._timed: list[_Waiting] = []
        self._sentences: list[_Sentence] = []
        self._announced: Any = None
        self._written: tuple[Voice | None, float] = (None, 0.0)
        self._brings_times = False
        self._told_early = 0

    def __bool__(self) -> bool:
        return bool(self._row or self._timed or self._sentences)

    @property
    def left_ms(self) -> float:
        """How much of what was said will still be heard."""
        return sum(voice.left_ms for voice in self.voices)

    @property
    def said(self) -> list[Any]:
        """The frames whose audio was not heard to its end yet."""
        return [waiting.frame for waiting in self._row if waiting.audio]

    # What comes.

    def begin(self, voice: Voice) -> None:
        """What is put in from now on comes with or after this."""
        self.voices = [v for v in self.voices if not v.over or self._holds(v)]
        self.voices.append(voice)

    def audio(self, frame: Any, audio: bytes, *, begin_ms: float) -> None:
        """The last voice was given this, of which its first ``begin_ms`` do not speak."""
        voice = self.voices[-1]
        if self._announced is not None:
            self._sentences.append(_Sentence(voice, self._announced, begin_ms))
            self._announced = None
        self._row.append(_Waiting(voice, voice.utterance.pushed_ms, frame, audio, begin_ms))

    def announce(self, frame: Any) -> None:
        """The next audio says ``frame.text``; a frame that completes it may come after it."""
        if not self._brings_times:
            self._announced = frame

    def write(self, frame: Any) -> None:
        """The audio since the last such frame said ``frame.text``."""
        self._announced = None
        if not self.voices:
            return
        voice = self.voices[-1]
        sentence = next((s for s in self._sentences if s.voice is voice and s.end_ms is None), None)
        if sentence is None:
            last, end_ms = self._written
            sentence = _Sentence(voice, frame, end_ms if last is voice else 0.0)
            self._sentences.append(sentence)
        sentence.frame = frame
        sentence.end_ms = voice.utterance.pushed_ms
        self._written = (voice, sentence.end_ms)

    def put(self, frame: Any) -> None:
        """Anything else: goes on when all that was said before has been heard."""
        voice = self.voices[-1]
        self._row.append(_Waiting(voice, voice.utterance.pushed_ms, frame))

    def time(self, frame: Any, *, word: bool) -> None:
        """A frame with a presentation time, ``frame.pts`` in ns; a ``word`` is one of the text."""
        voice = self.voices[-1]
        if word and not self._brings_times:
            # So the sentences announced need not be guessed at; what was told of them was said.
            self._brings_times = True
            guessed = [s for s in self._sentences if s.end_ms is None]
            self._told_early = sum(s.told for s in guessed)
            self._sentences = [s for s in self._sentences if s.end_ms is not None]
        if word and self._told_early:
            self._told_early -= 1
            return
        at_ms = (frame.pts - voice.stamp) / 1e6
        insort(self._timed, _Waiting(voice, at_ms, frame), key=self._when)

    # What goes.

    def due(self) -> list[Due]:
        """What has been heard since last asked, in order."""
        due = [Due(s.frame, words=words) for s in self._sentences if (words := s.due())]
        self._sentences = [s for s in self._sentences if not s.over]
        while self._timed and self._timed[0].voice.heard_ms >= self._timed[0].at_ms:
            due.append(Due(self._timed.pop(0).frame))
        self._timed = [t for t in self._timed if not t.voice.cleared]
        while self._row:
            first = self._row[0]
            whole = first.voice.heard_ms >= first.at_ms
            if first.audio and (part := self._part(first, whole=whole)):
                due.append(Due(first.frame, audio=part))
            elif not first.audio and (whole or first.voice.cleared):
                due.append(Due(first.frame))
            if not whole and not first.voice.cleared:
                break
            self._row.popleft()
        return due

    def drop(self) -> list[Any]:
        """The caller interrupts: forget all that waits; returns its frames that are no audio."""
        frames = [w.frame for w in (*self._timed, *self._row) if not w.audio]
        self._row.clear()
        self._timed.clear()
        self._sentences.clear()
        self._announced = None
        return frames

    def _part(self, waiting: _Waiting, *, whole: bool) -> bytes:
        """Cut off what was heard of a frame's audio."""
        length = waiting.at_ms - waiting.begin_ms
        passed = waiting.voice.heard_ms - waiting.begin_ms
        size = len(waiting.audio)
        if not whole:
            size = int(size * max(0.0, passed) / length) // 2 * 2
            waiting.begin_ms += length * size / len(waiting.audio)
        part, waiting.audio = waiting.audio[:size], waiting.audio[size:]
        return part

    def _holds(self, voice: Voice) -> bool:
        held = (*self._row, *self._timed, *self._sentences)
        return any(waiting.voice is voice for waiting in held)

    def _when(self, waiting: _Waiting) -> tuple[int, float]:
        return self.voices.index(waiting.voice), waiting.at_ms
