"""The offline engines in the parts that the command line plays: callers, and speech services.

``trunkline services`` plays services on ports, for bots elsewhere; what they play is in
``trunkline.sim.services``.
"""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .bots.hibari import Hibari
    from .media.formats import AudioFormat
    from .sim.caller import Speaker
    from .sim.one_call import Ears
    from .sim.services.service import Hear, Speak

__all__ = ["ears", "services", "voice"]

_Port = Annotated[int, typer.Option(help="where Cartesia's sockets are")]
_RealtimePort = Annotated[int, typer.Option(help="where OpenAI's Realtime sockets are")]
_Latency = Annotated[float, typer.Option(help="ms that every message takes on its way")]
_Kill = Annotated[
    float, typer.Option(help="tear each socket off after up to so many seconds; 0 for never")
]


def services(
    port: _Port = 8098,
    realtime_port: _RealtimePort = 8097,
    latency: _Latency = 20.0,
    kill: _Kill = 0.0,
) -> None:
    """Play Cartesia and OpenAI's Realtime API, offline, for bots whose variables point here.

    Needs the extra [bold]demo[/bold]. Any key and any voice will do.
    """
    asyncio.run(_serve(port, realtime_port, latency, kill))


async def _serve(port: int, realtime_port: int, latency: float, kill: float) -> None:
    from .sim.services.cartesia import Cartesia
    from .sim.services.realtime import RealtimeService
    from .sim.services.realtime_model import rules
    from .sim.services.service import ServiceFaults

    hear, speak = await _offline_speech()
    faults = ServiceFaults(
        latency_ms=latency, handshake_ms=5 * latency, drop_after=(0.0, kill) if kill else None
    )
    cartesia = Cartesia(hear, speak, faults=faults)
    openai = RealtimeService(rules, hear=hear, speak=speak, faults=faults)
    async with (
        cartesia,
        openai,
        cartesia.listening(port) as cartesia_url,
        openai.listening(realtime_port) as openai_url,
    ):
        _say(f"CARTESIA_URL={cartesia_url} CARTESIA_API_KEY=any CARTESIA_VOICE_ID=any")
        _say(f"OPENAI_REALTIME_URL={openai_url}/v1/realtime OPENAI_API_KEY=any")
        await asyncio.Event().wait()


def _say(line: str) -> None:
    from rich.console import Console

    Console().print(line, highlight=False, soft_wrap=True)


async def _offline_speech() -> tuple[Hear, Speak]:
    """Ears and a voice, loaded."""
    from .bots.hibari import Hibari
    from .bots.whisper import Whisper
    from .media.formats import L16_16K
    from .media.transcode import convert

    whisper, hibari = Whisper(), Hibari()
    await asyncio.gather(whisper.warm_up(), hibari.warm_up())

    async def hear(audio: bytes, form: AudioFormat) -> str:
        return await whisper.transcribe(convert(audio, form, L16_16K))

    async def speak(text: str, form: AudioFormat) -> bytes:
        return convert(await _said(hibari, text), hibari.format, form)

    return hear, speak


def ears() -> Ears | None:
    """What writes down what a caller heard, where the engine is installed."""
    if importlib.util.find_spec("faster_whisper") is None:
        return None
    from .bots.whisper import Whisper

    return Whisper().transcribe


def voice() -> Speaker | None:
    """A caller's voice for words, where the engine is installed."""
    if importlib.util.find_spec("hibari") is None:
        return None
    from .bots.hibari import Hibari

    hibari = Hibari()

    async def speak(text: str) -> tuple[bytes, AudioFormat]:
        return await _said(hibari, text), hibari.format

    return speak


async def _said(hibari: Hibari, text: str) -> bytes:
    return b"".join([chunk async for chunk in hibari.speak(text)])
