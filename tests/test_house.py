"""The house rules that a machine can check: which room imports which, how large files grow, how things are named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GATEWAY = ROOT / "gateway"
MEMORY = GATEWAY / "plugins" / "memory.py"  # built in, yet written like a stranger's: the model for plugin authors
SOURCES = sorted(path for path in GATEWAY.rglob("*.py") if path != MEMORY and "template" not in path.parts)
PLUGINS = sorted([MEMORY, *(ROOT / "plugins").glob("*/gateway_*/**/*.py")])

# Lower rooms first; a room imports only rooms of a lower row (and its own files).
ROWS: tuple[tuple[str, ...], ...] = (
    ("model", "errors"),
    ("seal", "bodies", "settings", "sqlitefile", "wire"),
    ("remote", "plugins", "catalogue"),
    ("api", "access", "streams", "verifier"),
    ("operations",),
    ("reaper", "gate", "recovery"),
    ("observe", "pages", "http"),
    ("node",),
    ("workers",),
    ("tap", "testing", "doctor"),
    ("cli",),
    ("__main__",),
)
RANK = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
BANNED = re.compile(r"(^|_)(manager|handler|helper|util|utils|common|base|misc|engine|processor)s?($|_)", re.IGNORECASE)
PURE_FORBIDDEN = re.compile(r"\b(open\(|time\.time|os\.)")


def room_of(path: Path) -> str:
    parts = path.relative_to(GATEWAY).with_suffix("").parts
    return "__init__" if parts == ("__init__",) else parts[0]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, with "from gateway import x" read as gateway.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            if node.module == "gateway":
                yield from ((node.lineno, f"gateway.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module or ""


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    assert room in RANK, f"room {room!r} has no place in ROWS"
    for line, module in imported(parsed(path)):
        if not module.startswith("gateway."):
            continue
        target = module.split(".")[1]
        if target in (room, "__version__"):
            continue
        assert target in RANK, f"{path}:{line}: {module} is no room"
        assert RANK[target] < RANK[room], f"{path}:{line}: {room} may not import {target}"


@pytest.mark.parametrize("path", sorted((GATEWAY / "wire").rglob("*.py")), ids=lambda path: path.name)
def test_the_wire_is_pure(path: Path) -> None:
    for line, module in imported(parsed(path)):
        assert not module.startswith(("twisted", "treq", "os", "socket", "threading")), f"{path}:{line}: {module}"
        if module.startswith("gateway."):
            assert module.split(".")[1] in ("wire", "model", "errors"), f"{path}:{line}: {module}"
    for number, text in enumerate(path.read_text().splitlines(), 1):
        code = text.split("#")[0]
        assert not PURE_FORBIDDEN.search(code), f"{path}:{number}: {text.strip()}"


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_plugin_knows_only_the_one_door(path: Path) -> None:
    for line, module in imported(parsed(path)):
        if module == "gateway" or module.startswith("gateway."):
            assert module == "gateway.api", f"{path}:{line}: {module}"


@pytest.mark.parametrize("path", [*SOURCES, *PLUGINS], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 350, f"{path} has {text.count(chr(10))} lines"
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{path}:{node.lineno}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", [*SOURCES, *PLUGINS], ids=lambda path: str(path.relative_to(ROOT)))
def test_names_say_what_things_are(path: Path) -> None:
    assert not BANNED.search(path.stem), path
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower()
            snake = snake.replace("common_prefix", "")  # S3's own term
            assert not BANNED.search(snake), f"{path}:{node.lineno}: {node.name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_swallows_every_exception_but_the_gate(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"all"}
        if "all" in caught or "Exception" in caught:
            assert path.name == "gate.py", f"{path}:{node.lineno}: only the gate catches everything"
        if "BaseException" in caught:
            inside = list(ast.walk(ast.Module(node.body, [])))
            raises = any(isinstance(inner, ast.Raise) for inner in inside)
            hands_on = any(isinstance(inner, ast.Name) and inner.id == node.name for inner in inside)
            assert raises or hands_on, f"{path}:{node.lineno}: undo and raise again, or hand it to who waits"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(path: Path) -> None:
    if path.read_text().strip():
        assert ast.get_docstring(parsed(path)), f"{path} has no docstring"


def test_only_a_few_rooms_speak_sql() -> None:
    local = ROOT / "plugins" / "local" / "gateway_local"
    speakers = {GATEWAY / "sqlitefile.py", *(local / name for name in ("rows.py", "rowfile.py"))}
    for path in [*SOURCES, *PLUGINS]:
        if path.parent != GATEWAY / "catalogue" and path not in speakers:
            assert "apsw" not in path.read_text(), f"{path}: SQL lives in gateway/catalogue, and in {speakers}"
