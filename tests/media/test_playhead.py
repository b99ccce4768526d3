"""The estimate of the far end, by hand: 8000 bytes a second, so 8 bytes are a millisecond."""

import pytest

from trunkline.media.playhead import GRACE, Playhead


def sent(size: int, now: float = 0.0) -> Playhead:
    playhead = Playhead(8000)
    playhead.add(size, now)
    return playhead


def test_nothing_sent_nothing_heard() -> None:
    playhead = Playhead(8000)
    assert playhead.heard(5.0) == playhead.heard_if_cleared(5.0) == 0
    assert playhead.ahead(5.0) == 0
    assert not playhead.holds(5.0)
    assert playhead.start_delay == playhead.end_delay == 0


def test_the_send_clock_runs_in_bursts() -> None:
    playhead = sent(800, now=10.0)
    playhead.add(800, 10.05)  # joins the burst
    assert playhead.ends == pytest.approx(10.2)
    assert playhead.heard(10.1) == pytest.approx(800)
    assert playhead.ahead(10.1) == pytest.approx(0.1)
    assert playhead.heard(10.5) == 1600
    playhead.add(800, 10.5)  # begins another
    assert playhead.ends == pytest.approx(10.6)
    assert playhead.heard(10.5) == pytest.approx(1600)
    assert playhead.heard(10.55) == pytest.approx(2000)


def test_an_hour_of_sends_adds_up_exactly() -> None:
    playhead = sent(0, now=0.1)
    for _ in range(180_000):
        playhead.add(160, 0.1)
    assert playhead.ends == pytest.approx(3600.1, abs=1e-9)


def test_marks_bound_and_place_what_was_heard() -> None:
    playhead = Playhead(8000)
    for number in range(4):  # marks at 50, 100, 150, 200 ms
        playhead.add(400, 0.0)
        playhead.mark(f"m{number}", 0.0)
    assert playhead.heard(0.09) == 400  # not past the first
    playhead.returned("m0", 0.09)  # 40 ms late
    assert playhead.heard(0.09) == 400
    assert playhead.heard(0.11) == pytest.approx(560)  # 20 ms on
    assert playhead.heard(0.19) == 800  # not past the second
    playhead.returned("m2", 0.20)  # vouches for m1
    assert playhead.reached == 1200
    playhead.returned("m1", 0.21)
    playhead.returned("m2", 0.22)
    assert playhead.reached == 1200
    assert playhead.heard(0.20) == pytest.approx(1200)


@pytest.mark.parametrize(
    ("trip", "delay"),
    [(0.0, 0.0), (0.06, 0.03), (0.08, 0.04), (0.1, 0.06), (0.3, 0.26)],
)
def test_the_way_there_is_half_a_short_trip_and_most_of_a_long_one(
    trip: float, delay: float
) -> None:
    playhead = sent(800)
    playhead.mark("m", 0.0)
    playhead.returned("m", 0.1 + trip)
    assert playhead.start_delay == pytest.approx(delay)
    assert playhead.end_delay == pytest.approx(delay)


def test_the_next_burst_forgets_what_held_this_one_up() -> None:
    playhead = sent(80)
    playhead.mark("quick", 0.0)
    playhead.returned("quick", 0.03)  # 20 ms
    playhead.add(800, 1.0)
    playhead.mark("slow", 1.0)
    playhead.returned("slow", 1.4)  # 300 ms
    assert playhead.end_delay == pytest.approx(0.26)
    assert playhead.start_delay == pytest.approx(0.01)
    playhead.add(800, 2.0)
    assert playhead.heard(2.05) == pytest.approx(880 + 30 * 8)


def test_a_short_pause_does_not_credit_the_end_of_the_burst_before() -> None:
    playhead = sent(800)
    playhead.mark("m", 0.0)
    playhead.returned("m", 0.18)  # 80 ms behind
    playhead.add(800, 0.18)  # played until 0.28, heard until 0.36
    before = playhead.heard(0.30)
    assert before == pytest.approx(800 + 40 * 8)
    playhead.add(800, 0.30)
    assert playhead.heard(0.30) == pytest.approx(before)
    assert playhead.heard(0.36) == pytest.approx(1600)
    assert playhead.heard(0.38) == pytest.approx(1600)
    assert playhead.heard(0.40) == pytest.approx(1760)


