"""Row filters that a table is declared with: which of its rows are loaded, validated and projected.

The event store keeps every change, also of rows that no load read; the fold of the table leaves out what
does not pass. So a row that an update moves out of the filter is gone from everything that is made of the
fold, and one that is moved in comes. A filter has a canonical text, which loads and logs are marked with:
rows that were loaded by one filter do not tell what another one lets pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import orjson
import pyarrow as pa

from replication_assets.core.events import OVERFLOW
from replication_assets.core.row_filters import Compare, Where, filter_problems, mask
from replication_assets.core.schema import TableSchema
from replication_assets.errors import CatalogError, SchemaConflict

NO_FILTER = ""
"""The text of no filter: every row passes."""


def filter_text(where: Iterable[Where]) -> str:
    """The same for filters that say the same, whatever the order of their parts."""
    parts = [
        [each.column, sorted([compare.operator, *compare.values] for compare in each.one_of)]
        for each in where
    ]
    return json.dumps(sorted(parts), ensure_ascii=False, separators=(",", ":")) if parts else NO_FILTER


def filter_of(text: str) -> tuple[Where, ...]:
    """The filters of a canonical text."""
    if text == NO_FILTER:
        return ()
    return tuple(
        Where(column, [Compare(operator, values) for operator, *values in one_of])
        for column, one_of in json.loads(text)
    )


def misfits(where: Sequence[Where], schema: TableSchema) -> Iterator[str]:
    """In what filters do not fit the columns of a table, each with its fix. No value is quoted."""
    for each in where:
        wrong = list(filter_problems(each))
        yield from wrong
        if each.column not in schema.names:
            alike = [name for name in schema.names if name.lower() == each.column.lower()]
            fix = f"did you mean {alike[0]}?" if alike else f"one of {', '.join(schema.names[:8])}"
            yield f"where: {each.column!r} is no column of the table. Fix: {fix}"
        elif not wrong:
            yield from value_problems(each, schema.column(each.column).arrow)


def value_problems(where: Where, kind: pa.DataType) -> Iterator[str]:
    """Comparisons of one filter that a column of the type cannot be held against. No value is quoted."""
    for compare in where.one_of:
        try:
            # What Arrow cannot compare it refuses for no rows at all, too.
            mask([Where(where.column, [compare])], pa.table({where.column: pa.array([], kind)}))
        except ValueError as error:
            yield f"where {where.column!r}: a value {error}. Fix: write it as {kind}"


def require_fit(where: Sequence[Where], schema: TableSchema, place: str) -> None:
    """Raises CatalogError with everything in which filters do not fit the columns."""
    problems = list(misfits(where, schema))
    if problems:
        raise CatalogError(problems, where=place)


class RowFilter:
    """Filters held against rows. Rows have the columns that are filtered by, and `_overflow`."""

    def __init__(self, where: Sequence[Where], place: str) -> None:
        self._where, self._place = tuple(where), place

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.column for each in self._where))

    def passes(self, rows: pa.RecordBatch | pa.Table) -> pa.Array | pa.ChunkedArray:
        """Which rows pass: true or false, never null.

        Raises:
            SchemaConflict: a filter's column holds what its type cannot (`infinity`), so that nobody can
                tell; or the columns are not those that the filters were written for.
        """
        self._require_comparable(rows)
        try:
            return mask(self._where, rows)
        except (ValueError, KeyError):
            raise SchemaConflict(
                "its columns are not those that its row filter was written for",
                where=self._place,
                fix="declare the filter for the columns that the table has now, and set the source up again",
            ) from None

    def kept(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that pass. Raises as `passes`."""
        return rows.filter(self.passes(rows)) if self._where else rows

    def _require_comparable(self, rows: pa.RecordBatch | pa.Table) -> None:
        odd = rows.column(OVERFLOW)
        if odd.null_count == len(odd):
            return
        names = set(self.columns)
        for text in odd.drop_null().to_pylist():
            beyond = names & set(orjson.loads(text))
            if beyond:
                raise SchemaConflict(
                    f"column {min(beyond)!r}, which rows are filtered by, holds a value beyond its type",
                    where=self._place,
                    fix="mend the value in the source, or filter by another column",
                )


def left_out_problem(columns: Sequence[str], table: str, fix: str) -> str:
    """What is told where an update that leaves some columns alone does not tell them."""
    return (
        f"values of {', '.join(columns)} of {table} that an update leaves alone are not in its changes, so "
        f"that loads read all rows to have those that come into its filter. {fix}"
    )
