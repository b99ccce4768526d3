"""One simulated call with any running server, told live, recorded and drawn.

Made (``trunkline call``) or taken (``trunkline answer``).

Puts together what the other modules of the simulator do; knows no carrier.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import Struct
from rich.console import Console

from .. import carriers
from ..config import simulated_credentials
from ..errors import ConfigError
from ..media.formats import L16_16K, AudioFormat, Encoding
from ..media.transcode import convert
from .caller import PhoneCall, Speaker
from .deadline import Overdue
from .live import Live
from .measure import measure
from .network import RealNetwork
from .people import clips
from .phone import Phone
from .platform_app import platform_app, serve
from .program import Callee, Outcome
from .record import BOT, CallRecord, Kind
from .script import HangUp, Listen, Say, Script, ScriptStep
from .timeline import svg

__all__ = ["Ears", "answer_call", "one_call", "plan", "save"]

Ears = Callable[[bytes], Awaitable[str]]
"""Writes speech down: L16 at 16 kHz in, words out."""


def plan(
    wavs: Sequence[Path], words: Sequence[str], script: Path | None, *, called: bool = False
) -> Script:
    """What the person does: a script, or things to say one after the other.

    Each is said when the bot has been silent for a while after speaking; somebody who is
    ``called`` says the first as soon as they have picked up. With nothing given, the person says
    a recorded sentence.

    Raises:
        ConfigError: the script or a file cannot be read, or a line is no step.
    """
    if script is not None:
        try:
            return Script.parse(script.read_text("utf-8"), script.parent)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{script}: {error}") from None
    for path in wavs:
        if not path.is_file():
            raise ConfigError(f"no such file: {path}")
    says: list[Say] = [Say(what) for what in (*wavs, *words)]
    if not says:
        clip = clips()[1]
        says = [Say(clip.audio, clip.format)]
    steps: list[ScriptStep] = []
    for what in says:
        steps += [Listen(), what] if steps or not called else [what]
    return Script([*steps, Listen(), HangUp()])


async def one_call(
    url: str,
    carrier: str,
    script: Script,
    out: Path,
    console: Console,
    *,
    speaker: Speaker | None,
    ears: Ears | None,
    rest_port: int,
    via: str = "",
) -> int:
    """Call the server; returns the exit status: 0 if it answered and kept to the protocol.

    Args:
        url: the server's public URL.
        carrier: the carrier's name.
        script: what the caller does.
        out: the directory that recording and picture go to.
        console: where to tell about it.
        speaker: speaks the script's words.
        ears: writes down what the caller heard: L16 at 16 kHz in, words out.
        rest_port: where the carrier's REST API answers.
        via: an origin to connect to instead of the URL's.

    Raises:
        ConfigError: the port is taken.
        ValueError: the script has words, and there is no speaker.
    """

    async def ring(phone: Phone) -> PhoneCall:
        return phone.dial()

    scene = _Scene(url, carrier, script, speaker, rest_port, via, Callee())
    return await _hold(scene, ring, out, console, ears)


async def answer_call(
    url: str,
    carrier: str,
    script: Script,
    out: Path,
    console: Console,
    *,
    speaker: Speaker | None,
    ears: Ears | None,
    rest_port: int,
    callee: Callee,
    wait: float,
    via: str = "",
) -> int:
    """Wait for a call that a server places over the carrier's REST API, and take it.

    Arguments, result and errors as for ``one_call``. ``callee`` says how the call is taken, if it
    is; ``wait`` is how many seconds it may be until somebody calls, before ``Overdue`` is raised.
    """

    async def pick_up(phone: Phone) -> PhoneCall:
        api = f"http://127.0.0.1:{rest_port}"
        console.print(f"Waiting for a call placed over {api} (serve or dial --simulator {api})")
        return await phone.next_call(wait)

    scene = _Scene(url, carrier, script, speaker, rest_port, via, callee)
    return await _hold(scene, pick_up, out, console, ears)


class _Scene(Struct, frozen=True):
    """Who calls whom, how."""

    url: str
    carrier: str
    script: Script
    speaker: Speaker | None
    rest_port: int
    via: str
    callee: Callee


async def _hold(
    scene: _Scene,
    begin: Callable[[Phone], Awaitable[PhoneCall]],
    out: Path,
    console: Console,
    ears: Ears | None,
) -> int:
    """Hold the call that ``begin`` gives; returns the exit status."""
    live = Live(console)
    async with (
        RealNetwork(via=scene.via) as network,
        Phone(
            scene.carrier,
            network,
            base=scene.url,
            credentials=simulated_credentials(carriers.get(scene.carrier)),
            speaker=scene.speaker,
            callee=scene.callee,
            watch=live.show,
        ) as phone,
    ):
        call, trouble = await _talk(scene, phone, begin)
        trouble = trouble or "; ".join(call.complaints)
        if not call.line.streams and scene.callee.outcome is Outcome.ANSWER:
            trouble = trouble or f"not answered: {call.reason.why.value if call.reason else '?'}"
        if ears is not None and call.line.streams:
            console.print()
            with console.status("Writing down what the caller heard …"):
                await _write_down(call, ears)
        record = call.record(verdict=trouble or "kept to the protocol", failed=bool(trouble))
    live.finish(record)
    save(record, out / f"call-{scene.carrier}", console)
    return int(bool(trouble))


async def _talk(
    scene: _Scene, phone: Phone, begin: Callable[[Phone], Awaitable[PhoneCall]]
) -> tuple[PhoneCall, str]:
    """The call, when it is over, and what went wrong with it."""
    try:
        async with serve(platform_app(phone.exchange), scene.rest_port):
            call = await begin(phone)
            trouble = ""
            try:
                if await call.answered():
                    await scene.script.run(call)
            except Overdue as error:
                trouble = str(error)
            await call.hang_up()
            return call, trouble
    except OSError as error:
        if isinstance(error, Overdue):
            raise
        raise ConfigError(
            f"port {scene.rest_port} for the carrier's REST API cannot be had: {error}; "
            "choose another with --rest-port (and tell serve --simulator)"
        ) from None


async def _write_down(call: PhoneCall, ears: Ears) -> None:
    """Note the words of each of the bot's turns, as they can be heard on the recording."""
    record = call.record()
    rate = AudioFormat(Encoding.L16, record.rate)
    for turn in measure(record).turns:
        if turn.channel == BOT:
            begin = rate.bytes_in(max(0.0, turn.start - 0.1) * 1000)
            piece = record.bot[begin : rate.bytes_in((turn.end + 0.2) * 1000)]
            if words := await ears(convert(piece, rate, L16_16K)):
                call.line.recorder.note(turn.start, Kind.SAID, words, BOT)


def save(record: CallRecord, stem: Path, console: Console) -> None:
    """Write recording, moments and picture, and say where."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    wav, _ = record.save(stem)
    picture = stem.with_suffix(".svg")
    picture.write_text(svg(record), "utf-8")
    console.print(
        f"\nPicture    {picture}\nRecording  {wav} (left: caller, right: what they heard)",
        highlight=False,
    )
