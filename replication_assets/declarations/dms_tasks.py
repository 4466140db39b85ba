"""Replication tasks of AWS DMS that are run from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TypeAlias

from replication_assets.declarations.base import Declaration
from replication_assets.declarations.refreshes import OneTime, Schedule
from replication_assets.secret_references import SecretReference

TaskStart: TypeAlias = Schedule | OneTime


@dataclass(frozen=True, slots=True)
class DmsTask(Declaration):
    """A replication task of AWS DMS, as an asset that is started, watched and stopped (docs/dms-tasks.md).

    `arn` names the task, which must exist. By `start` it is run on a `Schedule`, or when somebody starts it.
    When it is complete, or its full load is, captures of the sources that it `feeds` are started, and the
    `refreshes`. It is looked at every `look_seconds`. Credentials come from boto3's chain unless given by
    reference: `access_key_id`, `secret_access_key`. `endpoint_url` is DMS's own unless given.
    """

    name: str
    _: KW_ONLY
    arn: str
    start: TaskStart = field(default_factory=OneTime)
    feeds: Sequence[str] = ()
    refreshes: Sequence[str] = ()
    look_seconds: float = 30
    endpoint_url: str | None = None
    access_key_id: SecretReference | None = None
    secret_access_key: SecretReference | None = None
