"""Replies by a language model: the real client against a simulated service."""

import asyncio
import json
from typing import Annotated

import httpx
import openai
import pytest
from msgspec import Meta

from trunkline.bots.chat import (
    CUT,
    FIRST_S,
    NEXT_S,
    NOT_UNDERSTOOD,
    ROUNDS,
    ChatError,
    chat_reply,
)
from trunkline.bots.chat import messages as told
from trunkline.bots.conversation import Conversation
from trunkline.bots.tools import GOODBYE, TOOL_S, Goodbye, transfer
from trunkline.bots.turns import Reply, Turn, TurnState
from trunkline.call import Call
from trunkline.errors import ConfigError
from trunkline.events import Who
from trunkline.sim.clock import run_virtual
from trunkline.sim.platform_app import serve
from trunkline.sim.services.chat import ChatService, Failure, Said, Use

from .line import on_a_line
from .streaming import Streaming
from .test_conversation import Hearing, Voice

BASE = "https://models.test/v1"


def caller(text):
    return Turn(Who.CALLER, text, heard=text)


def bot(text, heard=None):
    cut = heard is not None
    return Turn(Who.BOT, text, TurnState.CUT if cut else TurnState.DONE, heard if cut else text)


def client(service, **options):
    http = httpx.AsyncClient(transport=Streaming(service))
    options = {"base_url": BASE, "api_key": "k", "max_retries": 0, **options}
    return openai.AsyncOpenAI(http_client=http, **options)


def said(decide, text="Hello", history=(), *, key="", **options):
    """What a reply gives, piece by piece and when; and the service that was asked."""
    service = ChatService(decide, key=key)

    async def main():
        now = asyncio.get_running_loop().time
        begun = now()
        reply = chat_reply(model="m", client=client(service), **options)
        try:
            return [(round(now() - begun, 3), piece) async for piece in reply(text, history)]
        finally:
            assert service.streams == 0

    pieces = run_virtual(main())
    return [piece for _, piece in pieces], [at for at, _ in pieces], service


# --- what it is told ---


def test_a_model_is_told_what_was_heard():
    history = [
        bot("Welcome."),
        caller("Tell me"),
        caller("a story"),
        bot("Once upon a time there was", "Once upon a"),
        caller("Stop"),
    ]
    system, *rest = told("Stop", history, "Be brief.")
    assert system["role"] == "system"
    assert system["content"].startswith("Be brief.")
    assert [(m["role"], m["content"]) for m in rest] == [
        ("assistant", "Welcome."),
        ("user", "Tell me a story"),
        ("assistant", f"Once upon a {CUT}"),
        ("user", "Stop"),
    ]


@pytest.mark.parametrize(
    ("text", "history", "last"),
    [
        ("one two", [caller("one"), caller("two")], "one two"),  # said in two breaths
        ("", [caller("one"), bot("Yes, I", "Yes,")], NOT_UNDERSTOOD),
        ("", [caller("one")], f"one {NOT_UNDERSTOOD}"),
        ("5", [], "5"),  # keys are in no history
        ("5", [caller("one")], "one 5"),
    ],
)
def test_what_is_asked_comes_last(text, history, last):
    message = told(text, history, "")[-1]
    assert (message["role"], message["content"]) == ("user", last)


def test_a_request_has_what_it_was_made_with():
    _, _, service = said(lambda _: "Hi.", options={"temperature": 0.5}, hang_up=False)
    (asked,) = service.requests
    assert (asked["model"], asked["temperature"], asked["stream"]) == ("m", 0.5, True)
    assert "tools" not in asked


# --- what it says ---


def test_words_come_as_the_model_makes_them():
    answer = Said(text="Hello there. Fine day.", first_s=0.4, token_s=0.1)
    pieces, times, _ = said(lambda _: answer)
    assert "".join(pieces) == "Hello there. Fine day."
    # The role comes first, then token by token.
    assert times == [0.5, 0.6, 0.7, 0.8]


def test_an_answer_may_be_empty_or_cut_short():
    assert said(lambda _: "")[0] == []
    assert "".join(said(lambda _: Said(text="On and on", finish="length"))[0]) == "On and on"


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        (Said(text="Bye now.", uses=(Use("hang_up", '{"goodbye": "Bye!"}'),)), Reply("", True)),
        (Said(uses=(Use("hang_up", '{"goodbye": "Bye!"}'),)), Reply("Bye!", True)),
        (Said(uses=(Use("hang_up", ""),)), Reply("", True)),
        (Said(uses=(Use("hang_up", "{goodbye"),)), Reply("", True)),
    ],
)
def test_a_model_can_end_the_call(answer, last):
    pieces, _, _ = said(lambda _: answer)
    *words, end, final = pieces
    assert "".join(words) == answer.text
    assert (end, final) == (Reply(), last)


