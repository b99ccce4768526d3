"""Golden tables: what a carrier's messages look like, taken from outside this project.

A carrier's test file holds one ``GOLDEN`` table: every kind of message in both directions, with
the page it came from and when. Both ends of a stream erring alike would pass every other test;
they cannot pass these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from trunkline.carrier import Carrier, Stream
from trunkline.events import Started

__all__ = ["Golden", "Row", "check_read", "check_written", "example", "stream_ends"]


class Row(NamedTuple):
    """One message.

    ``by`` wrote it; it says ``event``, or nothing that concerns a call. ``written``: our end of
    that side writes it just so; else it is only read, a variant seen elsewhere.
    """

    by: Literal["carrier", "bot"]
    event: Any
    wire: str | bytes
    source: str
    date: str
    written: bool = True


class Golden(NamedTuple):
    """A carrier's table. ``started`` is how the stream began that the rows belong to.

    ``counters`` are the fields that number messages: of these only the type is compared.
    """

    started: Started
    rows: Sequence[Row]
    counters: frozenset[str] = frozenset()


def example(found: type[Carrier], **given: str) -> Carrier:
    """A carrier with the credentials that the simulator would use, at a fixed time."""
    credentials = found.examples() | given
    return found(credentials, clock=lambda: 1_750_000_000.0)


def stream_ends(carrier: Carrier, started: Started) -> tuple[Stream[Any, Any], Stream[Any, Any]]:
    """Both ends of a stream that has begun, the bot's first."""
    bot, theirs = carrier.bot_end(started.outbound), carrier.carrier_end(started.outbound)
    theirs.send(started)
    for message in theirs.outgoing():
        bot.receive(message)
    for message in bot.outgoing():
        theirs.receive(message)
    return bot, theirs


def check_read(carrier: Carrier, golden: Golden, row: Row) -> None:
    """The other end hears what the row says."""
    bot, theirs = stream_ends(carrier, golden.started)
    reader = bot if row.by == "carrier" else theirs
    assert list(reader.receive(row.wire)) == ([] if row.event is None else [row.event])


def check_written(carrier: Carrier, golden: Golden, row: Row) -> None:
    """Our end of the writing side writes the row, field by field."""
    if isinstance(row.event, Started):
        writer: Stream[Any, Any] = carrier.carrier_end(golden.started.outbound)
    else:
        bot, theirs = stream_ends(carrier, golden.started)
        writer = theirs if row.by == "carrier" else bot
    writer.send(row.event)
    written = writer.outgoing()[-1]
    if isinstance(row.wire, bytes):
        assert written == row.wire
    else:
        assert isinstance(written, str)
        assert _shape(json.loads(written), golden) == _shape(json.loads(row.wire), golden)


def _shape(value: Any, golden: Golden) -> Any:
    if isinstance(value, Mapping):
        return {
            name: type(inner).__name__ if name in golden.counters else _shape(inner, golden)
            for name, inner in value.items()
        }
    return [_shape(inner, golden) for inner in value] if isinstance(value, list) else value
