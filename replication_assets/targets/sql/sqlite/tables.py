"""Tables of a copy in SQLite's SQL, and what they lack.

SQLite adds neither keys nor foreign keys to a table that is there. So rows are loaded into a bare
table, and `finished` is the table with all of it that they move into.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.core.schema import TableId
from replication_assets.core.structure import ForeignKey, TableStructure
from replication_assets.errors import RefreshError
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.dialect import Place
from replication_assets.targets.sql.names import suffixed
from replication_assets.targets.sql.source_defaults import Functions, default_of, is_carried, is_serial
from replication_assets.targets.sql.sqlite.values import declared_type, note_of

_FUNCTIONS = Functions(now="(strftime('%Y-%m-%d %H:%M:%f', 'now') || 'Z')")
_ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT")
_LONGEST_NAME = 200


def quoted(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def place_name(table: TableId, place: Place) -> str:
    return table.name if place == "rows" else suffixed(table.name, f"__{place}", limit=_LONGEST_NAME)


def final_name(table: TableId) -> str:
    """While it is filled."""
    return suffixed(table.name, "__finished", limit=_LONGEST_NAME)


def bare(structure: TableStructure, database: str, place: Place) -> str:
    """CREATE TABLE without keys."""
    required = _required(structure) if place == "rows" else frozenset(ddl.merge_key(structure))
    columns = [
        f"{quoted(each.name)} {declared_type(each)}{' NOT NULL' if each.name in required else ''}"
        f"{_default(structure, each.name)}"
        for each in structure.columns
    ]
    name = quoted(database, place_name(structure.table, place))
    return f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)}) STRICT"


def finished(structure: TableStructure, database: str, keys: Sequence[ForeignKey]) -> str:
    """CREATE TABLE with keys, labels and the foreign keys within the file."""
    required, serial = _required(structure), serial_column(structure)
    parts = []
    for each in structure.columns:
        counted = " PRIMARY KEY AUTOINCREMENT" if each.name == serial else ""
        null = " NOT NULL" if each.name in required else ""
        labels = ", ".join(_literal(label) for label in each.labels)
        check = f" CHECK ({quoted(each.name)} IN ({labels}))" if labels else ""
        default = "" if counted else _default(structure, each.name)
        parts.append(f"{quoted(each.name)} {declared_type(each)}{null}{counted}{default}{check}")
    for key in ddl.unique_keys(structure):
        if key is structure.primary_key and serial is not None:
            continue
        kind = "PRIMARY KEY" if key is structure.primary_key else "UNIQUE"
        parts.append(f"CONSTRAINT {quoted(key.name)} {kind} ({_listed(key.columns)})")
    parts += [_foreign_key(each) for each in keys]
    return f"CREATE TABLE {quoted(database, final_name(structure.table))} ({', '.join(parts)}) STRICT"


def indexes(structure: TableStructure, database: str) -> Iterator[str]:
    """CREATE INDEX of plain indexes; a name is unique in its file."""
    for index in structure.indexes:
        if index.definition is None and index.method == "btree" and index.columns:
            unique = "UNIQUE " if index.unique else ""
            name = quoted(database, suffixed(f"{structure.table.name}.{index.name}", "", limit=_LONGEST_NAME))
            yield f"CREATE {unique}INDEX {name} ON {quoted(structure.table.name)} ({_listed(index.columns)})"


def serial_column(structure: TableStructure) -> str | None:
    """The column whose values SQLite counts: a whole number that is the primary key by itself."""
    key = structure.primary_key
    if key is None or len(key.columns) != 1:
        return None
    column = structure.column(key.columns[0])
    counted = is_serial(structure, column) and declared_type(column) == "INTEGER"
    return column.name if counted else None


def keys_in_file(structure: TableStructure, copied: Sequence[TableStructure]) -> tuple[ForeignKey, ...]:
    """Foreign keys that can be declared: a file knows none to another."""
    within = ddl.keys_within(structure, {each.table: each for each in copied})
    return tuple(key for key in within if key.parent.schema == structure.table.schema)


def check_names(tables: Sequence[TableId]) -> None:
    """Raises RefreshError if two tables would be one."""
    seen: dict[tuple[str, str], TableId] = {}
    for table in tables:
        known = seen.setdefault((table.schema, table.name.lower()), table)
        if known != table:
            raise RefreshError(f"it would have the place of {known}", where=str(table))
        if table.name.lower().startswith("sqlite_"):
            raise RefreshError("SQLite keeps such names for itself", where=str(table))


def not_carried(tables: Sequence[TableStructure]) -> Iterator[str]:
    for structure in tables:
        where = structure.table
        for column in structure.columns:
            note = note_of(column)
            if note is not None:
                yield f"{where}: column {column.name} ({column.type}) {note}"
            if column.generated is not None:
                yield f"{where}: column {column.name} is not generated: it is null"
            elif not is_carried(structure, column, _FUNCTIONS):
                yield f"{where}: column {column.name} has no default"
            elif is_serial(structure, column) and column.name != serial_column(structure):
                yield f"{where}: column {column.name} is not counted: it is not the primary key"
            if column.collation not in (None, "default", "C", "POSIX", "ucs_basic"):
                yield f"{where}: column {column.name} compares by code points, not by {column.collation}"
        yield from (f"{where}: check {each.name}" for each in structure.checks)
        for index in structure.indexes:
            if index.definition is not None or index.method != "btree":
                yield f"{where}: index {index.name} ({index.method}, or of expressions or a part)"
        for key in ddl.keys_within(structure, {each.table: each for each in tables}):
            if key.parent.schema != where.schema:
                yield f"{where}: foreign key {key.name} to {key.parent}, which is in another file"
        yield from (f"{where}: {each}" for each in structure.others)
    yield from ddl.keys_left_out(tables)


def require_filled(structure: TableStructure, given: Sequence[str]) -> None:
    """Raises RefreshError for a column that no batch has and that gets no value by itself."""
    for column in structure.columns:
        if column.name in given or column.generated is not None:
            continue
        if is_serial(structure, column) or not is_carried(structure, column, _FUNCTIONS):
            raise RefreshError(
                f"column {column.name} is to get its default, which SQLite cannot express",
                where=str(structure.table),
                fix="give the column another rule",
            )


def _required(structure: TableStructure) -> frozenset[str]:
    return ddl.required_columns(structure) - {
        each.name for each in structure.columns if each.generated is not None
    }


def _default(structure: TableStructure, name: str) -> str:
    column = structure.column(name)
    found = None if column.generated is not None else default_of(column, _FUNCTIONS)
    return f" DEFAULT {found}" if found is not None else ""


def _foreign_key(key: ForeignKey) -> str:
    actions = "".join(
        f" ON {event} {action}"
        for event, action in (("DELETE", key.on_delete), ("UPDATE", key.on_update))
        if action in _ACTIONS
    )
    later = " DEFERRABLE INITIALLY DEFERRED" if key.initially_deferred else ""
    return (
        f"CONSTRAINT {quoted(key.name)} FOREIGN KEY ({_listed(key.columns)})"
        f" REFERENCES {quoted(key.parent.name)} ({_listed(key.referred)}){actions}{later}"
    )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in columns)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
