"""Who writes to tables: sessions that hold what only writers take, and statements that stop them.

Query texts are never read: they hold cell values.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import TableId
from replication_assets.errors import SourceNotReady
from replication_assets.ports import Writer
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import server
from replication_assets.sources.sqlserver.statements.names import quoted


def writers(session: Session, tables: Sequence[TableId]) -> tuple[Writer, ...]:
    """See `ports.ChangeSource.writers`.

    Raises:
        SourceNotReady: the account may not see other people's locks.
    """
    ((*_, may_look, user),) = session.rows(server.PERMISSIONS)
    if not may_look:
        raise SourceNotReady(
            "the account may not see who writes",
            where=session.where,
            fix=f"GRANT VIEW DATABASE STATE TO {quoted(str(user))}",
        )
    found: dict[int, Writer] = {}
    for table in tables:
        for number, login, program, state, seconds in session.rows(server.writers(table)):
            known = found.get(int(number))
            written = (*known.tables, table) if known is not None else (table,)
            age = None if seconds is None else float(seconds)
            found[int(number)] = Writer(
                f"session {number}",
                str(login),
                str(program),
                str(state),
                age,
                written,
                f"{server.kill(int(number))};",
            )
    return tuple(sorted(found.values(), key=lambda each: -(each.seconds or 0)))


def stop_writes(session: Session, tables: Sequence[TableId]) -> tuple[str, ...]:
    """See `ports.ChangeSource.stop_writes`."""
    revoked = [
        server.revoke(str(permission), table, str(user))
        for table in tables
        for permission, user in session.rows(server.granted_writers(table))
    ]
    return (
        "-- Either the whole database, which ends every session in it:",
        "ALTER DATABASE CURRENT SET READ_ONLY WITH ROLLBACK IMMEDIATE;",
        "-- or these tables, for everybody but their owners (a capture still needs to write to its own):",
        *(server.deny_writes(table) for table in tables),
        "-- or what is granted on them one by one:",
        *revoked,
        "-- Roles (db_owner, db_datawriter) and grants on a schema or the database stay: look at them too.",
    )
