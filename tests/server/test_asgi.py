"""An ASGI socket as a session uses it: written without waiting, until the server has enough."""

import asyncio

import pytest

from trunkline.server.asgi import AsgiSocket
from trunkline.sim.clock import run_virtual
from trunkline.sockets import SocketClosed


class Server:
    """An ASGI server's two callables; ``room`` says whether it takes more."""

    def __init__(self, *incoming):
        self.incoming = list(incoming)
        self.taken = []
        self.room = asyncio.Event()
        self.room.set()
        self.error = None

    async def receive(self):
        return self.incoming.pop(0)

    async def send(self, message):
        await self.room.wait()
        if self.error:
            raise self.error
        self.taken.append(message.get("text") or message.get("bytes") or message["type"])

    def socket(self):
        return AsgiSocket(self.receive, self.send, 100)


def test_writes_at_once_while_there_is_room_and_says_when_there_is_none():
    async def main():
        server = Server()
        socket = server.socket()
        assert socket.write("a")
        assert server.taken == ["a"]
        server.room.clear()
        assert not socket.write(b"b")
        asyncio.get_running_loop().call_later(1, server.room.set)
        await socket.drained()
        await socket.drained()  # nothing is waited for twice
        assert socket.write("c")
        return server.taken

    assert run_virtual(main()) == ["a", b"b", "c"]


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("closed")])
@pytest.mark.parametrize("late", [False, True])
def test_a_client_that_is_gone_is_told(error, late):
    async def main():
        server = Server()
        server.error = error
        socket = server.socket()
        with pytest.raises(SocketClosed, match="1006"):
            if late:
                server.room.clear()
                socket.write("a")
                server.room.set()
            else:
                socket.write("a")
            await socket.drained()
        with pytest.raises(SocketClosed):
            socket.write("b")

    run_virtual(main())


def test_closing_takes_back_what_could_not_be_sent():
    async def main():
        server = Server()
        socket = server.socket()
        server.room.clear()
        assert not socket.write("a")
        closing = asyncio.create_task(socket.close(1000))
        await asyncio.sleep(1)
        server.room.set()
        await closing
        return server.taken

    assert run_virtual(main()) == ["websocket.close"]


def test_who_waits_for_room_hears_that_the_socket_was_closed():
    async def main():
        server = Server()
        socket = server.socket()
        server.room.clear()
        assert not socket.write("a")
        asyncio.get_running_loop().call_later(1, server.room.set)
        waiting = asyncio.create_task(socket.drained())
        await asyncio.sleep(0)
        await socket.close(1000)
        with pytest.raises(SocketClosed, match="1000"):
            await waiting
        return server.taken

    assert run_virtual(main()) == ["websocket.close"]


def test_delivers_until_the_end():
    async def main():
        server = Server(
            {"type": "websocket.receive", "text": "a"},
            {"type": "websocket.receive", "bytes": b"b"},
            {"type": "websocket.disconnect", "code": 1001, "reason": "bye"},
        )
        heard = []
        with pytest.raises(SocketClosed, match="1001 bye"):
            await server.socket().deliver(heard.append)
        return heard

    assert run_virtual(main()) == ["a", b"b"]
