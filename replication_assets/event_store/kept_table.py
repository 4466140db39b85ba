"""A table of facts beside the logs: the ledger, dead letters, the record of a cutover.

Owns how such a table comes to be and how its newest version is reached. It has no partitions and
is made by whoever writes first; nobody asks before the first fact.
"""

from __future__ import annotations

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError

from replication_assets.delta_creation import NewTable
from replication_assets.event_store.columns import DELTA_PROPERTIES
from replication_assets.event_store.storage import Place


class KeptTable:
    """The table at `place`, kept open between looks. One thread."""

    def __init__(self, place: Place, schema: pa.Schema) -> None:
        self._place = place
        self._schema = schema
        self.last: DeltaTable | None = None
        """The table as it was looked at last, without another look."""

    def newest(self) -> DeltaTable | None:
        """The newest version; None while there is no table."""
        if self.last is not None:
            self._place.refresh(self.last)
        elif self._place.exists():
            self.last = self._place.open()
        return self.last

    def ensure(self) -> DeltaTable:
        """The newest version, of a table that is made if there is none."""
        return self.newest() or self._create()

    def _create(self) -> DeltaTable:
        new = NewTable(Schema.from_arrow(self._schema), DELTA_PROPERTIES, self._place.where)
        with self._place.errors():
            try:
                self._place.create(new)
            except (DeltaError, FileExistsError):
                # Two writers may start at once: the second finds the table there.
                if not self._place.exists():
                    raise
        self.last = self._place.open()
        return self.last
