"""A server whose media sockets are real ones: picows, on the loopback; its webhooks in process."""

import asyncio
import socket

import uvloop

from trunkline import carriers
from trunkline.server.fast import MediaListener
from trunkline.sim.in_process import InProcess
from trunkline.sim.network import RealNetwork

# One carrier that signs the upgrade of its media sockets, and one that does not.
NAMES = sorted({carriers.get(name).signs_upgrade: name for name in carriers.names()}.values())


class Loopback(InProcess):
    """``InProcess``, but for media sockets: those go to the fast listener of the same server."""

    def __init__(self, app, tls=None):
        super().__init__(app)
        self.server = app.state
        self.tls = tls

    async def __aenter__(self):
        await super().__aenter__()
        bound = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{bound.getsockname()[1]}"
        self.listener = MediaListener(self.server.trunkline, self.tls)
        await self.listener.start(bound)
        self.sockets = RealNetwork(via=f"http://{self.address}")
        return self

    async def aclose(self):
        self.listener.stop()
        async with asyncio.timeout(20):
            while self.server.trunkline.switchboard.calls:
                await asyncio.sleep(0.01)
        await super().aclose()
        await self.sockets.aclose()

    async def connect(self, upgrade):
        return await self.sockets.connect(upgrade)


def run_real(main):
    """Run ``main`` in real time, on the loop that servers run on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


doors = [(name, InProcess) for name in carriers.names()] + [(name, Loopback) for name in NAMES]
"""Every carrier in virtual time and one process, and some over the fast listener in real time."""
