"""Keys, indexes, AUTO_INCREMENT and foreign keys of the shadow tables, once their rows are there.

One ALTER TABLE for all of a table's keys, because each of them would copy the table; foreign keys
after all keys, without the server's own check of each row: rows that break one are counted first, by
the indexes that are there by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from replication_assets.core.structure import ForeignKey, Index, TableStructure
from replication_assets.errors import VerificationFailed
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.dialect import Place
from replication_assets.targets.sql.mysql.connection import literal, quoted, run
from replication_assets.targets.sql.mysql.tables import CopyTables, is_plain
from replication_assets.targets.sql.mysql.types import CHARACTER_BYTES, INDEX_BYTES

_DUPLICATE = frozenset({1062, 1169, 1586})
_LONGEST_PREFIX = 255
_ACTIONS = ("CASCADE", "SET NULL", "RESTRICT")


def add_keys(connection: sa.Connection, tables: CopyTables, structure: TableStructure) -> None:
    """Primary key, unique keys, indexes and AUTO_INCREMENT that are not there yet.

    Raises:
        VerificationFailed: rows repeat a key.
    """
    place = (tables.places.incoming(structure.table), structure.table.name)
    parts = _missing_keys(connection, tables, structure)
    _alter(connection, tables, structure, "rows", parts)
    serial = tables.serial(structure)
    if serial is not None and not _is_auto_increment(connection, place, serial):
        column = structure.column(serial)
        kind = tables.types.type_of(structure, column).compile(dialect=mysql.dialect())
        run(
            connection,
            f"ALTER TABLE {quoted(*place)} MODIFY COLUMN {quoted(serial)} {kind} NOT NULL AUTO_INCREMENT",
        )


def add_merge_key(
    connection: sa.Connection, tables: CopyTables, structure: TableStructure, place: Place
) -> None:
    """The primary key of a table of changes."""
    name = tables.places.table(structure.table, place)
    if "primary" not in _indexes(connection, tables.places.incoming(structure.table), name):
        columns = ddl.merge_key(structure)
        parts = {tuple(columns): f"ADD PRIMARY KEY ({_listed(columns)})"}
        _alter(connection, tables, structure, place, parts)


def add_foreign_keys(connection: sa.Connection, tables: CopyTables, structure: TableStructure) -> None:
    """Raises VerificationFailed if rows point at nothing."""
    database = tables.places.incoming(structure.table)
    there = _foreign_keys(connection, database)
    for name, key in tables.foreign_keys(structure):
        if name.lower() in there:
            continue
        rows = orphans(connection, tables, structure, key)
        if rows:
            raise VerificationFailed(
                f"{rows} rows have no row in {key.parent} by the foreign key {key.name}",
                where=str(structure.table),
                fix="copy the parents too, or give both columns masks that agree",
            )
        run(connection, "SET SESSION foreign_key_checks = 0")
        run(
            connection,
            f"ALTER TABLE {quoted(database, structure.table.name)} ADD CONSTRAINT {quoted(name)}"
            f" FOREIGN KEY ({_listed(key.columns)})"
            f" REFERENCES {quoted(tables.places.incoming(key.parent), key.parent.name)}"
            f" ({_listed(key.referred)}){_actions(key)}",
        )
        run(connection, "SET SESSION foreign_key_checks = 1")


def orphans(connection: sa.Connection, tables: CopyTables, structure: TableStructure, key: ForeignKey) -> int:
    """Rows of the shadow whose parent is not there."""
    child, parent = tables.shadow(structure.table, "rows"), tables.shadow(key.parent, "rows")
    return int(connection.execute(ddl.orphans(child, parent, key)).scalar_one())


def _alter(
    connection: sa.Connection,
    tables: CopyTables,
    structure: TableStructure,
    place: Place,
    parts: dict[tuple[str, ...], str],
) -> None:
    from pymysql import MySQLError

    if not parts:
        return
    name = tables.places.table(structure.table, place)
    altered = quoted(tables.places.incoming(structure.table), name)
    try:
        run(connection, f"ALTER TABLE {altered} {', '.join(parts.values())}")
    except MySQLError as error:
        if not error.args or error.args[0] not in _DUPLICATE:
            raise
    else:
        return
    # Outside the handler: the driver's message quotes the values that are repeated.
    raise _repetition(connection, tables.shadow(structure.table, place), structure, parts)


def _repetition(
    connection: sa.Connection,
    table: sa.Table,
    structure: TableStructure,
    parts: dict[tuple[str, ...], str],
) -> VerificationFailed:
    found = []
    for columns, part in parts.items():
        if part.startswith(("ADD PRIMARY", "ADD UNIQUE")):
            rows = int(connection.execute(ddl.repeated(table, columns)).scalar_one())
            if rows:
                found.append(f"{rows} rows repeat the key ({', '.join(columns)})")
    return VerificationFailed(
        "; ".join(found) or "rows repeat a key",
        where=str(structure.table),
        fix="give the columns of the key a rule that keeps unique values unique",
    )


def _missing_keys(
    connection: sa.Connection, tables: CopyTables, structure: TableStructure
) -> dict[tuple[str, ...], str]:
    there = _indexes(connection, tables.places.incoming(structure.table), structure.table.name)
    parts: dict[tuple[str, ...], str] = {}
    primary = structure.primary_key
    if primary is not None and "primary" not in there:
        parts[primary.columns] = f"ADD PRIMARY KEY ({_listed(primary.columns)})"
    unique = [(each.name, each.columns) for each in structure.unique_keys]
    unique += [(each.name, each.columns) for each in structure.indexes if each.unique and is_plain(each)]
    for name, columns in unique:
        if name.lower() not in there:
            parts.setdefault(columns, f"ADD UNIQUE KEY {quoted(name)} ({_listed(columns)})")
    for index in structure.indexes:
        if is_plain(index) and not index.unique and index.name.lower() not in there:
            parts.setdefault(
                ("", index.name), f"ADD KEY {quoted(index.name)} ({_prefixed(tables, structure, index)})"
            )
    return parts


def _prefixed(tables: CopyTables, structure: TableStructure, index: Index) -> str:
    """Columns of an index that is not unique: of long texts, the beginnings."""
    share = INDEX_BYTES // len(index.columns)
    parts = []
    for name in index.columns:
        kind = tables.types.held(structure.table, name).type
        width = 1 if isinstance(kind, sa.LargeBinary | sa.VARBINARY) else CHARACTER_BYTES
        length = getattr(kind, "length", None)
        most = min(_LONGEST_PREFIX, share // width)
        long = isinstance(kind, mysql.LONGTEXT | mysql.LONGBLOB | mysql.VARCHAR | sa.VARBINARY)
        parts.append(f"{quoted(name)}({most})" if long and (length or most + 1) > most else quoted(name))
    return ", ".join(parts)


def _indexes(connection: sa.Connection, database: str, table: str) -> frozenset[str]:
    rows = run(
        connection,
        "SELECT DISTINCT LOWER(index_name) FROM information_schema.statistics"
        f" WHERE table_schema = {literal(database)} AND table_name = {literal(table)}",
    )
    return frozenset(str(name) for (name,) in rows)


def _foreign_keys(connection: sa.Connection, database: str) -> frozenset[str]:
    rows = run(
        connection,
        "SELECT LOWER(constraint_name) FROM information_schema.table_constraints"
        f" WHERE constraint_type = 'FOREIGN KEY' AND table_schema = {literal(database)}",
    )
    return frozenset(str(name) for (name,) in rows)


def _is_auto_increment(connection: sa.Connection, place: tuple[str, str], column: str) -> bool:
    rows = run(
        connection,
        "SELECT extra FROM information_schema.columns"
        f" WHERE table_schema = {literal(place[0])} AND table_name = {literal(place[1])}"
        f" AND column_name = {literal(column)}",
    )
    return any("auto_increment" in str(extra).lower() for (extra,) in rows)


def _actions(key: ForeignKey) -> str:
    return "".join(
        f" ON {event} {action}"
        for event, action in (("DELETE", key.on_delete), ("UPDATE", key.on_update))
        if action in _ACTIONS
    )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in columns)


def changed_orphans(
    connection: sa.Connection, tables: CopyTables, structure: TableStructure
) -> Iterator[tuple[ForeignKey, int]]:
    """For each foreign key the upserts whose parent is neither among the upserts, nor published and
    neither deleted nor replaced."""
    child = tables.shadow(structure.table, "upserts").alias("referring")
    for _, key in tables.foreign_keys(structure):
        pairs = list(zip(key.columns, key.referred, strict=True))
        merge = ddl.merge_key(tables.copied[key.parent])
        upserts = tables.shadow(key.parent, "upserts").alias("upserts")
        live = tables.live(key.parent).alias("published")
        new = sa.exists().where(*(upserts.c[there] == child.c[here] for here, there in pairs))
        gone = []
        for place in ("upserts", "deletes"):
            changes = tables.shadow(key.parent, place).alias(f"changed_{place}")
            gone.append(sa.exists().where(*(changes.c[name] == live.c[name] for name in merge)))
        old = sa.exists().where(
            *(live.c[there] == child.c[here] for here, there in pairs), *(~each for each in gone)
        )
        valued = [child.c[name].is_not(None) for name in key.columns]
        query = sa.select(sa.func.count()).select_from(child).where(*valued, ~new, ~old)
        yield key, int(connection.execute(query).scalar_one())
