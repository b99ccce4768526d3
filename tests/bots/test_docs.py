"""The code on the pages about bots and speech: it runs, and the bot there books a table."""

import re
from pathlib import Path

import pytest

from trunkline.config import Settings
from trunkline.events import Who
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone

DOCS = Path(__file__).parents[2] / "docs"


def examples(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


def run(code):
    names = {}
    exec(compile(code, "docs", "exec"), names)
    return names


@pytest.mark.parametrize("page", ["bots.md", "speech.md"])
def test_every_example_runs(page, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    for code in examples(page):
        run(code)


@pytest.mark.speech
def test_the_bot_on_the_page_books_a_table():
    (code,) = [
        code
        for code in examples("bots.md")
        if "book a table" in code.lower() and "chat" not in code
    ]
    page = run(code)

    async def spoken(text):
        audio = b"".join([chunk async for chunk in page["voice"].speak(text)])
        return audio, page["voice"].format

    async def main():
        base = "https://bot.test"
        phone = Phone("twilio", base=base, speaker=spoken)
        settings = Settings(public_url=base, simulator_url="http://sim.test")
        app = create_app(page["bot"], settings, send=phone.send)
        async with InProcess(app) as network, phone:
            phone.network = network
            call = await phone.call()
            await call.wait_for_speech()
            await call.wait_for_silence()
            await call.say("I would like to book a table, please.")
            return await call.ended()

    assert run_virtual(main()).who is Who.BOT
