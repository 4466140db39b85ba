"""Setting the change log up, and taking it away again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.table_problems import not_ready
from replication_assets.ports import CaptureSetup
from replication_assets.sources.oracle.reflection import current_user, find_relation
from replication_assets.sources.oracle.sessions import Server, Session, connected, one_row
from replication_assets.sources.oracle.snapshot import current_scn
from replication_assets.sources.oracle.statements import trigger_log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.status import capture_lock, capture_reader, end_capture, shown
from replication_assets.sources.oracle.triggers.compiling import compile_unit, try_trigger
from replication_assets.sources.oracle.triggers.fences import has_log
from replication_assets.sources.oracle.triggers.following import follow, install, leave
from replication_assets.sources.oracle.triggers.preflight import setup_problems
from replication_assets.sources.oracle.triggers.shapes import (
    live_shapes,
    name_of,
)

Tables = Sequence[tuple[TableId, TableSchema]]


@dataclass(frozen=True, slots=True)
class LogState:
    """`acknowledged`: the fence up to which everything is durable elsewhere."""

    token: str
    acknowledged: int


def read_state(session: Session, names: LogNames) -> LogState | None:
    """None if there is no log."""
    if not has_log(session, names):
        return None
    row = one_row(session, trigger_log.read_state(names))
    return None if row is None else LogState(str(row[0]), int(row[1]))


def setup_log(server: Server, names: LogNames, tables: Tables) -> CaptureSetup:
    """See `ports.ChangeSource.setup`.

    Raises:
        SourceNotReady: everything that the account or the tables lack.
        LoadBlocked: a transaction that wrote to a table before its trigger did stays open.
    """
    with connected(server) as session:
        problems = setup_problems(session, names, tables)
        if problems:
            raise not_ready(problems, server.where)
        session.run(sql.PATIENCE)
        state = _ensure_log(session, names)
        kept = live_shapes(session, names)
        for name in kept.keys() - {name_of(table) for table, _ in tables}:
            leave(session, names, kept[name])
        for table, schema in tables:
            found = find_relation(session, table)
            if found is None or found.kind != "table":
                continue
            if name_of(table) in kept:
                follow(session, names, table, kept[name_of(table)], schema, state.acknowledged)
            else:
                install(session, names, table, schema, before=None, told=None)
        waiting = {name for name, each in live_shapes(session, names).items() if not each.confirmed}
    return CaptureSetup(state.acknowledged, tuple(table for table, _ in tables if name_of(table) in waiting))


def confirm_log(server: Server, names: LogNames) -> None:
    """See `ports.ChangeSource.confirm_setup`."""
    with connected(server) as session:
        if has_log(session, names):
            session.run(trigger_log.confirm(names))
            session.run(trigger_log.COMMIT)


def teardown_log(server: Server, names: LogNames, name: str, *, force: bool) -> None:
    """Remove everything. Idempotent.

    Raises:
        SlotBusy: a capture reads the log, and `force` was not asked for.
        LoadBlocked: a transaction that is in the log stays open; the triggers are gone by then.
    """
    with connected(server) as session:
        end_capture(session, capture_lock(name), force=force)
        session.run(sql.PATIENCE)
        objects = session.rows(sql.OBJECTS, {"ours": names.ours})
        # Triggers first: without the log they would fail writers.
        for wanted in ("TRIGGER", "PROCEDURE", "TABLE", "SEQUENCE"):
            for found, kind in objects:
                if kind == wanted:
                    session.run(sql.drop(wanted, str(found)))


def remains(session: Session, names: LogNames, name: str) -> tuple[str, ...]:
    """See `ports.ChangeSource.remains`."""
    objects = session.rows(sql.OBJECTS, {"ours": names.ours})
    found = [f"{str(kind).lower()} {object_name}" for object_name, kind in objects]
    reader = capture_reader(session, capture_lock(name))
    return (*found, *([] if reader is None else [f"{shown(reader)} reads the change log"]))


def _ensure_log(session: Session, names: LogNames) -> LogState:
    state = read_state(session, names)
    if state is None:
        there = {str(name) for name, _ in session.rows(sql.OBJECTS, {"ours": names.ours})}
        for name, statement in sql.create(names):
            if name == names.shown_index:
                row = one_row(session, sql.INDEX_EXISTS, {"name": name})
                if row is not None and int(row[0]):
                    continue
            if name not in there:
                session.run(statement)
        state = LogState(secrets.token_hex(8), current_scn(session))
        session.run(trigger_log.add_fence(names), {"scn": state.acknowledged})
        session.run(trigger_log.add_state(names), {"token": state.token, "scn": state.acknowledged})
        session.run(trigger_log.COMMIT)
    user = current_user(session)
    compile_unit(session, "PROCEDURE", names.release, sql.release(names, user))
    # Were it made and invalid, nobody could alter anything.
    try_trigger(session, names, sql.guard(names, names.trial, user, disabled=True))
    compile_unit(session, "TRIGGER", names.guard, sql.guard(names, names.guard, user))
    return state
