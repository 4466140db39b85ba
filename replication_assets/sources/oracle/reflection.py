"""What a table is: its columns, its key, and whether its changes can be captured by key.

Everything that stands in the way of loading or capturing a table is found before anything is created, and
reported together with the statements that mend it.

Virtual columns are left out and listed as `not_replicated`: redo does not carry them. Invisible columns are
columns like any other; columns that the server made for itself are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replication_assets.core.events import RESERVED_COLUMNS
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import SourceNotReady
from replication_assets.sources.oracle.sessions import Session, one_row
from replication_assets.sources.oracle.statements import catalog, mending, rows
from replication_assets.sources.oracle.statements.names import quoted
from replication_assets.sources.oracle.types import column_of, type_name

_KINDS = {"TABLE": "table", "VIEW": "view", "MATERIALIZED VIEW": "materialized view"}
_CHARACTERS = frozenset({"CHAR", "NCHAR", "VARCHAR2", "NVARCHAR2"})


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view as the dictionary tells of it. `rows` is the last gathered count; `odd` says what
    kind of table it is whose changes cannot be followed, None for an ordinary one."""

    kind: str
    rows: int | None
    odd: str | None
    partitioned: bool
    logged: bool
    """Whether rows that are loaded past the buffers (direct path) are in the redo log."""


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A row of `ALL_TAB_COLS`, its type in parts, its default left out."""

    name: str
    data_type: str
    type_owner: str | None
    precision: int | None
    scale: int | None
    length: int | None
    nullable: bool
    virtual: bool
    has_default: bool
    identity: bool
    hidden: bool
    collation: str | None
    is_bytes: bool
    """Whether the declared length of text is in bytes."""

    @property
    def type(self) -> str:
        """Raises SourceNotReady if values of the type cannot be stored."""
        return type_name(self.data_type, self.type_owner, self.precision, self.scale, self.length)


def names_of(table: TableId) -> Mapping[str, object]:
    """What `:owner` and `:name` are bound to."""
    return {"owner": table.schema, "name": table.name}


def find_relation(session: Session, table: TableId) -> Relation | None:
    """The table or view; None if there is none that this account can see."""
    found = {str(row[0]): row for row in session.rows(catalog.RELATION, names_of(table))}
    for kind in ("MATERIALIZED VIEW", "TABLE", "VIEW"):
        if kind in found:
            _, count, iot, temporary, nested, cluster, partitioned, logging = found[kind]
            odd = _odd_kind(iot, temporary, nested, cluster)
            rows_told = None if count is None else int(count)
            return Relation(_KINDS[kind], rows_told, odd, partitioned == "YES", logging != "NO")
    return None


def _odd_kind(iot: object, temporary: object, nested: object, cluster: object) -> str | None:
    if iot is not None:
        return "index-organized table, whose rows have no address in the redo log"
    if temporary == "Y":
        return "temporary table, which writes no redo of its rows"
    if nested == "YES":
        return "nested table"
    return "table of a cluster" if cluster is not None else None


def existing_relation(session: Session, table: TableId) -> Relation:
    """As `find_relation`. Raises SourceNotReady if there is none."""
    found = find_relation(session, table)
    if found is None:
        raise SourceNotReady(
            f"there is no table or view {quoted(table.schema, table.name)} that this account may see",
            where=str(table),
            fix="check the spelling (upper case, unless it was created with quotes), or"
            f" {mending.grant_object('READ, FLASHBACK', table.schema, table.name, current_user(session))}",
        )
    return found


def current_user(session: Session) -> str:
    row = one_row(session, catalog.WHO)
    return str(row[0]) if row is not None else ""


def catalog_columns(session: Session, table: TableId) -> tuple[CatalogColumn, ...]:
    """Columns in the table's order, invisible ones last."""
    return tuple(_catalog_column(row) for row in session.rows(catalog.COLUMNS, names_of(table)))


