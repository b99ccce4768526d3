"""The demo: a recorded person calls the parrot through a simulated carrier, and it is checked.

Two processes, real sockets on the loopback interface, nothing else: this one is the carrier and
the person, the other is an ordinary ``trunkline serve``. Afterwards the recording of what the
caller heard is given to the speech engine again, so that what is claimed is what was audible.

The module is also the bot of that server: the parrot, which here prints its turns for the demo to
read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from . import carriers
from .bots.conversation import Turn, TurnState
from .bots.hibari import Hibari
from .bots.parrot import STORY, Parrot
from .bots.whisper import Whisper
from .call import Call
from .carrier import Control
from .config import Settings
from .errors import TrunklineError
from .events import Who
from .media.formats import L16_16K, AudioFormat, Encoding
from .media.transcode import convert
from .server import create_app
from .sim.caller import PhoneCall
from .sim.exchange import RestCall
from .sim.in_process import InProcess
from .sim.line import How
from .sim.live import Live
from .sim.measure import Measures, Span, measure
from .sim.network import Network, RealNetwork
from .sim.one_call import save
from .sim.people import Clip, clips
from .sim.phone import Phone
from .sim.platform_app import platform_app
from .sim.platform_app import serve as serve_platform
from .sim.record import BOT, CALLER, CallRecord, Kind

__all__ = ["Check", "Demo", "bot", "word_errors"]

STARTED_WITHIN_S = 30.0
LISTENED_S = 3.0
"""How much of the story the caller listens to before interrupting."""
BARGE_IN_MS = 100.0
GOODBYE = "Goodbye."
ASKS_FOR_STORY = "Please tell me a story."


class _Line(Struct):
    """What the server's process tells the demo: a turn, and when it was."""

    stamp: float
    turn: Turn


def _tell(_: Call, turn: Turn) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(_Line(time.monotonic(), turn)) + b"\n")
    sys.stdout.flush()


bot = Parrot(on_turn=_tell)


class Check(Struct, frozen=True):
    """One thing that the demo promises, and what was found."""

    what: str
    ok: bool
    found: str


