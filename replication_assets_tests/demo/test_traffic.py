"""The sample traffic: it does what it counts, the same for the same seed, and it ends."""

from typing import cast

import psycopg
import pytest

from replication_assets.demo import monolith
from replication_assets.demo.traffic import Traffic
from replication_assets_tests.demo.sample import rows, small_monolith
from replication_assets_tests.postgres_servers import FreshDatabase


def test_traffic_does_everything_that_an_application_does(any_postgres_database: FreshDatabase) -> None:
    small_monolith(any_postgres_database)
    with Traffic(any_postgres_database.dsn, rate=10_000, transactions=500) as traffic:
        traffic.join()
    assert sum(traffic.counts.values()) == 500
    assert set(traffic.counts) == {
        "append_events",
        "place_order",
        "change_status",
        "change_price",
        "rewrite_details",
        "rewrite_attributes",
        "add_customer",
        "change_email",
        "change_widget_key",
        "add_widget",
        "delete_order",
        "delete_widget",
        "delete_customer",
        "roll_back",
    }


def test_traffic_reaches_the_tables_as_it_was_counted(database: FreshDatabase) -> None:
    small_monolith(database)
    with Traffic(database.dsn, rate=10_000, transactions=400) as traffic:
        traffic.join()
    done, left = traffic.counts, monolith.row_counts(database.dsn)
    assert left["widgets"] == 200 + done["add_widget"] - done["delete_widget"]
    assert left["customers"] == 100 + done["add_customer"] - done["delete_customer"]
    moved = cast(int, rows(database, "SELECT count(*) FROM widgets WHERE id > 200")[0][0])
    assert moved > done["add_widget"]


def test_rolled_back_writes_leave_no_row_behind(database: FreshDatabase) -> None:
    small_monolith(database)
    with Traffic(database.dsn, rate=10_000, transactions=400) as traffic:
        traffic.join()
    assert traffic.counts["roll_back"] > 0
    assert rows(database, "SELECT id FROM widgets WHERE price = 0") == []


def test_the_same_seed_gives_the_same_rows(database: FreshDatabase) -> None:
    # Times are the server's, everything else is the seed's.
    timeless = "SELECT md5(string_agg(id || email || name, '|' ORDER BY id)) FROM customers"
    widgets = "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM widgets t"
    seen = set()
    for _ in range(2):
        small_monolith(database)
        with Traffic(database.dsn, seed=7, rate=10_000, transactions=200) as traffic:
            traffic.join()
        seen.add(
            (rows(database, timeless)[0], rows(database, widgets)[0], tuple(sorted(traffic.counts.items())))
        )
    assert len(seen) == 1


def test_several_writers_do_not_stand_in_each_others_way(database: FreshDatabase) -> None:
    small_monolith(database)
    with Traffic(database.dsn, rate=10_000, writers=3, transactions=100) as traffic:
        traffic.join()
    assert sum(traffic.counts.values()) == 300


def test_traffic_ends_when_it_is_stopped(database: FreshDatabase) -> None:
    small_monolith(database)
    with Traffic(database.dsn, rate=200) as traffic:
        assert traffic.running
    assert not traffic.running


def test_an_error_in_a_writer_is_raised_by_stop(database: FreshDatabase) -> None:
    traffic = Traffic(database.dsn, rate=100, transactions=1)
    traffic.start()
    with pytest.raises(psycopg.errors.UndefinedTable):
        traffic.stop()
