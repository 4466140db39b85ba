"""One batch of folded rows, seen as canonical texts, with what was refused of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring as quoted_json

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import OVERFLOW
from replication_assets.core.items.fragments import joined
from replication_assets.core.items.templates import Template
from replication_assets.core.items.texts import (
    Text,
    base64_text,
    byte_lengths,
    canonical_text,
    is_binary,
    is_text,
    json_escaped,
)


@dataclass(frozen=True, slots=True)
class Refused:
    """One value of one row; `attribute` is what it was for, `column` where it came from, `detail` what a
    parser said of it."""

    row: int
    column: str
    attribute: str
    reason: str
    detail: str = ""


class Rows:
    """Columns of a batch by name. Values that a typed column cannot hold (`_overflow`) are part
    of its text."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch
        self.refused: list[Refused] = []
        self._odd = _odd_values(batch)
        self._texts: dict[str, pa.Array] = {}
        self._escaped: dict[str, pa.Array] = {}

    def refused_since(self, before: int, prefix: str) -> list[Refused]:
        """What was refused since `before` values were: taken back, as the reason why whole rows are."""
        found = self.refused[before:]
        del self.refused[before:]
        return [Refused(e.row, e.column, e.attribute, f"{prefix}-{e.reason}", e.detail) for e in found]

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def values(self, column: str) -> pa.Array:
        return self.batch.column(column)

    def odd(self, column: str) -> pa.Array | None:
        """Texts of the values that the typed column cannot hold, null elsewhere; None if none."""
        return self._odd.get(column)

    def column_text(self, column: str) -> pa.Array:
        if column not in self._texts:
            texts, odd = canonical_text(self.values(column)), self.odd(column)
            self._texts[column] = texts if odd is None else pc.coalesce(texts, odd)
        return self._texts[column]

    def shown(self, column: str) -> pa.Array:
        """Text that stands for the value, base64 where it has none of its own."""
        values = self.values(column)
        return base64_text(values) if is_binary(values.type) else self.column_text(column)

    def text(self, template: Template) -> pa.Array:
        """The template of each row; null where one of its columns is."""
        pieces = [p if isinstance(p, str) else self.column_text(p.name) for p in template.parts]
        return joined(pieces, rows=len(self))

    def escaped(self, template: Template) -> pa.Array:
        """`text` as it stands between the quotes of a JSON string."""
        pieces = [
            quoted_json(p)[1:-1] if isinstance(p, str) else self._column_escaped(p.name)
            for p in template.parts
        ]
        return joined(pieces, rows=len(self))

    def _column_escaped(self, column: str) -> pa.Array:
        if column not in self._escaped:
            texts = self.column_text(column)
            # Numbers, dates and booleans have nothing to escape.
            self._escaped[column] = json_escaped(texts) if is_text(self.values(column).type) else texts
        return self._escaped[column]

    def missing(self, template: Template) -> npt.NDArray[np.bool_]:
        """Rows in which a column of the template is NULL."""
        missing = np.zeros(len(self), dtype=bool)
        for column in template.columns:
            nulls = self.values(column).is_null()
            odd = self.odd(column)
            if odd is not None:
                nulls = pc.and_(nulls, odd.is_null())
            missing |= nulls.to_numpy(zero_copy_only=False)
        return missing

    def empty(self, template: Template) -> npt.NDArray[np.bool_]:
        """Rows in which a column of the template is there, and of no length."""
        empty = np.zeros(len(self), dtype=bool)
        for column in template.columns:
            values = self.values(column)
            if is_text(values.type) or is_binary(values.type):
                empty |= (byte_lengths(values) == 0) & values.is_valid().to_numpy(zero_copy_only=False)
        return empty

    def refuse(
        self,
        template: Template,
        attribute: str,
        reasons: Mapping[int, str],
        details: Mapping[int, str] | None = None,
    ) -> None:
        column, told = ", ".join(template.columns), details or {}
        self.refused += [
            Refused(row, column, attribute, reason, told.get(row, "")) for row, reason in reasons.items()
        ]


def _odd_values(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    if OVERFLOW not in batch.schema.names:
        return {}
    overflow = batch.column(OVERFLOW)
    if overflow.null_count == len(overflow):
        return {}
    texts: dict[str, list[str | None]] = {}
    for row, column, text in _overflowing(overflow):
        texts.setdefault(column, [None] * len(overflow))[row] = text
    return {column: pa.array(values, Text) for column, values in texts.items()}


def _overflowing(overflow: pa.Array) -> Iterator[tuple[int, str, str]]:
    for row in np.flatnonzero(overflow.is_valid().to_numpy(zero_copy_only=False)).tolist():
        for column, text in json.loads(overflow[row].as_py()).items():
            yield row, column, text
