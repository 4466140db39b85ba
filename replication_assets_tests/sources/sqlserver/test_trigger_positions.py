"""The order of changes that triggers kept: whatever order transactions end in, none is skipped, cut in two,
or told ahead of one that changed the same row before. The queries are the adapter's own, taken to DuckDB."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache

import duckdb
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.schema import Column
from replication_assets.sources.sqlserver.statements.triggers import ChangeLog
from replication_assets.sources.sqlserver.types import NativeType, stored_type

LOG = ChangeLog("erp")
ID = Column("id", "int", stored_type(NativeType("int")))
FIRST = 100
SLOTS, KEYS = 4, 3


@cache
def database() -> duckdb.DuckDBPyConnection:
    duck = duckdb.connect()
    duck.execute("CREATE SCHEMA ra_erp")
    duck.execute(
        "CREATE TABLE ra_erp.runs"
        ' (rv BIGINT, shape INT, op TEXT, images BIGINT, tx BIGINT, boot TIMESTAMP, "at" TIMESTAMP)'
    )
    duck.execute("CREATE TABLE ra_erp.c1 (run BIGINT, side TEXT, stays BOOLEAN, c0 INT)")
    return duck


@cache
def as_duckdb(statement: str) -> str:
    (found,) = sqlglot.transpile(statement, read="tsql", write="duckdb")
    return found


def asked(statement: str) -> list[tuple[int, ...]]:
    return database().execute(as_duckdb(statement)).fetchall()


@dataclass
class Server:
    """Transactions of a few sessions; what is committed is in the log's tables."""

    number: int = FIRST
    boot: int = 0
    open: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Numbers and keys that the transaction of each session has written."""
    ended: list[list[tuple[int, int]]] = field(default_factory=list)
    """In the order of their ends."""
    ids: int = 0

    def write(self, slot: int, key: int) -> None:
        if any(key == written for other, rows in self.open.items() if other != slot for _, written in rows):
            return
        self.open[slot].append((self.number, key))
        self.number += 1

    def end(self, slot: int, *, commits: bool) -> None:
        rows = self.open.pop(slot, [])
        if not commits or not rows:
            return
        self.ids += 1
        self.ended.append(rows)
        for number, key in rows:
            place = f"TIMESTAMP '2026-01-01' + INTERVAL {self.boot} HOUR"
            values = f"{number}, 1, 'I', 1, {self.ids}, {place}, {place}"
            database().execute(f"INSERT INTO ra_erp.runs VALUES ({values})")
            database().execute(f"INSERT INTO ra_erp.c1 VALUES ({number}, 'N', false, {key})")

    def restart(self) -> None:
        """Open transactions are undone, and their numbers are given again."""
        self.open.clear()
        self.boot, self.ids = self.boot + 1, 0

    def mark(self) -> int:
        active = [number for rows in self.open.values() for number, _ in rows]
        return min(active, default=self.number) - 1


@dataclass
class Reader:
    at: int = FIRST - 1
    told: list[tuple[int, int, int]] = field(default_factory=list)
    """Position, number and key of each change."""

    def round(self, server: Server, most: int, meanwhile: int) -> None:
        mark = server.mark()
        # Between the mark and the snapshot somebody commits.
        server.end(meanwhile, commits=True)
        ((found, reached),) = asked(LOG.window(self.at, mark, most))
        reach = mark if found < most else reached
        rows = asked(LOG.changes(1, (ID,), ("id",), after=self.at, upto=reach))
        assert all(self.at < row[0] <= reach for row in rows)
        self.told += [(row[0], row[1], row[-1]) for row in rows]
        self.at = reach

    def trim(self) -> None:
        ((first,),) = asked(LOG.first_kept(self.at))
        before = self.at + 1 if first is None else min(first, self.at + 1)
        database().execute(f"DELETE FROM ra_erp.runs WHERE rv < {before}")
        database().execute(f"DELETE FROM ra_erp.c1 WHERE run < {before}")


slots, keys = st.integers(0, SLOTS - 1), st.integers(0, KEYS - 1)
steps = st.one_of(
    st.tuples(st.just("write"), slots, keys),
    st.tuples(st.just("write"), slots, keys),
    st.tuples(st.just("end"), slots, st.just(1)),
    st.tuples(st.just("end"), slots, st.sampled_from([0, 1])),
    st.tuples(st.just("round"), slots, st.sampled_from([1, 2, 100])),
    st.tuples(st.just("trim"), slots, keys),
    st.tuples(st.just("restart"), slots, keys),
)


@given(st.lists(steps, max_size=40))
@settings(max_examples=60, deadline=None)
def test_every_transaction_is_told_once_whole_and_behind_what_it_came_after(
    done: list[tuple[str, int, int]],
) -> None:
    database().execute("DELETE FROM ra_erp.runs")
    database().execute("DELETE FROM ra_erp.c1")
    server, reader = Server(), Reader()
    for step, slot, given_number in done:
        if step == "write":
            server.write(slot, given_number)
        elif step == "end":
            server.end(slot, commits=bool(given_number))
        elif step == "round":
            reader.round(server, given_number, slot)
        elif step == "trim":
            reader.trim()
        else:
            server.restart()
    for slot in range(SLOTS):
        server.end(slot, commits=True)
    while reader.at < server.mark():
        reader.round(server, 2, 0)
    assert sorted(number for _, number, _ in reader.told) == sorted(
        n for rows in server.ended for n, _ in rows
    )
    positions = {number: place for place, number, _ in reader.told}
    for rows in server.ended:
        assert {positions[number] for number, _ in rows} == {max(number for number, _ in rows)}
    for key in range(KEYS):
        changed = [number for rows in server.ended for number, each in rows if each == key]
        found = [number for _, number, each in sorted(reader.told) if each == key]
        assert found == changed
