"""Sessions over the driver's own calls, as its cursor has them; no server answers here."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import mssql_python
import pyarrow as pa
import pytest
from mssql_python.cursor import Cursor

from replication_assets import EnvVar
from replication_assets.errors import SecretError, SourceError, SourceNotReady, SourceUnavailable
from replication_assets.sources.sqlserver.sessions import (
    DriverSession,
    SqlServerConnection,
)

CANARY = "canary-2b9"


@dataclass
class RecordedCursor:
    """Answers of one statement: result sets one after the other, None for one without columns."""

    sets: list[list[tuple[Any, ...]] | None]
    batches: list[pa.RecordBatch] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    executed: list[tuple[str, bool]] = field(default_factory=list)
    error: Exception | None = None
    closed: bool = False

    @property
    def description(self) -> list[Any] | None:
        return None if self.sets[0] is None else []

    def execute(self, operation: str, *, use_prepare: bool = True) -> RecordedCursor:
        self.executed.append((operation, use_prepare))
        if self.error is not None:
            raise self.error
        return self

    def nextset(self) -> bool:
        self.sets.pop(0)
        return bool(self.sets)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.sets[0] or []

    def arrow_batch(self, batch_size: int) -> pa.RecordBatch:
        self.asked.append(batch_size)
        return self.batches.pop(0)

    def close(self) -> None:
        self.closed = True


@dataclass
class RecordedConnection:
    next: RecordedCursor

    def cursor(self) -> RecordedCursor:
        return self.next


def of(rows: int) -> pa.RecordBatch:
    return pa.record_batch({"c": pa.array(range(rows), pa.int64())})


def test_the_recorded_cursor_has_the_calls_of_the_drivers() -> None:
    for name in ("execute", "nextset", "fetchall", "arrow_batch", "close"):
        wanted = inspect.signature(getattr(RecordedCursor, name)).parameters
        assert wanted.keys() <= inspect.signature(getattr(Cursor, name)).parameters.keys()


def test_the_query_of_a_batch_is_answered_whatever_stands_before_it() -> None:
    cursor = RecordedCursor([None, None, [(0,)]])
    assert DriverSession(RecordedConnection(cursor), "here").rows("DECLARE ...; SELECT 1") == [(0,)]
    # Prepared, a setting would end with its statement.
    assert cursor.executed == [("DECLARE ...; SELECT 1", False)]
    assert cursor.closed


def test_a_statement_is_run_to_its_end() -> None:
    cursor = RecordedCursor([None, [(1,)], None])
    DriverSession(RecordedConnection(cursor), "here").run("EXEC sys.sp_cdc_enable_db")
    assert (cursor.sets, cursor.closed) == ([], True)


def test_batches_come_until_an_empty_one_and_grow_to_some_megabytes() -> None:
    cursor = RecordedCursor([[]], batches=[of(64), of(256), of(9), of(0)])
    session = DriverSession(RecordedConnection(cursor), "here")
    assert [batch.num_rows for batch in session.batches("SELECT 1")] == [64, 256, 9]
    assert cursor.asked == [64, 256, 1024, 4096]
    assert cursor.closed


def test_an_empty_answer_is_one_empty_batch_which_tells_the_types() -> None:
    cursor = RecordedCursor([[]], batches=[of(0), of(0)])
    found = list(DriverSession(RecordedConnection(cursor), "here").batches("SELECT 1"))
    assert [(batch.num_rows, batch.num_columns) for batch in found] == [(0, 1)]


@pytest.mark.parametrize("read", ["rows", "run", "batches"])
def test_an_error_leaves_no_cursor_open_and_tells_no_value(read: str) -> None:
    cursor = RecordedCursor([[]], error=mssql_python.DataError("Numeric out of range", f"value {CANARY}"))
    session = DriverSession(RecordedConnection(cursor), "here")
    with pytest.raises(SourceError, match="here: Numeric out of range") as raised:
        list(getattr(session, read)("SELECT 1") or ())
    assert CANARY not in str(raised.value)
    assert cursor.closed


def test_a_password_that_is_not_there_is_named_by_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERP_PASSWORD", raising=False)
    connection = SqlServerConnection("127.0.0.1", "d", "u", EnvVar("ERP_PASSWORD"))
    with pytest.raises(SecretError, match="ERP_PASSWORD"):
        connection.connect()


def test_a_server_that_does_not_answer_is_told_without_the_password() -> None:
    """Where the driver's native part lacks a library, that is told instead."""
    connection = SqlServerConnection("127.0.0.1", "d", "u", CANARY, port=1, connect_timeout=1)
    with pytest.raises((SourceUnavailable, SourceNotReady)) as raised:
        connection.connect()
    assert CANARY not in str(raised.value)
    assert "sqlserver 127.0.0.1:1/d" in str(raised.value)
