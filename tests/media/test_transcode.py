import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media import g711
from trunkline.media.formats import (
    L16_8K,
    L16_16K,
    L16_24K,
    PCMA_8K,
    PCMU_8K,
    AudioFormat,
    Encoding,
)
from trunkline.media.transcode import Transcoder, convert

FORMATS = [PCMU_8K, PCMA_8K, L16_8K, L16_16K, L16_24K]
formats = st.sampled_from(FORMATS)


def tone(audio: AudioFormat, seconds: float = 0.25, hz: float = 440) -> bytes:
    at = np.arange(int(audio.rate * seconds)) / audio.rate
    pcm = np.rint(8000 * np.sin(2 * np.pi * hz * at)).astype("<i2").tobytes()
    return g711.encode(pcm, audio.encoding)


def cut(audio: bytes, sizes: list[int]) -> list[bytes]:
    parts = []
    for size in sizes:
        parts.append(audio[:size])
        audio = audio[size:]
    return [*parts, audio]


@given(source=formats, target=formats, sizes=st.lists(st.integers(0, 500)))
def test_the_result_does_not_depend_on_how_audio_was_cut(source, target, sizes):
    audio = tone(source)
    transcoder = Transcoder(source, target)
    pieces = [transcoder.push(part) for part in cut(audio, sizes)]
    assert b"".join([*pieces, transcoder.flush()]) == convert(audio, source, target)


@given(source=formats, target=formats, count=st.integers(0, 4000))
def test_no_time_is_lost_or_gained(source, target, count):
    audio = source.silence * count
    samples = len(convert(audio, source, target)) / target.sample_bytes
    assert abs(samples / target.rate - count / source.rate) <= 0.5001 / target.rate


@given(source=formats, target=formats)
def test_it_sounds_the_same(source, target):
    got = np.frombuffer(convert(convert(tone(source), source, target), target, L16_24K), "<i2")
    want = np.frombuffer(tone(L16_24K), "<i2")
    middle = slice(200, -200)
    error = (got[middle].astype(float) - want[middle]) / 8000
    # A pass through G.711 must leave 33 dB between a tone and its distortion (ITU-T G.712);
    # up to three passes are made here, hence 28 dB in all.
    assert np.mean(error**2) < 0.5 * 10**-2.8


@pytest.mark.parametrize("audio", FORMATS)
def test_equal_formats_copy_nothing(audio):
    transcoder = Transcoder(audio, audio)
    payload = tone(audio)
    assert transcoder.identity
    assert transcoder.push(payload) is payload
    assert transcoder.flush() == b""
    assert transcoder.delay_ms == 0
    assert convert(payload, audio, audio) is payload


@pytest.mark.parametrize("target", FORMATS)
def test_unequal_formats_are_not_identity(target):
    assert Transcoder(AudioFormat(Encoding.L16, 48000), target).identity is False


def test_between_the_two_laws_every_byte_maps_by_itself():
    every = bytes(range(256))
    transcoder = Transcoder(PCMU_8K, PCMA_8K)
    assert transcoder.push(every) == g711.translate(every, Encoding.PCMU, Encoding.PCMA)
    assert transcoder.flush() == b""


def test_the_two_laws_at_different_rates_are_resampled():
    wide = AudioFormat(Encoding.PCMA, 16000)
    assert len(convert(tone(PCMU_8K), PCMU_8K, wide)) == 4000


@pytest.mark.parametrize("target", [PCMU_8K, L16_24K])
def test_reset_forgets_every_remainder(target):
    used, fresh = Transcoder(L16_16K, target), Transcoder(L16_16K, target)
    used.push(tone(L16_16K, hz=1000)[:-1])
    used.reset()
    audio = tone(L16_16K)
    assert used.push(audio) + used.flush() == fresh.push(audio) + fresh.flush()


@pytest.mark.parametrize("target", [PCMU_8K, PCMA_8K, L16_8K, L16_24K])
def test_flush_leaves_it_as_new(target):
    transcoder = Transcoder(L16_16K, target)
    audio = tone(L16_16K) + b"\x01"
    first = transcoder.push(audio) + transcoder.flush()
    assert transcoder.push(audio) + transcoder.flush() == first
    assert transcoder.flush() == b""


def test_half_a_sample_at_the_end_is_dropped():
    assert convert(b"\0\0\0", L16_8K, PCMU_8K) == b"\xff"


def test_the_delay_is_under_two_milliseconds():
    for source in FORMATS:
        for target in FORMATS:
            assert 0 <= Transcoder(source, target).delay_ms < 2
    assert Transcoder(PCMU_8K, L16_16K).delay_ms > 1


def test_rates_without_a_conversion_are_refused():
    with pytest.raises(ValueError, match="cannot convert 44101 Hz to 8000 Hz"):
        Transcoder(AudioFormat(Encoding.L16, 44101), PCMU_8K)
