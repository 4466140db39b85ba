"""Structures of source tables as their shapes leave them: what a shaped copy may have of keys, indexes and
foreign keys.

A column that is left out takes with it what is made of it. A default of a column of another type is not
carried, nor is a foreign key between columns that do not have one type any more. What goes is told in
`TableStructure.others`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from replication_assets.core.schema import TableId
from replication_assets.core.shape_specs import Shape
from replication_assets.core.structure import ColumnStructure, ForeignKey, TableStructure, UniqueKey


def shaped_structures(
    structures: Callable[[TableId], TableStructure | None], shapes: Iterable[Shape]
) -> Callable[[TableId], TableStructure | None]:
    """The same, with each structure in the shape of its table."""
    known = {shape.table: shape for shape in shapes}

    def found(table: TableId) -> TableStructure | None:
        structure = structures(table)
        return None if structure is None else shaped_structure(structure, known)

    return found


def shaped_structure(structure: TableStructure, shapes: Mapping[str, Shape]) -> TableStructure:
    """`shapes` by the table's name: foreign keys are held against those of their parents."""
    shape = shapes.get(str(structure.table), Shape(str(structure.table)))
    lost = set(shape.exclude)

    def named(columns: Iterable[str]) -> tuple[str, ...]:
        return tuple(shape.rename.get(name, name) for name in columns)

    def is_kept(columns: Iterable[str]) -> bool:
        return not lost & set(columns)

    def unique(key: UniqueKey) -> UniqueKey:
        return replace(key, columns=named(key.columns))

    primary = structure.primary_key
    kept_keys = [key for key in structure.foreign_keys if is_kept(key.columns) and _fits(key, shape, shapes)]
    return replace(
        structure,
        columns=tuple(_column(each, shape) for each in structure.columns if each.name not in lost),
        primary_key=unique(primary) if primary is not None and is_kept(primary.columns) else None,
        unique_keys=tuple(unique(key) for key in structure.unique_keys if is_kept(key.columns)),
        foreign_keys=tuple(
            replace(key, columns=named(key.columns), referred=_referred(key, shapes)) for key in kept_keys
        ),
        indexes=tuple(
            replace(each, columns=named(each.columns)) for each in structure.indexes if is_kept(each.columns)
        ),
        sequences=tuple(
            replace(each, column=shape.rename.get(each.column, each.column))
            for each in structure.sequences
            if each.column not in lost and each.column not in shape.types
        ),
        others=(*structure.others, *_gone(structure, shape, kept_keys)),
    )


def _gone(structure: TableStructure, shape: Shape, kept: Sequence[ForeignKey]) -> Iterator[str]:
    lost = set(shape.exclude)
    yield from (f"column {name}, left out" for name in structure.names if name in lost)
    for key in structure.unique_keys:
        if lost & set(key.columns):
            yield f"key {key.name}, of columns left out"
    for index in structure.indexes:
        if lost & set(index.columns):
            yield f"index {index.name}, of columns left out"
    for foreign in structure.foreign_keys:
        if foreign not in kept:
            yield f"foreign key {foreign.name} to {foreign.parent}, of columns left out or of another type"


def _column(column: ColumnStructure, shape: Shape) -> ColumnStructure:
    name = shape.rename.get(column.name, column.name)
    kind = shape.types.get(column.name)
    if kind is None:
        return replace(column, name=name)
    return ColumnStructure(name, kind, nullable=column.nullable)


def _referred(key: ForeignKey, shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    parent = shapes.get(str(key.parent))
    names = parent.rename if parent is not None else {}
    return tuple(names.get(name, name) for name in key.referred)


def _fits(key: ForeignKey, shape: Shape, shapes: Mapping[str, Shape]) -> bool:
    """Whether both ends are of one type still."""
    parent = shapes.get(str(key.parent), Shape(str(key.parent)))
    ends = zip(key.columns, key.referred, strict=True)
    same = all(shape.types.get(one) == parent.types.get(other) for one, other in ends)
    return same and not set(parent.exclude) & set(key.referred)
