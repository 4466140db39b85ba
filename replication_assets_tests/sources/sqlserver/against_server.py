"""The contract of change sources against a real SQL Server: `make test-sqlserver`, and nothing else, runs it.

SQLSERVER_URL names an empty database on a server that runs nothing else, and the login of its owner, which
must be a sysadmin for change data capture:

    SQLSERVER_URL='sqlserver://sa:password@127.0.0.1:1433/contract?trust_server_certificate=yes'

The capture job of the server is stopped for the tests that read change tables: the log is scanned after each
transaction of an application instead, so that no test waits.
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from replication_assets.errors import SourceError
from replication_assets.ports import SourceStatus
from replication_assets.sources.sqlserver.sessions import Session, SqlServerConnection, connected
from replication_assets.sources.sqlserver.source import (
    CdcSource,
    SqlServerSource,
    TrackingSource,
    TriggerSource,
)
from replication_assets.sources.sqlserver.statements.names import literal, quoted
from replication_assets_tests.contracts.change_source import (
    ROWS,
    ChangeSourceContract,
    Following,
    events,
    replayed,
    told,
)
from replication_assets_tests.contracts.change_source import _writing as writing

URL = "SQLSERVER_URL"
_SCANNING = threading.Lock()
"""The server lets one session read its log at a time."""
_OR_NOT = " ON CONFLICT DO NOTHING"
_NAME = re.compile(r'"((?:[^"]|"")*)"')
_INSERT = re.compile(r"INSERT INTO t VALUES \((\d+), (.*)\)")


def connection() -> SqlServerConnection:
    """Ends the run if no server is named."""
    given = os.environ.get(URL, "")
    parts = urlsplit(given)
    if parts.scheme != "sqlserver" or not parts.hostname or not parts.path.strip("/"):
        pytest.exit(f"set {URL}=sqlserver://user:password@host:1433/database", returncode=2)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return SqlServerConnection(
        host=parts.hostname,
        database=parts.path.strip("/"),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        port=parts.port or 1433,
        encrypt=options.get("encrypt", "yes"),  # type: ignore[arg-type]
        trust_server_certificate=options.get("trust_server_certificate") == "yes",
    )


def dialect(statement: str) -> str:
    """What the contract says in SQL of every engine, as this one says it."""
    if statement.endswith(_OR_NOT):
        plain = statement.removesuffix(_OR_NOT)
        found = _INSERT.fullmatch(plain)
        assert found is not None, statement
        key, rest = found.groups()
        return f"INSERT INTO t SELECT {key}, {rest} WHERE NOT EXISTS (SELECT 1 FROM t WHERE id = {key})"
    statement = _NAME.sub(lambda name: quoted(name[1].replace('""', '"')), statement)
    renamed = re.fullmatch(r"ALTER TABLE (\w+) RENAME COLUMN (\w+) TO (\w+)", statement)
    if renamed is not None:
        table, old, new = renamed.groups()
        return f"EXEC sp_rename {literal(f'{table}.{old}')}, {literal(new)}, N'COLUMN'"
    statement = statement.replace(" ADD COLUMN ", " ADD ")
    return re.sub(r"\btext\b", "nvarchar(200)", statement)


class ApplicationTransaction:
    """An open transaction of an application."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        text = dialect(statement)
        if text.startswith("SELECT"):
            return self._session.rows(text)
        self._session.run(text)
        return []

    def commit(self) -> None:
        self._session.run("IF @@TRANCOUNT > 0 COMMIT TRANSACTION")
        self._session.run("BEGIN TRANSACTION")

    def rollback(self) -> None:
        self._session.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
        self._session.run("BEGIN TRANSACTION")


