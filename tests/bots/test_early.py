"""Speech sockets that are open when the call is there, since they were opened while it rang."""

import asyncio

import pytest

from trunkline import carriers
from trunkline.bots.realtime import Realtime
from trunkline.config import Settings
from trunkline.events import CallInfo
from trunkline.media.formats import L16_24K, PCMA_8K, PCMU_8K
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.faults import Faults
from trunkline.sim.in_process import InProcess
from trunkline.sim.phone import Phone
from trunkline.sim.services.realtime import RealtimeService
from trunkline.sim.services.service import ServiceFaults
from trunkline.sim.services.tones import Tones

from .cartesia_rig import Scene, hold
from .line import RunningLine
from .realtime_rig import BASE, URL, Kitchen

HANDSHAKE_MS = 300.0
# The answer goes to the carrier, which opens its stream: a quarter of a second each.
LINE = Faults(delay_ms=250.0)
SLOW = ServiceFaults(handshake_ms=HANDSHAKE_MS)
INFO = CallInfo(carrier="acme", call_id="c1")
every_carrier = pytest.mark.parametrize("carrier", carriers.names())


def told(bot, early):
    """The bot with a cold start, told that the phone rings or not."""

    async def answer(call):
        await bot(call)

    vars(answer)["ringing"] = bot.ringing if early else None
    return answer


def greeted(carrier, make, early):
    """Seconds into a call until the bot's first words are heard, which were never spoken before."""

    async def main():
        service, bot = make()
        phone = Phone(carrier, base=BASE, faults=LINE)
        settings = Settings(public_url=BASE, simulator_url="http://simulator.test")
        app = create_app(told(bot, early), settings, send=phone.send)
        async with phone, InProcess(app) as phone.network:
            call = await phone.call()
            begun = await call.wait_for_speech(within=10)
            await call.hang_up()
            await call.ended(30)
            await asyncio.sleep(5)
            opened = service.opened
            assert service.open == 0
        await service.aclose()
        assert not service.complaints
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return begun, opened

    return run_virtual(main())


def cartesia_bot():
    scene = Scene(faults=SLOW)
    return scene.service, scene.bot()


def realtime_service(**faults):
    tones = Tones()
    return RealtimeService(
        Kitchen().reply, hear=tones.hear, speak=tones.speak, faults=ServiceFaults(**faults)
    )


def realtime_bot():
    service = realtime_service(handshake_ms=HANDSHAKE_MS)
    given = {"greeting": "Greet the caller.", "api_key": "k", "url": URL}
    return service, Realtime("Be brief.", connect=service.connect, **given)


@every_carrier
@pytest.mark.parametrize("make", [cartesia_bot, realtime_bot])
def test_the_first_words_are_heard_a_handshake_earlier(carrier, make):
    early, early_opened = greeted(carrier, make, early=True)
    late, opened = greeted(carrier, make, early=False)
    assert late - early == pytest.approx(HANDSHAKE_MS / 1000, abs=0.021)
    assert early_opened == opened  # and no socket more


@pytest.mark.parametrize("turns", [False, True])
def test_the_caller_is_heard_a_handshake_earlier(turns):
    def heard_at(early):
        scene = Scene(faults=SLOW)
        at = []

        async def play(phone):
            call = await phone.call()
            began = asyncio.get_running_loop().time()
            while not any(scene.service.audio_in):
                await asyncio.sleep(0.005)
            at.append(asyncio.get_running_loop().time() - began)
            await call.hang_up()
            await call.ended(30)

        bot = told(scene.bot(turns=turns), early)
        hold("twilio", scene, play, bot, faults=LINE)
        return at[0]

    gain = heard_at(early=False) - heard_at(early=True)
    assert gain == pytest.approx(HANDSHAKE_MS / 1000, abs=0.03)


# --- what was expected does not come ----------------------------------------------------------


def ready(make, scene, hears=PCMU_8K, says=PCMU_8K, line=PCMU_8K):
    """Run ``scene(service, ready, line)`` with what a bot got ready; nothing may stay open."""

    async def main():
        service, bot = make()
        running = RunningLine(line)
        holder = await bot.ringing(INFO, hears, says)
        await scene(service, holder, running)
        await running.stop()
        await asyncio.sleep(2)
        assert service.open == 0
        await service.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return service

    return run_virtual(main())


async def talk(holder, line, seconds=4.0):
    task = asyncio.create_task(holder(line.call))
    await asyncio.sleep(seconds)
    line.hang_up_by_caller()
    async with asyncio.timeout(30):
        await task


both = pytest.mark.parametrize("make", [cartesia_bot, realtime_bot])


@both
@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.301, 5.0])
def test_a_call_that_never_comes_leaves_nothing_open(make, after_s):
    async def scene(service, holder, line):
        await asyncio.sleep(after_s)
        await holder.close()
        await holder.close()

    ready(make, scene)


@both
@pytest.mark.parametrize("expected", [PCMU_8K, PCMA_8K, L16_24K])
@pytest.mark.parametrize("after_s", [0.1, 1.0])
def test_a_line_of_another_encoding_is_talked_to_in_its_own(make, expected, after_s):
    async def scene(service, holder, line):
        await asyncio.sleep(after_s)
        await talk(holder, line)
        assert line.sent

    service = ready(make, scene, expected, expected)
    wanted = 2 if make is cartesia_bot else 1
    assert service.opened in ({wanted} if expected == PCMU_8K else {wanted, 2 * wanted})


@both
@pytest.mark.parametrize("at_s", [0.1, 1.0])
def test_a_socket_that_is_lost_while_it_rings_is_not_missed(make, at_s):
    async def scene(service, holder, line):
        await asyncio.sleep(at_s)
        while service.drop():
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        await talk(holder, line)
        assert line.sent

    ready(make, scene)


@both
def test_a_service_that_is_away_while_it_rings_may_be_back(make):
    async def scene(service, holder, line):
        service.refuse(*[503] * 50)
        await asyncio.sleep(20)
        service.recover()
        await talk(holder, line)
        assert line.sent

    ready(make, scene)


@both
def test_a_call_that_is_over_at_once_leaves_nothing_open(make):
    async def scene(service, holder, line):
        await asyncio.sleep(0.1)
        await talk(holder, line, seconds=0.0)

    ready(make, scene)
