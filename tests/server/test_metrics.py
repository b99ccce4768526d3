"""Figures as Prometheus reads them: by its own parser, of calls that are really held."""

import asyncio
import contextlib
from math import inf

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from rig import BASE, Rig, listener
from trunkline import carriers
from trunkline.carrier import Control, Purpose
from trunkline.config import Settings
from trunkline.events import Audio, Clear, Offered
from trunkline.media.formats import L16_8K
from trunkline.rest import NotSent
from trunkline.server import create_app
from trunkline.server.metrics import GAUGES
from trunkline.session import Session
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.network import NotConnected
from trunkline.sockets import SocketClosed
from trunkline.telemetry import Telemetry
from trunkline.telemetry.meter import METRICS
from trunkline.web import Request, Response

KEY = "metrics-key-of-16"
SIGNED = [name for name in carriers.names() if carriers.get(name).signs_webhooks]
ONE = next(n for n in SIGNED if carriers.get(n).asks_after and Clear in carriers.get(n).says)
every_carrier = pytest.mark.parametrize("name", carriers.names())


class Figures(dict):
    """Samples by name and labels; one that is not there is an error."""

    def __init__(self, text, read=text_string_to_metric_families):
        self.families = {family.name: family for family in read(text)}
        for family in self.families.values():
            for sample in family.samples:
                self[sample.name, frozenset(sample.labels.items())] = sample.value

    def of(self, name, **labels):
        return self[f"trunkline_{name}", frozenset(labels.items())]


async def ask(rig, accept="", key=KEY):
    headers = {"authorization": f"Bearer {key}", "accept": accept}
    request = Request(method="GET", url=f"{BASE}/metrics", headers=headers)
    return await rig.network.request(request)


async def figures(rig):
    answer = await ask(rig)
    assert answer.status == 200
    return Figures(answer.body.decode())


def run(name, scene, bot=listener, **given):
    async def main():
        async with Rig(name, bot, metrics_keys=KEY, **given) as rig:
            return await scene(rig)

    return run_virtual(main())


async def ended(rig):
    while rig.board.calls:
        await asyncio.sleep(0.1)


# --- calls ---


@every_carrier
def test_a_call_is_seen_from_its_webhook_to_its_end(name):
    async def bot(call):
        call.play(bytes(16_000), L16_8K)
        await listener(call)

    async def scene(rig):
        seen = [await figures(rig)]
        info = rig.info()
        step = await rig.offer(info)
        offered = await figures(rig)
        await asyncio.sleep(0.3)
        socket = await rig.open(step)
        end = rig.end(info, step)
        await rig.flush(socket, end)
        await asyncio.sleep(0.5)
        active = await figures(rig)
        await rig.bots[0].hang_up(after_playback=False)
        await ended(rig)
        seen += [offered, active, await figures(rig)]
        return seen

    before, offered, active, after = run(name, scene, bot)
    assert [seen.of("calls", carrier=name, state="offered") for seen in (before, offered)] == [0, 1]
    assert active.of("calls", carrier=name, state="offered") == 0
    assert active.of("calls", carrier=name, state="active") == 1
    assert active.of("calls_started_total", carrier=name, direction="inbound") == 1
    assert active.of("setup_seconds_count", carrier=name) == 1
    assert active.of("setup_seconds_sum", carrier=name) == pytest.approx(0.4, abs=0.11)
    assert active.of("audio_ahead_seconds") == pytest.approx(0.2, abs=0.1)
    assert active.of("audio_waiting_seconds") == pytest.approx(0.3, abs=0.1)
    assert after.of("first_audio_seconds_count", carrier=name) == 1
    assert after.of("calls", carrier=name, state="active") == 0
    assert after.of("calls_ended_total", carrier=name, why="completed") == 1
    assert after.of("call_duration_seconds_count", carrier=name) == 1
    assert after.of("audio_waiting_seconds") == 0
    able = carriers.get(name).supports(Control.HANG_UP)
    assert (after.of("rest_requests_total", carrier=name, outcome="ok") > 0) == able
    if able and carriers.get(name).supports(Control.STATE):
        assert after.of("hangups_total", carrier=name, outcome="confirmed") == 1
    # Every series there can be is there from the start: none is a call's own.
    assert [key for key in after if key not in before] == []


