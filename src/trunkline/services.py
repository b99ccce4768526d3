"""The command ``trunkline services``: speech services simulated on ports, for bots elsewhere.

They hear and speak by the offline engines. What they play is in ``trunkline.sim.services``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from .media.formats import AudioFormat
    from .sim.services.cartesia import Cartesia

__all__ = ["offline_cartesia", "services"]

_Port = Annotated[int, typer.Option(help="where Cartesia's sockets are")]
_Latency = Annotated[float, typer.Option(help="ms that every message takes on its way")]
_Kill = Annotated[
    float, typer.Option(help="tear each socket off after up to so many seconds; 0 for never")
]


def services(port: _Port = 8098, latency: _Latency = 20.0, kill: _Kill = 0.0) -> None:
    """Play Cartesia, offline, for a bot whose CARTESIA_URL points here.

    Needs the extra [bold]demo[/bold]. Any key and any voice will do.
    """
    asyncio.run(_serve(port, latency, kill))


async def _serve(port: int, latency: float, kill: float) -> None:
    from rich.console import Console

    from .sim.services.service import ServiceFaults

    service = await offline_cartesia()
    service.faults = ServiceFaults(
        latency_ms=latency, handshake_ms=5 * latency, drop_after=(0.0, kill) if kill else None
    )
    async with service, service.listening(port) as url:
        Console().print(
            f"CARTESIA_URL={url} CARTESIA_API_KEY=any CARTESIA_VOICE_ID=any",
            highlight=False,
            soft_wrap=True,
        )
        await asyncio.Event().wait()


async def offline_cartesia() -> Cartesia:
    """A simulated Cartesia with the offline voice and ears, loaded.

    Raises:
        ConfigError: they are not installed.
    """
    from .bots.hibari import Hibari
    from .bots.whisper import Whisper
    from .media.formats import L16_16K
    from .media.transcode import convert
    from .sim.services.cartesia import Cartesia

    ears, voice = Whisper(), Hibari()
    await asyncio.gather(ears.warm_up(), voice.warm_up())

    async def hear(audio: bytes, form: AudioFormat) -> str:
        return await ears.transcribe(convert(audio, form, L16_16K))

    async def speak(text: str, form: AudioFormat) -> bytes:
        said = b"".join([chunk async for chunk in voice.speak(text)])
        return convert(said, voice.format, form)

    return Cartesia(hear, speak)
