"""Traces of whole calls, taken by OpenTelemetry's own SDK."""

import asyncio
import contextlib
import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from rig import BASE, Rig, listener, settings
from trunkline import carriers
from trunkline.carrier import Control
from trunkline.errors import ConfigError
from trunkline.events import Clear
from trunkline.media.formats import L16_8K
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sockets import SocketClosed
from trunkline.telemetry import Telemetry
from trunkline.telemetry.tracer import hashed

ONE = next(
    name
    for name in carriers.names()
    if carriers.get(name).asks_after
    and carriers.get(name).supports(Control.HANG_UP)
    and Clear in carriers.get(name).says
)
every_carrier = pytest.mark.parametrize("name", carriers.names())


class Traced(Rig):
    """A rig whose server traces, by the clock of the loop."""

    def __init__(self, name, bot=listener, **given):
        super().__init__(name, bot)
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

        async def counted(call):
            self.bots.append(call)
            await bot(call)

        self.app = create_app(
            counted,
            settings(**given),
            send=self.send,
            clock=self.clock,
            telemetry=Telemetry(tracer_provider=self.provider),
        )
        self.network = self.door(self.app)

    def clock(self):
        return 1_700_000_000.0 + asyncio.get_running_loop().time()

    def spans(self, name=None):
        return [s for s in self.exporter.get_finished_spans() if name in (None, s.name)]


def run(name, scene, bot=listener, **given):
    async def main():
        async with Traced(name, bot, **given) as rig:
            result = await scene(rig)
            while rig.board.calls:
                await asyncio.sleep(0.1)
            return rig, result

    return run_virtual(main())


def seconds(span):
    return (span.end_time - span.start_time) / 1e9


def said(span):
    return {name.removeprefix("trunkline."): value for name, value in span.attributes.items()}


async def talker(call):
    """Says something, is interrupted, says something else to its end."""
    await asyncio.sleep(0.3)
    call.play(bytes(48_000), L16_8K)
    await asyncio.sleep(1)
    call.clear()
    call.play(bytes(8_000), L16_8K)
    await call.quiet()


@every_carrier
def test_a_call_is_one_trace_from_webhook_to_hang_up_and_holds_nothing_personal(name):
    async def scene(rig):
        info = rig.info()
        step = await rig.offer(info)
        await asyncio.sleep(0.2)
        socket = await rig.open(step)
        await rig.flush(socket, rig.end(info, step))
        with contextlib.suppress(SocketClosed):
            while True:
                await socket.receive()
        return info

    rig, info = run(name, scene, talker)
    (root,) = rig.spans("call")
    assert root.parent is None
    assert {span.context.trace_id for span in rig.spans()} == {root.context.trace_id}
    told = said(root)
    assert (told["carrier"], told["direction"]) == (name, "inbound")
    assert (told["why"], told["by"], told["utterances"]) == ("completed", "bot", 2)
    assert told["call_hash"] == hashed(info.call_id)
    (answer,), (connect,) = rig.spans("call.answer"), rig.spans("call.connect")
    assert answer.start_time == connect.start_time == root.start_time
    assert 0.15 < seconds(connect) < 0.5
    (first,) = rig.spans("call.first_audio")
    assert seconds(first) == pytest.approx(0.3, abs=0.03)
    interrupted, whole = rig.spans("call.speak")
    assert said(whole)["heard_ms"] == pytest.approx(500, abs=1)
    assert seconds(whole) == pytest.approx(0.5, abs=0.05)
    assert said(interrupted)["cleared"] is True
    clears = Clear in carriers.get(name).says
    assert [event.name for event in root.events].count("barge-in") == told["barge_ins"] == clears
    for span in rig.spans():
        took = 0 if span.name.startswith("call") else 1e9  # requests take real time, and no virtual
        assert root.start_time <= span.start_time + took
        assert span.start_time <= span.end_time <= root.end_time
    text = "".join(span.to_json() for span in rig.spans())
    for private in (info.call_id, info.from_[1:], info.to[1:], rig.account, BASE):
        assert not private or private not in text
    if carriers.get(name).supports(Control.HANG_UP):
        (hang_up,) = rig.spans("call.hang_up")
        requests = [
            s for s in rig.spans() if s.parent and s.parent.span_id == hang_up.context.span_id
        ]
        assert requests
        assert all(span.name.startswith("rest ") for span in requests)
        assert {said(span)["outcome"] for span in requests} == {"ok"}


def test_call_ids_are_told_where_that_is_asked_for():
    async def scene(rig):
        info, _, _ = await rig.join()
        return info

    rig, info = run(ONE, scene, talker, trace_call_ids=True)
    assert said(rig.spans("call")[0])["call_id"] == info.call_id


def test_what_a_bot_traces_itself_belongs_to_its_call():
    async def bot(call):
        with trace.get_tracer("mine", tracer_provider=provider[0]).start_as_current_span("model"):
            await asyncio.sleep(0.1)

    provider = []

    async def scene(rig):
        provider.append(rig.provider)
        await rig.join()
        await rig.join()

    rig, _ = run(ONE, scene, bot)
    calls = {span.context.span_id for span in rig.spans("call")}
    assert {span.parent.span_id for span in rig.spans("model")} == calls
    assert len(calls) == 2


def test_a_bot_that_fails_and_a_carrier_that_refuses_are_errors_without_words():
    async def bot(call):
        await asyncio.sleep(0.1)
        call.play(bytes(48_000), L16_8K)
        await asyncio.sleep(0.2)
        raise ValueError("+12025550143 said something private")

    async def scene(rig):
        await rig.join()
        rig.refusing = 400

    rig, _ = run(ONE, scene, bot)
    (root,), (hang_up,) = rig.spans("call"), rig.spans("call.hang_up")
    assert said(root)["why"] == "bot_error"
    assert (root.status.status_code, hang_up.status.status_code) == (StatusCode.ERROR,) * 2
    assert said(hang_up)["outcome"] == "failed"
    assert "private" not in "".join(span.to_json() for span in rig.spans())
    # What was being said ends with the call.
    (speak,) = rig.spans("call.speak")
    assert said(speak)["cut_off"] is True
    assert seconds(speak) == pytest.approx(0.2, abs=0.05)


def test_a_call_without_a_socket_is_a_trace_that_says_so():
    async def scene(rig):
        await rig.offer(rig.info())
        await asyncio.sleep(62)

    rig, _ = run(ONE, scene)
    (root,) = rig.spans("call")
    assert said(root)["abandoned"] is True
    assert rig.spans("call.connect") == []


def test_a_lost_socket_is_an_event_of_its_call():
    async def scene(rig):
        info, socket, _ = await rig.join()
        await socket.close(1011)
        await asyncio.sleep(0.1)
        step = await rig.again(info)
        await rig.flush(await rig.open(step), rig.end(info, step))
        await rig.bots[0].hang_up()

    rig, _ = run(ONE, scene)
    (root,) = rig.spans("call")
    assert [event.name for event in root.events] == ["socket lost", "socket rejoined"]
    assert len(rig.spans("call.connect")) == 1


def test_traces_without_opentelemetry_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match=r"trunkline\[otel\]"):
        create_app(listener, settings(traces=True))


def test_a_server_that_is_not_observed_loads_no_library_for_it():
    code = """
import sys
from trunkline.config import Settings
from trunkline.server import create_app
create_app(print, Settings(public_url="https://x.example", simulator_url="http://s.test"))
print(sorted({"trunkline.telemetry.tracer", "prometheus_client"} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
