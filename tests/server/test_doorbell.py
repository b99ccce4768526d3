"""Bots that get ready while the phone rings: who is told, when, and that nothing stays behind."""

import asyncio

import pytest

from rig import Rig
from trunkline import carriers
from trunkline.carrier import Control
from trunkline.config import Settings
from trunkline.events import Offered
from trunkline.server import create_app
from trunkline.server.doorbell import CLOSE_S, RINGING_S
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone
from trunkline.sim.program import Callee, Outcome

BASE = "https://bot.example.com"
NAME = "bandwidth"
every_carrier = pytest.mark.parametrize("carrier", carriers.names())
ABLE = [n for n in carriers.names() if carriers.get(n).supports(Control.DIAL)]


class Ready:
    def __init__(self, bot, info):
        self.bot = bot
        self.info = info

    async def __call__(self, call):
        self.bot.log.append(("ready", call.id))
        await call.wait()

    async def close(self):
        self.bot.log.append(("closed", self.info.tag or self.info.call_id))
        await self.bot.closing()


class Bot:
    """Takes down what it is told, and by whom its calls were held."""

    def __init__(self, takes_s=0.0, fails=False, gives=True):
        self.log = []
        self.told = []
        self._takes_s = takes_s
        self._fails = fails
        self._gives = gives

    async def ringing(self, info, hears, says):
        self.told.append((info, hears, says))
        await asyncio.sleep(self._takes_s)
        if self._fails:
            raise OSError("no route")
        return Ready(self, info) if self._gives else None

    async def closing(self):
        pass

    async def __call__(self, call):
        self.log.append(("bot", call.id))
        await call.wait()


def ring(scene, bot, name=NAME, **given):
    async def main():
        async with Rig(name, bot, **given) as rig:
            await scene(rig)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    run_virtual(main())
    return bot.log


def offered(rig, info):
    rig.exchange.add(info.call_id)
    return rig.webhook(Offered(info))


@every_carrier
def test_who_got_ready_takes_the_call(carrier):
    bot = Bot()

    async def main():
        phone = Phone(carrier, base=BASE)
        given = Settings(public_url=BASE, simulator_url="http://simulator.test")
        app = create_app(bot, given, send=phone.send)
        async with phone, InProcess(app) as phone.network:
            call = await phone.call()
            await asyncio.sleep(1)
            await call.hang_up()
            await asyncio.sleep(5)
            return call.id

    call_id = run_virtual(main())
    kind = carriers.get(carrier)
    ((info, hears, says),) = bot.told
    assert (info.call_id, hears, says) == (call_id, kind.inbound[0], kind.outbound[0])
    assert bot.log == [("ready", call_id)]


def test_a_bot_is_told_once_though_the_webhook_comes_twice():
    bot = Bot()

    async def scene(rig):
        info = rig.info("c1")
        await offered(rig, info)
        await rig.webhook(Offered(info))
        await rig.join(info)

    assert ring(scene, bot) == [("ready", "c1")]
    assert len(bot.told) == 1


def test_nobody_is_told_of_a_forged_call():
    bot = Bot()

    async def scene(rig):
        answer = await rig.webhook(Offered(rig.info("c1")), sign=False)
        assert answer.status in (401, 403)
        await asyncio.sleep(1)

    assert ring(scene, bot) == bot.told == []


@pytest.mark.parametrize("end", ["ended", "deadline", "stopped"])
def test_what_was_got_ready_in_vain_is_closed(end):
    bot = Bot()

    async def scene(rig):
        info = rig.info("c1")
        await offered(rig, info)
        await asyncio.sleep(1)
        assert bot.log == []
        if end == "ended":
            await rig.over(info)
        elif end == "deadline":
            await asyncio.sleep(RINGING_S)
        else:
            return
        await asyncio.sleep(0.1)
        assert bot.log == [("closed", "c1")]

    assert ring(scene, bot) == [("closed", "c1")]


