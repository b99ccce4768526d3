"""A bot whose ears, head and voice are OpenAI's Realtime API: audio in, audio out.

    bot = Realtime("You are the receptionist of a small hotel.", greeting="Greet the caller.")

``talk`` holds a call; ``sessions`` and ``link`` keep what it is held with; ``wire`` is the
protocol. µ-law and A-law cross as they are, whatever else a line carries goes as 24 kHz.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlencode

from msgspec import UNSET

from ...call import Call, ReadyBot
from ...config import variable
from ...errors import ConfigError
from ...events import CallInfo
from ...media.formats import AudioFormat
from ...websocket import Connect, connect
from ..tools import GOODBYE, Tool, hang_up, transfer
from ..turns import Turn
from .early import Early
from .link import Link, Refused, open_link
from .responses import Failed
from .session import FunctionTool, SemanticVad, ServerVad, Transcription, session_config
from .talk import Plan, Talk
from .wire import ServerEvent

__all__ = [
    "GOODBYE",
    "Failed",
    "Realtime",
    "Refused",
    "SemanticVad",
    "ServerVad",
    "Tool",
    "hang_up",
    "transfer",
]

URL = "wss://api.openai.com/v1/realtime"
MODEL = "gpt-realtime-2.1"
"""``gpt-realtime`` and its like are shut down on 2027-01-20 and this is what replaces them
(developers.openai.com/api/docs/deprecations, read 2026-11-21)."""
TRANSCRIPTION = "gpt-transcribe"
"""``gpt-4o-transcribe`` and ``whisper-1`` are shut down on 2027-02-26 (the same page)."""
SESSION_S = 3600.0
"""How long the service lets a session live."""


class Realtime:
    """The bot. One serves any number of calls.

    Args:
        instructions: who the model is, and what it is to do.
        greeting: what its first words are to be, as an instruction; without one the caller begins.
        voice: one of the service's voices.
        model: one of its speech-to-speech models.
        tools: what it may do: async functions, ``Tool`` objects, ``hang_up``, ``transfer(…)``.
        turn_detection: how the service tells when the caller speaks, and has spoken.
        transcription: the model that writes down what the caller says.
        language: the caller's, if it is known (ISO 639-1): their words are written down better.
        keys: whether the model is told which keys the caller pressed.
        silence_s: how much silence is asked about, and after as much again ends the call; 0: never.
        on_turn: told of each turn of each call: the model's when it begins and when it is over,
            with the words that were heard of it; the caller's when it was written down.
        session_s: seconds a session lives; the next is opened before.
        api_key: default ``OPENAI_API_KEY``.
        url: default ``OPENAI_REALTIME_URL``, else the service's.
        connect: opens sockets.

    Attributes:
        connect: opens sockets; may be replaced.

    Raises:
        ConfigError: there is no key, or a tool is none.
    """

    def __init__(
        self,
        instructions: str,
        *,
        greeting: str = "",
        voice: str = "marin",
        model: str = MODEL,
        tools: Sequence[Tool | Callable[..., Awaitable[object]]] = (),
        turn_detection: ServerVad | SemanticVad | None = None,
        transcription: str = TRANSCRIPTION,
        language: str = "",
        keys: bool = False,
        silence_s: float = 20.0,
        on_turn: Callable[[Call, Turn], None] | None = None,
        session_s: float = SESSION_S,
        api_key: str | None = None,
        url: str | None = None,
        connect: Connect = connect,
    ) -> None:
        key = variable("OPENAI_API_KEY") if api_key is None else api_key
        if not key:
            raise ConfigError("no key for OpenAI: set OPENAI_API_KEY")
        base = variable("OPENAI_REALTIME_URL", URL) if url is None else url
        self._url = f"{base}?{urlencode({'model': model})}"
        self._headers = {"Authorization": f"Bearer {key}"}
        self.connect = connect
        self._instructions = instructions
        self._voice = voice
        self._turns = turn_detection or ServerVad()
        self._transcription = Transcription(model=transcription, language=language or UNSET)
        by_name = {tool.name: tool for tool in map(_as_tool, tools)}
        self._tools = tuple(map(_described, by_name.values()))
        self._plan = Plan(
            instructions=instructions,
            greeting=greeting,
            tools=by_name,
            keys=keys,
            silence_s=silence_s,
            session_s=session_s,
            on_turn=on_turn,
            open=self._open,
        )

    async def ringing(self, info: CallInfo, hears: AudioFormat, says: AudioFormat) -> ReadyBot:
        """Open a session for a call that is about to come."""
        return Early(self._plan, hears, says)

    async def __call__(self, call: Call) -> None:
        """Talk with one caller; a ``Bot``."""
        await Talk(call, self._plan).run()

    async def _open(
        self,
        hears: AudioFormat,
        says: AudioFormat,
        deliver: Callable[[Link, ServerEvent], None],
        lost: Callable[[Link, str], None],
    ) -> Link:
        session = session_config(
            instructions=self._instructions,
            voice=self._voice,
            hears=hears,
            says=says,
            turns=self._turns,
            transcription=self._transcription,
            tools=self._tools,
        )
        return await open_link(self.connect, self._url, self._headers, session, deliver, lost)


def _as_tool(tool: Tool | Callable[..., Awaitable[object]]) -> Tool:
    return tool if isinstance(tool, Tool) else Tool.of(tool)


def _described(tool: Tool) -> FunctionTool:
    return FunctionTool(name=tool.name, description=tool.description, parameters=tool.parameters)
