"""MariaDB as an environment: what is of this engine alone. The contract of all engines is beside."""

from __future__ import annotations

import datetime as dt
import decimal
import os
import signal
import struct
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pymysql
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from replication_assets.core.structure import ColumnStructure, ForeignKey, Index, OwnedSequence, UniqueKey
from replication_assets.errors import (
    GuardError,
    RefreshError,
    SecretError,
    TargetUnavailable,
    VerificationFailed,
)
from replication_assets.ports.environment import TableCopy
from replication_assets.secret_references import EnvVar
from replication_assets.targets.sql.mysql import MySqlServer, mysql_environment
from replication_assets.targets.sql.target import SqlEnvironment
from replication_assets_tests.contracts.environment_copies import marker_of
from replication_assets_tests.contracts.environment_target import EnvironmentTargetContract
from replication_assets_tests.mysql_servers import MariaDbPrefix
from replication_assets_tests.targets.sql.masked_copies import KEYS, Refresh, batch, copied, read, structure

CUSTOMER = copied(
    structure("customer", {"id": "bigint not null", "email": "text", "boss": "bigint"}),
    id=pa.int64(),
    email=pa.string(),
    boss=pa.int64(),
)


@dataclass
class MariaDbPlace:
    fresh: MariaDbPrefix

    def target(self, environment: str = "qa", trust: str = "nonproduction") -> SqlEnvironment:
        server = self.fresh.server
        login = MySqlServer(server.host, server.user, server.port)
        return mysql_environment(login, environment, trust, prefix=self.fresh.prefix)

    def ids(self, schema: str, table: str) -> list[int]:
        try:
            rows = ask(self.fresh, f"SELECT id FROM `PREFIX{schema}`.`{table}` ORDER BY 1")
        except pymysql.MySQLError:
            return []
        return [int(row[0]) for row in rows]

    def add(self, schema: str, table: str) -> int:
        with closing(self.fresh.server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO `{self.fresh.prefix}{schema}`.`{table}` () VALUES ()")
            return int(cursor.lastrowid)

    def strange_table(self) -> None:
        ask(self.fresh, "CREATE DATABASE `PREFIXshop`")
        ask(self.fresh, "CREATE TABLE `PREFIXshop`.strange (id int)")


class TestMariaDb(EnvironmentTargetContract):
    # The server stores the other zero.
    negative_zero = False

    @pytest.fixture
    def place(self, mariadb_prefix: MariaDbPrefix) -> MariaDbPlace:
        return MariaDbPlace(mariadb_prefix)


@pytest.fixture
def target(mariadb_prefix: MariaDbPrefix) -> SqlEnvironment:
    target = MariaDbPlace(mariadb_prefix).target()
    target.mark(marker_of(KEYS))
    return target


def ask(fresh: MariaDbPrefix, statement: str, **login: object) -> tuple[tuple[Any, ...], ...]:
    with closing(fresh.server.connect(**login)) as connection, connection.cursor() as cursor:
        cursor.execute(statement.replace("PREFIX", fresh.prefix))
        found: tuple[tuple[Any, ...], ...] = cursor.fetchall()
        return found


EVERY_TYPE = copied(
    structure(
        "every",
        {
            "id": "bigint not null",
            "small": "smallint",
            "whole": "integer",
            "yes": "boolean",
            "short": "real",
            "long": "double precision",
            "price": "numeric(38,10)",
            "great": "numeric(60,2)",
            "any": "numeric",
            "day": "date",
            "moment": "timestamp(3) without time zone",
            "instant": "timestamp with time zone",
            "clock": "time without time zone",
            "bytes": "bytea",
            "words": "text",
            "code": "character varying(20)",
            "padded": "character(5)",
            "key": "uuid",
            "document": "jsonb",
            "tags": "text[]",
        },
    ),
    id=pa.int64(),
    small=pa.int16(),
    whole=pa.int32(),
    yes=pa.bool_(),
    short=pa.float32(),
    long=pa.float64(),
    price=pa.decimal128(38, 10),
    great=pa.string(),
    any=pa.string(),
    day=pa.date32(),
    moment=pa.timestamp("us"),
    instant=pa.timestamp("us", tz="UTC"),
    clock=pa.string(),
    bytes=pa.binary(),
    words=pa.string(),
    code=pa.string(),
    padded=pa.string(),
    key=pa.string(),
    document=pa.string(),
    tags=pa.string(),
)
_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
_MOMENT = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999))
_FLOAT32 = st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda each: each or 0.0)
_VALUES: tuple[st.SearchStrategy[Any], ...] = (
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.booleans(),
    _FLOAT32,
    st.floats(allow_nan=False, allow_infinity=False).map(lambda each: each or 0.0),
    st.decimals(places=10, min_value=-(10**27), max_value=10**27),
    st.decimals(places=2, min_value=-(10**20), max_value=10**20).map(lambda each: f"{each:.2f}"),
    st.sampled_from(["0", "-1.50", "1e400", "NaN"]),
    st.dates(),
    _MOMENT,
    _MOMENT.map(lambda each: each.replace(tzinfo=dt.UTC)),
    st.sampled_from(["00:00:00", "23:59:59.999999", "12:30:00.5", "24:00:00", "10:20:30"]),
    st.binary(),
    st.one_of(_TEXT, st.sampled_from(["NULL", "\\N", '"', '""', ",", "\n", "\\", " ", "", "é😀 "])),
    st.text("ab \"',", max_size=20),
    st.sampled_from(["ab   ", "     ", "abcde"]),
    st.uuids().map(str),
    st.sampled_from(['{"a": 1}', "null", '{"b": [1, "x"], "a": "\\\\u0041"}']),
    st.sampled_from(["{}", '{a,"b c"}']),
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, phases=[Phase.generate]
)
@given(rows=st.lists(st.tuples(*(st.none() | each for each in _VALUES)), min_size=1, max_size=8))
def test_every_value_comes_back_as_it_was_loaded(target: SqlEnvironment, rows: list[tuple[Any, ...]]) -> None:
    refresh = Refresh(target, [EVERY_TYPE]).begin()
    loaded = batch(EVERY_TYPE, *((at, *row) for at, row in enumerate(rows)))

    refresh.load(EVERY_TYPE, loaded)

    assert refresh.rows(EVERY_TYPE).to_pylist() == loaded.to_pylist()


