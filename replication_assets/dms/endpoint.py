"""Settings of a Kafka target endpoint, as `aws dms` takes and describes them: `{"KafkaSettings": {...}}`.
Those of a Kinesis endpoint are told apart here, and read by `kinesis_endpoint`.

Defaults are DMS's (https://docs.aws.amazon.com/dms/latest/userguide/CHAP_Target.Kafka.html). Passwords are
not read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from replication_assets.declarations.sources import SaslMechanism
from replication_assets.dms.findings import Findings
from replication_assets.dms.json_source import Node, Object, parse_json
from replication_assets.dms.kinesis_endpoint import MEMBER as KINESIS
from replication_assets.dms.kinesis_endpoint import KinesisEndpoint, kinesis_endpoint
from replication_assets.dms.members import Members
from replication_assets.dms.message_settings import MessageSettings, message_settings

MEMBER = "KafkaSettings"
PLACEHOLDER = "broker.example.com:9092"
_PROTOCOLS = ("plaintext", "ssl-encryption", "ssl-authentication", "sasl-ssl")
_OTHERS = {
    "DynamoDbSettings", "S3Settings", "DmsTransferSettings", "MongoDbSettings",
    "ElasticsearchSettings", "NeptuneSettings", "RedshiftSettings", "PostgreSQLSettings", "MySQLSettings",
    "OracleSettings", "SybaseSettings", "MicrosoftSQLServerSettings", "IBMDb2Settings", "DocDbSettings",
    "RedisSettings", "GcpMySQLSettings", "TimestreamSettings", "SnowflakeSettings",
}  # fmt: skip
"""Settings of other endpoints in the API of DMS."""
_FILES = ("SslCaCertificateArn", "SslClientCertificateArn", "SslClientKeyArn")
_SECRETS = ("SaslPassword", "SslClientKeyPassword")


@dataclass(frozen=True, slots=True)
class KafkaEndpoint:
    """What all topics of a task have in common."""

    engine: ClassVar[Literal["kafka"]] = "kafka"
    brokers: str = PLACEHOLDER
    topic: str = "kafka-default-topic"
    message_max_bytes: int = 1_000_000
    messages: MessageSettings = field(default_factory=MessageSettings)
    tls: bool = True
    sasl: SaslMechanism | None = None
    user: str | None = None


StreamEndpoint: TypeAlias = KafkaEndpoint | KinesisEndpoint


def is_endpoint(text: str, file: str) -> bool:
    node: Node | None = parse_json(text, file, Findings())
    return isinstance(node, Object) and any(member.name in (MEMBER, KINESIS) for member in node.members)


def other_endpoint(text: str, file: str) -> str | None:
    """The member that says that a file has settings of an endpoint that is no stream; None if none does."""
    node = parse_json(text, file, Findings())
    members = node.members if isinstance(node, Object) else ()
    return next((each.name for each in members if each.name in _OTHERS), None)


def read_endpoint(text: str, file: str, findings: Findings) -> StreamEndpoint:
    """Never raises for what the text holds; unknown settings are told."""
    node = parse_json(text, file, findings)
    assert isinstance(node, Object)
    outer = Members(node, findings, "endpoint")
    if outer.has(KINESIS):
        inner = outer.object(KINESIS, KINESIS)
        return KinesisEndpoint() if inner is None else kinesis_endpoint(inner)
    settings = outer.object(MEMBER, MEMBER)
    if settings is None:
        return KafkaEndpoint()
    protocol = settings.word("SecurityProtocol", _PROTOCOLS)
    _tell_secrets(settings)
    found = KafkaEndpoint(
        brokers=settings.text("Broker") or PLACEHOLDER,
        topic=settings.text("Topic") or KafkaEndpoint().topic,
        message_max_bytes=settings.integer("MessageMaxBytes", least=4096, most=1_000_000_000) or 1_000_000,
        messages=message_settings(settings),
        tls=protocol != "plaintext",
        sasl=_sasl(settings) if protocol == "sasl-ssl" else None,
        user=settings.text("SaslUsername") or settings.text("SaslUserName"),
    )
    # The brokers' names are always verified.
    settings.take("SslEndpointIdentificationAlgorithm")
    settings.finish()
    return found


def _sasl(settings: Members) -> SaslMechanism:
    given = settings.word("SaslMechanism", ("scram-sha-512", "plain"))
    return "plain" if given == "plain" else "scram-sha-512"


def _tell_secrets(settings: Members) -> None:
    for name in (*_SECRETS, *_FILES):
        place = settings.place_of(name) if settings.has(name) else None
        if settings.take(name) is None:
            continue
        if name in _SECRETS:
            what = f"{name} is not read: passwords are given by reference"
            settings.warn("secret", what, "take it out of the file; the import names a variable", place)
        else:
            what = f"{name} is a certificate of DMS, which is read from a file here"
            settings.warn("certificate", what, "give ca_file, certificate_file and key_file", place)
