"""Servers to be loaded: a bare echo for each way of misbehaving, and one of ours."""

import asyncio
import json
from contextlib import asynccontextmanager
from http import HTTPStatus

from websockets.asyncio.server import serve as serve_sockets

from trunkline import carriers
from trunkline.config import Settings
from trunkline.server import create_app
from trunkline.sim.load.figures import Ready
from trunkline.sim.load.plan import planned
from trunkline.sim.load.rest import SharedPlatform
from trunkline.sim.load.tally import Tally
from trunkline.sim.load.worker import Worker
from trunkline.sim.network import RealNetwork
from trunkline.sim.platform_app import serve

CARRIER = "twilio"


class Echo:
    """Echoes Twilio's media by hand. What it does wrong, and to which calls, is set from outside.

    ``late_s`` later than it should; each ``refuse_every``-th is refused; one is dropped after
    ``drop_after`` messages; ``rubbish`` is said first; ``mute`` says nothing.
    """

    def __init__(self, late_s=0.0, refuse_every=0, drop_after=0, rubbish="", mute=False):
        self.late_s, self.refuse_every, self.drop_after = late_s, refuse_every, drop_after
        self.rubbish, self.mute = rubbish, mute
        self.asked = 0
        self.ended = []
        self.starts = []

    def _ask(self, connection, request):
        self.asked += 1
        if self.refuse_every and self.asked % self.refuse_every == 0:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full\n")
        return None

    async def _talk(self, socket):
        loop, tasks, last = asyncio.get_running_loop(), set(), ""
        if self.rubbish:
            await socket.send(self.rubbish)
        count = 0
        async for message in socket:
            said = json.loads(message)
            last = said["event"]
            if last == "start":
                self.starts.append(said["start"])
            if last != "media" or self.mute:
                continue
            count += 1
            if count == self.drop_after:
                socket.transport.abort()
                break
            media = {"payload": said["media"]["payload"]}
            answer = json.dumps({"event": "media", "streamSid": said["streamSid"], "media": media})
            task = loop.create_task(self._answer(socket, answer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        self.ended.append(last)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, socket, answer):
        await asyncio.sleep(self.late_s)
        await socket.send(answer)

    @asynccontextmanager
    async def running(self):
        async with serve_sockets(
            self._talk, "127.0.0.1", 0, process_request=self._ask, compression=None
        ) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/media"


def plan(url, carrier=CARRIER, scenario="echo", **given):
    options = {
        "socket": False,
        "calls": 8,
        "cps": 40.0,
        "duration": 1.0,
        "inbound": "",
        "outbound": "",
        "hold_ms": 40.0,
        "key": "",
        "parameters": (),
        "via": "",
        "rest_port": 0,
        "processes": 1,
    }
    return planned(carrier, url, scenario, **{**options, **given})


async def measured(a_plan, urls=None, meanwhile=None):
    """One process's share, run in this one: what it comes to."""
    tally = Tally(1)

    def tell(told):
        if isinstance(told, Ready):
            if urls is not None:
                urls.append(told.rest_url)
        else:
            tally.add(0, told)

    worker = Worker(a_plan, tell)
    if meanwhile is not None:
        asyncio.get_running_loop().call_later(meanwhile, worker.stop)
    await worker.run()
    return tally.summary()


async def ours(bot, carrier, scenario, **given):
    """Load a server of ours: what it comes to."""
    urls = []
    async with RealNetwork() as network:
        platform = SharedPlatform(carriers.get(carrier), network, urls)
        settings = Settings(public_url="https://bot.test", simulator_url="http://simulator.test")
        app = create_app(bot, settings, send=lambda _, request: platform.rest(request))
        async with serve(app) as url:
            a_plan = plan("https://bot.test", carrier, scenario, via=url, **given)
            return await measured(a_plan, urls)
