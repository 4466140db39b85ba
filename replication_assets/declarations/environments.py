"""Environments: named places outside production, and the databases that copies go to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from replication_assets.declarations.base import Declaration
from replication_assets.declarations.sources import EncryptMode, SslMode
from replication_assets.secret_references import SecretReference

Trust: TypeAlias = Literal["nonproduction"]


@dataclass(frozen=True, slots=True)
class PostgresTarget(Declaration):
    """A PostgreSQL database that masked copies or a projection go to. `password`, `sslmode` and
    `sslrootcert` are libpq's."""

    _: KW_ONLY
    host: str
    database: str
    user: str
    port: int = 5432
    password: SecretReference | None = None
    sslmode: SslMode = "require"
    sslrootcert: str | None = None


@dataclass(frozen=True, slots=True)
class MySqlTarget(Declaration):
    """A MySQL or MariaDB server that masked copies or a projection go to: a source's schema becomes a
    database of that name with `prefix` before it. `password` is a reference. `sslrootcert` asks for TLS
    with a verified certificate; without one only a server on this machine is taken."""

    _: KW_ONLY
    host: str
    user: str
    port: int = 3306
    password: SecretReference | None = None
    prefix: str = ""
    sslrootcert: str | None = None


@dataclass(frozen=True, slots=True)
class SqliteTarget(Declaration):
    """SQLite files in a `folder`, one for each schema of a source: masked copies or a projection on a
    laptop."""

    folder: str


@dataclass(frozen=True, slots=True)
class SqlServerTarget(Declaration):
    """A SQL Server database that a projection goes to; masked copies do not. `password` is a reference.
    `encrypt`, `trust_server_certificate` and `server_certificate` are as in `SqlServerSourceConfig`."""

    _: KW_ONLY
    host: str
    database: str
    user: str
    port: int = 1433
    password: SecretReference | None = None
    encrypt: EncryptMode = "yes"
    trust_server_certificate: bool = False
    server_certificate: str | None = None


@dataclass(frozen=True, slots=True)
class OracleTarget(Declaration):
    """An Oracle database that a projection goes to; masked copies do not. A schema is a user, whose name is
    usually in upper case. `service`, `tls`, `wallet`, `wallet_password` and `server_name` are as in
    `OracleSourceConfig`, `password` and `wallet_password` are references."""

    _: KW_ONLY
    host: str
    service: str
    user: str
    port: int = 1521
    password: SecretReference | None = None
    tls: bool = True
    wallet: str | None = None
    wallet_password: SecretReference | None = None
    server_name: str | None = None


DatabaseTarget: TypeAlias = PostgresTarget | MySqlTarget | SqliteTarget
"""What masked copies go to."""

ProjectionDatabase: TypeAlias = PostgresTarget | MySqlTarget | SqliteTarget | SqlServerTarget | OracleTarget
"""What projections go to."""


@dataclass(frozen=True, slots=True)
class Environment(Declaration):
    """A place that takes masked copies only, in the database `target`.

    `mask_key` refers to at least 32 random bytes, as `openssl rand -hex 32` prints them. Masks are
    derived from it and from `mask_scope` (by default the environment's name): environments with the
    same key and scope mask alike, so that joins between their databases hold. `allow` are the
    classes whose columns may be kept as they are. `readers` are roles that may read the copies. `trust` is
    what the database's own marker must say too.
    """

    name: str
    _: KW_ONLY
    target: DatabaseTarget
    mask_key: SecretReference
    mask_scope: str | None = None
    allow: Sequence[str] = ("public",)
    readers: Sequence[str] = ()
    trust: Trust = "nonproduction"

    @property
    def scope(self) -> str:
        return self.mask_scope or self.name
