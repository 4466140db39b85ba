"""Identifiers: keyed bijections, so that what was unique stays unique and joins still hold.

An identifier that happens to map to itself is not a leak of this family: a bijection without fixed
points would tell everybody what each value is not. What cannot be permuted within the rule's own
grammar is refused with the number of rows; nothing is passed on, rounded or cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from replication_assets.core.masking.column_bytes import Bytes, Flags
from replication_assets.core.masking.families.digit_texts import DigitTexts
from replication_assets.core.masking.families.integers import INTEGER_BUILDERS
from replication_assets.core.masking.families.reading import OfValue
from replication_assets.core.masking.families.text_columns import require_text
from replication_assets.core.masking.families.uuids import UUID_BUILDERS
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.permutation import DigitsPermutation
from replication_assets.core.masking.rules import CardNumber, DigitsId
from replication_assets.errors import GuardError

LEAST_DIGITS, MOST_DIGITS = 6, 56
LEAST_CARD_DIGITS, MOST_CARD_DIGITS = 12, 19  # ISO/IEC 7812-1

_DOUBLED = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], np.uint8)


@dataclass(frozen=True, slots=True)
class DigitsMasker(OfValue):
    """FF1 of a text's digits among texts with as many; with `luhn` of all but the last, which is made
    anew (ISO/IEC 7812-1). Punctuation and spaces stay in their places and are no part of the identity."""

    column: str
    permutation: DigitsPermutation
    arrow: pa.DataType
    least: int
    most: int
    luhn: bool = False

    @property
    def uniqueness(self) -> Uniqueness:
        return "preserved"

    def mask(self, rows: Rows) -> pa.Array:
        texts = DigitTexts(rows.column(self.column))
        self._refuse(texts.rows_with_others(), "hold letters or other characters that are no punctuation")
        wrong = texts.known & ((texts.counts < self.least) | (texts.counts > self.most))
        self._refuse(wrong, f"do not have {self.least} to {self.most} digits")
        for _, places in texts.groups():
            digits = texts.digits(places)
            if self.luhn:
                self._refuse(luhn_sums(digits) != 0, "do not end in their Luhn digit")
            texts.put(places, self._permuted(digits))
        return texts.texts(self.arrow)

    def fits(self, values: pa.Array) -> pa.Array:
        texts = DigitTexts(values)
        good = ~texts.rows_with_others() & (texts.counts >= self.least) & (texts.counts <= self.most)
        if self.luhn:
            good &= _ends_in_luhn(texts)
        return pa.array(good, mask=~texts.known)

    def _permuted(self, digits: Bytes) -> Bytes:
        if not self.luhn:
            return self.permutation.permute(digits)
        masked = np.zeros_like(digits)
        masked[:, :-1] = self.permutation.permute(digits[:, :-1])
        masked[:, -1] = (10 - luhn_sums(masked)) % 10
        return masked

    def _refuse(self, wrong: Flags, what: str) -> None:
        if wrong.any():
            raise GuardError(
                f"{int(np.count_nonzero(wrong))} rows {what}",
                where=f"column {self.column}",
                fix="another rule for the column, as Token, or put the rows right at the source",
            )


def luhn_sums(digits: Bytes) -> Bytes:
    """The Luhn sum of each row of digits, the last one being the check digit: modulo 10, 0 if right."""
    total = np.zeros(len(digits), np.uint8)  # 19 digits sum up to 171
    for place in range(digits.shape[1]):
        column = digits[:, -1 - place]
        total += np.take(_DOUBLED, column) if place % 2 else column
    return total % 10


def _ends_in_luhn(texts: DigitTexts) -> Flags:
    good = np.zeros(len(texts.counts), np.bool_)
    for count in range(LEAST_CARD_DIGITS, MOST_CARD_DIGITS + 1):
        rows = np.flatnonzero(texts.counts == count)
        if len(rows):
            good[rows] = luhn_sums(texts.digits(texts.places(rows, count))) == 0
    return good


def _digits_id(rule: DigitsId, column: MaskedColumn, context: RuleContext) -> DigitsMasker:
    require_text("DigitsId", column)
    permutation = DigitsPermutation(context.keys.mask_key("digits id", rule.namespace))
    return DigitsMasker(column.name, permutation, column.arrow, LEAST_DIGITS, MOST_DIGITS)


def _card_number(rule: CardNumber, column: MaskedColumn, context: RuleContext) -> DigitsMasker:
    require_text("CardNumber", column)
    permutation = DigitsPermutation(context.keys.mask_key("card number", rule.namespace))
    return DigitsMasker(
        column.name, permutation, column.arrow, LEAST_CARD_DIGITS, MOST_CARD_DIGITS, luhn=True
    )


BUILDERS: Mapping[type, Builder[Any]] = {
    **INTEGER_BUILDERS,
    **UUID_BUILDERS,
    DigitsId: _digits_id,
    CardNumber: _card_number,
}
