"""The statements for Oracle, translated and run by DuckDB.

What it shows is that the statements, in their order, do what the contract of targets asks, an empty text or
binary being NULL and DDL committing as they do in Oracle. What it cannot show is how Oracle takes them:
triggers, locks, hints and keys are dropped. Statements that are not known to the translation are an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.schema import TableId
from replication_assets.targets.sql.projection.database import Database
from replication_assets.targets.sql.projection.oracle import OracleDatabase, statements
from replication_assets_tests.targets.sql.projection.places import ORDERS, SqlPlace

_IGNORED = (*statements.SETTINGS, statements.LOCK_MAKING, statements.RELEASE_MAKING)
_DDL = ("CREATE TABLE", "CREATE INDEX", "CREATE TRIGGER", "ALTER TABLE", "DROP TABLE", "COMMENT")
_TYPES = {
    r"(?:VARCHAR2\(\d+ BYTE\)|CLOB)(?!\()": "VARCHAR",
    r"RAW\(\d+\)": "BLOB",
    r"NUMBER\((\d+)\)": r"DECIMAL(\1,0)",
    r"NUMBER\(": "DECIMAL(",
    r"TIMESTAMP\(6\) WITH TIME ZONE": "TIMESTAMPTZ",
    r"TIMESTAMP\(6\)": "TIMESTAMP",
    r"BINARY_FLOAT": "REAL",
    r"BINARY_DOUBLE": "DOUBLE",
    r"GENERATED ALWAYS AS IDENTITY": "DEFAULT nextval('main.numbers')",
}
_CATALOG = """
CREATE VIEW main.all_tab_columns AS SELECT schema_name AS owner, table_name, column_name,
  column_index AS column_id, data_type, 0 AS data_length, numeric_precision AS data_precision,
  numeric_scale AS data_scale FROM duckdb_columns();
CREATE VIEW main.all_users AS SELECT schema_name AS username FROM duckdb_schemas();
CREATE TABLE main.all_ind_columns
  (index_name VARCHAR, table_owner VARCHAR, table_name VARCHAR, column_name VARCHAR, column_position INT);
CREATE TABLE main.all_constraints
  (constraint_name VARCHAR, owner VARCHAR, table_name VARCHAR, parent VARCHAR, constraint_type VARCHAR,
   stated VARCHAR);
