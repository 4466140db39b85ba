"""Completing rows whose last event did not carry every column.

PostgreSQL does not send a large value that an update left alone. The event names such
columns in `_unchanged`, and their value is that of the newest earlier event of the same row
that has it. A row is one incarnation of a key: a delete ends it, an insert or a load begins
one. An update that moved a row to another key begins one too, and then the value may stand
with the old key, in another id range; `_before` names that key.

A value that no stored event has is refused (`NeedsReload`), never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from replication_assets.core.events import BEFORE, EPOCH, OP, OVERFLOW, POSITION, SEQUENCE, UNCHANGED
from replication_assets.core.events import COMMIT_POSITION as COMMIT
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import literal, position_of, quoted, same_key, stream
from replication_assets.errors import NeedsReload

HistoryOf = Callable[[Mapping[str, str]], pa.Table]
"""All stored events of one key (column name to text), in `stored_schema`, from any range."""

_ASKED = pa.field("_asked", pa.list_(pa.string()))

_BEGAN = '"~began"'
"""Names with a `~` are ours within a query: a key may well have a column `began` or `p0`."""

_FULL = f"e.{OP} IN ('R', 'I', 'U')"


def complete(
    connection: duckdb.DuckDBPyConnection,
    schema: TableSchema,
    rows: pa.Schema,
    history_of: HistoryOf | None,
    *,
    where: str,
) -> Iterator[pa.RecordBatch]:
    """The rows of table `partial` (columns `rows`) with those named in `_unchanged` filled in
    from table `event`, both of this connection.

    Filled columns are taken out of `_unchanged`, which is null where nothing is left. Rows
    that began by a move are followed to their old key through `history_of`.

    Raises:
        NeedsReload: with `history_of`, a value is in no stored event. Without it such
            columns are left in `_unchanged`.
    """
    named = f"SELECT DISTINCT unnest({UNCHANGED}) FROM partial ORDER BY 1"
    columns = [name for (name,) in connection.execute(named).fetchall()]
    if not columns:
        return
    connection.execute(f"CREATE OR REPLACE TEMP TABLE found AS {_search(schema, columns)}")
    odd = _odd_values(connection, schema, columns)
    wanted = pa.schema([*rows, _ASKED])
    for batch in stream(connection, _fill(schema, rows, columns), wanted):
        filled = pa.Table.from_batches([batch])
        if odd:
            filled = _with_odd_values(filled, schema, columns, odd)
        if history_of is not None and filled.column(UNCHANGED).null_count < filled.num_rows:
            filled = _follow_moves(filled, schema, history_of, where)
        yield from filled.select(rows.names).to_batches()


def _search(schema: TableSchema, columns: Iterable[str]) -> str:
    """Per partial row and column: the newest event up to it that has the column (`_found` its
    value and overflow, `_place` where), and where the row's incarnation began."""
    parts = []
    for i, name in enumerate(columns):
        has = f"{_FULL} AND NOT coalesce(list_contains(e.{UNCHANGED}, {literal(name)}), FALSE)"
        held = f"struct_pack(v := e.{quoted(name)}, o := e.{OVERFLOW})"
        parts.append(f"arg_max({held}, {position_of()}) FILTER (WHERE {has}) AS {_found(i)}")
        parts.append(f"max({position_of()}) FILTER (WHERE {has}) AS {_place(i)}")
    keys = ", ".join(f"p.{quoted(name)}" for name in (*schema.key, *POSITION))
    began = f"e.{OP} = 'D' OR (e.{OP} = 'U' AND e.{UNCHANGED} IS NOT NULL AND e.{BEFORE} IS NOT NULL)"
    earlier = f"{same_key(schema.key, 'e', 'p')} AND {position_of()} <= {position_of('p')}"
    return (
        f"SELECT {keys}, max({position_of()}) FILTER (WHERE {began}) AS {_BEGAN}, {', '.join(parts)} "
        f"FROM partial p JOIN event e ON {earlier} GROUP BY {keys}"
    )


def _found(column: int) -> str:
    return f'"~found{column}"'


def _place(column: int) -> str:
    return f'"~place{column}"'


