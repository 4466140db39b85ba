"""Where in a YAML file a problem is: its line, by the path of the value or by the words of a rule.

The catalog's rules speak of declarations by name (`projection lake: table 'x' is not ...`). The
declaration is found by that name, and in it the value or the key that the words name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dagster_shared.yaml_utils.source_position import SourcePositionTree

from replication_assets.components.declared_values import Path

_SECTIONS = {
    "event store": "event_store",
    "source": "sources",
    "table": "tables",
    "projection": "projections",
    "topic": "topics",
    "cutover": "cutovers",
    "policy": "policies",
    "policies": "policies",
    "environment": "environments",
    "refresh": "refreshes",
    "refreshes": "refreshes",
    "watch": "watch",
    "roots": "projections",
    "names": "projections",
}


def place_of(positions: SourcePositionTree | None, path: Path) -> str:
    """`file:line: ` of the value at a path, or of what is nearest to it; empty without a file."""
    if positions is None:
        return ""
    position, _ = positions.lookup_closest_and_path(list(path), None)
    return f"{position}: "


def path_of(values: Any, problem: str) -> Path:
    """The path of what a rule of the catalog speaks of, as far as its words tell."""
    label, _, words = problem.partition(": ")
    watched = re.match(r"watch\.(\w+)(?: (\d+))?", label)
    if watched:
        within: Path = ("watch", watched[1])
        return (*within, int(watched[2]) - 1) if watched[2] else within
    section = next((key for word, key in _SECTIONS.items() if re.match(rf"{word}s?\b", label)), None)
    if section is None or section not in values:
        return ()
    items = values[section]
    if not isinstance(items, Sequence) or isinstance(items, str):
        return (section, *_inside(items, words))
    named = label.partition(" ")[2]
    for number, item in enumerate(items):
        names = set(_names(item))
        if named in names or (not named and any(name in words for name in names)):
            return (section, number, *_inside(item, words))
    return (section,)


def _names(item: Any) -> Iterator[str]:
    """What rules may call a declaration: its name, or the path of a table."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, Mapping):
        if {"source", "schema", "name"} <= item.keys():
            yield f"{item['source']}.{item['schema']}.{item['name']}"
        yield from (str(item[key]) for key in ("path", "name") if key in item)
        if len(item) == 1:
            yield from _names(next(iter(item.values())))


def _inside(item: Any, words: str) -> Path:
    """The scalar that the words quote, or else the key that they name, furthest inside."""
    quoted = re.findall(r"'([^']+)'|\"([^\"]+)\"", words)
    texts = {one or other for one, other in quoted}
    best: Path = ()
    named: Path = ()
    for path, value in _walk(item):
        if isinstance(value, str) and value in texts and not best:
            best = path
        key = path[-1]
        if isinstance(key, str) and re.search(rf"\b{re.escape(key)}\b", words) and not named:
            named = path
    return best or named


def _walk(item: Any) -> Iterator[tuple[Path, Any]]:
    pairs: Sequence[tuple[str | int, Any]] = ()
    if isinstance(item, Mapping):
        pairs = [(str(key), value) for key, value in item.items()]
    elif isinstance(item, Sequence) and not isinstance(item, str):
        pairs = list(enumerate(item))
    for key, value in pairs:
        yield (key,), value
        for path, inner in _walk(value):
            yield (key, *path), inner
