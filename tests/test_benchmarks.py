"""What benchmarks are made of. They themselves take minutes and two cores: not run here."""

import asyncio
import importlib
import os
import subprocess
import sys
from collections import Counter
from xml.etree import ElementTree

import pytest
from benchmarks import __main__ as program
from benchmarks import _ramp, _rig, account
from benchmarks.calls import WAYS, picture, table
from benchmarks.servers import picture as servers_picture
from benchmarks.servers import table as servers_table

from trunkline.sim.load.figures import Figures


def found(calls: int, *, limited: bool = False) -> _ramp.Found:
    return _ramp.Found(0.25, 1.5, 2.0, calls, limited, 1500, 31.0, [])


def test_the_index_tells_of_each():
    lines = program.index().splitlines()
    assert [line.split()[0] for line in lines] == program.names()
    assert {"bridges", "calls", "footprint", "interruptions", "servers"} <= set(program.names())
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize("name", program.names())
def test_each_can_be_run(name):
    assert callable(importlib.import_module(f"benchmarks.{name}").main)


def test_an_unknown_name_is_told_of():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nonsense"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "no benchmark 'nonsense'" in done.stderr
    assert "resamplers" in done.stderr


def test_an_unknown_server_is_told_of(capsys):
    with pytest.raises(SystemExit):
        _ramp.command("calls", "", WAYS, 1, table, picture, ["--only", "nobody's"])
    assert "ours, fast, µ-law" in capsys.readouterr().err


def test_names_of_servers_differ_and_peers_versions_are_pinned():
    servers = importlib.import_module("benchmarks.servers").WAYS
    assert max(Counter(way.name for way in WAYS).values()) == 1
    for way in (*WAYS, *servers):
        assert all("==" in one for one in way.requires)


def test_calls_are_told_as_ratios_to_pipecat():
    rows = {"ours, fast, µ-law": found(1200, limited=True), "Pipecat, 8 kHz": found(80)}
    first, second = table(rows).splitlines()[2:]
    assert first == "| ours, fast, µ-law | ≥ 1,200 | 15.0 | 1,500 | 0.25 | 1.5 | 2.00 | 31 |"
    assert "| 80 | 1.0 |" in second
    assert "| – | 1,500 |" in table({"ours, fast, µ-law": found(5)})


@pytest.mark.parametrize("draw", [picture, servers_picture])
def test_pictures_are_drawn(draw):
    drawn = ElementTree.fromstring(draw({"ours, fast, µ-law": found(1200, limited=True)}))
    assert "≥ 1,200" in [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]


def test_bare_servers_are_told_of():
    assert (
        servers_table({"picows": found(2300)})
        .splitlines()[2]
        .startswith("| picows | 2,300 | 1,500 |")
    )


def test_the_next_level_is_as_far_as_the_core_has_room():
    ramp = _ramp.Ramp(WAYS[0], 1.0)
    assert ramp.following(100, 0.2) == 160
    assert ramp.following(1000, 0.76) == 1250
    assert ramp.following(1000, 0.99) == 1080


def test_between_what_came_in_time_and_what_did_not_are_two_more_levels():
    ramp = _ramp.Ramp(WAYS[0], 1.0)
    ramp.bad = 1300
    assert ramp.following(1000, 0.7) == 1100
    assert ramp.following(1298, 0.9) == _ramp.MOST


class Told:
    """Callers who are told what they find, window by window."""

    def __init__(self, *windows):
        self.windows = list(windows)

    async def have(self, calls):
        return True

    async def window(self, seconds):
        return self.windows.pop(0)


def window(p99=5.0, *, own_core=0.5, own_p99=1.0, taken=0.0, skipped=0):
    figures = Figures(frames_skipped=skipped)
    return _rig.Window(100, 1.0, p99, 1.0, 0.6, own_p99, own_core, 0.0, taken, figures)


def levelled(*windows, calls=100, ramp=None):
    if ramp is None:
        ramp = _ramp.Ramp(WAYS[0], 1.0)
        ramp.few = [window()]
    told = Told(*windows)
    core = asyncio.run(ramp.level(told, calls))
    assert told.windows == []
    return ramp, core


def test_one_window_of_three_in_time_is_enough_and_none_is_the_servers_limit():
    ramp, core = levelled(window(90), window(90), window(4))
    assert (core, ramp.best, ramp.bad, ramp.limited) == (0.6, 100, 0, True)
    ramp, core = levelled(window(90), window(90), window(90), calls=140, ramp=ramp)
    assert (core, ramp.best, ramp.bad, ramp.limited) == (None, 100, 140, False)


