"""Taking turns, in virtual time, with engines of a few lines: real classes, no models."""

import asyncio
from functools import partial

import pytest

from trunkline.bots.conversation import CLOSE_S, Conversation
from trunkline.bots.recording import Recording
from trunkline.bots.response import ENGINE_S
from trunkline.bots.speech import SpeechEnded, SpeechStarted, Timing, Transcript
from trunkline.bots.turns import Reply, Turn, TurnState
from trunkline.events import Audio, Digit, Extra, Who
from trunkline.media.formats import L16_8K, L16_16K, PCMU_8K

from .line import on_a_line

WORD_MS = 300  # what each of our voice's words takes
LOUD = (8192).to_bytes(2, "little", signed=True)  # a quarter of full scale: -12.04 dBFS
GREETING = Recording("Welcome here.", LOUD * 4800, L16_8K)  # 600 ms
APOLOGY = Recording("So sorry.", LOUD * 8000, L16_8K)  # 1 s


class Hearing:
    """A listener told what to hear."""

    format = L16_16K

    def __init__(self):
        self.pushed = b""
        self.echoes = []
        self.closed = False
        self._heard = asyncio.Queue()

    def push(self, audio):
        self.pushed += audio

    def expect_echo(self, loudness):
        self.echoes.append(loudness)

    async def close(self):
        self.closed = True

    async def __aiter__(self):
        while True:
            heard = await self._heard.get()
            if isinstance(heard, Exception):
                raise heard
            if heard is None:
                return
            yield heard

    def begin(self):
        self._heard.put_nowait(SpeechStarted())

    def end(self, text=None):
        self._heard.put_nowait(SpeechEnded())
        if text is not None:
            self.write(text)

    def write(self, text):
        self._heard.put_nowait(Transcript(text, 1.0))

    def fail(self, error):
        self._heard.put_nowait(error)

    async def say(self, text, seconds=1.0):
        self.begin()
        await asyncio.sleep(seconds)
        self.end(text)


class Voice:
    """A speaker that takes 10 ms to make each word, and 300 ms to say it, and tells so."""

    format = L16_8K

    def __init__(self):
        self.begun = []
        self.made = 0
        self.closed = 0
        self.put_away = False
        self.error = None
        self.pause = 0.01

    async def speak(self, text):
        self.begun.append(text)
        try:
            for number, word in enumerate(text.split(), 1):
                await asyncio.sleep(self.pause)
                if self.error is not None:
                    raise self.error
                self.made += 1
                yield Timing(((word, number * WORD_MS),))
                yield LOUD * (8 * WORD_MS)
        finally:
            self.closed += 1

    async def close(self):
        self.put_away = True


async def parrot(text, history):
    return Reply("Goodbye dear caller.", hang_up=True) if text == "bye" else Reply(f"Said {text}")


async def keys(pressed, history):
    return Reply(f"Pressed {' '.join(pressed)}")


class Talk:
    """A conversation under way, and what came of it."""

    def __init__(self, line, answer=parrot, **options):
        self.line = line
        self.ear = Hearing()
        self.voice = Voice()
        self.turns = []
        options.setdefault("greeting", GREETING)
        options.setdefault("apology", APOLOGY)
        options.setdefault("keyed", keys)
        self.conversation = Conversation(
            line.call, self.ear, self.voice, answer, on_turn=self.note, **options
        )
        self.task = asyncio.get_running_loop().create_task(self.conversation.run())
        self.over_at = None
        self.task.add_done_callback(self._over)

    def _over(self, _):
        self.over_at = self.line.at

    def note(self, turn):
        self.turns.append((round(self.line.at, 2), turn))

    @property
    def history(self):
        return [(turn.who, turn.text, turn.state) for turn in self.conversation.history]

    def said(self):
        return [turn.text for turn in self.conversation.history if turn.who is Who.BOT]

    async def hang_up(self):
        self.line.hang_up_by_caller()
        await self.task


