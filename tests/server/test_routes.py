"""The routes, in an app of ours and in somebody else's."""

import asyncio

import pytest
from fastapi import FastAPI

import trunkline
from rig import BASE, Rig, listener, settings
from trunkline import carriers
from trunkline.bots import echo
from trunkline.carrier import Control, HangUpLeg, Purpose
from trunkline.errors import ConfigError
from trunkline.events import Offered
from trunkline.media.formats import L16_8K
from trunkline.server import create_app, router
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone
from trunkline.web import Request

NAME = next(n for n in carriers.names() if carriers.get(n).supports(Control.HANG_UP))


async def say_hello(app, base):
    """One call to a server, with an echo; what its caller heard."""
    phone = app.phone
    async with InProcess(app) as phone.network, phone:
        call = await phone.call(base)
        await call.say(bytes(range(256)) * 32, L16_8K)
        await asyncio.sleep(0.5)
        await call.hang_up()
        assert (await phone.network.request(Request.get("https://x.example/own"))).body == b'"own"'
        return call.heard


def with_phone(app, phone):
    app.phone = phone
    return app


def test_they_can_be_part_of_another_app_below_a_path():
    phone = Phone(NAME)
    app = FastAPI()
    own = settings(public_url=f"{BASE}/voice/v1")
    app.include_router(router(echo.bot, own, send=phone.send), prefix="/voice/v1")

    @app.get("/own")
    async def its_own():
        return "own"

    heard = run_virtual(say_hello(with_phone(app, phone), f"{BASE}/voice/v1"))
    assert any(heard)


def test_paths_of_the_app_that_look_like_a_carriers_stay_the_apps():
    async def main():
        async with Rig(NAME, api_keys="a-key-of-this-test") as rig:

            @rig.app.get("/own/status")
            async def its_own():
                return "own"

            def asked(method, path):
                headers = {"authorization": "Bearer a-key-of-this-test"}
                return Request(method=method, url=BASE + path, headers=headers)

            return [
                (await rig.network.request(asked(*one))).status
                for one in [
                    ("GET", "/own/status"),
                    ("GET", "/calls/status"),
                    ("DELETE", f"/{NAME}/answer"),
                    ("GET", "/"),
                ]
            ], (await rig.network.request(asked("GET", "/calls/status"))).body

    statuses, problem = run_virtual(main())
    assert statuses == [200, 404, 404, 404]
    assert b"no call is known by this id" in problem


def test_an_app_below_a_root_path_finds_its_doors():
    async def main():
        async with Rig(NAME) as rig:
            url = rig.hooks.url(Purpose.ANSWER)
            request = rig.carrier.sign(rig.carrier.write_webhook(Offered(rig.info()), url))
            return await knock(rig.app, request, [request.body], root_path="/voice")

    assert run_virtual(main())[0] == ("http.response.start", 200)


async def knock(app, request, pieces, root_path=""):
    """What a webhook is answered with that comes in ``pieces``; ``None``: the carrier is gone.

    An empty last piece never comes.
    """
    said = []
    last = len(pieces) - 1
    coming = iter(
        {"type": "http.request", "body": piece, "more_body": number < last}
        if piece is not None
        else {"type": "http.disconnect"}
        for number, piece in enumerate(pieces)
    )

    async def receive():
        piece = next(coming)
        if piece.get("body") == b"":
            await asyncio.Event().wait()
        return piece

    async def send(message):
        said.append((message["type"], message.get("status")))

    headers = [(k.encode(), v.encode()) for k, v in request.headers.items()]
    scope = {"type": "http", "method": "POST", "headers": headers, "scheme": "https"}
    where = {"path": root_path + request.path, "root_path": root_path, "query_string": b""}
    await app(scope | where, receive, send)
    return said


def test_a_webhook_whose_body_does_not_come_to_its_end_is_given_up():
    async def main():
        async with Rig(NAME) as rig:
            url = rig.hooks.url(Purpose.ANSWER)
            request = rig.carrier.sign(rig.carrier.write_webhook(Offered(rig.info()), url))
            begun = asyncio.get_running_loop().time()
            said = await knock(rig.app, request, [request.body[:5], b""])
            return said[0], asyncio.get_running_loop().time() - begun

    assert run_virtual(main()) == (("http.response.start", 408), 10.0)


def test_the_app_is_ready_until_it_drains():
    async def main():
        async with Rig(NAME) as rig:

            async def get(path):
                answer = await rig.network.request(Request.get(BASE + path))
                return answer.status, answer.body

            alive, ready = await get("/health/live"), await get("/health/ready")
            rig.board.draining = True
            return alive, ready, await get("/health/ready")

    alive, ready, draining = run_virtual(main())
    assert alive == (200, b"alive")
    assert ready[0] == 200
    assert b'"ready":true' in ready[1]
    assert NAME.encode() in ready[1]
    assert draining[0] == 503


@pytest.mark.parametrize("stays", [True, False])
def test_a_webhook_that_comes_in_pieces_is_answered_once_it_is_whole(stays):
    async def main():
        async with Rig(NAME) as rig:
            url = rig.hooks.url(Purpose.ANSWER)
            request = rig.carrier.sign(rig.carrier.write_webhook(Offered(rig.info()), url))
            pieces = [request.body[:10], request.body[10:] if stays else None]
            return await knock(rig.app, request, pieces)

    answer = [("http.response.start", 200), ("http.response.body", None)]
    assert run_virtual(main()) == (answer if stays else [])


def test_calls_are_hung_up_when_the_app_stops():
    async def main():
        async with Rig(NAME) as rig:
            await rig.join()
            call = rig.bots[0]
            assert call.ended is None
            await rig.app.state.trunkline.stop()
            return call.ended, rig.exchange.commands

    ended, commands = run_virtual(main())
    assert ended.why == "drain"
    assert [type(command) for command in commands].count(HangUpLeg) == 1


def test_a_bot_is_warmed_up_before_the_first_request():
    order = []

    class Bot:
        async def warm_up(self):
            order.append("warm")

        async def __call__(self, call):
            order.append("call")

    async def main():
        phone = Phone(NAME, base=BASE)
        app = create_app(Bot(), settings(), send=phone.send)
        async with InProcess(app) as phone.network, phone:
            call = await phone.call()
            await call.ended()

    run_virtual(main())
    assert order == ["warm", "call"]


def test_without_a_public_url_there_is_no_server():
    with pytest.raises(ConfigError, match="PUBLIC_URL"):
        create_app(listener, settings(public_url=""))


def test_what_people_import_is_there():
    for name in trunkline.__all__:
        assert getattr(trunkline, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = trunkline.nothing_like_it
