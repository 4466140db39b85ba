"""Control events that no stream brings: committed on their own, by whoever found the reason."""

from __future__ import annotations

import datetime as dt

from replication_assets.core.assemble import schema_changed
from replication_assets.core.controls import SchemaChanged
from replication_assets.core.schema import TableSchema
from replication_assets.ports import EventLog


def tell(log: EventLog, schema: TableSchema, change: SchemaChanged) -> None:
    """Commit an `S` event on its own."""
    writer = log.writer()
    try:
        writer.write(schema_changed(change, schema, dt.datetime.now(dt.UTC)))
        writer.commit()
    except BaseException:
        writer.abort()
        raise
