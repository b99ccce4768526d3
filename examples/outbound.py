"""Calls each number once, says something, and tells what became of it.

    python examples/outbound.py +12025550123 +12025550124 …

Set PUBLIC_URL and your carrier's credentials; CALLER_ID is the number to call from. Without a
carrier, be called yourself: run ``trunkline answer`` beside it, with
TRUNKLINE_SIMULATOR_URL=http://127.0.0.1:8099 and PUBLIC_URL=http://127.0.0.1:8080.
"""

import asyncio
import os
import sys

from trunkline import Call, Settings, create_app
from trunkline.media.tones import dtmf
from trunkline.server import Server, running


async def bot(call: Call) -> None:
    call.play(dtmf("1234567", call.audio_out), call.audio_out)


async def campaign(server: Server, numbers: list[str], *, carrier: str = "") -> None:
    caller_id = os.environ.get("CALLER_ID", "+12025550100")
    calls = [
        server.dial(number, from_=caller_id, carrier=carrier, key=f"reminder {number}")
        for number in numbers
    ]
    for call in calls:
        reason = await call.ended()
        print(call.wish.to, "heard it" if await call.answered() else reason.why.value)


async def main() -> None:
    app = create_app(bot, Settings())
    async with running(app, "127.0.0.1", 8080) as server:
        await campaign(server, sys.argv[1:], carrier=os.environ.get("CARRIER", ""))


if __name__ == "__main__":
    asyncio.run(main())
