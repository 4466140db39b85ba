"""Rows to items: a declaration compiled against a table's columns, and applied to batches."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import COMMIT_POSITION, EPOCH, POSITION, SEQUENCE
from replication_assets.core.items.fragments import Fragment, joined, members_size, object_pieces
from replication_assets.core.items.guards import Guard
from replication_assets.core.items.nodes import Node, attribute_nodes, columns_of
from replication_assets.core.items.refusals import explained
from replication_assets.core.items.rows import Refused, Rows
from replication_assets.core.items.rules import own_columns, schema_problems, spec_problems
from replication_assets.core.items.spec import ItemKey, Items
from replication_assets.core.items.templates import Template
from replication_assets.core.items.texts import Text
from replication_assets.core.items.values import value_of
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.schema import TableSchema
from replication_assets.errors import CatalogError

PARTITION_KEY_BYTES = 2048
SORT_KEY_BYTES = 1024
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""

_POSITIONS = [
    pa.field(EPOCH, pa.int32()),
    pa.field(COMMIT_POSITION, pa.int64()),
    pa.field(SEQUENCE, pa.int64()),
]
KEYS = pa.schema([pa.field("row", pa.int64()), pa.field("key", Text), *_POSITIONS])
ITEMS = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("key", Text),
        pa.field("item", Text),
        pa.field("size", pa.int64()),
        *_POSITIONS,
    ]
)


@dataclass(frozen=True, slots=True)
class Converted:
    """Items of the rows that have one, in the order of the rows, and what was refused.

    `items` has the columns of `ITEMS`: `row` counts the rows that were given, from 0. `key` and
    `item` are JSON objects of DynamoDB's typed values in one spelling (see `canonical`), so that
    equal keys and equal items are equal texts; `item` holds the key attributes too, and none of
    the registers. `size` is the item's bytes by DynamoDB's rules, without registers; a number
    may count a few bytes too many, never too few.

    A refusal without a column is of a row that has no item. One with a column is of a value that
    its item lacks.
    """

    items: pa.Table
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class ConvertedKeys:
    """`keys` has the columns of `KEYS`; rows without a key are refused."""

    keys: pa.Table
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class ConditionValues:
    """`values`: members of a JSON object without its braces, null for rows that are refused."""

    values: pa.Array
    refusals: tuple[Refusal, ...]


class ItemMapping:
    """Items of one source table's rows.

    `key_columns` are the columns that an item's key is made of. `follows_key` says that they
    are all in the table's key, so that an update never moves an item and a delete, which
    carries the key alone, finds it. `covers_key` says that each row has an item of its own; where
    it does not hold, rows of the same item key are one item, of which the newest stays.
    """

    def __init__(self, items: Items, schema: TableSchema) -> None:
        """Raises CatalogError with everything in which the declaration does not fit the columns."""
        problems = list(spec_problems(items)) or list(schema_problems(items, schema))
        if problems:
            raise CatalogError(problems, where=f"items of {items.table} in {items.into}")
        self.items = items
        self.schema = schema
        self._keys = [(key, Template.parse(key.template)) for key in items.keys]
        self._nodes: dict[str, Node] = attribute_nodes(items, schema, own_columns(items, schema))
        self.guard = Guard(items.condition, items, schema) if items.condition is not None else None
        self.key_columns = tuple(dict.fromkeys(c for _, template in self._keys for c in template.columns))
        self.follows_key = bool(schema.key) and set(self.key_columns) <= set(schema.key)
        self.covers_key = bool(schema.key) and set(schema.key) <= set(self.key_columns)

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the key attributes, the partition key first."""
        return tuple(key.name for key in self.items.keys)

    def attributes_of(self, column: str) -> frozenset[str]:
        """Attributes, keys included, that a column has a part in."""
        found = {key.name for key, template in self._keys if column in template.columns}
        found |= {each.name for each in self.items.attributes if column in columns_of(each)}
        if self.items.ttl is not None and self.items.ttl.column == column:
            found.add(self.items.ttl.name)
        if column in own_columns(self.items, self.schema):
            found.add(self.items.document_name if self.items.columns == "document" else column)
        return frozenset(found)

    def convert(self, rows: pa.RecordBatch | pa.Table) -> Converted:
        """Items of rows of `core.fold.row_schema`; further columns are not looked at."""
        converted = [self._convert(batch, start) for batch, start in _batches(rows)]
        tables = [each.items for each in converted]
        refusals = tuple(refusal for each in converted for refusal in each.refusals)
        return Converted(pa.concat_tables(tables) if tables else ITEMS.empty_table(), refusals)

    def keys(self, rows: pa.RecordBatch | pa.Table) -> ConvertedKeys:
        """Keys alone, of rows in which `key_columns` and the position count."""
        converted = []
        for batch, start in _batches(rows):
            seen = Rows(batch)
            key, lost = self._converted_keys(seen)
            text = joined(["{", *object_pieces(key), "}"], rows=len(seen), absent="")
            kept = np.flatnonzero(~_mask(lost, len(seen)))
            table = _table(KEYS, batch, kept, start, {"key": text})
            converted.append(ConvertedKeys(table, self._refusals(batch, lost)))
        tables = [each.keys for each in converted]
        refusals = tuple(refusal for each in converted for refusal in each.refusals)
        return ConvertedKeys(pa.concat_tables(tables) if tables else KEYS.empty_table(), refusals)

    def condition_values(self, rows: pa.RecordBatch | pa.Table) -> ConditionValues:
        """What the placeholders of the declared condition stand for, in each row."""
        assert self.guard is not None
        texts, refusals = [], list[Refusal]()
        for batch, _ in _batches(rows):
            text, lost = self.guard.values(Rows(batch))
            texts.append(pc.if_else(pa.array(_mask(lost, len(text))), pa.scalar(None, Text), text))
            refusals += self._refusals(batch, lost)
        return ConditionValues(pa.concat_arrays(texts) if texts else pa.array([], Text), tuple(refusals))

    def _convert(self, batch: pa.RecordBatch, start: int) -> Converted:
        rows = Rows(batch)
        key, lost = self._converted_keys(rows)
        members = key + [(name, node.convert(rows, name, 0)) for name, node in self._nodes.items()]
        texts = {
            "key": joined(["{", *object_pieces(key), "}"], rows=len(rows), absent=""),
            "item": joined(["{", *object_pieces(members), "}"], rows=len(rows), absent=""),
            "size": pa.array(members_size(members, overhead=0)),
        }
        without_item = _mask(lost, len(rows))
        kept = np.flatnonzero(~without_item)
        refused = lost + [each for each in rows.refused if not without_item[each.row]]
        return Converted(_table(ITEMS, batch, kept, start, texts), self._refusals(batch, refused))

    def _converted_keys(self, rows: Rows) -> tuple[list[tuple[str, Fragment]], list[Refused]]:
        """Values of the key attributes; those of the rows that are returned as refused mean
        nothing."""
        limits = (PARTITION_KEY_BYTES, SORT_KEY_BYTES)
        members: list[tuple[str, Fragment]] = []
        lost: dict[int, Refused] = {}
        for (key, template), limit in zip(self._keys, limits, strict=False):
            value, refused = _key_value(rows, key, template, limit)
            for each in refused:
                lost.setdefault(each.row, each)
            # Whole for every row: rows without are left out of what is returned.
            members.append((key.name, Fragment(value.pieces, value.size)))
        return members, [lost[row] for row in sorted(lost)]

    def _refusals(self, batch: pa.RecordBatch, refused: list[Refused]) -> tuple[Refusal, ...]:
        if not refused:
            return ()
        identity = self.schema.key or self.key_columns
        concerned = batch.take(pa.array([each.row for each in refused], pa.int64()))
        seen = Rows(concerned)
        texts = {column: seen.shown(column).to_pylist() for column in identity}
        positions = [concerned.column(name).to_pylist() for name in POSITION]
        return tuple(
            Refusal(
                json.dumps({c: texts[c][at] for c in identity}, ensure_ascii=False, separators=(",", ":")),
                Position(*(column[at] for column in positions)),
                None if each.reason.startswith(("key-", "condition-")) else each.column,
                each.reason,
                explained(each.reason, each.attribute, each.column, each.detail),
            )
            for at, each in enumerate(refused)
        )


