"""Digests: what two sides of a table have in common, without moving the rows.

The digest of some rows is their number and the sum of their checksums, modulo 2**64. A row's
checksum is the first 64 bits of the MD5 of its canonical text. A sum does not depend on the
order of the rows, counts equal rows as often as they are there, and adds up: the digest of two
ranges is the sum of theirs. MD5 because databases and DuckDB both have it built in; nobody is
defended against here who can choose the rows.

The canonical text of a row is that of its fields in the order of the columns, with `|` after
each but the last. No two rows share one, since each field can be read back from its start:

    NULL                            nothing
    integer, decimal                its digits, a decimal with its full scale (`-0.50`)
    boolean                         `t` or `f`
    float                           IEEE 754 bits in hex, most significant first, one NaN
    date                            days since 2000-01-01
    timestamp                       microseconds since 2000-01-01 as 64 bits in hex
    time                            microseconds since midnight as 64 bits in hex
    text up to 128 bytes            `<bytes>:<text>`
    binary up to 128 bytes          `x<hex>`
    longer text and binary          `<bytes>:<MD5 in hex>`, `<bytes>h<MD5 in hex>`

A source computes the same from its own values (`sources/*/digests.py`); a change of any line
here is a new `FORM`, so that digests kept from before are not compared with new ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.errors import StoreError

FORM = 1
LONG = 128
"""Bytes of text or binary beyond which its MD5 stands for it: rows of any width stay small."""

_MODULUS = 2**64
_DAYS = 10_957
_MICROS = _DAYS * 86_400_000_000
"""From 1970-01-01 to 2000-01-01, PostgreSQL's own epoch: the source is to do the least work."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Number of rows, and the sum of their checksums modulo 2**64."""

    rows: int
    checksum: int

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, (self.checksum + other.checksum) % _MODULUS)

    @classmethod
    def of(cls, rows: int, total: int) -> Digest:
        """From a sum as a database gives it, signed or beyond 64 bits."""
        return cls(rows, total % _MODULUS)


NOTHING = Digest(0, 0)


def digest_of(
    connection: duckdb.DuckDBPyConnection, batches: Iterable[pa.RecordBatch], columns: pa.Schema
) -> Digest:
    """Digest of rows by `columns`; whatever else the batches have does not count."""
    return sum(digests_by(connection, batches, columns, None).values(), NOTHING)


def digests_by(
    connection: duckdb.DuckDBPyConnection,
    batches: Iterable[pa.RecordBatch],
    columns: pa.Schema,
    group: str | None,
) -> dict[str | None, Digest]:
    """Digests of rows by the value of column `group`, a text; None: of all rows together.

    Rows are streamed. What the batches raise is raised from here.
    """
    stream = Comparables(batches, columns, (group,) if group is not None else ())
    names = [f"c{i}" for i in range(len(columns))]
    by = f"c{len(columns)}" if group is not None else "NULL::VARCHAR"
    query = f"SELECT {by}, count(*), sum({row_checksum(columns, names)}) FROM stream GROUP BY 1"
    connection.register("stream", stream.reader())
    with stream.errors():
        found = connection.execute(query).fetchall()
    connection.unregister("stream")
    return {key: Digest.of(rows, int(total)) for key, rows, total in found}


def row_checksum(columns: pa.Schema, names: Iterable[str]) -> str:
    """SQL for the checksum of a row whose comparable columns have these names."""
    return f"('0x' || substr(md5({row_text(columns, names)}), 1, 16))::UBIGINT"


def row_text(columns: pa.Schema, names: Iterable[str]) -> str:
    """SQL for the canonical text of a row."""
    fields = [canonical(field.type, name) for field, name in zip(columns, names, strict=True)]
    return f"""concat({", '|', ".join(fields)})"""


