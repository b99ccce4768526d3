"""A server in a process of its own is stopped without dropping its call."""

import asyncio
import os
import signal
import sys

import pytest
from processes import free_port, ready

from trunkline import carriers
from trunkline.media.formats import L16_8K
from trunkline.sim.line import How
from trunkline.sim.network import RealNetwork
from trunkline.sim.phone import Phone
from trunkline.sim.platform_app import platform_app, serve

BOT = """
async def bot(call):
    async for _ in call:
        pass
"""

pytestmark = pytest.mark.process


@pytest.mark.parametrize("carrier", carriers.names()[:1])
@pytest.mark.parametrize("fast", [False, True], ids=["app", "media port"])
def test_sigterm_refuses_new_calls_and_lets_the_old_one_finish(carrier, fast, tmp_path):
    (tmp_path / "some_bot.py").write_text(BOT)

    async def main():
        url = f"http://127.0.0.1:{free_port()}"
        media = ("--media-port", str(free_port())) if fast else ()
        async with (
            RealNetwork() as network,
            Phone(carrier, network, base=url) as phone,
            serve(platform_app(phone.exchange)) as rest_url,
        ):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "trunkline", "serve", str(tmp_path / "some_bot.py")),
                *("--port", url.rpartition(":")[2], "--simulator", rest_url, *media),
                env={**os.environ, "TRUNKLINE_DRAIN_TIMEOUT": "30"},
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                state = await ready(url, process)
                assert state["ready"]
                assert carrier in state["carriers"]
                first = await phone.call()
                process.send_signal(signal.SIGTERM)
                while (await ready(url, process))["ready"]:
                    await asyncio.sleep(0.05)
                second = await phone.call()
                assert second.line.streams == []
                await first.say(b"\0\0" * 8000, L16_8K)
                assert first.reason is None
                await first.hang_up()
                log = (await asyncio.wait_for(process.stderr.read(), 30)).decode()
                return await process.wait(), first.how, log
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    code, how, log = asyncio.run(main())
    assert how is How.CALLER
    assert ("listening for media" in log) is fast
    assert "call refused" in log
    assert "call over" in log
    assert code in (0, -signal.SIGTERM)
    assert "Traceback" not in log


def test_a_setting_that_is_missing_is_told_in_a_sentence(tmp_path):
    (tmp_path / "some_bot.py").write_text(BOT)

    async def main():
        clean = {k: v for k, v in os.environ.items() if not k.endswith("PUBLIC_URL")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trunkline", "serve", str(tmp_path / "some_bot.py")),
            env=clean,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        return process.returncode, said.decode()

    code, said = asyncio.run(main())
    assert code == 1
    assert "PUBLIC_URL" in said
    assert "Traceback" not in said
