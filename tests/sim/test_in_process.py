"""An ASGI application without sockets: HTTP, WebSocket, lifespan, and what misbehaves."""

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from trunkline.sim.clock import run_virtual
from trunkline.sim.deadline import Overdue
from trunkline.sim.in_process import WINDOW, InProcess
from trunkline.sim.network import NotConnected, Unreachable
from trunkline.sockets import SocketClosed
from trunkline.web import Request


def with_app(app, scene, **options):
    async def main():
        async with InProcess(app, **options) as network:
            result = await scene(network)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return run_virtual(main())


def get(path="/", **more):
    return Request(method="GET", url=f"https://bot.test{path}", **more)


def web(handler):
    return Starlette(routes=[Route("/{rest:path}", handler, methods=["GET", "POST"])])


def socket(handler):
    return Starlette(routes=[WebSocketRoute("/{rest:path}", handler)])


UPGRADE = Request(method="GET", url="wss://bot.test/media?x=1", headers={"x-token": "t"})


# --- HTTP ------------------------------------------------------------------------------------


def test_a_request_arrives_as_it_was_and_its_answer_comes_back():
    async def handler(request):
        body = (await request.body()).decode()
        line = f"{request.method} {request.url} {request.headers['x-a']} {body}"
        return PlainTextResponse(line, 201, {"X-B": "2"})

    async def scene(network):
        request = Request(
            method="POST", url="https://bot.test/a%2Fb?c=d%20e", headers={"x-a": "1"}, body=b"hi"
        )
        return await network.request(request)

    response = with_app(web(handler), scene)
    assert (response.status, response.headers["x-b"]) == (201, "2")
    assert response.body.startswith(b"POST https://bot.test/a")
    assert response.body.endswith(b"?c=d%20e 1 hi")


def test_an_answer_in_pieces_is_put_together():
    async def handler(request):
        async def pieces():
            yield b"one "
            await asyncio.sleep(1)
            yield b"two"

        return StreamingResponse(pieces())

    assert with_app(web(handler), lambda n: n.request(get())).body == b"one two"


def test_what_runs_after_the_answer_is_waited_for_at_the_end():
    done = []

    async def later():
        await asyncio.sleep(3)
        done.append(True)

    async def handler(request):
        return PlainTextResponse("ok", background=BackgroundTask(later))

    async def scene(network):
        response = await network.request(get())
        assert done == []
        return response

    assert with_app(web(handler), scene).status == 200
    assert done == [True]


def test_a_slow_answer_is_overdue_and_its_handler_cancelled():
    ended = []

    async def handler(request):
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(asyncio.get_running_loop().time())

    async def scene(network):
        with pytest.raises(Overdue, match="an answer to GET /slow"):
            await network.request(get("/slow"))

    with_app(web(handler), scene, timeout=2)
    assert ended == [pytest.approx(1002)]


def test_an_error_is_a_500_and_comes_up_again_at_the_end():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        raise KeyError("oops")

    async def scene(network):
        assert (await network.request(get())).status == 500

    with pytest.raises(ExceptionGroup) as caught:
        with_app(app, scene)
    assert isinstance(caught.value.exceptions[0], KeyError)


def test_an_application_that_just_ends_has_not_answered():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError

    async def scene(network):
        with pytest.raises(Unreachable, match="without an answer"):
            await network.request(get())

    with_app(app, scene)


def test_the_client_is_gone_once_it_has_its_answer():
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        seen.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})
        await send({"type": "http.response.body", "body": b"too late"})
        seen.append((await receive())["type"])

    assert with_app(app, lambda n: n.request(get())).body == b""
    assert seen == ["http.request", "http.disconnect"]


def test_a_cancelled_application_cancels_the_request():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    async def scene(network):
        with pytest.raises(asyncio.CancelledError):
            await network.request(get())

    with_app(app, scene)


# --- lifespan --------------------------------------------------------------------------------


def test_start_up_and_shutdown_frame_everything_and_share_their_state():
    order = []

    async def app(scope, receive, send):
        if scope["type"] != "lifespan":
            order.append(scope["state"]["x"])
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body"})
            return
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["x"] = "served"
        order.append("up")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        order.append("down")
        await send({"type": "lifespan.shutdown.complete"})

    with_app(app, lambda n: n.request(get()))
    assert order == ["up", "served", "down"]


def test_a_start_up_that_fails_is_an_error():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def scene(network):
        raise AssertionError("never reached")

    with pytest.raises(Unreachable, match="no database"):
        with_app(app, scene)


def test_an_error_of_the_test_itself_is_not_hidden_by_the_applications():
    async def app(scope, receive, send):
        raise KeyError("oops")

    async def scene(network):
        await network.request(get())
        raise ValueError("the test's own")

    with pytest.raises(ValueError, match="the test's own"):
        with_app(app, scene)


