"""The command ``trunkline load``: its options, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .figures import Second
    from .plan import Plan
    from .report import Limits
    from .tally import Tally

__all__ = ["load"]

_Url = Annotated[
    str,
    typer.Option(
        help="the server's public URL, without the carrier's name; or the ws:// URL of a bare "
        "WebSocket, for a server that has no webhooks of ours"
    ),
]
_Carrier = Annotated[str, typer.Option(help="whose protocol to speak")]
_Scenario = Annotated[str, typer.Option(help="what callers do: echo, talk, bargein or short")]
_Calls = Annotated[int, typer.Option(help="calls at once")]
_Cps = Annotated[float, typer.Option(help="calls begun in a second")]
_Duration = Annotated[float, typer.Option(help="seconds to measure, once all calls are up")]
_Socket = Annotated[
    bool, typer.Option("--socket", help="the URL is a WebSocket's, whatever its scheme")
]
_Parameter = Annotated[
    list[str] | None,
    typer.Option(help="NAME=VALUE in the stream's start, at a bare WebSocket; repeatable"),
]
_Key = Annotated[str, typer.Option(help="barge in by pressing this key instead of speaking")]
_Inbound = Annotated[str, typer.Option(help="encoding of the caller's audio, such as PCMU/8000")]
_Outbound = Annotated[str, typer.Option(help="encoding of the server's audio, at a bare WebSocket")]
_Hold = Annotated[
    float, typer.Option(help="ms that a caller's playout buffer holds audio back at first")
]
_Processes = Annotated[int, typer.Option(help="processes that share the calls")]
_Pid = Annotated[
    list[int] | None,
    typer.Option(help="a process of the server's: watch its CPU and memory; repeatable"),
]
_Via = Annotated[
    str, typer.Option(help="connect here instead of where the URL points, e.g. behind a proxy")
]
_RestPort = Annotated[
    int, typer.Option(help="where the carrier's REST API answers: serve --simulator URL")
]
_Json = Annotated[Path | None, typer.Option("--json", help="write everything measured here")]
_Svg = Annotated[Path | None, typer.Option("--svg", help="draw the test here")]
_MaxLate = Annotated[
    float | None, typer.Option(help="fail if the lateness p99 of frames is over so many ms")
]
_MaxSetup = Annotated[float | None, typer.Option(help="fail if set-up p95 is over so many ms")]
_MaxStop = Annotated[
    float | None, typer.Option(help="fail if it takes a bot longer to stop: p99, in ms")
]
_MaxErrors = Annotated[int | None, typer.Option(help="fail if there are more errors")]
_MaxUnderruns = Annotated[int | None, typer.Option(help="fail if callers heard more under-runs")]


def load(
    url: _Url = "http://127.0.0.1:8080",
    carrier: _Carrier = "",
    scenario: _Scenario = "echo",
    calls: _Calls = 10,
    cps: _Cps = 10.0,
    duration: _Duration = 10.0,
    socket: _Socket = False,
    parameter: _Parameter = None,
    key: _Key = "",
    inbound: _Inbound = "",
    outbound: _Outbound = "",
    hold: _Hold = 40.0,
    processes: _Processes = 1,
    pid: _Pid = None,
    via: _Via = "",
    rest_port: _RestPort = 8099,
    json_file: _Json = None,
    svg_file: _Svg = None,
    max_late_p99: _MaxLate = None,
    max_setup_p95: _MaxSetup = None,
    max_stop_p99: _MaxStop = None,
    max_errors: _MaxErrors = None,
    max_underruns: _MaxUnderruns = None,
) -> None:
    """Hold many calls with a running server at once, and measure what callers get.

    A server of ours: [bold]trunkline serve trunkline.bots.echo --simulator
    http://127.0.0.1:8099[/], then [bold]trunkline load --calls 100[/]. Any other that speaks a
    carrier's media protocol: [bold]trunkline load --url ws://127.0.0.1:8765/ws[/].

    Exits with 1 if a limit (--max-…) was broken or nothing was measured. Ctrl-C ends the calls
    properly; what was measured until then is told.
    """
    from .plan import planned
    from .report import Limits

    plan = planned(
        carrier, url, scenario, socket=socket, calls=calls, cps=cps, duration=duration,
        inbound=inbound, outbound=outbound, hold_ms=hold, key=key, parameters=parameter or (),
        via=via, rest_port=rest_port, processes=processes,
    )  # fmt: skip
    limits = Limits(
        late_p99=max_late_p99, setup_p95=max_setup_p95, stop_p99=max_stop_p99,
        errors=max_errors, underruns=max_underruns,
    )  # fmt: skip
    raise typer.Exit(_test(plan, processes, pid or [], limits, json_file, svg_file))


def _test(
    plan: Plan,
    processes: int,
    pids: list[int],
    limits: Limits,
    json_file: Path | None,
    svg_file: Path | None,
) -> int:
    """Run the test, report, and say how to exit."""
    from rich.console import Console

    from .picture import picture
    from .report import as_json, print_report, progress
    from .run import run_load

    console = Console()
    with console.status("Starting …") as status:

        def show(tally: Tally, second: Second) -> None:
            status.update(progress(tally.calls, sum(tally.all.errors.values()), second))

        result = asyncio.run(run_load(plan, processes, pids, show))
    print_report(result, limits, console)
    if json_file is not None:
        json_file.write_bytes(as_json(result, limits))
    if svg_file is not None:
        svg_file.write_text(picture(result, limits), "utf-8")
    return int(bool(limits.broken(result.summary)) or not result.summary.all.started)
