"""Changes: whether a published copy can be brought forward, and the net changes that do it.

A copy is followed by the changes of its tables where a refresh under the same policy, key and
structures published it, and nothing was loaded anew since. Whatever else happened, a full copy tells.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from replication_assets.core.baseline import baseline_of
from replication_assets.core.changes import Past, RangeChanges, range_changes
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.positions import Position
from replication_assets.core.refresh.plan import How
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine, figures, newer
from replication_assets.errors import NeedsReload, NotLoaded, RefreshError
from replication_assets.flows.project import MOST_CHANGES
from replication_assets.flows.read import history_reader, ranges_of
from replication_assets.flows.refresh.compiled import TableGuard
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.tables import StoredTable
from replication_assets.ports.environment import PublishedCopy


@dataclass(frozen=True)
class Following:
    """How a refresh is done; for changes, where each table of the copy stands and how many events came
    since."""

    how: How
    since: Mapping[TableId, Position] = field(default_factory=dict, hash=False)
    events: Mapping[TableId, int] = field(default_factory=dict, hash=False)
    warnings: tuple[str, ...] = ()


def following(
    refreshing: Refreshing,
    tables: Sequence[StoredTable],
    as_of: Mapping[TableId, Position],
    keys: KeyRing,
    spill: Spill,
) -> Following:
    """Changes where they tell it all, or a full copy.

    Raises:
        RefreshError: changes alone are declared (`cdc`), and they do not tell it all; or changes of what
            is no table.
    """
    declared = refreshing.refresh.migration
    if declared == "full-load":
        return Following("full")
    _require_tables(refreshing, tables)
    published = refreshing.target.published()
    reason = _unfollowable(refreshing, tables, as_of, keys, spill, published)
    if published is None or reason is not None:
        if declared == "cdc":
            raise RefreshError(
                f"changes alone do not bring the copy up to date: {reason}",
                where=refreshing.where,
                fix="run a refresh declared as full-load or full-load-and-cdc for these tables first",
            )
        warnings = (f"a full copy, because {reason}",) if published is not None else ()
        return Following("full", warnings=warnings)
    since = {table.table: table.as_of for table in published.tables}
    events = {table.id: _events(table, since[table.id], as_of[table.id], spill) for table in tables}
    return Following("changes", since, events)


def _require_tables(refreshing: Refreshing, tables: Sequence[StoredTable]) -> None:
    """The catalog cannot tell a view from a table; the recorded structure can."""
    found = [
        f"{table.id} is {table.structure.only_columns}" for table in tables if table.structure.only_columns
    ]
    if found:
        raise RefreshError(
            f"no changes are captured of some of its tables: {'; '.join(found)}",
            where=refreshing.where,
            fix="leave them out and copy the tables that they are made of, or declare the refresh full-load",
        )


def _unfollowable(
    refreshing: Refreshing,
    tables: Sequence[StoredTable],
    as_of: Mapping[TableId, Position],
    keys: KeyRing,
    spill: Spill,
    published: PublishedCopy | None,
) -> str | None:
    """Why the published copy cannot be brought forward by changes; None if it can."""
    if published is None:
        return "nothing is published yet"
    if refreshing.refresh.subset is not None:
        return "a subset may gain and lose rows that did not change"
    if refreshing.refresh.hooks:
        return "hooks change rows of a whole copy"
    if published.policy != refreshing.policy.fingerprint:
        return "the policy changed since the copy was published"
    if published.key_id != keys.key_id:
        return "the copy was masked with another key"
    structures = {table.table: table.structure for table in published.tables}
    if structures != {table.id: table.carried.fingerprint for table in tables}:
        return "tables or their structures changed since the copy was published"
    since = {table.table: table.as_of for table in published.tables}
    reasons = (_broken(table, since[table.id], as_of[table.id], spill) for table in tables)
    return next((reason for reason in reasons if reason is not None), None)


def _broken(table: StoredTable, since: Position, as_of: Position, spill: Spill) -> str | None:
    """Why changes do not tell what became of a table between two positions."""
    if not table.schema.key:
        return f"{table.id} has no key by which a change finds its row"
    if since > as_of or since.epoch != as_of.epoch:
        return f"the log of {table.id} began anew"
    controls = table.snapshot.controls()
    for id_range in ranges_of(table.snapshot):
        try:
            then = baseline_of(controls, id_range, where=str(table.id), as_of=since)
            now = baseline_of(controls, id_range, where=str(table.id), as_of=as_of)
        except (NotLoaded, NeedsReload):
            return f"{table.id} range {id_range.key} was not known when the copy was made"
        if now.where:
            return f"rows of {table.id} are filtered, and changes do not tell which ones left"
        if then.fingerprint != now.fingerprint:
            return f"{table.id} range {id_range.key} was loaded anew or emptied"
    if _events(table, since, as_of, spill) > MOST_CHANGES:
        return f"{table.id} has more than {MOST_CHANGES:,} changes, which cost more than a full copy"
    return None


def _events(table: StoredTable, since: Position, as_of: Position, spill: Spill) -> int:
    window = f"e._op IN ('I', 'U', 'D') AND {newer(since)} AND NOT {newer(as_of)}"
    found = 0
    for id_range in ranges_of(table.snapshot):
        with engine(spill) as connection:
            connection.register("event", table.snapshot.events(id_range.key, after=since))
            found += figures(connection, f"SELECT count(*) FROM event e WHERE {window}")[0]
    return found


def net_changes(guard: TableGuard, id_range: str, columns: Collection[str] | None = None) -> RangeChanges:
    """Raw net changes of a range since the published copy: whole rows of the columns that the mask
    needs, or of those that are named.

    Raises:
        RefreshError: they are more than can be held.
        NeedsReload: a value that the source did not send is in no stored event.
    """
    planned, snapshot = guard.planned, guard.stored.snapshot
    if planned.since is None:
        raise RefreshError("the plan has no position to start from", where=guard.name, fix="plan it anew")
    found = snapshot.id_ranges.by_key(id_range)
    baseline = baseline_of(snapshot.controls(), found, where=guard.name, as_of=planned.as_of)
    with engine(guard.spill) as connection:
        changes = range_changes(
            connection,
            snapshot.events(id_range, after=planned.since),
            guard.read_schema(columns),
            baseline,
            start=planned.since,
            end=planned.as_of,
            most=MOST_CHANGES,
            where=f"{guard.name} range {id_range}",
            past=Past(snapshot.events(id_range), history_reader(snapshot), whole_rows=True),
        )
    if changes is None:
        raise RefreshError(
            f"range {id_range} has more than {MOST_CHANGES:,} changes",
            where=guard.name,
            fix="start the refresh again with a fresh plan: it makes a full copy",
        )
    return changes


def changed_rows(changes: RangeChanges, role: str) -> Iterator[pa.RecordBatch]:
    yield from (changes.upserts if role == "upserts" else changes.deletes).to_batches()
