"""The statements of SQL Server, translated and run by DuckDB.

What it shows is that the statements, in their order, do what the contract of targets asks. What it cannot
show is how SQL Server takes them: triggers, locks, application locks, hints and collations are dropped, and
rows of JSON are read by Python. Statements that are not known to the translation are an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp

from replication_assets.core.schema import TableId
from replication_assets.targets.sql.projection.database import Database
from replication_assets.targets.sql.projection.sqlserver import SqlServerDatabase, statements
from replication_assets.targets.sql.projection.sqlserver.types import COLLATION
from replication_assets_tests.targets.sql.projection.places import ORDERS, SqlPlace

_IGNORED = ("SET ", "EXEC ", "CREATE TRIGGER ", statements.ROLLBACK)
_TYPES = {
    r"nvarchar\((?:max|\d+)\)": "VARCHAR",
    r"varbinary\((?:max|\d+)\)": "BLOB",
    r"(?<!var)char\(\d+\)": "VARCHAR",
    r"datetimeoffset\(6\)": "TIMESTAMPTZ",
    r"datetime2\(6\)": "TIMESTAMP",
    r"\bbit\b": "BOOLEAN",
    r"\bfloat\b": "DOUBLE",
}
_CATALOG = """
CREATE SCHEMA sys;
CREATE VIEW sys.schemas AS SELECT schema_name AS name, oid AS schema_id FROM duckdb_schemas()
  WHERE database_name = current_database();
CREATE VIEW sys.tables AS SELECT table_name AS name, table_oid AS object_id, schema_oid AS schema_id
  FROM duckdb_tables() WHERE NOT temporary;
CREATE VIEW sys.columns AS SELECT column_name AS name, table_oid AS object_id, column_index AS column_id,
  data_type AS system_type_id, 0 AS max_length, numeric_precision AS precision, numeric_scale AS scale
  FROM duckdb_columns();
CREATE TABLE sys.indexes (name VARCHAR, object_id BIGINT);
CREATE TABLE sys.foreign_keys
  (name VARCHAR, parent_object_id BIGINT, referenced_object_id BIGINT, disabled BOOLEAN DEFAULT false);
