"""What a target database says of itself: its marker, the shadow's plan, loaded chunks, the copy.

Six small tables in a place of their own (a schema, a database, a file). Each record is written in
the transaction that does what it tells of. Of rows they hold numbers and checksums, never a value.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import LONGTEXT

from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId
from replication_assets.errors import GuardError
from replication_assets.ports.environment import Marker, PublishedCopy, PublishedTable

PLACE = "replication_assets"
"""Name of the schema or database of the records."""


@dataclass(frozen=True, slots=True)
class Made:
    """Objects that a copy or shadow consists of, as `(schema, name)` in the target: what may be dropped
    or replaced without asking, because this adapter made it. `places` are schemas or databases."""

    places: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    types: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Made:
        """The inverse of `to_json`."""
        found = json.loads(text)
        pairs = {name: tuple((each[0], each[1]) for each in found[name]) for name in ("tables", "types")}
        return cls(tuple(found["places"]), pairs["tables"], pairs["types"])


@cache
def _record_tables(place: str | None) -> sa.MetaData:
    """Made once: SQLAlchemy compiles each statement about them once, too."""
    metadata = sa.MetaData(schema=place)
    only = ("one", sa.SmallInteger)
    text, number = sa.String(255), sa.BigInteger
    # MySQL's TEXT ends at 64 KiB: a copy of some hundred tables has a longer record.
    long_text = sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")
    marker = (only, ("environment", text), ("trust", text), ("public_key", text))
    _add(metadata, "environment", *marker, ("key_id", text), ("made_at", text))
    _add(metadata, "shadow", only, ("plan_id", text), ("made", long_text))
    chunk = (("plan_id", sa.String(64)), ("table_name", sa.String(400)), ("role", sa.String(16)))
    _add(metadata, "loaded_chunk", *chunk, ("chunk", sa.String(200)), ("row_count", number), keys=4)
    _add(metadata, "published", only, ("copy", long_text), ("made", long_text))
    _add(metadata, "reader", ("name", text))
    _add(metadata, "holder", only, ("holder", long_text))
    return metadata


def _add(metadata: sa.MetaData, name: str, *columns: tuple[str, Any], keys: int = 1) -> None:
    made = [
        sa.Column(each, kind, primary_key=at < keys, autoincrement=False, nullable=False)
        for at, (each, kind) in enumerate(columns)
    ]
    sa.Table(name, metadata, *made)


class Records:
    """The record tables over one connection, whose transactions are the caller's."""

    def __init__(self, connection: sa.Connection, place: str | None = PLACE) -> None:
        self._connection = connection
        self.metadata = _record_tables(place)
        tables = {table.name: table for table in self.metadata.tables.values()}
        self._marker, self._shadow = tables["environment"], tables["shadow"]
        self._chunks, self._published = tables["loaded_chunk"], tables["published"]
        self._reader, self._holder = tables["reader"], tables["holder"]

    def make(self) -> None:
        """The tables where they are missing; their schema, database or file is there already."""
        self.metadata.create_all(self._connection)

    def exist(self) -> bool:
        """Whether the marker's table is there."""
        return sa.inspect(self._connection).has_table("environment", schema=self.metadata.schema)

    def marker(self) -> Marker | None:
        if not self.exist():
            return None
        row = self._only(self._marker)
        if row is None:
            return None
        return Marker(
            row.environment, row.trust, row.public_key, row.key_id, dt.datetime.fromisoformat(row.made_at)
        )

    def write_marker(self, marker: Marker) -> None:
        values = {**asdict(marker), "made_at": marker.made_at.isoformat()}
        self._replace(self._marker, values)

    def shadow(self) -> tuple[str, Made] | None:
        """The plan that the shadow is of, and what was made for it."""
        row = self._only(self._shadow)
        return (row.plan_id, Made.from_json(row.made)) if row is not None else None

    def write_shadow(self, plan_id: str, made: Made) -> None:
        self._replace(self._shadow, {"plan_id": plan_id, "made": made.to_json()})

    def forget_shadow(self) -> None:
        """Its plan and its chunks."""
        self._connection.execute(sa.delete(self._shadow))
        self._connection.execute(sa.delete(self._chunks))

    def chunks(self, plan_id: str) -> Mapping[tuple[str, str, str], int]:
        """Rows by (table, role, chunk)."""
        each = self._chunks.c
        rows = self._connection.execute(sa.select(self._chunks).where(each.plan_id == plan_id))
        return {(row.table_name, row.role, row.chunk): int(row.row_count) for row in rows}

    def chunk(self, plan_id: str, table: TableId, role: str, chunk: str) -> int | None:
        """Rows of one chunk, None if it is not loaded."""
        each = self._chunks.c
        found = self._connection.execute(
            sa.select(each.row_count).where(
                each.plan_id == plan_id,
                each.table_name == str(table),
                each.role == role,
                each.chunk == chunk,
            )
        ).scalar()
        return None if found is None else int(found)

    def add_chunk(self, plan_id: str, table: TableId, role: str, chunk: str, rows: int) -> None:
        values = {
            "plan_id": plan_id,
            "table_name": str(table),
            "role": role,
            "chunk": chunk,
            "row_count": rows,
        }
        self._connection.execute(sa.insert(self._chunks).values(values))

    def published(self) -> tuple[PublishedCopy, Made] | None:
        """What readers see, and what it consists of."""
        row = self._only(self._published)
        return (copy_from_json(row.copy), Made.from_json(row.made)) if row is not None else None

    def write_published(self, copy: PublishedCopy, made: Made) -> None:
        self._replace(self._published, {"copy": copy_to_json(copy), "made": made.to_json()})

    def forget_published(self) -> None:
        self._connection.execute(sa.delete(self._published))

    def readers(self) -> tuple[str, ...]:
        return tuple(
            self._connection.execute(sa.select(self._reader.c.name).order_by(self._reader.c.name)).scalars()
        )

    def write_readers(self, readers: Iterable[str]) -> None:
        self._connection.execute(sa.delete(self._reader))
        for name in sorted(set(readers)):
            self._connection.execute(sa.insert(self._reader).values(name=name))

    def holder(self) -> str | None:
        """Who noted itself last; whether it still holds the lock is not told here."""
        row = self._only(self._holder)
        return str(row.holder) if row is not None else None

    def write_holder(self, holder: str) -> None:
        self._replace(self._holder, {"holder": holder})

    def _only(self, table: sa.Table) -> Any:
        rows = self._connection.execute(sa.select(table)).all()
        if len(rows) > 1:
            raise GuardError(
                f"the record {table.name!r} is there {len(rows)} times",
                fix="find out who wrote it; drop the records and mark the environment again",
            )
        return rows[0] if rows else None

    def _replace(self, table: sa.Table, values: Mapping[str, object]) -> None:
        self._connection.execute(sa.delete(table))
        self._connection.execute(sa.insert(table).values(one=1, **values))


def copy_to_json(copy: PublishedCopy) -> str:
    return json.dumps(
        {**asdict(copy), "published_at": copy.published_at.isoformat()}, sort_keys=True, ensure_ascii=False
    )


def copy_from_json(text: str) -> PublishedCopy:
    """The inverse of `copy_to_json`."""
    found = json.loads(text)
    tables = tuple(
        PublishedTable(**{**each, "table": TableId(**each["table"]), "as_of": Position(**each["as_of"])})
        for each in found["tables"]
    )
    at = dt.datetime.fromisoformat(found["published_at"])
    return PublishedCopy(**{**found, "published_at": at, "tables": tables})
