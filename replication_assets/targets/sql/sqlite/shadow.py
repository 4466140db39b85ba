"""Shadow tables in SQLite files: their keys, and the rows that break them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from replication_assets.core.refresh.plan import RefreshPlan
from replication_assets.core.schema import TableId
from replication_assets.core.structure import ForeignKey, TableStructure
from replication_assets.errors import RefreshError, VerificationFailed
from replication_assets.ports.environment import PublishedCopy, TableCopy, Violation
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.dialect import Place
from replication_assets.targets.sql.sqlite import tables
from replication_assets.targets.sql.sqlite.connection import driver_of, transaction


def places_of(plan: RefreshPlan) -> tuple[Place, ...]:
    return ("rows",) if plan.how == "full" else ("upserts", "deletes")


def attached_name(table: TableId, what: str) -> str:
    """Never `main` or `temp`."""
    return f"{what} {table.schema}"


def require_postgres(structures: Sequence[TableStructure]) -> None:
    others = sorted({each.engine for each in structures} - {"postgresql"})
    if others:
        raise RefreshError(f"types of {', '.join(others)} are not known to copies in SQLite")


def require_published(published: PublishedCopy | None, copies: Sequence[TableCopy]) -> None:
    """Raises RefreshError if there is nothing that changes could be merged into."""
    there = {each.table: each.structure for each in published.tables} if published is not None else {}
    for copy in copies:
        if there.get(copy.structure.table) != copy.structure.fingerprint:
            raise RefreshError(
                "there is no published copy of the same structure that changes could be merged into",
                where=str(copy.structure.table),
                fix="refresh it in full",
            )


def rebuild(
    connection: sa.Connection, database: str, structure: TableStructure, copied: Sequence[TableStructure]
) -> None:
    """Move the rows into a table with keys, in one transaction.

    Raises:
        VerificationFailed: rows repeat a key.
    """
    driver = driver_of(connection)
    live = tables.quoted(database, structure.table.name)
    final = tables.quoted(database, tables.final_name(structure.table))
    keys = tables.keys_in_file(structure, copied)
    # Names in other tables' foreign keys stay as they are.
    driver.execute("PRAGMA legacy_alter_table = ON")
    try:
        with transaction(driver):
            driver.execute(tables.finished(structure, database, keys))
            order = ", ".join(tables.quoted(each) for each in _order(structure))
            driver.execute(
                f"INSERT INTO {final} SELECT * FROM {live}" + (f" ORDER BY {order}" if order else "")
            )
            driver.execute(f"DROP TABLE {live}")
            driver.execute(f"ALTER TABLE {final} RENAME TO {tables.quoted(structure.table.name)}")
            for statement in tables.indexes(structure, database):
                driver.execute(statement)
    except sqlite3.IntegrityError as error:
        name = error.sqlite_errorname
    else:
        return
    raise _broken(connection, database, structure, name)


def _order(structure: TableStructure) -> tuple[str, ...]:
    return structure.primary_key.columns if structure.primary_key is not None else ()


def _broken(
    connection: sa.Connection, database: str, structure: TableStructure, name: str
) -> VerificationFailed:
    table = described(structure, database, structure.table.name)
    lists = [key.columns for key in ddl.unique_keys(structure)]
    lists += [each.columns for each in structure.indexes if each.unique and each.definition is None]
    found = []
    for columns in lists:
        rows = int(connection.execute(ddl.repeated(table, columns)).scalar_one())
        if rows:
            found.append(f"{rows} rows repeat the key ({', '.join(columns)})")
    return VerificationFailed(
        "; ".join(found) or f"rows break a rule of the table: {name}",
        where=str(structure.table),
        fix="give the columns of the key a rule that keeps unique values unique",
    )


def add_merge_keys(driver: sqlite3.Connection, database: str, structure: TableStructure) -> None:
    columns = ", ".join(tables.quoted(each) for each in ddl.merge_key(structure))
    for place in ("upserts", "deletes"):
        name = tables.place_name(structure.table, place)
        index = tables.quoted(database, f"{name} key")
        driver.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {tables.quoted(name)} ({columns})")


def require_parents(found: Sequence[Violation]) -> None:
    """Raises VerificationFailed if a row points at nothing."""
    if found:
        listed = "; ".join(f"{each.rows} rows of {each.table} by {each.foreign_key}" for each in found)
        raise VerificationFailed(
            f"rows point at nothing: {listed}",
            fix="copy the parents too, or give both columns masks that agree",
        )


def violations(
    connection: sa.Connection, plan: RefreshPlan, structures: Sequence[TableStructure]
) -> Iterator[Violation]:
    copied = {each.table: each for each in structures}
    for structure in structures:
        for key in ddl.keys_within(structure, copied):
            parent = copied[key.parent]
            place: Place = "rows" if plan.how == "full" else "upserts"
            child = _shadow(structure, place)
            referred = _shadow(parent, "rows") if plan.how == "full" else _after_changes(parent, key)
            rows = int(connection.execute(ddl.orphans(child, referred, key)).scalar_one())
            if rows:
                yield Violation(structure.table, key.name, rows)


def _after_changes(parent: TableStructure, key: ForeignKey) -> sa.Subquery:
    live = described(parent, attached_name(parent.table, "published"), parent.table.name)
    return ddl.after_changes(
        live, _shadow(parent, "upserts"), _shadow(parent, "deletes"), ddl.merge_key(parent), key.referred
    )


def _shadow(structure: TableStructure, place: Place) -> sa.Table:
    database = attached_name(structure.table, "shadow")
    return described(structure, database, tables.place_name(structure.table, place))


def described(structure: TableStructure, database: str, name: str) -> sa.Table:
    """For queries: names alone, values are only compared."""
    columns = [sa.Column(each, sa.types.NullType()) for each in structure.names]
    return sa.Table(name, sa.MetaData(), *columns, schema=database)
