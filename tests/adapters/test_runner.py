"""Bots written for Pipecat's development runner, on calls through simulated carriers."""

import asyncio
import base64
import json
import warnings

import pytest

from trunkline.adapters.pipecat.runner import adapted, carrier_socket, takes_runner_arguments

with warnings.catch_warnings():  # Pipecat imports audioop, which warns of its end
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pipecat.transports.base_output")

from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.runner.types import RunnerArguments, WebSocketRunnerArguments
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipeline_rig import Spy, on_call, run, speech, tone
from starlette.websockets import WebSocket, WebSocketDisconnect

from trunkline import carriers
from trunkline.cli import load_bot
from trunkline.errors import LocalProtocolError
from trunkline.events import Who
from trunkline.media.formats import L16_8K
from trunkline.pipecat import parse_telephony_websocket as ours


def test_bots_for_the_runner_are_told_by_their_parameter():
    async def theirs(runner_args):
        pass

    async def typed(given: RunnerArguments):
        pass

    async def written(given: "WebSocketRunnerArguments"):
        pass

    async def ours(call):
        pass

    async def nobody():
        pass

    assert all(map(takes_runner_arguments, (theirs, typed, written)))
    assert not any(map(takes_runner_arguments, (ours, nobody)))


def test_the_command_line_adapts_them(tmp_path):
    file = tmp_path / "runner_bot_of_a_test.py"
    file.write_text("async def bot(runner_args): ...\nasync def other(call): ...\n")
    assert load_bot(str(file)).__name__ == "on_call"
    assert load_bot(f"{file}:other").__name__ == "other"


def test_what_they_load_beforehand_is_loaded():
    async def bot(runner_args):
        pass

    async def warm_up():
        bot.warm = True

    assert not hasattr(adapted(bot), "warm_up")
    bot.warm_up = warm_up
    on_call(nothing, carrier="twilio", bot=adapted(bot))
    assert bot.warm


async def nothing(call, held):
    await asyncio.sleep(1.0)


@pytest.mark.parametrize("carrier", ["twilio", "telnyx", "plivo", "exotel"])
def test_pipecat_finds_out_whose_call_it_is(carrier):
    found = []

    async def bot(runner_args):
        kind, data = await parse_telephony_websocket(runner_args.websocket)
        found.append((kind, data.call_id, data.stream_id))

    call, _ = on_call(nothing, carrier=carrier, bot=adapted(bot))
    [(kind, call_id, stream_id)] = found
    assert (kind, call_id) == (carrier, call.id)
    assert stream_id


@pytest.mark.parametrize("carrier", carriers.names())
def test_ours_finds_it_out_for_every_carrier(carrier):
    found = []

    async def bot(runner_args):
        socket = runner_args.websocket
        found.append(await ours(socket))
        # Nothing was read: what comes first is still the carrier's first message.
        first = await socket.receive()
        found.append(await ours(socket))
        found.append("text" in first or "bytes" in first)

    call, _ = on_call(nothing, carrier=carrier, bot=adapted(bot))
    (name, data), again, unread = found
    assert name == carrier
    assert data.call_id == data["stream_id"] == call.id
    assert (data.from_number, data.to_number) == (call.info.from_, call.info.to)
    assert again == (name, data)
    assert unread


def test_ours_leaves_a_socket_from_elsewhere_to_pipecat():
    start = {"streamSid": "MZ1", "callSid": "CA1", "customParameters": {"name": "Ann"}}
    messages = [{"event": "connected"}, {"event": "start", "start": start}]

    async def main():
        inbox = asyncio.Queue()
        inbox.put_nowait({"type": "websocket.connect"})
        for message in messages:
            inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

        async def send(message):
            assert message["type"] == "websocket.accept"

        socket = WebSocket({"type": "websocket", "headers": []}, inbox.get, send)
        await socket.accept()
        return await ours(socket)

    kind, data = asyncio.run(main())
    assert (kind, data.call_id, data.body) == ("twilio", "CA1", {"name": "Ann"})


def twilio(call):
    params = TwilioFrameSerializer.InputParams(auto_hang_up=False)
    return TwilioFrameSerializer(call["stream_id"], call["call_id"], params=params)


def plivo(call):
    params = PlivoFrameSerializer.InputParams(auto_hang_up=False)
    return PlivoFrameSerializer(call["stream_id"], call["call_id"], params=params)


@pytest.mark.parametrize(("carrier", "serializer"), [("twilio", twilio), ("plivo", plivo)])
def test_a_pipeline_of_pipecats_own_talks_and_hears(carrier, serializer):
    heard, left = Spy(), []

    async def bot(runner_args):
        _, data = await parse_telephony_websocket(runner_args.websocket)
        params = FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, serializer=serializer(data)
        )
        transport = FastAPIWebsocketTransport(runner_args.websocket, params)
        pipeline = Pipeline([transport.input(), heard, transport.output()])
        rates = PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000)
        worker = PipelineWorker(pipeline, params=rates, idle_timeout_secs=None)

        async def connected(*_):
            await worker.queue_frames(speech("Hello!", 1.0, rate=8000))

        async def disconnected(*_):
            left.append(True)
            await worker.cancel()

        transport.add_event_handler("on_client_connected", connected)
        transport.add_event_handler("on_client_disconnected", disconnected)
        await run(worker)

    async def scene(call, held):
        await call.wait_for_speech()
        scene.silence = await call.wait_for_silence()
        await call.say(tone(1.0, 8000), L16_8K)
        await call.press("7")
        await asyncio.sleep(0.3)
        await call.hang_up()

    call, _ = on_call(scene, carrier=carrier, bot=adapted(bot))
    assert call.reason.who is Who.CALLER
    assert left == [True]
    kinds = {type(frame).__name__ for _, frame in heard.seen}
    assert {"InputAudioRawFrame", "InputDTMFFrame"} <= kinds
    assert scene.silence > 0.9


def test_marks_come_back_when_what_was_said_before_was_heard():
    back = []

    async def bot(call):
        async with carrier_socket(call) as socket:
            start = [json.loads(await socket.receive_text()) for _ in range(2)][1]
            sid = start["streamSid"]
            began = asyncio.get_running_loop().time()
            payload = base64.b64encode(b"\x10" * 8000).decode()
            mark = {"event": "mark", "streamSid": sid, "mark": {"name": "first"}}
            await socket.send_json(mark)
            media = {"event": "media", "streamSid": sid, "media": {"payload": payload}}
            await socket.send_json(media)
            await socket.send_json({**mark, "mark": {"name": "second"}})
            while len(back) < 2:
                message = json.loads(await socket.receive_text())
                if message["event"] == "mark":
                    passed = asyncio.get_running_loop().time() - began
                    back.append((message["mark"]["name"], round(passed, 1)))
            await socket.send_json(media)
            await socket.send_json({"event": "clear", "streamSid": sid})
            await call.hang_up()
            with pytest.raises(WebSocketDisconnect):
                while True:
                    await socket.receive_text()
            await socket.send_json(media)
            await socket.close()

    async def scene(call, held):
        await call.ended()

    on_call(scene, carrier="twilio", bot=bot)
    assert back == [("first", 0.0), ("second", 1.0)]


def test_what_the_carrier_would_not_understand_is_an_error():
    async def bot(call):
        async with carrier_socket(call) as socket:
            with pytest.raises(LocalProtocolError):
                await socket.send_text("no such thing")
            bot.tried = True

    on_call(nothing, carrier="twilio", bot=bot)
    assert bot.tried
