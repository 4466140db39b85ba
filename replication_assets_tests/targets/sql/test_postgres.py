"""PostgreSQL as an environment: the contract of all engines on both servers, and what is its own."""

from __future__ import annotations

import datetime as dt
import decimal
import threading
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pyarrow as pa
import pytest

from replication_assets.core.schema import TableId
from replication_assets.core.structure import (
    ForeignKey,
    UniqueKey,
)
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import GuardError, RefreshError, TargetUnavailable, VerificationFailed
from replication_assets.targets.sql.postgres import postgres_environment, publication
from replication_assets.targets.sql.target import SqlEnvironment
from replication_assets_tests.contracts.environment_copies import CUSTOMER, copy_of, marker_of
from replication_assets_tests.contracts.environment_target import EnvironmentTargetContract
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database
from replication_assets_tests.targets.sql.masked_copies import KEYS, Refresh, batch, copied, read, structure
from replication_assets_tests.targets.sql.postgres_place import PostgresPlace


@pytest.fixture(scope="module", params=["postgres_18", pytest.param("postgres_15", marks=pytest.mark.full)])
def any_shared_database(request: pytest.FixtureRequest) -> Iterator[FreshDatabase]:
    with fresh_database(request.getfixturevalue(request.param)) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def shared_database(postgres_18: PostgresServer) -> Iterator[FreshDatabase]:
    with fresh_database(postgres_18) as fresh:
        yield fresh


class TestPostgres(EnvironmentTargetContract):
    @pytest.fixture
    def place(self, any_shared_database: FreshDatabase) -> Iterator[PostgresPlace]:
        place = PostgresPlace(any_shared_database)
        yield place
        place.clear()


@pytest.fixture
def place(shared_database: FreshDatabase) -> Iterator[PostgresPlace]:
    place = PostgresPlace(shared_database)
    yield place
    place.clear()


@pytest.fixture
def target(place: PostgresPlace) -> SqlEnvironment:
    target = place.target()
    target.mark(marker_of(KEYS))
    return target


ODD = copied(
    structure(
        "odd",
        {
            "id": "bigint not null",
            "amount": "numeric(6,2)",
            "day": "date",
            "at": "timestamp without time zone",
            "seen": "timestamp(3) with time zone",
            "ratio": "double precision",
            "span": "interval",
            "tags": "text[]",
            "doc": "jsonb",
            "padded": "character(5)",
            "net": "inet",
            "key": "uuid",
        },
    ),
    id=pa.int64(), amount=pa.decimal128(6, 2), day=pa.date32(), at=pa.timestamp("us"),
    seen=pa.timestamp("us", tz="UTC"), ratio=pa.float64(), span=pa.string(), tags=pa.string(),
    doc=pa.string(), padded=pa.string(), net=pa.string(), key=pa.string(),
)  # fmt: skip


def test_odd_values_go_into_their_columns_and_come_back(place: PostgresPlace, target: SqlEnvironment) -> None:
    refresh = Refresh(target, [ODD]).begin()
    texts = (
        "1 day 02:00:00",
        '{a,"b,c",NULL}',
        '{"a": 1}',
        "ab   ",
        "10.0.0.1",
        "6f1b9c1e-0000-4000-8000-000000000001",
    )
    rows = batch(
        ODD,
        (1, None, None, None, None, float("-inf"), *texts),
        (2, decimal.Decimal("1.50"), dt.date(1, 1, 1), None, None, -0.0, *texts),
        (3, None, None, None, None, float("nan"), None, "{}", None, "     ", None, None),
        overflow={
            0: '{"amount":"NaN","day":"infinity","at":"0044-03-15 00:00:00 BC","seen":"-infinity"}',
            1: '{"at":"12345-01-01 00:00:00"}',
        },
    )
    refresh.load(ODD, rows)
    found = refresh.rows(ODD)
    assert str(found.to_pylist()) == str(pa.Table.from_batches([rows]).to_pylist())
    refresh.finish().publish()
    assert place.ask("SELECT id FROM shop.odd WHERE amount = 'NaN' AND day = 'infinity'") == [(1,)]


def test_a_value_that_does_not_fit_is_refused_by_its_column_and_not_quoted(target: SqlEnvironment) -> None:
    sized = copied(
        structure("sized", {"id": "bigint not null", "word": "character varying(3)"}),
        id=pa.int64(),
        word=pa.string(),
    )
    refresh = Refresh(target, [sized]).begin()
    for word in ("secret", "a\x00b"):
        with pytest.raises(RefreshError) as raised:
            refresh.load(sized, batch(sized, (1, word)))
        assert "secret" not in str(raised.value)
        assert raised.value.__suppress_context__
    assert refresh.rows(sized).num_rows == 0


