"""What a value means, by the text that its engine prints: written anew here, without the project's code.

A meaning is the value as Python has it and the text of an odd one, of which at most one is not None.
"""

from __future__ import annotations

import datetime as dt
import re
import struct
from decimal import Context, Decimal
from typing import Any, TypeAlias

import pyarrow as pa

Meaning: TypeAlias = tuple[Any, str | None]
Meanings: TypeAlias = dict[int, dict[str, Meaning]]
"""By the row's `id` and the column."""

NOTHING: Meaning = (None, None)


def single(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def exact(value: Any) -> Any:
    """For comparison: NaN equals NaN, -0.0 is not 0.0, 1.50 is not 1.5."""
    return repr(value) if isinstance(value, float | Decimal) else value


def by_text(kind: pa.DataType, text: str | None) -> Meaning:
    """Of a value that PostgreSQL or MariaDB prints; binary values in hexadecimal digits."""
    if text is None:
        return NOTHING
    if pa.types.is_boolean(kind):
        return {"t": True, "1": True, "f": False, "0": False}[text], None
    if pa.types.is_integer(kind):
        return int(text), None
    if pa.types.is_floating(kind):
        return exact(single(float(text)) if pa.types.is_float32(kind) else float(text)), None
    if pa.types.is_binary(kind):
        return bytes.fromhex(text.removeprefix("\\x")), None
    if pa.types.is_string(kind):
        return text, None
    try:
        return exact(_typed(kind, text)), None
    except ValueError:
        return None, text


def _typed(kind: pa.DataType, text: str) -> Any:
    if pa.types.is_decimal(kind):
        value = Decimal(text)
        if not value.is_finite():
            raise ValueError(text)
        return value.quantize(Decimal(1).scaleb(-kind.scale), context=_WIDE)
    if pa.types.is_date(kind):
        return dt.date.fromisoformat(text)
    found = dt.datetime.fromisoformat(text)
    return found if kind.tz is None else found.replace(tzinfo=dt.UTC)


_WIDE = Context(prec=80)

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.(?!000000)\d{6})?")


def of_sqlite(declared: str, kind: pa.DataType, storage: str, raw: Any) -> Meaning:
    """Of a value by its storage class, as `typeof` says it; texts as their bytes."""
    if storage == "null":
        return NOTHING
    literal = sqlite_literal(storage, raw)
    if declared in ("", "ANY"):
        return literal, None
    value = _held(kind, storage, raw)
    return (None, literal) if value is None else (exact(value), None)


def _held(kind: pa.DataType, storage: str, raw: Any) -> Any:
    """The value if it is of the class that the column asks for, else None."""
    if pa.types.is_floating(kind):
        return float(raw) if storage == "real" or (storage == "integer" and abs(raw) <= 2**53) else None
    if pa.types.is_boolean(kind):
        return bool(raw) if storage == "integer" and raw in (0, 1) else None
    wanted = "integer" if pa.types.is_integer(kind) else "blob" if pa.types.is_binary(kind) else "text"
    if storage != wanted:
        return None
    return raw if wanted != "text" else _text(kind, raw)


def _text(kind: pa.DataType, raw: bytes) -> Any:
    try:
        text = raw.decode()
        if pa.types.is_string(kind):
            return text
        if pa.types.is_date(kind):
            return dt.date.fromisoformat(text) if _DATE.fullmatch(text) else None
        return dt.datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        return None


def sqlite_literal(storage: str, raw: Any) -> str:
    if storage == "integer":
        return str(raw)
    if storage == "real":
        return "9e999" if raw == float("inf") else "-9e999" if raw == -float("inf") else repr(raw)
    if storage == "blob":
        return f"X'{raw.hex()}'"
    try:
        quoted = str(raw, "utf-8").replace("'", "''")
        return f"'{quoted}'"
    except UnicodeDecodeError:
        return f"CAST(X'{raw.hex()}' AS TEXT)"
