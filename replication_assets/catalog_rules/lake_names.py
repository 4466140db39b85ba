"""What makes other names of tables in a lake impossible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.declarations import DeltaProjection, Table


def lake_name_problems(projection: DeltaProjection, tables: Sequence[Table]) -> Iterator[str]:
    """A name that is none, of a table that is not there, or of two tables. Names that differ in case alone
    are one folder on some file systems."""
    named = set(projection.tables)
    projected = [each.id for each in tables if str(each.id) in named or f"{each.id.source}.*" in named]
    for table, name in projection.names.items():
        label = f"names: {str(table)[:100]}"
        if table not in {str(each) for each in projected}:
            yield f"{label}: the projection has no such table. Fix: name one of its tables in full"
        parts = name.split(".")
        if len(parts) != 2 or not all(parts):
            yield f"{label}: {name[:100]!r} is no name in the lake. Fix: write it as schema.table"
    seen: dict[str, str] = {}
    for each in projected:
        folder = projection.named(each).folder.lower()
        other = seen.setdefault(folder, str(each))
        if other != str(each) and not projection.names.keys().isdisjoint({other, str(each)}):
            yield f"names: {other} and {each} would be one table in the lake. Fix: a name each"
