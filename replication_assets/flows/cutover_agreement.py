"""The gates that compare: the source with the event store, and the store with the projection."""

from __future__ import annotations

from replication_assets.core.cutover import Figure, Gate
from replication_assets.core.positions import Position
from replication_assets.declarations import Table
from replication_assets.flows.compare import Comparison, compare_projection, compare_with_source
from replication_assets.flows.drain import catch_up
from replication_assets.flows.handover import Handover
from replication_assets.flows.prepare import open_table

VALIDATED = "validated"


def agreement(handover: Handover) -> tuple[Gate, ...]:
    """Every table compared row by row; captures are brought up to what was read."""
    return _compared(handover, capture=True)


def agreement_so_far(handover: Handover) -> tuple[Gate, ...]:
    """The same with what has arrived; nothing is captured."""
    return _compared(handover, capture=False)


def _compared(handover: Handover, *, capture: bool) -> tuple[Gate, ...]:
    differing: list[tuple[str, Figure]] = []
    rows = 0
    for table in handover.tables:
        found = _with_source(handover, table, capture)
        followed = compare_projection(handover.store, handover.target(table.id), table.id)
        rows += followed.compared_rows
        differing += [(f"{table.id} {side}", text) for side, text in _told(found, followed)]
    if not differing:
        return (Gate(VALIDATED, True, f"{rows:,} rows are equal in source, event store and projection"),)
    return (Gate(VALIDATED, False, f"{len(differing)} differ", "repair them", tuple(differing)),)


def _with_source(handover: Handover, table: Table, capture: bool) -> Comparison:
    source = handover.source(table.id.source)

    def reach(upto: Position) -> None:
        catch_up(handover, source.name, upto, handover.cutover.drain_seconds)

    opened = open_table(source, handover.store, table)
    return compare_with_source(source, handover.store, opened, catch_up=reach if capture else None)


def _told(found: Comparison, followed: Comparison) -> list[tuple[str, str]]:
    return [
        (side, f"{each.missing} missing, {each.extra} extra")
        for side, each in (("source and event store", found), ("event store and projection", followed))
        if each.mismatches
    ]
