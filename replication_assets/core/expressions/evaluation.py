"""Expressions evaluated on batches of rows, by SQLite itself in memory.

Values reach SQLite as it would have stored them: integers and booleans as INTEGER, floats as REAL,
dates as `YYYY-MM-DD`, timestamps as `YYYY-MM-DD HH:MM:SS` with a fraction where there is one (UTC where
they have a zone), texts and bytes as they are. A decimal is an INTEGER or REAL where that holds it
exactly as 15 digits, and its text elsewhere: SQLite has no decimals.

What comes out is fitted to the declared type or refused; nothing is cut or rounded in silence.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa

from replication_assets.core.expressions.functions import hash_sha256, operation_indicator, replace_chars
from replication_assets.core.expressions.quoting import quoted
from replication_assets.core.expressions.syntax import (
    ColumnValue,
    Expression,
    column_name,
    to_sql,
    variable_name,
)
from replication_assets.core.typed_texts import date_of, float_of, moment_of, number_of

_ROWS = 8_192
_EXACT_DIGITS = 15
_EXACT = Context(prec=100)
"""Of decimals of 38 digits on either side of the point: none is rounded."""


def evaluate(
    expressions: Sequence[Expression],
    rows: pa.RecordBatch | pa.Table,
    variables: Mapping[str, Sequence[Any]] | None = None,
    before: pa.RecordBatch | pa.Table | None = None,
) -> list[list[Any]]:
    """Results of each expression, row by row, as SQLite gives them.

    `variables` are the headers and metadata that the expressions use, a value for each row. Where
    `before` has no row for a change, its values are NULL.

    Raises:
        ValueError: SQLite refuses an expression (a number out of range, a malformed JSON text); the
            message has no value of a row in it.
    """
    given = dict(variables or {})
    columns = {column_name(name): rows.column(name) for name in _used(expressions, before=False)}
    if before is not None:
        used = _used(expressions, before=True)
        columns |= {column_name(name, before=True): before.column(name) for name in used}
    names = [*columns, *(variable_name(name) for name in given)]
    values = [
        *(_bound(column) for column in columns.values()),
        *([_bound_value(value) for value in each] for each in given.values()),
    ]
    results: list[list[Any]] = [[] for _ in expressions]
    with closing(_engine(names)) as connection:
        for start in range(0, rows.num_rows, _ROWS):
            taken = [each[start : start + _ROWS] for each in values]
            found = _batch(connection, expressions, taken, min(_ROWS, rows.num_rows - start))
            for column, further in zip(results, zip(*found, strict=True), strict=True):
                column.extend(further)
    return [_as_is(each, rows) or found for each, found in zip(expressions, results, strict=True)]


def _as_is(expression: Expression, rows: pa.RecordBatch | pa.Table) -> list[Any]:
    """Values of an expression that is a column and nothing else: decimals keep every digit. Else nothing."""
    root = expression.root
    if not isinstance(root, ColumnValue) or root.before:
        return []
    values = rows.column(root.name).to_pylist()
    return [format(v, "f") if isinstance(v, Decimal) else _bound_value(v) for v in values]


def _used(expressions: Sequence[Expression], *, before: bool) -> tuple[str, ...]:
    parts = (part for each in expressions for part in each.parts())
    return tuple(
        dict.fromkeys(part.name for part in parts if isinstance(part, ColumnValue) and part.before == before)
    )


def _engine(names: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.create_function("replaceChars", 3, replace_chars, deterministic=True)
    connection.create_function("hash_sha256", 1, hash_sha256, deterministic=True)
    connection.create_function("operation_indicator", 4, operation_indicator, deterministic=True)
    # Without types: no affinity bends what is stored.
    connection.execute(f"CREATE TABLE r ({', '.join(['n INTEGER PRIMARY KEY', *map(quoted, names)])})")
    return connection


def _batch(
    connection: sqlite3.Connection,
    expressions: Sequence[Expression],
    values: Sequence[Sequence[Any]],
    rows: int,
) -> list[tuple[Any, ...]]:
    marks = ", ".join("?" * (len(values) + 1))
    connection.execute("DELETE FROM r")
    connection.executemany(f"INSERT INTO r VALUES ({marks})", zip(range(rows), *values, strict=True))
    wanted = ", ".join(to_sql(each.root) for each in expressions)
    try:
        return connection.execute(f"SELECT {wanted} FROM r ORDER BY n").fetchall()
    except sqlite3.Error as error:
        raise ValueError(f"SQLite refuses the expression ({type(error).__name__})") from None


def _bound(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    return [_bound_value(value) for value in column.to_pylist()]


def _bound_value(value: Any) -> Any:
    if value is None or isinstance(value, str | bytes | float):
        return value
    if isinstance(value, bool | int):
        return int(value) if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, Decimal):
        return _bound_decimal(value)
    if isinstance(value, dt.datetime):
        moment = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo is not None else value
        return moment.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    raise ValueError(f"values of type {type(value).__name__} cannot be used in an expression")


def _bound_decimal(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    integral = value == value.to_integral_value()
    if integral and abs(value) < 10**18:
        return int(value)
    digits = len(value.normalize().as_tuple().digits)
    return float(value) if digits <= _EXACT_DIGITS else format(value, "f")


Fit = Callable[[Any], Any]


def fitted(
    values: Sequence[Any], kind: str, length: int | None, precision: int | None, scale: int | None
) -> tuple[pa.Array, list[tuple[int, str]]]:
    """Results as a column of a DMS data type, and the rows in which a result does not fit, with why:
    those are null.

    A text longer than declared does not fit: DMS would cut it. Nor does a time of day in a date, unless it
    is midnight; of a moment with a zone a column has that of UTC.
    """
    arrow, fit = _fit_of(kind, length, precision, scale)
    kept: list[Any] = []
    refused = []
    for at, value in enumerate(values):
        try:
            kept.append(None if value is None else fit(value))
        except (ValueError, ArithmeticError):
            kept.append(None)
            refused.append((at, f"not-{kind}"))
    return pa.array(kept, arrow), refused


def arrow_type(kind: str, precision: int | None = None, scale: int | None = None) -> pa.DataType:
    """What a column of a DMS data type is stored as."""
    return _fit_of(kind, None, precision, scale)[0]


INTEGERS: dict[str, tuple[int, int]] = {
    f"{'u' if unsigned else ''}int{size}": (0, 2 ** (8 * size) - 1)
    if unsigned
    else (-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1)
    for size in (1, 2, 4, 8)
    for unsigned in (False, True)
}


def _fit_of(
    kind: str, length: int | None, precision: int | None, scale: int | None
) -> tuple[pa.DataType, Fit]:
    if kind in ("string", "wstring", "clob", "nclob", "time"):
        return pa.string(), lambda value: _text(value, length)
    if kind in ("bytes", "blob"):
        return pa.binary(), lambda value: _bytes(value, length)
    if kind in INTEGERS:
        least, most = INTEGERS[kind]
        arrow = pa.int64() if kind != "uint8" else pa.decimal128(20, 0)
        return arrow, lambda value: _within(value, least, most, kind)
    if kind == "numeric":
        shape = pa.decimal128(precision or 38, scale if scale is not None else 10)
        return shape, lambda value: _decimal(value, shape.precision, shape.scale)
    if kind in ("real4", "real8"):
        return pa.float64(), float_of
    if kind == "boolean":
        return pa.bool_(), _boolean
    if kind == "date":
        return pa.date32(), date_of
    if kind == "datetime":
        return pa.timestamp("us"), moment_of
    raise ValueError(f"data type {kind} is not known")


def _text(value: Any, length: int | None) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    if length is not None and len(text) > length:
        raise ValueError
    return text


def _bytes(value: Any, length: int | None) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode()
    if length is not None and len(data) > length:
        raise ValueError
    return data


def _within(value: Any, least: int, most: int, kind: str) -> int | Decimal:
    number = number_of(value)
    if number != number.to_integral_value() or not least <= number <= most:
        raise ValueError
    return number if kind == "uint8" else int(number)


def _decimal(value: Any, precision: int, scale: int) -> Decimal:
    number = number_of(value)
    exact = number.quantize(Decimal(1).scaleb(-scale), context=_EXACT)
    if exact != number or len(exact.as_tuple().digits) > precision:
        raise ValueError
    return exact


def _boolean(value: Any) -> bool:
    known = {"1": True, "true": True, "t": True, "0": False, "false": False, "f": False}
    return known[str(value).lower()] if str(value).lower() in known else _refuse()


def _refuse() -> bool:
    raise ValueError
