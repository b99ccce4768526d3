"""What a call does next: documents, redirects, transfers, and calls the server places."""

import asyncio

import pytest

from trunkline.events import (
    Who,
    Why,
)
from trunkline.sim.deadline import Overdue
from trunkline.sim.faults import Faults
from trunkline.sim.line import How
from trunkline.sim.program import Callee, Outcome, Party

from .acme import AFTER, STREAM, Server, echo, order, play


def test_the_servers_end_of_a_stream_leads_to_the_next_step():
    async def bot(talk):
        await talk.next()
        await talk.close()

    server = Server(STREAM, AFTER, bot=bot, after=[("hangup", {})])

    async def scene(phone):
        call = await phone.call()
        await call.ended()
        return call

    call = play(server, scene)
    assert server.kinds() == ["Offered", "Offered", "Ended"]
    assert [w.get("again") for w in server.webhooks[:2]] == [False, True]
    assert (call.how, call.reason.who) == (How.VERB, Who.BOT)


def test_a_redirect_to_nowhere_asks_the_same_webhook_again():
    async def bot(talk):
        await talk.next()
        await talk.close()

    server = Server(STREAM, ("redirect", {"url": ""}), bot=bot)

    async def scene(phone):
        call = await phone.call()
        await call.ended()
        return call

    play(server, scene)
    assert [w.get("again") for w in server.webhooks[:3]] == [False, True, True]


def test_the_end_of_a_document_ends_the_call():
    server = Server(("pause", {"seconds": 3}))

    async def scene(phone):
        call = phone.dial()
        with pytest.raises(Overdue, match="the call to be answered"):
            await call.answered(2)
        await call.ended(2)
        assert await call.answered() is False
        return call

    call = play(server, scene)
    assert call.how is How.DOCUMENT
    # Nobody spoke with the caller for three seconds.
    assert call.line.idle_s == pytest.approx(3)


def test_a_stream_that_is_not_waited_for_ends_with_the_document():
    server = Server(("openstream", {"url": "wss://bot.test/media", "blocking": False}))

    async def scene(phone):
        call = await phone.call()
        await call.ended(1)
        return call

    assert play(server, scene).how is How.DOCUMENT


def test_a_running_stream_can_be_awaited():
    async def bot(talk):
        await asyncio.sleep(5)

    server = Server(
        ("openstream", {"url": "wss://bot.test/media", "blocking": False}),
        ("collectdigits", {"url": "https://bot.test/digits"}),
        ("awaitstream", {}),
        bot=bot,
    )

    async def scene(phone):
        call = await phone.call()
        await call.ended(6)
        return call

    call = play(server, scene)
    assert call.now == pytest.approx(5)
    assert call.complaints == []


@pytest.mark.parametrize(("reason", "why"), [("busy", Why.BUSY), ("rejected", Why.REJECTED)])
def test_a_call_that_is_rejected_was_never_answered(reason, why):
    server = Server(("reject", {"reason": reason}))

    async def scene(phone):
        call = await phone.call()
        await call.ended()
        return call

    call = play(server, scene)
    assert (call.reason.why, call.how) == (why, How.VERB)
    assert "answered" not in [m.kind for m in call.record().moments]
    assert server.webhooks[-1]["duration_s"] == 0


@pytest.mark.parametrize("trouble", ["status", "junk", "circle", "forged"])
def test_a_webhook_that_fails_ends_the_call(trouble):
    faults = Faults(forged_signature=trouble == "forged")
    server = Server(AFTER, after=[AFTER])
    if trouble == "junk":
        server.documents["answer"] = [b"?"]

    async def scene(phone):
        call = await phone.call()
        await call.ended()
        return call

    if trouble == "status":
        server.carrier.given["key"] = "another"
    call = play(server, scene, faults=faults)
    assert (call.reason.why, call.how) == (Why.FAILED, How.WEBHOOK)
    assert "fault" in [m.kind for m in call.record().moments]


def test_a_server_that_does_not_answer_is_given_fifteen_seconds():
    server = Server()
    original = server.webhook

    async def late(request, receive, send):
        await asyncio.sleep(16)
        await original(request, receive, send)

    server.webhook = late

    async def scene(phone):
        call = phone.dial()
        await call.wait_until(lambda: False, "anything", 15.5)
        return call

    call = play(server, scene)
    assert call.how is How.WEBHOOK
    assert any("waited 15 s in vain" in m.text for m in call.record().moments)


