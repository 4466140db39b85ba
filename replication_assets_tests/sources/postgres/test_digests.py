"""The server's digests are those of the rows that a load stores: any type, any value, any range."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.dates import EventDates
from replication_assets.core.digests import Digest, digest_of
from replication_assets.core.events import OVERFLOW
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.sql import Spill, engine
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import SourceNotReady
from replication_assets.ports import LoadSlice, RangeDigests
from replication_assets.sources.postgres.connection import PostgresConnection
from replication_assets.sources.postgres.source import PostgresSource
from replication_assets_tests.postgres_servers import OLDEST_IN_FULL, FreshDatabase, fresh_database
from replication_assets_tests.sources.postgres.test_types import _FROM_NUMBER, _MAIN_TYPES, TYPES, VALUES

DATES = EventDates(None, "month", dt.date(2020, 1, 1))
WHOLE = IdRange("r000000", 0, None, None)


class Digested:
    """A database with a source over it."""

    def __init__(self, database: FreshDatabase) -> None:
        self.database = database
        self.source = PostgresSource("app", PostgresConnection.parse(database.dsn))

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.database.dsn, autocommit=True) as session:
            for statement in statements:
                session.execute(statement.encode())

    def schema(self, name: str = "t") -> TableSchema:
        # Reflected without a key: some of these tables have none.
        columns = self.source.reflect(TableId("app", "public", name)).columns
        return TableSchema(columns)

    def at_source(self, column: str | None = None, *ranges: IdRange, name: str = "t") -> RangeDigests:
        table = TableId("app", "public", name)
        return self.source.digests(table, self.schema(name), column, ranges or (WHOLE,))

    def of_load(self, column: str | None = None, id_range: IdRange = WHOLE, name: str = "t") -> Digest:
        """The digest of the rows that a load reads."""
        table, schema = TableId("app", "public", name), self.schema(name)
        request = LoadSlice(table, schema, column, id_range, DATES)
        columns = pa.schema([*schema.arrow_schema(), pa.field(OVERFLOW, pa.string())])
        with self.source.load(request) as stream, engine(Spill()) as connection:
            return digest_of(connection, stream, columns)


@pytest.fixture
def digested(any_postgres_database: FreshDatabase) -> Digested:
    return Digested(any_postgres_database)


@pytest.fixture(scope="module", params=["postgres_18", pytest.param("postgres_15", marks=pytest.mark.full)])
def of_every_type(request: pytest.FixtureRequest) -> Iterator[Digested]:
    with fresh_database(request.getfixturevalue(request.param)) as fresh:
        made = Digested(fresh)
        made.execute(TYPES)
        for number, (kind, literal, *_) in enumerate(VALUES):
            # A replica identity is needed to be reflected, a key is not.
            made.execute(
                f"CREATE TABLE v{number} (c {kind}); ALTER TABLE v{number} REPLICA IDENTITY FULL",
                f"INSERT INTO v{number} VALUES ({literal}::{kind}), (NULL)",
            )
        yield made


@pytest.mark.parametrize("case", range(len(VALUES)), ids=[f"{v[0]}={v[1][:24]}" for v in VALUES])
def test_a_value_has_the_digest_that_its_load_has(of_every_type: Digested, case: int) -> None:
    name = f"v{case}"
    assert of_every_type.at_source(name=name).digests["r000000"] == of_every_type.of_load(name=name)


@pytest.mark.parametrize("kind", _MAIN_TYPES)
def test_any_values_have_the_digest_that_their_load_has(postgres_18: PostgresServer, kind: str) -> None:
    with fresh_database(postgres_18) as fresh:
        digested = Digested(fresh)
        digested.execute(f"CREATE TABLE t (v {kind}, n int); ALTER TABLE t REPLICA IDENTITY FULL")
        with psycopg.connect(fresh.dsn, autocommit=True) as session:

            @settings(max_examples=6)
            @given(st.lists(_MAIN_TYPES[kind] | st.none(), min_size=1, max_size=200))
            def agree(values: list[str | None]) -> None:
                session.execute("TRUNCATE t")
                made = _FROM_NUMBER.get(kind, f"v::{kind}")
                session.execute(
                    f"INSERT INTO t SELECT {made}, i FROM unnest(%s::text[]) WITH ORDINALITY AS u(v, i)",
                    (values,),
                )
                found = digested.at_source().digests["r000000"]
                assert found == digested.of_load()
                assert found.rows == len(values)

            agree()


# --- ranges ------------------------------------------------------------------------------


def ranges(*bounds: Any) -> list[IdRange]:
    edges = [None, *bounds, None]
    return [IdRange(f"r{i:06}", i, edges[i], edges[i + 1]) for i in range(len(edges) - 1)]


RANGE_COLUMNS = [
    ("bigint", "i", ranges(10, 50, 90)),
    ("smallint", "i", ranges(-5, 0)),
    ("oid", "i", ranges(10, 4_000_000_000)),
    ("numeric(30,0)", "i * 10000000000::numeric", ranges(10**11, 5 * 10**11)),
    ("text", "chr(64 + i % 60) || i", ranges("B", "Z9", "a", "é")),
    ("varchar(20)", "i::text", ranges("3", "5", "99")),
    ("uuid", "md5(i::text)::uuid", ranges("4", "8", "c")),
    ("uuid", "md5(i::text)::uuid", ranges("40000000-0000-0000-0000-000000000000")),
]


@OLDEST_IN_FULL
@pytest.mark.parametrize(("kind", "value", "cuts"), RANGE_COLUMNS, ids=[c[0] for c in RANGE_COLUMNS])
def test_each_range_has_the_digest_that_its_load_has(
    digested: Digested, kind: str, value: str, cuts: list[IdRange]
) -> None:
    digested.execute(
        f"CREATE TABLE t (k {kind}, v text); ALTER TABLE t REPLICA IDENTITY FULL",
        f"INSERT INTO t SELECT ({value})::{kind}, 'v' || i FROM generate_series(1, 100) i",
        "INSERT INTO t VALUES (NULL, 'no key'), (NULL, 'no key')",
    )
    found = digested.at_source("k", *cuts)
    assert found.digests == {each.key: digested.of_load("k", each) for each in cuts}
    assert sum(digest.rows for digest in found.digests.values()) == 102
    some = [cuts[-1], *cuts[:1]]
    assert digested.at_source("k", *some).digests == {each.key: found.digests[each.key] for each in some}
    middle = cuts[1:2]
    assert digested.at_source("k", *middle).digests == {cuts[1].key: found.digests[cuts[1].key]}


def test_a_number_that_is_none_is_in_the_range_of_rows_without_key(digested: Digested) -> None:
    digested.execute(
        "CREATE TABLE t (k numeric(10,0)); ALTER TABLE t REPLICA IDENTITY FULL",
        "INSERT INTO t VALUES ('NaN'), (NULL), (1), (100)",
    )
    cuts = ranges(50)
    found = digested.at_source("k", *cuts).digests
    assert [found[each.key].rows for each in cuts] == [3, 1]
    assert found == {each.key: digested.of_load("k", each) for each in cuts}


@pytest.mark.parametrize("kind", ["view", "partitioned"])
def test_views_and_partitioned_tables_have_digests(digested: Digested, kind: str) -> None:
    digested.execute("CREATE TABLE base (k int PRIMARY KEY, v text)")
    if kind == "view":
        digested.execute("CREATE VIEW t AS SELECT k, upper(v) AS v FROM base")
    else:
        digested.execute(
            "CREATE TABLE t (k int PRIMARY KEY, v text) PARTITION BY RANGE (k)",
            "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (50)",
            "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (50) TO (1000)",
            "INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) i",
        )
    digested.execute("INSERT INTO base SELECT i, 'v' FROM generate_series(1, 100) i")
    cuts = ranges(30, 60)
    assert digested.at_source("k", *cuts).digests == {each.key: digested.of_load("k", each) for each in cuts}


def test_a_table_of_very_many_columns_has_a_digest(digested: Digested) -> None:
    columns = ", ".join(f"c{i} int" for i in range(300))
    digested.execute(f"CREATE TABLE t ({columns}); ALTER TABLE t REPLICA IDENTITY FULL")
    digested.execute("INSERT INTO t (c0, c299) VALUES (1, 2), (NULL, 3)")
    assert digested.at_source().digests["r000000"] == digested.of_load()


def test_an_empty_table_has_the_digest_of_nothing(digested: Digested) -> None:
    digested.execute("CREATE TABLE t (k int PRIMARY KEY)")
    assert digested.at_source("k", *ranges(5)).digests == {k: Digest(0, 0) for k in ("r000000", "r000001")}


def test_long_values_are_told_apart_by_every_byte(digested: Digested) -> None:
    digested.execute(
        "CREATE TABLE t (k int PRIMARY KEY, v text, b bytea)",
        "INSERT INTO t VALUES (1, repeat('é', 100000) || 'x', convert_to(repeat('y', 100000), 'UTF8'))",
    )
    before = digested.at_source().digests["r000000"]
    assert before == digested.of_load()
    digested.execute("UPDATE t SET v = repeat('é', 100000) || 'y'")
    assert digested.at_source().digests["r000000"] != before
    digested.execute("UPDATE t SET v = repeat('é', 100000) || 'x', b = b || '\\x00'")
    longer = digested.at_source().digests["r000000"]
    assert longer != before
    assert longer == digested.of_load()


def test_a_server_in_another_encoding_has_the_same_digests(postgres_18: PostgresServer) -> None:
    with fresh_database(postgres_18) as fresh:
        digested = Digested(fresh)
        how = "ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        digested.execute(f'CREATE DATABASE "{fresh.name}_latin" {how}')
        latin = Digested(fresh)
        dsn = psycopg.conninfo.make_conninfo(fresh.dsn, dbname=f"{fresh.name}_latin")
        latin.source = PostgresSource("app", PostgresConnection.parse(dsn))
        try:
            with psycopg.connect(dsn, autocommit=True) as session:
                session.execute("CREATE TABLE t (k int PRIMARY KEY, v text, w character(5), n text)")
                session.execute("INSERT INTO t VALUES (1, %s, 'é', NULL), (2, 'ü', 'ab', 'é')", ("é" * 100,))
            assert latin.at_source("k", *ranges(2)).digests == {
                each.key: latin.of_load("k", each) for each in ranges(2)
            }
        finally:
            digested.execute(f'DROP DATABASE "{fresh.name}_latin" WITH (FORCE)')


# --- consistency -------------------------------------------------------------------------


def test_a_column_that_went_or_changed_is_not_compared_and_told(digested: Digested) -> None:
    digested.execute("CREATE TABLE t (k int PRIMARY KEY, gone int, other int, v text)")
    digested.execute("INSERT INTO t VALUES (1, 2, 3, 'v')")
    known = digested.schema()
    digested.execute(
        "ALTER TABLE t DROP COLUMN gone, ALTER COLUMN other TYPE text, ADD COLUMN more text DEFAULT 'x'"
    )
    found = digested.source.digests(TableId("app", "public", "t"), known, "k", [WHOLE])
    assert found.compared == ("k", "v")
    assert [column.name for column in found.columns] == ["k", "other", "v", "more"]
    assert found.digests["r000000"].rows == 1


def test_a_table_that_is_not_there_is_told(digested: Digested) -> None:
    digested.execute("CREATE TABLE t (k int PRIMARY KEY)")
    schema = digested.schema()
    with pytest.raises(SourceNotReady, match="no table"):
        digested.source.digests(TableId("app", "public", "absent"), schema, None, [WHOLE])


def test_nothing_is_left_at_the_server(digested: Digested) -> None:
    digested.execute("CREATE TABLE t (k int PRIMARY KEY)")
    digested.at_source()
    with psycopg.connect(digested.database.dsn) as session:
        slots = session.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
        )
        assert slots.fetchall() == []
        others = session.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state = 'active' AND backend_type = 'client backend'"
        )
        assert others.fetchall() == []
