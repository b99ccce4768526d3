"""The voice of tones: what is said is understood, over a telephone and cut off."""

import pytest

from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMA_8K, PCMU_8K
from trunkline.media.transcode import convert
from trunkline.sim.services.tones import Tones

MANY = " ".join(f"w{number}" for number in range(71))


@pytest.mark.parametrize("form", [PCMU_8K, PCMA_8K, L16_8K, L16_16K, L16_24K], ids=str)
def test_all_words_are_told_apart_in_every_format(form):
    tones = Tones()
    said = tones.sound(MANY, form)
    assert form.ms_in(len(said)) == pytest.approx(71 * tones.word_ms)
    found = tones.words(said, form)
    assert " ".join(word for word, _, _ in found) == MANY
    for number, (_, begin, end) in enumerate(found):
        assert begin == pytest.approx(number * tones.word_ms, abs=11)
        assert end == pytest.approx(number * tones.word_ms + 230, abs=11)
    with pytest.raises(ValueError, match="no tone is left for 'more'"):
        tones.sound("more", form)


@pytest.mark.parametrize("cut_ms", [65, 150, 229])
def test_words_are_told_when_they_are_cut_off(cut_ms):
    tones = Tones()
    said = tones.sound("Hello, you there!", PCMU_8K)
    cut = said[: PCMU_8K.bytes_in(2 * tones.word_ms + cut_ms)]
    line = convert(convert(cut, PCMU_8K, L16_16K), L16_16K, L16_8K)
    assert [word for word, _, _ in tones.words(line, L16_8K)] == ["hello", "you", "there"]


def test_silence_clicks_and_other_sounds_are_no_words():
    tones = Tones()
    tones.sound("hello", L16_8K)
    assert tones.words(bytes(16_000), L16_8K) == []
    assert tones.words(b"", L16_8K) == []
    click = bytes(1600) + b"\x00\x60\x00\xa0" * 120 + bytes(1600)
    assert tones.words(click, L16_8K) == []
    other = Tones()
    assert tones.words(other.sound("a b c", L16_8K), L16_8K)[0][0] == "hello"
    assert len(tones.words(other.sound("a b c", L16_8K), L16_8K)) == 1
