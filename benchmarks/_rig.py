"""What benchmarks of servers share: a core for each side, the peers' environments, and callers.

A server runs in a process of its own, pinned to one core; this process, with the callers, is on
another. Callers are those of ``trunkline load``: real WebSockets, one timer for all of them, and
each 20 ms frame says which it is. What a peer needs is installed under ``.bench``, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from trunkline.sim.load.calls import Calls
from trunkline.sim.load.figures import Figures, Live
from trunkline.sim.load.plan import Plan, planned
from trunkline.sim.load.proc import usage
from trunkline.sim.load.wheel import Wheel
from trunkline.sim.network import RealNetwork
from trunkline.sim.platform_app import platform_app, serve

__all__ = [
    "Callers",
    "Server",
    "Unavailable",
    "Way",
    "Window",
    "answered",
    "environment",
    "machine",
    "measure",
    "progress",
    "save",
    "stolen_s",
]

HERE = Path(__file__).parent
ROOT = HERE.parent
ENVIRONMENTS = ROOT / ".bench"
CPS = 150.0
START_S = 60.0
SETTLE_S, PATIENCE_S = 0.7, 2.0
ALL_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
SERVERS_CORE, CALLERS_CORE = ALL_CORES[0], ALL_CORES[-1]


class Unavailable(Exception):
    """A peer cannot be measured here; says why."""


class Way(NamedTuple):
    """One server to be measured.

    ``args`` are its command line, ``{port}``, ``{media}`` and ``{rest}`` filled in. ``requires``
    is what is installed for it; nothing: this environment is its. ``webhooks``: its calls begin
    with a webhook; else at its socket. ``cps`` is how many begin in a second.
    """

    name: str
    args: Sequence[str]
    requires: Sequence[str] = ()
    webhooks: bool = False
    carrier: str = "twilio"
    cps: float = CPS


def pin(core: int) -> None:
    """Keep the calling process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def progress(text: str) -> None:
    """Say how it goes; tables have standard output for themselves."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def environment(name: str, requires: Sequence[str], under: Path = ENVIRONMENTS) -> Path:
    """The Python of an environment that has these packages; made where there is none.

    Raises:
        Unavailable: they cannot be installed.
    """
    if not requires:
        return Path(sys.executable)
    folder = under / name
    python, stamp = folder / "bin" / "python", folder / "requires.txt"
    wanted = "\n".join([platform.python_version(), *requires])
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    progress(f"installing {', '.join(requires)} into {folder} …")
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    make = [uv, "venv", "-q"] if uv else [sys.executable, "-m", "venv"]
    pip = [uv, "pip"] if uv else [str(python), "-m", "pip"]
    install = [*pip, "install", "-q", *(["--python", str(python)] if uv else []), *requires]
    base = ["--python", sys.executable] if uv else []
    for command in ([*make, *base, str(folder)], install):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise Unavailable(f"{name}: cannot be installed: {said[-1] if said else '?'}")
    subprocess.run([str(python), "-m", "compileall", "-q", str(folder / "lib")], check=False)
    stamp.write_text(wanted)
    return python


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Server:
    """One way's process, on the servers' core; its log is shown where it does not start."""

    def __init__(self, way: Way, port: int, rest: str) -> None:
        self.way = way
        self._port = port
        python = environment(_slug(way), way.requires)
        filled = [one.format(port=port, media=free_port(), rest=rest) for one in way.args]
        self._log = (ENVIRONMENTS / f"{port}.log").open("w+")
        self.process = subprocess.Popen(
            [str(python), *filled],
            cwd=ROOT,
            env={**os.environ, "TRUNKLINE_MAX_CALLS": "100000", "PYTHONWARNINGS": "ignore"},
            stdout=self._log,
            stderr=self._log,
            preexec_fn=lambda: pin(SERVERS_CORE),
        )

    async def started(self) -> None:
        """Wait until it takes connections.

        Raises:
            Unavailable: it does not.
        """
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                await asyncio.sleep(0.5)
                return
            await asyncio.sleep(0.1)
        self._log.seek(0)
        raise Unavailable(f"{self.way.name}: does not start: {self._log.read()[-300:]}")

    def cpu_s(self) -> float:
        return usage([self.process.pid]).cpu_s

    def rss_kb(self) -> float:
        return usage([self.process.pid]).rss / 1024

    async def stall(self, seconds: float) -> None:
        """Stop the whole process for that long, as a busy event loop would."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()
        Path(self._log.name).unlink()


def _slug(way: Way) -> str:
    """Ways that need the same packages share an environment."""
    return "-".join(one.split("=")[0].split("[")[0] for one in way.requires)[:60]


def stolen_s(stat: str, core: int) -> float:
    """For how long in all the host has kept a core from this machine: ``/proc/stat``, proc(5)."""
    lines = (line.split() for line in stat.splitlines())
    ticks = next((int(one[8]) for one in lines if one and one[0] == f"cpu{core}"), 0)
    return ticks / os.sysconf("SC_CLK_TCK")


