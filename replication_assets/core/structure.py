"""The structure of a source table: what a copy of it must have besides rows.

Recorded beside the events whenever it changes, so that a refresh asks the source nothing. Types
and expressions are the source's own text; what a target makes of them is the target's matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, Literal, TypeAlias

from replication_assets.core.schema import TableId

Engine: TypeAlias = Literal["postgresql", "mysql", "mariadb", "sqlite", "sqlserver", "oracle"]
Identity: TypeAlias = Literal["always", "by default"]


ONLY_COLUMNS = ("a view", "a materialized view", "a foreign table")
"""What is loaded as a table is, and writes no changes to a log. `TableStructure.others` tells of one."""


@dataclass(frozen=True, slots=True)
class ColumnStructure:
    """A column. `type` is spelled as the source does, with length and scale; a domain is the type
    under it. `labels` are those of an enum type, whose name `type` is."""

    name: str
    type: str
    _: KW_ONLY
    nullable: bool = True
    default: str | None = None
    identity: Identity | None = None
    generated: str | None = None
    collation: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UniqueKey:
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`referred` are columns of `parent`, its primary key or another unique key."""

    name: str
    columns: tuple[str, ...]
    parent: TableId
    referred: tuple[str, ...]
    _: KW_ONLY
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    deferrable: bool = False
    initially_deferred: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index that no constraint owns. `columns` are plain columns in order; an index over
    expressions or with a condition has its `definition` only, in the source's own SQL."""

    name: str
    columns: tuple[str, ...]
    _: KW_ONLY
    unique: bool = False
    method: str = "btree"
    definition: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class OwnedSequence:
    """A sequence that a column draws from, by identity or by default."""

    name: str
    column: str
    _: KW_ONLY
    increment: int = 1


@dataclass(frozen=True, slots=True)
class TableStructure:
    """A table of a source. `others` names what else it has that is never carried (triggers, policies,
    comments ...), each as one line."""

    table: TableId
    engine: Engine
    columns: tuple[ColumnStructure, ...]
    _: KW_ONLY
    primary_key: UniqueKey | None = None
    unique_keys: tuple[UniqueKey, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    indexes: tuple[Index, ...] = ()
    checks: tuple[Check, ...] = ()
    sequences: tuple[OwnedSequence, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> ColumnStructure:
        """Raises KeyError if there is no such column."""
        return {column.name: column for column in self.columns}[name]

    @property
    def only_columns(self) -> str | None:
        """Which of `ONLY_COLUMNS` it is; None for a table, whose changes can be captured."""
        return next((what for what in ONLY_COLUMNS if f"being {what}" in self.others), None)

    @property
    def fingerprint(self) -> str:
        """BLAKE2b of all of it, 32 hex digits."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> TableStructure:
        """The inverse of `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
        found = json.loads(text)
        return cls(
            TableId(**found["table"]),
            found["engine"],
            tuple(ColumnStructure(**{**each, "labels": tuple(each["labels"])}) for each in found["columns"]),
            primary_key=_unique(found["primary_key"]) if found["primary_key"] else None,
            unique_keys=tuple(_unique(each) for each in found["unique_keys"]),
            foreign_keys=tuple(_foreign(each) for each in found["foreign_keys"]),
            indexes=tuple(Index(**{**each, "columns": tuple(each["columns"])}) for each in found["indexes"]),
            checks=tuple(Check(**each) for each in found["checks"]),
            sequences=tuple(OwnedSequence(**each) for each in found["sequences"]),
            others=tuple(found["others"]),
        )


def _unique(found: Mapping[str, Any]) -> UniqueKey:
    return UniqueKey(found["name"], tuple(found["columns"]))


def _foreign(found: Mapping[str, Any]) -> ForeignKey:
    return ForeignKey(
        **{
            **found,
            "columns": tuple(found["columns"]),
            "referred": tuple(found["referred"]),
            "parent": TableId(**found["parent"]),
        }
    )


def describe_column(column: ColumnStructure) -> str:
    """A column as its reviewer sees it: everything whose change asks for another review.

    `numeric(10,2) not null`, `order_status(placed|paid) not null default`, `text generated`. A
    default counts as being there or not: its text may change.
    """
    parts = [column.type]
    if column.labels:
        parts = [f"{column.type}({'|'.join(column.labels)})"]
    if column.collation is not None:
        parts.append(f"collate {column.collation}")
    if not column.nullable:
        parts.append("not null")
    if column.generated is not None:
        parts.append("generated")
    elif column.default is not None or column.identity is not None:
        parts.append("default")
    return " ".join(parts)
