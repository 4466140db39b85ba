"""Loads and trigger capture meet exactly, whatever is open, rolled back, trimmed or resumed: held against a
table of a model.

Transactions are interleaved at random, and commit in another order than they drew their ids. A load at a
position must be what the events before that position make.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from replication_assets.ports import ChangeChunk, LoadSlice
from replication_assets.sources.oracle.triggers import stream as stream_module
from replication_assets.sources.oracle.triggers.source import OracleTriggerSource
from replication_assets_tests.contracts.change_source import DATES, WHOLE, Row, events, replayed
from replication_assets_tests.sources.oracle.logged import Database, LoggedServer, Values, row
from replication_assets_tests.sources.oracle.recorded import TABLE

EPOCH = 3
NAMES = ("ID", "AMOUNT")


@dataclass
class Writing:
    """An open transaction, and the rows that it changed; None are gone."""

    xid: int
    rows: dict[int, Values | None] = field(default_factory=dict)


@dataclass
class Model:
    random: Random
    database: Database = field(default_factory=Database)
    writing: list[Writing] = field(default_factory=list)

    def step(self) -> None:
        chance = self.random.random()
        if len(self.writing) < 4 and (chance < 0.3 or not self.writing):
            self.writing.append(Writing(self.database.begin()))
            return
        one = self.random.choice(self.writing)
        if chance < 0.8:
            self._write(one)
        else:
            self._end(one, commits=chance < 0.95)

    def _write(self, one: Writing) -> None:
        key = self.random.randrange(12)
        if any(key in other.rows for other in self.writing if other is not one):
            return  # It is locked.
        was = one.rows[key] if key in one.rows else self.database.history[-1][1].get(key)
        gone = was is not None and self.random.random() < 0.4
        now = None if gone else row(key, str(self.random.randrange(1000)))
        self.database.fire(one.xid, was or {}, now or {})
        one.rows[key] = now

    def _end(self, one: Writing, *, commits: bool) -> None:
        self.writing.remove(one)
        if not commits:
            self.database.rollback(one.xid)
            return
        table = {**self.database.history[-1][1], **one.rows}
        self.database.commit(one.xid, {key: each for key, each in table.items() if each is not None})


@pytest.mark.parametrize("seed", range(10))
def test_a_load_is_what_the_events_before_it_make(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "POLL_SECONDS", 0.0)
    random = Random(seed)
    model = Model(random)
    source = OracleTriggerSource("erp", LoggedServer(model.database))
    schema = source.reflect(TABLE)
    after = source.setup([(TABLE, schema)]).start
    source.confirm_setup()
    chunks, loads = list[ChangeChunk](), list[tuple[int, Counter[Row]]]()

    def drain(chance: float) -> None:
        nonlocal after
        upto = source.status().head
        with source.changes(
            [(TABLE, schema)], epoch=EPOCH, after=after, upto=upto, stop=lambda: False
        ) as stream:
            for chunk in stream:
                if random.random() > chance:
                    return  # It dies, and what is not durable comes again.
                chunks.append(chunk)
                if chunk.through is not None:
                    after = chunk.through
                    if random.random() < 0.7:
                        stream.acknowledge(after)

    for _ in range(25):
        for _ in range(random.randrange(12)):
            model.step()
        if random.random() < 0.5:
            with source.load(LoadSlice(TABLE, schema, None, WHOLE, DATES)) as load:
                rows = [each for batch in load for each in batch.to_pylist()]
                loads.append((load.commit, Counter((each["ID"], each["AMOUNT"]) for each in rows)))
        else:
            drain(0.8)
    while model.writing:
        model.step()
    drain(1.0)
    found = [{**each, "id": each["ID"]} for each in events(chunks, TABLE)]
    places: dict[tuple[Any, ...], Any] = {}
    for each in found:
        # A piece of a position that was not whole came twice, and the same.
        place = (each["_commit_position"], each["_sequence"], each["_op"])
        assert places.setdefault(place, each) == each
    assert len(loads) > 3
    for commit, held in loads:
        assert replayed(found, NAMES, commit) == held, commit
    final = Counter((key, each["AMOUNT"]) for key, each in model.database.history[-1][1].items())
    assert replayed(found, NAMES, after + 1) == final
