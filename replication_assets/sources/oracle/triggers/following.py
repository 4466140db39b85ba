"""Following a table: its trigger is made, exchanged where columns change, and taken away.

Every shape of a table has a table of the log to itself. Where a table's columns change, the new shape is
told in the log by a row of kind `S`, and then its trigger is replaced by one statement: no change is made
without a trigger, and what the new one writes follows that row.

What the trigger missed is known by comparison: it is gone or was released, the numbers of the table's
segments are others (TRUNCATE, EXCHANGE PARTITION, MOVE), or rows were written after columns had changed. Each
ends in a load, which the `S` row asks for.
"""

from __future__ import annotations

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.trigger_log import SHAPED, ShapeChange, shape_of
from replication_assets.errors import LoadBlocked, SourceNotReady, SourceUnavailable
from replication_assets.sources.oracle import schema_watch
from replication_assets.sources.oracle.reflection import (
    catalog_columns,
    current_user,
    find_relation,
    names_of,
    table_columns,
)
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import trigger_log
from replication_assets.sources.oracle.statements import triggers as sql
from replication_assets.sources.oracle.statements.triggers import LogNames
from replication_assets.sources.oracle.triggers.compiling import compile_unit, try_trigger
from replication_assets.sources.oracle.triggers.shapes import (
    KeptShape,
    StandingTrigger,
    name_of,
    segments_body,
    segments_of,
    standing_triggers,
)

_MISSED = (
    "its trigger was gone or released, or the table was truncated or its rows moved: changes were not kept"
)


def is_released(standing: StandingTrigger | None) -> bool:
    """Whether somebody disabled the trigger, as the release procedure does."""
    return standing is not None and not standing.enabled


def fits(
    session: Session,
    names: LogNames,
    table: TableId,
    kept: KeptShape,
    standing: StandingTrigger | None,
) -> bool:
    """Whether the trigger stands and writes the columns that the table has. Partitions that came since are
    watched from here on.

    Raises:
        SourceNotReady: the trigger was released for an alteration.
    """
    if find_relation(session, table) is None:
        return False
    if is_released(standing):
        raise SourceNotReady(
            "the trigger of the table was released, and its changes are not kept",
            where=str(table),
            fix="alter the table, then set the source up again",
        )
    columns = {column.name: column.source_type for column in table_columns(session, table)}
    same = columns == dict(kept.shape.columns) and kept.settled
    if not same or not _kept_all(session, names, table, kept, standing):
        return False
    _note_segments(session, names, table, kept)
    return True


def _kept_all(
    session: Session, names: LogNames, table: TableId, kept: KeptShape, standing: StandingTrigger | None
) -> bool:
    """Partitions that came are none that went."""
    return (
        standing is not None
        and standing.enabled
        and (standing.owner, standing.table) == (table.schema, table.name)
        and standing.writes == names.changes(kept.shape.number)
        and kept.segments <= segments_of(session, table)
    )


def _note_segments(session: Session, names: LogNames, table: TableId, kept: KeptShape) -> None:
    now = segments_of(session, table)
    if kept.segments < now:
        binds = {"segments": segments_body(now), "shape": kept.shape.number}
        session.run(trigger_log.keep_segments(names), binds)
        session.run(trigger_log.COMMIT)


def follow(
    session: Session, names: LogNames, table: TableId, before: KeptShape, schema: TableSchema, known: int
) -> None:
    """Exchange the table's trigger if it does not fit any more. What the fence `known` shows was written
    while it did."""
    if find_relation(session, table) is None:
        _tell(session, names, before, ShapeChange(True, "the table was dropped or renamed"))
        leave(session, names, before)
        return
    standing = standing_triggers(session, names).get(names.trigger(before.place))
    kept_all = _kept_all(session, names, table, before, standing)
    told = _what_changed(session, names, table, before, schema, known, kept_all=kept_all)
    if told is None:
        if not before.settled:
            _settle(session, names, table, before.shape.number)
        _note_segments(session, names, table, before)
        return
    columns = table_columns(session, table)
    kept_key = set(schema.key) <= {column.name for column in columns}
    now = TableSchema(columns, schema.key if kept_key else (), schema.append_only)
    if standing is not None and (standing.owner, standing.table) != (table.schema, table.name):
        # No trigger moves from one table to another.
        session.run(sql.drop("TRIGGER", standing.name))
    install(session, names, table, now, before=before, told=told, settled=kept_all and before.settled)


