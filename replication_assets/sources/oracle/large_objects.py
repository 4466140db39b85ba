"""What capture from the log needs of a table with large objects (CLOB, NCLOB, BLOB).

Its rows are read again, as of each commit, by a key that the database keeps unique
(`logminer.touched_rows`). So there must be such a key, of types that a row can be found by, and the log must
name the row of whatever is written into a large object: of one that is stored out of the row throughout
(DISABLE STORAGE IN ROW) it does not, and without LOGGING nothing is written to the log at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.sources.oracle.logminer.row_keys import can_be_looked_up
from replication_assets.sources.oracle.reflection import names_of
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import catalog, mending
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.status import Database
from replication_assets.sources.oracle.types import NativeType, is_large


def large_object_problems(
    session: Session, found: Database, table: TableId, schema: TableSchema
) -> list[str]:
    """Why large objects of a table cannot be captured from the log; empty if it has none."""
    large = [column.name for column in schema.columns if is_large(column)]
    if not large:
        return []
    return [*_key_problems(session, table, schema, large), *_storage_problems(session, found, table)]


def _key_problems(session: Session, table: TableId, schema: TableSchema, large: list[str]) -> Iterator[str]:
    name = quoted(table.schema, table.name)
    why = f"rows of {name} are read again for {', '.join(large)}"
    if not schema.key:
        yield f"{why}, which takes a key. Run: {mending.primary_key(table.schema, table.name)}"
        return
    kept = _unique_keys(session, table)
    if frozenset(schema.key) not in kept:
        yield (
            f"{why} by key ({', '.join(schema.key)}), and no enabled PRIMARY KEY or UNIQUE constraint has"
            " these columns. Add one, or declare another key"
        )
    odd = [each for each in schema.key if not can_be_looked_up(schema.column(each))]
    if odd:
        yield (
            f"{why}, and rows cannot be found by {', '.join(odd)}: by NUMBER, text, RAW and DATE they can."
            " Declare another key that is unique"
        )
    texts = [
        each for each in schema.key if NativeType.parse(schema.column(each).source_type).family == "text"
    ]
    row = one_row(session, catalog.CHARACTER_SET) if texts else None
    if row is not None and row[0] != "AL32UTF8":
        yield (
            f"{why}, and text of {', '.join(texts)} may not be sent to a database of {row[0]} without loss."
            " Declare another key that is unique"
        )


def _unique_keys(session: Session, table: TableId) -> set[frozenset[str]]:
    columns: dict[str, set[str]] = {}
    for row in session.rows(catalog.CONSTRAINTS, names_of(table)):
        if row[1] in ("P", "U"):
            columns.setdefault(str(row[0]), set()).add(str(row[2]))
    return {frozenset(names) for names in columns.values()}


def _storage_problems(session: Session, found: Database, table: TableId) -> Iterator[str]:
    """Of partitioned tables, the defaults and each partition are looked at."""
    rows = session.rows(catalog.LARGE_OBJECTS, names_of(table))
    unlogged = sorted({str(row[0]).strip('"') for row in rows if row[1] == "NO"})
    outside = sorted({str(row[0]).strip('"') for row in rows if row[2] == "NO"})
    for column in unlogged if not found.force_logging else ():
        yield (
            f"what is written into {column} of {quoted(table.schema, table.name)} is not in the redo log."
            f" Run: {mending.log_large_object(table.schema, table.name, column)}"
        )
    for column in outside:
        yield (
            f"{column} of {quoted(table.schema, table.name)} is stored out of its row (DISABLE STORAGE IN"
            " ROW), whose redo does not tell which row was written to."
            f" Run: {mending.store_in_row(table.schema, table.name, column)}"
        )
