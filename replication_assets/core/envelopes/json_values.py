"""JSON of messages, with numbers exact: what a float would round is kept as its text.

Integers become Python's, of any size. A number with a fraction or an exponent becomes a `Number`,
which is the text as it stood in the message: DMS spells large integers as `1.5E+17`, and a decimal
with 30 digits is no float.
"""

from __future__ import annotations

import json
import re
from typing import Any, Never

import orjson

from replication_assets.errors import DecodeError


class Number(str):
    """A JSON number with a fraction or an exponent, as it was spelled."""

    __slots__ = ()


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_float=Number, parse_constant=_refuse_constant)

_MAY_ROUND = re.compile(rb'(?:"\s*:|[\[,]|\A)\s*-?\d+[.eE]|\d{18}')
"""Numbers that orjson might make floats of, wherever they stand: in a text it costs time only."""


def read_json(raw: bytes) -> Any:
    """The value of a message. Raises DecodeError, which quotes nothing of it."""
    if not _MAY_ROUND.search(raw):
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            # It refuses half a surrogate pair, which JSON may spell.
            pass
    try:
        return _DECODER.decode(raw.decode())
    except (ValueError, RecursionError):
        # UnicodeDecodeError is a ValueError, and so is an integer of more digits than Python takes.
        raise DecodeError("the message is no JSON in UTF-8") from None


def json_text(value: Any) -> str:
    """A value as JSON text: numbers as they were spelled, members in their order, no spaces."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json_text(name)}:{json_text(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return text if is_text(text) else json.dumps(value)


def is_text(value: str) -> bool:
    """Whether UTF-8 can hold it: JSON may spell half a surrogate pair."""
    return value.isascii() or not any("\ud800" <= each <= "\udfff" for each in value)
