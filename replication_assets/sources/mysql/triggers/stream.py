"""The change stream of a server whose triggers log: reads the log in its order, and trims it.

A round begins when there is something that the last one did not show. It leaves a fence (`fences`), and
delivers what each fence since then shows and the one before did not: that has one position, and is told to
be whole at its end. If a table is not what its triggers write, they are exchanged first, and the round
begins again.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from replication_assets.core.logged_columns import SchemaChange
from replication_assets.core.lost_changes import change_log_lost, require_triggers
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.trigger_log import SHAPED
from replication_assets.errors import LoadBlocked, SlotBusy, SourceUnavailable
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.mysql.connection import MySqlConnection, Session, connected, literal
from replication_assets.sources.mysql.reflection import find_relation
from replication_assets.sources.mysql.result_rows import ResultRows
from replication_assets.sources.mysql.status import capture_lock, capture_reader
from replication_assets.sources.mysql.triggers import change_log
from replication_assets.sources.mysql.triggers.decoding import Decoder, read_query, width
from replication_assets.sources.mysql.triggers.fences import Fence, fences_after, make_fence, read_fence
from replication_assets.sources.mysql.triggers.shapes import KeptShape, name_of, read_shapes
from replication_assets.sources.mysql.triggers.sql import MISSED, LogNames
from replication_assets.sources.mysql.triggers.trimming import drop_retired, trim

POLL_SECONDS = 0.05
"""How long a change waits to be seen by an idle stream."""
MOST_REST = 0.3
"""Seconds between two rounds at the most, while there is something to read."""
_MOST_EXCHANGES = 5
_RELEASE_SECONDS = 2
"""How long a capture that just ended may take to be noticed."""

Tables = Sequence[tuple[TableId, TableSchema]]


@contextmanager
def open_changes(
    connection: MySqlConnection,
    names: LogNames,
    tables: Tables,
    *,
    epoch: int,
    after: int,
    upto: int | None,
    stop: Callable[[], bool],
) -> Iterator[ChangeStream]:
    """The stream after the fence `after`; see `ports.ChangeSource.changes`.

    Raises:
        SlotBusy: another capture reads the log.
        SlotLost: the log does not hold `after`: it was made anew, emptied, or restored.
        SourceNotReady: a table is not captured.
    """
    where = connection.where
    with ExitStack() as stack:
        asking, reading = (stack.enter_context(connected(connection, statement_seconds=0)) for _ in range(2))
        _take_lease(asking, names)
        if change_log.read_state(asking, names) is None:
            raise change_log_lost(f"there is no change log {names.database}", where)
        fence = read_fence(asking, names, after)
        if fence is None:
            raise change_log_lost(f"the change log does not hold {after}, the last durable position", where)
        _require_captured(asking, names, tables, where)
        decoder = Decoder(tables, epoch)
        yield TriggerChanges(connection, asking, reading, names, decoder, tables, fence, upto, stop)


def _take_lease(session: Session, names: LogNames) -> None:
    lock = capture_lock(names.database)
    row = session.row(f"SELECT GET_LOCK({literal(lock)}, {_RELEASE_SECONDS})")
    if row is None or row[0] != 1:
        raise SlotBusy(
            f"another capture reads the change log: connection {capture_reader(session, lock)}",
            where=session.where,
            fix="stop the other capture of this source",
        )


def _require_captured(session: Session, names: LogNames, tables: Tables, where: str) -> None:
    kept = {each.shape.table for each in read_shapes(session, names, live=True).values()}
    left_out = [
        table.name
        for table, _ in tables
        if name_of(table) not in kept
        and (found := find_relation(session, table)) is not None
        and found.can_be_captured
    ]
    require_triggers(left_out, where)


class TriggerChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        connection: MySqlConnection,
        asking: Session,
        reading: Session,
        names: LogNames,
        decoder: Decoder,
        tables: Tables,
        fence: Fence,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._connection, self._asking, self._reading = connection, asking, reading
        self._names, self._decoder, self._tables = names, decoder, tables
        self._at, self._upto, self._stop = fence, upto, stop
        self._rests_until = 0.0
        self._began = False

    def __iter__(self) -> Iterator[ChangeChunk]:
        told = time.monotonic()
        while not self._stop():
            if self._is_news():
                began = time.monotonic()
                yield from self._round()
                told = time.monotonic()
                # While much is written, changes are read some at a time.
                self._rests_until = told + min(MOST_REST, 2 * (told - began))
            if self._upto is not None and self._began and self._upto <= self._at.behind:
                return
            if time.monotonic() - told >= 1.0:
                told = time.monotonic()
                yield ChangeChunk((), (), (), self._at.id, None)

    def acknowledge(self, commit: int) -> None:
        """See `ports.ChangeStream`. The fence `commit` stays: by it the log is known again. Where a table
        is held by somebody, a later call trims."""
        with suppress(LoadBlocked):
            trim(self._connection, self._names, commit)

    # --- reading ---------------------------------------------------------------------------

    def _is_news(self) -> bool:
        """Asked at once after a round, and then the less often the longer the answer takes."""
        if not self._began:
            return True
        time.sleep(max(0.0, self._rests_until - time.monotonic()))
        began = time.monotonic()
        hidden = self._at.hides()
        shapes = [kept for kept in read_shapes(self._asking, self._names).values() if self._is_ours(kept)]
        queries = [f"EXISTS (SELECT 1 FROM {self._names.marks} WHERE op <> 'A' AND {hidden})"]
        queries += [
            f"EXISTS (SELECT 1 FROM {self._names.changes(kept.shape.number)} WHERE {hidden})"
            for kept in shapes
        ]
        row = self._asking.row(f"SELECT {' OR '.join(queries)}")
        found = row is None or bool(row[0])
        if not found:
            time.sleep(max(POLL_SECONDS, 4 * (time.monotonic() - began)))
        return found

    def _is_ours(self, kept: KeptShape) -> bool:
        return self._decoder.is_ours(kept.shape)

    def _round(self) -> Iterator[ChangeChunk]:
        """Everything up to a new fence, once triggers and tables are found to fit each other."""
        for _ in range(_MOST_EXCHANGES):
            fence = self._begin()
            if fence is not None:
                break
            self._reading.rows("ROLLBACK")
            self._exchange_triggers()
        else:
            raise SourceUnavailable(
                "tables were altered again and again while their triggers were brought up to date",
                where=self._connection.where,
            )
        self._began = True
        for reached in fences_after(self._asking, self._names, self._at.id):
            if reached.id > fence.id or self._stop():
                break
            yield from self._between(self._at, reached)
            self._at = reached
        if self._reading.open:
            self._reading.rows("ROLLBACK")

    def _begin(self) -> Fence | None:
        """The fence of a round; None if a table is not what its triggers write."""
        # While this session reads nothing itself.
        drop_retired(self._asking, self._names)
        fence = make_fence(self._asking, self._reading, self._names)
        kept = self._live()
        fit = all(
            change_log.fits(self._asking, self._names, table, kept[name_of(table)])
            for table, _ in self._tables
            if name_of(table) in kept
        )
        return fence if fit else None

    def _live(self) -> dict[str, KeptShape]:
        return {each.shape.table: each for each in read_shapes(self._asking, self._names, live=True).values()}

    def _exchange_triggers(self) -> None:
        kept = self._live()
        for table, schema in self._tables:
            before = kept.get(name_of(table))
            if before is not None:
                change_log.follow(
                    self._connection, self._asking, self._names, table, before, schema, self._at
                )

    def _between(self, before: Fence, reached: Fence) -> Iterator[ChangeChunk]:
        """What the second fence shows and the first does not. The last chunk tells that it is whole."""
        last: ChangeChunk | None = None
        at: dt.datetime | None = None
        for chunk in self._pieces(f"{before.hides()} AND {reached.shows()}", reached.id):
            if last is not None:
                yield ChangeChunk(last.batches, (), last.schema_changes, None, None)
            last, at = chunk, chunk.committed_at or at
        if last is None:
            yield ChangeChunk((), (), (), reached.id, None)
        else:
            yield ChangeChunk(last.batches, (), last.schema_changes, reached.id, at)

    def _pieces(self, condition: str, commit: int) -> Iterator[ChangeChunk]:
        """Table by table, and shape by shape: what a shape's own rows stand for comes after what tells
        of it."""
        marks = self._marks(condition)
        # As of the snapshot: of a table that came later it could tell nothing.
        for number, kept in sorted(read_shapes(self._reading, self._names).items()):
            if not self._is_ours(kept):
                continue
            told: list[SchemaChange] = []
            for op, each, body in marks.get(number, []):
                told += (
                    self._decoder.shaped(kept.shape, body, commit, each)
                    if op == SHAPED
                    else self._decoder.missed(kept.shape, commit, each)
                )
            if told:
                yield ChangeChunk((), (), tuple(told), None, None)
            query = read_query(self._names, kept, condition)
            for printed in ResultRows(self._reading, query, width(kept)):
                batch, changes, at = self._decoder.decode(kept, printed, commit)
                yield ChangeChunk((batch,), (), tuple(changes), None, at)

    def _marks(self, condition: str) -> dict[int, list[tuple[str, int, str]]]:
        """Kind, id and body of what tells of each shape."""
        found: dict[int, list[tuple[str, int, str]]] = {}
        for shape, op, number, body in self._reading.rows(
            f"SELECT shape, op, id, note FROM {self._names.marks}"
            f" WHERE op IN ('{SHAPED}', '{MISSED}') AND ({condition}) ORDER BY id"
        ):
            found.setdefault(int(shape), []).append((str(op), int(number), str(body or "")))
        return found
