"""Sentences, loudness, and engines that are not there."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.bots.speech import (
    HEARING,
    SILENCE_DB,
    SPEAKING,
    SentenceCutter,
    engine,
    loudness,
    sentences,
)
from trunkline.errors import ConfigError
from trunkline.media.formats import L16_8K, L16_16K, PCMA_8K, PCMU_8K
from trunkline.media.g711 import encode


def sine(ms, peak, rate=8000, hz=1000):
    count = rate * ms // 1000
    wave = [round(peak * math.sin(2 * math.pi * hz * n / rate)) for n in range(count)]
    return struct.pack(f"<{count}h", *wave)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("", []),
        ("  \n ", []),
        ("Hello", ["Hello"]),
        ("Hello there. How are you?", ["Hello there.", "How are you?"]),
        ("Wait! Stop… Now.", ["Wait!", "Stop…", "Now."]),
        ("It costs 3.50 today. Really.", ["It costs 3.50 today.", "Really."]),
        (
            "Mr. John Dashwood, Dr. Who and J. Austen.",
            ["Mr. John Dashwood, Dr. Who and J. Austen."],
        ),
        ("It was over, etc. and so on.", ["It was over, etc. and so on."]),
        ("“Really?” Yes. (No.) 5 left.", ["“Really?”", "Yes.", "(No.)", "5 left."]),
        ("A plan B.", ["A plan B."]),
        ("First\nthis \n \n\nthen that", ["First\nthis", "then that"]),
    ],
)
def test_text_is_cut_into_sentences(text, cut):
    assert sentences(text) == cut


@given(st.text())
def test_no_word_is_lost_between_sentences(text):
    assert " ".join(sentences(text)).split() == text.split()


@given(st.text("aB.!? ”M\n"), st.data())
def test_text_in_pieces_is_cut_as_it_is_whole(text, data):
    cutter = SentenceCutter()
    found, rest = [], text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        found += cutter.push(rest[:size])
        rest = rest[size:]
    assert [*found, *cutter.end()] == sentences(text)


def test_a_sentence_is_given_out_when_the_next_begins():
    cutter = SentenceCutter()
    assert [cutter.push(piece) for piece in ["One", ".", " ", "T", "wo. "]] == [
        [],
        [],
        [],
        ["One."],
        [],
    ]
    assert (cutter.end(), cutter.end()) == (["Two."], [])


@pytest.mark.parametrize("peak", [32767, 8192, 300])
def test_loudness_of_a_sine_is_3_db_below_its_peak(peak):
    expected = 20 * math.log10(peak / 32768) - 3.01
    assert loudness(sine(320, peak), L16_8K) == pytest.approx(expected, abs=0.05)
    assert loudness(sine(320, peak, 16000), L16_16K) == pytest.approx(expected, abs=0.05)


def test_loudness_of_g711_is_that_of_its_samples():
    pcm = sine(320, 8192)
    for form in (PCMU_8K, PCMA_8K):
        assert loudness(encode(pcm, form.encoding), form) == pytest.approx(-15.05, abs=0.2)


def test_the_loudest_32_ms_count():
    quiet = bytes(16 * 320)
    burst = sine(32, 16384)
    assert loudness(quiet + burst + quiet, L16_8K) == pytest.approx(-9.03, abs=0.1)


def test_silence_has_a_loudness_too():
    assert loudness(b"", L16_8K) == SILENCE_DB
    assert loudness(bytes(640), L16_8K) == SILENCE_DB


def test_an_engine_that_is_not_installed_says_what_to_do():
    with pytest.raises(ConfigError, match=r"'no_such_engine'.*trunkline\[demo\]"):
        engine("no_such_engine")
    assert engine("math") is math


def test_hearing_and_speaking_do_not_wait_for_each_other():
    names = {
        pool.submit(lambda: __import__("threading").current_thread().name).result()[:16]
        for pool in (HEARING, SPEAKING)
    }
    assert names == {"trunkline-hearin", "trunkline-speaki"}
