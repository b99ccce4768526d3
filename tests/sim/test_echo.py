"""Echo of the bot's voice in the caller's."""

import struct

import pytest

from trunkline.events import Audio
from trunkline.media.formats import L16_8K, PCMU_8K
from trunkline.media.g711 import encode
from trunkline.media.transcode import convert
from trunkline.sim.ear import Ear
from trunkline.sim.echo import Echo
from trunkline.sim.record import Recorder

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


def test_who_speaks_over_the_echo_is_added_to_it():
    ear = Ear(Recorder(), remember_s=1.0)
    ear.hear(1.0, struct.pack("<160h", *[10_000] * 160))
    echo = Echo(loss_db=20, delay_ms=100)
    assert echo.remember_s >= 0.1
    loud = struct.pack("<160h", *[32_000] * 160)
    soft = struct.pack("<160h", *[-500] * 160)
    assert set(struct.unpack("<160h", echo.mix(ear, 1.1, None))) == {1000}
    assert set(struct.unpack("<160h", echo.mix(ear, 1.1, soft))) == {500}
    assert set(struct.unpack("<160h", echo.mix(ear, 1.1, loud))) == {32_767}
    assert echo.mix(ear, 3.0, soft) == soft
