"""Rows as the JSON that OPENJSON reads, in bounded pieces, and as the driver's Arrow batches give them.

Values become what JSON has a column at a time; only the text itself is put together row by row, in one
call of a compiled writer for each piece.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.errors import TargetError
from replication_assets.targets.sql.hexadecimal import hexadecimal
from replication_assets.targets.sql.projection.pieces import cut

PIECE_BYTES = 4 << 20
"""Of texts, binaries and fixed columns in one piece, before they are written as JSON."""


def pieces(batch: pa.RecordBatch) -> Iterator[str]:
    """JSON arrays of rows, each an array of the values of `types.json_columns`."""
    for piece in cut(batch, PIECE_BYTES):
        yield written(piece)


def written(batch: pa.RecordBatch) -> str:
    columns = [values.to_pylist() for each in batch.columns for values in _plain(each)]
    return orjson.dumps(list(zip(*columns, strict=True))).decode()


def _plain(values: pa.Array) -> list[pa.Array]:
    """Arrays of numbers and texts alone."""
    kind = values.type
    if pa.types.is_boolean(kind):
        return [values.cast(pa.int8())]
    if pa.types.is_integer(kind) or pa.types.is_string(kind):
        return [values]
    if pa.types.is_floating(kind):
        return list(parts_of(values))
    if pa.types.is_binary(kind):
        return [hexadecimal(values)]
    if pa.types.is_decimal(kind):
        return [decimal_text(values)]
    # ISO 8601 with its T, which no setting makes something else of, and after which a `Z` is documented.
    return [pc.replace_substring(values.cast(pa.string()), " ", "T")]


def parts_of(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Whole numbers `m` and `e` of each float `m * 2^e`; normal numbers and zero alone."""
    numbers = pc.fill_null(values.cast(pa.float64()), 0.0).to_numpy(zero_copy_only=False)
    fraction, exponent = np.frexp(numbers)
    null = values.is_null().to_numpy(zero_copy_only=False)
    whole = np.ldexp(fraction, 53).astype(np.int64)
    return pa.array(whole, mask=null), pa.array((exponent - 53).astype(np.int16), mask=null)


def decimal_text(values: pa.Array) -> pa.Array:
    """Digits with a point and no exponent, which the server would not read."""
    scale = values.type.scale
    # The same 16 bytes, read as a whole number.
    whole = pa.Array.from_buffers(pa.decimal128(38, 0), len(values), values.buffers(), offset=values.offset)
    digits = whole.cast(pa.string())
    if scale <= 0:
        return digits if scale == 0 else pc.binary_join_element_wise(digits, "0" * -scale, "")
    sign = pc.if_else(pc.starts_with(digits, "-"), "-", "")
    padded = pc.utf8_lpad(pc.utf8_ltrim(digits, "-"), scale + 1, "0")
    before, after = pc.utf8_slice_codeunits(padded, 0, -scale), pc.utf8_slice_codeunits(padded, -scale)
    return pc.binary_join_element_wise(sign, before, ".", after, "")


def from_driver(batch: pa.RecordBatch, columns: pa.Schema, where: str) -> pa.RecordBatch:
    """A batch of the driver in carrier types.

    Raises:
        TargetError: it gives another type than was asked for. Nothing is cast to fit.
    """
    arrays = [_carried(values, field, where) for values, field in zip(batch.columns, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def _carried(values: pa.Array, field: pa.Field, where: str) -> pa.Array:
    found, wanted = values.type, field.type
    if pa.types.is_null(found):
        return values.cast(wanted)
    if pa.types.is_large_string(found) and pa.types.is_string(wanted):
        return values.cast(wanted)
    if pa.types.is_binary(wanted) and (
        pa.types.is_large_binary(found) or pa.types.is_fixed_size_binary(found)
    ):
        return values.cast(wanted)
    if pa.types.is_timestamp(wanted) and wanted.tz is not None and found == pa.timestamp("us"):
        return values.view(wanted)
    if found != wanted:
        raise TargetError(
            f"column {field.name!r} came as {found} instead of {wanted}",
            where=where,
            fix="somebody altered the table: reset the projection (replication-assets project --reset)",
        )
    return values
