"""Keys of rows that are read again: from statements of the log, and into conditions of a query.

A key is the texts of its columns in the form in which `values.old_texts` prints stored values, so that a key
of the log and one of a row that was read are equal exactly if their stored values are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import pyarrow as pa

from replication_assets.core.schema import Column, TableSchema
from replication_assets.sources.oracle.logminer.images import Misfit, is_told_as
from replication_assets.sources.oracle.logminer.redo_text import Image
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.types import LARGE, Family, NativeType
from replication_assets.sources.oracle.values import from_text, old_texts

RowKey: TypeAlias = tuple[str, ...]

_BOUND: dict[Family, str] = {
    "number": "TO_NUMBER(:{})",
    "text": ":{}",
    "binary": "HEXTORAW(:{})",
    "date": "TO_DATE(:{}, 'YYYY-MM-DD HH24:MI:SS')",
}
_SECONDS = len("2026-01-31 23:59:59")


def can_be_looked_up(column: Column) -> bool:
    """Whether rows can be found by its value again, each by its own."""
    return column.source_type not in LARGE and NativeType.parse(column.source_type).family in _BOUND


def key_of(image: Image, schema: TableSchema) -> RowKey:
    """Raises Misfit if the statement does not carry the key."""
    return tuple(_text(schema.column(name), image) for name in schema.key)


def _text(column: Column, image: Image) -> str:
    value = image.get(column.name)
    if value is None or value.text is None:
        raise Misfit(f"it does not carry key column {column.name}")
    if not is_told_as(value, column):
        raise Misfit(f"column {column.name} is told as another type")
    typed, odd = from_text(column, pa.array([value.text], pa.string()))
    if odd is not None:
        raise Misfit(f"key column {column.name} holds what its type cannot")
    return str(old_texts(typed, None)[0].as_py())


def keys_of(columns: Sequence[pa.Array], schema: TableSchema) -> list[RowKey]:
    """Keys of rows that were read, by the stored values of all columns."""
    texts = [old_texts(columns[schema.names.index(name)], None).to_pylist() for name in schema.key]
    return [tuple(str(text) for text in row) for row in zip(*texts, strict=True)]


def conditions(schema: TableSchema, keys: Sequence[RowKey]) -> tuple[str, dict[str, object]]:
    """SQL for the rows of some keys, and what its names are bound to."""
    binds: dict[str, object] = {}
    listed = []
    for row, key in enumerate(keys):
        bound = []
        for place, (name, text) in enumerate(zip(schema.key, key, strict=True)):
            family = NativeType.parse(schema.column(name).source_type).family
            bind = f"k{row}_{place}"
            binds[bind] = text[:_SECONDS] if family == "date" else text
            bound.append(_BOUND[family].format(bind))
        listed.append(bound[0] if len(bound) == 1 else f"({', '.join(bound)})")
    names = [quoted(name) for name in schema.key]
    left = names[0] if len(names) == 1 else f"({', '.join(names)})"
    return f"{left} IN ({', '.join(listed)})", binds