def test_tables_without_any_value_in_a_row_keep_their_rows(target: SqlEnvironment) -> None:
    single = copied(structure("single", {"note": "text"}, primary_key=None), note=pa.string())
    refresh = Refresh(target, [single]).begin()
    refresh.load(single, batch(single, (None,), ("",), (None,), ("\\.",)))
    assert sorted(refresh.rows(single)["note"].to_pylist(), key=str) == ["", "None", "\\."] or sorted(
        map(str, refresh.rows(single)["note"].to_pylist())
    ) == ["", "None", "None", "\\."]


def test_objects_of_somebody_else_on_the_copy_stop_the_next_one(
    place: PostgresPlace, target: SqlEnvironment
) -> None:
    copy_of(place, 1)
    place.ask("CREATE VIEW public.mine AS SELECT id FROM shop.customer")
    with pytest.raises(RefreshError, match=r"view public.mine depends on table shop.customer"):
        copy_of(place, 2)
    assert place.ids("shop", "customer") == [1]
    place.ask("DROP VIEW public.mine")
    copy_of(place, 3)
    assert place.ids("shop", "customer") == [3]


def test_a_table_in_the_way_stays_as_it_is(place: PostgresPlace, target: SqlEnvironment) -> None:
    place.ask("CREATE SCHEMA shop")
    place.ask("CREATE TABLE shop.customer AS SELECT 99::bigint AS id")
    with pytest.raises(RefreshError, match=r"shop.customer is there already"):
        copy_of(place, 1)
    assert place.ids("shop", "customer") == [99]


def test_a_shadow_schema_of_somebody_else_is_not_touched(
    place: PostgresPlace, target: SqlEnvironment
) -> None:
    place.ask("CREATE SCHEMA shop__incoming")
    with pytest.raises(RefreshError, match="shop__incoming"):
        Refresh(target, [CUSTOMER]).begin()


