"""A telephone at any carrier: calls your server, and picks up when your server calls.

    async with Phone("acme", RealNetwork(), base="http://127.0.0.1:8080") as phone:
        call = await phone.call()
        await call.wait_for_speech()
        await call.hang_up()

A phone brings a whole simulated carrier with it (``exchange``), which answers the server's REST
requests: in process through ``send``, from another process through ``platform_app``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType

from ..carrier import Carrier
from ..media.formats import AudioFormat
from .caller import PhoneCall, Speaker
from .echo import Echo
from .exchange import Exchange, Send, switchboard
from .faults import Faults
from .line import Line
from .network import Network
from .program import Callee, Party
from .record import Moment

__all__ = ["Phone"]

# 555-0100 to 555-0199 are kept free for fiction in the North American Numbering Plan.
_CALLER = "+12025550143"
_SERVER = "+12025550100"


class Phone:
    """A phone, and the simulated carrier it hangs on.

    Args:
        carrier: the carrier's name, or its class.
        network: how the carrier reaches the server; may be set later as ``phone.network``.
        base: the server's public URL, without the carrier's part.
        credentials: by credential name; default the carrier's examples.
        faults: what goes wrong on every call that brings no faults of its own.
        speaker: turns words into audio, for ``say("…")``.
        callee: how this phone picks up calls from the server.
        party: whom calls are transferred to.
        echo: how the line returns what is heard.
        inbound: the encoding the caller's audio is streamed in; default the carrier's first.
        watch: is told every moment of every call as it happens.
        keep_audio: whether records hold what was said and heard, 32 kB a second of each call; a
            thousand calls at once better go without.
        clock: seconds since the epoch, for signatures.

    Raises:
        ConfigError: there is no such carrier.
    """

    def __init__(
        self,
        carrier: str | type[Carrier],
        network: Network | None = None,
        *,
        base: str = "",
        credentials: Mapping[str, str] | None = None,
        faults: Faults | None = None,
        speaker: Speaker | None = None,
        callee: Callee | None = None,
        party: Party | None = None,
        echo: Echo | None = None,
        inbound: AudioFormat | None = None,
        watch: Callable[[Moment], None] | None = None,
        keep_audio: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.exchange = Exchange(
            carrier,
            network,
            base=base.rstrip("/"),
            credentials=credentials,
            faults=faults,
            callee=callee,
            party=party,
            inbound=inbound,
            watch=watch,
            remember_s=echo.remember_s if echo else 0.0,
            keep_audio=keep_audio,
            clock=clock,
        )
        self._speaker = speaker
        self._echo = echo

    async def __aenter__(self) -> Phone:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up every call that is still up, and let go of everything."""
        await self.exchange.aclose()

    @property
    def network(self) -> Network | None:
        """How the carrier reaches the server."""
        return self.exchange.network

    @network.setter
    def network(self, network: Network) -> None:
        self.exchange.network = network

    @property
    def send(self) -> Send:
        """What a server in this process sends its REST requests with."""
        return switchboard(self.exchange)

    async def call(
        self,
        base: str = "",
        *,
        from_: str = _CALLER,
        to: str = _SERVER,
        faults: Faults | None = None,
        within: float = 20.0,
    ) -> PhoneCall:
        """Call the server, and wait until it has answered or the call is over.

        Args:
            base: the server's public URL, where it is another than the phone's.
            from_: the number of this phone.
            to: the number that is dialled.
            faults: what goes wrong on this call.
            within: seconds it may take.

        Raises:
            ConfigError: no network or no URL is set.
            Overdue: the phone rings and rings.
        """
        call = self.dial(base, from_=from_, to=to, faults=faults)
        await call.answered(within)
        return call

    def dial(
        self,
        base: str = "",
        *,
        from_: str = _CALLER,
        to: str = _SERVER,
        faults: Faults | None = None,
    ) -> PhoneCall:
        """Call the server and return at once, while it rings.

        Raises:
            ConfigError: no network or no URL is set.
        """
        return self._held(self.exchange.call(base.rstrip("/"), from_=from_, to=to, faults=faults))

    async def next_call(self, within: float = 20.0) -> PhoneCall:
        """Wait for the server to call; returns while it rings.

        Raises:
            Overdue: it does not.
        """
        return self._held(await self.exchange.next_placed(within))

    def _held(self, line: Line) -> PhoneCall:
        if (echo := self._echo) is not None:
            line.echo = lambda at, pcm: echo.mix(line.ear, at, pcm)
        return PhoneCall(line, self._speaker)
