"""What a projected table consists of: the source's columns, and the books that are kept with each row.

The books stand in the row itself, so that a row, its position and the checkpoint of its range change
in one transaction: `_epoch`, `_commit_position`, `_sequence`, `_committed_at` and `_overflow` as in
`core.fold.row_schema`, `_id_range`, and `_as_text`: a JSON object of values that the engine's own type
cannot hold (`core` knows nothing of them; see values.py). A table without key has a number of its own
for each row, `_row_id`, and `_content`, by which equal rows are found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from replication_assets.core.events import ID_RANGE, POSITION
from replication_assets.core.fold import row_schema
from replication_assets.core.schema import TableId, TableSchema
from replication_assets.errors import ReplicationError, TargetError

AS_TEXT = "_as_text"
CONTENT = "_content"
ROW_ID = "_row_id"
TABLES = "_replication_assets_tables"
RANGES = "_replication_assets_ranges"
OURS = frozenset({ID_RANGE, AS_TEXT, CONTENT, ROW_ID})
CONTENT_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table stands: a schema of PostgreSQL, a database of MySQL, a file of SQLite."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


Named: TypeAlias = Mapping[TableId, tuple[str | None, str | None]]
"""Schema and name that tables are given in the target; None for what is as anybody else's."""


def standing(table: TableId, into: str | None, named: Named) -> Place:
    """In the schema that it is given, else in `into`, else in the source's."""
    schema, name = named.get(table, (None, None))
    elsewhere = into if into is not None else table.schema
    return Place(elsewhere if schema is None else schema, table.name if name is None else name)


@dataclass(frozen=True, slots=True)
class Layout:
    """A table as it is written now. The table itself may have more columns: dropped ones stay."""

    place: Place
    schema: TableSchema

    @property
    def key(self) -> tuple[str, ...]:
        return self.schema.key

    @property
    def rows(self) -> pa.Schema:
        """Columns as they are given, and read: `core.fold.row_schema` and the books."""
        books = [pa.field(ID_RANGE, pa.string()), pa.field(AS_TEXT, pa.string())]
        if not self.key:
            books.append(pa.field(CONTENT, pa.string()))
        return pa.schema([*row_schema(self.schema), *books])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.rows.names)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the target says of one of its tables: which source table it is of (`origin`), stored types by
    column, the key, what of the source's structure it carries (`structure` is its fingerprint) and what
    not."""

    origin: str
    columns: dict[str, str]
    key: tuple[str, ...]
    content: tuple[str, ...] = ()
    structure: str = ""
    not_carried: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(
            {
                "origin": self.origin,
                "columns": self.columns,
                "key": self.key,
                "content": self.content,
                "structure": self.structure,
                "not_carried": self.not_carried,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Recorded:
        found = json.loads(text)
        return cls(
            found["origin"],
            found["columns"],
            tuple(found["key"]),
            tuple(found["content"]),
            found["structure"],
            tuple(found["not_carried"]),
        )


def is_older(quoted: Callable[[str, str], str], position: Sequence[str] = POSITION) -> str:
    """A condition: the row `t` is older than `s`, by the parts of a position in their order. For engines
    that compare no rows of values; `quoted` gives a column of one of the two."""
    first, *rest = position
    mine, other = quoted("t", first), quoted("s", first)
    if not rest:
        return f"{mine} < {other}"
    return f"{mine} < {other} OR ({mine} = {other} AND ({is_older(quoted, rest)}))"


def column_types(layout: Layout) -> dict[str, str]:
    return {column.name: str(column.arrow) for column in layout.schema.columns}


def refuse_names(layout: Layout, names: Sequence[str], *, folds: bool, limit: int, where: str) -> None:
    """Raises TargetError for columns that the engine cannot tell apart, or that we need ourselves."""
    taken = sorted(name for name in layout.schema.names if name.lower() in OURS)
    if taken:
        raise TargetError(
            f"columns {taken} have names that the projection needs itself",
            where=where,
            fix="rename them in a view and replicate that",
        )
    long = sorted(name for name in (layout.place.name, *names) if len(name.encode()) > limit or not name)
    if long:
        raise TargetError(
            f"names are longer than the {limit} bytes that the engine allows: {long}",
            where=where,
            fix="rename them in a view and replicate that",
        )
    if not folds:
        return
    by_lower: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        by_lower.setdefault(name.lower(), []).append(name)
    colliding = [same for same in by_lower.values() if len(same) > 1]
    if colliding:
        raise TargetError(
            f"column names differ in case alone, which the engine refuses: {colliding}",
            where=where,
            fix="rename one of them in a view and replicate that, or choose another target",
        )


def require_same(recorded: Recorded, layout: Layout, where: str) -> None:
    """Raises TargetError for columns that changed their type, or another key."""
    now = column_types(layout)
    retyped = [
        f"{name} ({recorded.columns[name]} stored, {kind} now)"
        for name, kind in now.items()
        if recorded.columns.get(name, kind) != kind
    ]
    if recorded.key != layout.key:
        retyped.append(f"the key ({', '.join(recorded.key)} stored, {', '.join(layout.key)} now)")
    if retyped:
        raise TargetError(
            f"columns changed their type: {', '.join(retyped)}",
            where=where,
            fix="reset the projection and fill it anew (replication-assets project --reset), or project "
            "under a new name",
        )


def fix_of(error: ReplicationError) -> str:
    """What to do about an error that is told as one of a masked copy: masks mend nothing here."""
    if error.fix and "mask" not in error.fix and "rule" not in error.fix:
        return error.fix
    return "hold the table's columns and constraints against the source's, or reset the projection"
