"""The live view: what stands on a line, in a terminal and in a file."""

import io

import pytest
from rich.console import Console

from trunkline.sim.live import Live, line
from trunkline.sim.record import CallRecord, Kind, Moment, Recorder


def console(*, terminal: bool, width: int = 60) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=width,
        color_system="standard" if terminal else None,
    )


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (Moment(0, Kind.RINGING, "", "carrier"), "   0.00 s  carrier  rings"),
        (Moment(0.35, Kind.ANSWERED, "", "bot"), "   0.35 s  bot      answers"),
        (Moment(3.239, Kind.SAID, "Hi.", "bot"), "   3.24 s  bot      speaks    “Hi.”"),
        (Moment(3.5, Kind.HEARD, "high", "bot"), "   3.50 s  bot      heard as  “high”"),
        (Moment(61, Kind.KEY, "5", "caller"), "  61.00 s  caller   presses   5"),
        (Moment(4, Kind.CLEAR, "", "bot"), "   4.00 s  bot      clears"),
        (Moment(5, Kind.TRANSFER, "+1555", "bot"), "   5.00 s  bot      transfers +1555"),
        (Moment(6, Kind.FAULT, "socket killed"), "   6.00 s           fault     socket killed"),
        (Moment(6, Kind.MARK, "m1", "carrier"), "   6.00 s  carrier  mark      m1"),
        (Moment(7, Kind.HANG_UP, "", "caller"), "   7.00 s  caller   hangs up"),
        (Moment(7, "odd_thing"), "   7.00 s           odd thing"),
    ],
)
def test_a_line_tells_when_who_and_what(moment: Moment, text: str) -> None:
    assert line(moment).plain == text


def test_a_file_gets_whole_plain_lines() -> None:
    to = console(terminal=False)
    live = Live(to)
    live.show(Moment(1, Kind.SAID, "a long sentence " * 10, "bot"))
    live.show(Moment(2, Kind.KEY, "5", "caller"))
    lines = shown(to).splitlines()
    assert len(lines) == 2
    assert lines[0].count("a long sentence") == 10
    assert "\x1b" not in shown(to)


def test_a_terminal_gets_colours_and_lines_no_longer_than_it_is_wide() -> None:
    to = console(terminal=True)
    Live(to).show(Moment(1, Kind.SAID, "a long sentence " * 10, "bot"))
    assert "\x1b[33m" in shown(to)
    assert shown(to).count("\n") == 1
    assert "…" in shown(to)


def test_nothing_is_ever_rewritten() -> None:
    to = console(terminal=True)
    live = Live(to)
    for second in range(20):
        live.show(Moment(second, Kind.KEY, "1", "caller"))
    assert "\r" not in shown(to)
    assert not any(code in shown(to) for code in ("\x1b[A", "\x1b[1A", "\x1b[2K", "\x1b[?25l"))


def test_control_codes_and_markup_of_others_are_only_text() -> None:
    to = console(terminal=False, width=200)
    Live(to).show(Moment(1, Kind.FAULT, "[red]x\x1b[2J\r\n\u202ey :bomb:", "car\x07rier"))
    assert shown(to) == "   1.00 s  car rier fault     [red]x [2J y :bomb:\n"


def test_a_secret_is_never_shown() -> None:
    to = console(terminal=False)
    recorder = Recorder(watch=Live(to).show)
    recorder.note(2.0, Kind.KEY, "4711", "caller", secret=True)
    assert shown(to) == "   2.00 s  caller   presses   ••••\n"


def test_marks_are_shown_when_asked_for() -> None:
    mark = Moment(1.0, Kind.MARK, "m1", "carrier")
    quiet, all_ = console(terminal=False), console(terminal=False)
    Live(quiet).show(mark)
    Live(all_, marks=True).show(mark)
    assert shown(quiet) == ""
    assert shown(all_) == "   1.00 s  carrier  mark      m1\n"


def test_the_end_tells_what_the_call_was_like() -> None:
    to = console(terminal=False)
    live = Live(to)
    live.finish(CallRecord(caller=bytes(16000), bot=bytes(16000)))
    live.finish(CallRecord(verdict="passed"))
    live.finish(CallRecord(verdict="no answer", failed=True))
    assert shown(to).splitlines() == [
        "   1.00 s  0 turns",
        "   0.00 s  0 turns",
        "           passed",
        "   0.00 s  0 turns",
        "           no answer",
    ]


def test_without_a_console_it_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    Live().show(Moment(1, Kind.KEY, "5", "caller"))
    assert capsys.readouterr().out.strip().endswith("presses   5")
