"""A server in this process and a hand on each of its doors: what attacks and odd calls are made of.

Where a whole simulated call would do, ``trunkline.sim.phone`` is better.
"""

from __future__ import annotations

import asyncio
import itertools

from exchange import Exchange
from trunkline import carriers
from trunkline.carrier import Hangup, HangUpLeg, Hooks, Instruct, OpenStream, Purpose
from trunkline.config import Settings
from trunkline.events import CallInfo, Ended, EndReason, Offered, Started, Why
from trunkline.server import create_app
from trunkline.sim.in_process import InProcess
from trunkline.web import Request, Response

BASE = "https://bot.example.com"
_numbers = itertools.count(1)


def settings(**given):
    return Settings(**{"public_url": BASE, "simulator_url": "http://simulator.test", **given})


async def listener(call):
    """A bot that only listens."""
    async for _ in call:
        pass


class Rig:
    """One carrier's hand on a server: webhooks and sockets, as raw as wanted."""

    def __init__(self, name, bot=listener, door=InProcess, **given):
        self.door = door
        self.kind = carriers.get(name)
        self.bots = []
        self.offered = {}

        async def counted(call):
            self.bots.append(call)
            await bot(call)

        vars(counted)["ringing"] = getattr(bot, "ringing", None)
        self.clock_now = 1_700_000_000.0
        examples = self.kind.examples()
        self.carrier = self.kind(examples, clock=self.clock)
        self.exchange = Exchange(self.carrier)
        self.refusing = 0
        self.app = create_app(counted, settings(**given), send=self.send, clock=self.clock)
        self.hooks = Hooks(f"{BASE}/{name}")

    def clock(self):
        return self.clock_now

    async def __aenter__(self):
        self.network = self.door(self.app)
        await self.network.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.network.__aexit__(*error)

    @property
    def board(self):
        return self.app.state.trunkline.switchboard

    def info(self, call_id=""):
        return CallInfo(
            carrier=self.kind.name,
            call_id=call_id or f"call-{next(_numbers)}",
            account_id=self.account,
            from_="+12025550143",
            to="+12025550100",
        )

    @property
    def account(self):
        return self.carrier.given.get("account_id") or self.carrier.given.get("account_sid", "")

    async def send(self, name, request):
        """The server's REST requests, answered by the carrier's own mirror."""
        assert name == self.kind.name
        response = self.exchange.rest(request)
        return Response(self.refusing) if self.refusing else response

    async def webhook(self, notice, purpose=Purpose.ANSWER, url="", sign=True):
        request = self.carrier.write_webhook(notice, url or self.hooks.url(purpose))
        return await self.network.request(self.carrier.sign(request) if sign else request)

    async def offer(self, info):
        """Answered: the media socket this call is offered, as the carrier reads it."""
        (step,) = [s for s in await self.steps(info) if isinstance(s, OpenStream)]
        self.offered[info.call_id] = step
        return step

    async def steps(self, info):
        """What the carrier is asked to do with a call that rings."""
        self.exchange.add(info.call_id)
        return await self.read(info, await self.webhook(Offered(info)))

    async def again(self, info):
        """The media socket for a call whose own is gone, be it asked for, told, or the same."""
        if self.kind.reconnects:
            return self.offered[info.call_id]
        if self.kind.asks_after:
            answer = await self.webhook(Offered(info, again=True), Purpose.AFTER)
            steps = await self.read(info, answer)
        else:
            steps = self.ordered(info)
        (step,) = [step for step in steps if isinstance(step, OpenStream)]
        return step

    async def read(self, info, answer):
        """The steps of an answer: of its document, or of the REST requests that follow it."""
        if answer.body:
            return self.carrier.read_answer(answer)
        await asyncio.sleep(0.2)
        return self.ordered(info)

    def ordered(self, info):
        """The steps that REST has set a call to since this was last asked."""
        steps = []
        for command in list(self.exchange.commands):
            if command.call_id == info.call_id:
                self.exchange.commands.remove(command)
                steps += command.steps if isinstance(command, Instruct) else []
                steps += [Hangup()] if isinstance(command, HangUpLeg) else []
        return steps

    def upgrade(self, step, url=""):
        request = Request(method="GET", url=url or step.url, headers=step.headers)
        return self.carrier.sign(request) if self.kind.signs_upgrade else request

    async def open(self, step, url=""):
        return await self.network.connect(self.upgrade(step, url))

    def end(self, info, step, **changed):
        """The carrier's end of a stream that has begun."""
        end = self.carrier.carrier_end(self.kind.outbound[0])
        parameters = dict(step.parameters)
        token = parameters.pop("token", "")
        fields = {
            "call_id": info.call_id,
            "account_id": info.account_id,
            "stream_id": f"stream-{next(_numbers)}",
            "inbound": self.kind.inbound[0],
            "outbound": self.kind.outbound[0],
            "token": token,
            "parameters": parameters,
        }
        end.send(Started(**(fields | changed)))
        return end

    async def join(self, info=None, **changed):
        """A whole call, up to its first message: who, socket and the carrier's end."""
        info = info or self.info()
        step = await self.offer(info)
        socket = await self.open(step)
        end = self.end(info, step, **changed)
        await self.flush(socket, end)
        return info, socket, end

    async def flush(self, socket, end):
        for message in end.outgoing():
            await socket.send(message)
        await asyncio.sleep(0.01)

    async def say(self, socket, end, *events):
        for event in events:
            end.send(event)
        await self.flush(socket, end)

    async def over(self, info):
        """The carrier's last word on a call."""
        reason = EndReason(Why.COMPLETED)
        await self.webhook(Ended(info.call_id, reason, duration_s=1.0), Purpose.STATUS)
