"""Changes brought into a range: staged in bulk, then merged by set, with the position as the guard.

With a key: rows whose key is staged with a newer position are deleted, then staged rows whose key no
row has are added. A staged row that is older than the row in its place finds it there and is left out.
So a row is either of two whole rows, and their number is known without counting the table.

Without a key: staged rows are added, and of each deleted content as many rows go as were deleted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import ID_RANGE, OVERFLOW, POSITION, UNCHANGED
from replication_assets.core.fold import ROW_ENVELOPE, row_schema
from replication_assets.core.sql import Spill
from replication_assets.core.unchanged import fill_unchanged, is_partial, refuse_without_stored_row
from replication_assets.errors import NeedsReload, TargetError
from replication_assets.ports import Refuse
from replication_assets.targets.sql.projection.arriving import Arrived, Limits, arrive, too_long
from replication_assets.targets.sql.projection.books import stored_layout
from replication_assets.targets.sql.projection.content import contents
from replication_assets.targets.sql.projection.database import ASKED, DELETES, UPSERTS, Database, Session
from replication_assets.targets.sql.projection.layout import AS_TEXT, CONTENT, Layout
from replication_assets.targets.sql.projection.values import carriers, outgoing, restored

PIECE_ROWS = 16_384
"""Rows that are sent in one piece: what stands in memory as text at a time."""
COPIES = "copies"
_NUMBER = "_ra_number"


@dataclass(frozen=True, slots=True)
class Merge:
    """One range of one table, in a transaction that is open."""

    session: Session
    database: Database
    layout: Layout
    id_range: str
    limits: Limits
    refuse: Refuse
    spill: Spill
    where: str

    def by_key(self, upserts: pa.Table, deletes: pa.Table) -> int:
        """Rows that the range gains."""
        arrived = self._arrived(self._whole(upserts))
        gone = self._gone([deletes, *(pa.table(each.without) for each in arrived)])
        self.stage(arrived, gone)
        removed = 0
        if gone.num_rows:
            removed += self.session.delete_older(self.layout, DELETES, self.id_range)
        removed += self.session.delete_older(self.layout, UPSERTS, self.id_range)
        return self.add(arrived) - removed

    def whatever_is_there(self, rows: pa.Table, gone: pa.Table) -> int:
        """Like `by_key`, for rows that are right whatever stands in their place."""
        arrived = self._arrived(rows)
        keys = [
            gone.select(self.layout.key),
            *(pa.table(each.without).select(self.layout.key) for each in arrived),
        ]
        graves = pa.concat_tables([each.cast(self._keys()) for each in keys])
        nothing = [pa.nulls(graves.num_rows, ROW_ENVELOPE.field(name).type) for name in POSITION]
        self.stage(
            arrived, self._gone([pa.table([*graves.columns, *nothing], names=[*self.layout.key, *POSITION])])
        )
        removed = self.session.delete_older(self.layout, DELETES, self.id_range, whatever=True)
        removed += self.session.delete_older(self.layout, UPSERTS, self.id_range, whatever=True)
        return self.add(arrived) - removed

    def by_content(self, upserts: pa.Table, deletes: pa.Table) -> int:
        """Rows that the range gains; a row may come and go within the changes.

        Raises:
            NeedsReload: there are fewer equal rows than deletes.
        """
        arrived = self._arrived(upserts)
        for each in arrived:
            self._load(self.database.named(self.layout.place), each.rows)
        added: int = sum(each.rows.num_rows for each in arrived)
        if not deletes.num_rows:
            return added
        names = [*self.layout.schema.names, OVERFLOW]
        found = [
            contents(each, self.layout.schema, self.spill) for each in deletes.select(names).to_batches()
        ]
        counted = pa.table({CONTENT: pa.chunked_array(found, pa.string())}).group_by(CONTENT)
        copies = counted.aggregate([([], "count_all")]).rename_columns([CONTENT, COPIES])
        columns = pa.schema([pa.field(CONTENT, pa.string()), pa.field(COPIES, pa.int64())])
        self._stage(DELETES, copies.cast(columns), (CONTENT,))
        removed = self.session.delete_copies(self.layout, DELETES, self.id_range)
        if removed != deletes.num_rows:
            raise NeedsReload(
                f"{deletes.num_rows - removed} of {deletes.num_rows} deleted rows are not in the target",
                where=self.where,
                fix="replace the range",
            )
        return added - removed

    def stage(self, arrived: list[Arrived], gone: pa.Table) -> None:
        self._stage(DELETES, gone, self.layout.key)
        self.session.make_staged(self.layout, UPSERTS, carriers(self.layout.rows), self.layout.key)
        for each in arrived:
            self._load(self.database.staged(self.layout.place, UPSERTS), each.rows)

    def add(self, arrived: list[Arrived]) -> int:
        """Staged rows that are not there yet.

        Raises:
            TargetError: a row of another range has the key of one of these.
        """
        staged: int = sum(each.rows.num_rows for each in arrived)
        added = self.session.insert_missing(self.layout, UPSERTS) if staged else 0
        if added != staged:
            same = self.database.same_key(self.layout)
            ((found,),) = self.session.rows(
                f"SELECT count(*) FROM {self.database.staged(self.layout.place, UPSERTS)} s"
                f" JOIN {self.database.named(self.layout.place)} t ON {same}"
                f" WHERE t.{self.database.quoted(ID_RANGE)} = {self.database.text(self.id_range)}"
            )
            here = int(found)
            if here != staged:
                raise TargetError(
                    f"{staged - here} rows stand in another id range already",
                    where=self.where,
                    fix="reset the projection and fill it anew: replication-assets project --reset",
                )
        return added

    def _arrived(self, rows: pa.Table) -> list[Arrived]:
        wanted = row_schema(self.layout.schema)
        found = [
            arrive(batch.cast(wanted), self.layout, self.id_range, self.limits, self.spill)
            for batch in rows.select(wanted.names).to_batches(max_chunksize=PIECE_ROWS)
        ]
        self.refuse([refusal for each in found for refusal in each.refused])
        return found

    def _gone(self, deletes: list[pa.Table]) -> pa.Table:
        """Keys and positions. A key that the table cannot have is in none of its rows."""
        columns = pa.schema([*self._keys(), *(ROW_ENVELOPE.field(name) for name in POSITION)])
        gone = pa.concat_tables([each.select(columns.names).cast(columns) for each in deletes])
        kept = np.ones(gone.num_rows, dtype=np.bool_)
        for name in self.layout.key:
            values = gone[name].combine_chunks()
            kept &= values.is_valid().to_numpy(zero_copy_only=False)
            lost = self.limits.unheld(values, self.layout.schema.column(name))
            if lost is not None:
                kept &= ~pc.fill_null(lost, False).to_numpy(zero_copy_only=False)
        long = [too_long(batch, self.layout.key, self.limits.key) for batch in gone.to_batches()]
        if long:
            kept &= ~np.concatenate(long)
        gone = gone.filter(pa.array(kept))
        return gone.cast(carriers(gone.schema))

    def _keys(self) -> pa.Schema:
        return pa.schema([pa.field(name, self.layout.schema.column(name).arrow) for name in self.layout.key])

    def _stage(self, name: str, rows: pa.Table, key: tuple[str, ...]) -> None:
        self.session.make_staged(self.layout, name, rows.schema, key)
        for batch in rows.to_batches(max_chunksize=PIECE_ROWS):
            self._load(self.database.staged(self.layout.place, name), batch)

    def _load(self, into: str, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self.session.load(into, batch, self.layout)

    def _whole(self, upserts: pa.Table) -> pa.Table:
        """Upserts with the values that their source left alone, from the rows that have them.

        Raises:
            NeedsReload: there is no such row.
        """
        partial = is_partial(upserts)
        if not partial.any():
            return upserts.drop_columns([UNCHANGED])
        concerned = upserts.filter(pa.array(partial)).combine_chunks()
        stored = self._stored(concerned)
        found = stored[_NUMBER].to_numpy()
        there = np.zeros(concerned.num_rows, dtype=np.bool_)
        there[found] = True
        refuse_without_stored_row(concerned, there, self.where)
        ordered = stored.take(pa.array(np.argsort(found)))
        filled = fill_unchanged(concerned, ordered, self.layout.schema)
        whole = pa.concat_tables([upserts.filter(pa.array(~partial)), filled])
        return whole.drop_columns([UNCHANGED])

    def _stored(self, concerned: pa.Table) -> pa.Table:
        """The range's rows of the same keys, with the number of the row that asked."""
        numbers = pa.field(_NUMBER, pa.int64())
        keys = outgoing(concerned.select(self.layout.key).cast(self._keys()).to_batches()[0])
        asked = pa.table([*keys.columns, pa.array(range(keys.num_rows))], pa.schema([*keys.schema, numbers]))
        kept = np.ones(asked.num_rows, dtype=np.bool_)
        for name in self.layout.key:
            kept &= asked[name].is_valid().to_numpy()
        self._stage(ASKED, asked.filter(pa.array(kept)), self.layout.key)
        there = stored_layout(self.session, self.layout)
        source = (
            f"{self.database.staged(self.layout.place, ASKED)} s"
            f" JOIN {self.database.named(self.layout.place)} t ON {self.database.same_key(self.layout)}"
            f" AND t.{self.database.quoted(ID_RANGE)} = {self.database.text(self.id_range)}"
        )
        wanted = pa.schema([*carriers(there.rows), numbers])
        batches = []
        for batch in self.session.read(wanted, source, self.layout):
            given = batch.select(list(there.rows.names))
            kept_rows = restored(given, there)
            batches.append(kept_rows.append_column(_NUMBER, batch.column(_NUMBER)))
        schema = pa.schema([*(f for f in there.rows if f.name != AS_TEXT), numbers])
        return pa.Table.from_batches([each.cast(schema) for each in batches], schema)
