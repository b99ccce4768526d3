"""The serializers for Pipecat: held against Pipecat's own, which people know, and against carriers.

Names, defaults, errors and messages are the originals', where there is one; what goes further is
held against the carrier's own end. Nothing here waits or needs a pipeline.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from carriers.golden import example
from exchange import Exchange
from trunkline import carriers, events
from trunkline.adapters.pipecat import arguments
from trunkline.carrier import Control
from trunkline.events import Audio, CallState, Started
from trunkline.media import g711
from trunkline.media.formats import PCMU_8K, AudioFormat, Encoding
from trunkline.web import Request, Response

pytest.importorskip("pipecat.frames.frames")
pytestmark = pytest.mark.filterwarnings("ignore:'audioop' is deprecated:DeprecationWarning")

NAMES = carriers.names()
CALL = "call-1"
LOUD = 12_000


def ours(name: str) -> Any:
    return importlib.import_module("trunkline.pipecat").frame_serializer(name)


ORIGINALS = {
    "bandwidth": "pipecat_bandwidth",
    "wavix": "pipecat_wavix",
    **{n: f"pipecat.serializers.{n}" for n in ("exotel", "plivo", "telnyx", "twilio", "vonage")},
}


def original(name: str) -> Any:
    module = pytest.importorskip(ORIGINALS[name])
    return getattr(module, arguments.class_name(carriers.get(name)))


def frame(kind: str, *args: Any, **fields: Any) -> Any:
    return getattr(importlib.import_module("pipecat.frames.frames"), kind)(*args, **fields)


IDS = {"stream": "stream-1", "call": CALL}


def given(name: str, **more: Any) -> dict[str, Any]:
    """Arguments that are right: ids, the simulator's credentials, no choice but the default's."""
    takes = arguments.arguments_of(carriers.get(name))
    known = example(carriers.get(name)).given
    filled = {n: IDS.get(m) or known.get(m) for n, m in takes.positional.items()}
    chosen = {n: "PCMU" for n, m in takes.positional.items() if m in arguments.CHOICES}
    usual = {n: value for n, value in (filled | chosen).items() if value}
    return usual | more


def ready(name: str, rate: int, *, made: Any = None, **params: Any) -> Any:
    """A serializer in a pipeline that runs at ``rate`` Hz, and does not hang up."""
    found = made or ours(name)
    wish = {"auto_hang_up": False} | params
    serializer = found(**given(name), params=found.InputParams(**wish))
    asyncio.run(serializer.setup(SimpleNamespace(audio_in_sample_rate=rate)))
    return serializer


def says(serializer: Any, *frames: Any) -> list[str | bytes]:
    async def every() -> list[Any]:
        return [await serializer.serialize(one) for one in frames]

    return [message for message in asyncio.run(every()) if message]


def reads(serializer: Any, messages: Iterable[str | bytes]) -> list[Any]:
    async def every() -> list[Any]:
        return [await serializer.deserialize(message) for message in messages]

    return [found for found in asyncio.run(every()) if found]


def speech(pcm: bytes, rate: int, ms: int = 20) -> list[Any]:
    size = rate * ms // 500
    cut = [pcm[at : at + size] for at in range(0, len(pcm), size)]
    return [
        frame("OutputAudioRawFrame", audio=one, sample_rate=rate, num_channels=1) for one in cut
    ]


def carrier_end(name: str, audio: AudioFormat | None = None) -> Any:
    carrier = example(carriers.get(name))
    audio = audio or carrier.outbound[0]
    end = carrier.carrier_end(audio)
    inbound = audio if carrier.one_format else carrier.inbound[0]
    end.send(Started(call_id=CALL, stream_id="stream-1", inbound=inbound, outbound=audio))
    end.outgoing()
    return end


def sine(rate: int, seconds: float = 0.4) -> bytes:
    at = np.arange(int(rate * seconds)) / rate
    return (LOUD * np.sin(2 * np.pi * 500 * at)).astype("<i2").tobytes()


def samples(pcm: bytes) -> Any:
    return np.frombuffer(pcm, "<i2").astype(float)


# --- what they are built with ------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ORIGINALS))
def test_the_arguments_are_the_originals(name: str) -> None:
    theirs = inspect.signature(original(name).__init__).parameters
    mine = inspect.signature(ours(name)).parameters
    usual = [n for n, one in theirs.items() if n != "self" and one.kind is not one.KEYWORD_ONLY]
    # An older Pipecat knows fewer; what it does know stands where it stood.
    known = [n for n, one in mine.items() if one.kind is not one.KEYWORD_ONLY and n in usual]
    assert known == usual
    assert {n for n in theirs if n != "self"} <= set(mine)
    for n, one in theirs.items():
        assert n == "self" or mine[n].default == one.default


@pytest.mark.parametrize("name", sorted(ORIGINALS))
def test_what_may_be_chosen_is_the_originals_and_so_are_its_defaults(name: str) -> None:
    theirs = original(name).InputParams().model_dump()
    mine = ours(name).InputParams().model_dump()
    assert {n: mine[n] for n in theirs} == theirs


def test_the_call_for_a_carrier_without_an_original() -> None:
    found = importlib.import_module("trunkline.pipecat").SFVoPIFrameSerializer
    made = found("stream-1", CALL, params=found.InputParams(codec="L16", sfvopi_sample_rate=16_000))
    (message,) = says(made, *speech(bytes(640), 16_000))
    told = json.loads(message)["media"]
    assert (told["contentType"], told["sampleRate"]) == ("audio/x-l16", 16_000)


MISSING = [("bandwidth", {}), ("plivo", {}), ("twilio", {}), ("telnyx", {})]
MISSING += [("bandwidth", {"call_id": "c", "client_id": "x"}), ("plivo", {"auth_id": "x"})]


@pytest.mark.parametrize(("name", "more"), MISSING)
def test_a_missing_credential_is_the_same_error(name: str, more: dict[str, str]) -> None:
    bare = {n: "PCMU" for n in ("outbound_encoding", "inbound_encoding") if name == "telnyx"}
    bare["stream_sid" if name == "twilio" else "stream_id"] = "stream-1"
    with pytest.raises(ValueError) as theirs:
        original(name)(**bare, **more)
    with pytest.raises(ValueError) as mine:
        ours(name)(**bare, **more)
    if "api_key_sid" in inspect.signature(original(name)).parameters or name != "twilio":
        assert str(mine.value) == str(theirs.value)


@pytest.mark.parametrize(
    ("name", "wrong", "named"),
    [
        ("bandwidth", {"call_id": "c/../x"}, "call_id must contain only unreserved URL"),
        ("bandwidth", {"account_id": "9?x"}, "account_id must contain only unreserved URL"),
        ("plivo", {"call_id": "../Call"}, "call_id must contain only unreserved URL"),
        ("twilio", {"call_sid": "CA#"}, "call_sid must contain only unreserved URL"),
        ("twilio", {"account_sid": "A/C"}, "account_sid must contain only unreserved URL"),
        ("plivo", {"auth_id": "M/A"}, "auth_id: "),
        ("twilio", {"region": "au1"}, "region and edge go together"),
        ("twilio", {"api_key_sid": "SK", "api_key_secret": "s"}, "Provide either auth_token or"),
        ("twilio", {"auth_token": "", "api_key_sid": "SK"}, "api_key_sid and api_key_secret go"),
    ],
)
def test_what_could_never_work_is_refused(name: str, wrong: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ours(name)(**given(name, **wrong))


@pytest.mark.parametrize(
    ("name", "params", "named"),
    [
        ("bandwidth", {"outbound_encoding": "OPUS"}, "Unsupported outbound_encoding: OPUS."),
        ("bandwidth", {"outbound_encoding": "PCM", "outbound_pcm_sample_rate": 44100}, "24000"),
        ("twilio", {"twilio_sample_rate": 16_000}, "twilio_sample_rate must be 8000"),
        ("sfvopi", {"codec": "OPUS"}, "Unsupported codec: OPUS. Must be 'PCMA', 'PCMU' or 'L16'."),
        ("wavix", {"audio_track": "outbound"}, "must not hear itself"),
    ],
)
def test_a_bad_choice_is_refused(name: str, params: dict[str, Any], named: str) -> None:
    found = ours(name)
    with pytest.raises(ValueError, match=named):
        found(**given(name), params=found.InputParams(**params))


def test_the_originals_words_for_a_bad_encoding() -> None:
    errors = []
    for found in (ours("bandwidth"), original("bandwidth")):
        with pytest.raises(ValueError) as error:
            found(**given("bandwidth"), params=found.InputParams(outbound_encoding="OPUS"))
        errors.append(str(error.value))
    assert errors[0] == errors[1]


def test_an_api_key_stands_in_for_a_token() -> None:
    key = {"auth_token": None, "api_key_sid": "SK1", "api_key_secret": "s"}
    ours("twilio")(**given("twilio", **key))


def test_names_there_are_and_names_there_are_not() -> None:
    home = importlib.import_module("trunkline.pipecat")
    assert {"TwilioFrameSerializer", "SFVoPIFrameSerializer"} <= set(dir(home))
    assert home.TwilioFrameSerializer is home.frame_serializer("twilio")
    with pytest.raises(AttributeError):
        _ = home.AcmeFrameSerializer


@pytest.mark.parametrize("name", ["TwilioFrameSerializer", "frame_serializer"])
def test_without_pipecat_the_extra_is_named(name: str) -> None:
    script = f"import sys; sys.modules['pipecat'] = None; from trunkline.pipecat import {name}"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "ImportError: this needs Pipecat" in ran.stderr
    assert "trunkline[pipecat]" in ran.stderr


def test_the_stub_is_fresh() -> None:
    made = importlib.import_module("trunkline.adapters.pipecat.stub")
    assert Path(made.PATH).read_text() == made.stub()
    made.main()
    assert Path(made.PATH).read_text() == made.stub()


# --- audio -------------------------------------------------------------------------------------


def bodies(messages: Iterable[str | bytes]) -> list[Any]:
    return [one if isinstance(one, bytes) else json.loads(one) for one in messages]


@pytest.mark.parametrize("name", sorted(ORIGINALS))
def test_at_the_carriers_rate_the_messages_are_the_originals(name: str) -> None:
    rate = ours(name).InputParams().model_dump()[f"{name}_sample_rate"]
    said = [*speech(sine(rate), rate), frame("InterruptionFrame")]
    mine = bodies(says(ready(name, rate), *said))
    theirs = bodies(says(ready(name, rate, made=original(name)), *said))
    assert len(mine) == len(theirs) == 21
    for one, other in zip(mine, theirs, strict=True):
        if isinstance(one, bytes):
            assert one == other
        else:
            # Some fields only one of them sends: counters, and ids that need not be said (again).
            assert set(flat(one)) ^ set(flat(other)) <= OPTIONAL
            assert {n: v for n, v in flat(one).items() if n in flat(other)} == {
                n: v for n, v in flat(other).items() if n in flat(one)
            }


OPTIONAL = {"streamId", "streamSid", "stream_sid", "sequence_number"}
OPTIONAL |= {"media.chunk", "media.sequenceNumber", "media.timestamp"}


def flat(message: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for n, value in message.items():
        found |= flat(value, f"{n}.") if isinstance(value, dict) else {before + n: value}
    return found


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("name", NAMES)
def test_our_audio_goes_out_whole_and_in_step(name: str, rate: int) -> None:
    end = carrier_end(name)
    audio = carriers.get(name).outbound[0]
    heard = b""
    ms = 200 if carriers.get(name).frame.ms > 20 else 20
    for message in says(ready(name, rate), *speech(sine(rate), rate, ms)):
        (event,) = end.receive(message)
        # A piece is as long as what went in: nothing is held that a caller would miss.
        assert audio.ms_in(len(event.payload)) == ms
        heard += event.payload
    assert audio.ms_in(len(heard)) == 400
    assert late(g711.decode(heard, audio.encoding), audio.rate) <= 2.0


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
@pytest.mark.parametrize("name", NAMES)
def test_the_callers_audio_comes_in_whole_and_in_step(name: str, rate: int) -> None:
    carrier = carriers.get(name)
    audio = carrier.outbound[0] if carrier.one_format else carrier.inbound[0]
    spoken = g711.encode(sine(audio.rate), audio.encoding)
    end = carrier_end(name)
    size = audio.bytes_in(20)
    for at in range(0, len(spoken), size):
        end.send(Audio(spoken[at : at + size]))
    frames = reads(ready(name, rate), end.outgoing())
    assert {(one.sample_rate, one.num_channels) for one in frames} == {(rate, 1)}
    # A frame is as long as its message, the first one too: a transport cuts chunks of that length.
    assert {len(one.audio) for one in frames} == {rate // 50 * 2}
    heard = b"".join(one.audio for one in frames)
    assert len(heard) * 500 / rate == 400
    assert late(heard, rate) <= (0.0 if rate == audio.rate else 2.0)


def late(heard: bytes, rate: int) -> float:
    """By how many ms ``heard`` is the sine too late."""
    got = samples(heard)
    meant = samples(sine(rate))
    # Within one period, and away from the edges.
    inner = slice(rate // 50, len(got) - rate // 50)
    errors = {
        n: float(np.mean((np.roll(meant, n)[: len(got)] - got)[inner] ** 2))
        for n in range(rate // 500)
    }
    return 1000 * min(errors, key=lambda n: errors[n]) / rate


def test_two_channels_are_heard_as_one() -> None:
    left, right = np.full(160, 1000, "<i2"), np.full(160, 3000, "<i2")
    both = np.stack([left, right], axis=1).tobytes()
    said = frame("OutputAudioRawFrame", audio=both, sample_rate=8000, num_channels=2)
    (message,) = says(ready("twilio", 8000), said)
    (event,) = carrier_end("twilio").receive(message)
    assert abs(samples(g711.decode(event.payload, Encoding.PCMU)) - 2000).max() < 64


@pytest.mark.parametrize("name", NAMES)
def test_after_a_barge_in_nothing_old_is_said(name: str) -> None:
    audio = carriers.get(name).outbound[0]
    rate = 48_000
    serializer = ready(name, rate)
    loud = np.full(rate // 1000 * 25, LOUD, "<i2").tobytes()  # 25 ms: not a whole message
    quiet = bytes(rate * 2 * 2 // 10)
    says(serializer, frame("OutputAudioRawFrame", audio=loud, sample_rate=rate, num_channels=1))
    end = carrier_end(name)
    (clear,) = says(serializer, frame("InterruptionFrame"))
    assert end.receive(clear) == (events.Clear(),)
    ms = 200 if carriers.get(name).frame.ms > 20 else 20
    messages = says(serializer, *speech(quiet, rate, ms))
    heard = b"".join(end.receive(message)[0].payload for message in messages)
    assert audio.ms_in(len(heard)) == 200
    assert not np.any(np.abs(samples(g711.decode(heard, audio.encoding))) > 8)


@pytest.mark.parametrize(("name", "chunks"), [("wavix", 2), ("vonage", 2)])
def test_audio_cut_as_the_carrier_would_refuse_it_is_told_once(
    name: str, chunks: int, caplog: pytest.LogCaptureFixture
) -> None:
    serializer = ready(name, 16_000)
    says(serializer, *speech(sine(16_000), 16_000, 40))
    (record,) = caplog.records
    assert f"audio_out_10ms_chunks={chunks}" in record.getMessage()


def test_a_start_that_was_not_read_before_is_believed() -> None:
    # Exotel's applet says 16 kHz where the serializer was told nothing: the stream is right.
    serializer = ready("exotel", 16_000)
    end = example(carriers.get("exotel")).carrier_end(AudioFormat(Encoding.L16, 16_000))
    told = AudioFormat(Encoding.L16, 16_000)
    end.send(Started(call_id=CALL, stream_id="stream-2", inbound=told, outbound=told))
    assert reads(serializer, end.outgoing()) == []
    (message,) = says(serializer, *speech(sine(16_000, 0.02), 16_000))
    (event,) = end.receive(message)
    assert event.payload == sine(16_000, 0.02)


@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_less_than_a_carrier_takes_waits_for_the_rest(rate: int) -> None:
    # Telnyx: 20 ms at the least (page "Media Streaming").
    end = carrier_end("telnyx")
    messages = says(ready("telnyx", rate), *speech(sine(rate), rate, 10))
    assert [len(end.receive(message)[0].payload) for message in messages] == [160] * 20


def test_a_start_that_comes_again_changes_nothing() -> None:
    serializer, end = ready("twilio", 16_000), carrier_end("twilio")
    end.send(Started(call_id=CALL, stream_id="stream-1", inbound=PCMU_8K, outbound=PCMU_8K))
    assert reads(serializer, end.outgoing()) == []
    end.receive(says(serializer, *speech(sine(16_000), 16_000))[0])


def test_before_setup_the_callers_audio_is_as_it_came() -> None:
    found = ours("twilio")
    serializer = found(**given("twilio"), params=found.InputParams(auto_hang_up=False))
    end = carrier_end("twilio")
    end.send(Audio(PCMU_8K.silence * 160))
    (heard,) = reads(serializer, end.outgoing())
    assert (heard.sample_rate, heard.audio) == (8000, bytes(320))


def test_the_pipelines_rate_can_be_overruled() -> None:
    end = carrier_end("twilio")
    end.send(Audio(PCMU_8K.silence * 160))
    (heard,) = reads(ready("twilio", 8000, sample_rate=16_000), end.outgoing())
    assert heard.sample_rate == 16_000


# --- all else ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NAMES if events.Digit in carriers.get(n).hears])
def test_keys_arrive(name: str) -> None:
    end = carrier_end(name)
    for key in "1234567890*#":
        end.send(events.Digit(key))
    frames = reads(ready(name, 8000), end.outgoing())
    assert "".join(one.button.value for one in frames) == "1234567890*#"
    end.send(events.Digit("A"))  # no key of Pipecat's
    (other,) = reads(ready(name, 8000), end.outgoing())
    assert type(other).__name__ == "InputTransportMessageFrame"


ACKNOWLEDGED = [
    (name, kind)
    for name in NAMES
    for kind in (events.Mark("m-1"), events.Cleared(), events.Failed("1", "x"))
    if type(kind) in carriers.get(name).hears
]


@pytest.mark.parametrize(("name", "event"), ACKNOWLEDGED)
def test_acknowledgements_arrive_as_they_were_sent(name: str, event: Any) -> None:
    end, serializer = carrier_end(name), ready(name, 8000)
    if isinstance(event, events.Cleared):
        (clear,) = says(serializer, frame("InterruptionFrame"))
        end.receive(clear)
    end.send(event)
    sent = end.outgoing()
    (heard,) = reads(serializer, sent)
    assert type(heard).__name__ == "InputTransportMessageFrame"
    assert heard.message == json.loads(sent[0])


@pytest.mark.parametrize(
    "kind", ["OutputTransportMessageFrame", "OutputTransportMessageUrgentFrame"]
)
def test_messages_pass_but_for_rtvi(kind: str) -> None:
    mark = {"event": "mark", "streamSid": "stream-1", "mark": {"name": "m-1"}}
    rtvi = {"label": "rtvi-ai", "type": "bot-ready"}
    messages = says(ready("twilio", 8000), frame(kind, message=mark), frame(kind, message=rtvi))
    assert [json.loads(one) for one in messages] == [mark]


def test_other_frames_say_nothing() -> None:
    serializer = ready("twilio", 8000)
    assert says(serializer, frame("TTSStoppedFrame"), frame("EndFrame")) == []


def test_junk_is_told_once_and_the_call_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    serializer = ready("twilio", 8000)
    assert reads(serializer, ["no json", b"\0", '{"event":"media"}']) == []
    assert len(caplog.records) == 1


def test_a_streams_end_is_no_frame() -> None:
    end = carrier_end("twilio")
    end.send(events.Stopped())
    assert reads(ready("twilio", 8000), end.outgoing()) == []


def test_where_nothing_can_be_taken_back_a_barge_in_says_nothing() -> None:
    deaf: Any = type("Deaf", (carriers.get("twilio"),), {"says": frozenset({Audio})})
    found = importlib.import_module("trunkline.pipecat").frame_serializer(deaf)
    serializer = found("stream-1", params=found.InputParams(auto_hang_up=False))
    assert says(serializer, frame("InterruptionFrame")) == []


# --- hanging up --------------------------------------------------------------------------------


class Phone:
    """A carrier's REST with one call on it; ``faults`` are answers it gives instead, first."""

    def __init__(self, name: str, *faults: Response | OSError) -> None:
        self.exchange = Exchange(example(carriers.get(name)))
        self.exchange.add(CALL)
        self.faults = list(faults)
        self.asked: list[str] = []

    async def send(self, carrier: str, request: Request) -> Response:
        self.asked.append(request.url)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, OSError):
                raise fault
            return fault
        return self.exchange.rest(request)

    @property
    def ended(self) -> bool:
        return self.exchange.legs[CALL].state is CallState.ENDED


