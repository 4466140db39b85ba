"""What every step of a refresh does around its own work: hold the environment, know that the plan is
still the one under way, and leave a line in the audit when it fails.

A check that failed is not tried again on the same rows: what is staged is forgotten, and the next run
plans anew. Everything else (a lost connection, a full disk, a killed process) is gone on with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import duckdb

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.errors import (
    GuardError,
    PolicyError,
    RefreshError,
    ReplicationError,
    VerificationFailed,
    is_interrupt,
)
from replication_assets.flows.refresh.refreshing import Refreshing, Step

T = TypeVar("T")

_EXHAUSTED = (OSError, MemoryError, duckdb.IOException, duckdb.OutOfMemoryException)
"""What the machine lacks, as opposed to what the rows are."""


@contextmanager
def step(refreshing: Refreshing, plan: RefreshPlan, name: Step, run: str) -> Iterator[None]:
    """The environment for one step of a plan.

    Raises:
        RefreshInProgress: another run has it.
        RefreshError: another plan superseded this one.
    """
    with refreshing.held(run):
        require_current(refreshing, plan)
        try:
            yield
        except ReplicationError as error:
            note_failure(refreshing, plan.id, name, error)
            if isinstance(error, GuardError | PolicyError | VerificationFailed):
                refreshing.staging.clear()
                _discard(refreshing, plan, name)
            elif name == "verify" and isinstance(error, RefreshError) and refreshing.refresh.hooks:
                _discard(refreshing, plan, name)
            raise


def _discard(refreshing: Refreshing, plan: RefreshPlan, name: Step) -> None:
    """What failed a proof, or what hooks left unproven, does not lie about in the target. If it cannot be
    dropped, the audit says so, and the next plan drops it."""
    try:
        refreshing.target.discard(plan)
    except ReplicationError as error:
        note_failure(refreshing, plan.id, name, error)


def note_failure(refreshing: Refreshing, refresh_id: str, name: Step, error: ReplicationError) -> None:
    """A line of the audit. Messages of the project hold no values."""
    body = {"step": name, "error": type(error).__name__, "message": str(error), "run_again": error.retryable}
    refreshing.note(refresh_id, "failed", body)


def require_current(refreshing: Refreshing, plan: RefreshPlan) -> None:
    """Raises RefreshError unless the plan is the one under way."""
    staged = refreshing.staging.plan()
    current = RefreshPlan.from_json(staged).id if staged is not None else None
    if current != plan.id:
        state = f"superseded by {current}" if current is not None else "no longer under way"
        raise RefreshError(
            f"plan {plan.id} is {state}", where=refreshing.where, fix="start the refresh again"
        )


def guarded(name: Step, table: str, work: Callable[[], T]) -> T:
    """Do something with rows, and let no error out that may quote them.

    Raises:
        GuardError: in the place of any error that is not the project's own; without its words, its
            cause or its frames.
        RefreshError: the same for a full disk, a file that fails and a lack of memory, which say
            nothing about the rows: what is staged stays.
        KeyboardInterrupt: somebody interrupted a query, which says nothing about the rows.
    """
    try:
        return work()
    except ReplicationError:
        raise
    except Exception as error:  # noqa: BLE001  # told below, outside of the handler: no context
        kind = type(error).__name__
        interrupted, exhausted = is_interrupt(error), isinstance(error, _EXHAUSTED)
    # Outside of the handler: an error that is raised inside one carries the other along.
    if interrupted:
        raise KeyboardInterrupt
    if exhausted:
        raise RefreshError(
            f"{kind} in step {name}: a disk is full, a file fails, or memory is short",
            where=table,
            fix="make room, then start the refresh again: it goes on where it stopped",
        )
    raise GuardError(
        f"{kind} in step {name}; its words may quote rows, and are left out",
        where=table,
        fix="mask this table alone in a session of the trust zone of production to see the cause",
    )


def guarded_rows(name: Step, table: str, rows: Iterator[T]) -> Iterator[T]:
    """`guarded` for each step of an iteration."""
    ended = object()
    while True:
        found: T | object = guarded(name, table, lambda: next(rows, ended))
        if found is ended:
            return
        yield found  # type: ignore[misc]
