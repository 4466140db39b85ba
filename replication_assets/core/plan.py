"""What a table's granularity costs, told before its log is created.

Every event-store partition, a cell of id range x date, is a folder, at least one file for
each load that touches it, and an event in Dagster. The costs below were measured on two
cores with deltalake 1.6 and Dagster 1.13, and are for orders of magnitude, not for timing:

* a Delta commit grows by about 26 µs for each active file; beyond some 2,000 files a
  table should be compacted, and opening it without a checkpoint takes seconds;
* a partition event costs 20 to 70 ms on SQLite, 35 on PostgreSQL unless batched;
* Dagster advises at most 100,000 partitions for one asset.

A plan refuses what cannot work and warns of what will be slow; it decides nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from replication_assets.core.dates import EventDates
from replication_assets.core.id_ranges import IdRanges, Key
from replication_assets.errors import CatalogError

COMMIT_SECONDS_PER_FILE = 26e-6
EVENT_SECONDS_SQLITE = (0.020, 0.070)
ACTIVE_FILES_ADVISED = 2_000
CELLS_ALLOWED = 100_000
RANGES_ALLOWED = 10_000
ROWS_PER_FILE_ADVISED = 10_000


@dataclass(frozen=True, slots=True)
class GranularityPlan:
    """Cost of loading `ranges` id ranges over `dates` buckets once, and what speaks against it.

    `problems` make the plan impossible, `warnings` make it slow; each ends with its fix.
    """

    ranges: int
    dates: int
    rows: int
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def cells(self) -> int:
        """Event-store partitions, if every range has rows on every date."""
        return self.ranges * self.dates

    @property
    def files(self) -> int:
        """Files after one load: one for each cell that has rows."""
        return min(self.cells, max(self.rows, 1))

    @property
    def rows_per_file(self) -> int:
        return self.rows // self.files

    @property
    def commit_seconds(self) -> float:
        """What a commit pays for the active files alone, until they are compacted."""
        return self.files * COMMIT_SECONDS_PER_FILE

    @property
    def event_seconds(self) -> tuple[float, float]:
        """Least and most that reporting every cell costs with Dagster on SQLite."""
        low, high = EVENT_SECONDS_SQLITE
        return self.cells * low, self.cells * high

    def __str__(self) -> str:
        low, high = self.event_seconds
        lines = [
            f"{self.cells:,} cells: {self.ranges:,} id ranges x {self.dates:,} dates",
            f"{self.files:,} files a load, about {self.rows_per_file:,} rows each, {self.rows:,} rows in all",
            f"{self.commit_seconds * 1000:,.1f} ms of every commit for these files",
            f"{low:,.1f} to {high:,.1f} s of Dagster events a load on SQLite",
        ]
        lines += [f"refused: {problem}" for problem in self.problems]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def require(self, where: str) -> None:
        """Raises CatalogError with all problems, if there are any."""
        if self.problems:
            raise CatalogError(self.problems, where=where)


def plan_granularity(
    id_ranges: IdRanges,
    event_dates: EventDates,
    *,
    high: Key | None,
    rows: int,
    first: dt.date,
    last: dt.date,
) -> GranularityPlan:
    """Plan a load of `rows` rows with keys up to `high`, dated `first` to `last`.

    Without a date column all rows of one load are in one bucket, and `first` and `last` are
    the days between which changes are captured.

    Raises:
        ValueError: `last` is before `first`.
    """
    if last < first:
        raise ValueError(f"{last} is before {first}")
    ranges = len(id_ranges.known(high))
    dates = _bucket_count(event_dates, first, last)
    coarser = _coarser(event_dates)
    bare = GranularityPlan(ranges, dates, rows, (), ())
    return GranularityPlan(ranges, dates, rows, _problems(bare, id_ranges, coarser), _warnings(bare, coarser))


def _problems(plan: GranularityPlan, id_ranges: IdRanges, coarser: str) -> tuple[str, ...]:
    found = []
    if plan.cells > CELLS_ALLOWED:
        found.append(
            f"{plan.cells:,} cells are more than the {CELLS_ALLOWED:,} that Dagster shows of one asset. "
            f"Fix: {coarser}"
        )
    if id_ranges.size > RANGES_ALLOWED:
        found.append(
            f"the table may grow to {id_ranges.size:,} id ranges, more than {RANGES_ALLOWED:,}. "
            "Fix: a greater width, or a lower limit"
        )
    return tuple(found)


def _warnings(plan: GranularityPlan, coarser: str) -> tuple[str, ...]:
    found = []
    if plan.files > ACTIVE_FILES_ADVISED:
        found.append(
            f"{plan.files:,} active files are more than {ACTIVE_FILES_ADVISED:,}: commits slow down. "
            f"Fix: {coarser}, or compact after the load"
        )
    if plan.files > 1 and plan.rows_per_file < ROWS_PER_FILE_ADVISED:
        found.append(
            f"about {plan.rows_per_file:,} rows a file are fewer than {ROWS_PER_FILE_ADVISED:,}: "
            f"files cost more than their rows. Fix: {coarser}"
        )
    return tuple(found)


def _coarser(event_dates: EventDates) -> str:
    dates = {"day": "event dates by month, ", "month": "event dates by year, ", "year": ""}
    return dates[event_dates.granularity] + "fewer id ranges"


def _bucket_count(event_dates: EventDates, first: dt.date, last: dt.date) -> int:
    low, high = event_dates.bucket_of(first), event_dates.bucket_of(last)
    if event_dates.granularity == "day":
        return (high - low).days + 1
    if event_dates.granularity == "month":
        return (high.year - low.year) * 12 + high.month - low.month + 1
    return high.year - low.year + 1
