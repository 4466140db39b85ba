"""What id ranges are cut from, and whether an index serves them."""

from __future__ import annotations

from replication_assets.core.schema import Column, TableId
from replication_assets.sources.sqlserver.statements.names import quoted, relation
from replication_assets.sources.sqlserver.statements.predicates import key_expression


def bounds(table: TableId, column: Column) -> str:
    """Least and greatest key: by one look at each end where an index gives the order."""
    key = key_expression(column)
    return f"SELECT MIN({key}), MAX({key}) FROM {relation(table)}"


def count(table: TableId) -> str:
    return f"SELECT COUNT_BIG(*) FROM {relation(table)}"


def quantiles(table: TableId, column: Column, parts: int, percent: float | None) -> str:
    """The greatest key of each of `parts` pieces of equal size, of a sample of pages where `percent` is
    given. Of a view no sample can be taken."""
    key = key_expression(column)
    sample = f" TABLESAMPLE ({percent:.6f} PERCENT)" if percent is not None else ""
    pieces = (
        f"SELECT {key} AS [k], NTILE({parts}) OVER (ORDER BY {key}) AS [piece]"
        f" FROM {relation(table)}{sample} WHERE {quoted(column.name)} IS NOT NULL"
    )
    return f"SELECT MAX(p.[k]) FROM ({pieces}) AS p WHERE p.[piece] < {parts} GROUP BY p.[piece] ORDER BY 1"


def create_index(table: str, column: str, included: tuple[str, ...] = ()) -> str:
    """`table` is quoted already: a plan names its tables so."""
    covering = f" INCLUDE ({', '.join(quoted(name) for name in included)})" if included else ""
    return f"CREATE INDEX {quoted(f'IX_{column}'[:128])} ON {table} ({quoted(column)}){covering}"


SHOWPLAN_ON = "SET SHOWPLAN_XML ON"
SHOWPLAN_OFF = "SET SHOWPLAN_XML OFF"
"""Each in a batch of its own; between them nothing is executed."""
