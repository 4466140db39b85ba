"""How a user declares that a column of a table holds documents, for a projection that keeps rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from replication_assets.core.declared import Declared
from replication_assets.core.documents.selection import path_problems

Format: TypeAlias = Literal["xml", "json"]


@dataclass(frozen=True, slots=True)
class Document(Declared):
    """A `column` of `table` that holds XML or JSON, and is projected as JSON.

    `Document("shop.public.orders", "body")`. `format` is what the column holds. `select` names the
    parts that are kept, the rest of the document is left out: `/order/line`, `/order/line/@widget`,
    `/order/note/text()` of XML, `$.plan`, `$.emails[*].to`, `$['odd name']` of JSON. A document that
    cannot be read is a dead letter, and its column NULL; the row's other columns arrive.
    """

    table: str
    column: str
    _: KW_ONLY
    format: Format = "xml"
    select: Sequence[str] = ()


def document_problems(documents: Sequence[Document]) -> Iterator[str]:
    """What is wrong with the declarations of one projection, whatever the columns are."""
    seen: set[tuple[str, str]] = set()
    for document in documents:
        name = f"document {document.column!r} of {document.table}"
        if (document.table, document.column) in seen:
            yield f"{name} is declared twice. Fix: one declaration, with all paths in its select"
        seen.add((document.table, document.column))
        yield from (f"{name}: {problem}" for problem in path_problems(document.select, document.format))