def test_a_model_that_may_not_end_the_call_cannot():
    answers = [Said(uses=(Use("hang_up"),)), "Well, then."]
    pieces, _, service = said(lambda _: answers.pop(0), hang_up=False)
    assert "".join(pieces[1:]) == "Well, then."
    assert service.requests[1]["messages"][-1]["content"] == "There is no such tool."


# --- what goes wrong ---


def test_an_answer_that_breaks_off_is_an_error():
    for tokens in range(5):
        with pytest.raises(openai.APIConnectionError):
            said(lambda _, tokens=tokens: Said(text="One two three four", drop_after=tokens))


def test_a_stream_that_ends_early_is_an_error():
    async def service(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def main():
        async for _ in chat_reply(model="m", client=client(service))("Hi", ()):
            pass

    with pytest.raises(ChatError, match="broke off"):
        run_virtual(main())


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure(status=401), openai.AuthenticationError),
        (Failure(status=429), openai.RateLimitError),
        (Failure(status=500), openai.InternalServerError),
    ],
)
def test_an_error_is_raised(failure, error):
    with pytest.raises(error):
        said(lambda _: failure)


def test_a_wrong_key_is_refused():
    with pytest.raises(openai.AuthenticationError):
        said(lambda _: "Hi", key="another")


def test_the_client_asks_again_within_the_deadline():
    answers = [Failure(status=429, retry_after=2.0), Failure(status=500), "Hi."]
    service = ChatService(lambda _: answers.pop(0))

    async def main():
        reply = chat_reply(model="m", client=client(service, max_retries=2))
        return [piece async for piece in reply("Hello", ())]

    assert run_virtual(main()) == ["Hi."]
    assert len(service.requests) == 3


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Said(text="Hi.", first_s=FIRST_S + 1), FIRST_S),
        (Said(text="Hi there", token_s=NEXT_S + 1), NEXT_S),
    ],
)
def test_a_model_that_falls_silent_is_given_up(answer, seconds):
    async def main():
        begun = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async for _ in chat_reply(model="m", client=client(service))("Hi", ()):
                pass
        return asyncio.get_running_loop().time() - begun

    service = ChatService(lambda _: answer)
    assert run_virtual(main()) == pytest.approx(seconds, abs=0.01)
    assert (service.streams, service.abandoned) == (0, 0 if answer.first_s else 1)


def test_there_is_no_reply_without_a_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        chat_reply(model="m")


def test_key_and_place_come_from_the_environment(monkeypatch):
    async def main():
        async with serve(ChatService(lambda _: "Hi there.", key="sesame")) as url:
            monkeypatch.setenv("OPENAI_API_KEY", "sesame")
            monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
            reply = chat_reply(model="m")
            pieces = [piece async for piece in reply("Hello", ())]
            await reply.close()
            return pieces

    assert "".join(asyncio.run(main())) == "Hi there."


# --- tools ---


async def table(people: int, day: Annotated[str, Meta(description="a weekday")] = "today") -> dict:
    """Book a table."""
    await asyncio.sleep(0.5)
    return {"table": 4, "people": people, "day": day}


async def leave() -> Goodbye:
    """End it."""
    return GOODBYE


async def slow() -> str:
    await asyncio.sleep(TOOL_S + 1)


async def whose(call: Call) -> str:
    return call.id


def using(*answers, tools=(table, leave, slow, whose)):
    """What a reply on a call gives when the service answers so, one after the other."""
    answers = list(answers)
    service = ChatService(lambda _: answers.pop(0))

    async def scene(line):
        reply = chat_reply(model="m", client=client(service), tools=tools).on(line.call)
        pieces = [piece async for piece in reply("Hello", ())]
        await asyncio.sleep(0.01)  # the client leaves iterators for the loop to close
        return pieces

    return on_a_line(scene), service


def test_a_model_uses_functions():
    pieces, service = using(
        Said(text="One moment.", uses=(Use("table", '{"people": 2, "day": "Friday"}'),)),
        "Table four.",
    )
    at = pieces.index(Reply())  # the moment is asked for before the table is looked for
    assert ("".join(pieces[:at]), "".join(pieces[at + 1 :])) == ("One moment.", "Table four.")
    tools = service.requests[0]["tools"]
    assert [tool["function"]["name"] for tool in tools][-1] == "hang_up"
    assert tools[0]["function"]["description"] == "Book a table."
    assert tools[0]["function"]["parameters"]["required"] == ["people"]
    told, result = service.requests[1]["messages"][-2:]
    assert told["content"] == "One moment."
    assert json.loads(result["content"]) == {"table": 4, "people": 2, "day": "Friday"}


