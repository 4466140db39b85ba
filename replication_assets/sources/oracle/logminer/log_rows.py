"""Rows of V$LOGMNR_CONTENTS, whole: long statements come in pieces of 4,000 bytes, one row each, that stand
one behind the other (`CSF`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from replication_assets.errors import DecodeError

INSERT, DELETE, UPDATE, DDL, START, COMMIT = 1, 2, 3, 5, 6, 7
SELECT_FOR_UPDATE, MISSING_SCN, ROLLBACK, UNSUPPORTED = 25, 34, 36, 255
DML = frozenset({INSERT, DELETE, UPDATE})
SELECT_LOB_LOCATOR = 9
LOB_WRITES = frozenset({10, 11, 29})
"""LOB_WRITE, LOB_TRIM, LOB_ERASE."""
LOB_CODES = LOB_WRITES | {SELECT_LOB_LOCATOR}
LARGE_OBJECTS = LOB_CODES | {68, 70, 71}
"""Those, and XML documents in pieces."""

_MICROSECOND = dt.timedelta(microseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_COLUMNS = (
    *("SCN", "THREAD", "RS_ID", "SSN", "XID", "CODE", "UNDOES", "CONTINUES", "STATUS", "SEG_OWNER"),
    *("TABLE_NAME", "OBJECT", "ROW_ID", "WRITTEN", "SQL_REDO"),
)


@dataclass(frozen=True, slots=True)
class LogRow:
    """One change, or the begin or end of a transaction. `written` is in microseconds since 1970 by the
    server's clock, in the server's time zone. `undoes`: it takes an earlier change of its transaction
    back."""

    scn: int
    thread: int
    rs_id: str
    ssn: int
    xid: str
    code: int
    undoes: bool
    status: int
    owner: str | None
    table: str | None
    object: int | None
    row_id: str | None
    written: int
    redo: str


def whole_rows(frames: Iterable[pa.RecordBatch]) -> Iterator[LogRow]:
    """Rows in the order of the log.

    Raises:
        DecodeError: a piece of a statement has no end.
    """
    pieces: list[str] = []
    begun: tuple[object, ...] = ()
    for frame in frames:
        names = [name.upper() for name in frame.schema.names]
        columns = [frame.column(names.index(name)).to_pylist() for name in _COLUMNS]
        for row in zip(*columns, strict=True):
            same = (row[0], row[1], row[2], row[3], row[4])
            if pieces and same != begun:
                raise DecodeError("a statement of the redo log has no end", fix="run the capture again")
            if row[7]:
                begun = same
                pieces.append(row[14] or "")
                continue
            redo = "".join([*pieces, row[14] or ""]) if pieces else row[14] or ""
            pieces.clear()
            yield _log_row(row, redo)
    if pieces:
        raise DecodeError("a statement of the redo log has no end", fix="run the capture again")


def _log_row(row: tuple[object, ...], redo: str) -> LogRow:
    scn, thread, rs_id, ssn, xid, code, undoes, _, status, owner, table, number, row_id, written, _ = row
    if scn is None or xid is None or code is None or written is None:
        raise DecodeError("a row of the redo log has no SCN, transaction, operation or time")
    return LogRow(
        scn=int(str(scn)),
        thread=int(str(thread or 0)),
        rs_id=str(rs_id or "").strip(),
        ssn=int(str(ssn or 0)),
        xid=str(xid),
        code=int(str(code)),
        undoes=bool(undoes),
        status=int(str(status or 0)),
        owner=None if owner is None else str(owner),
        table=None if table is None else str(table),
        object=None if number is None else int(str(number)),
        row_id=None if row_id is None else str(row_id),
        written=_microseconds(str(written)),
        redo=redo,
    )


def _microseconds(written: str) -> int:
    try:
        return (dt.datetime.fromisoformat(written.strip()).replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
    except ValueError:
        raise DecodeError("a time of the redo log is not of its form") from None
