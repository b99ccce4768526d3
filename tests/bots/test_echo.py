"""The echo: the very bytes, at once, until the call ends."""

import asyncio

from trunkline.bots.echo import bot
from trunkline.events import Audio
from trunkline.media.formats import PCMU_8K

from .line import on_a_line


def test_sends_back_the_bytes_it_hears_as_they_come():
    frames = [bytes([n]) * 160 for n in range(20)]

    async def scene(line):
        task = asyncio.get_running_loop().create_task(bot(line.call))
        await asyncio.sleep(0.01)
        for frame in frames:
            line.call.heard(Audio(frame))
            await asyncio.sleep(0.02)
        line.hang_up_by_caller()
        await task
        line.call.heard(Audio(frames[0]))
        await asyncio.sleep(0.1)
        return line

    line = on_a_line(scene, PCMU_8K)
    assert line.sent == b"".join(frames)
    assert [round(at, 3) for at, _ in line.wire] == [round(0.01 + 0.02 * n, 3) for n in range(20)]


def test_frames_are_not_even_copied():
    frame = bytes(range(160))

    async def scene(line):
        task = asyncio.get_running_loop().create_task(bot(line.call))
        await asyncio.sleep(0.01)
        line.call.heard(Audio(frame))
        await asyncio.sleep(0.02)
        line.hang_up_by_caller()
        await task
        return line

    ((_, sent),) = on_a_line(scene, PCMU_8K).wire
    assert sent is frame
