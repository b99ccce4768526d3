"""An ASGI application as an httpx transport that streams, which httpx's own does not."""

import asyncio

import httpx

from trunkline.sim.services.chat import Dropped


class Streaming(httpx.AsyncBaseTransport):
    """Requests to ``app``, in this event loop and its time; a body comes as it is sent."""

    def __init__(self, app):
        self.app = app

    async def handle_async_request(self, request):
        exchange = _Exchange(self.app, request, await request.aread())
        return await exchange.response()


class _Exchange(httpx.AsyncByteStream):
    def __init__(self, app, request, body):
        self._body = [{"type": "http.request", "body": body, "more_body": False}]
        self._sent = asyncio.Queue()
        self._gone = asyncio.Event()
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "query_string": request.url.query,
            "headers": request.headers.raw,
        }
        self._task = asyncio.get_running_loop().create_task(app(scope, self._receive, self._send))
        self._task.add_done_callback(lambda _: self._sent.put_nowait(None))

    async def response(self):
        start = await self._next()
        return httpx.Response(start["status"], headers=start["headers"], stream=self)

    async def __aiter__(self):
        more = True
        while more:
            part = await self._next()
            yield part["body"]
            more = part["more_body"]

    async def aclose(self):
        self._gone.set()
        await asyncio.wait([self._task])

    async def _next(self):
        message = await self._sent.get()
        if message is None:
            assert isinstance(self._task.exception(), Dropped), self._task
            raise httpx.RemoteProtocolError("peer closed connection without complete body")
        return message

    async def _receive(self):
        if self._body:
            return self._body.pop()
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        self._sent.put_nowait(message)
