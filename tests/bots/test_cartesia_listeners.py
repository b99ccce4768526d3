"""The two ways of having Cartesia listen: what is heard when, and what becomes of it in trouble."""

import asyncio
import json

import pytest

from trunkline.bots.cartesia import (
    Account,
    Loudness,
    ManualListener,
    ServiceError,
    TurnsListener,
)
from trunkline.bots.cartesia.hearing import joined
from trunkline.bots.cartesia.listener import detector
from trunkline.bots.speech import SpeechEnded, SpeechStarted, Transcript
from trunkline.bots.vad import SileroStream, TurnDetector
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMA_8K, PCMU_8K
from trunkline.sim.clock import run_virtual
from trunkline.sim.people import clips
from trunkline.sim.services.cartesia import Cartesia
from trunkline.sim.services.service import Service, ServiceFaults
from trunkline.sim.services.tones import Tones

ACCOUNT = Account("sk_secret", "ws://c.test")
WAYS = {
    "manual": lambda audio, connect, **more: ManualListener(
        ACCOUNT, audio, connect, rating=Loudness, **more
    ),
    "turns": lambda audio, connect, **more: TurnsListener(ACCOUNT, audio, connect, **more),
}
both_ways = pytest.mark.parametrize("way", WAYS)


class Caller:
    """Somebody on the line: pushes their audio as it comes, silence when they say nothing."""

    def __init__(self, listener, tones):
        self.listener = listener
        self.tones = tones
        self.heard = []  # (seconds, what)
        self.error = None
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._words = bytearray()
        self.mute = False
        self.tasks = [self._loop.create_task(work) for work in (self._push(), self._listen())]

    @property
    def at(self):
        return self._loop.time() - self._began

    async def say(self, text):
        """Returns when it has been said."""
        self._words += self.tones.sound(text, self.listener.format)
        while self._words:
            await asyncio.sleep(0.02)

    async def _push(self):
        form = self.listener.format
        while True:
            frame = bytes(self._words[: form.bytes_in(20)])
            del self._words[: form.bytes_in(20)]
            missing = form.bytes_in(20) - len(frame)
            if not self.mute:
                self.listener.push(frame + form.silence * (missing // form.sample_bytes))
            await asyncio.sleep(0.02)

    async def _listen(self):
        try:
            async for heard in self.listener:
                self.heard.append((self.at, heard))
        except ServiceError as error:
            self.error = error

    @property
    def kinds(self):
        return [type(what) for _, what in self.heard]

    @property
    def texts(self):
        return [what.text for _, what in self.heard if isinstance(what, Transcript)]

    def when(self, kind):
        return [at for at, what in self.heard if isinstance(what, kind)]


def listening(way, scene, audio=PCMU_8K, service=None, more=None, **options):
    """Run ``scene(caller, service)`` in virtual time; nothing may be left."""

    async def main():
        tones = Tones()
        the_service = service or Cartesia(tones.hear, tones.speak, key="sk_secret", **options)
        async with the_service:
            listener = WAYS[way](audio, the_service.connect, **(more or {}))
            caller = Caller(listener, tones)
            try:
                await scene(caller, the_service)
            finally:
                caller.tasks[0].cancel()
                await listener.close()
                await listener.close()
                await asyncio.gather(*caller.tasks, return_exceptions=True)
            await asyncio.sleep(0.1)
            assert the_service.open == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())


TURN = [SpeechStarted, SpeechEnded, Transcript]


@both_ways
@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K, L16_8K, L16_16K, L16_24K], ids=str)
def test_what_is_said_is_heard_and_not_a_byte_of_it_is_changed(way, audio):
    async def scene(caller, service):
        pushed = bytearray()
        push, caller.listener.push = caller.listener.push, lambda a: (pushed.extend(a), push(a))
        await asyncio.sleep(0.5)
        await caller.say("one two three")
        await asyncio.sleep(1.5)
        await caller.say("four")
        await asyncio.sleep(1.5)
        assert caller.kinds == [*TURN, *TURN]
        assert caller.texts == ["one two three", "four"]
        assert 0.9 < caller.heard[2][1].seconds < 2.0
        (heard,) = service.audio_in
        assert pushed.startswith(heard)
        assert len(pushed) - len(heard) <= audio.bytes_in(20)
        assert service.complaints == []

    listening(way, scene, audio)


@both_ways
def test_how_soon_an_interruption_is_known(way):
    async def scene(caller, service):
        await asyncio.sleep(1)
        began = caller.at
        await caller.say("one two three")
        await asyncio.sleep(1.5)
        delay = caller.when(SpeechStarted)[0] - began
        # Here: three windows of 32 ms. There: 60 ms, and 50 ms each way on top of it.
        assert delay <= {"manual": 0.15, "turns": 0.14}[way]

    listening(way, scene, faults=ServiceFaults(latency_ms=50))


