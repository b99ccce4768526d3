"""The parrot: its rules, and whole calls with all its engines through the simulated carrier."""

import asyncio

import pytest

from trunkline.bots.ears import Ears
from trunkline.bots.hibari import Hibari
from trunkline.bots.parrot import GIVE_UP, SORRY, STORY, Parrot, key_rules, rules
from trunkline.bots.recording import APOLOGY, GREETING, Recording, record
from trunkline.bots.speech import loudness
from trunkline.bots.turns import Reply, Turn, TurnState
from trunkline.bots.vad import silero
from trunkline.bots.whisper import Whisper
from trunkline.config import Settings
from trunkline.errors import ConfigError
from trunkline.events import Who, Why
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMU_8K
from trunkline.media.g711 import encode
from trunkline.media.transcode import convert
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.echo import Echo
from trunkline.sim.in_process import InProcess
from trunkline.sim.people import clips
from trunkline.sim.phone import Phone

from .words import errors, words

# --- rules ---


def bot(text, state=TurnState.DONE, heard=None):
    return Turn(Who.BOT, text, state, text if heard is None else heard)


def caller(text):
    return Turn(Who.CALLER, text, heard=text)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Hello there.", Reply("You said: Hello there.")),
        ("Goodbye.", Reply("Goodbye!", hang_up=True)),
        ("Okay, good bye then", Reply("Goodbye!", hang_up=True)),
        ("Bye-bye!", Reply("Goodbye!", hang_up=True)),
        ("Please hang up now.", Reply("Goodbye!", hang_up=True)),
        ("Standby.", Reply("You said: Standby.")),
        ("Tell me a story.", Reply(STORY)),
        ("A STORY, please!", Reply(STORY)),
        ("Go on.", Reply("You said: Go on.")),
        ("5", Reply("You said: 5")),
        ("", Reply(SORRY)),
    ],
)
def test_what_it_says(text, reply):
    assert rules(text, []) == reply


def test_goes_on_where_it_was_interrupted():
    history = [bot("Hello."), bot("One two three four.", TurnState.CUT, "One two"), caller("Stop")]
    for asked in ("Go on.", "Please continue", "carry on, please"):
        assert rules(asked, history) == Reply("three four.")
    assert rules("Go on about it.", history) == Reply("You said: Go on about it.")
    later = [*history, bot("You said: Stop"), caller("Hm")]
    assert rules("Go on.", later) == Reply("three four.")
    assert rules("Go on.", [*later, bot("three four.")]) == Reply("You said: Go on.")


def test_gives_up_after_three_times():
    history = [caller("Hm"), bot(SORRY), bot("Are you still there?")]
    assert rules("", history) == Reply(SORRY)
    assert rules("", [*history, bot(SORRY)]) == Reply(GIVE_UP, hang_up=True)
    assert rules("", [*history, bot(SORRY), caller("Yes")]) == Reply(SORRY)


@pytest.mark.parametrize(
    ("keys", "said"),
    [("5", "You pressed 5."), ("51", "You pressed 5, 1."), ("*0#", "You pressed star, 0, pound.")],
)
def test_names_keys(keys, said):
    assert key_rules(keys, []) == Reply(said)


# --- whole calls ---

BASE = "https://bot.test"
VOICE = Hibari()
EARS = Whisper()


async def spoken(text):
    line = await record(VOICE, text)
    return line.audio, line.format


def calling(scene, carrier="twilio", parrot=None, **options):
    """Run ``scene(call)`` on a call to a parrot; returns the call and the parrot's turns."""

    async def main():
        turns = []
        answering = parrot or Parrot(transcriber=EARS, speaker=VOICE)
        answering._on_turn = lambda call, turn: turns.append(turn)
        phone = Phone(carrier, base=BASE, speaker=spoken, **options)
        settings = Settings(public_url=BASE, simulator_url="http://sim.test")
        app = create_app(answering, settings, send=phone.send)
        async with InProcess(app) as network, phone:
            phone.network = network
            call = await phone.call()
            await scene(call)
            await call.ended(1) if call.reason else await call.hang_up()
        assert call.complaints == []
        return call, turns

    return run_virtual(main())


def over(turns, who=Who.BOT):
    return [turn for turn in turns if turn.who is who and turn.state is not TurnState.BEGUN]


def texts(turns, who=Who.BOT):
    return [turn.text for turn in over(turns, who)]


async def answer(call):
    """Wait until the bot has said its piece; returns what the caller heard of it."""
    begun = await call.wait_for_speech()
    end = await call.wait_for_silence()
    return call.heard[round(begun * 8000) * 2 : round(end * 8000) * 2]


def understood(pcm):
    return words(asyncio.run(EARS.transcribe(convert(bytes(1600) + pcm, L16_8K, L16_16K))))


