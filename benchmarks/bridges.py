"""Our bridge to Cartesia beside a bare one: how soon it answers, what trouble does to it, its cost.

Run ``python -m benchmarks.bridges [--out DIR]``, six minutes on two cores of Linux. It prints a
Markdown table and writes ``bridges.json`` and ``bridges.svg``. Bridges have a process each on one
core; callers and the service, played over real sockets, are on another. First ``FEW`` callers talk
with every bridge at the same time, then more and more with one after the other.

- **answer**: from the caller's last sound to the first of the reply, in ms: median and p95;
- **stale**: old speech that is heard after the caller began to speak over it, in ms: median and
  worst;
- **sockets**: opened to the service by a call of ``TURNS`` turns and a greeting;
- **STT lost**: its socket is torn off while the caller speaks: how many are answered nevertheless,
  how much later than usual, and how many are answered the next time;
- **TTS lost**: its socket is torn off while a reply comes: how much of the reply is heard, how long
  the silence in it is, and how many are answered the next time;
- **CPU**: ms a second for each call, of the bridge's process, at ``LOADED`` calls or
  the most there could be;
- **calls a core**: the most at which less than one frame in a hundred reached the service
  ``LATE_MS`` or more after it was spoken, and every caller was answered.

``--first``, ``--final``, ``--way``, ``--handshake`` set what the service takes, in ms.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._bars import Bar, Panel, chart

if TYPE_CHECKING:
    from ._bridge_callers import Caller, Callers
    from ._cartesia_load import Cartesia, Times

__all__ = ["main"]

NAMES = {
    "bare": "a bare bridge",
    "turns": "ours, turns=True",
    "fast": "the same, media port",
    "detector": "ours, detector here",
}
GREETING = "Hello. How can I help you?"
REPLY = "That I can tell you. There is not much to it, so it will not take long."
FEW = 8
TURNS = 3
INTERRUPTIONS = 2
LEVELS = (20, 40, 60, 80, 100, 130, 160, 200, 250, 310, 400)
LATE_MS = 20.0
SETTLE_S, WINDOW_S, TRIES = 3.0, 4.0, 2
LOADED = 40  # calls at which the CPU of one is measured
KILL_AFTER_S = 1.0
TALK_OVER_AFTER_S = 1.5
PART_S = 0.4

Found = dict[str, Any]


class Bridge:
    """A bridge in its process, with a service and callers of its own."""

    def __init__(self, process: Any, service: Cartesia, callers: Callers) -> None:
        self._process = process
        self.service = service
        self.callers = callers

    async def figures(self) -> dict[str, float]:
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        return json.loads(await self._process.stdout.readline())

    async def have(self, count: int) -> list[Caller]:
        """So many callers; those who are new hear the greeting first."""
        new = [await self.callers.call() for _ in range(count - len(self.callers.all))]
        await asyncio.gather(*(caller.answered() for caller in new))
        await asyncio.gather(*(caller.quiet() for caller in new))
        return new


@asynccontextmanager
async def bridge(way: str, times: Times, handshake_ms: float) -> AsyncGenerator[Bridge]:
    from ._bridge_callers import Callers
    from ._cartesia_load import Cartesia

    service = Cartesia(times)
    told = {
        "CARTESIA_URL": await service.listen(),
        "CARTESIA_API_KEY": "any",
        "GREETING": GREETING,
        "REPLY": REPLY,
        "HANDSHAKE_S": str(handshake_ms / 1000),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks._bridge_server", way, str(_cores()[0])),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **told},
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    await _reachable(port)
    callers = Callers(port, tokens=way != "bare")
    frames = asyncio.create_task(callers.frames())
    try:
        yield Bridge(process, service, callers)
    finally:
        frames.cancel()
        callers.hang_up()
        process.kill()
        await process.wait()
        service.close()


async def _reachable(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            await asyncio.sleep(1.0)  # a greeting may be spoken before the first call
            return


# What happens to few callers.


async def few(way: str, times: Times, handshake_ms: float, found: Found) -> None:
    async with bridge(way, times, handshake_ms) as one:
        await talk(one, found)
        found["stale"] = await one.callers.each(talk_over)
        found["stt"] = await lose("stt", one, one.callers.all)
        one.callers.hang_up()
        await one.have(FEW)
        found["tts"] = await lose("tts", one, one.callers.all)


async def talk(one: Bridge, found: Found) -> None:
    before = sum(one.service.opened.values())
    await one.have(FEW)

    async def turns(caller: Caller) -> list[float | None]:
        answers: list[float | None] = []
        for _ in range(TURNS):
            await caller.say()
            answers.append(await caller.answered())
            await caller.quiet()
        return answers

    found["answers"] = [answer for each in await one.callers.each(turns) for answer in each]
    found["sockets"] = (sum(one.service.opened.values()) - before) / FEW


async def talk_over(caller: Caller) -> list[float]:
    """Ms of old speech heard after speaking over a reply, each time."""
    stale: list[float] = []
    for _ in range(INTERRUPTIONS):
        await caller.say()
        await caller.answered()
        await asyncio.sleep(TALK_OVER_AFTER_S)
        await caller.say()
        stale.append(1000 * caller.heard_s(caller.spoke_at, caller.last_sound))
        await caller.answered()
        await caller.quiet()
    return stale


async def lose(kind: str, one: Bridge, callers: Sequence[Caller]) -> list[Found]:
    """All sockets of a kind are torn off: what each caller hears then, and the next time."""
    saying = asyncio.gather(*(caller.say() for caller in callers))
    if kind == "tts":
        await saying
        await asyncio.gather(*(caller.answered() for caller in callers))
        await asyncio.sleep(PART_S)
        one.service.kill(kind)
        answers: list[float | None] = [None] * len(callers)
    else:
        await asyncio.sleep(KILL_AFTER_S)
        one.service.kill(kind)
        await saying
        answers = await asyncio.gather(*(caller.answered() for caller in callers))
    await asyncio.gather(*(caller.quiet(2.0) for caller in callers))
    lost = [
        {
            "answer": answer,
            "heard": 1000 * caller.heard_s(caller.last_sound, caller.ends),
            "gap": 1000 * gaps(caller),
        }
        for caller, answer in zip(callers, answers, strict=True)
    ]
    await asyncio.gather(*(caller.say() for caller in callers))
    again = await asyncio.gather(*(caller.answered() for caller in callers))
    await asyncio.gather(*(caller.quiet() for caller in callers))
    return [{**each, "again": next_} for each, next_ in zip(lost, again, strict=True)]


def gaps(caller: Caller) -> float:
    """Silence within what was heard since the caller's last sound, in seconds."""
    heard = [each for each in caller.heard if each[0] > caller.last_sound]
    return sum(after[0] - before[1] for before, after in pairwise(heard))


