import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media import g711
from trunkline.media.formats import L16_8K, L16_16K, PCMU_8K, AudioFormat, Encoding
from trunkline.media.tones import BLOCK_S, HIGH, LOW, SOFTEST, SOFTEST_RMS, DtmfDetector, dtmf

# ITU-T Q.23, clause 5, figure 1.
Q23 = {
    "1": (697, 1209), "2": (697, 1336), "3": (697, 1477), "A": (697, 1633),
    "4": (770, 1209), "5": (770, 1336), "6": (770, 1477), "B": (770, 1633),
    "7": (852, 1209), "8": (852, 1336), "9": (852, 1477), "C": (852, 1633),
    "*": (941, 1209), "0": (941, 1336), "#": (941, 1477), "D": (941, 1633),
}  # fmt: skip
KEYS = "".join(Q23)
ALL = [AudioFormat(encoding, rate) for encoding in Encoding for rate in (8000, 16000, 24000)]


# The Harvard sentences (IEEE 297-1969, list 1), and vowels held long.
SENTENCES = [
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It's easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "The hogs were fed chopped corn and garbage.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
    "Ooh, aah, well, no no no, you do, hmm, we see.",
]


def heard(pcm: bytes, audio: AudioFormat = L16_8K) -> str:
    return DtmfDetector(audio).push(pcm)


def amplitude(dbm0: float) -> float:
    # A sine at full scale has 3.17 dBm0 in µ-law.
    return 32767 * 10 ** ((dbm0 - 3.17) / 20)


def tones(
    low_hz: float,
    high_hz: float,
    *,
    ms: float = 50,
    low_dbm0: float = -8,
    high_dbm0: float = -8,
    before: int = 0,
    noise_dbm0: float = -90,
) -> bytes:
    """A pair of sines from sample ``before`` on, at 8 kHz, and 50 ms of silence after it."""
    at = np.arange(int(8 * ms)) / 8000
    pair = amplitude(low_dbm0) * np.sin(2 * np.pi * low_hz * at + 1)
    pair = pair + amplitude(high_dbm0) * np.sin(2 * np.pi * high_hz * at + 2)
    wave = np.concatenate((np.zeros(before), pair, np.zeros(400)))
    spread = amplitude(noise_dbm0) / np.sqrt(2)
    wave = wave + np.random.default_rng(7).normal(0, spread, len(wave))
    return np.rint(wave).clip(-32768, 32767).astype("<i2").tobytes()


def l16(wave: np.ndarray) -> bytes:
    return np.rint(wave).clip(-32768, 32767).astype("<i2").tobytes()


# --- made ------------------------------------------------------------------------------------


@pytest.mark.parametrize("audio", ALL, ids=str)
@pytest.mark.parametrize("key", KEYS)
def test_a_key_has_the_two_frequencies_of_q23_at_minus_8_dbm0(audio, key):
    made = dtmf(key, audio, tone_ms=1000, gap_ms=0)
    samples = np.frombuffer(g711.decode(made, audio.encoding), "<i2")
    assert len(samples) == audio.rate
    spectrum = np.abs(np.fft.rfft(samples)) / (len(samples) / 2)  # 1 Hz a bin
    assert sorted(np.argsort(spectrum)[-2:]) == list(Q23[key])
    for hz in Q23[key]:
        assert abs(20 * np.log10(spectrum[hz] / amplitude(-8))) < 0.1


@pytest.mark.parametrize("audio", ALL, ids=str)
def test_keys_follow_each_other_with_a_gap_after_each(audio):
    made = dtmf("12", audio, tone_ms=80, gap_ms=40)
    tone, gap = audio.bytes_in(80), audio.bytes_in(40)
    assert len(made) == 2 * (tone + gap)
    silence = audio.silence * (gap // audio.sample_bytes)
    assert made[tone : tone + gap] == silence
    assert made[-gap:] == silence
    assert made[:tone] != made[tone + gap : -gap]


def test_edges_do_not_click():
    samples = np.frombuffer(dtmf("5", L16_16K, gap_ms=0), "<i2").astype(float)
    peak = np.abs(samples).max()
    assert np.abs(samples[:4]).max() < peak / 200
    assert np.abs(samples[-4:]).max() < peak / 200
    # A hard edge is heard as a thump: its spectrum falls by no more than 6 dB an octave.
    spectrum = np.abs(np.fft.rfft(samples, 16000))
    assert spectrum[:300].max() < spectrum.max() * 10 ** (-50 / 20)
    assert spectrum[2000:].max() < spectrum.max() * 10 ** (-50 / 20)


@pytest.mark.parametrize("digits", ["E", "1 2", "12w", "٣"])
def test_what_is_no_key_is_refused(digits):
    with pytest.raises(ValueError, match="is not a key of a telephone"):
        dtmf(digits, PCMU_8K)


def test_no_keys_make_no_sound():
    assert dtmf("", PCMU_8K) == b""
    assert dtmf("ad", PCMU_8K) == dtmf("AD", PCMU_8K)


# --- heard -----------------------------------------------------------------------------------


@pytest.mark.parametrize("audio", [*ALL, AudioFormat(Encoding.L16, 44100)], ids=str)
@pytest.mark.parametrize("ms", [40, 100, 400])
def test_every_key_is_heard_once(audio, ms):
    assert heard(dtmf(KEYS + "00", audio, tone_ms=ms, gap_ms=ms), audio) == KEYS + "00"


@given(
    digits=st.text(KEYS, max_size=6),
    sizes=st.lists(st.integers(0, 700)),
    audio=st.sampled_from(ALL),
)
def test_cutting_changes_nothing(digits, sizes, audio):
    made = dtmf(digits, audio, tone_ms=60, gap_ms=60)
    detector = DtmfDetector(audio)
    found = ""
    for size in sizes:
        found += detector.push(made[:size])
        made = made[size:]
    assert found + detector.push(made) == digits


# What North American receivers are held to (ITU-T Q.24, annex A, gathers administrations' values),
# wherever in a block the tone begins.
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "change",
    [
        {"ms": 40},
        {"low_dbm0": 0, "high_dbm0": 0},
        {"low_dbm0": -25, "high_dbm0": -25},
        {"low_dbm0": -12, "high_dbm0": -8},
        {"low_dbm0": -8, "high_dbm0": -16},
        {"noise_dbm0": -20},
    ],
    ids=str,
)
def test_what_must_be_heard(key, change):
    for before in range(0, 102, 6):
        assert heard(tones(*Q23[key], before=before, **change)) == key


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("off", [-0.015, 0.015])
def test_frequencies_may_be_off_by_one_and_a_half_percent(key, off):
    low, high = Q23[key]
    for before in range(0, 102, 6):
        assert heard(tones(low * (1 + off), high * (1 + off), before=before)) == key


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("off", [-0.035, 0.035])
def test_frequencies_off_by_three_and_a_half_percent_are_no_key(key, off):
    low, high = Q23[key]
    for before in range(0, 102, 6):
        assert heard(tones(low * (1 + off), high * (1 + off), before=before)) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"ms": 15},
        {"low_dbm0": -36, "high_dbm0": -36},
        {"low_dbm0": -20, "high_dbm0": -8},
        {"low_dbm0": -8, "high_dbm0": -22},
        {"noise_dbm0": -4},
    ],
    ids=str,
)
def test_what_must_not_be_heard(change):
    for key in KEYS:
        for before in range(0, 102, 6):
            assert heard(tones(*Q23[key], before=before, **change)) == ""


