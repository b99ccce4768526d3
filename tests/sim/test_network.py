"""Real sockets, on the loopback interface: the same scenes, against a real web server."""

import asyncio
import socket

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from trunkline.sim.deadline import Overdue
from trunkline.sim.line import How
from trunkline.sim.network import NotConnected, RealNetwork, Unreachable
from trunkline.sim.phone import Phone
from trunkline.sim.platform_app import serve
from trunkline.sockets import SocketClosed
from trunkline.web import Request

from .acme import STREAM, Acme, Server, echo, tone


def real(scene, app, **options):
    """Run ``scene(network, url)`` with ``app`` served for real."""

    async def main():
        async with serve(app) as url, RealNetwork(**options) as network:
            return await scene(network, url)

    return asyncio.run(main())


async def page(request):
    if request.path_params["rest"] == "slow":
        while not await request.is_disconnected():
            await asyncio.sleep(0.01)
    return PlainTextResponse(f"{request.method} {request.url} {request.headers.get('x-a')}", 201)


async def talk(ws):
    if ws.path_params["rest"] == "refused":
        await ws.close()
        return
    await ws.accept()
    try:
        while True:
            text = await ws.receive_text()
            if text == "close":
                await ws.close(4001, "as you wish")
                return
            await ws.send_text(text + "!")
    except WebSocketDisconnect as gone:
        GONE.append(gone.code)


GONE = []
APP = Starlette(
    routes=[
        Route("/{rest:path}", page, methods=["GET", "POST"]),
        WebSocketRoute("/{rest:path}", talk),
    ]
)


def upgrade(url, path="/ok"):
    return Request(method="GET", url=url.replace("http", "ws") + path, headers={"x-a": "1"})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_requests():
    async def scene(network, url):
        request = Request(method="POST", url=f"{url}/a?b=c", headers={"x-a": "1"}, body=b"x")
        response = await network.request(request)
        assert response.body.decode() == f"POST {url}/a?b=c 1"
        assert response.status == 201
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1"):
            await network.request(Request.get(f"http://127.0.0.1:{free_port()}/secret"))

    real(scene, APP)


def test_a_slow_server_is_overdue():
    async def scene(network, url):
        with pytest.raises(Overdue, match="an answer from http://127"):
            await network.request(Request.get(f"{url}/slow"))

    real(scene, APP, timeout=0.2)


def test_sockets():
    async def scene(network, url):
        connection = await network.connect(upgrade(url))
        await connection.send("hello")
        assert await connection.receive() == "hello!"
        await connection.send("close")
        with pytest.raises(SocketClosed) as closed:
            await connection.receive()
        assert (closed.value.code, closed.value.reason) == (4001, "as you wish")
        with pytest.raises(SocketClosed):
            await connection.send("more")

        orderly = await network.connect(upgrade(url))
        await orderly.close(1001)
        torn = await network.connect(upgrade(url))
        torn.abort()
        with pytest.raises(SocketClosed) as closed:
            await torn.receive()
        assert closed.value.code == 1006

    GONE.clear()
    real(scene, APP)
    # Servers differ in what they call a torn connection: RFC 6455 has 1005 and 1006 for it.
    assert sorted(GONE) in ([1001, 1005], [1001, 1006])


def test_refusals_say_why():
    async def scene(network, url):
        with pytest.raises(NotConnected) as refused:
            await network.connect(upgrade(url, "/refused"))
        assert refused.value.status == 403
        with pytest.raises(NotConnected) as refused:
            await network.connect(upgrade(f"http://127.0.0.1:{free_port()}"))
        assert refused.value.status == 0

    real(scene, APP)


def test_a_handshake_nobody_answers_is_overdue():
    async def scene(network, url):
        with socket.socket() as listener:  # takes connections, and says nothing
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            port = listener.getsockname()[1]
            with pytest.raises(Overdue, match="the WebSocket handshake with ws://127"):
                await network.connect(upgrade(f"http://127.0.0.1:{port}"))

    real(scene, APP, timeout=0.2)


def test_a_public_url_can_be_tested_where_the_server_stands():
    """The server sees its public name, for signatures; the packets go to the loopback."""

    async def main():
        async with serve(APP) as url, RealNetwork(via=url) as network:
            response = await network.request(Request.get("https://bot.example.com/a?b"))
            assert response.body.decode() == "GET http://bot.example.com/a?b None"
            connection = await network.connect(
                Request(method="GET", url="wss://bot.example.com/media")
            )
            await connection.send("x")
            assert await connection.receive() == "x!"
            await connection.close()

    asyncio.run(main())


def test_a_whole_call_over_real_sockets_in_real_time():
    server = Server(STREAM, bot=echo)
    server.base = "https://bot.test"

    class Plain:
        """The hand-written server signs for ``https`` and ``wss``, and is reached in the clear."""

        async def __call__(self, scope, receive, send):
            secure = {"http": "https", "ws": "wss"}
            if scope["type"] != "lifespan":
                scope = {**scope, "scheme": secure[scope["scheme"]]}
            await server(scope, receive, send)

    async def main():
        async with (
            serve(Plain()) as url,
            RealNetwork(via=url) as network,
            Phone(Acme, network, base=server.base) as phone,
        ):
            call = await phone.call()
            await call.say(tone(300))
            await call.wait_for_silence(200)
            await call.hang_up()
            return call

    call = asyncio.run(main())
    assert call.how is How.CALLER
    assert max(call.heard) > 0
    assert server.kinds() == ["Offered", "Ended"]
