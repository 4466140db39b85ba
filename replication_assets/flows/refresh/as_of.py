"""As of when a refresh copies: one position for each source, up to which every table is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.core.baseline import Baseline, baseline_of
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine, figures
from replication_assets.core.winners import counted_events
from replication_assets.errors import NotLoaded
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refresh.refreshing import Refreshing
from replication_assets.flows.refresh.tables import StoredTable


def positions(refreshing: Refreshing, tables: Sequence[StoredTable]) -> dict[TableId, Position]:
    """How far each table's source is captured, by table.

    All tables of a source are copied as of the ledger's mark, at which every change of any of them is
    stored. A source that nothing is captured of (views alone) has no such mark: its tables are copied
    as of their newest load.

    Raises:
        NotLoaded: a table has no load up to there; with what to do.
    """
    found: dict[TableId, Position] = {}
    for source in dict.fromkeys(table.id.source for table in tables):
        of_source = [table for table in tables if table.id.source == source]
        mark = refreshing.store.ledger(source).last()
        if mark is None:
            raise NotLoaded("nothing of it is captured", where=source, fix=f"set up and load source {source}")
        captured = mark.commit > 0
        # The same rows as at the end of the commit: no change lies between. Loads that were taken when
        # nothing came after it stand here.
        reached = Position(mark.epoch, mark.commit + 1)
        for table in of_source:
            found[table.id] = reached if captured else newest_load(table)
            for id_range in _all_ranges(table):
                _require_known(table, id_range, found[table.id])
    return found


def _all_ranges(table: StoredTable) -> list[IdRange]:
    """Every range that has to be known for the table to be: up to the last that holds events or that a
    load began at, and the one after it, which a load that is open above covers."""
    id_ranges, controls = table.snapshot.id_ranges, table.snapshot.controls()
    used = [each.index for each in ranges_of(table.snapshot)]
    used += [id_ranges.index_of(load.lo) for load in controls.loads]
    last = max(used, default=0)
    return [id_ranges.at(index) for index in range(min(last + 2, id_ranges.size))]


def newest_load(table: StoredTable) -> Position:
    """The end of the newest load. Raises NotLoaded if there is none."""
    loads = [load.position for load in table.snapshot.controls().loads]
    if not loads:
        raise NotLoaded("it was never loaded", where=str(table.id), fix="load the table")
    return max(loads).end_of_commit()


def _require_known(table: StoredTable, id_range: IdRange, as_of: Position) -> None:
    """A load that capture has not caught up with is the usual reason, and easily put right."""
    controls = table.snapshot.controls()
    where = f"{table.id} range {id_range.key}"
    try:
        known = baseline_of(controls, id_range, where=str(table.id), as_of=as_of)
    except NotLoaded:
        baseline = baseline_of(controls, id_range, where=str(table.id))
        if baseline.newest <= as_of:
            raise
        raise NotLoaded(
            f"it was loaded as of {baseline.newest}, and source {table.id.source} is captured up to {as_of}",
            where=where,
            fix=f"capture source {table.id.source} once, then refresh",
        ) from None
    if known.floor is None:
        raise NotLoaded("only some of its dates are loaded", where=where, fix="load this id range whole")


def baselines(table: StoredTable, as_of: Position) -> Iterator[tuple[IdRange, Baseline]]:
    """What each range of a table starts from. Raises NotLoaded or NeedsReload."""
    controls = table.snapshot.controls()
    for id_range in ranges_of(table.snapshot):
        yield id_range, baseline_of(controls, id_range, where=str(table.id), as_of=as_of)


def expected_rows(table: StoredTable, as_of: Position, spill: Spill) -> int:
    """About how many rows a table has: what its loads found, and inserts less deletes since. Reads
    the envelope of events alone, no column of the table."""
    rows = 0
    for id_range, baseline in baselines(table, as_of):
        with engine(spill) as connection:
            connection.register("event", table.snapshot.events(id_range.key))
            there = "count(*) FILTER (WHERE e._op IN ('R', 'I')) - count(*) FILTER (WHERE e._op = 'D')"
            counted = counted_events(baseline, as_of)
            rows += max(0, figures(connection, f"SELECT {there} FROM event e WHERE {counted}")[0])
    return rows
