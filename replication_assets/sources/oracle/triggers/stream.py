"""The change stream of a database whose triggers log: reads the log in the order of its fences, and trims it.

A round begins when a change is in no fence. It makes one (`fences`), and delivers what each fence since the
last one shows: that has one position, and is told to be whole at its end. If a table is not what its trigger
writes, the trigger is exchanged first, and the round begins again.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from replication_assets.core.logged_columns import SchemaChange
from replication_assets.core.lost_changes import change_log_lost, require_triggers
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import SourceUnavailable
from replication_assets.ports import ChangeChunk, ChangeStream
from replication_assets.sources.oracle.lease import Lease
from replication_assets.sources.oracle.reflection import find_relation
from replication_assets.sources.oracle.sessions import Server, Session, connected
from replication_assets.sources.oracle.statements import trigger_log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.triggers import change_log, following
from replication_assets.sources.oracle.triggers.decoding import Decoder
from replication_assets.sources.oracle.triggers.fences import fences_after, has_fence, is_news, make_fence
from replication_assets.sources.oracle.triggers.shapes import (
    KeptShape,
    live_shapes,
    name_of,
    read_shapes,
    standing_triggers,
)
from replication_assets.sources.oracle.triggers.trimming import drop_retired, trim

POLL_SECONDS = 0.1
"""How long a change waits to be seen by an idle stream, at the most."""
FRAME_ROWS = 5_000
_MOST_EXCHANGES = 5
_TOLD_SECONDS = 1.0

Tables = Sequence[tuple[TableId, TableSchema]]


@contextmanager
def open_changes(
    server: Server,
    names: LogNames,
    name: str,
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
    with ExitStack() as stack:
        holder = stack.enter_context(connected(server))
        lease = Lease(holder, name)
        asking = stack.enter_context(connected(server, statement_seconds=0))
        reading = stack.enter_context(connected(server, statement_seconds=0))
        if change_log.read_state(asking, names) is None:
            raise change_log_lost(f"there is no change log {names.prefix}", server.where)
        if not has_fence(asking, names, after):
            raise change_log_lost(
                f"the change log does not hold {after}, the last durable position", server.where
            )
        _require_captured(asking, names, tables, server.where)
        asking.run(sql.PATIENCE)
        decoder = Decoder(tables, epoch)
        yield TriggerChanges(lease, asking, reading, names, decoder, tables, after, upto, stop)


def _require_captured(session: Session, names: LogNames, tables: Tables, where: str) -> None:
    kept = live_shapes(session, names)
    left_out = [
        table.name
        for table, _ in tables
        if name_of(table) not in kept
        and (found := find_relation(session, table)) is not None
        and found.kind == "table"
    ]
    require_triggers(left_out, where)


class TriggerChanges:
    """A `ports.ChangeStream`. Iterate it once, in one thread."""

    def __init__(
        self,
        lease: Lease,
        asking: Session,
        reading: Session,
        names: LogNames,
        decoder: Decoder,
        tables: Tables,
        after: int,
        upto: int | None,
        stop: Callable[[], bool],
    ) -> None:
        self._lease, self._asking, self._reading = lease, asking, reading
        self._names, self._decoder, self._tables = names, decoder, tables
        self._at, self._upto, self._stop = after, upto, stop
        self._began = False

    def __iter__(self) -> Iterator[ChangeChunk]:
        told = time.monotonic()
        while not self._stop() and not self._is_over():
            self._lease.keep()
            if not self._began or is_news(self._asking, self._names):
                yield from self._round()
                told = time.monotonic()
                continue
            if self._upto is not None:
                # No change is left, and a fence is what says that the stream is whole up to there.
                self._began = False
            time.sleep(POLL_SECONDS)
            if time.monotonic() - told >= _TOLD_SECONDS:
                told = time.monotonic()
                yield ChangeChunk((), (), (), self._at, None)

    def _is_over(self) -> bool:
        return self._upto is not None and self._began and self._upto <= self._at

    def acknowledge(self, commit: int) -> None:
        """See `ports.ChangeStream`. The fence `commit` stays: by it the log is known again."""
        self._lease.keep()
        trim(self._asking, self._names, commit)

    # --- reading ---------------------------------------------------------------------------

    def _round(self) -> Iterator[ChangeChunk]:
        """Everything up to a new fence, once triggers and tables are found to fit each other."""
        drop_retired(self._asking, self._names)
        for _ in range(_MOST_EXCHANGES):
            fence = make_fence(self._asking, self._names)
            if self._fit():
                break
            self._exchange_triggers()
        else:
            raise SourceUnavailable(
                "tables were altered again and again while their triggers were brought up to date",
                where=self._asking.where,
            )
        self._began = True
        for reached in fences_after(self._asking, self._names, self._at):
            if reached > fence or self._stop():
                return
            yield from self._shown_by(reached)
            self._at = reached

    def _fit(self) -> bool:
        kept = live_shapes(self._asking, self._names)
        standing = standing_triggers(self._asking, self._names)
        for table, _ in self._tables:
            each = kept.get(name_of(table))
            if each is None:
                continue
            trigger = standing.get(self._names.trigger(each.place))
            if not following.fits(self._asking, self._names, table, each, trigger):
                return False
        return True

    def _exchange_triggers(self) -> None:
        kept = live_shapes(self._asking, self._names)
        for table, schema in self._tables:
            before = kept.get(name_of(table))
            if before is not None:
                following.follow(self._asking, self._names, table, before, schema, self._at)

    def _shown_by(self, fence: int) -> Iterator[ChangeChunk]:
        """What a fence shows and none before did. The last chunk tells that it is whole."""
        last: ChangeChunk | None = None
        at: dt.datetime | None = None
        for chunk in self._pieces(fence):
            if last is not None:
                yield ChangeChunk(last.batches, (), last.schema_changes, None, None)
            last, at = chunk, chunk.committed_at or at
        if last is None:
            yield ChangeChunk((), (), (), fence, None)
        else:
            yield ChangeChunk(last.batches, (), last.schema_changes, fence, at)

    def _pieces(self, fence: int) -> Iterator[ChangeChunk]:
        """Shape by shape: what a shape's own rows stand for comes after what tells of it."""
        marks = self._marks(fence)
        begun = {int(shape): at for shape, at in self._reading.rows(trigger_log.shape_marks(self._names))}
        shapes = read_shapes(self._reading, self._names)
        for number, kept in shapes.items():
            if not self._decoder.is_ours(kept.shape):
                continue
            told: list[SchemaChange] = []
            for op, each, note in marks.get(number, []):
                told += self._decoder.mark(kept.shape, op, fence, each, note)
            if told:
                yield ChangeChunk((), (), tuple(told), None, None)
            yield from self._changes(kept, fence, late=_is_late(kept, shapes, begun, fence))

    def _changes(self, kept: KeptShape, fence: int, *, late: bool) -> Iterator[ChangeChunk]:
        columns = kept.columns()
        query = trigger_log.read_changes(self._names, kept.shape.number, columns)
        for frame in self._reading.frames(query, {"fence": fence}, FRAME_ROWS):
            if frame.num_rows:
                told = self._decoder.late(kept.shape, fence, frame) if late else []
                batch, changes, at = self._decoder.decode(kept.shape, columns, frame, fence)
                changes, late = [*told, *changes], False
                yield ChangeChunk((batch,), (), tuple(changes), None, at)

    def _marks(self, fence: int) -> dict[int, list[tuple[str, int, str]]]:
        """Kind, id and note of what tells of each shape."""
        found: dict[int, list[tuple[str, int, str]]] = {}
        for shape, op, number, note in self._reading.rows(
            trigger_log.marks_of(self._names), {"fence": fence}
        ):
            found.setdefault(int(shape), []).append((str(op), int(number), str(note or "")))
        return found


def _is_late(
    kept: KeptShape, shapes: Mapping[int, KeptShape], begun: Mapping[int, int | None], fence: int
) -> bool:
    """Whether a shape that came after this one was told by then. A mark that is gone from the log was."""

    def was_told(number: int) -> bool:
        if number not in begun:
            return True
        at = begun[number]
        return at is not None and at <= fence

    later = [each for each, other in shapes.items() if other.shape.table == kept.shape.table]
    return any(each > kept.shape.number and was_told(each) for each in later)
