"""JSON documents in one spelling, for databases that keep a document and not its text.

PostgreSQL's `jsonb` and MySQL's `json` reorder members, drop blanks and print numbers in a way of
their own (`1e2` comes back as `100`). Two texts of one document have one canonical text: members by
their names, no blanks, numbers without a trailing zero or with an exponent. Numbers are compared
digit by digit, not as doubles. Of two members of one name the last one counts, as in those databases:
a column whose database keeps the text as it is must be compared as text.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import NoReturn

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.errors import RefreshError

_DIGITS = 18
"""Whole numbers of so many digits fit 64 bits; all others are written with an exponent."""

_NEEDS_CARE = r"(?:^|[:,\[\s])(?:-0|-?\d+[.eE]|-?\d{19})"
"""Texts that may hold a number which orjson would round, or spell in several ways."""


def canonical_json(values: pa.Array, column: str) -> pa.Array:
    """The canonical text of each document, as binary; null for null.

    Raises:
        RefreshError: a value is no JSON. It is not told.
    """
    texts = values.cast(pa.large_string())
    careful = pc.match_substring_regex(texts, _NEEDS_CARE).to_pylist()
    try:
        found = [
            None if text is None else _careful(text) if with_care else _fast(text)
            for text, with_care in zip(texts.to_pylist(), careful, strict=True)
        ]
    except (ValueError, ArithmeticError, RecursionError, orjson.JSONEncodeError):
        raise RefreshError(
            "a value is no JSON", where=f"column {column}", fix="its rule must give a whole document"
        ) from None
    return pa.array(found, pa.large_binary())


def _fast(text: str) -> bytes:
    return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)


def _careful(text: str) -> bytes:
    document = json.loads(text, parse_float=_number, parse_int=_number, parse_constant=_refuse)
    return orjson.dumps(document, default=_spelled, option=orjson.OPT_SORT_KEYS)


def _number(text: str) -> int | Decimal:
    """As a whole number if it is one that fits, so that both ways spell it alike."""
    number = Decimal(text)
    if number.is_zero():
        return 0
    if number.adjusted() < _DIGITS and number == number.to_integral_value():
        return int(number)
    return number


def _spelled(value: object) -> orjson.Fragment:
    if not isinstance(value, Decimal):
        raise TypeError(type(value).__name__)
    sign, digits, exponent = value.as_tuple()
    text = "".join(str(digit) for digit in digits)
    bare = text.rstrip("0")
    power = int(exponent) + len(text) - len(bare)
    return orjson.Fragment(f"{'-' if sign else ''}{bare.lstrip('0')}e{power}")


def _refuse(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
