"""What Delta tables in S3 need: the event store's and projections'.

delta-rs and Arrow read, write and delete objects under the root, list below it, and give up an
upload in parts. A root elsewhere than in S3 needs nothing of AWS.

A listing is allowed below the prefix alone. S3 answers for an object that is not there with 403
instead of 404 to who may not list without a prefix; a test runs stores and projections against a
server that does so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from replication_assets.errors import CatalogError
from replication_assets.iam.keys import key_statement
from replication_assets.iam.place import Place, literal
from replication_assets.iam.policy import Statement
from replication_assets.secret_references import SecretReference

READ_OBJECTS = ("s3:GetObject",)
DELTA_OBJECTS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
_LOCK_TABLE = "delta_log"
_LOCKS = (
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:Query",
)
_KEY = ("kms:GenerateDataKey", "kms:Decrypt")


def delta_statements(
    place: Place,
    whose: str,
    root: str,
    options: Mapping[str, str | SecretReference],
    kms_keys: Sequence[str],
) -> Iterator[Statement]:
    """Where the options name a KMS key they do so by reference, as for anything that is called a key: its
    value is not read here, and `kms_keys` must have it.

    Raises:
        CatalogError: a key is declared, and none is given.
    """
    parts = urlsplit(root)
    if parts.scheme.lower() not in ("s3", "s3a"):
        return
    yield from objects(place, whose, parts.netloc, parts.path.strip("/"), DELTA_OBJECTS)
    named = {name.lower().removeprefix("aws_"): value for name, value in options.items()}
    region = _text(named.get("region"))
    if "sse_kms_key_id" in named:
        if not kms_keys:
            problem = f"{whose} is encrypted with a key that is declared by reference. Fix: --kms-key KEY"
            raise CatalogError([problem], where="command line")
        yield from (key_statement(place, key, "s3", _KEY, region) for key in kms_keys)
    if _text(named.get("s3_locking_provider")) == "dynamodb":
        table = _text(named.get("delta_dynamo_table_name")) or _LOCK_TABLE
        yield Statement("locks of Delta logs", _LOCKS, (place.arn("dynamodb", f"table/{table}", region),))


def landed_statements(
    place: Place, whose: str, root: str, options: Mapping[str, str | SecretReference], kms_keys: Sequence[str]
) -> Iterator[Statement]:
    """Files that are read and nothing else. Whether they are encrypted is DMS's endpoint's: with `kms_keys`
    they may be."""
    parts = urlsplit(root)
    if parts.scheme.lower() != "s3":
        return
    yield from objects(place, whose, parts.netloc, parts.path.strip("/"), READ_OBJECTS)
    region = _text(
        {name.lower().removeprefix("aws_"): value for name, value in options.items()}.get("region")
    )
    yield from (key_statement(place, key, "s3", ("kms:Decrypt",), region) for key in kms_keys)


def objects(
    place: Place, whose: str, bucket: str, prefix: str, actions: tuple[str, ...]
) -> Iterator[Statement]:
    """Actions on all objects below a prefix, and listing there. No prefix: the whole bucket."""
    arn = place.bucket(bucket)
    below = f"{literal(prefix)}/*" if prefix else "*"
    yield Statement(f"objects of {whose}", actions, (f"{arn}/{below}",))
    listed = {"StringLike": {"s3:prefix": (literal(prefix), below)}} if prefix else {}
    yield Statement(f"list {whose}", ("s3:ListBucket",), (arn,), listed)


def has_own_credentials(options: Mapping[str, str | SecretReference]) -> bool:
    """Whether storage is reached with keys that are declared, not with the process's own role."""
    return any(name.lower() in ("aws_access_key_id", "access_key_id") for name in options)


def _text(value: str | SecretReference | None) -> str | None:
    return value if isinstance(value, str) else None
