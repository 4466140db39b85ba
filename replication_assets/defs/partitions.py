"""Id ranges and dates as Dagster partitions.

The event store of a table is partitioned in two dimensions, `date` and `id_range`; its
projections by `id_range` alone. Ranges are dynamic partitions, since keys grow; their short
names (`r000012`) carry the bounds in metadata.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

import dagster as dg

from replication_assets.core.dates import EventDates
from replication_assets.core.events import ALL_RANGES
from replication_assets.core.id_ranges import IdRange, IdRanges
from replication_assets.core.schema import TableId
from replication_assets.defs import naming
from replication_assets.ports import CellCount

DATE = "date"
ID_RANGE = "id_range"

_CRON = {"day": "0 0 * * *", "month": "0 0 1 * *", "year": "0 0 1 1 *"}


def id_ranges_def(table: TableId) -> dg.DynamicPartitionsDefinition:
    return dg.DynamicPartitionsDefinition(name=naming.id_range_partitions(table))


def dates_def(event_dates: EventDates) -> dg.TimeWindowPartitionsDefinition:
    """Buckets from the table's start to the current one: a bucket takes rows before it ends."""
    first = event_dates.first_bucket
    return dg.TimeWindowPartitionsDefinition(
        start=dt.datetime(first.year, first.month, first.day, tzinfo=dt.UTC),
        fmt="%Y-%m-%d",
        cron_schedule=_CRON[event_dates.granularity],
        timezone="UTC",
        end_offset=1,
    )


def cells_def(table: TableId, event_dates: EventDates) -> dg.MultiPartitionsDefinition:
    return dg.MultiPartitionsDefinition({DATE: dates_def(event_dates), ID_RANGE: id_ranges_def(table)})


def cell_key(event_dates: EventDates, bucket: dt.date, id_range: str) -> dg.MultiPartitionKey:
    return dg.MultiPartitionKey({DATE: event_dates.partition_key(bucket), ID_RANGE: id_range})


def listed_cells(event_dates: EventDates, cells: Iterable[CellCount]) -> dict[dg.MultiPartitionKey, int]:
    """Rows by Dagster partition. Control events and rows without a listed date have none."""
    found: dict[dg.MultiPartitionKey, int] = {}
    for cell in cells:
        if (
            cell.id_range != ALL_RANGES
            and cell.event_date is not None
            and event_dates.has_partition(cell.event_date)
        ):
            key = cell_key(event_dates, cell.event_date, cell.id_range)
            found[key] = found.get(key, 0) + cell.rows
    return found


def requested_keys(context: dg.AssetExecutionContext) -> Sequence[str]:
    """Partition keys that this run must produce.

    A backfill of a *job* over two dimensions gives each run the range in one set of tags and
    its first key in another; Dagster then runs the first key only and reports success for
    all (dagster-io/dagster#28861). Such a run is refused.
    """
    tags = context.run.tags
    if "dagster/asset_partition_range_start" in tags and any(
        tag.startswith("dagster/partition/") for tag in tags
    ):
        raise dg.Failure(
            "A job backfill over two partition dimensions would silently produce its first partition only. "
            "Fix: select the partitions on the asset and materialize them there.",
            allow_retries=False,
        )
    keys: Sequence[str] = context.partition_keys
    return keys


def cells_by_range(keys: Sequence[str], event_dates: EventDates) -> dict[str, set[dt.date]]:
    """Requested dates of each requested id range."""
    wanted: dict[str, set[dt.date]] = {}
    for key in keys:
        if not isinstance(key, dg.MultiPartitionKey):
            raise dg.Failure(
                f"{key!r} is not a key of the dimensions {DATE} and {ID_RANGE}", allow_retries=False
            )
        by_dimension = key.keys_by_dimension
        bucket = event_dates.from_partition_key(by_dimension[DATE])
        wanted.setdefault(by_dimension[ID_RANGE], set()).add(bucket)
    return wanted


def dates_to_load(
    table: TableId, event_dates: EventDates, wanted: set[dt.date], today: dt.date
) -> tuple[dt.date | None, ...] | None:
    """Which dates a load must read for the requested ones: None is all of them.

    Without a date column of its own a table's loads are filed under the day they are read,
    so only a selection that holds today can be produced; it loads the whole range.
    """
    current = event_dates.bucket_of(today)
    if event_dates.column is None:
        if current not in wanted:
            raise dg.Failure(
                f"{table} declares no date column: a load is filed under the day it is read, and past days "
                "hold what was captured then, which no load can bring back. Fix: select "
                f"{current.isoformat()} (it loads the whole id range), or declare EventDate(column=...).",
                allow_retries=False,
            )
        return None
    if wanted >= set(event_dates.buckets(today)):
        return None
    return tuple(sorted(wanted))


def listed_ranges(instance: dg.DagsterInstance, table: TableId) -> set[str]:
    """Id ranges that Dagster lists for a table."""
    return set(id_ranges_def(table).get_partition_keys(dynamic_partitions_store=instance))


def register_ranges(instance: dg.DagsterInstance, table: TableId, keys: Iterable[str]) -> list[str]:
    """Add id ranges that Dagster does not list yet; returns them."""
    new = sorted(set(keys) - listed_ranges(instance, table) - {ALL_RANGES})
    if new:
        instance.add_dynamic_partitions(naming.id_range_partitions(table), new)
    return new


def load_range_of(id_ranges: IdRanges, key: str, listed: Sequence[str]) -> IdRange:
    """The range to load for a partition key: the last one listed reads all keys above it."""
    id_range = id_ranges.by_key(key)
    return id_range.open_above() if key == max(listed) else id_range


def ranges_of_run(run: dg.DagsterRun) -> list[str] | None:
    """Id ranges that a run of a projection produces; None for one that does not say."""
    tags = run.tags
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    if first is not None and last is not None:
        low, high = int(first[1:]), int(last[1:])
        return [f"r{index:06}" for index in range(low, high + 1)]
    single = tags.get("dagster/partition")
    return [single] if single is not None else None