def test_the_page_is_what_prometheus_reads_in_both_its_forms():
    async def scene(rig):
        await rig.join()
        answers = [await ask(rig), await ask(rig, "application/openmetrics-text; version=1.0.0")]
        return [(answer.headers["content-type"], answer.body.decode()) for answer in answers]

    (plain, text), (opened, open_text) = run(ONE, scene)
    assert plain.startswith("text/plain")
    assert opened.startswith("application/openmetrics-text")
    one, other = Figures(text), Figures(open_text, open_families)
    assert one.of("calls", carrier=ONE, state="active") == 1
    assert one.of("calls", carrier=ONE, state="active") == other.of(
        "calls", carrier=ONE, state="active"
    )
    ours = {name.removesuffix("_total") for name in one.families if name.startswith("trunkline_")}
    assert ours == {metric.name.removesuffix("_total") for metric in METRICS} | set(GAUGES)
    for family in one.families.values():
        assert family.documentation
        series = {}
        for sample in family.samples:
            if bound := sample.labels.pop("le", ""):
                series.setdefault(str(sample.labels), []).append((float(bound), sample.value))
        for counts in series.values():
            assert counts == sorted(counts)
            assert counts[-1][0] == inf


def test_the_page_asks_for_a_key():
    async def scene(rig):
        without = await rig.network.request(Request(method="GET", url=f"{BASE}/metrics"))
        wrong = await ask(rig, key="wrong-key-of-16-c")
        return without.status, wrong.status, wrong.body

    without, wrong, body = run(ONE, scene)
    assert (without, wrong) == (401, 401)
    assert b"trunkline_" not in body


def test_without_a_key_there_is_no_page_and_nothing_is_observed():
    async def main():
        async with Rig(ONE) as rig:
            answer = await ask(rig)
            await rig.join()
            assert type(rig.board.calls[0]) is Session
            return answer.status

    assert run_virtual(main()) == 404


def test_a_key_is_long():
    with pytest.raises(ValueError, match="16 characters"):
        Settings(metrics_keys="short")


# --- doors ---


def test_who_is_turned_away_is_counted_by_why():
    async def scene(rig):
        await rig.webhook(Offered(rig.info()), sign=False)
        url = rig.hooks.url(Purpose.ANSWER)
        junk = Request(method="POST", url=url, headers={}, body=b"{" * 10)
        await rig.network.request(rig.carrier.sign(junk))
        big = Request(method="POST", url=url, headers={}, body=b"x" * 70_000)
        assert (await rig.network.request(big)).status == 413
        info = rig.info()
        step = await rig.offer(info)
        with pytest.raises(NotConnected):
            await rig.open(step, url=f"{step.url.rpartition('/')[0]}/forged")
        socket = await rig.open(step)
        await socket.send("{}")
        with contextlib.suppress(SocketClosed):
            while True:
                await socket.receive()
        return await figures(rig)

    name = next(
        n for n in SIGNED if not carriers.get(n).signs_upgrade and carriers.get(n).asks_after
    )
    seen = run(name, scene, handshake_timeout=1)
    assert seen.of("webhooks_refused_total", carrier=name, reason="signature") == 1
    assert seen.of("webhooks_refused_total", carrier=name, reason="unreadable") == 1
    assert seen.of("webhooks_refused_total", carrier=name, reason="too_large") == 1
    assert seen.of("sockets_refused_total", carrier=name, reason="token") == 1
    assert seen.of("sockets_refused_total", carrier=name, reason="no_start") == 1


def test_another_calls_start_is_counted():
    async def scene(rig):
        info = rig.info()
        _, socket, _ = await rig.join(info, call_id="somebody-elses")
        with pytest.raises(SocketClosed):
            await socket.receive()
        return await figures(rig)

    assert run(ONE, scene).of("sockets_refused_total", carrier=ONE, reason="call") == 1


def test_an_upgrade_that_is_not_signed_is_counted():
    name = next(n for n in carriers.names() if carriers.get(n).signs_upgrade)

    async def scene(rig):
        step = await rig.offer(rig.info())
        with pytest.raises(NotConnected):
            await rig.network.connect(Request(method="GET", url=step.url, headers={}))
        return await figures(rig)

    assert run(name, scene).of("sockets_refused_total", carrier=name, reason="signature") == 1


