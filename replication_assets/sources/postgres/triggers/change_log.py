"""Setting the change log up, bringing it up to date with the schema, and taking it away again.

Triggers are exchanged while their table is locked against writers, so no change is made between the
old ones and the new. What the new ones write follows a row of kind `S` that tells of the new columns.

Changes written after a table was altered and before its triggers were exchanged say which triggers
wrote them, and not which columns. Where columns only came at the end, or one went, the width of an
image tells. Everything else could be guessed wrong: such changes are marked as uncertain, are not
decoded, and the `S` row asks for a load, which the table needs after most alterations anyway.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.trigger_log import ShapeChange
from replication_assets.errors import SlotBusy
from replication_assets.ports import CaptureSetup
from replication_assets.sources.postgres import schema_watch
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.quoting import relation
from replication_assets.sources.postgres.reflection import find_relation, not_ready, replicated_columns
from replication_assets.sources.postgres.triggers import sql
from replication_assets.sources.postgres.triggers.positions import lease_holder
from replication_assets.sources.postgres.triggers.preflight import setup_problems, unlike
from replication_assets.sources.postgres.triggers.shapes import (
    RowShape,
    grown_from,
    name_text,
    read_shapes,
    shape_now,
    shrunk_by_one,
    unlike_partitions,
)
from replication_assets.sources.postgres.triggers.sql import LogNames
from replication_assets.sources.postgres.triggers.standing import (
    drop_triggers,
    drop_triggers_of,
    is_standing,
    partition_reasons,
)

Tables = Sequence[tuple[TableId, TableSchema]]
Session = psycopg.Connection[Any]
LOCK_TIMEOUT = "5s"
_MISSED = "the table was made anew, or its triggers were dropped or disabled: changes were not kept"


@dataclass(frozen=True, slots=True)
class LogState:
    """`acknowledged`: durable elsewhere up to here. `seen`: the last snapshot in which
    tables and triggers fitted each other. What it shows was written by triggers that did."""

    token: str
    acknowledged: int
    seen: str


def log_oid(session: Session, names: LogNames) -> int | None:
    """None if there is no log."""
    row = session.execute(
        "SELECT c.oid::int8 FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = 'log'",
        (names.schema,),
    ).fetchone()
    return None if row is None else int(row[0])


def read_state(session: Session, names: LogNames) -> LogState | None:
    """None if there is no log."""
    if log_oid(session, names) is None:
        return None
    row = session.execute(f"SELECT token, acknowledged, seen FROM {names.state}".encode()).fetchone()
    return None if row is None else LogState(*row)


def setup_log(connection: PostgresConnection, names: LogNames, tables: Tables) -> CaptureSetup:
    """See `ports.ChangeSource.setup`.

    Raises:
        SourceNotReady: everything that the role or the tables lack.
        LoadBlocked: a table stayed locked by somebody else.
    """
    with connect(connection) as session, source_errors(connection.where):
        problems = setup_problems(session, names, tables)
        if problems:
            raise not_ready(problems, connection.where)
        with session.transaction():
            state = _ensure_log(session, names)
        _bring_up_to_date(session, names, tables, state)
        rows = session.execute(
            f"SELECT name FROM {names.shapes} WHERE live AND NOT confirmed".encode()
        ).fetchall()
    waiting = {name for (name,) in rows}
    added = tuple(table for table, _ in tables if name_text((table.schema, table.name)) in waiting)
    return CaptureSetup(state.acknowledged, added)


def _bring_up_to_date(session: Session, names: LogNames, tables: Tables, state: LogState) -> None:
    """One table in a transaction: two locks at a time could deadlock with an application."""
    kept = {shape.name: shape for shape in read_shapes(session, names, live=True).values()}
    for name in kept.keys() - {(table.schema, table.name) for table, _ in tables}:
        with session.transaction():
            drop_triggers(session, names, kept[name])
            _retire(session, names, kept[name])
    for table, schema in tables:
        found = find_relation(session, table)
        if found is None or not found.can_be_captured:
            continue
        if (table.schema, table.name) in kept:
            follow(session, names, table, kept[table.schema, table.name], schema, state.seen)
            continue
        with session.transaction():
            _lock(session, table)
            _install(session, names, table, found.oid, schema, confirmed=False)


def confirm_log(connection: PostgresConnection, names: LogNames) -> None:
    """See `ports.ChangeSource.confirm_setup`."""
    with connect(connection) as session, source_errors(connection.where):
        if log_oid(session, names) is not None:
            session.execute(f"UPDATE {names.shapes} SET confirmed = true WHERE NOT confirmed".encode())


def teardown_log(connection: PostgresConnection, names: LogNames, *, force: bool) -> None:
    """Remove the triggers and the schema. Idempotent.

    Raises:
        SlotBusy: a capture reads the log, and `force` was not asked for.
    """
    with connect(connection) as session, source_errors(connection.where):
        log = log_oid(session, names)
        if log is None:
            return
        holder = lease_holder(session, log)
        if holder is not None and not force:
            raise SlotBusy(
                f"the change log is read by pid {holder}",
                where=connection.where,
                fix="stop the capture first, or tear down with force",
            )
        if holder is not None:
            session.execute("SELECT pg_catalog.pg_terminate_backend(%s, 10000)", (holder,))
        # The triggers depend on the function, and go with it, tables of other names included.
        session.execute(f"DROP SCHEMA {names.quoted} CASCADE".encode())


def remains(session: Session, names: LogNames) -> tuple[str, ...]:
    """See `ports.ChangeSource.remains`."""
    rows = session.execute(
        "SELECT 'schema ' || nspname FROM pg_catalog.pg_namespace WHERE nspname = %s"
        " AND pg_catalog.obj_description(oid, 'pg_namespace') = %s"
        " UNION ALL SELECT format('trigger %%I on %%s', tgname, tgrelid::pg_catalog.regclass)"
        " FROM pg_catalog.pg_trigger WHERE tgname IN (%s, %s)",
        (names.schema, sql.MARK, names.trigger, names.truncate_trigger),
    ).fetchall()
    log = log_oid(session, names)
    holder = lease_holder(session, log) if log is not None else None
    read = () if holder is None else (f"the change log is read by pid {holder}",)
    return (*(line for (line,) in rows), *read)


# --- in a transaction ----------------------------------------------------------------------


def _ensure_log(session: Session, names: LogNames) -> LogState:
    state = read_state(session, names)
    if state is None:
        for statement in sql.create(names):
            session.execute(statement.encode())
    row = session.execute(
        "SELECT prosrc FROM pg_catalog.pg_proc WHERE oid = to_regprocedure(%s)", (f"{names.quoted}.note()",)
    ).fetchone()
    if row is None or row[0] != sql.function_body(names):
        # There is none yet, or it is an earlier version's.
        for statement in sql.create_function(names):
            session.execute(statement.encode())
    if state is not None:
        return state
    row = session.execute(sql.add_anchor(names).encode()).fetchone()
    assert row is not None
    shown = session.execute("SELECT pg_catalog.pg_current_snapshot()::text").fetchone()
    assert shown is not None
    state = LogState(uuid.uuid4().hex[:16], int(row[0]), shown[0])
    session.execute(
        f"INSERT INTO {names.state} VALUES (%s, %s, %s)".encode(),
        (state.token, state.acknowledged, state.seen),
    )
    return state


def fits(session: Session, names: LogNames, table: TableId, shape: RowShape) -> bool:
    """Whether the triggers stand, and write the columns that the table has.

    Raises:
        SourceNotReady: a partition came whose rows triggers do not tell as those of the table.
    """
    found = find_relation(session, table)
    if found is not None and found.kind == "p" and (others := unlike_partitions(session, found.oid)):
        raise not_ready([unlike(table, leaf) for leaf in others], str(table))
    if found is None or found.oid != shape.relation or not is_standing(session, names, shape):
        return False
    schema = TableSchema((), (), shape.append_only)
    now = shape_now(session, found.oid, shape.name, schema)
    return now.same_columns(shape) and now.leaves == shape.leaves


def follow(
    session: Session, names: LogNames, table: TableId, before: RowShape, schema: TableSchema, seen: str
) -> None:
    """Exchange the table's triggers if they do not fit it any more, in a transaction of its own."""
    found = find_relation(session, table)
    declared = before.key == schema.key and before.append_only == schema.append_only
    if found is not None and declared and fits(session, names, table, before):
        return
    with session.transaction():
        if found is None:
            drop_triggers(session, names, before)
            _retire(session, names, before)
            gone = ShapeChange(True, "the table was dropped or renamed; its changes are not captured")
            session.execute(sql.add_shape_change(names).encode(), (before.number, gone.body()))
        else:
            _exchange(session, names, table, before, schema, seen)