CREATE SEQUENCE sys.numbers;
SET TimeZone = 'UTC';
"""
_NAME = r"\[((?:[^\]]|\]\])*)\]"
_OPENJSON = re.compile(
    r"(INSERT INTO .* SELECT )(.*) FROM \[#_ra_piece\] AS p CROSS APPLY .* WITH \((.*)\) AS r"
)


@dataclass
class TranslatedServer:
    """A `Login` to a database in memory. `sent` is everything that was sent."""

    where: str = "translated"
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = duckdb.connect(":memory:")
        self.database.execute(_CATALOG)

    def open(self) -> TranslatedSession:
        return TranslatedSession(self.database.cursor(), self.sent)


class TranslatedSession:
    def __init__(self, connection: duckdb.DuckDBPyConnection, sent: list[str]) -> None:
        self._connection = connection
        self._sent = sent
        self._piece = ""
        self._in_transaction = False
        connection.execute("SET TimeZone = 'UTC'")

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        self._sent.append(statement)
        if statement == statements.LOCK_MAKING:
            assert self._in_transaction
            return [(0,)]
        return self._connection.execute(translated(statement)).fetchall()

    def run(self, statement: str) -> None:
        self._sent.append(statement)
        if statement == statements.BEGIN:
            self._in_transaction = True
        elif statement == statements.COMMIT:
            self._in_transaction = False
        elif statement == statements.ROLLBACK and self._in_transaction:
            self._in_transaction = False
            statement = "ROLLBACK"
        if not statement.startswith(_IGNORED):
            self._connection.execute(noted(statement) or translated(statement))

    def changed(self, statement: str) -> int:
        self._sent.append(statement)
        opened = _OPENJSON.fullmatch(statement)
        ((count,),) = (
            self._insert(*opened.groups())
            if opened is not None
            else self._connection.execute(translated(statement)).fetchall()
        )
        return int(count)

    def hand_over(self, statement: str, piece: str) -> None:
        assert statement == statements.HAND_OVER
        assert self._in_transaction
        self._piece = piece

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        self._sent.append(statement)
        yield from self._connection.sql(translated(statement)).to_arrow_table().to_batches()

    def close(self) -> None:
        self._connection.close()

    def _insert(self, insert: str, expressions: str, given: str) -> list[tuple[Any, ...]]:
        """What OPENJSON does: a row for each array, its members as columns of types."""
        columns = re.findall(r"(\w+) (\S+) '\$\[(\d+)\]'", given)
        rows = json.loads(self._piece)
        assert all(len(row) == len(columns) for row in rows)
        texts = {
            name: pa.array([None if row[at] is None else str(row[at]) for row in rows], pa.string())
            for at, (name, _, _) in enumerate(columns)
        }
        self._connection.register("piece", pa.table(texts))
        typed = ", ".join(f"CAST({name} AS {_type(kind)}) AS {name}" for name, kind, _ in columns)
        chosen = expressions.replace("CONVERT(varbinary(max), ", "unhex(").replace(", 2)", ")")
        chosen = _type(chosen).replace("/ 2", "// 2")
        target = _names(insert)
        return self._connection.execute(f"{target}{chosen} FROM (SELECT {typed} FROM piece) r").fetchall()


def _type(text: str) -> str:
    for kind, own in _TYPES.items():
        text = re.sub(kind, own, text)
    return text


def _names(statement: str) -> str:
    """Brackets as double quotes, temporary tables without their mark, constants without theirs."""
    tokens = re.split(r"(N'(?:[^']|'')*'|\[(?:[^\]]|\]\])*\])", statement)
    found = []
    for token in tokens:
        if token.startswith("["):
            name = token[1:-1].replace("]]", "]").removeprefix("#")
            found.append('"' + name.replace('"', '""') + '"')
        else:
            found.append(token[1:] if token.startswith("N'") else token)
    return "".join(found)


def translated(statement: str) -> str:
    if statement in (statements.COMMIT, statements.BEGIN):
        return statement
    if statement.startswith("CREATE TABLE"):
        return _table(statement)
    if statement.startswith(("CREATE SCHEMA", "DROP TABLE", "ALTER TABLE")):
        return _names(_type(statement.replace(COLLATION, ""))).replace(" ADD ", " ADD COLUMN ")
    if statement.startswith("DELETE ") and not statement.startswith("DELETE FROM"):
        return _delete(statement)
    statement = re.sub(
        r"CONVERT\(datetime2\(6\), SWITCHOFFSET\((\S+), '\+00:00'\)\)", r"timezone('UTC', \1)", statement
    )
    plain = statement.replace(" WITH (UPDLOCK, HOLDLOCK)", "").replace(" LOOP JOIN", " JOIN")
    plain = plain.replace("TOP (1) table_name", "table_name")
    plain = re.sub(r"OBJECT_ID\(N'((?:[^']|'')*)'\)", lambda found: _object(found[1]), plain)
    return _names(plain)


def noted(statement: str) -> str | None:
    """An index or a foreign key, which the catalog has and DuckDB does not."""
    index = re.fullmatch(rf"CREATE NONCLUSTERED INDEX {_NAME} ON ({_NAME}\.{_NAME}) .*", statement)
    if index is not None:
        return f"INSERT INTO sys.indexes VALUES ({_constant(index[1])}, {_object(_doubled(index[2]))})"
    table = rf"({_NAME}\.{_NAME})"
    key = re.fullmatch(
        rf"ALTER TABLE {table} WITH NOCHECK ADD CONSTRAINT {_NAME} .* REFERENCES {table} .*", statement
    )
    if key is not None:
        values = f"{_constant(key[4])}, {_object(_doubled(key[1]))}, {_object(_doubled(key[5]))}, false"
        return f"INSERT INTO sys.foreign_keys VALUES ({values})"
    off = re.fullmatch(rf"ALTER TABLE .* NOCHECK CONSTRAINT {_NAME}", statement)
    if off is not None:
        return f"UPDATE sys.foreign_keys SET disabled = true WHERE name = {_constant(off[1])}"
    dropped = re.fullmatch(rf"ALTER TABLE .* DROP CONSTRAINT {_NAME}", statement)
    return f"DELETE FROM sys.foreign_keys WHERE name = {_constant(dropped[1])}" if dropped else None


def _constant(name: str) -> str:
    return "'" + _doubled(name.replace("]]", "]")) + "'"


def _doubled(text: str) -> str:
    return text.replace("'", "''")


def _object(name: str) -> str:
    """What OBJECT_ID gives."""
    return (
        "(SELECT o.object_id FROM sys.tables o JOIN sys.schemas h ON h.schema_id = o.schema_id"
        f" WHERE '[' || h.name || '].[' || o.name || ']' = '{name}')"
    )


def _table(statement: str) -> str:
    """Without keys, which DuckDB checks too early, and with lengths that are computed."""
    made = re.sub(
        r", PRIMARY KEY(?: NONCLUSTERED| CLUSTERED)? \((?:\[(?:[^\]]|\]\])*\]|[\w, ])*\)", "", statement
    )
    made = made.replace(" PRIMARY KEY", "")
    made = re.sub(
        r"AS DATALENGTH\((\[(?:[^\]]|\]\])*\])\) PERSISTED NOT NULL",
        r"BIGINT GENERATED ALWAYS AS (length(hex(\1)))",
        made,
    )
    made = made.replace("IDENTITY NOT NULL", "DEFAULT nextval('sys.numbers')")
    temporary = "CREATE TABLE [#" in made
    made = _names(_type(made.replace(COLLATION, "")))
    return made.replace("CREATE TABLE", "CREATE TEMP TABLE", 1) if temporary else made


def _delete(statement: str) -> str:
    """`DELETE t FROM s JOIN t` as DuckDB says it."""
    (parsed,) = sqlglot.parse(statement, dialect="tsql")
    assert isinstance(parsed, exp.Delete)
    source = parsed.this
    (join,) = source.args.pop("joins")
    kept = [join.args["on"].sql("duckdb"), parsed.args["where"].this.sql("duckdb")]
    target = join.this.sql("duckdb")
    return f"DELETE FROM {target} USING {source.sql('duckdb')} WHERE ({kept[0]}) AND ({kept[1]})"


@dataclass
class TranslatedPlace(SqlPlace):
    server: TranslatedServer = field(default_factory=TranslatedServer)
    table: TableId = ORDERS
    options: dict[str, Any] = field(default_factory=dict)

    def opened(self) -> Database:
        return SqlServerDatabase(self.server)

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.database.cursor().execute(statement).fetchall()
