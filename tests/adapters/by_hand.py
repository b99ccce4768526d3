"""A server as one writes it oneself around Pipecat's own transport: it answers a carrier's webhooks
and hands over the socket. No ``Call`` and no server of ours, only the carrier's own words."""

import asyncio

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import InputDTMFFrame
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from carriers.golden import example
from pipecat_clock import PipecatsTransport
from trunkline import carriers
from trunkline.carrier import Dismissal, Hooks, Offer, Purpose
from trunkline.events import DigitPressed, Offered, Started
from trunkline.pipecat import frame_serializer
from trunkline.rest import Rest
from trunkline.web import Request


class ByHand:
    """The server: ``app`` is to be called up, ``bot`` converses, one call at a time."""

    def __init__(self, carrier, base, send, bot, rate, transport=PipecatsTransport):
        self.carrier = example(carriers.get(carrier))
        self.base, self.send, self.bot, self.rate = base, send, bot, rate
        self.transport = transport
        self.app = Starlette(
            routes=[
                Route("/{carrier}/{purpose}", self.webhook, methods=["GET", "POST"]),
                WebSocketRoute("/{carrier}/media", self.media),
                WebSocketRoute("/{carrier}/media/{token}", self.media),
            ]
        )
        self.errands = set()

    async def webhook(self, request):
        purpose = Purpose(request.path_params["purpose"])
        query = request.url.query
        url = f"{self.base}{request.url.path}" + (query and f"?{query}")
        data = Request(
            method=request.method,
            url=url,
            headers=dict(request.headers),
            body=await request.body(),
        )
        self.carrier.verify(data)
        answer = None
        for notice in self.carrier.read_webhook(data, purpose):
            if isinstance(notice, Offered):
                answer = self.answer(notice)
            elif isinstance(notice, DigitPressed):
                key = InputDTMFFrame(KeypadEntry(notice.digit))
                await self.bot.worker.queue_frame(key)
        if answer is None:
            return Response(status_code=200)
        if answer.flow is not None:
            errand = asyncio.create_task(Rest(self.send).run(self.carrier.name, answer.flow()))
            self.errands.add(errand)
        given = answer.response
        return Response(given.body, given.status, dict(given.headers))

    def answer(self, offered):
        if offered.again:  # the stream is over, and so is the call
            return self.carrier.dismiss(offered.call, Dismissal.DONE)
        name = self.carrier.name
        offer = Offer(
            stream_url=f"{self.base.replace('https', 'wss')}/{name}/media",
            token="secret",
            hooks=Hooks(f"{self.base}/{name}"),
            audio=self.carrier.outbound[0],
        )
        return self.carrier.answer(offered.call, offer)

    async def media(self, socket):
        await socket.accept()
        stream, begun = self.carrier.bot_end(self.carrier.outbound[0]), []
        while not begun:
            message = await socket.receive()
            heard = stream.receive(message.get("text") or message["bytes"])
            begun = [event for event in heard if isinstance(event, Started)]
        # Where a carrier takes frames of 20 ms and nothing else, the two seconds of silence that
        # Pipecat ends with, in one message, are too long.
        whole = {"audio_out_end_silence_secs": 0} if self.carrier.frame.whole else {}
        params = FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_10ms_chunks=2,
            serializer=self.serializer(begun[0]),
            **whole,
        )
        await self.bot.converse(self.transport(socket, params), self.rate)

    def serializer(self, begun):
        kind = frame_serializer(self.carrier.name)
        known = {**self.carrier.given, "stream": begun.stream_id, "call": begun.call_id}
        ids = {name: known[means] for name, means in kind.takes.meanings.items() if means in known}
        return kind(**ids, params=kind.InputParams(), send=self.send)