def test_a_call_that_comes_too_late_is_held_all_the_same():
    async def scene(rig):
        info = rig.info("c1")
        step = await rig.offer(info)
        await asyncio.sleep(RINGING_S + 1)
        socket = await rig.open(step)
        await rig.flush(socket, rig.end(info, step))

    assert ring(scene, Bot()) == [("closed", "c1"), ("bot", "c1")]


@pytest.mark.parametrize(
    "bot", [Bot(takes_s=100), Bot(fails=True), Bot(gives=False)], ids=["slow", "failing", "none"]
)
def test_who_is_not_ready_neither_delays_the_call_nor_breaks_it(bot):
    async def scene(rig):
        began = asyncio.get_running_loop().time()
        await rig.join(rig.info("c1"))
        assert asyncio.get_running_loop().time() - began < 0.1

    assert ring(scene, bot) == [("bot", "c1")]


def test_who_is_ready_too_late_is_closed():
    class Stubborn(Bot):
        async def ringing(self, info, hears, says):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
            return Ready(self, info)

    async def scene(rig):
        await rig.join(rig.info("c1"))
        await asyncio.sleep(2)

    assert ring(scene, Stubborn()) == [("bot", "c1"), ("closed", "c1")]


def test_who_does_not_let_go_is_let_go(caplog):
    class Clinging(Bot):
        async def closing(self):
            await asyncio.sleep(100)

    async def scene(rig):
        info = rig.info("c1")
        await offered(rig, info)
        await rig.over(info)
        await asyncio.sleep(CLOSE_S + 0.1)

    assert ring(scene, Clinging()) == [("closed", "c1")]
    assert "bot did not let go" in caplog.text


def test_no_more_get_ready_than_calls_are_taken():
    bot = Bot()

    async def scene(rig):
        for number in range(10):
            await offered(rig, rig.info(f"c{number}"))
        await asyncio.sleep(1)

    ring(scene, bot, max_calls=3)
    assert len(bot.told) == 3
    assert len(bot.log) == 3


def test_what_is_expected_is_what_was_streamed_last():
    bot = Bot()
    kind = carriers.get("telnyx")
    inbound, outbound = kind.inbound[-1], kind.outbound[0]
    assert inbound != kind.inbound[0]

    async def scene(rig):
        await rig.join(rig.info("c1"), inbound=inbound)
        await rig.join(rig.info("c2"))

    ring(scene, bot, "telnyx")
    assert [formats for _, *formats in bot.told] == [
        [kind.inbound[0], outbound],
        [inbound, outbound],
    ]


@pytest.mark.parametrize("carrier", ABLE)
@pytest.mark.parametrize("outcome", [Outcome.ANSWER, Outcome.BUSY, Outcome.NO_ANSWER])
def test_a_call_that_is_placed_rings_too(carrier, outcome):
    bot = Bot()

    async def nobody(call):
        raise AssertionError("not this bot")

    async def main():
        phone = Phone(carrier, base=BASE, callee=Callee(outcome=outcome, ring_s=3))
        given = Settings(public_url=BASE, simulator_url="http://simulator.test")
        app = create_app(nobody, given, send=phone.send)
        async with phone, InProcess(app) as phone.network:
            server = app.state.trunkline
            dialled = server.dial(
                "+12025550123", from_="+12025550100", carrier=carrier, bot=bot, ring_timeout=10
            )
            await asyncio.sleep(1)
            assert len(bot.told) == 1  # while it rings
            if await dialled.answered():
                await asyncio.sleep(1)
                await phone.exchange.aclose()
            await dialled.ended()
            await asyncio.sleep(1)
        return dialled

    dialled = run_virtual(main())
    ((info, *_),) = bot.told
    assert info.tag == dialled.id
    if outcome is Outcome.ANSWER:
        assert bot.log == [("ready", dialled.call_id)]
    else:
        assert bot.log == [("closed", dialled.id)]
