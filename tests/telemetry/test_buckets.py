"""Our histogram against Prometheus's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from trunkline.telemetry.buckets import Buckets

BOUNDS = (0.001, 0.01, 0.1, 1.0)
values = st.one_of(st.sampled_from(BOUNDS), st.floats(0, 5))


@given(st.lists(values, max_size=50))
def test_it_counts_as_prometheuss_own_does(seen):
    registry = CollectorRegistry()
    theirs = Histogram("theirs", "for comparison", buckets=BOUNDS, registry=registry)
    ours = Buckets(BOUNDS)
    for value in seen:
        theirs.observe(value)
        ours.add(value)
    (family,) = registry.collect()
    counts = [s.value for s in family.samples if s.name == "theirs_bucket"]
    (total,) = [s.value for s in family.samples if s.name == "theirs_sum"]
    assert ours.cumulative() == counts
    assert ours.total == pytest.approx(total)
