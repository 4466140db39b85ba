"""The `_overflow` object of a row: texts of values that their typed column cannot hold.

Every way that a value gets here (a load, a change stream) builds the object with these functions, so
that the same row has the same bytes whichever way it came.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def overflow_json(names: Sequence[str], arrays: Sequence[pa.StringArray | None]) -> pa.StringArray:
    """`_overflow` from the odd texts of columns, in the columns' order: null for a row
    without any. At least one array must be given."""
    present = [(n, a) for n, a in zip(names, arrays, strict=True) if a is not None]
    length = len(present[0][1])
    texts: list[str | None] = [None] * length
    odd = np.zeros(length, dtype=bool)
    for _, array in present:
        odd |= array.is_valid().to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(odd):
        members = [
            f"{json_key(name)}:{json.dumps(array[row].as_py())}"
            for name, array in present
            if array[row].is_valid
        ]
        texts[row] = "{" + ",".join(members) + "}"
    return pa.array(texts, pa.string())


def json_key(name: str) -> str:
    """A column's name as the key of an `_overflow` object, in the one form all ways use."""
    return json.dumps(name, ensure_ascii=False)
