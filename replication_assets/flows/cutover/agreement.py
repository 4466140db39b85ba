"""The gates that compare: the source with the event store, and the store with the projection.

Digests of all id ranges, rows of those that differ (`flows.validate`). In a cutover nothing may
be late and nothing accounted for: readers get what the projection holds, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from replication_assets.core.cutover import Figure, Gate, counted
from replication_assets.core.positions import Position
from replication_assets.errors import ReplicationError
from replication_assets.flows.cutover.drain import catch_up
from replication_assets.flows.cutover.gates import NAMED
from replication_assets.flows.cutover.handover import Handover
from replication_assets.flows.prepare import open_table
from replication_assets.flows.validation.validate import (
    RangeValidation,
    Validation,
    validate_projection,
    validate_source,
)

VALIDATED = "validated"
AGAINST_SOURCE = "validated against the source"
AGAINST_STORE = "validated against the event store"
LET_IT_CAPTURE = (
    "let the dry run capture (`--capture`; in Dagster, `capture: true`), or see that captures run"
)
REPAIR = "see `replication-assets validate`, then `replication-assets repair` or load the ranges again"


def agreement(handover: Handover) -> tuple[Gate, Gate]:
    """Both comparisons; captures are brought up to what was read of the source."""
    return (
        _gate(AGAINST_SOURCE, _against_source(handover, handover.cutover.drain_seconds, capture=True)),
        _gate(AGAINST_STORE, _against_store(handover)),
    )


def agreement_so_far(handover: Handover, seconds: float) -> tuple[Gate, Gate]:
    """The same, but captures are only waited for, so long."""
    against_source = _gate(
        AGAINST_SOURCE, _against_source(handover, seconds, capture=False), late_because=_why_late(handover)
    )
    return against_source, _gate(AGAINST_STORE, _against_store(handover))


def _why_late(handover: Handover) -> str:
    idle = [name for name in handover.sources if not handover.source(name).status().active]
    return f"no capture of {', '.join(idle)} runs" if idle else "captures have not come that far"


def _against_source(handover: Handover, seconds: float, *, capture: bool) -> Iterator[Validation]:
    for table in handover.tables:
        source = handover.source(table.id.source)

        def reach(upto: Position, name: str = source.name) -> None:
            catch_up(handover, name, upto, seconds)

        yield validate_source(
            source,
            handover.store,
            open_table(source, handover.store, table),
            wait_seconds=seconds,
            catch_up=reach if capture else None,
        )


def _against_store(handover: Handover) -> Iterator[Validation]:
    name = handover.projection.name
    for table in handover.tables:
        letters = handover.store.dead_letters(name, table.id)
        target = handover.target(table.id)
        yield validate_projection(handover.store, target, table.id, projection=name, letters=letters)


def _gate(name: str, validations: Iterable[Validation], *, late_because: str = "") -> Gate:
    """Ranges that are late hold nothing up where it is known why."""
    rows = ranges = 0
    wrong: list[tuple[str, Figure]] = []
    late: list[tuple[str, Figure]] = []
    try:
        for each in validations:
            rows, ranges = rows + each.rows, ranges + len(each.ranges)
            wrong += [(f"{each.table} {of.id_range}", _told(of)) for of in each.wrong]
            late += [(f"{each.table} {of.id_range}", _told(of)) for of in each.waiting]
    except ReplicationError as error:
        # A table that cannot be compared is not known to be right.
        return Gate(name, False, str(error), error.fix)
    if wrong or (late and not late_because):
        of = counted(ranges, "id range")
        what = f"{len(wrong):,} differ and {len(late):,} are not fully compared, of {of}"
        return Gate(name, False, what, REPAIR, tuple([*wrong, *late][:NAMED]))
    if late:
        what = f"{len(late):,} of {counted(ranges, 'id range')} not compared: {late_because}"
        return Gate(name, False, what, LET_IT_CAPTURE, tuple(late[:NAMED]), True)
    return Gate(name, True, f"equal: {counted(rows, 'row')} in {counted(ranges, 'id range')}")


def _told(of: RangeValidation) -> str:
    counts = ", ".join(f"{count:,} {kind}" for kind, count in of.kinds.items())
    return "; ".join(part for part in (of.state, counts, of.reason) if part)