def _what_changed(
    session: Session,
    names: LogNames,
    table: TableId,
    before: KeptShape,
    schema: TableSchema,
    known: int,
    *,
    kept_all: bool,
) -> ShapeChange | None:
    """None if nothing did."""
    reasons = [] if kept_all else [_MISSED]
    if before.shape.key != schema.key:
        reasons.append(f"the key changed to {', '.join(schema.key) or 'nothing'}")
    columns = table_columns(session, table)
    filled = schema_watch.filled_columns(catalog_columns(session, table))
    held = before.schema(TableSchema(columns))
    difference = schema_watch.compare(held, columns, filled)
    if difference is None:
        if not reasons and before.append_only == schema.append_only:
            return None
        return ShapeChange(bool(reasons), "; ".join(reasons) or "what is declared of the table changed")
    if _wrote_since(session, names, before, known):
        reasons.append("changes were written after the table was altered and before its trigger was")
    return ShapeChange(
        bool(reasons) or difference.reload,
        "; ".join([*reasons, difference.reason]),
        difference.added,
        difference.dropped,
    )


def _wrote_since(session: Session, names: LogNames, before: KeptShape, known: int) -> bool:
    query = trigger_log.is_unshown(names, names.changes(before.shape.number), "known")
    row = one_row(session, query, {"known": known})
    return row is None or bool(int(row[0]))


def install(
    session: Session,
    names: LogNames,
    table: TableId,
    schema: TableSchema,
    *,
    before: KeptShape | None,
    told: ShapeChange | None,
    settled: bool = False,
) -> None:
    """`settled`: every transaction that wrote to the table has a trigger's rows in the log."""
    number = _next_number(session, names)
    place = number if before is None else before.place
    session.run(sql.create_changes(names, number, schema.columns))

    def made(name: str, *, disabled: bool) -> str:
        return sql.trigger(
            names,
            name,
            table,
            number,
            schema.names,
            append_only=schema.append_only,
            disabled=disabled,
        )

    try_trigger(session, names, made(names.trial, disabled=True))
    # Fences know the shape before anything is written in it.
    session.rows(trigger_log.lock_state(names))
    kept = KeptShape(
        shape_of(number, name_of(table), schema),
        place,
        segments_of(session, table),
        append_only=schema.append_only,
        live=True,
        settled=settled,
        confirmed=before is not None and before.confirmed,
    )
    session.run(trigger_log.retire_all(names), names_of(table))
    session.run(trigger_log.add_shape(names), kept.binds())
    if told is not None:
        _mark(session, names, number, told)
    session.run(trigger_log.COMMIT)
    compile_unit(session, "TRIGGER", names.trigger(place), made(names.trigger(place), disabled=False))
    if table.schema != current_user(session):
        session.run(sql.grant_release(names, table.schema))
    if not settled:
        _settle(session, names, table, number)


def _next_number(session: Session, names: LogNames) -> int:
    row = one_row(session, trigger_log.next_number(names))
    if row is None:
        raise SourceUnavailable("the sequence of the change log gave no number", where=session.where)
    return int(row[0])


def _settle(session: Session, names: LogNames, table: TableId, number: int) -> None:
    """A transaction that wrote to the table before its trigger did, and that ends after a load, would be in
    neither: so setup waits for those that are open, and no load begins before."""
    try:
        session.run(sql.settle(table))
    except LoadBlocked:
        raise LoadBlocked(
            f"transactions that wrote before the trigger did are open for over {sql.WAIT_SECONDS} s",
            where=str(table),
            fix="let them end, then set the source up again",
        ) from None
    session.run(trigger_log.settled(names), {"shape": number})
    session.run(trigger_log.COMMIT)


def _mark(session: Session, names: LogNames, shape: int, told: ShapeChange) -> None:
    session.run(trigger_log.add_mark(names), {"op": SHAPED, "shape": shape, "note": told.body()})


def _tell(session: Session, names: LogNames, shape: KeptShape, told: ShapeChange) -> None:
    _mark(session, names, shape.shape.number, told)
    session.run(trigger_log.COMMIT)


def leave(session: Session, names: LogNames, before: KeptShape) -> None:
    """Drop the trigger of a shape, whatever its table is called by now. The shape stays: changes that it was
    written for may not be read yet."""
    if names.trigger(before.place) in standing_triggers(session, names):
        session.run(sql.drop("TRIGGER", names.trigger(before.place)))
    session.run(trigger_log.retire(names), {"shape": before.shape.number})
    session.run(trigger_log.COMMIT)
