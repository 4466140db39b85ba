"""What of a source's structure a projected table has, whichever engine it is of: the decisions.

A projection brings tables and ranges forward one by one, in any order, and the source checked its rules
already. A rule that the target checked row by row would stop it half way: a row that moves to another id
range is in both for a moment, a child arrives before its parent. So, of the structure:

- the key that identifies rows is the primary key;
- other unique keys and unique indexes are plain indexes;
- foreign keys between projected tables are declared and not checked in our sessions;
- defaults that mean the same in the engine are there for whoever writes after a cutover;
- NOT NULL, checks, generated columns and identities are not: an odd value is null in its column.

Everything that is otherwise than in the source is a line in the books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from replication_assets.core.schema import TableId
from replication_assets.core.structure import ForeignKey, TableStructure
from replication_assets.errors import TargetError
from replication_assets.targets.sql.names import suffixed
from replication_assets.targets.sql.projection.layout import Layout, Place
from replication_assets.targets.sql.source_defaults import Functions, default_of, is_serial

Structures: TypeAlias = Callable[[TableId], TableStructure | None]
"""What a source table is made like, where that was recorded."""


def _unknown(table: TableId) -> None:
    del table


@dataclass(frozen=True, slots=True)
class Projected:
    """The tables of one projection, and what they are made like at the source."""

    tables: frozenset[TableId] = frozenset()
    structures: Structures = _unknown


@dataclass(frozen=True, slots=True)
class PlainIndex:
    """An index to make. `name` is distinct within a schema: it begins with that of the table."""

    name: str
    columns: tuple[str, ...]


def defaults(structure: TableStructure | None, layout: Layout, functions: Functions) -> dict[str, str]:
    """SQL by column."""
    if structure is None or structure.engine != "postgresql":
        return {}
    found = {}
    for column in structure.columns:
        if column.name in layout.schema.names and not is_serial(structure, column):
            text = default_of(column, functions)
            if text is not None and column.generated is None:
                found[column.name] = text
    return found


def indexes(structure: TableStructure, layout: Layout, *, limit: int) -> tuple[list[PlainIndex], list[str]]:
    """Indexes to make, and lines about what they are not."""
    made: list[PlainIndex] = []
    lines: list[str] = []
    where = structure.table
    for each in structure.indexes:
        if each.definition is not None or each.method not in ("btree", "BTREE") or not each.columns:
            lines.append(f"{where}: index {each.name} ({each.method}, or of expressions or a part)")
            continue
        if each.unique:
            lines.append(f"{where}: index {each.name} is not unique here")
        made += _index(layout, each.name, each.columns, limit, lines, where)
    keys = [key for key in (structure.primary_key, *structure.unique_keys) if key is not None]
    for key in keys:
        if key.columns == layout.key or set(key.columns) == set(layout.key):
            continue
        lines.append(f"{where}: key {key.name} is an index that refuses no duplicates")
        made += _index(layout, key.name, key.columns, limit, lines, where)
    return made, lines


def _index(
    layout: Layout, name: str, columns: Sequence[str], limit: int, lines: list[str], where: TableId
) -> Iterator[PlainIndex]:
    if not set(columns) <= set(layout.schema.names):
        lines.append(f"{where}: index {name}, of columns that are not replicated")
        return
    yield PlainIndex(suffixed(f"{layout.place.name}.{name}", "", limit=limit), tuple(columns))


def foreign_keys(
    structure: TableStructure, layout: Layout, projected: Projected
) -> tuple[list[ForeignKey], list[str]]:
    """Foreign keys to primary keys of tables that are projected as well, and lines about the others."""
    made: list[ForeignKey] = []
    lines: list[str] = []
    for key in structure.foreign_keys:
        named = f"{structure.table}: foreign key {key.name} to {key.parent}"
        parent = projected.structures(key.parent) if key.parent in projected.tables else None
        primary = parent.primary_key if parent is not None else None
        if primary is None:
            lines.append(f"{named}, which is not projected, or has no primary key")
        elif set(key.referred) != set(primary.columns):
            lines.append(f"{named}, of which it does not refer to the primary key")
        elif not set(key.columns) <= set(layout.schema.names):
            lines.append(f"{named}, of columns that are not replicated")
        else:
            made.append(key)
    return made, lines


class Declares(Protocol):
    """What an engine tells of tables and foreign keys."""

    def place_of(self, table: TableId) -> Place:
        """Where a table of the projection stands."""
        ...

    def columns(self, place: Place) -> tuple[str, ...]: ...

    def types(self, place: Place, columns: Sequence[str]) -> Sequence[object]:
        """What must be the same of both sides of a foreign key; nothing if the engine asks for nothing."""
        ...

    def unfit(self, layout: Layout, key: ForeignKey) -> str:
        """What the engine has against a foreign key, as the end of a line; empty if nothing."""
        ...


def declarable(
    engine: Declares, structure: TableStructure, layout: Layout, projected: Projected, lines: list[str]
) -> Iterator[tuple[ForeignKey, Place]]:
    """Foreign keys that can be declared by now, and where their parents stand. Why another cannot be is added
    to `lines`."""
    keys, others = foreign_keys(structure, layout, projected)
    lines += others
    for key in keys:
        parent, why = engine.place_of(key.parent), engine.unfit(layout, key)
        if not why and not set(key.referred) <= set(engine.columns(parent)):
            why = ", which is not there yet"
        if not why and engine.types(layout.place, key.columns) != engine.types(parent, key.referred):
            why = ", whose columns have other types"
        if why:
            lines.append(f"{structure.table}: foreign key {key.name} to {key.parent}{why}")
        else:
            yield key, parent


TEXTS_DIFFER = ", whose texts have another type here than those of its parent's key"


def types_among(
    found: Iterable[Sequence[object]], columns: Sequence[str], place: Place
) -> list[tuple[object, ...]]:
    """Types of some columns out of a catalog's rows, which begin with a column's name."""
    types = {str(row[0]): tuple(row[1:]) for row in found}
    if not set(columns) <= set(types):
        raise TargetError("a table has not the columns that it was made with", where=str(place))
    return [types[name] for name in columns]


def otherwise(structure: TableStructure, layout: Layout, functions: Functions) -> Iterator[str]:
    """Lines about columns, checks and the rest."""
    where = structure.table
    carried = defaults(structure, layout, functions)
    for column in structure.columns:
        name = f"{where}: column {column.name}"
        if column.name not in layout.schema.names:
            yield f"{name} is not replicated"
            continue
        if not column.nullable and column.name not in layout.key:
            yield f"{name} may be null: odd values are null in their column"
        if column.generated is not None:
            yield f"{name} is not generated: it holds what the source generated"
        elif is_serial(structure, column):
            yield f"{name} is not counted"
        elif column.default is not None and column.name not in carried:
            yield f"{name} has no default"
        if column.labels:
            yield f"{name} is a text, not {column.type}"
        if column.collation not in (None, "default", "C", "POSIX", "ucs_basic"):
            yield f"{name} compares by code points, not by {column.collation}"
    if not layout.key and structure.primary_key is not None:
        yield f"{where}: key {structure.primary_key.name}: rows are told apart by their content"
    yield from (f"{where}: check {each.name}" for each in structure.checks)
    yield from (f"{where}: {each}" for each in structure.others)
