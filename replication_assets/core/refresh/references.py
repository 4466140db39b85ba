"""References between the tables of a subset, and what is declared of them.

A reference is a foreign key whose parent is among the tables, or a virtual key: one that no
constraint declares. It is named by the referring column: `shop.public.orders.customer_id`, with
several columns `shop.public.lines.order_id,number`, or by its constraint. A name may leave out source
and schema where that is clear.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from replication_assets.core.structure import TableStructure
from replication_assets.errors import RefreshError


@dataclass(frozen=True, slots=True)
class Reference:
    """`child`'s `columns` refer to `referred` of `parent`. Tables by their full names."""

    child: str
    columns: tuple[str, ...]
    parent: str
    referred: tuple[str, ...]
    constraint: str | None = None

    def __str__(self) -> str:
        return f"{self.child}.{','.join(self.columns)}"

    @property
    def short(self) -> str:
        """Without source and schema: `orders.customer_id`."""
        return f"{self.child.split('.', 2)[-1]}.{','.join(self.columns)}"

    def called(self, name: str) -> bool:
        names = {str(self)}
        if self.constraint is not None:
            names.add(f"{self.child}.{self.constraint}")
        return any(name == each or each.endswith(f".{name}") for each in names)


@dataclass(frozen=True, slots=True)
class SubsetRules:
    """As in the declaration: rows to begin with, by table a share or an SQL condition; how many
    referring rows come along, by reference "all", "none" or so many for each; virtual keys."""

    begin: Mapping[str, float | str] = field(default_factory=dict, hash=False)
    children: Mapping[str, str | int] = field(default_factory=dict, hash=False)
    virtual_keys: Mapping[str, str] = field(default_factory=dict, hash=False)


def references_of(tables: Sequence[TableStructure], rules: SubsetRules) -> tuple[Reference, ...]:
    """All references among the tables.

    Raises:
        RefreshError: a virtual key names a table or column that is not there.
    """
    named = {str(table.table): table for table in tables}
    declared = [
        Reference(str(table.table), key.columns, str(key.parent), key.referred, key.name)
        for table in tables
        for key in table.foreign_keys
        if str(key.parent) in named
    ]
    return (*declared, *_virtual(named, rules.virtual_keys))


def _virtual(named: Mapping[str, TableStructure], keys: Mapping[str, str]) -> Iterator[Reference]:
    for referring, referred in keys.items():
        (child, columns), (parent, targets) = _placed(named, referring), _placed(named, referred)
        if len(columns) != len(targets):
            raise _wrong(f"virtual key {referring}", "both sides need as many columns", "name them in order")
        yield Reference(child, columns, parent, targets)


def _placed(named: Mapping[str, TableStructure], place: str) -> tuple[str, tuple[str, ...]]:
    table, _, columns = place.rpartition(".")
    names = tuple(column.strip() for column in columns.split(","))
    if table not in named:
        raise _wrong(
            f"virtual key {place}", f"{table or place} is not a table of the refresh", "give its full name"
        )
    for name in names:
        if name not in named[table].names:
            raise _wrong(f"virtual key {place}", f"{table} has no column {name}", "check the name")
    return table, names


def limits_of(references: Sequence[Reference], rules: SubsetRules) -> Mapping[Reference, int | None]:
    """How many referring rows of each row come along, None for all; references with none are left out.

    Raises:
        RefreshError: a name is no reference or several, or what it says is none of the three.
    """
    found: dict[Reference, int | None] = {}
    for name, wanted in rules.children.items():
        fitting = [each for each in references if each.called(name)]
        if len(fitting) != 1:
            known = ", ".join(map(str, fitting or references)) or "none"
            what = "names several references" if fitting else "names no reference"
            raise _wrong(f"children {name}", what, f"one of {known}")
        if wanted == "all":
            found[fitting[0]] = None
        elif isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 0:
            found[fitting[0]] = wanted
        elif wanted != "none":
            raise _wrong(f"children {name}", "is none of what may stand there", '"all", "none" or a number')
    return {reference: limit for reference, limit in found.items() if limit != 0}


def row_key(table: TableStructure) -> tuple[str, ...]:
    """The columns that tell rows apart: the primary key, else a unique key that no NULL can be in,
    else all columns."""
    if table.primary_key is not None:
        return table.primary_key.columns
    nullable = {column.name for column in table.columns if column.nullable}
    whole = [key.columns for key in table.unique_keys if not nullable & set(key.columns)]
    return whole[0] if whole else table.names


def _wrong(where: str, what: str, fix: str) -> RefreshError:
    return RefreshError(what, where=f"subset, {where}", fix=fix)
