"""What waits behind our voice: nothing before it is heard, nothing lost, nothing twice."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.adapters.pipecat.heard import WORD_MS, Behind, Voice
from trunkline.call import UtteranceState


class Said:
    """An utterance, as far as a queue asks: one byte is half a millisecond."""

    def __init__(self):
        self.state = UtteranceState.SPEAKING
        self.heard_ms = self.pushed_ms = 0.0

    def end(self):
        self.ended = True


class Talk:
    """A queue and the voice it waits for."""

    def __init__(self):
        self.behind = Behind()
        self.now = None

    def begin(self, stamp=0):
        self.now = Said()
        self.voice = Voice(self.now, speech=True, stamp=stamp)
        self.behind.begin(self.voice)
        return self.voice

    def audio(self, ms, mark=b"a"):
        begin = self.now.pushed_ms
        self.now.pushed_ms += ms
        self.behind.audio("audio", mark * int(ms * 2), begin_ms=begin)

    def heard(self, ms):
        self.now.heard_ms = ms
        return self.behind.due()

    def words(self, ms):
        return " ".join(due.words.strip() for due in self.heard(ms) if due.words is not None)

    def settle(self, state):
        self.now.state = state
        return self.behind.due()


def text(words, **fields):
    return SimpleNamespace(text=words, **fields)


@pytest.fixture
def talk():
    talk = Talk()
    talk.begin()
    return talk


def test_words_are_told_as_they_are_heard(talk):
    talk.audio(1000)
    talk.behind.write(text("one two three four"))
    assert [talk.words(ms) for ms in (0, 249, 250, 600, 600, 1000)] == [
        "",
        "",
        "one",
        "two",
        "",
        "three four",
    ]
    assert not talk.behind


def test_each_sentence_has_its_own_stretch(talk):
    talk.audio(1000)
    talk.behind.write(text("one two"))
    talk.audio(400)
    talk.behind.write(text("three four"))
    assert talk.words(1000) == "one two"
    assert talk.words(1200) == "three"
    assert talk.words(1400) == "four"


def test_a_sentence_still_being_made_is_guessed_at(talk):
    talk.behind.announce(text("one two three four"))
    talk.audio(700)
    assert talk.words(2 * WORD_MS) == "one two"
    talk.audio(100)
    talk.behind.write(text("one two three four."))
    assert talk.words(800) == "three four."


def test_words_with_times_end_the_guessing(talk):
    talk.behind.announce(text("one two three"))
    talk.audio(1000)
    assert talk.words(340) == "one"
    for n, word in enumerate(("one", "two", "three")):
        talk.behind.time(text(word, pts=int((100 + n * 300) * 1e6)), word=True)
    assert [due.frame.text for due in talk.heard(400) if due.audio is None] == ["two"]
    talk.behind.announce(text("never guessed again"))
    talk.audio(1000)
    assert [due.frame.text for due in talk.heard(1999) if due.audio is None] == ["three"]


def test_what_was_played_needs_no_more_patience(talk):
    talk.audio(1000)
    talk.behind.write(text("one two"))
    talk.behind.put("last")
    due = talk.settle(UtteranceState.PLAYED)
    assert [d.words for d in due if d.words is not None] == ["one two"]
    assert due[-1].frame == "last"
    assert not talk.behind


def test_what_was_cleared_keeps_what_is_no_speech(talk):
    talk.audio(1000)
    talk.behind.write(text("one two"))
    talk.behind.put("after")
    talk.now.heard_ms = 600.0
    due = talk.settle(UtteranceState.CLEARED)
    assert [d.words for d in due if d.words is not None] == ["one"]
    assert [len(d.audio) for d in due if d.audio is not None] == [1200]
    assert due[-1].frame == "after"
    assert not talk.behind
    assert talk.voice.left_ms == 0


def test_a_barge_in_forgets_and_returns_what_is_no_audio(talk):
    talk.audio(1000)
    talk.behind.write(text("one two"))
    talk.behind.put("after")
    talk.behind.time(timed := text("word", pts=500_000_000), word=False)
    assert talk.behind.drop() == [timed, "after"]
    assert not talk.behind
    assert talk.heard(1000) == []


def test_text_before_any_voice_has_nothing_to_wait_for():
    Behind().write(text("nothing"))


def test_a_voice_that_is_over_is_forgotten_with_its_last_frame(talk):
    first = talk.voice
    talk.audio(100)
    talk.settle(UtteranceState.PLAYED)
    talk.begin()
    assert first not in talk.behind.voices
    assert talk.behind.left_ms == 0
    talk.audio(100)
    assert talk.behind.left_ms == 100
    talk.voice.end()
    assert talk.now.ended
    assert talk.voice.ended


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=8),
    st.lists(st.floats(0, 3500), max_size=12).map(sorted),
)
def test_audio_is_conserved_and_never_ahead(pieces, times):
    talk = Talk()
    talk.begin()
    for n, ms in enumerate(pieces):
        talk.audio(ms, bytes([65 + n]))
    whole = b"".join(bytes([65 + n]) * ms * 2 for n, ms in enumerate(pieces))
    told = b""
    for ms in times:
        told += b"".join(due.audio for due in talk.heard(min(ms, sum(pieces))))
        assert len(told) <= talk.now.heard_ms * 2 + 2
    told += b"".join(due.audio for due in talk.settle(UtteranceState.PLAYED))
    assert told == whole
