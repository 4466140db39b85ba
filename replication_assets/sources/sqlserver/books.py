"""What the books of a source say: see `statements.books` for where they are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.trigger_log import Shape, ShapeChange, shape_change
from replication_assets.sources.sqlserver.reflection import CatalogColumn, find_relation
from replication_assets.sources.sqlserver.sessions import Session
from replication_assets.sources.sqlserver.statements import cdc
from replication_assets.sources.sqlserver.statements.books import Books
from replication_assets.sources.sqlserver.statements.names import relation
from replication_assets.sources.sqlserver.types import NativeType, stored_type


@dataclass(frozen=True, slots=True)
class State:
    """The one row of the state. `began` is None until the first setup is complete."""

    token: str
    began: int | None
    acknowledged: int
    made_database: bool


@dataclass(frozen=True, slots=True)
class Captured:
    """A shape of a captured table. `began` is None while it is being made; `made`: what captures it is
    ours to remove."""

    number: int
    schema: str
    name: str
    object_number: int
    instance: str | None
    began: int | None
    began_lsn: bytes | None
    shape: Shape
    change: ShapeChange | None
    confirmed: bool
    made: bool

    @property
    def table(self) -> TableId:
        """For statements: the source is not noted."""
        return TableId("", self.schema, self.name)

    def is_of(self, table: TableId) -> bool:
        return (self.schema, self.name) == (table.schema, table.name)


def read_state(session: Session, books: Books) -> State | None:
    """None if there are no books."""
    ((state, captured),) = session.rows(books.exist())
    if state is None or captured is None:
        return None
    rows = session.rows(books.read_state())
    if not rows:
        return None
    token, began, acknowledged, made = rows[0]
    return State(
        str(token).lower(), None if began is None else int(began), int(acknowledged or 0), bool(made)
    )


def create(session: Session, books: Books, *, made_database: bool) -> None:
    """Make what is missing. `made_database` is noted with the first."""
    ((schema,),) = session.rows(books.has_schema())
    if schema is None:
        session.run(books.create_schema())
    ((state, captured),) = session.rows(books.exist())
    if captured is None:
        session.run(books.create_captured())
    if state is None:
        session.run(books.create_state())
    session.run(books.insert_state(made_database=made_database))


def read_captured(session: Session, books: Books) -> list[Captured]:
    """Every shape, the oldest first."""
    return [
        Captured(
            int(number),
            str(schema),
            str(name),
            int(object_number),
            None if instance is None else str(instance),
            None if began is None else int(began),
            None if lsn is None else bytes(lsn),
            Shape.from_body(int(number), f"{schema}.{name}", str(shape)),
            None if change is None else ShapeChange.from_body(str(change)),
            bool(confirmed),
            bool(made),
        )
        for (
            number,
            schema,
            name,
            object_number,
            instance,
            began,
            lsn,
            shape,
            change,
            confirmed,
            made,
        ) in session.rows(books.read_captured())
    ]


def left_out(session: Session, books: Books, tables: Iterable[TableId]) -> list[str]:
    """Tables that exist, and that the books do not name."""
    known = read_captured(session, books)
    return [
        table.name
        for table in tables
        if not any(row.is_of(table) for row in known) and find_relation(session, table) is not None
    ]


def shape_body(table: TableId, schema: TableSchema) -> str:
    columns = tuple((column.name, column.source_type) for column in schema.columns)
    return Shape(0, str(table), columns, schema.key).body()


def columns_of(shape: Shape) -> tuple[Column, ...]:
    return tuple(Column(name, kind, stored_type(NativeType.parse(kind))) for name, kind in shape.columns)


def follows(
    session: Session, table: TableId, known: Shape, catalog: Sequence[CatalogColumn], key: tuple[str, ...]
) -> ShapeChange | None:
    """How the table differs from a shape of it; None if it does not. A column that came and holds a
    value in some row asks for a load: nothing tells when it got there."""
    now = [each.column() for each in catalog if each.replicated]
    came = [column for column in now if column.name not in known.names]
    filled = [column.name for column in came if session.rows(cdc.holds_value(relation(table), column))]
    kept = tuple(name for name in key if name in {column.name for column in now})
    return shape_change(known, now, kept, filled=filled, unseen="")
