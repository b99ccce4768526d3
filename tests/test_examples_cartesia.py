"""The Bandwidth and Cartesia example holds calls: over Bandwidth's protocol and Cartesia's."""

import asyncio
import json
import os
import runpy
import signal
import socket
import sys
from base64 import b64decode
from pathlib import Path

import pytest

from trunkline.bots import cartesia
from trunkline.config import Settings
from trunkline.events import Why
from trunkline.media.formats import L16_8K
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.line import How
from trunkline.sim.network import RealNetwork
from trunkline.sim.phone import Phone
from trunkline.sim.platform_app import platform_app, serve
from trunkline.sim.services.cartesia import Cartesia
from trunkline.sim.services.tones import Tones

EXAMPLE = Path(__file__).parent.parent / "examples" / "bandwidth_cartesia"
BASE = "https://bot.example.com"
KEYS = {"CARTESIA_API_KEY": "sk", "CARTESIA_VOICE_ID": "v", "GREETING": "Hello there."}


class Tapped:
    """A network whose media sockets are listened to: the payloads of both directions."""

    def __init__(self, inner):
        self._inner = inner
        self.request = inner.request
        self.from_caller = bytearray()
        self.to_caller = bytearray()

    async def connect(self, upgrade):
        return Tap(await self._inner.connect(upgrade), self)


class Tap:
    def __init__(self, connection, tapped):
        self._connection = connection
        self._tapped = tapped
        self.close, self.abort = connection.close, connection.abort

    async def send(self, message):
        told = json.loads(message)
        if told["eventType"] == "media":
            self._tapped.from_caller += b64decode(told["payload"])
        await self._connection.send(message)

    async def receive(self):
        message = await self._connection.receive()
        told = json.loads(message)
        if told["eventType"] == "playAudio":
            self._tapped.to_caller += b64decode(told["media"]["payload"])
        return message


class Offline:
    """The example with Bandwidth and Cartesia simulated, in virtual time."""

    def __init__(self, monkeypatch):
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        self.tones = Tones()
        self.cartesia = Cartesia(self.tones.hear, self.tones.speak, key="sk")
        self.bot = runpy.run_path(str(EXAMPLE / "server.py"))["bot"]
        self.bot.connect = self.cartesia.connect
        self.bot.rating = cartesia.Loudness

    def run(self, scene):
        async def main():
            phone = Phone("bandwidth", base=BASE)
            settings = Settings(public_url=BASE, simulator_url="http://simulator.test")
            app = create_app(self.bot, settings, send=phone.send)
            async with InProcess(app) as network, phone:
                self.tapped = phone.network = Tapped(network)
                call = await scene(phone, app.state.trunkline)
                assert phone.exchange.left_open() == []
            await self.cartesia.aclose()
            assert self.cartesia.open == 0
            return call, phone.exchange.requests

        call, requests = run_virtual(main())
        assert call.complaints == self.cartesia.complaints == []
        return call, requests

    async def say(self, call, words):
        await call.say(self.tones.sound(words, L16_8K))

    def heard(self, call):
        return " ".join(word for word, _, _ in self.tones.words(call.heard, L16_8K))


def test_it_greets_repeats_and_says_goodbye_and_no_byte_of_audio_is_changed(monkeypatch):
    offline = Offline(monkeypatch)

    async def scene(phone, server):
        call = await phone.call()
        await call.wait_for_silence(1000)
        await offline.say(call, "What a day")
        await call.wait_for_silence(2000)
        await offline.say(call, "Goodbye")
        await call.ended(30)
        return call

    call, requests = offline.run(scene)
    assert offline.heard(call) == "hello there you said what a day goodbye"
    assert (call.how, call.reason.why) == (How.REST, Why.COMPLETED)
    hang_up, look = requests[-2:]
    assert [hang_up.method, look.method] == ["POST", "GET"]  # hung up, and looked whether it is
    assert hang_up.path == look.path
    assert call.id in hang_up.path
    assert look.status == 200
    said = b"".join(offline.cartesia.audio_out.values())
    assert offline.tapped.to_caller.rstrip(b"\xff") == said.rstrip(b"\xff")
    (heard,) = offline.cartesia.audio_in
    assert len(heard) > 40_000
    assert offline.tapped.from_caller.startswith(heard)
    assert len(offline.tapped.from_caller) - len(heard) < 8000  # the bot was done before the line


def test_it_is_interrupted(monkeypatch):
    offline = Offline(monkeypatch)

    async def scene(phone, server):
        call = await phone.call()
        await call.wait_for_silence(1000)
        await offline.say(call, "one two three four five six seven eight")
        await call.wait_for_speech()
        await asyncio.sleep(0.7)
        began = call.now
        speaking = asyncio.create_task(offline.say(call, "Goodbye"))
        await call.wait_for_silence(60)
        stopped = call.now - began
        await speaking
        await call.ended(30)
        assert stopped < 0.4
        return call

    call, _ = offline.run(scene)
    assert offline.heard(call).startswith("hello there you said")
    assert offline.heard(call).endswith("goodbye")
    assert "eight" not in offline.heard(call)


def test_it_calls(monkeypatch):
    offline = Offline(monkeypatch)

    async def scene(phone, server):
        dialled = server.dial("+12025550123", from_="+12025550100", carrier="bandwidth")
        call = await phone.next_call()
        assert call.info.to == "+12025550123"
        await call.answered()
        await call.wait_for_silence(1000)
        await offline.say(call, "Goodbye")
        assert (await dialled.ended()).why is Why.COMPLETED
        await call.ended()
        return call

    call, _ = offline.run(scene)
    assert offline.heard(call) == "hello there goodbye"
    assert call.how is How.REST


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_as_a_process_on_real_sockets():
    async def main():
        tones = Tones()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        base = f"http://127.0.0.1:{port}"
        async with (
            Cartesia(tones.hear, tones.speak, key="sk") as service,
            service.listening() as url,
            RealNetwork() as network,
            Phone("bandwidth", network, base=base) as phone,
            serve(platform_app(phone.exchange)) as rest,
        ):
            given = KEYS | {
                "PUBLIC_URL": base,
                "PORT": str(port),
                "CARTESIA_URL": url,
                "TRUNKLINE_SIMULATOR_URL": rest,
                "BANDWIDTH_TO_NUMBER": "+12025550123",
                "BANDWIDTH_FROM_NUMBER": "+12025550100",
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(EXAMPLE / "server.py"),
                "--call",
                env=os.environ | given,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                call = await phone.next_call(60)
                await call.answered()
                await call.wait_for_speech(20)
                await call.wait_for_silence(500)
                await call.hang_up()
                async with asyncio.timeout(30):
                    out, err = await process.communicate()
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
            assert out.decode().strip() == "The call is over: completed", err.decode()
            assert [word for word, _, _ in tones.words(call.heard, L16_8K)] == ["hello", "there"]
            assert "sk" not in err.decode().split()

    asyncio.run(main())


def test_every_variable_is_in_the_example_of_an_environment():
    lines = (EXAMPLE / ".env.example").read_text().splitlines()
    named = {line.partition("=")[0] for line in lines if "=" in line and not line.startswith("#")}
    assert named >= {
        "BANDWIDTH_ACCOUNT_ID",
        "BANDWIDTH_CLIENT_ID",
        "BANDWIDTH_CLIENT_SECRET",
        "BANDWIDTH_APPLICATION_ID",
        "BANDWIDTH_FROM_NUMBER",
        "BANDWIDTH_TO_NUMBER",
        "CARTESIA_API_KEY",
        "CARTESIA_VOICE_ID",
        "PUBLIC_URL",
        "GREETING",
    }
