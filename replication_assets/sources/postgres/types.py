"""PostgreSQL types as the event store holds them, and the two ways a value gets there.

A load reads binary rows and capture reads the output text of the same types. For every
type both end in the same Arrow value and the same `_overflow` text; that is this module's
one invariant, and why both ways stand side by side here.

The rule (see `core/schema.py`): a type whose ordinary values fit an Arrow type that Delta
holds is stored typed, its odd values (infinity, NaN in a decimal, years outside 1 to 9999)
as text in `_overflow`; every other type is stored as the text of its output function.
That text is not always `value::text`: the cast drops the padding of `character(n)`, adds
`/32` to `inet` and spells `true` for `t`, so it is asked for through `format('%s')`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.schema import Column
from replication_assets.errors import DecodeError

Text: TypeAlias = pa.StringArray | pa.LargeStringArray


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column as the catalog or a Relation message describes it."""

    name: str
    type_oid: int
    typmod: int = -1
    ordinal: int | None = None
    nullable: bool = True


# Object ids below are fixed by PostgreSQL's pg_type.dat.
_NUMERIC = 1700
_TYPED: dict[int, pa.DataType] = {
    16: pa.bool_(),
    17: pa.binary(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    26: pa.int64(),  # oid: unsigned 32 bits
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", tz="UTC"),
}

_RESOLVE = """
WITH RECURSIVE resolved(n, oid, typmod, typtype, basetype, basetypmod) AS (
    SELECT a.n, a.oid, a.typmod, t.typtype, t.typbasetype, t.typtypmod
    FROM unnest(%s::int4[], %s::oid[], %s::int4[]) AS a(n, oid, typmod)
    LEFT JOIN pg_catalog.pg_type t ON t.oid = a.oid
    UNION ALL
    SELECT r.n, t.oid, r.basetypmod, t.typtype, t.typbasetype, t.typtypmod
    FROM resolved r JOIN pg_catalog.pg_type t ON t.oid = r.basetype
    WHERE r.typtype = 'd'
)
SELECT oid, typmod, pg_catalog.format_type(oid, typmod) FROM resolved
WHERE typtype IS DISTINCT FROM 'd' ORDER BY n
"""


def resolve_columns(
    connection: psycopg.Connection[Any], attributes: Sequence[Attribute]
) -> tuple[Column, ...]:
    """Columns for attributes; a domain counts as the type under it.

    A type that no longer exists (dropped since the change stream mentioned it) is text.
    """
    if not attributes:
        return ()
    rows = connection.execute(
        _RESOLVE,
        (
            list(range(len(attributes))),
            [a.type_oid for a in attributes],
            [a.typmod for a in attributes],
        ),
    ).fetchall()
    return tuple(
        Column(a.name, source_type, stored_type(oid, typmod), a.nullable, a.ordinal)
        for a, (oid, typmod, source_type) in zip(attributes, rows, strict=True)
    )


def stored_type(type_oid: int, typmod: int) -> pa.DataType:
    """The Arrow type of a base type. Everything not listed is text."""
    if type_oid == _NUMERIC:
        return _decimal(typmod) or pa.string()
    return _TYPED.get(type_oid, pa.string())


def _decimal(typmod: int) -> pa.DataType | None:
    """numeric(p, s) where Delta's 38 digits hold it. The typmod is `(p << 16 | s) + 4`, with
    the scale in 11 bits, signed."""
    if typmod < 4:
        return None
    precision = (typmod - 4) >> 16 & 0xFFFF
    scale = ((typmod - 4 & 0x7FF) ^ 1024) - 1024
    if precision > 38 or not 0 <= scale <= precision:
        return None
    return pa.decimal128(precision, scale)


# --- capture: output text to the stored type ----------------------------------------------


def from_text(column: Column, values: Text) -> tuple[pa.Array, pa.StringArray | None]:
    """Values of `column.arrow` from PostgreSQL's output text.

    The second array holds the text of odd values, whose place in the first is null; None
    when there are none, the usual case.

    Raises:
        DecodeError: the text is not what the type's output function prints.
    """
    kind = column.arrow
    try:
        if pa.types.is_string(kind):
            return values.cast(pa.string()), None
        if pa.types.is_boolean(kind):
            return _booleans(values), None
        if pa.types.is_binary(kind):
            return _bytes_from_hex(values), None
        if _has_odd_values(kind):
            return _typed_or_odd(kind, values)
        return values.cast(kind), None
    except pa.ArrowInvalid:
        # Arrow's message quotes the value.
        raise DecodeError(
            f"a value of column {column.name!r} is not a {column.source_type}",
            fix="the stream and the schema disagree: read the table's schema again",
        ) from None


def _has_odd_values(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_decimal(kind))


_ODD_TEMPORAL = r"^-?infinity$| BC$|^\d{5,}-"
_ODD_NUMERIC = r"^(NaN|-?Infinity)$"


def _typed_or_odd(kind: pa.DataType, values: Text) -> tuple[pa.Array, pa.StringArray | None]:
    try:
        return values.cast(kind), None
    except pa.ArrowInvalid:
        pattern = _ODD_NUMERIC if pa.types.is_decimal(kind) else _ODD_TEMPORAL
        odd = pc.match_substring_regex(values, pattern)
        if not pc.any(odd).as_py():
            raise
        nothing = pa.scalar(None, values.type)
        typed = pc.if_else(odd, nothing, values).cast(kind)
        return typed, pc.if_else(odd, values, nothing).cast(pa.string())


def _booleans(values: Text) -> pa.Array:
    true = pc.equal(values, "t")
    if not pc.all(pc.or_(true, pc.equal(values, "f")), min_count=0).as_py():
        raise pa.ArrowInvalid("neither t nor f")
    return true


def _hex_pairs() -> npt.NDArray[np.int16]:
    """Byte value of every two hex digits, by the digits read as one native 16-bit integer."""
    table = np.full(65536, -1, dtype=np.int16)
    for byte in range(256):
        digits = np.frombuffer(f"{byte:02x}".encode(), dtype=np.uint16)
        table[digits[0]] = byte
    return table


_HEX_PAIRS = _hex_pairs()
_PREFIX = np.frombuffer(b"\\x", dtype=np.uint16)[0]


def _bytes_from_hex(values: Text) -> pa.BinaryArray:
    r"""bytea from `\x` and lower-case hex pairs, whole buffers at a time."""
    wide = pa.types.is_large_string(values.type)
    if values.null_count:
        nulls = values.is_null()
        values = pc.fill_null(values, "\\x")
    else:
        nulls = None
    _, offsets_buffer, data = values.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64 if wide else np.int32)
    offsets = offsets[values.offset : values.offset + len(values) + 1].astype(np.int64)
    if len(values) == 0:
        return pa.array([], pa.binary())
    if ((offsets - offsets[0]) % 2).any() or (np.diff(offsets) < 2).any():
        raise pa.ArrowInvalid("odd number of hex digits")
    text = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]].view(np.uint16)
    starts = (offsets[:-1] - offsets[0]) // 2
    if (text[starts] != _PREFIX).any():
        raise pa.ArrowInvalid("no \\x prefix")
    decoded = _HEX_PAIRS[np.delete(text, starts)]
    if (decoded < 0).any():
        raise pa.ArrowInvalid("not hex digits")
    lengths = np.diff(offsets) // 2 - 1
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    result = pa.BinaryArray.from_buffers(
        pa.binary(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(decoded.astype(np.uint8))]
    )
    return result if nulls is None else pc.if_else(nulls, pa.scalar(None, pa.binary()), result)
