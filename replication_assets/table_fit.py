"""A declared table against its columns: which column cuts it, and whether that can work.

What the catalog cannot know before the source is reflected. All problems of a table are
told together; nothing here connects to anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from replication_assets.core.dates import EventDates
from replication_assets.core.events import RESERVED_COLUMNS
from replication_assets.core.id_ranges import ByCount, Kind, RangeSpec, kind_of
from replication_assets.core.range_specs import spec_problems
from replication_assets.core.schema import TableSchema
from replication_assets.declarations import Table
from replication_assets.errors import CatalogError


@dataclass(frozen=True, slots=True)
class TableFit:
    """What to pin a table's log with: `range_column` and `kind` are None for one whole range."""

    spec: RangeSpec
    range_column: str | None
    kind: Kind | None
    event_dates: EventDates


def fit_table(table: Table, schema: TableSchema) -> TableFit:
    """Raises CatalogError with everything in which the declaration does not fit the columns."""
    event_dates = table.event_date.pinned()
    problems = [*_reserved(schema), *event_dates.problems(schema)]
    range_column: str | None = None
    kind: Kind | None = None
    if table.id_ranges != ByCount(1):
        range_column = table.range_column or next(iter(schema.key), None)
        problems += _range_column_problems(range_column, schema)
        if range_column in schema.names:
            try:
                column = schema.column(range_column)
                kind = kind_of(column.arrow, column.source_type)
                problems += spec_problems(table.id_ranges, kind)
            except CatalogError as error:
                problems += error.problems
    if problems:
        raise CatalogError(problems, where=str(table.id))
    return TableFit(table.id_ranges, range_column, kind, event_dates)


def _reserved(schema: TableSchema) -> Iterator[str]:
    # Delta tells columns apart without regard to case.
    reserved = {name.lower() for name in RESERVED_COLUMNS}
    for name in schema.names:
        if name.lower() in reserved:
            yield f"column {name!r} is reserved for the event store. Fix: replicate a view that renames it"


def _range_column_problems(column: str | None, schema: TableSchema) -> Iterator[str]:
    if column is None:
        yield "the table has no key to cut ranges on. Fix: declare range_column, or id_ranges=ByCount(1)"
    elif column not in schema.names:
        yield f"range_column {column!r} is not in the table. Fix: one of {', '.join(schema.names)}"
    elif schema.key and column not in schema.key and not schema.append_only:
        yield (
            f"range_column {column!r} is not in the key: deletes carry the key alone and would miss their "
            f"range. Fix: one of {', '.join(schema.key)}, or append_only=True if that is so"
        )
