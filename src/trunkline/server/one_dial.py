"""One call placed from the command line, told as it goes: ``trunkline dial``."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.text import Text

from ..errors import ConfigError
from ..events import Why
from .dialled import Dialled, DialState
from .routes import Server

__all__ = ["one_dial"]

_BAD = (Why.BOT_ERROR, Why.FAILED, Why.PROTOCOL, Why.NETWORK)


async def one_dial(
    server: Server,
    to: str,
    console: Console,
    *,
    from_: str,
    carrier: str,
    ring_timeout: int = 30,
    detect_machine: bool = False,
) -> int:
    """Place the call and stay until it is over. Arguments as for ``Server.dial``.

    Returns:
        The exit status: 0 if somebody answered and the bot did its work, else 1.

    Raises:
        ConfigError: there can be no such call.
        Unsupported: the carrier places none.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        dialled = server.dial(
            to,
            from_=from_,
            carrier=carrier,
            ring_timeout=ring_timeout,
            detect_machine=detect_machine,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None

    def tell(_: Dialled) -> None:
        console.print(_line(dialled, loop.time() - began), soft_wrap=True, highlight=False)

    tell(dialled)
    dialled.on_change.append(tell)
    reason = await dialled.ended()
    answered = await dialled.answered()
    if dialled.machine:
        console.print(f"{'':11}answered by {dialled.machine}", highlight=False)
    good = answered and reason.why not in _BAD
    verdict = "done" if good else dialled.error or f"not done: {reason.why.value}"
    console.print(Text(f"{'':11}{verdict}", "bold green" if good else "bold red"), soft_wrap=True)
    return 0 if good else 1


def _line(dialled: Dialled, at: float) -> Text:
    """When, and how it stands."""
    more = ""
    if dialled.state is DialState.UNKNOWN:
        more = "whether the carrier placed it; waiting for it to tell"
    elif dialled.reason is not None and dialled.state is DialState.ENDED:
        more = f"{dialled.reason.why.value}, by {dialled.reason.who.value}"
    elif dialled.tries > 1:
        more = f"try {dialled.tries}"
    line = Text.assemble(
        (f"{at:7.2f} s  ", "dim"), (f"{dialled.state.value:<9}", "bold"), (more, "dim")
    )
    line.rstrip()
    return line