def test_a_refused_socket_leads_to_the_next_step():
    server = Server(STREAM, ("hangup", {}))
    server.refuse = 403

    async def scene(phone):
        call = await phone.call()
        await call.ended()
        return call

    call = play(server, scene)
    assert call.how is How.VERB
    assert any("403" in m.text for m in call.record().moments)


def dialled(answer_url="https://bot.test/answer", status_url="https://bot.test/status", **more):
    urls = {"answer_url": answer_url, "status_url": status_url}
    return order("place", to="+12025550123", **{"from": "+12025550100"}, **urls, **more)


def test_the_server_calls_and_somebody_answers():
    server = Server(STREAM, bot=echo)

    async def scene(phone):
        placed = await phone.send("acme", dialled(tag="wish-1", detect=True))
        call = await phone.next_call()
        assert placed.json() == {"id": call.id, "state": "queued", "tag": "wish-1"}
        assert (call.info.to, call.info.direction.value) == ("+12025550123", "outbound")
        assert await call.answered(3)
        await asyncio.sleep(2)
        await call.hang_up()
        with pytest.raises(Overdue, match="place a call"):
            await phone.next_call(1)
        return call

    call = play(server, scene, callee=Callee(ring_s=2))
    assert server.kinds() == ["Ringing", "Offered", "Ended"]
    assert server.webhooks[1]["call"]["tag"] == "wish-1"
    answered = next(m.at for m in call.record().moments if m.kind == "answered")
    assert answered == pytest.approx(2)


def test_the_server_calls_with_steps_of_its_own():
    server = Server(bot=echo)

    async def scene(phone):
        steps = [["openstream", {"url": "wss://bot.test/media"}]]
        await phone.send("acme", dialled("", steps=steps))
        call = await phone.next_call()
        assert await call.answered()
        await call.hang_up()

    play(server, scene)
    assert server.kinds() == ["Ringing", "Answered", "Ended"]


@pytest.mark.parametrize(
    ("callee", "why", "after"),
    [
        (Callee(outcome=Outcome.BUSY, ring_s=1), Why.BUSY, 1),
        (Callee(outcome=Outcome.REJECT, ring_s=3), Why.REJECTED, 3),
        (Callee(outcome=Outcome.NO_ANSWER), Why.NO_ANSWER, 20),
        (Callee(ring_s=40), Why.NO_ANSWER, 20),
    ],
)
def test_nobody_answers(callee, why, after):
    server = Server(STREAM)

    async def scene(phone):
        await phone.send("acme", dialled(ring_timeout=20))
        call = await phone.next_call()
        await call.ended(30)
        return call

    call = play(server, scene, callee=callee)
    assert (call.reason.why, call.how) == (why, How.UNANSWERED)
    assert call.now == pytest.approx(after, abs=1e-3)
    assert server.kinds() == ["Ringing", "Ended"]


@pytest.mark.parametrize(
    ("party", "why", "after"),
    [
        (Party(ring_s=1, talk_s=4), "completed", 5),
        (Party(outcome=Outcome.BUSY, ring_s=1), "busy", 1),
        (Party(outcome=Outcome.NO_ANSWER, ring_s=9), "no_answer", 9),
    ],
)
def test_a_transfer_ends_somehow_and_the_server_is_asked_how_to_go_on(party, why, after):
    server = Server(
        ("transferto", {"to": "+12025550155", "then_url": "https://bot.test/after"}),
        after=[("transferto", {"to": "+12025550155"})],
    )

    async def scene(phone):
        call = phone.dial()
        await call.ended(30)
        return call

    call = play(server, scene, party=party)
    assert server.webhooks[1]["transfer"] == why
    assert call.now == pytest.approx(2 * after, abs=1e-3)
    assert call.line.idle_s == 0
    assert call.how is How.DOCUMENT


def test_a_placed_call_tells_nobody_who_did_not_ask():
    server = Server(STREAM, bot=echo)

    async def scene(phone):
        await phone.send("acme", dialled(status_url=""))
        call = await phone.next_call()
        assert await call.answered()
        await call.hang_up()

    play(server, scene)
    assert server.kinds() == ["Offered"]


def test_orders_that_overtake_each_other():
    """The last counts, and one that was replaced before it began leaves nothing behind."""
    server = Server(STREAM)

    async def scene(phone):
        call = await phone.call()
        await asyncio.gather(
            *(
                phone.send("acme", order("do", id=call.id, steps=[["pause", {"seconds": n}]]))
                for n in (50, 60, 2)
            )
        )
        await call.ended(3)
        return call

    assert play(server, scene).how is How.DOCUMENT
