"""One end of a media socket's protocol, without the socket.

How JSON messages are read, too, how they are numbered, and how numbered ones are put in order.
Sans-IO: a stream is fed messages and drained of replies. Which carrier's, it does not know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct
from pybase64 import b64encode_as_string

from .errors import LocalProtocolError, RemoteProtocolError
from .events import Digit, Extra
from .media.formats import AudioFormat

__all__ = ["InOrder", "Numbers", "Shapes", "Stream", "base64_text", "read_key"]

In = TypeVar("In")
Out = TypeVar("Out")


class Stream(ABC, Generic[In, Out]):
    """One end of a media socket's protocol, without the socket.

    ``In`` is what the other end tells us, ``Out`` what we tell it. A ``str`` message is a
    WebSocket text frame, ``bytes`` a binary one.
    """

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: list[str | bytes] = []

    @abstractmethod
    def receive(self, message: str | bytes) -> Sequence[In]:
        """Read one message.

        A reply that the protocol owes is queued, not returned: drain ``outgoing`` afterwards.

        Raises:
            RemoteProtocolError: the message breaks the protocol; nothing else, on any input.
        """

    @abstractmethod
    def send(self, event: Out) -> None:
        """Queue the message or messages that say ``event``.

        Raises:
            LocalProtocolError: this end cannot say it, or not yet.
        """

    def messages(self, event: Out) -> Sequence[str | bytes]:
        """The messages that say ``event``, and those that were queued before: ``send``, drained.

        Raises:
            LocalProtocolError: as ``send``.
        """
        self.send(event)
        return self.outgoing()

    def put(self, message: object) -> None:
        """Queue a message as JSON text: a struct, or a mapping."""
        self._queue.append(msgspec.json.encode(message).decode())

    def put_extra(
        self, event: object, known: Collection[str], whose: str, tag: str = "event"
    ) -> None:
        """Queue an ``Extra`` as the message it was, unless its kind is one of the ``known``.

        Raises:
            LocalProtocolError: it is one, or no ``Extra`` at all: ``whose`` socket never says it.
        """
        if not isinstance(event, Extra) or event.kind in known:
            raise LocalProtocolError(f"{whose}'s socket never says {type(event).__name__}")
        self.put({**event.fields, tag: event.kind})

    @property
    def owes(self) -> bool:
        """Whether messages are queued for the other end."""
        return bool(self._queue)

    def outgoing(self) -> list[str | bytes]:
        """Hand out, once, the messages queued for the other end."""
        queue = self._queue
        if queue:
            self._queue = []
        return queue


Shape = TypeVar("Shape", bound=Struct)


class Shapes(Generic[Shape]):
    """Reads JSON text messages of a declared set of shapes (tagged ``msgspec`` structs).

    A message with a tag that is not declared becomes ``Extra``; anything else that does not fit
    is the peer's protocol error.
    """

    def __init__(self, union: Any, tag: str) -> None:
        self._decoder: msgspec.json.Decoder[Shape] = msgspec.json.Decoder(union, strict=False)
        self._tag = tag
        members: tuple[type[Struct], ...] = getattr(union, "__args__", (union,))
        self._known = {member.__struct_config__.tag for member in members}

    def read(self, message: str | bytes) -> Shape | Extra:
        """Decode one text message.

        Raises:
            RemoteProtocolError: it is binary, no JSON object, or a known shape malformed.
        """
        if not isinstance(message, str):
            raise RemoteProtocolError("a binary message, where the protocol has only text")
        try:
            return self._decoder.decode(message)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return self._unknown(message, error)

    def _unknown(self, message: str, error: Exception) -> Extra:
        try:
            fields = msgspec.json.decode(message, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise RemoteProtocolError(f"unreadable message: {error}") from None
        kind = fields.pop(self._tag, None)
        if not isinstance(kind, str) or kind in self._known:
            raise RemoteProtocolError(f"malformed message: {error}") from None
        return Extra(kind, fields)


def read_key(digit: str, duration_ms: int = -1) -> Digit:
    """A key that was pressed: one of the sixteen there are (ITU-T Q.23).

    Raises:
        RemoteProtocolError: it is none, or not one.
    """
    if len(digit) != 1 or digit not in "0123456789*#ABCD":
        raise RemoteProtocolError("a key that no telephone has")
    return Digit(digit, duration_ms)


class Numbers:
    """Counts what one end of a stream says, for the numbers its messages carry. All begin at 1.

    Args:
        audio: what its audio is.
    """

    __slots__ = ("_audio", "_bytes", "_chunks", "_messages")

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio
        self._messages = 0
        self._chunks = 0
        self._bytes = 0

    @property
    def now_ms(self) -> int:
        """How long all audio so far is, in whole milliseconds."""
        return int(self._audio.ms_in(self._bytes))

    def message(self) -> int:
        """The number of one more message."""
        self._messages += 1
        return self._messages

    def chunk(self, payload: bytes, timestamp: int = -1) -> tuple[int, int]:
        """The number of one more chunk of audio, and when in the stream it was heard, in ms.

        That is ``timestamp``, or where that is negative, how long all audio before it is.
        """
        self._chunks = chunk = self._chunks + 1
        at = timestamp if timestamp >= 0 else self.now_ms
        self._bytes += len(payload)
        return chunk, at


base64_text = lru_cache(maxsize=64)(b64encode_as_string)
"""Base64 as text. What was encoded last is kept: many calls of a load test say the same."""


Item = TypeVar("Item")


class InOrder(Generic[Item]):
    """Puts numbered messages in order, where a carrier lets them overtake each other or come twice.

    What comes in order is handed on at once. One that is missing is waited for until more than
    ``window`` others are held. A number more than ``restart`` behind is no straggler: the count
    has begun anew.
    """

    def __init__(self, window: int, restart: int = 50) -> None:
        self._window = window
        self._restart = restart
        self._next: int | None = None
        self._held: dict[int, Item] = {}

    def put(self, number: int, item: Item) -> list[Item]:
        """What can be handed on, now that ``item`` is there."""
        if self._next is None or self._next - number > self._restart:
            before = self.rest()
            self._next = number + 1
            return [*before, item]
        if number < self._next:
            return []  # again, or too late
        self._held[number] = item
        if len(self._held) > self._window:
            self._next = min(self._held)
        ready: list[Item] = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next += 1
        return ready

    def rest(self) -> list[Item]:
        """What is still held, in order: nothing more comes, or the count begins anew."""
        held, self._held, self._next = self._held, {}, None
        return [held[number] for number in sorted(held)]