def test_what_a_tool_said_is_known_in_later_turns():
    booking = Said(text="One moment.", uses=(Use("table", '{"people": 2}'),))
    answers = [booking, "Table four.", "At one.", "Table four."]
    service = ChatService(lambda _: answers.pop(0))
    turns = [caller("Book"), bot("One moment. Table four.", "One moment. Table"), caller("When?")]

    async def scene(line):
        reply = chat_reply(model="m", client=client(service), tools=[table])
        on_call, on_another = reply.on(line.call), reply.on(line.call)
        asked = [
            (on_call, "Book", turns[:1]),
            (on_call, "When?", turns),
            (on_call, "Book it", [turns[0], caller("it")]),  # of the first nothing was heard
            (on_another, "Book", turns[:1]),
        ]
        answers.append("Another.")
        for ask, text, history in asked:
            async for _ in ask(text, history):
                pass
        await asyncio.sleep(0.01)

    on_a_line(scene)

    def outline(request):
        return [
            (m["role"], m["content"]) if m["role"] != "tool" else "tool"
            for m in request["messages"][1:]
        ]

    used = [("assistant", None), "tool"]
    later, again, another = service.requests[2:]
    assert outline(later) == [
        ("user", "Book"),
        *used,
        ("assistant", f"One moment. Table {CUT}"),
        ("user", "When?"),
    ]
    assert outline(again) == [("user", "Book"), *used, ("user", "it")]
    assert outline(another) == [("user", "Book")]


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (Use("table", '{"people": "many"}'), "Expected `int`, got `str`"),
        (Use("table", '{"people": '), "truncated"),
        (Use("chair"), "no such tool"),
        (Use("slow"), "too long"),
        (Use("whose"), "c1"),
    ],
)
def test_what_went_wrong_with_a_tool_is_told_to_the_model(use, told):
    pieces, service = using(Said(uses=(use,)), "Sorry.")
    assert told in service.requests[1]["messages"][-1]["content"]
    assert "".join(pieces[1:]) == "Sorry."


def test_several_tools_may_be_used_at_once_and_one_may_end_the_call():
    pieces, _ = using(Said(text="Bye.", uses=(Use("table", '{"people": 1}'), Use("leave"))))
    assert pieces[-1] == Reply(hang_up=True)


def test_a_model_that_only_uses_tools_is_given_up():
    use = Said(uses=(Use("table", '{"people": 1}'),))
    with pytest.raises(ChatError, match="never answers"):
        using(*[use] * ROUNDS)


def test_tools_want_to_know_the_call():
    reply = chat_reply(model="m", api_key="k", tools=[table])
    with pytest.raises(ConfigError, match=r"reply\.on\(call\)"):
        reply("Hello", ())


def test_a_tool_that_waits_for_the_ear_cannot_be_used():
    with pytest.raises(ConfigError, match="transfer waits"):
        chat_reply(model="m", api_key="k", tools=[transfer({"Ann": "+12025550123"})])


# --- in a conversation ---


def test_a_caller_talks_with_a_model():
    def decide(messages):
        if messages[-1]["content"] == "bye":
            return Said(text="So long. Bye!", uses=(Use("hang_up"),))
        return Said(text="One two three. " * 5, first_s=0.3, token_s=0.05)

    service = ChatService(decide)

    async def scene(line):
        ear = Hearing()
        reply = chat_reply(model="m", client=client(service))
        conversation = Conversation(line.call, ear, Voice(), reply)
        task = asyncio.get_running_loop().create_task(conversation.run())
        await ear.say("go")  # heard from 1.55 s on: the first sentence, and that it is whole
        await asyncio.sleep(1.0)
        ear.begin()
        await asyncio.sleep(0.1)
        assert (service.streams, service.abandoned) == (0, 1)
        ear.end("bye")
        await task
        return conversation.history, task

    history, task = on_a_line(scene)
    assert [(turn.text, turn.heard) for turn in history[1:2]] == [
        (history[1].text, "One"),
    ]
    assert history[-1].heard == "So long. Bye!"
    assert service.requests[1]["messages"][2]["content"] == f"One {CUT}"
    assert task.exception() is None


def test_a_model_that_fails_is_apologised_for():
    async def scene(line):
        ear = Hearing()
        service = ChatService(lambda _: Failure(status=500))
        reply = chat_reply(model="m", client=client(service))
        conversation = Conversation(line.call, ear, Voice(), reply)
        task = asyncio.get_running_loop().create_task(conversation.run())
        await ear.say("go")
        await asyncio.wait([task])
        assert isinstance(task.exception(), openai.InternalServerError)
        return line.sent

    assert on_a_line(scene)
