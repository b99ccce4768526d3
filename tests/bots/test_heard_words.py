"""What the history says was heard, held against the recording of what was.

Every word is said at a level of its own, so that the words on the recording of the simulated
caller's ear can be counted: that is the truth. The caller interrupts at random moments, over
carriers that tell how far they have played, and one that does not.
"""

import asyncio
import random
import re

import numpy as np
import pytest

from trunkline.bots.conversation import Conversation
from trunkline.bots.speech import Timing
from trunkline.bots.turns import TurnState
from trunkline.config import Settings
from trunkline.events import Who
from trunkline.media.formats import L16_8K
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.faults import Faults
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone

from .test_conversation import Hearing

BASE = "https://bot.example.com"
# Marks; none; marks, but messages of 200 ms whose rest is heard after a clear; 24 kHz.
CARRIERS = ["twilio", "bandwidth", "exotel", "wavix"]
TIMES = 25
LEVELS = [round(500 * 1.14**index) for index in range(32)]


def spoken(word, chance):
    """A word as audio: its number is its level, and it lasts about as long as it is written."""
    ms = round((60 + 45 * len(word)) * chance.uniform(0.7, 1.3))
    level = LEVELS[int(re.search(r"\d+", word)[0])]
    return np.full(8 * ms, level, "<i2").tobytes(), ms


class Voice:
    """Says words of known length, faster than real time, and tells when they end if it is asked."""

    format = L16_8K

    def __init__(self, chance, timings):
        self.chance = chance
        self.timings = timings
        self.ms = {}

    async def speak(self, text):
        end = 0
        for word in text.split():
            audio, ms = spoken(word, self.chance)
            self.ms[int(re.search(r"\d+", word)[0])] = ms
            end += ms
            await asyncio.sleep(0.02)
            if self.timings:
                yield Timing(((word, end),))
            yield audio

    async def close(self):
        pass


def text(chance):
    """Thirty words of one to twelve letters, in sentences of three to nine."""
    words = [f"W{index:02}{'a' * chance.randint(0, 9)}" for index in range(30)]
    at = 0
    while (at := at + chance.randint(3, 9)) < len(words):
        words[at - 1] += "."
    return " ".join(words)


def talk(carrier, *, timings, seed):
    """A call with ``TIMES`` interruptions; what the history says of each, and the recording."""
    chance = random.Random(f"{carrier}/{seed}")
    turns = []

    async def reply(asked, history):
        whole = text(chance)
        for at in range(0, len(whole), 20):
            await asyncio.sleep(0.005)
            yield whole[at : at + 20]

    def note(turn):
        if turn.who is Who.BOT and turn.state is not TurnState.BEGUN:
            turns.append((len(turn.heard.split()), dict(voice.ms)))
            assert turn.text.split()[: turns[-1][0]] == turn.heard.split()

    voice = Voice(chance, timings)

    async def bot(call):
        bot.ear = Hearing()
        await Conversation(call, bot.ear, voice, reply, on_turn=note).run()

    async def main():
        faults = Faults(delay_ms=30, jitter_ms=20, seed=seed)
        phone = Phone(carrier, base=BASE, faults=faults)
        settings = Settings(public_url=BASE, simulator_url="http://sim.test")
        app = create_app(bot, settings, send=phone.send)
        async with InProcess(app) as phone.network, phone:
            call = await phone.call()
            await asyncio.sleep(0.5)
            for _ in range(TIMES):
                await bot.ear.say("go", 0.7)
                await asyncio.sleep(chance.uniform(0.4, 6))
            bot.ear.begin()
            await asyncio.sleep(0.7)
            await call.hang_up()
        return np.frombuffer(call.heard, "<i2")

    return turns, run_virtual(main())


def heard(samples):
    """The recording's stretches of speech, each as the samples of every word in it."""
    loud = np.flatnonzero(np.abs(samples) > 100)
    for stretch in np.split(loud, np.flatnonzero(np.diff(loud) > 8 * 300) + 1):
        part = np.abs(samples[stretch[0] : stretch[-1] + 1].astype(float))
        yield [int(np.sum(np.abs(part - level) < 0.06 * level)) for level in LEVELS]


def errors(carrier, *, timings, seed=1):
    """For each interruption: words that the history has too many (or few, below zero)."""
    turns, samples = talk(carrier, timings=timings, seed=seed)
    found = []
    for (count, ms), stretch in zip(turns, heard(samples), strict=True):
        truth = 0
        # All of a word but 5 ms, which a resampler may blur.
        while truth in ms and stretch[truth] >= 8 * (ms[truth] - 5):
            truth += 1
        assert max(stretch[truth + 1 :], default=0) <= 8 * 5
        found.append(count - truth)
    assert len(found) == TIMES
    return found


@pytest.mark.parametrize("carrier", CARRIERS)
def test_with_timings_the_history_has_the_words_that_were_heard(carrier):
    # One off where the caller interrupts while a word ends.
    found = errors(carrier, timings=True)
    assert max(map(abs, found)) <= 1
    assert np.mean(np.abs(found)) <= 0.1


@pytest.mark.parametrize("carrier", ["bandwidth", "wavix"])
def test_without_timings_it_has_about_those(carrier):
    found = errors(carrier, timings=False)
    assert max(map(abs, found)) <= 2
    assert np.mean(np.abs(found)) < 0.5
