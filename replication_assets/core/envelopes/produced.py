"""Events of one table as messages of a topic: what every envelope shares.

| event | DMS | Debezium |
|---|---|---|
| row of a load | `load` | `r` |
| `I` | `insert` | `c` |
| `U` | `update` | `u` |
| `U` that came from another key (`D` of that key stands at the same position) | `update` | `c` |
| `D` | `delete` | `d`, and a tombstone where wanted |
| `T` | control record `truncate-table` | `t` |
| `S` that adds or drops columns | control records `add-column`, `drop-column` | nothing: seen in the rows |

Nulls are told as null, and a delete has the columns that the event has: the key alone, or the whole row.
Nothing is left out and nothing is rounded.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.envelopes.json_columns import json_texts
from replication_assets.core.envelopes.layout import Layout, MessageFormat, Texts, text
from replication_assets.core.envelopes.mapped import Mapped
from replication_assets.core.envelopes.messages import Envelope
from replication_assets.core.envelopes.specs import DmsEnvelope, Messages, PartitionKey
from replication_assets.core.events import BEFORE, COMMIT_POSITION, EPOCH, OP, SEQUENCE
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema

MOVED = "~moved"
"""Column of the events: the row came here from another key, whose `D` stands at the same position."""

_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"


@dataclass(frozen=True, slots=True)
class MessageForm:
    """How the messages of one table look. `include_table` puts schema and table into each key: the topic
    has several tables. `tombstones` follow Debezium's deletes; `with_schema` puts Kafka Connect's schema
    beside each of its payloads. `dms` and `messages` are of DMS's envelope alone."""

    envelope: Envelope
    format: MessageFormat = "json-unformatted"
    partition_key: PartitionKey = "primary-key"
    include_table: bool = False
    before_images: bool = False
    tombstones: bool = True
    with_schema: bool = False
    dms: DmsEnvelope = DmsEnvelope()
    messages: Messages | None = None


@dataclass(frozen=True, slots=True)
class Produced:
    """One message. Without a value it is the tombstone of the delete before it, and bears its number.
    `row` is the number of its event in the batch, -1 for a control record."""

    key: bytes
    value: bytes | None
    position: Position
    row: int


@dataclass(frozen=True, slots=True)
class Told:
    """The table that messages speak of, and who writes them. Nobody knows the old values of columns that a
    shape makes `anew`. Raises CatalogError where the form does not fit the columns."""

    table: TableId
    schema: TableSchema
    form: MessageForm
    writer: str
    anew: frozenset[str] = frozenset()
    mapped: Mapped = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        messages = self.form.messages or Messages(str(self.table))
        object.__setattr__(self, "mapped", Mapped(messages, self.schema))

    @property
    def schema_name(self) -> str:
        """What messages call the schema."""
        return self.mapped.messages.schema_name or self.table.schema

    @property
    def table_name(self) -> str:
        """What messages call the table."""
        return self.mapped.messages.table_name or self.table.name

    @property
    def table_key(self) -> bytes:
        """The key of what speaks of the whole table."""
        return f"{self.schema_name}.{self.table_name}".encode()


def mapped(ops: pa.ChunkedArray, words: Mapping[str, str]) -> Texts:
    """The word of each operation, in quotes."""
    found = pc.index_in(ops.combine_chunks(), pa.array(list(words)))
    return pa.array([f'"{word}"' for word in words.values()]).take(found)


def position_texts(rows: pa.Table) -> Texts:
    """`Position` of each event, in quotes."""
    places = zip(*(rows[name].to_pylist() for name in (EPOCH, COMMIT_POSITION, SEQUENCE)), strict=True)
    return pa.array([f'"{epoch:08x}-{commit:016x}-{number:016x}"' for epoch, commit, number in places])


def milliseconds(time: str) -> int:
    """A time in ISO 8601 as milliseconds since 1970."""
    return int(dt.datetime.fromisoformat(time).timestamp() * 1000)


def told_columns(layout: Layout, rows: pa.Table, values: Sequence[Texts], schema: TableSchema) -> list[Texts]:
    """Members of each row: of a delete those that its event has, of others all, null or not."""
    deleted = pc.equal(rows[OP], "D").combine_chunks()
    members = []
    for column, each in zip(schema.columns, values, strict=True):
        given = pc.coalesce(each, "null")
        if column.name not in schema.key:
            given = pc.if_else(pc.and_(deleted, each.is_null()), pa.scalar(None, pa.string()), given)
        members.append(layout.member(column.name, given))
    return members


def key_texts(told: Told, values: Sequence[Texts]) -> list[bytes]:
    """The key of each row's message. Of DMS the text of one column, of several a JSON list; Debezium's is
    always an object. No two keys of a topic are spelled alike, unless a key is declared or has no table."""
    declared = told.mapped.keys(values, told.table_key)
    if declared is not None:
        return declared
    if told.form.partition_key == "schema-table":
        return [told.table_key] * len(values[0])
    by_name = dict(zip(told.schema.names, values, strict=True))
    parts = [by_name[name] for name in told.schema.key]
    if told.form.envelope == "debezium":
        layout = Layout("json-unformatted")
        members = [layout.member(name, part) for name, part in zip(told.schema.key, parts, strict=True)]
        if told.form.include_table:
            table = pa.repeat(text(told.table_key.decode()), len(parts[0]))
            members.append(layout.member("__dbz__physicalTableIdentifier", table))
        return [each.encode() for each in layout.object(members, 0).to_pylist()]
    if len(parts) == 1:
        found = [json.loads(each) if each[0] == '"' else each for each in parts[0].to_pylist()]
    else:
        listed = pc.binary_join_element_wise(*parts, ",")
        found = pc.binary_join_element_wise("[", listed, "]", "").to_pylist()
    prefix = f"{told.table_key.decode()}." if told.form.include_table else ""
    return [f"{prefix}{each}".encode() for each in found]


def old_values(rows: pa.Table, schema: TableSchema) -> dict[int, dict[str, str]]:
    """By row, JSON of the old values that differ: of updates whose source told them, and which kept their
    key. They are the source's texts: numbers and booleans bare, everything else as text."""
    texts = rows[BEFORE].combine_chunks()
    updated = pc.and_(pc.equal(rows[OP], "U").combine_chunks(), pc.invert(rows[MOVED].combine_chunks()))
    wanted = pc.and_(updated, texts.is_valid()).to_pylist()
    columns = {column.name: column for column in schema.columns}
    found = {}
    for row, is_wanted in enumerate(wanted):
        if is_wanted:
            was = json.loads(texts[row].as_py())
            found[row] = {n: _old_value(columns[n], v) for n, v in was.items() if n in columns}
    return found


def _old_value(column: Column, value: str | None) -> str:
    if value is None:
        return "null"
    kind = column.arrow
    if pa.types.is_boolean(kind) and value in ("t", "f", "true", "false"):
        return "true" if value[0] == "t" else "false"
    number = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_floating(kind)
    if number and pc.match_substring_regex(pa.scalar(value), _NUMBER).as_py():
        return value
    (spelled,) = json_texts(pa.array([value])).to_pylist()
    return str(spelled)