def talking(scene, answer=parrot, **options):
    """Run ``scene(talk)`` and return the talk, its line and what the scene returned."""

    async def main(line):
        talk = Talk(line, answer, **options)
        try:
            await scene(talk)
        finally:
            talk.task.cancel()
            await asyncio.gather(talk.task, return_exceptions=True)
        return talk

    return on_a_line(main)


def raised(talk):
    return talk.task.exception()


# --- speaking and being answered ---


def test_greets_at_once_with_the_recording_as_it_is():
    async def scene(talk):
        await asyncio.sleep(0.7)
        await talk.hang_up()

    talk = talking(scene)
    assert talk.line.wire[0][0] == 0
    assert talk.line.sent == GREETING.audio
    assert talk.turns[0] == (0, Turn(Who.BOT, "Welcome here.", TurnState.BEGUN))
    assert talk.history == [(Who.BOT, "Welcome here.", TurnState.DONE)]
    assert talk.turns[1][0] == pytest.approx(0.6, abs=0.02)
    assert talk.voice.begun == []


def test_a_greeting_may_be_words_or_none():
    async def scene(talk):
        await asyncio.sleep(2)
        await talk.hang_up()

    assert talking(scene, greeting="Hi there.").said() == ["Hi there."]
    assert talking(scene, greeting="").said() == []


def test_answers_what_was_understood():
    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("one two")
        await asyncio.sleep(2)
        await talk.hang_up()

    talk = talking(scene)
    assert talk.history[1:] == [
        (Who.CALLER, "one two", TurnState.DONE),
        (Who.BOT, "Said one two", TurnState.DONE),
    ]
    # Understood at 2.0 s; the first word was made 10 ms later and left as it came.
    begun = next(at for at, payload in talk.line.wire if at > 1)
    assert begun == pytest.approx(2.01, abs=0.001)
    assert [turn.heard for _, turn in talk.turns if turn.state is TurnState.DONE] == [
        "Welcome here.",
        "one two",
        "Said one two",
    ]


def test_sentences_are_made_one_by_one():
    async def answer(text, history):
        return Reply("One two. Three four. Five.")

    async def scene(talk):
        await talk.ear.say("go")
        await asyncio.sleep(3)
        await talk.hang_up()

    talk = talking(scene, answer)
    assert talk.voice.begun == ["One two.", "Three four.", "Five."]
    assert talk.said()[-1] == "One two. Three four. Five."


def test_a_reply_may_come_in_pieces_and_is_spoken_from_its_first_sentence_on():
    async def reply(text, history):
        for piece in ["One t", "wo", ". ", "Three", " four.", " Five"]:
            yield piece
            await asyncio.sleep(0.5)

    async def scene(talk):
        await talk.ear.say("go")
        await asyncio.sleep(5)
        await talk.hang_up()

    talk = talking(scene, reply, greeting="")
    assert talk.voice.begun == ["One two.", "Three four.", "Five"]
    # The first sentence is known to be whole at 2.5 s, when the next begins.
    assert talk.line.wire[0][0] == pytest.approx(2.51, abs=0.001)
    assert talk.history[1:] == [(Who.BOT, "One two. Three four. Five", TurnState.DONE)]
    begun, done = [turn for _, turn in talk.turns if turn.who is Who.BOT]
    assert (begun.state, begun.text) == (TurnState.BEGUN, "One two. Three")
    assert done.heard == done.text