def test_the_least_float_keeps_its_bits_and_the_negative_zero_is_refused(target: SqlEnvironment) -> None:
    least = struct.unpack("<f", struct.pack("<I", 1))[0]
    copy = copied(structure("f", {"id": "bigint not null", "x": "real"}), id=pa.int64(), x=pa.float32())
    refresh = Refresh(target, [copy]).begin()

    refresh.load(copy, batch(copy, (1, least)))

    assert struct.pack("<f", refresh.rows(copy)["x"][0].as_py()) == struct.pack("<f", least)
    with pytest.raises(RefreshError, match="column x holds the negative zero"):
        refresh.load(copy, batch(copy, (1, -0.0)), "r.1")


@pytest.mark.parametrize(
    ("kind", "arrow", "value", "column"),
    [
        ("smallint", pa.int32(), 40_000, "x"),
        ("numeric(4,1)", pa.decimal128(5, 2), decimal.Decimal("123.45"), "x"),
        ("character varying(3)", pa.string(), "secret", "x"),
        ("date", pa.string(), "2020-02-31", "x"),
        ("numeric(60,2)", pa.string(), "NaN", "x"),
        ("double precision", pa.float64(), float("-inf"), "x"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_column_and_without_itself(
    target: SqlEnvironment, kind: str, arrow: pa.DataType, value: object, column: str
) -> None:
    copy = copied(structure("t", {"id": "bigint not null", "x": kind}), id=pa.int64(), x=arrow)
    refresh = Refresh(target, [copy]).begin()

    with pytest.raises(RefreshError) as refused:
        refresh.load(copy, batch(copy, (1, value)))

    assert f"column {column}" in str(refused.value)
    assert str(value) not in str(refused.value)
    assert refresh.rows(copy).num_rows == 0
    assert not target.loaded(refresh.plan)


def test_a_date_that_mysql_does_not_have_is_refused(target: SqlEnvironment) -> None:
    copy = copied(structure("t", {"id": "bigint not null", "x": "date"}), id=pa.int64(), x=pa.date32())
    refresh = Refresh(target, [copy]).begin()

    with pytest.raises(RefreshError, match="column x holds infinity"):
        refresh.load(copy, batch(copy, (1, None), overflow={0: '{"x":"infinity"}'}))


def test_foreign_keys_of_a_cycle_and_of_a_table_to_itself_hold_after_each_publication(
    target: SqlEnvironment, mariadb_prefix: MariaDbPrefix
) -> None:
    customer = structure("customer", {"id": "bigint not null", "boss": "bigint", "favourite": "integer"})
    purchase = structure("purchase", {"id": "integer not null", "customer": "bigint not null"})
    customer = replace(
        customer,
        foreign_keys=(
            ForeignKey("fk", ("boss",), customer.table, ("id",)),
            ForeignKey("favourite_fk", ("favourite",), purchase.table, ("id",)),
        ),
    )
    purchase = replace(
        purchase,
        foreign_keys=(ForeignKey("fk", ("customer",), customer.table, ("id",), on_delete="CASCADE"),),
    )
    copies = [
        copied(customer, id=pa.int64(), boss=pa.int64(), favourite=pa.int32()),
        copied(purchase, id=pa.int32(), customer=pa.int64()),
    ]
    for _ in range(2):
        refresh = Refresh(target, copies).begin()
        refresh.load(copies[0], batch(copies[0], (1, 1, 7), (2, 1, None)))
        refresh.load(copies[1], batch(copies[1], (7, 2)))
        refresh.finish().finish()
        assert target.violations(refresh.plan, copies) == ()
        refresh.publish().publish()

    keys = ask(
        mariadb_prefix,
        "SELECT table_name, referenced_table_schema, referenced_table_name"
        " FROM information_schema.key_column_usage"
        " WHERE table_schema = 'PREFIXshop' AND referenced_table_name IS NOT NULL ORDER BY 1, 3",
    )
    live = f"{mariadb_prefix.prefix}shop"
    assert keys == (
        ("customer", live, "customer"),
        ("customer", live, "purchase"),
        ("purchase", live, "customer"),
    )
    assert mariadb_prefix.databases() == (f"{mariadb_prefix.prefix}replication_assets", live)
    with pytest.raises(Exception, match="foreign key constraint fails"):
        ask(mariadb_prefix, "INSERT INTO `PREFIXshop`.purchase VALUES (8, 99)")


def test_rows_that_point_at_nothing_or_repeat_a_key_are_counted_and_not_told(target: SqlEnvironment) -> None:
    table = structure("customer", {"id": "bigint not null", "email": "text", "boss": "bigint"})
    table = replace(
        table,
        unique_keys=(UniqueKey("email_key", ("email",)),),
        foreign_keys=(ForeignKey("boss_fk", ("boss",), table.table, ("id",)),),
    )
    copy = copied(table, id=pa.int64(), email=pa.string(), boss=pa.int64())
    refresh = Refresh(target, [copy]).begin()
    refresh.load(copy, batch(copy, (1, "one@x", None), (2, "one@x", 1), (3, None, 9), (4, None, 9)))

    with pytest.raises(VerificationFailed, match=r"2 rows repeat the key \(email\)") as repeated:
        refresh.finish()
    assert "one@x" not in str(repeated.value)
    assert repeated.value.__context__ is None
    again = Refresh(target, [copy]).begin()
    again.load(copy, batch(copy, (1, "one@x", None), (2, "One@x", 1), (3, "one@x ", 9), (4, None, 9)))
    with pytest.raises(VerificationFailed, match="2 rows have no row in"):
        again.finish()


def test_keys_indexes_defaults_and_the_sequence_are_carried(
    target: SqlEnvironment, mariadb_prefix: MariaDbPrefix
) -> None:
    table = structure(
        "customer", {"id": "bigint not null", "email": "text", "notes": "text", "state": "mood"}
    )
    columns = (
        replace(table.columns[0], default="nextval('shop.customer_id_seq'::regclass)"),
        table.columns[1],
        replace(table.columns[2], default="'it''s 100%'::text"),
        replace(table.columns[3], labels=("sad", "ok"), default="'ok'::shop.mood"),
    )
    table = replace(
        table,
        columns=(
            *columns,
            ColumnStructure("at", "timestamp with time zone", nullable=False, default="now()"),
        ),
        unique_keys=(UniqueKey("email_key", ("email",)),),
        indexes=(Index("notes_idx", ("notes", "state")), Index("odd", (), definition="CREATE INDEX ...")),
        sequences=(OwnedSequence("customer_id_seq", "id"),),
    )
    copy = copied(table, id=pa.int64(), email=pa.string(), notes=pa.string(), state=pa.string())
    refresh = Refresh(target, [copy]).begin()
    refresh.load(copy, batch(copy, (0, "a", "x" * 5000, "sad"), (41, "b", None, None)))
    refresh.finish().publish()

    ask(mariadb_prefix, "INSERT INTO `PREFIXshop`.customer (email) VALUES ('c')")

    new = "SELECT id, notes, state, at IS NOT NULL FROM `PREFIXshop`.customer WHERE email = 'c'"
    assert ask(mariadb_prefix, new) == ((42, "it's 100%", "ok", 1),)
    assert read(target, copy)["id"].to_pylist() == [0, 41, 42]
    lines = target.not_carried([table])
    assert any("index odd" in line for line in lines)
    assert any("email" in line for line in lines)


def test_changes_are_merged_in_one_transaction_even_when_rows_exchange_a_unique_value(
    target: SqlEnvironment,
) -> None:
    table = replace(CUSTOMER.structure, unique_keys=(UniqueKey("email_key", ("email",)),))
    table = replace(table, foreign_keys=(ForeignKey("boss_fk", ("boss",), table.table, ("id",)),))
    copy = TableCopy(table, CUSTOMER.schema)
    first = Refresh(target, [copy]).begin()
    first.load(copy, batch(copy, (1, "a", None), (2, "b", 1), (3, "c", 1), (4, "d", 3)))
    first.finish().publish()

    changes = Refresh(target, [copy], "changes").begin()
    changes.load(copy, batch(copy, (1, "b", None), (2, "a", 1), (5, "e", 3)), role="upserts")
    changes.load(copy, batch(copy, (3, None, None), (4, None, None)), role="deletes")
    changes.finish()
    (broken,) = target.violations(changes.plan, [copy])
    changes.publish().publish()

    assert (broken.foreign_key, broken.rows) == ("boss_fk", 1)
    assert read(target, copy).drop(["_overflow"]).to_pylist() == [
        {"id": 1, "email": "b", "boss": None},
        {"id": 2, "email": "a", "boss": 1},
        {"id": 5, "email": "e", "boss": 3},
    ]
    found = target.published()
    assert found is not None
    assert found.id == changes.plan.id


def test_readers_may_read_the_copy_and_nothing_else(
    target: SqlEnvironment, mariadb_prefix: MariaDbPrefix
) -> None:
    name = f"{mariadb_prefix.prefix}reader"[:30]
    ask(mariadb_prefix, f"CREATE USER '{name}'@'%'")
    ask(mariadb_prefix, "CREATE DATABASE `PREFIXshop2`")
    with pytest.raises(RefreshError, match="no account or role 'nobody'"):
        target.grant([name, "nobody"])
    target.grant([name])
    Refresh(target, [CUSTOMER]).begin().finish().publish()

    assert ask(mariadb_prefix, "SELECT * FROM `PREFIXshop`.customer", user=name) == ()
    seen = {each for (each,) in ask(mariadb_prefix, "SHOW DATABASES", user=name)}
    assert seen == {"information_schema", f"{mariadb_prefix.prefix}shop"}
    with pytest.raises(Exception, match="denied"):
        ask(mariadb_prefix, "DELETE FROM `PREFIXshop`.customer", user=name)
    target.grant([])
    with pytest.raises(Exception, match="denied"):
        ask(mariadb_prefix, "SELECT * FROM `PREFIXshop`.customer", user=name)
    ask(mariadb_prefix, f"DROP USER '{name}'@'%'")


def test_what_a_killed_process_left_after_publication_is_dropped_by_the_next(
    target: SqlEnvironment, mariadb_prefix: MariaDbPrefix, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copied(structure("old", {"id": "bigint not null"}, schema="gone"), id=pa.int64())
    Refresh(target, [CUSTOMER, other]).begin().finish().publish()
    refresh = Refresh(target, [CUSTOMER]).begin()
    refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a", None)))
    refresh.finish()

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("replication_assets.targets.sql.mysql.publication._is_table", lambda *_: die())
        with pytest.raises(Killed):
            refresh.publish()
    monkeypatch.undo()
    assert read(target, CUSTOMER).num_rows in (0, 1)
    refresh.publish()

    assert read(target, CUSTOMER).num_rows == 1
    assert mariadb_prefix.databases() == (
        f"{mariadb_prefix.prefix}replication_assets",
        f"{mariadb_prefix.prefix}shop",
    )


def test_a_reader_that_holds_the_tables_makes_a_publication_try_again(
    target: SqlEnvironment, mariadb_prefix: MariaDbPrefix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication_assets.targets.sql.mysql.connection.LOCK_SECONDS", 1)
    Refresh(target, [CUSTOMER]).begin().finish().publish()
    refresh = Refresh(target, [CUSTOMER]).begin()
    refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a", None)))
    refresh.finish()

    with closing(mariadb_prefix.server.connect()) as reader, reader.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute(f"SELECT * FROM `{mariadb_prefix.prefix}shop`.customer")
        with pytest.raises(TargetUnavailable, match="LOCK_WAIT_TIMEOUT"):
            refresh.publish()
        assert target.published() is not None
        assert read(target, CUSTOMER).num_rows == 0
    refresh.publish()

    assert read(target, CUSTOMER).num_rows == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM `PREFIXshop`.customer",
        "DELETE FROM PREFIXreplication_assets . environment",
        "UPDATE customer SET email = (SELECT 1) /*! ; */",
        "SELECT * FROM customer INTO OUTFILE '/tmp/x'",
        "INSERT INTO customer SELECT * FROM `PREFIXshop`.customer",
        "USE mysql",
        "DROP DATABASE mysql",
        "UPDATE customer SET email = 1; DROP TABLE customer",
    ],
)
def test_a_hook_stays_within_the_shadow(
    target: SqlEnvironment, mariadb_prefix: MariaDbPrefix, statement: str
) -> None:
    Refresh(target, [CUSTOMER]).begin().finish().publish()
    refresh = Refresh(target, [CUSTOMER]).begin().finish()

    with pytest.raises(RefreshError, match="is not run"):
        target.run_hook(refresh.plan, statement.replace("PREFIX", mariadb_prefix.prefix))


def test_a_hook_changes_shadow_rows_and_its_failure_quotes_none(target: SqlEnvironment) -> None:
    refresh = Refresh(target, [CUSTOMER]).begin()
    refresh.load(CUSTOMER, batch(CUSTOMER, (1, "secret", None)))
    refresh.finish()

    target.run_hook(refresh.plan, "UPDATE customer SET boss = 7 WHERE email LIKE 'sec%'")

    assert refresh.rows(CUSTOMER)["boss"].to_pylist() == [7]
    with pytest.raises(RefreshError) as refused:
        target.run_hook(refresh.plan, "UPDATE customer SET boss = email + 1")
    assert "secret" not in str(refused.value)


def test_objects_of_somebody_else_stop_a_publication(
    target: SqlEnvironment, mariadb_prefix: MariaDbPrefix
) -> None:
    Refresh(target, [CUSTOMER]).begin().finish().publish()
    ask(
        mariadb_prefix,
        "CREATE TABLE `PREFIXshop`.theirs (id bigint REFERENCES `PREFIXshop`.customer (id))",
    )
    ask(
        mariadb_prefix,
        "CREATE TRIGGER `PREFIXshop`.t BEFORE INSERT ON `PREFIXshop`.customer FOR EACH ROW SET @x = 1",
    )
    refresh = Refresh(target, [CUSTOMER]).begin().finish()

    with pytest.raises(RefreshError, match=r"shop\.theirs has a foreign key.*trigger t on"):
        refresh.publish()
    assert any("@x = 1" in text for text in target.texts(None))


def test_a_server_on_another_machine_needs_a_certificate() -> None:
    target = mysql_environment(MySqlServer("db.example.com", "root"), "qa", "nonproduction")

    with pytest.raises(GuardError, match="verified certificate"):
        target.marker()


def test_a_server_that_asks_for_a_file_gets_none(mariadb_prefix: MariaDbPrefix) -> None:
    # What a hostile server does: ask for a file when the client sent another statement.
    from replication_assets.targets.sql.mysql.local_data import LoadingConnection

    ask(mariadb_prefix, "CREATE DATABASE `PREFIXx`")
    ask(mariadb_prefix, "CREATE TABLE `PREFIXx`.t (line longtext)")
    server = mariadb_prefix.server
    opened = LoadingConnection(host=server.host, port=server.port, user=server.user, local_infile=True)
    with closing(opened), opened.cursor() as cursor:
        cursor.execute(f"LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE `{mariadb_prefix.prefix}x`.t")
        opened.commit()

    assert ask(mariadb_prefix, "SELECT COUNT(*) FROM `PREFIXx`.t") == ((0,),)


def test_a_server_without_local_infile_says_which_setting_is_missing(
    target: SqlEnvironment, mariadb_prefix: MariaDbPrefix
) -> None:
    refresh = Refresh(target, [CUSTOMER]).begin()
    ask(mariadb_prefix, "SET GLOBAL local_infile = 0")
    try:
        with pytest.raises(RefreshError, match="SET GLOBAL local_infile = 1"):
            refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a", None)))
    finally:
        ask(mariadb_prefix, "SET GLOBAL local_infile = 1")
    assert refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a", None))) == 1


def test_a_killed_process_leaves_no_half_chunk_and_frees_the_environment(
    target: SqlEnvironment, mariadb_prefix: MariaDbPrefix, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = Refresh(target, [CUSTOMER]).begin()
    child = os.fork()
    if child == 0:
        # Rows are in and their chunk is noted; the commit is not reached.
        monkeypatch.setattr(
            "replication_assets.targets.sql.records.Records.add_chunk",
            lambda *_: os.kill(os.getpid(), signal.SIGKILL),
        )
        with MariaDbPlace(mariadb_prefix).target().held("nightly", "run-1"):
            refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a", None)))
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.WTERMSIG(status) == signal.SIGKILL
    with target.held("nightly", "run-2"):
        assert refresh.rows(CUSTOMER).num_rows == 0
        assert target.loaded(refresh.plan) == {}
        refresh.load(CUSTOMER, batch(CUSTOMER, (1, "a", None)))
    assert refresh.rows(CUSTOMER).num_rows == 1


def test_a_missing_driver_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)

    with pytest.raises(RefreshError, match=r"pip install 'replication-assets\[mysql\]'"):
        mysql_environment(MySqlServer("localhost", "root"), "qa", "nonproduction").marker()


def test_secrets_are_read_when_a_session_opens_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    server = MySqlServer("localhost", "root", 1, EnvVar("QA_MYSQL_PASSWORD"))
    target = mysql_environment(server, "qa", "nonproduction", prefix="qa_")
    with pytest.raises(SecretError, match="QA_MYSQL_PASSWORD"):
        target.marker()
    monkeypatch.setenv("QA_MYSQL_PASSWORD", "hunter22")

    with pytest.raises(TargetUnavailable) as refused:
        target.marker()

    assert "hunter22" not in f"{refused.value} {target!r} {server!r}"