def word_errors(said: str, heard: str) -> float:
    """Word errors of ``heard`` against ``said``: edits for each word said (0 is perfect)."""
    left, right = _words(said), _words(heard)
    row = list(range(len(right) + 1))
    for i, word in enumerate(left, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(right, 1):
            best = min(row[j] + 1, row[j - 1] + 1, before + (word != other))
            before, row[j] = row[j], best
    return row[-1] / max(1, len(left))


def _words(text: str) -> list[str]:
    kept = "".join(c if c.isalnum() or c == "'" else " " for c in text.lower())
    return kept.split()


class Demo:
    """One demo call, judged.

    Args:
        carrier: the carrier's name.
        out: the directory that recording and picture go to.
        console: where to tell about it.
    """

    def __init__(self, carrier: str, out: Path, console: Console) -> None:
        self.carrier = carrier
        self.checks: list[Check] = []
        self._out = out
        self._console = console
        self._ears = Whisper()
        self._voice = Hibari()
        self._live = Live(console)

    async def run(self) -> int:
        """Hold the call with a server in a process of its own; returns the exit status.

        Raises:
            TrunklineError: it could not even begin.
        """
        with self._console.status("Loading voice and ears of the caller …"):
            await asyncio.gather(self._voice.warm_up(), self._ears.warm_up())
        async with self._phone(RealNetwork()) as phone:
            app = platform_app(phone.exchange)
            async with serve_platform(app) as rest_url, _server(rest_url, self._console) as server:
                url, output = server
                self._say(f"A caller rings the parrot at {url} by {self.carrier}.\n")
                heard = _Heard(phone.dial(url))
                reading = asyncio.create_task(heard.read(output))
                await _person(heard.call)
                await asyncio.sleep(0.2)  # the server's account cannot lag behind any more
                reading.cancel()
                await asyncio.wait([reading])
            failed = await self._judge(heard, phone)
        if not failed:
            self._tell_how_to_go_on()
        return int(failed)

    async def run_virtual(self) -> int:
        """The same in one process and in virtual time, where it takes as long as its thinking.

        Call it on a ``VirtualTimeLoop``.
        """
        base = "http://bot.test"
        listening: list[_Heard] = []
        parrot = Parrot(on_turn=lambda _, turn: listening[0].told(turn, listening[0].call.now))
        async with self._phone(None) as phone:
            settings = Settings(public_url=base, simulator_url="http://simulator.test")
            app = create_app(parrot, settings, send=phone.send)
            async with InProcess(app) as phone.network:
                listening.append(_Heard(phone.dial(base)))
                await _person(listening[0].call)
            return int(await self._judge(listening[0], phone))

    def _phone(self, network: Network | None) -> Phone:
        async def speak(text: str) -> tuple[bytes, AudioFormat]:
            return b"".join([chunk async for chunk in self._voice.speak(text)]), self._voice.format

        return Phone(self.carrier, network, speaker=speak, watch=self._live.show)

    async def _judge(self, heard: _Heard, phone: Phone) -> bool:
        with self._console.status("Listening to the recording …"):
            self.checks = await _checks(heard, self._ears, phone.exchange.requests)
        failed = not all(check.ok for check in self.checks)
        record = heard.call.record(verdict="failed" if failed else "passed", failed=failed)
        self._live.finish(record)
        self._report()
        save(record, self._out / f"demo-{self.carrier}", self._console)
        return failed

    def _report(self) -> None:
        table = Table(show_header=False, box=None, pad_edge=False)
        for check in self.checks:
            mark = "[green]✓[/]" if check.ok else "[bold red]✗[/]"
            table.add_row(mark, check.what, f"[dim]{check.found}[/]")
        self._console.print()
        self._console.print(table)

    def _tell_how_to_go_on(self) -> None:
        command = "trunkline" if shutil.which("trunkline") else os.path.relpath(sys.argv[0])
        self._say(
            "\nTo keep the bot running, and to call it from another terminal:\n"
            f"  {command} serve trunkline.bots.parrot:bot --simulator http://127.0.0.1:8099\n"
            f'  {command} call --carrier {self.carrier} --say "How are you?"'
        )

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


# --- the server's process --------------------------------------------------------------------


@asynccontextmanager
async def _server(
    rest_url: str, console: Console
) -> AsyncGenerator[tuple[str, asyncio.StreamReader]]:
    """``trunkline serve`` in a process of its own; gives its URL and its standard output."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "trunkline", "serve", "trunkline.demo:bot"]
    process = await asyncio.create_subprocess_exec(
        *command,
        *("--port", str(port), "--simulator", rest_url, "--public-url", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log: list[str] = []
    logging = asyncio.create_task(_collect(process.stderr, log))
    try:
        with console.status("Starting the server …"):
            await _until_ready(port, process, log)
        yield url, process.stdout
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 15.0)
        except TimeoutError:
            process.kill()
            await process.wait()
        await logging


async def _collect(stream: asyncio.StreamReader, lines: list[str]) -> None:
    lines.extend([line.decode(errors="replace").rstrip() async for line in stream])


async def _until_ready(port: int, process: asyncio.subprocess.Process, log: list[str]) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + STARTED_WITHIN_S
    while True:
        if process.returncode is not None or loop.time() > until:
            said = "\n  ".join(log[-5:]) or "nothing"
            raise TrunklineError(f"the server did not start; it said:\n  {said}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- the call --------------------------------------------------------------------------------


def _said() -> tuple[Clip, Clip]:
    """What the caller says first, and what they interrupt the story with."""
    by_name = {clip.name: clip for clip in clips()}
    return by_name["amiable_woman"], by_name["amiable_himself"]


async def _person(call: PhoneCall) -> None:
    """What the caller does."""
    first, second = _said()
    await call.answered()
    await _hear_out(call)
    await call.say(first.audio, first.format, words=first.text)
    await _hear_out(call)
    await call.press("5")
    await _hear_out(call)
    await call.say(ASKS_FOR_STORY)
    await call.wait_for_speech()
    await asyncio.sleep(LISTENED_S)
    await call.say(second.audio, second.format, words=second.text)
    await _hear_out(call)
    await call.say(GOODBYE)
    await call.ended()


async def _hear_out(call: PhoneCall) -> None:
    await call.wait_for_speech()
    await call.wait_for_silence()


class _Heard:
    """What the server understood and said, by its own account; times are the call's."""

    def __init__(self, call: PhoneCall) -> None:
        self.call = call
        self.caller: list[str] = []
        self.cuts: list[tuple[float, str]] = []

    async def read(self, output: asyncio.StreamReader) -> None:
        """Read turns, as ``_tell`` prints them, until there are no more."""
        async for text in output:
            line = msgspec.json.decode(text, type=_Line)
            self.told(line.turn, self.call.now - (time.monotonic() - line.stamp))

    def told(self, turn: Turn, at: float) -> None:
        """Take one turn down."""
        if turn.who is Who.CALLER:
            self.caller.append(turn.text)
            self.call.line.note(Kind.HEARD, turn.text, CALLER)
        elif turn.state is TurnState.BEGUN:
            self.call.line.note(Kind.SAID, turn.text, BOT)
        elif turn.state is TurnState.CUT:
            self.cuts.append((at, turn.text))

    def answers_to(self, said: str) -> str:
        """The reply to what was understood of ``said``, if half of its words were."""
        best = min(self.caller, key=lambda text: word_errors(said, text), default="")
        return f"You said: {best}" if word_errors(said, best) <= 0.5 else ""


# --- what came of it -------------------------------------------------------------------------


def _goodbye(text: str) -> Check:
    # Ears write it as one word, or as two.
    return Check("goodbye is heard to its end", "goodbye" in "".join(_words(text)), text)


async def _checks(heard: _Heard, ears: Whisper, requests: Sequence[RestCall]) -> list[Check]:
    call, record = heard.call, heard.call.record()
    first, second = _said()
    measures = measure(record)
    texts = await _listen(record, ears)
    audible = " ".join(texts)
    key = Check("a key is named", "pressed" in audible and "5" in _digits(audible), "key 5")
    return [
        Check("the caller is greeted", bool(texts) and "hello" in texts[0].lower(), _first(texts)),
        _understood("the bot understands a person", first.text, heard.caller),
        _audible("… and says it back, audibly", heard.answers_to(first.text), texts),
        key,
        _barge_in(heard, measures),
        _audible("… and what interrupted it is answered", heard.answers_to(second.text), texts),
        _goodbye(_last(texts)),
        _hung_up(call, requests),
        Check("no hole in its speech", not measures.holes, _say_holes(measures.holes)),
        Check(
            "nothing against the protocol",
            not call.complaints,
            "; ".join(call.complaints[:3]) or "no complaints",
        ),
    ]


async def _listen(record: CallRecord, ears: Whisper) -> list[str]:
    """What each of the bot's turns sounds like on the recording of what the caller heard."""
    rate = AudioFormat(Encoding.L16, record.rate)
    starts = [m.at for m in record.moments if m.kind == Kind.SAID and m.channel == BOT]
    texts: list[str] = []
    for start, end in pairwise([*starts, record.duration]):
        piece = record.bot[rate.bytes_in(start * 1000) : rate.bytes_in(end * 1000)]
        texts.append(await ears.transcribe(convert(piece, rate, L16_16K)))
    return texts


def _say_holes(holes: Sequence[Span]) -> str:
    where = ", ".join(f"{hole.seconds * 1000:.0f} ms at {hole.start:.2f} s" for hole in holes)
    return where or "none"


def _first(texts: list[str]) -> str:
    return texts[0] if texts else "nothing was said"


def _last(texts: list[str]) -> str:
    return texts[-1] if texts else ""


def _digits(text: str) -> str:
    return text.replace("five", "5")


def _understood(what: str, said: str, transcripts: list[str]) -> Check:
    best = min(transcripts, key=lambda text: word_errors(said, text), default="")
    return Check(what, word_errors(said, best) <= 0.2, best)


def _audible(what: str, reply: str, texts: list[str]) -> Check:
    best = min(texts, key=lambda text: word_errors(reply, text), default="")
    return Check(what, bool(reply) and word_errors(reply, best) <= 0.25, best)


def _barge_in(heard: _Heard, measures: Measures) -> Check:
    what = f"an interruption stops it within {BARGE_IN_MS:.0f} ms"
    cut = next((cut for cut in heard.cuts if cut[1] == STORY), None)
    if cut is None or not measures.barge_ins:
        return Check(what, False, "it was not interrupted")
    stopped = measures.barge_ins[-1]
    noticed = (stopped.quiet - cut[0]) * 1000
    found = (
        f"{max(0.0, noticed):.0f} ms after the bot noticed, "
        f"{stopped.heard_ms:.0f} ms after the caller's first sound"
    )
    return Check(what, noticed <= BARGE_IN_MS, found)


def _hung_up(call: PhoneCall, requests: Sequence[RestCall]) -> Check:
    """Ended by a request of the server's, which then asked whether it had, where there is one."""
    if not carriers.get(call.info.carrier).supports(Control.HANG_UP):
        what = "the call is over with its media socket"
        return Check(what, call.how is How.DOCUMENT, f"ended by {call.how}")
    asked = any(request.method == "GET" and request.status == 200 for request in requests)
    sent = ", ".join(f"{request.method} → {request.status}" for request in requests)
    what = "the call is hung up over REST, and that is verified"
    return Check(what, call.how is How.REST and asked, f"{sent or 'nothing'}; ended by {call.how}")
