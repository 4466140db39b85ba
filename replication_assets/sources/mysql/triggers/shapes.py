"""What triggers are known to write, and what the server says of tables and triggers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.trigger_log import Shape
from replication_assets.errors import SourceNotReady
from replication_assets.sources.mysql.connection import Session, literal, quoted
from replication_assets.sources.mysql.grants import current_account
from replication_assets.sources.mysql.triggers.sql import LogNames, TextColumn
from replication_assets.sources.mysql.types import column_of


def name_of(table: TableId) -> str:
    """What `Shape.table` says of a table."""
    return json.dumps([table.schema, table.name])


def replicated_column(name: str, kind: str) -> Column:
    """A column of a shape."""
    return column_of(name, kind, True)


@dataclass(frozen=True, slots=True)
class KeptShape:
    """A shape as the log has it. `numbers` are those by which InnoDB knew the table and its partitions."""

    shape: Shape
    numbers: str
    append_only: bool

    @property
    def place(self) -> tuple[str, str]:
        """Database and name of the table."""
        schema, name = json.loads(self.shape.table)
        return schema, name

    def schema(self) -> TableSchema:
        columns = tuple(replicated_column(name, kind) for name, kind in self.shape.columns)
        return TableSchema(columns, self.shape.key, self.append_only)


def read_shapes(session: Session, names: LogNames, *, live: bool = False) -> dict[int, KeptShape]:
    """All shapes by number, or those that triggers write now."""
    condition = " WHERE live" if live else ""
    rows = session.rows(f"SELECT shape, name, body, numbers, append_only FROM {names.shapes}{condition}")
    return {
        int(number): KeptShape(Shape.from_body(int(number), name, body), str(numbers), bool(append_only))
        for number, name, body, numbers, append_only in rows
    }


def table_numbers(session: Session, table: TableId) -> str:
    """By which numbers InnoDB knows the table and its partitions. TRUNCATE gives new ones, and so does
    whatever builds the table anew; no row tells of it.

    Raises:
        SourceNotReady: the account lacks PROCESS.
    """
    catalog = "INNODB_SYS_TABLES" if session.is_mariadb else "INNODB_TABLES"
    # As files are named; in lower case where the server folds names.
    files = [
        f"CONVERT(CONVERT(IF(@@global.lower_case_table_names, LOWER({literal(each)}), {literal(each)})"
        " USING filename) USING binary)"
        for each in (table.schema, table.name)
    ]
    whole = f"CONCAT({files[0]}, '/', {files[1]})"
    stored = "CONVERT(NAME USING binary)"
    try:
        rows = session.rows(
            f"SELECT TABLE_ID FROM information_schema.{catalog} WHERE {stored} = {whole}"
            # Of partitions: `#P#` or `#p#` and the name follow.
            f" OR LOWER(CONVERT(LEFT({stored}, LENGTH({whole}) + 3) USING latin1))"
            f" = LOWER(CONVERT(CONCAT({whole}, '#p#') USING latin1)) ORDER BY TABLE_ID"
        )
    except SourceNotReady as error:
        grant = f"GRANT PROCESS ON *.* TO {current_account(session)}"
        raise SourceNotReady(
            f"a TRUNCATE fires no trigger, and without PROCESS it would not be noticed: {error.what}",
            where=str(table),
            fix=grant,
        ) from None
    if not rows:
        raise SourceNotReady(
            "InnoDB does not list it, so that a TRUNCATE would not be noticed",
            where=str(table),
            fix="use the engine InnoDB for the table, or capture='log'",
        )
    return " ".join(str(number) for (number,) in rows)


def text_columns(session: Session, table: TableId) -> dict[str, TextColumn]:
    """Character sets of the columns that have one."""
    rows = session.rows(
        "SELECT COLUMN_NAME, CHARACTER_SET_NAME, COLLATION_NAME FROM information_schema.COLUMNS"
        f" WHERE TABLE_SCHEMA = {literal(table.schema)} AND TABLE_NAME = {literal(table.name)}"
        " AND CHARACTER_SET_NAME IS NOT NULL"
    )
    return {str(name): TextColumn(str(charset), str(collation)) for name, charset, collation in rows}


@dataclass(frozen=True, slots=True)
class StandingTrigger:
    """A trigger of ours: its name, and the table that it stands on."""

    name: str
    schema: str
    table: str

    @property
    def drop(self) -> str:
        return f"DROP TRIGGER IF EXISTS {quoted(self.schema, self.name)}"


def standing_triggers(
    session: Session, names: LogNames, *, schema: str | None = None
) -> tuple[StandingTrigger, ...]:
    """Triggers of this source, of one database or of all that the account can see."""
    prefix = re.escape(names.database)
    within = "" if schema is None else f" AND TRIGGER_SCHEMA = {literal(schema)}"
    rows = session.rows(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS"
        f" WHERE TRIGGER_NAME LIKE {literal(names.database.replace('_', '|_') + '|_%')} ESCAPE '|'{within}"
    )
    ours = re.compile(f"{prefix}_[0-9]+_[iud]")
    return tuple(
        StandingTrigger(str(name), str(place), str(table))
        for name, place, table in rows
        if ours.fullmatch(str(name))
    )


def are_standing(
    standing: Sequence[StandingTrigger], names: LogNames, kept: KeptShape, table: TableId
) -> bool:
    """Whether all triggers of a shape are among those, on the table itself."""
    wanted = {names.trigger(kept.shape.number, op) for op in ("I" if kept.append_only else "IUD")}
    # Servers that fold names print them in lower case; the shape's number tells tables apart.
    place = (table.schema.lower(), table.name.lower())
    return wanted <= {each.name for each in standing if (each.schema.lower(), each.table.lower()) == place}
