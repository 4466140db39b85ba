"""Rows that arrive without the columns an update left alone.

The source did not send them because they did not change, so the stored row still has them:
the value, or the odd value's text in `_overflow`. Without a stored row there is nothing to
keep, and the row is refused rather than stored with a null.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import OVERFLOW, UNCHANGED
from replication_assets.core.partials import overflow_text
from replication_assets.core.schema import TableSchema
from replication_assets.errors import NeedsReload


def is_partial(upserts: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows name unchanged columns."""
    lengths = pc.list_value_length(upserts[UNCHANGED].combine_chunks())
    partial: npt.NDArray[np.bool_] = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False) > 0
    return partial


def refuse_without_stored_row(partial: pa.Table, found: npt.NDArray[np.bool_], where: str) -> None:
    """Raises NeedsReload if a row of `partial` has no stored row to take its columns from."""
    if found.all():
        return
    missing = partial.filter(pa.array(~found))
    columns = sorted(set(pc.list_flatten(missing[UNCHANGED]).unique().to_pylist()))
    raise NeedsReload(
        f"{missing.num_rows} changed rows lack the columns {columns}, which their source left alone, "
        "and the target has no earlier row to take them from",
        where=where,
        fix="replace the range from the event store",
    )


def fill_unchanged(partial: pa.Table, stored: pa.Table, schema: TableSchema) -> pa.Table:
    """`partial` with the columns of `_unchanged` from the stored row at the same place."""
    lists = partial[UNCHANGED].combine_chunks()
    rows, names = pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists)
    filled = partial
    for name in names.unique().to_pylist():
        keep = np.zeros(partial.num_rows, dtype=np.bool_)
        keep[rows[pc.equal(names, name).to_numpy(zero_copy_only=False)]] = True
        index = filled.schema.get_field_index(name)
        values = pc.if_else(pa.array(keep), stored[name], filled[name])
        filled = filled.set_column(index, filled.schema.field(index), values)
    index = filled.schema.get_field_index(OVERFLOW)
    return filled.set_column(index, filled.schema.field(index), _overflow(partial, stored, schema))


def _overflow(partial: pa.Table, stored: pa.Table, schema: TableSchema) -> pa.Array:
    """Row by row, as rows that kept an odd value are rare; the others keep their text."""
    kept, texts = stored[OVERFLOW].to_pylist(), partial[OVERFLOW].to_pylist()
    for row, text in enumerate(kept):
        if text is not None:
            unchanged = set(partial[UNCHANGED][row].as_py())
            own: dict[str, str] = json.loads(texts[row] or "{}")
            odd = {name: value for name, value in json.loads(text).items() if name in unchanged}
            texts[row] = overflow_text(own | odd, schema) if odd else texts[row]
    return pa.array(texts, pa.string())
