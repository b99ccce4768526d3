"""Where words and flags go in the picture of a call."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sim.layout import (
    LEFT,
    PLOT,
    RIGHT,
    SMALL,
    TEXT,
    WIDTH,
    Block,
    Flag,
    Row,
    flags,
    rows,
    words,
)
from trunkline.sim.measure import BargeIn, Measures, Span
from trunkline.sim.record import CallRecord, Kind, Moment
from trunkline.sim.svg import text_width


def said(at: float, text: str, channel: str = "bot") -> Moment:
    return Moment(at, Kind.SAID, text, channel)


def heard(at: float, text: str, channel: str = "caller") -> Moment:
    return Moment(at, Kind.HEARD, text, channel)


def found(*, barge_ins: list[BargeIn] | None = None, holes: list[Span] | None = None) -> Measures:
    return Measures(
        caller=[],
        bot=[],
        turns=[],
        latencies=[],
        barge_ins=barge_ins or [],
        overlaps=[],
        holes=holes or [],
    )


def flagged(*moments: Moment, **measured: list) -> list[Flag]:
    return flags(CallRecord(moments=list(moments)), found(**measured))


# --- rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (0.0, [(0, 5)]),
        (7.2, [(0, 8)]),
        (24.0, [(0, 24)]),
        (24.1, [(0, 20), (20, 40)]),
        (40.0, [(0, 20), (20, 40)]),
        (40.1, [(0, 20), (20, 40), (40, 60)]),
    ],
)
def test_a_long_call_goes_on_in_rows_of_twenty_seconds(
    duration: float, expected: list[tuple[float, float]]
) -> None:
    assert [(row.start, row.end) for row in rows(duration)] == expected


@given(st.floats(0, 200), st.floats(0, 1))
def test_every_moment_is_in_one_row(duration: float, share: float) -> None:
    at = duration * share
    (row,) = [row for row in rows(duration) if row.has(at)]
    assert LEFT <= row.x(at) <= LEFT + PLOT == WIDTH - RIGHT


def test_a_row_shows_its_part_of_a_stretch() -> None:
    row = Row(20.0, 40.0, 55.0)
    assert row.cut(10.0, 30.0) == (LEFT, LEFT + PLOT / 2)
    assert row.cut(30.0, 90.0) == (LEFT + PLOT / 2, LEFT + PLOT)
    assert row.cut(1.0, 20.0) is None


# --- words -----------------------------------------------------------------------------------


def test_words_stand_where_their_voice_begins() -> None:
    on = rows(20)
    spans = [Span(1.5, 3.0), Span(8.0, 9.0)]
    blocks = words([said(1.2, "Hello there."), said(8.3, "Late."), said(15.0, "Mute.")], spans,
                   "bot", on)  # fmt: skip
    assert blocks == [
        Block(0, on[0].x(1.5), ["Hello there."], "Hello there."),
        Block(0, on[0].x(8.3), ["Late."], "Late."),
        Block(0, on[0].x(15.0), ["Mute."], "Mute."),
    ]


def test_the_other_voices_words_are_not_ours() -> None:
    assert words([said(1.0, "Hi.", "caller"), said(2.0, "")], [], "bot", rows(20)) == []


def test_words_understood_stand_at_the_beginning_of_their_speech() -> None:
    on = rows(20)
    spans = [Span(1.0, 2.0), Span(4.0, 5.0), Span(5.5, 6.0)]
    (block,) = words([heard(6.4, "two bits")], spans, "caller", on)
    assert (block.x, block.title) == (on[0].x(4.0), "heard: “two bits”")
    (early,) = words([heard(0.2, "noise")], [Span(3.0, 4.0)], "caller", on)
    assert early.x == on[0].x(0.2)


def test_words_misunderstood_stand_beside_those_said() -> None:
    spans = [Span(1.0, 2.0)]
    same = [said(1.0, "Renew it.", "caller"), heard(2.3, "renew it", "caller")]
    assert [block.title for block in words(same, spans, "caller", rows(9))] == ["Renew it."]
    wrong = [said(1.0, "Renew it.", "caller"), heard(2.3, "Review it.", "caller")]
    (block,) = words(wrong, spans, "caller", rows(9))
    assert block.title == "Renew it. (heard: “Review it.”)"


def test_words_understood_of_a_later_turn_are_not_put_to_an_earlier_one() -> None:
    spans = [Span(1.0, 2.0), Span(6.0, 7.0)]
    moments = [said(1.0, "One.", "caller"), heard(7.2, "two", "caller")]
    titles = [block.title for block in words(moments, spans, "caller", rows(9))]
    assert titles == ["One.", "heard: “two”"]


def test_words_at_nearly_one_time_share_their_place() -> None:
    (block,) = words([said(1.0, "One."), said(1.3, "Two.")], [], "bot", rows(9))
    assert block.title == "One. · Two."


def test_words_go_on_in_the_next_row_with_their_voice() -> None:
    text = "word " * 40
    first, second = words([said(19.0, text)], [Span(19.0, 30.0)], "bot", rows(39))
    assert (first.row, second.row) == (0, 1)
    assert second.x == LEFT
    assert " ".join(first.lines + second.lines) == text.strip()


def test_words_wait_for_the_next_row_where_this_one_has_no_room() -> None:
    (block,) = words([said(19.9, "Hello there.")], [Span(19.9, 22.0)], "bot", rows(39))
    assert (block.row, block.lines) == (1, ["Hello there."])


def test_words_that_find_no_room_end_in_an_ellipsis() -> None:
    (block,) = words([said(1.0, "word " * 200), said(3.0, "Next.")], [], "bot", rows(20))[:1]
    assert len(block.lines) == 3
    assert block.lines[-1].endswith("…")
    (last,) = words([said(39.9, "Hello there.")], [], "bot", rows(40.0))
    assert last.lines[0].endswith("…")


spoken = st.lists(
    st.builds(said, st.floats(0, 65), st.text("abc mw", min_size=1, max_size=120)), max_size=12
)


@given(spoken, st.lists(st.floats(0, 65), max_size=12, unique=True).map(sorted))
def test_no_two_words_stand_on_one_place(moments: list[Moment], edges: list[float]) -> None:
    spans = [Span(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    moments.sort(key=lambda moment: moment.at)
    placed = [
        (block.row, block.x, block.x + 3 + max(text_width(line, TEXT) for line in block.lines))
        for block in words(moments, spans, "bot", rows(65))
    ]
    for (row, _, right), (next_row, left, _) in pairwise(placed):
        assert row < next_row or right <= left
    assert all(right <= WIDTH for _, _, right in placed)


# --- flags -----------------------------------------------------------------------------------


def test_a_moment_is_flagged_with_its_words() -> None:
    assert flagged(
        Moment(0.5, Kind.ANSWERED, "", "bot"),
        Moment(2.0, Kind.FAULT, "socket killed", "carrier"),
        Moment(3.0, "odd_thing"),
    ) == [
        Flag(0.5, "answered", "plain", "answered by the bot, 0.50 s"),
        Flag(2.0, "fault: socket killed", "bad", "fault: socket killed by the carrier, 2.00 s"),
        Flag(3.0, "odd thing", "plain", "odd thing, 3.00 s"),
    ]


def test_words_and_marks_are_no_flags() -> None:
    assert flagged(said(1.0, "Hi."), heard(2.0, "hi"), Moment(3.0, Kind.MARK, "m1")) == []


def test_keys_pressed_in_one_go_are_one_flag() -> None:
    keys = [Moment(1 + at / 2, Kind.KEY, key, "caller") for at, key in enumerate("12#")]
    others = [Moment(3.0, Kind.KEY, "5", "bot"), Moment(9.0, Kind.KEY, "9")]
    assert [(flag.at, flag.text, flag.look) for flag in flagged(*keys, *others)] == [
        (1, "12#", "caller-key"),
        (3, "5", "bot-key"),
        (9, "9", "caller-key"),
    ]


def test_a_long_text_is_shortened_and_whole_in_the_title() -> None:
    (flag,) = flagged(Moment(1.0, "transfer", "+49 " * 40))
    assert text_width(flag.text, SMALL) <= 240
    assert "+49 " * 40 in flag.title


def test_a_barge_in_and_its_clear_are_one_flag() -> None:
    clear = Moment(2.05, Kind.CLEAR, "", "bot")
    (flag,) = flagged(clear, barge_ins=[BargeIn(2.0, 2.11, 2.05)])
    assert (flag.at, flag.text, flag.look) == (2.0, "barge-in, 110 ms", "band")
    assert flag.title == "the caller heard 110 ms more of the bot, 60 ms of it after the clear"
    ignored, alone = flagged(clear, barge_ins=[BargeIn(1.0, 1.5)])
    assert ignored.title == "the caller heard 500 ms more of the bot"
    assert alone.text == "clear"


def test_holes_close_to_each_other_are_one_flag() -> None:
    some = [Span(1.0, 1.06), Span(1.5, 1.54), Span(9.0, 9.1)]
    assert [(flag.at, flag.text) for flag in flagged(holes=some)] == [
        (1.0, "2 holes, 100 ms"),
        (9.0, "hole, 100 ms"),
    ]
