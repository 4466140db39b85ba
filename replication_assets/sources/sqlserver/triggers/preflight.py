"""What stands in the way of trigger capture, and what it means for applications. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.sources.sqlserver.preflight import read_settings, shared_problems
from replication_assets.sources.sqlserver.reflection import find_relation, kind_problems, primary_key
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import catalog
from replication_assets.sources.sqlserver.statements import triggers as statements
from replication_assets.sources.sqlserver.statements.names import literal, quoted, relation
from replication_assets.sources.sqlserver.statements.triggers import EVENTS, ChangeLog
from replication_assets.sources.sqlserver.types import OLD_LOBS, NativeType

Tables = Sequence[tuple[TableId, TableSchema]]

MOST_COLUMNS = 1000
"""Of one table: the server allows 1024 in a row of the log, which has more than the images."""
_ROW_BYTES = 8060
_POINTER_BYTES = 24
"""What a value takes that went out of its row."""
_LOG_BYTES = 64
"""What a row of the log has beside its image."""
_FIXED_BYTES = {
    "bit": 1,
    "tinyint": 1,
    "smallint": 2,
    "int": 4,
    "bigint": 8,
    "money": 8,
    "smallmoney": 4,
    "real": 4,
    "float": 8,
    "decimal": 17,
    "date": 3,
    "time": 5,
    "datetime": 8,
    "datetime2": 8,
    "smalldatetime": 4,
    "datetimeoffset": 10,
    "uniqueidentifier": 16,
    "timestamp": 8,
}


def setup_problems(session: Session, log: ChangeLog, tables: Tables) -> list[str]:
    """Everything that keeps trigger capture from being set up; empty when it can be."""
    return [
        *shared_problems(read_settings(session)),
        *_server_problems(session),
        *(problem for table, schema in tables for problem in _table_problems(session, log, table, schema)),
    ]


def consequences(tables: Tables) -> tuple[str, ...]:
    """What applications must know of before triggers stand on their tables."""
    if not tables:
        return ()
    named = ", ".join(relation(table) for table, _ in tables)
    output = (
        f"with triggers on {named}, the server refuses statements with OUTPUT and no INTO (error 334)."
        " Fix: let applications use OUTPUT ... INTO, which some libraries must be told"
    )
    truncate = (
        f"with what guards {named}, the server refuses TRUNCATE TABLE, and to drop, rename or retype them or"
        " their columns. Fix: DELETE instead; docs/sqlserver.md tells how to migrate such a column"
    )
    bulk = (
        "rows of BULK INSERT, bcp and SqlBulkCopy fire no trigger unless they are told to, and nothing tells"
        " of them. Fix: ask for FIRE_TRIGGERS wherever captured tables are filled so, or load them again"
    )
    return output, truncate, bulk


def _server_problems(session: Session) -> Iterator[str]:
    if session.rows(statements.NESTED) != [(1,)]:
        yield (
            "what triggers of others change fires no trigger here, and would be missed."
            " Run: EXEC sp_configure N'nested triggers', 1; RECONFIGURE"
        )
    ((boot,),) = session.rows(statements.BOOT)
    if boot is None:
        yield (
            "the server does not tell when it was started (Azure SQL Database does not), without which"
            " transactions cannot be told apart. Use capture='cdc'"
        )


def _table_problems(session: Session, log: ChangeLog, table: TableId, schema: TableSchema) -> Iterator[str]:
    rows = relation(table)
    found = find_relation(session, table)
    if found is None:
        yield f"there is no table {rows}"
        return
    yield from (f"{rows}: {problem}" for problem in kind_problems(found))
    yield from _key_problems(session, table, schema)
    yield from _column_problems(rows, schema.columns)
    ((owner,),) = session.rows(statements.owner(table))
    if str(owner) != "dbo":
        yield (
            f"{rows} belongs to {owner}, and who writes to it would need rights on the log, which is dbo's."
            f" Run: ALTER AUTHORIZATION ON OBJECT::{rows} TO [dbo], or use capture='cdc'"
        )
    ((partitions,),) = session.rows(catalog.partition_scheme(table))
    if int(partitions) > 1:
        yield (
            f"{rows} is partitioned, and rows of partitions that are switched in fire no trigger."
            " Use capture='cdc'"
        )
    yield from _order_problems(session, log, table, schema)


def _key_problems(session: Session, table: TableId, schema: TableSchema) -> Iterator[str]:
    rows, key = relation(table), primary_key(session, table)
    if not key:
        yield (
            f"{rows} has no primary key, by which old and new rows are told to be one, and TRUNCATE is kept"
            f" off. Run: ALTER TABLE {rows} ADD PRIMARY KEY (its key), or use capture='cdc'"
        )
    elif set(schema.key) != set(key):
        yield (
            f"{rows}: the declared key {list(schema.key)} is not its primary key {list(key)}, by which old"
            " and new rows are told to be one. Declare no key, or use capture='cdc'"
        )


def _column_problems(rows: str, columns: Sequence[Column]) -> Iterator[str]:
    hidden = [c.name for c in columns if NativeType.parse(c.source_type).base in OLD_LOBS]
    if hidden:
        yield (
            f"{rows}: triggers cannot see {hidden}, of type text, ntext or image."
            " Make them varchar(max), nvarchar(max) or varbinary(max), or use capture='cdc'"
        )
    if len(columns) > MOST_COLUMNS:
        yield f"{rows} has more than {MOST_COLUMNS} columns. Use capture='cdc'"
    if sum(_most_bytes(column) for column in columns) > _ROW_BYTES - _LOG_BYTES:
        yield (
            f"{rows}: a row may be so long that it does not fit into the log with what stands beside it, and"
            " a writer would fail. Use capture='cdc'"
        )


def _most_bytes(column: Column) -> int:
    """What a value takes in its row at the most, with its place among the others."""
    native = NativeType.parse(column.source_type)
    length = (native.length or 0) * (2 if native.base in ("nchar", "nvarchar") else 1)
    if native.base in ("char", "binary", "nchar"):
        return 1 + length
    if native.base in _FIXED_BYTES:
        return 1 + _FIXED_BYTES[native.base]
    # Longer values can go out of the row.
    return 3 + (min(length, _POINTER_BYTES) if length > 0 else _POINTER_BYTES)


def _order_problems(session: Session, log: ChangeLog, table: TableId, schema: TableSchema) -> Iterator[str]:
    """What a trigger of somebody else changes in the table would be told before what it was fired by."""
    wanted = {"INSERT"} if schema.append_only else set(EVENTS.values())
    for name, event, _, is_first in session.rows(statements.standing_triggers(table)):
        if is_first and str(event) in wanted and not str(name).startswith(f"{log.schema}_"):
            named = literal(quoted(table.schema, str(name)))
            yield (
                f"{relation(table)}: trigger {name} is the first to fire at {event}, which ours must be."
                f" Run: EXEC sp_settriggerorder @triggername = {named}, @order = N'None',"
                f" @stmttype = N'{event}'"
            )
