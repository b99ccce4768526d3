"""The page and the dashboard name the figures there are, and all of them."""

import json
import re
from pathlib import Path

import pytest

from trunkline.config import Settings
from trunkline.server.metrics import GAUGES
from trunkline.telemetry.meter import METRICS, PREFIX, Kind

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text()
LABELS = {metric.name: {name for name, _ in metric.labels} for metric in METRICS}
LABELS |= {name: set(labels) for name, (_, labels) in GAUGES.items()}
HISTOGRAMS = {metric.name for metric in METRICS if metric.kind is Kind.HISTOGRAM}
SERIES = set(LABELS) - HISTOGRAMS
SERIES |= {f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "count", "sum")}
VALUES = {(metric.name, label): set(words) for metric in METRICS for label, words in metric.labels}


def queries():
    board = json.loads((DOCS / "grafana.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in board["templating"]["list"]:
        yield variable["query"]
    alerts = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL).group(1)
    yield from re.findall(r"expr: (?:\|\n)?(.*?)(?=\n +(?:- alert|for):|\Z)", alerts, re.DOTALL)


@pytest.mark.parametrize("name", sorted(LABELS))
def test_the_page_tells_of_each_figure_with_its_labels(name):
    given = re.findall(rf"`{name.removeprefix(PREFIX)}(?:\{{([a-z,]+)\}})?`", PAGE)
    assert LABELS[name] in [set(labels.split(",")) - {""} for labels in given]


@pytest.mark.parametrize("query", [query for query in queries() if PREFIX in query])
def test_queries_ask_for_what_there_is(query):
    for name, selector in re.findall(rf"({PREFIX}\w+)(?:\{{(.*?)\}})?", query):
        assert name in SERIES, name
        metric = re.sub(r"_(bucket|count|sum)$", "", name)
        for label, words in re.findall(r'(\w+)!?=~?"(.*?)"', selector):
            assert label in LABELS[metric] | {"instance"}
            if label != "instance":
                assert set(words.split("|")) <= VALUES[metric, label]
    for group in re.findall(r"by \((.*?)\)", query):
        known = {"instance", "le"}.union(*(LABELS[n] for n in LABELS if n in query))
        assert {label.strip() for label in group.split(",")} <= known


def test_the_dashboard_and_the_alerts_are_found():
    assert len(list(queries())) > 30


@pytest.mark.parametrize("field", ["metrics_keys", "traces", "trace_call_ids", "stall_ms"])
def test_both_pages_tell_of_the_settings(field):
    assert field in Settings.model_fields
    for page in (PAGE, (DOCS / "operating.md").read_text()):
        assert f"`TRUNKLINE_{field.upper()}`" in page
