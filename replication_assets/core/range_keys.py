"""Keys as id ranges compare them: which kind a column has, and its values as arrays.

The source's `<` and ours must agree on every value, or a load of one range reads rows that
the store files under another. So a column is taken only if its order is known:

* `integer`: integers and decimals without fraction.
* `uuid`: canonical lower-case text, whose byte order is the order of the 128 bits.
* `text`: types whose values are plain text, compared by UTF-8 bytes (`COLLATE "C"`).

Everything else is refused, also where it is stored as text: `numeric` without scale,
`citext`, blank-padded `char` and enums have an order of their own.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.errors import CatalogError, StoreError

Key: TypeAlias = int | str
Kind: TypeAlias = Literal["integer", "uuid", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

TEXT_TYPES = frozenset({"text", "varchar", "nvarchar", "character varying", "name", "string"})
"""Source types, without their length, whose order under `COLLATE "C"` is that of their bytes."""


def kind_of(arrow_type: pa.DataType, source_type: str, *, where: str = "range column") -> Kind:
    """How a column's keys are cut. Raises CatalogError if its order is not known."""
    base = source_type.split("(")[0].strip().lower()
    if _is_whole_number(arrow_type):
        return "integer"
    if is_text(arrow_type) and base in ("uuid", "uniqueidentifier"):
        return "uuid"
    if is_text(arrow_type) and base in TEXT_TYPES:
        return "text"
    problem = (
        f"keys of type {source_type} cannot be cut into ranges (integers, decimals without fraction, "
        "uuid and plain text can). Fix: declare a range_column of such a type, or id_ranges=ByCount(1)"
    )
    raise CatalogError([problem], where=where)


def _is_whole_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def as_int64(keys: pa.Array, column: str | None) -> npt.NDArray[np.int64]:
    """Keys clipped to int64; NULL becomes its minimum, which no bound reaches: range 0."""
    if not _is_whole_number(keys.type):
        raise _wrong_type(keys.type, "integer", column)
    if pa.types.is_decimal(keys.type) or pa.types.is_uint64(keys.type):
        keys = _clipped(keys)
    filled: npt.NDArray[np.int64] = pc.fill_null(keys.cast(pa.int64()), INT64_MIN).to_numpy()
    return filled


def _clipped(keys: pa.Array) -> pa.Array:
    wide = keys if pa.types.is_decimal256(keys.type) else keys.cast(pa.decimal128(38, 0))
    least, greatest = (pa.scalar(bound).cast(wide.type) for bound in (INT64_MIN, INT64_MAX))
    below = pc.min_element_wise(wide, greatest, skip_nulls=False)
    return pc.max_element_wise(below, least, skip_nulls=False)


def as_text(keys: pa.Array, column: str | None) -> pa.Array:
    """NULL becomes the empty text, which is below every bound: range 0."""
    if not is_text(keys.type):
        raise _wrong_type(keys.type, "text or uuid", column)
    return pc.fill_null(keys, "")


def _wrong_type(found: pa.DataType, expected: str, column: str | None) -> StoreError:
    return StoreError(
        f"keys are {found}, the table's id ranges are cut on {expected} keys",
        where=f"column {column}",
        fix="the range column changed its type: start a new log for the table",
    )
