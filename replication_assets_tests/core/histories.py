"""Random histories of a small table, their events as a capture and loads would store them, and
what the table held: the model that folds are held against."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from replication_assets.core import events as ev
from replication_assets.core.controls import Controls, RangeReplaced, Truncated
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableSchema

COLUMNS = (
    Column("k", "int8", pa.int64()),
    Column("a", "text", pa.string()),
    Column("big", "text", pa.string()),
    Column("born", "date", pa.date32()),
)
KEYED = TableSchema(COLUMNS, key=("k",))
KEYLESS = TableSchema(COLUMNS)
DATES = (dt.date(2026, 1, 1), dt.date(2026, 2, 1))
EPOCH_TIME = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

Row = tuple[int, str | None, str | None, dt.date]

key = st.integers(0, 4)
text = st.one_of(st.none(), st.sampled_from(["x", "y", "é'\""]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), key, text, text, st.sampled_from(DATES)),
        st.tuples(st.just("update"), key, text, text, st.booleans()),
        st.tuples(st.just("move"), key, key, text, st.booleans()),
        st.tuples(st.just("delete"), key),
        st.tuples(st.just("load")),
        st.tuples(st.just("load-date"), st.sampled_from(DATES)),
        st.tuples(st.just("truncate")),
    ),
    max_size=25,
)


@dataclass
class History:
    """The table as it goes through steps. `events` are rows of `stored_schema`; `states` what
    the table held after each commit position."""

    schema: TableSchema
    rows: dict[int, Row] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    loads: list[RangeReplaced] = field(default_factory=list)
    truncates: list[Truncated] = field(default_factory=list)
    commit: int = 10
    states: list[tuple[Position, list[Row]]] = field(default_factory=list)

    def run(self, all_steps: Sequence[tuple[Any, ...]]) -> History:
        for step in all_steps:
            getattr(self, "_" + step[0].replace("-", "_"))(*step[1:])
            self.states.append((Position(1, self.commit).end_of_commit(), list(self.rows.values())))
            self.commit += 10
        return self

    @property
    def controls(self) -> Controls:
        return Controls(tuple(self.loads), tuple(self.truncates))

    def table(self, order: Sequence[int] | None = None) -> pa.Table:
        rows = [self.events[i] for i in order] if order is not None else self.events
        return pa.Table.from_pylist(rows, ev.stored_schema(self.schema))

    def _insert(self, k: int, a: str | None, big: str | None, born: dt.date) -> None:
        if k not in self.rows:
            self.rows[k] = (k, a, big, born)
            self._event("I", self.rows[k], 1)

    def _update(self, k: int, a: str | None, big: str | None, keep: bool) -> None:
        if k not in self.rows:
            return
        old = self.rows[k]
        new = (k, a, old[2] if keep else big, old[3])
        self.rows[k] = new
        if not self.schema.key:
            self._event("D", old, 1)
            self._event("I", new, 1)
        else:
            self._event("U", new, 1, unchanged=keep)

    def _move(self, k: int, to: int, a: str | None, keep: bool) -> None:
        if k not in self.rows or to in self.rows:
            return
        old = self.rows.pop(k)
        new = (to, a, old[2] if keep else "moved", old[3])
        self.rows[to] = new
        if not self.schema.key:
            self._event("D", old, 1)
            self._event("I", new, 1)
        else:
            self._key_only_delete(k)
            self._event("U", new, 1, unchanged=keep, before=k)

    def _delete(self, k: int) -> None:
        if k in self.rows:
            old = self.rows.pop(k)
            if self.schema.key:
                self._key_only_delete(k)
            else:
                self._event("D", old, 1)

    def _truncate(self) -> None:
        self.rows.clear()
        self.truncates.append(Truncated(Position(1, self.commit, 1)))

    def _load(self) -> None:
        self._read(list(self.rows.values()), None)

    def _load_date(self, date: dt.date) -> None:
        self._read([row for row in self.rows.values() if row[3] == date], (date,))

    def _read(self, rows: list[Row], dates: tuple[dt.date, ...] | None) -> None:
        load_id = f"load-{self.commit}"
        self.loads.append(RangeReplaced(Position(1, self.commit), load_id, None, None, len(rows), dates))
        for row in rows:
            self._event("R", row, 0, load_id=load_id)

    def _key_only_delete(self, k: int) -> None:
        self._event("D", (k, None, None, None), 1)

    def _event(
        self,
        op: str,
        row: tuple[Any, ...],
        sequence: int,
        *,
        unchanged: bool = False,
        before: int | None = None,
        load_id: str | None = None,
    ) -> None:
        k, a, big, born = row
        self.events.append(
            {
                ev.OP: op,
                ev.EPOCH: 1,
                ev.COMMIT_POSITION: self.commit,
                ev.SEQUENCE: sequence,
                ev.COMMITTED_AT: EPOCH_TIME,
                ev.LOAD_ID: load_id,
                ev.UNCHANGED: ["big"] if unchanged else None,
                ev.BEFORE: json.dumps({"k": str(before)}) if unchanged and before is not None else None,
                "k": k,
                "a": a,
                "big": None if unchanged else big,
                "born": born,
                ev.ID_RANGE: "r000000",
                ev.EVENT_DATE: born,
            }
        )
