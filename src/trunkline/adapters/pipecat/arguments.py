"""What a carrier's frame serializer is built with, worked out from what the carrier declares.

The names are those that people know from Pipecat's own serializers, and from those that carriers
publish. They cannot be guessed where a carrier's words for its ids differ from ours, so that a
carrier may say (``Carrier.arguments``); all else follows from its formats and credentials. Pure,
and without Pipecat: signatures can be shown where it is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any

from msgspec import Struct

from ... import carriers
from ...carrier import Carrier, Control
from ...media.formats import AudioFormat, Encoding

__all__ = ["Arguments", "Option", "arguments_of", "class_name", "class_names"]

CHOICES = ("in", "out")
"""What an argument can mean beside an id or a credential: an encoding, the caller's or ours."""
REQUIRED = {"stream", *CHOICES}

_SEND = Parameter("send", Parameter.KEYWORD_ONLY, default=None)
_IDS = {"stream_id": "stream", "call_id": "call"}
_ENCODINGS = {"PCM": Encoding.L16} | {encoding.value: encoding for encoding in Encoding}


class Option(Struct, frozen=True):
    """A field of ``InputParams``: its type, as Python writes it, and its default."""

    type: str
    default: Any


class Arguments(Struct, frozen=True, kw_only=True):
    """One carrier's.

    ``positional`` and ``keyword`` say what each argument means, ``options`` are the fields of its
    ``InputParams`` in order.
    """

    carrier: type[Carrier]
    positional: Mapping[str, str]
    keyword: Mapping[str, str]
    options: Mapping[str, Option]

    @property
    def meanings(self) -> Mapping[str, str]:
        """What every argument means (see ``Carrier.arguments``)."""
        return {**self.positional, **self.keyword}

    @property
    def credentials(self) -> Mapping[str, str]:
        """Which credential an argument is, for those that are one."""
        known = {one.name for one in self.carrier.credentials}
        return {name: means for name, means in self.meanings.items() if means in known}

    @property
    def signature(self) -> Signature:
        """What the serializer is called with; all that has no choice to it may be left out."""
        first, later = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
        before = [_parameter(name, means, first) for name, means in self.positional.items()]
        after = [_parameter(name, means, later) for name, means in self.keyword.items()]
        return Signature([*before, _parameter("params", "", first), *after, _SEND])

    def missing(self, given: Mapping[str, Any]) -> list[str]:
        """Arguments that are lacking for hanging up, as their user should be told of them."""
        needed = {one.name for one in self.carrier.credentials if one.required} | {"call"}
        lacking = [n for n, m in self.meanings.items() if m in needed and not given.get(n)]
        stand_in = self._stand_in
        if stand_in and any(given.get(name) for name in stand_in):
            return [name for name in lacking if name != self._secret]
        either = f"{self._secret} or {' + '.join(stand_in)}"
        return [either if stand_in and name == self._secret else name for name in lacking]

    def too_many(self, given: Mapping[str, Any]) -> str:
        """What is wrong where a secret came together with what may stand in for it."""
        stand_in = self._stand_in
        if given.get(self._secret) and any(given.get(name) for name in stand_in):
            return f"Provide either {self._secret} or {' + '.join(stand_in)}, not both."
        return ""

    @property
    def _secret(self) -> str:
        """The last of the usual credentials, which others may stand in for."""
        usual = [n for n, m in self.credentials.items() if n in self.positional and self._must(m)]
        return usual[-1] if usual else ""

    @property
    def _stand_in(self) -> list[str]:
        return [n for n in self.credentials if self._secret and n in self.keyword]

    def _must(self, credential: str) -> bool:
        return any(one.name == credential and one.required for one in self.carrier.credentials)

    def formats(
        self, given: Mapping[str, Any], params: Mapping[str, Any]
    ) -> tuple[AudioFormat, AudioFormat]:
        """The caller's encoding and ours, by the arguments and the ``InputParams``.

        Raises:
            ValueError: the carrier has none such.
        """
        own, carrier = f"{self.carrier.name}_sample_rate", self.carrier
        said = {means: (n, given.get(n)) for n, means in self.meanings.items() if means in CHOICES}
        rate = params[own]
        if "outbound_encoding" in self.options and not said:
            said["out"] = ("outbound_encoding", params["outbound_encoding"])
        if "codec" in self.options:
            said = dict.fromkeys(CHOICES, ("codec", params["codec"]))
        inbound = _encoding(*said.get("in", ("", None)), carrier.inbound)
        outbound = _encoding(*said.get("out", ("", None)), carrier.outbound)
        heard = _offered(AudioFormat(inbound, rate), own, carrier.inbound)
        if outbound is Encoding.L16 and "outbound_pcm_sample_rate" in self.options:
            own, rate = "outbound_pcm_sample_rate", params["outbound_pcm_sample_rate"]
        return heard, _offered(AudioFormat(outbound, rate), own, carrier.outbound)


