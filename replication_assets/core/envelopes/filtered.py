"""Which rows may be told of whole: those that a shape's filters provably take.

An event tells less than a row: a delete often has its key alone, an old row only what differs from the
new one. What it does not tell is unknown, and an unknown value meets no filter, not even `null`: nobody
is to see a row that may be outside of them.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import BEFORE
from replication_assets.core.row_filters import Where, mask, typed_value

Taken = npt.NDArray[np.bool_]


def takes_deleted(where: Sequence[Where], rows: pa.RecordBatch) -> Taken:
    """Of deletes: null is also what the source did not tell, and what the column could not hold."""
    return _known(where, rows) & np.asarray(mask(where, rows), dtype=np.bool_)


def takes_former(where: Sequence[Where], rows: pa.RecordBatch) -> Taken:
    """Of rows that the filters take now: whether they took the old one, too. An old value that is told is
    the source's text, and counts if it is plainly one of the column's type; one that is not told did not
    change."""
    taken = np.ones(rows.num_rows, np.bool_)
    texts = rows.column(BEFORE)
    names = {each.column for each in where}
    olds = {}
    for at in np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False)).tolist():
        was = json.loads(texts[at].as_py())
        if names & was.keys():
            olds[at] = was
    for each in where:
        kind = rows.schema.field(each.column).type
        at_rows = [at for at, was in olds.items() if each.column in was]
        values = pa.array([_old(olds[at][each.column], kind) for at in at_rows], kind)
        former = pa.record_batch([values], [each.column])
        taken[at_rows] &= takes_deleted([each], former)
    return taken


def _known(where: Sequence[Where], rows: pa.RecordBatch) -> Taken:
    known = np.ones(rows.num_rows, np.bool_)
    for each in where:
        known &= np.asarray(pc.is_valid(rows.column(each.column)), dtype=np.bool_)
    return known


def _old(text: str | None, kind: pa.DataType) -> object:
    """A value that a column of this type holds; None where the text is none, or can be read in two ways."""
    if text is None or (pa.types.is_date(kind) and len(text) != len("2024-01-01")):
        return None
    try:
        value = typed_value(text, kind)
        if isinstance(value, dt.datetime):
            # A time without its zone is of a session that nobody knows.
            read = dt.datetime.fromisoformat(text.strip())
            return value if (read.tzinfo is None) == (kind.tz is None) else None
        if isinstance(value, Decimal) and pa.types.is_integer(kind):
            value = int(value) if value == value.to_integral_value() else None
        pa.scalar(value, kind)
    except (ValueError, ArithmeticError, pa.ArrowException):
        return None
    return value
