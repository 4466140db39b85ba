"""How a user declares which rows and columns of a table a projection has, and what is wrong with it.

A declaration says nothing of the table's columns; `core.shapes` holds it against them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from replication_assets.core.declared import Declared
from replication_assets.core.expressions.evaluation import arrow_type
from replication_assets.core.expressions.parser import ExpressionError, parse_expression
from replication_assets.core.row_filters import Where, filter_problems
from replication_assets.core.schema import TableId

_TYPE = re.compile(r"([a-z]+\d*)(?:\((\d+)(?:,\s*(-?\d+))?\))?")
_VARIABLES = {"AR_H_STREAM_POSITION", "AR_H_TIMESTAMP", "AR_H_COMMIT_TIMESTAMP", "AR_H_CHANGE_SEQ"}
"""Headers that a folded row has; others speak of the change alone, which a projection has not."""
_SOME_TYPES = "string(50), int8, numeric(20, 5) ..."
_LONGEST_NAME = 128
"""Bytes: what SQL Server and Oracle take; other engines refuse what is too long for them."""


@dataclass(frozen=True, slots=True)
class Computed(Declared):
    """`Computed("full_name", "$first||' '||$last", type="string(100)")`.

    `expression` is in SQLite's language, with `$column`. `type` is one of AWS DMS: string(50), int8,
    numeric(20, 5), datetime ... A row whose result it does not hold is refused.
    """

    name: str
    expression: str
    type: str = "string"


@dataclass(frozen=True, slots=True)
class Shape(Declared):
    """Rows and columns that a projection has of one source table, and what the table is called there.

    `where`: filters, all of which must hold. `exclude` leaves columns out, `rename` gives them other
    names, `computed` adds some. Columns of the table's key can be renamed, not left out. `types` are those
    that columns have in the projection, of AWS DMS: `{"amount": "numeric(12, 2)"}`. `schema` and
    `name` are those of the table in the projection, where they are not the source's; of a table that
    becomes items, `Items.into` is.
    """

    table: str
    where: Sequence[Where] = ()
    exclude: Sequence[str] = ()
    rename: Mapping[str, str] = field(default_factory=dict, hash=False)
    computed: Sequence[Computed] = ()
    types: Mapping[str, str] = field(default_factory=dict, hash=False)
    schema: str | None = None
    name: str | None = None

    @property
    def is_of_rows(self) -> bool:
        """Whether it says more than what the table is called."""
        return bool(self.where or self.exclude or self.rename or self.computed or self.types)

    @property
    def can_refuse(self) -> bool:
        """Whether a row may have a value that the projection's columns do not hold."""
        return bool(self.computed or self.types)


def called(shapes: Iterable[Shape], table: TableId) -> TableId:
    """The name that a table has in a projection with these shapes."""
    shape = next((each for each in shapes if each.table == str(table)), None)
    if shape is None:
        return table
    schema = table.schema if shape.schema is None else shape.schema
    return TableId(table.source, schema, table.name if shape.name is None else shape.name)


def given_names(
    shapes: Iterable[Shape], tables: Iterable[TableId]
) -> dict[TableId, tuple[str | None, str | None]]:
    """Schema and name, as they are given, of the tables that have a shape."""
    known = {shape.table: (shape.schema, shape.name) for shape in shapes}
    return {table: known[str(table)] for table in tables if str(table) in known}


def shape_problems(shape: Shape) -> Iterator[str]:
    """What is wrong whatever the columns are, each with its fix."""
    if not shape.is_of_rows and shape.schema is None and shape.name is None:
        yield "says nothing. Fix: give where, exclude, rename, computed, types, schema or name"
    for field_name, text in (("schema", shape.schema), ("name", shape.name)):
        if text is not None and not 1 <= len(text.encode()) <= _LONGEST_NAME:
            yield f"{field_name} is no name. Fix: 1 to {_LONGEST_NAME} bytes"
    for where in shape.where:
        yield from filter_problems(where)
    for name in sorted(set(shape.exclude) & set(shape.rename)):
        yield f"column {name!r} is both left out and renamed. Fix: one of them"
    for name in sorted(set(shape.exclude) & set(shape.types)):
        yield f"column {name!r} is both left out and of another type. Fix: one of them"
    for name, text in shape.types.items():
        if not _is_type(text):
            yield f"types {name!r}: {text[:40]!r} is not known. Fix: {_SOME_TYPES}"
    names = [each.name for each in shape.computed]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"column {name!r} is computed twice. Fix: a name each"
    for each in shape.computed:
        yield from _computed_problems(each)


def _computed_problems(computed: Computed) -> Iterator[str]:
    label = f"computed {computed.name!r}"
    try:
        expression = parse_expression(computed.expression)
    except ExpressionError as error:
        yield f"{label}: {error.what}, at character {error.at + 1}. Fix: {error.fix}"
        return
    if expression.unstable is not None:
        yield f"{label}: {expression.unstable} gives another value each time. Fix: $AR_H_TIMESTAMP"
    if expression.reads_before or "operation_indicator" in expression.functions:
        yield f"{label}: a projection has rows, not changes. Fix: query the event store for former values"
    for name in sorted(set(expression.variables) - _VARIABLES):
        yield f"{label}: ${name} is not of a row. Fix: one of {', '.join(sorted(_VARIABLES))}"
    if not _is_type(computed.type):
        yield f"{label}: type {computed.type[:40]!r} is not known. Fix: {_SOME_TYPES}"


def _is_type(text: str) -> bool:
    try:
        type_of(text)
    except ValueError:
        return False
    return True


def type_of(text: str) -> tuple[str, int | None, int | None, int | None]:
    """Kind, length, precision and scale. Raises ValueError."""
    found = _TYPE.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(text)
    kind, first, second = found.groups()
    figure = int(first) if first else None
    if kind == "numeric":
        scale = int(second) if second else (0 if first else None)
        arrow_type(kind, figure, scale)
        return kind, None, figure, scale
    arrow_type(kind)
    return kind, figure, None, None