def test_it_can_be_used_without_a_lifespan():
    async def handler(request):
        return PlainTextResponse("ok")

    async def main():
        network = InProcess(web(handler))
        assert (await network.request(get())).body == b"ok"
        await network.aclose()

    run_virtual(main())


# --- WebSocket -------------------------------------------------------------------------------


def test_messages_travel_both_ways_and_the_upgrade_is_seen():
    async def handler(ws):
        assert (str(ws.url), ws.headers["x-token"]) == ("wss://bot.test/media?x=1", "t")
        await ws.accept()
        await ws.send_text(await ws.receive_text() + "!")
        await ws.send_bytes(await ws.receive_bytes() + b"!")
        await ws.close(4000, "enough")

    async def scene(network):
        connection = await network.connect(UPGRADE)
        await connection.send("hello")
        await connection.send(b"bytes")
        got = [await connection.receive(), await connection.receive()]
        with pytest.raises(SocketClosed) as closed:
            await connection.receive()
        with pytest.raises(SocketClosed):
            await connection.send("more")
        await connection.close()
        return got, closed.value.code, closed.value.reason

    assert with_app(socket(handler), scene) == (["hello!", b"bytes!"], 4000, "enough")


@pytest.mark.parametrize(("how", "code"), [("close", 1001), ("abort", 1006)])
def test_the_clients_leaving_is_seen(how, code):
    seen = []

    async def handler(ws):
        await ws.accept()
        await ws.send_text("ready")
        try:
            while True:
                seen.append(await ws.receive_text())
        except WebSocketDisconnect as gone:
            seen.append(gone.code)
        with pytest.raises(WebSocketDisconnect):
            await ws.send_text("anybody there?")

    async def scene(network):
        connection = await network.connect(UPGRADE)
        await connection.receive()
        await connection.send("last words")
        if how == "close":
            await connection.close(1001, "bye")
        else:
            connection.abort()
        with pytest.raises(SocketClosed):
            await connection.receive()

    with_app(socket(handler), scene)
    # An orderly end delivers what was sent before it; a torn connection does not.
    assert seen == (["last words", code] if how == "close" else [code])


@pytest.mark.parametrize("way", ["close", "denial", "return", "raise"])
def test_a_refusal_has_a_status(way):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        assert (await receive())["type"] == "websocket.connect"
        if way == "close":
            await send({"type": "websocket.close"})
        elif way == "denial":
            await send({"type": "websocket.http.response.start", "status": 429, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"", "more_body": True})
            await send({"type": "websocket.http.response.body", "body": b"busy"})
        elif way == "raise":
            raise KeyError

    async def scene(network):
        with pytest.raises(NotConnected) as refused:
            await network.connect(UPGRADE)
        return refused.value.status

    if way == "raise":
        with pytest.raises(ExceptionGroup):
            with_app(app, scene)
    else:
        assert with_app(app, scene) == {"close": 403, "denial": 429, "return": 500}[way]


def test_a_handshake_that_takes_for_ever_is_overdue():
    async def handler(ws):
        with pytest.raises(WebSocketDisconnect):
            await ws.receive_text()  # connect is not answered; then the client is gone

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        await receive()
        assert (await receive())["type"] == "websocket.disconnect"

    async def scene(network):
        with pytest.raises(Overdue, match="handshake"):
            await network.connect(UPGRADE)

    with_app(app, scene, timeout=1)


@pytest.mark.parametrize(("error", "code"), [(None, 1000), (KeyError, 1011)])
def test_a_handler_that_ends_closes_the_socket(error, code):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        await send({"type": "websocket.accept"})
        if error:
            raise error

    async def scene(network):
        connection = await network.connect(UPGRADE)
        with pytest.raises(SocketClosed) as closed:
            await connection.receive()
        assert closed.value.code == code

    if error:
        with pytest.raises(ExceptionGroup):
            with_app(app, scene)
    else:
        with_app(app, scene)


def test_a_client_that_does_not_read_holds_the_sender_up():
    sent = []

    async def handler(ws):
        await ws.accept()
        try:
            for n in range(10):
                await ws.send_text("x" * (WINDOW // 4))
                sent.append(n)
        except WebSocketDisconnect:
            sent.append("gone")

    async def scene(network):
        connection = await network.connect(UPGRADE)
        await asyncio.sleep(100)
        assert sent == [0, 1, 2, 3]
        await connection.receive()
        await asyncio.sleep(1)
        assert sent == [0, 1, 2, 3, 4]
        connection.abort()
        await asyncio.sleep(1)

    with_app(socket(handler), scene)
    assert sent[-1] == "gone"


def test_a_handler_that_never_ends_is_named_and_cancelled():
    async def handler(ws):
        await ws.accept()
        await asyncio.sleep(10_000)

    async def scene(network):
        await (await network.connect(UPGRADE)).close()

    with pytest.raises(Overdue, match="1 connections to end"):
        with_app(socket(handler), scene, timeout=5)
