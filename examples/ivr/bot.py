"""A bank's telephone menu: keys, a number nobody else may see, a person, a goodbye. No model.

trunkline serve examples/ivr/bot.py
"""

import os

from trunkline import Call
from trunkline.bots.hibari import Hibari
from trunkline.bots.recording import record
from trunkline.errors import Unsupported
from trunkline.events import Why

PERSON = os.environ.get("PERSON", "+12025550123")  # whom "0" is put through to
BALANCES = {"4711": "forty two dollars", "1234": "nine thousand dollars"}

WELCOME = "Welcome to Riverside Bank."
MENU = "For your balance, press 1. To speak with a person, press 0. To end this call, press 9."
ACCOUNT = "Please enter your account number, and then the pound key."
BALANCE = "You have {}."
UNKNOWN = "There is no such account."
WAIT = "One moment, please. I am putting you through."
NOBODY = "I am sorry, nobody can take your call right now."
CANNOT = "I am sorry, calls cannot be put through on this line."
WRONG = "Sorry, I did not get that."
GOODBYE = "Thank you for calling. Goodbye!"
LINES = [WELCOME, MENU, ACCOUNT, UNKNOWN, WAIT, NOBODY, CANNOT, WRONG, GOODBYE]
TRIES = 3


class Bank:
    """The bot; its lines are spoken once a process, and then played."""

    def __init__(self, voice=None):
        self.voice = voice or Hibari()
        self.lines = {}

    async def warm_up(self) -> None:
        for line in LINES:
            await self.line(line)

    async def line(self, text):
        if text not in self.lines:
            self.lines[text] = await record(self.voice, text)
        return self.lines[text]

    async def say(self, call: Call, text: str) -> float:
        """Say a line after those before it; returns how many seconds it takes."""
        line = await self.line(text)
        call.play(line.audio, line.format)
        return line.format.ms_in(len(line.audio)) / 1000

    async def ask(self, call: Call, text: str, count: int | None, *, secret=False) -> str:
        """The keys pressed; the first of them stops the question."""
        seconds = await self.say(call, text)
        return await call.collect_digits(
            count, first_timeout=seconds + 6, secret=secret, clear=True
        )

    async def __call__(self, call: Call) -> None:
        await self.say(call, WELCOME)
        tries = 0
        while tries < TRIES:
            match await self.ask(call, MENU, 1):
                case "1":
                    await self.tell_balance(call)
                    tries = 0
                case "0":
                    if await self.put_through(call):
                        return
                    tries = 0
                case "9":
                    break
                case _:
                    tries += 1
                    await self.say(call, WRONG)
        await self.say(call, GOODBYE)  # heard to its end; then the call is hung up

    async def tell_balance(self, call: Call) -> None:
        balance = BALANCES.get(await self.ask(call, ACCOUNT, None, secret=True))
        await self.say(call, BALANCE.format(balance) if balance else UNKNOWN)

    async def put_through(self, call: Call) -> bool:
        """Whether the caller speaks with somebody, and we are done."""
        await self.say(call, WAIT)
        await call.quiet()
        try:
            outcome = await call.transfer(PERSON)
        except Unsupported:
            await self.say(call, CANNOT)
            return False
        if outcome is Why.COMPLETED:
            return True
        await self.say(call, NOBODY)  # busy, no answer …: the caller is back with us
        return False


bot = Bank()
