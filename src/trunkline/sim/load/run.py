"""Runs a load test: starts its processes, shows how it goes, watches the server, adds up.

The measuring itself is the ``worker``'s, in processes of its own, so that nothing that is shown
here makes a frame late.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from time import monotonic

import msgspec
from msgspec import Struct

from ... import carriers
from ...errors import ConfigError, TrunklineError
from ..deadline import Overdue
from ..network import RealNetwork
from ..platform_app import platform_app, serve
from .figures import Ready, Second
from .plan import Plan
from .proc import Usage, can_look, usage
from .rest import SharedPlatform
from .tally import Summary, Tally, Usages

__all__ = ["Result", "run_load"]

# A line holds a second's histograms.
_LINE = 1 << 24
# When a process that was told to end the calls is ended itself.
_PATIENCE_S = 60.0


class Result(Struct, frozen=True):
    """A test that is over. ``stopped``: by Ctrl-C, before its time."""

    plan: Plan
    processes: int
    summary: Summary
    tally: Tally
    stopped: bool


class _Watch:
    """Looks at the server's processes, once before the calls and each second while all are up."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids if can_look() else ()
        self._before = usage(self._pids)
        self._first: tuple[float, Usage] | None = None
        self._last: tuple[float, Usage] | None = None

    def look(self, steady: bool) -> None:
        if not self._pids or not steady:
            return
        try:
            self._last = monotonic(), usage(self._pids)
        except ConfigError:
            self._pids = ()  # it is gone; what was seen stands
            return
        self._first = self._first or self._last

    def found(self, calls: int) -> Usages | None:
        if self._first is None or self._last is None or not calls:
            return None
        wall = self._last[0] - self._first[0]
        if not wall:
            return None
        cores = (self._last[1].cpu_s - self._first[1].cpu_s) / wall
        rss = self._last[1].rss
        return Usages(
            cores=cores,
            cpu_ms_per_call=cores * 1000 / calls,
            rss_kb=rss / 1024,
            rss_kb_per_call=(rss - self._before.rss) / 1024 / calls,
        )


async def run_load(
    plan: Plan, processes: int, pids: Sequence[int], show: Callable[[Tally, Second], None]
) -> Result:
    """Run a test to its end, or until Ctrl-C, at which the calls are ended properly.

    Args:
        plan: what is asked for.
        processes: how many share the calls.
        pids: the server's processes, to be watched.
        show: is told after every second of a process.

    Raises:
        ConfigError: the port of the REST API is taken, or there is no such ``pid``.
        TrunklineError: a process failed.
    """
    plans = plan.share(processes)
    tally, watch = Tally(len(plans)), _Watch(pids)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    try:
        async with AsyncExitStack() as stack:
            urls: list[str] = []
            await _serve_rest(plan, urls, stack)
            children: list[_Child] = []
            for number, share in enumerate(plans):
                children.append(await stack.enter_async_context(_Child(number, share)))

            def take(number: int, told: Ready | Second) -> None:
                if isinstance(told, Ready):
                    urls.append(told.rest_url)
                    return
                tally.add(number, told)
                watch.look(told.steady)
                show(tally, told)

            ending = loop.create_task(_stop_all(stopped, children))
            try:
                await asyncio.gather(*(child.follow(take) for child in children))
            finally:
                ending.cancel()
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    summary = tally.summary()
    server = watch.found(summary.calls)
    return Result(
        plan=plan,
        processes=len(plans),
        summary=msgspec.structs.replace(summary, server=server),
        tally=tally,
        stopped=stopped.is_set(),
    )


async def _serve_rest(plan: Plan, urls: list[str], stack: AsyncExitStack) -> None:
    """Answer the server's REST requests, by what the processes answer at ``urls``."""
    if plan.direct:
        return
    network = await stack.enter_async_context(RealNetwork())
    app = platform_app(SharedPlatform(carriers.get(plan.carrier), network, urls))
    try:
        await stack.enter_async_context(serve(app, plan.rest_port))
    except OSError as error:
        if isinstance(error, Overdue):
            raise
        raise ConfigError(
            f"port {plan.rest_port} for the carrier's REST API cannot be had: {error}; choose "
            "another with --rest-port (and tell serve --simulator)"
        ) from None


async def _stop_all(stopped: asyncio.Event, children: Sequence[_Child]) -> None:
    await stopped.wait()
    for child in children:
        child.stop()


class _Child:
    """One process of a test."""

    def __init__(self, number: int, plan: Plan) -> None:
        self._number = number
        self._plan = plan
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> _Child:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "trunkline.sim.load.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(self._plan) + b"\n")
        await self._process.stdin.drain()
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            self.stop()
            try:
                await asyncio.wait_for(process.wait(), _PATIENCE_S)
            except TimeoutError:
                process.kill()
                await process.wait()

    def stop(self) -> None:
        """End the calls, properly."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()

    async def follow(self, take: Callable[[int, Ready | Second], None]) -> None:
        """Read what it measures until it has ended."""
        assert self._process is not None
        out, err = self._process.stdout, self._process.stderr
        assert out is not None and err is not None
        complaints = asyncio.get_running_loop().create_task(err.read())
        while line := await out.readline():
            take(self._number, msgspec.json.decode(line, type=Ready | Second))
        said = (await complaints).decode(errors="replace").strip()
        code = await self._process.wait()
        if code:
            raise TrunklineError(f"a process of the load test failed ({code}): {said[-2000:]}")
