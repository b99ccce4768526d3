"""Bandwidth and Cartesia: says what you say, and hangs up when you say goodbye.

python server.py           takes calls, until it is stopped
python server.py --call    calls BANDWIDTH_TO_NUMBER, and exits when that call is over
"""

import asyncio
import logging
import os
import sys

from dotenv import load_dotenv

from trunkline import Settings, create_app
from trunkline.bots import cartesia
from trunkline.bots.turns import Reply
from trunkline.server import running, serve

load_dotenv()
PORT = int(os.environ.get("PORT") or 8080)


async def reply(text, history):
    if "bye" in text.lower():
        return Reply("Goodbye!", hang_up=True)
    return f"You said: {text}" if text else "Sorry, I did not catch that."


bot = cartesia.bot(reply, greeting=os.environ.get("GREETING") or "Hello. Say something.")


async def call(number, ours):
    async with running(create_app(bot, Settings()), "0.0.0.0", PORT) as server:
        reason = await server.dial(number, from_=ours, carrier="bandwidth").ended()
        print(f"The call is over: {reason.why.value}")


async def take_calls():
    app = create_app(bot, Settings())
    await serve(app, "0.0.0.0", PORT, drain_timeout=60, max_message=65_536)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    if "--call" in sys.argv:
        numbers = os.environ["BANDWIDTH_TO_NUMBER"], os.environ["BANDWIDTH_FROM_NUMBER"]
        asyncio.run(call(*numbers))
    else:
        asyncio.run(take_calls())
