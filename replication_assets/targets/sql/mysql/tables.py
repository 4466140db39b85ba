"""Tables of a copy on a MySQL server, as SQLAlchemy describes them, and what they lack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from replication_assets.core.schema import TableId
from replication_assets.core.structure import ForeignKey, Index, TableStructure
from replication_assets.errors import RefreshError
from replication_assets.ports.environment import TableCopy
from replication_assets.targets.sql import ddl
from replication_assets.targets.sql.dialect import Place
from replication_assets.targets.sql.mysql.places import Places
from replication_assets.targets.sql.mysql.types import Collations, ColumnTypes, Form
from replication_assets.targets.sql.source_defaults import Functions, default_of, is_carried, is_serial

_FUNCTIONS = Functions(now="(UTC_TIMESTAMP(6))", uuid="(UUID())")


class CopyTables:
    """All tables of one copy: their places, columns, keys."""

    def __init__(self, places: Places, collations: Collations, structures: Sequence[TableStructure]) -> None:
        places.check(each.table for each in structures)
        self.places = places
        self.types = ColumnTypes(structures, collations)
        self.copied = {each.table: each for each in structures}

    def table(self, structure: TableStructure, database: str, place: Place) -> sa.Table:
        """The bare table of a place, the published one included (`rows` in the live database)."""
        required = ddl.required_columns(structure) - {
            each.name for each in structure.columns if each.generated is not None
        }
        if place != "rows":
            required = frozenset(ddl.merge_key(structure))
        defaults = {
            each.name: found
            for each in structure.columns
            if (found := default_of(each, _FUNCTIONS)) is not None
        }
        return ddl.bare_table(
            sa.MetaData(),
            structure,
            database,
            self.places.table(structure.table, place),
            self.types.type_of,
            required=required,
            expressions=ddl.Expressions(defaults=defaults if place == "rows" else {}),
            identities=False,
        )

    def shadow(self, table: TableId, place: Place) -> sa.Table:
        return self.table(self.copied[table], self.places.incoming(table), place)

    def live(self, table: TableId) -> sa.Table:
        return self.table(self.copied[table], self.places.live(table), "rows")

    def forms(self, copy: TableCopy) -> dict[str, Form]:
        structure = copy.structure
        return {each.name: self.types.held(structure.table, each.name).form for each in structure.columns}

    def foreign_keys(self, structure: TableStructure) -> Iterator[tuple[str, ForeignKey]]:
        """Those that are carried, by a name that is unique in its database: InnoDB wants it so."""
        for key in ddl.keys_within(structure, self.copied):
            if self._unequal(structure, key) is None:
                yield self._key_name(structure.table, key), _in_order(key, self.copied[key.parent])

    def _key_name(self, table: TableId, key: ForeignKey) -> str:
        same = [
            other.table
            for other in self.copied.values()
            if self.places.live(other.table) == self.places.live(table)
            for each in other.foreign_keys
            if each.name.lower() == key.name.lower()
        ]
        return key.name if len(same) == 1 else f"{key.name[:40]}_{self.copied[table].fingerprint[:8]}"

    def _unequal(self, structure: TableStructure, key: ForeignKey) -> str | None:
        """The first column whose type is not that of the column it refers to."""
        for column, referred in zip(key.columns, key.referred, strict=True):
            mine = self.types.held(structure.table, column).type
            theirs = self.types.held(key.parent, referred).type
            # Lengths of texts may differ.
            if type(mine) is not type(theirs) or (
                isinstance(mine, sa.Numeric) and repr(mine) != repr(theirs)
            ):
                return column
        return None

    def serial(self, structure: TableStructure) -> str | None:
        """The column that is AUTO_INCREMENT: one for each table, and the first one of a key."""
        keys = [each.columns for each in ddl.unique_keys(structure)]
        keys += [each.columns for each in structure.indexes if each.definition is None]
        for column in structure.columns:
            if is_serial(structure, column) and any(key[0] == column.name for key in keys):
                return column.name
        return None

    def not_carried(self) -> Iterator[str]:
        for structure in self.copied.values():
            yield from self._columns_not_carried(structure)
            yield from self._objects_not_carried(structure)
        yield from ddl.keys_left_out(list(self.copied.values()))

    def _columns_not_carried(self, structure: TableStructure) -> Iterator[str]:
        where, serial = structure.table, self.serial(structure)
        for column in structure.columns:
            note = self.types.held(structure.table, column.name).note
            if note is not None:
                yield f"{where}: column {column.name} ({column.type}) {note}"
            if column.generated is not None:
                yield f"{where}: column {column.name} is not generated: it is null"
            elif not is_carried(structure, column, _FUNCTIONS):
                yield f"{where}: column {column.name} has no default"
            elif is_serial(structure, column) and column.name != serial:
                yield f"{where}: column {column.name} is not AUTO_INCREMENT: no key begins with it"
            if column.collation not in (None, "default", "C", "POSIX", "ucs_basic"):
                yield f"{where}: column {column.name} compares by code points, not by {column.collation}"
        for sequence in structure.sequences:
            if sequence.increment != 1:
                yield f"{where}: column {sequence.column} is counted by 1, not by {sequence.increment}"

    def _objects_not_carried(self, structure: TableStructure) -> Iterator[str]:
        where = structure.table
        for check in structure.checks:
            yield f"{where}: check {check.name}"
        for index in structure.indexes:
            if not is_plain(index):
                yield f"{where}: index {index.name} ({index.method}, or of expressions or a part)"
        for key in ddl.keys_within(structure, self.copied):
            column = self._unequal(structure, key)
            if column is not None:
                yield f"{where}: foreign key {key.name}: {column} has another type than what it refers to"
            elif "SET DEFAULT" in (key.on_delete, key.on_update):
                yield f"{where}: foreign key {key.name} does nothing instead of SET DEFAULT"
            elif key.deferrable:
                yield f"{where}: foreign key {key.name} is checked at once, not at the commit"
        for other in structure.others:
            yield f"{where}: {other}"


def is_plain(index: Index) -> bool:
    return index.definition is None and index.method == "btree" and bool(index.columns)


def require_filled(copy: TableCopy, serial: str | None) -> None:
    """Columns that no batch has must get their values from somewhere.

    Raises:
        RefreshError: one is required, and has no default here.
    """
    structure = copy.structure
    required = ddl.required_columns(structure)
    for column in structure.columns:
        if column.name in copy.schema.names or column.generated is not None or column.name == serial:
            continue
        if not is_carried(structure, column, _FUNCTIONS) or (
            column.name in required and default_of(column, _FUNCTIONS) is None
        ):
            raise RefreshError(
                f"column {column.name} is to get its default, which MySQL cannot express",
                where=str(structure.table),
                fix="give the column another rule",
            )


def _in_order(key: ForeignKey, parent: TableStructure) -> ForeignKey:
    """The pairs of columns in the order of the parent's key: InnoDB looks for an index in that order."""
    keys = [each.columns for each in ddl.unique_keys(parent)]
    keys += [each.columns for each in parent.indexes if each.unique and is_plain(each)]
    for columns in keys:
        if set(columns) == set(key.referred) and len(columns) == len(key.referred):
            at = [key.referred.index(name) for name in columns]
            return ForeignKey(
                key.name,
                tuple(key.columns[each] for each in at),
                key.parent,
                tuple(columns),
                on_delete=key.on_delete,
                on_update=key.on_update,
            )
    return key
