"""Owns what a range holds: found by reading the whole table, which is the only way to find it.

DynamoDB can look up items by key and read a table from end to end, and an id range is neither.
A scan costs half a read unit for each 4 KB of the table (one where it is consistent, as here),
whatever part of it belongs to the range; all segments are read at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa

from replication_assets.core.items.canonical import canonical
from replication_assets.core.items.registers import DELETED, ORIGIN, PART, POSITION
from replication_assets.core.schema import TableId
from replication_assets.core.sql import figures, literal
from replication_assets.targets.dynamodb.data_table import DataTable
from replication_assets.targets.dynamodb.wire.reads import Expressions

SEGMENTS = 4
_KEYS = pa.schema([pa.field("key", pa.large_string()), pa.field("register", pa.large_string())])


def live_items_of(origin: str, *, projected: tuple[str, ...]) -> Expressions:
    """The items of a range that are neither tombstones nor parts."""
    names = {"#o": ORIGIN, "#d": DELETED, "#q": PART}
    names |= {f"#a{place}": name for place, name in enumerate(projected)}
    return Expressions(
        projection=", ".join(f"#a{place}" for place in range(len(projected))),
        filter="#o = :o AND attribute_not_exists(#d) AND attribute_not_exists(#q)",
        names=names,
        values={":o": {"S": origin}},
    )


def items_of_table(table: TableId) -> Expressions:
    """Everything that any range of a source table wrote, tombstones and parts included."""
    return Expressions(filter="begins_with(#o, :o)", names={"#o": ORIGIN}, values={":o": {"S": f"{table}#"}})


def count_rows(table: DataTable, origin: str) -> int:
    only = live_items_of(origin, projected=table.key_names)
    return sum(len(page) for page in table.reader.scan(SEGMENTS, only=only))


class Standing:
    """What a range held before it was written anew, what was written, and what stays because its
    row is refused: on disk where it is too much for memory. Tells what should not be there."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute("CREATE TEMP TABLE standing (key VARCHAR, register VARCHAR)")
        connection.execute("CREATE TEMP TABLE written (key VARCHAR)")
        connection.execute("CREATE TEMP TABLE refused (key VARCHAR)")

    def look(self, table: DataTable, origin: str) -> None:
        only = live_items_of(origin, projected=(*table.key_names, POSITION))
        for page in table.reader.scan(SEGMENTS, only=only):
            self._connection.register("page", _keys(page, table.key_names))
            self._connection.execute("INSERT INTO standing SELECT key, register FROM page")

    def wrote(self, keys: pa.ChunkedArray) -> None:
        self._connection.register("page", pa.table({"key": keys}))
        self._connection.execute("INSERT INTO written SELECT key FROM page")

    def refused(self, keys: pa.ChunkedArray) -> None:
        self._connection.register("page", pa.table({"key": keys}))
        self._connection.execute("INSERT INTO refused SELECT key FROM page")

    @property
    def rows(self) -> int:
        """How many the range holds now."""
        refused = "SELECT key FROM refused SEMI JOIN standing USING (key)"
        held = f"SELECT key FROM written UNION {refused}"
        return int(figures(self._connection, f"SELECT count(*) FROM ({held})")[0])

    def not_written(self, newest: str) -> Iterator[pa.Table]:
        """Keys and registers that stood there, have no row any more, and are not newer than that."""
        query = (
            f"SELECT key, register FROM standing ANTI JOIN written USING (key) "
            f"ANTI JOIN refused USING (key) WHERE register <= {literal(newest)}"
        )
        for batch in self._connection.sql(query).to_arrow_reader(65_536):
            if batch.num_rows:
                yield pa.Table.from_batches([batch]).cast(_KEYS)


def _keys(page: list[dict[str, Any]], key_names: tuple[str, ...]) -> pa.Table:
    keys = [canonical({name: item[name] for name in key_names}) for item in page]
    return pa.table([keys, [item[POSITION]["S"] for item in page]], schema=_KEYS)
