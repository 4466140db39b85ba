"""MySQL and MariaDB as projection targets: LOAD DATA LOCAL in, delimited lines out.

A source's schema becomes a database of that name with a prefix before it. MySQL has neither NaN nor
infinity nor the negative zero: such values stand in `_as_text`. Foreign keys are not checked in our
sessions. The server needs `local_infile`, and to make triggers while it writes a binary log either SUPER or
`log_bin_trust_function_creators`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import sqlalchemy as sa

from replication_assets.core.events import ID_RANGE, POSITION
from replication_assets.core.schema import Column, TableId
from replication_assets.errors import TargetError
from replication_assets.targets.sql.mysql.connection import (
    MySqlServer,
    column_in,
    driver_of,
    is_mariadb,
    literal,
    quoted,
)
from replication_assets.targets.sql.mysql.delimited import decoded, encoded
from replication_assets.targets.sql.mysql.places import SYSTEM
from replication_assets.targets.sql.mysql.rows import selected
from replication_assets.targets.sql.mysql.types import Collations
from replication_assets.targets.sql.projection.arriving import KeyLimits
from replication_assets.targets.sql.projection.layout import (
    CONTENT,
    ROW_ID,
    Layout,
    Named,
    Place,
    refuse_names,
    standing,
)
from replication_assets.targets.sql.projection.mysql_tables import (
    LIMIT,
    MySqlTables,
    errors,
    form_of,
    key_share,
    listed,
)
from replication_assets.targets.sql.projection.values import carriers, negative_zero_or_odd

READ_ROWS = 16_384
_TRIES_OF_A_LOCK = 600
"""Seconds that a writer waits for another one of the same range."""


class MySqlDatabase:
    """A server, and the prefix of the databases that are ours on it. `into` names the one database (after
    the prefix) that all tables go to, instead of one for each schema."""

    engine = "mysql"

    def __init__(
        self, server: MySqlServer, *, prefix: str = "", into: str | None = None, called: Named | None = None
    ) -> None:
        self._server = server
        self._prefix = prefix
        self._into = into
        self._called = called or {}
        self._engine: sa.Engine | None = None

    def __repr__(self) -> str:
        return f"MySqlDatabase({self.where!r})"

    @property
    def where(self) -> str:
        return f"{self._server.where}/{self._prefix}*"

    def place(self, table: TableId) -> Place:
        place = standing(table, self._into, self._called)
        return Place(self._prefix + place.schema, place.name)

    @contextmanager
    def session(self) -> Iterator[MySqlSession]:
        with errors(self.where):
            if self._engine is None:
                self._engine = self._server.engine()
            with self._engine.connect() as connection:
                driver = driver_of(connection)
                driver.autocommit(True)
                collations = Collations.of(is_mariadb(driver.get_server_info()))
                session = MySqlSession(driver, collations, self.place)
                session.run(
                    f"SET SESSION foreign_key_checks = 0, innodb_lock_wait_timeout = {_TRIES_OF_A_LOCK}"
                )
                yield session

    def named(self, place: Place) -> str:
        return quoted(place.schema, place.name)

    def staged(self, place: Place, name: str) -> str:
        return quoted(place.schema, name)

    def quoted(self, name: str) -> str:
        return quoted(name)

    def text(self, value: str) -> str:
        return literal(value)

    def same_key(self, layout: Layout) -> str:
        return _same(layout.key)

    def locking(self, table: str) -> tuple[str, str]:
        return table, " FOR UPDATE"

    def unheld(self, values: pa.Array, column: Column) -> pa.Array | None:  # noqa: ARG002
        return negative_zero_or_odd(values, infinity=False) if pa.types.is_floating(values.type) else None

    def longest_key(self, layout: Layout) -> KeyLimits:
        share = key_share(layout)
        kinds = {name: layout.schema.column(name).arrow for name in layout.key}
        return KeyLimits(
            each={
                name: share if form_of(kind) == "binary" else share // 4
                for name, kind in kinds.items()
                if form_of(kind) == "binary" or pa.types.is_string(kind)
            }
        )

    def refuse_names(self, layout: Layout) -> None:
        where = f"{layout.place} in {self.where}"
        refuse_names(layout, layout.names, folds=True, limit=LIMIT, where=where)
        if layout.place.schema.lower() in SYSTEM or len(layout.place.schema.encode()) > LIMIT:
            raise TargetError(
                f"its schema would be the database {layout.place.schema!r}, which is not free",
                where=where,
                fix="give the target a prefix",
            )


class MySqlSession(MySqlTables):
    """A connection; each statement outside a transaction is one of its own."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        # Gaps between the lines of the books belong to nobody: ranges are filled side by side.
        self.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.run("START TRANSACTION")
        self.run("SET @replication_assets_writer = 1")
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        yield

    def longest_row(self) -> int | None:
        """What the server sends and takes in one packet, of which a line is less than half: quotes are
        doubled, and a field is written in several ways on its way out."""
        ((packet,),) = self.rows("SELECT @@max_allowed_packet")
        return int(packet) // 2 - 65_536

    def make_staged(self, layout: Layout, name: str, columns: pa.Schema, key: Sequence[str]) -> None:
        table = quoted(layout.place.schema, name)
        self.run(f"DROP TEMPORARY TABLE IF EXISTS {table}")
        parts = [f"{quoted(field.name)} {self.column_type(field, layout)}" for field in columns]
        parts += [f"PRIMARY KEY ({listed(key)})"] if key else []
        self.run(
            f"CREATE TEMPORARY TABLE {table} ({', '.join(parts)}) ENGINE = InnoDB"
            f" CHARACTER SET utf8mb4 COLLATE {self._collations.text}"
        )

    def load(self, into: str, batch: pa.RecordBatch, layout: Layout) -> None:
        names = batch.schema.names
        forms = {f"c{at}": form_of(field.type) for at, field in enumerate(batch.schema)}
        plain = pa.RecordBatch.from_arrays(
            [
                values.cast(pa.string()) if form_of(values.type) == "text" else values
                for values in batch.columns
            ],
            names=list(forms),
        )
        fields = ", ".join(
            f"@field{at}" if forms[f"c{at}"] == "binary" else quoted(name) for at, name in enumerate(names)
        )
        unpacked = ", ".join(
            f"{quoted(name)} = UNHEX(@field{at})"
            for at, name in enumerate(names)
            if forms[f"c{at}"] == "binary"
        )
        statement = (
            f"LOAD DATA LOCAL INFILE 'rows' INTO TABLE {into} CHARACTER SET utf8mb4"
            " FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\n'"
            f" ({fields})" + (f" SET {unpacked}" if unpacked else "")
        )
        where = str(layout.place)
        with errors(where, names):
            added, warnings = self._connection.load(statement, encoded(plain, forms))
            if warnings or added != batch.num_rows:
                raise self._refused(where, names, batch.num_rows - added)

    def _refused(self, where: str, names: list[str], missing: int) -> TargetError:
        """LOCAL turns errors into warnings and goes on with a changed value: each is an error here. Its
        text may hold the value, so number and column alone are told."""
        found = self._connection.show_warnings() or ()
        told = sorted(
            {
                f"{number}"
                + (f" (column {name})" if (name := column_in(str(text), names)) is not None else "")
                for _, number, text in found
            }
        )
        what = f"values do not fit: warnings {', '.join(told)}" if told else f"{missing} rows are missing"
        return TargetError(what, where=where, fix="compare the table with the source's, or reset it")

    def read(self, columns: pa.Schema, source: str, layout: Layout) -> Iterator[pa.RecordBatch]:
        plain = pa.schema(
            [
                pa.field(f"c{at}", pa.string() if form_of(field.type) == "text" else field.type)
                for at, field in enumerate(columns)
            ]
        )
        forms = {f"c{at}": form_of(field.type) for at, field in enumerate(columns)}
        chosen = ", ".join(
            selected(
                f"{'s' if field.name.startswith('_ra_') else 't'}.{quoted(field.name)}", form_of(field.type)
            )
            for field in columns
        )
        statement = f"SELECT CONCAT_WS(',', 1, {chosen}) FROM {source}"
        with errors(str(layout.place)):
            for lines in self._connection.stream(statement, READ_ROWS):
                found = decoded(lines, plain, forms)
                arrays = [
                    values.cast(field.type) for values, field in zip(found.columns, columns, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=columns)

    def delete_older(self, layout: Layout, staged: str, id_range: str, *, whatever: bool = False) -> int:
        place = layout.place
        older = "" if whatever else f" AND ({_position('t')}) < ({_position('s')})"
        # A statement that deletes by an alias asks for a database, though it names one everywhere.
        self.run(f"USE {quoted(place.schema)}")
        return self.run(
            f"DELETE t FROM {quoted(place.schema, staged)} s"
            f" STRAIGHT_JOIN {quoted(place.schema, place.name)} t ON {_same(layout.key)}"
            f" WHERE t.{ID_RANGE} = {literal(id_range)}{older}"
        )

    def insert_missing(self, layout: Layout, staged: str) -> int:
        names = carriers(layout.rows).names
        chosen = ", ".join(f"s.{quoted(name)}" for name in names)
        place = layout.place
        return self.run(
            f"INSERT INTO {quoted(place.schema, place.name)} ({listed(names)}) SELECT {chosen}"
            f" FROM {quoted(place.schema, staged)} s LEFT JOIN {quoted(place.schema, place.name)} t"
            f" ON {_same(layout.key)} WHERE t.{quoted(layout.key[0])} IS NULL"
        )

    def delete_copies(self, layout: Layout, staged: str, id_range: str) -> int:
        place = layout.place
        table = quoted(place.schema, place.name)
        self.run(f"USE {quoted(place.schema)}")
        return self.run(
            f"DELETE d FROM (SELECT {ROW_ID} FROM (SELECT t.{ROW_ID}, s.copies, row_number() OVER"
            f" (PARTITION BY t.{CONTENT} ORDER BY t.{ROW_ID}) AS copy"
            f" FROM {quoted(place.schema, staged)} s STRAIGHT_JOIN {table} t ON t.{CONTENT} = s.{CONTENT}"
            f" WHERE t.{ID_RANGE} = {literal(id_range)}) counted WHERE copy <= copies) found"
            f" STRAIGHT_JOIN {table} d ON d.{ROW_ID} = found.{ROW_ID}"
        )


def _same(key: Sequence[str]) -> str:
    return " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in key)


def _position(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in POSITION)
