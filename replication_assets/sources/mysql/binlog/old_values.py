"""Old values of updated rows as text, for `_before`: what the server prints, in UTF-8.

Binary values are hexadecimal literals (`0x00FF`): a JSON string has no bytes.
"""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.schema import Column
from replication_assets.sources.mysql.types import NativeType


def old_texts(column: Column, values: pa.Array, odd: pa.StringArray | None) -> pa.StringArray:
    """Values of a column as text; `odd` has those that are null for want of a place in the type."""
    texts = _texts(column, values)
    return texts if odd is None else pc.coalesce(texts, odd)


def _texts(column: Column, values: pa.Array) -> pa.StringArray:
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_binary(kind):
        return pa.array(
            [None if v is None else f"0x{v.hex().upper()}" for v in values.to_pylist()], pa.string()
        )
    if pa.types.is_decimal(kind):
        # Arrow prints small numbers with an exponent.
        return pa.array([_decimal_text(value) for value in values.to_pylist()], pa.string())
    if pa.types.is_boolean(kind):
        return pc.if_else(values, "1", "0").cast(pa.string())
    if pa.types.is_timestamp(kind):
        digits = NativeType.parse(column.source_type).length or 0
        printed = values.cast(pa.timestamp("us")).cast(pa.string())
        return pc.utf8_slice_codeunits(printed, 0, 19 + digits + bool(digits))
    return values.cast(pa.string())


def _decimal_text(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"