@dataclass(frozen=True)
class SqlServerPlace:
    """See `contracts.change_source.SourcePlace`."""

    source: SqlServerSource
    connection: SqlServerConnection
    scans: bool
    schema: str = "dbo"
    writers: int = 3

    def create(self, table: str, columns: str) -> None:
        quoted_name = '"' + table.replace('"', '""') + '"'
        self.execute(f"CREATE TABLE {quoted_name} ({columns})")

    def execute(self, *statements: str) -> None:
        with self.transaction() as writer:
            for statement in statements:
                writer.execute(statement)
            writer.commit()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with connected(self.connection) as session:
            return session.rows(dialect(query))

    @contextmanager
    def transaction(self) -> Iterator[ApplicationTransaction]:
        with closing(self.connection.connect()) as session:
            session.run("BEGIN TRANSACTION")
            yield ApplicationTransaction(session)
            session.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
        self.scan()

    def scan(self) -> None:
        """What the capture job does: once for the changes, once to find that there are no more."""
        if not self.scans:
            return
        with _SCANNING, connected(self.connection) as session:
            query = "SELECT is_cdc_enabled FROM sys.databases WHERE database_id = DB_ID()"
            ((enabled,),) = session.rows(query)
            for _ in range(2 if enabled else 0):
                session.run("EXEC sys.sp_cdc_scan @maxtrans = 500, @maxscans = 100, @continuous = 0")


class _ScannedSource(CdcSource):
    """One that scans before it says how far the log goes, and stops the job that would get in the way."""

    def status(self) -> SourceStatus:
        SqlServerPlace(self, self.sessions, scans=True).scan()  # type: ignore[arg-type]
        return super().status()

    def setup(self, tables: Any) -> Any:
        found = super().setup(tables)
        with connected(self.sessions) as session, suppress(SourceError):
            session.run("EXEC sys.sp_cdc_stop_job @job_type = N'capture'")
        return found


def _emptied(place: SqlServerConnection) -> None:
    with connected(place) as session:
        session.run("ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON")
        for kind, schema, name in session.rows(
            "SELECT type, SCHEMA_NAME(schema_id), name FROM sys.objects"
            " WHERE type IN ('U', 'V') AND is_ms_shipped = 0 AND SCHEMA_NAME(schema_id) = N'dbo'"
            " ORDER BY type DESC"
        ):
            what = "VIEW" if str(kind).strip() == "V" else "TABLE"
            session.run(f"DROP {what} {quoted(str(schema), str(name))}")


@pytest.fixture(scope="module")
def server() -> SqlServerConnection:
    return connection()


class TestCdc(ChangeSourceContract):
    @pytest.fixture
    def place(self, server: SqlServerConnection) -> Iterator[SqlServerPlace]:
        source = _ScannedSource("contract", server)
        source.teardown(force=True)
        _emptied(server)
        yield SqlServerPlace(source, server, scans=True)
        source.teardown(force=True)
        _emptied(server)

    def test_a_renamed_column_asks_for_a_load(self, following: Following) -> None:
        """The server refuses to rename a captured column."""
        place = following.place
        place.create("t", ROWS)
        following.declare("t")
        with pytest.raises(SourceError):
            place.execute("ALTER TABLE t RENAME COLUMN s TO word")

    def test_loads_beside_writers_are_what_the_events_before_them_make(self, following: Following) -> None:
        """A load stands at a lower bound here: what is older is in its rows, and so may be newer changes,
        which come again. At the end all is what the table is."""
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        with following.running(), writing(place):
            loads = [following.load("t") for _ in range(6)]
        following.drain()
        found = events(following.chunks, t)
        names, end = ("id", "v", "s"), found[-1]["_commit_position"] + 1
        final = Counter(place.rows("SELECT id, v, s FROM t"))
        assert replayed(found, names, end) == final
        for position, loaded in loads:
            rows = {row[0]: row for row in loaded}
            for row in found:
                if row["_commit_position"] >= position:
                    if row["_op"] == "D":
                        rows.pop(row["id"], None)
                    else:
                        rows[row["id"]] = tuple(row[name] for name in names)
            assert Counter(rows.values()) == final, position


