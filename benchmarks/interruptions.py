"""A server that stalls, and a bot that is talked over: what callers hear, ours beside Pipecat's.

Run ``python -m benchmarks.interruptions [--out DIR]``, four minutes on two Linux cores. A server's
whole process is stopped (SIGSTOP) for a moment, as a busy event loop stops it; callers on another
core go on. ``benchmarks.stalls`` has the same in virtual time, for our playout alone.

- **holes**: the bot speaks, and its server stalls once a second: silences that a caller hears in
  its speech, for each stall, and how long they are in all, ms; callers hold audio back for 40 ms;
- **recovery**: an echo, one stall of 400 ms: how long until frames come back as soon as before
  (5 ms), and how much later than before they still are after three seconds, ms;
- **barge-in**: from a key that a caller presses to the carrier's being told to clear, ms.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from ._bars import Bar, Panel, chart
from ._rig import Unavailable, Way, answered, machine, measure, progress, save
from .calls import PIPECAT, ours, theirs

__all__ = ["main"]

STALLS_MS = (50, 150, 400)
STALLS, CALLERS = 6, 4
RECOVERY_MS, RECOVERED_MS, STEP_S, STEPS = 400, 5.0, 0.1, 30
TALKED_OVER, TALKED_OVER_S = 10, 6.0
KEY = "5"


def ways(bot: str) -> list[Way]:
    return [
        Way("ours, fast", ours("fast", bot), (), True),
        Way("ours, ASGI", ours("ASGI", bot), (), True),
        Way("Pipecat, 8 kHz", theirs(8000, bot), PIPECAT, cps=10.0),
    ]


async def holes(way: Way, ms: int) -> dict[str, float]:
    """Of a caller, for each stall."""
    async with answered(way, "talk") as callers:
        await callers.have(CALLERS)
        server = callers.server
        assert server is not None

        async def stall() -> None:
            for _ in range(STALLS):
                await server.stall(ms / 1000)
                await asyncio.sleep(1 - ms / 1000)

        window, _ = await asyncio.gather(callers.window(STALLS + 0.5), stall())
        stalls = STALLS * CALLERS
        return {
            "holes": window.figures.gaps / stalls,
            "silence_ms": window.figures.gap_ms / CALLERS,
        }


async def recovery(way: Way) -> dict[str, float | None]:
    """After one long stall."""
    async with answered(way) as callers:
        await callers.have(CALLERS)
        assert callers.server is not None
        before = await callers.window(1.0)
        await callers.server.stall(RECOVERY_MS / 1000)
        later = [
            (await callers.window(STEP_S)).figures.lateness.quantile(0.5) - before.p50
            for _ in range(STEPS)
        ]
        good = [late < RECOVERED_MS for late in later]
        steps = len(good) - next((n for n, ok in enumerate(reversed(good)) if not ok), len(good))
        return {
            "recovery_s": steps * STEP_S if steps < STEPS else None,
            "left_ms": later[-1],
            "as_heard_ms": (await callers.window(0.5)).figures.lag.quantile(0.5)
            - before.figures.lag.quantile(0.5),
        }


async def barge_in(way: Way) -> dict[str, float]:
    async with answered(way, "bargein", KEY) as callers:
        await callers.have(TALKED_OVER)
        stop = (await callers.window(TALKED_OVER_S)).figures.stop
        p50, p99 = stop.quantiles((0.5, 0.99))
        return {"barge_in_ms": p50, "barge_in_p99_ms": p99, "barge_ins": stop.count}


async def found() -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    rows, failed = dict[str, dict[str, Any]](), dict[str, str]()
    speaking, echoing = ways("speak"), ways("echo")
    for ms in STALLS_MS:
        for way in speaking:
            try:
                one = await holes(way, ms)
            except Unavailable as error:
                failed[way.name] = str(error)
                continue
            rows.setdefault(way.name, {}).update({f"{key}_{ms}": v for key, v in one.items()})
            progress(f"stalls of {ms} ms, {way.name}: {one}")
    for speaks, echoes in zip(speaking, echoing, strict=True):
        if speaks.name not in failed:
            rows[speaks.name].update(await recovery(echoes))
            rows[speaks.name].update(await barge_in(speaks))
            progress(f"{speaks.name}: {rows[speaks.name]}")
    return rows, failed


def table(rows: dict[str, dict[str, Any]]) -> str:
    stalls = " | ".join(f"holes, silence: {ms} ms" for ms in STALLS_MS)
    lines = [
        f"| server | {stalls} | recovery from {RECOVERY_MS} ms | left | barge-in p50 | p99 |",
        "|---" + "|--:" * (len(STALLS_MS) + 4) + "|",
    ]
    for name, row in rows.items():
        heard = " | ".join(
            f"{row[f'holes_{ms}']:.2f}, {row[f'silence_ms_{ms}']:,.0f} ms" for ms in STALLS_MS
        )
        lines.append(
            f"| {name} | {heard} | {recovered(row)} | {max(0.0, row['left_ms']):.0f} ms "
            f"| {row['barge_in_ms']:.1f} | {row['barge_in_p99_ms']:.1f} |"
        )
    return "\n".join(lines)


def recovered(row: dict[str, Any]) -> str:
    return "never" if row["recovery_s"] is None else f"{row['recovery_s']:.1f} s"


def picture(rows: dict[str, dict[str, Any]]) -> str:
    def panel(title: str, key: str, unit: str) -> Panel:
        bars = [
            Bar(name, 1 if "Pipecat" in name else 2, value, f"{value:,.1f} {unit}")
            for name, row in rows.items()
            for value in [max(0.0, row[key])]
        ]
        return Panel(title, "less is better", bars)

    where = machine()
    return chart(
        "Stalls and barge-ins: what callers get",
        f"One run, in turns, {where['date']}; {where['cpu']}, Python {where['python']}.",
        [
            *(
                panel(f"Stalls of {ms} ms: holes for each", f"holes_{ms}", "holes")
                for ms in STALLS_MS
            ),
            panel(f"Still late, 3 s after a stall of {RECOVERY_MS} ms", "left_ms", "ms"),
            panel("Barge-in until the clear, median", "barge_in_ms", "ms"),
        ],
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interruptions", description=__doc__)
    parser.add_argument("--out", default="measured", help="where JSON and picture go")
    given = parser.parse_args(argv)
    rows, failed = measure(found())
    save(given.out, "interruptions", {**machine(), "rows": rows, "failed": failed}, picture(rows))
    print(table(rows))
    for name, why in failed.items():
        print(f"\nNot measured: {name}: {why}")


if __name__ == "__main__":
    main()
