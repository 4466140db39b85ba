"""What the connecting account may do, from SHOW GRANTS: privileges of active roles are among them.

The text of a grant may hold a password's hash. It is taken apart here and never passed on.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from replication_assets.sources.mysql.connection import Session, literal

_GRANT = re.compile(r"GRANT (?P<names>.+?) ON (?P<level>\S.*?) TO ", re.IGNORECASE | re.DOTALL)
_COLUMNS = re.compile(r"\([^()]*\)")
_EVERYTHING = "ALL PRIVILEGES"


@dataclass(frozen=True, slots=True)
class Grants:
    """Privileges by the database they are granted on; `*` for all of them. Grants on single tables
    are left out: whether a table can be read is asked of the table."""

    by_database: tuple[tuple[str, frozenset[str]], ...]

    def on(self, database: str) -> frozenset[str]:
        """Privileges on all of a database, whether granted on it, on a pattern or on all databases."""
        found = [names for pattern, names in self.by_database if _covers(pattern, database)]
        return frozenset().union(*found)

    def has(self, names: Collection[str], database: str = "") -> bool:
        """Whether one of the privileges is there: on a database, or on the whole server."""
        found = self.on(database) if database else self._everywhere()
        return bool(found & ({*names, _EVERYTHING}))

    def _everywhere(self) -> frozenset[str]:
        return frozenset().union(*(names for pattern, names in self.by_database if pattern == "*"))


def read_grants(session: Session) -> Grants:
    """Privileges of the session's account and of its active roles."""
    query = "SHOW GRANTS"
    if not session.is_mariadb and session.version >= (8, 0):
        row = session.row("SELECT CURRENT_ROLE()")
        if row is not None and row[0] and str(row[0]) != "NONE":
            query = f"SHOW GRANTS FOR CURRENT_USER() USING {row[0]}"
    found = []
    for (text,) in session.rows(query):
        match = _GRANT.match(str(text))
        if match is None:
            continue
        names = frozenset(name.strip().upper() for name in _COLUMNS.sub("", match["names"]).split(","))
        database, _, table = match["level"].rpartition(".")
        if table == "*":
            found.append((_plain(database), names))
    return Grants(tuple(found))


def current_account(session: Session) -> str:
    """The account that the session runs under, as GRANT wants it."""
    row = session.row("SELECT CURRENT_USER()")
    user, _, host = str(row[0] if row else "@").rpartition("@")
    return f"{literal(user)}@{literal(host)}"


def _plain(name: str) -> str:
    if len(name) > 1 and name[0] == name[-1] in '`"':
        return name[1:-1].replace(name[0] * 2, name[0])
    return name


def _covers(pattern: str, database: str) -> bool:
    r"""Names of databases in grants are LIKE patterns: `%`, `_`, and `\_` for the letter itself."""
    if pattern == "*":
        return True
    parts = re.split(r"(\\[%_\\]|[%_])", pattern)
    wildcards = {"%": ".*", "_": "."}
    found = "".join(wildcards.get(part, re.escape(part.removeprefix("\\"))) for part in parts)
    return re.fullmatch(found, database, re.DOTALL) is not None
