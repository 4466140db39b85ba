"""What makes declared shapes impossible, before any column is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.core.schema import TableId
from replication_assets.core.shape_specs import Shape, called, shape_problems
from replication_assets.declarations import (
    DeltaProjection,
    DynamoDbProjection,
    Projection,
    Table,
    TopicProjection,
)
from replication_assets.declared_types import type_problems


def shapes_problems(projection: Projection | TopicProjection, tables: Sequence[Table]) -> Iterator[str]:
    """Everything about the shapes of a projection; which columns there are is known when it is filled."""
    named = set(projection.tables)
    projected = {str(each.id) for each in tables if str(each.id) in named or f"{each.id.source}.*" in named}
    seen: set[str] = set()
    for shape in projection.shapes:
        label = f"shape of {str(shape.table)[:100]}"
        if shape.table not in projected:
            yield f"{label}: the projection has no such table. Fix: name one of its tables in full"
        if shape.table in seen:
            yield f"{label}: declared twice. Fix: one shape for each table"
        seen.add(shape.table)
        if not isinstance(projection, DynamoDbProjection | TopicProjection) and shape.table in {
            each.table for each in projection.documents
        }:
            yield f"{label}: the table has documents too. Fix: a projection each"
        problems = list(_form(shape)) or list(shape_problems(shape))
        yield from (f"{label}: {problem}" for problem in problems)
        if isinstance(projection, TopicProjection) and (shape.schema, shape.name) != (None, None):
            yield f"{label}: messages name their table by `Messages`. Fix: no schema, no name"
        if isinstance(projection, DynamoDbProjection) and (shape.schema, shape.name) != (None, None):
            yield f"{label}: the table becomes items, which `Items.into` places. Fix: no schema, no name"
    if isinstance(projection, DeltaProjection):
        yield from _collisions(projection, tables)


def _collisions(projection: DeltaProjection, tables: Sequence[Table]) -> Iterator[str]:
    named = set(projection.tables)
    owners: dict[TableId, TableId] = {}
    for table in dict.fromkeys(each.id for each in tables):
        if str(table) in named or f"{table.source}.*" in named:
            other = owners.setdefault(called(projection.shapes, table), table)
            if other != table:
                there = called(projection.shapes, table)
                both = f"{other} and {table} would both be {there.schema}.{there.name}"
                yield f"{both}. Fix: another name in a shape"


def _form(shape: Shape) -> Iterator[str]:
    yield from type_problems(shape)
    for inner in (*shape.where, *shape.computed):
        yield from type_problems(inner)
    for where in shape.where:
        for each in where.one_of:
            yield from type_problems(each)
