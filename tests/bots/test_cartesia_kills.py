"""Two hundred calls, and in each a socket to Cartesia is killed at a random moment.

Either the call goes on as if nothing had happened but for a gap, or, where the service stays away,
the caller hears an apology and is hung up on. Nothing is ever left behind.
"""

import asyncio
import random
from itertools import groupby, pairwise

import numpy as np
import pytest

from trunkline.bots.recording import APOLOGY, load
from trunkline.errors import CallEnded
from trunkline.events import Who
from trunkline.media.formats import L16_8K
from trunkline.media.transcode import convert
from trunkline.sim.line import How
from trunkline.sim.measure import speech
from trunkline.sim.services.service import ServiceFaults

from .cartesia_rig import Scene, hold

CARRIERS = ["bandwidth", "twilio", "vonage", "wavix"]
CALLS = 50  # at each carrier
HANDSHAKE_MS, LATENCY_MS, JITTER_MS, FIRST_MS = 150, 20, 10, 90
WELL = ServiceFaults(handshake_ms=HANDSHAKE_MS, latency_ms=LATENCY_MS, jitter_ms=JITTER_MS)
# What the service itself takes to be there again: a handshake, what it makes, and its way to us.
SERVICE_S = (HANDSHAKE_MS + FIRST_MS + 2 * (LATENCY_MS + JITTER_MS)) / 1000
AWAY = 1000  # handshakes refused: the service does not come back in this call
ASKED = "one two three"
WHOLE = "hello what do you want you said one two three goodbye"


class Kill:
    """What happens to a call: when, how often, and how many handshakes are refused after it."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.turns = self.chance.random() < 0.5
        # Anywhere in the call, or while the caller asks and is answered, when it hurts most.
        self.pauses = [self.chance.uniform(*self.chance.choice([(0, 7), (2.6, 5.6)]))]
        self.refusals = self.chance.choice([0, 0, 0, 0, 0, 0, 0, 1, 2, AWAY])
        if not self.refusals and self.chance.random() < 0.5:
            self.pauses.append(self.chance.uniform(0, 1))

    async def happen(self, service):
        for pause in self.pauses:
            await asyncio.sleep(pause)
            service.refuse(*[503] * self.refusals)
            service.drop(self.chance)


class Lived:
    """What became of a call."""

    def __init__(self, kill, call, delay, heard, understood):
        self.kill = kill
        self.call = call
        self.delay = delay  # from the caller's last word to our first, seconds
        self.heard = heard  # the words in the recording, none twice in a row
        self.understood = understood  # what the service is thought to have heard


async def talk(scene, call):
    """The caller: hears the greeting, asks, hears the answer, says goodbye; how long it took."""
    await call.wait_for_silence(1500)
    await call.say(scene.sound(ASKED))
    asked = call.now
    await call.wait_for_speech()
    delay = call.line.ear.onset_at - asked
    await call.wait_for_silence(1500)
    await call.say(scene.sound("goodbye"))
    return delay


def apologised(call):
    """Whether the caller heard the apology, by how well it fits into what they heard."""
    heard = np.frombuffer(call.heard, "<i2").astype(float)
    recording = load(APOLOGY)
    apology = np.frombuffer(convert(recording.audio, recording.format, L16_8K), "<i2").astype(float)
    if len(heard) < len(apology):
        return False
    size = 1 << (len(heard) + len(apology)).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(apology, size)), size)
    at = int(np.argmax(product[: len(heard) - len(apology) + 1]))
    piece = heard[at : at + len(apology)]
    fit = float(piece @ apology / (np.linalg.norm(piece) * np.linalg.norm(apology) + 1))
    return fit > 0.9


def longest_pause(lived):
    """The longest silence within a turn of ours beyond the one between two words, in seconds.

    The greeting comes from memory, so only what follows can suffer. Turns are 1.5 s apart.
    """
    words = speech(lived.call.heard, 8000)
    gaps = [after.start - before.end for before, after in pairwise(words)]
    return max((gap - 0.07 for gap in gaps if gap < 1.5), default=0.0)


async def live(scene, phone, kill):
    """One call, until nothing is left of it at the service."""
    scene.turns.clear()
    killer = asyncio.create_task(kill.happen(scene.service))
    call = phone.dial()
    await call.answered()
    try:
        delay = await talk(scene, call)
    except CallEnded:
        delay = None
    await call.ended(60)
    killer.cancel()
    await asyncio.gather(killer, return_exceptions=True)
    scene.service.recover()
    async with asyncio.timeout(10):
        while scene.service.open:
            await asyncio.sleep(0.01)
    assert phone.exchange.left_open() == []
    heard = " ".join(word for word, _ in groupby(word for word, _, _ in scene.words(call)))
    return Lived(kill, call, delay, heard, [t.text for t in scene.turns if t.who is Who.CALLER])


def lives(carrier, kills):
    """The calls of one server and one service, one after the other."""
    scene = Scene(faults=WELL, first_ms=FIRST_MS, pace=1.2)
    bots = {turns: scene.bot(turns=turns) for turns in (False, True)}
    current = []

    class Bot:
        async def warm_up(self):
            await asyncio.gather(*(bot.warm_up() for bot in bots.values()))

        async def __call__(self, call):
            await bots[current[-1].turns](call)

    async def play(phone):
        found = []
        for kill in kills:
            current.append(kill)
            found.append(await live(scene, phone, kill))
        return found

    return hold(carrier, scene, play, Bot())


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_call_goes_on_or_ends_politely(carrier):
    random.seed(carrier)  # of what is spread at random in a back-off
    kills = [Kill(f"{carrier}/{seed}") for seed in range(CALLS)]
    for turns in (False, True):  # two calls in peace, to compare with
        peace = Kill(f"peace/{turns}")
        peace.turns, peace.pauses = turns, []
        kills.insert(0, peace)
    quiet_turns, quiet, *disturbed = lives(carrier, kills)
    usual = {True: quiet_turns.delay, False: quiet.delay}
    gaps = []
    for lived in disturbed:
        assert lived.call.how is How.REST  # we asked for the hang-up, and it was carried out
        if lived.heard != WHOLE:
            assert lived.kill.refusals == AWAY, lived.heard
            assert apologised(lived.call)
            continue
        assert lived.understood == [ASKED, "goodbye"]
        gaps.append(max(lived.delay - usual[lived.kill.turns], longest_pause(lived)))
        limit = 1.0 + SERVICE_S * (1 + lived.kill.refusals)
        assert gaps[-1] <= limit, (gaps[-1], vars(lived.kill))
    gaps.sort()
    assert len(gaps) >= CALLS * 0.8
    p50, p90 = gaps[len(gaps) // 2], gaps[len(gaps) * 9 // 10]
    print(f"{carrier}: gap p50 {p50:.3f} s, p90 {p90:.3f} s, longest {gaps[-1]:.3f} s")
