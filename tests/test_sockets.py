"""The in-memory pair keeps the promises of a socket."""

import asyncio

import pytest

from trunkline.sim.clock import run_virtual
from trunkline.sockets import SocketClosed, memory_sockets


def test_carries_both_ways_in_order():
    async def main():
        left, right = memory_sockets()
        await left.send("a")
        await left.send(b"b")
        await right.send("c")
        assert [await right.receive(), await right.receive(), await left.receive()] == [
            "a",
            b"b",
            "c",
        ]

    run_virtual(main())


def test_what_was_sent_before_the_close_arrives_then_the_close():
    async def main():
        left, right = memory_sockets()
        await left.send("last")
        await left.close(1001, "bye")
        await left.close(1000)  # a second close changes nothing
        assert await right.receive() == "last"
        for _ in range(2):
            with pytest.raises(SocketClosed, match="1001 bye") as closed:
                await right.receive()
            assert (closed.value.code, closed.value.reason) == (1001, "bye")
        for end in (left, right):
            with pytest.raises(SocketClosed):
                await end.send("x")
        with pytest.raises(SocketClosed):
            await left.receive()

    run_virtual(main())


def test_is_delivered_to_a_function_until_it_closes():
    async def main():
        left, right = memory_sockets()
        heard = []
        assert left.write("a")
        reader = asyncio.create_task(right.deliver(heard.append))
        await asyncio.sleep(0)
        assert left.write(b"b")
        await left.drained()
        await left.close(1001, "bye")
        with pytest.raises(SocketClosed, match="1001 bye"):
            await reader
        for end in (left, right):
            with pytest.raises(SocketClosed):
                end.write("x")
            with pytest.raises(SocketClosed):
                await end.drained()
        return heard

    assert run_virtual(main()) == ["a", b"b"]
