"""Carriers, found and never listed.

``names()`` walks this package and the entry-point group ``trunkline.carriers``; ``get()`` imports
one module. An outside carrier is a package with one module and one entry point, whose name is
the carrier's and whose value is ``module:Class``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract

from ..carrier import Carrier
from ..errors import ConfigError

__all__ = ["GROUP", "all_carriers", "get", "names"]

GROUP = "trunkline.carriers"


def names() -> list[str]:
    """The names of all carriers that can be had, sorted. Imports none of them."""
    own = {m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")}
    return sorted(own | _outside().keys())


def get(name: str) -> type[Carrier]:
    """The carrier class of that name.

    Raises:
        ConfigError: there is none, or what is there is no carrier.
    """
    if (point := _outside().get(name)) is not None:
        return _checked(name, [point.load()])
    if name not in names():
        raise ConfigError(f"no carrier is called {name!r}; there are: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return _checked(name, list(vars(module).values()))


def all_carriers() -> list[type[Carrier]]:
    """Every carrier class, in the order of their names."""
    return [get(name) for name in names()]


def _outside() -> dict[str, EntryPoint]:
    return _installed(tuple(sys.path))


@lru_cache(4)
def _installed(_path: tuple[str, ...]) -> dict[str, EntryPoint]:
    # Every package that is installed is looked through, which takes 10 ms and more.
    return {point.name: point for point in reversed(tuple(entry_points(group=GROUP)))}


def _checked(name: str, candidates: list[object]) -> type[Carrier]:
    for found in candidates:
        if (
            isinstance(found, type)
            and issubclass(found, Carrier)
            and not isabstract(found)
            and getattr(found, "name", None) == name
        ):
            return found
    raise ConfigError(f"{name!r} holds no complete Carrier subclass of that name")
