"""A passage gives out exactly what was put in, uncopied where the sizes match."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.passage import Passage


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(1, 60)))
def test_what_goes_in_comes_out(pieces: list[bytes], sizes: list[int]) -> None:
    passage = Passage(1)
    for piece in pieces:
        passage.add(piece)
    whole, got = b"".join(pieces), b""
    for size in sizes:
        part = passage.take(size)
        assert len(part) == min(size, len(whole) - len(got))
        got += part
        assert passage.sent == len(got)
        assert passage.waiting == len(whole) - len(got)
    assert got == whole[: len(got)]


def test_a_piece_that_matches_is_the_same_object() -> None:
    passage = Passage(1)
    pieces = [bytes(160), bytes(160), bytes(200)]
    for piece in pieces:
        passage.add(piece)
    assert passage.fits(160)
    assert passage.take(160) is pieces[0]
    assert passage.take(100) == bytes(100)
    assert not passage.fits(60)  # a remainder is no piece
    assert passage.take(60) == bytes(60)
    assert not passage.fits(160)
    assert passage.take(500) is pieces[2]


def test_left_when_all_is_sent_and_ended() -> None:
    passage = Passage(1)
    passage.add(b"ab")
    passage.ended = True
    assert not passage.left
    passage.take(2)
    assert passage.left


def test_dropped_audio_is_gone() -> None:
    passage = Passage(1)
    passage.add(b"abc")
    passage.take(1)
    passage.drop()
    assert passage.cleared
    assert passage.take(5) == b""
    assert passage.sent == 1


def test_passages_are_told_apart_by_identity() -> None:
    first, twin = Passage(1), Passage(1)
    assert first != twin
    assert len({first, twin}) == 2
