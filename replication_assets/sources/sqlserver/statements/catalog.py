"""Reads of the system catalog: what a table is."""

from __future__ import annotations

from replication_assets.core.schema import TableId
from replication_assets.sources.sqlserver.statements.names import literal, relation


def object_id(table: TableId) -> str:
    """SQL for the number of the table; NULL for one that this account may not see."""
    return f"OBJECT_ID({literal(relation(table))})"


def find_relation(table: TableId) -> str:
    """Kind, row estimate, and why it may be no plain table. Compatible with every account that may see
    the table."""
    return (
        "SELECT o.[type], o.[object_id],"
        " (SELECT SUM(p.[rows]) FROM sys.partitions AS p"
        " WHERE p.[object_id] = o.[object_id] AND p.[index_id] IN (0, 1)),"
        " COALESCE(t.[is_memory_optimized], 0), COALESCE(t.[is_external], 0),"
        " CASE WHEN t.[is_node] = 1 OR t.[is_edge] = 1 THEN 1 ELSE 0 END"
        " FROM sys.objects AS o LEFT JOIN sys.tables AS t ON t.[object_id] = o.[object_id]"
        f" WHERE o.[object_id] = {object_id(table)}"
    )


def columns(table: TableId) -> str:
    """In the table's order. The type of an alias is the one that it stands for; of an assembly's own
    type, its own name."""
    return (
        "SELECT c.[name], COALESCE(b.[name], u.[name]), c.[max_length], c.[precision], c.[scale],"
        " c.[is_nullable], c.[is_computed], c.[is_column_set],"
        " CASE WHEN c.[encryption_type] IS NULL THEN 0 ELSE 1 END, c.[is_masked]"
        " FROM sys.columns AS c"
        " JOIN sys.types AS u ON u.[user_type_id] = c.[user_type_id]"
        " LEFT JOIN sys.types AS b ON b.[user_type_id] = c.[system_type_id] AND u.[is_assembly_type] = 0"
        f" WHERE c.[object_id] = {object_id(table)} ORDER BY c.[column_id]"
    )


def primary_key(table: TableId) -> str:
    return (
        "SELECT c.[name] FROM sys.indexes AS i"
        " JOIN sys.index_columns AS k ON k.[object_id] = i.[object_id] AND k.[index_id] = i.[index_id]"
        " JOIN sys.columns AS c ON c.[object_id] = k.[object_id] AND c.[column_id] = k.[column_id]"
        f" WHERE i.[object_id] = {object_id(table)} AND i.[is_primary_key] = 1 AND k.[key_ordinal] > 0"
        " ORDER BY k.[key_ordinal]"
    )


def may_select(table: TableId) -> str:
    """Whether the account may read the rows, and sees them unmasked."""
    named = literal(relation(table))
    return (
        f"SELECT HAS_PERMS_BY_NAME({named}, N'OBJECT', N'SELECT'),"
        " HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'UNMASK'), USER_NAME()"
    )


def hiding_policies(table: TableId) -> str:
    """Row-level security: policies that leave rows out without a word."""
    return (
        "SELECT DISTINCT s.[name] FROM sys.security_predicates AS p"
        " JOIN sys.security_policies AS s ON s.[object_id] = p.[object_id]"
        f" WHERE p.[target_object_id] = {object_id(table)} AND s.[is_enabled] = 1"
        " AND p.[predicate_type] = 0 ORDER BY s.[name]"
    )


# --- structure -----------------------------------------------------------------------------


def structure_columns(table: TableId) -> str:
    return (
        "SELECT c.[name], COALESCE(b.[name], u.[name]), c.[max_length], c.[precision], c.[scale],"
        " c.[is_nullable], c.[is_identity], c.[collation_name], d.[definition], g.[definition],"
        " c.[is_sparse], c.[is_rowguidcol], c.[is_masked], c.[is_hidden]"
        " FROM sys.columns AS c"
        " JOIN sys.types AS u ON u.[user_type_id] = c.[user_type_id]"
        " LEFT JOIN sys.types AS b ON b.[user_type_id] = c.[system_type_id] AND u.[is_assembly_type] = 0"
        " LEFT JOIN sys.default_constraints AS d ON d.[object_id] = c.[default_object_id]"
        " LEFT JOIN sys.computed_columns AS g"
        " ON g.[object_id] = c.[object_id] AND g.[column_id] = c.[column_id]"
        f" WHERE c.[object_id] = {object_id(table)} ORDER BY c.[column_id]"
    )


def indexes(table: TableId) -> str:
    return (
        "SELECT i.[name], i.[type_desc], i.[is_unique], i.[is_primary_key], i.[is_unique_constraint],"
        " CASE WHEN i.[has_filter] = 1 THEN i.[filter_definition] END, c.[name],"
        " k.[is_included_column], k.[is_descending_key], i.[is_disabled]"
        " FROM sys.indexes AS i"
        " JOIN sys.index_columns AS k ON k.[object_id] = i.[object_id] AND k.[index_id] = i.[index_id]"
        " JOIN sys.columns AS c ON c.[object_id] = k.[object_id] AND c.[column_id] = k.[column_id]"
        f" WHERE i.[object_id] = {object_id(table)} AND i.[index_id] > 0 AND i.[is_hypothetical] = 0"
        " ORDER BY i.[index_id], k.[is_included_column], k.[key_ordinal], k.[index_column_id]"
    )


def foreign_keys(table: TableId) -> str:
    return (
        "SELECT f.[name], c.[name], SCHEMA_NAME(p.[schema_id]), p.[name], r.[name],"
        " f.[delete_referential_action_desc], f.[update_referential_action_desc], f.[is_disabled]"
        " FROM sys.foreign_keys AS f"
        " JOIN sys.foreign_key_columns AS k ON k.[constraint_object_id] = f.[object_id]"
        " JOIN sys.columns AS c"
        " ON c.[object_id] = k.[parent_object_id] AND c.[column_id] = k.[parent_column_id]"
        " JOIN sys.columns AS r"
        " ON r.[object_id] = k.[referenced_object_id] AND r.[column_id] = k.[referenced_column_id]"
        " JOIN sys.objects AS p ON p.[object_id] = f.[referenced_object_id]"
        f" WHERE f.[parent_object_id] = {object_id(table)} ORDER BY f.[name], k.[constraint_column_id]"
    )


def checks(table: TableId) -> str:
    return (
        "SELECT k.[name], k.[definition], k.[is_disabled] FROM sys.check_constraints AS k"
        f" WHERE k.[parent_object_id] = {object_id(table)} ORDER BY k.[name]"
    )


def others(table: TableId) -> str:
    """What a copy never has, by name."""
    return (
        "SELECT N'trigger ' + t.[name] FROM sys.triggers AS t"
        f" WHERE t.[parent_id] = {object_id(table)}"
        " UNION ALL SELECT N'an extended property ' + e.[name] FROM sys.extended_properties AS e"
        f" WHERE e.[class] = 1 AND e.[major_id] = {object_id(table)}"
        " UNION ALL SELECT N'full-text search' FROM sys.fulltext_indexes AS f"
        f" WHERE f.[object_id] = {object_id(table)}"
    )


def partition_scheme(table: TableId) -> str:
    return (
        "SELECT COUNT(*) FROM sys.partitions AS p"
        f" WHERE p.[object_id] = {object_id(table)} AND p.[index_id] IN (0, 1)"
    )
