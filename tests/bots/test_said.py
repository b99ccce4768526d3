"""What was heard of what was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.bots.said import LETTER_MS, Sentence, heard_text
from trunkline.bots.speech import Timing


def said():
    # In letters, a word has one more than it has, and there are four in a pause.
    return [
        Sentence("One, two three four.", 2700.0, complete=True),  # 4 and 4, 4, 6, 5 and 4
        Sentence("Five six", 1300.0, complete=True),  # 5, 4 and 4
    ]


@pytest.mark.parametrize(
    ("ms", "heard"),
    [
        (-1, ""),
        (0, ""),
        (399, ""),
        (400, "One,"),
        (1199, "One,"),
        (1200, "One, two"),
        (1800, "One, two three"),
        (2299, "One, two three"),
        (2300, "One, two three four."),
        (3199, "One, two three four."),
        (3200, "One, two three four. Five"),
        (3600, "One, two three four. Five six"),
        (9999, "One, two three four. Five six"),
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
    ends = [400, 400 + 6 * LETTER_MS, 400 + 11 * LETTER_MS]
    for count, end in enumerate(ends, 2):
        assert [sentence.heard(end - 1), sentence.heard(end)] == [count - 1, count]
    sentence.ms, sentence.complete = 400 + 15 * 20, True
    ends = [400, 400 + 6 * 20, 400 + 11 * 20]
    for count, end in enumerate(ends, 2):
        assert [sentence.heard(end - 1), sentence.heard(end)] == [count - 1, count]


def test_a_sentence_that_is_longer_than_it_was_taken_for():
    sentence = Sentence("One two", 10 * 12 * LETTER_MS)
    assert [sentence.heard(10 * letters * LETTER_MS) for letters in (3, 4, 7, 8)] == [0, 1, 1, 2]


def test_all_is_heard_at_the_end_whatever_the_voice_says():
    sentence = timed("One two.", ("One", 200), ("two", 801), ms=800, complete=True)
    assert [sentence.heard(ms) for ms in (799, 800)] == [1, 2]