HANG_UP = [n for n in NAMES if carriers.get(n).supports(Control.HANG_UP)]


def caller(name: str, phone: Phone, **more: Any) -> Any:
    takes = arguments.arguments_of(carriers.get(name))
    known = example(carriers.get(name)).given
    named = {n: IDS.get(m) or known[m] for n, m in takes.keyword.items() if name != "twilio"}
    return ours(name)(**given(name, **named, **more), send=phone.send)


@pytest.mark.parametrize("ending", ["EndFrame", "CancelFrame"])
@pytest.mark.parametrize("name", HANG_UP)
def test_the_end_hangs_up_once_and_asks_whether_it_did(name: str, ending: str) -> None:
    phone = Phone(name)
    serializer = caller(name, phone)
    assert says(serializer, frame(ending)) == []
    assert phone.ended
    asked = len(phone.asked)
    assert asked >= 2  # the order, and the question what came of it
    says(serializer, frame("EndFrame"), frame("CancelFrame"))
    assert len(phone.asked) == asked


def test_hanging_up_is_tried_again_where_it_fails() -> None:
    phone = Phone("twilio", Response(503), OSError("connection reset"))
    says(caller("twilio", phone), frame("CancelFrame"))
    assert phone.ended


def test_a_refusal_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    phone = Phone("twilio", *[Response(401)] * 9)
    says(caller("twilio", phone), frame("EndFrame"))
    assert not phone.ended
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_without_credentials_a_carrier_that_did_not_ask_for_them_is_not_hung_up() -> None:
    phone = Phone("wavix")
    says(ours("wavix")("stream-1", send=phone.send), frame("EndFrame"))
    assert phone.asked == []


