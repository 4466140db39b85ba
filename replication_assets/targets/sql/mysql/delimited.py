"""Rows of Arrow as delimited text for a bulk load, and back: whole columns at a time.

Texts stand in double quotes with quotes doubled, everything else without. A null is the bare word
NULL on the way in, as LOAD DATA takes it, and nothing at all on the way out.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from replication_assets.core.events import OVERFLOW
from replication_assets.errors import RefreshError
from replication_assets.targets.sql.hexadecimal import binary, hexadecimal, offsets_of
from replication_assets.targets.sql.mysql.types import Form

_WIDE = pa.large_string()
_LINE = "line"
"""First field of every line that is read: a line is never empty, even if its row is one null."""


def encoded(batch: pa.RecordBatch, forms: Mapping[str, Form]) -> memoryview:
    """The lines of a batch, columns in its order without `_overflow`.

    Raises:
        RefreshError: a value that MySQL does not have, by column.
    """
    fields = [
        pc.fill_null(_written(batch.column(name), forms[name], name), _wide("NULL"))
        for name in batch.schema.names
        if name != OVERFLOW
    ]
    fields[-1] = pc.binary_join_element_wise(fields[-1], _wide("\n"), _wide(""))
    lines = pc.binary_join_element_wise(*fields, _wide(","))
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    offsets = offsets_of(lines)
    data = lines.buffers()[2]
    return memoryview(data or b"")[int(offsets[0]) : int(offsets[-1])]


def _written(values: pa.Array, form: Form, name: str) -> pa.Array:
    match form:
        case "text":
            doubled = pc.replace_substring(values.cast(_WIDE), '"', '""')
            return pc.binary_join_element_wise(_wide('"'), doubled, _wide('"'), _wide(""))
        case "boolean":
            return values.cast(pa.int8()).cast(_WIDE)
        case "float":
            if not pc.all(pc.is_finite(values), skip_nulls=True, min_count=0).as_py():
                raise _not_held(name)
            if np.signbit(_zeros(values)).any():
                raise RefreshError(
                    f"column {name} holds the negative zero, which MySQL stores as the positive one",
                    fix="give the column a rule that rounds or replaces its values",
                )
            # The text of a float32 would be read as the double that is nearest to that text.
            return values.cast(pa.float64()).cast(_WIDE)
        case "binary":
            # No bytes are two quotes: an empty field would be taken for something else.
            digits = hexadecimal(values)
            return pc.if_else(pc.equal(digits, ""), '""', digits)
        case "plain" | "time":
            if pa.types.is_timestamp(values.type):
                values = values.cast(pa.timestamp("us"))
            return values.cast(_WIDE)


def _zeros(values: pa.Array) -> npt.NDArray[np.float64]:
    zeros = values.filter(pc.fill_null(pc.equal(values, pa.scalar(0, values.type)), False))
    found: npt.NDArray[np.float64] = zeros.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found


def require_held(batch: pa.RecordBatch) -> None:
    """Raises RefreshError for odd values (infinity, NaN, years that no date has here)."""
    odd = pc.drop_null(batch.column(OVERFLOW))
    if len(odd) == 0:
        return
    names = [
        name
        for name in batch.schema.names
        if pc.any(pc.match_substring(odd, f'"{name}":')).as_py() and batch.column(name).null_count
    ]
    raise _not_held(", ".join(names) or "unknown")


def _not_held(columns: str) -> RefreshError:
    return RefreshError(
        f"column {columns} holds infinity, NaN or a year outside 1 to 9999, which MySQL does not have",
        fix="give the column a rule that replaces such values, or correct them at the source",
    )


def decoded(lines: Sequence[str | None], schema: pa.Schema, forms: Mapping[str, Form]) -> pa.RecordBatch:
    """A batch in `schema` from lines that `reading.selected` asked for.

    Raises:
        RefreshError: the server left out a row that is longer than it may send.
    """
    if None in lines:
        raise RefreshError(
            "a row is longer than the server may send",
            fix="SET GLOBAL max_allowed_packet = 1073741824 (as an administrator)",
        )
    # Without a line's end, the reader takes an empty last field for a quoted one, which is no null.
    data = "".join(f"{line}\n" for line in lines).encode()
    names = [name for name in schema.names if name != OVERFLOW]
    table = csv.read_csv(
        io.BytesIO(data),
        csv.ReadOptions(column_names=[_LINE, *names], use_threads=False, block_size=len(data) + 1024),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types={
                _LINE: pa.int8(),
                **{name: _parsed(schema.field(name).type, forms[name]) for name in names},
            },
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            true_values=["1"],
            false_values=["0"],
        ),
    )
    arrays = []
    for field in schema:
        if field.name == OVERFLOW:
            arrays.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name).combine_chunks()
        arrays.append((binary(column) if forms[field.name] == "binary" else column).cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _parsed(kind: pa.DataType, form: Form) -> pa.DataType:
    if form == "binary":
        return pa.string()
    if form == "float":
        return pa.float64()
    return pa.timestamp("us") if pa.types.is_timestamp(kind) else kind


def _wide(text: str) -> pa.Scalar:
    return pa.scalar(text, _WIDE)
