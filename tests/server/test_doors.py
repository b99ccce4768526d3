"""The doors: what is let in, what is turned away, with which code, and in how many log lines."""

import asyncio
import logging

import msgspec
import pytest

from loopback import doors, run_real
from rig import BASE, Rig
from trunkline import carriers
from trunkline.carrier import Hangup, OpenStream, Purpose, Reject
from trunkline.events import Audio, Offered
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.network import NotConnected
from trunkline.sockets import SocketClosed
from trunkline.web import Request

DOCUMENT = [
    name
    for name in carriers.names()
    if carriers.get(name).signs_webhooks  # and so can be told from anybody else
]
every_carrier = pytest.mark.parametrize("name", carriers.names())


# A test of what media sockets are held to is one of both listeners.
both_doors = pytest.mark.parametrize(
    ("name", "door"), doors, ids=[f"{name}-{door.__name__}" for name, door in doors]
)


def run(name, scene, door=InProcess, **given):
    async def main():
        async with Rig(name, door=door, **given) as rig:
            return await scene(rig)

    return run_virtual(main()) if door is InProcess else run_real(main())


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


async def closed(socket):
    """How the server closes; what it sends before is of no interest."""
    with pytest.raises(SocketClosed) as end:
        while True:
            await socket.receive()
    return end.value.code


# --- webhooks ---


@pytest.mark.parametrize("name", DOCUMENT)
def test_a_webhook_that_is_not_signed_is_refused_in_one_line(name, caplog):
    async def scene(rig):
        answer = await rig.webhook(Offered(rig.info()), sign=False)
        assert answer.status == 401
        assert answer.body == b""
        return rig.bots

    assert run(name, scene) == []
    assert warnings(caplog) == ["webhook refused"]


@pytest.mark.parametrize("name", DOCUMENT)
def test_the_log_names_the_url_that_would_have_fitted(name, caplog):
    """A proxy told the carrier another scheme, say: then the public URL is what is wrong."""
    if "url" not in carriers.get(name).signature_covers:
        pytest.skip("what this carrier sends does not depend on the URL")

    async def scene(rig):
        notice = Offered(rig.info())
        url = rig.hooks.url(Purpose.ANSWER)
        signed = rig.carrier.sign(rig.carrier.write_webhook(notice, url.replace("https", "http")))
        sent = Request(method="POST", url=url, headers=signed.headers, body=signed.body)
        assert (await rig.network.request(sent)).status == 401

    run(name, scene)
    (record,) = [r for r in caplog.records if r.getMessage() == "webhook refused"]
    assert record.url_that_fits == f"http://bot.example.com/{name}/answer"


@every_carrier
def test_a_webhook_that_cannot_be_read_is_a_400(name, caplog):
    async def scene(rig):
        url = rig.hooks.url(Purpose.ANSWER)
        refused = {400}
        for body in (b"{", b"\xff\xfe=%%%", b""):
            request = Request(
                method="POST", url=url, headers={"content-type": "text/plain"}, body=body
            )
            assert (await rig.network.request(rig.carrier.sign(request))).status in refused
            refused = {400, 401}  # a signature over nothing may count as none

    run(name, scene)
    assert len(warnings(caplog)) == 3
    assert warnings(caplog)[0] == "webhook unreadable"


@every_carrier
def test_what_no_carrier_asks_for_is_not_there(name):
    async def scene(rig):
        for path in (f"/{name}/nonsense", "/nobody/answer", f"/{name}"):
            request = Request(method="POST", url=BASE + path)
            assert (await rig.network.request(request)).status == 404
        step_url = f"{BASE.replace('http', 'ws')}/nobody/media/x"
        with pytest.raises(NotConnected) as refused:
            await rig.network.connect(Request(method="GET", url=step_url))
        assert refused.value.status == 404

    run(name, scene)


@every_carrier
def test_a_webhook_of_a_megabyte_is_not_read_to_its_end(name):
    async def scene(rig):
        request = Request(method="POST", url=rig.hooks.url(Purpose.ANSWER), body=b"x" * (1 << 20))
        return (await rig.network.request(request)).status

    assert run(name, scene) == 413


