"""What was heard of what was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.bots.said import WORD_MS, Sentence, heard_text
from trunkline.bots.speech import Timing


def said():
    return [
        Sentence("One two three four.", 1000.0, complete=True),
        Sentence("Five six.", 500.0, complete=True),
    ]


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
    assert heard_text(said(), ms) == heard


def test_of_nothing_nothing():
    assert heard_text([], 1000) == ""
    # It took no time: it was said.
    assert heard_text([Sentence("Hm.", 0.0, complete=True)], 0) == "Hm."
    assert heard_text([Sentence("Hm.", 0.0, complete=True)], -1) == ""
    assert heard_text([Sentence("", 100.0, complete=True)], 50) == ""


@given(st.lists(st.tuples(st.text("ab ."), st.floats(1, 5000))), st.floats(0, 20000))
def test_is_always_a_beginning_of_what_was_said(said, ms):
    sentences = [Sentence(text, long, complete=True) for text, long in said]
    words = [word for sentence in sentences for word in sentence.words]
    heard = heard_text(sentences, ms).split()
    assert heard == words[: len(heard)]


def timed(text, *words, ms=0.0, complete=False):
    sentence = Sentence(text, ms, complete=complete)
    for word in words:
        sentence.time(Timing((word,)))
    return sentence


@pytest.mark.parametrize(
    ("ms", "heard"),
    [(99, ""), (100, "I"), (799, "I"), (800, "I say,"), (999, "I say,"), (1000, "I say, no.")],
)
def test_words_are_heard_when_the_voice_says_that_they_end(ms, heard):
    sentence = timed("I say, no.", ("I", 100), ("say", 800), ("no", 1000), ms=1200)
    assert heard_text([sentence], ms) == heard


def test_words_that_the_voice_joins_or_cuts_are_told_by_their_letters():
    sentence = timed("Twenty-one — New York!", ("Twenty", 300), ("one", 500), ("New York", 900))
    assert [sentence.heard(ms) for ms in (299, 300, 500, 899, 900)] == [0, 0, 2, 2, 4]


def test_words_whose_end_is_not_known_yet_are_estimated():
    sentence = timed("One two three four.", ("One", 200), ("two", 400), ms=450)
    assert [sentence.heard(ms) for ms in (399, 400, 401 + WORD_MS, 401 + 2 * WORD_MS)] == [
        1,
        2,
        3,
        4,
    ]
    sentence.ms, sentence.complete = 800, True
    assert [sentence.heard(ms) for ms in (400, 600, 799, 800)] == [2, 3, 3, 4]


def test_all_is_heard_at_the_end_whatever_the_voice_says():
    sentence = timed("One two.", ("One", 200), ("two", 801), ms=800, complete=True)
    assert [sentence.heard(ms) for ms in (799, 800)] == [1, 2]
