"""From the structure of a source table to SQLAlchemy tables, constraints and queries of a target.

Nothing here is of one engine. Types, and expressions in a source's own SQL, come from the dialect: what
it does not give is not there. Tables are made bare; an engine adds constraints to them before
(`CREATE TABLE` with all of it) or after (`ALTER TABLE`) their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from replication_assets.core.schema import TableId
from replication_assets.core.structure import (
    Check,
    ColumnStructure,
    ForeignKey,
    Index,
    TableStructure,
    UniqueKey,
)
from replication_assets.errors import RefreshError

TypeOf = Callable[[TableStructure, ColumnStructure], "sa.types.TypeEngine[Any]"]


@dataclass(frozen=True, slots=True)
class Expressions:
    """SQL of the target by column: defaults, and what generated columns are made of."""

    defaults: Mapping[str, str] = field(default_factory=dict)
    generated: Mapping[str, str] = field(default_factory=dict)


def bare_table(
    metadata: sa.MetaData,
    structure: TableStructure,
    place: str | None,
    name: str,
    type_of: TypeOf,
    *,
    required: Collection[str],
    expressions: Expressions | None = None,
    identities: bool = True,
) -> sa.Table:
    """The table `name` in `place` without keys. `required` columns are NOT NULL."""
    given = expressions or Expressions()
    increments = {each.column: each.increment for each in structure.sequences}
    columns = []
    for column in structure.columns:
        parts: list[sa.schema.SchemaItem] = []
        default: sa.ColumnElement[Any] | None = None
        if column.name in given.generated:
            parts.append(sa.Computed(sa.literal_column(given.generated[column.name]), persisted=True))
        elif column.identity is not None and identities:
            always = column.identity == "always"
            parts.append(sa.Identity(always=always, increment=increments.get(column.name, 1)))
        elif column.name in given.defaults:
            default = sa.literal_column(given.defaults[column.name])
        columns.append(
            sa.Column(
                column.name,
                type_of(structure, column),
                *parts,
                nullable=column.name not in required,
                server_default=default,
                # SQLAlchemy refuses to be told so for an identity, which is one anyway.
                autoincrement="auto" if any(isinstance(part, sa.Identity) for part in parts) else False,
            )
        )
    return sa.Table(name, metadata, *columns, schema=place)


def required_columns(structure: TableStructure) -> frozenset[str]:
    """Columns that are NOT NULL in the source."""
    keyed = structure.primary_key.columns if structure.primary_key else ()
    return frozenset({*keyed, *(each.name for each in structure.columns if not each.nullable)})


def merge_key(structure: TableStructure) -> tuple[str, ...]:
    """The columns by which changes find their row: the primary key, or else the first unique key
    without nullable columns. The event store may identify rows so only.

    Raises:
        RefreshError: there is neither.
    """
    required = required_columns(structure)
    keys = [key for key in (structure.primary_key, *structure.unique_keys) if key is not None]
    for key in keys:
        if required.issuperset(key.columns):
            return key.columns
    raise RefreshError(
        "the table has no key: changes cannot find their rows",
        where=str(structure.table),
        fix="give it a primary key at the source, or refresh it in full",
    )


def unique_keys(structure: TableStructure) -> Iterator[UniqueKey]:
    """The primary key, then the others."""
    if structure.primary_key is not None:
        yield structure.primary_key
    yield from structure.unique_keys


def keys_within(structure: TableStructure, copied: Mapping[TableId, TableStructure]) -> Iterator[ForeignKey]:
    """Foreign keys whose parent is copied and has a key over the referred columns."""
    for key in structure.foreign_keys:
        if key in _outside(structure, copied):
            continue
        yield key


def _outside(structure: TableStructure, copied: Mapping[TableId, TableStructure]) -> list[ForeignKey]:
    return [
        key
        for key in structure.foreign_keys
        if key.parent not in copied or not _is_unique(copied[key.parent], key.referred)
    ]


def _is_unique(parent: TableStructure, columns: Sequence[str]) -> bool:
    over = [set(key.columns) for key in unique_keys(parent)]
    over += [set(index.columns) for index in parent.indexes if index.unique and index.definition is None]
    return set(columns) in over


def keys_left_out(tables: Sequence[TableStructure]) -> Iterator[str]:
    """Lines of `not_carried` about foreign keys to tables outside the copy."""
    copied = {each.table: each for each in tables}
    for structure in tables:
        for key in _outside(structure, copied):
            why = "which has no such key" if key.parent in copied else "which is not copied"
            yield f"{structure.table}: foreign key {key.name} to {key.parent}, {why}"


def key_constraint(
    table: sa.Table, key: UniqueKey, *, primary: bool, name: str | None
) -> sa.UniqueConstraint | sa.PrimaryKeyConstraint:
    """Attached to the table."""
    made = (sa.PrimaryKeyConstraint if primary else sa.UniqueConstraint)(
        *(table.c[column] for column in key.columns), name=name
    )
    table.append_constraint(made)
    return made


def check_constraint(table: sa.Table, check: Check, expression: str) -> sa.CheckConstraint:
    """Attached to the table; `expression` is SQL of the target."""
    made = sa.CheckConstraint(sa.literal_column(expression), name=check.name)
    table.append_constraint(made)
    return made


def foreign_key_constraint(
    child: sa.Table, parent: sa.Table, key: ForeignKey, name: str | None
) -> sa.ForeignKeyConstraint:
    """Attached to the child."""
    known = {"NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"}
    for action in (key.on_delete, key.on_update):
        if action not in known:
            raise RefreshError(f"the foreign key {key.name} has the unknown action {action!r}")
    made = sa.ForeignKeyConstraint(
        [child.c[column] for column in key.columns],
        [parent.c[column] for column in key.referred],
        name=name,
        ondelete=None if key.on_delete == "NO ACTION" else key.on_delete,
        onupdate=None if key.on_update == "NO ACTION" else key.on_update,
        deferrable=True if key.deferrable else None,
        initially="DEFERRED" if key.initially_deferred else None,
    )
    child.append_constraint(made)
    return made


def plain_index(table: sa.Table, index: Index, name: str, **options: Any) -> sa.Index:
    """Attached to the table; for an index without a definition of its own."""
    return sa.Index(name, *(table.c[column] for column in index.columns), unique=index.unique, **options)


def orphans(child: sa.FromClause, parent: sa.FromClause, key: ForeignKey) -> sa.Select[int]:
    """How many rows of `child` have a value in every column of the key, and no row of `parent`."""
    referring, referred = child.alias("referring"), parent.alias("referred")
    pairs = list(zip(key.columns, key.referred, strict=True))
    same = [referring.c[column] == referred.c[other] for column, other in pairs]
    found = sa.exists(sa.select(sa.literal(1)).select_from(referred).where(*same).correlate(referring))
    valued = [referring.c[column].is_not(None) for column in key.columns]
    return sa.select(sa.func.count()).select_from(referring).where(*valued, ~found)


def repeated(table: sa.FromClause, columns: Sequence[str]) -> sa.Select[int]:
    """How many rows have, in these columns, the values of another row; nulls equal nothing."""
    keyed = [table.c[column] for column in columns]
    groups = (
        sa.select(sa.func.count().label("times"))
        .select_from(table)
        .where(*(column.is_not(None) for column in keyed))
        .group_by(*keyed)
        .having(sa.func.count() > 1)
        .subquery()
    )
    return sa.select(sa.func.coalesce(sa.func.sum(groups.c.times), 0))


def after_changes(
    published: sa.FromClause,
    upserts: sa.FromClause,
    deletes: sa.FromClause,
    key: Sequence[str],
    names: Sequence[str],
) -> sa.Subquery:
    """Columns `names` of a table as it will be when its changes are merged."""
    gone = [
        sa.exists(
            sa.select(sa.literal(1))
            .select_from(changes)
            .where(*(changes.c[column] == published.c[column] for column in key))
            .correlate(published)
        )
        for changes in (upserts, deletes)
    ]
    kept = sa.select(*(published.c[name] for name in names)).where(*(~each for each in gone))
    new = sa.select(*(upserts.c[name] for name in names))
    return sa.union_all(kept, new).subquery()