@both_ways
@pytest.mark.parametrize("after_ms", range(0, 2400, 170))
def test_a_lost_socket_costs_no_word(way, after_ms):
    async def scene(caller, service):
        await asyncio.sleep(0.5)
        asyncio.get_running_loop().call_later(after_ms / 1000, service.drop)
        await caller.say("one two three four")
        await asyncio.sleep(3)
        assert caller.kinds == TURN
        assert caller.texts == ["one two three four"]
        assert service.opened == 2

    listening(way, scene, updates=True, faults=ServiceFaults(latency_ms=30, handshake_ms=120))


@both_ways
@pytest.mark.parametrize("refusals", [2, 4])
def test_what_is_said_in_an_outage_is_heard_after_it(way, refusals):
    async def scene(caller, service):
        await asyncio.sleep(0.5)
        service.refuse(*[503] * refusals)
        service.drop()
        await caller.say("one two three four five six")
        await asyncio.sleep(4)
        assert caller.texts == ["one two three four five six"]

    listening(way, scene)


@both_ways
def test_who_speaks_before_there_is_a_socket_is_heard(way):
    async def scene(caller, service):
        await caller.say("one two three")
        await asyncio.sleep(3)
        assert caller.texts == ["one two three"]

    listening(way, scene, faults=ServiceFaults(handshake_ms=1500))


@both_ways
def test_a_service_that_stays_away_is_an_error(way):
    async def scene(caller, service):
        await asyncio.sleep(0.5)
        service.refuse(*[503] * 50)
        service.drop()
        await asyncio.sleep(10)
        assert "cannot be reached" in str(caller.error)
        assert caller.at == pytest.approx(10.5, abs=0.1)

    listening(way, scene)


@both_ways
def test_errors_of_the_service(way):
    async def scene(caller, service):
        await asyncio.sleep(0.5)
        service.fail(500)
        await caller.say("one two")
        await asyncio.sleep(3)
        assert caller.texts == ["one two"]
        service.fail(402)
        await caller.say("three")
        await asyncio.sleep(3)
        assert caller.error.status == 402
        assert "Quota exceeded quota_exceeded (402)" in str(caller.error)

    listening(way, scene)


@both_ways
def test_a_wrong_key_is_an_error_at_once(way):
    async def scene(caller, service):
        await asyncio.sleep(0.1)
        assert caller.error.status == 401
        assert service.refused == 1
        await caller.say("one two")  # to nobody
        await asyncio.sleep(1)

    tones = Tones()
    listening(way, scene, service=Cartesia(tones.hear, tones.speak, key="another"))


@both_ways
def test_whose_line_sends_nothing_any_more_has_ended_their_turn(way):
    async def scene(caller, service):
        await asyncio.sleep(0.5)
        await caller.say("one two")
        caller.mute = True
        await asyncio.sleep(3)
        assert caller.texts == ["one two"]
        assert caller.kinds == TURN
        await asyncio.sleep(1000)  # and the service does not take them for gone
        assert service.opened == 1
        caller.mute = False
        await caller.say("three")
        await asyncio.sleep(2)
        assert caller.texts == ["one two", "three"]

    listening(way, scene)


def test_a_turn_that_was_over_when_its_socket_was_lost_is_ended_with_what_is_known():
    class Forgetful(Cartesia):
        """Its second socket hears nobody."""

        async def serve(self, socket, request):
            self.hear = self.tones.hear if self.opened == 1 else self.deaf
            await super().serve(socket, request)

        async def deaf(self, audio, form):
            return ""

    tones = Tones()
    service = Forgetful(tones.hear, tones.speak, updates=True)
    service.tones = tones

    async def scene(caller, service):
        caller.tones = tones
        await asyncio.sleep(0.5)
        await caller.say("one two three")
        await asyncio.sleep(0.3)
        service.drop()
        caller.mute = True
        await asyncio.sleep(5)
        assert caller.texts == ["one two three"]
        assert caller.kinds == TURN

    listening("turns", scene, service=service)


def test_an_eager_listener_answers_sooner_and_takes_what_is_added():
    async def scene(caller, service):
        await asyncio.sleep(0.5)
        await caller.say("one two")
        said = caller.at
        await asyncio.sleep(0.35)  # long enough to seem done, too short to be
        await caller.say("three")
        await asyncio.sleep(2)
        assert caller.kinds == [*TURN, *TURN]
        assert caller.texts == ["one two", "three"]
        assert caller.when(Transcript)[0] - said < 0.3

    listening("turns", scene, more={"eager": True})


class Script(Service):
    """Answers what it is sent with what it was told to say; ``None`` is nothing at all."""

    def __init__(self, *scripts, **options):
        super().__init__(**options)
        self.scripts = list(scripts)
        self.finalized = 0

    async def serve(self, socket, request):
        script = self.scripts[min(self.opened, len(self.scripts)) - 1]
        for message in script.get("first", ()):
            await socket.send(json.dumps(message))
        while True:
            message = await socket.receive()
            if message == "finalize":
                self.finalized += 1
                for answer in script.get("finalize", ()):
                    await socket.send(json.dumps(answer))


def final(text):
    return {"type": "transcript", "text": text, "is_final": True}


