"""Columns in another type, exactly: a value is what it was, or it does not fit and is told.

Nothing is cut, rounded or guessed. A timestamp is a date at midnight alone, a decimal is a float where the
float prints it, a text is a number where it reads as one (`core.typed_texts`). In a key it reads so in one
spelling alone, or rows of several texts would become one.
Texts of decimals have all digits of their scale, those of other values are what items have
(`core.items.texts`), odd values (`_overflow`) of a column that becomes a text among them.

Whole columns are cast by Arrow where its cast is exact or refuses; what it refuses, and pairs of types that
it would round, are looked at value by value.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.expressions.evaluation import INTEGERS, arrow_type, fitted
from replication_assets.core.items.texts import canonical_text, is_binary, is_text

Kind: TypeAlias = tuple[str, int | None, int | None, int | None]
"""A DMS data type with its length, precision and scale, as `shape_specs.type_of` reads it."""
Misfits: TypeAlias = npt.NDArray[np.bool_]

_TEXTS = frozenset({"string", "wstring", "clob", "nclob", "time"})
_BINARIES = frozenset({"bytes", "blob"})
_WIDEST_SCALE_OF_INTEGERS = 19
"""An int64 has 19 digits, and a decimal128 38."""


def retyped(
    values: pa.Array, kind: Kind, odd: pa.Array | None = None, *, one_to_one: bool = False
) -> tuple[pa.Array, Misfits]:
    """The column in the type, and which of its values do not fit: those are null. `odd` are texts of
    values that the column could not hold, which a column of texts takes. With `one_to_one` values that
    differ stay different: a text fits only where it is the text of what it becomes."""
    array, misfits = _converted(values, kind, odd)
    if not one_to_one or not is_text(values.type) or is_text(array.type) or is_binary(array.type):
        return array, misfits
    back, _ = _converted(array, ("string", None, None, None), None)
    differs = pc.fill_null(pc.not_equal(back, values.cast(back.type)), False)
    return pc.if_else(differs, pa.scalar(None, array.type), array), misfits | np.asarray(differs)


def _converted(values: pa.Array, kind: Kind, odd: pa.Array | None) -> tuple[pa.Array, Misfits]:
    name, length, precision, scale = kind
    if name in _TEXTS and not is_binary(values.type):
        texts = _decimal_texts(values) if pa.types.is_decimal(values.type) else canonical_text(values)
        return _bounded(
            texts if odd is None else pc.coalesce(texts, odd), length, pc.utf8_length, pa.string()
        )
    if name in _BINARIES and is_binary(values.type):
        return _bounded(values, length, pc.binary_length, pa.binary())
    wanted = arrow_type(name, precision, scale)
    cast = _cast(values, wanted)
    if cast is None or name in INTEGERS:
        return _one_by_one(values, kind) if cast is None else _within(cast, name)
    return cast, np.zeros(len(values), dtype=bool)


def _decimal_texts(values: pa.Array) -> pa.Array:
    """With all digits of the scale: 2.50."""
    texts = values.cast(pa.large_string())
    if not pc.any(pc.match_substring(texts, "E")).as_py():
        return texts
    # Arrow writes very small ones with an exponent.
    plain = [None if value is None else format(value, "f") for value in values.to_pylist()]
    return pa.array(plain, pa.large_string())


def _bounded(
    values: pa.Array, length: int | None, measured: Callable[[pa.Array], pa.Array], wanted: pa.DataType
) -> tuple[pa.Array, Misfits]:
    values = values.cast(wanted)
    if length is None:
        return values, np.zeros(len(values), dtype=bool)
    long = pc.fill_null(pc.greater(measured(values), length), False)
    return pc.if_else(long, pa.scalar(None, wanted), values), np.asarray(long)


def _within(values: pa.Array, name: str) -> tuple[pa.Array, Misfits]:
    least, most = INTEGERS[name]
    outside = pc.or_(
        pc.less(values, pa.scalar(least).cast(values.type) if name != "uint8" else pa.scalar(Decimal(0))),
        pc.greater(values, pa.scalar(most if name != "uint8" else Decimal(most))),
    )
    outside = pc.fill_null(outside, False)
    return pc.if_else(outside, pa.scalar(None, values.type), values), np.asarray(outside)


def _cast(values: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    """By Arrow; None where a value does not fit, or where Arrow would bend one in silence."""
    given = values.type
    whole = pa.types.is_integer(given) or pa.types.is_boolean(given)
    number = whole or pa.types.is_decimal(given)
    try:
        if pa.types.is_decimal(wanted) and whole and wanted.scale <= _WIDEST_SCALE_OF_INTEGERS:
            integers = values.cast(pa.int64()) if pa.types.is_boolean(given) else values
            return integers.cast(pa.decimal128(38, 0)).cast(wanted)
        if pa.types.is_decimal(wanted) and pa.types.is_decimal(given):
            return values.cast(wanted)
        if pa.types.is_integer(wanted) and number:
            return values.cast(wanted)
        if pa.types.is_floating(wanted) and (whole or pa.types.is_floating(given)):
            return values.cast(wanted)
        if pa.types.is_timestamp(wanted) and (pa.types.is_timestamp(given) or pa.types.is_date32(given)):
            return values.cast(wanted)
        if given == wanted:
            return values
    except pa.ArrowInvalid:
        # Its text may quote the value. Which one does not fit is found below.
        return None
    return None


def _one_by_one(values: pa.Array, kind: Kind) -> tuple[pa.Array, Misfits]:
    name = kind[0]
    misfits = np.zeros(len(values), dtype=bool)
    ready: list[Any] = []
    for at, value in enumerate(values.to_pylist()):
        try:
            ready.append(_readable(value, name))
        except ValueError:
            ready.append(None)
            misfits[at] = True
    array, refused = fitted(ready, *kind)
    misfits[[at for at, _ in refused]] = True
    return array, misfits


def _readable(value: Any, name: str) -> Any:
    """A value as `fitted` takes it. Raises ValueError for a text that is a date with a time of day."""
    if isinstance(value, bool):
        return int(value)
    if name == "date" and isinstance(value, str) and len(value) != len("2024-01-01"):
        raise ValueError
    return value


def can_be(given: pa.DataType, kind: Kind) -> bool:
    """Whether values of a stored type can be of a DMS type at all."""
    name = kind[0]
    temporal = pa.types.is_timestamp(given) or pa.types.is_date(given)
    if is_binary(given):
        return name in _BINARIES
    if name in _TEXTS or is_text(given):
        return True
    if temporal:
        return name in ("date", "datetime")
    return name not in ("date", "datetime") and name not in _BINARIES
