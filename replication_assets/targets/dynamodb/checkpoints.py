"""Owns what a checkpoint is worth: whether the items are still what it speaks of.

Refused: to go on from a checkpoint of a table that was dropped or emptied, of another
declaration of its items, or of other loads than the changes start from.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.schema import TableId
from replication_assets.errors import TargetError
from replication_assets.failpoints import reach
from replication_assets.ports import RangeCheckpoint
from replication_assets.targets.dynamodb.canaries import all_gone
from replication_assets.targets.dynamodb.control import Canary, ControlTable, RangeRecord
from replication_assets.targets.dynamodb.data_table import DataTable

_log = logging.getLogger(__name__)
_SAME_STEP_SECONDS = 1.0


class Checkpoints:
    """Of the ranges of one source table. `fingerprint` is that of the declaration in force."""

    def __init__(self, control: ControlTable, data: DataTable, table: TableId, fingerprint: str) -> None:
        self._control = control
        self._data = data
        self._table = table
        self._fingerprint = fingerprint
        self._found_valid = ("", "", 0.0)
        """The id range, the version of its record, and when."""
        self.follows_key = False
        """Whether keys of items are made of the table's key alone, as the checkpoint read last says."""

    def where(self, id_range: str) -> str:
        return f"{self._table} range {id_range} in {self._data.where}"

    def read(self, id_range: str) -> RangeCheckpoint | None:
        return self._valid(id_range, self._control.read(self._table, id_range))

    def begun(self, id_range: str, found: RangeRecord | None, baseline: int) -> RangeRecord:
        """The record of a range that is being brought forward from the one that was found."""
        known = found is not None and self._was_valid_just_now(id_range, found)
        checkpoint = found.checkpoint if found is not None and known else self._valid(id_range, found)
        if found is None or checkpoint is None:
            raise TargetError(
                "the range was never filled, or was emptied or declared differently since",
                where=self.where(id_range),
                fix="replace the range",
            )
        if checkpoint.baseline != baseline:
            raise TargetError(
                "the rows of the range start from other loads than the changes do",
                where=self.where(id_range),
                fix="replace the range",
            )
        return replace(found, state="applying")

    def record(
        self,
        before: RangeRecord,
        mapping: ItemMapping,
        checkpoint: RangeCheckpoint,
        canaries: tuple[Canary, ...],
    ) -> None:
        """Move the checkpoint. Raises CommitConflict if `before` is no longer what is recorded."""
        moved = replace(
            before,
            state="filled",
            mapping=self._fingerprint,
            follows_key=mapping.follows_key,
            checkpoint=checkpoint,
            canaries=canaries,
        )
        reach("dynamodb.items_written")
        self._control.write(moved, expecting=before)
        reach("dynamodb.checkpointed")

    def is_complete(self, instance: str) -> bool:
        """Whether the control table knows of all that this projection ever wrote to the table, so
        that a range without a record has no items."""
        if self._control.remembers(instance):
            return True
        if not self._data.is_empty():
            return False
        self._control.remember(instance)
        return True

    def _valid(self, id_range: str, record: RangeRecord | None) -> RangeCheckpoint | None:
        if record is None or record.checkpoint is None:
            return None
        now = time.monotonic()
        if (reason := self._invalid_for(record)) is not None:
            _log.warning("%s: %s since it was filled: it must be filled anew", self.where(id_range), reason)
            return None
        self._found_valid = (id_range, record.version, now)
        self.follows_key = record.follows_key
        return record.checkpoint

    def _was_valid_just_now(self, id_range: str, record: RangeRecord | None) -> bool:
        """Whether `read` looked at the items of this very record in the same step: that takes a request to
        describe the table, and one for its canaries."""
        known, version, at = self._found_valid
        same = record is not None and (id_range, record.version) == (known, version)
        return same and time.monotonic() - at < _SAME_STEP_SECONDS

    def _invalid_for(self, record: RangeRecord) -> str | None:
        """Why the items are no longer what the record speaks of."""
        description = self._data.describe()
        if description is None or description.instance != record.instance:
            return "the table was dropped, or made again"
        if record.mapping != self._fingerprint:
            return "another declaration of its items is in force"
        if all_gone(self._data, record.canaries):
            return "the table was emptied"
        return None
