"""Frames of speech, one after the other."""

import pytest

from trunkline.sim.mouth import Mouth


def test_speech_leaves_in_frames_and_the_last_is_filled_up():
    mouth, done = Mouth(20), []
    mouth.say(b"ab" * 200, lambda: done.append(1))
    mouth.say(b"cd" * 160, lambda: done.append(2))
    assert mouth.busy
    assert mouth.frame() == b"ab" * 160
    assert done == []
    assert mouth.frame() == b"ab" * 40 + bytes(240)
    assert done == [1]
    assert mouth.frame() == b"cd" * 160
    assert done == [1, 2]
    assert mouth.frame() is None
    assert not mouth.busy
    assert mouth.silence == bytes(320)


def test_nothing_to_say_is_said_at_once():
    mouth, done = Mouth(20), []
    mouth.say(b"", lambda: done.append(1))
    assert mouth.frame() == bytes(320)
    assert done == [1]


def test_shutting_it_forgets_the_rest_and_tells_everybody():
    mouth, done = Mouth(20), []
    mouth.say(b"ab" * 1600, lambda: done.append(1))
    mouth.say(b"ab", lambda: done.append(2))
    mouth.frame()
    mouth.shut()
    assert done == [1, 2]
    assert mouth.frame() is None
    mouth.say(b"xy" * 160, lambda: done.append(3))
    assert mouth.frame() == b"xy" * 160


def test_half_a_sample_is_refused():
    with pytest.raises(ValueError, match="3 bytes"):
        Mouth(20).say(b"abc", lambda: None)
