"""Who writes to tables: transactions that have not ended, and statements that stop them.

A transaction that changed a table holds a lock on it until it ends, and the lock names the table. Texts of
statements are never read: they hold cell values.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import TableId
from replication_assets.ports import Writer
from replication_assets.sources.oracle.reflection import names_of
from replication_assets.sources.oracle.sessions import Row, Session
from replication_assets.sources.oracle.statements import catalog, log, mending
from replication_assets.sources.oracle.statements.names import quoted


def writers(session: Session, tables: Sequence[TableId]) -> tuple[Writer, ...]:
    """See `ports.ChangeSource.writers`. A transaction whose tables are not told counts as one of all."""
    wanted = {(table.schema, table.name): table for table in tables}
    found: dict[tuple[int, int, int], list[Row]] = {}
    for row in session.rows(catalog.WRITERS):
        found.setdefault((int(row[0]), int(row[1]), int(row[2])), []).append(row)
    ours = [_writer(who, locks, wanted) for who, locks in found.items()]
    return (*(writer for writer in ours if writer.tables), *_in_doubt(session, tables))


def _writer(who: tuple[int, int, int], locks: list[Row], wanted: dict[tuple[str, str], TableId]) -> Writer:
    locked = {(str(row[7]), str(row[8])) for row in locks if row[7] is not None}
    # Without a lock that names a table nothing is known of it.
    tables = [table for name, table in wanted.items() if not locked or name in locked]
    _, _, _, user, program, state, seconds = locks[0][:7]
    instance, sid, serial = who
    return Writer(
        f"session {sid},{serial},@{instance}",
        str(user or ""),
        str(program or ""),
        str(state or ""),
        None if seconds is None else float(seconds),
        tuple(tables),
        f"{log.kill(instance, sid, serial)};",
    )


def _in_doubt(session: Session, tables: Sequence[TableId]) -> list[Writer]:
    """Distributed transactions that were prepared: no session needs to hold them, and no lock tells."""
    return [
        Writer(
            f"distributed transaction {name}",
            "",
            "",
            str(state),
            None,
            tuple(tables),
            f"{mending.end_in_doubt(str(name))};",
        )
        for name, state in session.rows(catalog.IN_DOUBT)
    ]


def stop_writes(session: Session, tables: Sequence[TableId]) -> tuple[str, ...]:
    """See `ports.ChangeSource.stop_writes`."""
    revoked = []
    for table in tables:
        grants: dict[str, list[str]] = {}
        for grantee, privilege in session.rows(catalog.TABLE_GRANTS, names_of(table)):
            grants.setdefault(str(grantee), []).append(str(privilege))
        revoked += [
            f"{mending.revoke(names, table.schema, table.name, grantee)};"
            for grantee, names in grants.items()
        ]
    owners = ", ".join(sorted({quoted(table.schema) for table in tables}))
    return (
        "-- Either these tables for everybody (waits for open transactions; READ WRITE is the way back):",
        *(f"{mending.read_only(table.schema, table.name)};" for table in tables),
        "-- or for those who were granted it, from their next statement on:",
        *revoked,
        f"-- owners ({owners}) and accounts with INSERT, UPDATE or DELETE ANY TABLE still write: lock them",
        "-- and end the sessions that are open: V$TRANSACTION names them.",
    )
