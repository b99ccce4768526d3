"""The lines that come with the package, and those made once a process."""

import asyncio

import pytest

from trunkline.bots.recording import APOLOGY, GREETING, Recording, load, record
from trunkline.bots.speech import loudness
from trunkline.bots.whisper import Whisper
from trunkline.media.formats import L16_8K, L16_16K, PCMU_8K
from trunkline.media.transcode import convert

from .words import words


class Voice:
    format = L16_8K

    async def speak(self, text):
        for word in text.split():
            yield bytes(2 * len(word))


def test_a_line_is_recorded_whole():
    made = asyncio.run(record(Voice(), "one two three"))
    assert made == Recording("one two three", bytes(22), L16_8K)


def test_no_other_line_comes_with_the_package():
    with pytest.raises(ValueError, match="'Hi' comes with the package"):
        load("Hi")


@pytest.mark.speech
@pytest.mark.parametrize("text", [GREETING, APOLOGY])
def test_the_lines_that_come_along_say_what_they_should(text):
    line = load(text)
    assert (line.text, line.format) == (text, PCMU_8K)
    assert -20 < loudness(line.audio, PCMU_8K) < -10
    heard = asyncio.run(Whisper().transcribe(convert(line.audio, PCMU_8K, L16_16K)))
    assert words(heard) == words(text)
