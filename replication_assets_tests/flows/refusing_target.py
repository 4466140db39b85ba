"""A projection target in memory that refuses the rows it is told to, and a store to fill it from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from replication_assets.core.assemble import truncated
from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import POSITION
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import TableSchema
from replication_assets.declarations import Refusals
from replication_assets.errors import CommitConflict
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.dead_letters import DeltaDeadLetters
from replication_assets.flows.project import ProjectReceipt, project_range
from replication_assets.flows.refusals import Handling
from replication_assets.ports import RangeCheckpoint, Refuse, TargetNeeds, refuse_loudly
from replication_assets_tests.event_store.samples import NOON, ORDERS, RANGES, SCHEMA, events, ready

Row = Mapping[str, Any]
R0 = "r000000"


@dataclass
class RefusingTarget:
    """Rows by id. A `note` that begins with `bad` refuses its row, one with `odd` itself alone,
    until they are taken out of `refused`."""

    needs: TargetNeeds = field(default_factory=TargetNeeds)
    rows: dict[int, Row] = field(default_factory=dict)
    checkpoints: dict[str, RangeCheckpoint] = field(default_factory=dict)
    refused: set[str] = field(default_factory=lambda: {"bad", "odd"})
    before_commit: Callable[[], None] = lambda: None
    repaired: int = 0

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        return self.checkpoints.get(id_range)

    def replace(
        self,
        id_range: str,
        schema: TableSchema,
        rows: Iterable[pa.RecordBatch],
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        taken = self._taken([row for batch in rows for row in batch.to_pylist()], refuse)
        self.before_commit()
        self.rows = {row["id"]: row for row in taken}
        return self._commit(id_range, baseline, position)

    def apply(
        self,
        id_range: str,
        schema: TableSchema,
        changes: RangeChanges,
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        taken = self._taken(changes.upserts.to_pylist(), refuse)
        self.before_commit()
        for gone in changes.deletes.to_pylist():
            self._delete(gone)
        for row in taken:
            self._put(row)
        return self._commit(id_range, baseline, position)

    def repair(
        self,
        id_range: str,
        schema: TableSchema,
        rows: pa.Table,
        gone: pa.Table,
        checkpoint: RangeCheckpoint,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> None:
        if self.checkpoints[id_range] != checkpoint:
            raise CommitConflict("the range has moved on", where=id_range)
        assert gone.column_names == list(self.identity(schema))
        taken = self._taken(rows.to_pylist(), refuse)
        self.repaired += len(taken)
        for row in taken:
            self.rows[row["id"]] = row

    def figures(self) -> Mapping[str, float]:
        return {}

    def identity(self, schema: TableSchema) -> tuple[str, ...]:
        return schema.key

    def notes(self) -> dict[int, str | None]:
        return {key: row["note"] for key, row in sorted(self.rows.items())}

    def _taken(self, rows: Sequence[Row], refuse: Refuse) -> list[Row]:
        """Refusals first, as the port says."""
        kept, told = [], []
        for row in rows:
            kind = (row["note"] or "")[:3]
            if kind in self.refused:
                column = "note" if kind == "odd" else None
                told.append(Refusal(key_of(row["id"]), position_of(row), column, f"{kind}-note", "as told"))
            if kind not in self.refused or kind == "odd":
                kept.append({**row, "note": None} if kind in self.refused else row)
        refuse(told)
        return kept

    def _put(self, row: Row) -> None:
        old = self.rows.get(row["id"])
        if old is None or position_of(old) <= position_of(row):
            self.rows[row["id"]] = row

    def _delete(self, row: Row) -> None:
        old = self.rows.get(row["id"])
        if old is not None and position_of(old) <= position_of(row):
            del self.rows[row["id"]]

    def _commit(self, id_range: str, baseline: int, position: Position) -> RangeCheckpoint:
        self.checkpoints[id_range] = RangeCheckpoint(baseline, position, len(self.rows))
        return self.checkpoints[id_range]


def key_of(key: int) -> str:
    return json.dumps({"id": str(key)}, separators=(",", ":"))


def position_of(row: Row) -> Position:
    return Position(*(row[name] for name in POSITION))


@dataclass
class Shop:
    """A store with the log of one table, and a projection of it that refuses."""

    store: DeltaEventStore
    target: RefusingTarget = field(default_factory=RefusingTarget)
    rules: Refusals = field(default_factory=Refusals)
    commit: int = 1

    @property
    def letters(self) -> DeltaDeadLetters:
        return self.store.dead_letters("items", ORDERS)

    @property
    def handling(self) -> Handling:
        return Handling(self.letters, self.rules, f"items {ORDERS}")

    @property
    def id_range(self) -> IdRange:
        return RANGES.by_key(R0)

    def begin(self) -> Shop:
        log = ready(self.store.log(ORDERS))
        self._write(truncated(Position(1, 1, 1), SCHEMA, NOON, 1))
        assert log.exists()
        return self

    def happen(self, *changes: tuple[str, int, str | None]) -> Position:
        """Capture one transaction; returns its last position."""
        self.commit += 1
        self._write(
            events(
                [
                    {"_op": op, "id": key, "note": note, "_commit_position": self.commit, "_sequence": number}
                    for number, (op, key, note) in enumerate(changes, 1)
                ]
            )
        )
        return Position(1, self.commit, len(changes))

    def _write(self, rows: pa.Table) -> None:
        writer = self.store.log(ORDERS).writer()
        writer.write(rows)
        writer.commit(captured=Position(1, self.commit).end_of_commit())

    def project(self, **options: Any) -> ProjectReceipt:
        snapshot = self.store.log(ORDERS).snapshot()
        return project_range(snapshot, ORDERS, self.target, self.id_range, handling=self.handling, **options)

    def with_rules(self, rules: Refusals) -> Shop:
        return replace(self, rules=rules)

    def open(self) -> list[tuple[int, int, str | None, int]]:
        """Id, commit, column and attempts of each open letter."""
        return [
            (
                int(json.loads(each.refusal.key)["id"]),
                each.refusal.position.commit,
                each.refusal.column,
                each.attempts,
            )
            for each in self.letters.open()
        ]

    def closed(self) -> dict[str, int]:
        """How many letters were closed in each way."""
        facts = DeltaTable(self.letters.uri).to_pyarrow_dataset().to_table()
        found: dict[str, int] = {}
        for fact, reason in zip(facts["fact"].to_pylist(), facts["reason"].to_pylist(), strict=True):
            if fact == "closed":
                found[reason] = found.get(reason, 0) + 1
        return found
