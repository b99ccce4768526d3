"""What each carrier can do, as a table made from what the carriers declare.

The docs' table is this one; a test holds that it is fresh.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from . import carriers
from .carrier import Carrier, Control, Marks
from .events import Clear, Digit

__all__ = ["COLUMNS", "markdown_page", "row", "show"]

COLUMNS = (
    "carrier",
    "hears",
    "speaks",
    "heard position",
    "barge-in",
    "keys in",
    "keys out",
    "hang-up",
    "transfer",
    "dial",
    "webhooks proved by",
    "level",
)


def row(kind: type[Carrier]) -> tuple[str, ...]:
    """One carrier's row, in the order of ``COLUMNS``."""

    def can(control: Control) -> str:
        return "yes" if kind.supports(control) else "no"

    keys_in = "socket" if Digit in kind.hears else "webhook" if kind.digits_by_webhook else "tones"
    exact = "estimated" if kind.marks is Marks.NONE else "exact"
    hang_up = "verified" if kind.supports(Control.STATE) else "yes"
    return (
        kind.title,
        ", ".join(map(str, kind.inbound)),
        ", ".join(map(str, kind.outbound)),
        exact,
        "yes" if Clear in kind.says else "no",
        keys_in,
        "yes" if _sends_digits(kind) else "no",
        hang_up if kind.supports(Control.HANG_UP) else "closes the socket",
        can(Control.TRANSFER),
        f"{kind.dial_rate:.3g} a second" if kind.supports(Control.DIAL) else "no",
        kind.signs_webhooks or "nothing",
        kind.level.value,
    )


def _sends_digits(kind: type[Carrier]) -> bool:
    from .events import Digits

    return Digits in kind.says or kind.supports(Control.SEND_DIGITS)


_HEAD = """# Carriers

Made by `trunkline carriers --markdown` from what the carriers declare; a test keeps it fresh.

*Heard position*: whether what the caller has heard is known from the carrier's marks or estimated
by the clock. *Keys in*: `tones` are found in the audio. *Hang-up*: `verified` where the carrier can
be asked afterwards. *Level*: `documented` is written from documentation and code and tested against
the simulator, `captured` also against messages of real calls, `live` on live calls.
"""


def markdown_page() -> str:
    """The docs' page: a table of all carriers, then what each one needs and cannot do."""
    kinds = carriers.all_carriers()
    lines = [_HEAD, _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    for kind in kinds:
        title, *cells = row(kind)
        lines.append(_line([f"[{title}](carriers/{kind.name}.md)", *cells]))
    for kind in kinds:
        lines += ["", f"## {kind.title}", "", _line(("variable", "needed", "what it is"))]
        lines.append(_line(("---", "---", "---")))
        lines += [
            _line((f"`{c.env}`", "yes" if c.required else "no", c.help)) for c in kind.credentials
        ]
        lines += ["", *(f"- {sentence}" for sentence in kind.limitations)]
    return "\n".join(lines) + "\n"


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def show() -> None:
    """Print, for a terminal: one block a carrier, since twelve columns fit nowhere."""
    console = Console()
    for kind in carriers.all_carriers():
        table = Table(title=kind.title, title_justify="left", title_style="bold", show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column()
        for name, value in zip(COLUMNS[1:], row(kind)[1:], strict=True):
            table.add_row(name, value)
        for credential in kind.credentials:
            need = "" if credential.required else " (optional)"
            table.add_row(credential.env, credential.help + need)
        for sentence in kind.limitations:
            table.add_row("note", sentence)
        table.add_row("docs", kind.docs)
        console.print(table)
