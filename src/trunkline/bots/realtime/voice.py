"""The model's voice on its way to the caller's ear: an utterance for each item, and what was heard.

Audio comes faster than it is spoken, so there may be several items of which the caller has heard
the first half of one. ``interrupt`` stops them all, and says what the service must be told so that
it knows no more said than was heard.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from ...call import Call, SpeakingStopped, Utterance
from ...events import Who
from ...media.formats import AudioFormat
from ..turns import Turn, TurnState
from .link import Link
from .memory import Memory
from .wire import AudioDelta, ClientEvent, CreateItem, DeleteItem, Message, OutputText, Truncate

__all__ = ["CUT", "Voice"]

CUT = "cut_"
"""What the ids of events begin with that may come too late, and whose refusal means nothing."""


class _Said(Struct, eq=False):
    id: str
    link: Link
    response_id: str
    content_index: int
    utterance: Utterance
    received: int = 0
    ended: bool = False


class Voice:
    """What the model says on one call.

    Args:
        call: who hears it.
        audio: the encoding it comes in.
        memory: keeps the words.
        tell: told of each turn, when it begins and when it is over.
    """

    def __init__(
        self, call: Call, audio: AudioFormat, memory: Memory, tell: Callable[[Turn], None]
    ) -> None:
        self._call = call
        self._audio = audio
        self._memory = memory
        self._tell = tell
        self._said: dict[str, _Said] = {}
        self._known: set[str] = set()
        self._cuts = 0

    @property
    def speaking(self) -> bool:
        """Whether anything is being said, or will be."""
        return bool(self._said)

    def write(self, link: Link, delta: AudioDelta) -> None:
        """More audio of an item, the first of it or not.

        Raises:
            CallEnded: nobody is there to hear it.
        """
        if not delta.delta:
            return
        said = self._said.get(delta.item_id)
        if said is None:
            said = self._said[delta.item_id] = _Said(
                delta.item_id,
                link,
                delta.response_id,
                delta.content_index,
                self._call.utterance(self._audio),
            )
            self._known.add(said.id)
            self._memory.begin(said.id, Who.BOT)
            self._tell(Turn(Who.BOT, self._memory.text(said.id), TurnState.BEGUN))
        said.received += len(delta.delta)
        said.utterance.write(delta.delta)

    def refuse(self, item_id: str) -> list[ClientEvent]:
        """Audio of an item nobody wants to hear. Returns what the session is to be told of it."""
        if item_id in self._known:
            return []
        self._known.add(item_id)
        self._cuts += 1
        return [DeleteItem(event_id=f"{CUT}{self._cuts}", item_id=item_id)]

    def done(self, item_id: str) -> None:
        """No more audio comes of an item."""
        if said := self._said.get(item_id):
            said.ended = True
            said.utterance.end()

    def response_done(self, response_id: str) -> None:
        """No more audio comes of any item of a response."""
        for said in list(self._said.values()):
            if said.response_id == response_id:
                self.done(said.id)

    def heard(self, event: SpeakingStopped) -> None:
        """An utterance came to its end, and the caller heard all of it."""
        for said in list(self._said.values()):
            if said.utterance is event.utterance and not event.cleared:
                del self._said[said.id]
                text = self._memory.text(said.id)
                self._tell(Turn(Who.BOT, text, TurnState.DONE, text))

    def interrupt(self, link: Link | None) -> list[ClientEvent]:
        """Say nothing more. Returns what the session on ``link`` is to be told of it."""
        if not self._said:
            return []
        self._call.clear()
        events: list[ClientEvent] = []
        for said in self._said.values():
            events += self._cut(said, link)
        self._said.clear()
        return events

    def break_off(self) -> str:
        """The session is gone: nothing comes of what was still to come.

        Returns:
            The words said of it; none where all had come.
        """
        words: list[str] = []
        for said in list(self._said.values()):
            if not said.ended:
                received_ms = self._audio.ms_in(said.received)
                text = self._memory.heard(said.id, received_ms, received_ms, whole=False)
                self._memory.know(said.id, text)
                words.append(text)
                self.done(said.id)
        return " ".join(words)

    def _cut(self, said: _Said, link: Link | None) -> list[ClientEvent]:
        """What the caller heard of one item; whatever else came of it was not said."""
        received_ms = self._audio.ms_in(said.received)
        # Exact, or estimated, but never more than was sent: nor than the service has.
        heard_ms = min(said.utterance.heard_ms, received_ms)
        text = self._memory.text(said.id)
        if said.ended and heard_ms >= received_ms:
            self._tell(Turn(Who.BOT, text, TurnState.DONE, text))
            return []
        heard = self._memory.heard(said.id, heard_ms, received_ms, whole=said.ended)
        self._memory.cut(said.id, heard)
        self._tell(Turn(Who.BOT, text, TurnState.CUT, heard))
        return self._told(said, link, int(heard_ms), heard)

    def _told(self, said: _Said, link: Link | None, heard_ms: int, heard: str) -> list[ClientEvent]:
        self._cuts += 1
        event_id = f"{CUT}{self._cuts}"
        if said.link is link and heard_ms:
            return [
                Truncate(
                    event_id=event_id,
                    item_id=said.id,
                    content_index=said.content_index,
                    audio_end_ms=heard_ms,
                )
            ]
        # An item cannot be cut down to nothing, and one that another session was told of has no
        # audio there.
        events: list[ClientEvent] = [DeleteItem(event_id=event_id, item_id=said.id)]
        if said.link is not link and heard:
            words = Message(
                id=f"{said.id}_{self._cuts}", role="assistant", content=(OutputText(heard),)
            )
            events.append(CreateItem(words))
        return events
