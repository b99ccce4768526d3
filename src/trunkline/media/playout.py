"""What we say, cut into messages and sent at the right moment; and what was heard of it.

The bot pushes audio as fast as it has it. Playout keeps it back, so that a barge-in can drop it,
and sends it ahead of real time by a *lead*, so that a late event loop is not heard. What is said
is a row of *passages*, one an utterance; each ends up played or cleared, once, and it is told when
the caller begins to hear it and how much of it was heard.

Audio comes in the wire's own format. Time is an argument: seconds on any monotonic clock. This
module knows no carrier, no socket and no task; it does not wait, and drops nothing but by clear.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from math import inf

from msgspec import Struct

from ..events import Audio, Mark
from .formats import AudioFormat
from .framing import FrameRule, Marks
from .passage import Passage
from .playhead import Playhead

__all__ = ["LEAD_MS", "TOGETHER", "Change", "ChangeKind", "Passage", "Playout"]

LEAD_MS = 200.0
"""A garbage collection, a model call on the loop or a slow log write stalls a Python server for
50 to 150 ms now and then; this covers it with one message to spare, and is still dropped by a
clear."""

TOGETHER = 3
"""Messages of paced speech that leave as one, in a session: a third of the work, and a clear still
drops them."""

_LEAD_UNCLEARED = 0.12  # where nothing sent can be taken back, a barge-in waits for all of it
_SPARE = 0.1  # what the lead is given on top of the stall it has just seen
_RELAX = 0.01  # the lead returns by 10 ms a second, too slowly to be heard or to oscillate
_LOW = 0.04  # with less than this to play, a message leaves unfilled
_LARGEST_MS = 200  # of one message, when much is overdue
_MARK_EVERY = 0.2
_MARK_EVERY_LIVE = 1.0  # a live source is not taken up again where it was heard to


class ChangeKind(StrEnum):
    """What became of a passage."""

    STARTED = "started"
    """The caller begins to hear it."""
    PLAYED = "played"
    """The caller heard it to its end."""
    CLEARED = "cleared"
    """It was cancelled, heard in part or not at all."""


class Change(Struct, frozen=True):
    """Something became of a passage at ``at`` seconds; by then ``heard_ms`` of it was heard."""

    kind: ChangeKind
    passage: Passage
    at: float
    heard_ms: float


class Playout:
    """Everything said on one call.

    Args:
        audio: what is pushed, and sent.
        rule: how messages are cut, and the longest lead the carrier stands.
        marks: whether marks come back.
        can_clear: whether the carrier can forget what it has not played.
        lead_ms: how far ahead of real time to send while all is well.
        together: how many messages leave as one, where the rule and a clear allow it: less often
            is less work.
    """

    __slots__ = (
        "__weakref__", "_asked_at", "_audio", "_can_clear", "_changed_at", "_changes",
        "_expected", "_full", "_largest", "_lead", "_lead_least", "_lead_most", "_mark_at",
        "_marked", "_number", "_playhead", "_rate", "_sample_bytes", "_sending", "_together",
        "_unsettled", "_whole",
    )  # fmt: skip

    def __init__(
        self,
        audio: AudioFormat,
        rule: FrameRule,
        marks: Marks,
        *,
        can_clear: bool = True,
        lead_ms: float = LEAD_MS,
        together: int = 1,
    ) -> None:
        self._audio = audio
        self._rate = audio.bytes_per_second
        self._sample_bytes = audio.sample_bytes
        self._whole = rule.whole
        self._full = audio.bytes_in(rule.ms)
        self._largest = max(1, audio.bytes_in(_LARGEST_MS) // self._full) * self._full
        self._marked = marks is not Marks.NONE
        self._can_clear = can_clear
        self._together = 1 if rule.whole or not can_clear else together
        self._lead_most = rule.max_lead_ms / 1000 if can_clear else _LEAD_UNCLEARED
        self._lead_least = min(lead_ms / 1000, self._lead_most)
        self._lead = self._lead_least
        self._playhead = Playhead(self._rate)
        self._sending: deque[Passage] = deque()
        self._unsettled: deque[Passage] = deque()
        self._changes: list[Change] = []
        self._number = 0
        self._asked_at = -inf
        self._expected = inf  # when due() was to be called next, for audio already there
        self._mark_at = -inf
        self._changed_at = -inf

    # What the bot does.

    def begin(self, *, live: bool = False) -> Passage:
        """A new passage, to be heard after those before it."""
        self._number += 1
        passage = Passage(self._number, live)
        self._sending.append(passage)
        self._unsettled.append(passage)
        return passage

    def push(self, passage: Passage, audio: bytes) -> bool:
        """Add audio to a passage. False where it was cleared: then the audio is dropped.

        Raises:
            ValueError: the passage has ended, or these are not whole samples.
        """
        if passage.cleared:
            return False
        if passage.ended:
            raise ValueError(f"passage {passage.id} has ended and takes no more audio")
        if len(audio) % self._sample_bytes:
            raise ValueError(f"{len(audio)} bytes are not whole samples of {self._audio}")
        if audio:
            passage.add(audio)
        return True

    def pass_on(self, passage: Passage, audio: bytes, now: float) -> bool:
        """Count live audio as sent, where it may leave at once and as it is: then send it.

        False where more is to be done, such as a mark: push it, and ask ``due``. This is what
        most messages of a live source come to, at a fraction of the price.
        """
        size, playhead = len(audio), self._playhead
        if passage.ended or not passage.sent or passage.pushed != passage.sent:
            return False
        if self._sending[0] is not passage or size > self._largest:
            return False
        if (self._whole and size != self._full) or size % self._sample_bytes:
            return False
        if self._marked:
            if now >= self._mark_at + _MARK_EVERY_LIVE:
                return False
            passage.unmarked += size
        playhead.add(size, now)
        passage.pushed = passage.sent = passage.sent + size
        passage.ends = playhead.ends
        return True

    def end(self, passage: Passage) -> None:
        """Nothing more comes for this passage. Saying so twice does nothing."""
        passage.ended = True

    def clear(self, now: float) -> bool:
        """Cancel every passage. True if a ``Clear`` must go on the wire.

        Audio that an earlier ``due`` handed out and that has not left is the caller's to drop.
        """
        self._settle(now)
        holds = self._playhead.holds(now)
        if self._can_clear:
            heard = self._playhead.heard_if_cleared(now)
            self._playhead.clear(now)
        else:  # what was sent will be heard, whatever we want
            heard = self._playhead.sent
            self._playhead.forget_marks()
        for passage in self._unsettled:
            passage.drop()
            passage.heard = self._heard_of(passage, heard)
            if passage.heard and not passage.told:
                self._change(ChangeKind.STARTED, passage, now)
            self._change(ChangeKind.CLEARED, passage, now)
        self._unsettled.clear()
        self._sending.clear()
        self._expected = inf
        return holds and self._can_clear

    # What goes on the wire.

    def due(self, now: float) -> list[Audio | Mark]:
        """What goes on the wire now, in order. To be sent at once: it counts as sent."""
        self._adapt(now)
        out: list[Audio | Mark] = []
        while self._sending:
            passage = self._sending[0]
            if passage.waiting:
                ready = self._ready(passage)
                if ready > now:
                    self._expected = ready
                    break
                self._send(passage, now, out)
            if passage.left:
                if passage.unmarked:
                    self._mark(passage, now, out)
                self._sending.popleft()
            elif not passage.waiting:
                break
        return out

    def next_due(self, now: float) -> float | None:
        """When ``due`` has something next, ``now`` or earlier meaning at once.

        ``None``: not before more is pushed or a passage is ended.
        """
        for passage in self._sending:
            if passage.waiting:
                ready = self._ready(passage)
                return None if ready == inf else max(ready, now)
            if passage.unmarked and passage.ended:
                return now
            if not passage.ended:
                break
        return None

    def returned(self, name: str, now: float) -> None:
        """A mark came back: all before it was heard. Unknown, old and double names do nothing."""
        self._playhead.returned(name, now)

    # What was heard.

    def changes(self, now: float) -> list[Change]:
        """What became of passages since last asked, in their order, each thing once."""
        self._settle(now)
        changes, self._changes = self._changes, []
        return changes

    def next_change(self, now: float) -> float | None:
        """When ``changes`` has something next unless a mark comes before; ``None``: unknown."""
        if self._changes:
            return now
        if not self._unsettled:
            return None
        passage = self._unsettled[0]
        if passage.told and not passage.ended:
            return None
        at = min(self._start_of(passage), self._end_of(passage))
        return None if at == inf else max(now, at)

    def heard_ms(self, passage: Passage, now: float) -> float:
        """Milliseconds of a passage that the caller has heard; final once played or cleared."""
        heard = passage.heard
        if heard is None:
            heard = self._heard_of(passage, self._playhead.heard(now))
        return heard * 1000 / self._rate

    def ahead_ms(self, now: float) -> float:
        """Milliseconds of audio that were sent and are not yet played."""
        return self._playhead.ahead(now) * 1000

    def left_ms(self, now: float) -> float:
        """Milliseconds of audio that were pushed and are not yet played."""
        waiting = sum(passage.waiting for passage in self._sending)
        return self._audio.ms_in(waiting) + self.ahead_ms(now)

    # Sending.

    def _adapt(self, now: float) -> None:
        if now > self._asked_at > -inf:
            self._lead = max(self._lead_least, self._lead - _RELAX * (now - self._asked_at))
        self._asked_at = now
        late = now - self._expected
        if late > self._lead / 2:
            self._lead = min(self._lead_most, max(self._lead, late + _SPARE))
        self._expected = inf

    def _ready(self, passage: Passage) -> float:
        # When the first message of what waits may leave; infinity: not as things are.
        if passage.waiting >= self._full or passage.ended:
            return -inf if passage.live else self._playhead.ends - self._lead
        if self._whole:
            return inf
        return -inf if passage.live else self._playhead.ends - min(_LOW, self._lead)

    def _send(self, passage: Passage, now: float, out: list[Audio | Mark]) -> None:
        playhead = self._playhead
        if not passage.sent:
            passage.begins = playhead.sent
            passage.starts = max(now, playhead.ends)
        every = _MARK_EVERY_LIVE if passage.live else _MARK_EVERY
        # Playout begins: a mark soon after tells when it really did.
        begins = self._marked and now >= max(playhead.ends, self._mark_at + every)
        payload = passage.take(self._full if begins else self._message_size(passage, now))
        padding = 0
        if self._whole and len(payload) < self._full:
            padding = self._full - len(payload)
            payload += self._audio.silence * (padding // self._audio.sample_bytes)
        playhead.add(len(payload), now)
        passage.ends = playhead.ends - padding / self._rate
        out.append(Audio(payload))
        if self._marked:
            passage.unmarked += len(payload)
            if begins or passage.unmarked >= every * self._rate:
                self._mark(passage, now, out)

    def _message_size(self, passage: Passage, now: float) -> int:
        if self._whole or passage.fits(self._full):
            return self._full
        if passage.live:
            return self._largest
        missing = now + self._lead - max(now, self._playhead.ends)
        # Rounded down, or it would be more than a message too many; but not for a float's last bit.
        overdue = int(missing * self._rate + 1e-6) // self._full
        messages = overdue + self._together
        return min(messages * self._full, self._largest)

    def _mark(self, passage: Passage, now: float, out: list[Audio | Mark]) -> None:
        passage.marks += 1
        passage.unmarked = 0
        passage.mark = f"{passage.id}.{passage.marks}"
        self._mark_at = now
        self._playhead.mark(passage.mark, now)
        out.append(Mark(passage.mark))

    # Telling.

    def _settle(self, now: float) -> None:
        while self._unsettled:
            passage = self._unsettled[0]
            if passage.told and not passage.ended:
                return
            over = self._end_of(passage) <= now
            start = self._start_of(passage)
            if start <= now or (over and passage.sent and not passage.told):
                self._change(ChangeKind.STARTED, passage, min(start, now))
            if not over:
                return
            passage.heard = passage.pushed
            at = passage.ends + self._playhead.end_delay if passage.sent else now
            self._change(ChangeKind.PLAYED, passage, min(at, now))
            self._unsettled.popleft()

    def _start_of(self, passage: Passage) -> float:
        # When it is to be told that the caller begins to hear it; infinity: told, or not known.
        return inf if passage.told else passage.starts + self._playhead.start_delay

    def _end_of(self, passage: Passage) -> float:
        # When it is to be told that it was played, a mark being lost; infinity: not known.
        if passage.unmarked or not passage.left:
            return inf
        if passage.mark:
            lost_at = self._playhead.lost_at(passage.mark)
            return -inf if lost_at is None else lost_at
        return passage.ends

    def _change(self, kind: ChangeKind, passage: Passage, at: float) -> None:
        passage.told = True
        heard_ms = 0.0 if kind is ChangeKind.STARTED else self.heard_ms(passage, at)
        self._changed_at = at = max(at, self._changed_at)
        self._changes.append(Change(kind, passage, at, heard_ms))

    def _heard_of(self, passage: Passage, position: float) -> float:
        return min(max(0, position - passage.begins), passage.sent)
