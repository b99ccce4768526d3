"""The playout buffer against arithmetic and against a sample-by-sample model of a player."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.carrier import Marks
from trunkline.media.formats import L16_8K, L16_24K, PCMU_8K
from trunkline.sim.buffer import PlayoutBuffer


def buffer(marks=Marks.RETURNED, audio=PCMU_8K):
    return PlayoutBuffer(audio, marks)


def heard(b, now):
    return [(round(p.at, 6), p.audio) for p in b.played(now)]


def test_audio_is_played_at_real_time_from_its_arrival():
    b = buffer()
    b.add(b"a" * 160, 10.0)
    b.add(b"b" * 160, 10.0)
    assert heard(b, 10.0) == []
    assert heard(b, 10.01) == [(10.0, b"a" * 80)]
    assert b.buffered_ms(10.01) == pytest.approx(30)
    assert heard(b, 10.05) == [(10.01, b"a" * 80), (10.02, b"b" * 160)]
    assert heard(b, 11.0) == []
    assert b.heard_ms == pytest.approx(40)
    assert b.most_ms == pytest.approx(40)
    assert b.buffered_ms(11.0) == 0


def test_a_late_frame_leaves_a_hole_and_a_new_utterance_does_not():
    b = buffer()
    b.add(b"a" * 160, 0.0)  # to 0.02
    b.add(b"b" * 160, 0.05)  # 30 ms too late; to 0.07
    b.add(b"c" * 160, 1.2)  # a second later: somebody paused
    assert [(h.at, round(h.ms, 6)) for h in b.holes] == [(0.02, 30.0)]
    assert [at for at, _ in heard(b, 2.0)] == [0.0, 0.05, 1.2]


def test_a_frame_within_a_click_of_the_end_continues_the_run():
    b = buffer()
    b.add(b"a" * 160, 0.0)
    b.add(b"b" * 160, 0.0205)
    assert b.holes == []
    assert [at for at, _ in heard(b, 1.0)] == [0.0, 0.02]


def test_an_hour_of_frames_drifts_by_no_sample():
    b = buffer()
    for n in range(180_000):
        b.add(b"x" * 160, n * 0.02)
    assert b.holes == []
    assert b.buffered_ms(3600.0) == pytest.approx(0, abs=1e-6)
    assert sum(len(p.audio) for p in b.played(3600.0)) == 180_000 * 160


def test_what_is_cleared_is_never_heard():
    b = buffer()
    b.add(b"a" * 1600, 0.0)
    assert heard(b, 0.1) == [(0.0, b"a" * 800)]
    b.clear(0.1)
    assert heard(b, 5.0) == []
    assert b.cleared_ms == pytest.approx(100)
    b.add(b"b" * 160, 0.15)
    assert b.holes == []  # silence after a clear is wanted
    assert heard(b, 5.0) == [(0.15, b"b" * 160)]


@pytest.mark.parametrize(
    ("marks", "reached", "flushed"),
    [
        (Marks.RETURNED, ["one"], ["two", "three"]),
        (Marks.DROPPED, ["one"], []),
        (Marks.NONE, [], []),
    ],
)
def test_marks_by_the_carriers_facts(marks, reached, flushed):
    b = buffer(marks)
    b.add(b"a" * 160, 0.0)
    b.mark("one", 0.0)
    b.add(b"b" * 160, 0.0)
    b.mark("two", 0.0)
    b.mark("three", 0.0)
    assert b.reached(0.0199) == []
    assert b.reached(0.02) == reached
    assert b.clear(0.03) == flushed
    assert b.reached(9.0) == []
    assert b.next_mark() is None


def test_a_mark_on_an_empty_buffer_is_reached_at_once():
    b = buffer()
    b.mark("now", 3.0)
    assert b.next_mark() == 3.0
    assert b.reached(3.0) == ["now"]


def test_half_a_sample_is_lost_and_nothing_else():
    b = buffer(audio=L16_8K)
    b.add(b"x", 0.0)
    b.add(b"ab" * 80 + b"x", 0.0)
    assert heard(b, 1.0) == [(0.0, b"ab" * 80)]


@given(
    form=st.sampled_from([PCMU_8K, L16_8K, L16_24K]),
    steps=st.lists(
        st.tuples(
            st.integers(0, 400),  # ms until then
            st.one_of(st.integers(1, 4000), st.just("clear"), st.just("look")),
        ),
        max_size=40,
    ),
)
def test_any_schedule_is_played_as_a_player_would(form, steps):
    """The model holds one cell a sample, and plays cell by cell."""
    b, now, model_queue, model_heard, real_heard = buffer(audio=form), 0, [], [], []
    width, serial = form.sample_bytes, 0
    position = 0.0  # in samples: when the model's player is free
    for wait, what in steps:
        now += wait
        at = now * form.rate / 1000
        due = [cell for cell in model_queue if cell[0] + 1 <= at + 1e-6]
        model_heard += due
        model_queue = model_queue[len(due) :]
        real_heard += [p.audio for p in b.played(now / 1000)]
        if what == "clear":
            model_queue = []
            position = at
            b.clear(now / 1000)
        elif what != "look":
            start = max(position, at) if at - position >= form.rate * 0.001 else position
            cells = []
            for n in range(what):
                serial += 1
                cells.append((start + n, (serial % 256).to_bytes(1, "little") * width))
            model_queue += cells
            position = start + what
            b.add(b"".join(audio for _, audio in cells), now / 1000)
    assert b"".join(real_heard) == b"".join(audio for _, audio in model_heard)
    assert b.buffered_ms(now / 1000) >= 0
