"""The simulator's page says nothing that does not run."""

import re
from pathlib import Path

from trunkline.sim.caller import PhoneCall
from trunkline.sim.faults import Faults
from trunkline.sim.line import How
from trunkline.sim.script import Script

PAGE = (Path(__file__).parents[1] / "docs" / "simulator.md").read_text("utf-8")


def test_the_example_passes():
    (example,) = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE)
    names = {}
    exec(compile(example, "docs/simulator.md", "exec"), names)
    names["test_the_bot_speaks_and_hangs_up"]()


def test_the_script_is_one():
    (script,) = [text for text in re.findall(r"(?ms)^```\n(.*?)^```$", PAGE) if "hang up" in text]
    assert len(Script.parse(script).steps) == 6


def test_every_fault_is_there():
    table = PAGE[PAGE.index("## Breaking things") : PAGE.index("`Phone(…, echo=")]
    told = set(re.findall(r"`(\w+)`", table))
    assert told >= set(Faults.__struct_fields__)


def test_what_the_page_calls_a_call_has():
    for name in re.findall(r"`(?:await )?call\.(\w+)", PAGE):
        assert hasattr(PhoneCall, name) or name == "line"
    assert all(how.name in PAGE for how in How)
