"""Digests of id ranges, computed by the server in one scan of the table.

The server turns each row into the canonical text of `core/digests.py`, made from the very
expressions that a load selects, and returns one line per range: nothing else crosses the wire.
The text is hashed with MD5, which a server in FIPS mode refuses.

The snapshot is exported as that of a load is, so that the digests speak of an exact position.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import psycopg
import pyarrow as pa

from replication_assets.core.digests import LONG, NOTHING, Digest
from replication_assets.core.id_ranges import IdRange, Key
from replication_assets.core.range_keys import is_text
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import LoadBlocked
from replication_assets.ports import RangeDigests
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.extent import has_key, is_number, key_expression
from replication_assets.sources.postgres.predicates import range_conditions
from replication_assets.sources.postgres.quoting import from_item, identifier, literal
from replication_assets.sources.postgres.select_list import (
    output_text,
    overflow_expression,
    select_expression,
)
from replication_assets.sources.postgres.snapshot import Snapshot, Snapshots, exported_snapshot
from replication_assets.sources.postgres.under_snapshot import (
    columns_at,
    holds_what_the_snapshot_shows,
    relkind,
)

_ATTEMPTS = 5
_MOST_ARGUMENTS = 90
"""Of the server's 100 per call."""


def read_digests(
    connection: PostgresConnection,
    table: TableId,
    schema: TableSchema,
    range_column: str | None,
    id_ranges: Sequence[IdRange],
    wait: float,
    snapshots: Snapshots = exported_snapshot,
) -> RangeDigests:
    """See `ports.ChangeSource.digests`. Raises as a load does."""
    for _ in range(_ATTEMPTS):
        found = _read(
            connection, table, schema, range_column, id_ranges, partial(snapshots, connection, wait)
        )
        if found is not None:
            return found
    raise LoadBlocked(
        f"the table was rewritten {_ATTEMPTS} times while it was about to be read",
        where=str(table),
        fix="validate again when ALTER TABLE, TRUNCATE or VACUUM FULL have come to an end",
    )


def _read(
    connection: PostgresConnection,
    table: TableId,
    schema: TableSchema,
    range_column: str | None,
    id_ranges: Sequence[IdRange],
    exported: Callable[[], AbstractContextManager[Snapshot]],
) -> RangeDigests | None:
    """None if the table was rewritten between the snapshot and the first lock on it."""
    where = str(table)
    with connect(connection, statement_timeout="0") as session, source_errors(where):
        rows = from_item(table, relkind(session.cursor(), table))
        with session.transaction():
            with exported() as snapshot:
                session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                session.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot.name)}".encode())
                columns = columns_at(connection, snapshot.name, table)
            # Compiling a query of so many expressions takes longer than it saves.
            session.execute("SET LOCAL jit = off")
            taken_at, utf8 = _clock_and_encoding(session)
            if not holds_what_the_snapshot_shows(session.cursor(), table, rows):
                return None
            compared = common_columns(schema, columns)
            cuts = _Cuts(_column(schema, range_column), id_ranges)
            query = digest_query(compared, rows, cuts.bucket(), cuts.conditions(), utf8=utf8)
            found = session.execute(query.encode()).fetchall()
    digests = cuts.by_range({int(b): Digest.of(int(n), int(total)) for b, n, total in found})
    return RangeDigests(snapshot.commit, taken_at, columns, tuple(c.name for c in compared), digests)


def _clock_and_encoding(session: psycopg.Connection[Any]) -> tuple[dt.datetime, bool]:
    row = session.execute(
        "SELECT pg_catalog.clock_timestamp(), pg_catalog.current_setting('server_encoding') = 'UTF8'"
    ).fetchone()
    assert row is not None
    return row[0].astimezone(dt.UTC), bool(row[1])


def _column(schema: TableSchema, name: str | None) -> Column | None:
    return None if name is None else schema.column(name)


