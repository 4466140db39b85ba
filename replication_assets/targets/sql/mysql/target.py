"""A MySQL or MariaDB server as the database of an environment.

Each schema of a source becomes a database `<prefix><schema>`; records are in
`<prefix>replication_assets`. The account needs, on databases that begin with the prefix, all rights of
a schema's owner and RENAME's (`ALTER, CREATE, DROP, INDEX, INSERT, SELECT, UPDATE, DELETE,
REFERENCES`), and the right to grant SELECT if the environment has readers; the server needs
`local_infile`.

Tested with MariaDB 10.11. Written for MySQL from 8.0.17 on by its manual, and not run against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from replication_assets.targets.sql.mysql.connection import MySqlServer, translated
from replication_assets.targets.sql.mysql.places import Places
from replication_assets.targets.sql.mysql.session import MySqlSession


class MySqlDialect:
    """A `SqlDialect`: a server, and the prefix of the databases that are ours on it."""

    __slots__ = ("__engine", "__server", "_places")

    def __init__(self, server: MySqlServer, prefix: str = "") -> None:
        self.__server = server
        self.__engine: sa.Engine | None = None
        self._places = Places(prefix)

    def __repr__(self) -> str:
        return f"MySqlDialect({self.where!r})"

    @property
    def engine(self) -> str:
        return "mysql"

    @property
    def where(self) -> str:
        return f"{self.__server.where}/{self._places.prefix}*"

    @contextmanager
    def session(self) -> Iterator[MySqlSession]:
        # One engine for all sessions: it asks a server about itself once.
        if self.__engine is None:
            self.__engine = self.__server.engine()
        with translated(self.where), self.__engine.connect() as connection:
            yield MySqlSession(connection, self._places)
