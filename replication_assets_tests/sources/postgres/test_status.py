"""Which log it is, and where our place in it stands."""

from __future__ import annotations

from typing import Any

import psycopg

from replication_assets.sources.postgres import PostgresSource
from replication_assets.sources.postgres.lsn import format_lsn, parse_lsn


def test_the_log_is_identified_by_system_and_timeline(
    source: PostgresSource, sql: psycopg.Connection[Any]
) -> None:
    row = sql.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    assert row == (source.identify().system_id,)
    assert source.identify().timeline == 1


def test_status_follows_the_slot(source: PostgresSource, sql: psycopg.Connection[Any]) -> None:
    missing = source.status()
    assert (missing.state, missing.confirmed, missing.lag_bytes, missing.active) == (
        "missing",
        None,
        None,
        False,
    )
    start = source.setup([]).start
    sql.execute("CREATE TABLE t AS SELECT generate_series(1, 1000)")
    behind = source.status()
    assert behind.confirmed == start
    assert behind.lag_bytes == behind.head - start > 0
    assert behind.retained_bytes is not None
    assert behind.retained_bytes >= behind.lag_bytes
    assert behind.headroom_bytes is None
    assert (behind.state, behind.active) == ("reserved", False)
    sql.execute(
        "SELECT pg_replication_slot_advance(%s, %s::pg_lsn)", (source.names.slot, format_lsn(behind.head))
    )
    confirmed = source.status().confirmed
    assert confirmed is not None
    assert confirmed > start


def test_positions_are_the_servers_lsn() -> None:
    assert parse_lsn("16/B374D848") == 0x16B374D848
    assert format_lsn(0x16B374D848) == "16/B374D848"
    assert format_lsn(parse_lsn("0/0")) == "0/0"
