"""Calls at any carrier with a bot on the simulated Cartesia, in virtual time and in tones."""

import asyncio

from trunkline.bots import cartesia
from trunkline.bots.turns import Reply
from trunkline.config import Settings
from trunkline.media.formats import L16_8K
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone
from trunkline.sim.services.cartesia import Cartesia
from trunkline.sim.services.tones import Tones

BASE = "https://bot.example.com"
KEY = "sk_car_secret"
GREETING = "Hello. What do you want?"


async def reply(text, history):
    if "goodbye" in text:
        return Reply("Goodbye!", hang_up=True)
    if "story" in text:
        return "Once upon a time there was a king who had three sons. They all went away."
    return f"You said: {text}"


class Scene:
    """A service, a voice for everybody, and whatever the phone and the bot need."""

    def __init__(self, **options):
        self.tones = Tones()
        self.turns = []
        self.service = Cartesia(self.tones.hear, self.tones.speak, key=KEY, **options)

    def bot(self, **options):
        given = {
            "greeting": GREETING,
            "voice": "v1",
            "api_key": KEY,
            "url": "ws://cartesia.test",
            "rating": cartesia.Loudness,
            "connect": self.service.connect,
            "on_turn": lambda call, turn: self.turns.append(turn),
        }
        return cartesia.bot(reply, **(given | options))

    def sound(self, text):
        return self.tones.sound(text, L16_8K)

    def heard(self, call):
        """The words the caller has heard."""
        return " ".join(word for word, _, _ in self.words(call))

    def words(self, call):
        return self.tones.words(call.heard, L16_8K)


def hold(carrier, scene, play, bot=None, settings=None, **options):
    """Run ``play(phone)``; afterwards nothing may be left, at the service or in the loop."""

    async def main():
        phone = Phone(carrier, base=BASE, **options)
        given = {"public_url": BASE, "simulator_url": "http://simulator.test", **(settings or {})}
        app = create_app(bot or scene.bot(), Settings(**given), send=phone.send)
        phone.app = app
        async with phone, InProcess(app) as phone.network:
            result = await play(phone)
        async with asyncio.timeout(5):
            while scene.service.open:
                await asyncio.sleep(0.01)
        await scene.service.aclose()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        assert not app.state.trunkline.switchboard.calls
        return result

    return run_virtual(main())
