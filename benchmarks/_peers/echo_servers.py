"""Bare WebSocket servers, which return each media message as it came.

python echo_servers.py PORT picows|picows-task|websockets|aiohttp|asgi|fastapi|…
"""

import asyncio
import sys

import uvloop

port, name = int(sys.argv[1]), sys.argv[2]
HOST = "127.0.0.1"


def is_media(text):
    """Whether it has audio: others a carrier would not understand."""
    return text.startswith('{"event":"media"')


async def picows_callback():
    import picows

    class Echo(picows.WSListener):
        def on_ws_frame(self, transport, frame):
            if frame.msg_type == picows.WSMsgType.TEXT:
                text = frame.get_payload_as_utf8_text()
                if is_media(text):
                    transport.send(picows.WSMsgType.TEXT, text)

    server = await picows.ws_create_server(lambda _: Echo(), HOST, port)
    await server.serve_forever()


async def picows_task():
    import picows

    async def hold(transport, queue):
        while True:
            text = await queue.get()
            if is_media(text):
                transport.send(picows.WSMsgType.TEXT, text)

    class Echo(picows.WSListener):
        def on_ws_connected(self, transport):
            self.queue = asyncio.Queue()
            self.task = asyncio.get_running_loop().create_task(hold(transport, self.queue))

        def on_ws_disconnected(self, transport):
            self.task.cancel()

        def on_ws_frame(self, transport, frame):
            if frame.msg_type == picows.WSMsgType.TEXT:
                self.queue.put_nowait(frame.get_payload_as_utf8_text())

    server = await picows.ws_create_server(lambda _: Echo(), HOST, port)
    await server.serve_forever()


async def websockets_server():
    from websockets.asyncio.server import serve

    async def hold(line):
        async for text in line:
            if is_media(text):
                await line.send(text)

    async with serve(hold, HOST, port, compression=None, ping_interval=None):
        await asyncio.Event().wait()


async def aiohttp_server():
    from aiohttp import web

    async def hold(request):
        line = web.WebSocketResponse(compress=False)
        await line.prepare(request)
        async for message in line:
            if message.type == web.WSMsgType.TEXT and is_media(message.data):
                await line.send_str(message.data)
        return line

    app = web.Application()
    app.router.add_get("/", hold)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    await asyncio.Event().wait()


async def asgi(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (said := await receive())["type"] == "websocket.receive":
        if is_media(said["text"]):
            await send({"type": "websocket.send", "text": said["text"]})


def fastapi_app():
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect

    app = FastAPI()

    @app.websocket("/")
    async def hold(line: WebSocket):
        await line.accept()
        try:
            while True:
                text = await line.receive_text()
                if is_media(text):
                    await line.send_text(text)
        except WebSocketDisconnect:
            pass

    return app


def under_uvicorn(app, ws):
    import uvicorn

    settings = {"ws_per_message_deflate": False, "ws_ping_interval": None, "lifespan": "off"}
    uvicorn.run(app, host=HOST, port=port, loop="uvloop", ws=ws, log_level="error", **settings)


def under_hypercorn():
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"{HOST}:{port}"]
    uvloop.run(serve(asgi, config))


LOOPS = {
    "picows": picows_callback,
    "picows-task": picows_task,
    "websockets": websockets_server,
    "aiohttp": aiohttp_server,
}
if name in LOOPS:
    uvloop.run(LOOPS[name]())
elif name == "hypercorn":
    under_hypercorn()
elif name == "fastapi":
    under_uvicorn(fastapi_app(), "websockets-sansio")
else:
    under_uvicorn(asgi, name)  # one of uvicorn's ways to hold a WebSocket
