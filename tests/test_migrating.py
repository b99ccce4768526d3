"""The page for those who come from other serializers: its code runs, and what it calls an import
is one."""

import re
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():  # Pipecat imports audioop, which warns of its end
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pipecat.transports.websocket.fastapi")

from trunkline.config import Settings
from trunkline.events import Who
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone
from trunkline.web import Request

PAGE = (Path(__file__).parents[1] / "docs" / "migrating.md").read_text("utf-8")
BASE = "https://bot.test"
IDS = {"stream": "s-1", "call": "c-1", "account": "a-1", "token": "secret"}
WORDS = {
    "stream_id": "s-1",
    "call_id": "c-1",
    "account_id": "a-1",
    "client_id": "id",
    "client_secret": "secret",
}


def snippets(heading):
    """The code of a section, run; the names it defines, and its text without its imports."""
    section = re.split(r"(?m)^##+ ", PAGE.partition(f" {heading}\n")[2])[0]
    found = []
    for code in re.findall(r"(?ms)^```python\n(.*?)^```$", section):
        names = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            exec(compile(code, "docs/migrating.md", "exec"), names)
        found.append((names, code.partition("\n\n\n")[2]))
    assert found
    return found


def made(names):
    make = names.get("serializer")
    if make is None:
        return names["serializers"](IDS)
    wanted = make.__code__.co_varnames[: make.__code__.co_argcount]
    return [make(**{name: WORDS[name] for name in wanted})]


@pytest.mark.parametrize(
    ("heading", "package"),
    [
        ("From pipecat-bandwidth", "pipecat_bandwidth"),
        ("From pipecat-wavix", "pipecat_wavix"),
        ("From Pipecat's own", "pipecat"),
    ],
)
def test_a_serializer_is_exchanged_by_its_import_alone(heading, package):
    pytest.importorskip(package)
    (before, said_before), (after, said_after) = snippets(heading)
    assert said_before == said_after
    theirs, ours = made(before), made(after)
    assert [type(one).__name__ for one in theirs] == [type(one).__name__ for one in ours]
    assert {type(one).__module__.partition(".")[0] for one in theirs} == {package}
    assert {type(one).__module__.partition(".")[0] for one in ours} == {"trunkline"}


def test_the_serializer_in_the_place_of_a_sample():
    [(names, _)] = snippets("From SFVoPI's sample")
    [serializer] = made(names)
    assert serializer.call_id == "c-1"


def call_up(carrier, app_of):
    async def main():
        phone = Phone(carrier, base=BASE)
        settings = Settings(public_url=BASE, simulator_url="http://sim.test")
        async with InProcess(app_of(settings, phone.send)) as phone.network, phone:
            call = await phone.call()
            await call.ended()
        return call

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        call = run_virtual(main())
    assert call.complaints == []
    assert call.reason.who is Who.BOT


def test_a_bot_for_the_runner_makes_its_transport(capsys):
    [(names, _)] = snippets("From Pipecat's development runner")
    found = []

    async def bot(runner_args):
        found.append(await names["transport_of"](runner_args))

    from trunkline.pipecat import adapted

    call_up("bandwidth", lambda settings, send: create_app(adapted(bot), settings, send=send))
    assert [type(one).__name__ for one in found] == ["FastAPIWebsocketTransport"]
    assert capsys.readouterr().out.startswith("bandwidth +")


def test_an_app_of_ones_own_starts():
    [(names, _)] = snippets("From an app of yours")
    app = names["create_app"](Settings(public_url=BASE, simulator_url="http://sim.test"))

    async def main():
        async with InProcess(app) as network:
            asked = Request(method="POST", url=f"{BASE}/twilio/answer", headers={}, body=b"")
            return await network.request(asked)

    assert run_virtual(main()).status == 401  # a webhook that nobody signed


@pytest.mark.parametrize("which", [0, 1], ids=["before", "after"])
def test_the_transport_before_and_after(which):
    from trunkline.adapters.pipecat.runner import adapted, takes_runner_arguments

    names, _ = snippets("3. The transport")[which]
    held = []

    async def talk(transport):
        held.append(type(transport).__name__)

    names["talk"] = talk
    bot = names["bot"]
    on_call = adapted(bot) if takes_runner_arguments(bot) else bot
    call_up("twilio", lambda settings, send: create_app(on_call, settings, send=send))
    assert held == [["FastAPIWebsocketTransport", "TrunklineTransport"][which]]


def test_every_piece_of_python_on_the_page_is_looked_at():
    headings = re.findall(r"(?m)^###? (.+)$", PAGE)
    with_code = [h for h in headings if "```python" in section(h)]
    assert sum(section(h).count("```python") for h in with_code) == PAGE.count("```python") == 11


def section(heading):
    return re.split(r"(?m)^##+ ", PAGE.partition(f" {heading}\n")[2])[0]
