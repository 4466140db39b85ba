"""One commit of one range, among other processes that commit other ranges.

Delta rejects two commits that both remove files even where they touch different partitions.
So a rejected commit is tried again on the newest version, but only while the range's own
registers stand where they stood: files of the range are then the same, and what was computed
from them still holds. Registers that moved mean that another projector had the same range.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from replication_assets.core.events import ID_RANGE
from replication_assets.errors import CommitConflict, TargetError
from replication_assets.failpoints import reach
from replication_assets.targets.delta.location import Location, storage_errors
from replication_assets.targets.delta.parts import add_action, remove_action
from replication_assets.targets.delta.snapshot import DataFile, Registers, active_files

CONFLICTS = 40
"""Rejections by other ranges' commits that one commit bears, with pauses up to half a second."""
FAILURES = 3
"""Failures of storage that one commit bears."""


@dataclass(frozen=True, slots=True)
class RangeCommit:
    """What is to become of a range: new files, files to remove, and its registers after that.

    `expected` are the registers that it was computed from. `removed` chooses among the files
    that the range has when the commit is tried.
    """

    id_range: str
    expected: Registers | None
    intended: Registers
    added: Sequence[DataFile]
    removed: Callable[[DataFile], bool]


def commit(location: Location, table: DeltaTable, change: RangeCommit) -> None:
    """Commit, or find that an attempt whose answer was lost did.

    The first attempt is on `table`, the version that the change was computed from. Delta
    rejects it if another commit touched the same registers since.

    Raises CommitConflict if the range moved or there is no getting through. Then nothing of
    `change` is visible, unless a commit that overtook ours followed it.
    """
    conflicts = failures = 0
    while True:
        try:
            _try(table, change)
            return
        except CommitFailedError as exc:
            conflicts += 1
            if conflicts >= CONFLICTS:
                raise _crowded(location, change.id_range) from exc
        except (DeltaError, OSError):
            failures += 1
            if failures >= FAILURES:
                with storage_errors(location.where(change.id_range), "committing"):
                    raise
        time.sleep(random.uniform(0, min(0.5, 0.02 * 2 ** (conflicts + failures))))
        again = location.open()
        if again is None:
            raise TargetError(
                "the table was removed during the commit", where=location.where(), fix="run again"
            )
        table = again
        registers = Registers.read(table, change.id_range)
        if registers == change.intended:
            return
        if registers != change.expected:
            raise moved(location, change.id_range)


def _try(table: DeltaTable, change: RangeCommit) -> None:
    files = active_files(table, change.id_range)
    actions: list[AddAction | RemoveAction] = []
    actions.extend(remove_action(file, change.id_range) for file in files if change.removed(file))
    actions.extend(add_action(file, change.id_range) for file in change.added)
    reach("delta.written")
    table.create_write_transaction(
        actions,
        mode="append",
        schema=table.schema(),
        partition_by=[ID_RANGE],
        commit_properties=CommitProperties(
            # Ours is the better retry: it looks at the registers.
            max_commit_retries=2,
            app_transactions=change.intended.transactions(change.id_range),
        ),
    )
    reach("delta.committed")


def moved(location: Location, id_range: str) -> CommitConflict:
    return CommitConflict(
        "another projector moved this range in the meantime",
        where=location.where(id_range),
        fix="read the checkpoint again and go on from there; run one projector per range",
    )


def _crowded(location: Location, id_range: str) -> CommitConflict:
    return CommitConflict(
        f"{CONFLICTS} attempts were rejected in favour of other ranges' commits",
        where=location.where(id_range),
        fix="run again, with fewer ranges of one table at once",
    )
