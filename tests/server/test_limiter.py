"""Turns at a rate: never too fast, in order, nobody forgotten, and slower when told to be."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.server.limiter import Limiter

RATES = st.sampled_from([0.2, 1.0, 2.0, 3.0, 5.0, 30.0])


def turns(limiter, until, begin=100.0):
    """Everybody whose turn comes, with when, if one asks exactly when told to."""
    now, found = begin, []
    while (due := limiter.next_due()) is not None and due <= until:
        now = max(now, due)
        found.append((now, limiter.due(now)))
    return found


@pytest.mark.parametrize(("rate", "most"), [(0, 1), (-1, 1), (float("inf"), 1), (1, 0)])
def test_one_that_lets_nobody_through_cannot_be_had(rate, most):
    with pytest.raises(ValueError, match="room for one"):
        Limiter(rate, most)


def test_nobody_waits_where_nobody_is_before():
    limiter = Limiter(1, 10)
    assert limiter.next_due() is None
    assert limiter.due(5.0) is None
    ticket = limiter.join()
    assert limiter.due(5.0) is ticket


@given(RATES, st.integers(1, 200))
def test_any_window_holds_no_more_than_the_rate_allows(rate, count):
    limiter = Limiter(rate, 1000)
    tickets = [limiter.join() for _ in range(count)]
    found = turns(limiter, 1e6)
    assert [ticket for _, ticket in found] == tickets
    times = [at for at, _ in found]
    assert times[0] == 100.0
    assert all(b - a >= 1 / rate - 1e-9 for a, b in pairwise(times))
    assert times[-1] - times[0] == pytest.approx((count - 1) / rate)


@given(st.lists(st.floats(0, 3), max_size=60))
def test_a_pause_in_demand_is_no_credit_for_a_burst(pauses):
    limiter, now, times = Limiter(2, 1000), 0.0, []
    for pause in pauses:
        limiter.join()
        now += pause
        if limiter.due(now):
            times.append(now)
    assert all(b - a >= 0.5 - 1e-9 for a, b in pairwise(times))


def test_no_more_are_under_way_than_may_be():
    limiter = Limiter(10, 2)
    first, second, third = (limiter.join() for _ in range(3))
    assert [ticket for _, ticket in turns(limiter, 1e6)] == [first, second]
    assert (limiter.under_way, limiter.waiting) == (2, 1)
    assert limiter.due(1e6) is None
    limiter.leave(first)
    limiter.leave(first)
    assert limiter.next_due() is not None
    assert limiter.due(1e6) is third
    assert (limiter.under_way, limiter.waiting) == (2, 0)


def test_one_may_leave_the_queue_and_one_that_tries_again_comes_first():
    limiter = Limiter(10, 9)
    first, second = limiter.join(), limiter.join()
    limiter.leave(first)
    again = limiter.join(first=True)
    assert [ticket for _, ticket in turns(limiter, 1e6)] == [again, second]


def test_a_refusal_stops_all_for_as_long_as_it_says():
    limiter = Limiter(10, 9)
    for _ in range(2):
        limiter.join()
    limiter.due(100.0)
    limiter.refused(100.5, retry_after=7)
    assert limiter.next_due() == 107.5
    assert limiter.due(107.4) is None
    assert limiter.due(107.5) is not None


def test_refusals_that_name_no_time_stop_all_for_longer_and_longer():
    limiter, now, pauses = Limiter(10, 99), 0.0, []
    for _ in range(7):
        limiter.join()
        assert limiter.due(now) is not None
        limiter.join()
        limiter.refused(now)
        pauses.append(limiter.next_due() - now)
        now = limiter.next_due()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    limiter.taken()
    limiter.refused(now)
    assert limiter.next_due() == now + 1


def test_refusals_of_what_was_sent_together_count_once():
    limiter = Limiter(10, 9)
    limiter.join()
    limiter.refused(50.0)
    limiter.refused(50.1)
    limiter.refused(50.2)
    assert limiter.next_due() == 51.0
    limiter.refused(50.3, retry_after=3)
    assert limiter.next_due() == 53.3
    limiter.refused(53.3)
    assert limiter.next_due() == 55.3
