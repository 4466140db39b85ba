"""A session that answers statements by their exact text, and refuses any that it does not know.

It stands for the driver behind `sources.oracle.sessions`: rows are in the driver's Python types, frames in
its Arrow types. No Oracle runs here: what is recorded is what the documentation says that a server answers.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from replication_assets.core.schema import TableId
from replication_assets.sources.oracle.sessions import Binds, Row
from replication_assets.sources.oracle.statements import catalog, log, rows

Answer = Sequence[Row] | Exception | Callable[[Binds], Any]
NOW = dt.datetime(2026, 6, 1, 12, 0, 0, 250)
TABLE = TableId("erp", "SALES", "ORDERS")


@dataclass
class RecordedServer:
    """See `sources.oracle.sessions.Server`. `answers` may be changed while it is used."""

    answers: dict[str, Answer] = field(default_factory=dict)
    where: str = "oracle db:1521/erp"
    ran: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def open(self, *, statement_seconds: int = 60, log: bool = False) -> RecordedSession:
        return RecordedSession(self, log)


class AnsweringSession(ABC):
    """A session whose every statement is answered out of a table."""

    @abstractmethod
    def _answer(self, statement: str, binds: Binds) -> Any: ...

    def rows(self, statement: str, binds: Binds = {}) -> list[Row]:  # noqa: B006  # never changed
        return list(self._answer(statement, binds))

    def frames(
        self,
        statement: str,
        binds: Binds = {},  # noqa: B006
        size: int = 10_000,
    ) -> Iterator[pa.RecordBatch]:
        yield from self._answer(statement, binds)

    def run(self, statement: str, binds: Binds = {}) -> None:  # noqa: B006
        self._answer(statement, binds)


@dataclass
class RecordedSession(AnsweringSession):
    server: RecordedServer
    log: bool
    open: bool = True

    @property
    def where(self) -> str:
        return self.server.where

    def _answer(self, statement: str, binds: Binds) -> Any:
        assert self.open, "the session is closed"
        assert statement in self.server.answers, f"not recorded: {statement}"
        assert set(binds) == {name for name in binds if f":{name}" in statement}, "a bind without a place"
        self.server.ran.append((statement, dict(binds)))
        answer = self.server.answers[statement]
        if isinstance(answer, Exception):
            raise answer
        return answer(binds) if callable(answer) else answer

    def number(self, statement: str, out: str, binds: Binds = {}) -> int:  # noqa: B006
        assert f":{out} :=" in statement
        (found,) = self._answer(statement, binds)
        return int(found[0])

    def close(self) -> None:
        self.open = False


def column(
    name: str,
    data_type: str,
    *,
    length: int | None = None,
    precision: int | None = None,
    scale: int | None = None,
    characters: int | None = None,
    nullable: bool = True,
    virtual: bool = False,
    default: int | None = None,
    identity: bool = False,
    hidden: bool = False,
    owner: str | None = None,
) -> Row:
    """A row of `catalog.COLUMNS`."""
    return (
        *(name, data_type, owner, length, precision, scale, characters or 0, "C" if characters else None),
        *("Y" if nullable else "N", "YES" if virtual else "NO", default, "YES" if identity else "NO"),
        *(1, "YES" if hidden else "NO", None),
    )


ORDERS = [
    column("ID", "NUMBER", precision=9, scale=0, nullable=False),
    column("AMOUNT", "NUMBER", precision=10, scale=2),
    column("NOTE", "VARCHAR2", length=400, characters=100),
]
KEY = [("PK_ORDERS", "P", "ID", None, None, None, None, "NOT DEFERRABLE", "IMMEDIATE")]
KINDS = {
    "TABLE": ("TABLE", 3, None, "N", "NO", None, "NO", "YES"),
    "VIEW": ("VIEW", None, None, None, None, None, None, None),
}


def dictionary(
    columns: Sequence[Row] = ORDERS,
    constraints: Sequence[Row] = KEY,
    *,
    kind: str = "TABLE",
    table: TableId = TABLE,
) -> dict[str, Answer]:
    """What the data dictionary tells of one table."""

    def of_table(found: Sequence[Row]) -> Callable[[Binds], Sequence[Row]]:
        return lambda binds: found if dict(binds) == {"owner": table.schema, "name": table.name} else []

    return {
        catalog.RELATION: of_table([KINDS[kind]]),
        catalog.COLUMNS: of_table(columns),
        catalog.CONSTRAINTS: of_table(constraints),
        catalog.OBJECTS: of_table([(70_001,)]),
        catalog.WHO: [("REPLICATOR", "ERP")],
        catalog.CHARACTER_SET: [("AL32UTF8",)],
        catalog.CLOCK: [(NOW,)],
        rows.probe(table.schema, table.name): [],
    }


DATABASE_ROW = (4711, 1_000, 500_000, "ARCHIVELOG", "YES", "NO", "NO", "NO", "READ WRITE", "NO")
FILES = [("/arch/1_7.arc", 1, 7, 1_000, 400_000, "archived"), ("/redo/2.log", 1, 8, 400_000, 2**48, "online")]
THREADS = [(1, "OPEN", "erp1", 500_000, 1)]


def ready(found: Mapping[str, Answer] | None = None) -> dict[str, Answer]:
    """A database that loads and captures of `TABLE` need nothing of."""
    from replication_assets.sources.oracle.preflight import VIEW_PROBES

    return {
        **dictionary(),
        catalog.DATABASE: [DATABASE_ROW],
        catalog.CURRENT_SCN: [(500_000,)],
        catalog.PRIVILEGES: [("CREATE SESSION",), ("LOGMINING",), ("SELECT ANY TRANSACTION",)],
        catalog.CAN_EXECUTE: [(3,)],
        catalog.PARAMETERS: [("undo_management", "AUTO"), ("undo_retention", "3600")],
        catalog.SUPPLEMENTAL_GROUPS: [("ALL COLUMN LOGGING",)],
        log.ARCHIVED_HOURS: [(48.5, 9000.0)],
        rows.flashback_probe(TABLE.schema, TABLE.name): [],
        **dict.fromkeys(VIEW_PROBES, ()),
        **(found or {}),
    }
