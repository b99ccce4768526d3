"""A public URL for a server on a laptop, through ngrok's agent.

The agent is a program of ngrok's; ``pyngrok`` fetches it once, starts it, and speaks with it over
its local HTTP API. It runs in a session of its own, so that the Ctrl-C which lets calls end in
peace does not cut them off. The token stays in the environment, where the agent looks for it by
itself: on a command line every user of the machine could read it.

Knows no carrier, and of the server only its port.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from threading import Thread
from types import FrameType
from typing import Any, NoReturn

import msgspec
from rich.console import Console

from ..config import Settings, load_carriers, variable
from ..errors import ConfigError

__all__ = ["public", "tunnel"]

OPENED_WITHIN_S = 90.0
"""With the agent, some 10 MB, fetched the first time."""

_SIGN_UP = "https://dashboard.ngrok.com/get-started/your-authtoken"
_FETCH = "https://ngrok.com/download"


@asynccontextmanager
async def public(
    settings: Settings, service: str, port: int, *, domain: str = ""
) -> AsyncGenerator[None]:
    """For a program: let ``settings`` say a tunnel's URL, and print where webhooks are to point.

    Args:
        settings: what the server is about to be made from.
        service: ``"ngrok"``, or nothing, which does nothing.
        port: where the server listens.
        domain: a reserved host name, or a URL with it.

    Raises:
        ConfigError: as ``tunnel`` does; or there is no such service, no carrier, or more to serve
            than one plain port.
    """
    if not service:
        yield
        return
    if service != "ngrok":
        raise ConfigError(f"tunnels are made by ngrok, not by {service!r}")
    if settings.media_port or settings.tls_cert:
        raise ConfigError("a tunnel leads to one plain port: leave out the media port and TLS")
    names = load_carriers(settings)
    console = Console()
    console.print("Opening a tunnel …")
    host = domain.rpartition("://")[2].strip("/")
    with _unwound_by_sigterm():
        async with tunnel(port, variable("NGROK_AUTHTOKEN"), domain=host) as url:
            settings.public_url = url
            for name in names:
                console.print(f"{name:12}{url}/{name}/answer", highlight=False, soft_wrap=True)
            console.print("Point voice webhooks there; status webhooks end in /status instead.")
            yield


@contextmanager
def _unwound_by_sigterm() -> Generator[None]:
    """Have SIGTERM end the program by way of every ``finally``: else the agent would be left."""

    def leave(signum: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@asynccontextmanager
async def tunnel(
    port: int,
    token: str,
    *,
    domain: str = "",
    opened_within: float = OPENED_WITHIN_S,
    **options: Any,
) -> AsyncGenerator[str]:
    """Lead a public ``https`` URL to a port of this machine while the block runs; gives the URL.

    Args:
        port: where the server listens on the loopback interface.
        token: what ``NGROK_AUTHTOKEN`` holds, which the agent reads for itself.
        domain: a host name reserved at ngrok; default what ngrok gives.
        opened_within: seconds until it is given up.
        options: for pyngrok's ``PyngrokConfig``.

    Raises:
        ConfigError: pyngrok is not installed, there is no token, the agent cannot be had, or ngrok
            refuses.
    """
    try:
        ngrok = importlib.import_module("pyngrok.ngrok")
    except ModuleNotFoundError as missing:
        raise ConfigError("a tunnel needs pyngrok: pip install 'trunkline[ngrok]'") from missing
    if not token:
        raise ConfigError(f"a tunnel needs NGROK_AUTHTOKEN: yours is at {_SIGN_UP}")
    logging.getLogger("pyngrok").setLevel(logging.CRITICAL + 1)  # what matters of it is raised
    config: Any = importlib.import_module("pyngrok.conf").PyngrokConfig(
        start_new_session=True, **options
    )
    config.auth_token = None  # else it goes on the command line
    config.config_version = "2"  # tunnels, which every agent has; newer ones have endpoints, too
    wanted = {"domain": domain} if domain else {}
    connect = partial(
        ngrok.connect, str(port), "http", pyngrok_config=config, schemes=["https"], **wanted
    )
    try:
        async with asyncio.timeout(opened_within):
            opened: Any = await _in_a_thread(connect)
    except TimeoutError:
        raise ConfigError(f"ngrok opened no tunnel within {opened_within:g} s") from None
    except (OSError, importlib.import_module("pyngrok.exception").PyngrokError) as error:
        await asyncio.to_thread(ngrok.kill, config)
        raise ConfigError(_why(error, token)) from None
    try:
        yield str(opened.public_url)
    finally:
        await asyncio.to_thread(ngrok.kill, config)


def _in_a_thread(work: partial[Any]) -> asyncio.Future[Any]:
    """Like ``asyncio.to_thread``, but nobody waits for the thread when the program ends."""
    done: Future[Any] = Future()

    def run() -> None:
        done.set_running_or_notify_cancel()
        try:
            done.set_result(work())
        except Exception as error:  # it is raised where this is awaited
            done.set_exception(error)

    Thread(target=run, name="trunkline-tunnel", daemon=True).start()
    return asyncio.wrap_future(done)


def _why(error: Exception, token: str) -> str:
    """What went wrong, in a line without the token, which ngrok likes to repeat."""
    if isinstance(error, OSError) or type(error).__name__ == "PyngrokNgrokInstallError":
        return f"ngrok's agent cannot be had: {error}; {_FETCH} has it, PYNGROK_NGROK_PATH names it"
    told = str(getattr(error, "ngrok_error", None) or _told(getattr(error, "body", "")) or error)
    return "ngrok refuses the tunnel: " + " ".join(told.replace(token, "…").split())


def _told(body: str) -> str:
    """What the agent's API says is wrong; nothing where it says it in another form."""
    try:
        return msgspec.json.decode(body, type=_Refusal).details["err"]
    except (msgspec.MsgspecError, KeyError):
        return ""


class _Refusal(msgspec.Struct):
    details: dict[str, str]