def test_a_lost_mark_is_given_up_after_the_grace() -> None:
    playhead = sent(800)
    playhead.mark("m", 0.0)
    assert playhead.lost_at("m") == pytest.approx(0.1 + GRACE)
    assert playhead.lost_at("n") is None
    playhead.add(800, 0.1)
    assert playhead.heard(2.0) == 800
    assert playhead.heard(2.1) == 1600
    assert playhead.lost_at("m") is None
    playhead.returned("m", 2.2)
    assert playhead.reached == 0
    assert playhead.ahead(2.2) == 0


def test_marks_that_never_come_do_not_pile_up() -> None:
    playhead = sent(1600)  # 200 ms ahead, so that it never runs dry
    for number in range(1000):
        playhead.add(160, number * 0.02)
        playhead.mark(str(number), number * 0.02)
    waiting = [n for n in range(1000) if playhead.lost_at(str(n)) is not None]
    assert len(waiting) == pytest.approx((GRACE + 0.22) / 0.02, abs=2)


def test_a_mark_back_too_early_counts_and_does_not_turn_the_clock() -> None:
    playhead = sent(400)
    playhead.mark("m", 0.0)
    playhead.add(8000, 0.0)
    playhead.returned("m", 0.01)  # 40 ms before it can have been played
    assert playhead.heard(0.01) == playhead.heard(0.05) == pytest.approx(400)
    assert playhead.heard(0.06) == pytest.approx(480)
    assert playhead.end_delay == 0


def test_heard_never_goes_back_through_bursts_shorter_than_the_trip() -> None:
    playhead = sent(80)
    playhead.mark("m", 0.0)
    playhead.returned("m", 0.09)  # 80 ms behind
    heard = playhead.heard(0.09)
    for step in range(1, 400):
        now = 0.09 + step * 0.001
        if step % 30 == 0:
            playhead.add(80, now)
        assert playhead.heard(now) >= heard
        heard = playhead.heard(now)
    # The sends up to 0.409 s, eleven of 80 bytes; short by no more than the pauses of 20 ms
    # that the trip of 80 ms spans, two of them.
    assert 880 - 320 <= heard <= 880


def test_a_clear_finds_what_the_send_clock_says() -> None:
    playhead = sent(1600)
    playhead.mark("m", 0.0)
    playhead.returned("x", 0.0)
    assert playhead.heard_if_cleared(0.15) == pytest.approx(1200)
    playhead.add(8000, 0.2)
    assert playhead.heard_if_cleared(0.44) == pytest.approx(3520)
    assert playhead.heard_if_cleared(0.46) == 1600  # the mark is overdue: the far end is late


def test_clear_empties_the_far_end() -> None:
    playhead = sent(1600)
    playhead.mark("m", 0.0)
    assert playhead.holds(0.1)
    playhead.clear(0.1)
    assert not playhead.holds(0.1)
    assert playhead.ahead(0.1) == 0
    assert playhead.lost_at("m") is None
    playhead.returned("m", 0.12)
    assert playhead.heard(0.12) == 1600  # behind us, whatever it is worth
    playhead.add(800, 0.2)
    assert playhead.heard(0.25) == pytest.approx(2000)


def test_holds_until_it_is_sure() -> None:
    playhead = sent(800)
    assert playhead.holds(0.59)
    assert not playhead.holds(0.61)
    playhead.add(800, 1.0)
    playhead.mark("m", 1.0)
    assert playhead.holds(1.1 + GRACE - 0.01)
    playhead.forget_marks()
    assert not playhead.holds(1.1 + GRACE - 0.01)
    playhead.add(800, 5.0)
    playhead.mark("n", 5.0)
    playhead.returned("n", 5.1)
    assert not playhead.holds(5.1)
