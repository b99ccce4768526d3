"""A server in this process and a hand on each of its doors: what attacks and odd calls are made of.

Where a whole simulated call would do, ``trunkline.sim.phone`` is better.
"""

from __future__ import annotations

import asyncio
import itertools

from trunkline import carriers
from trunkline.carrier import Hooks, OpenStream, Purpose
from trunkline.config import Settings
from trunkline.events import CallInfo, Ended, EndReason, Offered, Started, Why
from trunkline.server import create_app
from trunkline.sim.exchange import Exchange, switchboard
from trunkline.sim.in_process import InProcess
from trunkline.web import Request

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

    def __init__(self, name, bot=listener, **given):
        self.kind = carriers.get(name)
        self.bots = []

        async def counted(call):
            self.bots.append(call)
            await bot(call)

        self.clock_now = 1_700_000_000.0
        self.exchange = Exchange(name, base=BASE, clock=self.clock)
        self.app = create_app(
            counted, settings(**given), send=switchboard(self.exchange), clock=self.clock
        )
        self.carrier = self.exchange.carrier
        self.hooks = Hooks(f"{BASE}/{name}")

    def clock(self):
        return self.clock_now

    async def __aenter__(self):
        self.network = InProcess(self.app)
        await self.network.__aenter__()
        self.exchange.network = self.network
        return self

    async def __aexit__(self, *error):
        await self.exchange.aclose()
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

    async def webhook(self, notice, purpose=Purpose.ANSWER, url="", sign=True):
        request = self.carrier.write_webhook(notice, url or self.hooks.url(purpose))
        return await self.network.request(self.carrier.sign(request) if sign else request)

    async def offer(self, info):
        """Answered: the media socket this call is offered, as the carrier reads it."""
        (step,) = [s for s in await self.steps(info) if isinstance(s, OpenStream)]
        return step

    async def steps(self, info):
        """What the carrier is asked to do with a call that rings."""
        return self.carrier.read_answer(await self.webhook(Offered(info)))

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
