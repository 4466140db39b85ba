"""Setting the change log up, bringing it up to date with the schema, and taking it away again.

Triggers are exchanged while their table is locked, so no change is made between the old ones and the new.
Every shape of a table has a table of the log to itself: what new triggers write stands apart from what old
ones wrote, and a row of kind `S` tells where one ends and the other begins.

What the triggers missed is known by comparison: they are gone, or InnoDB knows the table by another number
(TRUNCATE, or it was made anew), or rows were written after columns had changed. Each ends in a load, which
the `S` row asks for.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.trigger_log import ANCHOR, SHAPED, ShapeChange, shape_of
from replication_assets.errors import SourceUnavailable
from replication_assets.ports import CaptureSetup
from replication_assets.sources.mysql import schema_watch
from replication_assets.sources.mysql.connection import (
    MySqlConnection,
    Session,
    connected,
    literal,
    quoted,
)
from replication_assets.sources.mysql.reflection import (
    catalog_columns,
    find_relation,
    not_ready,
    table_columns,
)
from replication_assets.sources.mysql.status import capture_lock, capture_reader, end_capture
from replication_assets.sources.mysql.triggers import sql
from replication_assets.sources.mysql.triggers.fences import Fence, fence_lock, read_fence
from replication_assets.sources.mysql.triggers.preflight import setup_problems
from replication_assets.sources.mysql.triggers.shapes import (
    KeptShape,
    are_standing,
    name_of,
    read_shapes,
    standing_triggers,
    table_numbers,
    text_columns,
)
from replication_assets.sources.mysql.triggers.sql import LogNames

Tables = Sequence[tuple[TableId, TableSchema]]
LOCK_SECONDS = 5
"""How long the exchange of triggers waits for transactions on the table: those that come meanwhile wait
behind it."""
_MISSED = "triggers were dropped, or the table was truncated or built anew: changes were not kept"


@dataclass(frozen=True, slots=True)
class LogState:
    """`acknowledged`: the fence up to which everything is durable elsewhere."""

    token: str
    acknowledged: int


def read_state(session: Session, names: LogNames) -> LogState | None:
    """None if there is no log."""
    found = session.row(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_NAME = 'state'"
        f" AND TABLE_SCHEMA = {literal(names.database)} AND TABLE_COMMENT = {literal(sql.MARK)}"
    )
    if found is None:
        return None
    row = session.row(f"SELECT token, acknowledged FROM {names.state}")
    return None if row is None else LogState(str(row[0]), int(row[1]))


def setup_log(
    connection: MySqlConnection, names: LogNames, tables: Tables, *, cascades: bool
) -> CaptureSetup:
    """See `ports.ChangeSource.setup`.

    Raises:
        SourceNotReady: everything that the account or the tables lack.
        LoadBlocked: a table stayed locked by somebody else.
    """
    with connected(connection) as session:
        problems = setup_problems(session, names, tables, cascades=cascades)
        if problems:
            raise not_ready(problems, connection.where)
        state = _ensure_log(session, names)
        kept = {each.shape.table: each for each in read_shapes(session, names, live=True).values()}
        for name in kept.keys() - {name_of(table) for table, _ in tables}:
            _leave(session, names, kept[name])
        known = read_fence(session, names, state.acknowledged)
        for table, schema in tables:
            found = find_relation(session, table)
            if found is None or not found.can_be_captured:
                continue
            if name_of(table) in kept:
                follow(connection, session, names, table, kept[name_of(table)], schema, known)
            else:
                with _locked(connection, table) as locker:
                    _install(session, locker, names, table, schema, confirmed=False)
        rows = session.rows(f"SELECT name FROM {names.shapes} WHERE live AND NOT confirmed")
    waiting = {str(name) for (name,) in rows}
    return CaptureSetup(state.acknowledged, tuple(table for table, _ in tables if name_of(table) in waiting))


def confirm_log(connection: MySqlConnection, names: LogNames) -> None:
    """See `ports.ChangeSource.confirm_setup`."""
    with connected(connection) as session:
        if read_state(session, names) is not None:
            session.rows(f"UPDATE {names.shapes} SET confirmed = 1")


def teardown_log(connection: MySqlConnection, names: LogNames, *, force: bool) -> None:
    """Remove the triggers and the database. Idempotent.

    Raises:
        SlotBusy: a capture reads the log, and `force` was not asked for.
    """
    with connected(connection) as session:
        session.rows(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
        end_capture(session, capture_lock(names.database), force=force)
        # Triggers first: a log that is gone while they write to it fails writers.
        for trigger in standing_triggers(session, names):
            session.rows(trigger.drop)
        if _is_ours(session, names):
            session.rows(f"DROP DATABASE IF EXISTS {quoted(names.database)}")


def remains(session: Session, names: LogNames) -> tuple[str, ...]:
    """See `ports.ChangeSource.remains`."""
    found = [f"database {names.database}"] if _is_ours(session, names) else []
    found += [
        f"trigger {each.name} on {each.schema}.{each.table}" for each in standing_triggers(session, names)
    ]
    reader = capture_reader(session, capture_lock(names.database))
    return (*found, *([] if reader is None else [f"connection {reader} reads the change log"]))


def _is_ours(session: Session, names: LogNames) -> bool:
    """Whether there is a log of ours, or the beginning of one: `state` is made last and dropped with the
    rest."""
    rows = session.rows(
        "SELECT TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES"
        f" WHERE TABLE_SCHEMA = {literal(names.database)}"
    )
    begun = bool(rows) and {str(name) for name, _ in rows} <= {"marks", "shapes"}
    return begun or any(str(comment) == sql.MARK for _, comment in rows)


def _ensure_log(session: Session, names: LogNames) -> LogState:
    state = read_state(session, names)
    if state is not None:
        return state
    for statement in sql.create(names):
        session.rows(statement)
    with fence_lock(session, names):
        state = read_state(session, names)
        if state is not None:
            return state
        session.rows(sql.add_mark(names, ANCHOR, note=Fence(0, {}).body()))
        row = session.row(sql.LAST_ID)
        if row is None or row[0] is None:
            raise SourceUnavailable("the server did not tell where the log begins", where=session.where)
        state = LogState(uuid.uuid4().hex[:16], int(row[0]))
        session.rows(f"INSERT INTO {names.state} VALUES ({literal(state.token)}, {state.acknowledged})")
    return state


# --- following a table ----------------------------------------------------------------------


def fits(session: Session, names: LogNames, table: TableId, kept: KeptShape) -> bool:
    """Whether the triggers stand, and write the columns that the table has."""
    if find_relation(session, table) is None:
        return False
    columns = {column.name: column.source_type for column in table_columns(session, table)}
    return columns == dict(kept.shape.columns) and _kept_all(session, names, table, kept)


def _kept_all(session: Session, names: LogNames, table: TableId, kept: KeptShape) -> bool:
    standing = standing_triggers(session, names, schema=table.schema)
    same = table_numbers(session, table) == kept.numbers
    return same and are_standing(standing, names, kept, table)


def follow(
    connection: MySqlConnection,
    session: Session,
    names: LogNames,
    table: TableId,
    before: KeptShape,
    schema: TableSchema,
    known: Fence | None,
) -> None:
    """Exchange the table's triggers if they do not fit it any more. What `known` shows was written while
    they did; None if that is not known."""
    if find_relation(session, table) is None:
        _leave(session, names, before)
        gone = ShapeChange(True, "the table was dropped or renamed; its changes are not captured")
        _tell(session, names, before.shape.number, gone)
        return
    declared = before.shape.key == schema.key and before.append_only == schema.append_only
    if declared and fits(session, names, table, before):
        return
    with _locked(connection, table) as locker:
        told = _what_changed(session, names, table, before, schema, known)
        for statement in _standing_drops(session, names, table, before):
            locker.rows(statement)
        columns = table_columns(session, table)
        kept_key = set(schema.key) <= {column.name for column in columns}
        now = TableSchema(columns, schema.key if kept_key else (), schema.append_only)
        number = _install(session, locker, names, table, now, confirmed=True)
        _retire(session, names, before)
        _tell(session, names, number, told)
    _leave(session, names, before)


def _what_changed(
    session: Session,
    names: LogNames,
    table: TableId,
    before: KeptShape,
    schema: TableSchema,
    known: Fence | None,
) -> ShapeChange:
    reasons = [] if _kept_all(session, names, table, before) else [_MISSED]
    if before.shape.key != schema.key:
        reasons.append(f"the key changed to {', '.join(schema.key) or 'nothing'}")
    filled = schema_watch.filled_columns(catalog_columns(session, table))
    difference = schema_watch.compare(before.schema(), table_columns(session, table), filled)
    if difference is not None and _wrote_since(session, names, before, known):
        reasons.append("changes were written after the table was altered and before its triggers were")
    if difference is None:
        return ShapeChange(bool(reasons), "; ".join(reasons) or "what is declared of the table changed")
    return ShapeChange(
        bool(reasons) or difference.reload,
        "; ".join([*reasons, difference.reason]),
        difference.added,
        difference.dropped,
    )


def _wrote_since(session: Session, names: LogNames, before: KeptShape, known: Fence | None) -> bool:
    hidden = "TRUE" if known is None else known.hides()
    number = before.shape.number
    query = (
        f"SELECT EXISTS (SELECT 1 FROM {names.changes(number)} WHERE {hidden}) OR EXISTS"
        f" (SELECT 1 FROM {names.marks} WHERE op = '{sql.MISSED}' AND shape = {number} AND {hidden})"
    )
    row = session.row(query)
    return row is None or bool(row[0])


def _standing_drops(session: Session, names: LogNames, table: TableId, before: KeptShape) -> list[str]:
    """Of triggers on the table itself: with it locked, no other table's can be dropped."""
    wanted = {names.trigger(before.shape.number, op) for op in "IUD"}
    return [
        each.drop
        for each in standing_triggers(session, names, schema=table.schema)
        if each.name in wanted and each.table.lower() == table.name.lower()
    ]


