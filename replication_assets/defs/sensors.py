"""One sensor per source: it sees the offset move and keeps exactly one capture.

It decides and reports; work happens in the runs it asks for. What it remembers (the cursor)
is a view: with an empty one it reports again and nothing is captured twice.
"""

import datetime as dt
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import dagster as dg

from replication_assets.catalog import Table
from replication_assets.core.baseline import is_covered
from replication_assets.core.controls import Controls
from replication_assets.core.id_ranges import kind_of
from replication_assets.declarations import SourceConfig
from replication_assets.defs import metadata, naming, partitions
from replication_assets.defs.capture import ACTIVE, capture_job_name, run_age
from replication_assets.defs.lifecycle import setup_job_name
from replication_assets.errors import CatalogError, ReplicationError, SlotLost
from replication_assets.flows.cutover.retire import retired_by
from replication_assets.flows.prepare import ReplicatedTable, open_table
from replication_assets.flows.watch.health import lag_seconds
from replication_assets.ports import ChangeSource, EventStore, SourceStatus
from replication_assets.replication import Replication

REPORT_SECONDS = 30.0
"""How often a moving source's figures are put on its assets."""

MOST_REPORT_SECONDS = 10.0
"""Tables that a report does not come to in this time are in the next one: Dagster gives up a tick
after a minute, and a table's figures take some 20 ms, on an object store ten times that."""

CONTINUOUS_LIFETIME_SECONDS = 3600.0
"""Age at which a continuous capture gets a successor: a fresh process, with current code."""


@dataclass(frozen=True)
class Cursor:
    """Newest position seen; when (epoch seconds) figures were last reported, and at which table the
    next report begins; the tables whose logs were seen to be there, as a fingerprint."""

    head: int = 0
    reported_at: float = 0.0
    next_table: int = 0
    set_up: str = ""

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        return cls(**json.loads(text)) if text else cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def wanted_capture(mode: str, moved: bool, ages: Sequence[float], lifetime: float) -> bool:
    """Whether to ask for another capture, given the seconds that each active one has run.

    Micro-batch: one at a time, when the offset moved. Continuous: always one, and for a
    moment two, when the older has lived its time and hands over.
    """
    if mode == "continuous":
        return not ages or (len(ages) == 1 and ages[0] >= lifetime)
    return moved and not ages


def offset_sensor(source: SourceConfig, jobs: Sequence[dg.JobDefinition]) -> dg.SensorDefinition:
    """Watches the log position of a source; sets it up first if tables are new."""

    @dg.sensor(
        name=f"{naming.plain(source.name)}_offsets",
        jobs=list(jobs),
        minimum_interval_seconds=max(1, round(source.capture_interval_seconds)),
        description=f"Watches the change stream of `{source.name}` and keeps one capture going.",
    )
    def offsets(
        context: dg.SensorEvaluationContext, replication: dg.ResourceParam[Replication]
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            return _tick(context, replication, source)
        except ReplicationError as error:
            # The tick fails with what, where and fix; a stopped capture never looks idle.
            raise dg.DagsterError(str(error)) from error

    return offsets


def _tick(
    context: dg.SensorEvaluationContext, replication: Replication, config: SourceConfig
) -> dg.SensorResult | dg.SkipReason:
    source, store = replication.source(config.name), replication.store()
    cursor = Cursor.parse(context.cursor)
    tables = replication.catalog.tables_of(config.name)
    set_up = _fingerprint(tables)
    if not _is_set_up(store, config.name, tables, seen=set_up == cursor.set_up):
        return _set_up(context, config.name)
    status = source.status()
    if status.state in ("missing", "lost"):
        return _without_slot(replication, config.name, status.state)
    now = dt.datetime.now(dt.UTC)
    active = context.instance.get_run_records(
        dg.RunsFilter(tags={naming.CAPTURE_TAG: config.name}, statuses=ACTIVE), limit=3
    )
    ages = [run_age(record, now) for record in active]
    moved = status.head != cursor.head
    launch = wanted_capture(config.mode, moved, ages, CONTINUOUS_LIFETIME_SECONDS)
    due = moved and now.timestamp() - cursor.reported_at >= REPORT_SECONDS
    if not launch and not due:
        return dg.SkipReason(
            f"a capture is in flight ({active[0].dagster_run.run_id})"
            if ages
            else f"no change at {status.head}"
        )
    # Without a launch the move is still unanswered: the next tick must see it again.
    seen = replace(cursor, head=status.head if launch else cursor.head, set_up=set_up)
    events: list[dg.AssetMaterialization] = []
    growth: list[dg.AddDynamicPartitionsRequest] = []
    if due:
        lag = lag_seconds(status, store.ledger(config.name).last(), now)
        chosen = _from(tables, cursor.next_table)
        events, growth = _report(context, source, store, chosen, status, lag)
        reached = (cursor.next_table + len(events)) % max(1, len(tables))
        seen = replace(seen, reported_at=now.timestamp(), next_table=reached)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(job_name=capture_job_name(config.name), tags={naming.CAPTURE_TAG: config.name})
        ]
        if launch
        else [],
        asset_events=events,
        dynamic_partitions_requests=growth,
        cursor=str(seen),
    )