def canonical(kind: pa.DataType, name: str) -> str:
    """SQL for the canonical text of a comparable value; NULL for NULL."""
    if pa.types.is_boolean(kind):
        return f"CASE WHEN {name} THEN 't' WHEN NOT {name} THEN 'f' END"
    if pa.types.is_date(kind):
        return f"({name} - DATE '2000-01-01')"
    if pa.types.is_decimal(kind):
        text = f"{name}::VARCHAR"
        # DuckDB leaves out the zero where the type has no place for a digit before the point.
        return f"replace({text}, '.', '0.')" if kind.precision == kind.scale else text
    if _as_bits(kind):
        return f"lower(hex({name}))"
    if _is_binary(kind):
        return (
            f"CASE WHEN octet_length({name}) <= {LONG} THEN 'x' || lower(hex({name})) "
            f"ELSE octet_length({name}) || 'h' || md5({name}) END"
        )
    if _is_text(kind):
        return (
            f"(strlen({name}) || ':' || CASE WHEN strlen({name}) <= {LONG} THEN {name} ELSE md5({name}) END)"
        )
    if pa.types.is_integer(kind):
        return name
    raise StoreError(f"values of type {kind} have no canonical text", fix="store the column as text")


def comparable_type(kind: pa.DataType) -> pa.DataType:
    """The type in which equal values are equal to DuckDB too, and no others."""
    return pa.binary(_width(kind)) if _as_bits(kind) else kind


def comparable(values: pa.Array) -> pa.Array:
    """Values of `comparable_type`: floats and times as big-endian bits."""
    kind = values.type
    if not _as_bits(kind):
        return values
    if pa.types.is_floating(kind):
        # NaNs differ in bits that mean nothing.
        nan = pc.is_nan(values)
        if pc.any(nan).as_py():
            values = pc.if_else(nan, pa.scalar(math.nan, kind), values)
    whole = values.view(pa.int32() if _width(kind) == 4 else pa.int64())
    numbers = pc.fill_null(whole, 0).to_numpy(zero_copy_only=False)
    if pa.types.is_timestamp(kind):
        numbers = numbers - _MICROS
    bits = pa.py_buffer(np.ascontiguousarray(numbers.byteswap()))
    found = pa.FixedSizeBinaryArray.from_buffers(pa.binary(_width(kind)), len(values), [None, bits])
    return pc.if_else(values.is_valid(), found, pa.scalar(None, found.type)) if values.null_count else found


def restored(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The inverse of `comparable`."""
    if not _as_bits(kind):
        return values.cast(kind)
    width = _width(kind)
    bits = pc.fill_null(values.cast(pa.binary(width)), bytes(width))
    data = np.frombuffer(bits.buffers()[1], np.dtype(f">i{width}"))[bits.offset : bits.offset + len(bits)]
    numbers = data.astype(np.dtype(f"i{width}"))
    if pa.types.is_timestamp(kind):
        numbers = numbers + _MICROS
    found = pa.array(numbers).view(kind)
    return pc.if_else(values.is_valid(), found, pa.scalar(None, kind)) if values.null_count else found


class Comparables:
    """Batches as a stream for DuckDB: `columns` in comparable form as `c0`, `c1`, ..., then
    `also` as they are. DuckDB takes `A` and `a` for one name, hence the numbers."""

    def __init__(
        self, batches: Iterable[pa.RecordBatch], columns: pa.Schema, also: tuple[str, ...] = ()
    ) -> None:
        self._batches = batches
        self._columns = columns
        self._also = also
        self._error: BaseException | None = None

    def reader(self, also: pa.Schema | None = None) -> pa.RecordBatchReader:
        """`also` gives the types of the further columns, text unless it does."""
        further = [also.field(name).type if also is not None else pa.string() for name in self._also]
        types = [*(comparable_type(field.type) for field in self._columns), *further]
        schema = pa.schema([pa.field(f"c{i}", kind) for i, kind in enumerate(types)])
        return pa.RecordBatchReader.from_batches(schema, self._stream(schema))

    def _stream(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                values = [comparable(batch.column(name)) for name in self._columns.names]
                values += [batch.column(name) for name in self._also]
                yield pa.RecordBatch.from_arrays(values, schema=schema)
        except BaseException as error:
            # DuckDB would tell it as text.
            self._error = error
            raise

    def errors(self) -> _Relay:
        """A block that raises what the batches raised, in place of what DuckDB makes of it."""
        return _Relay(self)


class _Relay:
    def __init__(self, stream: Comparables) -> None:
        self._stream = stream

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        error = self._stream._error
        if error is not None and exc is not error:
            raise error from None


def _as_bits(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_timestamp(kind) or pa.types.is_time64(kind))


def _width(kind: pa.DataType) -> int:
    return int(kind.bit_width) // 8


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
