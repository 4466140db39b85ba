"""The gates of a cutover, each filled in from what the source, the store and the target say.

A gate never raises for what it looks for: what stands in the way is its answer. Only a source
or a store that cannot be asked is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replication_assets.core.cutover import Figure, Gate, SourceWindow, TableCount, counted
from replication_assets.core.schema import TableId
from replication_assets.errors import SlotLost, SourceError, SourceNotReady
from replication_assets.flows.coverage import coverage
from replication_assets.flows.cutover.drain import catch_up, changes_since, why_behind
from replication_assets.flows.cutover.handover import Handover
from replication_assets.flows.prepare import open_table
from replication_assets.flows.read import ranges_of
from replication_assets.ports import Writer

NAMED = 10
"""So many tables, ranges or sessions are named in one gate; of the others their number."""

WRITES_STOPPED = "writes stopped"
CAPTURED = "captured"
LOADED = "loaded"
PROJECTED = "projected"
DEAD_LETTERS = "dead letters"
STILL_STOPPED = "writes still stopped"
SWITCH = "switch"
WAY_BACK = "way back"
HEADROOM = "log headroom"


def open_writers(handover: Handover) -> tuple[Writer, ...]:
    """Transactions that may have written to the tables and have not ended, of all sources."""
    return tuple(
        writer
        for source in handover.sources
        for writer in handover.source(source).writers(handover.tables_of(source))
    )


def writes_stopped(
    name: str, writers: Sequence[Writer], changes: Mapping[TableId, int], seconds: float
) -> Gate:
    """No transaction is open that wrote to the tables, and none changed a row meanwhile."""
    facts: list[tuple[str, Figure]] = [
        (
            f"{writer.session}, user {writer.user}, application {writer.application or 'not named'}",
            _described(writer),
        )
        for writer in writers[:NAMED]
    ]
    facts += [(f"changes of {table}", count) for table, count in list(changes.items())[:NAMED]]
    if writers:
        what = f"not ended: {counted(len(writers), 'transaction')} that may have written"
        return Gate(name, False, what, "stop the applications that write, then let these end", tuple(facts))
    if changes:
        total = sum(changes.values())
        what = f"{counted(total, 'change')} of {counted(len(changes), 'table')} in {seconds:g} s"
        return Gate(name, False, what, "stop the applications that write", tuple(facts))
    return Gate(name, True, f"no open transaction writes, and no row changed in {seconds:g} s")


def captured(handover: Handover, windows: Sequence[SourceWindow], seconds: float) -> Gate:
    """Captures reached the end of the window, by themselves or by us."""
    refused: dict[str, SourceError] = {}
    late: list[str] = []
    for each in windows:
        try:
            if not catch_up(handover, each.source, each.last, seconds):
                late.append(each.source)
        except (SlotLost, SourceNotReady) as error:
            refused[each.source] = error
    if refused:
        what = f"captures that refuse: {', '.join(refused)}"
        facts = tuple((name, error.what) for name, error in refused.items())
        return Gate(CAPTURED, False, what, "; ".join(error.fix for error in refused.values()), facts)
    return _reached(handover, late, seconds)


def _reached(handover: Handover, late: Sequence[str], seconds: float) -> Gate:
    if not late:
        return Gate(CAPTURED, True, "everything that was committed is in the event store")
    facts: list[tuple[str, Figure]] = []
    for name in late:
        status = handover.source(name).status()
        facts += [(f"{name}: slot", f"{status.state}, {'read' if status.active else 'not read'}")]
        facts += [(f"{name}: bytes behind", status.lag_bytes)] if status.lag_bytes is not None else []
    what = f"not reached within {seconds:g} s: {', '.join(late)}"
    return Gate(
        CAPTURED, False, what, "look at the capture that holds the slot; wait, then again", tuple(facts)
    )


def changes_within(handover: Handover, windows: Sequence[SourceWindow]) -> dict[TableId, int]:
    """Captured changes of the tables that were committed inside of the windows."""
    found: dict[TableId, int] = {}
    for window in windows:
        found |= changes_since(handover, window.source, window.first, window.last)
    return found


def loaded(handover: Handover) -> Gate:
    """Every id range that the source's keys reach into has a load that still tells the truth."""
    lacking: list[tuple[str, Figure]] = []
    ranges = 0
    for table in handover.tables:
        source = handover.source(table.id.source)
        found = coverage(source, handover.store, open_table(source, handover.store, table))
        ranges += len(found.known)
        lacking += [(f"{table.id} {key}", reason) for key, reason in found.lacking.items()]
    if not lacking:
        return Gate(
            LOADED, True, f"all of {counted(ranges, 'id range')}, {counted(len(handover.tables), 'table')}"
        )
    return Gate(
        LOADED,
        False,
        f"{len(lacking):,} of {counted(ranges, 'id range')} not",
        "load them: materialize them in the event store, or `replication-assets load`",
        tuple(lacking[:NAMED]),
    )


