"""One simulated call against any running server, told live, recorded and drawn: ``trunkline call``.

Puts together what the other modules of the simulator do; knows no carrier.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

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
from .record import BOT, CallRecord, Kind
from .script import HangUp, Say, Script, ScriptStep, WaitForSilence, WaitForSpeech
from .timeline import svg

__all__ = ["Ears", "one_call", "plan", "save"]

Ears = Callable[[bytes], Awaitable[str]]
"""Writes speech down: L16 at 16 kHz in, words out."""


def plan(wavs: Sequence[Path], words: Sequence[str], script: Path | None) -> Script:
    """What the caller does: a script, or things to say one after the other.

    Each is said when the bot has been silent for a while after speaking. With nothing given, the
    caller says a recorded sentence.

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
        steps += [WaitForSpeech(), WaitForSilence(), what]
    return Script([*steps, WaitForSpeech(), WaitForSilence(), HangUp()])


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
    """Hold the call; returns the exit status: 0 if it was answered and kept to the protocol.

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
    live = Live(console)
    given = simulated_credentials(carriers.get(carrier))
    async with (
        RealNetwork(via=via) as network,
        Phone(
            carrier, network, base=url, credentials=given, speaker=speaker, watch=live.show
        ) as phone,
    ):
        try:
            async with serve(platform_app(phone.exchange), rest_port):
                call = phone.dial()
                trouble = ""
                try:
                    if await call.answered():
                        await script.run(call)
                    await call.hang_up()
                except Overdue as error:
                    trouble = str(error)
        except OSError as error:
            raise ConfigError(
                f"port {rest_port} for the carrier's REST API cannot be had: {error}; "
                "choose another with --rest-port (and tell serve --simulator)"
            ) from None
        trouble = trouble or "; ".join(call.complaints)
        if not call.line.streams:
            trouble = trouble or f"not answered: {call.reason.why.value if call.reason else '?'}"
        if ears is not None and call.line.streams:
            console.print()
            with console.status("Writing down what the caller heard …"):
                await _write_down(call, ears)
        record = call.record(verdict=trouble or "kept to the protocol", failed=bool(trouble))
    live.finish(record)
    save(record, out / f"call-{carrier}", console)
    return int(bool(trouble))


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