def _key_value(rows: Rows, key: ItemKey, template: Template, limit: int) -> tuple[Fragment, list[Refused]]:
    before = len(rows.refused)
    value = value_of(rows, template, key.type, key.name, nan="dead-letter", depth=0)
    refused = rows.refused_since(before, "key")
    column = ", ".join(template.columns)
    for reason, where in (
        ("key-is-null", rows.missing(template)),
        ("key-is-empty", rows.empty(template)),
        ("key-too-long", value.size > limit),
    ):
        refused += [Refused(row, column, key.name, reason) for row in np.flatnonzero(where).tolist()]
    return value, refused


def _mask(refused: list[Refused], rows: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(rows, dtype=bool)
    mask[[each.row for each in refused]] = True
    return mask


def _batches(rows: pa.RecordBatch | pa.Table) -> list[tuple[pa.RecordBatch, int]]:
    """Batches, each with the number of its first row."""
    batches = [rows] if isinstance(rows, pa.RecordBatch) else rows.to_batches()
    starts = np.cumsum([0, *(batch.num_rows for batch in batches)]).tolist()
    return [(batch, start) for batch, start in zip(batches, starts, strict=False) if batch.num_rows]


def _table(
    schema: pa.Schema,
    batch: pa.RecordBatch,
    kept: npt.NDArray[np.int64],
    start: int,
    columns: dict[str, pa.Array],
) -> pa.Table:
    arrays = columns | {name: batch.column(name) for name in POSITION}
    if len(kept) < batch.num_rows:
        arrays = {name: pc.take(array, pa.array(kept)) for name, array in arrays.items()}
    arrays["row"] = pa.array(kept + start, pa.int64())
    return pa.table([arrays[name] for name in schema.names], schema=schema)
