"""Oracle as a projection target: a source's schema becomes a schema of one database, which is a user.

- Writers are under READ COMMITTED: rows are locked by key, and readers, ours or others', wait for nobody.
- Rows go in as array DML of Arrow batches. The driver's direct path load is faster, locks the table against
  all others, and commits by itself: a range would not change with its checkpoint.
- DDL commits by itself. Each step is one that may be the last a killed process did: a table counts as made
  when the books say so. A user lock (DBMS_LOCK), which outlives commits, lets one process at a time make
  tables.
- Who writes is told by the session's client identifier, which triggers look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

import pyarrow as pa

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
from replication_assets.targets.sql.projection.oracle import names, statements
from replication_assets.targets.sql.projection.oracle.sessions import Login
from replication_assets.targets.sql.projection.oracle.tables import OracleTables
from replication_assets.targets.sql.projection.oracle.types import (
    bound,
    bounded,
    from_driver,
    is_large,
    requested,
)
from replication_assets.targets.sql.projection.pieces import cut
from replication_assets.targets.sql.projection.values import carriers, empty, negative_zero_or_odd

LONGEST_ROW = 256 << 20
"""Bytes: a value that is bound has 1 GiB."""
PIECE_BYTES = 8 << 20
READ_ROWS, READ_LARGE_ROWS = 16_384, 512
"""Rows of a batch; fewer where there are large objects, of which a batch holds each whole."""


class OracleDatabase:
    """One database. `into` names the one schema that all tables go to, instead of their own."""

    engine = "oracle"

    def __init__(self, login: Login, *, into: str | None = None, called: Named | None = None) -> None:
        self._login = login
        self._into = into
        self._called = called or {}

    def __repr__(self) -> str:
        return f"OracleDatabase({self.where!r})"

    @property
    def where(self) -> str:
        return self._login.where

    def place(self, table: TableId) -> Place:
        return standing(table, self._into, self._called)

    @contextmanager
    def session(self) -> Iterator[OracleSession]:
        with closing(self._login.open()) as driver:
            yield OracleSession(driver, self.place)

    def named(self, place: Place) -> str:
        return names.named(place)

    def staged(self, place: Place, name: str) -> str:  # noqa: ARG002
        return names.staged(name)

    def quoted(self, name: str) -> str:
        return names.quoted(name)

    def text(self, value: str) -> str:
        return names.text(value)

    def same_key(self, layout: Layout) -> str:
        return statements.same(layout.key)

    def locking(self, table: str) -> tuple[str, str]:
        return table, f" FOR UPDATE WAIT {statements.LOCK_SECONDS}"

    def unheld(self, values: pa.Array, column: Column) -> pa.Array | None:  # noqa: ARG002
        if pa.types.is_floating(values.type):
            return negative_zero_or_odd(values, infinity=True)
        return empty(values) if is_large(values.type) else None

    def longest_key(self, layout: Layout) -> KeyLimits:
        sizes = {name: bounded(name, layout) for name in layout.key}
        each = {name: size for name, size in sizes.items() if size is not None}
        return KeyLimits(each=each, units="bytes")

    def refuse_names(self, layout: Layout) -> None:
        where = f"{layout.place} in {self.where}"
        refuse_names(layout, layout.names, folds=False, limit=names.LIMIT, where=where)
        odd = [
            name
            for name in (layout.place.schema, layout.place.name, *layout.names)
            if set(name) & {'"', "\0"}
        ]
        if odd or not layout.place.schema:
            raise TargetError(
                f"names hold a double quote, which Oracle allows in none: {sorted(odd)}",
                where=where,
                fix="rename them in a view and replicate that",
            )


class OracleSession(OracleTables):
    """A session; nothing that it changed stands before it is committed, but what DDL commits."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._driver.commit()
        try:
            yield
        except BaseException:
            # Of a session that was lost the server ends the transaction.
            with suppress(TargetError):
                self._driver.rollback()
            raise
        self._driver.commit()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        # It must be the first statement of a transaction.
        self._driver.commit()
        self._driver.run(statements.SNAPSHOT)
        yield

    def longest_row(self) -> int | None:
        return LONGEST_ROW

    def make_staged(self, layout: Layout, name: str, columns: pa.Schema, key: Sequence[str]) -> None:
        del key
        self._driver.run(statements.create_staged(name, columns, layout))

    def load(self, into: str, batch: pa.RecordBatch, layout: Layout) -> None:
        statement = statements.insert(into, batch.schema, layout)
        added = sum(self._driver.insert(statement, bound(piece, layout)) for piece in cut(batch, PIECE_BYTES))
        if added != batch.num_rows:
            raise TargetError(f"{batch.num_rows - added} rows are missing", where=str(layout.place))

    def read(self, columns: pa.Schema, source: str, layout: Layout) -> Iterator[pa.RecordBatch]:
        large = [name for name in layout.schema.names if is_large(layout.schema.column(name).arrow)]
        size = READ_LARGE_ROWS if set(large) - set(layout.key) else READ_ROWS
        statement = statements.select(columns, source, layout)
        for batch in self._driver.batches(statement, requested(columns), size):
            yield from_driver(batch, columns, str(layout.place))

    def delete_older(self, layout: Layout, staged: str, id_range: str, *, whatever: bool = False) -> int:
        return self.run(statements.delete_older(layout, staged, id_range, whatever=whatever))

    def insert_missing(self, layout: Layout, staged: str) -> int:
        return self.run(statements.insert_missing(layout, staged, carriers(layout.rows).names))

    def delete_copies(self, layout: Layout, staged: str, id_range: str) -> int:
        return self.run(statements.delete_copies(layout, staged, id_range))
