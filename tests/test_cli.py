"""The command line: what it says, and how it fails."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trunkline import carriers
from trunkline.capabilities import COLUMNS, markdown_page, row
from trunkline.cli import app, load_bot, main
from trunkline.errors import ConfigError

run = CliRunner().invoke
DIAL = ("trunkline.bots.echo", "--from", "+12025550100", "--port", "0", "--simulator", "http://x")


@pytest.mark.parametrize(
    "command", ["", "serve", "call", "dial", "answer", "demo", "carriers", "load"]
)
def test_every_command_has_its_help(command):
    result = run(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_carriers_are_shown_with_what_must_be_set():
    result = run(app, ["carriers"])
    for kind in carriers.all_carriers():
        assert kind.title in result.output
        assert all(credential.env in result.output for credential in kind.credentials)


def test_the_docs_page_of_carriers_is_fresh():
    page = (Path(__file__).parent.parent / "docs" / "carriers.md").read_text("utf-8")
    assert page == markdown_page(), (
        "make it again: trunkline carriers --markdown > docs/carriers.md"
    )
    assert page == run(app, ["carriers", "--markdown"]).output
    for kind in carriers.all_carriers():
        assert " | ".join(row(kind)[1:]) in page
        assert len(row(kind)) == len(COLUMNS)


@pytest.fixture
def own_path():
    """Loading a file makes its folder importable; afterwards it is not."""
    before = list(sys.path)
    yield
    sys.path[:] = before


def test_a_bot_is_loaded_by_module_or_by_file(tmp_path, own_path):
    assert load_bot("trunkline.bots.echo:bot") is load_bot("trunkline.bots.echo")
    path = tmp_path / "my_bot.py"
    path.write_text("async def bot(call): ...\nasync def other(call): ...\n")
    assert load_bot(str(path)).__name__ == "bot"
    assert load_bot(f"{path}:other").__name__ == "other"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("no.such.module:bot", "cannot load"),
        ("no_such_file.py", "no such file"),
        ("trunkline.bots.echo:nobody", "no function called 'nobody'"),
        ("trunkline.bots.echo:__doc__", "no function called"),
    ],
)
def test_a_bot_that_is_not_there_is_told_in_a_sentence(target, why):
    with pytest.raises(ConfigError, match=why):
        load_bot(target)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["demo", "--carrier", "nobody"], "no carrier is called 'nobody'"),
        (["call", "--script", "none.txt"], "none.txt"),
        (["call", "--wav", "none.wav"], "no such file"),
        (["answer", "--outcome", "sleep"], "busy"),
        (["dial", "2025550123", *DIAL, "--carrier", carriers.names()[0]], "+12025550123"),
        (["dial", "+12025550123", *DIAL], "say which carrier"),
        (["serve", "no.such:bot", "--public-url", "https://x.example"], "cannot load"),
    ],
)
def test_mistakes_end_with_1_and_a_sentence(arguments, why, capsys, own_path):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 1
    said = " ".join(capsys.readouterr().err.split())
    assert why in said
    assert "Traceback" not in said
