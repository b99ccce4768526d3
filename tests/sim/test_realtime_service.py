"""The simulated Realtime service, as a client sees it."""

import asyncio
import base64
import json

import pytest

from trunkline.media.formats import PCMU_8K
from trunkline.media.tones import dtmf
from trunkline.sim.clock import run_virtual
from trunkline.sim.services.realtime import Calls, RealtimeService
from trunkline.sim.services.service import ServiceFaults
from trunkline.sockets import SocketClosed
from trunkline.websocket import NotConnected, connect

URL = "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
KEY = {"Authorization": "Bearer k"}
PCMU = {
    "type": "realtime",
    "audio": {
        "input": {"format": {"type": "audio/pcmu"}, "transcription": {"model": "gpt-transcribe"}},
        "output": {"format": {"type": "audio/pcmu"}},
    },
}


class Client:
    """A session, as raw as wanted."""

    def __init__(self, service, socket):
        self.service = service
        self.socket = socket
        self.events = []

    @property
    def session(self):
        return self.service.sessions[-1]

    async def say(self, kind, **fields):
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def hear(self, audio):
        await self.say("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    async def until(self, kind, **fields):
        """The next event of a kind, with these fields; all before are kept."""
        async with asyncio.timeout(120):
            while True:
                event = json.loads(await self.socket.receive())
                self.events.append(event)
                if event["type"] == kind and fields.items() <= event.items():
                    return event

    async def error(self):
        return (await self.until("error"))["error"]

    def kinds(self):
        return [event["type"] for event in self.events]


def session(scene, *replies, cap_s=3600.0, update=PCMU, **given):
    """Run ``scene(client)`` with a service that replies so, item by item."""

    async def main():
        left = list(replies)

        async def reply(asked):
            return left.pop(0)

        async def hear(audio, form):
            return f"{form.ms_in(len(audio)):.0f} ms"

        async def speak(text, form):
            return dtmf("1", form, tone_ms=float(text), gap_ms=0)

        async with RealtimeService(
            reply, hear=hear, speak=speak, cap_s=cap_s, keys=("k",), **given
        ) as service:
            client = Client(service, await service.connect(URL, KEY))
            assert (await client.until("session.created"))["session"]["type"] == "realtime"
            if update:
                await client.say("session.update", session=update)
                told = await client.until("session.updated")
                assert told["session"]["audio"]["output"]["format"] == {"type": "audio/pcmu"}
                assert told["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
            await scene(client)

    run_virtual(main())


def test_only_who_has_a_key_and_names_a_model_is_let_in():
    async def main():
        async def none(*_):
            raise AssertionError

        service = RealtimeService(none, hear=none, speak=none, keys=("k",))
        for url, headers, status in (
            (URL, {}, 401),
            (URL, {"Authorization": "Bearer x"}, 401),
            (URL, {"Authorization": "k"}, 401),
            (URL.partition("?")[0], KEY, 400),
        ):
            with pytest.raises(NotConnected) as refused:
                await service.connect(url, headers)
            assert refused.value.status == status

    run_virtual(main())


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ("no JSON", "invalid_json", None),
        ({}, "missing_required_parameter", "type"),
        ({"type": "session.create"}, "invalid_value", "type"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
        (
            {"type": "session.update", "session": {"type": "realtime", "voice": "ash"}},
            "unknown_parameter",
            "session.voice",
        ),
        (
            {"type": "session.update", "session": {"type": "realtime", "instructions": None}},
            "invalid_type",
            "session.instructions",
        ),
        (
            {
                "type": "session.update",
                "session": {
                    "type": "realtime",
                    "audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}},
                },
            },
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        (
            {
                "type": "session.update",
                "session": {
                    "type": "realtime",
                    "audio": {"input": {"turn_detection": {"create_response": None}}},
                },
            },
            "invalid_type",
            "session.audio.input.turn_detection.create_response",
        ),
        (
            {"type": "session.update", "session": {"type": "realtime", "tools": [{"name": "f"}]}},
            "missing_required_parameter",
            "session.tools[0].type",
        ),
        (
            {"type": "session.update", "session": {"type": "realtime", "tools": {}}},
            "invalid_type",
            "session.tools",
        ),
        ({"type": "session.update", "session": 7}, "invalid_type", "session"),
        (
            {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0},
            "missing_required_parameter",
            "audio_end_ms",
        ),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "x",
                "content_index": 0,
                "audio_end_ms": 1.5,
            },
            "invalid_type",
            "audio_end_ms",
        ),
        ({"type": "conversation.item.delete", "item_id": "x"}, "invalid_item_id", "item_id"),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": "c", "output": ""},
            },
            "item_create_invalid_call_id",
            "item.call_id",
        ),
        ({"type": "response.cancel"}, "response_cancel_not_active", None),
    ],
)
def test_what_it_does_not_take_it_says(event, code, param):
    async def scene(client):
        if isinstance(event, dict):
            await client.socket.send(json.dumps(event | {"event_id": "mine"}))
        else:
            await client.socket.send(event)
        error = await client.error()
        assert (error["type"], error["code"]) == ("invalid_request_error", code)
        assert error["param"] == param
        assert error["event_id"] == ("mine" if isinstance(event, dict) else None)
        assert len(client.service.complaints) == 1
        # The session is as it was.
        await client.say("session.update", session=PCMU)
        await client.until("session.updated")

    session(scene)