def _exchange(
    session: Session, names: LogNames, table: TableId, before: RowShape, schema: TableSchema, seen: str
) -> None:
    # Looked at again when nobody writes: it may be another table by now.
    _lock(session, table)
    found = find_relation(session, table)
    assert found is not None
    reasons = [] if found.oid == before.relation and is_standing(session, names, before) else [_MISSED]
    if before.key != schema.key:
        reasons.append(f"the key changed to {', '.join(schema.key) or 'nothing'}")
    now = shape_now(session, found.oid, before.name, schema)
    certain = before.same_columns(now) or grown_from(before, now) or shrunk_by_one(before, now)
    if not certain and _mark_uncertain(session, names, before, seen):
        reasons.append("changes were written after the table was altered and before its triggers were")
    reasons += partition_reasons(session, found.oid, before, now)
    catalog = schema_watch.catalog_columns(session, found.oid)
    filled = {name for name, column in catalog.items() if column.filled}
    difference = schema_watch.compare(before.schema(session), replicated_columns(session, table), filled)
    if found.oid != before.relation:
        drop_triggers(session, names, before)
    staying = {oid for oid, _ in now.leaves or ()}
    drop_triggers_of(session, names, [oid for oid, _ in before.leaves or () if oid not in staying])
    _retire(session, names, before)
    shape = _install(session, names, table, found.oid, schema, confirmed=True)
    told = ShapeChange(bool(reasons), "; ".join(reasons) or "what is declared of the table changed")
    if difference is not None:
        reload = bool(reasons) or difference.reload
        reason = "; ".join([*reasons, difference.reason])
        told = ShapeChange(reload, reason, difference.added, difference.dropped)
    session.execute(sql.add_shape_change(names).encode(), (shape.number, told.body()))


