"""Rows on their way into a table: refused where the engine cannot have them, else as it holds them.

A row is refused as a whole when the engine could not tell it apart or hold it at all: a null in its key
(an odd value in a key column is one), a key longer than an index takes, a row longer than a server
takes. An upsert that is refused removes the older row in its place, which is no longer what the source has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import ID_RANGE, POSITION
from replication_assets.core.items.rows import Rows
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.sql import Spill
from replication_assets.targets.sql.projection.content import contents
from replication_assets.targets.sql.projection.layout import AS_TEXT, CONTENT, Layout
from replication_assets.targets.sql.projection.values import Unheld, outgoing, with_texts

_REASONS = {
    "key-is-null": "a column of the key is NULL, or holds a value that its type here does not have",
    "key-too-long": "the key is longer than an index of the engine takes",
    "row-too-long": "the row is longer than the server takes",
}
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Bytes that the columns of a key may have together, and what each of some may have: characters
    of a text (or its `units`: of UTF-16, those beyond the basic plane count twice), bytes of a binary. None
    and nothing where there is no limit."""

    together: int | None = None
    each: Mapping[str, int] = field(default_factory=dict)
    units: Literal["characters", "utf16", "bytes"] = "characters"


@dataclass(frozen=True, slots=True)
class Limits:
    """`row` is the bytes of a row's texts and binaries, these as hex digits; None for any."""

    unheld: Unheld
    key: KeyLimits = KeyLimits()
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """Rows as the table holds them (`Layout.rows`, in carrier types), and those that it does not."""

    rows: pa.RecordBatch
    refused: tuple[Refusal, ...]
    without: pa.RecordBatch
    """Rows that were refused, as they came."""


def arrive(batch: pa.RecordBatch, layout: Layout, id_range: str, limits: Limits, spill: Spill) -> Arrived:
    """`batch` is in `core.fold.row_schema`."""
    held, texts = with_texts(batch, layout, limits.unheld)
    reasons = _refused(held, layout, limits)
    lost: _Mask = np.zeros(batch.num_rows, dtype=np.bool_)
    for _, rows in reasons:
        lost |= rows
    arrays = [*held.columns, pa.repeat(pa.scalar(id_range), batch.num_rows), texts]
    names = [*held.schema.names, ID_RANGE, AS_TEXT]
    if not layout.key:
        arrays.append(contents(batch, layout.schema, spill))
        names.append(CONTENT)
    rows = pa.RecordBatch.from_arrays(arrays, names=names)
    if not lost.any():
        return Arrived(outgoing(rows), (), batch.slice(0, 0))
    return Arrived(
        outgoing(rows.filter(pa.array(~lost))),
        _refusals(batch, layout, reasons),
        batch.filter(pa.array(lost)),
    )


def refused_rows(batch: pa.RecordBatch, layout: Layout, limits: Limits) -> _Mask:
    """Which rows are refused as a whole."""
    held, _ = with_texts(batch, layout, limits.unheld)
    lost: _Mask = np.zeros(batch.num_rows, dtype=np.bool_)
    for _, rows in _refused(held, layout, limits):
        lost |= rows
    return lost


def _refused(batch: pa.RecordBatch, layout: Layout, limits: Limits) -> list[tuple[str, _Mask]]:
    """Rows by the first reason against them."""
    found: list[tuple[str, _Mask]] = []
    if layout.key:
        null = np.zeros(batch.num_rows, dtype=np.bool_)
        for name in layout.key:
            null |= batch.column(name).is_null().to_numpy(zero_copy_only=False)
        found.append(("key-is-null", null))
        found.append(("key-too-long", too_long(batch, layout.key, limits.key)))
    if limits.row is not None:
        found.append(("row-too-long", _bytes(batch, batch.schema.names, of_binary=2) > limits.row))
    seen: _Mask = np.zeros(batch.num_rows, dtype=np.bool_)
    first = []
    for reason, rows in found:
        if (rows & ~seen).any():
            first.append((reason, rows & ~seen))
        seen |= rows
    return first


def too_long(batch: pa.RecordBatch, key: tuple[str, ...], limits: KeyLimits) -> _Mask:
    """Rows whose key an index of the engine does not take."""
    long: _Mask = np.zeros(batch.num_rows, dtype=np.bool_)
    if limits.together is not None:
        long |= _bytes(batch, key, of_binary=1) > limits.together
    for name, most in limits.each.items():
        values = batch.column(name)
        is_binary = pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)
        in_bytes = is_binary or limits.units == "bytes"
        lengths = pc.binary_length(values) if in_bytes else pc.utf8_length(values)
        if limits.units == "utf16" and not is_binary:
            lengths = pc.add(lengths, pc.count_substring_regex(values, "[\U00010000-\U0010ffff]"))
        long |= pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False) > most
    return long


def _bytes(
    batch: pa.RecordBatch, names: tuple[str, ...] | list[str], *, of_binary: int
) -> npt.NDArray[np.int64]:
    """Of the texts and binaries among these columns, row by row; so many for each byte of a binary."""
    total: npt.NDArray[np.int64] = np.zeros(batch.num_rows, dtype=np.int64)
    for name in names:
        values = batch.column(name)
        kind = values.type
        is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        if is_binary or pa.types.is_string(kind) or pa.types.is_large_string(kind):
            lengths = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)
            total += lengths.astype(np.int64) * (of_binary if is_binary else 1)
    return total


def _refusals(batch: pa.RecordBatch, layout: Layout, reasons: list[tuple[str, _Mask]]) -> tuple[Refusal, ...]:
    found = []
    for reason, mask in reasons:
        concerned = batch.filter(pa.array(mask))
        seen = Rows(concerned)
        texts = {name: seen.shown(name).to_pylist() for name in layout.key}
        positions = [concerned.column(name).to_pylist() for name in POSITION]
        found += [
            Refusal(
                json.dumps(
                    {name: texts[name][at] for name in layout.key}, ensure_ascii=False, separators=(",", ":")
                ),
                Position(*(column[at] for column in positions)),
                None,
                reason,
                _REASONS[reason],
            )
            for at in range(concerned.num_rows)
        ]
    return tuple(found)
