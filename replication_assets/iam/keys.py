"""KMS keys that are named: what a service may do with one on the caller's behalf."""

from __future__ import annotations

from replication_assets.iam.place import Place, literal
from replication_assets.iam.policy import Statement


def key_statement(
    place: Place, key: str, service: str, actions: tuple[str, ...], region: str | None = None
) -> Statement:
    """`key` is an ARN, an id, or an alias. Only through the service: never to decrypt by hand.

    A policy cannot name an alias as a resource, so that one is a condition on the account's keys.
    """
    conditions = {"StringEquals": {"kms:ViaService": place.endpoints(service, region)}}
    alias = key.rpartition(":")[2] if ":alias/" in key else key
    if alias.startswith("alias/"):
        aliases = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": (literal(alias),)}}
        every = (place.arn("kms", "key/*", region),)
        return Statement(f"key of {service}", actions, every, {**conditions, **aliases})
    named = key if key.startswith("arn:") else place.arn("kms", f"key/{key}", region)
    return Statement(f"key of {service}", actions, (named,), conditions)
