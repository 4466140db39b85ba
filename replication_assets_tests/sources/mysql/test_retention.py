"""What a server keeps of its binlog for us, and a log that is not the one that was captured."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from replication_assets.sources.mysql.log_places import LogPlace
from replication_assets.sources.mysql.retention import headroom, kept_seconds
from replication_assets_tests.mysql_servers import BINLOG_SETTINGS, running_mariadb
from replication_assets_tests.sources.mysql.binlog.captured import global_setting
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.places import purge


@pytest.fixture(scope="module")
def own_server() -> Iterator[Database]:
    """A server whose log may be begun anew."""
    with running_mariadb({**BINLOG_SETTINGS, "expire-logs-days": "2"}) as server:
        with closing(server.connect()) as session, session.cursor() as cursor:
            cursor.execute("CREATE DATABASE shop")
        yield Database(server, "shop")


def test_a_place_that_is_behind_tells_how_far_and_until_when_it_is_kept(own_server: Database) -> None:
    source = own_server.source()
    own_server.run("CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, v TEXT)")
    start = source.status().head
    now = source.status_after(start)
    assert (now.confirmed, now.lag_bytes, now.retained_bytes) == (start, 0, 0)
    # Only a file that is no longer written to can be purged.
    assert now.expires_at is None
    own_server.run("INSERT INTO t VALUES (1, REPEAT('x', 10000))", "FLUSH BINARY LOGS")
    own_server.run("INSERT INTO t VALUES (2, REPEAT('x', 10000))")
    found = source.status_after(start)
    assert found.lag_bytes is not None
    assert 20_000 < found.lag_bytes < 23_000
    assert found.expires_at is not None
    assert abs(found.expires_at - found.read_at - dt.timedelta(days=2)) < dt.timedelta(minutes=1)
    assert (found.headroom_bytes, found.state) == (None, "available")


def test_a_place_that_was_purged_is_lost(own_server: Database) -> None:
    source = own_server.source()
    start = source.status().head
    own_server.run("FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    purge(own_server)
    assert source.status_after(start).state == "lost"
    assert source.status_after(source.status().head).state == "available"


def test_a_server_that_keeps_its_log_for_ever_has_no_end_of_it(own_server: Database) -> None:
    source = own_server.source()
    start = source.status().head
    own_server.run("FLUSH BINARY LOGS")
    with global_setting(own_server, "expire_logs_days", "0"):
        assert source.status_after(start).expires_at is None


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"binlog_expire_logs_seconds": "3600", "expire_logs_days": "0.041667"}, 3600),
        ({"expire_logs_days": "2"}, 172_800),
        ({"binlog_expire_logs_seconds": "0", "expire_logs_days": "0"}, 0),
        ({"binlog_expire_logs_seconds": "3600", "binlog_expire_logs_auto_purge": "OFF"}, 0),
    ],
)
def test_how_long_a_file_is_kept_is_read_from_either_server(settings: dict[str, str], seconds: float) -> None:
    assert kept_seconds(settings) == seconds


FILES = tuple(LogPlace("binlog", number, 1_000) for number in (3, 4, 5))


@pytest.mark.parametrize(
    ("settings", "number", "left"),
    [
        ({}, 3, None),
        ({"max_binlog_total_size": "5000"}, 3, 2_000),
        # What is before our file goes first.
        ({"max_binlog_total_size": "5000"}, 4, 3_000),
        ({"binlog_space_limit": "2500"}, 3, 0),
        ({"binlog_space_limit": "0"}, 3, None),
        # The file that is written is never deleted.
        ({"max_binlog_total_size": "5000"}, 5, None),
    ],
)
def test_a_limit_of_all_files_leaves_what_is_not_ours_yet(
    settings: dict[str, str], number: int, left: int | None
) -> None:
    assert headroom(settings, FILES, LogPlace("binlog", number, 10)) == left


def test_the_identity_of_a_log_survives_rotation_and_purge(own_server: Database) -> None:
    source = own_server.source()
    known = source.identify()
    assert source.identify() == known
    assert source.log_begun_anew(known) is None
    own_server.run("FLUSH BINARY LOGS", "FLUSH BINARY LOGS")
    assert source.log_begun_anew(known) is None
    purge(own_server)
    assert source.log_begun_anew(known) is None


def test_a_log_that_was_begun_anew_is_noticed_whatever_its_places(own_server: Database) -> None:
    source = own_server.source()
    own_server.run("FLUSH BINARY LOGS")
    later = source.identify()
    own_server.run("RESET MASTER")
    first = source.identify()
    assert "now ends in" in str(source.log_begun_anew(later))
    time.sleep(1.1)
    # Shorter, as long, and longer than the one before: the place that was captured exists in all.
    own_server.run("RESET MASTER")
    assert "was begun at" in str(source.log_begun_anew(first))
