"""The simulated chat service, as the types of the official client read it."""

import asyncio
import json

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from trunkline.sim.platform_app import serve
from trunkline.sim.services.chat import ChatService, Failure, Said, Use

USER = [{"role": "user", "content": "Hi"}]
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def asking(decide, scene, **options):
    """Run ``scene(http)`` against the service; what it returns."""

    async def main():
        service = ChatService(decide, clock=lambda: 1_700_000_000.0, **options)
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(transport=transport, base_url="https://m.test/v1") as http:
            return await scene(http)

    return asyncio.run(main())


def post(decide, body, *, key="k", path="/chat/completions", **options):
    async def scene(http):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        content = body if isinstance(body, bytes) else json.dumps(body)
        return await http.post(path, content=content, headers=headers)

    return asking(decide, scene, **options)


def body(**more):
    return {"model": "m", "messages": USER, **more}


def test_a_stream_is_what_the_client_expects():
    said = Said(text="Hello there.", uses=(Use("f", '{"a": 1}'), Use("g")))
    asked = body(stream=True, stream_options={"include_usage": True}, tools=TOOLS)
    response = post(lambda _: said, asked)
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [
        ChatCompletionChunk.model_validate_json(e.removeprefix("data: "), strict=True)
        for e in events
    ]
    assert all(not (chunk.model_extra or {}) for chunk in chunks)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Hello there."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "tool_calls"
    assert chunks[-1].usage.total_tokens == 1 + 2


def test_a_whole_answer_is_what_the_client_expects():
    response = post(lambda _: Said(text="Hello.", uses=(Use("f"),)), body())
    answer = ChatCompletion.model_validate_json(response.content, strict=True)
    assert answer.choices[0].message.content == "Hello."
    assert answer.choices[0].message.tool_calls[0].function.name == "f"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"{", 400),
        ({"messages": USER}, 400),
        ({"model": "n", "messages": USER}, 404),
        ({"model": "m"}, 400),
        (body(messages=[]), 400),
        (body(messages=[{"role": "caller", "content": "Hi"}]), 400),
        (body(messages=[{"role": "user"}]), 400),
        (body(messages=[{"role": "tool", "tool_call_id": "a", "content": "1"}]), 400),
        (body(messages=[*USER, {"role": "assistant", "tool_calls": [CALL]}]), 400),
        (body(messages=[*USER, {"role": "assistant", "tool_calls": [CALL]}, *USER]), 400),
        (body(tools=[]), 400),
        (body(tools=[{"type": "function", "function": {"name": "a b"}}]), 400),
        (
            body(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]),
            400,
        ),
    ],
)
def test_it_is_strict(asked, status):
    response = post(lambda _: "Hi", asked, models=["m"])
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_tools_that_were_answered_are_in_order():
    messages = [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]
    assert post(lambda _: "One.", body(messages=messages, tools=TOOLS)).status_code == 200


@pytest.mark.parametrize(
    ("options", "status"),
    [({"key": ""}, 401), ({"key": "wrong"}, 401), ({"path": "/completions"}, 404)],
)
def test_it_lets_nobody_else_in(options, status):
    async def scene(http):
        service_key = options.get("key", "k")
        headers = {"authorization": f"Bearer {service_key}"} if service_key else {}
        path = options.get("path", "/chat/completions")
        return await http.post(path, json=body(), headers=headers)

    assert asking(lambda _: "Hi", scene, key="k").status_code == status


def test_only_posts_are_answered():
    async def scene(http):
        return await http.get("/chat/completions", headers={"authorization": "Bearer k"})

    assert asking(lambda _: "Hi", scene).status_code == 405


def test_an_error_says_when_to_come_back():
    response = post(lambda _: Failure(status=429, retry_after=2.5), body())
    assert response.headers["retry-after"] == "2.5"
    assert response.json()["error"]["code"] == "rate_limit_exceeded"


def test_the_client_sees_a_torn_connection():
    async def main():
        service = ChatService(lambda _: Said(text="One two three", drop_after=2))
        async with (
            serve(service) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client,
        ):
            stream = await client.chat.completions.create(model="m", messages=USER, stream=True)
            with pytest.raises(openai.APIConnectionError):
                async for _ in stream:
                    pass

    asyncio.run(main())
