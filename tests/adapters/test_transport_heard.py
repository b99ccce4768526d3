"""What the simulated caller heard beside what was said, sample by sample and word by word."""

import asyncio
import random
import warnings
from itertools import pairwise

import numpy as np
import pytest

with warnings.catch_warnings():  # Pipecat imports audioop, which warns of its end
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pipecat.transports.base_output")

from pipecat.frames.frames import (
    InputAudioRawFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipeline_rig import on_call, tone

from trunkline.adapters.pipecat.transport import TrunklineParams
from trunkline.events import Who
from trunkline.media.formats import L16_8K, AudioFormat, Encoding
from trunkline.media.g711 import encode
from trunkline.media.transcode import convert

SILENCE = 8  # A-law has no zero
CARRIERS = ["bandwidth", "wavix", "sfvopi", "twilio"]


def noise(seconds, rate, seed=1):
    """L16 that is like itself nowhere else, loud to its last sample."""
    samples = np.random.default_rng(seed).integers(-9000, 9000, round(seconds * rate))
    samples[-3:] = (8000, -8000, 8000)
    return samples.astype("<i2").tobytes()


def pieces(audio, rate, ms, context="1"):
    size = rate * ms // 1000 * 2
    return [
        TTSAudioRawFrame(audio[at : at + size], rate, 1, context_id=context)
        for at in range(0, len(audio), size)
    ]


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_last_word_is_heard_to_its_last_sample(carrier, rate):
    said = noise(1.2345, rate)  # no whole number of messages

    async def scene(call, held):
        wire = held.call.audio_out
        sent = convert(said, AudioFormat(Encoding.L16, rate), wire) + wire.silence * wire.rate
        scene.expected = convert(sent, wire, L16_8K)
        await held.say(TTSStartedFrame(context_id="1"), *pieces(said, rate, 70))
        await held.end()
        await call.ended()

    call, _ = on_call(scene, carrier=carrier, rate=rate)
    loud = np.flatnonzero(np.abs(np.frombuffer(scene.expected, "<i2")) > SILENCE)
    expected = scene.expected[: 2 * int(loud[-1] + 1)]
    assert len(expected) / 16000 > 1.234
    at = call.heard.find(expected)
    assert at >= 0
    after = np.frombuffer(call.heard[at + len(expected) :], "<i2")
    assert np.abs(after).max(initial=0) <= SILENCE
    assert call.reason.who is Who.BOT


@pytest.mark.parametrize(
    ("carrier", "encoding", "rate"),
    [
        ("twilio", Encoding.PCMU, 8000),
        ("bandwidth", Encoding.PCMU, 8000),
        ("sfvopi", Encoding.PCMA, 8000),
        ("wavix", Encoding.L16, 24000),
    ],
)
def test_the_carriers_own_codec_passes_bit_for_bit(carrier, encoding, rate):
    wire = AudioFormat(encoding, rate)
    said = encode(noise(1.0, rate), encoding)
    spoken = noise(1.0, 8000, seed=2)

    async def scene(call, held):
        assert (held.call.audio_in, held.call.audio_out) == (wire, wire)
        await held.say(TTSAudioRawFrame(said, rate, 1), TTSStoppedFrame())
        held.call.listen(scene.heard.append)
        await call.say(spoken, L16_8K)
        await asyncio.sleep(0.5)

    scene.heard = []
    params = lambda: TrunklineParams(audio_in_encoding=encoding, audio_out_encoding=encoding)  # noqa: E731
    call, held = on_call(scene, carrier=carrier, rate=rate, params=params)
    assert convert(said, wire, L16_8K) in call.heard
    heard = b"".join(frame.audio for frame in held.before.frames(InputAudioRawFrame))
    assert b"".join(scene.heard) in heard  # what was on the wire …
    assert convert(spoken, L16_8K, wire)[200:-200] in heard  # … is what the caller said


# --- fifty barge-ins ---------------------------------------------------------------------------


def sentence(rng, number, stamps):
    """A service's frames for one sentence, its words' names, and when each of them ends, in s."""
    names = [f"w{number}x{n}" for n in range(rng.randint(4, 8))]
    spans = [rng.uniform(0.25, 0.45) for _ in names]
    ends = [sum(spans[: n + 1]) for n in range(len(names))]
    audio = pieces(tone(ends[-1]), 16000, 200, str(number))
    begin, end = LLMFullResponseStartFrame(), LLMFullResponseEndFrame()
    started, stopped = TTSStartedFrame(context_id=str(number)), TTSStoppedFrame()
    if stamps is None:
        text = [TTSTextFrame(" ".join(names), "sentence", context_id=str(number))]
        return [begin, started, *audio, *text, stopped, end], names, ends
    words = []
    for name, at, span in zip(names, ends, spans, strict=True):
        word = TTSTextFrame(name, "word", context_id=str(number))
        word.pts = stamps + round((at - span) * 1e9)
        words.append(word)
    return [begin, started, audio[0], *words, *audio[1:], stopped, end], names, ends


@pytest.mark.parametrize(
    ("carrier", "timed"), [("bandwidth", False), ("twilio", False), ("twilio", True)]
)
def test_after_fifty_barge_ins_only_what_was_heard_is_remembered(carrier, timed):
    memory = LLMContext()
    rng = random.Random(f"{carrier} {timed}")
    turns = []

    async def scene(call, held):
        clock = held.transport.output().get_clock()
        for number in range(50):
            before = len(call.heard)
            frames, names, ends = sentence(rng, number, clock.get_time() if timed else None)
            known = len(memory.messages)
            await held.say(*frames)
            await asyncio.sleep(rng.uniform(0.05, ends[-1] + 0.2))
            await held.say(InterruptionFrame())
            await asyncio.sleep(0.3)
            told = " ".join(message["content"] for message in memory.messages[known:])
            turns.append((names, ends, loud_s(call.heard[before:]), told.split()))

    aggregator = lambda: LLMContextAggregatorPair(memory).assistant()  # noqa: E731
    deaf = lambda: TrunklineParams(audio_in_enabled=False)  # noqa: E731  # what it hears costs most
    on_call(scene, carrier=carrier, params=deaf, last=[aggregator])
    assert len(turns) == 50
    for names, ends, heard_s, told in turns:
        assert told == names[: len(told)]
        # A word is heard when more than half of it was.
        heard = sum((at + end) / 2 < heard_s for at, end in pairwise([0.0, *ends]))
        assert abs(len(told) - heard) <= 1
    assert {len(told) == len(names) for names, _, _, told in turns} == {True, False}


def loud_s(pcm):
    """How long it is from the first sound to the last, in seconds of L16 at 8 kHz."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2")) > 300)
    return (loud[-1] + 1 - loud[0]) / 8000 if loud.size else 0.0