@contextmanager
def _locked(connection: MySqlConnection, table: TableId) -> Iterator[Session]:
    """A session that makes triggers while nobody reads or writes the table."""
    with connected(connection) as locker:
        locker.rows(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}, sql_mode = {literal(sql.TRIGGER_MODE)}")
        locker.rows(f"LOCK TABLES {quoted(table.schema, table.name)} WRITE")
        yield locker
        locker.rows("UNLOCK TABLES")


def _install(
    session: Session,
    locker: Session,
    names: LogNames,
    table: TableId,
    schema: TableSchema,
    *,
    confirmed: bool,
) -> int:
    """The number of the new shape."""
    with fence_lock(session, names):
        row = session.row(f"SELECT COALESCE(MAX(shape), 0) + 1 FROM {names.shapes}")
        number = int(row[0]) if row is not None else 1
        shape = shape_of(number, name_of(table), schema)
        # What a setup that was killed here left behind.
        session.rows(f"DROP TABLE IF EXISTS {names.changes(number)}")
        session.rows(sql.create_changes(names, number, schema.columns, text_columns(session, table)))
        values = (
            f"{number}, {literal(shape.table)}, {literal(shape.body())},"
            f" {literal(table_numbers(session, table))}, {schema.append_only}, TRUE, {confirmed}"
        )
        session.rows(f"INSERT INTO {names.shapes} VALUES ({values})")
    made = sql.triggers(names, table, number, schema.names, append_only=schema.append_only)
    for statement in made.values():
        locker.rows(statement)
    return number


def _tell(session: Session, names: LogNames, shape: int, told: ShapeChange) -> None:
    session.rows(sql.add_mark(names, SHAPED, note=told.body(), shape=shape))


def _retire(session: Session, names: LogNames, before: KeptShape) -> None:
    """The shape stays: changes that it was written for may not be read yet."""
    session.rows(f"UPDATE {names.shapes} SET live = 0 WHERE shape = {before.shape.number}")


def _leave(session: Session, names: LogNames, before: KeptShape) -> None:
    """Drop the triggers of a shape, whatever their table is called by now."""
    schema, _ = before.place
    session.rows(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
    for statement in sql.drop_triggers(names, schema, before.shape.number):
        session.rows(statement)
    _retire(session, names, before)
