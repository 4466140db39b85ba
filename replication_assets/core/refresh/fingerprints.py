"""Fingerprints of raw values: that none of them occurs in the copy.

Of every high-entropy value that a rule replaces, two keyed words of 64 bits are kept while a copy is
proven; the key is made for it and forgotten. Texts of the copy are held against the first words, and
what is found against the second. A hit is counted by table and column; its value is told to nobody.

Looked for are texts and bytes of `LEAST` bytes and more in at most `RARE` rows, without regard to case,
and what is like an e-mail address, or a long number, within longer ones. Left out is what would be found
in a good copy too, by chance: values without a letter and of few digits (one masked number is as
another raw one), values that rules draw from lists or from what they are told, dates and amounts. For
these the copy is proven by what their rules make (`Masker.fits`), and row by row.

Memory is bounded by sampling: once there are too many, only values whose word is in the lower half of
all words are kept, then the lowest quarter, and so on. Both sides draw alike, because the word decides;
`share` says how much of the source was looked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.prf import Prf
from replication_assets.core.masking.rules import (
    CardNumber,
    Constant,
    DigitsId,
    DigitsMask,
    DigitsRandomize,
    Email,
    FreeText,
    HashMask,
    IntegerId,
    JsonPaths,
    Keep,
    Null,
    Partial,
    Phone,
    PythonRule,
    RegexReplace,
    Rule,
    Token,
    UuidId,
    XmlPaths,
)
from replication_assets.errors import GuardError

LEAST = 8
"""Bytes; shorter values occur by chance."""
LEAST_DIGITS = 15
"""Digits of a value without letters: below, masked numbers of a million rows meet raw ones."""
RARE = 8
"""Rows; what more rows have in common is no one's alone."""
MOST = 8_000_000
"""Values kept: 24 bytes each, and about twice as much while they are sorted."""

_HARD_TO_GUESS = rf"\pL|(?:\d\D*){{{LEAST_DIGITS}}}"
_LONG = 64
"""Bytes beyond which a text of the copy is looked through piece by piece."""
_PIECES = r"[\s,;:<>()\[\]{}\"'=|]+"
"""What stands between the pieces of a text: e-mail addresses, numbers and the like stay whole."""
_OF_PIECES = r"\"|[\s,;:<>|=].*@|@.*[\s,;:<>|=]"
"""Shorter texts that are looked through too: documents, and addresses with something around them."""
_TELLING = r"@.+\.|\d{15}"
"""Pieces of raw texts that are looked for: no others are surely somebody's."""

_LOOKED_FOR = (
    *(Null, Constant, Token, Email, Phone, UuidId, IntegerId, DigitsId, CardNumber, Partial, RegexReplace),
    *(FreeText, PythonRule, DigitsMask, DigitsRandomize, HashMask, JsonPaths, XmlPaths),
)

Words = npt.NDArray[np.uint64]


def is_looked_for(rule: Rule) -> bool:
    """Whether raw values under a rule are looked for in the copy. Not where the rule keeps some of them,
    or draws from a list that may hold others'."""
    if isinstance(rule, JsonPaths | XmlPaths):
        return not any(isinstance(each, Keep) for each in rule.paths.values())
    return isinstance(rule, _LOOKED_FOR)


@dataclass(frozen=True, slots=True)
class Found:
    """How many values of a column of the copy are raw ones."""

    table: str
    column: str
    hits: int


