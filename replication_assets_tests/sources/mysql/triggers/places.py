"""A database that triggers log, for the contract of change sources."""

from __future__ import annotations

from dataclasses import dataclass, field

from replication_assets.sources.mysql.triggers.source import MySqlTriggerSource
from replication_assets_tests.sources.mysql.places import MySqlPlace


@dataclass(frozen=True)
class TriggeredPlace(MySqlPlace):
    """See `contracts.change_source.SourcePlace`."""

    captured: MySqlTriggerSource = field(kw_only=True)

    @property
    def source(self) -> MySqlTriggerSource:  # type: ignore[override]
        return self.captured