def test_a_reply_is_closed_when_the_caller_interrupts():
    closed = []

    async def reply(text, history):
        try:
            while True:
                yield "One two three. "
                await asyncio.sleep(0.2)
        finally:
            await asyncio.sleep(0.1)  # a stream's end, say
            closed.append(talk_at[0].line.at)

    talk_at = []

    async def scene(talk):
        talk_at.append(talk)
        await talk.ear.say("go")
        await asyncio.sleep(2)
        talk.ear.begin()
        await asyncio.sleep(1)
        await talk.hang_up()

    talk = talking(scene, reply, greeting="")
    assert closed == [pytest.approx(3.1, abs=0.001)]
    turn = talk.conversation.history[-1]
    assert turn.state is TurnState.CUT
    # From 1.21 s on, when the second sentence has begun.
    assert turn.heard == "One two three. One two"
    assert turn.text.startswith("One two three. One two three. One two three.")


def test_a_reply_in_pieces_may_end_the_call():
    async def reply(text, history):
        yield "Fine"
        yield Reply("Bye now.", hang_up=True)

    async def scene(talk):
        await talk.ear.say("go")
        await asyncio.sleep(0.5)
        await talk.ear.say("wait", 0.1)
        await talk.task

    talk = talking(scene, reply, greeting="")
    assert talk.voice.begun == ["Fine", "Bye now."]
    assert talk.history[-1] == (Who.BOT, "Fine Bye now.", TurnState.DONE)
    assert talk.line.cleared_at == []


def test_a_reply_may_end_the_call_without_a_word():
    async def reply(text, history):
        yield Reply(hang_up=True)

    async def scene(talk):
        await talk.ear.say("go")
        await talk.task

    talk = talking(scene, reply)
    assert talk.over_at == pytest.approx(1.0, abs=0.01)


def test_a_reply_may_be_known_at_once():
    async def scene(talk):
        await talk.ear.say("go")
        await asyncio.sleep(1)
        await talk.ear.say("on")
        await asyncio.sleep(1)
        await talk.hang_up()

    talk = talking(scene, lambda text, _: Reply("Yes") if text == "go" else f"Said {text}")
    assert talk.said() == ["Yes", "Said on"]


def test_a_reply_may_be_no_piece_at_all():
    async def reply(text, history):
        for piece in ():
            yield piece

    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("one")
        await talk.ear.say("two")
        await asyncio.sleep(1)
        await talk.hang_up()

    assert [text for _, text, _ in talking(scene, reply).history] == ["Welcome here.", "one", "two"]


def test_the_deadline_of_a_reply_is_one_for_each_piece():
    async def reply(text, history):
        for _ in range(3):
            await asyncio.sleep(ENGINE_S - 1)
            yield "One two. "
        await asyncio.sleep(ENGINE_S + 1)
        yield "Never."

    async def scene(talk):
        await talk.ear.say("go")
        await asyncio.wait([talk.task])

    talk = talking(scene, reply, greeting="")
    assert isinstance(raised(talk), TimeoutError)
    assert talk.voice.begun == ["One two."] * 2  # the third was not known to be whole
    assert talk.over_at == pytest.approx(1 + 3 * (ENGINE_S - 1) + ENGINE_S + 1, abs=0.05)


def test_a_reply_in_pieces_that_fails_is_apologised_for():
    async def reply(text, history):
        yield "One two. Three "
        await asyncio.sleep(1)
        raise OSError("gone")

    async def scene(talk):
        await talk.ear.say("go")
        await asyncio.wait([talk.task])

    talk = talking(scene, reply, greeting="")
    assert isinstance(raised(talk), OSError)
    assert talk.line.sent == LOUD * (8 * 600) + APOLOGY.audio


def test_no_more_is_made_ahead_than_ten_seconds():
    async def answer(text, history):
        return " ".join(["One two three four five six."] * 20)  # 1.8 s each

    async def scene(talk):
        await talk.ear.say("go", 1.0)
        await asyncio.sleep(1)
        talk.soon = len(talk.voice.begun)
        await asyncio.sleep(9)
        talk.ear.begin()
        await asyncio.sleep(1)
        await talk.hang_up()

    talk = talking(scene, answer, greeting="")
    assert talk.soon == 7  # six make 10.8 s; 0.8 s later there is room for one more
    assert len(talk.voice.begun) == 12  # 10 s later, one of 1.8 s was asked for each 1.8 s
    assert talk.conversation.history[-1].text.count("six.") == 20


