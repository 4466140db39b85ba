"""Which module may import what, read from the source text without running it.

A room is a part of the package with one set of rules: `core`, `ports`, one adapter, and so on.
Rooms are found from module names; a module that belongs to none is itself a violation, so a new
part of the package cannot appear without a rule.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

PACKAGE = "replication_assets"
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 50

ADAPTER = re.compile(r"(sources\.\w+|targets\.\w+|notify\.\w+|metrics\.\w+|hooks\.\w+|event_store)(\.|$)")
VAGUE_NAME = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?)(_|$)")

ROOMS = {
    "errors": "errors",
    "failpoints": "failpoints",
    # What the two adapters that keep Delta tables share.
    "delta_creation": "delta creation",
    "secret_references": "secret references",
    "secret_storing": "secret references",
    "core": "core",
    "ports": "ports",
    "catalog": "declarations",
    "masks": "declarations",
    "catalog_loading": "declarations",
    "catalog_rules": "declarations",
    "declarations": "declarations",
    "declared_types": "declarations",
    "table_fit": "declarations",
    "dms": "dms",
    # Policies of AWS for what a catalog declares: declarations in, documents out.
    "iam": "iam",
    "flows": "flows",
    # The composition root: the one place, but for the command line and the demonstration, that
    # knows which adapters there are.
    "replication": "composition",
    "change_sources": "composition",
    "topic_adapters": "composition",
    "scratch_databases": "composition",
    "defs": "defs",
    "definitions": "definitions",
    "demo": "demo",
    "cli": "cli",
    "__main__": "cli",
    # Empty rooms: the packages around the adapters, and the public names of the package.
    "sources": "package",
    "targets": "package",
    "notify": "package",
    "hooks": "package",
    "metrics": "package",
    # The front end in YAML: a Dagster component over `defs`.
    "components": "components",
    "": "public names",
}

_VALUES = {"core", "errors"}
_INNER = _VALUES | {"ports", "declarations", "secret references"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "failpoints": set(),
    "delta creation": set(),
    "secret references": {"errors", "secret references"},
    "core": _VALUES,
    "ports": _VALUES | {"ports"},
    "declarations": _VALUES | {"declarations", "secret references"},
    "adapter": _VALUES | {"ports", "secret references", "failpoints", "delta creation"},
    "dms": _VALUES | {"declarations", "dms"},
    "iam": _VALUES | {"declarations", "secret references", "iam"},
    "flows": _VALUES | {"ports", "declarations", "flows", "failpoints"},
    "composition": _INNER | {"adapter", "composition"},
    "defs": _INNER | {"flows", "composition", "defs"},
    "definitions": {"defs", "declarations", "errors"},
    "demo": _INNER | {"adapter", "flows", "composition", "defs", "definitions", "demo", "public names"},
    "cli": _INNER
    | {"adapter", "flows", "composition", "defs", "definitions", "demo", "cli"}
    | {"components", "dms", "iam"},
    "components": _INNER | {"composition", "defs", "components"},
    "package": set(),
    "public names": _INNER | {"flows", "composition", "defs"},
}

_COLUMNAR = {"pyarrow", "numpy", "duckdb"}
# Libraries that a room may use; a room that is not listed may use any.
LIBRARIES: dict[str, set[str]] = {
    "errors": set(),
    "core": _COLUMNAR | {"cryptography", "orjson"},
    "ports": _COLUMNAR,
    "declarations": _COLUMNAR,
    "dms": _COLUMNAR | {"orjson"},
    "iam": set(),
    "flows": _COLUMNAR,
    "composition": set(),
    "public names": set(),
}
# Libraries that only some rooms may use.
RESERVED: dict[str, set[str]] = {
    "dagster": {"defs", "definitions", "components", "demo", "cli"},
    "pandas": {"defs", "cli"},
}
# core takes time, randomness and the environment as arguments, and does no input or output.
IMPURE = {"os", "socket", "subprocess", "threading", "time", "random", "secrets", "tempfile", "shutil"}


@dataclass(frozen=True, slots=True)
class Module:
    """A module by its name below the package (`core.fold`, `` for the package itself)."""

    name: str
    source: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)


def room_of(name: str) -> str | None:
    """The room of a module; adapters are told apart by `adapter_of`."""
    if ADAPTER.match(name):
        return "adapter"
    return ROOMS.get(name.split(".", 1)[0])


def adapter_of(name: str) -> str | None:
    found = ADAPTER.match(name)
    return found.group(1) if found else None


def imported_names(tree: ast.Module) -> Iterator[str]:
    """Absolute names of all imports, inside functions too; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level + (node.module or "")
            else:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_violations(module: Module) -> list[str]:
    room = room_of(module.name)
    if room is None:
        return [f"{module.name}: belongs to no room; add it to the rules"]
    problems = []
    for imported in imported_names(module.tree):
        first = imported.split(".", 1)[0]
        if not first:
            problem = "relative import"
        elif first == PACKAGE:
            problem = _wrong_room(module.name, room, imported.removeprefix(PACKAGE).lstrip("."))
        else:
            problem = _wrong_library(room, first)
        if problem:
            problems.append(f"{module.name} ({room}): {imported}: {problem}")
    return problems


def _wrong_room(importer: str, room: str, imported: str) -> str | None:
    target = room_of(imported)
    if target == "adapter" == room:
        same = adapter_of(importer) == adapter_of(imported)
        return None if same else "one adapter imports another"
    if target not in MAY_IMPORT[room]:
        return f"{room} may not import {target}"
    return None


def _wrong_library(room: str, library: str) -> str | None:
    if library in RESERVED and room not in RESERVED[library]:
        return f"only {', '.join(sorted(RESERVED[library]))} may import {library}"
    if library in sys.stdlib_module_names:
        return f"{room} is pure" if room in ("core", "dms", "iam") and library in IMPURE else None
    if room in LIBRARIES and library not in LIBRARIES[room]:
        return f"{room} may not use {library}"
    return None


def shape_violations(module: Module) -> list[str]:
    """Docstring, length of the file and of its functions, and names that say nothing."""
    problems = []
    if not ast.get_docstring(module.tree):
        problems.append("no docstring")
    lines = len(module.source.splitlines())
    if lines > MAX_FILE_LINES:
        problems.append(f"{lines} lines, at most {MAX_FILE_LINES}")
    if any(VAGUE_NAME.search(part) for part in module.name.split(".")):
        problems.append("a name that says nothing")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                problems.append(f"{node.name}: {length} lines, at most {MAX_FUNCTION_LINES}")
    return [f"{module.name or PACKAGE}: {problem}" for problem in problems]
