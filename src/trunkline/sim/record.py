"""What happened on one call, to keep: both voices on one clock, and the moments beside them.

A ``Recorder`` is written to while the call runs; the ``CallRecord`` it yields is what measurements
(``measure``), the picture (``timeline``) and a test's assertions read. Left is what the caller
said, right is what the caller *heard*, when they heard it: not what the bot sent. On disk a record
is a stereo WAV any player opens and a JSON of the rest.

A secret moment (a card number being keyed in) is masked before it is kept. Its tones, where they
travel as sound, are still in the audio. This module knows no carrier, no clock and no socket; only
``save`` and ``load`` touch a disk.
"""

from __future__ import annotations

import io
import math
import os
import tempfile
import wave
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

__all__ = ["BOT", "CALLER", "CARRIER", "CallRecord", "Kind", "Moment", "Recorder", "read_wav"]

CALLER = "caller"
BOT = "bot"
CARRIER = "carrier"

# A piece that starts this close to the end of the one before it continues it: frames that come
# from a timer start a few ms early or late, and the listener's buffer hides just that.
JOIN_MS = 10


class Kind(StrEnum):
    """The kinds of moment that are known by name; any other text is a kind too, drawn as itself."""

    RINGING = "ringing"
    ANSWERED = "answered"
    SAID = "said"  # text: the words; at: their beginning; channel: who spoke
    HEARD = "heard"  # text: what speech recognition made of ``channel``'s speech; at: when
    KEY = "key"  # text: the keys; channel: who pressed
    CLEAR = "clear"  # the bot took back what was sent and not yet played
    MARK = "mark"
    TRANSFER = "transfer"
    FAULT = "fault"  # something was broken on purpose, or broke
    HANG_UP = "hang_up"


class Moment(Struct, frozen=True):
    """Something that happened at ``at`` seconds after the call began.

    ``channel`` is whose doing it was: ``"caller"``, ``"bot"``, ``"carrier"`` or nobody's (empty).
    A ``secret`` moment's text is already masked.
    """

    at: float
    kind: str
    text: str = ""
    channel: str = ""
    secret: bool = False


class _Notes(Struct, kw_only=True):
    """Everything of a record that is not sound: what the JSON file holds."""

    carrier: str = ""
    call_id: str = ""
    verdict: str = ""
    failed: bool = False
    moments: list[Moment] = []


class CallRecord(_Notes, kw_only=True):
    """One call, over. ``caller`` and ``bot`` are L16 LE mono at ``rate`` Hz and equally long.

    ``verdict`` is a word or sentence for people on how it went, ``failed`` whether that is bad.
    ``moments`` are in the order of their time.
    """

    rate: int = 8000
    caller: bytes = b""
    bot: bytes = b""

    @property
    def duration(self) -> float:
        """Seconds from the call's beginning to the end of its audio or its last moment."""
        last = self.moments[-1].at if self.moments else 0.0
        return max(len(self.caller) / 2 / self.rate, last)

    def wav(self) -> bytes:
        """The stereo WAV: 16 bit, left the caller, right what the caller heard."""
        both = np.empty(len(self.caller), dtype="<i2")
        both[0::2] = np.frombuffer(self.caller, dtype="<i2")
        both[1::2] = np.frombuffer(self.bot, dtype="<i2")
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setnchannels(2)
            writer.setsampwidth(2)
            writer.setframerate(self.rate)
            writer.writeframes(both.tobytes())
        return file.getvalue()

    def save(self, stem: str | Path) -> tuple[Path, Path]:
        """Write ``stem.wav`` and ``stem.json``, each whole or not at all; returns the two paths.

        Only their owner may read them: they hold somebody's voice.

        Raises:
            OSError: they cannot be written.
        """
        fields: dict[str, Any] = {name: getattr(self, name) for name in _Notes.__struct_fields__}
        notes = msgspec.json.format(msgspec.json.encode(_Notes(**fields)), indent=1)
        wav, json = _paths(stem)
        _write_whole(wav, self.wav())
        _write_whole(json, notes + b"\n")
        return wav, json

    @classmethod
    def load(cls, stem: str | Path) -> CallRecord:
        """Read what ``save`` wrote; ``stem`` is the path without ``.wav`` or ``.json``.

        Raises:
            OSError: a file is not there.
            ValueError: one of them is not what ``save`` writes.
        """
        wav, json = _paths(stem)
        notes = msgspec.json.decode(json.read_bytes(), type=_Notes)
        rate, caller, bot = read_wav(wav.read_bytes())
        fields: dict[str, Any] = {name: getattr(notes, name) for name in _Notes.__struct_fields__}
        return cls(rate=rate, caller=caller, bot=bot, **fields)


