"""The date dimension of the event store: which column gives it, and how fine it is.

A row's bucket is the first day (UTC) of the day, month or year of its date. A table that
declares an immutable date column of its own uses that one, so that a row's whole history
stands in one bucket; without one it is the commit time (for loads: when the snapshot was
taken).

Rows without a usable date have no bucket (null): the column is NULL, the event is a
delete that carries its key alone, or the date lies outside `[USABLE_FROM, USABLE_BEFORE)`,
which are the years that Python and Dagster can write with room for the next bucket.
Nothing is moved to a neighbouring bucket.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import COMMITTED_AT
from replication_assets.core.schema import TableSchema
from replication_assets.errors import CatalogError, SchemaConflict

Granularity: TypeAlias = Literal["day", "month", "year"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)

USABLE_FROM = dt.date(1, 1, 1)
USABLE_BEFORE = dt.date(9999, 1, 1)
"""A load of the bucket None reads `date IS NULL OR date < USABLE_FROM OR date >= USABLE_BEFORE`."""


@dataclass(frozen=True, slots=True)
class EventDates:
    """`column` None means the commit date. `start` is where Dagster's date partitions begin.

    Rows older than `start` keep their true bucket in the store; it is only not listed.
    """

    column: str | None
    granularity: Granularity
    start: dt.date

    def __post_init__(self) -> None:
        if self.granularity not in GRANULARITIES:
            raise ValueError(f"granularity {self.granularity!r} is none of {', '.join(GRANULARITIES)}")

    @property
    def first_bucket(self) -> dt.date:
        """The bucket that holds `start`."""
        return self.bucket_of(self.start)

    def bucket_of(self, date: dt.date) -> dt.date:
        """First day of the bucket that holds `date`."""
        month = 1 if self.granularity == "year" else date.month
        day = date.day if self.granularity == "day" else 1
        return dt.date(date.year, month, day)

    def bucket(self, values: pa.Array | pa.ChunkedArray) -> pa.Array:
        """First day of each value's bucket as date32; null for null and unusable dates.

        Dates, and timestamps in microseconds; one without zone is taken as UTC.

        Raises:
            SchemaConflict: the values are neither.
        """
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if not is_date(array.type):
            raise SchemaConflict(
                f"{array.type} has no date",
                where=f"event date column {self.column or COMMITTED_AT}",
                fix="the column changed its type: start a new log for the table",
            )
        days = _utc_days(array)
        if self.granularity == "day":
            return days
        return pc.floor_temporal(days, unit=self.granularity)

    def event_date(self, rows: pa.Table | pa.RecordBatch) -> pa.Array:
        """Bucket of each event: by the declared column, else by `_committed_at`."""
        return self.bucket(rows.column(self.column or COMMITTED_AT))

    def problems(self, schema: TableSchema) -> tuple[str, ...]:
        """Why the table's `column` cannot give a date, with the fix; empty if it can."""
        dated = [column.name for column in schema.columns if is_date(column.arrow)]
        if self.column is None or self.column in dated:
            return ()
        fix = f"Fix: one of {', '.join(dated)}" if dated else "Fix: no column, which is the commit date"
        if self.column not in schema.names:
            return (f"event date column {self.column!r} is not in the table. {fix}",)
        found = schema.column(self.column).source_type
        return (f"event date column {self.column!r} is {found}, not a date or timestamp. {fix}",)

    def check(self, schema: TableSchema, where: str) -> None:
        """Raises CatalogError with `problems`, if there are any."""
        problems = self.problems(schema)
        if problems:
            raise CatalogError(problems, where=where)

    def interval(self, bucket: dt.date) -> tuple[dt.date, dt.date]:
        """The dates of a bucket, half-open. Raises ValueError if no bucket starts there."""
        if not USABLE_FROM <= bucket < USABLE_BEFORE or self.bucket_of(bucket) != bucket:
            raise ValueError(f"{bucket} is not the first day of a {self.granularity}")
        if self.granularity == "day":
            return bucket, bucket + dt.timedelta(days=1)
        if self.granularity == "year" or bucket.month == 12:
            return bucket, dt.date(bucket.year + 1, 1, 1)
        return bucket, dt.date(bucket.year, bucket.month + 1, 1)

    def intervals(self, buckets: Iterable[dt.date | None]) -> list[tuple[dt.date, dt.date]]:
        """The dates of some buckets, half-open, ascending, neighbours merged. None, which has no date, is
        passed over."""
        merged: list[tuple[dt.date, dt.date]] = []
        for bucket in sorted(bucket for bucket in buckets if bucket is not None):
            low, high = self.interval(bucket)
            if merged and low <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return merged

    def buckets(self, through: dt.date) -> tuple[dt.date, ...]:
        """Every bucket from `first_bucket` to the one that holds `through`, ascending."""
        found = []
        bucket = self.first_bucket
        while bucket <= through:
            found.append(bucket)
            bucket = self.interval(bucket)[1]
        return tuple(found)

    def has_partition(self, bucket: dt.date | None) -> bool:
        """Whether Dagster lists the bucket: dated, and not before `start`."""
        return bucket is not None and bucket >= self.first_bucket

    def partition_key(self, bucket: dt.date) -> str:
        """Dagster's key of the bucket: its first day as `%Y-%m-%d`, for months and years too.

        Raises ValueError if no bucket starts there.
        """
        self.interval(bucket)
        return bucket.isoformat()

    def from_partition_key(self, key: str) -> dt.date:
        """The inverse of `partition_key`. Raises ValueError for a key of another granularity."""
        bucket = dt.date.fromisoformat(key)
        if self.partition_key(bucket) != key:
            raise ValueError(f"{key!r} is not a partition key of the form YYYY-MM-DD")
        return bucket

    def to_json(self) -> str:
        """Stable text: equal values have equal text."""
        return json.dumps(
            {"column": self.column, "granularity": self.granularity, "start": self.start.isoformat()}
        )

    @classmethod
    def from_json(cls, text: str) -> EventDates:
        """The inverse of `to_json`. Raises ValueError for anything else."""
        raw = json.loads(text)
        if not isinstance(raw, dict) or raw.keys() != {"column", "granularity", "start"}:
            raise ValueError("not the JSON of event dates")
        return cls(raw["column"], raw["granularity"], dt.date.fromisoformat(raw["start"]))


def is_date(kind: pa.DataType) -> bool:
    """Whether the log stores dates or timestamps so: other units would not fit its days."""
    return bool(kind == pa.date32() or (pa.types.is_timestamp(kind) and kind.unit == "us"))


def _utc_days(values: pa.Array) -> pa.Array:
    """Days as date32, unusable ones null.

    Masked before any flooring to months: Arrow's calendar holds years in 16 bits and wraps
    silently beyond them.
    """
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        values = values.cast(pa.timestamp("us", "UTC"))
    days = values.cast(pa.date32())
    usable = pc.and_(
        pc.greater_equal(days, pa.scalar(USABLE_FROM, pa.date32())),
        pc.less(days, pa.scalar(USABLE_BEFORE, pa.date32())),
    )
    return pc.if_else(usable, days, pa.scalar(None, pa.date32()))
