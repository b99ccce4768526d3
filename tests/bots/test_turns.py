"""What was heard of what was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.bots.turns import heard_text

SAID = [("One two three four.", 1000.0), ("Five six.", 500.0)]


@pytest.mark.parametrize(
    ("ms", "heard"),
    [
        (-1, ""),
        (0, ""),
        (249, ""),
        (250, "One"),
        (999, "One two three"),
        (1000, "One two three four."),
        (1249, "One two three four."),
        (1250, "One two three four. Five"),
        (1500, "One two three four. Five six."),
        (9999, "One two three four. Five six."),
    ],
)
def test_whole_words_and_no_more_than_were_heard(ms, heard):
    assert heard_text(SAID, ms) == heard


def test_of_nothing_nothing():
    assert heard_text([], 1000) == ""
    assert heard_text([("Hm.", 0.0)], 0) == "Hm."  # it took no time: it was said


@given(st.lists(st.tuples(st.text("ab ."), st.floats(1, 5000))), st.floats(0, 20000))
def test_is_always_a_beginning_of_what_was_said(said, ms):
    words = [word for sentence, _ in said for word in sentence.split()]
    heard = heard_text(said, ms).split()
    assert heard == words[: len(heard)]