class Recorder:
    """Takes down a call as it happens.

    Args:
        rate: Hz of all audio that will be given.
        carrier: the carrier's name, for the record's title.
        watch: is given every moment as it is noted (a live view, say).
    """

    def __init__(
        self,
        rate: int = 8000,
        *,
        carrier: str = "",
        call_id: str = "",
        watch: Callable[[Moment], None] | None = None,
    ) -> None:
        self.rate = rate
        self.carrier = carrier
        self.call_id = call_id
        self._watch = watch
        self._caller = _Track(rate)
        self._bot = _Track(rate)
        self._moments: list[Moment] = []

    def caller(self, at: float, pcm: bytes) -> None:
        """The caller spoke ``pcm`` (L16 LE) from ``at`` seconds on.

        Raises:
            ValueError: half a sample, or a time before the call.
        """
        self._caller.place(at, pcm)

    def bot(self, at: float, pcm: bytes) -> None:
        """The caller heard ``pcm`` (L16 LE) from ``at`` seconds on.

        Raises:
            ValueError: half a sample, or a time before the call.
        """
        self._bot.place(at, pcm)

    def note(
        self, at: float, kind: str, text: str = "", channel: str = "", *, secret: bool = False
    ) -> None:
        """Something happened. A secret text is kept (and shown) as one dot a character.

        Raises:
            ValueError: a time before the call.
        """
        _check_time(at)
        moment = Moment(at, str(kind), "•" * len(text) if secret else text, channel, secret)
        self._moments.append(moment)
        if self._watch is not None:
            self._watch(moment)

    def record(self, *, verdict: str = "", failed: bool = False) -> CallRecord:
        """What was taken down until now. May be asked again while the call goes on."""
        size = max(self._caller.size, self._bot.size)
        return CallRecord(
            rate=self.rate,
            caller=self._caller.padded(size),
            bot=self._bot.padded(size),
            moments=sorted(self._moments, key=lambda moment: moment.at),
            carrier=self.carrier,
            call_id=self.call_id,
            verdict=verdict,
            failed=failed,
        )


class _Track:
    """One voice: pieces laid down at their times, silence between them, mixed where they meet."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._slack = rate * JOIN_MS // 1000
        self._pcm = bytearray()

    @property
    def size(self) -> int:
        return len(self._pcm)

    def place(self, at: float, pcm: bytes) -> None:
        if len(pcm) % 2:
            raise ValueError(f"{len(pcm)} bytes are no whole 16-bit samples")
        _check_time(at)
        end = len(self._pcm) // 2
        start = round(at * self._rate)
        if abs(start - end) <= self._slack:
            start = end
        if start >= end:
            self._pcm += bytes(2 * (start - end))
            self._pcm += pcm
        else:
            self._mix(2 * start, pcm)

    def _mix(self, start: int, pcm: bytes) -> None:
        under = bytes(self._pcm[start : start + len(pcm)])
        sound = np.frombuffer(pcm[: len(under)], dtype="<i2").astype(np.int32)
        sound += np.frombuffer(under, dtype="<i2")
        mixed = np.clip(sound, -32768, 32767).astype("<i2").tobytes()
        self._pcm[start : start + len(under)] = mixed
        self._pcm += pcm[len(under) :]

    def padded(self, size: int) -> bytes:
        return bytes(self._pcm) + bytes(size - len(self._pcm))


def read_wav(data: bytes) -> tuple[int, bytes, bytes]:
    """Take a stereo 16-bit WAV apart: rate in Hz, left and right as L16 LE.

    Raises:
        ValueError: it is something else.
    """
    try:
        with wave.open(io.BytesIO(data)) as reader:
            shape = reader.getnchannels(), reader.getsampwidth()
            rate = reader.getframerate()
            frames = reader.readframes(reader.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV: {error}") from None
    if shape != (2, 2):
        raise ValueError(f"{shape[0]} channels of {shape[1]} bytes a sample, not 2 of 2")
    both = np.frombuffer(frames[: len(frames) // 4 * 4], dtype="<i2")
    return rate, both[0::2].tobytes(), both[1::2].tobytes()


def _check_time(at: float) -> None:
    if not 0 <= at < math.inf:
        raise ValueError(f"{at} is not a time on the call")


def _paths(stem: str | Path) -> tuple[Path, Path]:
    # Not with_suffix: "call-2.5" has no suffix to lose.
    return Path(f"{stem}.wav"), Path(f"{stem}.json")


def _write_whole(path: Path, data: bytes) -> None:
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
