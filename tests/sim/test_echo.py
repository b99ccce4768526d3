"""Echo of the bot's voice in the caller's."""

import struct

import pytest

from trunkline.events import Audio
from trunkline.media.formats import L16_8K, PCMU_8K
from trunkline.media.g711 import encode
from trunkline.media.transcode import convert
from trunkline.sim.echo import Echo

from .acme import STREAM, Server, play, tone


def test_the_lines_echo_comes_back_softer_and_later():
    heard = []

    async def bot(talk):
        await talk.next()
        await talk.say(Audio(encode(tone(100), PCMU_8K.encoding)))
        for _ in range(30):
            event = await talk.next()
            if isinstance(event, Audio):
                heard.append(convert(event.payload, PCMU_8K, L16_8K))

    async def scene(phone):
        await (await phone.call()).ended(5)

    play(Server(STREAM, bot=bot), scene, echo=Echo(loss_db=20, delay_ms=200))
    sound = struct.unpack(f"<{len(heard) * 160}h", b"".join(heard))
    first = next(n for n, s in enumerate(sound) if abs(s) > 100)
    assert 1600 <= first <= 1600 + 330
    assert max(sound) == pytest.approx(800, abs=40)
