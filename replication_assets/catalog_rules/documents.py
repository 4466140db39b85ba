"""Rules of the documents of a projection: all that can be told before the columns are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.core.documents.spec import document_problems
from replication_assets.declarations import DeltaProjection, SqlProjection, Table
from replication_assets.declared_types import type_problems


def projected_documents(
    projection: DeltaProjection | SqlProjection, tables: Sequence[Table]
) -> Iterator[str]:
    """What is wrong with `documents`, each with its fix."""
    wrong = [
        f"document {number}: {problem}"
        for number, document in enumerate(projection.documents)
        for problem in type_problems(document)
    ]
    yield from wrong
    if wrong:
        return
    yield from document_problems(projection.documents)
    projected = [
        str(table.id)
        for table in tables
        if str(table.id) in projection.tables or f"{table.id.source}.*" in projection.tables
    ]
    for name in dict.fromkeys(document.table for document in projection.documents):
        if name not in projected:
            listed = ", ".join(projected[:8]) or "a table that it projects"
            yield f"documents are of {name[:60]!r}, which it does not project. Fix: one of {listed}"
