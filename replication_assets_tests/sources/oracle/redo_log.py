"""A redo log of tests: transactions that write rows of V$LOGMNR_CONTENTS, and a server that mines them.

What a row looks like is as Oracle Database Reference and Utilities (LogMiner) document it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from replication_assets.core.schema import TableId
from replication_assets.sources.oracle.sessions import Binds
from replication_assets.sources.oracle.statements import catalog, log
from replication_assets.sources.oracle.status import capture_lock
from replication_assets_tests.sources.oracle.recorded import (
    FILES,
    TABLE,
    THREADS,
    RecordedServer,
    ready,
)

FIRST = 450_000
WRITTEN = dt.datetime(2026, 6, 1, 14, 0)
OFFSET = 120
"""Minutes that the clock of the server is ahead of UTC."""

_FRAME = pa.schema(
    [
        *((name, pa.int64()) for name in ("SCN", "THREAD")),
        ("RS_ID", pa.string()),
        ("SSN", pa.int64()),
        ("XID", pa.string()),
        *((name, pa.int64()) for name in ("CODE", "UNDOES", "CONTINUES", "STATUS")),
        *((name, pa.string()) for name in ("SEG_OWNER", "TABLE_NAME")),
        ("OBJECT", pa.int64()),
        *((name, pa.string()) for name in ("ROW_ID", "WRITTEN", "SQL_REDO", "INFO")),
    ]
)
PIECE = 40
"""Characters of a statement in one row: 4,000 bytes in a real one."""


@dataclass
class RedoLog:
    """Rows in the order that they were written. Each write takes the next SCN."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    scn: int = FIRST

    def write(self, xid: int, code: int, redo: str = "", **changed: Any) -> int:
        """Append a row, in pieces where its statement is long; its SCN."""
        self.scn = changed.pop("scn", self.scn + 1)
        pieces = [redo[at : at + PIECE] for at in range(0, len(redo), PIECE)] or [""]
        for number, piece in enumerate(pieces):
            self.rows.append(
                {
                    "SCN": self.scn,
                    "THREAD": 1,
                    "RS_ID": f" 0x{len(self.rows):06x}.00000001.0010 ",
                    "SSN": 0,
                    "XID": f"{xid:016X}",
                    "CODE": code,
                    "UNDOES": 0,
                    "CONTINUES": int(number < len(pieces) - 1),
                    "STATUS": 0,
                    "SEG_OWNER": None,
                    "TABLE_NAME": None,
                    "OBJECT": None,
                    "ROW_ID": None,
                    "WRITTEN": f" {WRITTEN:%Y-%m-%d %H:%M:%S}",
                    "SQL_REDO": piece,
                    "INFO": None,
                    **changed,
                }
            )
            if len(pieces) > 1:
                self.rows[-1]["RS_ID"] = self.rows[-1 - number]["RS_ID"]
        return self.scn

    def begin(self, xid: int) -> int:
        return self.write(xid, 6, "set transaction read write")

    def change(self, xid: int, redo: str, *, row: str = "AAA", table: TableId = TABLE, **more: Any) -> int:
        code = {"i": 1, "d": 2, "u": 3}[redo[0]]
        names = {"SEG_OWNER": table.schema, "TABLE_NAME": table.name, "OBJECT": 70_001, "ROW_ID": row}
        return self.write(xid, code, redo, **{**names, **more})

    def commit(self, xid: int, **more: Any) -> int:
        return self.write(xid, 7, "commit", **more)

    def rollback(self, xid: int) -> int:
        return self.write(xid, 36, "rollback")

    def ddl(self, xid: int, statement: str) -> int:
        return self.write(xid, 5, statement, SEG_OWNER=TABLE.schema, TABLE_NAME=TABLE.name, OBJECT=70_001)

    def mined(self, binds: Binds) -> Iterator[pa.RecordBatch]:
        """What LogMiner shows of a stretch, two rows to a frame."""
        first, last = int(str(binds["first"])), int(str(binds["last"]))
        found = [
            row
            for row in self.rows
            if first <= row["SCN"] <= last and binds.get("xid", row["XID"]) == row["XID"]
        ]
        for at in range(0, len(found), 2):
            yield pa.RecordBatch.from_pylist(found[at : at + 2], _FRAME)


def insert(key: int, amount: str = "1.5", note: str | None = "x", table: TableId = TABLE) -> str:
    return (
        f'insert into "{table.schema}"."{table.name}"("ID","AMOUNT","NOTE")'
        f" values ('{key}','{amount}',{_literal(note)})"
    )


def delete(key: int, amount: str = "1.5", note: str | None = "x") -> str:
    return f'delete from "SALES"."ORDERS" where {_row(key, amount, note)}'


def update(
    key: int, amount: str, *, was: str = "1.5", note: str | None = "x", new_key: int | None = None
) -> str:
    moved = f", \"ID\" = '{new_key}'" if new_key is not None else ""
    return f'update "SALES"."ORDERS" set "AMOUNT" = \'{amount}\'{moved} where {_row(key, was, note)}'


def _row(key: int, amount: str, note: str | None) -> str:
    told = '"NOTE" IS NULL' if note is None else f'"NOTE" = {_literal(note)}'
    return f"\"ID\" = '{key}' and \"AMOUNT\" = '{amount}' and {told}"


def _literal(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def mining_server(
    redo: RedoLog,
    *,
    files: Sequence[tuple[Any, ...]] = FILES,
    threads: Sequence[tuple[Any, ...]] = THREADS,
    oldest: int | None = None,
    tables: Sequence[TableId] = (TABLE,),
    more: Mapping[str, Any] | None = None,
) -> RecordedServer:
    """A server whose redo log is `redo`."""
    lock = {"lock_id": capture_lock("erp")}
    server = RecordedServer()
    taken: list[object] = []

    def take(binds: Binds) -> list[tuple[int]]:
        assert dict(binds) == lock
        taken.append(binds)
        return [(0,)]

    answers: dict[str, Any] = {
        **ready(),
        catalog.CURRENT_SCN: lambda binds: [(redo.scn,)],
        catalog.UTC_OFFSET: [(OFFSET,)],
        log.LOG_FILES: lambda binds: [
            file for file in files if file[4] > binds["first"] and file[3] <= binds["last"]
        ],
        log.THREADS: threads,
        log.THIS_INSTANCE: [(1,)],
        log.OLDEST_TRANSACTION: [(oldest,)],
        log.TAKE_LOCK: take,
        log.OURS: [(1,)],
        log.READER: [(1, 99, 4)],
        log.RETAINED: [(2**30, 1_000, None)],
        log.FENCE: [],
        log.ADD_FIRST_FILE: [],
        log.ADD_FILE: [],
        log.START: [],
    }
    for xid in (False, True):
        text = log.contents(len(tables), [70_001], container=False, xid=xid)
        answers[text] = redo.mined
    server.answers = {**answers, **(more or {})}
    return server
