"""Webhooks as they leave: signed last, on time, as often as asked, by GET where told to."""

import asyncio

import pytest

from trunkline.errors import BadSignature, Unsupported
from trunkline.events import CallInfo, MachineDetected, Offered
from trunkline.sim.clock import run_virtual
from trunkline.sim.deadline import Overdue
from trunkline.sim.faults import Faults, Gremlin
from trunkline.sim.webhooks import ANSWER_S, Errands, Webhooks
from trunkline.web import Request, Response

from .acme import Acme

NOTICE = Offered(CallInfo(carrier="acme", call_id="c1"))
URL = "https://bot.test/hook?a=b"


class Post:
    """A network that keeps what was sent, and answers when it is told to."""

    def __init__(self, takes=0.0):
        self.sent = []
        self.takes = takes

    async def request(self, request):
        self.sent.append((asyncio.get_running_loop().time() - 1000, request))
        await asyncio.sleep(self.takes)
        return Response(200, {}, b"answer %d" % len(self.sent))

    async def connect(self, upgrade):
        raise NotImplementedError


def send(network, faults=None, notice=NOTICE, method="POST", carrier=Acme, signer=None):
    async def main():
        acme = carrier({"account": "AC1", "key": "sesame"})
        errands = Errands()
        hooks = Webhooks(acme, signer or acme, network, errands)
        begun = asyncio.get_running_loop().time()
        try:
            response = await hooks.send(notice, URL, Gremlin(faults or Faults()), method=method)
        finally:
            await errands.cancel()
        return response, asyncio.get_running_loop().time() - begun

    return run_virtual(main())


def test_it_is_signed_and_answered():
    network = Post(takes=2)
    response, took = send(network)
    ((at, request),) = network.sent
    assert (request.method, request.url, at) == ("POST", URL, 0)
    assert request.json()["kind"] == "Offered"
    Acme({"account": "AC1", "key": "sesame"}).verify(request)
    assert (response.body, took) == (b"answer 1", pytest.approx(2))


def test_a_forger_signs_otherwise():
    network = Post()
    send(network, signer=Acme({"account": "AC1", "key": "guess"}))
    with pytest.raises(BadSignature):
        Acme({"account": "AC1", "key": "sesame"}).verify(network.sent[0][1])


def test_by_get_the_fields_are_in_the_query_and_under_the_signature():
    network = Post()
    send(network, method="GET")
    request = network.sent[0][1]
    assert (request.method, request.body) == ("GET", b"")
    assert request.query == [("a", "b"), ("kind", "Offered")]
    Acme({"account": "AC1", "key": "sesame"}).verify(request)


def test_by_get_a_form_is_the_query():
    class Formal(Acme):
        def write_webhook(self, notice, url):
            return Request.of_form(url.partition("?")[0], {"id": notice.call.call_id})

    network = Post()
    send(network, method="GET", carrier=Formal)
    assert network.sent[0][1].url == "https://bot.test/hook?id=c1"


def test_it_has_fifteen_seconds():
    with pytest.raises(Overdue, match="waited 15 s in vain for the answer to POST /hook"):
        send(Post(takes=ANSWER_S + 1))


def test_it_may_be_sent_several_times_and_be_late():
    network = Post()
    _, took = send(network, Faults(repeat_webhook=3, delay_ms=100))
    assert [round(at, 3) for at, _ in network.sent] == [0.1] * 3
    assert len({request.body for _, request in network.sent}) == 1
    assert took == pytest.approx(0.2)


def test_what_a_carrier_does_not_tell():
    with pytest.raises(Unsupported):
        send(Post(), notice=MachineDetected("c1", "human"))


def test_errands_end_when_they_are_told_to():
    async def main():
        errands, ended = Errands(), []

        async def work():
            try:
                await asyncio.sleep(100)
            finally:
                ended.append(True)

        errands.start(work(), "work")
        await asyncio.sleep(1)
        await errands.cancel()
        return ended, asyncio.all_tasks() - {asyncio.current_task()}

    assert run_virtual(main()) == ([True], set())
