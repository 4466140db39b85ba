"""Which dead letters of a range are over, now that the target has taken newer or the same events.

Letters are tables of `ports.dead_letters.LETTERS`. Those whose last attempt is the one at hand
(`at`) or a later one were refused in it, and stay open: another run may have been at the same
range meanwhile. An older event never ends a letter of a newer one.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from replication_assets.core.events import EPOCH, POSITION
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import Spill, engine, literal, newer, position_of, same_key


@dataclass(frozen=True, slots=True)
class Ended:
    """Letters (column `letter`) whose event stands in the target, and those with a newer one there."""

    applied: pa.Table
    superseded: pa.Table


def ended_by_rows(
    letters: pa.Table,
    schema: TableSchema,
    touched: pa.Table,
    at: dt.datetime,
    *,
    gone: bool = False,
    spill: Spill = Spill(),
) -> Ended:
    """Letters that the rows and deletes `touched` ended: key columns and positions of a table with
    a key, at most one of each key. With `gone`, keys that are not among them have no row any more.

    A row that was refused as a whole in this attempt ends no letter.
    """
    keys, readable = typed_keys(letters["key"].to_pylist(), schema, schema.key)
    plain = [f"k{index}" for index in range(len(schema.key))]
    named = pa.Table.from_arrays(
        [*letters.columns, *keys.columns, readable], [*letters.column_names, *plain, "readable"]
    )
    reached = touched.select([*schema.key, *POSITION]).rename_columns([*plain, *POSITION])
    refused = f"f.column IS NULL AND {position_of('f')} = {position_of('t')}"
    lacking = f"(t.{EPOCH} IS NULL AND {gone})"
    there = f"({position_of('t')} >= {position_of('l')} AND NOT EXISTS ({_again(at, refused)}))"
    query = (
        f"SELECT l.letter, {lacking} OR {position_of('t')} > {position_of('l')} AS superseded "
        f"FROM letters l LEFT JOIN touched t ON {same_key(plain, 'l', 't')} "
        f"WHERE l.readable AND {_before(at)} AND ({lacking} OR (t.{EPOCH} IS NOT NULL AND {there}))"
    )
    return _ended(query, spill, named, reached)


def ended_by_replacement(
    letters: pa.Table, position: Position, at: dt.datetime, *, spill: Spill = Spill()
) -> Ended:
    """Letters that are over once their range was replaced as of a position: all that were not
    refused again."""
    overtaken = f"{position_of('f')} > {position_of('l')}"
    query = (
        f"SELECT l.letter, EXISTS ({_again(at, overtaken)}) AS superseded "
        f"FROM letters l WHERE {_before(at)} AND NOT {newer(position, 'l')}"
    )
    return _ended(query, spill, letters, None)


def _attempt(at: dt.datetime) -> str:
    return f"{literal(at.isoformat())}::TIMESTAMPTZ"


def _before(at: dt.datetime) -> str:
    return f"l.last_at < {_attempt(at)}"


def _again(at: dt.datetime, condition: str) -> str:
    """SQL for letters `f` of the key of `l` that were refused in this attempt."""
    return f"SELECT 1 FROM letters f WHERE f.last_at >= {_attempt(at)} AND f.key = l.key AND {condition}"


def _ended(query: str, spill: Spill, letters: pa.Table, touched: pa.Table | None) -> Ended:
    with engine(spill) as connection:
        connection.register("letters", letters)
        if touched is not None:
            connection.register("touched", touched)
        found = connection.sql(query).to_arrow_table()
    superseded = found["superseded"]
    return Ended(found.filter(pa.compute.invert(superseded)), found.filter(superseded))


def typed_keys(keys: Sequence[str], schema: TableSchema, names: Sequence[str]) -> tuple[pa.Table, pa.Array]:
    """Columns `names` of JSON objects of canonical texts, and which rows have them all.

    A value that its typed column cannot hold (`infinity` in a timestamp) is null there: nobody
    finds rows by such a key.
    """
    objects = [json.loads(key) for key in keys]
    columns, readable = [], [bool(names)] * len(keys)
    for name in names:
        texts = [each.get(name) for each in objects]
        column = _typed(texts, schema.column(name).arrow)
        readable = [
            fine and value for fine, value in zip(readable, column.is_valid().to_pylist(), strict=True)
        ]
        columns.append(column)
    return pa.Table.from_arrays(columns, names=list(names)), pa.array(readable, pa.bool_())


def _typed(texts: list[str | None], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_time(kind):  # which Arrow does not read from text
        try:
            return pa.array(texts, pa.string()).cast(kind)
        except pa.ArrowInvalid:
            pass
    return pa.array([_value(text, kind) for text in texts], kind)


def _value(text: str | None, kind: pa.DataType) -> object:
    try:
        if pa.types.is_time(kind):
            return dt.time.fromisoformat(text) if text is not None else None
        return pa.scalar(text, pa.string()).cast(kind).as_py()
    except ValueError:
        return None