def common_columns(schema: TableSchema, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns of `schema`, in its order, that are still there and stored as the same type."""
    now = {column.name: column for column in columns}
    return tuple(now[c.name] for c in schema.columns if c.name in now and now[c.name].arrow == c.arrow)


def digest_query(columns: Sequence[Column], rows: str, bucket: str, conditions: str, *, utf8: bool) -> str:
    """SQL for a line per bucket: its number, its rows, and the sum of their checksums."""
    values = [f"{_value(column)} AS c{place}" for place, column in enumerate(columns)]
    overflow = overflow_expression(columns) or "NULL::pg_catalog.text"
    fields = [_canonical(column, f"c{place}", utf8=utf8) for place, column in enumerate(columns)]
    # Nearly always null, and then computed once.
    fields.append(f"CASE WHEN o IS NOT NULL THEN {_text('o', utf8=utf8)} END")
    row = _concatenated(fields)
    digits = f"pg_catalog.md5({row if utf8 else _bytes(row)})"
    checksum = f"('x' || pg_catalog.substr({digits}, 1, 16))::pg_catalog.bit(64)::pg_catalog.int8"
    # OFFSET 0 keeps the inner query apart, so that an expression that the outer one uses several
    # times is computed once. It also keeps parallel workers from hashing: they compute the inner
    # query only. So it is there for expressions that are dear.
    apart = " OFFSET 0" if any(_is_dear(column) for column in columns) else ""
    return (
        f"SELECT b, pg_catalog.count(*), pg_catalog.sum({checksum}) FROM ("
        f"SELECT {bucket} AS b, {', '.join(values)}, {overflow} AS o FROM {rows} WHERE {conditions}{apart}"
        ") AS r GROUP BY b"
    )


def _is_dear(column: Column) -> bool:
    """Whether the value goes through an output function."""
    return is_text(column.arrow) and _value(column) != identifier(column.name)


def _value(column: Column) -> str:
    """What a load selects, as a type whose functions see all of it: those on text would take
    `character(n)` without its padding."""
    if is_text(column.arrow) and column.source_type.startswith(("character(", "bpchar")):
        return output_text(column)
    return select_expression(column)


def _canonical(column: Column, name: str, *, utf8: bool) -> str:
    kind = column.arrow
    if pa.types.is_floating(kind):
        send, nan = ("float4send", "7fc00000") if kind.bit_width == 32 else ("float8send", "7ff8000000000000")
        bits = f"pg_catalog.encode(pg_catalog.{send}({name}), 'hex')"
        return f"CASE WHEN {name} = 'NaN' THEN '{nan}' ELSE {bits} END"
    if pa.types.is_date(kind):
        return f"({name} - '2000-01-01'::pg_catalog.date)"
    if pa.types.is_timestamp(kind):
        send = "timestamptz_send" if kind.tz else "timestamp_send"
        return f"pg_catalog.encode(pg_catalog.{send}({name}), 'hex')"
    if pa.types.is_binary(kind):
        return (
            f"CASE WHEN pg_catalog.octet_length({name}) <= {LONG} "
            f"THEN 'x' || pg_catalog.encode({name}, 'hex') "
            f"ELSE pg_catalog.octet_length({name}) || 'h' || pg_catalog.md5({name}) END"
        )
    return _text(f"{name}::pg_catalog.text", utf8=utf8) if is_text(kind) else name


def _text(value: str, *, utf8: bool) -> str:
    stored = value if utf8 else _bytes(value)
    length = f"pg_catalog.octet_length({stored})"
    return f"({length} || ':' || CASE WHEN {length} <= {LONG} THEN {value} ELSE pg_catalog.md5({stored}) END)"


def _bytes(text: str) -> str:
    return f"pg_catalog.convert_to({text}, 'UTF8')"


def _concatenated(fields: Sequence[str]) -> str:
    """`concat` takes NULL for nothing, and 100 arguments at the most."""
    separated = [part for field in fields for part in ("'|'", field)][1:]
    while len(separated) > 1:
        starts = range(0, len(separated), _MOST_ARGUMENTS)
        separated = [f"pg_catalog.concat({', '.join(separated[i : i + _MOST_ARGUMENTS])})" for i in starts]
    return separated[0]


class _Cuts:
    """Ranges as buckets of `width_bucket`: a binary search per row, however many ranges."""

    def __init__(self, column: Column | None, id_ranges: Sequence[IdRange]) -> None:
        self._column = column
        self._ranges = sorted(id_ranges, key=lambda each: each.index)
        bounds = {bound for each in self._ranges for bound in (each.lo, each.hi) if bound is not None}
        self._bounds: list[Key] = sorted(bounds)

    def bucket(self) -> str:
        column = self._column
        if column is None or not self._bounds:
            return "0"
        key = key_expression(column)
        if is_number(column):
            kind = "numeric" if pa.types.is_decimal(column.arrow) else "int8"
            key, cuts = f"{key}::pg_catalog.{kind}", ", ".join(str(bound) for bound in self._bounds)
        else:
            kind, cuts = "text", ", ".join(literal(str(bound)) for bound in self._bounds)
            if column.source_type == "uuid":
                key = f'{identifier(column.name)}::pg_catalog.text COLLATE "C"'
        found = f"pg_catalog.width_bucket({key}, ARRAY[{cuts}]::pg_catalog.{kind}[])"
        return f"CASE WHEN {has_key(column)} THEN {found} ELSE 0 END"

    def conditions(self) -> str:
        """Of the rows of these ranges; buckets between them may get some more."""
        if self._column is None:
            return "true"
        joined: list[IdRange] = []
        for each in self._ranges:
            if joined and joined[-1].hi is not None and joined[-1].hi == each.lo:
                last = joined.pop()
                joined.append(IdRange(last.key, last.index, last.lo, each.hi))
            else:
                joined.append(each)
        wanted = [" AND ".join(range_conditions(self._column, each)) or "true" for each in joined]
        return " OR ".join(f"({each})" for each in wanted) or "false"

    def by_range(self, buckets: dict[int, Digest]) -> dict[str, Digest]:
        if self._column is None or not self._bounds:
            return {each.key: buckets.get(0, NOTHING) for each in self._ranges}
        # A bucket is called by the number of bounds at or below it.
        return {each.key: buckets.get(self._bucket_of(each), NOTHING) for each in self._ranges}

    def _bucket_of(self, id_range: IdRange) -> int:
        return 0 if id_range.lo is None else self._bounds.index(id_range.lo) + 1
