"""Credentials by reference: what a catalog may say of a secret, and how its value is read.

A catalog holds a reference (`EnvVar`, `SecretsManager`, `SsmParameter`), never a value, so
that neither can end up in run config, metadata, logs or a repr. `resolve` reads the value
where it is used, at the last moment, as a `Secret` that prints as `***` and cannot be
pickled. Errors name the reference and never the value.

Refused: a reference that is unset or empty. An empty password reads as "no password" to
most drivers, and fails far from its cause.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeAlias

from replication_assets.errors import SecretError


@dataclass(frozen=True, slots=True)
class EnvVar:
    """The value of an environment variable of the process that uses it."""

    name: str

    def __str__(self) -> str:
        return f"environment variable {self.name}"


@dataclass(frozen=True, slots=True)
class SecretsManager:
    """A secret of AWS Secrets Manager; with `field`, one member of its JSON object."""

    secret_id: str
    field: str | None = None
    region: str | None = None
    endpoint_url: str | None = None

    def __str__(self) -> str:
        return f"Secrets Manager secret {self.secret_id}" + (f" field {self.field}" if self.field else "")


@dataclass(frozen=True, slots=True)
class SsmParameter:
    """A parameter of AWS Systems Manager, decrypted where it is a SecureString."""

    name: str
    region: str | None = None
    endpoint_url: str | None = None

    def __str__(self) -> str:
        return f"SSM parameter {self.name}"


SecretReference: TypeAlias = EnvVar | SecretsManager | SsmParameter


_REVEALED: set[str] = set()


def revealed() -> frozenset[str]:
    """Values that left their `Secret` in this process: to be taken out of texts that others
    wrote (a driver's message, a library's traceback) before anybody sees them."""
    return frozenset(value for value in _REVEALED if len(value) >= _SHORTEST_TOLD_APART)


_SHORTEST_TOLD_APART = 4
"""A shorter value occurs in ordinary words: taking it out would garble them, and so tell it."""


class Secret:
    """A value that shows itself to `reveal()` alone: not to print, format, pickle or JSON."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The text. Hand it to the driver and keep it nowhere."""
        _REVEALED.add(self.__value)
        return self.__value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.__value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __reduce__(self) -> NoReturn:
        raise SecretError(
            "a resolved secret does not leave its process",
            fix="pass the reference, and resolve it where the value is used",
        )


class ClientFactory(Protocol):
    """Makes a boto3 client; the parameters are boto3's own."""

    def __call__(self, service: str, *, region_name: str | None, endpoint_url: str | None) -> Any: ...


def aws_client(service: str, *, region_name: str | None, endpoint_url: str | None) -> Any:
    """A client of the default session. boto3 is imported here: a catalog without AWS needs none."""
    import boto3

    return boto3.client(service, region_name=region_name, endpoint_url=endpoint_url)


def resolve(
    reference: SecretReference,
    *,
    environ: Mapping[str, str] = os.environ,
    client_factory: ClientFactory = aws_client,
) -> Secret:
    """Read what the reference points at.

    Raises:
        SecretError: it is unset, empty, not readable, or lacks the field.
    """
    if isinstance(reference, EnvVar):
        return _checked(environ.get(reference.name), reference, f"set {reference.name} for this process")
    if isinstance(reference, SecretsManager):
        return _from_secrets_manager(reference, client_factory)
    return _from_ssm(reference, client_factory)


def resolve_for(reference: SecretReference, whom: str) -> Secret:
    """As `resolve`; an error also says who needs the value."""
    try:
        return resolve(reference)
    except SecretError as error:
        raise SecretError(error.what, where=f"{whom}: {error.where}", fix=error.fix) from error.__cause__


def login_secret(given: SecretReference | Secret | str | None, whom: str) -> str | None:
    """What a driver logs in with, read now; None where nothing is given. Pass it on, never keep it."""
    if given is None or isinstance(given, str):
        return given
    return (given if isinstance(given, Secret) else resolve_for(given, whom)).reveal()


def _from_secrets_manager(reference: SecretsManager, client_factory: ClientFactory) -> Secret:
    def read(client: Any) -> str | None:
        text: str | None = client.get_secret_value(SecretId=reference.secret_id).get("SecretString")
        return text

    text = _read(reference, "secretsmanager", "secretsmanager:GetSecretValue", client_factory, read)
    if reference.field is None or text is None:
        return _checked(text, reference, "store the value as text (SecretString)")
    return _checked(_field(text, reference), reference, f"give the secret a text field {reference.field!r}")


def _field(text: str, reference: SecretsManager) -> str | None:
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        # `from None` and outside the handler: a JSON error carries the whole document.
        raise SecretError(
            "it is not a JSON object", where=str(reference), fix="drop `field`, or store a JSON object"
        ) from None
    value = parsed.get(reference.field)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _from_ssm(reference: SsmParameter, client_factory: ClientFactory) -> Secret:
    def read(client: Any) -> str | None:
        parameter = client.get_parameter(Name=reference.name, WithDecryption=True)["Parameter"]
        return str(parameter["Value"])

    text = _read(reference, "ssm", "ssm:GetParameter", client_factory, read)
    return _checked(text, reference, "give the parameter a value")


def _read(
    reference: SecretsManager | SsmParameter,
    service: str,
    permission: str,
    client_factory: ClientFactory,
    read: Callable[[Any], str | None],
) -> str | None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = client_factory(service, region_name=reference.region, endpoint_url=reference.endpoint_url)
        return read(client)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        fix = f"check the name, the region and that this role may {permission}"
        raise SecretError(f"AWS answered {code}", where=str(reference), fix=fix) from error
    except BotoCoreError as error:
        fix = "check the region, the endpoint and the AWS credentials of this process"
        raise SecretError(
            f"AWS was not asked: {type(error).__name__}", where=str(reference), fix=fix
        ) from error


def _checked(value: str | None, reference: SecretReference, fix: str) -> Secret:
    if not value:
        state = "is not set" if value is None else "is empty"
        raise SecretError(state, where=str(reference), fix=fix)
    return Secret(value)
