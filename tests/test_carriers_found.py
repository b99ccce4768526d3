"""Carriers are found by looking: in the package, and by entry points."""

import subprocess
import sys
from pathlib import Path

import pytest

from trunkline import carriers
from trunkline.errors import ConfigError

PLUGIN = """
from {module} import {base} as Base

class Outside(Base):
    name = "{name}"
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Installs a distribution that brings a carrier, as pip would lay it out."""

    def install(name: str, base: type, attribute: str = "Outside") -> None:
        module = f"outside_{name}"
        code = PLUGIN.format(module=base.__module__, base=base.__name__, name=name)
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        points = f"[{carriers.GROUP}]\n{name} = {module}:{attribute}\n"
        (info / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def test_the_package_s_own_are_found() -> None:
    files = Path(carriers.__file__).parent.glob("[!_]*.py")
    own = sorted(path.stem for path in files)
    assert set(own) <= set(carriers.names())
    assert carriers.names() == sorted(carriers.names())
    for name in own:
        found = carriers.get(name)
        assert found.name == name
        assert found.__module__ == f"trunkline.carriers.{name}"
        assert found in carriers.all_carriers()


def test_looking_imports_none_of_them() -> None:
    script = (
        "import sys; from trunkline import carriers; carriers.names();"
        "print([m for m in sys.modules if m.startswith('trunkline.carriers.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_one_from_outside_is_found_and_comes_first(plugin: object) -> None:
    base = carriers.all_carriers()[0]
    plugin("elsewhere", base)  # type: ignore[operator]
    assert "elsewhere" in carriers.names()
    assert carriers.get("elsewhere").__module__ == "outside_elsewhere"
    assert carriers.get("elsewhere") in carriers.all_carriers()


def test_one_from_outside_may_replace_ours(plugin: object) -> None:
    base = carriers.all_carriers()[0]
    plugin(base.name, base)  # type: ignore[operator]
    assert carriers.names().count(base.name) == 1
    assert carriers.get(base.name).__module__ == f"outside_{base.name}"


@pytest.mark.parametrize("attribute", ["__name__", "Base"])
def test_an_entry_point_to_no_carrier_of_that_name(plugin: object, attribute: str) -> None:
    name = "broken" if attribute == "Base" else "nothing"
    plugin(name, carriers.all_carriers()[0], attribute)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=f"{name!r} holds no complete Carrier"):
        carriers.get(name)


@pytest.mark.parametrize("name", ["nobody", "", "__init__", "../x"])
def test_a_name_that_nobody_has(name: str) -> None:
    known = carriers.names()[0]
    with pytest.raises(ConfigError, match=f"there are:.*{known}"):
        carriers.get(name)
