"""Whole rows as the server prints them, `(1,"a b",)`, to columns of text.

`record_out` separates fields by commas, leaves NULL empty, and puts a field into double quotes if it
is empty or holds a quote, a backslash, a bracket, a comma or white space; within them it doubles
quotes and backslashes. But for the backslashes that is CSV, which Arrow reads a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from replication_assets.errors import DecodeError


def fields_of(images: Sequence[str | None], width: int) -> list[pa.StringArray] | None:
    """A column for each of `width` fields, null where an image is missing; None if some image has
    another number of fields.

    Raises:
        DecodeError: an image is not what the server prints.
    """
    present = [image for image in images if image is not None]
    if not present:
        return [pa.nulls(len(images), pa.string())] * width
    if any(image[:1] != "(" or image[-1:] != ")" for image in present):
        raise DecodeError("a row of the change log holds no row image")
    found = _parsed([image[1:-1] for image in present], width)
    if found is None or len(present) == len(images):
        return found
    places = np.cumsum([image is not None for image in images]) - 1
    chosen = pa.array(places, mask=np.array([image is None for image in images]))
    return [column.take(chosen) for column in found]


def width_of(image: str) -> int:
    """How many fields an image has."""
    outside = image[1:-1].replace('""', "").split('"')[::2]
    return 1 + sum(part.count(",") for part in outside)


def _parsed(lines: Sequence[str], width: int) -> list[pa.StringArray] | None:
    data = ("\n".join(lines) + "\n").encode()
    names = [f"f{number}" for number in range(width)]
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            csv.ParseOptions(double_quote=True, newlines_in_values=True, ignore_empty_lines=False),
            csv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        # The message quotes the line.
        return None
    if table.num_rows != len(lines):
        raise DecodeError("a row of the change log is torn")
    return [_unescaped(table[name].combine_chunks()) for name in names]


def _unescaped(values: pa.Array) -> pa.StringArray:
    text = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
    if not pc.any(pc.match_substring(text, "\\")).as_py():
        return text
    return pc.replace_substring(text, "\\\\", "\\")
