"""What reading credentials by reference needs, and what storing them needs of their operator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from replication_assets.iam.keys import key_statement
from replication_assets.iam.place import Place, literal
from replication_assets.iam.policy import Statement
from replication_assets.secret_references import EnvVar, SecretReference, SecretsManager, SsmParameter

READ_SECRET = ("secretsmanager:GetSecretValue",)
READ_PARAMETER = ("ssm:GetParameter",)
STORE_SECRET = (
    "secretsmanager:CreateSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecret",
)
STORE_PARAMETER = ("ssm:GetParameter", "ssm:PutParameter")
LIST_PARAMETERS = ("ssm:DescribeParameters",)
_READ_KEY = ("kms:Decrypt",)
_STORE_KEY = ("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey")


def reading(place: Place, references: Iterable[SecretReference], keys: Sequence[str]) -> Iterator[Statement]:
    """`keys` are KMS keys of the operator's own; those of the account need no policy."""
    found = [each for each in references if not isinstance(each, EnvVar)]
    yield from _each(place, found, "read", READ_SECRET, READ_PARAMETER)
    yield from _keys(place, found, keys, _READ_KEY)


def storing(place: Place, references: Iterable[SecretReference], keys: Sequence[str]) -> Iterator[Statement]:
    """For who runs `secrets put`."""
    found = [each for each in references if not isinstance(each, EnvVar)]
    yield from _each(place, found, "store", STORE_SECRET, STORE_PARAMETER)
    if any(isinstance(each, SsmParameter) for each in found):
        # AWS lists all parameters or none; the list holds no value.
        yield Statement("list parameters", LIST_PARAMETERS, ("*",))
    yield from _keys(place, found, keys, _STORE_KEY)


def _each(
    place: Place,
    references: Iterable[SecretsManager | SsmParameter],
    verb: str,
    secret_actions: tuple[str, ...],
    parameter_actions: tuple[str, ...],
) -> Iterator[Statement]:
    for each in references:
        if isinstance(each, SecretsManager):
            yield Statement(f"{verb} secrets", secret_actions, secret_arns(place, each))
        else:
            yield Statement(f"{verb} parameters", parameter_actions, (parameter_arn(place, each),))


def _keys(
    place: Place,
    references: Iterable[SecretsManager | SsmParameter],
    keys: Sequence[str],
    actions: tuple[str, ...],
) -> Iterator[Statement]:
    services = dict.fromkeys(
        ("secretsmanager" if isinstance(each, SecretsManager) else "ssm", each.region) for each in references
    )
    for service, region in services:
        for key in keys:
            yield key_statement(place, key, service, actions, region)


def secret_arns(place: Place, reference: SecretsManager) -> tuple[str, ...]:
    """AWS appends a dash and six letters to a secret's name. An ARN may be declared with them or without."""
    if reference.secret_id.startswith("arn:"):
        return (reference.secret_id, f"{reference.secret_id}-??????")
    return (place.arn("secretsmanager", f"secret:{literal(reference.secret_id)}-??????", reference.region),)


def parameter_arn(place: Place, reference: SsmParameter) -> str:
    """A hierarchical name has its slash from `parameter/` alone."""
    if reference.name.startswith("arn:"):
        return reference.name
    return place.arn("ssm", f"parameter/{literal(reference.name.removeprefix('/'))}", reference.region)
