"""Commits that stand exactly once, whatever happens on the way.

Delta decides between concurrent writers by who creates the next file of the log; delta-rs
resolves harmless conflicts itself, up to a number of retries that a dozen parallel loads
exceed. Three things are added here:

* an outer loop, for as long as the commit is still wanted;
* a token in each commit, by which a commit whose reply was lost is recognised. S3 makes
  this ordinary: a PUT that succeeded unseen is repeated and then meets its own file;
* `wanted`, asked before each attempt. App transactions are recorded by Delta and compared
  with concurrent commits only: an equal version committed earlier is accepted silently.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from replication_assets.errors import CommitConflict
from replication_assets.event_store.storage import Place
from replication_assets.failpoints import reach

TOKEN = "replication_assets.commit"
INNER_RETRIES = 50
PATIENCE_SECONDS = 600.0
LONGEST_PAUSE_SECONDS = 0.5

Action = AddAction | RemoveAction


def commit(
    place: Place,
    table: DeltaTable,
    actions: Sequence[Action],
    transactions: Sequence[Transaction] = (),
    wanted: Callable[[DeltaTable], bool] = lambda _: True,
) -> None:
    """Commit `actions` on top of the newest version; `table` is up to date afterwards.

    Raises:
        CommitConflict: `wanted` says no, so nothing was committed; or others kept winning
            for ten minutes.
        StoreError: the outcome is unknown. The files must be left alone.
    """
    token = uuid.uuid4().hex
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = 0.02
    place.refresh(table)
    while True:
        before = table.version()
        if not wanted(table):
            raise CommitConflict(
                "another writer committed first", where=place.where, fix="re-read the log and decide again"
            )
        lost_to = _attempt(place, table, actions, transactions, token)
        if lost_to is None or _stands(table, before, token):
            return
        if time.monotonic() > deadline:
            raise place.error(lost_to) from lost_to
        time.sleep(random.uniform(0, pause))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _attempt(
    place: Place,
    table: DeltaTable,
    actions: Sequence[Action],
    transactions: Sequence[Transaction],
    token: str,
) -> CommitFailedError | None:
    """One attempt; returns the conflict that it lost to, if it lost."""
    before = table.version()
    try:
        table.create_write_transaction(
            list(actions),
            mode="append",
            schema=table.schema(),
            partition_by=list(table.metadata().partition_columns),
            commit_properties=CommitProperties(
                custom_metadata={TOKEN: token},
                max_commit_retries=INNER_RETRIES,
                app_transactions=list(transactions),
            ),
        )
        reach("store.committed")
        place.refresh(table)
    except CommitFailedError as exc:
        place.refresh(table)
        return exc
    # A checkpoint may fail after a durable commit, a reply may get lost on the network.
    except Exception as exc:
        with place.errors():
            table.update_incremental()
            if _stands(table, before, token):
                return None
        raise place.error(exc) from exc
    return None


def _stands(table: DeltaTable, before: int, token: str) -> bool:
    """Whether a commit after version `before` carries the token."""
    newer = table.version() - before
    return newer > 0 and any(entry.get(TOKEN) == token for entry in table.history(newer))
