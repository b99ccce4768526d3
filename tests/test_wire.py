"""Messages numbered, and put in order; keys. The rest of the wire is tested with the seam."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import LocalProtocolError, RemoteProtocolError
from trunkline.events import Clear, Digit, Extra
from trunkline.media.formats import L16_24K, PCMU_8K
from trunkline.wire import InOrder, Numbers, Stream, read_key


class End(Stream[object, object]):
    """An end that hears nothing, and says what no carrier has a word for."""

    def receive(self, message: str | bytes) -> list[object]:
        return []

    def send(self, event: object) -> None:
        self.put_extra(event, ("media", "stop"), "Acme", tag="is")


def test_what_is_not_known_goes_out_as_it_came() -> None:
    end = End()
    end.send(Extra("weather", {"is": "fine", "degrees": 21}))
    assert end.outgoing() == ['{"is":"weather","degrees":21}']
    for known in (Extra("media", {}), Extra("stop", {"a": 1}), Clear()):
        with pytest.raises(LocalProtocolError, match=f"Acme's .* says {type(known).__name__}$"):
            end.send(known)
    assert end.outgoing() == []


@pytest.mark.parametrize("key", "0123456789*#ABCD")
def test_the_sixteen_keys(key: str) -> None:
    assert read_key(key) == Digit(key, -1)
    assert read_key(key, 120) == Digit(key, 120)


@pytest.mark.parametrize("junk", ["", "12", "E", "a", "w", " ", "١"])
def test_what_no_telephone_has(junk: str) -> None:
    with pytest.raises(RemoteProtocolError, match="no telephone has"):
        read_key(junk)


def test_messages_and_chunks_are_counted_each_for_themselves() -> None:
    numbers = Numbers(PCMU_8K)
    assert (numbers.message(), numbers.now_ms) == (1, 0)
    frame = bytes(160)  # 20 ms of G.711
    assert [numbers.chunk(frame) for _ in range(3)] == [(1, 0), (2, 20), (3, 40)]
    assert (numbers.message(), numbers.message(), numbers.now_ms) == (2, 3, 60)


def test_a_chunk_that_says_when_it_was_heard_counts_all_the_same() -> None:
    numbers = Numbers(PCMU_8K)
    assert numbers.chunk(bytes(160), 0) == (1, 0)
    assert numbers.chunk(bytes(160), 500) == (2, 500)
    assert numbers.chunk(bytes(160)) == (3, 40)


def test_parts_of_milliseconds_are_not_lost() -> None:
    numbers = Numbers(L16_24K)
    for _ in range(24):  # 100 samples are 4 1/6 ms
        numbers.chunk(bytes(200))
    assert numbers.now_ms == 100
    assert numbers.chunk(b"") == (25, 100)


def put(order: InOrder[int], *numbers: int) -> list[list[int]]:
    return [order.put(number, number) for number in numbers]


def test_what_comes_in_order_is_handed_on_at_once() -> None:
    assert put(InOrder(4), 7, 8, 9) == [[7], [8], [9]]


def test_one_that_was_overtaken_is_put_in_its_place() -> None:
    assert put(InOrder(4), 1, 3, 4, 2, 5) == [[1], [], [], [2, 3, 4], [5]]


def test_what_comes_twice_is_heard_once() -> None:
    assert put(InOrder(4), 1, 1, 3, 3, 2, 2, 3) == [[1], [], [], [], [2, 3], [], []]


def test_one_that_never_comes_is_waited_for_no_longer_than_the_window() -> None:
    order: InOrder[int] = InOrder(2)
    assert put(order, 1, 3, 4, 6) == [[1], [], [], [3, 4]]
    assert put(order, 2) == [[]]  # too late
    assert put(order, 5) == [[5, 6]]


def test_a_count_that_begins_anew_is_followed() -> None:
    order: InOrder[int] = InOrder(4, restart=50)
    assert put(order, 100, 102, 51, 50, 51) == [[100], [], [], [102, 50], [51]]


def test_what_is_held_at_the_end() -> None:
    order: InOrder[int] = InOrder(4)
    assert put(order, 1, 4, 3) == [[1], [], []]
    assert order.rest() == [3, 4]
    assert order.rest() == []
    assert put(order, 1) == [[1]]


@given(st.permutations(range(40)), st.integers(0, 6))
def test_nothing_is_doubled_out_of_order_or_held_for_long(arriving: list[int], window: int) -> None:
    order: InOrder[int] = InOrder(window)
    heard = [number for one in arriving for number in order.put(one, one)]
    rest = order.rest()
    assert len(rest) <= window
    assert heard + rest == sorted({*heard, *rest})


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60))
def test_messages_that_overtake_by_less_than_the_window_all_arrive(delays: list[int]) -> None:
    # Each is sent at its number and arrives ``delay`` later: at most two overtake it.
    arriving = sorted(range(1, len(delays) + 1), key=lambda n: (n + delays[n - 1], n))
    order: InOrder[int] = InOrder(4)
    order.put(0, 0)
    heard = [number for one in arriving for number in order.put(one, one)]
    assert heard == list(range(1, len(delays) + 1))
