"""Values that a policy names (`Constant`, `Choice`, `RandomRange`), as the column's own type has them.

A value that the column cannot hold exactly is refused: nothing is rounded, cut or coerced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

import pyarrow as pa

from replication_assets.core.masking.masker import MaskedColumn
from replication_assets.errors import PolicyError


def typed_values(values: Sequence[str | int | float | bool], column: MaskedColumn) -> pa.Array:
    """The values in the column's Arrow type, in their order.

    Raises:
        PolicyError: with each value that the column cannot hold.
    """
    found, problems = [], []
    for value in values:
        try:
            found.append(_typed(value, column.arrow))
        except (ValueError, OverflowError, InvalidOperation, pa.ArrowException):
            problems.append(f"{value!r} is no value of {column.structure.type}. Fix: name one that is")
            continue
        problems.extend(_text_problems(found[-1], column))
    if problems:
        raise PolicyError(problems)
    return pa.array(found, column.arrow)


def _typed(value: str | int | float | bool, arrow: pa.DataType) -> object:
    """As Python, checked to be exactly representable. Raises ValueError and the like if it is not."""
    typed = _python_value(value, arrow)
    back = pa.array([typed], arrow)[0].as_py()
    if pa.types.is_floating(arrow):
        if not math.isfinite(back):
            raise ValueError("not a finite number")
    elif back != typed:
        raise ValueError("not exactly representable")
    return typed


def _python_value(value: str | int | float | bool, arrow: pa.DataType) -> object:
    if pa.types.is_boolean(arrow):
        return _require(value, isinstance(value, bool))
    if isinstance(value, bool):
        raise ValueError("a boolean for a column of another type")
    if pa.types.is_integer(arrow):
        number = Decimal(str(value))
        return _require(int(number), number == int(number))
    if pa.types.is_decimal(arrow):
        return _require(Decimal(str(value)), Decimal(str(value)).is_finite())
    if pa.types.is_floating(arrow):
        return float(value)
    if isinstance(value, str):
        return _from_text(value, arrow)
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return str(value)
    raise ValueError("not of the column's type")


def _from_text(text: str, arrow: pa.DataType) -> object:
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return text
    if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow):
        return text.encode()
    if pa.types.is_date32(arrow):
        return date.fromisoformat(text)
    if pa.types.is_timestamp(arrow):
        moment = datetime.fromisoformat(text)
        if arrow.tz is None:
            return _require(moment, moment.tzinfo is None)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    raise ValueError("not of the column's type")


def _require(value: object, true: bool) -> object:
    if not true:
        raise ValueError("not of the column's type")
    return value


def _text_problems(value: object, column: MaskedColumn) -> list[str]:
    if not isinstance(value, str):
        return []
    if column.structure.labels and value not in column.structure.labels:
        labels = ", ".join(column.structure.labels)
        return [f"{value!r} is no label of {column.structure.type}. Fix: one of {labels}"]
    if column.longest is not None and len(value) > column.longest:
        return [f"{value!r} has more than the column's {column.longest} characters. Fix: shorten it"]
    return []
