"""The sample database: what it holds, and that it is the same every time."""

from replication_assets.demo import monolith
from replication_assets.demo.traffic import Traffic
from replication_assets_tests.demo.sample import rows, small_monolith
from replication_assets_tests.postgres_servers import FreshDatabase


def fingerprint(database: FreshDatabase) -> list[object]:
    """One hash of all rows of each table."""
    return [
        rows(database, f"SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM {table} t")[0][0]
        for table in monolith.TABLES
    ]


def test_each_table_holds_the_rows_that_were_asked_for(any_postgres_database: FreshDatabase) -> None:
    small_monolith(any_postgres_database)
    assert monolith.row_counts(any_postgres_database.dsn) == {
        "widgets": 200,
        "customers": 100,
        "orders": 300,
        "order_events": 2_000,
    }


def test_creating_it_again_gives_the_same_rows(database: FreshDatabase) -> None:
    small_monolith(database)
    first = fingerprint(database)
    with Traffic(database.dsn, rate=1000, transactions=50) as traffic:
        traffic.join()
    assert fingerprint(database) != first
    small_monolith(database)
    assert fingerprint(database) == first


def test_it_is_dropped_without_a_trace(database: FreshDatabase) -> None:
    small_monolith(database)
    monolith.drop(database.dsn)
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert rows(database, left) == []
    assert rows(database, "SELECT typname FROM pg_type WHERE typname = 'order_status'") == []


def test_order_details_are_xml_where_the_server_knows_xml(any_postgres_database: FreshDatabase) -> None:
    small_monolith(any_postgres_database)
    first = rows(any_postgres_database, "SELECT details::text FROM orders ORDER BY id LIMIT 1")[0][0]
    assert str(first).startswith("<order><line widget=")


def test_the_date_of_an_event_is_the_utc_date_of_its_timestamp(database: FreshDatabase) -> None:
    small_monolith(database)
    with Traffic(database.dsn, rate=1000, transactions=50) as traffic:
        traffic.join()
    wrong = "SELECT id FROM order_events WHERE created_at <> (event_timestamp AT TIME ZONE 'UTC')::date"
    assert rows(database, wrong) == []


def test_some_widgets_have_attributes_that_are_stored_out_of_line(database: FreshDatabase) -> None:
    small_monolith(database)
    assert rows(database, "SELECT count(*) FROM widgets WHERE pg_column_size(attributes) > 2000") == [(2,)]
