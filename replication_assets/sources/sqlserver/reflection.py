"""What a table is: its columns, its key, and what stands in the way of loading it.

Everything that is wrong is found before anything is created, and reported together with the statements
that mend it. What would hide values or rows without a word (data masking, row-level security) counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.table_problems import key_problems, name_problems, not_ready
from replication_assets.errors import SourceNotReady
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import catalog
from replication_assets.sources.sqlserver.statements.names import quoted, relation
from replication_assets.sources.sqlserver.types import SYSTEM_TYPES, NativeType, column_of

_KINDS = {"U": "table", "V": "view"}

_NO_KEY = "is computed: its value is not in the change stream"


@dataclass(frozen=True, slots=True)
class Relation:
    """A row of `sys.objects`. `rows` is the sum of its partitions; 0 for a view."""

    kind: str
    number: int
    rows: int
    memory_optimized: bool
    external: bool
    graph: bool

    @property
    def can_be_captured(self) -> bool:
        return self.kind == "table"


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A row of `sys.columns`. Not `replicated` are computed columns and column sets."""

    name: str
    base: str
    native: NativeType
    nullable: bool
    replicated: bool
    encrypted: bool
    masked: bool

    def column(self) -> Column:
        """Raises SourceNotReady: its type is refused, or is none that is known."""
        if self.encrypted:
            raise SourceNotReady(
                "it is encrypted by the client's key (Always Encrypted)",
                fix="replicate a view without it",
            )
        if self.base not in SYSTEM_TYPES:
            raise SourceNotReady(
                f"columns of type {self.base} cannot be stored",
                fix="read the table through a view that casts the column to a known type",
            )
        return column_of(self.name, self.native, self.nullable)


def find_relation(session: Session, table: TableId) -> Relation | None:
    """The table or view; None if there is none that this account can see."""
    found = session.rows(catalog.find_relation(table))
    if not found:
        return None
    kind, number, rows, memory, external, graph = found[0]
    name = str(kind).strip()
    return Relation(
        _KINDS.get(name, f"object of type {name}"),
        int(number),
        int(rows or 0),
        bool(memory),
        bool(external),
        bool(graph),
    )


def existing_relation(session: Session, table: TableId) -> Relation:
    """As `find_relation`. Raises SourceNotReady if there is none."""
    found = find_relation(session, table)
    if found is None:
        raise SourceNotReady(
            f"there is no table or view {relation(table)} that this account may see",
            where=str(table),
            fix=f"check the spelling, or GRANT SELECT ON {relation(table)} TO the account",
        )
    return found


def catalog_columns(session: Session, table: TableId) -> tuple[CatalogColumn, ...]:
    """In the table's order."""
    return tuple(
        CatalogColumn(
            str(name),
            str(base),
            NativeType.of(str(base), int(length), int(precision), int(scale)),
            bool(nullable),
            replicated=not (computed or column_set),
            encrypted=bool(encrypted),
            masked=bool(masked),
        )
        for (
            name,
            base,
            length,
            precision,
            scale,
            nullable,
            computed,
            column_set,
            encrypted,
            masked,
        ) in session.rows(catalog.columns(table))
    )


def table_columns(session: Session, table: TableId) -> tuple[Column, ...]:
    """Columns that loads and changes carry, whatever else may be wrong with the table."""
    existing_relation(session, table)
    return tuple(each.column() for each in catalog_columns(session, table) if each.replicated)


def primary_key(session: Session, table: TableId) -> tuple[str, ...]:
    return tuple(str(name) for (name,) in session.rows(catalog.primary_key(table)))


def reflect_table(
    session: Session, table: TableId, *, key: Sequence[str] = (), append_only: bool = False
) -> TableSchema:
    """See `ports.ChangeSource.reflect`. Without a declared key it is the primary key."""
    found = existing_relation(session, table)
    columns = catalog_columns(session, table)
    left_out = tuple(each.name for each in columns if not each.replicated)
    names = [each.name for each in columns if each.replicated]
    chosen = tuple(key) or (primary_key(session, table) if found.can_be_captured else ())
    problems = [
        *kind_problems(found),
        *_access_problems(session, table, columns),
        *name_problems(names),
        *key_problems(chosen, names, left_out, _NO_KEY),
    ]
    replicated: list[Column] = []
    for each in columns:
        try:
            replicated += [each.column()] if each.replicated else []
        except SourceNotReady as error:
            problems.append(f"column {each.name!r}: {error}")
    if problems:
        raise not_ready(problems, str(table))
    return TableSchema(tuple(replicated), chosen, append_only, left_out)


def kind_problems(found: Relation) -> list[str]:
    if found.kind not in ("table", "view"):
        return [f"it is an {found.kind}: only tables and views can be read"]
    if found.memory_optimized:
        return ["it is memory-optimized, which no snapshot of other tables takes in: read it through a copy"]
    if found.external:
        return ["it is an external table: replicate it from the database that it stands in"]
    if found.graph:
        return ["it is a graph table, whose hidden columns cannot be read back: read it through a view"]
    return []


def _access_problems(session: Session, table: TableId, columns: Sequence[CatalogColumn]) -> list[str]:
    ((may_select, unmasked, user),) = session.rows(catalog.may_select(table))
    account, problems = quoted(str(user)), []
    if not may_select:
        problems.append(f"the account may not read it. Run: GRANT SELECT ON {relation(table)} TO {account}")
    masked = [each.name for each in columns if each.masked]
    if masked and not unmasked:
        problems.append(
            f"columns {masked} are masked for the account, which would get made-up values."
            f" Run: GRANT UNMASK TO {account}"
        )
    for (policy,) in session.rows(catalog.hiding_policies(table)):
        problems.append(
            f"security policy {policy} may leave rows out without a word. Run: ALTER SECURITY POLICY"
            f" {quoted(str(policy))} WITH (STATE = OFF), or replicate a copy that has all rows"
        )
    return problems