def test_what_is_cleared_by_somebody_else_is_not_waited_for():
    async def answer(text, history):
        return " ".join(["One two three four five six."] * 20)

    async def scene(talk):
        await talk.ear.say("go")
        await asyncio.sleep(3)
        talk.line.call.clear()
        await asyncio.sleep(1)
        talk.asked = len(talk.voice.begun)
        await asyncio.sleep(1)
        await talk.ear.say("go on")
        await asyncio.sleep(1)
        await talk.hang_up()

    talk = talking(scene, answer, greeting="")
    assert talk.asked < 10
    assert talk.history[2] == (Who.CALLER, "go on", TurnState.DONE)


def test_a_voice_in_the_lines_own_format_is_not_converted():
    class Carried(Voice):
        format = PCMU_8K

        async def speak(self, text):
            yield bytes(range(256)) * 4 + b"x"

    async def scene(line):
        voice = Carried()
        conversation = Conversation(line.call, Hearing(), voice, parrot, greeting="Hello.")
        task = asyncio.get_running_loop().create_task(conversation.run())
        await asyncio.sleep(1)
        line.hang_up_by_caller()
        await task
        assert voice.put_away
        return line.sent

    assert on_a_line(scene, PCMU_8K) == bytes(range(256)) * 4 + b"x"


def test_a_voice_that_knows_when_its_words_end_is_believed():
    class Timed(Voice):
        async def speak(self, text):
            yield Timing((("One", 1000.0), ("two", 1100.0)))
            yield LOUD * (8 * 1200)
            yield Timing((("three", 2000.0),))
            yield LOUD * (8 * 1000)

    async def scene(line, at):
        ear = Hearing()
        conversation = Conversation(line.call, ear, Timed(), parrot, greeting="One two three.")
        task = asyncio.get_running_loop().create_task(conversation.run())
        await asyncio.sleep(at)
        ear.begin()
        await asyncio.sleep(0.1)
        line.hang_up_by_caller()
        await task
        return conversation.history and conversation.history[0].heard

    for at, heard in [(0.9, []), (1.05, "One"), (1.9, "One two"), (2.1, "One two three.")]:
        assert on_a_line(partial(scene, at=at)) == heard


def test_the_answer_is_given_the_history():
    seen = []

    async def answer(text, history):
        seen.append([turn.text for turn in history])
        return Reply("Fine")

    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("one")
        await asyncio.sleep(1)
        await talk.ear.say("two")
        await asyncio.sleep(1)
        await talk.hang_up()

    talking(scene, answer)
    assert seen == [["Welcome here.", "one"], ["Welcome here.", "one", "Fine", "two"]]


def test_an_answer_may_be_to_say_nothing():
    async def answer(text, history):
        return Reply()

    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("one")
        await asyncio.sleep(1)
        await talk.hang_up()

    assert talking(scene, answer).said() == ["Welcome here."]


def test_noise_is_not_answered():
    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("")
        await asyncio.sleep(1)
        await talk.hang_up()

    assert talking(scene).said() == ["Welcome here."]


def test_a_listener_that_is_done_does_not_end_the_call():
    async def scene(talk):
        talk.ear.fail(None)
        await asyncio.sleep(1)
        talk.line.call.happened(Digit("5"))
        await asyncio.sleep(1)
        await talk.hang_up()

    assert talking(scene).said() == ["Welcome here.", "Pressed 5"]


def test_other_events_are_let_pass():
    async def scene(talk):
        talk.line.call.happened(Extra("odd", {}))
        await asyncio.sleep(1)
        await talk.hang_up()

    assert talking(scene).said() == ["Welcome here."]


