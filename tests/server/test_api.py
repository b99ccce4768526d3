"""Calls over HTTP: who is let in, whom they may call, and what each answer says."""

import asyncio
import json

import pytest

from trunkline import carriers
from trunkline.carrier import Control
from trunkline.config import Settings
from trunkline.events import Digits
from trunkline.server import create_app
from trunkline.server.dialling import QUEUED_MOST
from trunkline.sim.clock import run_virtual
from trunkline.sim.faults import Faults
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone
from trunkline.sim.program import Callee, Outcome, Party
from trunkline.web import Request

BASE = "https://bot.example.com"
KEY, OTHER = "a-key-of-some-length", "another-key-of-some-length"
FROM, TO = "+12025550100", "+12025550123"
WISH = {"to": TO, "from": FROM}
ABLE = [n for n in carriers.names() if carriers.get(n).supports(Control.DIAL)]


def able(control):
    return next(n for n in ABLE if carriers.get(n).supports(control))


def by_rest():
    """A carrier whose keys go over REST."""
    return next(
        n
        for n in ABLE
        if carriers.get(n).supports(Control.SEND_DIGITS) and Digits not in carriers.get(n).says
    )


async def listener(call):
    async for _ in call:
        pass


class Client:
    """Speaks HTTP to the app in this process."""

    def __init__(self, app, network, carrier):
        self.app = app
        self._network = network
        self._carrier = carrier

    async def ask(self, method, path, body=None, *, key=KEY, **headers):
        request = Request(
            method=method,
            url=f"{BASE}{path}",
            headers={
                "content-type": "application/json",
                **({"authorization": f"Bearer {key}"} if key else {}),
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
            body=json.dumps(body).encode() if body is not None else b"",
        )
        return await self._network.request(request)

    async def dial(self, wish=WISH, **headers):
        return await self.ask("POST", "/calls", {"carrier": self._carrier, **wish}, **headers)

    async def until(self, call_id, *states):
        for _ in range(600):
            report = (await self.ask("GET", f"/calls/{call_id}")).json()
            if report["state"] in states:
                return report
            await asyncio.sleep(0.1)
        raise AssertionError(f"still {report['state']}")


def play(scene, *, carrier=ABLE[0], bot=listener, given=None, **options):
    async def main():
        phone = Phone(carrier, base=BASE, **options)
        settings = Settings(
            **{
                "public_url": BASE,
                "simulator_url": "http://simulator.test",
                "api_keys": f"{KEY},{OTHER}",
                "dial_prefixes": "+1202,+44",
                **(given or {}),
            }
        )
        app = create_app(bot, settings, send=phone.send)
        async with phone:
            async with InProcess(app) as phone.network:
                result = await scene(Client(app, phone.network, carrier), phone)
            assert phone.exchange.left_open() == []
        return result

    return run_virtual(main())


def problem(response):
    assert response.headers["content-type"] == "application/problem+json"
    said = response.json()
    assert said["status"] == response.status
    assert said["title"]
    return said["detail"]


# --- who is let in ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "wrong", KEY[:-1], KEY + "x", "é"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/calls"), ("GET", "/calls"), ("POST", "/calls/x/hangup")]
)
def test_without_a_key_nothing_is_read(key, method, path):
    async def scene(client, phone):
        response = await client.ask(method, path, {"nonsense": 1}, key=key)
        assert response.headers["www-authenticate"] == "Bearer"
        return response

    response = play(scene)
    assert response.status == 401
    assert "Bearer" in problem(response)


def test_any_of_the_keys_will_do_and_only_as_a_bearer():
    async def scene(client, phone):
        basic = await client.ask("GET", "/calls", key="", authorization=f"Basic {KEY}")
        return [basic.status] + [
            (await client.ask("GET", "/calls", key=k)).status for k in (KEY, OTHER)
        ]

    assert play(scene) == [401, 200, 200]


def test_without_keys_there_is_no_api():
    async def scene(client, phone):
        paths = ("/calls", "/calls/x", "/openapi.json")
        return [(await client.ask("GET", path)).status for path in paths]

    assert play(scene, given={"api_keys": ""}) == [404, 404, 404]


def test_a_short_key_is_refused_when_the_server_is_set_up():
    with pytest.raises(ValueError, match="16 characters"):
        Settings(public_url=BASE, api_keys="short")


# --- whom they may call ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefixes", "to", "why"),
    [
        ("", TO, "set TRUNKLINE_DIAL_PREFIXES"),
        ("+1202,+44", "+19005550123", "allows no call"),
        ("+1202,+44", "+881612345678", "allows no call"),
    ],
)
def test_numbers_outside_the_list_are_not_called(prefixes, to, why):
    async def scene(client, phone):
        response = await client.dial(WISH | {"to": to})
        assert phone.exchange.requests == []
        return response

    response = play(scene, given={"dial_prefixes": prefixes})
    assert response.status == 403
    assert why in problem(response)
    assert to not in response.body.decode()