def taken_s() -> list[float]:
    """The same of the servers' core and the callers', now; nothing where none is told."""
    try:
        stat = Path("/proc/stat").read_text()
    except OSError:
        return [0.0, 0.0]
    return [stolen_s(stat, core) for core in (SERVERS_CORE, CALLERS_CORE)]


class Window(NamedTuple):
    """What was measured in a few seconds; times in ms, CPU in ms a second for each call.

    ``taken``: what share of one core, the servers' or the callers', the host kept to itself.
    """

    calls: int
    p50: float
    p99: float
    cpu: float
    core: float
    own_p99: float
    own_core: float
    missing: float
    taken: float
    figures: Figures


class Callers:
    """Callers of one server, ever more of them."""

    def __init__(self, plan: Plan, stack: AsyncExitStack) -> None:
        self.server: Server | None = None
        self.live = Live()
        self.plan = plan
        self._stack = stack
        self._tasks: set[asyncio.Task[None]] = set()
        self._wheel = Wheel(self.live)
        self._calls: Calls | None = None
        self._hang_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def rest(self) -> str:
        """Serve the carrier's REST API, and say where."""
        network = await self._stack.enter_async_context(RealNetwork())
        self._calls = Calls(self.plan, network, self._wheel, self.live)
        rest = await self._stack.enter_async_context(serve(platform_app(self._calls.exchange)))
        # Before that is left: calls whose server is gone would ask it how to go on.
        self._stack.push_async_callback(self._calls.aclose)
        return rest

    async def have(self, count: int) -> bool:
        """So many calls, if the server takes them."""
        assert self._calls is not None
        loop, begun, first = asyncio.get_running_loop(), time.perf_counter(), len(self._tasks)
        for number in range(first, count):
            ahead = begun + (number - first) / self.plan.cps - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            self._tasks.add(loop.create_task(self._calls.hold(self._hang_up)))
        await asyncio.sleep(SETTLE_S)
        if self._calls.up < count:
            await asyncio.sleep(PATIENCE_S)
        return self._calls.up >= count

    @property
    def up(self) -> int:
        """How many calls there are."""
        assert self._calls is not None
        return self._calls.up

    async def window(self, seconds: float) -> Window:
        """What callers get for so long."""
        assert self._calls is not None and self.server is not None
        self.live.take()
        taken = taken_s()
        cpu, own, begun = self.server.cpu_s(), time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        passed = time.perf_counter() - begun
        cpu, own = self.server.cpu_s() - cpu, time.process_time() - own
        figures = self.live.take()
        p50, p99 = figures.lateness.quantiles((0.5, 0.99))
        back = figures.frames_back + figures.beeps_back * 50
        calls = self._calls.up
        return Window(
            calls=calls,
            p50=p50,
            p99=p99,
            cpu=cpu / passed / max(1, calls) * 1000,
            core=cpu / passed,
            own_p99=figures.own.quantile(0.99),
            own_core=own / passed,
            missing=max(0.0, 1 - back / max(1, calls * 50 * passed)),
            taken=max(now - then for now, then in zip(taken_s(), taken, strict=True)) / passed,
            figures=figures,
        )

    async def leave(self) -> None:
        self._wheel.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def answered(way: Way, scenario: str = "echo", key: str = "") -> AsyncGenerator[Callers]:
    """A server of this way, and callers who have not called yet."""
    async with AsyncExitStack() as stack:
        port = free_port()
        plan = planned(
            way.carrier, f"http://127.0.0.1:{port}", scenario, socket=not way.webhooks, calls=1,
            cps=way.cps, duration=1.0, inbound="", outbound="", hold_ms=40.0, key=key,
            parameters=(), via="", rest_port=0, processes=1,
        )  # fmt: skip
        callers = Callers(plan, stack)
        server = callers.server = Server(way, port, await callers.rest())
        stack.callback(server.stop)
        await server.started()
        stack.push_async_callback(callers.leave)
        yield callers


def measure(work: Any) -> Any:
    """Run a coroutine on the callers' core."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    if SERVERS_CORE == CALLERS_CORE:
        progress("one core only: servers and callers take turns, and figures mean little")
    pin(CALLERS_CORE)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        return uvloop.run(work)
    finally:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(ALL_CORES))


def machine() -> dict[str, Any]:
    """Where and when it was measured, and what else that machine had to do."""
    model = ""
    with contextlib.suppress(OSError, IndexError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(one.split(":")[1].strip() for one in lines if one.startswith("model name"))
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": model,
        "cores": len(ALL_CORES),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg(),
    }


def save(out: str, name: str, written: dict[str, Any], picture: str = "") -> None:
    """Leave the figures, and their picture, in a folder."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(written, indent=1) + "\n")
    if picture:
        (folder / f"{name}.svg").write_text(picture + "\n")
