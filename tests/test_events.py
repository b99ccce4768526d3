"""The words for what happens: immutable, cheap where there are many, and complete."""

import typing

import pytest
from msgspec import Struct

from trunkline import events
from trunkline.media.formats import PCMU_8K

KINDS = [
    kind
    for kind in (getattr(events, name) for name in events.__all__)
    if isinstance(kind, type) and issubclass(kind, Struct)
]
UNIONS = {
    name: typing.get_args(getattr(events, name)) for name in ("FromCaller", "ToCaller", "Notice")
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_events_cannot_be_changed(kind: type[Struct]) -> None:
    assert kind.__struct_config__.frozen


def test_the_events_of_every_frame_cost_the_collector_nothing() -> None:
    assert not events.Audio.__struct_config__.gc
    assert not events.Mark.__struct_config__.gc


def test_every_event_is_in_a_union_and_every_union_is_of_events() -> None:
    spoken = {kind for union in UNIONS.values() for kind in union}
    assert spoken == set(KINDS) - {events.EndReason, events.CallInfo}


def test_audio_and_marks_travel_both_ways() -> None:
    both = set(UNIONS["FromCaller"]) & set(UNIONS["ToCaller"])
    assert both == {events.Audio, events.Mark, events.Extra}


def test_what_is_not_told_is_empty() -> None:
    started = events.Started(call_id="c", inbound=PCMU_8K, outbound=PCMU_8K)
    assert (started.token, started.stream_id, started.stream_name) == ("", "", "")
    assert started.parameters == {}
    assert events.Audio(b"x").timestamp == -1
    assert events.Audio(b"x").format is None
    call = events.CallInfo(carrier="x", call_id="c")
    assert call.direction is events.Direction.INBOUND
    offered = events.Offered(call)
    assert (offered.again, offered.transfer) == (False, None)


def test_an_event_can_be_a_key() -> None:
    assert len({events.Audio(b"x"), events.Audio(b"x"), events.Clear(), events.Clear()}) == 2
