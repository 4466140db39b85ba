"""How brokers are reached: settings of librdkafka made from what is declared, secrets read last.

Clients log nothing by themselves: librdkafka writes to stderr whatever a broker says. Its errors
name brokers and codes, and are translated here; none of them quotes a message.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from replication_assets.errors import SourceError, SourceNotReady, SourceUnavailable
from replication_assets.secret_references import SecretReference, resolve_for

Sasl: TypeAlias = Literal["plain", "scram-sha-256", "scram-sha-512", "aws-msk-iam"]
Settings: TypeAlias = dict[str, Any]

REQUEST_SECONDS = 15.0
"""How long an answer may take, over a connection that is there or being made."""

_TOKEN_SECONDS = 900
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
    }
)


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """Where the brokers are and as whom we come. Holds references, never a secret."""

    bootstrap_servers: str
    _: KW_ONLY
    tls: bool = True
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    sasl: Sasl | None = None
    user: str | None = None
    password: SecretReference | None = None
    region: str | None = None

    def settings(self) -> Settings:
        """librdkafka's settings. Raises SecretError for a password that cannot be read."""
        found: Settings = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": ("sasl_" if self.sasl else "") + ("ssl" if self.tls else "plaintext"),
            "client.id": "replication_assets",
            "log_level": 0,
            "socket.timeout.ms": int(REQUEST_SECONDS * 1000),
            "reconnect.backoff.max.ms": 1000,
        }
        files = {
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate_file,
            "ssl.key.location": self.key_file,
        }
        found |= {name: file for name, file in files.items() if file is not None}
        if self.sasl == "aws-msk-iam":
            # Told here at once: what a callback raises is taken for a token that is late.
            _msk_token(self.region, "")
            found["sasl.mechanisms"] = "OAUTHBEARER"
            found["oauth_cb"] = functools.partial(_msk_token, self.region)
        elif self.sasl is not None:
            found["sasl.mechanisms"] = self.sasl.upper()
            found["sasl.username"] = self.user or ""
            if self.password is not None:
                found["sasl.password"] = resolve_for(self.password, self.bootstrap_servers).reveal()
        return found


def _msk_token(region: str | None, _config: str) -> tuple[str, float]:
    """A token for MSK's IAM authentication: a presigned `kafka-cluster:Connect`, and its end in seconds
    since 1970. As AWS's own signers make it."""
    import time

    from boto3 import Session
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    session = Session()
    credentials, where = session.get_credentials(), region or session.region_name
    if credentials is None or where is None:
        raise SourceNotReady(
            "there are no AWS credentials, or no region, to log in to MSK with",
            fix="give the process a role, and the source its region",
        )
    url = f"https://kafka.{where}.amazonaws.com/?Action=kafka-cluster%3AConnect"
    request = AWSRequest("GET", url)
    SigV4QueryAuth(credentials, "kafka-cluster", where, expires=_TOKEN_SECONDS).add_auth(request)
    signed = f"{request.url}&User-Agent=replication_assets"
    token = base64.urlsafe_b64encode(signed.encode()).decode().rstrip("=")
    return token, time.time() + _TOKEN_SECONDS


class LastError:
    """What a client told of its connections last, until it is asked. Called between two instructions of
    whatever thread waits for the client: it takes no lock."""

    def __init__(self) -> None:
        self._found: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        self._found = error

    def taken(self) -> KafkaError | None:
        found, self._found = self._found, None
        return found


@contextmanager
def kafka_errors(where: str, told: Callable[[], KafkaError | None] = lambda: None) -> Iterator[None]:
    """Errors of the client as errors of ours. What it `told` of its connections explains a timeout."""
    try:
        yield
    except KafkaException as error:
        found = error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None
        raise kafka_error(told() or found, where) from None


def kafka_error(error: KafkaError | None, where: str) -> SourceError:
    """By its code alone: texts hold addresses, which `where` names already."""
    if error is None:
        return SourceError("the Kafka client refused its settings", where=where, fix="see docs/kafka.md")
    if error.code() in _DENIED:
        return SourceNotReady(
            f"the brokers refuse us ({error.name()})",
            where=where,
            fix="check user, password, TLS files, and the rights to read the topics and their metadata",
        )
    return SourceUnavailable(
        f"the brokers do not answer as they should ({error.name()})",
        where=where,
        fix="check address, port and TLS; try again when the brokers are up",
    )


@contextmanager
def administering(cluster: KafkaCluster) -> Iterator[AdminClient]:
    told = LastError()
    with kafka_errors(cluster.bootstrap_servers, told.taken):
        client = AdminClient(cluster.settings() | {"error_cb": told})
        yield client


@contextmanager
def consuming(cluster: KafkaCluster, name: str, told: LastError) -> Iterator[Consumer]:
    """A consumer that is assigned its partitions: it joins no group, and commits to none."""
    settings = cluster.settings() | {
        "group.id": f"replication_assets_{name}",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        # An offset that is gone is told, never skipped.
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "queued.max.messages.kbytes": 32 * 1024,
        "fetch.wait.max.ms": 50,
        "error_cb": told,
    }
    with kafka_errors(cluster.bootstrap_servers, told.taken):
        consumer = Consumer(settings)
    try:
        yield consumer
    finally:
        consumer.close()
