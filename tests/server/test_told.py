"""Calls that are told what to do by REST: answered, given another stream, and never left open."""

import asyncio
import logging

import pytest

from rig import Rig
from trunkline import carriers
from trunkline.carrier import Hangup, OpenStream
from trunkline.events import CallState, Offered
from trunkline.sim.clock import run_virtual

NAMES = [
    name
    for name in carriers.names()
    if not (carriers.get(name).asks_after or carriers.get(name).reconnects)
]
told = pytest.mark.parametrize("name", NAMES)


def run(name, scene, **given):
    async def main():
        async with Rig(name, **given) as rig:
            return await scene(rig)

    return run_virtual(main())


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@told
def test_a_call_whose_socket_does_not_come_is_hung_up(name, caplog):
    async def scene(rig):
        info = rig.info()
        await rig.offer(info)
        await asyncio.sleep(15)
        return rig.ordered(info)

    assert run(name, scene) == [Hangup()]
    assert warnings(caplog) == ["no socket came"]


@told
def test_a_call_whose_socket_came_is_not(name, caplog):
    async def scene(rig):
        info, _, _ = await rig.join()
        await asyncio.sleep(15)
        assert rig.bots[0].ended is None
        await rig.over(info)
        return rig.ordered(info)

    assert run(name, scene) == []
    assert warnings(caplog) == []


@told
def test_a_call_whose_socket_has_not_come_when_the_server_stops_is_hung_up(name, caplog):
    async def scene(rig):
        info = rig.info()
        await rig.offer(info)
        await rig.board.drain(1.0)
        return rig.ordered(info)

    assert run(name, scene) == [Hangup()]
    assert warnings(caplog) == []


@told
def test_a_call_that_is_over_before_it_could_be_answered_leaves_nothing(name, caplog):
    async def scene(rig):
        info = rig.info()
        rig.exchange.add(info.call_id, CallState.ENDED)
        await rig.webhook(Offered(info))
        await asyncio.sleep(15)
        return rig.ordered(info)

    assert run(name, scene) == []
    assert warnings(caplog) == []


@told
def test_a_call_that_the_carrier_does_not_let_us_answer_is_given_up_and_may_ring_again(
    name, caplog
):
    async def scene(rig):
        info = rig.info()
        rig.refusing = 403
        await rig.webhook(Offered(info))
        await asyncio.sleep(15)
        rig.refusing = 0
        rig.ordered(info)
        await rig.join(info)
        await rig.over(info)
        return len(rig.bots)

    assert run(name, scene) == 1
    refused = ["call could not be answered", "no socket came", "hang-up failed"]
    assert warnings(caplog) == refused


@told
def test_a_call_that_was_answered_though_the_carrier_says_no_goes_on(name):
    """The first answer was lost, and the request is refused when it is repeated."""

    async def scene(rig):
        info = rig.info()
        rig.refusing = 400
        step = await rig.offer(info)
        rig.refusing = 0
        socket = await rig.open(step)
        await rig.flush(socket, rig.end(info, step))
        await asyncio.sleep(15)
        assert rig.bots[0].ended is None
        await rig.over(info)
        return rig.ordered(info)

    assert run(name, scene) == []


@told
def test_the_same_webhook_again_does_not_disturb_the_call(name):
    async def scene(rig):
        info, _, _ = await rig.join()
        await asyncio.sleep(5)
        answer = await rig.webhook(Offered(info))
        assert answer.status < 300
        await asyncio.sleep(5)
        assert rig.bots[0].ended is None
        await rig.over(info)
        return rig.ordered(info)

    assert run(name, scene) == []


@told
def test_a_call_that_ended_as_its_socket_was_lost_is_over_at_once(name):
    async def scene(rig):
        info, socket, _ = await rig.join()
        rig.exchange.end(info.call_id)
        socket.abort()
        await asyncio.sleep(1)
        return rig.bots[0].ended

    ended = run(name, scene)
    assert (ended.why, ended.who) == ("completed", "caller")


@told
def test_a_second_stream_is_not_asked_for_for_ever(name):
    async def scene(rig):
        info, socket, _ = await rig.join()
        streams = 0
        while rig.bots[0].ended is None:
            socket.abort()
            await asyncio.sleep(0.5)
            for step in rig.ordered(info):
                streams += isinstance(step, OpenStream)
                if isinstance(step, OpenStream):
                    socket = await rig.open(step)
                    await rig.flush(socket, rig.end(info, step))
        return streams, rig.bots[0].ended.why, len(rig.bots)

    streams, why, bots = run(name, scene)
    assert streams == 5
    assert (why, bots) == ("network", 1)


@told
def test_a_call_that_lost_its_socket_is_not_counted_once_it_is_over(name):
    async def scene(rig):
        _, socket, _ = await rig.join()
        socket.abort()
        await asyncio.sleep(10)
        info, _, _ = await rig.join()
        await rig.over(info)
        return len(rig.bots)

    assert run(name, scene, max_calls=1) == 2