def test_the_listener_hears_from_the_very_first_frame():
    async def scene(talk):
        talk.line.call.heard(Audio(LOUD * 160))  # before the conversation runs
        await asyncio.sleep(0.1)
        talk.line.call.heard(Audio(LOUD * 160))
        await asyncio.sleep(0.1)
        await talk.hang_up()
        talk.line.call.heard(Audio(LOUD * 160))  # and not after it

    talk = talking(scene)
    ms = len(talk.ear.pushed) / 32
    assert ms == pytest.approx(40, abs=4)  # less what the resampler holds back
    assert talk.ear.closed


# --- taking turns ---


def test_whoever_goes_on_before_the_answer_came_is_answered_once():
    async def answer(text, history):
        await asyncio.sleep(2)
        return Reply(f"Said {text}")

    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("I would")
        await asyncio.sleep(1)  # it is being thought about
        await talk.ear.say("like tea")
        await asyncio.sleep(5)
        await talk.hang_up()

    talk = talking(scene, answer)
    assert talk.history[1:] == [
        (Who.CALLER, "I would", TurnState.DONE),
        (Who.CALLER, "like tea", TurnState.DONE),
        (Who.BOT, "Said I would like tea", TurnState.DONE),
    ]


def test_an_answer_waits_for_what_is_still_being_said_and_written():
    async def scene(talk):
        await asyncio.sleep(1)
        for _ in range(2):
            talk.ear.begin()
            talk.ear.end()
        talk.ear.begin()  # goes on before the first parts were written down
        await asyncio.sleep(0.5)
        talk.ear.write("I")
        talk.ear.write("would")
        await asyncio.sleep(0.5)
        talk.ear.end("like tea")
        await asyncio.sleep(2.5)
        await talk.hang_up()

    assert talking(scene).said()[1:] == ["Said I would like tea"]


def test_the_caller_interrupts():
    async def answer(text, history):
        return Reply("One two three. Four five six seven. Eight nine ten.")

    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("go")  # the answer begins at 2.01
        await asyncio.sleep(1.91)  # 1.9 s of it: six words and a third
        talk.ear.begin()
        await asyncio.sleep(0.001)
        talk.stopped = talk.line.at
        await asyncio.sleep(2)
        await talk.hang_up()

    talk = talking(scene, answer)
    assert talk.line.cleared_at == [pytest.approx(3.91, abs=1e-6)]
    assert max(at for at, _ in talk.line.wire) <= talk.stopped
    turn = talk.conversation.history[-1]
    assert (turn.state, turn.heard) == (TurnState.CUT, "One two three. Four five six")
    assert talk.turns[-1][0] == pytest.approx(3.91, abs=0.01)


def test_an_interruption_stops_the_engine():
    async def answer(text, history):
        return Reply(" ".join(["word"] * 100))  # takes a second to make

    async def scene(talk):
        await talk.ear.say("go", 0.7)
        await asyncio.sleep(0.305)
        talk.ear.begin()
        await asyncio.sleep(1)
        await talk.hang_up()

    talk = talking(scene, answer)
    assert (talk.voice.made, talk.voice.closed) == (30, 1)


def test_an_interruption_nobody_understood_is_said_so():
    asked = []

    async def answer(text, history):
        asked.append(text)
        return Reply("Pardon me?" if not text else "One two three four five.")

    async def scene(talk):
        await talk.ear.say("go")
        await asyncio.sleep(0.5)
        await talk.ear.say("")
        await asyncio.sleep(2)
        await talk.ear.say("")
        await asyncio.sleep(2)
        await talk.hang_up()

    talk = talking(scene, answer)
    assert asked == ["go", ""]
    assert talk.said()[-1] == "Pardon me?"


