"""Bar charts as SVG, for what was measured side by side: one panel a figure, one bar a way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trunkline.sim.svg import tag, text_width

__all__ = ["Bar", "Panel", "chart"]

WIDTH, LEFT, RIGHT = 760.0, 16.0, 16.0
HEAD, PANEL_HEAD, BAR, GAP, PANEL_GAP, FOOT = 50.0, 30.0, 20.0, 6.0, 22.0, 42.0
NAMES = 290.0
SIZE = 13.0
COLOURS = ("#8a94a0", "#c2570c", "#1f6fd6", "#2e8b57")
STYLE = (
    "text{font-family:system-ui,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:13px;"
    "fill:#1b2430}.paper{fill:#ffffff}.title{font-size:18px;font-weight:600}"
    ".name{font-weight:600}.faint{fill:#5c6875;font-size:12px}.rule{stroke:#dde2e8}"
    + "".join(f".way{n}{{fill:{colour}}}" for n, colour in enumerate(COLOURS))
    + "@media(prefers-color-scheme:dark){text{fill:#e8edf2}.paper{fill:#14181d}"
    ".faint{fill:#9aa6b2}.rule{stroke:#2e3740}}"
)


class Bar(NamedTuple):
    """``way`` chooses the colour; ``text`` is the figure as it is written."""

    name: str
    way: int
    value: float
    text: str


class Panel(NamedTuple):
    """Bars that can be compared: what they are, and which end is the good one."""

    name: str
    better: str
    bars: Sequence[Bar]


def chart(title: str, foot: str, panels: Sequence[Panel]) -> str:
    """The picture, as a document of its own."""
    y, body = HEAD, []
    for panel in panels:
        body.append(_panel(panel, y))
        y += PANEL_HEAD + len(panel.bars) * (BAR + GAP) + PANEL_GAP
    height = y + FOOT - PANEL_GAP
    body += [
        tag("text", title, class_="title", x=LEFT, y=30.0),
        tag("text", foot, class_="faint", x=LEFT, y=height - 12),
    ]
    paper = tag("rect", class_="paper", width=WIDTH, height=height)
    return tag(
        "svg",
        tag("style", STYLE) + paper + "".join(body),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        width=WIDTH,
        height=height,
        role="img",
        aria_label=title,
    )


def _panel(panel: Panel, top: float) -> str:
    most = max([bar.value for bar in panel.bars] + [1e-9])
    room = WIDTH - NAMES - RIGHT - max(text_width(bar.text, SIZE) for bar in panel.bars) - 8
    parts = [
        tag("line", class_="rule", x1=LEFT, x2=WIDTH - RIGHT, y1=top, y2=top),
        tag("text", panel.name, class_="name", x=LEFT, y=top + 20),
        tag("text", panel.better, class_="faint", x=WIDTH - RIGHT, y=top + 20, text_anchor="end"),
    ]
    for n, bar in enumerate(panel.bars):
        y = top + PANEL_HEAD + n * (BAR + GAP)
        long = max(1.0, bar.value / most * room)
        parts += [
            tag("text", bar.name, x=NAMES - 10, y=y + 15, text_anchor="end"),
            tag("rect", class_=f"way{bar.way}", x=NAMES, y=y, width=long, height=BAR, rx=3.0),
            tag("text", bar.text, x=NAMES + long + 6, y=y + 15),
        ]
    return "".join(parts)
