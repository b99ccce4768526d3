"""Deciding what goes wrong: seeded, in proportion, and each kind for itself."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sim.faults import Faults, Gremlin, Way, forged


def sent(faults, count=1000, place=""):
    gremlin = Gremlin(faults, place)
    return [m for n in range(count) for m in gremlin.media(n)]


def test_by_default_nothing_goes_wrong():
    gremlin = Gremlin(Faults())
    assert sent(Faults()) == list(range(1000))
    assert gremlin.delay() == 0.0
    assert gremlin.token("wss://h/" + "t" * 30, {"a": "b"}) == ("wss://h/" + "t" * 30, {"a": "b"})
    assert not any(gremlin.strikes(0.0) for _ in range(100))


def test_equal_seeds_err_alike_and_others_do_not():
    faults = Faults(seed=4, lose=0.2, duplicate=0.2, reorder=0.2)
    assert sent(faults) == sent(faults)
    assert sent(faults) != sent(faults, place="another call")
    assert sent(faults) != sent(Faults(seed=5, lose=0.2, duplicate=0.2, reorder=0.2))


def test_losing_duplicating_and_reordering_happen_as_often_as_asked():
    # 1,000 trials of probability 0.2: 200 ± 63 is five standard deviations.
    lost = sent(Faults(lose=0.2))
    assert 737 <= len(lost) <= 863
    assert lost == sorted(lost)
    twice = sent(Faults(duplicate=0.2))
    assert 1137 <= len(twice) <= 1263
    assert twice == sorted(twice)
    assert set(twice) == set(range(1000))
    swapped = sent(Faults(reorder=0.2))
    late = [a for a, b in pairwise(swapped) if a > b]
    assert 110 <= len(late) <= 230  # a message that overtook is not itself overtaken


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 9))
def test_reordering_moves_by_one_and_loses_nothing_but_the_last(reorder, duplicate, seed):
    out = sent(Faults(seed=seed, reorder=reorder, duplicate=duplicate), 60)
    assert set(out) >= set(range(59))
    assert max(Counter(out).values()) <= 2
    first = {n: out.index(n) for n in set(out)}
    assert all(first[n] < first[n + 2] for n in range(57))


def test_delays_lie_between_their_bounds():
    gremlin = Gremlin(Faults(delay_ms=40, jitter_ms=20))
    delays = [gremlin.delay() for _ in range(500)]
    assert 0.040 <= min(delays) < 0.042
    assert 0.058 < max(delays) <= 0.060


def test_a_way_keeps_the_order_and_what_leaves_together_arrives_together():
    way = Way(Gremlin(Faults(jitter_ms=100)))
    times = [way.arrival(n // 3 / 100) for n in range(300)]
    assert times == sorted(times)
    assert all(times[n] == times[n + 1] == times[n + 2] for n in range(0, 300, 3))
    late = [arrival - n // 3 / 100 for n, arrival in enumerate(times)]
    assert 0 <= min(late) < max(late) <= 0.1
    assert Way(Gremlin(Faults())).arrival(7.0) == 7.0


@pytest.mark.parametrize(
    ("url", "changed"),
    [
        ("wss://h/acme/media/" + "ab" * 20, "wss://h/acme/media/" + "ba" * 20),
        ("wss://h/acme/media", "wss://h/acme/media"),
        ("wss://h/acme/media?t=" + "ab" * 20, "wss://h/acme/media?" + "ba" * 20 + "=t"),
        ("wss://h/acme/media?t=1", "wss://h/acme/media?t=1"),
    ],
)
def test_a_forged_token_wherever_it_rides(url, changed):
    gremlin = Gremlin(Faults(forged_token=True))
    assert gremlin.token(url, {"token": "xyz"}) == (changed, {"token": "zyx"})


def test_a_forger_knows_what_is_public_only():
    given = {"account": "AC1", "secret": "abc", "unset": ""}
    assert forged(given, {"secret", "unset"}) == {"account": "AC1", "secret": "cbax", "unset": ""}
