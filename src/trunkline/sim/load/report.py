"""What a load test found, for people and for CI: tables, thresholds, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from ... import carriers
from .plan import Scenario
from .run import Result
from .tally import Spread, Summary

__all__ = ["Limits", "as_json", "findings", "headline", "print_report", "progress"]

# What of this program's own shows that it, not the server, is at its limit.
_OWN_LATE_MS = 5.0
_OWN_BUSY = 0.9


class Limits(Struct, frozen=True, kw_only=True):
    """What CI puts up with: ms, and counts. ``None`` is not looked at."""

    late_p99: float | None = None
    errors: int | None = None
    underruns: int | None = None
    setup_p95: float | None = None
    stop_p99: float | None = None

    def broken(self, summary: Summary) -> list[str]:
        """The limits that were broken, each as a sentence. None measured breaks one, too."""
        found = [
            _too_long("lateness p99", summary.lateness.p99, summary.lateness, self.late_p99),
            _too_long("set-up p95", summary.setup.p95, summary.setup, self.setup_p95),
            _too_long("barge-in stop p99", summary.stop.p99, summary.stop, self.stop_p99),
            _too_many("errors", summary.errors, self.errors),
            _too_many("under-runs", summary.steady.gaps, self.underruns),
        ]
        return [sentence for sentence in found if sentence]


def _too_long(what: str, value: float, spread: Spread, limit: float | None) -> str:
    if limit is None:
        return ""
    if not spread.count:
        return f"{what}: nothing was measured, and a limit of {limit:g} ms was set"
    return f"{what} is {value:.1f} ms, over the limit of {limit:g} ms" if value > limit else ""


def _too_many(what: str, value: int, limit: int | None) -> str:
    return (
        f"{value} {what}, over the limit of {limit}" if limit is not None and value > limit else ""
    )


def headline(result: Result) -> str:
    """What was tested, in a line."""
    plan, calls = result.plan, result.summary.calls
    title = carriers.get(plan.carrier).title
    where = "bare WebSocket" if plan.direct else "webhooks and media"
    return f"{calls} calls at once · {title} · {plan.scenario.value} · {where}"


def findings(result: Result) -> list[str]:
    """What a reader must know before believing the figures."""
    summary, found = result.summary, list[str]()
    if result.stopped:
        found.append("Stopped before its time: the figures are of what there was.")
    if not summary.all.started:
        found.append("No call got a media stream: nothing was measured.")
    if bottleneck := _bottleneck(summary):
        found.append(bottleneck)
    if summary.steady.beeps_back and not summary.steady.frames_back:
        found.append(
            "The echo was not the audio that was sent, bit for bit (resampled, or another "
            "encoding), so that delays rest on one beep a second, and more than a second is not "
            "told from less."
        )
    return found


def _bottleneck(summary: Summary) -> str:
    """Whether this program, not the server, was at its limit, and what to do."""
    skipped, busy = summary.steady.frames_skipped, summary.own_cores > _OWN_BUSY
    if summary.own.p99 <= _OWN_LATE_MS and not busy and not skipped:
        return ""
    told = (
        f"The load generator was the bottleneck: it was itself {summary.own.p99:.1f} ms late (p99)"
    )
    if skipped:
        told += f", left out {skipped} frames,"
    told += f" and used {summary.own_cores:.0%} of a core. "
    if busy:
        return told + "Give it more with --processes, or ask for less."
    return told + "Others had the rest: give it a core of its own (taskset), or ask for less."


# --- for people ------------------------------------------------------------------------------


def progress(calls: int, errors: int, second: Any) -> str:
    """How the test goes, in a line."""
    lateness = second.figures.lateness
    parts = [f"{second.at:4d} s", f"{calls} calls"]
    if lateness.counts:
        p50, p99 = lateness.quantiles((0.5, 0.99))
        parts.append(f"lateness p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    parts.append(f"{errors} errors")
    parts.append("measuring" if second.steady else "…")
    return "  ".join(parts)


def print_report(result: Result, limits: Limits, console: Console) -> None:
    """Tables, what to know about them, and the verdict."""
    summary, plan = result.summary, result.plan
    console.print(f"\n[bold]{headline(result)}[/]", highlight=False)
    console.print(_times(summary))
    console.print(_counts(summary, plan.scenario))
    for kind, count in summary.all.errors.items():
        example = summary.all.examples.get(kind, "")
        console.print(f"[red]{count} × {kind}[/]", end="", highlight=False)
        console.print(f": {example}" if example else "", markup=False, highlight=False)
    for sentence in findings(result):
        console.print(f"[yellow]{sentence}[/]", highlight=False)
    for sentence in limits.broken(summary):
        console.print(f"[bold red]✗ {sentence}[/]", highlight=False)


def _times(summary: Summary) -> Table:
    table = Table("ms", "p50", "p95", "p99", "p99.9", "max", "of", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    rows: Sequence[tuple[str, Spread]] = (
        ("set-up: asked until streaming", summary.setup),
        ("first audio", summary.first),
        ("lateness of a frame", summary.lateness),
        ("… as heard, behind the buffer", summary.lag),
        ("barge-in until silence", summary.stop),
        ("this program's own lateness", summary.own),
    )
    for name, spread in rows:
        if spread.count:
            values = (spread.p50, spread.p95, spread.p99, spread.p999, spread.max)
            table.add_row(name, *(f"{value:.2f}" for value in values), f"{spread.count}")
    return table


def _counts(summary: Summary, scenario: Scenario) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    every, steady = summary.all, summary.steady
    table.add_row("measured", f"{summary.minutes:.1f} call minutes")
    table.add_row(
        "calls",
        f"{every.dialled} dialled, {every.started} streamed, {every.completed} completed, "
        f"{every.failed} failed, {every.ended_by_server} ended by the server",
    )
    table.add_row(
        "under-runs heard",
        f"{steady.gaps}, {steady.gap_ms:.0f} ms in all, {summary.gaps_per_minute:.2f} in a call "
        "minute",
    )
    if scenario is Scenario.ECHO:
        table.add_row(
            "frames",
            f"{steady.frames_sent} sent, {steady.frames_back} back, {steady.frames_lost} lost, "
            f"{steady.frames_repeated} repeated",
        )
    if scenario is Scenario.BARGEIN:
        not_stopped = every.errors.get("barge-in", 0)
        table.add_row("barge-ins", f"{summary.stop.count} stopped the bot, {not_stopped} did not")
    if summary.server is not None:
        server = summary.server
        table.add_row(
            "server",
            f"{server.cores:.2f} cores, {server.cpu_ms_per_call:.2f} ms/s a call; "
            f"{server.rss_kb / 1024:.0f} MB, {server.rss_kb_per_call:.0f} KB a call",
        )
    table.add_row("this program", f"{summary.own_cores:.2f} of a core, the busiest process")
    return table


# --- for machines ----------------------------------------------------------------------------


def as_json(result: Result, limits: Limits) -> bytes:
    """Everything, as indented JSON; of histograms, the bucket's number and its count."""
    whole = {
        "plan": result.plan,
        "processes": result.processes,
        "stopped": result.stopped,
        "broken": limits.broken(result.summary),
        "findings": findings(result),
        "summary": result.summary,
        "course": result.tally.points,
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