def test_what_nobody_heard_a_word_of_was_not_said():
    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("I would")
        await asyncio.sleep(0.1)  # the first word is on its way
        await talk.ear.say("like tea")
        await asyncio.sleep(3)
        await talk.hang_up()

    talk = talking(scene)
    assert talk.history[1:] == [
        (Who.CALLER, "I would", TurnState.DONE),
        (Who.CALLER, "like tea", TurnState.DONE),
        (Who.BOT, "Said I would like tea", TurnState.DONE),
    ]
    assert [turn.state for _, turn in talk.turns if turn.text == "Said I would"] == [
        TurnState.BEGUN,
        TurnState.CUT,
    ]


def test_what_was_heard_of_a_sentence_still_being_made():
    async def answer(text, history):
        return Reply("one two three four five six seven eight nine ten")

    async def scene(talk):
        talk.voice.pause = 0.3  # as slow as it speaks
        await talk.ear.say("go")
        await asyncio.sleep(1.35)  # three words and a half
        await talk.ear.say("stop")
        await talk.hang_up()

    talk = talking(scene, answer, greeting="")
    assert talk.conversation.history[1].heard == "one two three"


def test_silence_can_be_broken_while_it_is_being_asked_about():
    async def scene(talk):
        talk.voice.pause = 1.0
        await asyncio.sleep(16)  # "Are you …" is being made
        await talk.ear.say("")
        await asyncio.sleep(1)
        await talk.hang_up()

    assert "" not in [text for _, text, _ in talking(scene, silence_s=15).history]


def test_the_greeting_can_be_interrupted():
    async def scene(talk):
        await asyncio.sleep(0.35)
        talk.ear.begin()
        await asyncio.sleep(0.01)
        await talk.hang_up()

    turn = talking(scene).conversation.history[0]
    assert (turn.state, turn.heard) == (TurnState.CUT, "Welcome")


def test_last_words_are_heard_to_their_end():
    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("bye")  # the answer is said from 2.01 to 2.91
        await asyncio.sleep(0.3)
        await talk.ear.say("wait", 0.2)
        talk.line.call.happened(Digit("1"))
        await talk.task

    talk = talking(scene)
    assert talk.over_at == pytest.approx(2.91, abs=0.02)
    assert talk.line.cleared_at == []
    assert talk.history[-1] == (Who.BOT, "Goodbye dear caller.", TurnState.DONE)
    assert len(talk.line.sent) == len(GREETING.audio) + 3 * 16 * WORD_MS
    assert talk.line.call.ended is None  # to hang up is for whoever runs the bot


# --- silence ---


def test_silence_is_asked_about_and_then_ends_the_call():
    async def scene(talk):
        await talk.task

    talk = talking(scene)
    assert [(at, turn.text) for at, turn in talk.turns if turn.state is TurnState.BEGUN] == [
        (0, "Welcome here."),
        (pytest.approx(15.61, abs=0.05), "Are you still there?"),  # 15 s after it was heard
        (pytest.approx(31.83, abs=0.05), "I cannot hear you. Goodbye!"),  # and 15 s after that
    ]
    assert talk.over_at == pytest.approx(33.4, abs=0.1)


def test_silence_is_not_counted_while_anybody_speaks():
    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("one", 40)
        await asyncio.sleep(10)
        await talk.hang_up()

    assert talking(scene).said() == ["Welcome here.", "Said one"]


def test_words_and_keys_start_the_count_again():
    async def scene(talk):
        await asyncio.sleep(17)
        await talk.ear.say("here")
        await asyncio.sleep(17)
        talk.line.call.happened(Digit("5"))
        await asyncio.sleep(10)
        await talk.hang_up()

    asked = [text for text in talking(scene).said() if "there?" in text]
    assert len(asked) == 2


def test_noise_does_not_hide_silence():
    async def scene(talk):
        await asyncio.sleep(2)
        while not talk.task.done():
            await talk.ear.say("", 0.5)
            await asyncio.sleep(2)

    talk = talking(scene)
    assert talk.said()[1:] == ["Are you still there?", "I cannot hear you. Goodbye!"]
    assert 30 < talk.over_at < 40


