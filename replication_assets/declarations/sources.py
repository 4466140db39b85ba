"""Sources and the event store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias, get_args

from replication_assets.declarations.base import Declaration
from replication_assets.secret_references import SecretReference

CaptureBy: TypeAlias = Literal["log", "triggers"]
CaptureMode: TypeAlias = Literal["micro-batch", "continuous"]
TopicEnvelope: TypeAlias = Literal["dms", "debezium"]
BinarySpelling: TypeAlias = Literal["hex", "base64"]
DecimalSpelling: TypeAlias = Literal["string", "precise"]
MalformedMessages: TypeAlias = Literal["stop", "keep"]
SaslMechanism: TypeAlias = Literal["plain", "scram-sha-256", "scram-sha-512", "aws-msk-iam"]
SqlServerCapture: TypeAlias = Literal["cdc", "change_tracking"]
EncryptMode: TypeAlias = Literal["yes", "strict", "no"]
SslMode: TypeAlias = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
SSL_MODES: tuple[SslMode, ...] = get_args(SslMode)


@dataclass(frozen=True, slots=True)
class PostgresSourceConfig(Declaration):
    """A PostgreSQL database that is loaded and captured.

    `password` and `sslrootcert` (a file) are libpq's; `sslmode` is too, and asks for TLS unless told
    otherwise. `slot` and `publication` are named after the source unless given. With `mode` "micro-
    batch" a sensor starts captures every `capture_interval_seconds`; "continuous" keeps one run
    draining. `capture` "log" reads logical replication, which costs the source least; with "triggers"
    the database keeps a log of its own in schema `ra_<name>`, for where no role may replicate, and
    `slot` and `publication` have no meaning (docs/triggers.md). At most `max_parallel_loads` id ranges
    are read at a time. A load waits `load_wait_seconds` for transactions that hold up its snapshot.
    """

    name: str
    _: KW_ONLY
    host: str
    database: str
    user: str
    port: int = 5432
    password: SecretReference | None = None
    sslmode: SslMode = "require"
    sslrootcert: str | None = None
    slot: str | None = None
    publication: str | None = None
    capture: CaptureBy = "log"
    mode: CaptureMode = "micro-batch"
    max_parallel_loads: int = 4
    capture_interval_seconds: float = 5
    load_wait_seconds: float = 60

    @property
    def slot_name(self) -> str:
        return self.slot or f"replication_assets_{self.name}"

    @property
    def publication_name(self) -> str:
        return self.publication or f"replication_assets_{self.name}"


@dataclass(frozen=True, slots=True)
class SqliteSourceConfig(Declaration):
    """A SQLite database file that is loaded, and captured by triggers (docs/sqlite.md).

    `path` is the file, which must exist. `busy_seconds` is how long a session waits for a lock that
    another process holds. `mode`, `capture_interval_seconds` and `max_parallel_loads` are as in
    `PostgresSourceConfig`.
    """

    name: str
    _: KW_ONLY
    path: str
    mode: CaptureMode = "micro-batch"
    max_parallel_loads: int = 4
    capture_interval_seconds: float = 5
    busy_seconds: float = 30


@dataclass(frozen=True, slots=True)
class MySqlSourceConfig(Declaration):
    """A MySQL or MariaDB server that is loaded, and captured from its binlog (docs/mysql.md) or by triggers.

    The schema of a table is its database. `user` logs in with `password`, a reference. `sslmode` is one
    of libpq's words and asks for TLS unless told otherwise; `sslrootcert` (a file) is what certificates
    are verified by. `server_id` is that of our replica connection, which no other replica may have; one
    is made from the name unless given. With `cascades` tables are captured although their foreign keys
    change rows that nothing tells of. With `capture` "triggers" the server keeps a log of its own in the
    database `ra_<name>`, for where the binlog cannot be read, and `server_id` has no meaning
    (docs/triggers.md). `mode`, `capture_interval_seconds` and `max_parallel_loads` are
    as in `PostgresSourceConfig`. A load waits `load_wait_seconds` for what holds its table.
    """

    name: str
    _: KW_ONLY
    host: str
    user: str
    port: int = 3306
    password: SecretReference | None = None
    sslmode: SslMode = "require"
    sslrootcert: str | None = None
    server_id: int | None = None
    cascades: bool = False
    capture: CaptureBy = "log"
    mode: CaptureMode = "micro-batch"
    max_parallel_loads: int = 4
    capture_interval_seconds: float = 5
    load_wait_seconds: float = 60


@dataclass(frozen=True, slots=True)
class SqlServerSourceConfig(Declaration):
    """A SQL Server database that is loaded and captured (docs/sqlserver.md).

    `user` logs in with `password`, a reference. `encrypt` is ODBC's word: "yes" for TLS, "strict" for TLS
    before anything else is said, "no" for a connection in the clear. Certificates are verified unless
    `trust_server_certificate` says not to; `server_certificate` is a file that the server's must equal.
    `capture` "cdc" reads the tables of change data capture, every change with its old values;
    "change_tracking" reads Change Tracking, which knows the last change of each row of tables with a
    primary key, and costs the source less. `mode`, `capture_interval_seconds` and `max_parallel_loads` are
    as in `PostgresSourceConfig`.
    """

    name: str
    _: KW_ONLY
    host: str
    database: str
    user: str
    port: int = 1433
    password: SecretReference | None = None
    encrypt: EncryptMode = "yes"
    trust_server_certificate: bool = False
    server_certificate: str | None = None
    capture: SqlServerCapture = "cdc"
    mode: CaptureMode = "micro-batch"
    max_parallel_loads: int = 4
    capture_interval_seconds: float = 5


@dataclass(frozen=True, slots=True)
class OracleSourceConfig(Declaration):
    """An Oracle database that is loaded as of an SCN, and captured by LogMiner (docs/oracle.md).

    `service` is that of the database, a pluggable one included; `log_service` is that of the root of its
    container, for where LogMiner must run there. `user` logs in with `password`, a reference. With `tls`
    the server's certificate is verified, by the system's authorities or by `wallet` (a folder with an
    `ewallet.pem`, opened with `wallet_password`), and must name the host, or have `server_name` as its
    distinguished name. `mode`, `capture_interval_seconds` and `max_parallel_loads` are as in
    `PostgresSourceConfig`.
    """

    name: str
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
    log_service: str | None = None
    mode: CaptureMode = "micro-batch"
    max_parallel_loads: int = 4
    capture_interval_seconds: float = 5


@dataclass(frozen=True, slots=True)
class KafkaSourceConfig(Declaration):
    """Topics that AWS DMS or Debezium writes changes to (docs/kafka.md).

    `bootstrap_servers` are some brokers, as `host:port` with commas between; all of `topics` are read.
    `envelope` is what their messages are in. A table is named by the schema and table in them, and needs a
    `key`; messages of other tables are passed over. `columns` are those of each `schema.table` with their
    types, as in `["id bigint", "name text"]`; a column that is not declared is stored as JSON text.
    `binary` ("hex" for DMS, "base64" for Debezium unless given) and `decimals` ("precise" is Debezium's
    bytes) are how the producer spells values. A message that cannot be understood stops the capture; with
    `malformed` "keep" it is kept in the event store and passed over. `partial_history` takes topics whose
    first messages passed retention.

    `tls` asks for TLS, with `ca_file`, `certificate_file` and `key_file`. `sasl` logs `user` in with
    `password`, a reference; "aws-msk-iam" uses the AWS credentials of the process in `region`. `mode`,
    `capture_interval_seconds` and `max_parallel_loads` are as in `PostgresSourceConfig`.
    """

    name: str
    _: KW_ONLY
    bootstrap_servers: str
    topics: Sequence[str]
    envelope: TopicEnvelope
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    binary: BinarySpelling | None = None
    decimals: DecimalSpelling = "string"
    malformed: MalformedMessages = "stop"
    partial_history: bool = False
    tls: bool = True
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    sasl: SaslMechanism | None = None
    user: str | None = None
    password: SecretReference | None = None
    region: str | None = None
    mode: CaptureMode = "micro-batch"
    max_parallel_loads: int = 4
    capture_interval_seconds: float = 5


SourceConfig: TypeAlias = (
    PostgresSourceConfig
    | MySqlSourceConfig
    | SqliteSourceConfig
    | SqlServerSourceConfig
    | OracleSourceConfig
    | KafkaSourceConfig
)
"""A source: every kind has a `name`, a `mode`, `max_parallel_loads` and `capture_interval_seconds`."""


def holds_rows(source: SourceConfig) -> bool:
    """Whether rows can be read from the source, to hold the event store against: a topic has none."""
    return not isinstance(source, KafkaSourceConfig)


@dataclass(frozen=True, slots=True)
class EventStoreConfig(Declaration):
    """Where the event store is: `root` is a folder or `s3://...`.

    `storage_options` are delta-rs's own (`AWS_REGION`, `AWS_ENDPOINT_URL`); secret ones are
    references.
    """

    root: str
    storage_options: Mapping[str, str | SecretReference] = field(default_factory=dict, hash=False)
