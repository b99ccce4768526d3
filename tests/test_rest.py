"""How flows are carried out: against a scripted carrier, in virtual time."""

import asyncio
import http.server
import threading

import pytest

from trunkline.errors import CarrierError, OutcomeUnknown
from trunkline.events import CallInfo, CallState
from trunkline.rest import HttpSender, NotSent, Rest
from trunkline.sim.clock import run_virtual
from trunkline.web import Request, Response

REQUEST = Request.get("https://api.example/x")
ONCE = Request(method="POST", url="https://api.example/x", repeatable=False)


class Scripted:
    """A sender that answers, fails or stalls as it is told, and keeps the times it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.times = []

    async def __call__(self, carrier, request):
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0)
        if answer == "stall":
            await asyncio.sleep(3600)
        if isinstance(answer, Exception):
            raise answer
        return Response(answer) if isinstance(answer, int) else answer


def flow(*requests):
    statuses = []
    for request in requests or (REQUEST,):
        response = yield request
        statuses.append(response.status)
    return statuses


def run(sender, *requests, **options):
    return run_virtual(Rest(sender, **options).run("acme", flow(*requests)))


def test_a_flow_is_sent_each_answer_and_returns_what_it_learned():
    assert run(Scripted(200, 404), REQUEST, ONCE) == [200, 404]


def test_a_request_waits_as_long_as_it_says():
    sender = Scripted(422, 200)
    later = Request(method="POST", url="https://api.example/x", after=0.5)
    assert run(sender, REQUEST, later) == [422, 200]
    assert sender.times[1] - sender.times[0] == pytest.approx(0.5)


@pytest.mark.parametrize("fault", [500, 502, 503, 504, 429, OSError("reset"), TimeoutError()])
def test_a_repeatable_request_is_repeated_with_growing_pauses(fault):
    sender = Scripted(fault, fault, fault, 200)
    assert run(sender) == [200]
    pauses = [b - a for a, b in zip(sender.times, sender.times[1:], strict=False)]
    for pause, longest in zip(pauses, (0.2, 0.4, 0.8), strict=True):
        assert longest / 2 <= pause <= longest


def test_retry_after_is_obeyed():
    sender = Scripted(Response(429, {"retry-after": "7"}), 200)
    assert run(sender) == [200]
    assert sender.times[1] - sender.times[0] == pytest.approx(7)


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2026 07:28:00 GMT", "", "²"])
def test_a_retry_after_that_is_no_number_is_not_obeyed(value):
    sender = Scripted(Response(503, {"retry-after": value}), 200)
    assert run(sender) == [200]
    assert sender.times[1] - sender.times[0] <= 0.2


def test_a_fault_that_stays_is_handed_to_the_flow_after_five_tries():
    sender = Scripted(*[503] * 5)
    assert run(sender) == [503]
    assert len(sender.times) == 5


def test_no_answer_at_all_is_an_error_that_says_try_again():
    with pytest.raises(CarrierError, match="no answer to GET") as error:
        run(Scripted(*[OSError("reset")] * 5))
    assert error.value.retryable


def test_the_whole_flow_has_one_deadline():
    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(CarrierError, match="timed out"):
            await Rest(Scripted("stall"), deadline_s=4.0).run("acme", flow())
        assert loop.time() - began == pytest.approx(4.0)

    run_virtual(main())


def test_what_must_not_be_repeated_is_not_when_it_may_have_been_done():
    for fault in (OSError("reset"), TimeoutError()):
        sender = Scripted(fault, 200)
        with pytest.raises(OutcomeUnknown, match="may have been carried out"):
            run(sender, ONCE)
        assert len(sender.times) == 1
    for status in (500, 503):
        assert run(Scripted(status, 200), ONCE) == [status]


def test_what_must_not_be_repeated_is_when_it_certainly_was_not_done():
    assert run(Scripted(429, NotSent("refused"), 201), ONCE) == [201]


def test_a_flow_may_go_on_after_an_error():
    def stubborn():
        try:
            yield ONCE
        except OutcomeUnknown:
            response = yield REQUEST
            return response.status

    assert run_virtual(Rest(Scripted(OSError(), 200)).run("acme", stubborn())) == 200


class Dying:
    """A carrier whose calls take some questions to be over."""

    name = "acme"
    title = "Acme"

    def __init__(self, *states, tells=True):
        self.states = list(states)
        self.tells = tells

    def supports(self, control):
        return self.tells

    def hang_up(self, call):
        yield REQUEST

    def state(self, call):
        yield REQUEST
        return self.states.pop(0)


CALL = CallInfo(carrier="acme", call_id="c1")


def test_hanging_up_is_verified_by_asking():
    rest = Rest(Scripted(*[200] * 10))
    dying = Dying(CallState.ACTIVE, CallState.ACTIVE, CallState.ENDED)
    assert run_virtual(rest.end_call(dying, CALL)) is True
    assert run_virtual(Rest(Scripted(200)).end_call(Dying(tells=False), CALL)) is False
    assert run_virtual(rest.end_call(Dying(*[CallState.ACTIVE] * 5), CALL)) is False


@pytest.fixture
def web_server():
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append((self.path, self.headers["X-Thing"], body))
            self.send_response(201)
            self.send_header("X-Answer", "yes")
            self.end_headers()
            self.wfile.write(b"made")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1], seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("simulated", [False, True])
def test_http_carries_a_request_to_its_host_or_to_the_simulator(web_server, simulated):
    port, seen = web_server

    async def main():
        url = f"http://127.0.0.1:{port}"
        sender = HttpSender(url + "/" if simulated else "")
        target = "https://api.example/v1/calls?x=%3A" if simulated else f"{url}/v1/calls?x=%3A"
        request = Request(method="POST", url=target, headers={"x-thing": "1"}, body=b"hi")
        answer = await sender("acme", request)
        await sender.close()
        return answer

    answer = asyncio.run(main())
    assert (answer.status, answer.body, answer.headers["x-answer"]) == (201, b"made", "yes")
    prefix = "/acme/api.example" if simulated else ""
    assert seen == [(prefix + "/v1/calls?x=%3A", "1", b"hi")]


def test_http_tells_what_never_left_from_what_got_no_answer():
    async def main():
        async def hang_up(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        async def stay_silent(reader, writer):
            await reader.read()
            writer.close()
            await writer.wait_closed()

        sender = HttpSender(timeout_s=0.3)
        for behaviour, error in ((hang_up, OSError), (stay_silent, TimeoutError)):
            server = await asyncio.start_server(behaviour, "127.0.0.1", 0)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            with pytest.raises(error) as caught:
                await sender("acme", Request.get(url))
            assert not isinstance(caught.value, NotSent)
            server.close()
        with pytest.raises(NotSent):
            await sender("acme", Request.get(url))
        await sender.close()

    asyncio.run(main())


class Reluctant(Dying):
    """A carrier that will not end a call yet."""

    def __init__(self, refusals, *, retryable):
        super().__init__(tells=False)
        self.refusals = refusals
        self.retryable = retryable
        self.asked = 0

    def hang_up(self, call):
        yield REQUEST
        self.asked += 1
        if self.asked <= self.refusals:
            raise CarrierError("not yet", status=409, retryable=self.retryable)


def test_a_call_that_cannot_be_ended_yet_is_asked_to_end_again():
    patient = Reluctant(3, retryable=True)
    run_virtual(Rest(Scripted(*[200] * 9)).end_call(patient, CALL))
    assert patient.asked == 4


@pytest.mark.parametrize(("refusals", "retryable", "asked"), [(9, True, 5), (1, False, 1)])
def test_a_hang_up_that_is_refused_for_good_is_an_error(refusals, retryable, asked):
    carrier = Reluctant(refusals, retryable=retryable)
    with pytest.raises(CarrierError, match="not yet"):
        run_virtual(Rest(Scripted(*[200] * 9)).end_call(carrier, CALL))
    assert carrier.asked == asked
