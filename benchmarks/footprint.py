"""What a bot's framework weighs before it does anything: on disk, to import, in memory.

Run ``python -m benchmarks.footprint [--out DIR]``, about two minutes the first time. Each is
installed into an environment of its own, compiled, and imported by processes that take turns.

- **size**: what its packages take on disk, MB; **packages**: how many there are;
- **import**: the median of seven processes' times, ms, without what Python itself takes;
- **memory**: of a process that has imported it, MB, likewise.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ._bars import Bar, Panel, chart
from ._rig import ENVIRONMENTS, ROOT, Unavailable, environment, machine, progress, save
from .calls import AGENT_TRANSPORT, PIPECAT

__all__ = ["main"]

TIMES = 7
LOOK = """
import time
begun = time.perf_counter()
{imports}
took = (time.perf_counter() - begun) * 1000
pages = int(open("/proc/self/statm").read().split()[1])
print(took, pages * 4 / 1024)
"""


class Framework(NamedTuple):
    """``imports`` is what a bot's server on a media WebSocket imports."""

    name: str
    colour: int
    environment: str
    requires: Sequence[str]
    imports: str


FRAMEWORKS = [
    Framework("Trunkline", 2, "trunkline", (".",), "from trunkline import Call"),
    Framework(
        "Trunkline, with its server",
        2,
        "trunkline-fast",
        (".[fast]",),
        "from trunkline import Call, create_app\nimport trunkline.server.fast, trunkline.session",
    ),
    Framework(
        "Pipecat, with its transport",
        1,
        "footprint-pipecat",
        PIPECAT,
        "import uvicorn\nfrom pipecat.pipeline.worker import PipelineWorker\n"
        "from pipecat.serializers.twilio import TwilioFrameSerializer\n"
        "from pipecat.transports.websocket.fastapi import FastAPIWebsocketTransport",
    ),
    Framework(
        "agent-transport, raw", 1, "footprint-agent", AGENT_TRANSPORT, "import agent_transport"
    ),
    Framework(
        "agent-transport, with Pipecat",
        1,
        "footprint-agent-pipecat",
        ("agent-transport[pipecat]==0.2.2", "pipecat-ai==1.14.0"),
        "from agent_transport.audio_stream.pipecat.transports.websocket import *",
    ),
]


def weigh(python: Path) -> tuple[float, int]:
    """MB on disk, and packages."""
    (packages,) = (python.parent.parent / "lib").glob("python*/site-packages")
    files = [one for one in packages.rglob("*") if one.is_file() and not one.is_symlink()]
    ours = 0
    if any(packages.glob("trunkline-*.dist-info")) and not (packages / "trunkline").exists():
        ours = sum(one.stat().st_size for one in (ROOT / "src").rglob("*.py"))
    size = sum(one.stat().st_size for one in files) + ours
    return size / 1e6, len(list(packages.glob("*.dist-info")))


def look(python: Path, imports: str) -> tuple[float, float]:
    """Ms to import, and MB held then."""
    done = subprocess.run(
        [str(python), "-c", LOOK.format(imports=imports)],
        cwd=ENVIRONMENTS,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Unavailable(done.stderr.strip().splitlines()[-1])
    took, memory = map(float, done.stdout.split()[-2:])
    return took, memory


def found(frameworks: Sequence[Framework]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    pythons, failed = dict[str, Path](), dict[str, str]()
    looks = dict[str, list[tuple[float, float]]]()
    for one in frameworks:
        try:
            python = environment(one.environment, one.requires)
            look(python, one.imports)
        except Unavailable as error:
            failed[one.name] = str(error)
        else:
            pythons[one.name] = python
    for number in range(TIMES):
        progress(f"imports, {number + 1}/{TIMES}")
        for one in frameworks:
            if one.name in pythons:
                bare = look(pythons[one.name], "pass")
                whole = look(pythons[one.name], one.imports)
                looks.setdefault(one.name, []).append((whole[0], whole[1] - bare[1]))
    rows = dict[str, dict[str, Any]]()
    for name, python in pythons.items():
        size, packages = weigh(python)
        rows[name] = {
            "size_mb": round(size, 1),
            "packages": packages,
            "import_ms": round(statistics.median(took for took, _ in looks[name])),
            "memory_mb": round(statistics.median(memory for _, memory in looks[name]), 1),
        }
    return rows, failed


def picture(rows: dict[str, dict[str, Any]]) -> str:
    colours = {one.name: one.colour for one in FRAMEWORKS}

    def panel(title: str, key: str, unit: str) -> Panel:
        bars = [
            Bar(name, colours[name], row[key], f"{row[key]:,} {unit}") for name, row in rows.items()
        ]
        return Panel(title, "less is better", bars)

    return chart(
        "Before the first call",
        f"Python {machine()['python']}, {machine()['date']}.",
        [
            panel("On disk", "size_mb", "MB"),
            panel("Time to import", "import_ms", "ms"),
            panel("Memory once imported", "memory_mb", "MB"),
        ],
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--out", default="measured", help="where JSON and picture go")
    given = parser.parse_args(argv)
    ENVIRONMENTS.mkdir(exist_ok=True)
    rows, failed = found(FRAMEWORKS)
    save(given.out, "footprint", {**machine(), "rows": rows, "failed": failed}, picture(rows))
    print("| | on disk, MB | packages | import, ms | memory, MB |\n|---|--:|--:|--:|--:|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{one:,}" for one in row.values()) + " |")
    for name, why in failed.items():
        print(f"\nNot measured: {name}: {why}")


if __name__ == "__main__":
    main()