@pytest.mark.parametrize(
    "changed",
    [
        {"to": "12025550123"},
        {"to": "+0202555"},
        {"from": "anonymous"},
        {"ring_timeout": 4},
        {"max_duration": 59},
        {"surprise": 1},
        {"parameters": {"n": 7}},
        {"carrier": "nobody"},
    ],
)
def test_what_is_no_wish_is_a_422_that_repeats_no_value(changed):
    async def scene(client, phone):
        return await client.dial(WISH | changed)

    response = play(scene)
    assert response.status == 422
    problem(response)
    assert "0202555" not in response.body.decode()
    assert "anonymous" not in response.body.decode()


# --- what is done ----------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ABLE)
def test_a_call_from_the_wish_to_the_end(carrier):
    seen = []

    async def bot(call):
        seen.append(call.parameters["order"])
        await listener(call)

    async def scene(client, phone):
        first = await client.dial(WISH | {"parameters": {"order": "7"}})
        assert first.status == 202
        report = first.json()
        assert report["state"] == "queued"
        assert (report["to"], report["from"]) == (TO, FROM)
        assert report["queued_at"].endswith("Z")
        live = await client.until(report["id"], "answered")
        call = await phone.next_call()
        assert live["call_id"] in (call.id, call.info.dial_id)
        assert (await client.ask("GET", f"/calls/{live['call_id']}")).json()["id"] == report["id"]
        await asyncio.sleep(1)
        hung_up = await client.ask("POST", f"/calls/{report['id']}/hangup")
        assert hung_up.status == 200
        await call.ended()
        return await client.until(report["id"], "ended")

    report = play(scene, carrier=carrier, bot=bot)
    assert seen == ["7"]
    assert report["reason"]["why"] == "completed"
    assert report["queued_at"] <= report["placed_at"] <= report["answered_at"] <= report["ended_at"]


def test_the_same_idempotency_key_is_the_same_call():
    async def scene(client, phone):
        answers = [await client.dial(idempotency_key="order 7") for _ in range(3)]
        other = await client.dial(WISH | {"to": "+12025550124"}, idempotency_key="order 7")
        await client.until(answers[0].json()["id"], "ended")
        again = await client.dial(idempotency_key="order 7")
        return answers, other, again, phone.exchange.placed.qsize()

    answers, other, again, placed = play(scene, callee=Callee(outcome=Outcome.BUSY))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in [*answers, again]}) == 1
    assert again.json()["reason"]["why"] == "busy"
    assert other.status == 422
    assert "another call" in problem(other)
    assert placed == 1


def test_the_list_shows_calls_of_both_directions_the_newest_first():
    async def scene(client, phone):
        inbound = await phone.call()
        ids = []
        for n in range(3):
            ids.append((await client.dial(WISH | {"to": f"+1202555010{n}"})).json()["id"])
            await client.until(ids[-1], "answered")
        await client.ask("POST", f"/calls/{ids[0]}/hangup")
        await client.until(ids[0], "ended")
        listed, live, some = [
            json.loads((await client.ask("GET", f"/calls{query}")).body)
            for query in ("", "?live=true", "?limit=2")
        ]
        looked = (await client.ask("GET", f"/calls/{inbound.id}")).json()
        hung_up = await client.ask("POST", f"/calls/{inbound.id}/hangup", {"after_playback": True})
        await inbound.ended()
        for one in ids[1:]:
            await client.ask("POST", f"/calls/{one}/hangup")
        await asyncio.sleep(5)
        gone = await client.ask("GET", f"/calls/{inbound.id}")
        return inbound.id, ids, listed, live, some, looked, hung_up, gone

    inbound, ids, listed, live, some, looked, hung_up, gone = play(scene)
    assert [one["id"] for one in listed] == [inbound, *reversed(ids)]
    assert [one["id"] for one in live] == [inbound, *reversed(ids[1:])]
    assert len(some) == 2
    assert (looked["direction"], looked["state"], looked["from"]) == (
        "inbound",
        "answered",
        "+12025550143",
    )
    assert hung_up.status == 200
    assert gone.status == 404


def test_a_call_that_waits_or_rings_can_be_taken_back():
    async def scene(client, phone):
        reports = [(await client.dial(WISH | {"to": f"+1202555010{n}"})).json() for n in range(20)]
        ringing = await client.until(reports[0]["id"], "ringing", "placed")
        waiting = reports[-1]
        for one in (ringing, waiting):
            response = await client.ask("POST", f"/calls/{one['id']}/hangup")
            assert response.json()["reason"]["why"] == "cancelled"
            again = await client.ask("POST", f"/calls/{one['id']}/hangup")
            assert again.json() == response.json()
        for one in reports[1:-1]:
            await client.ask("POST", f"/calls/{one['id']}/hangup")
        called = {line.info.to for line in _placed(phone)}
        assert waiting["to"] not in called
        assert ringing["to"] in called

    play(scene, callee=Callee(ring_s=25))


def _placed(phone):
    while not phone.exchange.placed.empty():
        yield phone.exchange.placed.get_nowait()


