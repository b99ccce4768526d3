"""The simulated Cartesia keeps to the documented messages, and is strict about what it is sent."""

import asyncio
import json

import pytest

from trunkline.media.formats import L16_16K, PCMU_8K
from trunkline.sim.clock import run_virtual
from trunkline.sim.services.cartesia import Cartesia
from trunkline.sim.services.tones import Tones
from trunkline.sockets import SocketClosed
from trunkline.websocket import NotConnected

HEADERS = {"X-API-Key": "sk", "Cartesia-Version": "2026-03-01"}
STT = "ws://c.test/stt/websocket?model=ink-2&encoding=pcm_mulaw&sample_rate=8000&language=en"
TURNS = "ws://c.test/stt/turns/websocket?model=ink-2&encoding=pcm_mulaw&sample_rate=8000"
TTS = "ws://c.test/tts/websocket"

# The fields of each kind of message, docs.cartesia.ai, API version 2026-03-01, read 2026-11-21:
# api-reference/stt/websocket, api-reference/stt/turns/websocket, api-reference/tts/websocket.
DOCUMENTED = {
    "transcript": {"type", "is_final", "request_id", "text", "duration", "language", "words"},
    "flush_done": {"type", "request_id"},
    "done": {"type", "request_id", "done", "status_code", "context_id"},
    "connected": {"type", "request_id"},
    "turn.start": {"type", "request_id"},
    "turn.update": {"type", "request_id", "transcript"},
    "turn.eager_end": {"type", "request_id", "transcript"},
    "turn.resume": {"type", "request_id"},
    "turn.end": {"type", "request_id", "transcript"},
    "chunk": {"type", "data", "done", "status_code", "step_time", "context_id", "request_id"},
    "timestamps": {
        "type",
        "done",
        "status_code",
        "context_id",
        "word_timestamps",
        "request_id",
    },
    "error": {
        "type",
        "title",
        "message",
        "error_code",
        "doc_url",
        "status_code",
        "request_id",
        "done",
        "context_id",
    },
}


