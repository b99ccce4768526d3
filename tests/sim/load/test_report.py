"""What is told of a load test: limits, warnings, the picture."""

import json
from xml.etree import ElementTree

import pytest

from trunkline.errors import ConfigError
from trunkline.sim.load.figures import Figures, Second
from trunkline.sim.load.histogram import Histogram
from trunkline.sim.load.picture import picture
from trunkline.sim.load.plan import Scenario
from trunkline.sim.load.proc import usage
from trunkline.sim.load.report import Limits, as_json, findings, progress
from trunkline.sim.load.run import Result
from trunkline.sim.load.tally import Tally

from .servers import plan


def times(*values):
    filled = Histogram()
    for ms in values:
        filled.add(ms)
    return filled


def result(scenario="echo", *, seconds=3, steady=True, stopped=False, cpu=0.2, **figures):
    tally = Tally(1)
    for at in range(1, seconds + 1):
        known = {"started": 1, "frames_sent": 50, "own": times(0.5), "setup": times(30.0 * at)}
        tally.add(
            0,
            Second(
                at=at,
                calls=at,
                steady=steady,
                wall=1.0,
                cpu=cpu,
                figures=Figures(**{**known, **figures}),
            ),
        )
    a_plan = plan("ws://127.0.0.1:1/", scenario=scenario)
    return Result(plan=a_plan, processes=1, summary=tally.summary(), tally=tally, stopped=stopped)


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        ({"late_p99": 20.0, "errors": 3, "underruns": 6, "setup_p95": 90.0}, []),
        ({"late_p99": 19.9}, ["lateness p99 is 20.0 ms, over the limit of 19.9 ms"]),
        ({"setup_p95": 89.0}, ["set-up p95 is 90.0 ms, over the limit of 89 ms"]),
        ({"errors": 2}, ["3 errors, over the limit of 2"]),
        ({"underruns": 5}, ["6 under-runs, over the limit of 5"]),
        ({"stop_p99": 1.0}, ["nothing was measured"]),
    ],
)
def test_limits_are_kept_to_the_last_and_what_was_not_measured_breaks_them(limits, broken):
    summary = result(lateness=times(20.0), gaps=2, errors={"dropped": 1}).summary
    told = Limits(**limits).broken(summary)
    assert len(told) == len(broken)
    assert all(part in sentence for part, sentence in zip(broken, told, strict=True))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ""),
        ({"own": times(5.5)}, "5.5 ms late"),
        ({"cpu": 0.95}, "used 95% of a core. Give it more with --processes"),
        ({"frames_skipped": 4}, "left out 12 frames"),
        ({"beeps_back": 1}, "one beep a second"),
        ({"stopped": True}, "before its time"),
        ({"started": 0}, "nothing was measured"),
    ],
)
def test_a_reader_is_warned(given, said):
    told = findings(result(**given))
    assert len(told) == bool(said)
    assert said in "".join(told)


@pytest.mark.parametrize("scenario", list(Scenario))
@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("seconds", [1, 3, 2000])
def test_every_test_can_be_drawn(scenario, measured, seconds):
    some = times(0.01, 3.0, 70_000.0) if measured else Histogram()
    given = {"lateness": some, "stop": some, "first": some, "errors": {"<&>": int(measured)}}
    drawn = picture(result(scenario, seconds=seconds, **given), Limits(late_p99=20.0))
    root = ElementTree.fromstring(drawn)
    words = "".join(root.itertext())
    assert scenario.value in words
    assert ("limit 20 ms" in words) == (scenario is Scenario.ECHO)
    empty = not measured and scenario is not Scenario.SHORT
    assert ("nothing was measured" in words) == empty
    numbers = [value for node in root.iter() for value in node.attrib.values()]
    assert not {"nan", "inf", "-inf"} & set(numbers)
    height = float(root.attrib["height"])
    assert all(0 <= float(text.attrib["x"]) <= 1000 for text in root.iter() if "y" in text.attrib)
    assert height > 300


def test_the_json_has_everything():
    told = json.loads(as_json(result(lateness=times(1.234)), Limits(errors=0)))
    assert told["summary"]["steady"]["lateness"]["counts"] == {"123": 3}
    assert told["plan"]["scenario"] == "echo"
    assert [point["at"] for point in told["course"]] == [1, 2, 3]
    assert told["broken"] == []


def test_the_progress_is_a_line():
    second = Second(
        at=7, calls=3, steady=True, wall=1.0, cpu=0.1, figures=Figures(lateness=times(2.0))
    )
    line = progress(3, 1, second)
    assert line.split() == [
        *("7", "s", "3", "calls", "lateness", "p50", "2.00", "ms,", "p99", "2.00", "ms"),
        *("1", "errors", "measuring"),
    ]


def test_a_process_that_is_not_there():
    with pytest.raises(ConfigError, match="no such process"):
        usage([2**22 + 1])
