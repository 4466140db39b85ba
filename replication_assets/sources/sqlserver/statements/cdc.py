"""Change data capture: setup, change tables, and how far the capture job has come.

Change tables are read as they are (`cdc.<instance>_CT`): the functions over them lack `__$command_id`,
without which the order of changes within a transaction is not known, and fail where cleanup has passed.
"""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.core.schema import Column, TableId
from replication_assets.sources.sqlserver.statements.names import literal, quoted
from replication_assets.sources.sqlserver.statements.values import select_list
from replication_assets.sources.sqlserver.types import NativeType

ENABLE_DATABASE = "EXEC sys.sp_cdc_enable_db"
DISABLE_DATABASE = "EXEC sys.sp_cdc_disable_db"
MAX_LSN = "SELECT sys.fn_cdc_get_max_lsn()"

LAST_SCAN = (
    "SELECT TOP (1) s.[empty_scan_count], s.[tran_count],"
    " DATEDIFF(SECOND, COALESCE(s.[end_time], GETDATE()), GETDATE())"
    " FROM sys.dm_cdc_log_scan_sessions AS s WHERE s.[session_id] <> 0 ORDER BY s.[session_id] DESC"
)
"""The capture job's newest look at the log: whether it found nothing, and its age."""

AGENT = (
    "SELECT s.[status_desc] FROM sys.dm_server_services AS s WHERE s.[servicename] LIKE N'SQL Server Agent%'"
)

CHANGE_TABLES = "SELECT OBJECT_ID(N'[cdc].[change_tables]')"
"""NULL where change data capture is off: its schema went with it."""

INSTANCES = (
    "SELECT t.[capture_instance], t.[source_object_id], t.[start_lsn], t.[object_id]"
    " FROM cdc.change_tables AS t ORDER BY t.[capture_instance]"
)
"""Every capture instance of the database, whoever made it; `start_lsn` rises as cleanup passes."""

CHANGE_TABLE_BYTES = (
    "SELECT SUM(CAST(a.[used_pages] AS bigint)) * 8192 FROM cdc.change_tables AS t"
    " JOIN sys.partitions AS p ON p.[object_id] = t.[object_id]"
    " JOIN sys.allocation_units AS a ON a.[container_id] = p.[partition_id]"
)


def retention_minutes() -> str:
    """Of the cleanup job; no row where there is none (a hosted service has its own)."""
    return (
        "SELECT j.[retention] FROM msdb.dbo.cdc_jobs AS j"
        " WHERE j.[database_id] = DB_ID() AND j.[job_type] = N'cleanup'"
    )


def set_retention(minutes: int) -> str:
    return f"EXEC sys.sp_cdc_change_job @job_type = N'cleanup', @retention = {minutes}"


def enable_table(table: TableId, instance: str) -> str:
    """Without a role: who may read the change table is a matter of grants on it. A partition is not let
    in or out unseen."""
    return (
        f"EXEC sys.sp_cdc_enable_table @source_schema = {literal(table.schema)},"
        f" @source_name = {literal(table.name)}, @role_name = NULL,"
        f" @capture_instance = {literal(instance)}, @supports_net_changes = 0, @allow_partition_switch = 0"
    )


def disable_table(schema: str, name: str, instance: str) -> str:
    return (
        f"EXEC sys.sp_cdc_disable_table @source_schema = {literal(schema)}, @source_name = {literal(name)},"
        f" @capture_instance = {literal(instance)}"
    )


def captured_columns(instance: str) -> str:
    """Names and ordinals, by which update masks count."""
    return (
        "SELECT c.[column_name], c.[column_ordinal] FROM cdc.captured_columns AS c"
        " JOIN cdc.change_tables AS t ON t.[object_id] = c.[object_id]"
        f" WHERE t.[capture_instance] = {literal(instance)} ORDER BY c.[column_ordinal]"
    )


def window_end(after: str, reach: str, transactions: int) -> str:
    """The place of the last of so many transactions after a place; NULL if there are none."""
    some = (
        f"SELECT TOP ({transactions}) m.[start_lsn] FROM cdc.lsn_time_mapping AS m"
        f" WHERE m.[start_lsn] > {after} AND m.[start_lsn] <= {reach} ORDER BY m.[start_lsn]"
    )
    return f"SELECT MAX(w.[start_lsn]) FROM ({some}) AS w"


FIXED_COLUMNS = 8
"""Columns of `changes` before those of the table."""


def changes(
    instance: str,
    columns: Sequence[Column],
    large: Sequence[int],
    *,
    after: str,
    upto: str,
    before: str | None,
) -> str:
    """Changes of one instance with `after < commit <= upto`, below `before` where a newer instance took
    over, in order.

    The rank is over the whole transaction, so that a change has the same one however it is read.
    """
    commit = "CAST(SUBSTRING(c.[__$start_lsn], 1, 8) AS bigint)"
    slot = "CAST(SUBSTRING(c.[__$start_lsn], 9, 2) AS int)"
    order = "c.[__$command_id], c.[__$seqval], c.[__$operation]"
    bits = [f"sys.fn_cdc_is_bit_set({ordinal}, c.[__$update_mask]) AS [m{ordinal}]" for ordinal in large]
    ours = [
        f"{commit} AS [commit]",
        f"{slot} AS [slot]",
        f"ROW_NUMBER() OVER (PARTITION BY c.[__$start_lsn] ORDER BY {order}) AS [rank]",
        "c.[__$operation] AS [operation]",
        "c.[__$seqval] AS [seqval]",
        "c.[__$command_id] AS [command]",
        f"{utc('m.[tran_end_time]')} AS [committed_at]",
        "CAST(m.[tran_id] AS bigint) AS [transaction]",
        *([select_list(columns, "c")] if columns else []),
        *bits,
    ]
    limit = "" if before is None else f" AND c.[__$start_lsn] < {before}"
    return (
        f"SELECT {', '.join(ours)} FROM {change_table(instance)} AS c"
        " LEFT JOIN cdc.lsn_time_mapping AS m ON m.[start_lsn] = c.[__$start_lsn]"
        f" WHERE c.[__$start_lsn] > {after} AND c.[__$start_lsn] <= {upto}{limit}"
        f" ORDER BY c.[__$start_lsn], {order}"
    )


def utc(local: str) -> str:
    """A local time of the server as UTC, by what it is apart from UTC now."""
    apart = "DATEDIFF(MINUTE, GETDATE(), GETUTCDATE())"
    return f"CAST(DATEADD(MINUTE, {apart}, {local}) AS datetime2(3))"


def change_table(instance: str) -> str:
    return quoted("cdc", f"{instance}_CT")


def holds_value(table: str, column: Column) -> str:
    """Whether some row has a value in the column; `table` is quoted."""
    return f"SELECT TOP (1) 1 AS [one] FROM {table} WHERE {quoted(column.name)} IS NOT NULL"


def large_ordinals(columns: Sequence[Column], ordinals: Sequence[int]) -> tuple[int, ...]:
    """Ordinals of the columns whose old values come with changes of them only."""
    return tuple(
        ordinal
        for column, ordinal in zip(columns, ordinals, strict=True)
        if NativeType.parse(column.source_type).is_large
    )
