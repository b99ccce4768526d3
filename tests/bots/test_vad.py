"""Turns out of probabilities; and the real model on people, noise, tones and keys."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.bots.vad import WINDOW_BYTES, WINDOW_MS, Edge, TurnDetector, silero, silero_file
from trunkline.errors import ConfigError
from trunkline.media.formats import L16_8K, L16_16K, PCMU_8K
from trunkline.media.g711 import encode
from trunkline.media.tones import dtmf
from trunkline.media.transcode import convert
from trunkline.sim.people import clips

YES, MAYBE, NO = 0.9, 0.3, 0.0
START, END = Edge.STARTED, Edge.ENDED


def edges(probabilities, **options):
    """When turns began and ended, as (window, edge); counted from 1."""
    detector = TurnDetector(**options)
    found = [(n, detector.push(p)) for n, p in enumerate(probabilities, 1)]
    return [(n, edge) for n, edge in found if edge]


def test_speech_begins_after_96_ms_and_ends_after_512():
    assert edges([YES] * 10 + [NO] * 30) == [(3, START), (10 + 16, END)]


def test_a_click_is_no_speech():
    assert edges(([YES] * 2 + [NO]) * 20) == []


def test_doubt_neither_begins_nor_interrupts():
    assert edges([MAYBE] * 50) == []
    assert edges([YES, MAYBE, YES, MAYBE, YES]) == [(5, START)]
    assert edges([YES] * 3 + [MAYBE] * 100) == [(3, START)]


def test_a_pause_is_no_end_and_speech_after_it_counts_anew():
    assert edges([YES] * 3 + ([NO] * 15 + [YES]) * 5) == [(3, START)]
    # Doubt within a pause prolongs it: what follows a first silence must be speech to end it.
    assert edges([YES] * 3 + [NO] + [MAYBE] * 15) == [(3, START), (19, END)]


def test_nobody_speaks_for_ever():
    assert edges([YES] * 1000, longest_ms=3200) == [
        (n, edge) for k in range(9) for n, edge in ((3 + 103 * k, START), (103 + 103 * k, END))
    ] + [(930, START)]


def test_a_cut_begins_afresh():
    detector = TurnDetector()
    for _ in range(3):
        detector.push(YES)
    assert detector.speaking
    detector.cut()
    assert not detector.speaking
    assert [detector.push(YES) for _ in range(3)] == [None, None, START]


def test_faint_speech_begins_no_turn_unless_some_of_it_is_loud():
    detector = TurnDetector()
    assert [detector.push(YES, faint=True) for _ in range(50)] == [None] * 50
    assert detector.push(YES) is START


def test_loud_noise_between_faint_speech_is_no_turn():
    detector = TurnDetector()
    for _ in range(20):
        assert detector.push(YES, faint=True) is None
        assert detector.push(NO) is None


def test_within_a_turn_faint_speech_is_silence():
    detector = TurnDetector()
    for _ in range(3):
        detector.push(YES)
    assert [detector.push(YES, faint=True) for _ in range(16)] == [None] * 15 + [END]


@given(st.lists(st.sampled_from([YES, MAYBE, NO]), max_size=300))
def test_beginnings_and_ends_take_turns(probabilities):
    found = [edge for _, edge in edges(probabilities, longest_ms=640)]
    assert found[::2] == [START] * len(found[::2])
    assert found[1::2] == [END] * len(found[1::2])


def test_a_model_file_that_is_not_there_says_what_to_do():
    with pytest.raises(ConfigError, match=r"'no_such_package'.*trunkline\[demo\]"):
        silero_file("no_such_package")
    with pytest.raises(ConfigError, match="'json' brings no silero_vad"):
        silero_file("json")


# --- the model ---


def heard(pcm, **options):
    """When turns begin and end in ``L16_8K`` audio, in seconds, as (edge, when it was noticed)."""
    audio = convert(encode(pcm, PCMU_8K.encoding), PCMU_8K, L16_16K)
    rate = silero().stream()
    windows = [audio[n : n + WINDOW_BYTES] for n in range(0, len(audio), WINDOW_BYTES)]
    found = edges((rate(w) for w in windows if len(w) == WINDOW_BYTES), **options)
    return [(edge, n * WINDOW_MS / 1000) for n, edge in found]


def speech_of(pcm):
    """From when to when somebody speaks in a recording, by its level alone, in seconds."""
    samples = np.frombuffer(pcm, "<i2").astype(float)
    level = np.sqrt(np.mean(samples[: len(samples) // 80 * 80].reshape(-1, 80) ** 2, axis=1))
    loud = np.flatnonzero(level > 0.06 * level.max())
    return loud[0] / 100, (loud[-1] + 1) / 100


@pytest.mark.speech
@pytest.mark.parametrize("clip", clips(), ids=lambda clip: clip.name)
def test_hears_when_people_speak(clip):
    pcm = convert(clip.audio, clip.format, L16_8K)
    begins, ends = speech_of(pcm)
    found = heard(bytes(16_000) + pcm + bytes(16_000))
    assert found[0][0] is START
    assert found[-1][0] is END
    # What is noticed was 96 and 512 ms ago.
    assert found[0][1] - 1 - 0.096 == pytest.approx(begins, abs=0.3)
    assert found[-1][1] - 1 - 0.512 == pytest.approx(ends, abs=0.3)


def noise(db, seconds=20):
    samples = np.random.default_rng(1).normal(0, 32768 * 10 ** (db / 20), 8000 * seconds)
    return np.clip(samples, -32768, 32767).astype("<i2").tobytes()


def ringing(seconds=20):
    """Ringback as in North America: 440 and 480 Hz, 2 s of 6."""
    t = np.arange(8000 * seconds) / 8000
    wave = 3000 * (np.sin(2 * np.pi * 440 * t) + np.sin(2 * np.pi * 480 * t)) * (t % 6 < 2)
    return wave.astype("<i2").tobytes()


def hum(seconds=20):
    t = np.arange(8000 * seconds) / 8000
    wave = 1600 * np.sin(2 * np.pi * 50 * t) + 800 * np.sin(2 * np.pi * 150 * t)
    return wave.astype("<i2").tobytes()


@pytest.mark.speech
@pytest.mark.parametrize(
    "pcm",
    [
        bytes(320_000),
        noise(-60),
        noise(-40),
        noise(-20),
        hum(),
        ringing(),
        dtmf("0123456789*#ABCD" * 2, L16_8K),
    ],
    ids=["silence", "noise -60 dB", "noise -40 dB", "noise -20 dB", "hum", "ringing", "keys"],
)
def test_takes_nothing_else_for_speech(pcm):
    assert heard(pcm) == []


@pytest.mark.speech
def test_one_model_hears_many_callers_apart():
    clip = convert(clips()[0].audio, PCMU_8K, L16_16K)
    windows = [clip[n : n + WINDOW_BYTES] for n in range(0, 60 * WINDOW_BYTES, WINDOW_BYTES)]
    alone = silero().stream()
    expected = [alone(w) for w in windows]
    assert silero() is silero()
    one, other = silero().stream(), silero().stream()
    got = []
    for window in windows:
        got.append(one(window))
        other(bytes(WINDOW_BYTES))
    assert got == expected
    one.reset()
    assert [one(w) for w in windows] == expected
