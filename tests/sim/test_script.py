"""Scripts: read, refused with the line's number, and performed."""

from pathlib import Path

import pytest

from trunkline.events import Digit
from trunkline.media.formats import L16_8K
from trunkline.sim.deadline import Overdue
from trunkline.sim.line import How
from trunkline.sim.script import (
    HangUp,
    Interrupt,
    Listen,
    Pause,
    Press,
    Say,
    Script,
    WaitForSilence,
    WaitForSpeech,
)

from .acme import STREAM, Server, play, tone
from .test_caller import talker

TEXT = """
# A guest books a table.
wait for speech
wait for speech 30
say I would like a table.
say @hello.wav
wait for silence
wait for silence 1200
interrupt after 800 ms: Stop, please.
press 12#
pause 2.5
hang up
"""


def test_reading():
    assert Script.parse(TEXT, Path("/clips")).steps == [
        WaitForSpeech(),
        WaitForSpeech(30),
        Say("I would like a table."),
        Say(Path("/clips/hello.wav")),
        WaitForSilence(),
        WaitForSilence(1200),
        Interrupt(800, "Stop, please."),
        Press("12#"),
        Pause(2.5),
        HangUp(),
    ]


@pytest.mark.parametrize("line", ["dance", "press x", "pause", "say", "interrupt after x ms: y"])
def test_what_is_no_step(line):
    with pytest.raises(ValueError, match="line 2 of the script is no step"):
        Script.parse(f"hang up\n{line}")


def test_performing():
    talks = []
    speak = talker((2000, 500), (300, 0))

    async def bot(talk):
        talks.append(talk)
        await speak(talk)

    script = Script.parse(
        "wait for speech\ninterrupt after 700 ms: stop\nwait for silence 300\n"
        "say hello\npress 5\npause 1\nhang up"
    )

    async def scene(phone):
        call = await phone.call()
        await script.run(call)
        return call

    call = play(Server(STREAM, bot=bot), scene, speaker=lambda text: (tone(200), L16_8K))
    record = call.record()
    said = [m for m in record.moments if m.kind == "said"]
    assert [m.text for m in said] == ["stop", "hello"]
    assert 0.7 <= said[0].at <= 0.74
    assert 2.29 <= said[1].at <= 2.4
    assert [e.digit for e in talks[0].seen if isinstance(e, Digit)] == ["5"]
    assert call.how is How.CALLER


def test_a_bot_that_hangs_up_first_ends_the_script():
    async def leave(talk):
        return

    async def scene(phone):
        call = await phone.call()
        await Script([Pause(1), Press("1"), HangUp()]).run(call)
        return call

    assert play(Server(STREAM, bot=leave), scene).how is How.DOCUMENT


def test_a_wait_in_vain_is_an_error():
    async def scene(phone):
        with pytest.raises(Overdue, match="the bot to speak"):
            await Script([WaitForSpeech(1)]).run(await phone.call())

    play(Server(STREAM), scene)


def test_listening_reads_with_and_without_its_patience():
    assert Script.parse("listen\nlisten 1.5").steps == [Listen(), Listen(1.5)]


def test_listening_hears_a_bot_out():
    async def scene(phone):
        call = await phone.call()
        await Script([Listen()]).run(call)
        assert call.now >= 2 + 0.7  # the bot talks for two seconds, then there is silence
        await call.hang_up()

    play(Server(STREAM, bot=talker((2000, 500))), scene)


def test_listening_waits_no_longer_for_a_bot_that_says_nothing():
    async def scene(phone):
        call = await phone.call()
        began = call.now
        await Script([Listen(1.5)]).run(call)
        assert call.now - began == pytest.approx(1.5, abs=0.1)
        await call.hang_up()

    play(Server(STREAM), scene)
