"""What goes wrong at the service: the call goes on, or ends politely."""

import asyncio
import random

import pytest

from trunkline import carriers
from trunkline.bots.recording import APOLOGY, load
from trunkline.carrier import Control
from trunkline.events import Who, Why
from trunkline.media.formats import PCMU_8K
from trunkline.sim.line import How
from trunkline.sim.services.service import ServiceFaults

from .realtime_rig import GREETING, in_restaurant

APOLOGY_S = PCMU_8K.ms_in(len(load(APOLOGY).audio)) / 1000


async def ends_with_apology(call):
    begun = await call.wait_for_speech(within=40)
    reason = await call.ended(within=60)
    assert call.line.ear.voice_at - begun == pytest.approx(APOLOGY_S, abs=0.6)
    assert (reason.why, reason.who) == (Why.COMPLETED, Who.BOT)
    return reason


def test_a_wrong_key_is_an_apology_and_no_second_try(caplog):
    async def scene(restaurant, call):
        await ends_with_apology(call)
        assert restaurant.service.refused == 1
        assert "401" in caplog.text
        assert "wrong-key" not in caplog.text

    in_restaurant("twilio", scene, service={"keys": ["right"]}, api_key="wrong-key")


def test_a_full_service_is_asked_again():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        assert restaurant.service.refused == 3

    in_restaurant("twilio", scene, refusals=[429, 503, 500])


def test_a_session_that_is_not_taken_is_an_apology_and_no_second_try(caplog):
    async def scene(restaurant, call):
        await ends_with_apology(call)
        assert restaurant.service.opened == 1
        assert "invalid_type at session.audio.input.transcription.model" in caplog.text

    in_restaurant("twilio", scene, transcription=7)


def test_a_response_that_fails_is_asked_for_again():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        restaurant.service.fail(500)
        await restaurant.say(call, "a table please")
        assert await restaurant.reply(call) == "booked for 2"

    in_restaurant("twilio", scene)


def test_a_service_that_only_fails_is_an_apology(caplog):
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        restaurant.service.fail(500, 500, 500)
        await restaurant.say(call, "a table please")
        await ends_with_apology(call)
        assert "server_error" in caplog.text

    in_restaurant("twilio", scene)


def test_a_service_that_falls_silent_is_left_for_another_session():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        restaurant.service.faults = ServiceFaults(stall_after=0.0)
        await restaurant.say(call, "a table please")
        # The service owes nothing that we know of: it is asked to break the silence, and does not.
        await asyncio.sleep(25)
        restaurant.service.faults = ServiceFaults()
        assert await restaurant.reply(call)
        assert restaurant.service.opened == 2

    in_restaurant("twilio", scene)


def test_a_lost_session_is_followed_by_one_that_knows_what_was_said():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        await restaurant.say(call, "a table please")
        assert await restaurant.reply(call) == "booked for 2"
        restaurant.service.drop()
        await asyncio.sleep(1)
        await restaurant.say(call, "hi again")
        assert await restaurant.reply(call) == "you said hi again"
        first, second = restaurant.service.sessions
        told = [(item.type, item.role, item.text, item.output) for item in first.items]
        assert [(i.type, i.role, i.text, i.output) for i in second.items[: len(told)]] == told
        assert not restaurant.service.complaints

    in_restaurant("twilio", scene)


def test_what_a_lost_session_heard_and_did_not_answer_is_heard_again():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        saying = asyncio.create_task(restaurant.say(call, "a table please"))
        await asyncio.sleep(0.8)
        restaurant.service.drop()
        await saying
        assert await restaurant.reply(call) == "booked for 2"

    in_restaurant("twilio", scene)


def test_what_was_understood_and_not_answered_is_answered():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        await restaurant.say(call, "a table please")
        await asyncio.sleep(1.0)  # 0.5 s of silence end the turn; the model thinks for 2 s
        restaurant.service.drop()
        assert await restaurant.reply(call) == "booked for 2"
        assert restaurant.heard_of_caller() == ["a table please"]

    in_restaurant("twilio", scene, service={"think_s": 2.0})


def test_what_was_not_said_to_its_end_is_gone_on_with():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        await restaurant.say(call, "the story please")
        begun = await call.wait_for_speech(within=20)
        await asyncio.sleep(0.3)  # audio comes twice as fast as it is spoken: half of it is there
        restaurant.service.drop()
        await call.wait_for_silence(2000)
        heard = restaurant.words(call, begun).split()
        # Where in its audio a word was is estimated: one or two may be said twice, or not at all.
        assert heard[0] == "w0"
        assert heard[-1] == "w39"
        assert 37 <= len(heard) <= 43

    in_restaurant("twilio", scene, service={"speed": 2.0})


def test_a_service_that_hangs_up_again_and_again_is_an_apology(caplog):
    async def scene(restaurant, call):
        await ends_with_apology(call)
        assert restaurant.service.opened == 6
        assert "sessions lost" in caplog.text

    in_restaurant("twilio", scene, service={"faults": ServiceFaults(drop_after=(0.0, 0.01))})


