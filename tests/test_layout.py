"""The rules of the house, held by reading the source."""

import ast
import gc
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from trunkline import carriers

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "trunkline"
MODULES = sorted(SRC.rglob("*.py"))

# The longest there may be, in lines. A file that is longer has its reason beside it.
FILE_LINES = 500
# A carrier is one file by design: both ends of its wire, door, documents, REST, and their mirrors.
CARRIER_LINES = 800
FUNCTION_LINES = 60

# Who may import whom: a module may use those of its own layer and of the layers above it here.
LAYERS = [
    ["errors", "web", "media", "events", "http", "sockets", "websocket"],
    ["wire", "answers"],
    ["control"],
    ["carrier"],
    ["carriers"],
    ["capabilities"],
    ["feed", "limits", "utterance"],
    ["call"],
    ["alarm", "link", "rest", "session", "teardown"],
    ["config"],
    ["telemetry"],
    ["server"],
    ["sim"],
    ["bots"],
    ["adapters", "pipecat", "testing"],
    ["doctor", "services"],
    ["demo", "cli", "__main__"],
]
# What may wait, sleep, log or open a socket; everything else is pure.
IMPURE = {
    "sockets",
    "websocket",
    "http",
    "rest",
    "alarm",
    "link",
    "session",
    "teardown",
    "telemetry",
    "server",
    "sim",
    "bots",
    "adapters",
    "cli",
    "demo",
    "doctor",
    "services",
    "call",
    "feed",
    "utterance",
}
WAITING = {"asyncio", "logging", "socket", "httpx", "websockets", "fastapi", "uvicorn", "threading"}


def name_of(path):
    return ".".join(path.relative_to(SRC).with_suffix("").parts)


def top(path):
    return path.relative_to(SRC).with_suffix("").parts[0]


@cache
def tree_of(path):
    # CPython 3.11 fails where a collection in mid-parse has another tree begun (cpython#106905).
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def imports(path):
    """Absolute dotted names a module imports at run time or for types."""
    package = ("trunkline", *path.relative_to(SRC).parent.parts)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join((*base, *((node.module or "").split(".") if node.module else ())))
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def names():
    return [path.stem for path in (SRC / "carriers").glob("[a-z]*.py")]


@pytest.mark.parametrize("name", names())
def test_a_carriers_name_stands_in_its_own_module_only(name):
    word = re.compile(rf"(?<![a-z]){name}(?![a-z])", re.IGNORECASE)
    elsewhere = [
        f"{path.relative_to(SRC)}:{number}"
        for path in MODULES
        if path != SRC / "carriers" / f"{name}.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if word.search(line)
    ]
    assert elsewhere == []


def test_every_carrier_in_the_folder_is_found():
    assert set(names()) <= set(carriers.names())


@pytest.mark.parametrize("name", names())
def test_a_carrier_has_its_own_tests_and_its_own_page(name):
    assert (ROOT / "tests" / "carriers" / f"test_{name}.py").is_file()
    page = (ROOT / "docs" / "carriers" / f"{name}.md").read_text()
    for heading in ("## Set-up", "## Their words, ours", "## Quirks", "## Sources"):
        assert heading in page, f"docs/carriers/{name}.md lacks {heading!r}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_opens_with_prose(path):
    assert len(ast.get_docstring(tree_of(path)) or "") > 30


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_obey_the_layers(path):
    order = {name: depth for depth, layer in enumerate(LAYERS) for name in layer}
    own = order.get(top(path))
    if own is None:
        assert top(path) == "__init__", f"{top(path)} has no place in the layers"
        return
    for imported in imports(path):
        package, _, rest = imported.partition(".")
        layer = order.get(rest.split(".")[0])
        if package == "trunkline" and layer is not None:
            assert layer <= own, f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_pure_neither_waits_nor_logs(path):
    if top(path) in IMPURE:
        return
    assert not {name.split(".")[0] for name in imports(path)} & WAITING


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_settings_read_the_environment(path):
    if name_of(path) in ("config", "cli"):
        return
    assert "os.environ" not in path.read_text()
    assert "getenv" not in path.read_text()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_sizes(path):
    lines = len(path.read_text().splitlines())
    assert lines <= (CARRIER_LINES if top(path) == "carriers" else FILE_LINES)
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_exports_are_named_sorted_and_there(path):
    if path.name in ("__main__.py",) or path == SRC / "__init__.py":
        return
    tree = tree_of(path)
    listed = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    ]
    public = any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        for node in tree.body
    )
    if not listed:
        assert not public, "public names, but no __all__"
        return
    exported = ast.literal_eval(listed[0])
    assert sorted(exported, key=_ruff_order) == exported
    assert len(set(exported)) == len(exported)


def _ruff_order(name):
    """SCREAMING_CASE, then CamelCase, then the rest, as ruff sorts ``__all__``."""
    kind = 0 if name.isupper() else 1 if name.lstrip("_")[:1].isupper() else 2
    digits = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
    return kind, [(isinstance(part, str), part) for part in digits]


def test_nothing_in_the_tree_is_left_over():
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for folder in ("src", "docs", "examples"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md"):
                assert not marks.search(path.read_text()), path


def test_every_dependency_is_used():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    used = {name.split(".")[0] for path in MODULES for name in imports(path)}
    named = {re.split(r"[^a-zA-Z0-9-]", text)[0] for text in project["dependencies"]}
    modules = {"audioop-lts": "audioop", "pydantic-settings": "pydantic_settings"}
    unused = {name for name in named if modules.get(name, name.replace("-", "_")) not in used}
    assert unused == set()
