"""Where a message's time goes: a sampling profile of a server's core, kernel and C code included.

Run ``python -m benchmarks.account [--calls 300] [--listener fast|ASGI] [--bot echo|wide]``, under a
minute. It needs Linux's ``perf`` (Debian: ``apt install linux-perf``) and the right to use it, and
Python 3.12 or newer, whose functions perf can name. Callers are those of ``trunkline load``, on
another core. For each sample the innermost frame that tells what is done decides: system calls by
name, C libraries by theirs, and our functions by their module.

A send on the loopback includes delivering it to the other process, and waking that up.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ._bars import Bar, Panel, chart
from ._rig import CALLERS_CORE, Way, answered, machine, measure, pin, save
from .calls import ours

__all__ = ["main", "part", "samples"]

SECONDS = 6.0
HZ = 2500
STACK_BYTES = 2048

SEND, RECEIVE = "kernel: send, and deliver", "kernel: receive"
WAIT, KERNEL = "kernel: wait for sockets", "kernel: other"
LOOP = "WebSocket and event loop"
OTHER = "other"

# What a kernel function on the stack tells of its system call.
_SYSTEM = {
    "sys_sendto": SEND,
    "sys_sendmsg": SEND,
    "sys_write": SEND,
    "sys_recvfrom": RECEIVE,
    "sys_recvmsg": RECEIVE,
    "sys_read": RECEIVE,
    "sys_epoll_wait": WAIT,
    "sys_epoll_pwait": WAIT,
}
# C libraries whose own time is theirs, whoever called them.
_LIBRARIES = {
    "/picows/": LOOP,
    "/aiofastnet/": LOOP,
    "/uvloop/": LOOP,
    "/msgspec/": "the carrier's messages: JSON, base64",
    "/pybase64/": "the carrier's messages: JSON, base64",
    "/numpy": "resampling and G.711",
    "openblas": "resampling and G.711",
    "audioop": "resampling and G.711",
}
# Our functions, and those of libraries in Python, by a piece of their path.
_MODULES = {
    "uvicorn/": LOOP,
    "websockets/": LOOP,
    "asyncio/": LOOP,
    "starlette/": "the web framework",
    "fastapi/": "the web framework",
    "trunkline/server/": "our socket",
    "trunkline/carriers/": "the carrier's messages: JSON, base64",
    "trunkline/wire.py": "the carrier's messages: JSON, base64",
    "trunkline/media/play": "playout",
    "trunkline/media/passage": "playout",
    "trunkline/media/": "resampling and G.711",
    "trunkline/call.py": "call and utterance",
    "trunkline/utterance.py": "call and utterance",
    "trunkline/feed.py": "call and utterance",
    "trunkline/": "session",
}


def part(stack: Sequence[tuple[str, str]]) -> str:
    """What a sample's time went to. ``stack`` has functions and where they are, innermost first."""
    if stack and stack[0][1].startswith("[kernel"):
        for symbol, _ in stack:
            for call, name in _SYSTEM.items():
                if call in symbol:
                    return name
        return KERNEL
    for symbol, where in stack:
        python = symbol.startswith("py::")
        for piece, name in (_MODULES if python else _LIBRARIES).items():
            if piece in (symbol if python else where):
                return name
    return OTHER


def samples(lines: Iterable[str]) -> Iterator[list[tuple[str, str]]]:
    """The stacks in what ``perf script -F ip,sym,dso`` wrote."""
    stack: list[tuple[str, str]] = []
    for line in lines:
        if not line.strip():
            if stack:
                yield stack
            stack = []
            continue
        _, _, rest = line.strip().partition(" ")
        symbol, _, where = rest.rpartition(" (")
        stack.append((symbol or rest, where.rstrip(")")))
    if stack:
        yield stack


async def recorded(way: Way, calls: int, data: Path) -> float:
    """Leave samples in ``data``; the CPU of a call, in ms a second, from before perf looked."""
    async with answered(way) as callers:
        if not await callers.have(calls):
            raise SystemExit(f"the server took no {calls} calls: try fewer, with --calls")
        assert callers.server is not None
        before = await callers.window(SECONDS / 2)
        perf = looking(callers.server.process.pid, data)
        await callers.window(SECONDS + 1)
        _, said = await asyncio.to_thread(perf.communicate)
        if perf.returncode:
            raise SystemExit(f"perf may not look: {said.strip()[-300:]}")
        return before.cpu


def looking(pid: int, data: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *("perf", "record", "-q", "-o", str(data), "-F", str(HZ), "-p", str(pid)),
            *("--call-graph", f"dwarf,{STACK_BYTES}", "--", "sleep", str(SECONDS)),
        ],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: pin(CALLERS_CORE),
    )


def counted(data: Path) -> Counter[str]:
    """How many samples went to what."""
    script = subprocess.run(
        ["perf", "script", "-i", str(data), "-F", "ip,sym,dso"],
        capture_output=True,
        text=True,
        check=True,
    )
    return Counter(part(stack) for stack in samples(script.stdout.splitlines()))


def table(parts: Counter[str]) -> str:
    whole = parts.total()
    rows = [f"| {name} | {count / whole:.0%} |" for name, count in parts.most_common()]
    return "\n".join(["| part | share |", "|---|--:|", *rows])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.account", description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--listener", choices=("fast", "ASGI"), default="fast")
    parser.add_argument("--bot", choices=("echo", "wide"), default="echo", help="wide: 8 to 16 kHz")
    parser.add_argument("--out", default="measured", help="where JSON and picture go")
    given = parser.parse_args(argv)
    if sys.version_info < (3, 12) or shutil.which("perf") is None:
        print("Not measured: account needs perf, and Python 3.12 or newer.")
        return
    way = Way("ours", ("-X", "perf", *ours(given.listener, given.bot)), (), True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "perf.data"
        cpu = measure(recorded(way, given.calls, data))
        parts = counted(data)
    what = f"{given.calls} calls, {given.listener}, {given.bot}"
    print(f"{table(parts)}\n\n{what}: {cpu:.2f} ms of CPU a second each")
    whole = parts.total()
    bars = [Bar(name, 2, n / whole, f"{n / whole:.0%}") for name, n in parts.most_common()]
    where = machine()
    foot = f"{where['date']}; {where['cpu']}, Python {where['python']}."
    panel = Panel("Share of the server's CPU", "of all samples", bars)
    picture = chart(f"Where a message's time goes: {what}", foot, [panel])
    save(given.out, "account", {**where, **vars(given), "cpu_ms_s": cpu, "samples": parts}, picture)


if __name__ == "__main__":
    main()
