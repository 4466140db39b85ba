"""Setting the change log up, bringing it up to date with the schema, and taking it away again.

Everything happens in one write transaction: no change is made while triggers are exchanged, so none
is lost between the old ones and the new. What the new ones write follows a row of kind `S` that
tells of the new columns.

What a table's triggers missed is known by comparison: a table that was made anew lost its triggers
with the old one; a column that came while they stood is not in what they wrote since the log was
last seen whole (`seen`). Both end in a reload, which tells so.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from dataclasses import dataclass, replace

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.table_problems import not_ready
from replication_assets.core.trigger_log import Shape, ShapeChange, shape_change, shape_of
from replication_assets.errors import SlotBusy
from replication_assets.ports import CaptureSetup
from replication_assets.sources.sqlite import triggers as sql
from replication_assets.sources.sqlite.connection import SqliteDatabase, connect, writing
from replication_assets.sources.sqlite.lease import Lease
from replication_assets.sources.sqlite.preflight import (
    Tables,
    setup_problems,
    table_problems,
    wanted_triggers,
)
from replication_assets.sources.sqlite.quoting import identifier, relation
from replication_assets.sources.sqlite.reflection import (
    Relation,
    columns_of,
    find_relation,
)
from replication_assets.sources.sqlite.triggers import LogNames


@dataclass(frozen=True, slots=True)
class KeptTable:
    """A captured table: its shape, and the triggers that write it, by name."""

    shape: Shape
    triggers: dict[str, str]
    append_only: bool


@dataclass(frozen=True, slots=True)
class LogState:
    """`acknowledged`: durable elsewhere up to here. `seen`: the newest id when tables and triggers
    were last found to fit each other."""

    token: str
    acknowledged: int
    seen: int


def read_state(session: sqlite3.Connection, names: LogNames) -> LogState | None:
    """None if there is no log."""
    found = session.execute("SELECT 1 FROM main.sqlite_master WHERE name = ?", (names.state,)).fetchone()
    if found is None:
        return None
    row = session.execute(f"SELECT token, acknowledged, seen FROM main.{identifier(names.state)}").fetchone()
    return None if row is None else LogState(*row)


def newest(session: sqlite3.Connection, names: LogNames) -> int | None:
    (found,) = session.execute(f"SELECT max(id) FROM main.{identifier(names.log)}").fetchone()
    return None if found is None else int(found)


def kept_tables(session: sqlite3.Connection, names: LogNames) -> dict[str, KeptTable]:
    """Captured tables by name."""
    rows = session.execute(
        f"SELECT shape, name, body, triggers FROM main.{identifier(names.shapes)} WHERE live"
    ).fetchall()
    kept = {}
    for number, name, body, made in rows:
        raw = json.loads(made)
        kept[name] = KeptTable(Shape.from_body(number, name, body), raw["triggers"], raw["append_only"])
    return kept


def setup_log(database: SqliteDatabase, names: LogNames, tables: Tables) -> CaptureSetup:
    """See `ports.ChangeSource.setup`.

    Raises:
        SourceNotReady: everything that the tables lack.
    """
    with connect(database) as session, writing(session):
        problems = list(setup_problems(session, tables))
        if problems:
            raise not_ready(problems, database.where)
        state = _ensure_log(session, names, max((len(schema.columns) for _, schema in tables), default=0))
        kept = kept_tables(session, names)
        for name in kept.keys() - {table.name for table, _ in tables}:
            _retire(session, names, kept[name])
        for table, schema in tables:
            found = find_relation(session, table)
            if found is None or not found.can_be_captured:
                continue
            if table.name not in kept:
                _install(session, names, table, found, schema, confirmed=False)
            else:
                follow(session, names, table, kept[table.name], schema, state.seen)
        rows = session.execute(
            f"SELECT name FROM main.{identifier(names.shapes)} WHERE live AND NOT confirmed"
        ).fetchall()
        _see(session, names)
    unconfirmed = {name for (name,) in rows}
    return CaptureSetup(state.acknowledged, tuple(table for table, _ in tables if table.name in unconfirmed))


def confirm_log(database: SqliteDatabase, names: LogNames) -> None:
    """See `ports.ChangeSource.confirm_setup`."""
    with connect(database) as session, writing(session):
        session.execute(f"UPDATE main.{identifier(names.shapes)} SET confirmed = 1")


def teardown_log(database: SqliteDatabase, names: LogNames, *, force: bool) -> None:
    """Remove the triggers, the log and the file of the lease. Idempotent.

    Raises:
        SlotBusy: a capture reads the log. With `force` it finds the log gone instead.
    """
    lease = Lease(database, names)
    if not force and lease.is_held():
        raise SlotBusy(
            "a capture reads the change log",
            where=database.where,
            fix="stop the capture first, or tear down with force",
        )
    with connect(database) as session, writing(session):
        for kind, name in session.execute(sql.find_objects(names)).fetchall():
            # Of triggers first: a table that is gone while its triggers write to it fails writers.
            session.execute(f"DROP {kind} IF EXISTS main.{identifier(name)}")
    lease.remove()


def remains(database: SqliteDatabase, names: LogNames) -> tuple[str, ...]:
    """See `ports.ChangeSource.remains`."""
    with connect(database) as session:
        found = [f"{kind} {name}" for kind, name in session.execute(sql.find_objects(names)).fetchall()]
    lease = Lease(database, names)
    if lease.path.exists():
        held = ", held by a capture" if lease.is_held() else ""
        found.append(f"file {lease.path}{held}")
    return tuple(found)


# --- in a write transaction ----------------------------------------------------------------


def _ensure_log(session: sqlite3.Connection, names: LogNames, columns: int) -> LogState:
    for statement in sql.create_tables(names):
        session.execute(statement)
    state = read_state(session, names)
    if state is None or newest(session, names) is None:
        session.execute(f"DELETE FROM main.{identifier(names.state)}")
        session.execute(sql.add_anchor(names))
        first = newest(session, names)
        assert first is not None
        state = LogState(uuid.uuid4().hex[:16], first, first)
        values = (state.token, state.acknowledged, state.seen)
        session.execute(f"INSERT INTO main.{identifier(names.state)} VALUES (?, ?, ?)", values)
    widen(session, names, columns)
    return state


def widen(session: sqlite3.Connection, names: LogNames, columns: int) -> None:
    """Give the log room for images of so many columns."""
    (all_columns,) = session.execute("SELECT count(*) FROM pragma_table_info(?)", (names.log,)).fetchone()
    for statement in sql.add_columns(names, (all_columns - 5) // 2, columns):
        session.execute(statement)


def follow(
    session: sqlite3.Connection,
    names: LogNames,
    table: TableId,
    kept: KeptTable,
    schema: TableSchema,
    seen: int,
) -> bool:
    """Exchange the table's triggers if they do not fit it any more; whether that was so."""
    found = find_relation(session, table)
    if found is None:
        _retire(session, names, kept)
        gone = ShapeChange(True, "the table was dropped or renamed; its changes are not captured")
        session.execute(sql.add_shape_change(names), (kept.shape.number, gone.body()))
        return True
    wanted = wanted_triggers(session, names, kept.shape, found, schema.append_only)
    differs = wanted != kept.triggers or dict(kept.shape.columns) != _declared(found)
    differs = differs or not _fire_first(session, kept)
    unseen = _missed(session, names, kept, seen, differs=differs)
    change = shape_change(
        kept.shape,
        columns_of(found),
        schema.key,
        filled=_filled(session, table, found, kept.shape),
        unseen=unseen,
    )
    if change is None and wanted == kept.triggers and _fire_first(session, kept):
        return False
    _retire(session, names, kept)
    now = TableSchema(columns_of(found), schema.key, schema.append_only)
    shape = _install(session, names, table, found, now, confirmed=True)
    told = change or ShapeChange(False, "the table's unique keys, or what is declared of it, changed")
    session.execute(sql.add_shape_change(names), (shape.number, told.body()))
    return True