def _lock(session: Session, table: TableId) -> None:
    """Hold writers off, readers not. Those that come while this waits wait behind it: not for long."""
    session.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
    session.execute(f"LOCK TABLE {relation(table)} IN SHARE ROW EXCLUSIVE MODE".encode())


def _mark_uncertain(session: Session, names: LogNames, shape: RowShape, seen: str) -> bool:
    """Changes that these triggers wrote when they may not have fitted; whether there are any."""
    cursor = session.execute(
        f"UPDATE {names.log} SET shape = {sql.UNCERTAIN} WHERE shape = %s AND op <> 'S'"
        " AND NOT pg_catalog.pg_visible_in_snapshot(xid, %s::pg_catalog.pg_snapshot)".encode(),
        (shape.number, seen),
    )
    return cursor.rowcount > 0


def _install(
    session: Session, names: LogNames, table: TableId, oid: int, schema: TableSchema, *, confirmed: bool
) -> RowShape:
    row = session.execute(f"SELECT coalesce(max(shape), 0) + 1 FROM {names.shapes}".encode()).fetchone()
    assert row is not None
    shape = replace(shape_now(session, oid, (table.schema, table.name), schema), number=row[0])
    for statement in sql.create_triggers(
        names,
        relation(table),
        shape.number,
        append_only=schema.append_only,
        leaves=None if shape.leaves is None else [name for _, name in shape.leaves],
    ):
        session.execute(statement.encode())
    session.execute(
        f"INSERT INTO {names.shapes} VALUES (%s, %s, %s, %s, true, %s)".encode(),
        (shape.number, oid, name_text(shape.name), shape.body(), confirmed),
    )
    return shape


def _retire(session: Session, names: LogNames, shape: RowShape) -> None:
    """The shape stays: changes that it was written for may not be read yet."""
    session.execute(f"UPDATE {names.shapes} SET live = false WHERE shape = %s".encode(), (shape.number,))