def _catalog_column(row: Sequence[object]) -> CatalogColumn:
    name, kind, owner, bytes_, precision, scale, characters, used, nullable, virtual, default = row[:11]
    identity, _, hidden, collation = row[11:15]
    length = _int(characters) if str(kind) in _CHARACTERS else _int(bytes_)
    return CatalogColumn(
        name=str(name),
        data_type=str(kind),
        type_owner=None if owner is None else str(owner),
        precision=_int(precision),
        scale=_int(scale),
        length=length,
        nullable=nullable == "Y",
        virtual=virtual == "YES",
        has_default=bool(_int(default)),
        identity=identity == "YES",
        hidden=hidden == "YES",
        collation=None if collation is None else str(collation),
        is_bytes=used == "B",
    )


def _int(value: object) -> int | None:
    return None if value is None else int(str(value))


def primary_key(session: Session, table: TableId) -> tuple[str, ...]:
    """Names of the primary key's columns in its order; empty without one."""
    constraints = session.rows(catalog.CONSTRAINTS, names_of(table))
    return tuple(str(row[2]) for row in constraints if row[1] == "P")


def table_columns(session: Session, table: TableId) -> tuple[Column, ...]:
    """Columns that loads and changes carry, whatever else may be wrong with the table."""
    existing_relation(session, table)
    return replicated(catalog_columns(session, table), primary_key(session, table))


def replicated(columns: Sequence[CatalogColumn], key: Sequence[str]) -> tuple[Column, ...]:
    """Raises SourceNotReady for a type that cannot be stored."""
    return tuple(
        column_of(column.name, column.type, column.nullable, identifies=column.name in key)
        for column in columns
        if not column.virtual
    )


def reflect_table(
    session: Session, table: TableId, *, key: Sequence[str] = (), append_only: bool = False
) -> TableSchema:
    """See `ports.ChangeSource.reflect`. Without a declared key it is the primary key."""
    existing_relation(session, table)
    found = catalog_columns(session, table)
    virtual = tuple(column.name for column in found if column.virtual)
    names = [column.name for column in found if not column.virtual]
    primary = primary_key(session, table)
    chosen = tuple(key) or primary
    problems = [
        *_access_problems(session, table),
        *_name_problems(names),
        *_key_problems(chosen, names, virtual),
    ]
    columns: list[Column] = []
    for column in found:
        try:
            columns += replicated([column], primary)
        except SourceNotReady as error:
            problems.append(f"column {column.name!r}: {error}")
    if problems:
        raise not_ready(problems, str(table))
    return TableSchema(tuple(columns), chosen, append_only, virtual)


def not_ready(problems: Sequence[str], where: str) -> SourceNotReady:
    """One error for all problems; each says what mends it."""
    if len(problems) == 1:
        return SourceNotReady(problems[0], where=where)
    listed = "\n".join(f"  - {problem}" for problem in problems)
    return SourceNotReady(f"{len(problems)} problems:\n{listed}", where=where)


def _access_problems(session: Session, table: TableId) -> list[str]:
    try:
        session.rows(rows.probe(table.schema, table.name))
    except SourceNotReady as error:
        grant = mending.grant_object("READ, FLASHBACK", table.schema, table.name, current_user(session))
        return [f"{error.what}. Run: {grant}"]
    return []


def _name_problems(names: Sequence[str]) -> list[str]:
    problems = []
    if not names:
        problems.append("it has no columns that could be replicated")
    reserved = sorted({name for name in names if name.lower() in RESERVED_COLUMNS})
    if reserved:
        problems.append(f"columns {reserved} have names that the event store uses: read a view instead")
    counts = Counter(name.lower() for name in names)
    colliding = sorted(name for name in names if counts[name.lower()] > 1)
    if colliding:
        # Delta tells columns apart by their letters alone.
        problems.append(f"columns {colliding} differ in upper and lower case only: rename one of them")
    return problems


def _key_problems(key: Sequence[str], names: Sequence[str], virtual: Sequence[str]) -> list[str]:
    problems = []
    if len(set(key)) < len(key):
        problems.append(f"key {list(key)} names a column twice")
    for name in key:
        if name in virtual:
            problems.append(f"key column {name!r} is virtual: its value is not in the redo log")
        elif name not in names:
            problems.append(f"key column {name!r} does not exist; the table has {', '.join(names)}")
    return problems
