"""Writes down, for editors and type checkers, the serializers that are made while running.

``python -m trunkline.adapters.pipecat.stub`` writes ``trunkline/pipecat.pyi`` beside the module it
describes; a test holds that it is fresh. Needs no Pipecat.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import Parameter
from pathlib import Path

from ... import carriers
from ...carrier import Carrier
from . import HOMES
from .arguments import Arguments, arguments_of, class_name

__all__ = ["PATH", "main", "stub"]

PATH = Path(__file__).parents[2] / "pipecat.pyi"

_HEAD = """\
# Made by `python -m trunkline.adapters.pipecat.stub`: change the carriers, not this file.
# pyright: reportMissingImports=false, reportUntypedBaseClass=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from pipecat.serializers.base_serializer import FrameSerializer

"""


def stub() -> str:
    """The stub's text."""
    found = carriers.all_carriers()
    homes = dict(sorted(HOMES.items(), key=lambda item: (item[1], item[0].lower())))
    lines = [
        f"from .adapters.pipecat.{home} import {name} as {name}" for name, home in homes.items()
    ]
    lines += ["from .rest import Send", ""]
    for carrier in sorted(found, key=class_name):
        lines += [*_class(carrier), ""]
    return _HEAD + "\n".join(lines)


def _class(carrier: type[Carrier]) -> Iterator[str]:
    takes = arguments_of(carrier)
    yield f"class {class_name(carrier)}(FrameSerializer):"
    yield "    class InputParams(FrameSerializer.InputParams):"
    for name, option in takes.options.items():
        yield f"        {name}: {option.type} = {_written(option.default)}"
    yield ""
    yield "    stream_id: str | None"
    yield "    call_id: str | None"
    yield "    def __init__("
    yield "        self,"
    yield from _parameters(takes)
    yield "    ) -> None: ..."


def _written(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _parameters(takes: Arguments) -> Iterator[str]:
    starred = False
    for parameter in takes.signature.parameters.values():
        if parameter.kind is Parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "        *,"
        kind = {"params": "InputParams", "send": "Send"}.get(parameter.name, "str")
        needed = parameter.default is Parameter.empty
        yield f"        {parameter.name}: {kind}{'' if needed else ' | None = None'},"


def main() -> None:
    """Write the stub."""
    PATH.write_text(stub())


if __name__ == "__main__":
    main()
