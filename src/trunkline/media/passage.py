"""One utterance on its way out: the audio that waits, and how far it has got.

It gives its audio out in pieces of any size without copying more than it must. When a piece
leaves, and what was heard of it, is not its business.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf

__all__ = ["Passage"]


@dataclass(slots=True, eq=False)
class Passage:
    """One utterance's place in playout. ``pushed`` and ``sent`` are bytes, without padding.

    ``live`` audio comes from a source that is real-time itself and is never kept back.
    """

    id: int
    live: bool = False
    ended: bool = False
    cleared: bool = False
    pushed: int = 0
    sent: int = 0

    # Below, what playout notes down. Positions are bytes on the wire, times those of the send
    # clock, see ``playhead``.
    begins: int = 0
    starts: float = inf
    ends: float = -inf
    heard: float | None = None  # bytes, once that is settled
    told: bool = False  # that it started
    unmarked: int = 0  # bytes sent since its last mark
    mark: str = ""  # its last mark
    marks: int = 0

    _pieces: deque[bytes] = field(default_factory=deque[bytes])
    _taken: int = 0  # bytes of the first piece

    @property
    def waiting(self) -> int:
        """Bytes pushed and not yet sent."""
        return self.pushed - self.sent

    @property
    def left(self) -> bool:
        """Whether all of it was sent and nothing more comes."""
        return self.ended and self.sent == self.pushed

    def add(self, audio: bytes) -> None:
        """More audio."""
        self._pieces.append(audio)
        self.pushed += len(audio)

    def fits(self, size: int) -> bool:
        """Whether the next piece, as it was pushed, is just that long. Some must wait."""
        return not self._taken and len(self._pieces[0]) == size

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes, or what there is. A piece just that long is handed on as is."""
        if self._pieces and self.fits(size):
            self.sent += size
            return self._pieces.popleft()
        parts: list[bytes] = []
        while size and self._pieces:
            piece = self._pieces[0]
            part = piece[self._taken : self._taken + size]  # a slice of all is the piece itself
            parts.append(part)
            size -= len(part)
            self.sent += len(part)
            self._taken += len(part)
            if self._taken == len(piece):
                self._pieces.popleft()
                self._taken = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def drop(self) -> None:
        """Cancel it: what waits never leaves."""
        self.cleared = True
        self._pieces.clear()
        self._taken = 0
