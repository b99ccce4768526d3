"""The fast listener: what picows leaves to us, and a call that is held over it.

Who is let in is in ``test_doors``, for both listeners.
"""

import asyncio
import contextlib
import datetime
import ssl

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from loopback import NAMES, Loopback, run_real
from rig import Rig, listener, settings
from trunkline import carriers
from trunkline.bots import echo
from trunkline.errors import ConfigError
from trunkline.events import Audio
from trunkline.media.formats import L16_8K
from trunkline.media.tones import dtmf
from trunkline.server import create_app
from trunkline.server.run import Tls
from trunkline.server.tokens import MemoryUsed
from trunkline.sim.phone import Phone

VOICE = dtmf("1" * 4, L16_8K, tone_ms=100, gap_ms=1)


def run(scene, name=NAMES[0], bot=listener, door=Loopback, **given):
    async def main():
        async with asyncio.timeout(30), Rig(name, bot, door, **given) as rig:
            return await scene(rig)

    return run_real(main())


async def client(rig, step, **more):
    """A WebSocket client that does as it is told, fragments and all."""
    upgrade = rig.upgrade(step)
    url = rig.network.sockets._rerouted(upgrade.url).replace("http", "ws", 1)
    return await connect(
        url, additional_headers=dict(upgrade.headers), compression=None, close_timeout=1, **more
    )


async def close_code(socket):
    with pytest.raises(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


@pytest.mark.parametrize("name", NAMES)
def test_an_echo_is_heard_over_it(name):
    phone = Phone(name, base="https://bot.example.com")

    async def main():
        app = create_app(echo.bot, settings(), send=phone.send)
        async with Loopback(app) as phone.network, phone:
            call = await phone.call()
            await call.say(VOICE, L16_8K)
            await asyncio.sleep(0.3)
            await call.hang_up()
            await call.ended()
            return call

    call = run_real(main())
    loud = [abs(v) for v in memoryview(call.heard).cast("h")]
    assert sum(v > 1000 for v in loud) >= 0.6 * sum(
        abs(v) > 1000 for v in memoryview(VOICE).cast("h")
    )
    assert call.complaints == []


def test_a_message_in_pieces_is_put_together_and_a_ping_answered():
    async def scene(rig):
        info = rig.info()
        step = await rig.offer(info)
        socket = await client(rig, step)
        for message in rig.end(info, step).outgoing():
            third = len(message) // 3
            await socket.send([message[:third], message[third : 2 * third], message[2 * third :]])
        await (await socket.ping())
        await rig.over(info)
        await close_code(socket)
        return [call.id == info.call_id for call in rig.bots]

    assert run(scene) == [True]


@pytest.mark.parametrize(
    ("pieces", "code"),
    [([b"\xff\xfe"], 1007), ([b"{", b"\xff\xfe"], 1007), ([b" " * 4000] * 20, 1009)],
    ids=["not UTF-8", "not UTF-8, in pieces", "pieces without end"],
)
def test_what_is_no_message_closes_the_socket(pieces, code):
    async def scene(rig):
        socket = await client(rig, await rig.offer(rig.info()))
        await socket.send(pieces if len(pieces) > 1 else pieces[0], text=True)
        return await close_code(socket), rig.bots

    assert run(scene) == (code, [])


def test_a_client_that_closes_is_answered():
    async def scene(rig):
        socket = await client(rig, await rig.offer(rig.info()))
        await socket.close(1000, "bye")
        return socket.close_code

    assert run(scene) == 1000


@pytest.mark.parametrize("path", ["/", "/health/live", "/nobody/media", "/nobody/media/a/b"])
def test_there_is_nothing_else_there(path):
    async def scene(rig):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{rig.network.address}{path}")
        async with httpx.AsyncClient(trust_env=False) as plain:
            answer = await plain.get(f"http://{rig.network.address}{path}")
        return refused.value.response.status_code, answer.status_code

    assert run(scene) == (404, 404)


def test_a_client_that_does_not_read_ends_the_call():
    async def bot(call):
        call.utterance(live=True).write(bytes(8_000_000))
        await listener(call)

    async def scene(rig):
        info = rig.info()
        step = await rig.offer(info)
        socket = await client(rig, step, max_queue=1)
        for message in rig.end(info, step).outgoing():
            await socket.send(message)
        while not rig.bots or rig.bots[0].ended is None:
            await asyncio.sleep(0.02)
        socket.transport.abort()
        return rig.bots[0].ended

    ended = run(scene, bot=bot, write_timeout=0.3)
    assert (ended.why, ended.raw) == ("network", "write timed out")


class Slow(MemoryUsed):
    """Used tokens in a place that takes a while to ask."""

    async def claim(self, nonce, until):
        await asyncio.sleep(0.05)
        return await super().claim(nonce, until)


def test_a_store_of_used_tokens_may_take_its_time():
    name = next(n for n in NAMES if not carriers.get(n).signs_upgrade)

    async def scene(rig):
        rig.board._tokens._used = Slow(rig.clock)
        info = rig.info()
        step = await rig.offer(info)
        codes = []
        for _ in range(2):
            with contextlib.suppress(ConnectionClosed):
                socket = await client(rig, step)
                for message in rig.end(info, step).outgoing():
                    await socket.send(message)
            await asyncio.sleep(0.2)
            codes.append(socket.close_code)
        await rig.over(info)
        return codes, len(rig.bots)

    assert run(scene, name) == ([None, 1008], 1)


# --- TLS ---


def certificate(folder):
    """A certificate for localhost that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(made.public_bytes(encoding))
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, plain[1], plain[0]))
    return Tls(str(folder / "cert.pem"), str(folder / "key.pem"))


def test_it_encrypts_itself(tmp_path):
    tls = certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=tls.cert)
    heard = []

    async def bot(call):
        call.listen(heard.append)
        await call.wait()

    async def scene(rig):
        info = rig.info()
        step = await rig.offer(info)
        upgrade = rig.upgrade(step)
        port = rig.network.address.rpartition(":")[2]
        socket = await connect(
            upgrade.url,
            host="127.0.0.1",
            port=int(port),
            additional_headers=dict(upgrade.headers),
            ssl=trusted,
            server_hostname="localhost",
            close_timeout=1,
        )
        end = rig.end(info, step)
        end.send(Audio(bytes(160)))
        for message in end.outgoing():
            await socket.send(message)
        while not heard:
            await asyncio.sleep(0.01)
        await rig.over(info)
        await close_code(socket)
        return heard

    assert run(scene, bot=bot, door=lambda app: Loopback(app, tls.context())) == [bytes(160)]


def test_a_certificate_that_is_none_is_told_in_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"TLS with .*cert\.pem"):
        Tls(str(tmp_path / "cert.pem"), "key.pem").context()
