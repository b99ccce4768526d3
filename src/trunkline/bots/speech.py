"""What a bot needs of speech, whoever makes it: a ``Listener`` hears, a ``Speaker`` speaks.

A listener takes the caller's audio as it comes and tells when speech begins, when it ends, and
what was said. A speaker takes text and gives audio. Both work for one call; the models behind them
are shared by all calls of a process, and their inference runs on the threads of ``HEARING`` and
``SPEAKING``, never in the event loop. They have threads apart, so that a reply need not wait until
another call's sentence is understood.

Knows no engine, no call and no carrier.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from math import log10
from typing import Any, Protocol

from msgspec import Struct

from ..errors import ConfigError
from ..media.formats import AudioFormat
from ..media.level import rms

__all__ = [
    "HEARING",
    "SILENCE_DB",
    "SPEAKING",
    "Heard",
    "Listener",
    "SentenceCutter",
    "Speaker",
    "SpeechEnded",
    "SpeechStarted",
    "Timing",
    "Transcriber",
    "Transcript",
    "engine",
    "loudness",
    "sentences",
]

_THREADS = max(1, min(2, os.cpu_count() or 1))
HEARING = ThreadPoolExecutor(_THREADS, "trunkline-hearing")
SPEAKING = ThreadPoolExecutor(_THREADS, "trunkline-speaking")

_LOUDNESS_MS = 32
SILENCE_DB = -120.0
"""What ``loudness`` says of digital silence."""


class SpeechStarted(Struct, frozen=True):
    """The caller has begun to speak."""


class SpeechEnded(Struct, frozen=True):
    """The caller has fallen silent; a ``Transcript`` of this stretch follows."""


class Transcript(Struct, frozen=True):
    """What was said in a stretch of speech of ``seconds``; no text where it was none after all."""

    text: str
    seconds: float


Heard = SpeechStarted | SpeechEnded | Transcript


class Timing(Struct, frozen=True):
    """When words of what is being spoken end.

    ``words``: each word and the ms at which it ends, counted from where the audio of this ``speak``
    began. Each timing brings the next words, none twice.
    """

    words: tuple[tuple[str, float], ...]


class Listener(Protocol):
    """Hears one caller.

    Iterating gives ``SpeechStarted``, ``SpeechEnded`` and for each of the latter, in order, one
    ``Transcript``; the next ``SpeechStarted`` may come before it. It raises what the engine
    raises, and ends after ``close``.
    """

    @property
    def format(self) -> AudioFormat:
        """What ``push`` takes."""
        ...

    def push(self, audio: bytes) -> None:
        """The caller's audio, any length, as it comes in; called in the event loop, so be quick."""
        ...

    def expect_echo(self, loudness: float | None) -> None:
        """From now on our own voice may come back from the line, or (``None``) does not.

        ``loudness`` is that of what we say, in dBFS, before the line weakens it.
        """
        ...

    def __aiter__(self) -> AsyncIterator[Heard]: ...

    async def close(self) -> None:
        """The call is over: let go of all that was used for it. Nothing the second time."""
        ...


class Speaker(Protocol):
    """Speaks; one object may serve many calls at once, or be made for each."""

    @property
    def format(self) -> AudioFormat:
        """What ``speak`` gives: any format; in the line's own nothing is converted."""
        ...

    async def warm_up(self) -> None:
        """Load what else the first sentence would wait for."""
        ...

    def speak(self, text: str) -> AsyncGenerator[bytes | Timing, None]:
        """``text`` as audio, chunk by chunk, as soon as each is made.

        Where it knows when words end it says so in between, as soon as it knows. Closing the
        iterator stops the engine at the next chunk.
        """
        ...

    async def close(self) -> None:
        """A call is over: let go of all that was used for that call alone.

        One that serves many calls keeps what they share. Nothing the second time.
        """
        ...


class Transcriber(Protocol):
    """Writes down stretches of speech; one object may serve many calls at once."""

    async def warm_up(self) -> None:
        """Load what else the first sentence would wait for."""
        ...

    async def transcribe(self, audio: bytes) -> str:
        """What is said in ``audio`` (``L16_16K``, at most 30 s); nothing where it is not speech."""
        ...


def engine(module: str, *, what: str = "offline speech", extra: str = "demo") -> Any:
    """Import an engine, which ``what`` needs and ``trunkline[extra]`` brings along.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what} needs {error.name!r}: pip install 'trunkline[{extra}]'"
        ) from error


def loudness(audio: bytes, format: AudioFormat) -> float:  # noqa: A002 - what it is called all over
    """The level of the loudest 32 ms of audio, in dBFS (a full-scale square wave is 0)."""
    window = format.bytes_in(_LOUDNESS_MS)
    pieces = (audio[at : at + window] for at in range(0, len(audio), window))
    level = max((rms(piece, format) for piece in pieces), default=0.0)
    return max(SILENCE_DB, 20 * log10(level / 32768)) if level else SILENCE_DB


# A sentence ends at . ! ? or … with what closes around it, before white space and no lower case,
# and at an empty line.
_END = re.compile(r"(?<=[.!?…])[\"”’)\]]*\s+(?=[^\sa-z])|\s*\n\s*\n\s*(?=\S)")
# These do not end one, and neither does an initial ("J. Austen").
_TITLE = re.compile(r"(?:^|[\s(\"“])(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|No|[A-Z])\.$")


class SentenceCutter:
    """Cuts text that comes in pieces into sentences, each given out as soon as it is whole.

    That it is whole shows only when the next one begins.
    """

    def __init__(self) -> None:
        self._text = ""

    def push(self, piece: str) -> list[str]:
        """The next piece of text, of any length; the sentences that it makes whole."""
        self._text += piece
        found: list[str] = []
        begin = 0
        for end in _END.finditer(self._text):
            sentence = self._text[begin : end.end()].strip()
            if not _TITLE.search(sentence):
                found.append(sentence)
                begin = end.end()
        self._text = self._text[begin:]
        return found

    def end(self) -> list[str]:
        """What is left, if it is anything: a sentence."""
        rest, self._text = self._text.strip(), ""
        return [rest] if rest else []


def sentences(text: str) -> list[str]:
    """``text`` cut into sentences, which joined by spaces say the same; empty for no text."""
    cutter = SentenceCutter()
    return [*cutter.push(text), *cutter.end()]
