"""SVG as text: elements, escaping, how wide words are and where labels find room.

No font is at hand when a picture is written, and another one wherever it is looked at, so widths
are estimates on the generous side. This module knows nothing of calls.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape as escape_markup

__all__ = ["Shelf", "escape", "number", "shorten", "tag", "text_width", "wrap"]

# Widths in em of the wider common sans-serif faces (DejaVu Sans, Verdana).
NARROW, MEDIUM, NORMAL, WIDE, FULL = 0.36, 0.5, 0.66, 0.98, 1.05
NARROW_LETTERS = frozenset("ijlI.,:;'|!()[] ·")
MEDIUM_LETTERS = frozenset('frtJ"-/*')
WIDE_LETTERS = frozenset("mwMW@%…—")

# XML 1.0 section 2.2: the characters no document may hold, escaped or not.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

ELLIPSIS = "…"


def escape(text: str) -> str:
    """Text as it may stand in an element or an attribute; what XML cannot hold becomes U+FFFD."""
    return escape_markup(FORBIDDEN.sub("\ufffd", text))


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel, as short as it goes."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def tag(name: str, content: str = "", **attributes: str | float) -> str:
    """An element around ``content``, which is already markup.

    ``class_`` is written ``class`` and ``text_anchor`` ``text-anchor``; values are escaped.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}="
        f'"{escape(value) if isinstance(value, str) else number(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def text_width(text: str, size: float) -> float:
    """About how many px the text takes at a font size of ``size`` px."""
    return size * sum(_em(letter) for letter in text)


def _em(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return FULL
    if letter in NARROW_LETTERS:
        return NARROW
    if letter in MEDIUM_LETTERS:
        return MEDIUM
    return WIDE if letter in WIDE_LETTERS else NORMAL


def shorten(text: str, width: float, size: float) -> str:
    """The text if it fits into ``width`` px, else its beginning and an ellipsis."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + ELLIPSIS, size) > width:
        text = text[:-1]
    return text.rstrip() + ELLIPSIS


def wrap(text: str, width: float, size: float, lines: int) -> tuple[list[str], str]:
    """Break the text into at most ``lines`` lines of ``width`` px; and what is left over.

    A word wider than a line is shortened.
    """
    words = text.split()
    broken: list[str] = []
    while words and len(broken) < lines:
        line = words.pop(0)
        while words and text_width(f"{line} {words[0]}", size) <= width:
            line = f"{line} {words.pop(0)}"
        broken.append(shorten(line, width, size))
    return broken, " ".join(words)


class Shelf:
    """Levels of a strip on which labels stand side by side without touching."""

    def __init__(self, gap: float = 6) -> None:
        self.gap = gap
        self._levels: list[list[tuple[float, float]]] = []

    @property
    def levels(self) -> int:
        """How many levels are in use."""
        return len(self._levels)

    def place(self, left: float, right: float) -> int:
        """The first level (0 and up) that is free from ``left`` to ``right``; takes it."""
        for level, taken in enumerate(self._levels):
            if all(right + self.gap <= a or b + self.gap <= left for a, b in taken):
                taken.append((left, right))
                return level
        self._levels.append([(left, right)])
        return len(self._levels) - 1