# How many a core holds.


async def ramp(way: str, times: Times, handshake_ms: float, found: Found) -> None:
    async with bridge(way, times, handshake_ms) as one:
        talking: list[asyncio.Task[None]] = []
        answers: list[float | None] = []
        found["levels"] = []
        for calls in LEVELS:
            new = await one.have(calls)
            talking += [asyncio.create_task(talk_on(caller, answers)) for caller in new]
            await asyncio.sleep(SETTLE_S)
            tried: list[Found] = []
            for _ in range(TRIES):  # the machine may have had something else to do
                tried.append({"calls": calls, **await window(one, answers)})
                if holds(tried[-1]):
                    break
            best = min(tried, key=lambda each: each["late_ms"])
            found["levels"].append(best)
            print(f"{way} {best}", file=sys.stderr, flush=True)
            if calls <= LOADED:
                found["cpu_ms"] = best["cpu_ms"]
            if holds(best):
                found["calls"] = calls
            elif calls >= LOADED:
                break
        for task in talking:
            task.cancel()


def holds(level: Found) -> bool:
    return level["late_ms"] < LATE_MS and not level["unanswered"] and not level["gone"]


async def talk_on(caller: Caller, answers: list[float | None]) -> None:
    await asyncio.sleep(random.uniform(0, 8))
    while not caller.gone:
        await caller.say()
        answers.append(await caller.answered())
        await caller.quiet()


