"""A link to a service that does not read at once."""

import asyncio

from trunkline.bots.cartesia.link import JOINED_BYTES, Link
from trunkline.sim.clock import run_virtual
from trunkline.sockets import SocketClosed


class Slow:
    """A socket that takes its first message only when it is let."""

    def __init__(self):
        self.taken = []
        self.reads = asyncio.Event()
        self.gone = asyncio.Event()

    async def send(self, message):
        await self.reads.wait()
        self.taken.append(message)

    async def receive(self):
        await self.gone.wait()
        raise SocketClosed

    async def close(self, code=1000, reason=""):
        self.gone.set()

    def abort(self):
        self.gone.set()


def sent(*messages):
    """What a service that reads too late is sent of these."""

    async def main():
        socket = Slow()

        async def connect(url, headers):
            return socket

        link = Link(
            "slow",
            connect,
            "ws://c.test",
            {},
            opened=lambda: None,
            received=lambda message: None,
            lost=lambda: None,
            failed=lambda error: None,
        )
        await link.ready()
        link.send(b"first")
        await asyncio.sleep(0.1)
        for message in messages:
            link.send(message)
        await asyncio.sleep(0.1)
        socket.reads.set()
        await asyncio.sleep(0.1)
        await link.close()
        return socket.taken

    first, *rest = run_virtual(main())
    assert first == b"first"
    return rest


def test_audio_that_waits_is_sent_at_once():
    assert sent(b"one ", b"two ", b"three") == [b"one two three"]


def test_a_word_stays_where_it_was_said():
    assert sent(b"one ", b"two", "finalize", b"three") == [b"one two", "finalize", b"three"]


def test_no_message_grows_beyond_bounds():
    frames = [bytes([n]) * 160 for n in range(60)]
    got = sent(*frames)
    assert b"".join(got) == b"".join(frames)
    assert [len(message) for message in got] == [JOINED_BYTES // 160 * 160] * 2 + [1600]
