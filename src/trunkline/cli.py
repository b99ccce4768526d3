"""The ``trunkline`` command: serve a bot, call one, see the carriers, watch the demo.

Thin: what a command does stands in the module it belongs to. Errors that a person can do
something about are told in a sentence, without a traceback.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from .errors import ConfigError, TrunklineError
from .services import ears, services, voice
from .sim.load.command import load

if TYPE_CHECKING:
    from .call import Bot
    from .config import Settings
    from .server.run import Tls

__all__ = ["app", "load_bot", "main"]

app = typer.Typer(
    name="trunkline",
    help="Puts phone calls through to voice bots, and plays the carrier so that you can try it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

_Host = Annotated[str, typer.Option(help="address to listen on")]
_Port = Annotated[int, typer.Option(help="port to listen on")]
_PublicUrl = Annotated[
    str, typer.Option(help="the URL carriers reach this by; default: $PUBLIC_URL")
]
_MediaPort = Annotated[
    int, typer.Option(help="a port of their own for media sockets: many more calls a core")
]
_MediaUrl = Annotated[
    str,
    typer.Option(
        help="where carriers open media sockets; default: the public URL, with the media port"
    ),
]
_TlsCert = Annotated[
    str, typer.Option(help="certificate chain (PEM), to encrypt without a proxy in front")
]
_TlsKey = Annotated[str, typer.Option(help="its private key")]
_Tunnel = Annotated[
    str, typer.Option(metavar="ngrok", help="make a public URL, by $NGROK_AUTHTOKEN (extra: ngrok)")
]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="log more")]


app.command()(load)
app.command()(services)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the ``trunkline`` command; ``arguments`` are the command line's by default."""
    try:
        app(arguments)
    except TrunklineError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Tell a person what is wrong, and exit with 1."""
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True).print(f"[bold red]trunkline:[/] {escape(message)}", highlight=False)
    raise SystemExit(1)


def load_bot(target: str) -> Bot:
    """The bot that ``package.module:name`` or ``path/to/file.py:name`` names (default ``bot``).

    One that was written for Pipecat's development runner, ``bot(runner_args)``, is adapted.

    Raises:
        ConfigError: there is nothing there that can be called.
    """
    where, colon, name = target.rpartition(":")
    if not colon or target.endswith(".py"):
        where, name = target, "bot"
    try:
        if where.endswith(".py"):
            module = _load_file(Path(where))
        else:
            sys.path.insert(0, "")
            module = importlib.import_module(where)
    except (ImportError, FileNotFoundError) as error:
        raise ConfigError(f"cannot load {where}: {error}") from error
    bot = getattr(module, name, None)
    if not callable(bot):
        raise ConfigError(f"{where} has no function called {name!r}: write module:function")
    from .adapters.pipecat.runner import adapted, takes_runner_arguments

    return adapted(cast("Any", bot)) if takes_runner_arguments(bot) else cast("Bot", bot)


def _load_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module


class _Fields(logging.Formatter):
    """One line a record: time, level, logger, message, then the fields as ``name=value``."""

    _plain = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        fields = " ".join(
            f"{name}={value}" for name, value in vars(record).items() if name not in self._plain
        )
        return f"{line}  {fields}" if fields else line


def _log_to_stderr(verbose: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Fields("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("trunkline").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _run(main: Callable[[], Coroutine[Any, Any, int]]) -> None:
    """Run on uvloop where there is one, and exit with what comes back."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        code = runner.run(main())
    raise typer.Exit(code)


def _settings(
    public_url: str, simulator: str, port: int, proxy: str = "", **more: object
) -> Settings:
    """The environment's settings, with what the command line says instead."""
    from .config import Settings

    settings = Settings()
    for name, said in more.items():
        setattr(settings, name, said or getattr(settings, name))
    if proxy and not public_url:
        public_url = f"https://{proxy.rpartition('://')[2]}"
    settings.public_url = public_url.rstrip("/") or settings.public_url
    settings.simulator_url = simulator.rstrip("/") or settings.simulator_url
    if settings.simulator_url and not settings.public_url:
        settings.public_url = f"http://127.0.0.1:{port}"
    return settings


def _tls(settings: Settings) -> Tls | None:
    from .server.run import Tls

    return Tls(settings.tls_cert, settings.tls_key) if settings.tls_cert else None


