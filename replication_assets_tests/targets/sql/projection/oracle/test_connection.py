"""Sessions over the driver's own calls; no server answers here."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import oracledb
import pyarrow as pa
import pytest

from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.oracle import OracleLogin
from replication_assets.targets.sql.projection.oracle.connection import (
    DriverSession,
    driver_error,
    server_error,
)
from replication_assets.targets.sql.projection.oracle.statements import BUSY, CHARACTER_SET, SETTINGS

CANARY = "canary-2b9"


@dataclass
class RecordedCursor:
    answer: list[tuple[Any, ...]] = field(default_factory=list)
    executed: list[Any] = field(default_factory=list)
    rowcount: int = 3
    closed: int = 0

    def __enter__(self) -> RecordedCursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def execute(self, statement: str, *, fetch_lobs: bool = True) -> None:
        self.executed.append((statement, fetch_lobs))

    def executemany(self, statement: str, parameters: Any) -> None:
        self.executed.append((statement, parameters))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.answer


@dataclass
class RecordedConnection:
    next: RecordedCursor
    asked: list[Any] = field(default_factory=list)
    closed: bool = False

    def cursor(self) -> RecordedCursor:
        return self.next

    def fetch_df_batches(self, statement: str, *, size: int, requested_schema: pa.Schema) -> Any:
        self.asked.append((statement, size))
        yield pa.table({"c0": [1, 2]}, schema=requested_schema)

    def close(self) -> None:
        self.closed = True


def test_the_recorded_calls_are_those_of_the_driver() -> None:
    for ours, theirs in ((RecordedCursor, oracledb.Cursor), (RecordedConnection, oracledb.Connection)):
        for name in ("execute", "executemany", "fetchall", "fetch_df_batches", "cursor", "close"):
            if hasattr(ours, name):
                wanted = inspect.signature(getattr(ours, name)).parameters
                assert wanted.keys() <= inspect.signature(getattr(theirs, name)).parameters.keys()


def test_rows_are_inserted_as_one_frame_and_counted() -> None:
    cursor = RecordedCursor()
    session = DriverSession(RecordedConnection(cursor), "here")
    rows = pa.record_batch({"c0": [1, 2, 3]})
    assert session.insert("INSERT INTO t VALUES (:1)", rows) == 3
    ((statement, frame),) = cursor.executed
    assert (statement, frame.to_batches()) == ("INSERT INTO t VALUES (:1)", [rows])
    assert cursor.closed == 1


def test_large_objects_are_read_as_values_and_frames_in_the_types_that_are_asked_for() -> None:
    cursor = RecordedCursor([("x",)])
    connection = RecordedConnection(cursor)
    session = DriverSession(connection, "here")
    assert session.rows("SELECT 1 FROM DUAL") == [("x",)]
    assert cursor.executed == [("SELECT 1 FROM DUAL", False)]
    schema = pa.schema([("c0", pa.int64())])
    assert [each.schema for each in session.batches("SELECT 1", schema, 512)] == [schema]
    assert connection.asked == [("SELECT 1", 512)]


@pytest.mark.parametrize(("charset", "taken"), [("AL32UTF8", True), ("WE8MSWIN1252", False)])
def test_a_database_that_lacks_characters_is_refused(
    monkeypatch: pytest.MonkeyPatch, charset: str, taken: bool
) -> None:
    connection = RecordedConnection(RecordedCursor([(charset,)]))
    monkeypatch.setattr(oracledb, "connect", lambda **_: connection)
    login = OracleLogin("h", "shop", "writer", CANARY)
    if taken:
        login.open()
    else:
        with pytest.raises(TargetError, match="WE8MSWIN1252"):
            login.open()
    assert connection.closed is not taken
    sent = [statement for statement, _ in connection.next.executed]
    assert sent == [*SETTINGS, CHARACTER_SET]


@pytest.mark.parametrize(
    ("number", "words", "retryable"),
    [
        (1, "another range", False),
        (1031, "privilege", False),
        (6550, "DBMS_LOCK", False),
        (1555, "UNDO_RETENTION", True),
        (30006, "another writer", True),
        (30036, "no room for undo", True),
        (BUSY, "another process makes tables", True),
        (12899, "longer than its column", False),
        (3113, "ORA-03113", True),
    ],
)
def test_errors_of_the_server_are_told_by_what_mends_them(number: int, words: str, retryable: bool) -> None:
    found = server_error(number, "here")
    assert words in str(found)
    assert found.retryable is retryable


def test_messages_of_the_server_are_dropped() -> None:
    @dataclass
    class Told:
        full_code: str
        code: int
        message: str

    message = f"ORA-00001: unique constraint violated ({CANARY})"
    found = driver_error(oracledb.IntegrityError(Told("ORA-00001", 1, message)), "here")
    assert CANARY not in f"{found!r} {found}"
    lost = driver_error(oracledb.OperationalError(Told("DPY-6005", 0, message)), "here")
    assert lost.retryable
    assert CANARY not in f"{lost!r} {lost}"


def test_tls_verifies_unless_it_is_off_and_secrets_are_in_no_repr() -> None:
    parameters = OracleLogin("h", "shop", "writer", CANARY, wallet="/w", wallet_password=CANARY).parameters()
    assert (parameters["protocol"], parameters["ssl_server_dn_match"]) == ("tcps", True)
    assert OracleLogin("h", "shop", "writer", tls=False).parameters()["protocol"] == "tcp"
    assert CANARY not in repr(OracleLogin("h", "shop", "writer", CANARY, wallet_password=CANARY))
