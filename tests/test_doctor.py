"""The doctor, on deployments that are well and on ones that are not."""

import asyncio
from email.utils import formatdate

import pytest

from rig import BASE, Rig, settings
from trunkline import carriers
from trunkline.carrier import Control
from trunkline.config import Settings
from trunkline.doctor import examine
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.web import Response

ABLE = [k.name for k in carriers.all_carriers() if k.supports(Control.CHECK)]


def environment(name):
    return {c.env: c.example for c in carriers.get(name).credentials}


def look(name, change=lambda rig: None, network=None, **given):
    """The findings on a server of this carrier, by their first words."""

    async def main():
        async with Rig(name) as rig:
            change(rig)
            deployed = Settings(**{"public_url": BASE, "secret": ("s",), **given})
            return await examine(
                deployed, network or rig.network, rig.send, environment(name), rig.clock
            )

    return run_virtual(main())


@pytest.mark.parametrize("name", ABLE)
def test_a_deployment_that_is_well(name):
    findings = look(name)
    assert [f.what for f in findings if f.ok is False] == []
    said = " ".join(finding.what for finding in findings)
    assert f"the server answers at {BASE}" in said
    assert "refused without a token" in said
    assert f"{carriers.get(name).title}: the credentials work" in said


def test_credentials_that_are_wrong():
    name = ABLE[0]

    def refuse(rig):
        async def send(carrier, request):
            return Response(401, {}, b"{}")

        rig.send = send

    (finding,) = [f for f in look(name, refuse) if f.ok is False]
    assert finding.what.startswith(carriers.get(name).title)
    assert all(c.env in finding.advice for c in carriers.get(name).credentials if c.required)


@pytest.mark.parametrize(("off", "way"), [(-400, "ahead of"), (400, "behind"), (20, "")])
def test_a_clock_that_is_wrong(off, way):
    def skew(rig):
        send = rig.send

        async def dated(carrier, request):
            answer = await send(carrier, request)
            date = formatdate(rig.clock() + off, usegmt=True)
            return Response(answer.status, {**answer.headers, "date": date}, answer.body)

        rig.send = dated

    clocks = [f for f in look(ABLE[0], skew) if "clock" in f.what]
    assert [way in f.what and f"{abs(off)} s" in f.what for f in clocks] == ([True] if way else [])


def test_a_date_that_is_none_says_nothing():
    def garble(rig):
        send = rig.send

        async def dated(carrier, request):
            answer = await send(carrier, request)
            return Response(answer.status, {**answer.headers, "date": "soon"}, answer.body)

        rig.send = dated

    assert [f for f in look(ABLE[0], garble) if f.ok is False] == []


@pytest.mark.parametrize(
    ("given", "ok", "words"),
    [
        ({"public_url": ""}, False, "PUBLIC_URL is not set"),
        ({"public_url": "http://bot.example.com"}, None, "not https"),
        ({"secret": ()}, None, "TRUNKLINE_SECRET"),
    ],
)
def test_settings(given, ok, words):
    (finding,) = [f for f in look(ABLE[0], **given) if words in f.what]
    assert finding.ok is ok
    assert finding.advice


def app(status, body, socket=None):
    """What answers at a public URL that does not lead to us."""

    async def answer(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await receive()
        if scope["type"] == "websocket" and socket == "accept":
            await send({"type": "websocket.accept"})
            await receive()
            return
        kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
        code = socket if scope["type"] == "websocket" else status
        await send({"type": f"{kind}.start", "status": code, "headers": []})
        await send({"type": f"{kind}.body", "body": body})

    return answer


READY = b'{"ready": true, "carriers": ["acme"]}'


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (app(200, b"<html>parked</html>"), "not as Trunkline"),
        (app(404, b""), "answers 404"),
        (app(200, READY, socket=426), "answered 426"),
        (app(200, READY, socket="accept"), "without a token"),
    ],
)
def test_a_public_url_that_leads_elsewhere(answers, words):
    (finding,) = [f for f in look(ABLE[0], network=InProcess(answers)) if f.ok is False]
    assert words in finding.what
    assert finding.advice


def test_a_public_url_that_leads_nowhere():
    class Nowhere(InProcess):
        async def request(self, request):
            await asyncio.sleep(0)
            from trunkline.sim.network import Unreachable

            raise Unreachable("no such host")

    (finding,) = [f for f in look(ABLE[0], network=Nowhere(None)) if f.ok is False]
    assert "nobody answers" in finding.what


def test_no_carrier_at_all():
    async def main():
        async with Rig(ABLE[0]) as rig:
            return await examine(settings(simulator_url=""), rig.network, rig.send, {}, rig.clock)

    (finding,) = [f for f in run_virtual(main()) if f.ok is False]
    assert "no carrier" in finding.what
    assert "TWILIO_ACCOUNT_SID" in finding.advice
