"""What the Realtime bridge remembers, and what it asks for, piece by piece."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.bots.realtime import Failed
from trunkline.bots.realtime.memory import Memory, Recall
from trunkline.bots.realtime.responses import OWED_S, Responses
from trunkline.bots.realtime.wire import (
    Cancel,
    CreateResponse,
    FunctionCall,
    ResponseOver,
    StatusDetails,
    StatusError,
)
from trunkline.events import Who


@given(st.lists(st.binary(max_size=40)), st.integers(0, 60), st.integers(0, 400))
def test_the_last_of_a_stream_is_recalled(pieces, size, position):
    recall = Recall(size)
    for piece in pieces:
        recall.push(piece)
    stream = b"".join(pieces)
    assert recall.end == len(stream)
    found = recall.since(position)
    assert stream[position:].endswith(found)
    assert len(found) >= min(size, len(stream[position:]))


def words(memory):
    return [
        (item.role, item.content[0].text) if hasattr(item, "role") else item.name
        for item in memory.carried()
    ]


def test_memory_keeps_turns_in_their_places_and_only_what_was_heard():
    memory = Memory()
    memory.begin("i1", Who.CALLER)
    memory.begin("i2", Who.BOT)
    memory.begin("i2", Who.BOT)
    memory.hear("i2", "One two")
    memory.hear("i2", " three four")
    memory.know("i1", "Count!")
    memory.add(FunctionCall(id="i3", call_id="c", name="count", arguments="{}"))
    memory.begin("i4", Who.BOT)
    memory.know("i4", "Never heard.")
    memory.begin("i5", Who.CALLER)  # whose words are not known yet
    assert memory.heard("i2", 500, 1000, whole=True) == "One two"
    memory.cut("i2", "One two")
    memory.know("i2", "One two three four")
    memory.cut("i4", "")
    memory.cut("i6", "nobody knows that one")
    assert words(memory) == [("user", "Count!"), ("assistant", "One two"), "count"]


class Link:
    """Takes down what is said."""

    def __init__(self):
        self.said = []

    def say(self, event):
        self.said.append(event)


def over(response_id, status, code=None, reason=None):
    error = StatusError(code) if code else None
    return ResponseOver(response_id, status, StatusDetails(reason, error))


def rings(responses):
    return sorted(at for at, _ in responses.alarms(lambda: None))


def test_one_thing_is_asked_for_at_a_time():
    link, responses = Link(), Responses("Be brief.")
    assert not responses.coming
    responses.ask("Greet.")
    assert responses.coming
    assert not responses.owed
    responses.go_on(link, 10.0)
    responses.ask()
    responses.go_on(link, 11.0)
    assert [event.response.instructions for event in link.said] == ["Be brief.\n\nGreet."]
    assert rings(responses) == [10.0 + OWED_S]
    responses.alive(12.0)
    assert rings(responses) == [12.0 + OWED_S]
    responses.created("r1")
    responses.done(over("r0", "cancelled"), 13.0)  # another, long over
    assert responses.owed
    responses.done(over("r1", "completed"), 13.0)
    responses.go_on(link, 13.0)
    assert link.said[1:] == [CreateResponse(link.said[1].response)]
    assert responses.counts["responses"] == 1


def test_what_was_refused_since_another_was_active_is_asked_for_after_it():
    link, responses = Link(), Responses("")
    responses.ask("Greet.")
    responses.go_on(link, 0.0)
    responses.created("r1")  # the service's own
    responses.busy()
    responses.go_on(link, 1.0)
    assert len(link.said) == 1
    responses.done(over("r1", "completed"), 2.0)
    responses.go_on(link, 2.0)
    assert link.said[0] == link.said[1]


def test_what_the_caller_says_is_answered_in_place_of_what_was_asked_for():
    link, responses = Link(), Responses("")
    responses.ask("Greet.")
    responses.caller_spoke(5.0)
    responses.go_on(link, 5.0)
    assert not link.said
    assert responses.owed


def test_what_is_dropped_is_not_heard_and_not_asked_for_again():
    link, responses = Link(), Responses("")
    responses.drop(link, cancel=True)
    responses.created("r1")
    responses.drop(link, cancel=True)
    assert link.said == [Cancel(event_id="cut_response", response_id="r1")]
    assert not responses.is_wanted("r1")
    responses.done(over("r1", "failed", code="server_error"), 1.0)
    assert not responses.coming


def test_what_fails_is_asked_for_again_later_and_later():
    link, responses = Link(), Responses("")
    responses.ask("Greet.")
    for number, now in ((1, 0.0), (2, 10.0)):
        responses.go_on(link, now)
        responses.created(f"r{number}")
        responses.done(over(f"r{number}", "failed", code="server_error"), now)
        ((at, ring),) = responses.alarms(lambda: None)
        assert at == now + number
        ring()
    responses.go_on(link, 20.0)
    assert [event.response.instructions for event in link.said] == ["\n\nGreet."] * 3
    responses.created("r3")
    with pytest.raises(Failed, match="content_filter"):
        responses.done(over("r3", "incomplete", reason="content_filter"), 20.0)


def test_what_was_cut_short_was_said_all_the_same():
    responses = Responses("")
    responses.created("r1")
    responses.voiced = True
    responses.done(over("r1", "incomplete", reason="max_output_tokens"), 1.0)
    assert not responses.coming


def test_without_money_there_is_no_second_try():
    responses = Responses("")
    responses.created("r1")
    with pytest.raises(Failed, match="insufficient_quota"):
        responses.done(over("r1", "failed", code="insufficient_quota"), 1.0)


def test_what_a_lost_session_owed_is_wanted_of_the_next():
    link, responses = Link(), Responses("")
    assert not responses.lost()
    responses.ask("Greet.")
    responses.go_on(link, 0.0)
    assert not responses.lost()  # it is asked for again, so nobody need think about it
    responses.go_on(link, 1.0)
    assert link.said[0] == link.said[1]
    responses.created("r1")
    responses.voiced = True
    assert not responses.lost()
    assert not responses.coming
    responses.caller_spoke(2.0)
    assert responses.lost()
