"""How a source's files are written: settings of DMS's S3 endpoint that decide what a field means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from replication_assets.core.schema import Column, TableId

Name = tuple[str, str]
"""Schema and table, as paths and rows spell them."""


@dataclass(frozen=True, slots=True)
class FileLayout:
    """`columns` are declared, by `schema.table`, in the order of the fields of CSV. `timestamp_column` is
    DMS's `TimestampColumnName`: a field after `Op`. `header` is `AddColumnName`. Without `rfc4180` quotes
    mean nothing."""

    columns: Mapping[str, tuple[Column, ...]] = field(default_factory=dict)
    cdc_path: str | None = None
    timestamp_column: str | None = None
    header: bool = False
    delimiter: str = ","
    rfc4180: bool = True
    null_value: str = "NULL"
    no_sup_value: str | None = None

    def declared(self, name: Name) -> tuple[Column, ...]:
        return self.columns.get(f"{name[0]}.{name[1]}", ())

    @property
    def stamps(self) -> int:
        """How many fields of a row tell its time."""
        return 0 if self.timestamp_column is None else 1


def name_of(table: TableId) -> Name:
    return table.schema, table.name