CREATE SEQUENCE main.numbers;
"""
_NAME = r'"([^"]*)"'


@dataclass
class TranslatedServer:
    """A `Login` to a database in memory. `sent` is everything that was sent."""

    where: str = "translated"
    schemas: tuple[str, ...] = ("public", "s")
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = duckdb.connect(":memory:")
        self.database.execute(_CATALOG)
        for schema in self.schemas:
            self.database.execute(f'CREATE SCHEMA "{schema}"')

    def open(self) -> TranslatedSession:
        return TranslatedSession(self.database.cursor(), self.sent)


class TranslatedSession:
    def __init__(self, connection: duckdb.DuckDBPyConnection, sent: list[str]) -> None:
        self._connection = connection
        self._sent = sent
        self._in_transaction = False
        connection.execute("SET TimeZone = 'UTC'")

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        self._sent.append(statement)
        return self._connection.execute(translated(statement)).fetchall()

    def run(self, statement: str) -> None:
        self._sent.append(statement)
        if statement in _IGNORED:
            return
        if statement == statements.SNAPSHOT:
            assert not self._in_transaction
            self._begin()
            # The state is that of the first look here, of the statement there.
            self._connection.execute("SELECT count(*) FROM all_users").fetchall()
            return
        if statement.startswith(_DDL):
            self.commit()
        if not statement.startswith(("CREATE TRIGGER", "COMMENT")):
            self._connection.execute(noted(statement) or translated(statement))

    def changed(self, statement: str) -> int:
        self._sent.append(statement)
        self._begin()
        ((count,),) = self._connection.execute(translated(statement)).fetchall()
        return int(count)

    def insert(self, statement: str, rows: pa.RecordBatch) -> int:
        self._sent.append(statement)
        self._begin()
        empty = [
            pc.if_else(pc.equal(pc.binary_length(values), 0), pa.scalar(None, values.type), values)
            if _has_length(values.type)
            else values
            for values in rows.columns
        ]
        self._connection.register("bound", pa.Table.from_arrays(empty, names=rows.schema.names))
        into, values = statement.rsplit(" VALUES (", 1)
        chosen = re.sub(r"(?<![\w+]):(\d+)", lambda found: f"c{int(found[1]) - 1}", values.removesuffix(")"))
        made = f"{translated(into)} SELECT {translated(chosen)} FROM bound"
        ((count,),) = self._connection.execute(made).fetchall()
        return int(count)

    def batches(self, statement: str, schema: pa.Schema, size: int) -> Iterator[pa.RecordBatch]:
        self._sent.append(statement)
        assert size > 0
        found = self._connection.sql(translated(statement)).to_arrow_table()
        yield from found.rename_columns(schema.names).cast(schema).to_batches()

    def commit(self) -> None:
        if self._in_transaction:
            self._connection.execute("COMMIT")
        self._in_transaction = False

    def rollback(self) -> None:
        if self._in_transaction:
            self._connection.execute("ROLLBACK")
        self._in_transaction = False

    def close(self) -> None:
        self._connection.close()

    def _begin(self) -> None:
        if not self._in_transaction:
            self._connection.execute("BEGIN")
        self._in_transaction = True


def _has_length(kind: pa.DataType) -> bool:
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(texts or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def translated(statement: str) -> str:
    statement = re.sub(r" FOR UPDATE WAIT \d+$", "", statement)
    statement = re.sub(r"FROM_TZ\((\w+), '\+00:00'\)", r"timezone('UTC', \1)", statement)
    statement = re.sub(r"SYS_EXTRACT_UTC\((\w\.\"[^\"]*\")\)", r"timezone('UTC', \1)", statement)
    statement = statement.replace("CREATE PRIVATE TEMPORARY TABLE", "CREATE OR REPLACE TEMP TABLE")
    statement = statement.replace(" ON COMMIT DROP DEFINITION", "").replace("ORA$PTT_", "ptt_")
    statement = statement.replace(" CASCADE CONSTRAINTS PURGE", " CASCADE")
    statement = re.sub(r"TO_CLOB\(('(?:[^']|'')*')\)", r"\1", statement)
    if statement.startswith(("CREATE", "ALTER")):
        # DuckDB checks keys too early.
        statement = re.sub(r",? PRIMARY KEY(?: \([^)]*\))?", "", statement)
        for kind, own in _TYPES.items():
            statement = re.sub(kind, own, statement)
        statement = re.sub(r" ADD \((.*)\)$", r" ADD COLUMN \1", statement)
    return statement


def noted(statement: str) -> str | None:
    """An index or a foreign key, which the dictionary has and DuckDB does not."""
    table = rf"{_NAME}\.{_NAME}"
    index = re.fullmatch(rf"CREATE INDEX {table} ON {table} \((.*)\)", statement)
    if index is not None:
        _, name, owner, indexed, columns = (each.replace("'", "''") for each in index.groups())
        names = re.findall(_NAME, columns)
        rows = [f"('{name}', '{owner}', '{indexed}', '{each}', {at})" for at, each in enumerate(names)]
        return f"INSERT INTO main.all_ind_columns VALUES {', '.join(rows)}"
    key = re.fullmatch(
        rf"ALTER TABLE {table} ADD CONSTRAINT {_NAME} .* REFERENCES {table} \(.*\) (.*)", statement
    )
    if key is not None:
        owner, child, name, _, parent, stated = key.groups()
        values = f"('{name}', '{owner}', '{child}', '{parent}', 'R', '{stated}')"
        return f"INSERT INTO main.all_constraints VALUES {values}"
    dropped = re.fullmatch(rf"DROP TABLE {table} CASCADE CONSTRAINTS PURGE", statement)
    if dropped is not None:
        gone = f"parent = '{dropped[2]}' OR table_name = '{dropped[2]}'"
        return f"DELETE FROM main.all_constraints WHERE {gone}; {translated(statement)}"
    return None


@dataclass
class TranslatedPlace(SqlPlace):
    server: TranslatedServer = field(default_factory=TranslatedServer)
    table: TableId = ORDERS
    options: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> Database:
        return OracleDatabase(self.server)

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.database.cursor().execute(statement).fetchall()
