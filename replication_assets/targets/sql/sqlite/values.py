"""Values as SQLite keeps them: whole numbers, floats, texts and bytes, and nothing else.

Decimals, dates and timestamps are texts, in the form in which PostgreSQL and SQLite's own functions
write them, UTC with a Z. Their odd values (infinity, NaN, years outside 1 to 9999) are texts as well
and stand in the same column. Tables are STRICT: a text in a column of numbers is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import OVERFLOW
from replication_assets.core.structure import ColumnStructure
from replication_assets.errors import RefreshError
from replication_assets.targets.sql.source_defaults import spelled

_INTEGERS = frozenset({"smallint", "integer", "bigint", "oid", "boolean"})
_FLOATS = frozenset({"real", "double precision"})
_NATIVE_TEXTS = frozenset({"text", "character varying", "character", "uuid"})
_ODD = r"^-?infinity$| BC$|^\d{5,}-|^(NaN|-?Infinity)$"
_WHOLE_SECOND = r"\.000000(Z?)$"


def declared_type(column: ColumnStructure) -> str:
    base, _ = spelled(column)
    if column.labels:
        return "TEXT"
    if base in _INTEGERS:
        return "INTEGER"
    if base in _FLOATS:
        return "REAL"
    return "BLOB" if base == "bytea" else "TEXT"


def note_of(column: ColumnStructure) -> str | None:
    """What is otherwise about the column's type."""
    base, arguments = spelled(column)
    if column.labels:
        return None
    if base in _NATIVE_TEXTS and arguments:
        return f"has no limit of {arguments[0]} characters"
    if base in _NATIVE_TEXTS or base in _INTEGERS or base in _FLOATS or base == "bytea":
        return None
    return "is kept as its text"


def stored_rows(batch: pa.RecordBatch) -> Iterator[tuple[object, ...]]:
    """The rows for `executemany`, without `_overflow`.

    Raises:
        RefreshError: a value that SQLite does not keep.
    """
    odd = _odd_texts(batch)
    columns = []
    for name in batch.schema.names:
        if name == OVERFLOW:
            continue
        values = _stored(batch.column(name), name).to_pylist()
        for row, text in odd.get(name, {}).items():
            if isinstance(text, str) and _is_text(batch.column(name).type) and values[row] is None:
                values[row] = text
            else:
                raise RefreshError(f"column {name} holds a value that SQLite does not have")
        columns.append(values)
    return zip(*columns, strict=True)


def _odd_texts(batch: pa.RecordBatch) -> dict[str, dict[int, object]]:
    column = batch.column(OVERFLOW)
    found: dict[str, dict[int, object]] = {}
    for row in np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False)):
        for name, text in json.loads(column[int(row)].as_py()).items():
            found.setdefault(name, {})[int(row)] = text
    return found


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) or pa.types.is_temporal(kind))


def _stored(values: pa.Array, name: str) -> pa.Array:
    kind = values.type
    if pa.types.is_boolean(kind):
        return values.cast(pa.int8())
    if pa.types.is_floating(kind):
        numbers = pc.drop_null(values).cast(pa.float64()).to_numpy(zero_copy_only=False)
        if np.isnan(numbers).any() or (np.signbit(numbers) & (numbers == 0)).any():
            raise RefreshError(
                f"column {name} holds NaN or the negative zero, which SQLite does not have",
                fix="give the column a rule that rounds or replaces its values",
            )
    if not _is_text(kind):
        return values
    texts = values.cast(pa.string())
    # As SQLite's own functions and its applications write a whole second: equal moments are equal texts.
    return pc.replace_substring_regex(texts, _WHOLE_SECOND, r"\1") if pa.types.is_timestamp(kind) else texts


def read_batch(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.RecordBatch:
    """A batch in `schema` from the columns that it names, `_overflow` apart."""
    names = [name for name in schema.names if name != OVERFLOW]
    arrays: dict[str, pa.Array] = {}
    odd: list[tuple[str, pa.Array]] = []
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        kind = schema.field(name).type
        if not _is_text(kind):
            arrays[name] = _read(column, kind)
            continue
        texts = pa.array(column, pa.string())
        is_odd = pc.fill_null(pc.match_substring_regex(texts, _ODD), False)
        if pc.any(is_odd).as_py():
            nothing = pa.scalar(None, pa.string())
            odd.append((name, pc.if_else(is_odd, texts, nothing)))
            texts = pc.if_else(is_odd, nothing, texts)
        arrays[name] = texts.cast(kind)
    arrays[OVERFLOW] = _overflow(odd, len(rows))
    return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _read(column: tuple[object, ...], kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):
        return pa.array(column, pa.int8()).cast(pa.bool_())
    if pa.types.is_float32(kind):
        return pa.array(column, pa.float64()).cast(kind)
    return pa.array(column, kind)


def _overflow(odd: Sequence[tuple[str, pa.Array]], rows: int) -> pa.Array:
    """The objects of odd texts in the form of the event store: columns in their order."""
    texts: list[str | None] = [None] * rows
    there = np.zeros(rows, dtype=bool)
    for _, column in odd:
        there |= column.is_valid().to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(there):
        members = [
            f"{json.dumps(name, ensure_ascii=False)}:{json.dumps(column[int(row)].as_py())}"
            for name, column in odd
            if column[int(row)].is_valid
        ]
        texts[int(row)] = "{" + ",".join(members) + "}"
    return pa.array(texts, pa.string())
