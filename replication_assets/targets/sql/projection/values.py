"""Values that an engine's own type cannot hold, put beside their column as text, and put back.

Nothing is coerced: where a column's type in the engine lacks a value (NaN in a FLOAT of MySQL, 0x00 in a
text of PostgreSQL), the column is null and the row's `_as_text` holds the value under the column's name.
Odd values that the event store itself keeps in `_overflow` stay there, as they came.

Types that engines lack are widened on the way in and narrowed on the way out: unsigned 64 bits are a
decimal of 20 digits. What has no wider type is refused by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.schema import Column
from replication_assets.errors import TargetError
from replication_assets.targets.sql.projection.layout import AS_TEXT, Layout

Unheld: TypeAlias = Callable[[pa.Array, Column], pa.Array | None]
"""Which values of a column an engine cannot hold (true in a row that has one); None for none."""

_WIDER: Mapping[pa.DataType, pa.DataType] = {
    pa.int8(): pa.int16(),
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.large_string(): pa.string(),
    pa.large_binary(): pa.binary(),
}
_HELD = frozenset(
    {
        pa.bool_(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.date32(),
        pa.timestamp("us"),
        pa.timestamp("us", tz="UTC"),
        pa.string(),
        pa.binary(),
    }
)


def carrier(kind: pa.DataType, column: str) -> pa.DataType:
    """The type in which values go to an engine and come back.

    Raises:
        TargetError: there is none.
    """
    wider: pa.DataType = _WIDER.get(kind, kind)
    if wider in _HELD or pa.types.is_decimal128(wider):
        return wider
    raise TargetError(
        f"column {column!r} is stored as {kind}, which no SQL engine is given",
        fix="replicate a view that gives the column as text",
    )


def carriers(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, carrier(field.type, field.name)) for field in schema])


def outgoing(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch in carrier types; none of them narrower."""
    return batch.cast(carriers(batch.schema))


def with_texts(batch: pa.RecordBatch, layout: Layout, unheld: Unheld) -> tuple[pa.RecordBatch, pa.Array]:
    """The batch with null where the engine cannot hold a value, and those values as `_as_text`."""
    texts: dict[int, dict[str, str]] = {}
    for column in layout.schema.columns:
        at = batch.schema.get_field_index(column.name)
        values = batch.column(at)
        lost = unheld(values, column)
        if lost is None or not pc.any(lost).as_py():
            continue
        # Row by row: values that an engine cannot hold are rare.
        for row in np.flatnonzero(pc.fill_null(lost, False).to_numpy(zero_copy_only=False)).tolist():
            texts.setdefault(row, {})[column.name] = _text(values[row].as_py())
        nothing = pa.scalar(None, values.type)
        batch = batch.set_column(at, batch.schema.field(at), pc.if_else(lost, nothing, values))
    objects: list[str | None] = [None] * batch.num_rows
    for row, members in texts.items():
        objects[row] = json.dumps(members, separators=(",", ":"))
    return batch, pa.array(objects, pa.string())


def _text(value: object) -> str:
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def restored(batch: pa.RecordBatch, layout: Layout) -> pa.RecordBatch:
    """The inverse of `with_texts` and `outgoing`: a batch with `_as_text` as it was given, without it.

    Raises:
        TargetError: somebody wrote into `_as_text` what is no such object.
    """
    kinds = {field.name: field.type for field in layout.rows}
    texts = batch.column(AS_TEXT)
    odd: dict[str, dict[int, str]] = {}
    for row in np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False)):
        for name, text in _members(texts[int(row)].as_py(), layout).items():
            odd.setdefault(name, {})[int(row)] = text
    arrays, fields = [], []
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        if name == AS_TEXT:
            continue
        values = values.cast(kinds[name])
        arrays.append(_with(values, odd[name]) if name in odd else values)
        fields.append(pa.field(name, kinds[name]))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _members(text: str, layout: Layout) -> dict[str, str]:
    try:
        found = json.loads(text)
        if all(isinstance(each, str) and name in layout.schema.names for name, each in found.items()):
            return dict(found)
    except (ValueError, AttributeError):
        pass
    raise TargetError(
        "a row's books are not as they were written", where=str(layout.place), fix="replace its range"
    )


def _with(values: pa.Array, texts: Mapping[int, str]) -> pa.Array:
    listed = values.to_pylist()
    kind = values.type
    for row, text in texts.items():
        if pa.types.is_floating(kind):
            listed[row] = float(text)
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            listed[row] = bytes.fromhex(text)
        else:
            listed[row] = text
    return pa.array(listed, kind)


# --- what engines cannot hold ---------------------------------------------------------------


def negative_zero_or_odd(values: pa.Array, *, infinity: bool) -> pa.Array | None:
    """NaN, the negative zero and, unless the engine has it, infinity."""
    numbers = pc.fill_null(values, 1).cast(pa.float64()).to_numpy(zero_copy_only=False)
    lost: npt.NDArray[np.bool_] = np.isnan(numbers) | (np.signbit(numbers) & (numbers == 0))
    if not infinity:
        lost |= np.isinf(numbers)
    return pa.array(lost) if lost.any() else None


def empty(values: pa.Array) -> pa.Array | None:
    """Texts and binaries without any byte, which an engine takes for null."""
    lost = pc.fill_null(pc.equal(pc.binary_length(values), 0), False)
    return lost if pc.any(lost).as_py() else None


def with_nul(values: pa.Array) -> pa.Array | None:
    lost = pc.match_substring(values, "\x00")
    return lost if pc.any(lost).as_py() else None


_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def not_uuid(values: pa.Array) -> pa.Array | None:
    """Texts that a type for UUIDs would not print as they are."""
    lost = pc.invert(pc.match_substring_regex(values, _UUID))
    return lost if pc.any(lost).as_py() else None


def not_json(values: pa.Array) -> pa.Array | None:
    """Texts that a type for JSON may refuse: what one engine calls JSON, another does not. Whoever reads
    strictly is asked, so that a few texts that it would have taken are among them."""
    lost = [text is not None and not _is_json(text) for text in values.to_pylist()]
    return pa.array(lost) if any(lost) else None


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
