"""The carrier's playout buffer: what the bot sent waits here until the caller hears it.

Audio is played at real time on the carrier's own clock, whatever the pace it came at; what came
late leaves a hole. Pure: time is an argument, in seconds on any monotonic clock, and must not go
back. Sample-exact: positions are counted in samples from where a run of audio began, so an hour
of frames drifts by nothing. It knows no socket and no carrier, only what becomes of a mark.
"""

from __future__ import annotations

import math
from collections import deque

from msgspec import Struct

from ..carrier import Marks
from ..media.formats import AudioFormat

__all__ = ["Hole", "Played", "PlayoutBuffer"]

# A pause this long between two pieces of audio is a pause between utterances, a shorter one a hole.
PAUSE_S = 1.0
# The shortest silence that counts as a hole: below, it is rounding and scheduling, not sound.
CLICK_S = 0.001


class Played(Struct, frozen=True):
    """The caller heard ``audio`` (encoded as it came) from ``at`` seconds on."""

    at: float
    audio: bytes


class Hole(Struct, frozen=True):
    """The buffer ran dry at ``at`` seconds, and more came ``ms`` milliseconds later."""

    at: float
    ms: float


class _Piece(Struct):
    """Audio of one run, ``offset`` bytes after the run began at ``origin`` seconds."""

    origin: float
    offset: int
    audio: bytes


class _Pending(Struct, frozen=True):
    at: float
    name: str


class PlayoutBuffer:
    """Plays one stream's audio.

    Args:
        audio: the encoding that comes.
        marks: what becomes of marks at a clear.

    ``holes`` are the under-runs so far, ``most_ms`` the most audio that ever waited, ``heard_ms``
    how much was played, ``cleared_ms`` how much a clear threw away.
    """

    def __init__(self, audio: AudioFormat, marks: Marks) -> None:
        self.audio = audio
        self.holes: list[Hole] = []
        self.most_ms = 0.0
        self.heard_ms = 0.0
        self.cleared_ms = 0.0
        self._marks = marks
        self._pieces: deque[_Piece] = deque()
        self._pending: deque[_Pending] = deque()
        self._origin = -math.inf  # when the present run began …
        self._size = 0  # … and how many bytes it has
        self._more_expected = False

    @property
    def _dry_at(self) -> float:
        """When all that came so far will have been played."""
        return self._origin + self._size / self.audio.bytes_per_second

    def add(self, audio: bytes, now: float) -> None:
        """Audio arrived. A part of a sample at its end is lost, as on a real decoder."""
        audio = audio[: len(audio) // self.audio.sample_bytes * self.audio.sample_bytes]
        if not audio:
            return
        late = now - self._dry_at
        # A frame that comes within a click of the end continues the run: no sound is missing.
        if late >= CLICK_S:
            if self._more_expected and late < PAUSE_S:
                self.holes.append(Hole(self._dry_at, late * 1000))
            self._origin, self._size = now, 0
        self._pieces.append(_Piece(self._origin, self._size, audio))
        self._size += len(audio)
        self._more_expected = True
        self.most_ms = max(self.most_ms, self.buffered_ms(now))

    def mark(self, name: str, now: float) -> None:
        """A mark arrived: it is reached when all audio before it has been played."""
        if self._marks is not Marks.NONE:
            self._pending.append(_Pending(max(now, self._dry_at), name))

    def clear(self, now: float) -> list[str]:
        """Throw away what was not played by ``now``; take ``played`` and ``reached`` first.

        Returns the names of marks that go back to the bot unreached.
        """
        self.cleared_ms += self.buffered_ms(now)
        self._pieces.clear()
        flushed = [pending.name for pending in self._pending]
        self._pending.clear()
        self._origin, self._size = now, 0
        self._more_expected = False
        return flushed if self._marks is Marks.RETURNED else []

    def played(self, now: float) -> list[Played]:
        """What the caller heard since this was last asked, up to ``now``, in order."""
        heard: list[Played] = []
        while self._pieces and (piece := self._take(self._pieces[0], now)):
            heard.append(piece)
        self.heard_ms += sum(self.audio.ms_in(len(piece.audio)) for piece in heard)
        return heard

    def _take(self, piece: _Piece, now: float) -> Played | None:
        rate, width = self.audio.rate, self.audio.sample_bytes
        # A hair of slack, or a sample whose time is exactly now is lost to rounding.
        samples = math.floor((now - piece.origin) * rate + 1e-6) - piece.offset // width
        size = min(samples * width, len(piece.audio))
        if size <= 0:
            return None
        at = piece.origin + piece.offset / self.audio.bytes_per_second
        taken = Played(at, piece.audio[:size])
        if size == len(piece.audio):
            self._pieces.popleft()
        else:
            piece.audio = piece.audio[size:]
            piece.offset += size
        return taken

    def reached(self, now: float) -> list[str]:
        """Names of the marks reached since this was last asked."""
        names: list[str] = []
        while self._pending and self._pending[0].at <= now + 1e-9:
            names.append(self._pending.popleft().name)
        return names

    def next_mark(self) -> float | None:
        """When the next mark is reached, in seconds; ``None`` while none waits."""
        return self._pending[0].at if self._pending else None

    def buffered_ms(self, now: float) -> float:
        """How much audio waits to be played."""
        return max(0.0, self._dry_at - now) * 1000