def _without_slot(replication: Replication, source: str, state: str) -> dg.SkipReason:
    if (cutover := retired_by(replication, source)) is not None:
        return dg.SkipReason(f"retired by cutover {cutover}: turn this sensor off")
    raise SlotLost(
        f"the slot or change log is {state}",
        where=source,
        fix=f"run job {naming.plain(source)}_recover, then load every id range again",
    )


def _watched_column(table: ReplicatedTable) -> str | None:
    """Whose greatest value to show: the range column, or the leading key if it has an order
    that ranges could be cut on."""
    if table.id_ranges.column is not None or not table.schema.key:
        return table.id_ranges.column
    leading = table.schema.column(table.schema.key[0])
    try:
        kind_of(leading.arrow, leading.source_type)
    except CatalogError:
        return None
    return leading.name


def _set_up(context: dg.SensorEvaluationContext, source: str) -> dg.SensorResult | dg.SkipReason:
    name = setup_job_name(source)
    if context.instance.get_run_records(dg.RunsFilter(job_name=name, statuses=ACTIVE), limit=1):
        return dg.SkipReason(f"{name} is running")
    return dg.SensorResult(run_requests=[dg.RunRequest(job_name=name)])


def _is_set_up(store: EventStore, source: str, tables: Sequence[Table], *, seen: bool) -> bool:
    """Logs that were `seen` are not looked for again: a thousand are two thousand questions to an
    object store, at every tick."""
    return store.ledger(source).last() is not None and (
        seen or all(store.log(table.id).exists() for table in tables)
    )


def _fingerprint(tables: Sequence[Table]) -> str:
    names = "\n".join(sorted(str(table.id) for table in tables))
    return hashlib.sha256(names.encode()).hexdigest()


def _from(tables: Sequence[Table], first: int) -> Sequence[Table]:
    """All of them, from one on and round; `first` may be of a catalog that had more."""
    at = first % max(1, len(tables))
    return (*tables[at:], *tables[:at])


def _report(
    context: dg.SensorEvaluationContext,
    source: ChangeSource,
    store: EventStore,
    tables: Sequence[Table],
    status: SourceStatus,
    lag: float | None,
) -> tuple[list[dg.AssetMaterialization], list[dg.AddDynamicPartitionsRequest]]:
    """A materialization of each source table with its figures, and id ranges that keys reached: of
    as many tables as there is time for."""
    begun = time.monotonic()
    events: list[dg.AssetMaterialization] = []
    growth = []
    for table in tables:
        if events and time.monotonic() - begun > MOST_REPORT_SECONDS:
            break
        replicated = open_table(source, store, table)
        column = _watched_column(replicated)
        bounds = source.bounds(table.id, column) if column is not None else None
        figures = metadata.source(status, lag, bounds.high if bounds else None, bounds.rows if bounds else 0)
        events.append(dg.AssetMaterialization(naming.source_key(table.id), metadata=figures))
        definition = partitions.id_ranges_def(table.id)
        listed = partitions.listed_ranges(context.instance, table.id)
        known = replicated.id_ranges.known(bounds.high if bounds else None)
        unlisted = [id_range for id_range in known if id_range.key not in listed]
        # See `CaptureMarks`: the last range listed is loaded open above first.
        controls = store.log(table.id).snapshot().controls() if unlisted else Controls()
        if new := [id_range.key for id_range in unlisted if is_covered(controls, id_range)]:
            growth.append(definition.build_add_request(new))
    return events, growth