class RawFingerprints:
    """Fingerprints of raw values. Neither prints nor pickles."""

    __slots__ = ("__prf", "_added", "_below", "_kept", "_most", "_pending", "_pending_rows", "_sought")

    def __init__(self, key: bytes, *, most: int = MOST) -> None:
        self.__prf = Prf(key)
        self._most = most
        self._below = 1 << 64
        self._kept = np.empty((0, 3), np.uint64)
        self._pending: list[Words] = []
        self._pending_rows = 0
        self._added = 0
        self._sought: Words | None = None

    def __repr__(self) -> str:
        return f"RawFingerprints({self._added} values seen)"

    def __reduce__(self) -> NoReturn:
        raise GuardError("fingerprints of raw values do not leave their process", fix="make them again")

    @property
    def share(self) -> float:
        """Of the values that were added, how much is looked for."""
        return self._below / (1 << 64)

    def add_column(self, rule: Rule, values: pa.Array) -> None:
        """Raw values of a column with this rule, if they are looked for."""
        if not is_looked_for(rule):
            return
        self.add(values)
        if isinstance(rule, Constant):
            self.forget(pa.array([str(rule.value)]))

    def add(self, values: pa.Array) -> None:
        """Raw values. Those of types other than text, binary and integer are left out."""
        texts = _texts(values)
        self._added += len(texts)
        self._take(_telling(texts), 1)
        pieces, _ = _pieces(texts.filter(_has_pieces(texts)))
        self._take(pieces.filter(pc.match_substring_regex(pieces, _TELLING)), 1)

    def forget(self, values: pa.Array) -> None:
        """Values that outputs are drawn from: no hit, whoever else has them."""
        self._take(_telling(_texts(values)), RARE + 1)

    def __len__(self) -> int:
        """How many values are looked for."""
        return int(self._rare().shape[1])

    def count(self, values: pa.Array, *, kept: bool = False) -> int:
        """How many of a column's values are raw ones, or have one in them. In a column that is `kept` as
        it is, only addresses and long numbers count: a status may be what somebody wrote elsewhere."""
        texts = _texts(values)
        texts = texts.filter(pc.greater_equal(pc.binary_length(texts), LEAST))
        if kept:
            # What tells somebody in a piece does so in the whole: most texts need not be taken apart.
            texts = texts.filter(pc.match_substring_regex(texts, _TELLING))
        hit = self._hits(texts)
        open_ones = np.flatnonzero(_has_pieces(texts).to_numpy(zero_copy_only=False) & ~hit)
        pieces, parents = _pieces(texts.take(pa.array(open_ones)))
        return int(hit.sum()) + len(np.unique(parents[self._hits(pieces) & _counting(pieces, kept)]))

    def find(self, table: str, batch: pa.RecordBatch, *, kept: Collection[str] = ()) -> tuple[Found, ...]:
        """Hits in the columns of a batch of the copy; `kept` are those that no rule replaces."""
        counted = [
            Found(table, name, self.count(values, kept=name in kept))
            for name, values in zip(batch.schema.names, batch.columns, strict=True)
        ]
        return tuple(each for each in counted if each.hits)

    def _hits(self, texts: pa.Array) -> npt.NDArray[np.bool_]:
        first, second = self._rare()
        if not len(first) or not len(texts):
            return np.zeros(len(texts), np.bool_)
        words = self.__prf.words(texts)
        places = np.minimum(np.searchsorted(first, words[:, 0]), len(first) - 1)
        return np.asarray((first[places] == words[:, 0]) & (second[places] == words[:, 1]), np.bool_)

    def _take(self, texts: pa.Array, weight: int) -> None:
        if not len(texts):
            return
        self._sought = None
        words = self.__prf.words(texts)
        if self._below < 1 << 64:
            words = words[words[:, 0] < np.uint64(self._below)]
        counted = np.column_stack([words, np.full(len(words), weight, np.uint64)])
        self._pending.append(counted)
        self._pending_rows += len(counted)
        if self._pending_rows > max(self._most // 4, 1):
            self._settle()

    def _settle(self) -> None:
        """Merge what is pending; with too many values, look for half as many from here on."""
        if not self._pending:
            return
        merged = _merged(np.concatenate([self._kept, *self._pending]))
        while len(merged) > self._most:
            self._below //= 2
            merged = merged[: int(np.searchsorted(merged[:, 0], np.uint64(self._below)))]
        self._kept, self._pending, self._pending_rows = merged, [], 0

    def _rare(self) -> Words:
        if self._sought is None:
            self._settle()
            self._sought = np.ascontiguousarray(self._kept[self._kept[:, 2] <= RARE, :2].T)
        return self._sought


def _merged(words: Words) -> Words:
    """One row for each value, ascending, with the rows that it is in."""
    words = words[np.argsort(words[:, 0], kind="stable")]
    if not len(words):
        return words
    first = np.ones(len(words), np.bool_)
    first[1:] = (words[1:, :2] != words[:-1, :2]).any(axis=1)
    starts = np.flatnonzero(first)
    found = words[starts]
    found[:, 2] = np.minimum(np.add.reduceat(words[:, 2], starts), RARE + 1)
    return found


def _texts(values: pa.Array) -> pa.Array:
    """Values as texts in lower case, without nulls; bytes that are no text as Latin-1 reads them."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind, values = values.type, values.drop_null()
    if pa.types.is_integer(kind):
        return values.cast(pa.large_string())
    if _is_text(kind):
        return pc.utf8_lower(values.cast(pa.large_string()))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pc.utf8_lower(_decoded(values))
    return pa.array([], pa.large_string())


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _decoded(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        return pa.array([value.as_py().decode("latin-1") for value in values], pa.large_string())


def _telling(texts: pa.Array) -> pa.Array:
    """Texts that do not occur by chance: long enough, and with a letter or many digits."""
    long = pc.greater_equal(pc.binary_length(texts), LEAST)
    enough = pc.match_substring_regex(texts, _HARD_TO_GUESS)
    return texts.filter(pc.and_(long, enough))


def _counting(texts: pa.Array, kept: bool) -> npt.NDArray[np.bool_]:
    if not kept:
        return np.ones(len(texts), np.bool_)
    telling = pc.match_substring_regex(texts, _TELLING)
    return np.asarray(telling.to_numpy(zero_copy_only=False), np.bool_)


def _has_pieces(texts: pa.Array) -> pa.Array:
    long = pc.greater(pc.binary_length(texts), _LONG)
    return pc.or_(long, pc.match_substring_regex(texts, _OF_PIECES))


def _pieces(texts: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Pieces of texts that are long enough, and the number of the text that each is of."""
    split = pc.split_pattern_regex(texts, _PIECES)
    parents = pc.list_parent_indices(split).to_numpy(zero_copy_only=False)
    pieces = pc.utf8_trim(split.flatten(), characters=".!?-_/\\")
    wanted = pc.greater_equal(pc.binary_length(pieces), LEAST)
    return pieces.filter(wanted), parents[wanted.to_numpy(zero_copy_only=False)]