# --- tokens ---


@both_doors
def test_a_socket_without_a_token_is_refused(name, door, caplog):
    async def scene(rig):
        info = rig.info()
        step = await rig.offer(info)
        stream_url = f"{BASE.replace('http', 'ws')}/{name}/media"
        return await _try(rig, info, step, url=stream_url, token=""), rig.bots

    refused, bots = run(name, scene, door)
    assert refused in (401, 1008)  # the first where the upgrade's own proof covers the token
    assert bots == []
    assert len(warnings(caplog)) == 1


async def _try(rig, info, step, url="", **changed):
    """Open a socket with a token; the HTTP status or close code it is turned away with."""
    try:
        socket = await rig.open(step, url)
    except NotConnected as error:
        return error.status
    await rig.flush(socket, rig.end(info, step, **changed))
    return await closed(socket)


@both_doors
def test_a_token_opens_one_socket(name, door, caplog):
    async def scene(rig):
        info = rig.info()
        step = await rig.offer(info)
        socket = await rig.open(step)
        await rig.flush(socket, rig.end(info, step))
        assert len(rig.bots) == 1
        refused = await _try(rig, info, step)
        await rig.over(info)
        return refused, len(rig.bots)

    refused, bots = run(name, scene, door)
    assert refused in (403, 1008)
    assert bots == 1
    assert warnings(caplog) == ["socket refused"]


@both_doors
def test_a_token_expires(name, door, caplog):
    async def scene(rig):
        info = rig.info()
        step = await rig.offer(info)
        rig.clock_now += 61
        return await _try(rig, info, step), rig.bots

    refused, bots = run(name, scene, door)
    assert refused in (403, 1008)
    assert bots == []
    assert warnings(caplog) == ["socket refused"]


@both_doors
def test_a_token_opens_no_other_call(name, door, caplog):
    async def scene(rig):
        step = await rig.offer(rig.info())
        return await _try(rig, rig.info(), step), rig.bots

    assert run(name, scene, door) == (1008, [])
    assert warnings(caplog) == ["socket refused"]


@both_doors
def test_a_token_opens_no_other_account(name, door, caplog):
    async def scene(rig):
        if not rig.account:
            pytest.skip("this carrier's streams name no account")
        info = rig.info()
        step = await rig.offer(info)
        return await _try(rig, info, step, account_id="AC-somebody-else"), rig.bots

    assert run(name, scene, door) == (1008, [])


# --- calls whose id only their stream tells ---


async def unknown(rig):
    """The media socket offered to a call that does not say which it is."""
    nobody = msgspec.structs.replace(rig.info(), call_id="")
    answer = await rig.webhook(Offered(nobody))
    if answer.status == 400:
        pytest.skip("this carrier's webhooks always say whose they are")
    (step,) = [s for s in await rig.read(nobody, answer) if isinstance(s, OpenStream)]
    return step


@every_carrier
def test_each_call_of_unknown_id_gets_a_token_for_the_call_its_stream_names(name):
    async def scene(rig):
        first, second = await unknown(rig), await unknown(rig)
        assert first.url != second.url
        seen = []
        for step, info in ((second, rig.info()), (first, rig.info())):
            socket = await rig.open(step)
            end = rig.end(info, step, from_=info.from_, to=info.to)
            await rig.flush(socket, end)
            call = rig.bots[-1]
            seen.append((call.id, call.from_, call.to, call.direction, call.info.tag))
            assert seen[-1] == (info.call_id, info.from_, info.to, "inbound", "")
            await rig.over(info)
        return len(set(seen))

    assert run(name, scene) == 2


@every_carrier
def test_a_token_for_a_call_of_unknown_id_leads_into_none_that_is_known(name, caplog):
    async def scene(rig):
        there, _, _ = await rig.join()
        answered = rig.info()
        await rig.offer(answered)
        for info in (there, answered):
            assert await _try(rig, info, await unknown(rig)) == 1008
        assert await _try(rig, rig.info(), await unknown(rig), call_id="") == 1008
        assert rig.bots[0].ended is None
        await rig.over(there)
        return len(rig.bots)

    assert run(name, scene) == 1
    assert warnings(caplog) == ["socket refused"] * 3


