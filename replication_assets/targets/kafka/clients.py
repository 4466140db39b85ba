"""Clients of the brokers, and their errors as errors of a target, by their codes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from confluent_kafka import KafkaError, KafkaException

from replication_assets.errors import TargetError, TargetUnavailable

ClientSettings: TypeAlias = Callable[[], Mapping[str, Any]]
"""librdkafka's settings of a cluster; reads secrets when it is called."""

REQUEST_SECONDS = 15.0

TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
    }
)


@contextmanager
def told_by(where: str) -> Iterator[None]:
    """Errors of the client as errors of ours; none of them quotes a message."""
    try:
        yield
    except KafkaException as error:
        found = error.args[0] if error.args and isinstance(error.args[0], KafkaError) else None
        raise target_error(found, where) from None


def target_error(error: KafkaError | None, where: str) -> TargetError:
    if error is None:
        return TargetError("the Kafka client refused its settings", where=where, fix="see docs/kafka.md")
    if error.code() in _DENIED:
        return TargetError(
            f"the brokers refuse us ({error.name()})",
            where=where,
            fix="check user, password, TLS files, and the rights to write and describe the topic",
        )
    if error.code() in FENCED:
        return TargetUnavailable(
            "another publisher of this table took over",
            where=where,
            fix="stop one of the two; this one goes on when it starts anew",
        )
    return TargetUnavailable(
        f"the brokers do not answer as they should ({error.name()})",
        where=where,
        fix="check address, port and TLS; try again when the brokers are up",
    )