def test_text_that_comes_unasked_is_a_turn_if_nobody_was_noticed():
    async def scene(caller, service):
        await asyncio.sleep(1)
        assert caller.kinds == TURN
        assert caller.texts == ["hello there"]
        await caller.say("one")
        await asyncio.sleep(1)
        assert caller.texts == ["hello there", "how are you"]

    said = [final("hello there"), {"type": "transcript", "text": "how", "is_final": False}]
    answer = [final("how"), final("are you"), {"type": "flush_done"}]
    listening("manual", scene, service=Script({"first": said, "finalize": answer}))


def test_an_acknowledgement_that_fails_is_not_waited_for_for_long():
    async def scene(caller, service):
        await asyncio.sleep(0.5)
        await caller.say("one")
        said = caller.at
        await asyncio.sleep(4)
        assert caller.texts == ["so it is"]
        assert caller.when(Transcript)[0] - said < 0.6 + 2
        assert service.opened == 1

    listening("manual", scene, service=Script({"finalize": [final("so it is")]}))


def test_a_service_that_does_not_finish_is_left_and_then_given_up():
    async def scene(caller, service):
        await asyncio.sleep(0.5)
        await caller.say("one")
        await asyncio.sleep(3.5)
        assert caller.texts == ["at last"]
        assert service.opened == 2
        service.scripts = [{}]
        service.drop()
        await caller.say("two")
        await asyncio.sleep(9)
        assert "does not finish a transcript" in str(caller.error)

    answer = [final("at last"), {"type": "flush_done"}]
    listening("manual", scene, service=Script({}, {"finalize": answer}))


def test_a_turn_that_the_service_forgets_is_continued_elsewhere():
    async def scene(caller, service):
        await asyncio.sleep(30)
        assert service.opened == 2  # after 12 s
        assert caller.kinds == TURN
        assert caller.texts == ["one"]

    update = {"type": "turn.update", "transcript": "one"}
    script = Script({"first": [{"type": "turn.start"}, update]}, {})
    listening("turns", scene, service=script)


def test_more_than_the_service_had_thought_is_told_as_one_more_turn():
    async def scene(caller, service):
        await asyncio.sleep(1)
        assert caller.kinds == [*TURN, *TURN]
        assert caller.texts == ["one", "two"]

    said = [
        {"type": "turn.start"},
        {"type": "turn.start"},
        {"type": "turn.eager_end", "transcript": "one"},
        {"type": "turn.end", "transcript": "one two"},
        {"type": "something.new"},
    ]
    listening("turns", scene, service=Script({"first": said}), more={"eager": True})


def test_warm_up_waits_for_the_socket():
    async def scene(caller, service):
        await caller.listener.warm_up()
        assert service.open == 1

    listening("manual", scene, faults=ServiceFaults(handshake_ms=200))


@pytest.mark.parametrize(
    ("before", "after", "both"),
    [
        ("", "", ""),
        ("", "one two", "one two"),
        ("one two", "", "one two"),
        ("one two", "three", "one two three"),
        ("one two", "two three", "one two three"),
        ("one Two,", "two three", "one two three"),
        ("a b c d", "b c d e", "a b c d e"),
        ("a b c d", "a b c d e", "a b c d a b c d e"),
    ],
)
def test_parts_are_joined_where_they_overlap(before, after, both):
    assert joined(before, after) == both


# The detector that needs no model.


def edges(windows):
    rating, turns = Loudness(), TurnDetector()
    found = []
    for number, window in enumerate(windows):
        if edge := turns.push(rating(window)):
            found.append((number * 32, edge.value))
    return found


def windows(pcm):
    return [pcm[at : at + 1024] for at in range(0, len(pcm) - 1023, 1024)]


def noise(seconds, amplitude):
    import numpy as np

    samples = np.random.default_rng(1).normal(0, amplitude, int(16000 * seconds))
    return samples.astype("<i2").tobytes()


def test_loudness_tells_people_from_the_noise_of_their_line():
    from trunkline.media.transcode import convert

    clip = clips()[1]
    said = convert(clip.audio, clip.format, L16_16K)
    for level in (0, 20, 60):
        quiet = noise(2, level)
        found = edges(windows(quiet + said + quiet))
        assert found[0][1] == "started"
        assert 2000 <= found[0][0] <= 2700
        assert found[-1][1] == "ended"


@pytest.mark.parametrize("level", [0, 20, 100, 300])
def test_noise_that_stays_is_nobody(level):
    found = edges(windows(noise(60, level)))
    assert found == [] or found[-1] == (found[-1][0], "ended")
    assert len(found) <= 2


def test_loudness_forgets():
    rating = Loudness()
    for window in windows(noise(30, 300)):
        rating(window)
    assert rating(noise(0.032, 400)) < 0.4
    rating.reset()
    assert rating(noise(0.032, 400)) > 0.4


@pytest.mark.speech
def test_the_best_detector_that_is_installed_is_taken():
    assert isinstance(detector(), SileroStream)