def test_the_last_answer_to_silence_need_not_hang_up():
    async def scene(talk):
        await asyncio.sleep(100)
        await talk.hang_up()

    talk = talking(scene, silences=[Reply("Well?")], silence_s=5)
    assert talk.said() == ["Welcome here.", "Well?"]


# --- keys ---


def test_names_keys_and_those_before_that_were_not_heard():
    async def scene(talk):
        await asyncio.sleep(1)
        talk.line.call.happened(Digit("5"))
        await asyncio.sleep(0.4)
        talk.line.call.happened(Digit("1"))
        await asyncio.sleep(2)
        talk.line.call.happened(Digit("#"))
        await asyncio.sleep(2)
        await talk.hang_up()

    talk = talking(scene)
    assert talk.said()[1:] == ["Pressed 5", "Pressed 5 1", "Pressed #"]
    assert talk.conversation.history[1].state is TurnState.CUT
    assert len(talk.voice.begun) == 3  # nobody was asked to repeat anything


def test_words_not_answered_yet_are_answered_after_the_key():
    async def answer(text, history):
        await asyncio.sleep(1)
        return Reply(f"Said {text}")

    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("one")
        talk.line.call.happened(Digit("5"))
        await asyncio.sleep(5)
        await talk.hang_up()

    assert talking(scene, answer).said()[1:] == ["Pressed 5", "Said one"]


def test_without_an_answer_to_keys_they_are_ignored():
    async def scene(talk):
        await asyncio.sleep(0.1)
        talk.line.call.happened(Digit("5"))
        await asyncio.sleep(1)
        await talk.hang_up()

    talk = talking(scene, keyed=None)
    assert talk.history == [(Who.BOT, "Welcome here.", TurnState.DONE)]


# --- echo ---


def test_the_listener_is_told_how_loud_our_echo_may_be():
    async def scene(talk):
        await asyncio.sleep(1)
        await talk.ear.say("one")
        await asyncio.sleep(2)
        await talk.hang_up()

    talk = talking(scene)
    loud = pytest.approx(-12.04, abs=0.01)
    assert talk.ear.echoes == [loud, None, loud, loud, None]


# --- ends and failures ---


def test_the_caller_hangs_up_in_mid_sentence():
    async def scene(talk):
        await asyncio.sleep(0.35)
        await talk.hang_up()

    talk = talking(scene)
    turn = talk.conversation.history[0]
    assert (turn.state, turn.heard) == (TurnState.CUT, "Welcome")
    assert talk.ear.closed


def test_a_call_that_was_over_before_we_came():
    async def scene(talk):
        talk.line.hang_up_by_caller()
        await talk.task

    talk = talking(scene)
    assert talk.history == []
    assert talk.line.wire == []


@pytest.mark.parametrize("part", ["listener", "answer", "speaker"])
def test_an_engine_that_fails_is_apologised_for_and_told(part):
    error = RuntimeError("the engine is on fire")

    async def answer(text, history):
        raise error

    async def scene(talk):
        await asyncio.sleep(1)
        if part == "listener":
            talk.ear.fail(error)
        elif part == "speaker":
            talk.voice.error = error
        await talk.ear.say("one")
        await asyncio.wait([talk.task])

    talk = talking(scene, answer if part == "answer" else parrot)
    assert raised(talk) is error
    assert talk.line.sent == GREETING.audio + APOLOGY.audio
    assert talk.over_at == pytest.approx(2.0 if part == "listener" else 3.0, abs=0.05)
    assert talk.ear.closed


def test_an_engine_that_fails_while_we_speak_ends_the_sentence():
    async def scene(talk):
        await asyncio.sleep(0.2)
        talk.ear.fail(OSError("gone"))
        await asyncio.wait([talk.task])

    talk = talking(scene)
    assert talk.line.cleared_at == [pytest.approx(0.2)]
    assert talk.line.sent.endswith(APOLOGY.audio)


