"""Pieces of JSON text for all rows of a batch at once, joined as late as possible.

A `Fragment` is one value of every row: constant texts and arrays of texts, in order. As long
as every row has the value, the pieces go into the final join as they are, and nothing is copied
twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring as quoted_json
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.items.texts import Text

Piece: TypeAlias = "str | pa.Array"
Sizes: TypeAlias = npt.NDArray[np.int64]

NULL_VALUE = '{"NULL":true}'


@dataclass(frozen=True, slots=True)
class Fragment:
    """A value as DynamoDB's JSON. `present` says which rows have it, None: all; one that not
    all rows have is a single array, null where it is absent. `size` is 0 there."""

    pieces: tuple[Piece, ...]
    size: Sizes
    present: npt.NDArray[np.bool_] | None = None


def fragment(before: str, body: pa.Array, after: str, size: Sizes) -> Fragment:
    """`body` between two texts; no value where it is null."""
    if body.null_count == 0:
        return Fragment((before, body, after), size)
    present = body.is_valid().to_numpy(zero_copy_only=False)
    return Fragment((joined([before, body, after]),), np.where(present, size, 0), present)


def constant(text: str, size: int, rows: int) -> Fragment:
    return Fragment((text,), np.full(rows, size, dtype=np.int64))


def replaced(
    value: Fragment, where: npt.NDArray[np.bool_], texts: pa.Array | str, size: int | Sizes
) -> Fragment:
    """The value of some rows exchanged: for a constant text, or a text for each of those rows."""
    if not where.any():
        return value
    body = joined(value.pieces, rows=len(where))
    mask = pa.array(where)
    if isinstance(texts, str):
        texts = pa.array([texts] * int(where.sum()), Text)
    body = pc.replace_with_mask(body, mask, texts)
    sizes = value.size.copy()
    sizes[where] = size
    return fragment("", body, "", sizes)


def joined(pieces: Sequence[Piece], *, rows: int = 0, absent: str | None = None) -> pa.Array:
    """One text per row. A null piece makes the row null, or counts as `absent`."""
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        elif not isinstance(piece, str) or piece:
            merged.append(piece)
    if all(isinstance(piece, str) for piece in merged):
        return pa.repeat(pa.scalar("".join(merged), Text), rows)
    if len(merged) == 1 and absent is None:
        return merged[0]
    arguments = [pa.scalar(piece, Text) if isinstance(piece, str) else piece for piece in merged]
    if absent is None:
        return pc.binary_join_element_wise(*arguments, pa.scalar("", Text))
    return pc.binary_join_element_wise(
        *arguments, pa.scalar("", Text), null_handling="replace", null_replacement=absent
    )


def object_pieces(members: Sequence[tuple[str, Fragment]]) -> tuple[Piece, ...]:
    """The members of a JSON object between its braces, sorted by name, those absent left out.

    One array of pieces whose nulls count as empty text. Commas are placed around the first
    member that all rows have.
    """
    members = sorted(members, key=lambda member: member[0])
    anchor = next((at for at, (_, value) in enumerate(members) if value.present is None), None)
    pieces: list[Piece] = []
    for at, (name, value) in enumerate(members):
        before, after = f"{quoted_json(name)}:", ""
        if anchor is None or at > anchor:
            before = "," + before
        elif at < anchor:
            after = ","
        whole = (before, *value.pieces, after)
        pieces += whole if value.present is None else [joined(whole)]
    if anchor is None and pieces:
        return (pc.ascii_ltrim(joined(pieces, absent=""), ","),)
    return tuple(pieces)


def members_size(members: Sequence[tuple[str, Fragment]], *, overhead: int) -> Sizes:
    """Bytes of names and values of the members that each row has, `overhead` for each."""
    total = np.zeros(len(members[0][1].size) if members else 0, dtype=np.int64)
    for name, value in members:
        own = len(name.encode()) + overhead
        total += value.size + (own if value.present is None else np.where(value.present, own, 0))
    return total
