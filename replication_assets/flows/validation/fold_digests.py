"""Digests of folded ranges, computed once.

The fold of a range is settled by where it starts (its baseline) and by the last change that
counts. Where neither moved since a digest was kept, it is the digest still: a range without new
events costs a validation a look at the newest position in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import pyarrow as pa

from replication_assets.core.baseline import Baseline
from replication_assets.core.digests import FORM, Digest, digest_of
from replication_assets.core.events import COMMIT_POSITION, EPOCH, OP, SEQUENCE
from replication_assets.core.id_ranges import IdRange
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.core.sql import Spill, engine, figures, newer
from replication_assets.flows.read import fold_range
from replication_assets.ports import EventStore, KnownDigest, LogSnapshot

AsHeld = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]
"""Folded rows in the form in which a side holds them."""


class FoldDigests:
    """Digests of `columns` of one table's folded ranges. `name` tells whose they are.

    `as_held` turns folded rows into what is digested; `form` is a text that changes with it.
    """

    def __init__(
        self,
        store: EventStore,
        snapshot: LogSnapshot,
        table: TableId,
        name: str,
        columns: pa.Schema,
        *,
        as_held: AsHeld | None = None,
        form: str = "",
        spill: Spill = Spill(),
    ) -> None:
        self._kept = store.known_digests(table)
        self._known = self._kept.read()
        self._new: dict[str, KnownDigest] = {}
        self._snapshot, self._table, self._name = snapshot, table, name
        self._columns, self._as_held, self._spill = columns, as_held, spill
        shape = "\n".join(f"{field.name}\t{field.type}" for field in columns)
        of = f"{store.chapters(table)}\n{form}\n{shape}"
        self._of = f"{FORM}/{hashlib.blake2b(of.encode(), digest_size=12).hexdigest()}"
        self.computed = 0

    def digest(self, id_range: IdRange, baseline: Baseline, as_of: Position) -> Digest:
        """Of the range's rows as of a position.

        Raises:
            NeedsReload: a value that the source did not send is in no stored event.
        """
        last = last_change(self._snapshot, id_range, baseline, as_of)
        of = f"{self._of}/{baseline.fingerprint}/{last or 'none'}"
        name = f"{self._name}/{id_range.key}"
        known = self._known.get(name)
        if known is not None and known.of == of:
            return known.digest
        rows: Iterable[pa.RecordBatch] = fold_range(
            self._snapshot, self._table, id_range, as_of=as_of, baseline=baseline, spill=self._spill
        )
        with engine(self._spill) as connection:
            digest = digest_of(connection, self._as_held(rows) if self._as_held else rows, self._columns)
        self._new[name] = KnownDigest(of, digest)
        self.computed += 1
        return digest

    def keep(self) -> None:
        """Keep what was computed, for the next validation."""
        self._kept.keep(self._new)
        self._new = {}


def last_change(
    snapshot: LogSnapshot, id_range: IdRange, baseline: Baseline, as_of: Position
) -> Position | None:
    """The newest change of the range after its baseline and up to a position; None if none."""
    query = (
        f"SELECT max(row(e.{EPOCH}, e.{COMMIT_POSITION}, e.{SEQUENCE})) FROM event e "
        f"WHERE e.{OP} IN ('I', 'U', 'D') AND {newer(baseline.oldest)} AND NOT {newer(as_of)}"
    )
    with engine(Spill()) as connection:
        connection.register("event", snapshot.events(id_range.key, after=baseline.oldest))
        (found,) = figures(connection, query)
    return None if found is None else Position(*found)
