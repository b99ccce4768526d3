"""Turns: who said what, what was heard of it, and what is to be said next.

The words a conversation and the one who answers in it have in common. Knows nothing of audio,
calls or time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum

from msgspec import Struct

from ..events import Who

__all__ = ["Answer", "History", "Reply", "Turn", "TurnState", "heard_text"]


class Reply(Struct, frozen=True):
    """What to say, or nothing; and whether to end the call when it has been heard."""

    text: str = ""
    hang_up: bool = False


class TurnState(StrEnum):
    """Where a turn stands. The caller's are always ``DONE``; ``CUT`` is one they interrupted."""

    BEGUN = "begun"
    DONE = "done"
    CUT = "cut"


class Turn(Struct, frozen=True):
    """One party's turn. ``heard`` is the part of ``text`` that reached the other's ear."""

    who: Who
    text: str
    state: TurnState = TurnState.DONE
    heard: str = ""


History = Sequence[Turn]
"""The turns of a call that are over, in order."""

Answer = Callable[[str, History], Awaitable[Reply]]
"""What to say to this, after all that; no text means that speech was heard but not understood."""


def heard_text(said: Sequence[tuple[str, float]], heard_ms: float) -> str:
    """The words heard of sentences said in so many ms each, after ``heard_ms`` of them.

    Whole words, counted within a sentence as if all took equally long: exact at the end of each
    sentence, a word or two off within one.
    """
    words: list[str] = []
    for sentence, ms in said:
        spoken = sentence.split()
        part = 1.0 if heard_ms >= ms else max(0.0, heard_ms / ms)
        words += spoken[: int(len(spoken) * part)]
        heard_ms -= ms
    return " ".join(words)
