"""The demo call, every carrier, in virtual time: real speech, real engines, judged by ear."""

import io

import pytest
from rich.console import Console

from trunkline import carriers
from trunkline.demo import Demo, word_errors
from trunkline.sim.clock import run_virtual


@pytest.mark.speech
@pytest.mark.parametrize("carrier", carriers.names())
def test_the_demo_keeps_what_it_promises(carrier, tmp_path):
    demo = Demo(carrier, tmp_path, Console(file=io.StringIO()))
    status = run_virtual(demo.run_virtual())
    assert [check for check in demo.checks if not check.ok] == []
    assert len(demo.checks) >= 9
    assert status == 0
    names = {path.suffix for path in tmp_path.iterdir()}
    assert names == {".wav", ".json", ".svg"}


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("he was a young man", "He was a young man.", 0),
        ("he was a young man", "he was young man", 1 / 5),
        ("he was a young man", "he was the old young man", 2 / 5),
        ("cold-hearted", "cold hearted", 0),
        ("one two", "", 1),
        ("", "one", 1),
        ("it's", "its", 1),
    ],
)
def test_word_errors_are_edits_for_each_word_said(said, heard, errors):
    assert word_errors(said, heard) == pytest.approx(errors)