def generation(context="c1", text="Hello you", **changed):
    request = {
        "model_id": "sonic-3.5",
        "transcript": text,
        "voice": {"mode": "id", "id": "a0e99841-438c-4a64-b679-ae501e7d6091"},
        "language": "en",
        "context_id": context,
        "output_format": {"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 8000},
        "add_timestamps": True,
        "continue": False,
    }
    return json.dumps(request | changed)


def with_service(scene, **options):
    async def main():
        tones = Tones()
        async with Cartesia(tones.hear, tones.speak, key="sk", **options) as service:
            return await scene(service, tones)

    return run_virtual(main())


async def told(socket, within=5.0):
    """The next message, which is as documented."""
    async with asyncio.timeout(within):
        message = json.loads(await socket.receive())
    assert set(message) <= DOCUMENTED[message["type"]]
    return message


async def until(socket, kind):
    found = [await told(socket)]
    while found[-1]["type"] != kind:
        found.append(await told(socket))
    return found


async def send_audio(socket, audio, ms=100):
    for at in range(0, len(audio), 8 * ms):
        await socket.send(audio[at : at + 8 * ms])
        await asyncio.sleep(ms / 1000)


@pytest.mark.parametrize(
    ("url", "headers", "status"),
    [
        (STT, {**HEADERS, "X-API-Key": "wrong"}, 401),
        (TTS, {"Cartesia-Version": "2026-03-01"}, 401),
        (STT, {"X-API-Key": "sk"}, 400),
        ("ws://c.test/tts/sse", HEADERS, 404),
    ],
)
def test_who_is_not_let_in(url, headers, status):
    async def scene(service, tones):
        with pytest.raises(NotConnected) as refused:
            await service.connect(url, headers)
        assert refused.value.status == status

    with_service(scene)


@pytest.mark.parametrize(
    "headers",
    [HEADERS, {"Authorization": "Bearer sk"}, {}],
    ids=["key", "bearer", "query"],
)
def test_who_is(headers):
    async def scene(service, tones):
        query = "?cartesia_version=2026-03-01" + ("" if headers else "&access_token=sk")
        await (await service.connect(TTS + query, headers)).close()

    with_service(scene)


@pytest.mark.parametrize(
    "query",
    [
        "model=ink-2&encoding=opus&sample_rate=8000",
        "model=ink-2&encoding=pcm_mulaw&sample_rate=11025",
        "model=nova-3&encoding=pcm_mulaw&sample_rate=8000",
        "",
    ],
)
@pytest.mark.parametrize("path", ["stt/websocket", "stt/turns/websocket"])
def test_unknown_audio_is_an_error_and_the_end(path, query):
    async def scene(service, tones):
        socket = await service.connect(f"ws://c.test/{path}?{query}", HEADERS)
        error = await told(socket)
        assert (error["type"], error["status_code"]) == ("error", 400)
        with pytest.raises(SocketClosed):
            await socket.receive()
        assert service.complaints

    with_service(scene)


def test_what_is_said_is_written_down_when_it_is_finalized():
    async def scene(service, tones):
        socket = await service.connect(STT, HEADERS)
        await send_audio(socket, tones.sound("one two", PCMU_8K))
        await socket.send("finalize")
        assert [m.get("text") for m in await until(socket, "flush_done")] == ["one two", None]
        await socket.send("finalize")  # nothing new
        assert (await told(socket))["type"] == "flush_done"
        await send_audio(socket, tones.sound("three", PCMU_8K))
        await socket.send("close")
        transcript, _done = await until(socket, "done")
        assert (transcript["text"], transcript["is_final"]) == ("three", True)
        assert transcript["duration"] == pytest.approx(0.3)
        with pytest.raises(SocketClosed):
            await socket.receive()

    with_service(scene)


def test_a_sentence_that_goes_on_is_told_if_wanted():
    async def scene(service, tones):
        socket = await service.connect(STT, HEADERS)
        await send_audio(socket, tones.sound("one two three", PCMU_8K))
        await socket.send("finalize")
        found = await until(socket, "flush_done")
        texts = [(m["text"], m["is_final"]) for m in found if m["type"] == "transcript"]
        assert texts == [
            ("one", False),
            ("one two", False),
            ("one two three", False),
            ("one two three", True),
        ]

    with_service(scene, updates=True)


def test_turns():
    async def scene(service, tones):
        socket = await service.connect(TURNS, HEADERS)
        assert (await told(socket))["type"] == "connected"
        await socket.send('{"type": "config", "turn": {"end_timeout_ms": 5600}}')
        quiet = PCMU_8K.silence * 8 * 300
        said = tones.sound("one two", PCMU_8K) + quiet + tones.sound("three", PCMU_8K) + 2 * quiet
        await send_audio(socket, said, ms=20)
        found = await until(socket, "turn.end")
        assert [(m["type"], m.get("transcript")) for m in found] == [
            ("turn.start", None),
            ("turn.update", "one two"),
            ("turn.eager_end", "one two"),
            ("turn.resume", None),
            ("turn.update", "one two three"),
            ("turn.eager_end", "one two three"),
            ("turn.end", "one two three"),
        ]
        await send_audio(socket, tones.sound("four", PCMU_8K), ms=20)
        await socket.send('{"type": "close"}')
        assert (await until(socket, "turn.end"))[-1]["transcript"] == "four"

    with_service(scene, updates=True)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (STT, "done"),
        (STT, b""),
        (STT.replace("pcm_mulaw", "pcm_s16le"), b"\0\0\0"),
        (TURNS, "finalize"),
        (TURNS, '{"type": "flush"}'),
        (TURNS, '{"type": "config"}'),
    ],
)
def test_listening_sockets_mind_what_they_are_sent(url, message):
    async def scene(service, tones):
        socket = await service.connect(url, HEADERS)
        await socket.send(message)
        assert (await until(socket, "error"))[-1]["status_code"] == 400
        with pytest.raises(SocketClosed):
            await socket.receive()
        assert len(service.complaints) == 1

    with_service(scene)


def test_contexts_are_spoken_side_by_side():
    async def scene(service, tones):
        socket = await service.connect(TTS, HEADERS)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await socket.send(generation("a", "one two three"))
        await socket.send(generation("b", "four"))
        first = await told(socket)
        assert loop.time() - began == pytest.approx(0.09)
        found = [first]
        while sum(m["type"] == "done" for m in found) < 2:
            found.append(await told(socket))
        assert loop.time() - began == pytest.approx(0.09 + 0.9 / 5, abs=0.03)
        words = [m["word_timestamps"] for m in found if m["type"] == "timestamps"]
        words_of_a = [w for w, m in zip(words, found, strict=False) if w["words"] != ["four"]]
        assert [w["words"][0] for w in words_of_a] == ["one", "two", "three"]
        assert words_of_a[1]["start"] == [pytest.approx(0.3)]
        assert words_of_a[1]["end"] == [pytest.approx(0.6)]
        assert bytes(service.audio_out["a"]) == tones.sound("one two three", PCMU_8K)
        assert service.generating == 0

    with_service(scene)


