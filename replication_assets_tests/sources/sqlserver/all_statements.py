"""Every statement of the adapter, for given names: what the tests of its SQL go over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.ports import LoadSlice
from replication_assets.sources.sqlserver.cdc.positions import last_of
from replication_assets.sources.sqlserver.sessions import _SETTINGS
from replication_assets.sources.sqlserver.statements import catalog, cdc, extent, server, tracking
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets.sources.sqlserver.statements.predicates import range_conditions, row_conditions
from replication_assets.sources.sqlserver.statements.values import select_rows
from replication_assets.sources.sqlserver.types import REFUSED, SYSTEM_TYPES, NativeType, stored_type

LSN = last_of(0x0000002A_000001F0)
DAYS = EventDates("d", "month", dt.date(2026, 1, 1))


def native_types() -> list[NativeType]:
    """Every type that is not refused, with a length where it has one."""
    lengths = {"char": 8, "varchar": 30, "nchar": 16, "nvarchar": 60, "binary": 4, "varbinary": -1}
    return [
        NativeType.of(base, lengths.get(base, 8), 20, 4 if base in ("decimal", "numeric") else 7)
        for base in sorted(SYSTEM_TYPES - REFUSED)
    ]


def columns(prefix: str = "c") -> tuple[Column, ...]:
    """A column of every type, hostile in its name as `prefix` is."""
    return tuple(
        Column(f"{prefix}{i}", native.name, stored_type(native)) for i, native in enumerate(native_types())
    )


def statements(table: TableId, column: str) -> Iterator[str]:
    """Everything that is sent about a table and one of its columns."""
    number = Column(column, "int", stored_type(NativeType("int")))
    every = (*columns(column), number)
    yield from (
        each(table)
        for each in (
            catalog.find_relation,
            catalog.columns,
            catalog.primary_key,
            catalog.may_select,
            catalog.hiding_policies,
            catalog.structure_columns,
            catalog.indexes,
            catalog.foreign_keys,
            catalog.checks,
            catalog.others,
            catalog.partition_scheme,
            extent.count,
            server.touch,
            server.writers,
            server.granted_writers,
            server.deny_writes,
            tracking.enable_table,
            tracking.is_tracked,
        )
    )
    yield from _reads(table, number, every)
    yield from _captures(table, number, every)
    yield from _books(table, column)
    yield from (server.SNAPSHOT, server.BEGIN, server.COMMIT, server.ROLLBACK, server.CLOCK, *_SETTINGS)
    yield from (server.IDENTITY, server.SETTINGS, server.PERMISSIONS, server.REPL_SIZE, server.kill(51))
    yield from (extent.SHOWPLAN_ON, extent.SHOWPLAN_OFF)
    yield from (each(column) for each in (server.lock, server.lock_is_free, server.lock_is_ours))
    yield server.lock_holder(column)
    yield server.revoke("INSERT", table, column)


def _reads(table: TableId, number: Column, every: tuple[Column, ...]) -> Iterator[str]:
    schema = TableSchema(
        (
            number,
            Column("d", "datetime2(7)", stored_type(NativeType("datetime2", 7))),
            Column("u", "uniqueidentifier", stored_type(NativeType("uniqueidentifier"))),
            Column("s", "nvarchar(20)", stored_type(NativeType("nvarchar", 20))),
        )
    )
    cut = IdRange("r000000", 0, None, 10)
    dates = (dt.date(2026, 1, 1), dt.date(2026, 3, 1), None)
    yield select_rows(table, every, "1 = 1")
    yield select_rows(table, every, row_conditions(LoadSlice(table, schema, number.name, cut, DAYS, dates)))
    for name, low, high in ((number.name, -5, 7), ("u", "0" * 8, "f" * 8), ("s", "a'b]", "é")):
        conditions = range_conditions(schema.column(name), IdRange("r000001", 1, low, high))
        yield select_rows(table, every[:1], " AND ".join(conditions))
        yield extent.bounds(table, schema.column(name))
        yield extent.quantiles(table, schema.column(name), 8, None)
    yield extent.quantiles(table, number, 8, 1.5)
    yield extent.create_index("[s].[t]", number.name, (number.name, "x"))


def _captures(table: TableId, number: Column, every: tuple[Column, ...]) -> Iterator[str]:
    name = number.name
    yield from (cdc.ENABLE_DATABASE, cdc.DISABLE_DATABASE, cdc.MAX_LSN, cdc.LAST_SCAN, cdc.AGENT)
    yield from (
        cdc.CHANGE_TABLES,
        cdc.INSTANCES,
        cdc.CHANGE_TABLE_BYTES,
        cdc.retention_minutes(),
        cdc.set_retention(4320),
    )
    yield cdc.enable_table(table, name)
    yield cdc.disable_table(table.schema, table.name, name)
    yield cdc.captured_columns(name)
    yield cdc.window_end(LSN, LSN, 100)
    yield cdc.changes(name, every, (1, 2), after=LSN, upto=LSN, before=None)
    yield cdc.changes(name, (), (), after=LSN, upto=LSN, before=LSN)
    yield cdc.holds_value("[s].[t]", number)
    yield from (tracking.ENABLE_DATABASE, tracking.DISABLE_DATABASE, tracking.SET_RETENTION)
    yield from (tracking.VERSION, tracking.RETENTION, tracking.TRACKED_TABLES, tracking.SPACE)
    yield tracking.disable_table(table.schema, table.name)
    yield tracking.changes(table, every, (name,), after=3, upto=9)


def _books(table: TableId, name: str) -> Iterator[str]:
    books = Books(name)
    yield from (books.exist(), books.has_schema(), books.create_schema())
    yield from (books.create_captured(), books.create_state(), books.insert_state(made_database=True))
    yield from (books.begin(5), books.read_state(), books.acknowledge(7), books.read_captured())
    yield books.insert_captured(table, 9, "{}", name, confirmed=False)
    yield books.insert_captured(table, 9, "{}", None, confirmed=True)
    yield from (books.name_instance(1, name), books.note_change(1, name), books.note_made(1))
    yield from (books.note_began(1, 5, LSN), books.note_began(1, 5, None), books.forget(1), books.confirm())
    yield from books.drop()
