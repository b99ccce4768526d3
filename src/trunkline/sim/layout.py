"""The rows of a call's picture, and which words stand where in them.

Words go beside the voice that spoke them, flags above the moment they name. Only text and places
are settled here; how they look is ``timeline``'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from .measure import TURN_GAP_S, BargeIn, Measures, Span
from .record import BOT, CallRecord, Kind, Moment
from .svg import shorten, wrap

__all__ = [
    "LEFT",
    "PLOT",
    "RIGHT",
    "ROW_S",
    "SHORTEST_S",
    "SMALL",
    "TEXT",
    "WIDTH",
    "Block",
    "Flag",
    "Row",
    "flags",
    "rows",
    "words",
]

WIDTH = 1400.0  # px
LEFT, RIGHT = 76.0, 24.0
PLOT = WIDTH - LEFT - RIGHT

ROW_S = 20.0  # a longer call goes on in a new row …
STRETCH_S = 24.0  # … unless that row would be a mere rest
SHORTEST_S = 5.0

TEXT, SMALL = 13.0, 12.0  # font sizes, px
MOST_LINES = 3
LEAST_ROOM = 48.0  # px that words want at least …
USUAL_ROOM = 140.0  # … and that they may take where nobody else does
WIDEST_FLAG = 240.0

BREATH_S = 1.0  # words may be noted this long before their sound
MERGE_S = 0.75  # words this close share a place
TOGETHER_S = 1.5  # keys and holes this close share a flag


class Row(Struct, frozen=True):
    """What one row shows: the call from ``start`` to ``end``. ``last`` is when it was over."""

    start: float
    end: float
    last: float

    def x(self, at: float) -> float:
        """Where the second ``at`` lies, in px from the left."""
        return LEFT + (at - self.start) / (self.end - self.start) * PLOT

    def has(self, at: float) -> bool:
        """Whether ``at`` is in this row; no moment is in two."""
        return self.start <= at < self.end or at == self.last == self.end

    def cut(self, start: float, end: float) -> tuple[float, float] | None:
        """The px that ``start`` to ``end`` takes in this row, if any."""
        start, end = max(start, self.start), min(end, self.end)
        return (self.x(start), self.x(end)) if start < end else None


class _Phrase(Struct):
    """Words to be written beside a voice, from ``start`` to ``end`` and on if there is room."""

    start: float
    end: float
    text: str


class Flag(Struct, frozen=True):
    """Something to be named above a row: in few words, and in more for who points at it.

    ``look`` is what it is drawn as: ``plain``, ``bad``, ``band``, ``caller-key``, ``bot-key``.
    """

    at: float
    text: str
    look: str
    title: str = ""


class Block(Struct, frozen=True):
    """Lines of words beside a voice, from ``x`` px on in row number ``row``; ``title`` is all."""

    row: int
    x: float
    lines: list[str]
    title: str


def rows(duration: float) -> list[Row]:
    """The rows that a call of ``duration`` seconds takes."""
    if duration <= STRETCH_S:
        end = max(float(math.ceil(duration)), SHORTEST_S)
        return [Row(0.0, end, duration)]
    count = math.ceil(duration / ROW_S)
    return [Row(index * ROW_S, (index + 1) * ROW_S, duration) for index in range(count)]


# --- words -----------------------------------------------------------------------------------


def words(
    moments: Sequence[Moment], spans: Sequence[Span], channel: str, on: Sequence[Row]
) -> list[Block]:
    """The words of one voice, as said or else as understood, laid out on the rows.

    Each has the ground from its beginning to the next one's, and goes on in the next row with the
    voice where that is too little.
    """
    blocks: list[Block] = []
    phrases = _phrases(moments, spans, channel)
    for phrase, limit in zip(phrases, _limits(phrases), strict=True):
        rest = phrase.text
        parts = _parts(phrase, limit, on)
        for part, (index, left, right, room) in enumerate(parts, 1):
            lines, rest = _fit(rest, right - left, room, final=part == len(parts))
            if lines:
                blocks.append(Block(index, left, lines, phrase.text))
    return blocks


def _phrases(moments: Sequence[Moment], spans: Sequence[Span], channel: str) -> list[_Phrase]:
    mine = [moment for moment in moments if moment.channel == channel and moment.text]
    said = [
        _Phrase(_onset(moment.at, spans), 0.0, moment.text)
        for moment in mine
        if moment.kind == Kind.SAID
    ]
    for moment in mine:
        if moment.kind == Kind.HEARD:
            _add_heard(said, moment, spans)
    phrases = _merged(sorted(said, key=lambda phrase: phrase.start))
    for phrase, limit in zip(phrases, _limits(phrases), strict=True):
        ends = [span.end for span in spans if phrase.start < span.end and span.start < limit]
        phrase.end = min(max(ends, default=phrase.start), limit)
    return phrases


def _limits(phrases: Sequence[_Phrase]) -> list[float]:
    return [*(phrase.start for phrase in phrases[1:]), math.inf][: len(phrases)]


def _onset(at: float, spans: Sequence[Span]) -> float:
    """When the words noted at ``at`` are first heard: a voice often takes a breath first."""
    near = [span.start for span in spans if at < span.end and span.start <= at + BREATH_S]
    return max(at, near[0]) if near else at


def _add_heard(phrases: list[_Phrase], moment: Moment, spans: Sequence[Span]) -> None:
    """Understood words are noted after their speech; if not those that were said, both stand."""
    before = [span for span in spans if span.start <= moment.at]
    start = before[-1].start if before else moment.at
    for earlier, later in reversed(list(pairwise(before))):
        if later.start - earlier.end >= TURN_GAP_S:
            break
        start = earlier.start
    same = [phrase for phrase in phrases if start - BREATH_S <= phrase.start <= moment.at]
    if not same:
        phrases.append(_Phrase(start, 0.0, f"heard: “{moment.text}”"))
    elif _plain(same[-1].text) != _plain(moment.text):
        same[-1].text += f" (heard: “{moment.text}”)"


def _merged(phrases: Sequence[_Phrase]) -> list[_Phrase]:
    merged: list[_Phrase] = []
    for phrase in phrases:
        if merged and phrase.start - merged[-1].start < MERGE_S:
            merged[-1].text += f" · {phrase.text}"
        else:
            merged.append(phrase)
    return merged


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _parts(
    phrase: _Phrase, limit: float, on: Sequence[Row]
) -> list[tuple[int, float, float, float]]:
    """Per row that the phrase's voice is in: its index, the px from and to, and the px of room."""
    found: list[tuple[int, float, float, float]] = []
    for index, row in enumerate(on):
        here = row.cut(phrase.start, max(phrase.end, phrase.start + 0.001))
        if here is not None:
            edge = row.x(min(limit, row.end)) + (RIGHT if limit >= row.end else -8)
            found.append((index, here[0], here[1], edge - 6 - here[0]))
    roomy = [part for part in found if part[3] >= LEAST_ROOM]
    return roomy or found[-1:]


