"""The adapter's own schema in a captured database: which tables are captured, since when, how far.

One schema per source, `ra_<name>`, with two tables. `state` has one row: where the books begin, how far
the capture has acknowledged, and whether it was us who switched capture on for the database. `captured`
has a row for every shape of a captured table, of which the newest is written by now.
"""

from __future__ import annotations

from replication_assets.core.schema import TableId
from replication_assets.sources.sqlserver.statements.names import literal, quoted

_CAPTURED = (
    "[number], [table_schema], [table_name], [object_number], [instance], [began], [began_lsn], [shape],"
    " [change], [confirmed], [made]"
)


class Books:
    """Statements about the books of one source."""

    def __init__(self, source: str) -> None:
        self.schema = f"ra_{source}"[:128]
        self.state = quoted(self.schema, "state")
        self.captured = quoted(self.schema, "captured")

    def exist(self) -> str:
        return f"SELECT OBJECT_ID({literal(self.state)}), OBJECT_ID({literal(self.captured)})"

    def has_schema(self) -> str:
        return f"SELECT SCHEMA_ID({literal(self.schema)})"

    def create_schema(self) -> str:
        return f"CREATE SCHEMA {quoted(self.schema)}"

    def create_captured(self) -> str:
        return (
            f"CREATE TABLE {self.captured} ([number] int IDENTITY(1, 1) PRIMARY KEY,"
            " [table_schema] nvarchar(128) NOT NULL, [table_name] nvarchar(128) NOT NULL,"
            " [object_number] int NOT NULL, [instance] nvarchar(128) NULL, [began] bigint NULL,"
            " [began_lsn] binary(10) NULL, [shape] nvarchar(max) NOT NULL, [change] nvarchar(max) NULL,"
            " [confirmed] bit NOT NULL, [made] bit NOT NULL)"
        )

    def create_state(self) -> str:
        """Made last: books without it are not there."""
        return (
            f"CREATE TABLE {self.state} ([one] bit PRIMARY KEY, [token] uniqueidentifier NOT NULL,"
            " [began] bigint NULL, [acknowledged] bigint NULL, [made_database] bit NOT NULL)"
        )

    def insert_state(self, *, made_database: bool) -> str:
        return (
            f"INSERT INTO {self.state} ([one], [token], [made_database])"
            f" SELECT 1, NEWID(), {int(made_database)} WHERE NOT EXISTS (SELECT 1 FROM {self.state})"
        )

    def begin(self, position: int) -> str:
        """Where the books begin, told once."""
        return (
            f"UPDATE {self.state} SET [began] = {position}, [acknowledged] = {position} WHERE [began] IS NULL"
        )

    def read_state(self) -> str:
        return f"SELECT [token], [began], [acknowledged], [made_database] FROM {self.state}"

    def acknowledge(self, position: int) -> str:
        return f"UPDATE {self.state} SET [acknowledged] = {position} WHERE [acknowledged] < {position}"

    def read_captured(self) -> str:
        return f"SELECT {_CAPTURED} FROM {self.captured} ORDER BY [number]"

    def insert_captured(
        self, table: TableId, number: int, shape: str, change: str | None, *, confirmed: bool
    ) -> str:
        """`number` is the table's object; `change` tells what turned an earlier shape into this one."""
        told = "NULL" if change is None else literal(change)
        return (
            f"INSERT INTO {self.captured} ([table_schema], [table_name], [object_number], [shape], [change],"
            f" [confirmed], [made]) VALUES ({literal(table.schema)}, {literal(table.name)},"
            f" {number}, {literal(shape)}, {told}, {int(confirmed)}, 0)"
        )

    def name_instance(self, number: int, instance: str) -> str:
        """Written before the instance is made: what is made is in the books, whoever dies between."""
        return (
            f"UPDATE {self.captured} SET [instance] = {literal(instance)}, [made] = 1"
            f" WHERE [number] = {number}"
        )

    def note_change(self, number: int, change: str) -> str:
        return f"UPDATE {self.captured} SET [change] = {literal(change)} WHERE [number] = {number}"

    def note_made(self, number: int) -> str:
        return f"UPDATE {self.captured} SET [made] = 1 WHERE [number] = {number}"

    def note_began(self, number: int, began: int, lsn: str | None) -> str:
        """The row is complete from here on."""
        place = "" if lsn is None else f", [began_lsn] = {lsn}"
        return f"UPDATE {self.captured} SET [began] = {began}{place} WHERE [number] = {number}"

    def forget(self, number: int) -> str:
        return f"DELETE FROM {self.captured} WHERE [number] = {number}"

    def confirm(self) -> str:
        return f"UPDATE {self.captured} SET [confirmed] = 1 WHERE [began] IS NOT NULL"

    def drop(self) -> tuple[str, ...]:
        """In the order in which a drop that was cut short can go on."""
        return (
            f"DROP TABLE IF EXISTS {self.captured}",
            f"DROP TABLE IF EXISTS {self.state}",
            f"DROP SCHEMA IF EXISTS {quoted(self.schema)}",
        )
