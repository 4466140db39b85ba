"""The three masks of AWS DMS (3.5.4 and later), for teams that need their results.

`DigitsMask` and the unkeyed `HashMask` give what DMS gives, byte for byte; see "Using data masking to hide
sensitive information" in its user guide. DMS draws `DigitsRandomize` by chance; here it is keyed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.column_bytes import is_text, known, texts_of_rows
from replication_assets.core.masking.families.digit_numbers import other_digits, other_numbers
from replication_assets.core.masking.families.digit_texts import DigitTexts
from replication_assets.core.masking.families.draws import Draw, draw_for
from replication_assets.core.masking.families.limbs import limits
from replication_assets.core.masking.families.reading import OfDraw, OfValue
from replication_assets.core.masking.families.text_columns import require_text
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.prf import Prf
from replication_assets.core.masking.rules import DigitsMask, DigitsRandomize, HashMask
from replication_assets.errors import PolicyError

HASH_LENGTH = 64
_HASH = r"\A[0-9A-F]{64}\z"
_MASKING_CHARACTER = re.compile(r"[!-/:-~]")  # ASCII, printable, no space; and no digit


@dataclass(frozen=True, slots=True)
class DigitsMaskMasker(OfValue):
    """Every digit 0 to 9 becomes the character; nothing else of the text does."""

    column: str
    arrow: pa.DataType
    character: str

    @property
    def uniqueness(self) -> Uniqueness:
        return "lossy"

    def mask(self, rows: Rows) -> pa.Array:
        texts = DigitTexts(rows.column(self.column))
        texts.put_everywhere(self.character)
        return texts.texts(self.arrow)

    def fits(self, values: pa.Array) -> pa.Array:
        return pc.invert(pc.match_substring_regex(values, "[0-9]"))


@dataclass(frozen=True, slots=True)
class DigitsRandomizeMasker(OfDraw):
    """Every digit of a text becomes another one, a number another one of as many digits."""

    draw: Draw
    arrow: pa.DataType
    more: Prf

    @property
    def uniqueness(self) -> Uniqueness:
        return "not_guaranteed"

    def mask(self, rows: Rows) -> pa.Array:
        values, words = rows.column(self.draw.column), self.draw.words(rows)
        if not is_text(self.arrow):
            return other_numbers(values, words, self.arrow)
        texts = DigitTexts(values)
        for numbers, places in texts.groups():
            texts.put(places, other_digits(texts.digits(places), words[numbers], self.more))
        return texts.texts(self.arrow)

    def fits(self, values: pa.Array) -> pa.Array:
        """All digits can have come out: only the type says no."""
        return pa.array(np.full(len(values), values.type == self.arrow), mask=~known(values))


@dataclass(frozen=True, slots=True)
class HashMasker(OfValue):
    """64 hex digits in upper case, as DMS writes them: SHA-256 of the text in UTF-8, or of two draws."""

    column: str
    arrow: pa.DataType
    draws: tuple[Draw, ...]

    @property
    def uniqueness(self) -> Uniqueness:
        return "preserved"

    def mask(self, rows: Rows) -> pa.Array:
        values = rows.column(self.column)
        if not self.draws:
            return pa.array(
                (None if text is None else _sha256(text) for text in values.to_pylist()), self.arrow
            )
        flags = known(values)
        words = np.concatenate([draw.words(rows)[flags] for draw in self.draws], axis=1)
        digits = words.astype("<u8").tobytes().hex().upper().encode()
        matrix = np.frombuffer(digits, np.uint8).reshape(-1, HASH_LENGTH)
        return texts_of_rows(matrix, flags, self.arrow)

    def fits(self, values: pa.Array) -> pa.Array:
        return pc.match_substring_regex(values, _HASH)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest().upper()


def _digits_mask(rule: DigitsMask, column: MaskedColumn, context: RuleContext) -> DigitsMaskMasker:
    del context  # DMS's result has no key
    require_text("DigitsMask", column)
    character = rule.character
    if (
        len(character) != 1
        or not character.isascii()
        or not character.isprintable()
        or character in " 0123456789"
    ):
        raise PolicyError(["DigitsMask(character=...): one printable ASCII character, no digit, no space"])
    return DigitsMaskMasker(column.name, column.arrow, character)


def _digits_randomize(
    rule: DigitsRandomize, column: MaskedColumn, context: RuleContext
) -> DigitsRandomizeMasker:
    if limits(column.arrow) is None:
        require_text("DigitsRandomize", column)
    draw = draw_for("digits randomize", rule.namespace, column, context)
    more = Prf(context.keys.mask_key("digits randomize: more", rule.namespace))
    return DigitsRandomizeMasker(draw, column.arrow, more)


def _hash_mask(rule: HashMask, column: MaskedColumn, context: RuleContext) -> HashMasker:
    require_text("HashMask", column)
    if column.longest is not None and column.longest < HASH_LENGTH:
        raise PolicyError(
            [f"HashMask gives {HASH_LENGTH} characters, and the column takes {column.longest}: use Token"]
        )
    purposes = () if rule.unkeyed else ("hash", "hash: second half")
    draws = tuple(draw_for(purpose, rule.namespace, column, context) for purpose in purposes)
    return HashMasker(column.name, column.arrow, draws)


BUILDERS: Mapping[type, Builder[Any]] = {
    DigitsMask: _digits_mask,
    DigitsRandomize: _digits_randomize,
    HashMask: _hash_mask,
}
