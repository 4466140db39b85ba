"""Where resources are: partition, account and region, and the ARNs that follow from them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from replication_assets.errors import CatalogError

_PARTITIONS = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-isob-", "aws-iso-b"),
    ("us-iso-", "aws-iso"),
    ("eusc-", "aws-eusc"),
)
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")


@dataclass(frozen=True, slots=True)
class Place:
    """An account in a region. Made by `place_of`, which checks it."""

    account: str
    region: str
    partition: str

    def arn(self, service: str, resource: str, region: str | None = None) -> str:
        """Of something in the account; `region` where it is declared to be in another one."""
        return f"arn:{self.partition}:{service}:{region or self.region}:{self.account}:{resource}"

    def bucket(self, name: str) -> str:
        """Buckets have neither region nor account in their ARN."""
        return f"arn:{self.partition}:s3:::{name}"

    def endpoints(self, service: str, region: str | None = None) -> tuple[str, ...]:
        """What `kms:ViaService` says of a service. China's names have a domain of their own."""
        host = f"{service}.{region or self.region}.amazonaws.com"
        return (host, f"{host}.cn") if self.partition == "aws-cn" else (host,)


def place_of(account: str, region: str, partition: str = "") -> Place:
    """Raises CatalogError for what is no account or region, or a region of another partition."""
    problems = []
    if not re.fullmatch(r"\d{12}", account):
        problems.append(f"account {account!r} is not one. Fix: its 12 digits")
    if not _REGION.fullmatch(region):
        problems.append(f"region {region!r} is not one. Fix: a name like eu-west-1")
    found = next((name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws")
    if partition and partition != found:
        problems.append(f"region {region} is in partition {found}, not {partition}. Fix: leave it out")
    if problems:
        raise CatalogError(problems, where="command line")
    return Place(account, region, found)


def literal(text: str) -> str:
    """A text as it stands in a resource or a pattern: IAM takes `*`, `?` and `${...}` for more."""
    return re.sub(r"[*?$]", lambda found: f"${{{found.group()}}}", text)
