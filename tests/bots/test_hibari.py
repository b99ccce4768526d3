"""Hibari: quiet cut off, loud enough, understood, and stopped when nobody wants more."""

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from trunkline.bots.hibari import Hibari, trim
from trunkline.bots.recording import record
from trunkline.bots.speech import loudness
from trunkline.media.formats import L16_24K


def test_quiet_before_and_after_is_cut_to_a_breath():
    voice = np.full(2400, 0.1, np.float32)
    quiet = np.full(24_000, 0.001, np.float32)
    cut = trim(np.concatenate([quiet, voice, quiet]))
    assert len(cut) == pytest.approx(24 * 30 + 2400 + 24 * 180, abs=1)
    assert cut[24 * 30] == np.float32(0.1)
    # What is short already stays as it is; of silence nothing is left.
    assert len(trim(np.concatenate([quiet[:100], voice, quiet[:100]]))) == 2600
    assert len(trim(quiet)) == 0
    assert len(trim(quiet[:0])) == 0


@pytest.mark.speech
def test_speaks_sentence_by_sentence():
    async def main():
        voice = Hibari()
        await voice.warm_up()
        assert voice.format == L16_24K
        chunks = [chunk async for chunk in voice.speak("Hello there. How are you today?")]
        again = await record(voice, "Hello there. How are you today?")
        return chunks, again

    chunks, again = asyncio.run(main())
    assert [0.4 < len(chunk) / 48_000 < 1.6 for chunk in chunks] == [True, True]
    assert again.audio == b"".join(chunks)  # the same words are the same audio
    assert -20 < loudness(again.audio, L16_24K) < -10


@pytest.mark.speech
def test_makes_no_more_than_is_wanted():
    made = []

    class Counting(Hibari):
        def _say(self, sentence):
            made.append(sentence)
            return super()._say(sentence)

    async def main():
        async with aclosing(Counting().speak("One. Two. Three. Four.")) as chunks:
            await anext(chunks)

    asyncio.run(main())
    assert made == ["One."]


@pytest.mark.speech
def test_text_without_words_is_no_audio():
    async def main():
        return [chunk async for chunk in Hibari().speak(" ")]

    assert asyncio.run(main()) == []


@pytest.mark.speech
def test_many_calls_share_one_voice():
    lines = ["You pressed 5.", "Are you still there?", "Mr. Dashwood was 31 years old.", "Goodbye!"]

    async def main():
        voice = Hibari()
        alone = [(await record(voice, line)).audio for line in lines]
        together = await asyncio.gather(*(record(voice, line) for line in lines * 8))
        return alone, [line.audio for line in together]

    alone, together = asyncio.run(main())
    assert together == alone * 8