def test_callers_who_are_told_busy_are_counted():
    async def scene(rig):
        await rig.join()
        await rig.webhook(Offered(rig.info()))
        rig.board.draining = True
        await rig.webhook(Offered(rig.info()))
        return await figures(rig)

    seen = run(ONE, scene, max_calls=1)
    assert seen.of("calls_refused_total", carrier=ONE, reason="full") == 1
    assert seen.of("calls_refused_total", carrier=ONE, reason="draining") == 1
    assert (seen.of("calls_max"), seen.of("draining")) == (1, 1)


def test_a_call_whose_socket_never_comes_is_counted_when_it_is_given_up():
    async def scene(rig):
        await rig.offer(rig.info())
        rig.clock_now += 61
        await asyncio.sleep(62)
        return await figures(rig)

    seen = run(ONE, scene)
    assert seen.of("calls_abandoned_total", carrier=ONE) == 1
    assert seen.of("calls", carrier=ONE, state="offered") == 0


# --- media ---


def test_gaps_between_a_callers_messages_are_noted():
    async def scene(rig):
        _, socket, end = await rig.join()
        frame = Audio(rig.kind.inbound[0].silence * 160)
        for pause in (0.01, 0.01, 0.3, 0.01, 0.8):
            await rig.say(socket, end, frame)
            await asyncio.sleep(pause)
        await rig.say(socket, end, frame)
        return await figures(rig)

    seen = run(ONE, scene)
    assert seen.of("inbound_gap_seconds_count", carrier=ONE) == 2
    assert seen.of("inbound_gap_seconds_sum", carrier=ONE) == pytest.approx(1.12, abs=0.01)


def test_a_barge_in_is_timed_to_the_wire():
    async def bot(call):
        call.play(bytes(32_000), L16_8K)
        await asyncio.sleep(0.5)
        call.clear()
        call.clear()
        await listener(call)

    async def scene(rig):
        await rig.join()
        await asyncio.sleep(1)
        return await figures(rig)

    seen = run(ONE, scene, bot)
    assert seen.of("barge_in_stop_seconds_count") == 1
    assert 0 < seen.of("barge_in_stop_seconds_sum") < 1


def test_a_barge_in_waits_in_the_figures_too_where_the_carrier_does_not_read():
    async def bot(call):
        call.play(bytes(64_000), L16_8K)
        await asyncio.sleep(0.5)
        call.clear()
        await listener(call)

    async def scene(rig):
        await rig.join()
        (session,) = rig.board.calls
        real = session._link.socket
        read = asyncio.Event()

        class Full:
            """A socket whose other end begins to read when it is told to."""

            close = real.close

            def write(self, message):
                real.write(message)
                return read.is_set()

            async def drained(self):
                await read.wait()

        session._link.socket = Full()
        await asyncio.sleep(0.8)
        waiting = await figures(rig)
        read.set()
        await asyncio.sleep(0.1)
        return waiting, await figures(rig)

    waiting, seen = run(ONE, scene, bot)
    assert waiting.of("barge_in_stop_seconds_count") == 0
    assert seen.of("barge_in_stop_seconds_count") == 1


def test_a_socket_that_is_lost_and_comes_back_is_counted():
    async def scene(rig):
        info, socket, _ = await rig.join()
        socket.abort() if hasattr(socket, "abort") else await socket.close(1011)
        await asyncio.sleep(0.1)
        lost = await figures(rig)
        step = await rig.again(info)
        again = await rig.open(step)
        await rig.flush(again, rig.end(info, step))
        return lost, await figures(rig)

    lost, back = run(ONE, scene)
    assert lost.of("sockets_lost_total", carrier=ONE) == 1
    assert lost.of("calls", carrier=ONE, state="reattaching") == 1
    assert back.of("calls", carrier=ONE, state="active") == 1
    assert back.of("sockets_rejoined_total", carrier=ONE) == 1
    # It is one call, set up once.
    assert back.of("setup_seconds_count", carrier=ONE) == 1
    assert back.of("calls_abandoned_total", carrier=ONE) == 0


# --- REST ---