async def window(one: Bridge, answers: list[float | None]) -> Found:
    answers.clear()
    one.callers.behind.clear()
    late: list[float] = []
    one.service.late = late
    spent, own, begun = await one.figures(), time.process_time(), time.monotonic()
    await asyncio.sleep(WINDOW_S)
    one.service.late = None
    passed = time.monotonic() - begun
    own = time.process_time() - own
    cpu = ((await one.figures())["cpu_s"] - spent["cpu_s"]) / passed
    calls = one.callers.all
    answered = [answer for answer in answers if answer is not None]
    return {
        "late_ms": round(float(np.percentile(late or [9e9], 99)), 1),
        "answer_ms": round(float(np.median(answered)), 1) if answered else 0.0,
        "unanswered": len(answers) - len(answered),
        "gone": sum(caller.gone for caller in calls),
        "core": round(cpu, 2),
        "cpu_ms": round(1000 * cpu / len(calls), 2),
        # The load's own: where this is late or busy, it was the load that was measured.
        "own_core": round(own / passed, 2),
        "own_late_ms": round(float(np.percentile(one.callers.behind, 99)), 1),
    }


# What it comes to.


def summary(found: Found) -> dict[str, Any]:
    answers = [answer for answer in found["answers"] if answer is not None]
    stale = [ms for each in found["stale"] for ms in each]
    stt, tts = found["stt"], found["tts"]
    usual = float(np.median(answers))
    late = [each["answer"] - usual for each in stt if each["answer"] is not None]
    return {
        "answer_ms": round(usual),
        "answer_p95_ms": round(float(np.percentile(answers, 95))),
        "stale_ms": round(float(np.median(stale))),
        "stale_worst_ms": round(max(stale)),
        "sockets": round(found["sockets"], 2),
        "stt_answered": len(late) / len(stt),
        "stt_later_ms": round(max(0.0, *late)) if late else None,
        "stt_again": sum(each["again"] is not None for each in stt) / len(stt),
        "tts_heard": round(float(np.median([each["heard"] for each in tts])) / full_ms(), 2),
        "tts_gap_ms": round(max(each["gap"] for each in tts)),
        "tts_again": sum(each["again"] is not None for each in tts) / len(tts),
        "cpu_ms_a_second": round(found["cpu_ms"], 1),
        "calls_a_core": found.get("calls", 0),
    }


def full_ms() -> float:
    from ._cartesia_load import WORD_MS

    return WORD_MS * len(REPLY.split())


ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "answer, median (p95)": lambda one: f"{one['answer_ms']} ms ({one['answer_p95_ms']} ms)",
    "stale speech, median (worst)": lambda one: (
        f"{one['stale_ms']} ms ({one['stale_worst_ms']} ms)"
    ),
    f"sockets of a call of {TURNS} turns": lambda one: f"{one['sockets']:g}",
    "STT socket lost: answered, at most later": lambda one: (
        "none: the call is cut off"
        if one["stt_later_ms"] is None
        else f"{one['stt_answered']:.0%}, {one['stt_later_ms']} ms"
    ),
    "… answered the next time": lambda one: f"{one['stt_again']:.0%}",
    "TTS socket lost: heard of the reply": lambda one: f"{one['tts_heard']:.0%}",
    "… silence in it, at most": lambda one: f"{one['tts_gap_ms']} ms",
    "… answered the next time ": lambda one: f"{one['tts_again']:.0%}",
    f"CPU of a call, {LOADED} calls": lambda one: f"{one['cpu_ms_a_second']} ms/s",
    "calls a core": lambda one: str(one["calls_a_core"]),
}


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [f"| | {' | '.join(NAMES[way] for way in rows)} |", "|---|" + "--:|" * len(rows)]
    lines += [
        f"| {name.strip()} | {' | '.join(text(one) for one in rows.values())} |"
        for name, text in ROWS.items()
    ]
    return "\n".join(lines)


