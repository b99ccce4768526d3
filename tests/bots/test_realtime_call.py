"""The Realtime bridge on a bare call: bytes, functions, keys, silence, transfers."""

import asyncio
import json
from typing import Annotated

import msgspec
import pytest

from trunkline.bots.realtime import GOODBYE, Realtime, ServerVad, Tool, hang_up, transfer
from trunkline.bots.tools import run
from trunkline.bots.turns import TurnState
from trunkline.call import Call
from trunkline.errors import CallEnded, ConfigError, Unsupported
from trunkline.events import Audio, Digit, Why
from trunkline.media.formats import L16_8K, L16_16K, L16_24K, PCMA_8K, PCMU_8K
from trunkline.media.tones import dtmf
from trunkline.sim.services.realtime import Calls, RealtimeService

from .line import on_a_line

FRAME_S = 0.02


class Model:
    """Says what is in its list, one thing after the other; ``asked`` is what it was asked."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.asked = []
        self.items = ()

    async def reply(self, asked):
        self.items = asked.items
        self.asked.append(asked.instructions.partition("\n\n")[2])
        return self.replies.pop(0) if self.replies else []

    async def speak(self, text, audio):
        return dtmf("1", audio, tone_ms=float(text), gap_ms=0)

    async def hear(self, audio, form):
        return "words"


def talking(scene, *replies, audio=PCMU_8K, ends=False, **given):
    """Run ``scene(line, service, model)`` beside the bot; whether that ``ends`` the call, too."""
    model = Model(*replies)

    async def held(line):
        service = RealtimeService(model.reply, hear=model.hear, speak=model.speak)
        async with service:
            given.setdefault("turn_detection", ServerVad(silence_duration_ms=300))
            bot = Realtime("Be brief.", api_key="k", connect=service.connect, **given)
            task = asyncio.create_task(bot(line.call))
            await scene(line, service, model)
            assert task.done() == ends
            line.hang_up_by_caller()
            async with asyncio.timeout(60):
                await task
            await asyncio.sleep(0.1)
            assert service.open == 0

    on_a_line(held, audio)
    return model


async def speak(line, seconds, audio):
    """The caller is heard, then silent for half a second."""
    tone = dtmf("5", audio, tone_ms=seconds * 1000, gap_ms=500)
    size = audio.bytes_in(FRAME_S * 1000)
    for at in range(0, len(tone), size):
        line.call.heard(Audio(tone[at : at + size]))
        await asyncio.sleep(FRAME_S)
    return tone


@pytest.mark.parametrize("audio", [PCMU_8K, PCMA_8K, L16_24K])
def test_what_the_service_takes_crosses_bit_for_bit_both_ways(audio):
    async def scene(line, service, model):
        heard = await speak(line, 0.5, audio)
        await asyncio.sleep(3)
        (session,) = service.sessions
        assert session.heard == heard
        (item,) = [item for item in session.items if item.role == "assistant"]
        assert line.sent == item.audio == await model.speak("1500", audio)

    talking(scene, ["1500"], audio=audio)


@pytest.mark.parametrize("audio", [L16_8K, L16_16K])
def test_anything_else_goes_as_24_khz(audio):
    async def scene(line, service, model):
        heard = await speak(line, 0.5, audio)
        await asyncio.sleep(3)
        (session,) = service.sessions
        assert session.config["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
        assert L16_24K.ms_in(len(session.heard)) == pytest.approx(audio.ms_in(len(heard)), abs=2)
        assert audio.ms_in(len(line.sent)) == pytest.approx(1500, abs=0.2)

    talking(scene, ["1500"], audio=audio)


def test_what_was_said_before_the_session_was_open_is_heard():
    async def scene(line, service, model):
        service.refuse(503, 503, 503)  # 0.7 s
        await speak(line, 0.5, PCMU_8K)
        await asyncio.sleep(3)
        assert len(service.sessions) == 1
        assert len(model.asked) == 1

    talking(scene, ["500"])


def test_what_was_never_heard_was_never_said():
    """Two items, the second of which the caller stops before it begins: it is deleted."""
    turns = []

    async def scene(line, service, model):
        await asyncio.sleep(1.5)
        await speak(line, 0.5, PCMU_8K)
        await asyncio.sleep(1)
        (session,) = service.sessions
        first, *rest = [item for item in session.items if item.role == "assistant"]
        assert first.heard_ms == pytest.approx(1250, abs=60)
        assert not rest
        assert not service.complaints
        cut = [turn for turn in turns if turn.state is TurnState.CUT]
        assert [bool(turn.heard) for turn in cut] == [False, False]

    talking(scene, ["3000", "2000"], greeting="Hi.", on_turn=lambda call, turn: turns.append(turn))


def test_an_interruption_in_the_last_moment_cuts_nothing():
    """All of it was heard before the service says that the caller speaks."""

    async def scene(line, service, model):
        await asyncio.sleep(1.3)
        await speak(line, 0.5, PCMU_8K)
        await asyncio.sleep(1)
        assert not [item for item in service.sessions[0].items if item.heard_ms is not None]
        assert not service.complaints

    talking(scene, ["1000"], greeting="Hi.")


# --- functions --------------------------------------------------------------------------------


async def weather(
    town: Annotated[str, msgspec.Meta(description="where")], days: int = 1
) -> dict[str, object]:
    """Tell the weather."""
    return {"town": town, "days": days}


def run_tool(tool, arguments):
    """What the model is told, and whether the call ends."""

    async def scene(line):
        return await run(tool, line.call, arguments)

    return on_a_line(scene)


def test_a_function_is_described_by_its_signature():
    tool = Tool.of(weather)
    assert (tool.name, tool.description) == ("weather", "Tell the weather.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "town": {"type": "string", "description": "where"},
            "days": {"type": "integer", "default": 1},
        },
        "required": ["town"],
        "additionalProperties": False,
    }
    assert run_tool(tool, '{"town": "Bath"}') == ('{"town":"Bath","days":1}', False)


def test_a_function_may_want_the_call_and_structures():
    class Table(msgspec.Struct):
        people: int

    async def reserve(call: Call, table: Table, note=""):
        return f"{call.id} {table.people} {note}"

    tool = Tool.of(reserve, description="Reserve.")
    assert tool.description == "Reserve."
    assert set(tool.parameters["properties"]) == {"table", "note"}
    assert "Table" in tool.parameters["$defs"]
    assert run_tool(tool, '{"table": {"people": 2}, "note": "x"}') == ("c1 2 x", False)


def test_what_cannot_be_a_tool_is_a_mistake_at_once():
    def sync(a: int):
        return a

    async def starred(*args):
        return args

    async def odd(a: object.__class__):
        return a

    for function in (sync, starred, odd):
        with pytest.raises(ConfigError):
            Tool.of(function)


def test_whatever_goes_wrong_the_model_is_told(caplog):
    async def broken():
        raise KeyError("secret")

    async def slow():
        await asyncio.sleep(60)

    async def gone():
        raise CallEnded("over")

    async def odd():
        return object()

    assert "failed" in run_tool(Tool.of(broken), "{}")[0]
    assert "too long" in run_tool(Tool.of(slow), "{}")[0]
    assert "over" in run_tool(Tool.of(gone), "")[0]
    assert "failed" in run_tool(Tool.of(odd), "{}")[0]
    for arguments in ("{}", '{"town": 1}', '{"town": "x", "more": 1}', "no JSON"):
        assert "error" in json.loads(run_tool(Tool.of(weather), arguments)[0])
    assert run_tool(hang_up, "{}")[1]


def test_a_function_is_called_and_its_result_answered():
    async def scene(line, service, model):
        await asyncio.sleep(4)
        (output,) = [item for item in model.items if item.type == "function_call_output"]
        assert json.loads(output.output) == {"town": "Bath", "days": 2}
        assert len(model.asked) == 2

    call = Calls("weather", '{"town": "Bath", "days": 2}')
    talking(scene, [call], ["500"], greeting="Hi.", tools=[weather])


def test_two_functions_at_once_are_answered_once():
    async def scene(line, service, model):
        await asyncio.sleep(4)
        assert len([item for item in model.items if item.type == "function_call_output"]) == 2
        assert len(model.asked) == 2

    calls = [Calls("weather", '{"town": "Bath"}'), Calls("nonsense")]
    model = talking(scene, calls, ["500"], greeting="Hi.", tools=[weather])
    assert "no such function" in model.items[-1].output + model.items[-2].output


def test_the_model_hangs_up_when_its_goodbye_was_heard():
    async def scene(line, service, model):
        await asyncio.sleep(2.0)
        assert PCMU_8K.ms_in(len(line.sent)) < 3000
        await asyncio.sleep(2.0)

    async def held(line, service, model):
        await scene(line, service, model)
        assert PCMU_8K.ms_in(len(line.sent)) == 3000

    talking(held, ["3000", Calls("hang_up")], greeting="Bye.", tools=[hang_up], ends=True)


def test_a_model_that_hangs_up_without_a_word_is_asked_for_one():
    async def scene(line, service, model):
        await asyncio.sleep(3)
        assert PCMU_8K.ms_in(len(line.sent)) == 700
        assert "goodbye" in model.asked[-1]

    talking(scene, [Calls("hang_up")], ["700"], greeting="Bye.", tools=[hang_up], ends=True)


def test_a_transfer_waits_for_the_words_before_it_and_tells_how_it_ended():
    class Busy:
        def __init__(self, line):
            self.line = line
            self.asked = []

        async def __call__(self, to, *, from_):
            self.asked.append((to, from_, PCMU_8K.ms_in(len(self.line.sent))))
            await asyncio.sleep(30)
            return Why.BUSY

    async def scene(line, service, model):
        line.transfer = busy = Busy(line)
        await asyncio.sleep(40)
        assert busy.asked == [("+12025550123", "+1202", 2000.0)]
        (output,) = [item for item in model.items if item.type == "function_call_output"]
        assert json.loads(output.output) == {"outcome": "busy"}

    tool = transfer({"sales": "+12025550123"}, from_="+1202")
    assert tool.parameters["properties"]["to"]["enum"] == ["sales"]
    replies = (["2000", Calls("transfer", '{"to": "sales"}')], ["500"])
    talking(scene, *replies, greeting="Hi.", tools=[tool])


def test_transfers_that_cannot_be():
    tool = transfer({"sales": "+12025550123"})

    async def scene(line):
        async def refused(to, *, from_):
            raise Unsupported("no transfers here")

        async def reached(to, *, from_):
            return Why.COMPLETED

        line.transfer = refused
        assert "nobody" in (await run(tool, line.call, '{"to": "+1900"}'))[0]
        assert "Unsupported" in (await run(tool, line.call, '{"to": "sales"}'))[0]
        line.transfer = reached
        assert (await run(tool, line.call, '{"to": "sales"}'))[1]

    on_a_line(scene)


def test_a_tool_may_end_the_call_itself():
    async def done():
        """End it."""
        return GOODBYE

    assert run_tool(Tool.of(done), "{}")[1]


# --- keys and silence -------------------------------------------------------------------------


def test_keys_are_told_together_and_stop_what_is_said():
    async def scene(line, service, model):
        await asyncio.sleep(1.5)
        for key in "12":
            line.call.happened(Digit(key))
            await asyncio.sleep(0.3)
        assert line.cleared_at
        await asyncio.sleep(3)
        assert [item.text for item in model.items if item.role == "user"] == [
            "(The caller pressed these keys: 1 2)"
        ]
        assert len(model.asked) == 2
        codes = {text.partition(":")[0] for text in service.complaints}
        assert codes <= {"response_cancel_not_active"}

    talking(scene, ["9000"], ["500"], greeting="Hi.", keys=True)


def test_keys_are_nobodys_business_unless_asked_for():
    async def scene(line, service, model):
        await asyncio.sleep(1)
        line.call.happened(Digit("1"))
        await asyncio.sleep(3)
        assert len(model.asked) == 1

    talking(scene, ["1000"], greeting="Hi.")


def test_silence_is_asked_about_and_then_the_call_ends():
    async def scene(line, service, model):
        await asyncio.sleep(1.4 + 5 + 1.4 + 5 + 2.5)
        greeting, asks, leaves = model.asked
        assert greeting == "Hi."
        assert "still there" in asks
        assert "goodbye" in leaves
        assert PCMU_8K.ms_in(len(line.sent)) == 3000

    talking(scene, ["1000"], ["1000"], ["1000"], greeting="Hi.", silence_s=5, ends=True)


def test_who_answers_is_asked_again_later():
    async def scene(line, service, model):
        await asyncio.sleep(1.4 + 5 + 1.4)
        await speak(line, 0.5, PCMU_8K)
        await asyncio.sleep(1.4 + 5 + 1.0)
        assert [bool("still there" in asked) for asked in model.asked] == [False, True, False, True]

    talking(scene, *(["1000"] for _ in range(4)), greeting="Hi.", silence_s=5)


def test_silence_may_be_of_no_interest():
    async def scene(line, service, model):
        await asyncio.sleep(600)
        assert len(model.asked) == 1

    talking(scene, ["1000"], greeting="Hi.", silence_s=0)


# --- settings ---------------------------------------------------------------------------------


def test_without_a_key_there_is_no_bot(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        Realtime("Be brief.")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    Realtime("Be brief.")