def test_a_context_goes_on_until_it_is_ended_or_cancelled():
    async def scene(service, tones):
        socket = await service.connect(TTS, HEADERS)
        await socket.send(generation("a", "one ", **{"continue": True}))
        await socket.send(generation("a", "two", **{"continue": True}))
        await socket.send(generation("a", "", **{"continue": False}))
        found = await until(socket, "done")
        ends = [m["word_timestamps"]["end"][0] for m in found if m["type"] == "timestamps"]
        assert ends == [pytest.approx(0.3), pytest.approx(0.6)]
        await socket.send(generation("b", "one two three four five six"))
        await asyncio.sleep(0.15)
        await socket.send(json.dumps({"context_id": "b", "cancel": True}))
        await asyncio.sleep(5)
        assert 0 < len(service.audio_out["b"]) < 6 * 2400
        await socket.send(json.dumps({"context_id": "unheard of", "cancel": True}))
        assert service.generating == 0
        assert service.complaints == []

    with_service(scene)


@pytest.mark.parametrize(
    "requests",
    [
        [generation(model_id="whisper")],
        [generation(voice={"mode": "embedding", "id": "x"})],
        [generation(voice={"mode": "id", "id": ""})],
        [generation(output_format={"container": "wav", "encoding": "pcm_mulaw"})],
        [
            generation(
                output_format={"container": "raw", "encoding": "pcm_mulaw", "sample_rate": 11025}
            )
        ],
        [generation(speed="ludicrous")],
        [generation(context="")],
        ["not JSON"],
        [b"\xff\xfe"],
        [generation(), generation()],
        [generation(**{"continue": True}), generation(language="de")],
    ],
)
def test_speaking_sockets_mind_what_they_are_sent(requests):
    async def scene(service, tones):
        socket = await service.connect(TTS, HEADERS)
        for request in requests:
            await socket.send(request)
        error = (await until(socket, "error"))[-1]
        assert (error["status_code"], error["done"]) == (400, True)
        assert len(service.complaints) == 1
        # The socket lives on.
        await socket.send(generation("another"))
        await until(socket, "done")

    with_service(scene)


def test_a_context_that_is_over_is_over():
    async def scene(service, tones):
        socket = await service.connect(TTS, HEADERS)
        await socket.send(generation())
        await until(socket, "done")
        await socket.send(generation())
        assert "over" in (await until(socket, "error"))[-1]["message"]

    with_service(scene)


def test_no_more_contexts_at_once_than_the_plan_has():
    async def scene(service, tones):
        socket = await service.connect(TTS, HEADERS)
        for name in "abc":
            await socket.send(generation(name))
        error = next(m for m in await until(socket, "error") if m["type"] == "error")
        assert (error["context_id"], error["status_code"]) == ("c", 429)
        assert error["error_code"] == "concurrency_limited"
        assert service.complaints == []

    with_service(scene, contexts=2)


@pytest.mark.parametrize(("url", "seconds"), [(STT, 180), (TURNS, 180), (TTS, 300)])
def test_who_idles_is_cut_off(url, seconds):
    async def scene(service, tones):
        loop = asyncio.get_running_loop()
        socket = await service.connect(url, HEADERS)
        await asyncio.sleep(100)
        await socket.send(b"\xff" if "stt" in url else generation())
        began = loop.time()
        with pytest.raises(SocketClosed):
            while True:
                await socket.receive()
        assert loop.time() - began == pytest.approx(seconds)

    with_service(scene)


@pytest.mark.parametrize("url", [STT, TURNS, TTS])
def test_errors_on_request(url):
    async def scene(service, tones):
        service.fail(503)
        socket = await service.connect(url, HEADERS)
        if url == TTS:
            await socket.send(generation())
        else:
            await send_audio(socket, tones.sound("one", PCMU_8K) + b"\xff" * 8 * 700, ms=20)
        if url == STT:
            await socket.send("finalize")
        error = (await until(socket, "error"))[-1]
        assert (error["status_code"], error["title"]) == (503, "Service unavailable")

    with_service(scene)


def test_what_the_voice_fails_with_comes_out():
    async def main():
        async def broken(text, form):
            raise RuntimeError("no voice today")

        service = Cartesia(Tones().hear, broken)
        socket = await service.connect(TTS, HEADERS)
        await socket.send(generation())
        await asyncio.sleep(1)
        with pytest.raises(ExceptionGroup) as failed:
            await service.aclose()
        assert "no voice today" in str(failed.value.exceptions)

    run_virtual(main())


def test_sixteen_bits_are_heard_too():
    async def scene(service, tones):
        url = STT.replace("pcm_mulaw", "pcm_s16le").replace("8000", "16000")
        socket = await service.connect(url, HEADERS)
        await socket.send(tones.sound("one two", L16_16K))
        await socket.send("finalize")
        assert (await told(socket))["text"] == "one two"

    with_service(scene)
