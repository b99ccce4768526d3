"""Bare WebSocket servers, which send each message back: what is below any framework for calls.

Run ``python -m benchmarks.servers [--out DIR] [--only NAME]``, about four minutes. As
in ``benchmarks.calls``, whose ``calls`` these are: 20 ms of µ-law a message, on one core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ._bars import Bar, Panel, chart
from ._ramp import Found, command, number
from ._rig import Way, machine
from .calls import PEERS

__all__ = ["main"]

REQUIRES = (
    "picows==2.3.1",
    "websockets==17.4",
    "aiohttp==3.14.5",
    "uvicorn==0.54.0",
    "fastapi==0.165.0",
    "wsproto==1.3.2",
    "hypercorn==0.18.0",
    "uvloop==0.23.0",
)
NAMES = {
    "picows": "picows, reply in the callback",
    "picows-task": "picows, a task a call",
    "aiohttp": "aiohttp",
    "websockets": "websockets",
    "websockets-sansio": "uvicorn, websockets-sansio, ASGI",
    "fastapi": "… under FastAPI's WebSocket",
    "auto": "uvicorn, its default, ASGI",
    "wsproto": "uvicorn, wsproto, ASGI",
    "hypercorn": "hypercorn, ASGI",
}
WAYS = [
    Way(name, (str(PEERS / "echo_servers.py"), "{port}", kind), REQUIRES)
    for kind, name in NAMES.items()
]


def table(rows: Mapping[str, Found]) -> str:
    lines = [
        "| server | calls | by CPU | CPU at 40, ms/s a call | latency p50 | p99 | KB a call |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {name} | {number(one)} | {one.full:,} | {one.cpu:.2f} | {one.p50:.2f} | {one.p99:.1f} "
        f"| {one.memory:.0f} |"
        for name, one in rows.items()
    ]
    return "\n".join(lines)


def picture(rows: Mapping[str, Found]) -> str:
    bars = [Bar(name, 0, one.calls, number(one)) for name, one in rows.items()]
    where = machine()
    return chart(
        "Bare WebSocket servers: echoed calls on one core",
        f"One run, {where['date']}; {where['cpu']}, Python {where['python']}.",
        [Panel("Calls", "more is better", bars)],
    )


def main(argv: Sequence[str] | None = None) -> None:
    command("servers", __doc__, WAYS, 1, table, picture, argv)


if __name__ == "__main__":
    main()
