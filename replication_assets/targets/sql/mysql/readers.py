"""Who may read the published copy: accounts and roles of the server, by database.

The grant is on a database, not on its tables: it is there before the tables are, and stays when they
are exchanged. In a grant `_` and `%` of a database's name are wildcards, so they are escaped.
"""

from __future__ import annotations

import sqlalchemy as sa

from replication_assets.errors import RefreshError
from replication_assets.targets.sql.mysql.connection import literal, run

_NO_SUCH_GRANT = frozenset({1141, 1133, 1269, 1959, 3523})


def account(reader: str) -> str:
    """`name` or `name@host`, quoted. A name alone is a role, or the account from everywhere."""
    name, separator, host = reader.rpartition("@")
    return f"{literal(name)}@{literal(host)}" if separator else literal(reader)


def require(connection: sa.Connection, reader: str) -> None:
    """Raises RefreshError if there is no such account or role."""
    if not _succeeds(connection, f"SHOW GRANTS FOR {account(reader)}"):
        raise RefreshError(
            f"there is no account or role {reader!r}",
            fix="create it, or take it out of the environment's readers",
        )


def allow(connection: sa.Connection, reader: str, database: str) -> None:
    if not _succeeds(connection, f"GRANT SELECT, SHOW VIEW ON {_pattern(database)}.* TO {account(reader)}"):
        require(connection, reader)


def forbid(connection: sa.Connection, reader: str, database: str) -> None:
    """Whether or not it was allowed, and whether or not the account is still there."""
    _succeeds(connection, f"REVOKE SELECT, SHOW VIEW ON {_pattern(database)}.* FROM {account(reader)}")


def _pattern(database: str) -> str:
    return "`" + database.replace("`", "``").replace("_", r"\_").replace("%", r"\%") + "`"


def _succeeds(connection: sa.Connection, statement: str) -> bool:
    """False if there is no such account, role or grant."""
    from pymysql import MySQLError

    try:
        run(connection, statement)
    except MySQLError as error:
        if error.args and error.args[0] in _NO_SUCH_GRANT:
            return False
        raise
    return True
