"""JSON objects from columns of text, without a Python loop over rows.

Strings are escaped as RFC 8259 asks and no further; characters beyond ASCII stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_CONTROL = "[\\x00-\\x1f]"


def json_objects(members: Sequence[tuple[str, pa.StringArray, npt.NDArray[np.bool_]]]) -> pa.StringArray:
    """One object per row of the members `(name, values, which rows have it)`; `{}` without any.

    A null value that its row has is JSON null.
    """
    # An array without nulls comes first: a join of nothing but nulls loses its rows (pyarrow 26).
    parts = [pa.array(np.full(len(members[0][1]), "", dtype=object), pa.string())]
    for name, values, present in members:
        literal = pc.fill_null(_strings(values), "null")
        key = json.dumps(name, ensure_ascii=False) + ":"
        member = pc.binary_join_element_wise(key, literal, "")
        parts.append(pc.if_else(pa.array(present), member, pa.scalar(None, pa.string())))
    body = pc.binary_join_element_wise(*parts, ",", null_handling="skip")
    return pc.binary_join_element_wise("{", pc.ascii_ltrim(body, ","), "}", "")


def _strings(values: pa.StringArray) -> pa.StringArray:
    escaped = pc.replace_substring(pc.replace_substring(values, "\\", "\\\\"), '"', '\\"')
    if pc.any(pc.match_substring_regex(escaped, _CONTROL)).as_py():
        for code in range(32):
            escaped = pc.replace_substring(escaped, chr(code), json.dumps(chr(code))[1:-1])
    return pc.binary_join_element_wise('"', escaped, '"', "")
