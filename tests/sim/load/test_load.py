"""Whole load tests, small ones, over real sockets: of servers that behave, and that do not."""

import asyncio
import json
import os
import signal
import threading
from xml.etree import ElementTree

import pytest

from trunkline import carriers
from trunkline.bots.echo import bot as echo
from trunkline.cli import main
from trunkline.events import Digit
from trunkline.media.formats import L16_8K
from trunkline.media.level import rms
from trunkline.media.tones import dtmf

from .servers import CARRIER, Echo, measured, ours, plan


async def talker(call):
    """Talks for ever, unless somebody speaks or presses a key."""
    loud = 0

    def say():
        call.play(dtmf("159" * 60, L16_8K), L16_8K)

    def listen(audio):
        nonlocal loud
        was, loud = loud, loud + 1 if rms(audio, call.audio_in) > 300 else 0
        if loud == 2:
            call.clear()
        elif was > 2 and not loud:
            say()

    say()
    call.listen(listen)
    await call.wait()


async def keyed(call):
    """Talks for ever, unless somebody presses a key."""
    call.play(dtmf("159" * 60, L16_8K), L16_8K)
    async for event in call:
        if isinstance(event, Digit):
            call.clear()
            await asyncio.sleep(0.4)
            call.play(dtmf("159" * 60, L16_8K), L16_8K)


async def brief(call):
    """Says a word and hangs up."""
    await call.play(dtmf("1", L16_8K), L16_8K)
    await call.hang_up()


async def bare(server, meanwhile=None, **given):
    async with server.running() as url:
        return await measured(plan(url, **given), meanwhile=meanwhile)


SERVERS = {
    "echo": Echo(),
    "late": Echo(late_s=0.08),
    "bad": Echo(refuse_every=4, drop_after=30),
    "rubbish": Echo(rubbish="[]"),
    "mute": Echo(mute=True),
    "stopped": Echo(),
}
NOBODY = "http://127.0.0.1:9"
SCENES = {
    "echo 1": lambda: ours(echo, "telnyx", "echo", calls=6),
    "echo 2": lambda: ours(echo, "vonage", "echo", calls=6),
    "bargein": lambda: ours(talker, "twilio", "bargein", calls=3, duration=2.5),
    "key": lambda: ours(keyed, "sfvopi", "bargein", calls=2, duration=2.5, key="7"),
    "short": lambda: ours(talker, "bandwidth", "short", cps=8.0, duration=1.0, calls=50),
    "talk": lambda: ours(brief, "plivo", "talk", calls=3),
    "hangs up": lambda: ours(brief, "telnyx", "echo", calls=2),
    "nobody": lambda: measured(plan(NOBODY, "telnyx", "echo", calls=2, duration=0.1)),
    "bare": lambda: bare(SERVERS["echo"], parameters=["room=5"]),
    "late": lambda: bare(SERVERS["late"]),
    "bad": lambda: bare(SERVERS["bad"]),
    "rubbish": lambda: bare(SERVERS["rubbish"], calls=2),
    "mute": lambda: bare(SERVERS["mute"], calls=2, duration=1.2),
    "stopped": lambda: bare(SERVERS["stopped"], meanwhile=0.8, duration=3600.0),
}


async def all_scenes():
    found = await asyncio.gather(*(scene() for scene in SCENES.values()))
    return dict(zip(SCENES, found, strict=True))


@pytest.fixture(scope="module")
def found():
    """What each scene came to. They mostly wait, so all are held at once."""
    return asyncio.run(all_scenes())


# --- servers of ours, by webhook -------------------------------------------------------------


@pytest.mark.parametrize("scene", ["echo 1", "echo 2"])
def test_an_echo_of_ours(found, scene):
    summary = found[scene]
    every = summary.all
    assert (every.dialled, every.started, every.completed, every.failed) == (6, 6, 6, 0)
    assert every.errors == {}
    assert summary.calls == 6
    assert summary.setup.count == summary.first.count == 6
    assert summary.lateness.count > 6 * 30
    assert 0 < summary.lateness.p50 <= summary.lag.p50
    assert every.frames_back == summary.all.lateness.count <= every.frames_sent


@pytest.mark.parametrize("scene", ["bargein", "key"])
def test_barge_ins_at_a_server_of_ours(found, scene):
    summary = found[scene]
    assert summary.all.errors == {}
    assert summary.all.stop.count >= 2
    assert summary.all.stop.most < 5000
    assert summary.all.completed == summary.all.dialled