@pytest.mark.parametrize("part", ["transcript", "answer", "speaker"])
def test_an_engine_that_never_answers_is_given_up(part):
    async def answer(text, history):
        await asyncio.sleep(3600)

    async def scene(talk):
        await asyncio.sleep(1)
        if part == "speaker":
            talk.voice.pause = 3600
        await talk.ear.say(None if part == "transcript" else "one")
        await asyncio.wait([talk.task])

    talk = talking(scene, answer if part == "answer" else parrot)
    assert isinstance(raised(talk), TimeoutError)
    assert talk.over_at == pytest.approx(2 + ENGINE_S + 1, abs=0.05)
    assert talk.line.sent == GREETING.audio + APOLOGY.audio


def test_the_apology_that_comes_with_the_package_is_used_without_another():
    async def scene(talk):
        talk.ear.fail(RuntimeError())
        await asyncio.wait([talk.task])

    talk = talking(scene, apology=None, greeting="")
    assert 4 < talk.over_at < 6


def test_an_engine_that_fails_after_the_call_ended_is_told_all_the_same():
    async def scene(talk):
        await asyncio.sleep(1)
        talk.ear.fail(RuntimeError("late"))
        talk.line.hang_up_by_caller()
        await asyncio.wait([talk.task])

    assert str(raised(talking(scene))) == "late"


def test_a_call_that_ends_while_the_answer_is_sought():
    async def scene(talk):
        async def answer(text, history):
            talk.line.hang_up_by_caller()
            return Reply("Too late")

        talk.conversation._reply = answer
        await talk.ear.say("one")
        await talk.task

    assert talking(scene, greeting="").said() == []


def test_a_call_that_ends_while_a_sentence_is_made():
    class LastVoice(Voice):
        async def speak(self, text):
            yield LOUD * 160
            self.line.hang_up_by_caller()
            yield LOUD * 160

    async def scene(line):
        voice = LastVoice()
        voice.line = line
        conversation = Conversation(line.call, Hearing(), voice, parrot, greeting="Hello. You.")
        await conversation.run()
        return conversation

    assert on_a_line(scene).history == []


@pytest.mark.parametrize("part", ["listener", "speaker", "reply"])
def test_what_does_not_let_go_of_the_call_is_left_behind(part):
    async def hang():
        await asyncio.sleep(3600)

    async def reply(text, history):
        try:
            await hang()
            yield "Never."
        finally:
            await hang()

    async def scene(talk):
        if part == "listener":
            talk.ear.close = hang
        elif part == "speaker":
            talk.voice.close = hang
        else:
            await talk.ear.say("go")
        await asyncio.sleep(0.5)
        talk.line.hang_up_by_caller()
        talk.hung_up_at = talk.line.at
        await asyncio.wait([talk.task])

    talk = talking(scene, reply, greeting="")
    assert isinstance(raised(talk), TimeoutError)
    assert talk.over_at - talk.hung_up_at == pytest.approx(CLOSE_S, abs=0.01)
    assert talk.ear.closed or part == "listener"
    assert talk.voice.put_away or part == "speaker"


def test_an_engine_that_cannot_be_closed_says_so_and_the_other_is():
    async def fail():
        raise OSError("gone")

    async def scene(talk):
        talk.ear.close = fail
        talk.line.hang_up_by_caller()
        await asyncio.wait([talk.task])

    talk = talking(scene)
    assert isinstance(raised(talk), OSError)
    assert talk.voice.put_away


def test_nobody_need_be_told_of_turns():
    async def scene(line):
        ear = Hearing()
        conversation = Conversation(line.call, ear, Voice(), parrot, greeting="Hello you.")
        task = asyncio.get_running_loop().create_task(conversation.run())
        await asyncio.sleep(1)
        line.hang_up_by_caller()
        await task
        return conversation

    assert [turn.text for turn in on_a_line(scene).history] == ["Hello you."]