def picture(rows: dict[str, dict[str, Any]]) -> str:
    def panel(title: str, better: str, key: str, text: str, scale: float = 1.0) -> Panel:
        bars = [
            Bar(name, n, scale * rows[way][key], text.format(**rows[way]))
            for n, (way, name) in enumerate(NAMES.items())
        ]
        return Panel(title, better, bars)

    less, more = "less is better", "more is better"
    return chart(
        "A bridge from Bandwidth to Cartesia",
        f"The service simulated over real sockets; {FEW} calls at a time; one run, all at once.",
        [
            panel("Answer", less, "answer_ms", "{answer_ms} ms (p95 {answer_p95_ms})"),
            panel("Stale speech", less, "stale_ms", "{stale_ms} ms (at most {stale_worst_ms})"),
            panel("Sockets of a call", less, "sockets", "{sockets:g}"),
            panel("Answered when the STT socket dies", more, "stt_answered", "{stt_answered:.0%}"),
            panel("Reply heard when the TTS socket dies", more, "tts_heard", "{tts_heard:.0%}"),
            panel("CPU of a call", less, "cpu_ms_a_second", "{cpu_ms_a_second} ms a second"),
            panel("Calls a core", more, "calls_a_core", "{calls_a_core}"),
        ],
    )


def _cores() -> tuple[int, int]:
    """The bridges' core and the callers'."""
    cores = sorted(os.sched_getaffinity(0) | _all_cores)
    return cores[-1], cores[0]


_all_cores: set[int] = set()


async def measure(
    ways: Sequence[str], times: Times, handshake_ms: float
) -> dict[str, dict[str, Any]]:
    found: dict[str, Found] = {way: {} for way in ways}
    await asyncio.gather(*(few(way, times, handshake_ms, found[way]) for way in ways))
    for way in ways:
        try:
            await ramp(way, times, handshake_ms, found[way])
        except TimeoutError as error:  # a further caller does not get through
            found[way]["ended"] = str(error) or "a caller did not get through"
    return found


def main(given: argparse.Namespace | None = None) -> None:
    if importlib.util.find_spec("picows") is None:
        print("picows is not installed here (extra `fast`): there is nothing to play the load.")
        return
    import uvloop

    from ._cartesia_load import Times

    given = given or _parser().parse_args()
    _all_cores.update(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores()[1]})
    gc.freeze()
    times = Times(way=given.way, first=given.first, final=given.final)
    found = uvloop.run(measure(tuple(NAMES), times, given.handshake))
    os.sched_setaffinity(0, _all_cores)
    rows = {way: summary(one) for way, one in found.items()}
    folder = Path(given.out)
    folder.mkdir(parents=True, exist_ok=True)
    written = {
        "python": platform.python_version(),
        "load": os.getloadavg()[1],  # what else the machine had to do, too, for the last 5 minutes
        "handshake_ms": given.handshake,
        "times": times._asdict(),
        "rows": [{"way": way, **rows[way], "levels": found[way]["levels"]} for way in rows],
    }
    (folder / "bridges.json").write_text(json.dumps(written, indent=1) + "\n")
    (folder / "bridges.svg").write_text(picture(rows) + "\n")
    print(table(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="measured", help="where JSON and picture go")
    parser.add_argument("--handshake", type=float, default=60.0, help="TCP and TLS, ms")
    parser.add_argument("--first", type=float, default=90.0, help="to the first audio, ms")
    parser.add_argument("--final", type=float, default=150.0, help="to a final transcript, ms")
    parser.add_argument("--way", type=float, default=20.0, help="another message, ms")
    return parser


if __name__ == "__main__":
    main()
