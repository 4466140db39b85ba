"""What a table is: its columns, its key, and whether its changes can be captured by key.

Everything that stands in the way of loading or capturing a table is found before anything is created,
and reported together with the statements that mend it.

Generated columns are left out, stored ones included: a binlog does not always carry them, and a column
that only loads could fill would go stale without notice. They are listed as `not_replicated`. Invisible
columns are columns like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.table_problems import key_problems, name_problems, not_ready
from replication_assets.errors import SourceNotReady
from replication_assets.sources.mysql.connection import Session, literal, quoted
from replication_assets.sources.mysql.grants import current_account
from replication_assets.sources.mysql.types import column_of

_TRANSACTIONAL = frozenset({"InnoDB", "ROCKSDB"})
_KINDS = {"BASE TABLE": "table", "VIEW": "view", "SYSTEM VIEW": "view"}

_NO_KEY = "is generated: its value is not in the change stream"


@dataclass(frozen=True, slots=True)
class Relation:
    """A row of `information_schema.TABLES`. `rows` is the engine's estimate."""

    kind: str
    engine: str
    rows: int
    partitioned: bool

    @property
    def can_be_captured(self) -> bool:
        return self.kind == "table"


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A row of `information_schema.COLUMNS`, its expression left out."""

    name: str
    column_type: str
    nullable: bool
    generated: bool
    has_default: bool


def find_relation(session: Session, table: TableId) -> Relation | None:
    """The table or view; None if there is none that this account can see."""
    row = session.row(
        "SELECT TABLE_TYPE, ENGINE, TABLE_ROWS, CREATE_OPTIONS FROM information_schema.TABLES"
        f" WHERE {_is(table)}"
    )
    if row is None:
        return None
    kind, engine, rows, options = row
    return Relation(
        _KINDS.get(str(kind), str(kind).lower()),
        str(engine or ""),
        int(rows or 0),
        "partitioned" in str(options or ""),
    )


def existing_relation(session: Session, table: TableId) -> Relation:
    """As `find_relation`. Raises SourceNotReady if there is none."""
    found = find_relation(session, table)
    if found is None:
        raise SourceNotReady(
            f"there is no table or view {quoted(table.schema, table.name)} that this account may see",
            where=str(table),
            fix=f"check the spelling (case may count), or GRANT SELECT ON {quoted(table.schema, table.name)}"
            f" TO {current_account(session)}",
        )
    return found


def catalog_columns(session: Session, table: TableId) -> tuple[CatalogColumn, ...]:
    """Columns that this account may see, in the table's order."""
    return tuple(
        CatalogColumn(
            str(name), str(kind), nullable == "YES", "GENERATED" in str(extra).upper().split(), bool(default)
        )
        for name, kind, nullable, extra, default in session.rows(
            "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, EXTRA,"
            # MariaDB prints a default of NULL as the word, MySQL as no default.
            " COLUMN_DEFAULT IS NOT NULL AND COLUMN_DEFAULT <> 'NULL' OR EXTRA LIKE '%auto_increment%'"
            f" FROM information_schema.COLUMNS WHERE {_is(table)} ORDER BY ORDINAL_POSITION"
        )
    )


def table_columns(session: Session, table: TableId) -> tuple[Column, ...]:
    """Columns that loads and changes carry, whatever else may be wrong with the table."""
    existing_relation(session, table)
    return _replicated(catalog_columns(session, table))


def _replicated(columns: Sequence[CatalogColumn]) -> tuple[Column, ...]:
    return tuple(column_of(c.name, c.column_type, c.nullable) for c in columns if not c.generated)


def primary_key(session: Session, table: TableId) -> tuple[str, ...]:
    """Columns of the primary key, in its order; empty without one."""
    return tuple(
        str(name)
        for (name,) in session.rows(
            "SELECT COLUMN_NAME FROM information_schema.STATISTICS"
            f" WHERE {_is(table)} AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX"
        )
    )


def reflect_table(
    session: Session, table: TableId, *, key: Sequence[str] = (), append_only: bool = False
) -> TableSchema:
    """See `ports.ChangeSource.reflect`. Without a declared key it is the primary key."""
    found = existing_relation(session, table)
    catalog = catalog_columns(session, table)
    generated = tuple(column.name for column in catalog if column.generated)
    names = [column.name for column in catalog if not column.generated]
    chosen = tuple(key) or (primary_key(session, table) if found.can_be_captured else ())
    problems = [
        *_access_problems(session, table),
        *_kind_problems(found, table),
        *name_problems(names),
        *key_problems(chosen, names, generated, _NO_KEY),
    ]
    columns: list[Column] = []
    for column in catalog:
        try:
            columns += _replicated([column])
        except SourceNotReady as error:
            problems.append(f"column {column.name!r}: {error}")
    if problems:
        raise not_ready(problems, str(table))
    return TableSchema(tuple(columns), chosen, append_only, generated)


def _is(table: TableId) -> str:
    return f"TABLE_SCHEMA = {literal(table.schema)} AND TABLE_NAME = {literal(table.name)}"


def _access_problems(session: Session, table: TableId) -> list[str]:
    rows = quoted(table.schema, table.name)
    try:
        session.rows(f"SELECT * FROM {rows} LIMIT 0")
    except SourceNotReady as error:
        return [f"{error.what}. Run: GRANT SELECT ON {rows} TO {current_account(session)}"]
    return []


def _kind_problems(found: Relation, table: TableId) -> list[str]:
    rows = quoted(table.schema, table.name)
    if found.kind not in ("table", "view"):
        # Old versions of rows are changes in its binlog and no rows in a SELECT.
        return [f"it is a {found.kind}, whose changes and rows do not agree: read it through a view"]
    if found.kind == "table" and found.engine not in _TRANSACTIONAL:
        return [f"its engine {found.engine} has no snapshots. Run: ALTER TABLE {rows} ENGINE = InnoDB"]
    return []
