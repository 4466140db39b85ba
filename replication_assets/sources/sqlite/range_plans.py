"""How a load of an id range would be read, and the index that would serve it.

`EXPLAIN QUERY PLAN` goes by aliases, and shows neither conditions nor the tables beneath a view. So the
tables that are read whole are found in the program that SQLite would run (`EXPLAIN`: cursors that are
rewound and never sought in), the columns that are read by what an authorizer is asked, and the index by
trying: each one that might help is created in an empty copy of the schema in memory, and the query
planned there again. What is advised was so seen to serve.

Of the file only the schema is read, and rows are counted up to `SMALL_ROWS`: SQLite keeps no estimate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from replication_assets.core.id_ranges import IdRange
from replication_assets.core.range_plans import SMALL_ROWS, RangePlan
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.sources.sqlite.predicates import key_expression, range_condition
from replication_assets.sources.sqlite.quoting import identifier, relation

_REWOUND = frozenset({"Rewind", "Last"})
_SOUGHT = frozenset({"SeekGE", "SeekGT", "SeekLE", "SeekLT", "SeekRowid", "NotExists", "Found", "NotFound"})
_TRIED = "ra_tried"


@dataclass(frozen=True, slots=True)
class _Plan:
    """`details`: lines of EXPLAIN QUERY PLAN. `whole`: tables that are read from end to end. `columns`:
    what is read of each table."""

    details: tuple[str, ...]
    whole: tuple[str, ...]
    columns: dict[str, set[str]]


def range_plan(
    session: sqlite3.Connection, table: TableId, schema: TableSchema, column: Column, id_range: IdRange
) -> RangePlan:
    """See `ports.ChangeSource.range_plan`."""
    listed = ", ".join(identifier(name) for name in schema.names)
    query = f"SELECT {listed} FROM {relation(table)} WHERE {range_condition(column, id_range)}"
    plan = _planned(session, query)
    scanned = [name for name in plan.whole if _is_large(session, name)]
    names = tuple(identifier(name) for name in scanned)
    if not scanned:
        return RangePlan((), None, "", plan.details)
    if id_range.includes_null:
        why = f"the first range also holds rows whose {column.name} is no key, which only a scan finds"
        return RangePlan(names, None, why, plan.details)
    statements, reasons = [], []
    with closing(_empty_copy(session)) as copy:
        for name in scanned:
            found = _serving(copy, query, table, name, plan.columns.get(name, set()), column)
            statements += [found] if found is not None else []
            reasons += [] if found is not None else [_why_not(name, column)]
    return RangePlan(names, "; ".join(statements) or None, "; ".join(reasons), plan.details)


def _why_not(name: str, column: Column) -> str:
    return (
        f"no index of a column of {identifier(name)} spares its scan: {column.name} is an expression there,"
        " or the view makes its rows anew (aggregate, DISTINCT, LIMIT, a window function)"
    )


def _planned(session: sqlite3.Connection, query: str) -> _Plan:
    columns: dict[str, set[str]] = {}

    def read(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_READ and first and second:
            columns.setdefault(first, set()).add(second)
        return sqlite3.SQLITE_OK

    session.set_authorizer(read)
    try:
        details = tuple(str(row[3]) for row in session.execute(f"EXPLAIN QUERY PLAN {query}"))
    finally:
        session.set_authorizer(None)
    return _Plan(details, tuple(_rewound(session, query)), columns)


def _rewound(session: sqlite3.Connection, query: str) -> Iterator[str]:
    """Tables, each once, of which (or of an index of which) a cursor is only ever rewound."""
    opened: dict[int, int] = {}
    rewound: list[int] = []
    sought: set[int] = set()
    for _, opcode, first, second, *_ in session.execute(f"EXPLAIN {query}"):
        if opcode == "OpenRead":
            opened[first] = second
        elif opcode in _REWOUND:
            rewound.append(first)
        elif opcode in _SOUGHT:
            sought.add(first)
    pages = dict(session.execute("SELECT rootpage, tbl_name FROM sqlite_master WHERE rootpage > 0"))
    whole = [pages.get(opened.get(cursor, 0)) for cursor in rewound if cursor not in sought]
    yield from dict.fromkeys(name for name in whole if name is not None)


def _is_large(session: sqlite3.Connection, name: str) -> bool:
    counted = f"SELECT count(*) FROM (SELECT 1 FROM main.{identifier(name)} LIMIT {SMALL_ROWS})"
    (rows,) = session.execute(counted).fetchone()
    return bool(rows >= SMALL_ROWS)


def _empty_copy(session: sqlite3.Connection) -> sqlite3.Connection:
    """The schema without rows. What needs a module or function that is not here is left out: what the
    query does not need, that is, or it could not be planned."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    for (statement,) in session.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'view', 'index')"
        " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type = 'view', type = 'index', rowid"
    ):
        with suppress(sqlite3.Error):
            copy.execute(statement)
    return copy


def _serving(
    copy: sqlite3.Connection, query: str, view: TableId, name: str, used: set[str], column: Column
) -> str | None:
    """The statement for the first column of the table an index on which spares its scan."""
    found = [
        (each, not key)
        for each, key in copy.execute(
            "SELECT name, upper(type) = 'INTEGER' AND pk = 1 FROM pragma_table_xinfo(?) ORDER BY cid", (name,)
        )
    ]
    stored = [each for each, is_stored in found if is_stored]
    for each in (each for each, _ in found if each in used):
        key = key_expression(Column(each, column.source_type, column.arrow, True))
        if _spares(copy, query, name, key):
            # The row's number is in every index.
            others = [other for other in stored if other in used and other != each]
            listed = ", ".join([key, *(identifier(other) for other in others if name != view.name)])
            index = identifier(f"{name}_{each}")
            return f"CREATE INDEX {index} ON {identifier(name)} ({listed})"
    return None


def _spares(copy: sqlite3.Connection, query: str, name: str, key: str) -> bool:
    try:
        copy.execute(f"CREATE INDEX {_TRIED} ON {identifier(name)} ({key})")
        try:
            plan = _planned(copy, query)
        finally:
            copy.execute(f"DROP INDEX {_TRIED}")
    except sqlite3.Error:
        return False
    return name not in plan.whole and _uses(plan.details)


def _uses(details: Sequence[str]) -> bool:
    return any(f"INDEX {_TRIED} (" in detail for detail in details)
