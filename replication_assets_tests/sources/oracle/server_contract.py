"""The contract of change sources, on the Oracle database that `ORACLE_URL` names: `make test-oracle` runs it,
for each way of capture.

Not collected otherwise, by its name: no Oracle is there to run it on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import oracledb
import pytest

from replication_assets.core.events import OVERFLOW
from replication_assets.ports import LoadSlice
from replication_assets.sources.oracle.statements import mending
from replication_assets_tests.contracts.change_source import (
    DATES,
    ROWS,
    WHOLE,
    ChangeSourceContract,
    Following,
    events,
    replayed,
    told,
)
from replication_assets_tests.contracts.whole_log import WholeLogContract
from replication_assets_tests.sources.oracle.places import OraclePlace, fresh_schema, require_server

TYPES = (
    ("n", "NUMBER", ("1.5", "-1E-11", "12345678901234567890123456789012345678")),
    ("whole", "NUMBER(38)", ("1", "-99999999999999999999999999999999999999", "NULL")),
    ("small", "NUMBER(4)", ("1", "-9999", "NULL")),
    ("hundreds", "NUMBER(3,-2)", ("12345", "-500", "NULL")),
    ("tiny", "NUMBER(2,5)", ("0.00012", "-0.00099", "NULL")),
    ("money", "NUMBER(10,2)", ("1.5", "-12345678.91", "NULL")),
    ("f", "FLOAT", ("1.5", "-1E-5", "NULL")),
    ("bf", "BINARY_FLOAT", ("1.5f", "BINARY_FLOAT_NAN", "-BINARY_FLOAT_INFINITY")),
    ("bd", "BINARY_DOUBLE", ("0.1d", "BINARY_DOUBLE_NAN", "BINARY_DOUBLE_INFINITY")),
    ("d", "DATE", ("DATE '2024-02-29'", "TO_DATE('-0044-03-15','SYYYY-MM-DD')", "SYSDATE")),
    ("ts", "TIMESTAMP(9)", ("TIMESTAMP '9999-12-31 23:59:59.123456789'", "SYSTIMESTAMP", "NULL")),
    ("tz", "TIMESTAMP(6) WITH TIME ZONE", ("TIMESTAMP '2024-01-01 00:00:00 Europe/Berlin'", "NULL", "NULL")),
    ("ltz", "TIMESTAMP(6) WITH LOCAL TIME ZONE", ("TIMESTAMP '2024-01-01 00:00:00 +02:00'", "NULL", "NULL")),
    ("ym", "INTERVAL YEAR TO MONTH", ("INTERVAL '1-2' YEAR TO MONTH", "INTERVAL '-5' MONTH", "NULL")),
    ("ds", "INTERVAL DAY TO SECOND", ("INTERVAL '1 2:3:4.5' DAY TO SECOND", "NULL", "NULL")),
    ("c", "CHAR(5)", ("'a'", "'it''s'", "''")),
    ("vc", "VARCHAR2(4000)", ("RPAD('é', 3000, 'x')", "'line' || CHR(10) || 'break'", "''")),
    ("nvc", "NVARCHAR2(20)", ("UNISTR('\\00e9\\d83d\\de00')", "N'plain'", "NULL")),
    ("r", "RAW(4)", ("HEXTORAW('00ff')", "HEXTORAW('01')", "NULL")),
    ("ri", "ROWID", ("CHARTOROWID('AAAAAAAAAAAAAAAAAA')", "NULL", "NULL")),
)
"""Columns, and three values of each."""


_INSERT_LARGE = (
    "DECLARE c CLOB; b BLOB; BEGIN"
    " INSERT INTO \"t\" VALUES (4, 'large', EMPTY_CLOB(), NULL, EMPTY_BLOB())"
    ' RETURNING "c", "b" INTO c, b;'
    " FOR i IN 1 .. 9 LOOP DBMS_LOB.WRITEAPPEND(c, 4000, RPAD('it''s', 4000, TO_CHAR(i)));"
    " DBMS_LOB.WRITEAPPEND(b, 2000, UTL_RAW.COPIES(HEXTORAW('0F'), 2000)); END LOOP; END;"
)
_WRITE_PIECES = (
    'DECLARE c CLOB; n INTEGER := 5; BEGIN SELECT "c" INTO c FROM "t" WHERE "id" = 4 FOR UPDATE;'
    " DBMS_LOB.WRITE(c, 3, 5000, 'xyz'); DBMS_LOB.ERASE(c, n, 10); DBMS_LOB.TRIM(c, 20000); END;"
)
_TAKE_BACK = (
    "BEGIN SAVEPOINT s; INSERT INTO \"t\" VALUES (9, 'gone', 'gone', NULL, NULL);"
    ' UPDATE "t" SET "c" = RPAD(TO_CLOB(\'z\'), 9000, \'z\') WHERE "id" = 2; ROLLBACK TO s;'
    ' UPDATE "t" SET "b" = NULL WHERE "id" = 2; END;'
)
LARGE_STEPS = (
    "INSERT INTO \"t\" VALUES (1, 'small', 'it''s', UNISTR('\\00e9'), HEXTORAW('00ff'))",
    'INSERT INTO "t" VALUES (2, NULL, NULL, NULL, NULL)',
    "INSERT INTO \"t\" VALUES (3, 'empty', EMPTY_CLOB(), EMPTY_CLOB(), EMPTY_BLOB())",
    _INSERT_LARGE,
    'UPDATE "t" SET "s" = \'other\' WHERE "id" = 4',
    _WRITE_PIECES,
    'UPDATE "t" SET "c" = RPAD(TO_CLOB(\'x\'), 9000, \'y\') || "c" WHERE "id" IN (1, 4)',
    'UPDATE "t" SET "id" = "id" + 1',
    _TAKE_BACK,
    'DELETE FROM "t" WHERE "id" IN (2, 5)',
)
"""Statements, and blocks, each of which is a transaction."""


@pytest.fixture(scope="session", autouse=True)
def _server() -> None:
    require_server()


class TestLogMiner(WholeLogContract):
    moves_by_itself = True

    @pytest.fixture
    def place(self) -> Iterator[OraclePlace]:
        with fresh_schema() as found:
            yield found

    def test_every_type_is_the_same_by_load_and_by_log(
        self, following: Following, place: OraclePlace
    ) -> None:
        t = following.table("t")
        place.create("t", "id integer PRIMARY KEY")
        for name, native, _ in TYPES:
            place.run(f'ALTER TABLE "t" ADD ("{name}" {native})')
        following.declare("t")
        for row in range(3):
            values = ", ".join(each[row] for _, _, each in TYPES)
            place.run(f'INSERT INTO "t" VALUES ({row}, {values})')
        following.drain()
        wanted = LoadSlice(t, following.tables[t], None, WHOLE, DATES)
        with place.source.load(wanted) as load:
            loaded = {row["id"]: row for batch in load for row in batch.to_pylist()}
        mined = {row["id"]: row for row in events(following.chunks, t)}
        for name in (*following.tables[t].names, OVERFLOW):
            for row in range(3):
                assert repr(mined[row][name]) == repr(loaded[row][name]), (name, row)

    @pytest.mark.parametrize("storage", ["SECUREFILE", "BASICFILE"])
    def test_large_objects_are_the_same_by_load_and_by_log(
        self, following: Following, place: OraclePlace, storage: str
    ) -> None:
        """In the row and out of it, whole and in pieces, taken back and not."""
        large = {name: f'LOB ("{name}") STORE AS {storage}' for name in ("c", "nc", "b")}
        place.run(
            'CREATE TABLE "t" ("id" NUMBER(9) PRIMARY KEY, "s" VARCHAR2(9), "c" CLOB, "nc" NCLOB, "b" BLOB)'
            f" {' '.join(large.values())}"
        )
        place.run(mending.supplemental(place.schema, "t"))
        following.declare("t")
        for block in LARGE_STEPS:
            place.run(block)
            following.drain()
            t = following.table("t")
            names = ("id", "s", "c", "nc", "b")
            assert not [change for chunk in following.chunks for _, _, change in chunk.schema_changes], block
            loaded = following.load("t")[1]
            assert replayed(events(following.chunks, t), names, following.after + 1) == loaded, block

    def test_hostile_names_are_names(self, following: Following) -> None:
        """No name of Oracle holds a double quote."""
        place, name, column = following.place, "a'; DROP TABLE t--%é", "x'y\\ :z"
        place.create(name, f'id integer PRIMARY KEY, "{column}" text')
        following.declare(name)
        place.execute(f"INSERT INTO \"{name}\" VALUES (1, 'v')", f'UPDATE "{name}" SET "{column}" = \'w\'')
        following.drain()
        table = following.table(name)
        assert told(following.chunks, table, column) == [("I", "v"), ("U", "w")]
        assert following.load(name)[1] == Counter([(1, "w")])
        assert place.source.bounds(table, "id").high == 1
        assert place.source.structure(table).names == ("id", column)


class TestTriggers(ChangeSourceContract):
    @pytest.fixture
    def place(self) -> Iterator[OraclePlace]:
        with fresh_schema("triggers") as found:
            yield found

    def test_every_type_is_the_same_by_load_and_by_trigger(
        self, following: Following, place: OraclePlace
    ) -> None:
        t = following.table("t")
        place.create("t", "id integer PRIMARY KEY")
        for name, native, _ in TYPES:
            place.run(f'ALTER TABLE "t" ADD ("{name}" {native})')
        following.declare("t")
        for row in range(3):
            values = ", ".join(each[row] for _, _, each in TYPES)
            place.run(f'INSERT INTO "t" VALUES ({row}, {values})')
        following.drain()
        wanted = LoadSlice(t, following.tables[t], None, WHOLE, DATES)
        with place.source.load(wanted) as load:
            loaded = {row["id"]: row for batch in load for row in batch.to_pylist()}
        logged = {row["id"]: row for row in events(following.chunks, t)}
        for name in (*following.tables[t].names, OVERFLOW):
            for row in range(3):
                assert repr(logged[row][name]) == repr(loaded[row][name]), (name, row)

    def test_hostile_names_are_names(self, following: Following) -> None:
        """No name of Oracle holds a double quote."""
        place, name, column = following.place, "a'; DROP TABLE t--%é", "x'y\\ :z"
        place.create(name, f'id integer PRIMARY KEY, "{column}" text')
        following.declare(name)
        place.execute(f"INSERT INTO \"{name}\" VALUES (1, 'v')", f'UPDATE "{name}" SET "{column}" = \'w\'')
        following.drain()
        assert told(following.chunks, following.table(name), column) == [("I", "v"), ("U", "w")]
        assert following.load(name)[1] == Counter([(1, "w")])

    def test_a_renamed_column_asks_for_a_load(self, following: Following) -> None:
        """Refused while the trigger stands; no writer fails."""
        place = following.place
        assert isinstance(place, OraclePlace)
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        following.drain()
        with pytest.raises(oracledb.DatabaseError, match="ORA-20771"):
            place.run('ALTER TABLE "t" RENAME COLUMN "s" TO "word"')
        place.execute("UPDATE t SET v = 2")
        user = place.connection.user.upper()
        place.run(f"BEGIN \"{user}\".\"RA_erp_RELEASE\"('{place.schema}', 't'); END;")
        place.run('ALTER TABLE "t" RENAME COLUMN "s" TO "word"')
        place.execute("UPDATE t SET word = 'b'")
        following.setup()
        following.drain()
        changes = [change for chunk in following.chunks for _, _, change in chunk.schema_changes]
        assert any(change.reload for change in changes)
        assert following.load("t")[1] == Counter([(1, 2, "b")])

    def test_a_truncated_table_asks_for_a_load(self, following: Following, place: OraclePlace) -> None:
        place.create("t", ROWS)
        following.declare("t")
        place.execute("INSERT INTO t VALUES (1, 1, 'a')")
        following.drain()
        place.run('TRUNCATE TABLE "t"')
        following.drain()
        changes = [change for chunk in following.chunks for _, _, change in chunk.schema_changes]
        assert [change.reload for change in changes] == [True]
