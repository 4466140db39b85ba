"""What can be wrong with declared sources, each kind by its own rules; each with its fix.

Their names, and how sources fit to the rest of a catalog, are the catalog's matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

from replication_assets.catalog_rules.environments import oracle_rules, sqlserver_rules
from replication_assets.core.envelopes.types import spelled_column
from replication_assets.declarations.sources import (
    KafkaSourceConfig,
    LandedSourceConfig,
    MySqlSourceConfig,
    OracleSourceConfig,
    PostgresSourceConfig,
    SourceConfig,
    SqliteSourceConfig,
    SqlServerSourceConfig,
)
from replication_assets.declarations.topics import KafkaProjection
from replication_assets.secret_references import EnvVar

_SLOT = re.compile(r"[a-z0-9_]{1,63}")
_SCHEMA_NAME = 100
_TRIGGER_NAME = 45
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WithLogin: TypeAlias = PostgresSourceConfig | MySqlSourceConfig | SqlServerSourceConfig | OracleSourceConfig


def source_rules(source: SourceConfig) -> Iterator[str]:
    """What is wrong with one source, its name left out."""
    if isinstance(source, PostgresSourceConfig):
        yield from _postgres_rules(source)
    elif isinstance(source, MySqlSourceConfig):
        yield from _mysql_rules(source)
    elif isinstance(source, SqlServerSourceConfig):
        yield from _sqlserver_rules(source)
    elif isinstance(source, OracleSourceConfig):
        yield from _oracle_rules(source)
    elif isinstance(source, KafkaSourceConfig):
        yield from _kafka_rules(source)
    elif isinstance(source, LandedSourceConfig):
        yield from _landed_rules(source)
    else:
        yield from _sqlite_rules(source)
    if not 1 <= source.max_parallel_loads <= 64:
        yield f"max_parallel_loads {source.max_parallel_loads} is not between 1 and 64. Fix: 4 is a start"
    yield from _seconds_rules(source, "capture_interval_seconds")


def _seconds_rules(source: SourceConfig, field: str) -> Iterator[str]:
    if not 0 < getattr(source, field) < float("inf"):
        yield f"{field} is not above 0. Fix: a number of seconds"


def _without_meaning(source: SourceConfig, *fields: str) -> Iterator[str]:
    for field in fields:
        if getattr(source, field) is not None:
            yield f"{field} has no meaning with capture='triggers'. Fix: leave it out, or capture='log'"


def _login_rules(source: _WithLogin, fields: Sequence[str], port: int) -> Iterator[str]:
    for field in fields:
        if not getattr(source, field):
            yield f"{field} is empty. Fix: where and as whom to connect"
    if not 1 <= source.port <= 65535:
        yield f"port {source.port} is not between 1 and 65535. Fix: the server's port, usually {port}"
    if isinstance(source.password, EnvVar) and not _VARIABLE.fullmatch(source.password.name):
        yield "password names no environment variable. Fix: EnvVar takes the variable's name, not its value"


def _mysql_rules(source: MySqlSourceConfig) -> Iterator[str]:
    yield from _login_rules(source, ("host", "user"), 3306)
    if source.server_id is not None and not 0 < source.server_id < 2**32:
        yield f"server_id {source.server_id} is not between 1 and {2**32 - 1}. Fix: one that no replica has"
    if source.capture == "triggers":
        yield from _without_meaning(source, "server_id")
        if len(source.name) > _TRIGGER_NAME:
            yield f"name has more than {_TRIGGER_NAME} letters; triggers bear it. Fix: a shorter one"
    yield from _seconds_rules(source, "load_wait_seconds")


def _sqlserver_rules(source: SqlServerSourceConfig) -> Iterator[str]:
    yield from _login_rules(source, ("host", "database", "user"), 1433)
    yield from sqlserver_rules(source)
    if len(source.name) > _SCHEMA_NAME:
        yield f"the name is longer than {_SCHEMA_NAME} letters. Fix: a shorter one: a schema is named by it"


def _oracle_rules(source: OracleSourceConfig) -> Iterator[str]:
    yield from _login_rules(source, ("host", "service", "user"), 1521)
    yield from oracle_rules(source)
    if source.log_service == "":
        yield "log_service is empty. Fix: the service of the container's root, or None"
    if source.capture == "triggers":
        yield from _without_meaning(source, "log_service")


def _kafka_rules(source: KafkaSourceConfig) -> Iterator[str]:
    yield from bootstrap_rules(source.bootstrap_servers)
    if not source.topics or not all(source.topics) or len(set(source.topics)) < len(source.topics):
        yield "topics is empty, or names one twice. Fix: the topics to read, each once"
    yield from _table_rules(source.columns, "as its messages name it")
    yield from sasl_rules(source)


_STORAGE = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ALLOW_HTTP",
    }
)


def _landed_rules(source: LandedSourceConfig) -> Iterator[str]:
    scheme, separator, rest = source.root.partition("://")
    if not source.root or "\0" in source.root or (separator and (scheme != "s3" or not rest.strip("/"))):
        yield "root is no folder and no s3://bucket/prefix. Fix: where DMS writes to"
    if source.cdc_path is not None and source.cdc_path != (source.cdc_path.strip("/") or None):
        yield "cdc_path is empty, or begins or ends with a slash. Fix: the folder below root, as in 'cdc'"
    yield from _table_rules(source.columns, "as the folders are named")
    if len(source.delimiter) != 1 or not source.delimiter.isascii() or source.delimiter in '"\r\n':
        yield "delimiter is not one ASCII character, or is a quote. Fix: CsvDelimiter of the endpoint"
    for field in ("timestamp_column", "no_sup_value"):
        if getattr(source, field) == "":
            yield f"{field} is empty. Fix: as the endpoint of DMS is set, or None"
    if source.no_sup_value is not None and source.no_sup_value == source.null_value:
        yield "no_sup_value and null_value are the same text. Fix: as the endpoint of DMS is set"
    for table, spelled in source.columns.items():
        if source.timestamp_column is not None and source.timestamp_column in set(_names(spelled)):
            yield f"columns of {table} names timestamp_column. Fix: leave it out: it is the commit time"
    unknown = sorted(set(source.storage_options) - _STORAGE)
    if unknown:
        yield f"storage_options has {', '.join(unknown)}. Fix: of {', '.join(sorted(_STORAGE))}"


def _table_rules(columns: Mapping[str, Sequence[str]], as_named: str) -> Iterator[str]:
    for table, spelled in columns.items():
        if len([name for name in table.split(".") if name]) < 2:
            yield f"columns names {table[:63]!r}, which is no schema.table. Fix: {as_named}"
        yield from _column_rules(table, spelled)


def _names(spelled: Sequence[str]) -> Iterator[str]:
    for each in spelled:
        with suppress(ValueError):
            yield spelled_column(each).name


def _column_rules(table: str, spelled: Sequence[str]) -> Iterator[str]:
    names = []
    for each in spelled:
        try:
            names.append(spelled_column(each).name)
        except ValueError as error:
            yield f"columns of {table}: {error}. Fix: a name and a type, as in 'id bigint'"
    if len(set(names)) < len(names):
        yield f"columns of {table} names a column twice. Fix: each once"


def bootstrap_rules(servers: str) -> Iterator[str]:
    if not all(":" in server for server in servers.split(",")):
        yield "bootstrap_servers is not a list of host:port. Fix: 'b-1.example:9096,b-2.example:9096'"


def sasl_rules(source: KafkaSourceConfig | KafkaProjection) -> Iterator[str]:
    """What is wrong with how brokers are logged in to."""
    named = source.user is not None and source.password is not None
    if source.sasl in ("plain", "scram-sha-256", "scram-sha-512") and not named:
        yield f"sasl={source.sasl!r} has no user or password. Fix: both, the password by reference"
    if source.sasl in (None, "aws-msk-iam") and (source.user is not None or source.password is not None):
        yield "user and password have no meaning without SASL's plain or scram. Fix: sasl, or leave them out"
    if source.sasl in ("plain", "aws-msk-iam") and not source.tls:
        yield f"sasl={source.sasl!r} without TLS shows the secret to the network. Fix: tls=True"
    if isinstance(source.password, EnvVar) and not _VARIABLE.fullmatch(source.password.name):
        yield "password names no environment variable. Fix: EnvVar takes the variable's name, not its value"


def _sqlite_rules(source: SqliteSourceConfig) -> Iterator[str]:
    if not source.path or "\0" in source.path:
        yield "path is empty. Fix: the database file"
    yield from _seconds_rules(source, "busy_seconds")


def _postgres_rules(source: PostgresSourceConfig) -> Iterator[str]:
    yield from _login_rules(source, ("host", "database", "user"), 5432)
    if source.slot is not None and not _SLOT.fullmatch(source.slot):
        yield f"slot {source.slot[:63]!r} is no slot name. Fix: lower-case letters, digits and _, 63 at most"
    if source.publication is not None and not 1 <= len(source.publication.encode()) <= 63:
        yield "publication is no PostgreSQL name. Fix: 1 to 63 bytes"
    if source.capture == "triggers":
        yield from _without_meaning(source, "slot", "publication")
    yield from _seconds_rules(source, "load_wait_seconds")


def shared_slots(sources: Sequence[SourceConfig]) -> Iterator[str]:
    """Sources that would take each other's changes from a slot."""
    # Slots are named per server, not per database.
    owners: dict[tuple[str, int, str], list[str]] = {}
    by_log = [each for each in sources if isinstance(each, PostgresSourceConfig) and each.capture == "log"]
    for source in by_log:
        owners.setdefault((source.host.lower(), source.port, source.slot_name), []).append(source.name)
    for (host, port, slot), names in owners.items():
        if len(set(names)) > 1:
            using = " and ".join(names)
            yield f"{using} share slot {slot!r} of {host}:{port}; each would lose changes. Fix: a slot each"


def shared_server_ids(sources: Sequence[SourceConfig]) -> Iterator[str]:
    """Sources whose captures a server would take for one replica."""
    # Told apart by the server they read from; behind two names it may be one.
    owners: dict[int, list[str]] = {}
    for source in sources:
        if isinstance(source, MySqlSourceConfig) and source.server_id is not None:
            owners.setdefault(source.server_id, []).append(source.name)
    for number, names in owners.items():
        if len(set(names)) > 1:
            using = " and ".join(names)
            yield f"{using} share server_id {number}; captures would end each other. Fix: one each, or none"
