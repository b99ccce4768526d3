"""What a conversation remembers when its session is gone: the words, the calls, the last sound.

A session's memory dies with its socket. ``Memory`` keeps what another session must be told to go
on: who said what, as far as it was heard, and what functions gave. ``Recall`` keeps the last
seconds of the caller's audio. Both are pure.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from ...events import Who
from ..said import Sentence, heard_text
from .wire import InputText, Item, Message, OutputText

__all__ = ["Memory", "Recall"]


class _Words(Struct):
    """A turn's place in the conversation; ``heard`` is ``None`` while all of it counts."""

    id: str
    who: Who
    heard: str | None = None


class Memory:
    """The conversation so far, in order."""

    def __init__(self) -> None:
        self._told: list[_Words | Item] = []
        self._texts: dict[str, str] = {}

    def begin(self, item_id: str, who: Who) -> None:
        """Somebody's turn takes its place; the words may come later. Twice does nothing."""
        if self._find(item_id) is None:
            self._told.append(_Words(item_id, who))

    def add(self, item: Item) -> None:
        """Something that is whole: a function's call or result, a note about keys."""
        self._told.append(item)

    def hear(self, item_id: str, delta: str) -> None:
        """More words of an item."""
        self._texts[item_id] = self.text(item_id) + delta

    def know(self, item_id: str, text: str) -> None:
        """All the words of an item."""
        self._texts[item_id] = text

    def text(self, item_id: str) -> str:
        """The words of an item, as far as they are known."""
        return self._texts.get(item_id, "")

    def heard(self, item_id: str, heard_ms: float, of_ms: float, *, whole: bool) -> str:
        """The words among the first ``heard_ms`` of an item of which ``of_ms`` of audio came.

        The service does not tell when words are said: they are taken to share the time.
        """
        return heard_text([Sentence(self.text(item_id), of_ms, complete=whole)], heard_ms)

    def cut(self, item_id: str, heard: str) -> None:
        """Of this item only so much was heard; nothing, and it was not said."""
        found = self._find(item_id)
        if found is not None and heard:
            found.heard = heard
        elif found is not None:
            self._told.remove(found)

    def carried(self) -> list[Item]:
        """What another session is to be told. Turns whose words are not known are left out."""
        items: list[Item] = []
        for told in self._told:
            if not isinstance(told, _Words):
                items.append(told)
            elif text := (self.text(told.id) if told.heard is None else told.heard):
                items.append(_message(told.id, told.who, text))
        return items

    def _find(self, item_id: str) -> _Words | None:
        found = (told for told in reversed(self._told) if told.id == item_id)
        words = next(found, None)
        return words if isinstance(words, _Words) else None


def _message(item_id: str, who: Who, text: str) -> Message:
    # "has the current limitation that it cannot populate assistant audio messages"
    # (conversation.item.create, client events, 2026-11-21): words it is.
    if who is Who.CALLER:
        return Message(id=item_id, role="user", content=(InputText(text),))
    return Message(id=item_id, role="assistant", content=(OutputText(text),))


class Recall:
    """The last ``size`` bytes of a stream, by their position in it."""

    def __init__(self, size: int) -> None:
        self.end = 0
        self._size = size
        self._kept: deque[bytes] = deque()
        self._begin = 0

    def push(self, audio: bytes) -> None:
        """The stream goes on."""
        self._kept.append(audio)
        self.end += len(audio)
        while self._kept and self.end - self._begin - len(self._kept[0]) >= self._size:
            self._begin += len(self._kept.popleft())

    def since(self, position: int) -> bytes:
        """What came from ``position`` on, as far as it is kept."""
        return b"".join(self._kept)[max(0, position - self._begin) :]