def test_nobody_there_is_an_apology(caplog):
    async def scene(restaurant, call):
        await ends_with_apology(call)
        assert restaurant.service.refused == 6

    in_restaurant("twilio", scene, service={"faults": ServiceFaults(refuse=1.0)})


def test_a_session_that_ends_is_followed_without_a_break():
    """Five minutes of talk on sessions of one: no answer takes longer than it does within one."""
    waits = []

    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        number = 0
        while call.now < 300:
            number += 1
            await restaurant.say(call, f"hi w{number % 40}")
            said = call.now
            waits.append(await call.wait_for_speech(within=20) - said)
            await call.wait_for_silence(700)
        assert len(restaurant.service.sessions) >= 5
        assert not restaurant.service.complaints
        assert not call.holes
        told = restaurant.service.sessions[-1].items
        assert [item.text for item in told if item.role == "user"][:3] == [
            "hi w1",
            "hi w2",
            "hi w3",
        ]

    in_restaurant("telnyx", scene, session_s=60.0, service={"cap_s": 60.0})
    assert max(waits) <= min(waits) + 0.1


def test_a_session_that_ends_in_mid_word_is_gone_on_with():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        await restaurant.say(call, "the story please")
        begun = await call.wait_for_speech(within=20)
        await call.wait_for_silence(2000)
        heard = restaurant.words(call, begun).split()
        assert heard[0] == "w0"
        assert heard[-1] == "w39"
        assert 37 <= len(heard) <= 43
        assert len(restaurant.service.sessions) >= 2
        assert not restaurant.service.complaints

    # The session ends while the story comes, which takes 12 s at the speed of speech.
    in_restaurant("twilio", scene, session_s=12.0, service={"cap_s": 12.0, "speed": 1.1})


def test_a_session_that_ends_before_its_time_is_followed_by_another():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        await asyncio.sleep(8)
        await restaurant.say(call, "hi again")
        assert await restaurant.reply(call) == "you said hi again"
        assert len(restaurant.service.sessions) == 2
        assert not restaurant.service.complaints

    in_restaurant("twilio", scene, service={"cap_s": 10.0})


class Newest:
    """Chooses the socket that was opened last."""

    @staticmethod
    def choice(sockets):
        return sockets[-1]


def test_the_next_session_may_be_refused_or_lost():
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        restaurant.service.refuse(*[429] * 6)  # 75 s after the first, for 8 s
        await asyncio.sleep(91 - call.now)
        assert (restaurant.service.refused, restaurant.service.opened) == (6, 1)
        await restaurant.say(call, "w1 " * 10)  # 10 s later the next is opened, while they speak
        assert restaurant.service.open == 2
        restaurant.service.drop(Newest())
        await call.wait_for_speech(within=20)
        await call.wait_for_silence(1000)
        assert restaurant.service.open == 1
        await restaurant.say(call, "hi again")
        assert await restaurant.reply(call) == "you said hi again"
        assert len(restaurant.service.sessions) == 2

    in_restaurant("twilio", scene, session_s=100.0, silence_s=0, service={"cap_s": 200.0})


def test_a_complaint_is_counted_and_no_more(caplog):
    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        (session,) = restaurant.service.sessions
        await session.say("error", error={"type": "x", "message": "secret", "code": "odd"})
        await restaurant.say(call, "hi again")
        assert await restaurant.reply(call) == "you said hi again"
        await call.hang_up()
        assert "the service objects" in caplog.text
        assert "secret" not in caplog.text

    in_restaurant("twilio", scene)


def kill(seed):
    """One call whose service sockets are torn at random.

    Returns:
        How long each answer took, in seconds.
    """
    chance = random.Random(seed)
    carrier = chance.choice(carriers.names())
    waits = []

    async def scene(restaurant, call):
        async def murder():
            for _ in range(chance.choice([1, 1, 2])):
                await asyncio.sleep(chance.uniform(0.0, 14.0))
                restaurant.service.drop(chance)

        killing = asyncio.create_task(murder())
        await call.wait_for_speech(within=30)
        await call.wait_for_silence(1000)
        for text in ("a table please", "the story please", "goodbye"):
            await restaurant.say(call, text)
            said = call.now
            waits.append(await call.wait_for_speech(within=30) - said)
            if text == "the story please":
                await asyncio.sleep(chance.uniform(0.1, 3.0))
            else:
                await call.wait_for_silence(1200)
        killing.cancel()
        reason = await call.ended(within=60)
        assert (reason.why, reason.who) == (Why.COMPLETED, Who.BOT)
        rest = carriers.get(carrier).supports(Control.HANG_UP)
        assert call.how is (How.REST if rest else How.DOCUMENT)
        assert restaurant.words(call).endswith("goodbye")
        assert not restaurant.service.complaints

    in_restaurant(carrier, scene)
    return waits


@pytest.mark.parametrize("seed", range(60))
def test_a_socket_killed_at_any_moment_ends_no_call(seed):
    # 0.5 s until silence counts, 0.3 s of thinking, and as much again after a function.
    assert max(kill(seed)) < 1.2 + 1.0
