"""What the triggers of a table write: the columns of its row images, kept beside the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from replication_assets.core.schema import TableSchema
from replication_assets.sources.postgres.triggers.sql import LogNames
from replication_assets.sources.postgres.types import Attribute, resolve_columns

Session = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class RowShape:
    """Columns of a row image in their order. `computed` are in the image and not replicated; `key` is
    what identified a row then. `relation` is the table's oid, `name` what it was called."""

    number: int
    relation: int
    name: tuple[str, str]
    attributes: tuple[Attribute, ...]
    computed: tuple[str, ...]
    key: tuple[str, ...]
    append_only: bool
    places: int
    """How many columns the table ever had: one that came and went leaves its number behind."""
    leaves: tuple[tuple[int, str], ...] | None = None
    """Of a partitioned table: oids and names of its leaf partitions. Their images are those of the table."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.attributes)

    def body(self) -> str:
        """Everything but the number, the oid and the name, as JSON."""
        return json.dumps(
            {
                "attributes": [
                    [each.name, each.type_oid, each.typmod, each.ordinal, each.nullable]
                    for each in self.attributes
                ],
                "computed": list(self.computed),
                "key": list(self.key),
                "append_only": self.append_only,
                "places": self.places,
                "leaves": None if self.leaves is None else [list(each) for each in self.leaves],
            }
        )

    def schema(self, session: Session, not_replicated: tuple[str, ...] = ()) -> TableSchema:
        """The columns that are replicated, as the store holds them."""
        kept = [each for each in self.attributes if each.name not in self.computed]
        return TableSchema(resolve_columns(session, kept), self.key, self.append_only, not_replicated)

    def same_columns(self, other: RowShape) -> bool:
        """Whether an image of the one is an image of the other. Being nullable makes no difference."""

        same = self.image() == other.image() and self.computed == other.computed
        return same and self.places == other.places

    def image(self) -> list[tuple[object, ...]]:
        """Fields of an image: name, type and number of each."""
        return [(each.name, each.type_oid, each.typmod, each.ordinal) for each in self.attributes]


def shape_now(session: Session, relation: int, name: tuple[str, str], schema: TableSchema) -> RowShape:
    """The table's shape as it is, not numbered yet."""
    rows = session.execute(
        "SELECT attname, atttypid::int8, atttypmod, attnum, NOT attnotnull, attgenerated <> ''"
        " FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        (relation,),
    ).fetchall()
    places = session.execute(
        "SELECT relnatts, relkind::text FROM pg_catalog.pg_class WHERE oid = %s", (relation,)
    ).fetchone()
    attributes = tuple(Attribute(*row[:5]) for row in rows)
    computed = tuple(row[0] for row in rows if row[5])
    return RowShape(
        0,
        relation,
        name,
        attributes,
        computed,
        schema.key,
        schema.append_only,
        places[0] if places is not None else 0,
        leaf_partitions(session, relation) if places is not None and places[1] == "p" else None,
    )


def leaf_partitions(session: Session, relation: int) -> tuple[tuple[int, str], ...]:
    """Oids and quoted names."""
    rows = session.execute(
        "SELECT c.oid::int8, format('%%I.%%I', n.nspname, c.relname)"
        " FROM pg_catalog.pg_partition_tree(%s::oid) AS tree"
        " JOIN pg_catalog.pg_class c ON c.oid = tree.relid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE tree.isleaf AND c.relkind <> 'p' ORDER BY 1",
        (relation,),
    ).fetchall()
    return tuple((oid, name) for oid, name in rows)


def unlike_partitions(session: Session, relation: int) -> tuple[str, ...]:
    """Leaf partitions whose rows are not printed as those of the table: with columns in another order,
    as an attached table may have. And those that are no logged tables."""
    image = (
        "(SELECT array_agg((attname, atttypid, atttypmod)::text ORDER BY attnum) FROM pg_catalog.pg_attribute"
        " WHERE attrelid = {} AND attnum > 0 AND NOT attisdropped)"
    )
    rows = session.execute(
        "SELECT format('%%I.%%I', n.nspname, c.relname)"
        " FROM pg_catalog.pg_partition_tree(%(oid)s::oid) AS tree"
        " JOIN pg_catalog.pg_class c ON c.oid = tree.relid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE tree.isleaf AND c.relkind <> 'p' AND (c.relkind <> 'r' OR c.relpersistence <> 'p'"
        f" OR {image.format('c.oid')} IS DISTINCT FROM {image.format('%(oid)s::oid')}) ORDER BY 1".encode(),
        {"oid": relation},
    ).fetchall()
    return tuple(name for (name,) in rows)


def read_shapes(session: Session, names: LogNames, *, live: bool = False) -> dict[int, RowShape]:
    """All shapes by number, or those that triggers write now."""
    condition = "WHERE live" if live else ""
    rows = session.execute(
        f"SELECT shape, relation::int8, name, body FROM {names.shapes} {condition}".encode()
    ).fetchall()
    return {number: _from_body(number, relation, name, body) for number, relation, name, body in rows}


def _from_body(number: int, relation: int, name: str, body: str) -> RowShape:
    raw = json.loads(body)
    schema_name, table_name = json.loads(name)
    return RowShape(
        number,
        relation,
        (schema_name, table_name),
        tuple(Attribute(*each) for each in raw["attributes"]),
        tuple(raw["computed"]),
        tuple(raw["key"]),
        raw["append_only"],
        raw["places"],
        None if raw.get("leaves") is None else tuple((oid, leaf) for oid, leaf in raw["leaves"]),
    )


def grown_from(before: RowShape, now: RowShape) -> bool:
    """Whether columns only came, at the end: an image of any width between is then known for what it is."""
    old, new = before.image(), now.image()
    came = [each.ordinal for each in now.attributes[len(old) :]]
    return new[: len(old)] == old and came == list(range(before.places + 1, now.places + 1))


def shrunk_by_one(before: RowShape, now: RowShape) -> bool:
    """Whether one column went and nothing else happened."""
    old, new = before.image(), now.image()
    return (
        before.places == now.places
        and len(old) == len(new) + 1
        and [each for each in old if each in new] == new
    )


def name_text(name: Sequence[str]) -> str:
    return json.dumps(list(name))
