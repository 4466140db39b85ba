"""`DynamoDbTarget`: the rows of one source table, kept as items of a DynamoDB table.

Owns the order of things: items are written on the condition that what stands there is older,
in any order and as often as wanted, and the checkpoint follows when all of them are
acknowledged. Refused: to bring a range forward whose checkpoint speaks of another table, of
another declaration, or of items that are gone; such a range is filled anew.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

import pyarrow as pa

from replication_assets.core.arriving import after, require_changes, require_columns
from replication_assets.core.changes import RangeChanges
from replication_assets.core.events import UNCHANGED
from replication_assets.core.fold import row_schema
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.spec import Items
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import TargetError
from replication_assets.ports import RangeCheckpoint, Refuse, TargetNeeds, TargetView, refuse_loudly
from replication_assets.targets.dynamodb import repair, upkeep
from replication_assets.targets.dynamodb.bodies import origin
from replication_assets.targets.dynamodb.canaries import survivors
from replication_assets.targets.dynamodb.capacity import RaisedCapacity
from replication_assets.targets.dynamodb.checkpoints import Checkpoints
from replication_assets.targets.dynamodb.contents import count_rows
from replication_assets.targets.dynamodb.control import ControlTable, RangeRecord
from replication_assets.targets.dynamodb.conversion import Conversion, together
from replication_assets.targets.dynamodb.data_table import DataTable
from replication_assets.targets.dynamodb.filling import Fill
from replication_assets.targets.dynamodb.image import IDENTITY, image_of, keys_of
from replication_assets.targets.dynamodb.lease import MARGIN, Held, lease
from replication_assets.targets.dynamodb.oversize import Fitting
from replication_assets.targets.dynamodb.range_writer import OLDER, RangeWriter
from replication_assets.targets.dynamodb.settings import DynamoDbSettings, fingerprint
from replication_assets.targets.dynamodb.view import DynamoDbView
from replication_assets.targets.dynamodb.wire.counts import Counts


class DynamoDbTarget:
    """A `ProjectionTarget` on the table that `items.into` names.

    Any number of processes may write to any ranges at any time. One at a time writes to the same
    range: others wait for it a moment, raise CommitConflict if it takes long, and take over if it
    is dead.
    """

    def __init__(
        self,
        settings: DynamoDbSettings,
        items: Items,
        table: TableId,
        *,
        expiry: str | None = None,
        shared: bool = False,
    ) -> None:
        """`expiry`: the time-to-live attribute that any declaration for the DynamoDB table names.
        `shared`: items of other declarations stand in it too."""
        self._settings = settings
        self._items = items
        self._table = table
        self._shared = shared
        self._data = DataTable(settings.wire, items, expiry=expiry, s3_endpoint_url=settings.s3_endpoint_url)
        self._control = ControlTable(
            lambda: self._data.wire.client, settings.control_table, settings.projection
        )
        self._checkpoints = Checkpoints(self._control, self._data, table, fingerprint(items))
        self._wanted = RaisedCapacity(settings.on_demand_loads, settings.warm_units)
        self.counts = Counts()
        """What writing cost since `figures` was asked last."""

    def __repr__(self) -> str:
        return f"DynamoDbTarget({self._table} in {self._data.name!r})"

    # --- the port: writing ---

    @property
    def needs(self) -> TargetNeeds:
        """Former rows are needed unless keys of items are made of the table's key alone. Which
        columns that are is known from the checkpoint that was read last; before any was read they
        are asked for, which costs reading the history of the changed keys."""
        return TargetNeeds(whole_rows=True, former_rows=not self._checkpoints.follows_key)

    def checkpoint(self, id_range: str) -> RangeCheckpoint | None:
        return self._checkpoints.read(id_range)

    def replace(
        self,
        id_range: str,
        schema: TableSchema,
        rows: Iterable[pa.RecordBatch],
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        """As the port says. Readers see the rows change one by one.

        A range of which the table holds nothing is written without conditions. Any other is
        written row by row, and costs a scan of the whole table to find what must go.
        """
        mapping = ItemMapping(self._items, schema)
        description, seconds = self._data.ensure(), self._settings.lease_seconds
        begun = RangeRecord(self._table, id_range, "", "filling", description.instance)
        with (
            self._data.capacity(self._settings.control_table, self._wanted),
            self._lease(id_range, lambda _: begun) as held,
        ):
            known = self._checkpoints.is_complete(description.instance)
            anew = held.former is None or held.former.instance != description.instance
            writer = RangeWriter(self._data, self._conversion(mapping, id_range), held.check)
            fill = Fill(self._data, writer, self._conversion(mapping, id_range), position, refuse)
            checked = self._checked(id_range, schema, rows)
            if known and anew and not fill.guarded and (mapping.covers_key or not schema.key):
                written, canaries = fill.blank(checked)
            else:
                written, canaries = fill.over(checked, self._settings.spill)
            self.counts += writer.counts
            if writer.counts.unanswered:
                # A request without an answer may be done later than the retry that had one.
                time.sleep(seconds * MARGIN)
            held.check()
            checkpoint = RangeCheckpoint(baseline, position, written)
            self._checkpoints.record(held.record, mapping, checkpoint, canaries)
        return checkpoint

    def apply(
        self,
        id_range: str,
        schema: TableSchema,
        changes: RangeChanges,
        baseline: int,
        position: Position,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> RangeCheckpoint:
        """As the port says.

        Raises:
            TargetError: the range has no valid checkpoint of this baseline.
            CommitConflict: somebody else moved the checkpoint meanwhile.
        """
        self._require_whole(id_range, schema, changes, position)
        mapping = ItemMapping(self._items, schema)
        with self._lease(id_range, lambda found: self._checkpoints.begun(id_range, found, baseline)) as held:
            # Somebody else may have moved the range until now: what is newer than that is left.
            assert held.record.checkpoint is not None
            reached = held.record.checkpoint
            if position > reached.position:
                reached = self._apply(held, mapping, changes, position, refuse)
        return reached

    def _apply(
        self, held: Held, mapping: ItemMapping, changes: RangeChanges, position: Position, refuse: Refuse
    ) -> RangeCheckpoint:
        id_range, reached = held.record.id_range, held.record.checkpoint
        assert reached is not None
        conversion = self._conversion(mapping, id_range)
        new = replace(
            changes,
            upserts=after(changes.upserts, reached.position),
            deletes=after(changes.deletes, reached.position),
        )
        condition = self._items.condition
        guarded = condition is not None and condition.on_change
        prepared = conversion.rows(new.upserts, guarded=guarded)
        refuse(prepared.refusals)
        graves = conversion.graves(new, prepared, position, self._where(id_range))
        writes = together(prepared, graves, distinct=mapping.covers_key and mapping.follows_key)
        writer = RangeWriter(self._data, conversion, held.check)
        since = reached.position
        effect, not_taken = writer.put(
            prepared, writes, writes["register"], OLDER, since=since, guarded=guarded
        )
        refuse(not_taken)
        self.counts += writer.counts
        rows = reached.rows + effect.rows
        if effect.uncounted:
            rows = count_rows(self._data, conversion.origin)
        checkpoint = RangeCheckpoint(reached.baseline, position, rows)
        canaries = survivors(held.record.canaries, writes, self._data.expiry)
        self._checkpoints.record(held.record, mapping, checkpoint, canaries)
        return checkpoint

    def figures(self) -> Mapping[str, float]:
        """As the port says."""
        counts, self.counts = self.counts, Counts()
        return {
            "items_written": counts.items,
            "items_stale": counts.stale,
            "requests_retried": counts.retried,
            "requests_throttled": counts.throttled,
            "items_unprocessed": counts.unprocessed,
            "write_units": round(counts.write_units, 1),
        }

    # --- the port: reading and mending ---

    def identity(self, schema: TableSchema) -> tuple[str, ...]:  # noqa: ARG002
        """The key of the item, as DynamoDB's JSON in one spelling."""
        return (IDENTITY,)

    def image(self, schema: TableSchema, rows: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The items, in one spelling of DynamoDB's JSON and without the projection's own books."""
        conversion = self._conversion(ItemMapping(self._items, schema), "", expiry="")
        for batch in rows:
            yield from image_of(conversion, batch)

    def identities(self, schema: TableSchema, rows: pa.RecordBatch) -> pa.RecordBatch:
        return keys_of(ItemMapping(self._items, schema), rows)

    def view(self, schema: TableSchema) -> TargetView:
        ItemMapping(self._items, schema)
        return DynamoDbView(self._data, self._control, self._table, self._items, shared=self._shared)

    def read(self) -> Iterator[pa.RecordBatch]:
        """Items rather than the table's columns: `item_key`, `item`, position, `_id_range`."""
        yield from DynamoDbView(
            self._data, self._control, self._table, self._items, shared=self._shared
        ).read()

    def repair(
        self,
        id_range: str,
        schema: TableSchema,
        rows: pa.Table,
        gone: pa.Table,
        checkpoint: RangeCheckpoint,
        *,
        refuse: Refuse = refuse_loudly,
    ) -> None:
        mapping = ItemMapping(self._items, schema)
        baseline = checkpoint.baseline
        with self._lease(id_range, lambda found: self._checkpoints.begun(id_range, found, baseline)) as held:
            assert held.record.checkpoint is not None
            reached = held.record.checkpoint
            repair.require_unmoved(self._where(id_range), reached, checkpoint)
            conversion = self._conversion(mapping, id_range)
            writer = RangeWriter(self._data, conversion, held.check)
            written = repair.mend(writer, conversion, rows, gone, reached.position, refuse)
            self.counts += writer.counts
            count = count_rows(self._data, conversion.origin)
            canaries = survivors(held.record.canaries, written, self._data.expiry)
            self._checkpoints.record(held.record, mapping, replace(reached, rows=count), canaries)

    def reset(self, schema: TableSchema) -> None:
        """Delete every item that the projection wrote of the source table, and its checkpoints."""
        ItemMapping(self._items, schema)
        if self._data.describe() is not None:
            upkeep.delete_items(self._data, self._table)
        self._control.forget(self._table)

    def vacuum(self, older_than: dt.timedelta) -> int:
        """Delete tombstones, parts and objects that nothing has needed for so long."""
        if self._data.describe() is None:
            return 0
        seconds = self._settings.tombstone_hours * 3600
        return upkeep.vacuum(self._data, self._table, self._items, older_than, seconds)

    def tidy(self, older_than: dt.timedelta) -> Iterator[str]:
        """As the port says. What is put back is capacity, also where none is raised any more."""
        if self._data.describe() is None:
            return
        if self._data.restore_capacity(self._settings.control_table):
            yield "capacity that a killed fill had raised put back"
        if deleted := self.vacuum(older_than):
            yield f"{deleted:,} tombstones, parts and objects deleted that nothing needs"

    # --- steps ---

    def _where(self, id_range: str) -> str:
        return f"{self._table} range {id_range} in {self._data.where}"

    def _conversion(self, mapping: ItemMapping, id_range: str, *, expiry: str | None = None) -> Conversion:
        fitting = Fitting(self._items, origin(self._table, id_range), self._table.folder)
        attribute = self._data.expiry if expiry is None else expiry
        return Conversion(mapping, fitting, attribute, self._settings.tombstone_hours * 3600)

    def _lease(
        self, id_range: str, wanted: Callable[[RangeRecord | None], RangeRecord]
    ) -> AbstractContextManager[Held]:
        return lease(self._control, self._table, id_range, wanted, seconds=self._settings.lease_seconds)

    def _require_whole(
        self, id_range: str, schema: TableSchema, changes: RangeChanges, position: Position
    ) -> None:
        require_changes(self._where(id_range), schema, changes, position)
        marks = changes.upserts[UNCHANGED]
        if marks.null_count < len(marks):
            raise TargetError(
                f"{len(marks) - marks.null_count} rows lack values that the source did not send",
                where=self._where(id_range),
                fix="pass whole rows, as `needs` asks for",
            )

    def _checked(
        self, id_range: str, schema: TableSchema, rows: Iterable[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        wanted = row_schema(schema).names
        for batch in rows:
            require_columns(self._where(id_range), batch.schema.names, wanted)
            yield batch