def test_a_window_of_which_a_part_was_taken_away_is_measured_again_and_counted():
    hit = window(90, taken=0.02)
    ramp, core = levelled(hit, hit, window(90), hit, window(90), window(4))
    assert (core, ramp.best, ramp.hit) == (0.6, 100, 3)
    ramp, _ = levelled(*[hit] * (_ramp.AGAIN + _ramp.TRIES), calls=140, ramp=ramp)
    assert (ramp.bad, ramp.limited) == (140, True)  # that it carries no more is not known
    assert ramp.hit == 3 + _ramp.AGAIN
    assert levelled(window(4, taken=0.02))[0].hit == 0  # what came in time came in time


def test_late_callers_are_not_the_servers_limit_and_what_came_in_time_did():
    late = window(90, own_p99=9.0, own_core=0.97)
    ramp, core = levelled(window(4, own_p99=9.0))
    assert (core, ramp.best) == (0.6, 100)
    ramp, core = levelled(late, late, late, calls=140, ramp=ramp)
    assert (core, ramp.best, ramp.limited) == (None, 100, True)
    levelled(window(4), calls=120, ramp=ramp)
    assert (ramp.best, ramp.limited) == (120, True)
    levelled(window(90), window(90), window(90), calls=130, ramp=ramp)
    assert (ramp.best, ramp.bad, ramp.limited) == (120, 130, False)
    unsent = window(4, skipped=3, own_core=1.0)
    assert levelled(unsent, unsent, unsent)[0].best == 0
    # On a core that is not full, it was others who made them late.
    ramp, core = levelled(window(90, own_p99=9.0), window(4, own_core=0.7))
    assert (core, ramp.best, ramp.hit) == (0.7, 100, 1)


def test_the_time_that_the_host_took_is_read_as_the_manual_has_it():
    ticks = os.sysconf("SC_CLK_TCK")
    stat = (
        f"cpu 1 2 3 4 5 6 7 80 0 0\ncpu0 1 2 3 4 5 6 7 {3 * ticks} 9 0\ncpu1 0 0 0 0 0 0 0 4 0 0\n"
    )
    assert _rig.stolen_s(stat, 0) == 3.0
    assert _rig.stolen_s(stat, 1) == 4 / ticks
    assert _rig.stolen_s(stat, 7) == 0.0


def test_what_cannot_be_installed_is_told_of(tmp_path):
    with pytest.raises(_rig.Unavailable, match="cannot be installed"):
        _rig.environment("nothing", [str(tmp_path / "no-such-package")], tmp_path)
    assert not (tmp_path / "nothing" / "requires.txt").exists()


def test_without_anything_to_install_it_is_this_environment():
    assert str(_rig.environment("", [])) == sys.executable


PERF = """
    ffffffff82203249 _raw_spin_unlock_irqrestore ([kernel.kallsyms])
    ffffffff81e31462 __sys_sendto ([kernel.kallsyms])
    12a4f0 __send (/usr/lib/libc.so.6)
    7ff7e0f17f99 py::FastSocket.write:/trunkline/src/trunkline/server/fast.py (/tmp/perf-1.map)

    10d2c4 Py_INCREF (inlined)
    10d2c4 _PyEval_EvalFrameDefault (/usr/lib/libpython3.12.so.1.0)
    7ff7e0f17f8e py::Playout.pass_on:/trunkline/src/trunkline/media/playout.py (/tmp/perf-1.map)

    4eb04 json_decode (/lib/site-packages/msgspec/_core.so)
    7ff7e0f17f8e py::Shapes.read:/trunkline/src/trunkline/wire.py (/tmp/perf-1.map)

    4eb04 uv__io_poll (/lib/site-packages/uvloop/loop.so)

    4eb04 serve (/trunkline/a.so)
    7ff7e0f17f8e py::Server.x:/trunkline/lib/uvicorn/server.py (/tmp/perf-1.map)

    4eb04 malloc (/usr/lib/libc.so.6)
"""


def test_a_profile_is_counted_by_what_the_time_went_to():
    assert [account.part(stack) for stack in account.samples(PERF.splitlines())] == [
        account.SEND,
        "playout",
        "the carrier's messages: JSON, base64",
        account.LOOP,
        account.LOOP,
        account.OTHER,
    ]
