"""What the books and the change tables of a captured database answer, for tests of both ways to capture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replication_assets.core.schema import Column, TableId
from replication_assets.core.trigger_log import Shape, ShapeChange
from replication_assets.sources.sqlserver.cdc.positions import commit_of, last_of
from replication_assets.sources.sqlserver.cdc.stream import WINDOW_TRANSACTIONS
from replication_assets.sources.sqlserver.sessions import Row
from replication_assets.sources.sqlserver.statements import cdc
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets_tests.sources.sqlserver.recorded import Recorded, T

BOOKS = Books("erp")
NUMBER = 245575913
TOKEN = "0F0F0F0F-0000-0000-0000-000000000009"
COLUMNS = (("id", "int"), ("v", "int"))


def lsn(block: int, slot: int = 1, file: int = 42) -> bytes:
    return file.to_bytes(4, "big") + block.to_bytes(4, "big") + slot.to_bytes(2, "big")


def at(block: int) -> int:
    """The commit position of a block."""
    return commit_of(lsn(block))


def shape(columns: Sequence[tuple[str, str]] = COLUMNS, key: tuple[str, ...] = ("id",)) -> str:
    return Shape(0, "", tuple(columns), key).body()


def book_row(
    number: int = 1,
    *,
    table: TableId = T,
    instance: str | None = "ra_erp_1",
    began: int | None = at(8),
    began_lsn: bytes | None = lsn(8),
    columns: Sequence[tuple[str, str]] = COLUMNS,
    change: ShapeChange | None = None,
    confirmed: bool = True,
    made: bool = True,
    object_number: int = NUMBER,
) -> Row:
    told = None if change is None else change.body()
    head = (number, table.schema, table.name, object_number, instance, began, began_lsn)
    return (*head, shape(columns), told, confirmed, made)


def with_books(
    recorded: Recorded,
    rows: Sequence[Row],
    *,
    began: int | None = at(8),
    acknowledged: int = at(8),
    made_database: bool = False,
) -> None:
    recorded.answers |= {
        BOOKS.exist(): [(1, 2)],
        BOOKS.has_schema(): [(5,)],
        BOOKS.read_state(): [(TOKEN, began, acknowledged, made_database)],
        BOOKS.read_captured(): list(rows),
    }
    recorded.knows(BOOKS.insert_state(made_database=made_database), BOOKS.confirm(), *BOOKS.drop())


def without_books(recorded: Recorded) -> None:
    recorded.answers |= {BOOKS.exist(): [(None, None)], BOOKS.has_schema(): [(None,)]}


def harvested(recorded: Recorded, newest: bytes | None, *, empty_scans: int = 1, age: int = 2) -> None:
    """How far the capture job has come: `empty_scans` after the newest change."""
    recorded.answers |= {
        cdc.MAX_LSN: [(newest,)],
        cdc.LAST_SCAN: [(empty_scans, 0 if empty_scans else 3, age)],
    }


def standing(recorded: Recorded, *instances: tuple[str, bytes], number: int = NUMBER) -> None:
    """Capture instances, and where each of them begins by now."""
    recorded.answers[cdc.CHANGE_TABLES] = [(900,)]
    recorded.answers[cdc.INSTANCES] = [
        (name, number, low, 900 + i) for i, (name, low) in enumerate(instances)
    ]


def window(
    recorded: Recorded, after: int, reach: int, end: bytes | None, *, rest: bytes | None = None
) -> None:
    """The last transaction of a window, and the first one after it."""
    recorded.answers[cdc.window_end(last_of(after), last_of(reach), WINDOW_TRANSACTIONS)] = [(end,)]
    found = reach if end is None else commit_of(end)
    recorded.answers[cdc.window_end(last_of(found), last_of(reach), 1)] = [(rest,)]


def captured_columns(recorded: Recorded, instance: str, *names: str) -> None:
    recorded.answers[cdc.captured_columns(instance)] = [(name, i + 1) for i, name in enumerate(names)]


def change_rows_of(
    recorded: Recorded,
    instance: str,
    columns: Sequence[Column],
    batches: Any,
    *,
    after: int,
    upto: int,
    before: str | None = None,
) -> None:
    query = cdc.changes(instance, columns, (), after=last_of(after), upto=last_of(upto), before=before)
    recorded.answers[query] = batches
