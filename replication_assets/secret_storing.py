"""Storing a credential where a reference points at: Secrets Manager, or a SecureString of SSM.

The other half of `secret_references`, for the one who bootstraps a catalog. Nothing that stands
there is replaced unless a rotation is asked for, and AWS itself decides which of two writers came
first wherever it can (creating); members of one JSON secret are read, added to and written back,
and the last of two people who do so at once wins. What was stored is read back through the very
reference that the catalog declares, and compared.

Refused: a value of no length, one that does not fit, a parameter that stands there in clear text.
AWS's own texts are dropped, because its refusals of a value can quote it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias

from replication_assets.errors import SecretError
from replication_assets.secret_references import (
    ClientFactory,
    Secret,
    SecretsManager,
    SsmParameter,
    aws_client,
    resolve,
)

StoredReference: TypeAlias = SecretsManager | SsmParameter
Outcome: TypeAlias = Literal["created", "added", "rotated"]

MOST_BYTES = {"secretsmanager": 65_536, "ssm": 4_096}
"""Of one secret, and of one standard parameter, as UTF-8."""

_READS = 4
"""How often a value is looked for: Secrets Manager may need a moment to show what it stored."""


@dataclass(frozen=True, slots=True)
class Storing:
    """How a value is stored. `beside` are members of the same JSON secret that are no secrets
    themselves: a user name, a host."""

    _: KW_ONLY
    rotate: bool = False
    kms_key: str | None = None
    beside: Mapping[str, str] = field(default_factory=dict, hash=False)


def store(
    reference: StoredReference,
    value: Secret,
    storing: Storing = Storing(),
    *,
    client_factory: ClientFactory = aws_client,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Store the value, and read it back through the reference.

    Raises:
        SecretError: there is a value already (or none, of a rotation), AWS refuses, or what is
            read back is something else.
    """
    service = "secretsmanager" if isinstance(reference, SecretsManager) else "ssm"
    with _aws_errors(reference):
        client = client_factory(service, region_name=reference.region, endpoint_url=reference.endpoint_url)
        if isinstance(reference, SecretsManager):
            outcome = _Secret(client, reference, storing).store(value)
        else:
            outcome = _store_parameter(client, reference, value, storing)
    _read_back(reference, value, client_factory, sleep)
    return outcome


class _Secret:
    """A secret of Secrets Manager that is written to."""

    def __init__(self, client: Any, reference: SecretsManager, storing: Storing) -> None:
        self._client = client
        self._reference = reference
        self._storing = storing
        if storing.beside and reference.field is None:
            raise _refused(reference, "other members need a JSON secret", "name the --field of the value")

    def store(self, value: Secret) -> Outcome:
        if not self._storing.rotate and self._create(value):
            return "created"
        stands = self._read()
        if stands is None:
            if self._storing.rotate:
                raise _nothing_to_rotate(self._reference)
            # Made without a value, by Terraform say.
            self._write(self._document({}, value))
            return "created"
        if self._reference.field is None:
            if not self._storing.rotate:
                raise _stands_already(self._reference)
            self._write(value.reveal())
            return "rotated"
        return self._member(stands, value)

    def _member(self, stands: str, value: Secret) -> Outcome:
        members = self._members(stands)
        name = self._reference.field
        replaced = sorted(set(members) & {name, *self._storing.beside})
        if replaced and not self._storing.rotate:
            raise _stands_already(self._reference, f"it has {', '.join(map(str, replaced))} already")
        if self._storing.rotate and name not in members:
            raise _nothing_to_rotate(self._reference)
        self._write(self._document(members, value))
        return "rotated" if self._storing.rotate else "added"

    def _members(self, stands: str) -> dict[str, Any]:
        try:
            parsed = json.loads(stands)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise _refused(
                self._reference, "it is not a JSON object", "drop --field and rotate, or use another secret"
            )
        return parsed

    def _document(self, members: Mapping[str, Any], value: Secret) -> str:
        if self._reference.field is None:
            return value.reveal()
        whole = {**members, **self._storing.beside, self._reference.field: value.reveal()}
        return json.dumps(whole, ensure_ascii=False)

    def _create(self, value: Secret) -> bool:
        """False where there is such a secret. Atomic: of two who create one, one does."""
        if self._reference.secret_id.startswith("arn:"):
            return False  # an ARN is given to what exists
        try:
            self._client.create_secret(
                Name=self._reference.secret_id,
                SecretString=_fitting(self._reference, self._document({}, value)),
                **({"KmsKeyId": self._storing.kms_key} if self._storing.kms_key else {}),
            )
        except self._client.exceptions.ResourceExistsException:
            return False
        return True

    def _read(self) -> str | None:
        """None where there is no value."""
        try:
            answer = self._client.get_secret_value(SecretId=self._reference.secret_id)
        except self._client.exceptions.ResourceNotFoundException:
            return None
        if "SecretString" not in answer:
            raise _refused(self._reference, "it holds bytes, not text", "use another secret")
        return str(answer["SecretString"])

    def _write(self, text: str) -> None:
        whole = {"SecretId": self._reference.secret_id, "SecretString": _fitting(self._reference, text)}
        if self._storing.kms_key is None:
            self._client.put_secret_value(**whole)
        else:
            self._client.update_secret(**whole, KmsKeyId=self._storing.kms_key)


