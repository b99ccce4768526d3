"""One process of a load test: holds its share of the calls, and says each second what it measured.

Its plan comes as a line of JSON on standard input, what it measured goes as lines of JSON to
standard output; a second line, or the end of the input, ends the calls properly and early.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import perf_counter, process_time

import msgspec

from ..network import RealNetwork
from ..platform_app import platform_app, serve
from .calls import Calls
from .figures import Live, Ready, Second
from .plan import Plan, Scenario
from .wheel import Wheel

__all__ = ["Worker", "main"]

# Short calls are so long.
_SHORT_S = (1.0, 2.0)
# How long the last calls may take to begin before measuring starts.
_SETTLE_S = 1.0
# A server may ask after its last calls for so long.
_LINGER_S = 1.0


class Worker:
    """Runs one plan.

    Args:
        plan: what is asked for.
        tell: is told when it begins, and each second's figures.
    """

    def __init__(self, plan: Plan, tell: Callable[[Ready | Second], None]) -> None:
        self._live = Live()
        self._plan = plan
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._held: dict[asyncio.Task[None], asyncio.Future[None]] = {}
        self._steady = plan.scenario is Scenario.SHORT
        self._seconds = 0
        self._cpu = process_time()
        self._told_at = perf_counter()

    def stop(self) -> None:
        """End the calls, and then all."""
        self._stop.set()

    async def run(self) -> None:
        """The whole test."""
        plan = self._plan
        wheel = Wheel(self._live)
        async with AsyncExitStack() as stack:
            network = await stack.enter_async_context(RealNetwork(via=plan.via))
            calls = Calls(plan, network, wheel, self._live)
            stack.push_async_callback(calls.aclose)
            rest_url = ""
            if not plan.direct:
                app = platform_app(calls.exchange)
                rest_url = await stack.enter_async_context(serve(app))
            self._tell(Ready(rest_url))
            clock = self._loop.create_task(self._each_second(calls))
            try:
                await (self._short(calls) if self._steady else self._long(calls))
                self._report(calls)
                if not plan.direct:
                    await asyncio.sleep(_LINGER_S)
            finally:
                clock.cancel()
                wheel.stop()

    # The two shapes of a test.

    async def _long(self, calls: Calls) -> None:
        """All calls are held at once: begun one after the other, measured, ended likewise."""
        begun = perf_counter()
        for number in range(self._plan.calls):
            await self._sleep(begun + number / self._plan.cps - perf_counter())
            if self._stop.is_set():
                break
            self._begin(calls)
        await self._sleep(_SETTLE_S)  # the last ones are being set up
        self._report(calls)
        self._steady = True
        await self._sleep(self._plan.duration)
        self._report(calls)
        self._steady = False
        await self._hang_up_all()

    async def _short(self, calls: Calls) -> None:
        """One call after the other begins, and each is soon over."""
        begun, number = perf_counter(), 0
        while (at := number / self._plan.cps) < self._plan.duration:
            await self._sleep(begun + at - perf_counter())
            if self._stop.is_set():
                break
            if len(self._held) < self._plan.calls:
                hang_up = self._begin(calls)
                self._loop.call_later(random.uniform(*_SHORT_S), _settle, hang_up)
            else:
                full = "as many calls as --calls allows were up already"
                self._live.figures.error("held back", full)
            number += 1
        await self._hang_up_all()

    async def _hang_up_all(self) -> None:
        """At the pace at which the calls began; at once, it would measure something else."""
        begun = perf_counter()
        for number, hang_up in enumerate(list(self._held.values())):
            if not hang_up.done():
                ahead = begun + number / self._plan.cps - perf_counter()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                _settle(hang_up)
        if self._held:
            await asyncio.wait(self._held)

    def _begin(self, calls: Calls) -> asyncio.Future[None]:
        hang_up: asyncio.Future[None] = self._loop.create_future()
        task = self._loop.create_task(calls.hold(hang_up))
        self._held[task] = hang_up
        task.add_done_callback(self._done)
        return hang_up

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._held[task]
        if not task.cancelled():
            task.result()  # what went wrong in here shows

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless it is to stop."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)

    # What is told.

    async def _each_second(self, calls: Calls) -> None:
        begun = self._loop.time()
        while True:
            self._seconds += 1
            await asyncio.sleep(begun + self._seconds - self._loop.time())
            self._report(calls)

    def _report(self, calls: Calls) -> None:
        calls.exchange.requests.clear()
        cpu, self._cpu = self._cpu, process_time()
        told_at, self._told_at = self._told_at, perf_counter()
        self._tell(
            Second(
                at=self._seconds,
                calls=calls.up,
                steady=self._steady,
                wall=self._told_at - told_at,
                cpu=self._cpu - cpu,
                figures=self._live.take(),
            )
        )


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def main() -> None:
    """What a process of a load test runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started us ends us properly
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    # Few of our objects form circles: looking for those often would make us late.
    gc.set_threshold(50_000, 20, 100)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(plan))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop


async def _run(plan: Plan) -> None:
    worker = Worker(plan, _tell)
    loop = asyncio.get_running_loop()
    told = sys.stdin.fileno()

    def stop() -> None:
        loop.remove_reader(told)  # the end of a file can be read for ever
        worker.stop()

    loop.add_reader(told, stop)
    try:
        await worker.run()
    finally:
        loop.remove_reader(told)


def _tell(what: Ready | Second) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
