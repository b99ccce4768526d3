"""Calls a core: ours beside Pipecat's transport and agent-transport's two, in one run.

Run ``python -m benchmarks.calls [--out DIR] [--rounds 2] [--only NAME]``, about ten minutes on two
cores. Each server echoes calls, pinned to one core; callers (those of ``trunkline load``) are on
another: real WebSockets over the loopback, no TLS, 20 ms messages. Servers are measured in turn,
``--rounds`` times.

- **added latency**: from a frame's sending to its echo's coming, at 40 calls: median and p99, ms;
- **CPU**: ms a second for each call, of the server's process, at 40 calls;
- **calls**: the most whose frames' p99 is less than 20 ms above the median at 40 calls;
- **by CPU**: how many would fill the core, by what they were seen to need: it tells something even
  where a busy machine makes callers themselves late;
- **memory**: what each further call adds to the server's, KB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._bars import Bar, Panel, chart
from ._ramp import Found, command, number
from ._rig import HERE, Way, machine

__all__ = [
    "AGENT_TRANSPORT",
    "AGENT_TRANSPORT_PIPECAT",
    "PEERS",
    "PIPECAT",
    "main",
    "ours",
    "theirs",
]

PIPECAT = (
    "pipecat-ai[websocket]==1.14.0",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "websockets==17.4",
)
AGENT_TRANSPORT = ("agent-transport==0.2.2",)
AGENT_TRANSPORT_PIPECAT = (
    "agent-transport[pipecat]==0.2.2",
    "pipecat-ai==1.14.0",
    "uvloop==0.23.0",
)
PEERS = HERE / "_peers"


def ours(listener: str, bot: str) -> tuple[str, ...]:
    """How our server is started."""
    media = ("--media-port", "{media}") if listener == "fast" else ()
    return (
        *("-m", "trunkline", "serve", f"benchmarks._bots:{bot}"),
        *("--port", "{port}", "--simulator", "{rest}", *media),
    )


def theirs(rate: int, bot: str = "echo") -> tuple[str, ...]:
    return (str(PEERS / "pipecat_calls.py"), "{port}", str(rate), bot)


WAYS = [
    Way("bare picows echo", (str(PEERS / "echo_servers.py"), "{port}", "picows")),
    *(
        Way(f"ours, {listener}, {what}", ours(listener, bot), (), True, carrier)
        for what, bot, carrier in (
            ("µ-law", "echo", "twilio"),
            ("24 kHz", "echo", "wavix"),
            ("8↔16 kHz", "wide", "twilio"),
        )
        for listener in ("fast", "ASGI")
        if (listener, carrier) != ("ASGI", "wavix")
    ),
    # At the pace of the others, what piles up while its pipelines are built stays late ever after.
    Way("Pipecat, 8 kHz", theirs(8000), PIPECAT, cps=10.0),
    Way("Pipecat, 16 kHz", theirs(16000), PIPECAT, cps=10.0),
    Way(
        "agent-transport, raw",
        (str(PEERS / "agent_transport_calls.py"), "{port}"),
        AGENT_TRANSPORT,
        carrier="plivo",
    ),
    Way(
        "agent-transport, Pipecat",
        (str(PEERS / "agent_transport_pipecat_calls.py"), "{port}"),
        AGENT_TRANSPORT_PIPECAT,
        carrier="plivo",
        cps=10.0,
    ),
]
COLOURS = {"bare": 0, "ours": 2, "Pipecat": 1, "agent-transport": 1}


def table(rows: Mapping[str, Found]) -> str:
    base = rows["Pipecat, 8 kHz"].calls if "Pipecat, 8 kHz" in rows else 0
    lines = [
        "| server | calls | × Pipecat | by CPU | latency p50 | p99 | CPU | KB a call |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {name} | {number(one)} | {f'{one.calls / base:.1f}' if base else '–'} | {one.full:,} "
        f"| {one.p50:.2f} | {one.p99:.1f} | {one.cpu:.2f} | {one.memory:.0f} |"
        for name, one in rows.items()
    ]
    return "\n".join(lines)


def picture(rows: Mapping[str, Found]) -> str:
    def panel(title: str, better: str, value: Any, text: Any) -> Panel:
        return Panel(
            title,
            better,
            [
                Bar(name, COLOURS[name.split(",")[0].split()[0]], value(one), text(one))
                for name, one in rows.items()
            ],
        )

    less, more = "less is better", "more is better"
    where = machine()
    return chart(
        "Echoed calls on one core",
        f"One run, in turns, {where['date']}; {where['cpu']}, Python {where['python']}.",
        [
            panel("Calls", more, lambda one: one.calls, number),
            panel("CPU of a call, at 40", less, lambda o: o.cpu, lambda o: f"{o.cpu:.1f} ms/s"),
            panel(
                "Added latency, at 40 calls",
                less,
                lambda one: one.p50,
                lambda one: f"{one.p50:.1f} ms (p99 {one.p99:.1f})",
            ),
        ],
    )


def main(argv: Sequence[str] | None = None) -> None:
    command("calls", __doc__, WAYS, 2, table, picture, argv)


if __name__ == "__main__":
    main()
