"""How a column is asked for, so that what the driver makes of it is exact.

The driver knows microseconds, and cuts the seventh digit of a datetime2 off without a word: such values
are asked for as text. Types that it has no Arrow type for are printed by the server, in a style that is
named: what CAST prints depends on the compatibility level of the database.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import Column, TableId
from replication_assets.sources.sqlserver.statements.names import quoted, relation
from replication_assets.sources.sqlserver.types import NativeType

_CASTS = {
    "money": "CAST({} AS decimal(19, 4))",
    "smallmoney": "CAST({} AS decimal(10, 4))",
    # A datetime counts three-hundredths of a second; its milliseconds are what everybody sees.
    "datetime": "CAST({} AS datetime2(3))",
    "smalldatetime": "CAST({} AS datetime2(0))",
    "time": "CONVERT(varchar(16), {}, 121)",
    "datetimeoffset": "CONVERT(varchar(34), {}, 121)",
    "timestamp": "CAST({} AS binary(8))",
    "hierarchyid": "CAST({} AS nvarchar(4000))",
    "geometry": "CAST({} AS varbinary(max))",
    "geography": "CAST({} AS varbinary(max))",
    "xml": "CAST({} AS nvarchar(max))",
    "json": "CAST({} AS nvarchar(max))",
    "text": "CAST({} AS varchar(max))",
    "ntext": "CAST({} AS nvarchar(max))",
    "image": "CAST({} AS varbinary(max))",
}
_HUNDREDS = "DATEPART(NANOSECOND, {}) % 1000"
"""What of a time is no whole microsecond: the type counts hundreds of nanoseconds."""


def typed_expression(column: Column, alias: str = "") -> str:
    """SQL for the column's stored value; NULL where it is odd."""
    name = _named(column, alias)
    native = NativeType.parse(column.source_type)
    if native.may_be_odd:
        return f"CASE WHEN {_HUNDREDS.format(name)} = 0 THEN CAST({name} AS datetime2(6)) END"
    return _CASTS.get(native.base, "{}").format(name)


def odd_expression(column: Column, alias: str = "") -> str:
    """SQL for the text of an odd value; NULL where it is ordinary. Of `may_be_odd` columns."""
    name = _named(column, alias)
    return f"CASE WHEN {_HUNDREDS.format(name)} <> 0 THEN CONVERT(varchar(27), {name}, 121) END"


def select_list(columns: Sequence[Column], alias: str = "") -> str:
    """Typed expressions in the order of the columns, then the odd texts of those that can have one.
    Positions count: names of results are ours, since a table's own may be empty or twice there."""
    return select_from(columns, [alias] * len(columns))


def select_from(columns: Sequence[Column], aliases: Sequence[str]) -> str:
    """As `select_list`, each column of the table that its alias names."""
    pairs = list(enumerate(zip(columns, aliases, strict=True)))
    typed = [f"{typed_expression(column, alias)} AS [c{i}]" for i, (column, alias) in pairs]
    odd = [
        f"{odd_expression(column, alias)} AS [o{i}]"
        for i, (column, alias) in pairs
        if NativeType.parse(column.source_type).may_be_odd
    ]
    return ", ".join([*typed, *odd])


def select_rows(table: TableId, columns: Sequence[Column], condition: str) -> str:
    """The query of a slice."""
    return f"SELECT {select_list(columns)} FROM {relation(table)} WHERE {condition}"


def _named(column: Column, alias: str) -> str:
    return quoted(alias, column.name) if alias else quoted(column.name)
