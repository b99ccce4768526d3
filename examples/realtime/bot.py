"""A hotel's receptionist: OpenAI Realtime hears, thinks and speaks.

trunkline serve examples/realtime/bot.py
"""

import os

from trunkline.bots.realtime import Realtime, hang_up, transfer

FREE = {1: 4, 2: 3, 3: 0}


async def free_rooms(nights: int) -> str:
    """How many rooms are free from tonight, for so many nights."""
    return f"{FREE.get(nights, 0)} rooms for {nights} nights"


bot = Realtime(
    "You are the receptionist of the Harbour Hotel, on the phone. Answer in one or two short "
    "sentences. A room is 90 euros a night. When the caller is done, say goodbye and hang up.",
    greeting="Greet the caller in one short sentence, and ask what you can do for them.",
    tools=[free_rooms, hang_up, transfer({"manager": os.environ.get("MANAGER", "+12025550123")})],
)