class TestChangeTracking(ChangeSourceContract):
    """Changes are net: what the contract says of each single one is said here of the last."""

    @pytest.fixture
    def place(self, server: SqlServerConnection) -> Iterator[SqlServerPlace]:
        source = TrackingSource("contract", server)
        source.teardown(force=True)
        _emptied(server)
        yield SqlServerPlace(source, server, scans=False)
        source.teardown(force=True)
        _emptied(server)

    def test_every_change_is_an_event_with_both_images(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 10, 'a'), (2, 20, NULL)")
        following.drain()
        place.execute("UPDATE t SET v = 11 WHERE id = 1", "UPDATE t SET id = 5 WHERE id = 2")
        following.drain()
        place.execute("DELETE FROM t WHERE id = 1")
        following.drain()
        assert sorted(told(following.chunks, t, "id", "v"), key=str) == sorted(
            [("I", 1, 10), ("I", 2, 20), ("U", 1, 11), ("D", 2, None), ("I", 5, 20), ("D", 1, None)], key=str
        )

    def test_rows_without_a_key_are_told_whole(self, following: Following) -> None:
        """They cannot be tracked, which is said."""
        place, t = following.place, following.table("t")
        place.create("t", "a integer, b text")
        (problem,) = place.source.missing([(t, place.source.reflect(t))])
        assert "has no primary key" in problem

    def test_a_transaction_is_delivered_whole_or_not_at_all(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        with place.transaction() as writer:
            writer.execute("INSERT INTO t VALUES (1, 1, 'gone')")
            writer.rollback()
        with place.transaction() as writer:
            writer.execute("INSERT INTO t VALUES (2, 1, 'kept')")
            assert told(following.drain(), t, "id") == []
            writer.execute("UPDATE t SET v = 2")
            writer.commit()
        assert told(following.drain(), t, "id", "v") == [("I", 2, 2)]

    def test_what_was_not_acknowledged_comes_again_at_the_same_positions(self, following: Following) -> None:
        """A row that changed meanwhile comes at its last position instead."""
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        place.execute("INSERT INTO t VALUES (2, 1, 'b')")
        first = events(following.drain(acknowledge=False), t)
        again = events(following.drain(), t)
        assert again == first
        assert len(first) == 2

    def test_hostile_names_are_names(self, following: Following) -> None:
        """An insert and an update of one look are one insert."""
        place, name, column = following.place, 'a"; DROP TABLE t--%é', "x'y\\ \"z"
        inner, quoted_name = (f'"{each.replace(chr(34), chr(34) * 2)}"' for each in (column, name))
        place.create(name, f"id integer PRIMARY KEY, {inner} text")
        following.declare(name)
        place.execute(f"INSERT INTO {quoted_name} VALUES (1, 'v')", f"UPDATE {quoted_name} SET {inner} = 'w'")
        following.drain()
        assert told(following.chunks, following.table(name), column) == [("I", "w")]
        assert following.load(name)[1] == Counter([(1, "w")])

    def test_loads_beside_writers_are_what_the_events_before_them_make(self, following: Following) -> None:
        """What a row was between two looks is nowhere: a load is held against what comes after it."""
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        with following.running(), writing(place):
            loads = [following.load("t") for _ in range(6)]
        following.drain()
        found = events(following.chunks, t)
        names = ("id", "v", "s")
        final = Counter(place.rows("SELECT id, v, s FROM t"))
        for position, loaded in [(0, Counter[Any]()), *loads]:
            rows = {row[0]: row for row in loaded}
            for row in found:
                if row["_commit_position"] >= position:
                    if row["_op"] == "D":
                        rows.pop(row["id"], None)
                    else:
                        rows[row["id"]] = tuple(row[name] for name in names)
            assert Counter(rows.values()) == final, position


class TestTriggers(ChangeSourceContract):
    """Every change, with both images; and what triggers alone have to say."""

    @pytest.fixture
    def place(self, server: SqlServerConnection) -> Iterator[SqlServerPlace]:
        source = TriggerSource("contract", server)
        source.teardown(force=True)
        _emptied(server)
        yield SqlServerPlace(source, server, scans=False)
        source.teardown(force=True)
        _emptied(server)

    def test_rows_without_a_key_are_told_whole(self, following: Following) -> None:
        """They cannot be paired, nor guarded from TRUNCATE, which is said."""
        place, t = following.place, following.table("t")
        place.create("t", "a integer, b text")
        (problem,) = place.source.missing([(t, place.source.reflect(t))])
        assert "has no primary key" in problem

    def test_a_renamed_column_asks_for_a_load(self, following: Following) -> None:
        """The server refuses what would fail the writers of the table."""
        place = following.place
        place.create("t", ROWS)
        following.declare("t")
        for statement in (
            "ALTER TABLE t RENAME COLUMN s TO word",
            "ALTER TABLE t DROP COLUMN s",
            "ALTER TABLE t ALTER COLUMN v bigint",
            "TRUNCATE TABLE t",
            "DROP TABLE t",
        ):
            with pytest.raises(SourceError):
                place.execute(statement)
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        assert told(following.drain(), following.table("t"), "id") == [("I", 1)]

    def test_loads_beside_writers_are_what_the_events_before_them_make(self, following: Following) -> None:
        """A load stands at a lower bound, as with change data capture."""
        TestCdc.test_loads_beside_writers_are_what_the_events_before_them_make(self, following)  # type: ignore[arg-type]

    def test_an_older_transaction_holds_up_what_ended_after_it_and_nothing_is_skipped(
        self, following: Following
    ) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        with place.transaction() as older, place.transaction() as later:
            older.execute("INSERT INTO t VALUES (1, 1, 'a')")
            later.execute("INSERT INTO t VALUES (2, 1, 'b')")
            later.commit()
            assert told(following.drain(), t, "id") == []
            older.execute("INSERT INTO t VALUES (3, 1, 'c')")
            older.commit()
        following.drain()
        assert told(following.chunks, t, "id") == [("I", 2), ("I", 1), ("I", 3)]

    def test_settings_of_the_writer_do_not_matter(self, following: Following) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        with place.transaction() as writer:
            writer.execute(
                "SET ANSI_NULLS OFF; SET QUOTED_IDENTIFIER OFF; SET ANSI_WARNINGS OFF; SET ANSI_PADDING OFF;"
                " SET ARITHABORT OFF; SET CONCAT_NULL_YIELDS_NULL OFF; SET XACT_ABORT OFF;"
                " INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c');"
                " SET ROWCOUNT 2; UPDATE t SET v = 9; SET ROWCOUNT 0"
            )
            writer.commit()
        following.drain()
        counted = Counter(row[0] for row in told(following.chunks, t, "id"))
        assert counted == {"I": 3, "U": 2}

    def test_keys_that_change_together_and_merges_leave_the_rows_of_the_table(
        self, following: Following
    ) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')")
        place.execute("UPDATE t SET id = id + 1")
        place.execute(
            "MERGE t USING (VALUES (2, 7), (9, 8)) AS s (id, v) ON t.v = s.v"
            " WHEN NOT MATCHED THEN INSERT (id, v, s) VALUES (s.id, s.v, 'new')"
            " WHEN NOT MATCHED BY SOURCE AND t.id = 2 THEN DELETE"
            " WHEN NOT MATCHED BY SOURCE THEN UPDATE SET s = 'old';"
        )
        following.drain()
        found = events(following.chunks, t)
        end = found[-1]["_commit_position"] + 1
        assert replayed(found, ("id", "v", "s"), end) == Counter(place.rows("SELECT id, v, s FROM t"))

    def test_what_other_triggers_change_is_told_behind_what_they_were_fired_by(
        self, following: Following
    ) -> None:
        place, t = following.place, following.table("t")
        place.create("t", ROWS)
        place.execute(
            "CREATE TRIGGER other ON t AFTER INSERT AS UPDATE t SET v = t.v + 1 FROM t JOIN inserted i"
            " ON i.id = t.id"
        )
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        following.drain()
        assert told(following.chunks, t, "id", "v") == [("I", 1, 1), ("U", 1, 2)]

    def test_the_identity_that_a_writer_asks_for_is_its_own(self, following: Following) -> None:
        place = following.place
        place.create("t", "id integer IDENTITY(7, 1) PRIMARY KEY, v integer")
        following.declare("t")
        with place.transaction() as writer:
            writer.execute("INSERT INTO t (v) VALUES (1)")
            found = writer.execute("SELECT CAST(@@IDENTITY AS int)")
            writer.commit()
        assert found == [(7,)]
