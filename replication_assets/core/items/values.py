"""Columns and templates as values of DynamoDB's types, for all rows of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.items import documents
from replication_assets.core.items.documents import Convert, Written
from replication_assets.core.items.fragments import NULL_VALUE, Fragment, fragment, replaced
from replication_assets.core.items.numbers import NotStorable, canonical_numbers, number_bytes
from replication_assets.core.items.rows import Rows
from replication_assets.core.items.selected import selecting
from replication_assets.core.items.spec import AttributeType
from replication_assets.core.items.templates import Template
from replication_assets.core.items.texts import (
    Text,
    base64_text,
    byte_lengths,
    is_number,
    is_text,
    spelled_numbers,
)
from replication_assets.core.items.xml_documents import from_xml

Nan: TypeAlias = Literal["string", "dead-letter"]

DOCUMENTS: Mapping[AttributeType, Convert] = {
    "json": documents.from_json,
    "xml": from_xml,
    "string-list": documents.string_list,
    "number-list": documents.number_list,
    "string-set": documents.string_set,
    "number-set": documents.number_set,
}


def value_of(
    rows: Rows,
    template: Template,
    kind: AttributeType,
    attribute: str,
    *,
    nan: Nan,
    depth: int,
    select: Sequence[str] = (),
) -> Fragment:
    """The value of each row, absent where a column of the template is NULL or the value is
    refused, which `rows` is told. Of a document the parts that `select` names, or all."""
    if kind == "string":
        return fragment('{"S":"', rows.escaped(template), '"}', byte_lengths(rows.text(template)))
    if kind == "number":
        return number_value(rows, template, attribute, nan=nan)
    if kind == "boolean":
        return _boolean_value(rows, template, attribute)
    if kind == "binary":
        values = rows.values(template.columns[0])
        _refuse_odd(rows, template, attribute, "not-binary")
        return fragment('{"B":"', base64_text(values), '"}', byte_lengths(values))
    convert = selecting(kind, select) if select else DOCUMENTS[kind]
    return _document_value(rows, template, attribute, convert, depth)


def with_nulls(rows: Rows, template: Template, value: Fragment) -> Fragment:
    """The value, of type NULL where a column is SQL NULL."""
    return replaced(value, rows.missing(template), NULL_VALUE, 1)


def number_value(rows: Rows, template: Template, attribute: str, *, nan: Nan) -> Fragment:
    texts, reasons = _spelled(rows, template)
    odd = {row for row, reason in reasons.items() if reason == "not-finite"}
    if odd and nan == "string":
        reasons = {row: reason for row, reason in reasons.items() if row not in odd}
    rows.refuse(template, attribute, reasons)
    is_odd = np.zeros(len(rows), dtype=bool)
    is_odd[list(odd)] = True
    finite = pc.if_else(pa.array(is_odd), pa.scalar(None, Text), texts) if odd else texts
    value = fragment('{"N":"', finite, '"}', number_bytes(finite))
    if not odd or nan != "string":
        return value
    words = [_not_finite(text) for text in texts.filter(pa.array(is_odd)).to_pylist()]
    spelled = pa.array([f'{{"S":"{word}"}}' for word in words], Text)
    return replaced(value, is_odd, spelled, np.array([len(word) for word in words], dtype=np.int64))


def _spelled(rows: Rows, template: Template) -> tuple[pa.Array, dict[int, str]]:
    """Texts in their one spelling, null where refused, but for what is not finite: as written."""
    column = template.single_column
    if column is None or not is_number(rows.values(column).type):
        written = rows.text(template)
        texts, reasons = canonical_numbers(written)
    else:
        texts, reasons = spelled_numbers(rows.values(column))
        written = texts
        odd = rows.odd(column)
        if odd is not None:
            others, odd_reasons = canonical_numbers(odd)
            written = pc.coalesce(texts, odd)
            texts, reasons = pc.coalesce(texts, others), {**reasons, **odd_reasons}
    odd_rows = [row for row, reason in reasons.items() if reason == "not-finite"]
    if odd_rows:
        mask = np.zeros(len(rows), dtype=bool)
        mask[odd_rows] = True
        texts = pc.if_else(pa.array(mask), written, texts)
    return texts, reasons


def _not_finite(text: str) -> str:
    word = "NaN" if "nan" in text.lower() else "Infinity"
    return f"-{word}" if text.startswith("-") and word != "NaN" else word


_TRUE, _FALSE = r"^(?i:true|t|1)$", r"^(?i:false|f|0)$"


def _refuse_odd(rows: Rows, template: Template, attribute: str, reason: str) -> None:
    """Values of another class in a typed column, as SQLite has them: the attribute has no place for them."""
    odd = rows.odd(template.columns[0])
    if odd is not None:
        found = np.flatnonzero(odd.is_valid().to_numpy(zero_copy_only=False)).tolist()
        rows.refuse(template, attribute, dict.fromkeys(found, reason))


def _boolean_value(rows: Rows, template: Template, attribute: str) -> Fragment:
    values = rows.values(template.columns[0])
    if pa.types.is_boolean(values.type):
        _refuse_odd(rows, template, attribute, "not-a-boolean")
        texts = values.cast(Text)
    else:
        texts = rows.text(template)
        true = pc.match_substring_regex(texts, _TRUE)
        false = pc.match_substring_regex(texts, _FALSE)
        neither = pc.fill_null(pc.invert(pc.or_(true, false)), False)
        refused = np.flatnonzero(neither.to_numpy(zero_copy_only=False)).tolist()
        rows.refuse(template, attribute, dict.fromkeys(refused, "not-a-boolean"))
        texts = pc.if_else(neither, pa.scalar(None, pa.bool_()), true).cast(Text)
    return fragment('{"BOOL":', texts, "}", np.ones(len(rows), dtype=np.int64))


def _document_value(rows: Rows, template: Template, attribute: str, convert: Convert, depth: int) -> Fragment:
    """Each distinct text is converted once."""
    encoded = pc.dictionary_encode(rows.text(template))
    texts: list[str | None] = []
    sizes = np.zeros(len(encoded.dictionary) + 1, dtype=np.int64)
    errors: dict[int, NotStorable] = {}
    for number, text in enumerate(encoded.dictionary.to_pylist()):
        done: Written | None = None
        try:
            done = convert(text, depth)
        except NotStorable as error:
            errors[number] = error
        texts.append(done.text if done is not None else None)
        sizes[number] = done.size if done is not None else 0
    # Rows without a text take the last size, which is 0.
    numbers = pc.fill_null(encoded.indices, len(texts)).to_numpy(zero_copy_only=False).astype(np.int64)
    rows.refuse(template, attribute, *_by_row(numbers, errors))
    return fragment("", pa.array(texts, Text).take(encoded.indices), "", sizes[numbers])


def _by_row(
    numbers: npt.NDArray[np.int64], errors: Mapping[int, NotStorable]
) -> tuple[dict[int, str], dict[int, str]]:
    """Reasons and details of the rows that have one of the refused texts."""
    if not errors:
        return {}, {}
    refused = np.flatnonzero(np.isin(numbers, list(errors))).tolist()
    found = {row: errors[int(numbers[row])] for row in refused}
    return {row: each.reason for row, each in found.items()}, {row: e.detail for row, e in found.items()}


# --- time to live ----------------------------------------------------------------------

_DAY = 86_400
_NEVER = "infinity"


def ttl_value(rows: Rows, column: str, days: int, attribute: str) -> Fragment:
    """Epoch seconds, fractions dropped downwards. No value for NULL and for `infinity`; what is
    before the year 1 or after 9999 is refused."""
    seconds = _epoch_seconds(rows.values(column))
    odd = rows.odd(column)
    if odd is not None:
        late = pc.fill_null(pc.not_equal(odd, _NEVER), False).to_numpy(zero_copy_only=False)
        reasons = dict.fromkeys(np.flatnonzero(late).tolist(), "ttl-out-of-range")
        rows.refuse(Template.of(column), attribute, reasons)
    texts = pc.add(seconds, days * _DAY).cast(Text)
    return fragment('{"N":"', texts, '"}', number_bytes(texts))


def _epoch_seconds(values: pa.Array) -> pa.Array:
    if pa.types.is_date(values.type):
        return pc.multiply(values.cast(pa.int32()).cast(pa.int64()), _DAY)
    micros = values.cast(pa.timestamp("us")).cast(pa.int64())
    whole: npt.NDArray[np.int64] = pc.fill_null(micros, 0).to_numpy(zero_copy_only=False) // 1_000_000
    return pa.array(whole, mask=micros.is_null().to_numpy(zero_copy_only=False))


def fits(kind: AttributeType, template: Template, types: Mapping[str, pa.DataType]) -> str | None:
    """Why values of these columns cannot be of that type; None if they can."""
    column = template.single_column
    binary = [name for name in template.columns if not _has_text(types[name])]
    if kind == "binary":
        return None if column is not None and binary else "is not one binary column"
    if binary:
        return f"column {binary[0]!r} is binary and has no text"
    if column is None:
        return None if kind in ("string", "number") or kind in DOCUMENTS else "is not one column"
    of = types[column]
    if kind == "number" and not (is_number(of) or is_text(of)):
        return f"column {column!r} ({of}) is no number"
    if kind == "boolean" and not (pa.types.is_boolean(of) or pa.types.is_integer(of) or is_text(of)):
        return f"column {column!r} ({of}) is no boolean"
    if kind in DOCUMENTS and not is_text(of):
        return f"column {column!r} ({of}) is no text"
    return None


def _has_text(kind: pa.DataType) -> bool:
    return bool(
        is_number(kind)
        or is_text(kind)
        or pa.types.is_boolean(kind)
        or (pa.types.is_temporal(kind) and not pa.types.is_duration(kind) and not pa.types.is_interval(kind))
    )
