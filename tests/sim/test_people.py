"""The recorded people: as said, as long as said, and as a telephone carries them."""

import numpy as np
import pytest

from trunkline.media.formats import L16_8K, PCMU_8K
from trunkline.media.transcode import convert
from trunkline.sim.people import clips


def test_five_sentences_of_one_chapter():
    assert [clip.text.split()[0] for clip in clips()] == ["and", "he", "unless", "had", "he"]
    assert len({clip.name for clip in clips()}) == 5
    assert sum(len(clip.text.split()) for clip in clips()) == 70
    assert clips() is clips()


@pytest.mark.parametrize("clip", clips(), ids=lambda clip: clip.name)
def test_each_is_telephone_speech(clip):
    assert clip.format == PCMU_8K
    assert clip.seconds == len(clip.audio) / 8000
    # Read aloud, English has two to four words a second.
    assert 2 < len(clip.text.split()) / clip.seconds < 4.5
    samples = np.frombuffer(convert(clip.audio, PCMU_8K, L16_8K), "<i2") / 32768
    assert -30 < 20 * np.log10(samples.std()) < -20
    assert np.abs(samples).max() < 0.98  # nothing is clipped
    power = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / 8000)
    assert power[(hz > 250) & (hz < 3500)].sum() > 0.9 * power.sum()
    # It begins and ends in the room's quiet.
    assert 20 * np.log10(samples[:400].std()) < -45
    assert 20 * np.log10(samples[-400:].std()) < -40
