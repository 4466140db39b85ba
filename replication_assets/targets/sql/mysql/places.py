"""Databases of a copy on a server: a schema of a source becomes a database, with the prefix before it.

Beside each there is, for a while, the one of the shadow, and the one that old tables are moved to by
the statement that publishes new ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from replication_assets.core.schema import TableId
from replication_assets.errors import RefreshError
from replication_assets.targets.sql import records
from replication_assets.targets.sql.dialect import Place
from replication_assets.targets.sql.names import suffixed

LIMIT = 64
"""Bytes that are safe in a name: MySQL counts 64 characters."""
INCOMING = "__incoming"
OUTGOING = "__outgoing"
SYSTEM = ("mysql", "sys", "information_schema", "performance_schema")


@dataclass(frozen=True, slots=True)
class Places:
    prefix: str

    @property
    def records(self) -> str:
        return self.prefix + records.PLACE

    def live(self, table: TableId) -> str:
        return suffixed(self.prefix + table.schema, "", limit=LIMIT - len(OUTGOING))

    def incoming(self, table: TableId) -> str:
        return self.live(table) + INCOMING

    def table(self, table: TableId, place: Place) -> str:
        """Name of a shadow table."""
        return table.name if place == "rows" else suffixed(table.name, f"__{place}", limit=LIMIT)

    def check(self, tables: Iterable[TableId]) -> None:
        """Raises RefreshError for tables that cannot be told apart here, or would not be ours."""
        seen: dict[tuple[str, str], TableId] = {}
        for table in tables:
            place = self.live(table)
            if place in (self.records, *SYSTEM) or place.endswith((INCOMING, OUTGOING)):
                raise RefreshError(
                    f"its schema would be the database {place!r}, which is not free",
                    where=str(table),
                    fix="give the target a prefix",
                )
            # Some servers keep all names in lower case.
            known = seen.setdefault((place.lower(), table.name.lower()), table)
            if known != table:
                raise RefreshError(
                    f"it would have the place of {known}",
                    where=str(table),
                    fix="refresh them into targets with different prefixes",
                )
