"""SQL Server as a projection target: a source's schema becomes a schema of one database.

- Sessions commit each statement by itself and begin transactions by statement. XACT_ABORT is on, so that
  an error leaves none open. They read under SNAPSHOT, outside of transactions as well: a reader waits for
  no writer. The database must allow that. Writers are under READ COMMITTED, and lock rows by key; the server
  makes one lock of the table out of many, so that a large fill may keep writers of other ranges waiting.
- Tables are made in a transaction that holds an application lock; DDL is rolled back like all else.
- Who writes is told by the session context, which triggers look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.schema import Column, TableId
from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.arriving import KeyLimits
from replication_assets.targets.sql.projection.layout import (
    Layout,
    Named,
    Place,
    refuse_names,
    standing,
)
from replication_assets.targets.sql.projection.sqlserver import names, statements
from replication_assets.targets.sql.projection.sqlserver.rows import from_driver, pieces
from replication_assets.targets.sql.projection.sqlserver.sessions import Login
from replication_assets.targets.sql.projection.sqlserver.tables import LIMIT, SqlServerTables
from replication_assets.targets.sql.projection.sqlserver.types import LENGTH, is_sized, key_share
from replication_assets.targets.sql.projection.values import (
    carriers,
    negative_zero_or_odd,
    with_nul,
)

LONGEST_ROW = 128 << 20
"""Bytes: a value, and so a piece of JSON, has 2 GiB, of which a control character takes twelve."""
_KEPT = frozenset({"sys", "information_schema", "guest"})


class SqlServerDatabase:
    """One database. `into` names the one schema that all tables go to, instead of their own."""

    engine = "sqlserver"

    def __init__(self, login: Login, *, into: str | None = None, called: Named | None = None) -> None:
        self._login = login
        self._into = into
        self._called = called or {}

    def __repr__(self) -> str:
        return f"SqlServerDatabase({self.where!r})"

    @property
    def where(self) -> str:
        return self._login.where

    def place(self, table: TableId) -> Place:
        return standing(table, self._into, self._called)

    @contextmanager
    def session(self) -> Iterator[SqlServerSession]:
        with closing(self._login.open()) as driver:
            yield SqlServerSession(driver, self.place)

    def named(self, place: Place) -> str:
        return names.named(place)

    def staged(self, place: Place, name: str) -> str:  # noqa: ARG002
        return names.staged(name)

    def quoted(self, name: str) -> str:
        return names.quoted(name)

    def text(self, value: str) -> str:
        return names.text(value)

    def same_key(self, layout: Layout) -> str:
        return statements.same(layout, layout.key)

    def locking(self, table: str) -> tuple[str, str]:
        return f"{table} WITH (UPDLOCK, HOLDLOCK)", ""

    def unheld(self, values: pa.Array, column: Column) -> pa.Array | None:  # noqa: ARG002
        if pa.types.is_floating(values.type):
            return _no_float(values)
        is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        return with_nul(values) if is_text else None

    def longest_key(self, layout: Layout) -> KeyLimits:
        share = key_share(layout)
        each = {}
        for name in layout.key:
            if is_sized(layout, name):
                kind = layout.schema.column(name).arrow
                is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
                each[name] = share if is_binary else share // 2
        return KeyLimits(each=each, units="utf16")

    def refuse_names(self, layout: Layout) -> None:
        where = f"{layout.place} in {self.where}"
        refuse_names(layout, layout.names, folds=True, limit=LIMIT, where=where)
        taken = sorted(name for name in layout.schema.names if name.lower().startswith(LENGTH))
        if taken:
            raise TargetError(
                f"columns {taken} have names that the projection needs itself",
                where=where,
                fix="rename them in a view and replicate that",
            )
        schema = layout.place.schema
        if schema.lower() in _KEPT or not schema or len(schema.encode()) > LIMIT:
            raise TargetError(
                f"its schema would be {schema!r}, which is not free",
                where=where,
                fix="give the projection an `into`",
            )


class SqlServerSession(SqlServerTables):
    """A connection; each statement outside a transaction is one of its own."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._transaction():
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._driver.run(statements.BEGIN)
        self._is_snapshot = True
        yield

    def longest_row(self) -> int | None:
        return LONGEST_ROW

    def make_staged(self, layout: Layout, name: str, columns: pa.Schema, key: Sequence[str]) -> None:
        table = names.staged(name)
        self._driver.run(statements.drop_table(table))
        self._driver.run(statements.create_table(table, statements.staged_parts(layout, columns, key)))

    def load(self, into: str, batch: pa.RecordBatch, layout: Layout) -> None:
        insert = statements.insert_piece(into, batch.schema)
        added = 0
        for piece in pieces(batch):
            self._driver.run(statements.drop_table(statements.PIECE))
            self._driver.run(statements.MAKE_PIECE)
            self._driver.hand_over(statements.HAND_OVER, piece)
            added += self._driver.changed(insert)
        self._driver.run(statements.drop_table(statements.PIECE))
        if added != batch.num_rows:
            raise TargetError(f"{batch.num_rows - added} rows are missing", where=str(layout.place))

    def read(self, columns: pa.Schema, source: str, layout: Layout) -> Iterator[pa.RecordBatch]:
        for batch in self._driver.batches(statements.select(columns, source)):
            yield from_driver(batch, columns, str(layout.place))

    def delete_older(self, layout: Layout, staged: str, id_range: str, *, whatever: bool = False) -> int:
        return self.run(statements.delete_older(layout, staged, id_range, whatever=whatever))

    def insert_missing(self, layout: Layout, staged: str) -> int:
        return self.run(statements.insert_missing(layout, staged, carriers(layout.rows).names))

    def delete_copies(self, layout: Layout, staged: str, id_range: str) -> int:
        return self.run(statements.delete_copies(layout, staged, id_range))


def _no_float(values: pa.Array) -> pa.Array | None:
    """NaN, infinity, the negative zero, and numbers nearer to zero than the smallest normal one."""
    lost = negative_zero_or_odd(values, infinity=False)
    normal = np.float32 if pa.types.is_float32(values.type) else np.float64
    numbers = pc.fill_null(values, 1).cast(pa.float64()).to_numpy(zero_copy_only=False)
    small = (numbers != 0) & (np.abs(numbers) < float(np.finfo(normal).tiny))
    if lost is not None:
        small |= lost.to_numpy(zero_copy_only=False)
    return pa.array(small) if small.any() else None