@app.command()
def serve(
    bot: Annotated[str, typer.Argument(help="module:function or file.py:function (default: bot)")],
    host: _Host = "127.0.0.1",
    port: _Port = 8080,
    public_url: _PublicUrl = "",
    simulator: Annotated[
        str,
        typer.Option(
            help="take calls from a carrier simulator, whose REST API is at this URL; carriers "
            "without credentials use example ones"
        ),
    ] = "",
    proxy: Annotated[
        str,
        typer.Option("--proxy", "-x", help="the public URL's host name alone, as Pipecat has it"),
    ] = "",
    tunnel: _Tunnel = "",
    media_port: _MediaPort = 0,
    media_url: _MediaUrl = "",
    tls_cert: _TlsCert = "",
    tls_key: _TlsKey = "",
    verbose: _Verbose = False,
) -> None:
    """Answer calls with a bot.

    A bot is [bold]async def bot(call)[/bold], or [bold]async def bot(runner_args)[/bold] as
    Pipecat's development runner has it.

    Point your carrier's voice webhook at [bold]PUBLIC_URL/{carrier}/answer[/bold], its status
    webhook at [bold]PUBLIC_URL/{carrier}/status[/bold]. Carriers are switched on by their
    credentials in the environment; see [bold]trunkline carriers[/bold].
    """
    from .server import create_app
    from .server.run import serve as run_server
    from .server.tunnel import public

    _log_to_stderr(verbose)
    media: dict[str, object] = {"media_port": media_port, "media_url": media_url.rstrip("/")}
    tls = {"tls_cert": tls_cert, "tls_key": tls_key}
    settings = _settings(public_url, simulator, port, proxy, **media, **tls)
    the_bot = load_bot(bot)

    async def go() -> int:
        async with public(settings, tunnel, port, domain=public_url or proxy):
            await run_server(
                create_app(the_bot, settings),
                host,
                port,
                drain_timeout=settings.drain_timeout,
                max_message=settings.max_message,
                media_port=settings.media_port,
                tls=_tls(settings),
            )
        return 0

    _run(go)


@app.command()
def dial(
    number: Annotated[str, typer.Argument(help="whom to call: +12025550123")],
    bot: Annotated[str, typer.Argument(help="module:function or file.py:function (default: bot)")],
    from_: Annotated[str, typer.Option("--from", help="the number to call from, one of yours")],
    carrier: Annotated[
        str, typer.Option(help="its name; not needed where one is switched on")
    ] = "",
    ring_timeout: Annotated[int, typer.Option(help="seconds it may ring")] = 30,
    detect_machine: Annotated[
        bool, typer.Option("--detect-machine", help="ask the carrier whether a machine answered")
    ] = False,
    host: _Host = "127.0.0.1",
    port: _Port = 8080,
    public_url: _PublicUrl = "",
    simulator: Annotated[
        str, typer.Option(help="the REST API of a simulator: trunkline answer; see serve")
    ] = "",
    verbose: _Verbose = False,
) -> None:
    """Call somebody, and have a bot speak with them.

    Serves for as long as the call lasts: the carrier must reach this machine by the public URL.
    Exits with 0 if somebody answered. To try it without a carrier, be called yourself, in another
    terminal: [bold]trunkline answer[/bold].
    """
    from rich.console import Console

    from .server import create_app
    from .server.one_dial import one_dial
    from .server.run import running

    _log_to_stderr(verbose)
    logging.getLogger("trunkline").setLevel(logging.INFO if verbose else logging.WARNING)
    settings = _settings(public_url, simulator, port)
    application = create_app(load_bot(bot), settings)

    async def go() -> int:
        async with running(
            application, host, port, drain_timeout=0.0, max_message=settings.max_message
        ) as server:
            return await one_dial(
                server,
                number,
                Console(),
                from_=from_,
                carrier=carrier,
                ring_timeout=ring_timeout,
                detect_machine=detect_machine,
            )

    _run(go)


@app.command()
def carriers(
    markdown: Annotated[bool, typer.Option(help="print the page for the docs")] = False,
) -> None:
    """Show what each carrier can do, and what must be set to use it."""
    from .capabilities import markdown_page, show

    if markdown:
        typer.echo(markdown_page(), nl=False)
    else:
        show()


@app.command()
def demo(
    carrier: Annotated[str, typer.Option(help="the carrier whose protocol is spoken")] = "",
    out: Annotated[Path, typer.Option(help="where recording and picture go")] = Path("calls"),
    fast: Annotated[
        bool, typer.Option("--fast", help="in one process and in virtual time, in seconds")
    ] = False,
) -> None:
    """A recorded person calls the talking parrot, offline, and the call is checked.

    Exits with 0 if everything the demo promises was found on the recording.
    """
    from rich.console import Console

    from . import carriers as found
    from .demo import Demo
    from .sim.clock import run_virtual

    name = found.get(carrier).name if carrier else found.names()[0]
    the_demo = Demo(name, out, Console())
    if fast:
        raise typer.Exit(run_virtual(the_demo.run_virtual()))
    _run(the_demo.run)


