"""Whole calls with the simulated Realtime service, in virtual time: phone, carrier, server, model.

The caller and the model speak in tones, a word each, so that what either heard can be read off.
"""

import asyncio

from trunkline.bots.realtime import Realtime, hang_up
from trunkline.config import Settings
from trunkline.events import Who
from trunkline.media.formats import L16_8K
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone
from trunkline.sim.services.realtime import Calls, RealtimeService
from trunkline.sim.services.tones import Tones

BASE = "https://bot.example.com"
URL = "wss://realtime.test/v1/realtime"
GREETING = "hello what can we do"
STORY = " ".join(f"w{number}" for number in range(40))


class Kitchen:
    """A restaurant's model: greets, books, tells a story, says goodbye."""

    def __init__(self):
        self.asked = []  # the instructions of every response, and the words it answers

    async def reply(self, asked):
        items, instructions = asked.items, asked.instructions
        last = items[-1] if items else None
        words = last.text if last else ""
        self.asked.append((instructions.partition("\n\n")[2], words))
        if "Go on from there" in instructions:
            said = instructions.partition("“")[2].partition("”")[0]
            return [STORY.partition(said)[2] or "yes"]
        if "still there" in instructions:
            return ["are you still there"]
        if "goodbye" in instructions:
            return ["goodbye"]
        if last is None:
            return [GREETING]
        if last.type == "function_call_output":
            return [last.output]
        if "story" in words:
            return [STORY]
        if "table" in words:
            return [Calls("book", '{"people": 2}')]
        if "goodbye" in words:
            return ["goodbye", Calls("hang_up")]
        return [f"you said {words or 'nothing'}"]


async def book(people: int) -> str:
    """Book a table for so many people."""
    return f"booked for {people}"


class Restaurant:
    """Service, bot and server around one phone; ``turns`` is what the bot told of."""

    def __init__(
        self,
        carrier,
        *,
        model=None,
        service=None,
        phone=None,
        refusals=(),
        wrap=None,
        bot=None,
        **given,
    ):
        self.tones = Tones()
        self.model = model or Kitchen()
        self.service = RealtimeService(
            self.model.reply,
            hear=self.tones.hear,
            speak=getattr(self.model, "speak", self.tones.speak),
            **(service or {}),
        )
        self.service.refuse(*refusals)
        self.turns = []
        self.calls = []
        connect = wrap(self.service.connect) if wrap else self.service.connect
        self.bot = bot or Realtime(
            "You are a restaurant.",
            **{
                "greeting": "Greet the caller.",
                "tools": [book, hang_up],
                "api_key": "key",
                "url": URL,
                "connect": connect,
                "on_turn": lambda call, turn: self.turns.append(turn),
                **given,
            },
        )
        self.phone = Phone(carrier, base=BASE, **(phone or {}))
        settings = Settings(public_url=BASE, simulator_url="http://simulator.test")
        self.app = create_app(self._answer, settings, send=self.phone.send)

    async def _answer(self, call):
        self.calls.append(call)
        await self.bot(call)

    async def say(self, call, text):
        await call.say(self.tones.sound(text, L16_8K), words=text)

    async def reply(self, call, ms=1200):
        """What the model says next, as the caller heard it, when it has come to its end."""
        begun = await call.wait_for_speech(within=20)
        await call.wait_for_silence(ms)
        return self.words(call, begun)

    def words(self, call, since=0.0):
        heard = self.tones.words(call.heard[L16_8K.bytes_in(since * 1000) :], L16_8K)
        return " ".join(word for word, _, _ in heard)

    def heard_of_caller(self):
        return [turn.text for turn in self.turns if turn.who is Who.CALLER]


def in_restaurant(carrier, scene, **given):
    """Run ``scene(restaurant, call)``; afterwards nothing may be left of the call."""

    async def main():
        restaurant = Restaurant(carrier, **given)
        async with (
            restaurant.service,
            restaurant.phone as phone,
            InProcess(restaurant.app) as phone.network,
        ):
            call = await phone.call()
            result = await scene(restaurant, call)
            if call.reason is None:
                await call.hang_up()
            await call.ended(within=30)
            await asyncio.sleep(3)
            assert restaurant.service.open == 0
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left
        return result

    return run_virtual(main())