def test_speech_is_heard_committed_written_down_and_answered():
    async def scene(client):
        await client.hear(bytes(PCMU_8K.silence * 8000))
        await client.hear(dtmf("5", PCMU_8K, tone_ms=1000, gap_ms=1000))
        started = await client.until("input_audio_buffer.speech_started")
        assert started["audio_start_ms"] == pytest.approx(1000 - 300, abs=40)
        stopped = await client.until("input_audio_buffer.speech_stopped")
        assert stopped["audio_end_ms"] == pytest.approx(2500, abs=40)
        written = await client.until("conversation.item.input_audio_transcription.completed")
        assert written["item_id"] == started["item_id"]
        done = await client.until("response.done")
        assert done["response"]["status"] == "completed"
        item = client.session.items[-1]
        sound = b"".join(
            base64.b64decode(event["delta"])
            for event in client.events
            if event["type"] == "response.output_audio.delta"
        )
        assert sound == item.audio == dtmf("1", PCMU_8K, tone_ms=900, gap_ms=0)
        once = list(dict.fromkeys(client.kinds()))
        assert once[2:] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "rate_limits.updated",
            "conversation.item.input_audio_transcription.completed",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
        ]

    session(scene, ["900"])


def test_without_turn_detection_nothing_happens_by_itself():
    async def scene(client):
        quiet = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await client.say("session.update", session=quiet)
        await client.until("session.updated")
        await client.hear(dtmf("5", PCMU_8K, tone_ms=1000, gap_ms=1000))
        await client.say("response.create")
        await client.until("response.done")
        assert not [kind for kind in client.kinds() if "speech" in kind]

    session(scene, ["100"])


def test_who_speaks_interrupts_and_is_answered_next():
    async def scene(client):
        await client.say("response.create")
        await client.until("response.output_audio.delta")
        await client.hear(dtmf("5", PCMU_8K, tone_ms=500, gap_ms=700))
        done = await client.until("response.done")
        assert done["response"]["status"] == "cancelled"
        assert done["response"]["status_details"]["reason"] == "turn_detected"
        assert done["response"]["output"][0]["status"] == "incomplete"
        assert (await client.until("response.done"))["response"]["status"] == "completed"

    session(scene, ["60000"], ["100"])


def test_one_response_at_a_time_and_cancelled_by_its_name():
    async def scene(client):
        await client.say("response.create", response={"instructions": "Sing."})
        created = await client.until("response.created")
        await client.say("response.create")
        assert (await client.error())["code"] == "conversation_already_has_active_response"
        await client.say("response.cancel", response_id="resp_0")
        assert (await client.error())["code"] == "response_cancel_not_active"
        await client.say("response.cancel", response_id=created["response"]["id"])
        done = await client.until("response.done")
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        await client.say("response.cancel")
        assert (await client.error())["code"] == "response_cancel_not_active"

    session(scene, ["60000"])


