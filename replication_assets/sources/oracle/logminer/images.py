"""Row images of one table from LogMiner's statements, whole columns at a time.

With supplemental logging of all columns an update and a delete carry the whole old row, and an update sets
the columns that changed: the new row is the old one with these. A statement that lacks a column, or has one
that is not the table's, was written under other settings or another definition: it is `Misfit`, and the
table is to be loaded again. What a value is passed through must fit the column's type.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from replication_assets.core.change_rows import ChangeRows, Image
from replication_assets.core.schema import Column, TableSchema
from replication_assets.sources.oracle.logminer.redo_text import NULL, NotUnderstood, Redo, Value
from replication_assets.sources.oracle.types import Family, NativeType
from replication_assets.sources.oracle.values import from_text, old_texts

_THROUGH: dict[Family, frozenset[str]] = {
    "number": frozenset({""}),
    "float": frozenset({""}),
    "text": frozenset({""}),
    "boolean": frozenset({""}),
    "date": frozenset({"TO_DATE"}),
    "timestamp": frozenset({"TO_TIMESTAMP"}),
    "local": frozenset({"TO_TIMESTAMP", "TO_TIMESTAMP_TZ"}),
    "zoned": frozenset({"TO_TIMESTAMP_TZ"}),
    "interval": frozenset({"TO_YMINTERVAL", "TO_DSINTERVAL"}),
    "binary": frozenset({"HEXTORAW"}),
}
_UTC = (" +00:00", " UTC", " UTC UTC", " +00:00 GMT")


class Misfit(ValueError):
    """The statement is not of the table as it is known. Holds no value."""


def check_fit(redo: Redo, schema: TableSchema) -> None:
    """Raises Misfit if the statement does not tell the whole row of the table."""
    wanted = set(schema.names)
    skipped = set(schema.not_replicated)
    told = (set(redo.new) | set(redo.old)) - skipped
    if not told <= wanted:
        raise Misfit("it names columns that the table does not have")
    if redo.operation != "I" and wanted - set(redo.old):
        # NULLs at the end of an inserted row are not written; of an old row all columns are.
        raise Misfit("it does not carry the whole old row")
    columns = {column.name: column for column in schema.columns}
    for image in (redo.new, redo.old):
        for name, value in image.items():
            if name in columns and not is_told_as(value, columns[name]):
                raise Misfit(f"column {name} is told as another type")


def is_told_as(value: Value, column: Column) -> bool:
    """Whether a value is passed through what the column's type is passed through."""
    return value.text is None or value.function in _THROUGH[NativeType.parse(column.source_type).family]


def change_rows(
    redos: Sequence[Redo],
    schema: TableSchema,
    commits: Sequence[int],
    sequences: Sequence[int],
    committed_at: Sequence[int],
    transactions: Sequence[int],
) -> ChangeRows:
    """Changes of one table that `check_fit` let pass.

    Raises:
        DecodeError: a value is not of its column's type.
    """
    old = row_images([redo.old if redo.operation != "I" else {} for redo in redos], schema)
    new = row_images([_new_row(redo) for redo in redos], schema)
    return ChangeRows(
        operations=pa.array([redo.operation for redo in redos], pa.string()),
        commits=np.array(commits, dtype=np.int64),
        sequences=np.array(sequences, dtype=np.int64),
        committed_at=np.array(committed_at, dtype=np.int64),
        transactions=np.array(transactions, dtype=np.int64),
        old=old,
        new=new,
    )


def _new_row(redo: Redo) -> dict[str, Value]:
    if redo.operation == "D":
        return {}
    return {**redo.old, **redo.new}


def row_images(rows: Sequence[dict[str, Value]], schema: TableSchema) -> Image:
    """Stored values of row images; null where a column is not told.

    Raises:
        DecodeError: a value is not of its column's type.
    """
    typed, odd, texts = [], [], []
    for column in schema.columns:
        name = column.name
        found = [row.get(name, NULL).text for row in rows]
        if NativeType.parse(column.source_type).family == "local":
            found = [_without_zone(text) for text in found]
        told = pa.array(found, pa.string())
        values, odd_texts = from_text(column, told)
        typed.append(values)
        odd.append(odd_texts)
        texts.append(old_texts(values, odd_texts))
    return Image(tuple(typed), tuple(odd), tuple(texts))


def _without_zone(text: str | None) -> str | None:
    """Printed in the session's time zone, which is UTC, and says so or not."""
    if text is None:
        return None
    for suffix in _UTC:
        if text.endswith(suffix):
            return text[: -len(suffix)]
    return text


__all__ = ["Misfit", "NotUnderstood", "change_rows", "check_fit", "is_told_as", "row_images"]