def _parameter(name: str, means: str, kind: Any) -> Parameter:
    return Parameter(name, kind, default=Parameter.empty if means in REQUIRED else None)


def _encoding(name: str, value: Any, known: Sequence[AudioFormat]) -> Encoding:
    encodings = list(dict.fromkeys(one.encoding for one in known))
    if value is None:
        return encodings[0]
    encoding = _ENCODINGS.get(str(value))
    if encoding is None or encoding not in encodings:
        linear = "L16" if name == "codec" else "PCM"
        words = [linear if one is Encoding.L16 else one.value for one in encodings]
        raise ValueError(f"Unsupported {name}: {value}. Must be {_either(map(repr, words))}.")
    return encoding


def _offered(audio: AudioFormat, name: str, known: Sequence[AudioFormat]) -> AudioFormat:
    if audio not in known:
        rates = sorted(one.rate for one in known if one.encoding is audio.encoding)
        raise ValueError(
            f"{name} must be {_either(map(str, rates))} for {audio.encoding.value}. "
            f"Got: {audio.rate}"
        )
    return audio


def _either(words: Any) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def arguments_of(carrier: type[Carrier]) -> Arguments:
    """What the serializer of ``carrier`` is built with."""
    usual, _, more = (carrier.arguments or _usual(carrier)).partition("*")
    positional, keyword = (
        {
            name: means or _IDS.get(name, name)
            for name, _, means in (word.partition("=") for word in part.split())
        }
        for part in (usual, more)
    )
    known = {one.name for one in carrier.credentials}
    bare = Arguments(carrier=carrier, positional=positional, keyword=keyword, options={})
    options = {f"{carrier.name}_sample_rate": Option("int", carrier.inbound[0].rate)}
    options |= {"sample_rate": Option("int | None", None)} | _encodings(bare)
    options["audio_track"] = Option("str | None", "inbound")
    if carrier.supports(Control.HANG_UP):
        always = bool(known & set(positional.values()))
        options["auto_hang_up"] = Option("bool" if always else "bool | None", always or None)
    return Arguments(carrier=carrier, positional=positional, keyword=keyword, options=options)


def _usual(carrier: type[Carrier]) -> str:
    needed = [one.name for one in carrier.credentials if one.required]
    return " ".join([*_IDS, *(needed * carrier.supports(Control.HANG_UP))])


def _encodings(given: Arguments) -> dict[str, Option]:
    """Options that choose an encoding, where there is a choice."""
    carrier = given.carrier
    known = list(dict.fromkeys(one.encoding for one in carrier.outbound))
    first = Option("str", known[0].value)
    if chosen := [name for name, means in given.meanings.items() if means in CHOICES]:
        return dict.fromkeys(chosen, first)
    if len(known) == 1:
        return {}
    if carrier.one_format:
        return {"codec": first}
    rates = [one.rate for one in carrier.outbound if one.encoding is Encoding.L16]
    best = {"outbound_pcm_sample_rate": Option("int", max(rates))} if rates else {}
    return {"outbound_encoding": first} | best


def class_name(carrier: type[Carrier]) -> str:
    """What its serializer is called: the last word of its title tells the product."""
    return f"{carrier.title.split()[-1]}FrameSerializer"


def class_names() -> list[str]:
    """The names of all serializers there are."""
    return [class_name(carrier) for carrier in carriers.all_carriers()]
