"""Keys as keyed words of 64 bits: what a subset is chosen by, in the place of the keys themselves.

Nobody without the key can tell a row from its word, so the words may be spilled to disk. Two keys that
a database may hold equal have one word: integers of any width, decimals of any scale, texts that
differ in case, accents or trailing blanks, a number and its text. Other keys have one word as good
as never. Where they do, rows with one word are chosen together, and so are the rows they refer to: a
subset may then have a row too many, and never lacks one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.masker import canonical_text
from replication_assets.core.masking.prf import Prf

Words = npt.NDArray[np.uint64]


def row_words(batch: pa.RecordBatch, columns: Sequence[str], prf: Prf) -> Words:
    """The word of each row by the columns that identify it. NULL is a value among them."""
    texts = [_spelled(batch.column(name)) for name in columns]
    return prf.words(_joined(texts))[:, 0]


def reference_words(batch: pa.RecordBatch, columns: Sequence[str], prf: Prf) -> pa.Array:
    """The word of the key that each row refers to, or is referred to by; null where a column of it is
    NULL, as in SQL's MATCH SIMPLE."""
    texts = [_spelled(batch.column(name)) for name in columns]
    words = prf.words(_joined(texts))[:, 0]
    missing = np.zeros(batch.num_rows, np.bool_)
    for text in texts:
        if text.null_count:
            missing |= text.is_null().to_numpy(zero_copy_only=False)
    return pa.array(words, pa.uint64(), mask=missing)


def _spelled(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_decimal(values.type) and values.type.scale > 0:
        return pc.replace_substring_regex(values.cast(pa.string()), r"\.?0+$", "")
    text = canonical_text(values)
    if pa.types.is_binary(text.type) or pa.types.is_large_binary(text.type):
        return text.cast(pa.large_binary())
    text = text.cast(pa.large_string())
    if pc.all(pc.string_is_ascii(text)).as_py() is False:
        # Letters and their marks apart, then without the marks.
        text = pc.replace_substring_regex(pc.utf8_normalize(text, form="NFKD"), r"\p{M}", "")
    # Not `ascii_lower`: pyarrow 26 reads a cast slice from the wrong place there.
    return pc.utf8_rtrim(pc.utf8_lower(text), characters=" ").cast(pa.large_binary())


def _joined(texts: Sequence[pa.Array]) -> pa.Array:
    """Each text after its length, so that no two keys run into one another."""
    parts = []
    for text in texts:
        values = text.cast(pa.large_binary())
        length = pc.binary_length(values).cast(pa.large_string()).cast(pa.large_binary())
        parts += [pc.fill_null(length, b"-"), pa.scalar(b":", pa.large_binary()), pc.fill_null(values, b"")]
    return pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))
