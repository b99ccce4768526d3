"""The simulated REST API, reached over HTTP as a server in another process does."""

import asyncio

import httpx
import pytest

from trunkline.events import CallState
from trunkline.sim.clock import run_virtual
from trunkline.sim.exchange import Exchange
from trunkline.sim.faults import Faults
from trunkline.sim.in_process import InProcess
from trunkline.sim.line import How
from trunkline.sim.network import NotConnected
from trunkline.sim.phone import Phone
from trunkline.sim.platform_app import platform_app, serve
from trunkline.web import Request

from .acme import STREAM, Acme, Server, order


def moved(request, url):
    """The request as a server sends it that was told where the simulator is."""
    return Request(
        method=request.method,
        url=f"{url}/acme/{request.url.partition('://')[2]}",
        headers=request.headers,
        body=request.body,
    )


def in_virtual_time(scene, **options):
    async def main():
        async with (
            InProcess(Server(STREAM)) as network,
            Phone(Acme, network, base=Server.base, **options) as phone,
        ):
            rest = InProcess(platform_app(phone.exchange), timeout=5)
            try:
                return await scene(phone, rest)
            finally:
                await rest.aclose()

    return run_virtual(main())


def test_a_request_means_what_it_said_to_the_carriers_own_host():
    async def scene(phone, rest):
        call = await phone.call()
        response = await rest.request(moved(order("hangup", id=call.id), "http://sim"))
        assert response.json()["state"] == "ended"
        await call.ended(1)
        return call.how, phone.exchange.requests[0].path

    assert in_virtual_time(scene) == (How.REST, "/v1/hangup")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/acme/api.acme.test/v1/state?x=%20", 404), ("/nobody/api/x", 404), ("/acme", 404)],
)
def test_what_leads_nowhere(path, status):
    async def scene(phone, rest):
        headers = order("state").headers
        request = Request.of_json("POST", f"http://sim{path}", {"id": "nobody"}, headers)
        assert (await rest.request(request)).status == status

    in_virtual_time(scene)


def test_ids_stay_quoted_and_queries_stay():
    seen = []

    class Curious(Acme):
        def platform(self, request):
            seen.append(request.url)
            return super().platform(request)

    async def main():
        rest = InProcess(platform_app(Exchange(Curious)))
        url = "http://sim/acme/api.acme.test/v1/calls/a%3Ab%2Fc?d=e%20f"
        assert (await rest.request(Request.get(url))).status == 401

    run_virtual(main())
    assert seen == ["https://api.acme.test/v1/calls/a%3Ab%2Fc?d=e%20f"]


def test_a_body_beyond_reason_is_refused():
    async def scene(phone, rest):
        big = Request(method="POST", url="http://sim/acme/h/p", body=b"x" * 2_000_000)
        assert (await rest.request(big)).status == 413

    in_virtual_time(scene)


def test_an_answer_that_is_lost_never_comes():
    async def scene(phone, rest):
        call = await phone.call()
        with pytest.raises(TimeoutError):
            await rest.request(moved(order("hangup", id=call.id), "http://sim"))
        assert call.state is CallState.ENDED

    in_virtual_time(scene, faults=Faults(rest_lost=1.0))


def test_served_for_real_on_the_loopback():
    async def main():
        app = platform_app(Exchange(Acme))
        async with serve(app) as url, httpx.AsyncClient() as client:
            assert url.startswith("http://127.0.0.1:")
            request = moved(order("state", id="x"), url)
            answer = await client.request(
                request.method, request.url, headers=dict(request.headers), content=request.body
            )
            port = int(url.rpartition(":")[2])
            with pytest.raises(OSError, match="in use"):
                async with serve(app, port):
                    raise AssertionError("never reached")
            return answer.status_code

    assert asyncio.run(main()) == 404


def test_it_answers_http_and_nothing_else():
    async def main():
        rest = InProcess(platform_app(Exchange(Acme)))
        with pytest.raises(NotConnected) as refused:
            await rest.connect(Request.get("ws://sim/acme/h/p"))
        return refused.value.status

    assert run_virtual(main()) == 403