def test_short_calls_begin_and_end(found):
    summary = found["short"]
    assert (summary.all.dialled, summary.all.completed) == (8, 8)
    assert summary.setup.count == 8
    assert summary.all.errors == {}


def test_talk_with_a_bot_that_hangs_up_is_no_error(found):
    summary = found["talk"]
    assert summary.all.errors == {}
    assert (summary.all.ended_by_server, summary.all.completed) == (3, 3)
    assert summary.first.count == 3


def test_an_echo_that_hangs_up_is_one(found):
    assert found["hangs up"].all.errors == {"ended early": 2}
    assert found["hangs up"].all.failed == 2


def test_a_webhook_that_nobody_answers(found):
    every = found["nobody"].all
    assert every.errors == {"webhook": 2}
    assert NOBODY in every.examples["webhook"]
    assert every.started == 0


# --- bare sockets ----------------------------------------------------------------------------


def test_a_bare_echo(found):
    summary, server = found["bare"], SERVERS["echo"]
    assert summary.all.errors == {}
    assert summary.all.completed == 8
    assert summary.steady.frames_lost == summary.steady.frames_repeated == 0
    assert {start["customParameters"]["room"] for start in server.starts} == {"5"}
    assert len({start["callSid"] for start in server.starts}) == 8
    assert server.ended == ["stop"] * 8  # every call was ended as the carrier does


def test_lateness_is_what_the_server_adds(found):
    late = found["late"]
    assert late.lateness.p50 >= 80
    assert late.lateness.p50 > found["bare"].lateness.p50
    assert late.first.p50 >= 80


def test_what_goes_wrong_is_told_by_kind(found):
    every = found["bad"].all
    assert every.errors == {"refused": 2, "dropped": 6}
    assert every.failed == 8
    assert "503" in every.examples["refused"]


def test_rubbish_is_a_breach_of_the_protocol(found):
    assert found["rubbish"].all.errors == {"protocol": 2}
    assert found["rubbish"].all.completed == 2


def test_a_mute_server_fails_every_call(found):
    assert found["mute"].all.errors == {"silent": 2}


def test_stopped_early_the_calls_are_ended_properly(found):
    every = found["stopped"].all
    assert every.completed == every.dialled == 8
    assert SERVERS["stopped"].ended == ["stop"] * 8


# --- the command -----------------------------------------------------------------------------


class Elsewhere:
    """A server in a thread of its own, for a command that has an event loop itself."""

    def __init__(self, server):
        self.server = server
        self.url = ""
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self):
        self._loop, self._down = asyncio.get_running_loop(), asyncio.Event()
        async with self.server.running() as self.url:
            self._up.set()
            await self._down.wait()

    def __enter__(self):
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._down.set)
        self._thread.join()


@pytest.mark.process
def test_the_command_measures_draws_and_judges(tmp_path, capsys):
    arguments = ["load", "--carrier", CARRIER, "--calls", "6", "--cps", "60", "--duration", "1"]
    files = ["--json", str(tmp_path / "load.json"), "--svg", str(tmp_path / "load.svg")]
    limits = ["--max-errors", "0", "--max-late-p99", "0.001", "--processes", "2"]
    with Elsewhere(Echo(late_s=0.03)) as there, pytest.raises(SystemExit) as end:
        main([*arguments, *files, *limits, "--url", there.url, "--pid", str(os.getpid())])
    assert end.value.code == 1
    shown = " ".join(capsys.readouterr().out.split())
    title = carriers.get(CARRIER).title
    assert f"6 calls at once · {title} · echo" in shown
    assert "over the limit of 0.001 ms" in shown
    told = json.loads((tmp_path / "load.json").read_bytes())
    assert told["processes"] == 2
    assert told["summary"]["lateness"]["p50"] >= 30
    assert told["summary"]["server"]["rss_kb"] > 0
    assert told["broken"] and not told["stopped"]
    drawn = ElementTree.parse(tmp_path / "load.svg").getroot()
    assert title in "".join(drawn.itertext())


@pytest.mark.process
def test_interrupted_it_ends_its_calls_and_reports(capsys):
    class Once(Echo):
        async def _talk(self, socket):
            if not self.ended and self.asked == 2:
                os.kill(os.getpid(), signal.SIGINT)
            await super()._talk(socket)

    server = Once()
    with Elsewhere(server) as there, pytest.raises(SystemExit) as end:
        main(
            ["load", "--carrier", CARRIER, "--calls", "2", "--duration", "3600", "--url", there.url]
        )
    assert end.value.code == 0
    assert "Stopped before its time" in capsys.readouterr().out
    assert server.ended == ["stop"] * 2