def fits(
    session: sqlite3.Connection, names: LogNames, table: TableId, schema: TableSchema, kept: KeptTable
) -> bool:
    """Whether the triggers are there, unchanged, and write all that the table has by now.

    Raises:
        SourceNotReady: the table got what triggers cannot follow.
    """
    found = find_relation(session, table)
    if found is None:
        return False
    problems = list(table_problems(session, table, replace(schema, columns=columns_of(found), key=()), found))
    if problems:
        raise not_ready(problems, str(table))
    return (
        dict(kept.shape.columns) == _declared(found)
        and _standing(session, kept) == kept.triggers
        and _fire_first(session, kept)
        and wanted_triggers(session, names, kept.shape, found, kept.append_only) == kept.triggers
    )


def _declared(found: Relation) -> dict[str, str]:
    return {column.name: column.source_type for column in columns_of(found)}


def _standing(session: sqlite3.Connection, kept: KeptTable) -> dict[str, str]:
    rows = session.execute(
        "SELECT name, sql FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?",
        (kept.shape.table,),
    ).fetchall()
    return {name: text for name, text in rows if name in kept.triggers}


def _fire_first(session: sqlite3.Connection, kept: KeptTable) -> bool:
    """The newest trigger fires first. One that is newer than ours and updates the row it is fired for
    would have its change written ahead of the one that led to it."""
    listed = ", ".join("?" for _ in kept.triggers)
    row = session.execute(
        "SELECT 1 FROM main.sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
        f" AND name NOT IN ({listed}) AND rowid > (SELECT min(rowid) FROM main.sqlite_master"
        f" WHERE type = 'trigger' AND name IN ({listed}))",
        (kept.shape.table, *kept.triggers, *kept.triggers),
    ).fetchone()
    return row is None


