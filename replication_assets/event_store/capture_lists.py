"""Which tables a source's captures kept, each time that changed: a line for each list.

A log of the server's own (a binlog) holds every table and knows of no list, so this is what tells a
table that was left out for a while from one that was always captured.
"""

from __future__ import annotations

import datetime as dt
import json

import pyarrow as pa

from replication_assets.core.schema import TableId
from replication_assets.errors import StoreCorrupt
from replication_assets.event_store.numbered_lines import NUMBER, UTC_MICROSECONDS, NumberedLines
from replication_assets.event_store.storage import Place
from replication_assets.ports import CapturedTables

SCHEMA = pa.schema(
    [
        *NUMBER,
        pa.field("at", UTC_MICROSECONDS),
        pa.field("epoch", pa.int32()),
        # A JSON list of [schema, name], sorted. The source is that of the folder.
        pa.field("tables", pa.string()),
    ]
)


class DeltaCaptureLists:
    """See `ports.CaptureLists`."""

    def __init__(self, source: str, place: Place) -> None:
        self._source, self._place = source, place
        self._lines = NumberedLines(place, SCHEMA)

    def __repr__(self) -> str:
        return f"DeltaCaptureLists({self._place.uri!r})"

    def last(self) -> CapturedTables | None:
        return self._numbered()[1]

    def record(self, tables: CapturedTables, at: dt.datetime) -> None:
        number, last = self._numbered()
        if last != tables:
            names = json.dumps(sorted([table.schema, table.name] for table in tables.tables))
            self._lines.append([at, tables.epoch, names], number)

    def _numbered(self) -> tuple[int, CapturedTables | None]:
        """The newest line's number and list; 0 and None before the first."""
        number = self._lines.count()
        if number == 0:
            return 0, None
        newest = self._lines.read(after=number - 1)[-1]
        try:
            names = frozenset(
                TableId(self._source, str(schema), str(name)) for schema, name in json.loads(newest["tables"])
            )
        except (ValueError, TypeError):
            raise StoreCorrupt(
                f"line {newest['_sequence']} is no list of tables",
                where=self._place.where,
                fix="restore the folder from a copy",
            ) from None
        return newest["_sequence"], CapturedTables(newest["epoch"], names)
