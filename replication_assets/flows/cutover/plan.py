"""The dry run of a cutover: what would hold it up if it began now.

Reads only: nothing is projected or recorded, and nothing captured unless asked for. So a lag is
estimated where a run would drain it, and rows are compared as far as they have arrived.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from replication_assets.core.cutover import Figure, Gate, Report, SourceWindow, counted, not_reached
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.flows.cutover import gates as gates
from replication_assets.flows.cutover.agreement import VALIDATED, agreement, agreement_so_far
from replication_assets.flows.cutover.attempt import Attempt, report_of
from replication_assets.flows.cutover.drain import changes_since
from replication_assets.flows.cutover.handover import Handover
from replication_assets.flows.watch.health import CATCH_UP_BYTES, lag_seconds
from replication_assets.ports import SourceStatus

ARRIVAL_SECONDS = 2.0
"""Captures that run elsewhere are waited for so long, before rows are called not compared."""

RATE_SECONDS = 60
"""The rate of changes is that of so many last seconds, as far as they are captured."""

CAPTURE_BYTES_PER_SECOND = 8 * 2**20
"""Log read per second by a capture that has nothing else to do, at the low end of what was
measured (3.4 µs a row of about 100 bytes): for estimates only."""


def plan(handover: Handover, *, capture: bool = False) -> Report:
    """All gates as they are now. GO: a run would only have to wait.

    With `capture`, changes are captured up to where the source is read, so that all of its rows
    can be compared.
    """
    history = handover.log.history()
    started = dt.datetime.now(dt.UTC)
    attempt = Attempt(
        "dry-run", started, len(history.facts), (_record(str(history), history.retired is None),)
    )
    prepared = _prepared(handover)
    attempt = attempt.add(prepared)
    if prepared.passed:
        attempt = replace(attempt.add(*_moving(handover)), windows=_windows(handover))
        attempt = attempt.add(gates.loaded(handover), _projected(handover), gates.dead_letters(handover))
        attempt = attempt.add(*_agreement(handover, capture))
    attempt = attempt.add(*gates.hooks(handover))
    return report_of(handover, attempt, "dry run")


def _record(told: str, open_: bool) -> Gate:
    return Gate("record", open_, told, "" if open_ else "declare a cutover of another name")


def _prepared(handover: Handover) -> Gate:
    """Whether there is anything to look at: sources set up, logs made."""
    lacking: list[tuple[str, Figure]] = []
    for name in handover.sources:
        if handover.store.ledger(name).last() is None:
            lacking.append((name, "not set up"))
        elif (state := handover.source(name).status().state) in ("missing", "lost"):
            lacking.append((name, f"its slot is {state}"))
    lacking += [
        (str(table.id), "it has no log")
        for table in handover.tables
        if not handover.store.log(table.id).exists()
    ]
    if lacking:
        fix = "run the jobs `<source>_setup` or, for a slot, `<source>_recover`; then load"
        return Gate(
            "set up",
            False,
            f"{len(lacking)} {'is' if len(lacking) == 1 else 'are'} not",
            fix,
            tuple(lacking[: gates.NAMED]),
        )
    return Gate("set up", True, f"{', '.join(handover.sources)}, {counted(len(handover.tables), 'table')}")


def _moving(handover: Handover) -> tuple[Gate, ...]:
    statuses = {name: handover.source(name).status() for name in handover.sources}
    return (
        _writes(handover),
        _captured(handover, statuses),
        *(_headroom(name, status) for name, status in statuses.items()),
    )


def _writes(handover: Handover) -> Gate:
    since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=RATE_SECONDS)
    changes: dict[TableId, int] = {}
    for source in handover.sources:
        # Where nothing is as old as that, all there is came since.
        first = handover.store.ledger(source).position_at(since) or Position(0, 0)
        changes |= changes_since(handover, source, Position(first.epoch, first.commit + 1))
    gate = gates.writes_stopped(gates.WRITES_STOPPED, gates.open_writers(handover), changes, RATE_SECONDS)
    rate = sum(changes.values()) / RATE_SECONDS
    return replace(gate, facts=(("changes a second", round(rate, 1)), *gate.facts))


def _captured(handover: Handover, statuses: dict[str, SourceStatus]) -> Gate:
    facts: list[tuple[str, Figure]] = []
    late = []
    for name, status in statuses.items():
        behind = status.lag_bytes or 0
        lag = lag_seconds(status, handover.store.ledger(name).last(), dt.datetime.now(dt.UTC))
        facts += [(f"{name}: bytes behind", behind), (f"{name}: seconds behind", round(lag or 0))]
        if behind > CATCH_UP_BYTES:
            late.append(name)
            facts += [(f"{name}: seconds to drain, about", round(behind / CAPTURE_BYTES_PER_SECOND) + 1)]
    if not late:
        return Gate(gates.CAPTURED, True, "a capture would be there within seconds", facts=tuple(facts))
    what = f"{', '.join(late)} is behind"
    return Gate(gates.CAPTURED, False, what, "see that captures run, and wait", tuple(facts))


def _headroom(name: str, status: SourceStatus) -> Gate:
    """Whether the source keeps its log for us while everybody waits."""
    title = f"{gates.HEADROOM} of {name}"
    if status.headroom_bytes is None:
        return Gate(title, True, "the source keeps its log without limit", advisory=True)
    kept = status.retained_bytes or 0
    facts: tuple[tuple[str, Figure], ...] = (("bytes kept", kept), ("bytes left", status.headroom_bytes))
    enough = status.headroom_bytes > kept
    what = "more than half is free" if enough else "more than half is used"
    return Gate(
        title,
        enough,
        what,
        "" if enough else "raise max_slot_wal_keep_size, or let captures catch up",
        facts,
        True,
    )


def _projected(handover: Handover) -> Gate:
    behind, ranges = gates.ranges_behind(handover)
    return gates.projected(behind, ranges)


def _windows(handover: Handover) -> tuple[SourceWindow, ...]:
    """How far each source is captured, and how far its log goes."""
    found = []
    for name in handover.sources:
        mark = handover.store.ledger(name).last()
        assert mark is not None, "looked at before"
        head = handover.source(name).status().head
        found.append(SourceWindow(name, Position(mark.epoch, mark.commit), Position(mark.epoch, head)))
    return tuple(found)


def _agreement(handover: Handover, capture: bool) -> tuple[Gate, ...]:
    if gates.open_writers(handover):
        # A consistent read of the source waits for transactions that write.
        return (not_reached(VALIDATED, gates.WRITES_STOPPED),)
    return agreement(handover) if capture else agreement_so_far(handover, ARRIVAL_SECONDS)
