"""Source tables: how they are cut into id ranges and dates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field

from replication_assets.core.dates import EventDates, Granularity
from replication_assets.core.range_specs import WHOLE_TABLE, RangeSpec
from replication_assets.core.row_filters import Where
from replication_assets.core.schema import TableId
from replication_assets.declarations.base import Declaration


@dataclass(frozen=True, slots=True)
class EventDate(Declaration):
    """The date dimension of a table's events.

    `column` must never change once a row is written; without one it is the commit date (of
    a load: its own date). `granularity` is how much one partition holds. Dagster lists partitions
    from `start`; older rows keep their true date in the store.
    """

    column: str | None = None
    granularity: Granularity = "month"
    start: dt.date = dt.date(2020, 1, 1)

    def pinned(self) -> EventDates:
        return EventDates(self.column, self.granularity, self.start)


@dataclass(frozen=True, slots=True)
class Table(Declaration):
    """A table of a source: `Table("shop.public.orders")`, or by its three names.

    `path` is the three names joined by dots; where one has a dot itself, give `source`, `schema`
    and `name`. `id_ranges` says how the table is cut for loads and projections. An empty `key`
    means the source's primary key. Ranges are cut on `range_column`, by default the first column
    of the key. `event_date` is the other dimension of its partitions. `append_only` states that
    rows are never updated or deleted. `where` are filters, all of which must hold: only rows that pass
    are loaded, validated and projected. `group`, `owners` and `tags` are shown by Dagster.
    `lag_sla_seconds` is for this table instead of `Watch.lag_sla_seconds`.
    """

    path: str | None = None
    _: KW_ONLY
    source: str | None = None
    schema: str | None = None
    name: str | None = None
    id_ranges: RangeSpec = WHOLE_TABLE
    key: Sequence[str] = ()
    range_column: str | None = None
    append_only: bool = False
    event_date: EventDate = EventDate()
    where: Sequence[Where] = ()
    group: str | None = None
    owners: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    lag_sla_seconds: float | None = None

    @property
    def id(self) -> TableId:
        """Raises ValueError if the table is not named fully; `validate` says so with a fix."""
        names = self.path.split(".") if self.path is not None else [self.source, self.schema, self.name]
        spelled = [name for name in names if name]
        given_twice = self.path is not None and (self.source or self.schema or self.name)
        if len(names) != 3 or len(spelled) != 3 or given_twice:
            raise ValueError("not one source, schema and name")
        return TableId(*spelled)
