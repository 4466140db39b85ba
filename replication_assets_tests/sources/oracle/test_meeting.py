"""Loads and capture meet exactly, whatever is open, rolled back or resumed: held against a table of a model.

Transactions of a model are interleaved at random; a load sees what committed up to its SCN, and the log has
every row when it was written. A load at a position must be what the events before that position make.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.ports import ChangeChunk, LoadSlice
from replication_assets.sources.oracle.logminer import looking_back
from replication_assets.sources.oracle.logminer import stream as stream_module
from replication_assets.sources.oracle.source import OracleSource
from replication_assets.sources.oracle.statements import catalog, log, rows
from replication_assets_tests.contracts.change_source import DATES, WHOLE, Row, events, replayed
from replication_assets_tests.sources.oracle.recorded import TABLE, RecordedServer
from replication_assets_tests.sources.oracle.redo_log import (
    FIRST,
    RedoLog,
    delete,
    insert,
    mining_server,
    update,
)

EPOCH = 3
NAMES = ("ID", "AMOUNT")
Table = dict[int, str]


@dataclass
class Writing:
    """An open transaction: the rows that it changed, and what each change was before."""

    xid: int
    begun: int
    rows: dict[int, str | None] = field(default_factory=dict)
    undo: list[tuple[int, str | None, str | None]] = field(default_factory=list)


@dataclass
class Model:
    """A table, its redo log, and what it was as of each SCN."""

    random: Random
    redo: RedoLog = field(default_factory=RedoLog)
    history: list[tuple[int, Table]] = field(default_factory=lambda: [(0, {})])
    writing: list[Writing] = field(default_factory=list)
    xids: int = 0

    def as_of(self, scn: int) -> Table:
        return next(table for at, table in reversed(self.history) if at <= scn)

    def step(self) -> None:
        """One step of one transaction, or a new one."""
        chance = self.random.random()
        if len(self.writing) < 3 and (chance < 0.3 or not self.writing):
            self.xids += 1
            self.writing.append(Writing(self.xids, self.redo.begin(self.xids)))
            return
        one = self.random.choice(self.writing)
        if chance < 0.75:
            self._write(one)
        elif chance < 0.82 and one.undo:
            self._undo(one)
        else:
            self._end(one, commits=chance < 0.95)

    def _write(self, one: Writing) -> None:
        key = self.random.randrange(12)
        if any(key in other.rows for other in self.writing if other is not one):
            return  # It is locked.
        was = one.rows.get(key, self.history[-1][1].get(key))
        now = None if was is not None and self.random.random() < 0.4 else str(self.random.randrange(1000))
        self._log(one, key, was, now)
        one.undo.append((key, was, now))
        one.rows[key] = now

    def _log(self, one: Writing, key: int, was: str | None, now: str | None, **more: Any) -> None:
        if was is None:
            text = insert(key, now or "")
        else:
            text = delete(key, was) if now is None else update(key, now, was=was)
        self.redo.change(one.xid, text, row=f"R{key}", **more)

    def _undo(self, one: Writing) -> None:
        key, was, now = one.undo.pop()
        self._log(one, key, now, was, UNDOES=1)
        one.rows[key] = was

    def _end(self, one: Writing, *, commits: bool) -> None:
        self.writing.remove(one)
        if not commits:
            while one.undo:
                self._undo(one)
            self.redo.rollback(one.xid)
            return
        at = self.redo.commit(one.xid)
        table = {**self.history[-1][1], **one.rows}
        self.history.append((at, {key: value for key, value in table.items() if value is not None}))

    def server(self) -> RecordedServer:
        query = rows.select(['"ID"', '"AMOUNT"', '"NOTE"'], TABLE.schema, TABLE.name, "", "scn")
        head = (4711, 1_000, None, "ARCHIVELOG", "YES", "NO", "NO", "NO", "READ WRITE", "NO")

        def load(binds: Any) -> list[pa.RecordBatch]:
            table = self.as_of(binds["scn"])
            columns = {
                "ID": pa.array(list(table), pa.int64()),
                "AMOUNT": pa.array([Decimal(each) for each in table.values()], pa.decimal128(10, 2)),
                "NOTE": pa.array(["x"] * len(table), pa.string()),
            }
            return [pa.RecordBatch.from_pydict(columns)]

        return mining_server(
            self.redo,
            more={
                catalog.DATABASE: lambda binds: [(*head[:2], self.redo.scn, *head[3:])],
                log.OLDEST_TRANSACTION: lambda binds: [
                    (min((each.begun for each in self.writing), default=None),)
                ],
                query: load,
            },
        )


@pytest.mark.parametrize("seed", range(12))
def test_a_load_is_what_the_events_before_it_make(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(seed)
    monkeypatch.setattr(stream_module, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(stream_module, "LEAST_SCNS", 1)
    longest, overlap = [(1, 0), (7, 5), (4_000_000, 20_000), (4_000_000, 0)][seed % 4]
    monkeypatch.setattr(stream_module, "MOST_SCNS", longest)
    monkeypatch.setattr(looking_back, "OVERLAP_SCNS", overlap)
    monkeypatch.setattr(looking_back, "NEAR_SCNS", random.choice([3, 200_000]))
    monkeypatch.setattr(looking_back, "_FIRST_STEP", random.choice([2, 50_000]))
    model = Model(random)
    server = model.server()
    source = OracleSource("erp", server)
    schema = source.reflect(TABLE)
    after, chunks, loads = FIRST, list[ChangeChunk](), list[tuple[int, Counter[Row]]]()
    for _ in range(25):
        for _ in range(random.randrange(12)):
            model.step()
        if random.random() < 0.5:
            wanted = LoadSlice(TABLE, schema, None, WHOLE, DATES)
            with source.load(wanted) as load:
                found = Counter(
                    row
                    for batch in load
                    for row in zip(*(batch.column(name).to_pylist() for name in NAMES), strict=True)
                )
                loads.append((load.commit, found))
        else:
            upto = random.randint(FIRST, model.redo.scn)
            with source.changes(
                [(TABLE, schema)], epoch=EPOCH, after=after, upto=upto, stop=lambda: False
            ) as stream:
                for chunk in stream:
                    chunks.append(chunk)
                    after = chunk.through if chunk.through is not None else after
    while model.writing:
        model.step()
    with source.changes(
        [(TABLE, schema)], epoch=EPOCH, after=after, upto=model.redo.scn, stop=lambda: False
    ) as stream:
        chunks += stream
    found_events = [{**row, "id": row["ID"]} for row in events(chunks, TABLE)]
    places = [(row["_commit_position"], row["_sequence"], row["_op"]) for row in found_events]
    assert len(set(places)) == len(places)
    assert len(loads) > 3
    for commit, held in loads:
        assert replayed(found_events, NAMES, commit) == held, commit
    final = Counter((key, Decimal(value)) for key, value in model.history[-1][1].items())
    assert replayed(found_events, NAMES, model.redo.scn + 1) == final
