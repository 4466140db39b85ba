"""Owns where the credentials of a request come from, and that none of them is ever printed.

A `CredentialSource` is asked again and again, because credentials of a role expire: boto3's
chain renews them itself when they are read (some 10 to 15 minutes before they end), so reading
them every minute is enough. Refused: credentials in a repr or in a pickle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

from botocore.exceptions import BotoCoreError

from replication_assets.errors import TargetError, TargetUnavailable


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """An access key, and the session token of temporary ones."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return "Credentials(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled: each process reads its own")


CredentialSource: TypeAlias = Callable[[], Credentials]


def from_session(session: Any) -> CredentialSource:
    """What boto3's chain finds for a `boto3.Session`: environment, profile, role, container ..."""
    found = session.get_credentials()
    if found is None:
        raise TargetError(
            "no AWS credentials were found",
            where="DynamoDB",
            fix="set AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role",
        )

    def read() -> Credentials:
        try:
            frozen = found.get_frozen_credentials()
        except BotoCoreError as error:
            raise TargetUnavailable(
                f"the AWS credentials could not be renewed ({type(error).__name__})",
                where="DynamoDB",
                fix="check the role or profile that they come from, and run it again",
            ) from None
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    return read