def projected(behind: Mapping[str, str], ranges: int) -> Gate:
    """Every id range of the projection holds what the event store knows."""
    if not behind:
        return Gate(PROJECTED, True, f"everything that is captured, in {counted(ranges, 'id range')}")
    return Gate(
        PROJECTED,
        False,
        f"{len(behind):,} behind",
        "project them: materialize them, or `replication-assets project`",
        tuple(list(behind.items())[:NAMED]),
    )


def ranges_behind(handover: Handover) -> tuple[dict[str, str], int]:
    """Ranges of the projection that are behind the event store, each with the reason, of how
    many. Reads checkpoints only."""
    behind: dict[str, str] = {}
    count = 0
    for table in handover.tables:
        log = handover.store.log(table.id)
        if not log.exists():
            behind[str(table.id)] = "not set up"
            continue
        snapshot, target = log.snapshot(), handover.target(table.id)
        controls = snapshot.controls()
        for id_range in ranges_of(snapshot):
            count += 1
            if reason := why_behind(snapshot, controls, target, table.id, id_range):
                behind[f"{table.id} {id_range.key}"] = reason
    return behind, count


def dead_letters(handover: Handover) -> Gate:
    """Nothing that the target refused is open, and no table is left alone."""
    facts: list[tuple[str, Figure]] = []
    for table in handover.tables:
        letters = handover.store.dead_letters(handover.projection.name, table.id)
        suspension = letters.suspended()
        if suspension is not None:
            facts.append((f"{table.id} is suspended", suspension.reason))
        if count := letters.count():
            facts.append((f"{table.id}: open dead letters", count))
    if not facts:
        return Gate(DEAD_LETTERS, True, "none is open, no table is suspended")
    return Gate(
        DEAD_LETTERS,
        False,
        f"rows are missing from {handover.projection.name}",
        "mend the rows or the target, then `replication-assets dead-letters retry`",
        tuple(facts[:NAMED]),
    )


def hooks(handover: Handover) -> tuple[Gate, Gate]:
    """Whether something switches readers, and whether something takes them back."""
    switch, back = handover.cutover.switch, handover.cutover.back
    return (
        Gate(SWITCH, True, f"by {handover.adapters.hook(switch).where}")
        if switch is not None
        else Gate(SWITCH, False, "no hook is declared", "declare switch=PythonHook(...) or WebhookHook(...)"),
        Gate(WAY_BACK, True, f"by {handover.adapters.hook(back).where}", advisory=True)
        if back is not None
        else Gate(
            WAY_BACK,
            False,
            "no hook is declared: taking readers back is left to people",
            "declare back=PythonHook(...) or WebhookHook(...)",
            advisory=True,
        ),
    )


def row_counts(handover: Handover) -> tuple[TableCount, ...]:
    """Rows of each table by the projection's checkpoints."""
    return tuple(TableCount(table.id, _rows(handover, table.id)) for table in handover.tables)


def _rows(handover: Handover, table: TableId) -> int | None:
    log = handover.store.log(table)
    if not log.exists():
        return None
    target = handover.target(table)
    found = [target.checkpoint(id_range.key) for id_range in ranges_of(log.snapshot())]
    known = [checkpoint.rows for checkpoint in found if checkpoint is not None]
    return sum(known) if len(known) == len(found) else None


def _described(writer: Writer) -> str:
    tables = ", ".join(table.name for table in writer.tables)
    return f"{writer.state}, {_age(writer.seconds)}, {tables}; ends by: {writer.ending}"


def _age(seconds: float | None) -> str:
    return f"open for {seconds:.0f} s" if seconds is not None else "age not visible"
