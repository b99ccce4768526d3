"""The commands that dial and answer, over real sockets on the loopback interface and with rich."""

import asyncio
import io
import socket

import pytest
from rich.console import Console

from trunkline import carriers
from trunkline.bots import echo
from trunkline.carrier import Control
from trunkline.config import Settings
from trunkline.errors import ConfigError
from trunkline.server import create_app, running
from trunkline.server.one_dial import one_dial
from trunkline.sim.one_call import answer_call, one_call, plan
from trunkline.sim.program import Callee, Outcome
from trunkline.sim.script import HangUp, Listen, Say, Script

CARRIER = next(n for n in carriers.names() if carriers.get(n).supports(Control.DIAL))
TO, FROM = "+12025550123", "+12025550100"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def paper():
    return Console(file=io.StringIO(), width=100)


def hold(tmp_path, scene):
    """``scene(server, url, rest_port)`` beside a server that echoes."""

    async def main():
        port, rest_port = free_port(), free_port()
        url = f"http://127.0.0.1:{port}"
        settings = Settings(public_url=url, simulator_url=f"http://127.0.0.1:{rest_port}")
        async with running(create_app(echo.bot, settings), "127.0.0.1", port) as server:
            return await scene(server, url, rest_port)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("outcome", "codes", "words"),
    [
        (Outcome.ANSWER, (0, 0), ["queued", "placed", "answered", "completed, by caller", "done"]),
        (Outcome.BUSY, (1, 0), ["queued", "placed", "not done: busy"]),
    ],
)
def test_one_dials_and_the_other_answers(tmp_path, outcome, codes, words):
    told, shown = paper(), paper()

    async def scene(server, url, rest_port):
        answering = asyncio.create_task(
            answer_call(
                url,
                CARRIER,
                Script.parse("pause 0.3\nhang up"),
                tmp_path,
                shown,
                speaker=None,
                ears=None,
                rest_port=rest_port,
                callee=Callee(outcome=outcome, ring_s=0.2),
                wait=30,
            )
        )
        # If it does not listen yet, the dial is tried again.
        code = await one_dial(server, TO, told, from_=FROM, carrier=CARRIER, detect_machine=True)
        return code, await answering

    assert hold(tmp_path, scene) == codes
    said = told.file.getvalue()
    places = [said.index(word) for word in words]
    assert places == sorted(places)
    assert "Waiting for a call" in shown.file.getvalue()
    assert (tmp_path / f"call-{CARRIER}.wav").is_file()


def test_the_other_way_round(tmp_path):
    async def scene(server, url, rest_port):
        return await one_call(
            url,
            CARRIER,
            Script.parse("pause 0.3\nhang up"),
            tmp_path,
            paper(),
            speaker=None,
            ears=None,
            rest_port=rest_port,
        )

    assert hold(tmp_path, scene) == 0


def test_a_number_that_is_none_is_told_in_a_sentence(tmp_path):
    async def scene(server, url, rest_port):
        with pytest.raises(ConfigError, match="its country"):
            await one_dial(server, "911", paper(), from_=FROM, carrier=CARRIER)

    hold(tmp_path, scene)


def test_a_port_that_is_taken_is_told_in_a_sentence():
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            app = create_app(echo.bot, Settings(public_url="http://x", simulator_url="http://x"))
            with pytest.raises(ConfigError, match="choose another"):
                async with running(app, *taken.getsockname()):
                    raise AssertionError("not reached")

    asyncio.run(main())


def test_somebody_who_is_called_speaks_first():
    called, caller = plan((), (), None, called=True), plan((), (), None)
    assert [type(step) for step in called.steps] == [Say, Listen, HangUp]
    assert [type(step) for step in caller.steps] == [Listen, Say, Listen, HangUp]
