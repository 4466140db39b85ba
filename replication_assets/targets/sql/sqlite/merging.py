"""Changes merged into a copy of the published files, before it is exchanged for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from replication_assets.core.events import OVERFLOW
from replication_assets.ports.environment import TableCopy
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.sqlite import tables
from replication_assets.targets.sql.sqlite.connection import attach, connected, driver_of, transaction
from replication_assets.targets.sql.sqlite.files import CopyFiles

_CHANGES = "changes"


def merge(files: CopyFiles, home: Path, copies: Sequence[TableCopy], where: str) -> None:
    """Rows of changed keys are deleted and those that remain inserted anew: two rows that exchange a
    unique value would otherwise be in each other's way. Foreign keys are not enforced meanwhile, so
    that nothing cascades: the changes hold what cascaded at the source."""
    for schema in dict.fromkeys(each.structure.table.schema for each in copies):
        path = files.database(home, schema)
        with connected(path, where) as connection:
            driver = driver_of(connection)
            attach(driver, files.database(home, schema, changes=True), _CHANGES)
            with transaction(driver):
                own = [each for each in copies if each.structure.table.schema == schema]
                for statement in (*map(_deletions, own), *map(_insertion, own)):
                    driver.execute(statement)


def _deletions(copy: TableCopy) -> str:
    table, key = copy.structure.table, ddl.merge_key(copy.structure)
    columns = ", ".join(tables.quoted(each) for each in key)
    changed = " UNION ALL ".join(
        f"SELECT {columns} FROM {tables.quoted(_CHANGES, tables.place_name(table, place))}"
        for place in ("deletes", "upserts")
    )
    return f"DELETE FROM {tables.quoted('main', table.name)} WHERE ({columns}) IN ({changed})"


def _insertion(copy: TableCopy) -> str:
    table = copy.structure.table
    columns = ", ".join(tables.quoted(each) for each in copy.schema.names if each != OVERFLOW)
    upserts = tables.quoted(_CHANGES, tables.place_name(table, "upserts"))
    return f"INSERT INTO {tables.quoted('main', table.name)} ({columns}) SELECT {columns} FROM {upserts}"