def test_a_pipeline_that_is_cancelled_meanwhile_still_hangs_up() -> None:
    phone = Phone("twilio", Response(503))
    serializer = caller("twilio", phone)

    async def cancelled() -> None:
        ending = asyncio.create_task(serializer.serialize(frame("CancelFrame")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert not phone.ended
        await serializer.serialize(frame("CancelFrame"))

    asyncio.run(cancelled())
    assert phone.ended


def test_the_api_may_be_elsewhere() -> None:
    phone = Phone("twilio", *[Response(401)] * 9)
    says(caller("twilio", phone, base_url="https://here.example/"), frame("CancelFrame"))
    assert phone.asked[0].startswith("https://here.example/2010-04-01/Accounts/")
    assert phone.asked[0].endswith(f"/Calls/{CALL}.json")


async def served(exchange: Exchange, host: str) -> asyncio.Server:
    """The exchange's REST on this machine, in place of ``host``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {n.lower(): value for n, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split()
        told = exchange.rest(Request(method=method, url=host + path, headers=headers, body=body))
        about = {**told.headers, "content-length": len(told.body), "connection": "close"}
        head = "".join(f"{n}: {value}\r\n" for n, value in about.items())
        writer.write(f"HTTP/1.1 {told.status} OK\r\n{head}\r\n".encode() + told.body)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


def test_nobody_else_sending_it_goes_over_http() -> None:
    exchange = Exchange(example(carriers.get("twilio")))
    exchange.add(CALL)

    async def hang_up() -> None:
        server = await served(exchange, "https://api.twilio.com")
        port = server.sockets[0].getsockname()[1]
        found = ours("twilio")(**given("twilio", base_url=f"http://127.0.0.1:{port}"))
        await found.serialize(frame("EndFrame"))
        server.close()
        await server.wait_closed()

    asyncio.run(hang_up())
    assert exchange.legs[CALL].state is CallState.ENDED