@pytest.mark.speech
@pytest.mark.parametrize("carrier", ["bandwidth", "twilio"])
def test_a_call_from_hello_to_goodbye(carrier):
    clip = clips()[3]
    heard = []

    async def scene(call):
        assert await call.wait_for_speech() < 0.1
        await call.wait_for_silence()
        heard.append(call.heard)
        await call.say(clip.audio, clip.format)
        asked = call.now
        begun = await call.wait_for_speech()
        assert 0.3 < begun - asked < 0.8  # the end of the turn must be waited for
        heard.append(await answer(call))
        await call.press("5")
        heard.append(await answer(call))
        await call.say("Goodbye.")
        heard.append(await answer(call))
        assert (await call.ended()).why is Why.COMPLETED

    call, turns = calling(scene, carrier)
    assert understood(heard[0]) == words(GREETING)
    said = words("You said " + clip.text)
    assert errors(said, understood(heard[1])) <= 3
    assert understood(heard[2]) == words("You pressed 5")
    assert understood(heard[3]) == ["goodbye"]
    assert texts(turns)[0] == GREETING
    assert texts(turns)[2:] == ["You pressed 5.", "Goodbye!"]
    assert all(turn.heard == turn.text for turn in over(turns))
    assert call.reason.who is Who.BOT


@pytest.mark.speech
def test_a_story_can_be_interrupted_and_gone_on_with():
    async def scene(call):
        await call.wait_for_silence()
        await call.say("Tell me a story.")
        await call.wait_for_speech()
        await asyncio.sleep(6)
        await call.say("Wait a moment.", wait=False)
        begun = call.now
        await call.wait_until(lambda: not call.speaking, "the story to stop", 3)
        scene.stopped = call.line.ear.voice_at - begun
        await call.wait_for_speech()
        await call.wait_for_silence()
        await call.say("Go on.")
        await answer(call)

    _, turns = calling(scene)
    # It spoke on while the caller's first syllable was heard and judged, and no longer.
    assert scene.stopped < 0.4
    _, story, repeated, rest = over(turns)
    assert (story.text, story.state) == (STORY, TurnState.CUT)
    assert repeated.text.startswith("You said: ")
    assert f"{story.heard} {rest.text}" == STORY
    assert 8 < len(story.heard.split()) < 25
    # It was speaking for 6 s and a little: what it believes to have said is what was heard.
    assert rest.text == rest.heard


@pytest.mark.speech
@pytest.mark.parametrize("delay_ms", [50, 300])
def test_its_own_echo_does_not_interrupt_it(delay_ms):
    async def scene(call):
        await call.wait_for_silence()
        await call.say("Tell me a story.")
        await answer(call)

    _, turns = calling(scene, echo=Echo(loss_db=20, delay_ms=delay_ms))
    assert [(turn.text, turn.state) for turn in over(turns)] == [
        (GREETING, TurnState.DONE),
        (STORY, TurnState.DONE),
    ]


@pytest.mark.speech
def test_ten_minutes_of_echo_are_nobody():
    """The worst line there is: 20 dB, on everything the parrot says, for ten minutes."""

    async def main():
        line = await record(VOICE, STORY)
        pcm = convert(line.audio, L16_24K, L16_8K)
        samples = memoryview(pcm).cast("h")
        echo = b"".join(round(s / 10).to_bytes(2, "little", signed=True) for s in samples)
        weak = convert(encode(echo, PCMU_8K.encoding), PCMU_8K, L16_16K)
        ears = Ears(lambda: silero().stream(), EARS)
        await asyncio.sleep(0)
        ears.expect_echo(loudness(line.audio, line.format))
        minutes = 0.0
        while minutes < 10:
            ears.push(weak)
            minutes += len(weak) / 32_000 / 60
            await asyncio.sleep(0.1)
        await ears.close()
        return [heard async for heard in ears]

    assert asyncio.run(main()) == []


@pytest.mark.speech
def test_silence_is_asked_about_and_ends_the_call():
    async def scene(call):
        await call.ended(60)

    call, turns = calling(scene)
    assert texts(turns) == [GREETING, "Are you still there?", "I cannot hear you. Goodbye!"]
    assert 36 < call.now < 40
    assert call.reason.who is Who.BOT


class Mute:
    """A speaker whose engine is broken."""

    format = L16_8K

    def __init__(self, *, when_warm=True):
        self.when_warm = when_warm

    async def warm_up(self):
        if not self.when_warm:
            raise ConfigError("no voice")

    async def speak(self, text):
        raise ConfigError("no voice")
        yield b""

    async def close(self):
        pass


@pytest.mark.speech
def test_a_broken_engine_is_apologised_for_and_the_call_ends():
    async def scene(call):
        await call.wait_for_silence()
        await call.say("Hello.")
        scene.heard = await answer(call)
        assert (await call.ended()).who is Who.BOT

    calling(scene, parrot=Parrot(transcriber=EARS, speaker=Mute()))
    assert understood(scene.heard) == words(APOLOGY)


@pytest.mark.speech
def test_a_greeting_of_ones_own():
    async def scene(call):
        await answer(call)

    line = Recording("Beep.", b"\x80\x00" * 4000, PCMU_8K)
    _, turns = calling(scene, parrot=Parrot(transcriber=EARS, speaker=VOICE, greeting=line))
    assert texts(turns) == ["Beep."]


@pytest.mark.speech
def test_everything_is_loaded_before_the_first_call():
    async def main():
        await Parrot().warm_up()
        with pytest.raises(ConfigError, match="no voice"):
            await Parrot(speaker=Mute(when_warm=False)).warm_up()

    asyncio.run(main())
    assert silero() is silero()
