"""A call on a real playout in the loop's own time, with nothing but time between bot and ear."""

import asyncio

from trunkline.call import Call
from trunkline.carrier import FrameRule, Marks
from trunkline.events import Audio, CallInfo, EndReason, Started, Who, Why
from trunkline.media.formats import L16_8K
from trunkline.media.playout import Playout
from trunkline.sim.clock import run_virtual

OVER = EndReason(Why.COMPLETED, Who.CALLER)


class RunningLine:
    """Paces audio out as a session does; what it sent is in ``wire``, as (seconds, bytes)."""

    def __init__(self, audio=L16_8K):
        self.playout = Playout(audio, FrameRule(), Marks.NONE)
        info = CallInfo(carrier="acme", call_id="c1")
        self.call = Call(info, Started(call_id="c1", inbound=audio, outbound=audio), self)
        self.wire = []
        self.cleared_at = []
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._woken = asyncio.Event()
        self._driver = self._loop.create_task(self._drive())

    @property
    def at(self):
        """Seconds since the call began."""
        return self._loop.time() - self._began

    @property
    def sent(self):
        return b"".join(payload for _, payload in self.wire)

    def now(self):
        return self._loop.time()

    def pass_on(self, passage, audio):
        return False  # so it is pushed

    def wake(self):
        self._woken.set()

    def clear(self):
        self.playout.clear(self.now())
        self.cleared_at.append(self.at)
        self.wake()

    def hang_up_by_caller(self):
        self.call.over(OVER)

    async def stop(self):
        self._driver.cancel()
        await asyncio.gather(self._driver, return_exceptions=True)

    async def _drive(self):
        while True:
            now = self.now()
            for event in self.playout.due(now):
                assert isinstance(event, Audio)
                self.wire.append((now - self._began, event.payload))
            for change in self.playout.changes(now):
                self.call.changed(change)
            times = [self.playout.next_due(now), self.playout.next_change(now)]
            until = min((t for t in times if t is not None), default=None)
            self._woken.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._woken.wait()
            except TimeoutError:
                continue


def on_a_line(scene, audio=L16_8K):
    """Run ``scene(line)`` in virtual time; nothing may be left running after it."""

    async def main():
        line = RunningLine(audio)
        try:
            return await scene(line)
        finally:
            await line.stop()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left

    return run_virtual(main())
