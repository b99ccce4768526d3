"""The error tree as it is drawn, and what its errors carry."""

import re

import pytest

from trunkline import errors


def test_the_tree_is_the_one_drawn() -> None:
    drawn = [
        (len(line) - len(line.lstrip(" │├└─")), match[0])
        for line in (errors.__doc__ or "").splitlines()
        if (match := re.match(r"[A-Za-z]+", line.lstrip(" │├└─"))) and match[0] in errors.__all__
    ]
    assert sorted(name for _, name in drawn) == sorted(errors.__all__)
    parents: dict[int, str] = {}
    for depth, name in drawn:
        above = [parents[d] for d in sorted(parents) if d < depth]
        expected = getattr(errors, above[-1]) if above else Exception
        assert getattr(errors, name).__bases__ == (expected,)
        parents[depth] = name


def test_a_refusal_has_an_http_status() -> None:
    assert errors.Refused("no").status == 403
    assert errors.BadToken("no").status == 403
    assert errors.BadSignature("no").status == 401


def test_a_challenge_rides_along() -> None:
    assert errors.BadSignature("no").challenge is None
    assert errors.BadSignature("no", challenge='Basic realm="x"').challenge == 'Basic realm="x"'


def test_what_a_carrier_error_knows() -> None:
    bare = errors.CarrierError("said no")
    assert (bare.status, bare.code, bare.retryable, bare.retry_after) == (None, None, False, None)
    full = errors.OutcomeUnknown("?", status=503, code="7", retryable=True, retry_after=2.0)
    assert str(full) == "?"
    assert (full.status, full.code, full.retryable, full.retry_after) == (503, "7", True, 2.0)
    with pytest.raises(errors.CarrierError):
        raise full
