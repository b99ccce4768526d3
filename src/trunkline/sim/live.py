"""A call in the terminal as it happens: one line a moment, never rewritten.

      3.24 s  bot      speaks    “You said: hello.”
      4.10 s  caller   presses   •

Written with rich: colours in a terminal, plain whole lines in a file or pipe. What others sent is
shown as text and nothing else; a terminal's control codes in it do not get through.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from .measure import measure
from .record import BOT, CALLER, CARRIER, CallRecord, Kind, Moment

__all__ = ["Live", "line"]

VERBS = {
    Kind.RINGING: "rings",
    Kind.ANSWERED: "answers",
    Kind.SAID: "speaks",
    Kind.HEARD: "heard as",
    Kind.KEY: "presses",
    Kind.CLEAR: "clears",
    Kind.TRANSFER: "transfers",
    Kind.HANG_UP: "hangs up",
}
STYLES = {CALLER: "blue", BOT: "yellow", CARRIER: "magenta"}
WORDS = (Kind.SAID, Kind.HEARD)
BAD = (Kind.FAULT, "failed")


class Live:
    """Prints moments as they come; ``show`` is what a ``Recorder`` takes as its ``watch``.

    Args:
        console: where to; standard output unless told otherwise.
        marks: whether to show marks too. They are the machinery's, and many.
    """

    def __init__(self, console: Console | None = None, *, marks: bool = False) -> None:
        self.console = console or Console()
        self.marks = marks

    def show(self, moment: Moment) -> None:
        """Print the moment's line."""
        if moment.kind == Kind.MARK and not self.marks:
            return
        # A terminal's line is cut where it ends; a file gets all of it, on one line.
        if self.console.is_terminal:
            self.console.print(line(moment), no_wrap=True, overflow="ellipsis", highlight=False)
        else:
            self.console.print(line(moment), soft_wrap=True, highlight=False)

    def finish(self, record: CallRecord) -> None:
        """Print what the call was like, and the verdict where there is one."""
        said = Text(f"{record.duration:7.2f} s  {measure(record).summary()}", "bold")
        if record.verdict:
            style = "bold red" if record.failed else "bold green"
            said.append(f"\n{' ' * 11}{_harmless(record.verdict)}", style)
        self.console.print(said, soft_wrap=True, highlight=False)


def line(moment: Moment) -> Text:
    """One moment as one line: the time, who, what, and the words."""
    text = _harmless(moment.text)
    kind = moment.kind
    verb = VERBS[Kind(kind)] if kind in VERBS else _harmless(kind).replace("_", " ")
    if text and kind in WORDS:
        text = f"“{text}”"
    style = "bold red" if kind in BAD else STYLES.get(moment.channel, "")
    written = Text.assemble(
        (f"{moment.at:7.2f} s  ", "dim"),
        (f"{_harmless(moment.channel):<8} ", style),
        (f"{verb:<9} ", "bold red" if kind in BAD else "bold"),
        (text, style),
    )
    written.rstrip()
    return written


def _harmless(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
