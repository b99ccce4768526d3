"""Turns: who said what, what was heard of it, and what is to be said next.

The words a conversation and the one who answers in it have in common. Knows nothing of audio,
calls or time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from enum import StrEnum

from msgspec import Struct

from ..events import Who

__all__ = ["Answer", "Answered", "History", "Reply", "Turn", "TurnState"]


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
    """One party's turn. ``heard`` is the part of ``text`` that reached the other's ear.

    Where a reply comes piece by piece, ``text`` is as much of it as there is by then.
    """

    who: Who
    text: str
    state: TurnState = TurnState.DONE
    heard: str = ""


History = Sequence[Turn]
"""The turns of a call that are over, in order."""

Answered = str | Reply | Awaitable[str | Reply] | AsyncGenerator[str | Reply, None]
"""What to say: whole, now or later, or piece by piece as it is made. Pieces are put together as
they are; a ``Reply`` among them begins and ends a sentence. It may be nothing at all."""

Answer = Callable[[str, History], Answered]
"""What to say to this, after all that: an async function or generator, or one that knows at once.

The text is empty where speech was heard but not understood.
"""
