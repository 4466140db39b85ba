"""Which rows two sides do not have in common: missing, extra, differing.

Rows are compared as multisets of whole rows by 128 bits of their canonical text (see
`digests`), range by range; what is left over on either side is then told apart by its identity.
All of it happens in a DuckDB that spills: memory is bounded, whatever differs. Names of columns
are told, values never.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import duckdb
import pyarrow as pa

from replication_assets.core.digests import Comparables, comparable_type, restored, row_text
from replication_assets.core.events import COMMIT_POSITION, EPOCH, ID_RANGE, POSITION, SEQUENCE
from replication_assets.core.positions import Position
from replication_assets.core.sql import literal, stream

Kind: TypeAlias = Literal["missing", "extra", "differing", "in-flight", "dead-lettered"]
"""`in-flight`: the row is of an event after the position that is compared. `dead-lettered`: the
target refused the row, which is known."""

MISMATCHES: tuple[Kind, ...] = ("missing", "extra", "differing")

DELETED = "_deleted"
SIDE = pa.schema(
    [
        pa.field(EPOCH, pa.int32()),
        pa.field(COMMIT_POSITION, pa.int64()),
        pa.field(SEQUENCE, pa.int64()),
        pa.field(ID_RANGE, pa.string()),
        pa.field(DELETED, pa.bool_()),
    ]
)
"""What rows of a side have beside the compared columns."""

FINDING = pa.schema(
    [
        pa.field("kind", pa.string()),
        pa.field("id_range", pa.string()),
        pa.field("columns", pa.list_(pa.string())),
    ]
)
"""A row that is not as it should be. `columns` names those that differ, of a differing row.
`id_range` is empty for a row that no range of ours wrote."""


@dataclass(frozen=True, slots=True)
class Found:
    """Some findings, and the identities of their rows; for rows without any, their content."""

    findings: pa.RecordBatch
    identities: pa.RecordBatch


def in_range(batch: pa.RecordBatch, id_range: str) -> pa.RecordBatch:
    """Rows as one side of a comparison: of one range, with positions where they have some."""
    count = batch.num_rows
    for field in SIDE:
        if field.name in batch.schema.names:
            continue
        value = {ID_RANGE: id_range, DELETED: False}.get(field.name)
        batch = batch.append_column(field, pa.repeat(pa.scalar(value, field.type), count))
    return batch


class Differences:
    """Fill both sides, then `find`. `columns` are those compared, `identity` some of them, or
    none for rows that nothing but their content tells apart. Of `documents`, columns of JSON
    objects, the members that differ are told."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        columns: pa.Schema,
        identity: Sequence[str],
        documents: Sequence[str] = (),
    ) -> None:
        self._documents = frozenset(documents)
        self._connection = connection
        self._columns = columns
        self._names = [f"c{i}" for i in range(len(columns))]
        self._identity = [columns.get_field_index(name) for name in identity]
        types = [*(comparable_type(field.type) for field in columns), *SIDE.types]
        self._shape = pa.schema([pa.field(f"c{i}", kind) for i, kind in enumerate(types)])
        for side in ("expected", "actual"):
            self._connection.register("shape", self._shape.empty_table())
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {side} AS {self._rows('shape', 'NULL')}")
        ids = [pa.field(f"c{i}", self._shape.field(i).type) for i in self._identity]
        self._register("lettered", pa.schema([*ids, pa.field("range", pa.string())]).empty_table())
        checkpoint = pa.schema([pa.field("range", pa.string()), *(SIDE.field(name) for name in POSITION)])
        self._register("checkpoint", checkpoint.empty_table())

    def reached(self, checkpoints: Mapping[str, Position]) -> None:
        """How far the actual side of each range is known to be: newer rows are in flight."""
        rows = [(key, at.epoch, at.commit, at.sequence) for key, at in checkpoints.items()]
        for row in rows:
            self._connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?)", row)

    def expect(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Add rows that should be there (`columns` and `SIDE`, in any order)."""
        self._insert("expected", batches, "FALSE")

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Add rows that are there. Deleted ones count only where they are in flight."""
        e, c, s, key, _ = (f"s.c{len(self._columns) + i}" for i in range(len(SIDE)))
        after = f"row({e}, {c}, {s}) > row(k.{EPOCH}, k.{COMMIT_POSITION}, k.{SEQUENCE})"
        late = f"coalesce((SELECT {after} FROM checkpoint k WHERE k.range = {key}), FALSE)"
        self._insert("actual", batches, late)
        self._connection.execute("DELETE FROM actual WHERE deleted AND NOT late")

    def refused(self, identities: pa.RecordBatch, id_range: str) -> None:
        """Rows that the target refused. `identities` has the identity columns."""
        columns = pa.schema([self._columns.field(i) for i in self._identity])
        rows = Comparables([identities], columns)
        self._connection.register("given", rows.reader())
        with rows.errors():
            self._connection.execute(f"INSERT INTO lettered SELECT *, {literal(id_range)} FROM given")

    def adopt(self, id_range: str) -> None:
        """Count rows that no range wrote to this one, where it expects rows of their identity."""
        if self._identity:
            expected = (
                f"SELECT 1 FROM expected e WHERE e.range = {literal(id_range)} AND {self._same('e', 'a')}"
            )
            self._connection.execute(
                f"UPDATE actual a SET range = {literal(id_range)} WHERE a.range = '' AND EXISTS ({expected})"
            )

    def clear(self) -> None:
        """Forget the rows of all ranges, but keep those that no range wrote."""
        self._connection.execute("DELETE FROM expected")
        self._connection.execute("DELETE FROM actual WHERE range <> ''")
        self._connection.execute("DELETE FROM lettered")

    def forget(self, id_range: str) -> None:
        """Forget the rows of a range that turns out not to be comparable."""
        for side in ("expected", "actual"):
            self._connection.execute(f"DELETE FROM {side} WHERE range = {literal(id_range)}")

    def find(self, *, last: bool = True) -> Iterator[Found]:
        """Everything that is not as it should be, streamed; rows that no range wrote only where
        no other ranges follow that may expect them."""
        self._keep_newest()
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE copies AS "
            "SELECT range, h, sum(e)::BIGINT AS e, sum(a)::BIGINT AS a FROM ("
            "SELECT range, h, 1 AS e, 0 AS a FROM expected UNION ALL SELECT range, h, 0, 1 FROM actual"
            ") GROUP BY range, h HAVING sum(e) <> sum(a)"
        )
        for side, excess in (("expected", "x.e - x.a"), ("actual", "x.a - x.e")):
            self._connection.execute(
                f"CREATE OR REPLACE TEMP TABLE left_{side} AS SELECT * EXCLUDE (n, excess) FROM ("
                f"SELECT s.*, row_number() OVER (PARTITION BY s.range, s.h) AS n, {excess} AS excess "
                f"FROM {side} s JOIN copies x ON s.range = x.range AND s.h = x.h) WHERE n <= excess"
            )
        query, shown = self._keyed() if self._identity else self._unkeyed()
        fields = [pa.field(f"i{i}", self._shape.field(i).type) for i in shown]
        if not last:
            query = f"SELECT * FROM ({query}) WHERE id_range <> ''"
        for batch in stream(self._connection, query, pa.schema([*FINDING, *fields])):
            yield self._found(batch, shown)

    # --- steps ---

    def _register(self, name: str, empty: pa.Table) -> None:
        self._connection.register("shape", empty)
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM shape")

    def _rows(self, source: str, late: str) -> str:
        text = row_text(self._columns, [f"s.{name}" for name in self._names])
        first = len(self._columns)
        e, c, q, key, deleted = (f"s.c{first + i}" for i in range(len(SIDE)))
        own = "".join(f"s.{name}, " for name in self._names)
        return (
            f"SELECT {own}{e} AS e, {c} AS c, {q} AS q, coalesce({key}, '') AS range, {deleted} AS deleted, "
            f"{late}::BOOLEAN AS late, md5({text}) AS h FROM {source} s"
        )

    def _insert(self, side: str, batches: Iterable[pa.RecordBatch], late: str) -> None:
        rows = Comparables(batches, self._columns, tuple(SIDE.names))
        self._connection.register("given", rows.reader(SIDE))
        with rows.errors():
            self._connection.execute(f"INSERT INTO {side} {self._rows('given', late)}")

    def _same(self, left: str, right: str) -> str:
        return " AND ".join(f"{left}.c{i} IS NOT DISTINCT FROM {right}.c{i}" for i in self._identity)

    def _keep_newest(self) -> None:
        """Of rows that are one to the target, it holds the newest."""
        if not self._identity:
            return
        ids = ", ".join(f"c{i}" for i in self._identity)
        self._connection.execute(
            "DELETE FROM expected WHERE rowid IN (SELECT rowid FROM ("
            f"SELECT rowid, row_number() OVER (PARTITION BY range, {ids} ORDER BY row(e, c, q) DESC, h) AS n "
            f"FROM expected WHERE (SELECT count(*) > count(DISTINCT row(range, {ids})) FROM expected)) "
            "WHERE n > 1)"
        )

    def _keyed(self) -> tuple[str, list[int]]:
        ids = ", ".join(f"c{i}" for i in self._identity)
        one = f"QUALIFY row_number() OVER (PARTITION BY range, {ids} ORDER BY late DESC) = 1"
        differing = " || ".join(
            f"CASE WHEN e.c{i} IS DISTINCT FROM a.c{i} THEN {self._told(i)} ELSE [] END"
            for i in range(len(self._columns))
            if i not in self._identity
        )
        shown = ", ".join(f"coalesce(e.c{i}, a.c{i}) AS i{i}" for i in self._identity)
        letter = " AND ".join(f"l.c{i} IS NOT DISTINCT FROM coalesce(e.c{i}, a.c{i})" for i in self._identity)
        kind = (
            "CASE WHEN EXISTS (SELECT 1 FROM lettered l "
            f"WHERE l.range = coalesce(e.range, a.range) AND {letter}) "
            "THEN 'dead-lettered' WHEN a.late THEN 'in-flight' WHEN a.range IS NULL THEN 'missing' "
            "WHEN e.range IS NULL THEN 'extra' ELSE 'differing' END"
        )
        columns = (
            "CASE WHEN e.range IS NULL OR a.range IS NULL THEN NULL "
            f"ELSE ({differing or '[]'})::VARCHAR[] END"
        )
        query = (
            f"SELECT {kind} AS kind, coalesce(e.range, a.range) AS id_range, {columns} AS columns, {shown} "
            f"FROM (SELECT * FROM left_expected {one}) e FULL OUTER JOIN (SELECT * FROM left_actual {one}) a "
            f"ON e.range = a.range AND {self._same('e', 'a')}"
        )
        return query, self._identity

    def _told(self, column: int) -> str:
        """SQL for the names to tell of a column that differs."""
        name = literal(self._columns.field(column).name)
        if self._columns.field(column).name not in self._documents:
            return f"[{name}]"
        e, a = (f"TRY_CAST(TRY_CAST({side}.c{column} AS JSON) AS MAP(VARCHAR, JSON))" for side in "ea")
        both = f"list_sort(list_distinct(map_keys({e}) || map_keys({a})))"
        members = f"list_filter({both}, lambda m: {e}[m] IS DISTINCT FROM {a}[m])"
        return f"coalesce(nullif({members}, []), [{name}])"

    def _unkeyed(self) -> tuple[str, list[int]]:
        shown = list(range(len(self._columns)))
        content = ", ".join(f"c{i} AS i{i}" for i in shown)
        nothing = "NULL::VARCHAR[] AS columns"
        query = (
            f"SELECT 'missing' AS kind, range AS id_range, {nothing}, {content} FROM left_expected UNION ALL "
            f"SELECT CASE WHEN late THEN 'in-flight' ELSE 'extra' END, range, {nothing}, {content} "
            "FROM left_actual"
        )
        return query, shown

    def _found(self, batch: pa.RecordBatch, shown: list[int]) -> Found:
        first = len(FINDING)
        fields = [self._columns.field(i) for i in shown]
        values = [restored(batch.column(first + n), field.type) for n, field in enumerate(fields)]
        return Found(
            pa.RecordBatch.from_arrays(batch.columns[:first], schema=FINDING),
            pa.RecordBatch.from_arrays(values, schema=pa.schema(fields)),
        )
