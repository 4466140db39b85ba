"""Rules of environments: what may be one, and that no two of them, nor production, are one database."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields

from replication_assets.catalog_rules.masking import DATA_CLASS
from replication_assets.declarations.base import Declaration, LiteralSecret
from replication_assets.declarations.environments import (
    Environment,
    MySqlTarget,
    OracleTarget,
    PostgresTarget,
    ProjectionDatabase,
    SqliteTarget,
    SqlServerTarget,
)
from replication_assets.declarations.sources import (
    MySqlSourceConfig,
    OracleSourceConfig,
    PostgresSourceConfig,
    SourceConfig,
    SqlServerSourceConfig,
)
from replication_assets.declared_types import type_problems
from replication_assets.secret_references import EnvVar

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_PREFIX = re.compile(r"[A-Za-z0-9_$]{0,32}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def environment_form(environment: Environment) -> Iterator[str]:
    """Wrong types, and credentials that were given as text, of an environment and its target."""
    yield from form(environment)
    if isinstance(environment.target, PostgresTarget | MySqlTarget | SqliteTarget):
        yield from (f"target {problem}" for problem in form(environment.target))


def form(declared: Declaration) -> Iterator[str]:
    """Wrong types, and credentials that were given as text (and dropped), of one declaration."""
    secret = [each.name for each in fields(declared) if _is_secret(getattr(declared, each.name))]  # type: ignore[arg-type]
    for name in secret:
        variable = f"{getattr(declared, 'name', '')}_{name}".strip("_").upper()
        yield f"{name} holds a credential (dropped). Fix: give it by reference, as EnvVar({variable!r})"
    yield from type_problems(declared, skip=secret)


def _is_secret(value: object) -> bool:
    parts = value if isinstance(value, tuple) else [value]
    return any(isinstance(part, LiteralSecret) for part in parts)


def environment_rules(environment: Environment) -> Iterator[str]:
    """What is wrong with one environment whose fields are of the right types."""
    for name in environment.allow:
        if name == "secret" or name.startswith("secret."):
            yield f"allow has {name!r}: secrets are never kept. Fix: leave it out"
        elif not DATA_CLASS.fullmatch(name):
            yield f"allow has {name[:40]!r}, which is no class. Fix: as 'public' or 'internal'"
    if environment.mask_scope == "":
        yield "mask_scope is empty. Fix: a name that environments share, or None"
    if any(not reader for reader in environment.readers):
        yield "readers has an empty name. Fix: names of roles"
    if isinstance(environment.mask_key, EnvVar) and not _VARIABLE.fullmatch(environment.mask_key.name):
        yield "mask_key names no environment variable. Fix: EnvVar takes the variable's name, not its value"
    yield from (f"target {problem}" for problem in target_rules(environment.target))


def target_rules(target: ProjectionDatabase) -> Iterator[str]:
    """What is wrong with a database whose fields are of the right types."""
    if isinstance(target, SqliteTarget):
        if not target.folder:
            yield "folder is empty. Fix: where the files go"
        return
    for field in ("host", "user", "database", "service"):
        if getattr(target, field, "given") == "":
            yield f"{field} is empty. Fix: where and as whom to connect"
    if not 1 <= target.port <= 65535:
        yield f"port {target.port} is not between 1 and 65535. Fix: the server's port"
    if isinstance(target.password, EnvVar) and not _VARIABLE.fullmatch(target.password.name):
        yield "password names no environment variable. Fix: EnvVar takes the variable's name, not its value"
    if isinstance(target, MySqlTarget):
        if not _PREFIX.fullmatch(target.prefix):
            yield "prefix is no part of a database's name. Fix: up to 32 letters, digits and _"
        if host_of(target.host) != "localhost" and not target.sslrootcert and not target.host.startswith("/"):
            yield "is on another machine, and without TLS. Fix: sslrootcert, the certificate of its authority"
    if isinstance(target, SqlServerTarget):
        yield from sqlserver_rules(target)
    if isinstance(target, OracleTarget):
        yield from oracle_rules(target)


def sqlserver_rules(declared: SqlServerTarget | SqlServerSourceConfig) -> Iterator[str]:
    """What is wrong with a login of SQL Server besides fields that are empty."""
    if any(part in declared.host for part in ",;\\"):
        yield "host names a port or an instance. Fix: the host alone, and the instance's port as port"
    if declared.server_certificate is not None and (
        declared.encrypt == "no" or declared.trust_server_certificate
    ):
        yield (
            "server_certificate has no meaning where no certificate is verified. Fix: leave it out, or"
            " encrypt='yes' without trust_server_certificate"
        )


def shared_targets(environments: Sequence[Environment], sources: Sequence[SourceConfig]) -> Iterator[str]:
    """Environments that would overwrite each other, or a source: text only, nothing is connected to."""
    production = {
        ("postgresql", host_of(source.host), source.port, source.database): source.name
        for source in sources
        if isinstance(source, PostgresSourceConfig)
    }
    servers = {
        (host_of(source.host), source.port): source.name
        for source in sources
        if isinstance(source, MySqlSourceConfig)
    }
    owners: dict[tuple[object, ...], list[str]] = {}
    for environment in environments:
        target = environment.target
        if isinstance(target, MySqlTarget) and (shared := servers.get((host_of(target.host), target.port))):
            yield (
                f"environment {environment.name}: target is the server of source {shared!r}: "
                "that is production. Fix: another server"
            )
        place = place_of(environment.target)
        owners.setdefault(place, []).append(environment.name)
        if place in production:
            yield (
                f"environment {environment.name}: target is the database of source {production[place]!r}: "
                "that is production. Fix: a database of its own, on another server"
            )
    for names in owners.values():
        if len(set(names)) > 1:
            yield (
                f"environments: {' and '.join(names)} have one target: each would overwrite the other's "
                "copy. Fix: a database each"
            )


def place_of(target: ProjectionDatabase) -> tuple[object, ...]:
    """Equal where two targets are one, as far as their texts tell."""
    if isinstance(target, PostgresTarget):
        return ("postgresql", host_of(target.host), target.port, target.database)
    if isinstance(target, MySqlTarget):
        return ("mysql", host_of(target.host), target.port, target.prefix)
    if isinstance(target, SqlServerTarget):
        return sqlserver_place(target)
    if isinstance(target, OracleTarget):
        return oracle_place(target)
    return ("sqlite", posixpath.normpath(target.folder))


def sqlserver_place(declared: SqlServerTarget | SqlServerSourceConfig) -> tuple[object, ...]:
    """Names of databases are compared without case, as most servers do."""
    return ("sqlserver", host_of(declared.host), declared.port, declared.database.lower())


def oracle_rules(declared: OracleTarget | OracleSourceConfig) -> Iterator[str]:
    """What is wrong with a login of Oracle besides fields that are empty."""
    secret = declared.wallet_password
    if isinstance(secret, EnvVar) and not _VARIABLE.fullmatch(secret.name):
        yield "wallet_password names no environment variable. Fix: EnvVar takes the variable's name"
    for field in ("wallet", "server_name"):
        if getattr(declared, field) is not None and not declared.tls:
            yield f"{field} has no meaning without TLS. Fix: tls=True, or leave it out"
    if secret is not None and declared.wallet is None:
        yield "wallet_password is given without a wallet. Fix: wallet=, the folder with ewallet.pem"


def oracle_place(declared: OracleTarget | OracleSourceConfig) -> tuple[object, ...]:
    """Names of services are compared without case, as listeners do."""
    return ("oracle", host_of(declared.host), declared.port, declared.service.lower())


def host_of(host: str) -> str:
    name = host.lower().rstrip(".")
    return "localhost" if name in _LOCAL else name
