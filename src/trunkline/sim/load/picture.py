"""A load test, drawn: its course in time above, how its times are spread below. SVG as text.

Times are on a logarithmic scale, since what matters are the rare long ones. What was measured,
and whether it is good, other modules know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..svg import escape, number, tag, text_width
from .histogram import Histogram, lower_edge
from .plan import Scenario
from .report import Limits, findings, headline
from .run import Result
from .tally import Point

__all__ = ["picture"]

WIDTH, LEFT, RIGHT = 1000.0, 74.0, 24.0
PLOT = WIDTH - LEFT - RIGHT
HEAD = 114.0
COURSE = 210.0  # px high: lateness over time
CALLS = 64.0  # calls over time
SPREAD = 170.0  # the histogram
GAP = 64.0
TEXT, SMALL = 14.0, 12.0
LEAST_MS = 0.1
BINS_PER_DECADE = 16

# Ink, and the lines from the best to the worst; told apart by dashes, too.
LIGHT = {
    "paper": "#ffffff", "lane": "#f4f6f8", "ink": "#1b2430", "faint": "#5c6875", "rule": "#dde2e8",
    "p50": "#1f6fd6", "p99": "#c2570c", "max": "#8a94a0", "calls": "#c6d8f0", "bad": "#c81e1e",
}  # fmt: skip
DARK = {
    "paper": "#14181d", "lane": "#1c2229", "ink": "#e8edf2", "faint": "#9aa6b2", "rule": "#2e3740",
    "p50": "#6fb0ff", "p99": "#ffa25e", "max": "#7b8794", "calls": "#2b4468", "bad": "#ff7b7b",
}  # fmt: skip


def picture(result: Result, limits: Limits) -> str:
    """The test as an SVG document, ``WIDTH`` px wide."""
    points = result.tally.points
    echo = result.plan.scenario is Scenario.ECHO
    parts, y = [_head(result)], HEAD
    if echo:
        parts.append(_moved(y, _course(points, limits.late_p99)))
        y += COURSE + 40
    parts.append(_moved(y, _calls(points)))
    y += CALLS + GAP
    name, times = _main_times(result)
    parts.append(_moved(y, _spread(name, times)))
    y += SPREAD + 44
    return _document(headline(result), y, "\n".join(parts))


def _main_times(result: Result) -> tuple[str, Histogram]:
    """What the test was about: its name, and its times."""
    steady, every = result.summary.steady, result.summary.all
    if result.plan.scenario is Scenario.ECHO:
        return "lateness of a frame", steady.lateness
    if result.plan.scenario is Scenario.BARGEIN:
        return "barge-in until silence", steady.stop
    if result.plan.scenario is Scenario.TALK:
        return "first audio after the start", every.first
    return "set-up: asked until streaming", every.setup


def _head(result: Result) -> str:
    summary, told = result.summary, findings(result)
    parts = [tag("text", escape(headline(result)), x=LEFT, y=34, class_="title")]
    facts = (
        f"{summary.minutes:.1f} call minutes measured · {summary.errors} errors · "
        f"{summary.steady.gaps} under-runs heard · set-up p95 {summary.setup.p95:.1f} ms · "
        f"generator's own lateness p99 {summary.own.p99:.1f} ms"
    )
    parts.append(tag("text", escape(facts), x=LEFT, y=56, class_="faint"))
    if told:
        parts.append(tag("text", escape(told[0].split(": ")[0]), x=LEFT, y=75, class_="warn"))
    return "\n".join(parts)


# --- the course ------------------------------------------------------------------------------


def _course(points: Sequence[Point], limit: float | None) -> str:
    """Lateness over time, and what to read it by."""
    most = max([10.0, limit or 0.0, *(point.lateness_max for point in points)])
    top = 10 ** math.ceil(math.log10(most))
    x, y = _across(points), _upwards(top, COURSE)
    parts = [_lane(COURSE), *_steady(points, x, COURSE), *_rules(y, top)]
    series: Sequence[tuple[str, str, Callable[[Point], float]]] = (
        ("max", "2 3", lambda point: point.lateness_max),
        ("p99", "", lambda point: point.lateness_p99),
        ("p50", "", lambda point: point.lateness_p50),
    )
    for name, dashes, value in series:
        parts.append(_line(points, x, y, value, name, dashes))
    if limit is not None:
        parts.append(_rule_at(y(limit), "bad", f"limit {limit:g} ms"))
    parts.append(_legend([("p50", ""), ("p99", ""), ("max", "2 3")]))
    parts.append(
        tag(
            "text", "lateness of a frame, ms (what counts is shaded)", x=LEFT, y=-10, class_="label"
        )
    )
    return "\n".join(parts)


def _line(
    points: Sequence[Point],
    x: Callable[[float], float],
    y: Callable[[float], float],
    value: Callable[[Point], float],
    name: str,
    dashes: str,
) -> str:
    """One series; it is broken where nothing was measured."""
    drawn, pen = "", "M"
    for point in points:
        if point.lateness_max <= 0:
            pen = "M"
            continue
        middle = point.at - 0.5 + (point.seconds - 1) / 2
        drawn += f"{pen}{number(x(middle))} {number(y(value(point)))}"
        pen = "L"
    if pen == "L" and drawn.count("L") == 0:
        drawn += "h0.1"  # a single point shows as a dot
    dashed = {"stroke_dasharray": dashes} if dashes else {}
    return tag("path", d=drawn, class_=f"line {name}", **dashed) if drawn else ""


def _calls(points: Sequence[Point]) -> str:
    """How many calls were up, and in which seconds something went wrong."""
    x, most = _across(points), max([1, *(point.calls for point in points)])
    parts = [_lane(CALLS)]
    drawn = f"M{number(x(0))} {number(CALLS)}"
    for point in points:
        high = CALLS - point.calls / most * (CALLS - 6)
        drawn += f"L{number(x(point.at + point.seconds - 1))} {number(high)}"
    end = _end(points)
    parts.append(tag("path", d=f"{drawn}L{number(x(end))} {number(CALLS)}Z", class_="calls"))
    for point in points:
        if point.errors or point.gaps:
            told = f"{point.errors} errors, {point.gaps} under-runs"
            mark = tag("title", escape(told))
            middle = x(point.at - 0.5 + (point.seconds - 1) / 2)
            look = "bad" if point.errors else "gap"
            parts.append(tag("circle", mark, cx=middle, cy=CALLS - 5, r=3, class_=look))
    parts.append(tag("text", f"calls, {most} at most", x=LEFT, y=-8, class_="label"))
    if any(point.errors or point.gaps for point in points):
        note = "• error   ◦ under-run"
        parts.append(tag("text", note, x=WIDTH - RIGHT, y=-8, class_="label", text_anchor="end"))
    step = _step(end)
    for second in range(0, end + 1, step):
        at = x(second)
        parts.append(
            tag("text", f"{second} s", x=at, y=CALLS + 17, class_="tick", text_anchor="middle")
        )
    return "\n".join(parts)


def _steady(points: Sequence[Point], x: Callable[[float], float], height: float) -> list[str]:
    """A bracket over the seconds that count."""
    steady = [point for point in points if point.steady]
    if not steady or len(steady) == len(points):
        return []
    start = x(max(0, steady[0].at - 1))
    end = x(steady[-1].at + steady[-1].seconds - 1)
    return [tag("rect", x=start, y=0, width=max(1.0, end - start), height=height, class_="steady")]


def _across(points: Sequence[Point]) -> Callable[[float], float]:
    end = _end(points)
    return lambda second: LEFT + second / end * PLOT


def _end(points: Sequence[Point]) -> int:
    return max([1, *(point.at + point.seconds - 1 for point in points)])


def _step(end: int) -> int:
    """Seconds between labels: about ten of them."""
    for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600):
        if end / step <= 12:
            return step
    return 7200


# --- the spread ------------------------------------------------------------------------------


def _spread(name: str, times: Histogram) -> str:
    """A histogram, on logarithmic scales both ways."""
    parts = [_lane(SPREAD), tag("text", f"{name}, ms", x=LEFT, y=-10, class_="label")]
    bins = _bins(times)
    if not bins:
        none = tag("text", "nothing was measured", x=LEFT + 12, y=SPREAD / 2, class_="faint")
        return "\n".join([*parts, none])
    decades = max(2, math.ceil(math.log10(max(times.most, 1.0) / LEAST_MS)))
    width = PLOT / (decades * BINS_PER_DECADE)
    most = max(bins.values())
    for position, count in sorted(bins.items()):
        high = (math.log10(count) + 0.35) / (math.log10(most) + 0.35) * (SPREAD - 40)
        told = tag("title", f"{count}")
        x = LEFT + position * width
        parts.append(
            tag("rect", told, x=x, y=SPREAD - high, width=max(1, width - 1), height=high,
                class_="bar")
        )  # fmt: skip
    for decade in range(decades + 1):
        x = LEFT + decade * BINS_PER_DECADE * width
        label = f"{LEAST_MS * 10**decade:g}"
        parts.append(tag("text", label, x=x, y=SPREAD + 17, class_="tick", text_anchor="middle"))
    parts += _quantiles(times, width)
    counted = f"{times.count} measured; bars grow with the logarithm of their count"
    parts.append(tag("text", counted, x=WIDTH - RIGHT, y=-10, class_="label", text_anchor="end"))
    return "\n".join(parts)


def _bins(times: Histogram) -> dict[int, int]:
    """Counts by position on the logarithmic scale."""
    bins: dict[int, int] = {}
    for bucket, count in times.counts.items():
        position = _position(lower_edge(bucket))
        bins[position] = bins.get(position, 0) + count
    return bins


def _position(ms: float) -> int:
    return max(0, math.floor(math.log10(max(ms, LEAST_MS) / LEAST_MS) * BINS_PER_DECADE + 1e-9))


def _quantiles(times: Histogram, width: float) -> list[str]:
    """Where the median and the rare ones lie; names step down where they would touch."""
    parts: list[str] = []
    free, level = 0.0, 0
    shares = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    for name, share in shares:
        ms = times.quantile(share)
        x = LEFT + math.log10(max(ms, LEAST_MS) / LEAST_MS) * BINS_PER_DECADE * width
        text = f"{name} {ms:.2f}" if ms < 10 else f"{name} {ms:.0f}"
        end = x + 6 + text_width(text, SMALL)
        level = level + 1 if x < free else 0
        free = max(free, end)
        parts.append(tag("line", x1=x, x2=x, y1=0, y2=SPREAD, class_="quantile"))
        parts.append(tag("text", text, x=x + 4, y=14 + level * 15, class_="mark"))
    return parts


# --- what both are made of -------------------------------------------------------------------


def _upwards(top: float, height: float) -> Callable[[float], float]:
    """Where a time lies, in px from the top of a logarithmic scale."""
    decades = math.log10(top / LEAST_MS)
    return lambda ms: height - math.log10(max(ms, LEAST_MS) / LEAST_MS) / decades * height


def _rules(y: Callable[[float], float], top: float) -> list[str]:
    parts: list[str] = []
    value = LEAST_MS
    while value <= top * 1.001:
        parts.append(
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(value), y2=y(value), class_="rule")
        )
        label = f"{value:g}"
        parts.append(
            tag("text", label, x=LEFT - 8, y=y(value) + 4, class_="tick", text_anchor="end")
        )
        value *= 10
    return parts


def _rule_at(y: float, look: str, text: str) -> str:
    line = tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_=f"limit {look}")
    name = tag("text", escape(text), x=WIDTH - RIGHT - 6, y=y - 5, class_="warn", text_anchor="end")
    return line + name


def _legend(names: Sequence[tuple[str, str]]) -> str:
    parts: list[str] = []
    x = WIDTH - RIGHT
    for name, dashes in reversed(names):
        x -= text_width(name, SMALL) + 4
        parts.append(tag("text", name, x=x, y=-10, class_="label"))
        dashed = {"stroke_dasharray": dashes} if dashes else {}
        parts.append(
            tag("line", x1=x - 24, x2=x - 5, y1=-14, y2=-14, class_=f"line {name}", **dashed)
        )
        x -= 40
    return "".join(parts)


def _lane(height: float) -> str:
    return tag("rect", x=LEFT, y=0, width=PLOT, height=height, class_="lane")


def _moved(y: float, content: str) -> str:
    return tag("g", content, transform=f"translate(0 {number(y)})")


def _document(title: str, height: float, body: str) -> str:
    style = (
        f"svg{{{_colours(LIGHT)}}}@media(prefers-color-scheme:dark){{svg{{{_colours(DARK)}}}}}"
        f"text{{font:{SMALL:g}px system-ui,'DejaVu Sans',Verdana,sans-serif;fill:var(--ink)}}"
        f".title{{font-size:18px;font-weight:600}}.faint,.label,.tick{{fill:var(--faint)}}"
        f".faint{{font-size:{TEXT - 1:g}px}}.warn{{fill:var(--bad)}}.mark{{font-weight:600}}"
        ".paper{fill:var(--paper)}.lane{fill:var(--lane)}.steady{fill:var(--rule);opacity:.55}"
        ".rule{stroke:var(--rule)}.line{fill:none;stroke-width:2;stroke-linejoin:round;"
        "stroke-linecap:round}.p50{stroke:var(--p50)}.p99{stroke:var(--p99)}.max{stroke:var(--max)}"
        ".limit{stroke:var(--bad);stroke-dasharray:6 4}.calls{fill:var(--calls)}"
        "circle.bad{fill:var(--bad)}circle.gap{fill:none;stroke:var(--bad)}.bar{fill:var(--p50)}"
        ".quantile{stroke:var(--ink);stroke-dasharray:3 3;opacity:.6}"
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(WIDTH)} {number(height)}" '
        f'width="{number(WIDTH)}" height="{number(height)}" role="img">'
    )
    paper = tag("rect", width=WIDTH, height=height, class_="paper")
    inside = [tag("title", escape(title)), tag("style", style), paper, body]
    return head + "\n".join(inside) + "</svg>\n"


def _colours(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in colours.items())
