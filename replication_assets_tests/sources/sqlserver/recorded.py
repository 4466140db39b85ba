"""A server that answers from a record: exact text of a statement to rows or Arrow batches, as the driver
gives them. It refuses every statement that it does not know, so that what the adapter sends is what was
recorded. What the answers of a real server are is taken from Microsoft's documentation and from the tests
of the driver; no server was asked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from replication_assets.core.schema import TableId
from replication_assets.sources.sqlserver.lease import lock_name
from replication_assets.sources.sqlserver.sessions import _SETTINGS, Row, Session
from replication_assets.sources.sqlserver.statements import catalog, server

T = TableId("erp", "dbo", "orders")
NOW = dt.datetime(2026, 3, 4, 5, 6, 7)
ID = ("id", "int", 4, 10, 0)
V = ("v", "int", 4, 10, 0)
S = ("s", "nvarchar", 100, 0, 0)


class NotRecorded(AssertionError):
    """The adapter sent what nobody recorded."""


@dataclass
class Recorded:
    """A `Sessions`. `answers` holds what each statement is answered with; of a list in `turns` one after
    the other, the last for good. `sent` is everything that was sent, `open` how many sessions are."""

    answers: dict[str, Any] = field(default_factory=dict)
    turns: dict[str, list[Any]] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    open: int = 0
    where: str = "recorded"

    def connect(self, *, statement_seconds: int = 60) -> Session:
        assert statement_seconds >= 0
        self.open += 1
        return _RecordedSession(self)

    def knows(self, *statements: str) -> None:
        """Statements that are only run."""
        self.runs.update(statements)

    def ran(self, *beginnings: str) -> list[str]:
        """Of what was sent, what begins so."""
        return [each for each in self.sent if each.startswith(beginnings)]

    def answer(self, statement: str) -> Any:
        self.sent.append(statement)
        if statement in self.turns:
            waiting = self.turns[statement]
            found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        elif statement in self.answers:
            found = self.answers[statement]
        else:
            raise NotRecorded(statement)
        if isinstance(found, Exception):
            raise found
        return found


@dataclass
class _RecordedSession:
    server: Recorded
    where: str = "recorded"
    reading: bool = False

    def rows(self, statement: str) -> list[Row]:
        self._free()
        found: list[Row] = self.server.answer(statement)
        return list(found)

    def run(self, statement: str) -> None:
        self._free()
        if statement in self.server.runs:
            self.server.sent.append(statement)
            return
        self.server.answer(statement)

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        self._free()
        self.reading = True
        try:
            yield from self.server.answer(statement)
        finally:
            self.reading = False

    def close(self) -> None:
        self.server.open -= 1

    def _free(self) -> None:
        # The driver has one answer under way at a time.
        assert not self.reading, "a statement is sent while an answer is read"


def recorded_table(
    recorded: Recorded,
    table: TableId = T,
    columns: Sequence[tuple[str, str, int, int, int]] = (ID, V, S),
    *,
    key: Sequence[str] = ("id",),
    kind: str = "U ",
    computed: Sequence[str] = (),
    masked: Sequence[str] = (),
    number: int = 245575913,
    rows: int = 3,
) -> None:
    """What the catalog says of a table. Types are `(name, system type, bytes, precision, scale)`."""
    recorded.answers[catalog.find_relation(table)] = [(kind, number, rows, False, False, 0)]
    recorded.answers[catalog.columns(table)] = [
        (*c, c[0] not in key, c[0] in computed, False, 0, c[0] in masked) for c in columns
    ]
    recorded.answers[catalog.primary_key(table)] = [(name,) for name in key]
    recorded.answers[catalog.may_select(table)] = [(1, 0, "reader")]
    recorded.answers[catalog.hiding_policies(table)] = []
    recorded.knows(server.touch(table))


def recorded_server(
    *,
    by_cdc: bool = False,
    tracked: int = 0,
    snapshots: int = 1,
    owner: int = 1,
    edition: int = 3,
    sees: int = 1,
    source: str = "erp",
) -> Recorded:
    """A server of the developer edition, its agent running, that nobody captures from."""
    recorded = Recorded()
    recorded.knows(*_SETTINGS, server.SNAPSHOT, server.BEGIN, server.COMMIT, server.ROLLBACK)
    recorded.answers |= {
        server.CLOCK: [(NOW,)],
        server.SETTINGS: [(16, edition, "shop", by_cdc, snapshots, False, 160, tracked)],
        server.PERMISSIONS: [(owner, 0, sees, "reader")],
        server.REPL_SIZE: [(65536,)],
        server.IDENTITY: [("A1B2C3D4-0000-0000-0000-000000000001", "F0F0F0F0-0000-0000-0000-000000000002")],
        server.lock(lock_name(source)): [(0,)],
        server.lock_is_free(lock_name(source)): [(1,)],
        server.lock_is_ours(lock_name(source)): [("Exclusive",)],
    }
    return recorded


def batch(*columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns), [f"c{i}" for i in range(len(columns))])
