"""Rows into a MySQL server in bulk, and out of it again, value for value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import sqlalchemy as sa

from replication_assets.core.events import OVERFLOW
from replication_assets.errors import RefreshError
from replication_assets.ports.environment import TableCopy
from replication_assets.targets.sql.mysql.connection import (
    column_in,
    driver_of,
    literal,
    quoted,
    translated,
)
from replication_assets.targets.sql.mysql.delimited import decoded, encoded, require_held
from replication_assets.targets.sql.mysql.types import Form

READ_ROWS = 32_768
"""Rows of a batch that is read."""


def load_rows(
    connection: sa.Connection, database: str, table: str, batch: pa.RecordBatch, forms: Mapping[str, Form]
) -> int:
    """Add the rows within the transaction that is open.

    Raises:
        RefreshError: a value is not one that the column can hold as it is, or rows are missing.
    """
    if batch.num_rows == 0:
        return 0
    require_held(batch)
    names = [name for name in batch.schema.names if name != OVERFLOW]
    fields = ", ".join(
        f"@field{at}" if forms[name] == "binary" else quoted(name) for at, name in enumerate(names)
    )
    unpacked = ", ".join(
        f"{quoted(name)} = UNHEX(@field{at})" for at, name in enumerate(names) if forms[name] == "binary"
    )
    statement = (
        f"LOAD DATA LOCAL INFILE 'rows' INTO TABLE {quoted(database, table)} CHARACTER SET utf8mb4"
        " FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\n'"
        f" ({fields})" + (f" SET {unpacked}" if unpacked else "")
    )
    with translated(f"{database}.{table}", names):
        added, warnings = driver_of(connection).load(statement, encoded(batch, forms))
        if warnings or added != batch.num_rows:
            raise _refused(connection, f"{database}.{table}", names, batch.num_rows - added)
    return added


def _refused(connection: sa.Connection, where: str, names: list[str], missing: int) -> RefreshError:
    """LOCAL turns errors into warnings, and goes on with a changed value or without the row: each
    warning is an error here. Its text may hold the value, so number and column alone are told."""
    found = driver_of(connection).show_warnings() or ()
    told = {
        f"{number}" + (f" (column {name})" if (name := column_in(str(text), names)) is not None else "")
        for _, number, text in found
    }
    what = f"values do not fit: warnings {', '.join(sorted(told))}" if told else f"{missing} rows are missing"
    return RefreshError(
        what,
        where=where,
        fix="give the column a rule whose values fit its type; warning 1406 and 1265: too long, 1264: range",
    )


def read_rows(
    connection: sa.Connection, database: str, table: str, copy: TableCopy, forms: Mapping[str, Form]
) -> Iterator[pa.RecordBatch]:
    """All rows of a table in `copy.schema`."""
    names = [name for name in copy.schema.names if name != OVERFLOW]
    chosen = ", ".join(selected(quoted(name), forms[name]) for name in names)
    statement = f"SELECT CONCAT_WS(',', 1, {chosen}) FROM {quoted(database, table)}"
    if connection.in_transaction():
        connection.rollback()
    for lines in driver_of(connection).stream(statement, READ_ROWS):
        yield decoded(lines, copy.schema, forms)


def selected(column: str, form: Form) -> str:
    """SQL for a field of a line that `delimited.decoded` reads."""
    match form:
        case "text":
            quote = literal('"')
            return f"IFNULL(CONCAT({quote}, REPLACE({column}, {quote}, {literal(chr(34) * 2)}), {quote}), '')"
        case "binary":
            return f"IFNULL(CONCAT('\"', HEX({column}), '\"'), '')"
        case "time":
            # PostgreSQL prints no zeros at the end of a fraction, MySQL prints six digits.
            return f"IFNULL(TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {column})), '')"
        case "plain" | "boolean" | "float":
            return f"IFNULL({column}, '')"
