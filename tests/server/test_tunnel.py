"""A tunnel, through a program that stands for ngrok's agent."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.errors import ConfigError
from trunkline.server.tunnel import tunnel

pytestmark = pytest.mark.process

AGENT = Path(__file__).with_name("ngrok_agent.py")
TOKEN = "2abc_a-token-of-ours"


@pytest.fixture(scope="module")
def pyngrok(tmp_path_factory):
    """Imported with a home of its own, since it keeps a configuration there."""
    with pytest.MonkeyPatch.context() as patch:
        home = str(tmp_path_factory.mktemp("home"))
        patch.setenv("HOME", home)
        patch.setenv("XDG_CONFIG_HOME", f"{home}/.config")
        yield pytest.importorskip("pyngrok.ngrok")


@pytest.fixture
def agent(pyngrok, tmp_path, monkeypatch):
    monkeypatch.setenv("NGROK_AUTHTOKEN", TOKEN)

    def behaving(how):
        program = tmp_path / "ngrok"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{AGENT}" {how} "$@"\n')
        program.chmod(0o755)
        return str(program)

    return behaving


def opened(program, **options):
    async def main():
        async with tunnel(8080, TOKEN, ngrok_path=program, **options) as url:
            return url, agents()

    url, during = asyncio.run(main())
    return url, during, agents()


def agents():
    from pyngrok import process

    return list(process._current_processes)


@pytest.mark.parametrize(
    ("options", "url"),
    [({}, "https://a-b-c.ngrok-free.app"), ({"domain": "bot.ngrok.app"}, "https://bot.ngrok.app")],
)
def test_it_is_there_while_the_block_runs(agent, options, url):
    program = agent("fine")
    found, during, after = opened(program, **options)
    assert found == url
    assert during == [program]
    assert after == []


@pytest.mark.parametrize(
    ("behaves", "why"),
    [
        ("bad-token", "ngrok refuses the tunnel: .*The authtoken is wrong.*ERR_NGROK_107"),
        ("refused", "ngrok refuses the tunnel: .*not your domain. ERR_NGROK_320"),
    ],
)
def test_a_refusal_is_told_in_ngroks_words_without_the_token(agent, behaves, why):
    with pytest.raises(ConfigError, match=why) as refused:
        opened(agent(behaves))
    assert TOKEN not in str(refused.value)
    assert agents() == []


def test_an_agent_that_says_nothing_is_given_up_and_the_program_ends(agent, tmp_path):
    code = (
        "import asyncio\nfrom trunkline.server.tunnel import tunnel\n"
        "async def main():\n"
        f"    async with tunnel(8080, 'x', opened_within=0.3, ngrok_path={agent('mute')!r}): ...\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code]
    home = str(tmp_path / "home")
    environ = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home}
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert "ngrok opened no tunnel within 0.3 s" in ran.stderr


def test_an_agent_that_cannot_be_fetched(pyngrok, tmp_path, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(
            ConfigError, match=r"ngrok's agent cannot be had: .*ngrok\.com/download"
        ):
            opened(str(tmp_path / "nothing here"))


def test_an_agent_that_is_no_program(agent):
    program = Path(agent("fine"))
    program.chmod(0o600)
    with pytest.raises(ConfigError, match=r"ngrok's agent cannot be had: .*Permission denied"):
        opened(str(program))


def test_without_a_token():
    pytest.importorskip("pyngrok.ngrok")

    async def main():
        async with tunnel(8080, ""):
            pass

    with pytest.raises(ConfigError, match=r"NGROK_AUTHTOKEN.*dashboard"):
        asyncio.run(main())


def test_without_pyngrok(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyngrok.ngrok", None)

    async def main():
        async with tunnel(8080, TOKEN):
            pass

    with pytest.raises(ConfigError, match=r"trunkline\[ngrok\]"):
        asyncio.run(main())