def test_keys_are_pressed_and_calls_transferred():
    carrier = able(Control.TRANSFER)

    async def scene(client, phone):
        made = (await client.dial()).json()["id"]
        early = await client.ask("POST", f"/calls/{made}/digits", {"digits": "1"})
        await client.until(made, "answered")
        call = await phone.next_call()
        await asyncio.sleep(1)
        keys = await client.ask("POST", f"/calls/{made}/digits", {"digits": "42#"})
        await asyncio.sleep(4)
        outside = await client.ask("POST", f"/calls/{made}/transfer", {"to": "+19005550100"})
        moved = await client.ask("POST", f"/calls/{made}/transfer", {"to": "+12025550199"})
        report = await client.until(made, "ended")
        late = await client.ask("POST", f"/calls/{made}/transfer", {"to": "+12025550199"})
        await call.ended(120)
        return early, keys, outside, moved, late, report, call

    early, keys, outside, moved, late, report, call = play(
        scene, carrier=carrier, party=Party(talk_s=8)
    )
    assert [early.status, keys.status, outside.status] == [409, 202, 403]
    assert [moved.status, late.status] == [202, 409]
    assert report["reason"]["why"] == "transferred"
    moments = {m.kind: m.text for m in call.record().moments}
    assert moments["key"] == "42#"
    assert moments["transfer"] == "answer"


@pytest.mark.parametrize(
    "carrier",
    [
        n
        for n in ABLE
        if not carriers.get(n).supports(Control.SEND_DIGITS) and Digits not in carriers.get(n).says
    ],
)
def test_what_a_carrier_cannot_do_is_a_501(carrier):
    async def scene(client, phone):
        made = (await client.dial()).json()["id"]
        await client.until(made, "answered")
        await asyncio.sleep(1)
        response = await client.ask("POST", f"/calls/{made}/digits", {"digits": "1"})
        await client.ask("POST", f"/calls/{made}/hangup")
        return response

    response = play(scene, carrier=carrier)
    assert response.status == 501
    problem(response)


def test_when_too_many_wait_more_are_told_when_to_come_again():
    async def scene(client, phone):
        server = client.app.state.trunkline
        name = phone.exchange.carrier.name
        wishes = [server.dial(TO, from_=FROM, carrier=name) for _ in range(QUEUED_MOST)]
        response = await client.dial()
        for wish in wishes:
            await server.dialler.hang_up(wish)
        return response

    response = play(scene)
    assert response.status == 429
    assert int(response.headers["retry-after"]) >= 1
    problem(response)


def test_what_the_carrier_refuses_is_a_502():
    async def scene(client, phone):
        made = (await client.dial()).json()["id"]
        await client.until(made, "answered")
        call = await phone.next_call()
        await asyncio.sleep(1)
        phone.exchange.faults = Faults(rest_refused=1.0)
        response = await client.ask("POST", f"/calls/{made}/digits", {"digits": "1"})
        phone.exchange.faults = Faults()
        await call.hang_up()
        await client.until(made, "ended")
        return response

    response = play(scene, carrier=by_rest())
    assert response.status == 502
    assert "503" in problem(response)


def test_no_such_call():
    async def scene(client, phone):
        return [
            await client.ask("GET", "/calls/nobody"),
            await client.ask("POST", "/calls/nobody/hangup"),
            await client.ask("POST", "/calls/nobody/digits", {"digits": "1"}),
        ]

    for response in play(scene):
        assert response.status == 404
        problem(response)


def test_the_api_describes_itself():
    async def scene(client, phone):
        return (await client.ask("GET", "/openapi.json", key="")).json()

    schema = play(scene)
    paths = schema["paths"]
    assert {"/calls", "/calls/{id}", "/calls/{id}/hangup"} <= set(paths)
    assert not [path for path in paths if "carrier" in path]
    for path, methods in paths.items():
        for what in methods.values():
            assert what["summary"], path
            if path.startswith("/calls"):
                assert what["security"] == [{"HTTPBearer": []}]
                assert "401" in what["responses"]
                assert what["description"]
    fields = schema["components"]["schemas"]["NewCall"]["properties"]
    assert set(fields) >= {"to", "from", "carrier", "parameters", "detect_machine"}


def test_numbers_and_keys_stay_out_of_the_log(caplog):
    async def scene(client, phone):
        made = (await client.dial(idempotency_key="secret-order")).json()["id"]
        await client.until(made, "answered")
        await asyncio.sleep(1)
        await client.ask("POST", f"/calls/{made}/hangup")
        await client.until(made, "ended")

    caplog.set_level("DEBUG")
    play(scene)
    lines = [str(vars(record)) for record in caplog.records]
    assert lines
    for secret in (KEY, TO, FROM, TO[1:], "secret-order"):
        assert not [line for line in lines if secret in line]


def test_a_server_that_is_stopping_dials_nobody():
    async def scene(client, phone):
        call = await phone.call()
        board = client.app.state.trunkline.switchboard
        draining = asyncio.ensure_future(board.drain(3.0))
        await asyncio.sleep(0.5)
        response = await client.dial()
        await call.hang_up()
        await draining
        return response

    response = play(scene)
    assert response.status == 503
    assert "stopping" in problem(response)
