"""How a rule draws its keyed words: from the value itself, or from the key of its row.

By value, equal identities get equal words wherever the rule's family and namespace are the same;
spellings of one identity are made equal first, as the namespace says. By row, the value is never
looked at: words depend on the row's key, and on the column, so that two columns of a row are drawn
independently unless they share a `lane`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.column_bytes import is_text
from replication_assets.core.masking.masker import MaskedColumn, Rows, RuleContext, canonical_text
from replication_assets.core.masking.prf import Prf, Words
from replication_assets.core.masking.rules import By, Normalise


@dataclass(frozen=True, slots=True)
class Draw:
    """Where the words of one column come from. `reads` and `draws_by_row` are its masker's."""

    column: str
    by: By
    prf: Prf
    normalise: tuple[Normalise, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,) if self.by == "value" else ()

    @property
    def draws_by_row(self) -> bool:
        return self.by == "row"

    def words(self, rows: Rows) -> Words:
        """Two words for each row. By value, those of a null say nothing: keep it null."""
        if self.by == "row":
            return self.prf.words(rows.row_keys)
        return self.words_of(rows.column(self.column))

    def words_of(self, values: pa.Array) -> Words:
        """The words that these values would be drawn from, whatever `by` is."""
        return self.prf.words(normalised(canonical_text(values), self.normalise))


def draw_for(
    purpose: str,
    namespace: str,
    column: MaskedColumn,
    context: RuleContext,
    *,
    by: By = "value",
    lane: str | None = None,
) -> Draw:
    """The draw of a rule: `purpose` is the word of its family. Columns drawn by row under the same
    `purpose`, `namespace` and `lane` (by default the column's name) have equal words in a row."""
    if by == "value":
        key = context.keys.mask_key(purpose, namespace)
        normalise = tuple(context.policy.namespace(namespace).normalise)
        return Draw(column.name, by, Prf(key), normalise if is_text(column.arrow) else ())
    if by == "row":
        lane = column.name if lane is None else lane
        return Draw(column.name, by, Prf(context.keys.mask_key(f"{purpose} by row: {lane}", namespace)))
    raise ValueError(f"no such draw: {by}")


def normalised(texts: pa.Array, forms: Sequence[Normalise]) -> pa.Array:
    """Texts with spellings of one identity made equal, form by form in the order given.

    Case folding is Unicode's simple one, as upper and then lower case of each character: final
    sigma is sigma and long s is s, but a sharp s is not two.
    """
    if not forms:
        return texts
    ascii_only = pc.all(pc.string_is_ascii(texts)).as_py() is not False
    for form in forms:
        texts = _normalised(texts, form, ascii_only)
    return texts


def _normalised(texts: pa.Array, form: Normalise, ascii_only: bool) -> pa.Array:
    if form == "nfc":
        return texts if ascii_only else pc.utf8_normalize(texts, form="NFC")
    if form == "trim":
        return pc.utf8_trim_whitespace(texts)
    if form == "casefold":
        # Not `ascii_lower`: pyarrow 26 reads beside the values of a slice that was cast.
        return pc.utf8_lower(texts if ascii_only else pc.utf8_upper(texts))
    raise ValueError(f"no such form of texts: {form}")