@app.command()
def call(
    url: Annotated[
        str, typer.Argument(help="the server's public URL, without the carrier's name")
    ] = "http://127.0.0.1:8080",
    carrier: Annotated[str, typer.Option(help="whose protocol to speak")] = "",
    wav: Annotated[
        list[Path] | None, typer.Option(help="say this 16-bit WAV; may be given again")
    ] = None,
    say: Annotated[
        list[str] | None, typer.Option(help="say these words (extra: demo); may be given again")
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="a file that says what the caller does, line by line")
    ] = None,
    out: Annotated[Path, typer.Option(help="where recording and picture go")] = Path("calls"),
    rest_port: Annotated[
        int, typer.Option(help="where the carrier's REST API answers: serve --simulator URL")
    ] = 8099,
    via: Annotated[
        str, typer.Option(help="connect here instead of where the URL points, e.g. behind a proxy")
    ] = "",
) -> None:
    """Call a running server, as a carrier would, and draw what happened.

    The server is any that speaks the carrier's protocol. One of ours is started with
    [bold]trunkline serve module:bot --simulator http://127.0.0.1:8099[/bold].

    A script has one step a line: [italic]listen, wait for speech, wait for silence, say WORDS,
    say @FILE.wav, interrupt after 800 ms: WORDS, press 12#, pause 2.5, hang up[/italic].
    """
    from rich.console import Console

    from . import carriers as found
    from .sim.one_call import one_call, plan

    name = found.get(carrier).name if carrier else found.names()[0]
    steps = plan(wav or (), say or (), script)
    mouth, pen = voice(), ears()
    _run(
        lambda: one_call(
            url,
            name,
            steps,
            out,
            Console(),
            speaker=mouth,
            ears=pen,
            rest_port=rest_port,
            via=via,
        )
    )


@app.command()
def answer(
    carrier: Annotated[str, typer.Option(help="whose protocol to speak")] = "",
    wav: Annotated[
        list[Path] | None, typer.Option(help="say this 16-bit WAV; may be given again")
    ] = None,
    say: Annotated[
        list[str] | None, typer.Option(help="say these words (extra: demo); may be given again")
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="what the person called does, line by line: see call")
    ] = None,
    outcome: Annotated[
        str, typer.Option(help="what becomes of ringing: answer, busy, no_answer or reject")
    ] = "answer",
    machine: Annotated[
        str, typer.Option(help="what machine detection finds, where it was asked for")
    ] = "human",
    out: Annotated[Path, typer.Option(help="where recording and picture go")] = Path("calls"),
    rest_port: Annotated[
        int, typer.Option(help="where the carrier's REST API answers: dial --simulator URL")
    ] = 8099,
    url: Annotated[str, typer.Option(help="the server's public URL")] = "http://127.0.0.1:8080",
    wait: Annotated[float, typer.Option(help="seconds to wait for a call")] = 600.0,
) -> None:
    """Be called by a server, over a simulated carrier, and draw what happened.

    The other side, in another terminal:
    [bold]trunkline dial +12025550123 module:bot --from +12025550100 --simulator
    http://127.0.0.1:8099[/bold].
    """
    from rich.console import Console

    from . import carriers as found
    from .sim.one_call import answer_call, plan
    from .sim.program import Callee, Outcome

    name = found.get(carrier).name if carrier else found.names()[0]
    if outcome not in list(Outcome):
        raise ConfigError(f"--outcome is one of {', '.join(Outcome)}")
    steps = plan(wav or (), say or (), script, called=True)
    mouth, pen = voice(), ears()
    _run(
        lambda: answer_call(
            url,
            name,
            steps,
            out,
            Console(),
            speaker=mouth,
            ears=pen,
            rest_port=rest_port,
            callee=Callee(outcome=Outcome(outcome), machine=machine),
            wait=wait,
        )
    )


@app.command()
def doctor() -> None:
    """Check credentials, public URL, clock and settings, and say what to do.

    Makes only requests that change nothing and cost nothing. Exits with 1 if anything is wrong.
    """
    from rich.console import Console

    from .config import Settings
    from .doctor import examine
    from .rest import HttpSender
    from .sim.network import RealNetwork

    console = Console()
    settings = Settings()

    async def go() -> int:
        sender = HttpSender(settings.simulator_url)
        try:
            async with RealNetwork() as network:
                with console.status("Looking …"):
                    findings = await examine(settings, network, sender)
        finally:
            await sender.close()
        for finding in findings:
            mark = {True: "[green]✓[/]", False: "[bold red]✗[/]", None: "[yellow]![/]"}[finding.ok]
            console.print(f"{mark} {finding.what}", highlight=False)
            if finding.advice and not finding.ok:
                console.print(f"  → {finding.advice}", style="dim", highlight=False)
        return int(any(finding.ok is False for finding in findings))

    _run(go)
