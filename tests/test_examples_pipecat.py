"""The Pipecat examples, loaded as ``trunkline serve`` loads them, hold calls with a simulated
caller; all the speech is real, and comes from the offline services that they have by default."""

import asyncio
import re
import runpy
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

with warnings.catch_warnings():  # of audioop's end, and of what Pipecat deprecates and still uses
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("pipecat.services.tts_service")

from pipecat_clock import BY_THE_CALLS_CLOCK
from trunkline.bots.hibari import Hibari
from trunkline.bots.parrot import STORY
from trunkline.bots.whisper import Whisper
from trunkline.cli import load_bot
from trunkline.config import Settings
from trunkline.demo import word_errors
from trunkline.events import Who
from trunkline.media.formats import L16_8K, L16_16K
from trunkline.media.transcode import convert
from trunkline.server import create_app
from trunkline.sim.clock import run_virtual
from trunkline.sim.in_process import InProcess
from trunkline.sim.line import How
from trunkline.sim.measure import measure
from trunkline.sim.phone import Phone
from trunkline.sim.services.realtime import RealtimeService

pytestmark = pytest.mark.speech

EXAMPLES = Path(__file__).parent.parent / "examples"
BASE = "https://bot.test"
GREETING = "Hello! How can I help you?"
QUESTION = "What is the weather like?"
INTERRUPTION = "I would like to ask another question now."
KEYS = ("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "CARTESIA_API_KEY", "OPENAI_REALTIME_URL")
VOICE, EARS = Hibari(), Whisper()


@pytest.fixture(autouse=True)
def as_found(monkeypatch):
    """No keys; and what an example makes importable is not there for the next one."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(EXAMPLES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def load(example):
    with quiet():
        return load_bot(str(EXAMPLES / example))


@contextmanager
def quiet():
    with warnings.catch_warnings():
        # Pipecat's own code uses what it deprecates itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def in_virtual_time(call):
    """Run it; what in the examples loaded would read the machine's clock reads the call's."""
    for module in list(sys.modules.values()):
        if str(EXAMPLES) in str(getattr(module, "__file__", "")):
            names = vars(module).keys() & BY_THE_CALLS_CLOCK.keys()
            vars(module).update({name: BY_THE_CALLS_CLOCK[name] for name in names})
    with quiet():
        return run_virtual(call)


async def speak(text):
    return b"".join([chunk async for chunk in VOICE.speak(text)]), VOICE.format


def an_app(bot):
    def make(settings, send):
        return create_app(bot, settings, send=send)

    return make


async def hold(make_app, carrier, person):
    """Call an app, be ``person(call)``; returns the call when it is over."""
    await asyncio.gather(VOICE.warm_up(), EARS.warm_up())
    phone = Phone(carrier, base=BASE, speaker=speak)
    settings = Settings(public_url=BASE, simulator_url="http://sim.test")
    async with InProcess(make_app(settings, phone.send)) as phone.network, phone:
        call = await phone.call()
        await person(call)
        await call.ended()
    call.asked = [(request.method, request.status) for request in phone.exchange.requests]
    assert call.complaints == []
    return call


async def hear(call):
    """What the bot says next, until it is silent, as the caller would write it down."""
    begun = await call.wait_for_speech()
    done = await call.wait_for_silence()
    return await written(call, begun, done)


async def written(call, begun, done):
    begin = L16_8K.bytes_in(int(max(0.0, begun - 0.2) * 1000))
    pcm = call.heard[begin : L16_8K.bytes_in(int(done * 1000) + 100)]
    return await EARS.transcribe(convert(bytes(1600) + pcm, L16_8K, L16_16K))


def letters(text):
    return re.sub("[^a-z]", "", text.lower())


def alike(said, heard):
    return word_errors(plain(said), plain(heard)) <= 0.25


def plain(text):
    return text.replace("nine", "9").replace("five", "5")


def hung_up(call):
    """Ended by the server over REST, which then asked whether that was so."""
    assert call.reason.who is Who.BOT
    assert call.how is How.REST
    assert ("GET", 200) in call.asked


async def whole_talk(call):
    """Greeting, an answer, a barge-in, goodbye."""
    assert alike(GREETING, await hear(call))
    await call.say(QUESTION)
    assert alike(f"You said: {QUESTION}", await hear(call))
    await call.say("Please tell me a story.")
    begun = await call.wait_for_speech()
    await asyncio.sleep(3.0)
    assert call.speaking
    await call.say(INTERRUPTION)
    await call.wait_until(lambda: not call.speaking, "the story to stop", 3)
    assert "alice" in letters(await written(call, begun, call.now))
    assert alike(f"You said: {INTERRUPTION}", await hear(call))
    await call.say("Goodbye.")
    assert "goodbye" in letters(await hear(call))


async def short_talk(call):
    """Greeting and goodbye."""
    assert alike(GREETING, await hear(call))
    await call.say("Goodbye.")
    assert "goodbye" in letters(await hear(call))


@pytest.mark.parametrize(
    ("example", "person"),
    [("pipecat_bandwidth/bot.py", whole_talk), ("pipecat_bandwidth_realtime/bot.py", short_talk)],
)
def test_bandwidth(example, person):
    bot = load(example)
    call = in_virtual_time(hold(an_app(bot), "bandwidth", person))
    hung_up(call)
    assert measure(call.record()).holes == []


def test_bandwidth_with_openais_service(monkeypatch):
    """The simulated one, over real sockets, and so no faster than real time; but while an engine
    thinks, the call stands still."""

    async def write_down(audio, form):
        return await EARS.transcribe(convert(audio, form, L16_16K))

    async def voiced(text, form):
        audio, of = await speak(text)
        return convert(audio, of, form)

    async def model(asked):
        return [GREETING if len(asked.items) == 1 else STORY]

    async def person(call):
        await call.wait_for_speech()
        await call.wait_for_silence()
        await call.say("Please tell me a story.")
        await call.wait_for_speech()
        await asyncio.sleep(1.0)
        await call.say(INTERRUPTION)
        await call.wait_until(lambda: not call.speaking, "the story to stop", 10)
        await call.hang_up()

    async def main():
        service = RealtimeService(model, hear=write_down, speak=voiced)
        async with service, service.listening() as url:
            monkeypatch.setenv("OPENAI_API_KEY", "any")
            monkeypatch.setenv("OPENAI_REALTIME_URL", f"{url}/v1/realtime")
            bot = load("pipecat_bandwidth_realtime/bot.py")
            await hold(an_app(bot), "bandwidth", person)
        return service

    service = in_virtual_time(main())
    assert service.complaints == []
    [session] = service.sessions
    greet, ask, *_ = [item.text for item in session.items if item.role == "user"]
    assert greet == f"Greet me with: {GREETING}"
    assert alike("Please tell me a story.", ask)


def test_sfvopi_where_keys_choose(capsys):
    bot = load("pipecat_sfvopi/bot.py")
    example = sys.modules["bot"]

    async def person(call):
        assert alike(example.MENU, await hear(call))
        await call.press("1")
        assert alike(example.HOURS, await hear(call))
        await call.press("9")
        await call.wait_for_speech()
        await asyncio.sleep(1.0)
        # A key is a barge-in: the menu, which it does not stand in, gives way to the story.
        await call.press("2")
        await asyncio.sleep(0.2)
        begun = await call.wait_for_speech()
        await asyncio.sleep(3.0)
        assert "alice" in letters(await written(call, begun, call.now))
        await call.say(INTERRUPTION)
        await call.wait_until(lambda: not call.speaking, "the story to stop", 3)
        assert alike(f"You said: {INTERRUPTION}", await hear(call))
        await call.press("0")
        assert "goodbye" in letters(await hear(call))

    call = in_virtual_time(hold(an_app(bot), "sfvopi", person))
    # This carrier has no request that ends a call: it is over with its socket.
    assert (call.reason.who, call.how) == (Who.BOT, How.DOCUMENT)
    assert capsys.readouterr().out.splitlines().count("heard to the end") >= 4


def test_wavix_in_an_app_of_ones_own():
    with quiet():
        example = runpy.run_path(*as_a_script("pipecat_wavix/server.py"))
    apps = []

    def make(settings, send):
        apps.append(example["create_app"](settings, send=send))
        return apps[0]

    async def person(call):
        transport = httpx.ASGITransport(apps[0])
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            assert (await client.get("/")).json() == {"calls": 1}
        await whole_talk(call)

    call = in_virtual_time(hold(make, "wavix", person))
    hung_up(call)


def as_a_script(example):
    """A script's folder is on the path when it is run."""
    path = EXAMPLES / example
    sys.path.insert(0, str(path.parent))
    return (str(path),)


def test_pipecats_own_transport():
    """All carriers at once."""
    bot, wavix_bot = load("pipecat_twilio/bot.py"), load("pipecat_wavix/bot.py")

    async def impatient(call):
        await call.wait_for_speech()
        await call.say("Please tell me a story.")
        await call.wait_until(lambda: not call.speaking, "the greeting to be over")
        begun = await call.wait_for_speech()
        await asyncio.sleep(1.0)
        # What the story gives way to was understood if the bot then hangs up.
        await call.say("Goodbye.")
        await call.wait_until(lambda: not call.speaking, "the story to stop")
        story, form = await speak(STORY)
        assert call.now - begun < form.ms_in(len(story)) / 1000
        await call.wait_for_speech()

    async def brief(call):
        await call.wait_for_speech()
        await call.hang_up()

    async def main():
        return await asyncio.gather(
            hold(an_app(bot), "twilio", impatient),
            hold(an_app(wavix_bot), "wavix", impatient),
            hold(an_app(bot), "telnyx", brief),
            hold(an_app(bot), "plivo", brief),
        )

    twilio, wavix, telnyx, plivo = in_virtual_time(main())
    hung_up(twilio)
    hung_up(wavix)
    assert telnyx.reason.who is plivo.reason.who is Who.CALLER


SERVICES = [
    ("ears", "DEEPGRAM_API_KEY", "deepgram", "DeepgramSTTService"),
    ("mind", "OPENAI_API_KEY", "openai", "OpenAILLMService"),
    ("voice", "CARTESIA_API_KEY", "websockets", "CartesiaTTSService"),
]


@pytest.mark.parametrize(("part", "key", "package", "service"), SERVICES)
def test_a_key_brings_its_service(part, key, package, service, monkeypatch):
    pytest.importorskip(package)
    make = runpy.run_path(str(EXAMPLES / "pipecat_bandwidth" / "services.py"))[part]
    with quiet():
        assert type(make()).__name__.startswith("Offline")
        monkeypatch.setenv(key, "a key")
        assert type(make()).__name__ == service


def test_the_examples_share_one_choice_of_services():
    files = sorted(EXAMPLES.glob("pipecat_*/services.py"))
    assert len(files) == 4
    assert len({file.read_text("utf-8") for file in files}) == 1