@every_carrier
def test_tokens_for_calls_of_unknown_id_let_in_no_more_calls_than_there_may_be(name, caplog):
    async def scene(rig):
        first, second = await unknown(rig), await unknown(rig)
        info = rig.info()
        await rig.flush(await rig.open(first), rig.end(info, first))
        assert await _try(rig, rig.info(), second) == 1008
        await rig.over(info)
        return len(rig.bots)

    assert run(name, scene, max_calls=1) == 1
    assert warnings(caplog) == ["socket refused"]


# --- the start ---


@both_doors
def test_a_socket_that_says_nothing_is_closed(name, door, caplog):
    async def scene(rig):
        step = await rig.offer(rig.info())
        socket = await rig.open(step)
        began = asyncio.get_running_loop().time()
        assert await closed(socket) == 1002
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.5, abs=0.1)
        return rig.bots

    assert run(name, scene, door, handshake_timeout=0.5) == []
    assert warnings(caplog) == ["socket refused"]


@both_doors
@pytest.mark.parametrize("junk", ["hello", '{"event":"media"}', b"\0\1\2", "[" * 5000])
def test_a_socket_that_begins_with_junk_is_closed(name, door, junk, caplog):
    async def scene(rig):
        socket = await rig.open(await rig.offer(rig.info()))
        for _ in range(6):
            try:
                await socket.send(junk)
            except SocketClosed:
                break
        assert await closed(socket) == 1002
        return rig.bots

    assert run(name, scene, door) == []
    assert warnings(caplog) == ["socket refused"]


@both_doors
def test_a_socket_that_leaves_before_the_start_leaves_nothing(name, door):
    async def scene(rig):
        socket = await rig.open(await rig.offer(rig.info()))
        await socket.close()
        await asyncio.sleep(1)
        return rig.bots, rig.board.calls

    assert run(name, scene, door) == ([], [])


@both_doors
def test_an_oversized_message_closes_the_socket(name, door):
    async def scene(rig):
        info, socket, _ = await rig.join()
        await socket.send("x" * 70_000)
        code = await closed(socket)
        await rig.over(info)
        return code

    assert run(name, scene, door) == 1009


@both_doors
def test_junk_on_a_call_is_passed_over_and_a_flood_of_it_ends_the_call(name, door, caplog):
    async def scene(rig):
        _, socket, end = await rig.join()
        for junk in ("junk", b"\xff", '{"event":1}', "{}"):
            await socket.send(junk)
        await rig.say(socket, end, Audio(bytes(160)))
        assert rig.bots[0].ended is None
        for _ in range(60):
            try:
                await socket.send("junk")
            except SocketClosed:
                break
        assert await closed(socket) == 1000
        await asyncio.sleep(1)
        return rig.bots[0].ended.why

    assert run(name, scene, door) == "protocol"
    assert warnings(caplog).count("message not understood") == 1


# --- who is let in at all ---


@every_carrier
def test_beyond_the_limit_and_while_draining_calls_are_dismissed(name):
    async def scene(rig):
        info, _, _ = await rig.join()
        busy = await rig.steps(rig.info())
        await rig.over(info)
        await asyncio.sleep(1)
        await rig.offer(rig.info())  # there is room again
        rig.board.draining = True
        draining = await rig.steps(rig.info())
        return busy, draining, len(rig.bots)

    busy, draining, bots = run(name, scene, max_calls=1)
    assert bots == 1
    for steps in (busy, draining):
        assert [type(step) for step in steps] in ([Reject], [Hangup])


@every_carrier
def test_a_call_whose_socket_never_came_does_not_count_for_ever(name):
    async def scene(rig):
        await rig.offer(rig.info())
        rig.clock_now += 61
        info, _, _ = await rig.join()
        await rig.over(info)
        return len(rig.bots)

    assert run(name, scene, max_calls=1) == 1
