"""Levels against their definition."""

import array
import math

import pytest

from trunkline.media.formats import L16_8K, PCMA_8K, PCMU_8K
from trunkline.media.level import rms


def test_of_a_sine_is_its_peak_over_root_two():
    sine = [round(8000 * math.sin(2 * math.pi * i / 40)) for i in range(800)]
    assert rms(array.array("h", sine).tobytes(), L16_8K) == pytest.approx(8000 / 2**0.5, abs=1)


@pytest.mark.parametrize("form", [PCMU_8K, PCMA_8K, L16_8K])
def test_of_silence_is_next_to_nothing(form):
    assert rms(form.silence * 160, form) <= 8  # A-law has no exact zero


def test_of_nothing_and_of_half_a_sample():
    assert rms(b"", PCMU_8K) == 0
    assert rms(b"\x01\x02\x03", L16_8K) == 0x0201
