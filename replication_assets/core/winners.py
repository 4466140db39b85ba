"""Which events of a range count, and which of a key's is the last: SQL over events `e`.

Phrases only, so that the fold and net changes, which differ in what they read and hold, cannot
differ in this.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from replication_assets.core.baseline import Baseline
from replication_assets.core.events import COMMIT_POSITION, EPOCH, EVENT_DATE, LOAD_ID, OP, SEQUENCE
from replication_assets.core.numbered import NUMBER
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import figures, literal, newer, older, position_of, quoted, same_key

AT = '"~at"'
"""Position or number of a key's last event. Names with a `~` are ours within a query: a table may well have a
column `at`."""


def counted_events(baseline: Baseline, as_of: Position | None) -> str:
    """SQL condition on `e`: rows of the loads that count, and changes after them.

    A change is not yet held against the load of its own date: a key-only delete has no date.
    `superseded` does that once each key's winner is known.
    """
    loads = []
    if baseline.load is not None:
        loads.append(_load_condition(baseline.load.load_id, baseline, whole=True))
    for load_id in sorted({load.load_id for load in baseline.dated.values()}):
        loads.append(_load_condition(load_id, baseline, whole=False))
    read = f"e.{OP} = 'R' AND ({' OR '.join(loads)})" if loads else "FALSE"
    changed = f"e.{OP} IN ('I', 'U', 'D') AND {newer(baseline.oldest)}"
    if as_of is not None:
        # Loads are the baseline's choice: one of single dates may be ahead of the changes.
        changed += f" AND NOT {newer(as_of)}"
    return f"(({read}) OR ({changed}))"


def _on_date(alias: str, date: object) -> str:
    value = "NULL" if date is None else f"DATE '{date}'"
    return f"{alias}.{EVENT_DATE} IS NOT DISTINCT FROM {value}"


def _load_condition(load_id: str, baseline: Baseline, *, whole: bool) -> str:
    chosen = f"e.{LOAD_ID} = {literal(load_id)}"
    dates = [date for date, load in baseline.dated.items() if whole or load.load_id == load_id]
    if not dates:
        return f"({chosen})"
    listed = " OR ".join(_on_date("e", date) for date in dates)
    return f"({chosen} AND {'NOT ' if whole else ''}({listed}))"


def superseded(baseline: Baseline) -> str:
    """SQL condition on a winning row `e`: a newer load of its own date did not find it, or
    its date was never loaded."""
    if not baseline.dated:
        return "FALSE"
    branches = [
        f"WHEN {_on_date('e', date)} THEN {older(load.position)}" for date, load in baseline.dated.items()
    ]
    unknown = "TRUE" if baseline.floor is None else "FALSE"
    return f"(CASE {' '.join(branches)} ELSE {unknown} END)"


def order_value(connection: duckdb.DuckDBPyConnection) -> str:
    """SQL for the position of `e` as a single 126-bit number within one epoch: half the cost
    of comparing rows, which several epochs (after a failover) fall back to."""
    if _one_epoch(connection):
        return f"((e.{COMMIT_POSITION}::HUGEINT << 63) + e.{SEQUENCE})"
    return position_of()


def order_of_last(connection: duckdb.DuckDBPyConnection) -> str:
    """As `order_value`, but of a delete and another event at one position (a key that changed to an
    equal one, as -0.0 does) the other is the last."""
    stays = f"(e.{OP} <> 'D')"
    if _one_epoch(connection):
        return f"((e.{COMMIT_POSITION}::HUGEINT << 64) + (e.{SEQUENCE}::HUGEINT << 1) + {stays}::HUGEINT)"
    return f"row({position_of()}, {stays})"


def _one_epoch(connection: duckdb.DuckDBPyConnection) -> bool:
    epochs = figures(connection, f"SELECT count(DISTINCT {EPOCH}) FROM event")
    return bool(epochs[0] <= 1)


def find_last(
    connection: duckdb.DuckDBPyConnection, schema: TableSchema, baseline: Baseline, counted: str, order: str
) -> None:
    """Leave in temporary table `winner` each key with the number of its last event, -1 where that
    event leaves no row."""
    key = ", ".join(f"e.{quoted(name)}" for name in schema.key)
    number = f"CASE WHEN e.{OP} = 'D' OR {superseded(baseline)} THEN -1 ELSE e.{quoted(NUMBER)} END"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE winner AS SELECT {key}, arg_max({number}, {order}) AS {AT} "
        f"FROM event e WHERE {counted} GROUP BY {key}"
    )


def find_winners(
    connection: duckdb.DuckDBPyConnection, schema: TableSchema, counted: str, order: str
) -> None:
    """Leave in temporary table `winner` each key with the `order` of its last event `AT`."""
    key = ", ".join(f"e.{quoted(name)}" for name in schema.key)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE winner AS SELECT {key}, max({order}) AS {AT} "
        f"FROM event e WHERE {counted} GROUP BY {key}"
    )


def winning_rows(schema: TableSchema, baseline: Baseline, order: str, columns: pa.Schema) -> str:
    """SQL for the rows that the events of table `winner` made; ends in a condition on `e`."""
    listed = ", ".join(f"e.{quoted(name)}" for name in columns.names)
    return (
        f"SELECT {listed} FROM event e JOIN winner w ON {same_key(schema.key, 'e', 'w')} "
        f"AND {order} = w.{AT} WHERE e.{OP} IN ('R', 'I', 'U') "
        f"AND {_chosen_load(baseline)} AND NOT {superseded(baseline)}"
    )


def _chosen_load(baseline: Baseline) -> str:
    # Two loads can share a snapshot and so a position; only rows of the chosen one count.
    ids = {load.load_id for load in baseline.dated.values()}
    if baseline.load is not None:
        ids.add(baseline.load.load_id)
    listed = ", ".join(literal(load_id) for load_id in sorted(ids)) or "NULL"
    return f"(e.{OP} <> 'R' OR e.{LOAD_ID} IN ({listed}))"
