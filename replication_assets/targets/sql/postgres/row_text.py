"""Rows as CSV for COPY, and back: every value as the text that PostgreSQL reads as that very value.

Text holds what binary formats lose (`infinity` of a timestamp, NaN of a decimal). Every value is quoted
and NULL is nothing at all, so that no value can be taken for NULL. Odd values come in `_overflow` and
go back into it: in the typed column of a batch their place is null.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from replication_assets.core.events import OVERFLOW
from replication_assets.errors import RefreshError
from replication_assets.targets.sql.hexadecimal import binary, hexadecimal

PIECE_ROWS = 16_384
_WRITE = csv.WriteOptions(include_header=False, quoting_style="all_valid")


def csv_pieces(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The rows but for `_overflow`, in pieces of bounded size.

    Raises:
        RefreshError: a column has a type that is not known here, or `_overflow` is not what it must be.
    """
    odd = _odd_texts(batch)
    names = [name for name in batch.schema.names if name != OVERFLOW]
    for start in range(0, batch.num_rows, PIECE_ROWS):
        piece = batch.slice(start, PIECE_ROWS)
        columns = []
        for name in names:
            text = _to_text(name, piece.column(name))
            if name in odd:
                text = pc.coalesce(text, odd[name].slice(start, PIECE_ROWS))
            columns.append(text)
        sink = io.BytesIO()
        csv.write_csv(pa.RecordBatch.from_arrays(columns, names=names), sink, _WRITE)
        yield sink.getvalue()


def _to_text(name: str, values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_binary(kind):
        prefix = pa.scalar("\\x", pa.large_string())
        return pc.binary_join_element_wise(prefix, hexadecimal(values), pa.scalar("", pa.large_string()))
    known = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_date32,
        pa.types.is_timestamp,
    )
    if not any(is_kind(kind) for is_kind in known):
        raise RefreshError(f"column {name!r} holds {kind}, which PostgreSQL is not given")
    return values.cast(pa.string())


def _odd_texts(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """Texts by column, for columns that have any in this batch."""
    overflow = batch.column(OVERFLOW)
    if overflow.null_count == len(overflow):
        return {}
    found: dict[str, list[str | None]] = {}
    for row in np.flatnonzero(overflow.is_valid().to_numpy(zero_copy_only=False)):
        for name, text in _members(overflow[int(row)].as_py()).items():
            if name not in batch.schema.names or batch.column(name)[int(row)].is_valid:
                raise RefreshError("an odd value stands beside another one", where=f"column {name!r}")
            found.setdefault(name, [None] * batch.num_rows)[row] = text
    return {name: pa.array(texts, pa.string()) for name, texts in found.items()}


def _members(text: str) -> dict[str, str]:
    try:
        members = json.loads(text)
        if all(isinstance(each, str) for each in members.values()):
            return dict(members)
    except (ValueError, AttributeError):
        pass
    raise RefreshError("the texts of odd values are not an object of texts", where=OVERFLOW) from None


_AS_TEXT = {"strings_can_be_null": True, "quoted_strings_can_be_null": False, "null_values": [""]}


def rows_from_csv(text: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """Rows in `schema` from CSV that PostgreSQL printed with every value quoted.

    Raises:
        RefreshError: a value is not of its column's type.
    """
    names = [name for name in schema.names if name != OVERFLOW]
    ordinals = [str(at) for at in range(len(names))]
    table = csv.read_csv(
        pa.BufferReader(text),
        read_options=csv.ReadOptions(
            column_names=ordinals, use_threads=False, block_size=max(len(text) + 1, 4096)
        ),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(ordinals, pa.string()), **_AS_TEXT),
    ).combine_chunks()
    arrays: list[pa.Array] = []
    odd: list[tuple[str, pa.Array]] = []
    for at, name in enumerate(names):
        chunks = table.column(at).chunks
        texts = chunks[0] if chunks else pa.array([], pa.string())
        values, left = _from_text(name, texts, schema.field(name).type)
        arrays.append(values)
        if left is not None:
            odd.append((name, left))
    arrays.append(_overflow(odd, table.num_rows))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _from_text(name: str, texts: pa.Array, kind: pa.DataType) -> tuple[pa.Array, pa.Array | None]:
    try:
        if pa.types.is_string(kind):
            return texts, None
        if pa.types.is_binary(kind):
            return binary(pc.utf8_slice_codeunits(texts, 2)).cast(pa.binary()), None
        if pa.types.is_boolean(kind):
            return _booleans(texts), None
        if pa.types.is_floating(kind):
            values = texts.cast(kind)
            # NaNs may differ in bits and print alike; one is as good as the other.
            nan = pc.is_nan(values)
            return pc.if_else(nan, pa.scalar(math.nan, kind), values), None
        if pa.types.is_decimal(kind):
            return _typed_or_odd(texts, kind, r"^(NaN|-?Infinity)$")
        if pa.types.is_date32(kind) or pa.types.is_timestamp(kind):
            return _typed_or_odd(texts, kind, r"^-?infinity$| BC$|^\d{5,}-")
        if pa.types.is_integer(kind):
            return texts.cast(kind), None
    except (pa.ArrowInvalid, ValueError):
        raise RefreshError(f"a value of column {name!r} is not a {kind}") from None
    raise RefreshError(f"column {name!r} is asked for as {kind}, which PostgreSQL does not give")


def _booleans(texts: pa.Array) -> pa.Array:
    true = pc.equal(texts, "t")
    if not pc.all(pc.or_(true, pc.equal(texts, "f")), min_count=0).as_py():
        raise ValueError
    return true


def _typed_or_odd(texts: pa.Array, kind: pa.DataType, pattern: str) -> tuple[pa.Array, pa.Array | None]:
    try:
        return texts.cast(kind), None
    except pa.ArrowInvalid:
        odd = pc.match_substring_regex(texts, pattern)
        nothing = pa.scalar(None, pa.string())
        return pc.if_else(odd, nothing, texts).cast(kind), pc.if_else(odd, texts, nothing)


def _overflow(odd: Sequence[tuple[str, pa.Array]], rows: int) -> pa.Array:
    """The `_overflow` objects, as the event store writes them: compact, columns in their order."""
    objects: list[str | None] = [None] * rows
    present = [(json.dumps(name, ensure_ascii=False), texts) for name, texts in odd]
    for row in sorted({at for _, texts in present for at in _valid(texts)}):
        members = [f"{key}:{json.dumps(texts[row].as_py())}" for key, texts in present if texts[row].is_valid]
        objects[row] = "{" + ",".join(members) + "}"
    return pa.array(objects, pa.string())


def _valid(texts: pa.Array) -> Iterator[int]:
    return map(int, np.flatnonzero(texts.is_valid().to_numpy(zero_copy_only=False)))