def _missed(
    session: sqlite3.Connection, names: LogNames, kept: KeptTable, seen: int, *, differs: bool
) -> str:
    """Why the log may lack changes, or values of them; empty if it lacks none."""
    standing = _standing(session, kept)
    if standing.keys() != kept.triggers.keys():
        return "the table was made anew, or its triggers were dropped: changes were not kept"
    if standing != kept.triggers:
        return "a column was renamed, or the triggers were changed"
    if not differs:
        return ""
    row = session.execute(
        f"SELECT 1 FROM main.{identifier(names.log)} WHERE id > ? AND shape = ? LIMIT 1",
        (seen, kept.shape.number),
    ).fetchone()
    return "" if row is None else "rows were written after the table was altered and before its triggers were"


def _filled(session: sqlite3.Connection, table: TableId, found: Relation, before: Shape) -> tuple[str, ...]:
    """Columns that came and hold a value in some row."""
    added = [column.name for column in found.replicated if column.name not in before.names]
    return tuple(
        name
        for name in added
        if session.execute(
            f"SELECT 1 FROM {relation(table)} WHERE {identifier(name)} IS NOT NULL LIMIT 1"
        ).fetchone()
    )


def _install(
    session: sqlite3.Connection,
    names: LogNames,
    table: TableId,
    found: Relation,
    schema: TableSchema,
    *,
    confirmed: bool,
) -> Shape:
    shapes = f"main.{identifier(names.shapes)}"
    (number,) = session.execute(f"SELECT coalesce(max(shape), 0) + 1 FROM {shapes}").fetchone()
    shape = shape_of(number, table.name, schema)
    widen(session, names, len(schema.columns))
    made = wanted_triggers(session, names, shape, found, schema.append_only)
    for statement in made.values():
        session.execute(statement)
    told = json.dumps({"triggers": made, "append_only": schema.append_only})
    session.execute(
        f"INSERT INTO {shapes} VALUES (?, ?, ?, ?, 1, ?)", (number, table.name, shape.body(), told, confirmed)
    )
    return shape


def _retire(session: sqlite3.Connection, names: LogNames, kept: KeptTable) -> None:
    """The shape stays: changes that it was written for may not be read yet."""
    for name in kept.triggers:
        session.execute(f"DROP TRIGGER IF EXISTS main.{identifier(name)}")
    session.execute(
        f"UPDATE main.{identifier(names.shapes)} SET live = 0 WHERE shape = ?", (kept.shape.number,)
    )


def _see(session: sqlite3.Connection, names: LogNames) -> None:
    session.execute(f"UPDATE main.{identifier(names.state)} SET seen = ?", (newest(session, names),))