def test_readers_read_the_copy_and_neither_shadow_nor_records(
    place: PostgresPlace, target: SqlEnvironment
) -> None:
    role = f"reader_{place.database.name}"
    place.ask(f"CREATE ROLE {role} LOGIN")
    place.ask(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {role}, PUBLIC")
    place.ask(f"ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {role}")
    try:
        copy_of(place, 1)
        target.grant([role])
        copy_of(place, 2)
        Refresh(target, [CUSTOMER]).begin()
        with psycopg.connect(place.database.dsn, user=role, autocommit=True) as session:
            assert session.execute("SELECT id FROM shop.customer").fetchall() == [(2,)]
            for table in ("shop__incoming.customer", "replication_assets.environment"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(f"SELECT 1 FROM {table}".encode())
            target.grant([])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute("SELECT id FROM shop.customer")
        with pytest.raises(RefreshError, match="nobody_at_all"):
            target.grant(["nobody_at_all"])
    finally:
        target.drop()
        place.ask(f"DROP OWNED BY {role}")
        place.ask(f"DROP ROLE {role}")


def test_a_reader_that_reads_all_the_time_sees_one_copy_or_the_other(
    place: PostgresPlace, target: SqlEnvironment
) -> None:
    copy_of(place, 1, 2)
    seen: set[tuple[int, ...]] = set()
    stop = threading.Event()

    def look() -> None:
        with psycopg.connect(place.database.dsn, autocommit=True) as session:
            while not stop.is_set():
                rows = session.execute("SELECT id FROM shop.customer ORDER BY 1").fetchall()
                seen.add(tuple(row[0] for row in rows))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        copy_of(place, 3, 4)
        copy_of(place, 5, 6)
    finally:
        stop.set()
        reader.join()
    assert seen <= {(1, 2), (3, 4), (5, 6)}
    assert seen


def test_a_reader_that_does_not_end_keeps_its_copy(
    place: PostgresPlace, target: SqlEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "LOCK_TIMEOUT", "50ms")
    first = copy_of(place, 1)
    with psycopg.connect(place.database.dsn) as session:
        assert session.execute("SELECT id FROM shop.customer").fetchall() == [(1,)]
        with pytest.raises(TargetUnavailable, match="lock"):
            copy_of(place, 2)
    published = target.published()
    assert published is not None
    assert published.id == first.plan.id


def test_the_lock_of_a_run_whose_session_died_is_free(place: PostgresPlace, target: SqlEnvironment) -> None:
    with target.held("nightly", "run-1"):
        place.ask(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'replication_assets refresh' AND datname = current_database()"
        )
        with place.target().held("nightly", "run-2"):
            copy_of(place, 3)
    assert place.ids("shop", "customer") == [3]


def test_a_hook_works_on_the_shadow_and_nowhere_else(place: PostgresPlace, target: SqlEnvironment) -> None:
    copy_of(place, 1)
    refresh = Refresh(target, [CUSTOMER]).begin()
    refresh.load(CUSTOMER, batch(CUSTOMER, (5, "a")))
    target.run_hook(refresh.plan, "UPDATE customer SET id = 6")
    for statement in (
        "DELETE FROM shop.customer",
        "TRUNCATE shop.customer",
        "DROP TABLE shop.customer",
        "CREATE TABLE shop.more (id int)",
        "UPDATE replication_assets.environment SET environment = 'prod'",
        "COMMIT",
        "SELECT 1; DELETE FROM shop.customer",
    ):
        with pytest.raises(RefreshError):
            target.run_hook(refresh.plan, statement)
    with pytest.raises(RefreshError) as raised:
        target.run_hook(refresh.plan, "UPDATE customer SET id = email::bigint")
    assert '"a"' not in str(raised.value)
    assert place.ids("shop", "customer") == [1]
    assert refresh.rows(CUSTOMER)["id"].to_pylist() == [6]
    refresh.finish().publish()
    assert place.ids("shop", "customer") == [6]
    assert target.marker() == marker_of(KEYS)


ACCOUNT = TableId("crm", "shop", "account")
UNIQUE = copied(
    structure(
        "account",
        {"id": "bigint not null", "email": "text", "parent": "bigint"},
        unique_keys=(UniqueKey("account_email_key", ("email",)),),
        foreign_keys=(
            ForeignKey("account_parent", ("parent",), ACCOUNT, ("id",), on_delete="RESTRICT"),
        ),
    ),
    id=pa.int64(), email=pa.string(), parent=pa.int64(),
)  # fmt: skip


def test_changes_may_exchange_unique_values_and_parents(place: PostgresPlace, target: SqlEnvironment) -> None:
    refresh = Refresh(target, [UNIQUE]).begin()
    refresh.load(UNIQUE, batch(UNIQUE, (1, "x", None), (2, "y", 1), (3, "z", 1)))
    refresh.finish().publish()
    changes = Refresh(target, [UNIQUE], how="changes").begin()
    changes.load(UNIQUE, batch(UNIQUE, (2, "z", 4), (3, "y", 4), (4, "x", None)), role="upserts")
    changes.load(UNIQUE, batch(UNIQUE, (1, None, None)), role="deletes")
    changes.finish().publish()
    assert read(target, UNIQUE).drop(["_overflow"]).to_pylist() == [
        {"id": 2, "email": "z", "parent": 4},
        {"id": 3, "email": "y", "parent": 4},
        {"id": 4, "email": "x", "parent": None},
    ]
    definitions = place.ask(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'shop.account'::regclass"
    )
    assert ("UNIQUE (email)",) in definitions
    assert any("ON DELETE RESTRICT" in each[0] for each in definitions)


def test_changes_that_break_a_key_leave_the_published_copy(
    place: PostgresPlace, target: SqlEnvironment
) -> None:
    refresh = Refresh(target, [UNIQUE]).begin()
    refresh.load(UNIQUE, batch(UNIQUE, (1, "x", None)))
    refresh.finish().publish()
    changes = Refresh(target, [UNIQUE], how="changes").begin()
    changes.load(UNIQUE, batch(UNIQUE, (2, "x", None)), role="upserts")
    with pytest.raises(VerificationFailed, match="account_email_key"):
        changes.publish()
    assert place.ids("shop", "account") == [1]


def test_names_are_shortened_where_the_server_would_cut_them(
    place: PostgresPlace, target: SqlEnvironment
) -> None:
    long = "ü" * 31
    table = structure(long, {"id": "bigint not null"}, schema=long, primary_key=UniqueKey("k", ("id",)))
    wide = copied(table, id=pa.int64())
    refresh = Refresh(target, [wide]).begin()
    refresh.load(wide, batch(wide, (1,)))
    refresh.finish().publish()
    changes = Refresh(target, [wide], how="changes").begin()
    changes.load(wide, batch(wide, (2,)), role="upserts")
    changes.load(wide, batch(wide, (1,)), role="deletes")
    changes.finish().publish()
    assert place.ids(long, long) == [2]


def test_nothing_tells_how_to_get_in(place: PostgresPlace) -> None:
    target = place.target()
    assert place.connection.where in repr(target)
    public = {name: getattr(target, name) for name in dir(target) if not name.startswith("_")}
    assert all(callable(each) or each == "postgresql" for each in public.values())
    unreachable = postgres_environment(replace(place.connection, port=1), "qa", "nonproduction")
    with pytest.raises(Exception, match="refused") as raised:
        unreachable.marker()
    assert not isinstance(raised.value, GuardError)
