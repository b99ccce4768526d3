"""How carriers reach a server on a laptop: by a proxy's host name, or by a tunnel.

As its user runs it; the simulator stands at the other end of the proxy or the tunnel.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from processes import free_port, gone, ready

from trunkline import carriers
from trunkline.sim.line import How
from trunkline.sim.network import RealNetwork
from trunkline.sim.phone import Phone
from trunkline.sim.platform_app import platform_app, serve

pytestmark = pytest.mark.process

AGENT = Path(__file__).with_name("ngrok_agent.py")
TOKEN = "2abc_a-token-of-ours"
HOST = "bot.example.com"
CARRIER = carriers.names()[0]
BOT = """
async def bot(call):
    await call.hang_up()
"""


class Noting(RealNetwork):
    """Notes where media sockets are opened, which is what the answer document names."""

    def __init__(self, **options):
        super().__init__(**options)
        self.opened = []

    async def connect(self, upgrade):
        self.opened.append(upgrade.url)
        return await super().connect(upgrade)


@pytest.fixture
def environ(tmp_path):
    """A home without ngrok in it, and a program that stands for ngrok's agent."""
    home, program = str(tmp_path / "home"), tmp_path / "ngrok"
    pid = f'echo $$ > "{tmp_path}/agent.pid"'
    program.write_text(f'#!/bin/sh\n{pid}\nexec "{sys.executable}" "{AGENT}" fine "$@"\n')
    program.chmod(0o755)
    (tmp_path / "a_bot.py").write_text(BOT)
    ours = {"HOME": home, "XDG_CONFIG_HOME": home, "PYNGROK_NGROK_PATH": str(program)}
    known = {name: value for name, value in os.environ.items() if not name.endswith("PUBLIC_URL")}
    return {**known, **ours, "NGROK_AUTHTOKEN": TOKEN}


def one_call(environ, folder, *options, ending):
    """Serve with these options, be called at ``HOST``, and end.

    Returns the call, where its media sockets were opened, what the server said, and its status.
    """

    async def main():
        port = free_port()
        command = (sys.executable, "-m", "trunkline", "serve", str(folder / "a_bot.py"))
        async with (
            Noting(via=f"http://127.0.0.1:{port}") as network,
            Phone(CARRIER, network, base=f"https://{HOST}") as phone,
            serve(platform_app(phone.exchange)) as rest_url,
        ):
            process = await asyncio.create_subprocess_exec(
                *(*command, "--port", str(port), "--simulator", rest_url, *options),
                env=environ,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                await ready(f"http://127.0.0.1:{port}", process)
                call = await phone.call()
                await call.ended(within=20)
                process.send_signal(ending)
                said = b"".join(await asyncio.wait_for(process.communicate(), 30)).decode()
            finally:
                if process.returncode is None:
                    process.kill()
            return call, network.opened, said, process.returncode

    return asyncio.run(main())


def test_the_host_of_a_proxy_is_where_media_sockets_are_opened(environ, tmp_path):
    call, opened, said, _ = one_call(environ, tmp_path, "-x", HOST, ending=signal.SIGTERM)
    assert (call.how, call.complaints) == (How.REST, [])
    assert [url.partition(f"/{CARRIER}/")[0] for url in opened] == [f"wss://{HOST}"]
    assert "Traceback" not in said


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_tunnel_is_one_and_its_agent_goes_with_the_server(environ, tmp_path, ending):
    pytest.importorskip("pyngrok.ngrok")
    options = ("--tunnel", "ngrok", "-x", HOST)
    call, opened, said, status = one_call(environ, tmp_path, *options, ending=ending)
    assert (call.how, call.complaints) == (How.REST, [])
    assert [url.partition(f"/{CARRIER}/")[0] for url in opened] == [f"wss://{HOST}"]
    assert f"https://{HOST}/{CARRIER}/answer" in said.split()
    assert TOKEN not in said
    assert "Traceback" not in said
    assert status in (0, 1, 128 + ending, -ending)
    assert gone(int((tmp_path / "agent.pid").read_text()))