def test_requests_and_hang_ups_that_fail_are_counted_by_how():
    async def scene(rig):
        await rig.join()
        rig.refusing = 503
        await rig.bots[0].hang_up()
        await asyncio.sleep(0.1)
        ending = await figures(rig)
        await ended(rig)
        return ending, await figures(rig)

    ending, seen = run(ONE, scene)
    assert ending.of("calls", carrier=ONE, state="ending") == 1
    assert seen.of("rest_requests_total", carrier=ONE, outcome="server_error") >= 5
    assert seen.of("rest_requests_total", carrier=ONE, outcome="ok") == 0
    assert seen.of("hangups_total", carrier=ONE, outcome="failed") == 1
    assert seen.of("rest_request_seconds_count", carrier=ONE) >= 5


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Response(429), "rate_limited"),
        (Response(404), "client_error"),
        (NotSent("ConnectError"), "not_sent"),
        (TimeoutError("ReadTimeout"), "timeout"),
        (OSError("ReadError"), "connection_lost"),
    ],
)
def test_every_way_a_request_can_go_is_told_apart(answer, outcome):
    class Elsewhere(Rig):
        async def send(self, name, request):
            if isinstance(answer, Exception):
                raise answer
            return answer

    async def main():
        async with Elsewhere(ONE, metrics_keys=KEY) as rig:
            await rig.join()
            await rig.bots[0].hang_up()
            await ended(rig)
            return await figures(rig)

    seen = run_virtual(main())
    assert seen.of("rest_requests_total", carrier=ONE, outcome=outcome) >= 1
    assert seen.of("rest_requests_total", carrier=ONE, outcome="ok") == 0


def test_a_call_that_the_carrier_does_not_call_ended_is_unconfirmed():
    class Deaf(Rig):
        async def send(self, name, request):
            response = await super().send(name, request)
            self.exchange.add(self.bots[0].id)  # and so it is up again
            return response

    async def main():
        async with Deaf(ONE, metrics_keys=KEY) as rig:
            await rig.join()
            await rig.bots[0].hang_up()
            await ended(rig)
            return await figures(rig)

    seen = run_virtual(main())
    assert seen.of("hangups_total", carrier=ONE, outcome="unconfirmed") == 1
    assert seen.of("hangups_total", carrier=ONE, outcome="confirmed") == 0


# --- dials ---


def test_wishes_to_call_are_counted_when_they_are_settled():
    name = next(n for n in SIGNED if carriers.get(n).supports(Control.DIAL))

    async def scene(rig):
        rig.refusing = 400
        server = rig.app.state.trunkline
        failed = server.dial("+12025550123", from_="+12025550100", carrier=name)
        await failed.ended()
        rig.refusing = 0
        waiting = server.dial("+12025550123", from_="+12025550100", carrier=name)
        await asyncio.sleep(0.5)
        open_ = await figures(rig)
        await server.dialler.hang_up(waiting)
        return open_, await figures(rig)

    open_, seen = run(name, scene)
    assert open_.of("dials_open", carrier=name, state="placed") == 1
    assert seen.of("dials_open", carrier=name, state="placed") == 0
    assert seen.of("dials_total", carrier=name, outcome="failed") == 1
    assert seen.of("dials_total", carrier=name, outcome="cancelled") == 1


def test_a_caller_who_is_with_somebody_else_is_a_state_of_its_own():
    name = next(n for n in SIGNED if carriers.get(n).supports(Control.TRANSFER))

    async def bot(call):
        await call.transfer("+12025550177", from_="+12025550100")

    async def scene(rig):
        await rig.join()
        await asyncio.sleep(1)
        seen = await figures(rig)
        await rig.over(rig.bots[0].info)
        return seen

    assert run(name, scene, bot).of("calls", carrier=name, state="transferring") == 1


# --- in an app of yours ---


def test_a_registry_of_the_apps_own_takes_the_figures_and_is_left_as_it_was():
    async def main():
        registry = CollectorRegistry()
        send = Rig(ONE).send
        given = Settings(public_url=BASE, simulator_url="http://simulator.test")
        for _ in range(2):  # an app that is started again finds the place free
            app = create_app(listener, given, send=send, telemetry=Telemetry(registry=registry))
            async with InProcess(app) as network:
                seen = Figures(generate_latest(registry).decode())
                page = await network.request(Request(method="GET", url=f"{BASE}/metrics"))
            assert page.status == 404
            assert seen.of("calls", carrier=ONE, state="active") == 0
        return generate_latest(registry)

    assert run_virtual(main()) == b""
