"""Columns of documents as JSON text, batch by batch; each distinct text is read once.

A document that cannot be read is NULL, and told with the parser's own message: what it expected and
where, never what it found. The row's other columns are as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.documents.json_text import MAX_DEPTH, json_text
from replication_assets.core.documents.selection import Selection, selection_of
from replication_assets.core.documents.spec import Document
from replication_assets.core.events import POSITION
from replication_assets.core.items.documents import Node, decoded
from replication_assets.core.items.numbers import NotStorable
from replication_assets.core.items.refusals import REASONS
from replication_assets.core.items.rows import Rows
from replication_assets.core.items.texts import is_text
from replication_assets.core.items.xml_documents import parsed
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import Column, TableSchema
from replication_assets.errors import CatalogError

MAX_LETTERS = 16 << 20
"""Longer documents are refused: as maps and lists they would take ten times that."""

_REASONS = {
    **REASONS,
    "too-deep": f"more than {MAX_DEPTH} levels of values inside each other",
    "document-too-large": f"more than {MAX_LETTERS:,} letters",
}

_READ: Mapping[str, Callable[[str], Node]] = {
    "xml": lambda text: parsed(text, most=MAX_DEPTH),
    "json": decoded,
}


@dataclass(frozen=True, slots=True)
class DocumentColumns:
    """The columns of documents of one table. `schema` is what the rows have once they are converted."""

    source: TableSchema
    schema: TableSchema
    documents: tuple[Document, ...]

    @classmethod
    def of(cls, documents: Sequence[Document], schema: TableSchema, where: str) -> DocumentColumns:
        """Raises CatalogError with everything in which the declarations do not fit the columns."""
        problems = list(_schema_problems(documents, schema))
        if problems:
            raise CatalogError(problems, where=where)
        named = {document.column for document in documents}
        columns = tuple(_as_json(each) if each.name in named else each for each in schema.columns)
        return cls(schema, replace(schema, columns=columns), tuple(documents))

    def convert(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, tuple[Refusal, ...]]:
        """The rows with their documents as JSON, and what was refused of them."""
        refusals: list[Refusal] = []
        for document in self.documents:
            at = rows.schema.get_field_index(document.column)
            values, refused = _converted(rows.column(at), document)
            refusals += self._refusals(rows, document, refused)
            rows = rows.set_column(at, rows.schema.field(at).with_nullable(True), values)
        return rows, tuple(refusals)

    def converted(self, rows: pa.Table) -> tuple[pa.Table, tuple[Refusal, ...]]:
        """As `convert`, of a table."""
        done = [self.convert(batch) for batch in rows.to_batches()]
        if not done:
            return rows, ()
        return pa.Table.from_batches([batch for batch, _ in done]), tuple(r for _, each in done for r in each)

    def _refusals(
        self, rows: pa.RecordBatch, document: Document, refused: Mapping[int, NotStorable]
    ) -> Iterator[Refusal]:
        if not refused:
            return
        concerned = rows.take(pa.array(list(refused), pa.int64()))
        seen = Rows(concerned)
        keys = {name: seen.shown(name).to_pylist() for name in self.source.key}
        positions = [concerned.column(name).to_pylist() for name in POSITION]
        for at, error in enumerate(refused.values()):
            key = {name: texts[at] for name, texts in keys.items()}
            yield Refusal(
                json.dumps(key, ensure_ascii=False, separators=(",", ":")),
                Position(*(column[at] for column in positions)),
                document.column,
                error.reason,
                f"column {document.column}: {error.detail or _REASONS[error.reason]}",
            )


def fingerprint(documents: Sequence[Document]) -> int:
    """63 bits that differ between declarations: rows made by another one have to be made again."""
    told = json.dumps([[d.column, d.format, *d.select] for d in documents])
    digest = hashlib.blake2b(told.encode(), digest_size=8, person=b"documents").digest()
    return int.from_bytes(digest, "big") >> 1


def _as_json(column: Column) -> Column:
    return replace(column, source_type="json", nullable=True)


def _schema_problems(documents: Sequence[Document], schema: TableSchema) -> Iterator[str]:
    if not schema.key:
        yield "documents are of a table without a key: a refused one could not be named. Fix: declare its key"
    for document in documents:
        name = f"document {document.column!r}"
        if document.column not in schema.names:
            yield f"{name} is no column of the table. Fix: one of {', '.join(schema.names)}"
        elif document.column in schema.key:
            yield f"{name} is a column of the key. Fix: another column; a key stays as it is"
        elif not is_text(schema.column(document.column).arrow):
            yield f"{name} ({schema.column(document.column).source_type}) is no text. Fix: another column"


def _converted(values: pa.Array, document: Document) -> tuple[pa.Array, dict[int, NotStorable]]:
    """JSON texts, null where refused, and the refusals by row."""
    encoded = pc.dictionary_encode(values)
    read, selection = _READ[document.format], selection_of(document.select, document.format)
    texts: list[str | None] = []
    errors: dict[int, NotStorable] = {}
    for number, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            texts.append(_one(text, read, selection))
        except NotStorable as error:
            texts.append(None)
            errors[number] = error
    done = pa.array(texts, values.type).take(encoded.indices)
    if not errors:
        return done, {}
    numbers = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(np.isin(numbers, list(errors))).tolist()
    return done, {row: errors[int(numbers[row])] for row in rows}


def _one(text: str, read: Callable[[str], Node], selection: Selection) -> str:
    if len(text) > MAX_LETTERS:
        raise NotStorable("document-too-large")
    try:
        return json_text(selection.of(read(text)))
    except RecursionError:
        raise NotStorable("too-deep") from None