@given(
    st.sampled_from([*LOW, *HIGH]),
    st.floats(0, 2 * np.pi),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
    st.sampled_from([8000, 24000]),
)
def test_what_is_not_even_looked_at_is_softer_than_any_key(hz, phase, noise, seed, rate):
    size = round(rate * BLOCK_S)
    at = np.arange(size) / rate
    wave = np.sin(2 * np.pi * hz * at + phase)
    wave = (1 - noise) * wave + noise * np.random.default_rng(seed).normal(0, 1, size)
    wave *= (SOFTEST_RMS - 1) / max(1e-9, np.sqrt((wave**2).mean()))
    samples = np.frombuffer(l16(wave), "<i2") / 32768
    for tone in (*LOW, *HIGH):
        power = abs((samples * np.exp(-2j * np.pi * tone * at)).sum()) ** 2 * 2 / size**2
        assert power <= SOFTEST


def test_one_tone_alone_is_no_key():
    at = np.arange(8000) / 8000
    for hz in {hz for pair in Q23.values() for hz in pair}:
        assert heard(l16(9000 * np.sin(2 * np.pi * hz * at))) == ""


def test_a_third_tone_makes_it_no_key():
    # Of a voice's harmonics, one often lies beside the two that look like a key.
    at = np.arange(8000) / 8000
    for third in (770, 852, 1336, 1477):
        wave = sum(np.sin(2 * np.pi * hz * at) for hz in Q23["1"])
        assert heard(l16(8000 * wave)) == "1"
        wave = wave + 10 ** (-4 / 20) * np.sin(2 * np.pi * third * at)
        assert heard(l16(8000 * wave)) == ""


@pytest.mark.parametrize("pair", [(350, 440), (440, 480), (480, 620), (425, 425), (1400, 2300)])
def test_tones_of_the_network_are_no_keys(pair):
    # Dial tone, ringing and busy of North America, of Europe, and a fax's neighbourhood.
    assert heard(tones(*pair, ms=2000)) == ""


def test_noise_is_no_key():
    rng = np.random.default_rng(3)
    assert heard(l16(rng.normal(0, 3000, 8000 * 60))) == ""


@pytest.mark.speech
def test_speech_presses_no_keys():
    hibari = pytest.importorskip("hibari", reason="the demo extra is not installed")
    voice = hibari.Hibari(threads=1)
    for number, sentence in enumerate(SENTENCES):
        wave = voice(sentence, seed=number) * 32767
        for loudness in (0.1, 0.5, 1, 2):
            for rate in (20400, 24000, 27600, 31200):  # deeper and higher voices, too
                assert heard(l16(loudness * wave), AudioFormat(Encoding.L16, rate)) == ""


def test_a_key_over_a_short_break_is_one_key():
    made = bytearray(tones(*Q23["5"], ms=200))
    made[1600:1760] = bytes(160)  # 10 ms
    assert heard(bytes(made)) == "5"


def test_a_blip_after_a_key_is_no_second_key():
    key, blip = tones(*Q23["1"], ms=51)[:816], tones(*Q23["7"], ms=12.75)[:204]
    assert heard(key + bytes(204) + blip + bytes(400)) == "1"


def test_a_key_is_told_within_40_ms():
    made = dtmf("7", PCMU_8K, gap_ms=0)
    detector = DtmfDetector(PCMU_8K)
    assert detector.push(made[: 25 * 8]) == ""
    assert detector.push(made[25 * 8 : 40 * 8]) == "7"


def test_reset_forgets():
    detector = DtmfDetector(L16_8K)
    made = dtmf("7", L16_8K, gap_ms=0)
    assert detector.push(made + b"\1") == "7"
    detector.reset()
    assert detector.push(made) == "7"


def test_numpy_waits_for_the_first_use():
    program = "import sys, trunkline.media.tones; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
