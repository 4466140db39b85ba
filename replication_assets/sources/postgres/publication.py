"""What capture needs on the server, and its removal: two publications and one slot.

Tables whose rows are updated and deleted are in the first publication. Those declared
append-only are in the second, which publishes inserts and truncates alone: a table without
a replica identity in a publication of updates would make the application's own UPDATE
statements fail, and that must never be our doing.

Nothing here touches an object of another name. The slot comes after the publications,
because the change stream reads them as they were at each change's time.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.core.table_problems import not_ready
from replication_assets.errors import SlotBusy, SlotLost
from replication_assets.ports import CaptureSetup
from replication_assets.sources.postgres.connection import PostgresConnection, connect, source_errors
from replication_assets.sources.postgres.lsn import parse_lsn
from replication_assets.sources.postgres.membership import (
    Publication,
    confirm,
    find_publication,
    record,
)
from replication_assets.sources.postgres.preflight import setup_problems
from replication_assets.sources.postgres.quoting import identifier, literal
from replication_assets.sources.postgres.reflection import (
    Relation,
    find_relation,
)
from replication_assets.sources.postgres.slot import Slot, find_slot
from replication_assets.sources.postgres.snapshot import create_slot

_PUBLISH = "insert, update, delete, truncate"
_PUBLISH_APPEND = "insert, truncate"
_NAME_BYTES = 63
_TERMINATE_SECONDS = 10.0

Tables = Sequence[tuple[TableId, TableSchema]]


@dataclass(frozen=True, slots=True)
class CaptureNames:
    """The objects on the server that belong to one source. Slot names are of `[a-z0-9_]`."""

    slot: str
    publication: str
    append_publication: str

    @classmethod
    def of(cls, source: str, slot: str | None = None, publication: str | None = None) -> CaptureNames:
        """`ra_<source>` unless named otherwise.

        Raises:
            ValueError: a name is too long, or no name of a slot.
        """
        slot = slot or f"ra_{_slot_word(source)}"
        publication = publication or f"ra_{source}"
        names = cls(slot, publication, f"{publication}_append")
        if not re.fullmatch(r"[a-z0-9_]{1,63}", slot):
            raise ValueError(f"{slot!r} is no slot name: use at most {_NAME_BYTES} of a-z, 0-9 and _")
        if len(names.append_publication.encode()) > _NAME_BYTES:
            raise ValueError(f"{names.append_publication!r} is longer than {_NAME_BYTES} bytes")
        return names

    @property
    def publications(self) -> tuple[str, str]:
        return (self.publication, self.append_publication)


def _slot_word(source: str) -> str:
    """The name itself where a slot can be called so, else with a digest that keeps it apart."""
    word = re.sub(r"[^a-z0-9_]", "_", source.lower())[:40]
    return word if word == source else f"{word}_{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def setup_capture(
    connection: PostgresConnection, names: CaptureNames, tables: Tables, wait: float
) -> CaptureSetup:
    """Create or bring up to date the publications and the slot; see `ports.ChangeSource.setup`.

    Views and foreign tables are passed over: they can be loaded, never captured.

    Raises:
        SourceNotReady: everything that the server, the role or the tables lack.
        SlotLost: the slot exists and its log is gone.
        LoadBlocked: running transactions keep the slot from being created.
    """
    with connect(connection) as session, source_errors(connection.where):
        found = [(table, schema, find_relation(session, table)) for table, schema in tables]
        slot = find_slot(session, names.slot)
        if slot is not None and slot.is_lost:
            raise SlotLost(
                f"slot {names.slot} is lost: {slot.reason}",
                where=connection.where,
                fix="recover the source, which makes a new slot, and load every id range again",
            )
        problems = setup_problems(session, names.slot, slot, found, names.publications)
        if problems:
            raise not_ready(problems, connection.where)
        captured = [(t, s.append_only, r) for t, s, r in found if r is not None and r.can_be_captured]
        with session.transaction():
            added, kept = list[TableId](), dict[str, set[int]]()
            for append, name in enumerate(names.publications):
                before = find_publication(session, name)
                wanted = {relation.oid: table for table, a, relation in captured if a == append}
                held = {oid for oid in wanted if _holds(before, oid, bool(append))}
                added += [table for oid, table in wanted.items() if oid not in held]
                _drop_tables(session, before, wanted)
                kept[name] = held
            for append, name in enumerate(names.publications):
                members = [(table, relation) for table, a, relation in captured if a == append]
                _publish(session, name, bool(append), members)
                record(session, name, kept[name])
    start = create_slot(connection, names.slot, wait) if slot is None else parse_lsn(slot.confirmed)
    return CaptureSetup(start, tuple(added))


def unpublished(session: psycopg.Connection[Any], names: CaptureNames, tables: Tables) -> list[TableId]:
    """Tables that exist and whose changes may have been left out since setup published them."""
    found = [find_publication(session, name) for name in names.publications]
    oids = _oids(session, [table for table, _ in tables])
    return [
        table
        for table, schema in tables
        if table in oids and not _holds(found[schema.append_only], oids[table], schema.append_only)
    ]


def _oids(session: psycopg.Connection[Any], tables: Sequence[TableId]) -> dict[TableId, int]:
    rows = session.execute(
        "SELECT t.number::int, c.oid::bigint FROM unnest(%s::text[], %s::text[])"
        " WITH ORDINALITY AS t(schema, name, number)"
        " JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema"
        " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.name",
        ([table.schema for table in tables], [table.name for table in tables]),
    )
    return {tables[number - 1]: oid for number, oid in rows}


def confirm_capture(connection: PostgresConnection, names: CaptureNames) -> None:
    """See `ports.ChangeSource.confirm_setup`."""
    with connect(connection) as session, source_errors(connection.where), session.transaction():
        for name in names.publications:
            confirm(session, name)


def _holds(publication: Publication | None, table: int, append: bool) -> bool:
    return publication is not None and publication.holds(table, published_operations(append))


def published_operations(append_only: bool) -> str:
    """As ALTER PUBLICATION spells them."""
    return _PUBLISH_APPEND if append_only else _PUBLISH


def _publish(
    session: psycopg.Connection[Any],
    name: str,
    append: bool,
    tables: Iterable[tuple[TableId, Relation]],
) -> None:
    found, quoted, publish = find_publication(session, name), identifier(name), published_operations(append)
    options = f"publish = {literal(publish)}, publish_via_partition_root = false"
    if found is None:
        session.execute(f"CREATE PUBLICATION {quoted} WITH ({options})")
    elif found.operations != publish or found.via_root:
        session.execute(f"ALTER PUBLICATION {quoted} SET ({options})")
    present = found.members if found is not None else {}
    missing = [(table, relation) for table, relation in tables if relation.oid not in present]
    if missing:
        members = ", ".join(_member(table, relation) for table, relation in missing)
        session.execute(f"ALTER PUBLICATION {quoted} ADD TABLE {members}")


def _drop_tables(
    session: psycopg.Connection[Any], publication: Publication | None, wanted: Collection[int]
) -> None:
    """Take out what is no longer declared, and what someone gave a row filter or column list."""
    members = publication.members if publication is not None else {}
    gone = [m.name for oid, m in members.items() if m.partial or oid not in wanted]
    if publication is not None and gone:
        session.execute(f"ALTER PUBLICATION {identifier(publication.name)} DROP TABLE {', '.join(gone)}")


def _member(table: TableId, relation: Relation) -> str:
    # A table that others inherit from is published alone, as it is loaded alone.
    only = "" if relation.kind == "p" else "ONLY "
    return f"{only}{identifier(table.schema)}.{identifier(table.name)}"


def teardown_capture(connection: PostgresConnection, names: CaptureNames, *, force: bool = False) -> None:
    """Drop the slot and the publications. Idempotent.

    Raises:
        SlotBusy: a capture reads the slot, and `force` was not asked for.
    """
    with connect(connection) as session, source_errors(connection.where):
        slot = find_slot(session, names.slot)
        if slot is not None and slot.database == connection.database:
            if slot.active_pid is not None:
                _end_reader(session, slot, force, connection.where)
            session.execute("SELECT pg_drop_replication_slot(%s)", (names.slot,))
        for publication in names.publications:
            session.execute(f"DROP PUBLICATION IF EXISTS {identifier(publication)}")


def _end_reader(session: psycopg.Connection[Any], slot: Slot, force: bool, where: str) -> None:
    if not force:
        raise SlotBusy(
            f"slot {slot.name} is read by pid {slot.active_pid}",
            where=where,
            fix="stop the capture first, or tear down with force",
        )
    session.execute("SELECT pg_terminate_backend(%s)", (slot.active_pid,))
    deadline = time.monotonic() + _TERMINATE_SECONDS
    while (found := find_slot(session, slot.name)) is not None and found.active_pid is not None:
        if time.monotonic() > deadline:
            raise SlotBusy(f"slot {slot.name} is still read by pid {found.active_pid}", where=where)
        time.sleep(0.05)
