"""A plan as `EXPLAIN FORMAT=JSON` tells it, of MariaDB and of MySQL, whose documents differ.

MariaDB nests tables in `nested_loop`, `block-nl-join`, `materialized` and `subqueries`, MySQL in
`nested_loop`, `materialized_from_subquery`, `grouping_operation` and others: both call a table `table`,
with its `access_type`, `key` and `attached_condition`, and estimate its rows under names of their own
(`rows`; `rows_examined_per_scan`). So tables are looked for at any depth.
https://dev.mysql.com/doc/refman/8.4/en/explain.html#explain-execution-plan
https://mariadb.com/kb/en/explain-format-json/

Tables go by their alias there. What an alias stands for, and which columns are read, is in the definitions
of the views, whose constants are not looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from replication_assets.core.id_ranges import IdRange
from replication_assets.sources.mysql.connection import Session, literal

_WHOLE = frozenset({"ALL", "index"})
_CONDITIONS = ("attached_condition", "index_condition", "having_condition")
_NAME = r"(?:`(?:[^`]|``)+`|[^\W\d][\w$]*)"
_PATH = rf"{_NAME}(?:\.{_NAME}){{0,2}}"
_PART = re.compile(_NAME)
_QUOTED_PATH = r"`(?:[^`]|``)+`(?:\.`(?:[^`]|``)+`)*"
_TOKEN = re.compile(rf"'(?:[^'\\]|\\.|'')*'|(?P<path>{_QUOTED_PATH})(?: (?P<alias>`(?:[^`]|``)+`))?")


_BEFORE_TABLE = re.compile(r"\b(?:from|join)\s+\(*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PlannedTable:
    """A table of a plan, by its alias. `compared` is the path of the column that the range's bounds are
    compared with there; `expression` is set where they are compared with something else. `derived`: the
    rows of a subquery, made before they are chosen from. `choices`: indexes that it could use."""

    alias: str
    access: str
    key: str
    rows: int
    compared: tuple[str, ...]
    expression: bool
    derived: bool
    choices: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return self.access in _WHOLE and not self.derived

    def __str__(self) -> str:
        by = f" by {self.key}" if self.key else ""
        return f"{self.access} on {self.alias}{by}, about {self.rows} rows"


@dataclass(frozen=True, slots=True)
class References:
    """What a statement reads: tables (database, name) by alias, and columns by table."""

    tables: Mapping[str, frozenset[tuple[str, str]]]
    columns: Mapping[tuple[str, str], tuple[str, ...]]


def explain(session: Session, query: str) -> object:
    """The plan of a query, as JSON. Raises SourceNotReady where the account may not see it."""
    if not session.is_mariadb and session.version >= (8, 3):
        # Another format, of iterators, may be the server's default.
        session.rows("SET SESSION explain_json_format_version = 1")
    row = session.row(f"EXPLAIN FORMAT=JSON {query}")
    return json.loads(row[0]) if row is not None else {}


def references(session: Session, database: str, name: str) -> References:
    """What a table or view reads, down to the tables: views that it reads are opened in their turn. A view
    whose definition this account may not see counts as a table."""
    tables: dict[str, frozenset[tuple[str, str]]] = {}
    columns: dict[tuple[str, str], tuple[str, ...]] = {}
    waiting, seen, opened = [(database, name)], set(), set()
    while waiting:
        view = waiting.pop()
        seen.add(view)
        row = session.row(
            "SELECT VIEW_DEFINITION FROM information_schema.VIEWS"
            f" WHERE TABLE_SCHEMA = {literal(view[0])} AND TABLE_NAME = {literal(view[1])}"
        )
        if row is None or not row[0]:
            tables.setdefault(view[1], frozenset({view}))
            continue
        opened.add(view)
        found = read_references(str(row[0]))
        for alias, named in found.tables.items():
            tables[alias] = tables.get(alias, frozenset()) | named
            waiting += [each for each in sorted(named) if each not in seen]
        for table, names in found.columns.items():
            columns[table] = tuple(dict.fromkeys((*columns.get(table, ()), *names)))
    return References({alias: named - opened for alias, named in tables.items() if named - opened}, columns)


def read_references(definition: str) -> References:
    """What the definition of a view reads, as servers keep it: every name is quoted, tables stand after
    `from` and `join` with their database, columns after their table or its alias."""
    tables: dict[str, frozenset[tuple[str, str]]] = {}
    read: list[tuple[str, str]] = []
    for token in _TOKEN.finditer(definition):
        path = _parts(token["path"] or "")
        if len(path) == 2 and _BEFORE_TABLE.search(definition, 0, token.start()):
            alias = _parts(token["alias"])[0] if token["alias"] else path[1]
            tables[alias] = tables.get(alias, frozenset()) | {(path[0], path[1])}
        elif len(path) > 1:
            read.append((path[-2], path[-1]))
    columns: dict[tuple[str, str], dict[str, None]] = {}
    for alias, column in read:
        for table in tables.get(alias, ()):
            columns.setdefault(table, {})[column] = None
    return References(tables, {table: tuple(names) for table, names in columns.items()})


def planned_tables(plan: object, id_range: IdRange | None = None) -> Iterator[PlannedTable]:
    """The tables of a plan, subqueries included, in its order."""
    if isinstance(plan, list):
        for each in plan:
            yield from planned_tables(each, id_range)
    if isinstance(plan, dict):
        if isinstance(plan.get("table"), dict) and "access_type" in plan["table"]:
            yield _table(plan["table"], id_range)
        for each in plan.values():
            yield from planned_tables(each, id_range)


def compared(plan: object, id_range: IdRange) -> Iterator[tuple[str, ...]]:
    """The paths of columns that any condition of the plan compares the bounds with; an empty one for an
    expression."""
    if isinstance(plan, list):
        for each in plan:
            yield from compared(each, id_range)
    if isinstance(plan, dict):
        for name, each in plan.items():
            if name in _CONDITIONS and isinstance(each, str):
                yield from _operands(each, id_range)
            else:
                yield from compared(each, id_range)


def _table(found: Mapping[str, Any], id_range: IdRange | None) -> PlannedTable:
    alias = str(found.get("table_name", ""))
    conditions = [str(found[name]) for name in _CONDITIONS if name in found]
    operands = [
        each for text in conditions for each in (_operands(text, id_range) if id_range is not None else ())
    ]
    return PlannedTable(
        alias,
        str(found["access_type"]),
        str(found.get("key") or ""),
        int(found.get("rows", found.get("rows_examined_per_scan", 0)) or 0),
        next((each for each in operands if each), ()),
        any(not each for each in operands),
        alias.startswith("<") or "materialized" in found or "materialized_from_subquery" in found,
        tuple(str(each) for each in found.get("possible_keys") or ()),
    )


def _operands(condition: str, id_range: IdRange) -> Iterator[tuple[str, ...]]:
    for bound in (id_range.lo, id_range.hi):
        if bound is None:
            continue
        text = str(bound) if isinstance(bound, int) else f"(?:x|0x)'?{str(bound).encode().hex()}'?"
        for found in re.finditer(rf"(?:>=|<|between) {text}(?![\w.])", condition, re.IGNORECASE):
            before = condition[: found.start()].rstrip()
            path = re.search(rf"(?:^|\(|\band |\bor )(?P<path>{_PATH})$", before)
            yield _parts(path["path"]) if path is not None else ()


def _parts(path: str) -> tuple[str, ...]:
    return tuple(_bare(part) for part in _PART.findall(path))


def _bare(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name
