"""Statements that people are told to run: what mends a database that is not ready. Never run here."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.sources.oracle.statements.names import quoted

ARCHIVELOG = ("SHUTDOWN IMMEDIATE", "STARTUP MOUNT", "ALTER DATABASE ARCHIVELOG", "ALTER DATABASE OPEN")
SUPPLEMENTAL = "ALTER DATABASE ADD SUPPLEMENTAL LOG DATA"
UNDO_RETENTION = "ALTER SYSTEM SET UNDO_RETENTION = {seconds}"
KEEP_ARCHIVED = "RMAN: CONFIGURE ARCHIVELOG DELETION POLICY TO BACKED UP 1 TIMES TO DISK"


def supplemental(owner: str, name: str) -> str:
    """Redo of the table then carries every column of the old row."""
    return f"ALTER TABLE {quoted(owner, name)} ADD SUPPLEMENTAL LOG DATA (ALL) COLUMNS"


def undo_retention(seconds: int) -> str:
    return UNDO_RETENTION.format(seconds=seconds)


def grant_system(privilege: str, user: str) -> str:
    return f"GRANT {privilege} TO {quoted(user)}"


def grant_object(privileges: str, owner: str, name: str, user: str) -> str:
    return f"GRANT {privileges} ON {quoted(owner, name)} TO {quoted(user)}"


def grant_view(view: str, user: str) -> str:
    """A `V$` view is a synonym, which nobody can be granted."""
    return f"GRANT SELECT ON SYS.{view.replace('V$', 'V_$')} TO {quoted(user)}"


def revoke(privileges: Sequence[str], owner: str, name: str, grantee: str) -> str:
    return f"REVOKE {', '.join(privileges)} ON {quoted(owner, name)} FROM {quoted(grantee)}"


def logging(owner: str, name: str) -> str:
    return f"ALTER TABLE {quoted(owner, name)} LOGGING"


def log_large_object(owner: str, name: str, column: str) -> str:
    """Redo then carries what is written into the large object."""
    return f"ALTER TABLE {quoted(owner, name)} MODIFY LOB ({quoted(column)}) (NOCACHE LOGGING)"


def store_in_row(owner: str, name: str, column: str) -> str:
    """Moves the table's large objects: it is locked meanwhile, and its indexes are to be rebuilt."""
    storage = "STORE AS SECUREFILE (ENABLE STORAGE IN ROW)"
    return f"ALTER TABLE {quoted(owner, name)} MOVE LOB ({quoted(column)}) {storage}"


def primary_key(owner: str, name: str) -> str:
    return f"ALTER TABLE {quoted(owner, name)} ADD PRIMARY KEY (...)"


def read_only(owner: str, name: str) -> str:
    return f"ALTER TABLE {quoted(owner, name)} READ ONLY"


def create_index(owner: str, name: str, column: str) -> str:
    index = f"IX_{column}".encode()[:30].decode(errors="ignore")
    return f"CREATE INDEX {quoted(owner, index)} ON {quoted(owner, name)} ({quoted(column)})"


def end_in_doubt(transaction: str) -> str:
    return f"ROLLBACK FORCE '{transaction}'"


def unlimited(user: str, tablespace: str) -> str:
    return f"ALTER USER {quoted(user)} QUOTA UNLIMITED ON {quoted(tablespace)}"