def _fill(schema: TableSchema, rows: pa.Schema, columns: list[str]) -> str:
    def usable(i: int) -> str:
        place, began = f"f.{_place(i)}", f"f.{_BEGAN}"
        return f"({place} IS NOT NULL AND ({began} IS NULL OR {place} > {began}))"

    chosen = []
    for field in rows:
        name = quoted(field.name)
        if field.name in columns:
            i = columns.index(field.name)
            take = f"list_contains(p.{UNCHANGED}, {literal(field.name)}) AND {usable(i)}"
            chosen.append(f"CASE WHEN {take} THEN f.{_found(i)}.v ELSE p.{name} END AS {name}")
        elif field.name == UNCHANGED:
            cases = [f"WHEN c = {literal(column)} THEN NOT {usable(i)}" for i, column in enumerate(columns)]
            left = f"list_filter(p.{UNCHANGED}, lambda c: CASE {' '.join(cases)} ELSE TRUE END)"
            chosen.append(f"CASE WHEN len({left}) > 0 THEN {left} END AS {name}")
        else:
            chosen.append(f"p.{name}")
    chosen.append(f"p.{UNCHANGED} AS {_ASKED.name}")
    one = same_key((*schema.key, *POSITION), "f", "p")
    return f"SELECT {', '.join(chosen)} FROM partial p LEFT JOIN found f ON {one}"


def _odd_values(
    connection: duckdb.DuckDBPyConnection, schema: TableSchema, columns: list[str]
) -> dict[tuple[Any, ...], tuple[str | None, ...]]:
    """By key and position: the `_overflow` of the events that columns were found in. Mostly empty."""
    carried = " OR ".join(f"f.{_found(i)}.o IS NOT NULL" for i in range(len(columns)))
    keys = [f"f.{quoted(name)}" for name in (*schema.key, *POSITION)]
    listed = ", ".join([*keys, *(f"f.{_found(i)}.o" for i in range(len(columns)))])
    rows = connection.execute(f"SELECT {listed} FROM found f WHERE {carried}").fetchall()
    return {row[: len(keys)]: row[len(keys) :] for row in rows}


def _with_odd_values(
    filled: pa.Table,
    schema: TableSchema,
    columns: list[str],
    odd: Mapping[tuple[Any, ...], tuple[str | None, ...]],
) -> pa.Table:
    """An odd value stands in `_overflow`, not in its column: it comes along with the column."""
    texts = []
    identity = (*schema.key, *POSITION)
    for row in filled.select([*identity, OVERFLOW, UNCHANGED, _ASKED.name]).to_pylist():
        own: dict[str, str] = json.loads(row[OVERFLOW] or "{}")
        taken = set(row[_ASKED.name]) - set(row[UNCHANGED] or ())
        for column, text in zip(columns, odd.get(tuple(row[name] for name in identity), ()), strict=False):
            if text is not None and column in taken:
                own.update({name: value for name, value in json.loads(text).items() if name == column})
        texts.append(overflow_text(own, schema))
    index = filled.schema.get_field_index(OVERFLOW)
    return filled.set_column(index, filled.schema.field(index), pa.array(texts, pa.string()))


def overflow_text(odd: Mapping[str, str], schema: TableSchema) -> str | None:
    """The canonical `_overflow` object: keys in column order, no spaces; None when empty."""
    ordered = {name: odd[name] for name in schema.names if name in odd}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")) if ordered else None


def _follow_moves(filled: pa.Table, schema: TableSchema, history_of: HistoryOf, where: str) -> pa.Table:
    """Row by row: only rows that changed key and kept an out-of-line value come here."""
    rows = filled.to_pylist()
    for row in rows:
        if row[UNCHANGED]:
            own = {name: str(row[name]) for name in schema.key}
            odd = json.loads(row[OVERFLOW] or "{}")
            for column in row[UNCHANGED]:
                found = _trace(
                    history_of, own, (row[EPOCH], row[COMMIT], row[SEQUENCE]), column, where, inclusive=True
                )
                row[column] = found[column]
                if column in (source := json.loads(found[OVERFLOW] or "{}")):
                    odd[column] = source[column]
            row[OVERFLOW] = overflow_text(odd, schema)
            row[UNCHANGED] = None
    return pa.Table.from_pylist(rows, filled.schema)


def _trace(
    history_of: HistoryOf,
    key: Mapping[str, str],
    before: tuple[int, int, int],
    column: str,
    where: str,
    *,
    inclusive: bool = False,
) -> dict[str, Any]:
    """The newest event before a position, of the same row under whatever key, with `column`."""
    events: list[dict[str, Any]] = history_of(key).to_pylist()
    events.sort(key=lambda e: (e[EPOCH], e[COMMIT], e[SEQUENCE]), reverse=True)
    for event in events:
        position = (event[EPOCH], event[COMMIT], event[SEQUENCE])
        if position > before or (position == before and not inclusive):
            continue
        if event[OP] == "D":
            break
        if column not in (event[UNCHANGED] or ()):
            return event
        if event[BEFORE]:
            return _trace(history_of, json.loads(event[BEFORE]), position, column, where)
    raise NeedsReload(
        f"the value of unchanged column {column!r} is in no stored event (row at position "
        f"{before[0]}/{before[1]}/{before[2]})",
        where=where,
        fix="materialize this id range of the event store again",
    )
