"""Numbers as DynamoDB holds them: exact decimals of up to 38 digits.

Each number has one spelling here, so that equal numbers are equal texts whoever wrote them:
without sign for zero, without leading and trailing zeros, and plain (`1500`, `0.015`) up to 38
digits before or after the point, beyond that as `1.5E+100`.
Limits: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MAX_DIGITS = 38
_SMALLEST, _GREATEST = -130, 125
"""Exponents of the first digit: 1E-130 to 9.99...E+125."""

_NUMBER = re.compile(r"([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d{1,18}))?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_PLAIN = r"^(?:0|-?[1-9][0-9]{0,37}|-?(?:0|[1-9][0-9]{0,17})\.[0-9]{0,18}[1-9])$"
"""Texts that are certainly in their one spelling already; all others take the slow way."""

NUMBER_BYTES = 21
"""The most bytes that a number takes in an item."""


class NotStorable(ValueError):
    """A value that an attribute cannot hold; `reason` is the code of its refusal. `detail` is what a parser
    says of it: what it expected and where, never what it found."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def canonical_number(text: str) -> str:
    """The one spelling of a decimal number.

    Raises:
        NotStorable: `not-a-number`, `not-finite`, `number-too-precise`, `number-out-of-range`.
    """
    match = _NUMBER.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise NotStorable("not-finite" if _NOT_FINITE.fullmatch(text) else "not-a-number")
    sign, whole, fraction, power = match.groups()
    digits = (whole + fraction).lstrip("0")
    exponent = int(power or 0) - len(fraction)
    shortest = digits.rstrip("0")
    if not shortest:
        return "0"
    exponent += len(digits) - len(shortest)
    if len(shortest) > MAX_DIGITS:
        raise NotStorable("number-too-precise")
    first = exponent + len(shortest) - 1
    if not _SMALLEST <= first <= _GREATEST:
        raise NotStorable("number-out-of-range")
    return ("-" if sign == "-" else "") + _spelled(shortest, exponent, first)


def _spelled(digits: str, exponent: int, first: int) -> str:
    if not -MAX_DIGITS <= first < MAX_DIGITS:
        return f"{digits[0]}{'.' + digits[1:] if digits[1:] else ''}E{first:+d}"
    if exponent >= 0:
        return digits + "0" * exponent
    if first < 0:
        return "0." + "0" * (-first - 1) + digits
    return f"{digits[: first + 1]}.{digits[first + 1 :]}"


def canonical_numbers(texts: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """The one spelling of each text, and the reason for each row that has none (null there)."""
    plain = pc.fill_null(pc.match_substring_regex(texts, _PLAIN), True)
    if pc.all(plain).as_py():
        return texts, {}
    rows = np.flatnonzero(~plain.to_numpy(zero_copy_only=False))
    respelled: list[str | None] = []
    refused: dict[int, str] = {}
    for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
        try:
            respelled.append(canonical_number(text))
        except NotStorable as error:
            respelled.append(None)
            refused[row] = error.reason
    return pc.replace_with_mask(texts, pc.invert(plain), pa.array(respelled, texts.type)), refused


def spelled_integers(values: pa.Array) -> pa.Array:
    return values.cast(pa.large_string())


def spelled_decimals(values: pa.Array) -> pa.Array:
    """Decimals of 38 digits at most: always storable, always plain."""
    texts = values.cast(pa.large_string())
    if values.type.scale <= 0:
        return texts
    # Arrow prints what is below 1E-6 with an exponent, zero in a fine scale too.
    exponents = pc.fill_null(pc.match_substring(texts, "E"), False)
    trimmed = pc.ascii_rtrim(pc.ascii_rtrim(texts, "0"), ".")
    if not pc.any(exponents).as_py():
        return trimmed
    zero = pc.and_(exponents, pc.match_substring_regex(texts, "^-?0E"))
    trimmed = pc.if_else(pc.fill_null(zero, False), pa.scalar("0", pa.large_string()), trimmed)
    small = pc.and_not(exponents, pc.fill_null(zero, False))
    respelled = [canonical_number(text) for text in texts.filter(small).to_pylist()]
    return pc.replace_with_mask(trimmed, small, pa.array(respelled, pa.large_string()))


def spelled_floats(values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """The fewest digits that read back as the same float; `NaN`, `Infinity` and `-Infinity`
    are spelled out, and counted as refused."""
    texts, refused = canonical_numbers(values.cast(pa.large_string()))
    odd = [row for row, reason in refused.items() if reason == "not-finite"]
    if not odd:
        return texts, refused
    mask = np.zeros(len(values), dtype=bool)
    mask[odd] = True
    words = [_word(value) for value in values.filter(mask).to_pylist()]
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(words, texts.type)), refused


def _word(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def number_bytes(texts: pa.Array) -> npt.NDArray[np.int64]:
    """The most that each number takes: a byte for two digits, wherever the point falls between
    them, one for the exponent and one for a minus sign; 0 for null. From the length of the text,
    so at most a few bytes too many for numbers of many zeros."""
    length = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(length == 0, 0, np.minimum(length // 2 + 2, NUMBER_BYTES))
