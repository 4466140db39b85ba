"""Tables and columns as the event store sees them: the one place where types are decided.

A source adapter maps each native type to the Arrow type that its values are stored as.
Two rules make a load and a capture of the same row equal byte for byte:

1. A type whose every value fits an Arrow type that Delta can hold is stored as that type.
2. Anything else is stored as the source's canonical text (`arrow == string`).

Some types fit for ordinary values and not for a few odd ones (`infinity` in a timestamp,
`NaN` in a decimal, years before 1). Their column is typed, the odd value is null there,
and its canonical text stands in the row's `_overflow` object under the column's name.
Nothing is coerced and nothing is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import pyarrow as pa


@dataclass(frozen=True, order=True, slots=True)
class TableId:
    """A table of a source: names exactly as the source spells them."""

    source: str
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.source}.{self.schema}.{self.name}"

    @property
    def folder(self) -> str:
        """A relative path, one folder per source: no name can leave it or collide with another.

        Everything but letters, digits, `_` and `-` is percent-encoded, the dot included, so
        that `a.b` in schema `c` and `b` in schema `c.a` stay apart.
        """
        parts = (_encoded(self.source), f"{_encoded(self.schema)}.{_encoded(self.name)}")
        return "/".join(parts)


def _encoded(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its native type by name, and the Arrow type it is stored as.

    `ordinal` is the source's own stable column number where it has one (PostgreSQL attnum):
    a renamed column keeps it, a dropped and re-added one does not.
    """

    name: str
    source_type: str
    arrow: pa.DataType
    nullable: bool = True
    ordinal: int | None = None


@dataclass(frozen=True, slots=True)
class TableSchema:
    """Columns in the source's order, and the columns that identify a row.

    An empty `key` means that rows have no identity but their content: the table is a
    multiset. `append_only` states that the source never updates or deletes its rows.
    `not_replicated` names columns that the source has and its change stream lacks.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    append_only: bool = False
    not_replicated: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = set(self.key) - {column.name for column in self.columns}
        if missing:
            raise ValueError(f"key columns {sorted(missing)} are not columns of the table")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Raises KeyError if there is no such column."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def arrow_schema(self) -> pa.Schema:
        """The row's columns alone, nullable throughout, the native type in the field metadata.

        Nullable always: deletes carry keys only, and a column dropped at the source goes on
        existing here.
        """
        return pa.schema([field_of(column) for column in self.columns])


SOURCE_TYPE = b"source_type"
ORDINAL = b"ordinal"


def field_of(column: Column) -> pa.Field:
    """The stored field of a column."""
    metadata = {SOURCE_TYPE: column.source_type.encode()}
    if column.ordinal is not None:
        metadata[ORDINAL] = str(column.ordinal).encode()
    return pa.field(column.name, column.arrow, nullable=True, metadata=metadata)


def column_of(field: pa.Field) -> Column:
    """The inverse of `field_of`, for a log opened without its source."""
    metadata = field.metadata or {}
    ordinal = metadata.get(ORDINAL)
    return Column(
        name=field.name,
        source_type=metadata.get(SOURCE_TYPE, str(field.type).encode()).decode(),
        arrow=field.type,
        ordinal=int(ordinal) if ordinal is not None else None,
    )
