"""Change Tracking: which rows changed since a version, and what they are now."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import Column, TableId
from replication_assets.sources.sqlserver.statements.catalog import object_id
from replication_assets.sources.sqlserver.statements.cdc import utc
from replication_assets.sources.sqlserver.statements.names import quoted, relation
from replication_assets.sources.sqlserver.statements.values import select_from

ENABLE_DATABASE = (
    "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 3 DAYS, AUTO_CLEANUP = ON)"
)
DISABLE_DATABASE = "ALTER DATABASE CURRENT SET CHANGE_TRACKING = OFF"
SET_RETENTION = "ALTER DATABASE CURRENT SET CHANGE_TRACKING (CHANGE_RETENTION = 3 DAYS)"
VERSION = "SELECT CHANGE_TRACKING_CURRENT_VERSION()"
RETENTION = (
    "SELECT t.[retention_period], t.[retention_period_units_desc], t.[is_auto_cleanup_on]"
    " FROM sys.change_tracking_databases AS t WHERE t.[database_id] = DB_ID()"
)
TRACKED_TABLES = (
    "SELECT t.[object_id], t.[begin_version], t.[min_valid_version] FROM sys.change_tracking_tables AS t"
)
"""`begin_version` is where tracking began; TRUNCATE TABLE begins it anew."""

SPACE = (
    "SELECT SUM(CAST(a.[used_pages] AS bigint)) * 8192 FROM sys.internal_tables AS i"
    " JOIN sys.partitions AS p ON p.[object_id] = i.[object_id]"
    " JOIN sys.allocation_units AS a ON a.[container_id] = p.[partition_id]"
    " WHERE i.[internal_type_desc] = N'CHANGE_TRACKING'"
)


def enable_table(table: TableId) -> str:
    return f"ALTER TABLE {relation(table)} ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = OFF)"


def disable_table(schema: str, name: str) -> str:
    return f"ALTER TABLE {quoted(schema, name)} DISABLE CHANGE_TRACKING"


def is_tracked(table: TableId) -> str:
    return (
        "SELECT t.[begin_version] FROM sys.change_tracking_tables AS t"
        f" WHERE t.[object_id] = {object_id(table)}"
    )


FIXED_COLUMNS = 4
"""Columns of `changes` before those of the table."""


def changes(table: TableId, columns: Sequence[Column], key: Sequence[str], *, after: int, upto: int) -> str:
    """The last change of every row that changed in `(after, upto]`, with the row as it is now; of a
    deleted one its key. To be read within the snapshot that told `upto`.

    A row that is not there any more and was not deleted last, was deleted after `upto`: none in a
    snapshot. Key columns come from the notes of the tracking, of a deleted row nothing else is left.
    """
    named = {name: quoted("c", name) for name in key}
    joined = " AND ".join(f"{quoted('t', name)} = {place}" for name, place in named.items())
    places = ["c" if column.name in named else "t" for column in columns]
    listed = select_from(columns, places)
    return (
        "SELECT c.[SYS_CHANGE_VERSION] AS [version], c.[SYS_CHANGE_OPERATION] AS [operation],"
        f" {utc('m.[commit_time]')} AS [committed_at],"
        f" CASE WHEN {quoted('t', key[0])} IS NULL THEN 0 ELSE 1 END AS [present],"
        f" {listed}"
        f" FROM CHANGETABLE(CHANGES {relation(table)}, {after}) AS c"
        f" LEFT JOIN {relation(table)} AS t ON {joined}"
        " LEFT JOIN sys.dm_tran_commit_table AS m ON m.[commit_ts] = c.[SYS_CHANGE_VERSION]"
        f" WHERE c.[SYS_CHANGE_VERSION] <= {upto} ORDER BY c.[SYS_CHANGE_VERSION]"
    )
