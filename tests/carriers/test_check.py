"""Trying credentials: works with the right ones, fails with others, and changes nothing."""

from typing import Any

import pytest

from exchange import Exchange
from trunkline import carriers
from trunkline.carrier import Carrier, Control
from trunkline.errors import CarrierError
from trunkline.web import Response

ABLE = [kind for kind in carriers.all_carriers() if kind.supports(Control.CHECK)]
every_carrier = pytest.mark.parametrize("kind", ABLE, ids=lambda kind: kind.name)


def examples(kind: type[Carrier]) -> dict[str, str]:
    return kind.examples()


def test_the_first_two_can() -> None:
    assert len(ABLE) >= 2


@every_carrier
def test_the_right_credentials_work_and_nothing_happens(kind: type[Carrier]) -> None:
    exchange = Exchange(kind(examples(kind)))
    shown = exchange.run(exchange.carrier.check())
    assert all(isinstance(sentence, str) and sentence for sentence in shown)
    assert {request.method for request in exchange.requests} <= {"GET", "POST"}
    assert exchange.commands == []
    assert exchange.legs == {}


@every_carrier
@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_are_refused_are_an_error(kind: type[Carrier], status: int) -> None:
    flow = kind(examples(kind)).check()
    request: Any = next(flow)
    assert request.url.startswith("https://")
    # Whoever logs in first is refused there; whoever does not, with the request itself.
    with pytest.raises(CarrierError, match=str(status)):
        for _ in range(4):
            flow.send(Response(status, {}, b"{}"))


def test_what_the_accounts_show() -> None:
    shown = {}
    for kind in ABLE:
        given = {c.name: c.example if c.required else "" for c in kind.credentials}
        exchange = Exchange(kind(given))
        shown[kind.name] = " ".join(exchange.run(exchange.carrier.check()))
    assert any("number" in text or "asks" in text for text in shown.values())
    assert any("_ID is not set" in text for text in shown.values())