def test_what_was_not_heard_is_cut():
    async def scene(client):
        await client.say("response.create")
        await client.until("response.done")
        item = client.session.items[-1]
        where = {"item_id": item.id, "content_index": 0}
        await client.say("conversation.item.truncate", **where, audio_end_ms=2001)
        error = await client.error()
        assert error["message"] == "Audio content of 2000ms is already shorter than 2001ms"
        assert error["event_id"] is None
        assert (await client.until("conversation.item.truncated"))["audio_end_ms"] == 2000
        await client.say("conversation.item.truncate", **where, audio_end_ms=700)
        assert (await client.until("conversation.item.truncated"))["audio_end_ms"] == 700
        assert (item.heard_ms, item.text) == (700, "700 ms")
        assert PCMU_8K.ms_in(len(item.audio)) == 700
        words = {"type": "message", "role": "user", "id": "mine"}
        words["content"] = [{"type": "input_text", "text": "Hi."}]
        await client.say("conversation.item.create", item=words)
        await client.until("conversation.item.done")
        await client.say(
            "conversation.item.truncate", item_id="mine", content_index=0, audio_end_ms=1
        )
        assert (await client.error())["code"] == "unsupported_content_type"
        await client.say("conversation.item.delete", item_id="mine")
        await client.until("conversation.item.deleted")
        assert client.session.items == [item]

    session(scene, ["2000"])


def test_the_voice_stays_what_it_was_when_it_was_heard():
    async def scene(client):
        other = {"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
        await client.say("session.update", session=other)
        await client.until("session.updated")
        await client.say("response.create")
        await client.until("response.done")
        other["audio"]["output"]["voice"] = "ash"
        await client.say("session.update", session=other)
        assert (await client.error())["code"] == "cannot_update_voice"

    session(scene, ["100"])


def test_functions_are_called_and_their_results_belong_to_a_call():
    async def scene(client):
        await client.say("response.create")
        done = await client.until("response.output_item.done")
        item = done["item"]
        assert (item["type"], item["name"], item["arguments"]) == ("function_call", "f", '{"a": 1}')
        await client.until("response.done")
        output = {"type": "function_call_output", "call_id": item["call_id"], "output": "2"}
        await client.say("conversation.item.create", item=output)
        await client.until("conversation.item.done")
        assert [i.type for i in client.session.items] == ["function_call", "function_call_output"]

    session(scene, [Calls("f", '{"a": 1}')])


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limit_exceeded"), (500, "server_error")])
def test_a_response_fails_when_it_is_to(status, code):
    async def scene(client):
        client.service.fail(status)
        await client.say("response.create")
        done = await client.until("response.done")
        assert done["response"]["status"] == "failed"
        assert done["response"]["status_details"]["error"]["code"] == code

    session(scene)


def test_a_session_has_its_time():
    async def scene(client):
        error = await client.error()
        assert error["code"] == "session_expired"
        assert error["message"] == "Your session hit the maximum duration of 1 minutes."
        with pytest.raises(SocketClosed) as closed:
            await client.socket.receive()
        assert closed.value.code == 1001

    session(scene, cap_s=60.0)


def test_a_client_that_goes_in_mid_sentence_leaves_nothing():
    async def scene(client):
        await client.say("response.create")
        await client.until("response.output_audio.delta")
        await client.socket.close()
        await asyncio.sleep(1)
        assert client.service.open == 0
        assert len(asyncio.all_tasks()) == 1

    session(scene, ["60000"])


def test_what_the_model_itself_does_wrong_is_not_kept_secret():
    async def scene(client):
        await client.say("response.create")
        await asyncio.sleep(1)
        await client.socket.close()
        await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as failed:
        session(scene)  # it has nothing to say
    assert failed.group_contains(IndexError)


def test_it_can_be_reached_on_a_port():
    async def main():
        async def reply(asked):
            return ["500"]

        async def speak(text, form):
            return form.silence * 4000

        async def hear(audio, form):
            return ""

        service = RealtimeService(
            reply, hear=hear, speak=speak, faults=ServiceFaults(latency_ms=1), think_s=0, speed=100
        )
        async with service, service.listening() as url:
            client = Client(service, await connect(f"{url}/v1/realtime?model=m", KEY))
            await client.until("session.created")
            await client.say("response.create")
            await client.until("response.done")
            await client.socket.close()

    asyncio.run(main())
