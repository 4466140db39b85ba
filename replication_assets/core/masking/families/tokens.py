"""Tokens, e-mail addresses and telephone numbers: made of keyed bits alone, none of the input's own.

Sixteen characters are 80 bits: two of a hundred million inputs have the same with a chance below 1 in
200 million, and a unique key finds it. Spellings that the namespace makes equal have one token. What
is made stands in reserved space: domains of RFC 2606, and a country code that is not assigned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.column_bytes import Bytes, known, texts_of_rows
from replication_assets.core.masking.families.draws import Draw, draw_for
from replication_assets.core.masking.families.reading import OfDraw
from replication_assets.core.masking.families.text_columns import require_text
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.prf import Words
from replication_assets.core.masking.rules import Email, Phone, Token
from replication_assets.errors import PolicyError

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32 in lower case: no i, l, o, u
_CHARACTER = "[0-9a-hjkmnp-tv-z]"
LONGEST_TOKEN = 25  # 125 of the 128 bits
UNIQUE_FROM = 16
_EMAIL_TOKEN = 16
COUNTRY_CODE = "+999"
_LEAST_PHONE_DIGITS, _MOST_PHONE_DIGITS = 4, 12  # E.164: 15 digits with the country code

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_RESERVED = re.compile(rf"(?:{_LABEL}\.)+(?:invalid|example|test)|(?:{_LABEL}\.)*example\.(?:com|org|net)")
_LONGEST_DOMAIN = 253  # RFC 1035

# Two characters of 10 bits at a time.
_PAIRS = np.array(
    [(ord(ALPHABET[code & 31]) | ord(ALPHABET[code >> 5]) << 8) for code in range(1024)], np.dtype("<u2")
)


@dataclass(frozen=True, slots=True)
class TextMasker(OfDraw):
    """Texts of one length for each value: `before`, characters made of the words, `after`."""

    draw: Draw
    arrow: pa.DataType
    before: str
    after: str
    characters: int
    base: int
    unique: bool

    @property
    def uniqueness(self) -> Uniqueness:
        return "preserved" if self.unique else "not_guaranteed"

    def mask(self, rows: Rows) -> pa.Array:
        flags = known(rows.column(self.draw.column))
        words = self.draw.words(rows)
        made = (decimals if self.base == 10 else token_bytes)(words, self.characters)
        before, after = self.before.encode(), self.after.encode()
        texts = np.empty((len(words), len(before) + self.characters + len(after)), np.uint8)
        texts[:, : len(before)] = np.frombuffer(before, np.uint8)
        texts[:, len(before) : texts.shape[1] - len(after)] = made
        texts[:, texts.shape[1] - len(after) :] = np.frombuffer(after, np.uint8)
        return texts_of_rows(texts if flags.all() else texts[flags], flags, self.arrow)

    def fits(self, values: pa.Array) -> pa.Array:
        character = "[0-9]" if self.base == 10 else _CHARACTER
        made = f"{character}{{{self.characters}}}"
        pattern = rf"\A{_literally(self.before)}{made}{_literally(self.after)}\z"
        return pc.match_substring_regex(values, pattern)


def token_bytes(words: Words, length: int) -> Bytes:
    """The first `length` characters of 5 bits of each row's words, twelve of each and one of the rest."""
    pairs = np.empty((len(words), (length + 1) // 2), np.dtype("<u2"))
    for place in range(pairs.shape[1]):
        if place < 12:
            shifted = words[:, place // 6] >> np.uint64(10 * (place % 6))
        else:
            shifted = (words[:, 0] >> np.uint64(60)) | ((words[:, 1] >> np.uint64(60)) << np.uint64(4))
        pairs[:, place] = np.take(_PAIRS, (shifted & np.uint64(1023)).astype(np.intp))
    return pairs.view(np.uint8)[:, :length]


def decimals(words: Words, count: int) -> Bytes:
    """The last `count` decimal digits of each row's first word, as characters."""
    numbers = words[:, 0]
    digits = np.empty((len(words), count), np.uint8)
    for place in range(count - 1, -1, -1):
        rest = numbers // np.uint64(10)
        digits[:, place] = numbers - rest * np.uint64(10)
        numbers = rest
    digits += np.uint8(ord("0"))
    return digits


def _literally(text: str) -> str:
    r"""A text as RE2 takes it for itself; not `re.escape`, whose `\ ` other engines need not know."""
    return "".join(character if character.isalnum() else rf"\x{{{ord(character):x}}}" for character in text)


def _token(rule: Token, column: MaskedColumn, context: RuleContext) -> TextMasker:
    require_text("Token", column)
    problems = []
    if not 1 <= rule.length <= LONGEST_TOKEN:
        problems.append(
            f"Token(length={rule.length}): 1 to {LONGEST_TOKEN}, and {UNIQUE_FROM} to stay unique"
        )
    if not rule.prefix.isprintable():
        problems.append("Token(prefix=...): printable characters only")
    _require_room("Token", len(rule.prefix) + rule.length, column, problems)
    draw = draw_for("token", rule.namespace, column, context)
    unique = rule.length >= UNIQUE_FROM
    return TextMasker(draw, column.arrow, rule.prefix, "", rule.length, 32, unique)


def _email(rule: Email, column: MaskedColumn, context: RuleContext) -> TextMasker:
    require_text("Email", column)
    problems = []
    if not _RESERVED.fullmatch(rule.domain) or len(rule.domain) > _LONGEST_DOMAIN:
        problems.append(
            f"Email(domain={rule.domain!r}): a reserved domain, in lower case: below .invalid, .example or "
            ".test, or example.com, example.org or example.net"
        )
    _require_room("Email", _EMAIL_TOKEN + 1 + len(rule.domain), column, problems)
    draw = draw_for("email", rule.namespace, column, context)
    return TextMasker(draw, column.arrow, "", f"@{rule.domain}", _EMAIL_TOKEN, 32, unique=True)


def _phone(rule: Phone, column: MaskedColumn, context: RuleContext) -> TextMasker:
    require_text("Phone", column)
    problems = []
    if not _LEAST_PHONE_DIGITS <= rule.digits <= _MOST_PHONE_DIGITS:
        problems.append(f"Phone(digits={rule.digits}): {_LEAST_PHONE_DIGITS} to {_MOST_PHONE_DIGITS}")
    _require_room("Phone", len(COUNTRY_CODE) + rule.digits, column, problems)
    draw = draw_for("phone", rule.namespace, column, context)
    return TextMasker(draw, column.arrow, COUNTRY_CODE, "", rule.digits, 10, unique=False)


def _require_room(rule: str, length: int, column: MaskedColumn, problems: list[str]) -> None:
    if column.longest is not None and length > column.longest:
        problems.append(
            f"{rule} gives {length} characters, and the column takes {column.longest}: make it shorter"
        )
    if problems:
        raise PolicyError(problems)


BUILDERS: Mapping[type, Builder[Any]] = {Token: _token, Email: _email, Phone: _phone}
