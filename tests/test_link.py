"""A link whose carrier reads when it likes."""

import asyncio

import pytest

from trunkline import carriers
from trunkline.events import Audio, Clear, Started
from trunkline.link import Link
from trunkline.media.formats import PCMU_8K
from trunkline.sim.clock import run_virtual
from trunkline.sockets import SocketClosed

NAME = next(
    kind.name
    for kind in carriers.all_carriers()
    if Clear in kind.says and kind.outbound[0] == PCMU_8K
)


class Narrow:
    """A socket that takes one message at a time, until ``read`` makes room for another."""

    def __init__(self):
        self.taken = []
        self.room = asyncio.Event()
        self.closed = None

    def write(self, message):
        if self.closed:
            raise self.closed
        self.taken.append(message)
        self.room.clear()
        return False

    async def drained(self):
        await self.room.wait()
        if self.closed:
            raise self.closed

    async def read(self):
        self.room.set()
        await asyncio.sleep(0.01)


class Wire:
    def __init__(self):
        kind = carriers.get(NAME)
        carrier = kind(kind.examples())
        self.end, stream = carrier.carrier_end(PCMU_8K), carrier.bot_end(PCMU_8K)
        self.end.send(
            Started(call_id="c", stream_id="s", inbound=PCMU_8K, outbound=PCMU_8K, token="t")
        )
        for message in self.end.outgoing():
            stream.receive(message)
        self.socket = Narrow()
        self.told = []
        self.link = Link(
            self.socket,
            stream,
            2.0,
            lambda: self.told.append("ready"),
            lambda link, closed: self.told.append(f"lost {closed.code}"),
            lambda link: self.told.append("unread"),
        )

    def heard(self):
        return [
            event.payload[:1] if isinstance(event, Audio) else type(event)
            for message in self.socket.taken
            for event in self.end.receive(message)
        ]


def audio(letter):
    return Audio(letter * 160)


def run(scene):
    async def main():
        wire = Wire()
        await scene(wire)
        return wire.heard(), wire.told

    return run_virtual(main())


def test_what_waits_is_sent_in_order_as_the_carrier_reads():
    async def scene(wire):
        wire.link.send([audio(b"a"), audio(b"b")])
        wire.link.send([audio(b"c")])
        assert wire.link.stalled
        for _ in range(3):
            await wire.socket.read()

    heard, told = run(scene)
    assert heard == [b"a", b"b", b"c"]
    assert told == ["ready"] * 3


def test_a_clear_overtakes_what_waits():
    async def scene(wire):
        wire.link.send([audio(b"a"), audio(b"b")])
        wire.link.forget()
        wire.link.say(Clear())
        for _ in range(3):
            await wire.socket.read()

    assert run(scene)[0] == [b"a", Clear]


def test_a_message_that_waits_is_not_forgotten():
    async def scene(wire):
        wire.link.say(audio(b"a"))
        wire.link.say(Clear())
        wire.link.send([audio(b"b")])
        await wire.socket.read()
        wire.link.forget()
        for _ in range(3):
            await wire.socket.read()

    assert run(scene)[0] == [b"a", Clear]


@pytest.mark.parametrize("closed", [False, True])
def test_patience_ends_and_so_do_sockets(closed):
    async def scene(wire):
        wire.link.send([audio(b"a")])
        if closed:
            wire.socket.closed = SocketClosed(1001)
            wire.socket.room.set()
        await asyncio.sleep(2.5)

    assert run(scene)[1] == ["lost 1001" if closed else "unread"]


def test_a_socket_that_is_closed_is_noticed_by_writing():
    async def scene(wire):
        wire.socket.closed = SocketClosed(1006)
        wire.link.send([audio(b"a")])

    assert run(scene) == ([], ["lost 1006"])
