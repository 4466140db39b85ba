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
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from replication_assets.core.events import BEFORE, EPOCH, OP, OVERFLOW, SEQUENCE, UNCHANGED
from replication_assets.core.events import COMMIT_POSITION as COMMIT
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import literal, position_of, quoted, same_key, stream
from replication_assets.errors import NeedsReload

HistoryOf = Callable[[Mapping[str, str]], pa.Table]
"""All stored events of one key (column name to text), in `stored_schema`, from any range."""

_FULL = f"e.{OP} IN ('R', 'I', 'U')"


def complete(
    connection: duckdb.DuckDBPyConnection,
    partials: pa.Table,
    schema: TableSchema,
    events: str,
    history_of: HistoryOf | None,
    *,
    where: str,
) -> pa.Table:
    """`partials` with the columns of `_unchanged` filled in from the registered view `events`.

    Filled columns are taken out of `_unchanged`, which is null where nothing is left. Rows
    that began by a move are followed to their old key through `history_of`.

    Raises:
        NeedsReload: with `history_of`, a value is in no stored event. Without it such
            columns are left in `_unchanged`.
    """
    if partials.num_rows == 0:
        return partials
    connection.register("partial", partials)
    columns = _named(partials)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE found AS {_search(schema, columns, events)}")
    filled = pa.Table.from_batches(
        stream(connection, _fill(schema, partials, columns), partials.schema), partials.schema
    )
    filled = _merge_overflow(connection, filled, schema, columns)
    if history_of is None:
        return filled
    return _follow_moves(filled, schema, history_of, where)


def _named(partials: pa.Table) -> list[str]:
    flat = partials.column(UNCHANGED).combine_chunks().flatten()
    return sorted(set(flat.unique().to_pylist()))


def _search(schema: TableSchema, columns: Iterable[str], events: str) -> str:
    """Per key and column: the newest event before the partial one, of the same incarnation,
    that has the column (`v<i>` its value, `o<i>` its overflow text, `p<i>` where)."""
    parts = []
    for i, name in enumerate(columns):
        has = f"{_FULL} AND NOT coalesce(list_contains(e.{UNCHANGED}, {literal(name)}), FALSE)"
        parts.append(
            f"arg_max(struct_pack(v := e.{quoted(name)}, o := e.{OVERFLOW}), {position_of()}) FILTER (WHERE {has}) AS f{i}, "
            f"max({position_of()}) FILTER (WHERE {has}) AS p{i}"
        )
    keys = ", ".join(f"p.{quoted(name)}" for name in schema.key)
    began = f"e.{OP} = 'D' OR (e.{OP} = 'U' AND e.{UNCHANGED} IS NOT NULL AND e.{BEFORE} IS NOT NULL)"
    return (
        f"SELECT {keys}, max({position_of()}) FILTER (WHERE {began}) AS began, {', '.join(parts)} "
        f"FROM partial p JOIN {events} e ON {same_key(schema.key, 'e', 'p')} AND {position_of()} <= {position_of('p')} "
        f"GROUP BY {keys}"
    )


def _fill(schema: TableSchema, partials: pa.Table, columns: list[str]) -> str:
    def usable(i: int) -> str:
        return f"(f.p{i} IS NOT NULL AND (f.began IS NULL OR f.p{i} > f.began))"

    chosen = []
    for field in partials.schema:
        name = quoted(field.name)
        if field.name in columns:
            i = columns.index(field.name)
            take = f"list_contains(p.{UNCHANGED}, {literal(field.name)}) AND {usable(i)}"
            chosen.append(f"CASE WHEN {take} THEN f.f{i}.v ELSE p.{name} END AS {name}")
        elif field.name == UNCHANGED:
            done = " ".join(
                f"WHEN c = {literal(column)} THEN NOT {usable(i)}" for i, column in enumerate(columns)
            )
            left = f"list_filter(p.{UNCHANGED}, lambda c: CASE {done} ELSE TRUE END)"
            chosen.append(f"CASE WHEN len({left}) > 0 THEN {left} END AS {name}")
        else:
            chosen.append(f"p.{name}")
    return f"SELECT {', '.join(chosen)} FROM partial p LEFT JOIN found f ON {same_key(schema.key, 'f', 'p')}"


def _merge_overflow(
    connection: duckdb.DuckDBPyConnection, filled: pa.Table, schema: TableSchema, columns: list[str]
) -> pa.Table:
    """Odd values travel in `_overflow`, not in the column: take them along with it."""
    carried = " OR ".join(f"f.f{i}.o IS NOT NULL" for i in range(len(columns)))
    values = ", ".join(f"f.f{i}.o" for i in range(len(columns)))
    keys = ", ".join(f"f.{quoted(name)}" for name in schema.key)
    rows = connection.execute(f"SELECT {keys}, {values} FROM found f WHERE {carried}").fetchall()
    if not rows:
        return filled
    width = len(schema.key)
    sources = {row[:width]: row[width:] for row in rows}
    original = connection.table("partial").to_arrow_table()
    wanted = {
        _key(original, schema, i): set(original.column(UNCHANGED)[i].as_py() or ())
        for i in range(original.num_rows)
    }
    merged = []
    for i in range(filled.num_rows):
        key = _key(filled, schema, i)
        own: dict[str, str] = json.loads(filled.column(OVERFLOW)[i].as_py() or "{}")
        left = set(filled.column(UNCHANGED)[i].as_py() or ())
        for column, text in zip(columns, sources.get(key, ()), strict=False):
            if text is not None and column in wanted[key] - left:
                own.update({k: v for k, v in json.loads(text).items() if k == column})
        merged.append(overflow_text(own, schema))
    return _with_column(filled, OVERFLOW, pa.array(merged, pa.string()))


def overflow_text(odd: Mapping[str, str], schema: TableSchema) -> str | None:
    """The canonical `_overflow` object: keys in column order, no spaces; None when empty."""
    ordered = {name: odd[name] for name in schema.names if name in odd}
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")) if ordered else None


def _key(table: pa.Table, schema: TableSchema, row: int) -> tuple[Any, ...]:
    return tuple(table.column(name)[row].as_py() for name in schema.key)


def _with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), values)


def _follow_moves(filled: pa.Table, schema: TableSchema, history_of: HistoryOf, where: str) -> pa.Table:
    """Row by row: only rows that changed key and kept an out-of-line value come here."""
    rows = filled.to_pylist()
    for row in rows:
        if row[UNCHANGED]:
            own = {name: _text(row[name]) for name in schema.key}
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


def _text(value: object) -> str:
    return str(value)


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
    events = history_of(key).to_pylist()
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