def _fit(text: str, width: float, room: float, *, final: bool) -> tuple[list[str], str]:
    """Within the voice's own width if that will do, else within all the room there is."""
    for attempt in (min(max(width, USUAL_ROOM), room), room):
        lines, rest = wrap(text, attempt, TEXT, MOST_LINES)
        if not rest:
            return lines, ""
    if final:
        lines[-1] = shorten(f"{lines[-1]} {rest}", room, TEXT)
    return lines, rest


# --- flags -----------------------------------------------------------------------------------


def flags(record: CallRecord, found: Measures) -> list[Flag]:
    """All that is named above the rows, in the order of time."""
    named = [_barge_in_flag(barge_in) for barge_in in found.barge_ins]
    named += _hole_flags(found.holes)
    named += _key_flags([moment for moment in record.moments if moment.kind == Kind.KEY])
    # A clear that answers a barge-in is drawn within that; marks are many, and drawn small.
    elsewhere = {Kind.SAID, Kind.HEARD, Kind.MARK, Kind.KEY}
    answers = {barge_in.clear for barge_in in found.barge_ins}
    named += [
        _moment_flag(moment)
        for moment in record.moments
        if moment.kind not in elsewhere and not (moment.kind == Kind.CLEAR and moment.at in answers)
    ]
    return sorted(named, key=lambda flag: flag.at)


def _barge_in_flag(barge_in: BargeIn) -> Flag:
    after = barge_in.after_clear_ms
    title = f"the caller heard {barge_in.heard_ms:.0f} ms more of the bot"
    if after is not None:
        title += f", {after:.0f} ms of it after the clear"
    return Flag(barge_in.at, f"barge-in, {barge_in.heard_ms:.0f} ms", "band", title)


def _hole_flags(holes: Sequence[Span]) -> list[Flag]:
    groups: list[list[Span]] = []
    for hole in holes:
        if groups and hole.start - groups[-1][-1].end < TOGETHER_S:
            groups[-1].append(hole)
        else:
            groups.append([hole])
    return [
        Flag(
            group[0].start,
            ("hole" if len(group) == 1 else f"{len(group)} holes")
            + f", {sum(hole.seconds for hole in group) * 1000:.0f} ms",
            "bad",
            "the bot's speech broke off and went on",
        )
        for group in groups
    ]


def _moment_flag(moment: Moment) -> Flag:
    kind = moment.kind.replace("_", " ")
    look = "bad" if moment.kind in (Kind.FAULT, "failed") else "plain"
    text = f"{kind}: {moment.text}" if moment.text else kind
    by = f" by the {moment.channel}" if moment.channel else ""
    return Flag(
        moment.at, shorten(text, WIDEST_FLAG, SMALL), look, f"{text}{by}, {moment.at:.2f} s"
    )


def _key_flags(keys: Sequence[Moment]) -> list[Flag]:
    """Keys pressed in one go are one flag."""
    groups: list[list[Moment]] = []
    for key in keys:
        last = groups[-1][-1] if groups else None
        if last and last.channel == key.channel and key.at - last.at < TOGETHER_S:
            groups[-1].append(key)
        else:
            groups.append([key])
    return [
        Flag(
            group[0].at,
            shorten("".join(key.text for key in group), WIDEST_FLAG, SMALL),
            "bot-key" if group[0].channel == BOT else "caller-key",
            "keys pressed" + (f" by the {group[0].channel}" if group[0].channel else ""),
        )
        for group in groups
    ]
