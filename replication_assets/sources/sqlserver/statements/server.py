"""Statements about the server and the database: transactions, identity, grants, who writes."""

from __future__ import annotations

from replication_assets.core.schema import TableId
from replication_assets.sources.sqlserver.statements.catalog import object_id
from replication_assets.sources.sqlserver.statements.names import literal, quoted, relation

SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT"
BEGIN = "BEGIN TRANSACTION"
COMMIT = "COMMIT TRANSACTION"
ROLLBACK = "ROLLBACK TRANSACTION"
CLOCK = "SELECT SYSUTCDATETIME()"


def touch(table: TableId) -> str:
    """A look at the data of the table: at no row at all, the server would not look."""
    return f"SELECT TOP (1) 1 AS [one] FROM {relation(table)}"


IDENTITY = (
    "SELECT r.[database_guid], r.[recovery_fork_guid] FROM sys.database_recovery_status AS r"
    " WHERE r.[database_id] = DB_ID()"
)
"""A database that is restored, or taken to another point in time, gets another fork."""

SETTINGS = (
    "SELECT CAST(SERVERPROPERTY(N'ProductMajorVersion') AS int),"
    " CAST(SERVERPROPERTY(N'EngineEdition') AS int), d.[name], d.[is_cdc_enabled],"
    " d.[snapshot_isolation_state], d.[is_read_only], d.[compatibility_level],"
    " (SELECT COUNT(*) FROM sys.change_tracking_databases AS t WHERE t.[database_id] = d.[database_id])"
    " FROM sys.databases AS d WHERE d.[database_id] = DB_ID()"
)

PERMISSIONS = (
    "SELECT IS_ROLEMEMBER(N'db_owner'), IS_SRVROLEMEMBER(N'sysadmin'),"
    " HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'VIEW DATABASE STATE'), USER_NAME()"
)

REPL_SIZE = (
    "SELECT CAST(c.[value_in_use] AS int) FROM sys.configurations AS c "
    "WHERE c.[name] = N'max text repl size (B)'"
)
"""Longer values than this are refused when an application writes them into a captured column."""


def lock(name: str) -> str:
    """Taken for the session, at once or not at all: 0 or 1 where it was."""
    return (
        "DECLARE @taken int; EXEC @taken = sys.sp_getapplock"
        f" @Resource = {literal(name)}, @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = 0;"
        " SELECT @taken"
    )


def lock_is_free(name: str) -> str:
    return f"SELECT APPLOCK_TEST(N'public', {literal(name)}, N'Exclusive', N'Session')"


def lock_is_ours(name: str) -> str:
    return f"SELECT APPLOCK_MODE(N'public', {literal(name)}, N'Session')"


def lock_holder(name: str) -> str:
    """The session that holds it. The server shows the beginning of a resource's name."""
    return (
        "SELECT TOP (1) l.[request_session_id] FROM sys.dm_tran_locks AS l"
        " WHERE l.[resource_type] = N'APPLICATION' AND l.[resource_database_id] = DB_ID()"
        " AND l.[request_status] = N'GRANT'"
        f" AND CHARINDEX({literal('[' + name[:32] + ']')}, l.[resource_description]) > 0"
    )


def kill(session: int) -> str:
    return f"KILL {session}"


def writers(table: TableId) -> str:
    """Sessions that hold locks on the table which only writers take, or wait for one."""
    return (
        "SELECT DISTINCT s.[session_id], s.[login_name], COALESCE(s.[program_name], N''), s.[status],"
        " DATEDIFF(SECOND, t.[transaction_begin_time], GETDATE())"
        " FROM sys.dm_tran_locks AS l"
        " JOIN sys.dm_exec_sessions AS s ON s.[session_id] = l.[request_session_id]"
        " LEFT JOIN sys.dm_tran_session_transactions AS x ON x.[session_id] = s.[session_id]"
        " LEFT JOIN sys.dm_tran_active_transactions AS t ON t.[transaction_id] = x.[transaction_id]"
        " WHERE l.[resource_type] = N'OBJECT' AND l.[resource_database_id] = DB_ID()"
        f" AND l.[resource_associated_entity_id] = {object_id(table)}"
        " AND l.[request_mode] IN (N'IX', N'SIX', N'X', N'BU', N'UIX', N'Sch-M')"
        " AND s.[session_id] <> @@SPID AND s.[is_user_process] = 1"
    )


def granted_writers(table: TableId) -> str:
    """Who may write to the table by a grant on it."""
    return (
        "SELECT p.[permission_name], u.[name] FROM sys.database_permissions AS p"
        " JOIN sys.database_principals AS u ON u.[principal_id] = p.[grantee_principal_id]"
        f" WHERE p.[class] = 1 AND p.[major_id] = {object_id(table)} AND p.[state] IN (N'G', N'W')"
        " AND p.[permission_name] IN (N'INSERT', N'UPDATE', N'DELETE', N'ALTER', N'CONTROL')"
        " ORDER BY u.[name], p.[permission_name]"
    )


def deny_writes(table: TableId) -> str:
    return f"DENY INSERT, UPDATE, DELETE ON {relation(table)} TO [public];"


def revoke(permission: str, table: TableId, user: str) -> str:
    return f"REVOKE {permission} ON {relation(table)} FROM {quoted(user)};"