def _store_parameter(client: Any, reference: SsmParameter, value: Secret, storing: Storing) -> Outcome:
    if storing.beside:
        raise _refused(reference, "a parameter has no members", "use Secrets Manager")
    if reference.name.startswith("arn:"):
        raise _refused(reference, "a parameter is stored by its name", "declare its name")
    key = storing.kms_key
    if storing.rotate:
        stands = _parameter(client, reference)
        # Without a key, an overwritten value would fall back to the key of the account.
        key = key or stands.get("KeyId")
    try:
        client.put_parameter(
            Name=reference.name,
            Value=_fitting(reference, value.reveal()),
            Type="SecureString",
            Overwrite=storing.rotate,
            **({"KeyId": key} if key else {}),
        )
    except client.exceptions.ParameterAlreadyExists:
        raise _stands_already(reference) from None
    return "rotated" if storing.rotate else "created"


def _parameter(client: Any, reference: SsmParameter) -> Mapping[str, Any]:
    """What is known of a parameter that is to be rotated, without its value."""
    wanted = {"Key": "Name", "Option": "Equals", "Values": [reference.name]}
    found: list[Mapping[str, Any]] = client.describe_parameters(ParameterFilters=[wanted])["Parameters"]
    if not found:
        raise _nothing_to_rotate(reference)
    if found[0]["Type"] != "SecureString":
        raise _refused(
            reference,
            f"it stands there in clear text (a {found[0]['Type']})",
            "delete the parameter, and put the value without --rotate; whoever could read it knows it",
        )
    return found[0]


def _read_back(
    reference: StoredReference,
    value: Secret,
    client_factory: ClientFactory,
    sleep: Callable[[float], None],
) -> None:
    for attempt in range(_READS):
        if attempt:
            sleep(attempt)
        try:
            if resolve(reference, client_factory=client_factory) == value:
                return
        except SecretError:
            if attempt == _READS - 1:
                raise
    raise _refused(
        reference, "another value is read back than was stored", "see who else writes it, and rotate again"
    )


def _fitting(reference: StoredReference, text: str) -> str:
    most = MOST_BYTES["secretsmanager" if isinstance(reference, SecretsManager) else "ssm"]
    size = len(text.encode())
    if not text:
        raise _refused(reference, "the value is empty", "give one")
    if size > most:
        raise _refused(
            reference, f"{size:,} bytes are too many", f"at most {most:,}; Secrets Manager takes 65,536"
        )
    return text


def _stands_already(reference: StoredReference, what: str = "there is a value already") -> SecretError:
    return _refused(reference, what, "--rotate, if it is to be replaced")


def _nothing_to_rotate(reference: StoredReference) -> SecretError:
    return _refused(
        reference, "there is no value to replace", "check name and region; drop --rotate to store the first"
    )


def _refused(reference: StoredReference, what: str, fix: str) -> SecretError:
    return SecretError(what, where=str(reference), fix=fix)


@contextmanager
def _aws_errors(reference: StoredReference) -> Iterator[None]:
    """Codes alone: AWS's texts may quote what they refuse."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        fix = f"check name, region and key, and that you may {_PERMISSIONS[type(reference)]}"
        raise SecretError(
            f"AWS answered {code} to {error.operation_name}", where=str(reference), fix=fix
        ) from None
    except BotoCoreError as error:
        fix = "check the region, the endpoint and the AWS credentials of this process"
        what = f"AWS was not asked: {type(error).__name__}"
        raise SecretError(what, where=str(reference), fix=fix) from None


_PERMISSIONS: dict[type, str] = {
    SecretsManager: "secretsmanager:CreateSecret, PutSecretValue, UpdateSecret and GetSecretValue",
    SsmParameter: "ssm:PutParameter, DescribeParameters and GetParameter",
}
