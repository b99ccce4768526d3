"""A picture of one call, as SVG: who spoke when, in what words, and what it was like.

Two voices on one time axis, the caller above, below it the bot *as the caller heard it*; arrows
for how long the caller waited, bands for what was still heard after interrupting. It draws a
``CallRecord`` and what ``measure`` finds in it; it measures nothing itself. The SVG needs no font,
script or file beside it, and follows the reader's light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .layout import (
    LEFT,
    PLOT,
    RIGHT,
    SHORTEST_S,
    SMALL,
    WIDTH,
    Block,
    Flag,
    Row,
    flags,
    rows,
    words,
)  # fmt: skip
from .measure import Latency, Measures, Span, measure
from .record import BOT, CALLER, CallRecord, Kind, Moment
from .svg import Shelf, escape, number, shorten, tag, text_width

__all__ = ["svg"]

HEAD = 74.0
FOOT = 40.0
ROW_GAP = 20.0

LINE = 16.0
FLAG = 20.0
WAVE = 60.0
MIDDLE = 30.0
AXIS = 24.0

BOLD = 1.1  # how much wider bold letters are
COLUMN = 2  # px of sound drawn as one point
# Speech is 20 dB and more below full scale most of the time; this makes it fill its lane without
# making a quiet voice look like a loud one.
LOUDNESS_GAIN, LOUDNESS_POWER = 2.0, 0.55

LIGHT = {
    "paper": "#ffffff", "lane": "#f4f6f8", "ink": "#1b2430", "faint": "#5c6875", "rule": "#dde2e8",
    "caller": "#1f6fd6", "caller-span": "#dbe9fb", "bot": "#c2570c", "bot-span": "#fde8d7",
    "wait": "#2b7a4b", "band": "#d6249f", "bad": "#c81e1e",
}  # fmt: skip
DARK = {
    "paper": "#14181d", "lane": "#1c2229", "ink": "#e8edf2", "faint": "#9aa6b2", "rule": "#2e3740",
    "caller": "#6fb0ff", "caller-span": "#1d3554", "bot": "#ffa25e", "bot-span": "#4a2c15",
    "wait": "#63c98b", "band": "#ff7ad9", "bad": "#ff7b7b",
}  # fmt: skip


def svg(record: CallRecord) -> str:
    """The call as an SVG document, ``WIDTH`` px wide and as high as the call is long."""
    found = measure(record)
    on = rows(record.duration)
    named = flags(record, found)
    spoken = {
        channel: words(record.moments, spans, channel, on)
        for channel, spans in ((CALLER, found.caller), (BOT, found.bot))
    }
    drawn: list[str] = []
    y = HEAD
    for index, row in enumerate(on):
        mine = {
            channel: [block for block in blocks if block.row == index]
            for channel, blocks in spoken.items()
        }
        here = [flag for flag in named if row.has(flag.at)]
        height, body = _draw_row(record, found, row, here, mine)
        drawn.append(tag("g", body, transform=f"translate(0 {number(y)})"))
        y += height + ROW_GAP
    drawn.append(_legend(record, found, y + 4))
    return _document(record, found, y + FOOT, "\n".join(drawn))


def _draw_row(
    record: CallRecord,
    found: Measures,
    row: Row,
    named: Sequence[Flag],
    spoken: dict[str, list[Block]],
) -> tuple[float, str]:
    """One row from its own top: its height in px, and its markup."""
    above, flags_height = _draw_flags(row, named)
    lines = {
        channel: max((len(block.lines) for block in blocks), default=0)
        for channel, blocks in spoken.items()
    }
    caller_top = flags_height + lines[CALLER] * LINE + 6
    bot_top = caller_top + WAVE + MIDDLE
    words_top = bot_top + WAVE + 4
    axis_top = words_top + lines[BOT] * LINE + 4
    parts = [
        *_draw_axis(row, flags_height, axis_top),
        *_draw_voice(record.caller, record.rate, found.caller, row, caller_top, CALLER),
        *_draw_voice(record.bot, record.rate, found.bot, row, bot_top, BOT),
        *_draw_bands(found, row, caller_top, bot_top),
        *_draw_stems(row, named, flags_height, caller_top, bot_top),
        *_draw_marks(record.moments, row, bot_top + WAVE),
        *_draw_waits(found.latencies, row, bot_top - MIDDLE),
        *_draw_words(spoken[CALLER], caller_top - 6, CALLER, up=True),
        *_draw_words(spoken[BOT], words_top, BOT, up=False),
        *above,
    ]
    return axis_top + AXIS, "\n".join(parts)


def _draw_axis(row: Row, top: float, bottom: float) -> Iterator[str]:
    until = min(row.end, max(row.last, SHORTEST_S))
    for second in range(math.floor(row.start), math.ceil(until) + 1):
        x = row.x(second)
        yield tag("line", class_="rule", x1=x, x2=x, y1=top, y2=bottom)
        minutes, rest = divmod(second, 60)
        clock = f"{minutes}:{rest:02d}" if row.last >= 60 else f"{second} s"
        yield tag("text", clock, class_="tick", x=x, y=bottom + 15, text_anchor="middle")


def _draw_voice(
    pcm: bytes, rate: int, spans: Sequence[Span], row: Row, top: float, channel: str
) -> Iterator[str]:
    right = row.x(min(row.last, row.end))
    yield tag("rect", class_="lane", x=LEFT, y=top, width=right - LEFT, height=WAVE)
    yield tag("text", channel, class_=f"name {channel}-ink", x=LEFT - 12, y=top + WAVE / 2 + 5,
              text_anchor="end")  # fmt: skip
    for span in spans:
        here = row.cut(span.start, span.end)
        if here:
            yield tag("rect", class_=f"{channel}-span", x=here[0], y=top, rx=3.0,
                      width=max(here[1] - here[0], 1.0), height=WAVE)  # fmt: skip
    middle = top + WAVE / 2
    yield tag("line", class_=f"{channel}-line", x1=LEFT, x2=right, y1=middle, y2=middle)
    shape = _wave(pcm, rate, row, middle)
    if shape:
        yield tag("path", class_=f"{channel}-wave", d=shape)


def _wave(pcm: bytes, rate: int, row: Row, middle: float) -> str:
    """The outline of a voice in this row: peaks above the middle line, and their mirror image."""
    samples = np.frombuffer(pcm, dtype="<i2")
    edges = np.linspace(row.start * rate, row.end * rate, int(PLOT / COLUMN) + 1).astype(int)
    begin, end = int(edges[0]), min(int(edges[-1]), len(samples))
    edges = edges[edges < end]
    if not len(edges):
        return ""
    loud = np.abs(samples[begin:end].astype(np.int32))
    peaks = np.maximum.reduceat(loud, edges - begin)
    share = np.minimum(peaks * LOUDNESS_GAIN / 32768, 1.0)
    heights = (WAVE / 2 - 3) * share**LOUDNESS_POWER
    heights[peaks <= 8] = 0
    return "".join(_outline(heights, middle))


def _outline(heights: NDArray[np.float64], middle: float) -> Iterator[str]:
    sounding = np.flatnonzero(heights)
    if not len(sounding):
        return
    for group in np.split(sounding, np.flatnonzero(np.diff(sounding) > 1) + 1):
        xs = [LEFT + (int(column) + 0.5) * COLUMN for column in group]
        high = [float(heights[column]) for column in group]
        tops = [f"{number(x)} {number(middle - h)}" for x, h in zip(xs, high, strict=True)]
        lows = [f"{number(x)} {number(middle + h)}" for x, h in zip(xs, high, strict=True)]
        left, right = number(xs[0] - COLUMN / 2), number(xs[-1] + COLUMN / 2)
        level = number(middle)
        yield f"M{left} {level}L{'L'.join(tops)}L{right} {level}L{'L'.join(reversed(lows))}Z"


def _draw_bands(found: Measures, row: Row, caller_top: float, bot_top: float) -> Iterator[str]:
    for barge_in in found.barge_ins:
        here = row.cut(barge_in.at, max(barge_in.quiet, barge_in.at + 0.001))
        if here:
            yield tag("rect", class_="band", x=here[0], y=caller_top,
                      width=max(here[1] - here[0], 2.0),
                      height=bot_top + WAVE - caller_top)  # fmt: skip
        if barge_in.clear is not None and row.has(barge_in.clear):
            x = row.x(barge_in.clear)
            yield tag("line", tag("title", f"clear, {barge_in.clear:.2f} s"), class_="clear",
                      x1=x, x2=x, y1=bot_top - 4, y2=bot_top + WAVE + 4)  # fmt: skip
    for hole in found.holes:
        here = row.cut(hole.start, hole.end)
        if here:
            yield tag("rect", class_="hole", x=here[0], y=bot_top,
                      width=max(here[1] - here[0], 2.0), height=WAVE)  # fmt: skip


def _draw_marks(moments: Sequence[Moment], row: Row, bottom: float) -> Iterator[str]:
    for moment in moments:
        if moment.kind == Kind.MARK and row.has(moment.at):
            x = row.x(moment.at)
            yield tag("path", tag("title", escape(f"mark {moment.text}, {moment.at:.2f} s")),
                      class_="mark", d=f"M{number(x)} {number(bottom)}l-3.5-7h7Z")  # fmt: skip


def _draw_waits(waits: Sequence[Latency], row: Row, top: float) -> Iterator[str]:
    shelf = Shelf()
    for wait in waits:
        here = row.cut(wait.start, wait.end)
        if here is None:
            continue
        left, right = here
        y = top + 22
        yield tag("line", class_="wait", x1=left, x2=right, y1=y, y2=y)
        yield tag("line", class_="wait", x1=left, x2=left, y1=y - 5, y2=y + 5)
        if row.has(wait.end):
            head = f"M{number(right)} {number(y)}l-6-3.5v7Z"
            yield tag("path", class_="wait-ink", d=head)
        text = f"{wait.ms:.0f} ms"
        half = text_width(text, SMALL) / 2
        middle = min(max((left + right) / 2, LEFT + half), WIDTH - RIGHT - half)
        larger = min(wait.end, row.end) - max(wait.start, row.start) >= (wait.end - wait.start) / 2
        if larger and shelf.place(middle - half, middle + half) == 0:
            yield tag("text", text, class_="label words wait-ink", x=middle, y=top + 13,
                      text_anchor="middle")  # fmt: skip


def _draw_words(blocks: Sequence[Block], y: float, channel: str, *, up: bool) -> Iterator[str]:
    """Lines above ``y`` (the caller's) or below it (the bot's), each with its whole text behind."""
    for block in blocks:
        top = y - len(block.lines) * LINE if up else y
        spans = "".join(
            tag("tspan", escape(line), x=block.x + 3, y=top + (index + 1) * LINE - 4)
            for index, line in enumerate(block.lines)
        )
        title = tag("title", escape(block.title))
        yield tag("text", title + spans, class_=f"words {channel}-ink")


def _draw_flags(row: Row, named: Sequence[Flag]) -> tuple[list[str], float]:
    """Flags above the row, on as many levels as it takes; and the px they take."""
    shelf = Shelf()
    placed: list[tuple[Flag, float, float, int]] = []
    for flag in named:
        width = text_width(flag.text, SMALL) + 12
        left = min(row.x(flag.at), WIDTH - 4 - width)
        placed.append((flag, left, width, shelf.place(left, left + width)))
    height = shelf.levels * FLAG
    parts = [
        _draw_flag(flag, left, width, height - (level + 1) * FLAG)
        for flag, left, width, level in placed
    ]
    return parts, height


def _draw_flag(flag: Flag, left: float, width: float, top: float) -> str:
    title = tag("title", escape(flag.title))
    box = tag("rect", class_=f"flag {flag.look}-box", x=left, y=top, width=width, height=FLAG - 3,
              rx=3.0)  # fmt: skip
    text = tag("text", escape(flag.text), class_=f"label {flag.look}-ink", x=left + 6, y=top + 13)
    return tag("g", title + box + text)


def _draw_stems(
    row: Row, named: Sequence[Flag], top: float, caller_top: float, bot_top: float
) -> Iterator[str]:
    """From each flag down to whose moment it names."""
    ends = {"band": caller_top, "caller-key": caller_top + WAVE}
    for flag in named:
        x = row.x(flag.at)
        low = ends.get(flag.look, bot_top + WAVE)
        yield tag("line", class_=f"stem {flag.look}-stem", x1=x, x2=x, y1=top - 3, y2=low)


# --- around the rows -------------------------------------------------------------------------


def _document(record: CallRecord, found: Measures, height: float, body: str) -> str:
    through = f"Call through {record.carrier}" if record.carrier else "Call"
    title = f"{through} · {record.duration:.1f} s"
    summary = found.summary()
    head = [
        tag("text", escape(title), class_="title", x=LEFT - 60, y=32),
        tag("text", escape(summary), class_="faint", x=LEFT - 60, y=55),
    ]
    if record.verdict:
        x = LEFT - 60 + text_width(title, 20) * BOLD + 16
        verdict = shorten(record.verdict, WIDTH - RIGHT - x, 15)
        look = "bad-ink" if record.failed else "wait-ink"
        head.append(tag("text", escape(verdict), class_=f"verdict {look}", x=x, y=32))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {number(height)}" '
        f'width="{WIDTH}" height="{number(height)}" role="img">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(summary)}</desc>\n"
        f"<style>{_style()}</style>\n"
        f'<rect class="paper" width="100%" height="100%"/>\n'
        f"{''.join(head)}\n{body}\n</svg>\n"
    )


def _legend(record: CallRecord, found: Measures, y: float) -> str:
    kinds = {moment.kind for moment in record.moments}
    entries = [
        ("caller-span", "the caller speaks", True),
        ("bot-span", "the bot, as the caller heard it", True),
        ("wait-box", "waited for an answer", bool(found.latencies)),
        ("band", "bot still heard after the caller began", bool(found.barge_ins)),
        ("hole", "hole in the bot's speech", bool(found.holes)),
        ("mark", "mark came back", Kind.MARK in kinds),
    ]
    parts: list[str] = []
    x = LEFT
    for look, text, shown in entries:
        if shown:
            parts.append(tag("rect", class_=look, x=x, y=y, width=16, height=12, rx=2.0))
            parts.append(tag("text", text, class_="tick", x=x + 22, y=y + 10))
            x += 22 + text_width(text, SMALL) + 14
    return "".join(parts)


def _style() -> str:
    return f"{_rules(LIGHT)}@media(prefers-color-scheme:dark){{{_rules(DARK)}}}{SHAPES}"


SHAPES = (
    "text{font-family:system-ui,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:13px}"
    ".title{font-size:20px;font-weight:600}.verdict{font-size:15px;font-weight:600}"
    ".name{font-weight:600}.tick,.label{font-size:12px}"
    ".stem{stroke-width:1}.clear{stroke-width:1.5;stroke-dasharray:3 2}.wait{stroke-width:1.5}"
    ".flag{stroke-width:1}.words{paint-order:stroke;stroke-width:3px;stroke-linejoin:round}.band{fill-opacity:.28}.hole{fill-opacity:.5}"
)


def _rules(colour: dict[str, str]) -> str:
    """The style sheet in one scheme's colours. Plain values: not every viewer knows variables."""
    rules = [
        f".paper{{fill:{colour['paper']}}}.words{{stroke:{colour['paper']}}}.lane{{fill:{colour['lane']}}}",
        f"text{{fill:{colour['ink']}}}.tick,.faint{{fill:{colour['faint']}}}",
        f".rule{{stroke:{colour['rule']}}}.mark{{fill:{colour['faint']}}}",
        f".wait{{stroke:{colour['wait']}}}.wait-ink,.wait-box{{fill:{colour['wait']}}}",
        f".band{{fill:{colour['band']}}}.hole{{fill:{colour['bad']}}}",
        f".clear{{stroke:{colour['band']}}}",
    ]
    rules += [
        f".{channel}-span{{fill:{colour[channel + '-span']}}}"
        f".{channel}-wave,.{channel}-ink{{fill:{colour[channel]}}}"
        f".{channel}-line{{stroke:{colour[channel]};stroke-opacity:.5}}"
        for channel in (CALLER, BOT)
    ]
    looks = {"plain": "faint", "bad": "bad", "band": "band", "caller-key": CALLER, "bot-key": BOT}
    rules += [
        f".{look}-box{{fill:{colour['paper']};stroke:{colour[name]}}}"
        f".{look}-ink{{fill:{colour[name]}}}.{look}-stem{{stroke:{colour[name]}}}"
        for look, name in looks.items()
    ]
    return "".join(rules)
