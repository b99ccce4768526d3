"""What every simulated service does, in memory and on a port, whichever it plays."""

import asyncio
import random

import pytest

from trunkline.sim.clock import run_virtual
from trunkline.sim.services.service import RefusedHandshake, Service, ServiceFaults
from trunkline.sockets import SocketClosed
from trunkline.websocket import NotConnected, connect


class Parrot(Service):
    """Says everything back; wants a key; fails where it is asked to."""

    def admit(self, request):
        if request.headers.get("x-key") != "right":
            raise RefusedHandshake(401)

    async def serve(self, socket, request):
        assert request.url.endswith("/say?a=b")
        while (message := await socket.receive()) != "bye":
            if status := self.failure():
                message = f"error {status}"
            if message == "break":
                raise ValueError("broken")
            await socket.send(message)


KEY = {"X-Key": "right"}


def everywhere(scene):
    """Run ``scene(service, open_socket)`` in memory and on a port."""

    async def in_memory():
        async with Parrot() as service:
            await scene(service, lambda headers: service.connect("ws://x.test/say?a=b", headers))
            await settled(service)

    async def on_a_port():
        async with Parrot() as service, service.listening() as url:
            await scene(service, lambda headers: connect(url + "/say?a=b", headers))
            await settled(service)

    run_virtual(in_memory())
    asyncio.run(on_a_port())


async def settled(service):
    async with asyncio.timeout(5):
        while service.open:
            await asyncio.sleep(0.01)


def test_text_and_bytes_go_and_come():
    async def scene(service, dial):
        socket = await dial(KEY)
        for message in ("hello", b"\0\1"):
            await socket.send(message)
            assert await socket.receive() == message
        assert service.open == 1
        await socket.send("bye")
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert closed.value.code == 1000
        assert service.opened == 1

    everywhere(scene)


def test_refused_handshakes_say_their_status():
    async def scene(service, dial):
        for status, headers in ((401, {"X-Key": "wrong"}), (429, KEY)):
            if status == 429:
                service.refuse(429)
            with pytest.raises(NotConnected) as refused:
                await dial(headers)
            assert refused.value.status == status
        service.faults = ServiceFaults(most_sockets=1)
        socket = await dial(KEY)
        with pytest.raises(NotConnected, match="429"):
            await dial(KEY)
        assert (service.opened, service.refused) == (1, 3)
        await socket.close()

    everywhere(scene)


def test_a_dropped_socket_ends_without_a_word():
    async def scene(service, dial):
        socket = await dial(KEY)
        await socket.send("hello")
        assert await socket.receive() == "hello"
        assert service.drop(random.Random(1))
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert closed.value.code == 1006
        with pytest.raises(SocketClosed):
            await socket.send("anybody?")
        await settled(service)
        assert not service.drop()

    everywhere(scene)


def test_a_client_that_aborts_is_gone():
    async def scene(service, dial):
        socket = await dial(KEY)
        socket.abort()
        with pytest.raises(SocketClosed):
            await socket.receive()

    everywhere(scene)


def test_errors_on_request_and_sessions_that_end():
    async def scene(service, dial):
        service.faults = ServiceFaults(session_s=0.3)
        service.fail(500, 429)
        socket = await dial(KEY)
        for answer in ("error 500", "error 429", "hello"):
            await socket.send("hello")
            assert await socket.receive() == answer
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert closed.value.code == 1000

    everywhere(scene)


def test_a_service_that_is_left_ends_what_is_open():
    async def main():
        async with Parrot() as service, service.listening() as url:
            socket = await connect(url + "/say?a=b", KEY)
        with pytest.raises(SocketClosed):
            await socket.receive()
        with pytest.raises(NotConnected) as refused:
            await connect(url + "/say?a=b", KEY)
        assert refused.value.status == 0
        assert "say" not in str(refused.value)

    asyncio.run(main())


def test_what_a_service_fails_with_comes_out():
    async def main():
        service = Parrot()
        socket = await service.connect("ws://x.test/say?a=b", KEY)
        await socket.send("break")
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert closed.value.code == 1011
        with pytest.raises(ExceptionGroup) as failed:
            await service.aclose()
        assert isinstance(failed.value.exceptions[0], ValueError)
        with pytest.raises(ZeroDivisionError):
            async with Parrot() as service:
                socket = await service.connect("ws://x.test/say?a=b", KEY)
                await socket.send("break")
                await asyncio.sleep(1)
                raise ZeroDivisionError

    run_virtual(main())


def test_answers_come_late_and_in_order():
    async def main():
        loop = asyncio.get_running_loop()
        faults = ServiceFaults(latency_ms=100, jitter_ms=100, handshake_ms=50, seed=3)
        async with Parrot(faults=faults) as service:
            began = loop.time()
            socket = await service.connect("ws://x.test/say?a=b", KEY)
            assert loop.time() - began == pytest.approx(0.05)
            for number in range(20):
                await socket.send(f"{number}")
                await asyncio.sleep(0.01)
            service.faults = ServiceFaults()
            await socket.send("last")
            assert [await socket.receive() for _ in range(21)] == [*map(str, range(20)), "last"]
            assert 0.25 < loop.time() - began < 0.46

    run_virtual(main())


def test_a_stalled_socket_stays_open_and_says_nothing():
    async def main():
        async with Parrot() as service:
            socket = await service.connect("ws://x.test/say?a=b", KEY)
            service.faults = ServiceFaults(stall_after=0)
            await socket.send("hello")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3600):
                    await socket.receive()
            assert service.open == 1

    run_virtual(main())


def test_sockets_are_torn_off_at_random_moments_and_no_more_than_wanted():
    async def moments(seed):
        loop = asyncio.get_running_loop()
        faults = ServiceFaults(drop_after=(1, 5), drops=3, seed=seed)
        found = []
        async with Parrot(faults=faults) as service:
            for _ in range(3):
                socket = await service.connect("ws://x.test/say?a=b", KEY)
                began = loop.time()
                with pytest.raises(SocketClosed):
                    await socket.receive()
                found.append(loop.time() - began)
            spared = await service.connect("ws://x.test/say?a=b", KEY)
            await asyncio.sleep(10)
            await spared.send("hello")
            assert await spared.receive() == "hello"
        return found

    first = run_virtual(moments(1))
    assert all(1 <= moment <= 5 for moment in first)
    assert run_virtual(moments(1)) == first != run_virtual(moments(2))


def test_some_handshakes_are_refused_by_chance():
    async def main():
        async with Parrot(faults=ServiceFaults(refuse=0.5, refuse_status=503)) as service:
            for _ in range(100):
                try:
                    await (await service.connect("ws://x.test/say?a=b", KEY)).close()
                except NotConnected as refused:
                    assert refused.status == 503
            assert 30 < service.refused < 70
            assert service.opened + service.refused == 100

    run_virtual(main())


def test_a_handshake_that_nobody_answers_is_not_waited_for():
    async def main():
        faults = ServiceFaults(handshake_ms=600)
        async with Parrot(faults=faults) as service, service.listening() as url:
            with pytest.raises(NotConnected, match=r"no WebSocket in 0.1 s"):
                await connect(url + "/say?a=b", KEY, timeout=0.1)

    asyncio.run(main())
