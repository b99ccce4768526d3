"""Answers are cut into sentences by every Pipecat, and with no network."""

import warnings

import pytest

with warnings.catch_warnings():  # of audioop's end
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pipecat.services.tts_service")

from pipecat.frames.frames import (
    EndFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.utils import string
from pipeline_rig import run, worker

from trunkline.adapters.pipecat.sentences import MODEL, find_sentences
from trunkline.adapters.pipecat.services import OfflineTTSService
from trunkline.media.formats import L16_16K
from trunkline.sim.clock import run_virtual

by_nltk = pytest.mark.skipif(
    not hasattr(string, "nltk"), reason="this Pipecat cuts sentences by rules of its own"
)


class Beeps:
    """A speaker that takes down what it is given to say."""

    format = L16_16K

    def __init__(self):
        self.said = []

    async def warm_up(self):
        pass

    async def speak(self, text):
        self.said.append(text)
        yield bytes(L16_16K.bytes_in(20))


# Newer Pipecats cut these by the rules of `sentencex`, which we did not write, older ones by
# whatever model NLTK has: the whole one, where there is one, else ours.
@pytest.mark.parametrize(
    "sentences",
    [
        ["One.", "Two!", "Three?", "And the last"],
        ["Dr. Smith is here at 5 p.m. today.", "Please come in!"],
        ["It costs $29.50.", "That is 3.5 times the price."],
        ["Bring milk, e.g. Mr. J. Doe's.", "Please ring."],
    ],
    ids=" ".join,
)
def test_an_answer_is_spoken_sentence_by_sentence(sentences):
    speaker = Beeps()

    async def answer():
        pipeline = worker([OfflineTTSService(speaker)])
        words = [LLMTextFrame(f"{word} ") for word in " ".join(sentences).split()]
        frames = [LLMFullResponseStartFrame(), *words, LLMFullResponseEndFrame(), EndFrame()]
        await pipeline.queue_frames(frames)
        await run(pipeline)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        run_virtual(answer())
    assert speaker.said == sentences


@by_nltk
def test_where_nltk_has_a_model_it_is_left_alone(tmp_path):
    data = string.nltk.data
    before = list(data.path)
    (tmp_path / "tokenizers" / "punkt_tab" / "english").mkdir(parents=True)
    try:
        data.path[:] = [str(tmp_path)]
        find_sentences()
        assert data.path == [str(tmp_path)]
    finally:
        data.path[:] = before


@by_nltk
def test_where_it_has_none_ours_is_found_once(tmp_path):
    data = string.nltk.data
    before = list(data.path)
    try:
        data.path[:] = [str(tmp_path)]
        find_sentences()
        find_sentences()
        assert data.path == [str(tmp_path), str(MODEL)]
    finally:
        data.path[:] = before
