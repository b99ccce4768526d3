import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.media.formats import (
    L16_8K,
    L16_16K,
    L16_24K,
    PCMA_8K,
    PCMU_8K,
    AudioFormat,
    Encoding,
)


@pytest.mark.parametrize(
    ("audio", "frame_20_ms"),
    # What carriers' pages say 20 ms of audio take: 160 bytes of G.711 (RFC 3551, table 1), and
    # 2 bytes a sample of linear PCM.
    [(PCMU_8K, 160), (PCMA_8K, 160), (L16_8K, 320), (L16_16K, 640), (L16_24K, 960)],
)
def test_sizes_and_durations(audio, frame_20_ms):
    assert audio.bytes_in(20) == frame_20_ms
    assert audio.ms_in(frame_20_ms) == 20
    assert audio.bytes_per_second == 50 * frame_20_ms
    assert audio.sample_bytes == (1 if audio in (PCMU_8K, PCMA_8K) else 2)


@given(ms=st.floats(0, 1e6), rate=st.integers(1, 96000))
def test_bytes_in_are_whole_samples_and_never_too_many(ms, rate):
    size = AudioFormat(Encoding.L16, rate).bytes_in(ms)
    assert size % 2 == 0
    assert 0 <= rate * ms / 1000 - size / 2 < 1


def test_silence_is_what_g711_calls_zero():
    # ITU-T G.711, tables 2a and 1a: positive zero is 1111 1111 in µ-law; the softest positive
    # value of A-law is 1000 0000 before, and 1101 0101 after its even bits are inverted.
    assert PCMU_8K.silence == b"\xff"
    assert PCMA_8K.silence == b"\xd5"
    assert L16_8K.silence == b"\0\0"


@pytest.mark.parametrize(
    ("text", "audio"),
    [
        ("PCMU", PCMU_8K),
        ("pcma", PCMA_8K),
        (" PCMU/8000 ", PCMU_8K),
        ("L16/16000", L16_16K),
        ("l16/24000", L16_24K),
    ],
)
def test_parse(text, audio):
    assert AudioFormat.parse(text) == audio


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K, L16_8K, L16_24K])
def test_parse_reads_what_str_writes(audio):
    assert AudioFormat.parse(str(audio)) == audio


@pytest.mark.parametrize("text", ["", "L16", "opus", "PCMU/", "PCMU/x", "L16/0", "L16/-8000"])
def test_parse_says_how_to_write_a_format(text):
    with pytest.raises(ValueError, match=r"write e\.g\. PCMU/8000"):
        AudioFormat.parse(text)
