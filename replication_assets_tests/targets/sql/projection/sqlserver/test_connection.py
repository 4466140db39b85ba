"""Sessions over the driver's own calls, as its cursor has them; no server answers here."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import mssql_python
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mssql_python.cursor import Cursor

from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.sqlserver import SqlServerLogin
from replication_assets.targets.sql.projection.sqlserver.connection import DriverSession, target_error
from replication_assets.targets.sql.projection.sqlserver.statements import HAND_OVER

CANARY = "canary-2b9"


@dataclass
class RecordedCursor:
    """Answers of one statement: result sets one after the other, None for one without columns."""

    sets: list[list[tuple[Any, ...]] | None]
    batches: list[pa.RecordBatch] = field(default_factory=list)
    executed: list[tuple[Any, ...]] = field(default_factory=list)
    error: Exception | None = None
    closed: bool = False

    @property
    def description(self) -> list[Any] | None:
        return None if self.sets[0] is None else []

    def execute(self, operation: str, *parameters: Any, use_prepare: bool = True) -> RecordedCursor:
        self.executed.append((operation, *parameters, use_prepare))
        if self.error is not None:
            raise self.error
        return self

    def nextset(self) -> bool:
        self.sets.pop(0)
        return bool(self.sets)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.sets[0] or []

    def arrow_batch(self, batch_size: int) -> pa.RecordBatch:
        assert batch_size > 0
        return self.batches.pop(0)

    def close(self) -> None:
        self.closed = True


@dataclass
class RecordedConnection:
    next: RecordedCursor

    def cursor(self) -> RecordedCursor:
        return self.next


def session(cursor: RecordedCursor) -> DriverSession:
    return DriverSession(RecordedConnection(cursor), "here")


def test_the_recorded_cursor_has_the_calls_of_the_drivers() -> None:
    for name in ("execute", "nextset", "fetchall", "arrow_batch", "close"):
        wanted = inspect.signature(getattr(RecordedCursor, name)).parameters
        assert wanted.keys() <= inspect.signature(getattr(Cursor, name)).parameters.keys()


def test_changed_rows_are_what_the_server_counted_last() -> None:
    cursor = RecordedCursor([None, [(3,)]])
    assert session(cursor).changed("DELETE FROM t") == 3
    assert cursor.executed == [("DELETE FROM t; SELECT @@ROWCOUNT", False)]
    assert cursor.closed


def test_a_piece_is_the_one_parameter_of_a_prepared_statement() -> None:
    cursor = RecordedCursor([None])
    session(cursor).hand_over(HAND_OVER, "[[1]]")
    assert cursor.executed == [(HAND_OVER, ("[[1]]",), True)]
    assert cursor.closed


def test_batches_come_until_an_empty_one() -> None:
    of = [pa.record_batch({"c": pa.array(range(rows))}) for rows in (64, 9, 0)]
    cursor = RecordedCursor([[]], batches=of)
    assert [batch.num_rows for batch in session(cursor).batches("SELECT 1")] == [64, 9]
    assert cursor.closed


@pytest.mark.parametrize(
    ("text", "told", "retryable"),
    [
        ("Snapshot isolation transaction failed ... snapshot isolation is not allowed in", "snapshot", False),
        (
            f"Violation of PRIMARY KEY constraint. The duplicate key value is ({CANARY}).",
            "another range",
            False,
        ),
        ("Invalid object name 'OPENJSON'.", "OPENJSON", False),
        ("Transaction was deadlocked ... chosen as the deadlock victim", "told by the driver", True),
        ("CREATE TABLE permission denied in database 'shop'.", "CREATE TABLE permission denied", False),
        (f"String data would be truncated: '{CANARY}'", "told by the driver", False),
    ],
)
def test_errors_are_told_by_what_mends_them_and_quote_no_value(text: str, told: str, retryable: bool) -> None:
    error = mssql_python.ProgrammingError("told by the driver", text)
    found = target_error(error, "here")
    assert told in found.what
    assert found.retryable is retryable
    assert CANARY not in f"{found!r} {found}"
    cursor = RecordedCursor([None], error=error)
    with pytest.raises(TargetError) as raised:
        session(cursor).run("INSERT ...")
    assert cursor.closed
    assert raised.value.__suppress_context__


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20))
def test_a_password_cannot_leave_its_place_in_a_connection_string(password: str) -> None:
    from mssql_python.connection_string_parser import _ConnectionStringParser

    login = SqlServerLogin("h", "d;Encrypt=no", "u", password)
    found = _ConnectionStringParser(validate_keywords=True)._parse(login.connection_string())
    assert (found.get("pwd", ""), found["encrypt"], found["database"]) == (password, "yes", "d;Encrypt=no")
    assert CANARY not in repr(SqlServerLogin("h", "d", "u", CANARY))
