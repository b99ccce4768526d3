"""Both ends of the Realtime protocol, held against the types of OpenAI's own package."""

import asyncio
import json
from typing import get_args

import pytest
from pydantic import BaseModel, TypeAdapter

from trunkline.bots.realtime import SemanticVad
from trunkline.bots.realtime.wire import AudioDelta, ErrorEvent, ServerEvent, decode
from trunkline.errors import RemoteProtocolError

from .realtime_rig import GREETING, in_restaurant

types = pytest.importorskip("openai.types.realtime")

FROM_CLIENT = TypeAdapter(types.RealtimeClientEvent)
FROM_SERVER = TypeAdapter(types.RealtimeServerEvent)

# What the service sends in a session object, though the package's type of it has no such field.
SESSION_EXTRAS = {"object", "id"}

# From the guide "Managing costs" (developers.openai.com, read 2026-11-21).
COSTS = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}


class Tap:
    """A socket whose messages are written down."""

    def __init__(self, socket, log):
        self.socket = socket
        self.log = log

    async def receive(self):
        message = await self.socket.receive()
        self.log.append(("server", json.loads(message)))
        return message

    async def send(self, message):
        self.log.append(("client", json.loads(message)))
        await self.socket.send(message)

    async def close(self, code=1000, reason=""):
        await self.socket.close(code, reason)


def extras(model, where=""):
    """Fields that the package's type does not have."""
    found = set()
    if isinstance(model, BaseModel):
        found |= {f"{where}.{name}" for name in model.model_extra or ()}
        for name in type(model).model_fields:
            found |= extras(getattr(model, name), f"{where}.{name}")
    elif isinstance(model, list):
        for part in model:
            found |= extras(part, where)
    return found


def shape(fields):
    return {k: shape(v) if isinstance(v, dict) else type(v) for k, v in fields.items()}


@pytest.fixture(scope="module")
def messages():
    """Every message of a call in which everything happens."""
    log = []

    def tapped(connect):
        async def tap(url, headers):
            return Tap(await connect(url, headers), log)

        return tap

    async def scene(restaurant, call):
        assert await restaurant.reply(call) == GREETING
        await restaurant.say(call, "a table please")
        assert await restaurant.reply(call) == "booked for 2"
        await restaurant.say(call, "the story please")
        await call.wait_for_speech(within=20)
        await asyncio.sleep(2)
        await restaurant.say(call, "stop it")  # a truncation
        assert await restaurant.reply(call) == "you said stop it"
        await restaurant.say(call, "the story please")
        await call.wait_for_speech(within=20)
        await call.press("5")  # a cancellation, and a note
        await call.wait_for_silence(2000)
        restaurant.service.drop()  # everything is told again
        await asyncio.sleep(1)
        restaurant.service.fail(429)
        await restaurant.say(call, "goodbye")
        await call.ended()

    turns = SemanticVad(eagerness="high")
    in_restaurant("bandwidth", scene, keys=True, turn_detection=turns, language="en", wrap=tapped)
    return log


def of(messages, side):
    return [message for who, message in messages if who == side]


def test_all_that_we_say_is_what_the_package_would(messages):
    said = of(messages, "client")
    for message in said:
        event = FROM_CLIENT.validate_python(message)
        assert event.type == message["type"]
        assert not extras(event), message
        assert event.model_dump(exclude_unset=True) == message
    assert {message["type"] for message in said} == {
        "session.update",
        "input_audio_buffer.append",
        "conversation.item.create",
        "conversation.item.truncate",
        "response.create",
        "response.cancel",
    }
    created = [m["item"] for m in said if m["type"] == "conversation.item.create"]
    assert {(item["type"], item.get("role")) for item in created} == {
        ("message", "user"),
        ("message", "assistant"),
        ("function_call", None),
        ("function_call_output", None),
    }


def test_all_that_the_simulated_service_says_is_what_the_package_reads(messages):
    for message in of(messages, "server"):
        event = FROM_SERVER.validate_python(message)
        assert event.type == message["type"]
        left = {name.rpartition(".")[2] for name in extras(event)}
        assert left <= (SESSION_EXTRAS if message["type"].startswith("session.") else set()), (
            message
        )


def test_every_response_tells_what_it_took_in_every_detail(messages):
    """The package's types let any detail be missing; Pipecat 1.4 reads no further where one is."""
    done = [m["response"]["usage"] for m in of(messages, "server") if m["type"] == "response.done"]
    assert done
    for usage in done:
        assert shape(usage) == shape(COSTS)
        read, said = usage["input_token_details"], usage["output_token_details"]
        assert usage["input_tokens"] == read["text_tokens"] + read["audio_tokens"]
        assert usage["output_tokens"] == said["text_tokens"] + said["audio_tokens"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert max(usage["input_token_details"]["audio_tokens"] for usage in done) > 0
    assert max(usage["output_token_details"]["audio_tokens"] for usage in done) > 0


def test_each_kind_of_event_that_is_listened_to_was_there(messages):
    heard = {type(decode(json.dumps(message))) for message in of(messages, "server")}
    assert heard - {type(None)} == set(get_args(ServerEvent)) - {ErrorEvent}


def test_what_is_no_event_is_refused_and_what_is_new_is_passed_over():
    assert decode('{"type": "response.output_audio.delta.of_the_future"}') is None
    for message in ("", "{}", "[]", "\0", '{"type": "response.done"}', b"\xff"):
        with pytest.raises(RemoteProtocolError):
            decode(message)
    delta = {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i"}
    delta |= {"content_index": 0, "output_index": 0, "event_id": "e", "delta": "AP8="}
    assert decode(json.dumps(delta)) == AudioDelta("r", "i", 0, b"\0\xff")
    with pytest.raises(RemoteProtocolError):
        decode(json.dumps(delta | {"delta": "no base64!"}))
