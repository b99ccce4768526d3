"""What figures and traces cost on the media path, and what the watchdog costs.

    python -m benchmarks.telemetry

A frame is taken from a socket that is none, echoed by a bot and written back; the same with the
call observed. Then the watchdog watches an idle loop, and an idle loop is not watched.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from trunkline import carriers
from trunkline.bots import echo
from trunkline.carrier import Hooks
from trunkline.events import Audio, CallInfo, Started
from trunkline.limits import Limits
from trunkline.rest import Rest
from trunkline.server.watchdog import watching
from trunkline.session import Session
from trunkline.sockets import SocketClosed
from trunkline.telemetry.meter import Meter
from trunkline.telemetry.session import ObservedSession

NAME = "twilio"
FRAMES = 20_000
ROUNDS = 15
IDLE_S = 20.0


class NoSocket:
    """Takes everything; hands its sink out."""

    def __init__(self):
        self.sink = None
        self.closed = asyncio.Event()

    async def deliver(self, sink):
        self.sink = sink
        await self.closed.wait()
        raise SocketClosed(1000)

    def write(self, message):
        return True

    async def drained(self):
        pass

    async def close(self, code=1000, reason=""):
        self.closed.set()


async def no_rest(carrier, request):
    raise OSError


async def echoing(observed):
    """A call that echoes, and what puts a message in."""
    kind = carriers.get(NAME)
    carrier = kind(kind.examples())
    audio = kind.outbound[0]
    started = Started(call_id="call", stream_id="stream", inbound=kind.inbound[0], outbound=audio)
    stream, far = carrier.bot_end(audio), carrier.carrier_end(audio)
    far.send(started)
    for message in far.outgoing():
        list(stream.receive(message))
    args = (
        carrier, CallInfo(carrier=NAME, call_id="call"), started, echo.bot, Rest(no_rest),
        Hooks("https://x.example"), Limits(), lambda _: None, lambda _: None,
    )  # fmt: skip
    if observed:
        meter = Meter([NAME])
        session = ObservedSession(
            *args, observer=meter, sending=meter.sending, gaps=meter.gaps(NAME), setup=None
        )
    else:
        session = Session(*args)
    socket = NoSocket()
    task = asyncio.create_task(session.attach(socket, stream, started, []))
    await asyncio.sleep(0.05)
    far.send(Audio(bytes(160)))
    (message,) = far.outgoing()
    return session, socket.sink, message, task


async def frames():
    both = [await echoing(False), await echoing(True)]
    took = ([], [])
    for _ in range(ROUNDS):
        for (_, sink, message, _), times in zip(both, took, strict=True):
            began = time.process_time_ns()
            for _ in range(FRAMES):
                sink(message)
            times.append((time.process_time_ns() - began) / FRAMES)
            await asyncio.sleep(0)
    off, on = (min(times) for times in took)
    spread = statistics.median(took[1]) - statistics.median(took[0])
    print(
        f"a frame echoed: off {off:.0f} ns, on {on:.0f} ns, {on - off:+.0f} (median {spread:+.0f})"
    )
    for session, _, _, task in both:
        session.confirmed = True
        await session.hang_up(after_playback=False)
        await task


async def idle(late_s):
    """A loop that wakes up as uvicorn's does, and what that takes of a core."""
    with watching(late_s, lag=lambda _: None, ticks=False) as beat:
        began = time.process_time()
        for _ in range(int(IDLE_S * 10)):
            await asyncio.sleep(0.1)
            beat()
        return (time.process_time() - began) / IDLE_S


def main():
    import uvloop

    for factory in (None, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            print("uvloop" if factory else "asyncio")
            runner.run(frames())
            off, on = runner.run(idle(0)), runner.run(idle(0.1))
            print(f"watchdog: {(on - off) * 100:.3f} % of a core")


if __name__ == "__main__":
    main()
