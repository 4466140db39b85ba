"""Row messages of one relation to events of its table, whole columns at a time.

What becomes of each message, by replica identity:

| message | events |
|---|---|
| insert | `I` |
| update, key as before | `U`; columns that the source left out are named in `_unchanged` |
| update, another key | `D` of the old key, then `U` of the new one, at one position |
| update, table without key | `D` of the old row, then `I` of the new one, at one position |
| delete | `D` with what the old tuple carries: the key, or the whole row (FULL) |

With FULL, a column that an update left out is filled from the old row, so `_unchanged` stays
null, and `_before` of an update that kept its key is the JSON object of the old values, as
text, of the columns that differ (`{}` if none does); JSON null is SQL NULL. The whole old row
is the new one with these put back.

An update of the key that leaves out a large value has it in neither tuple: its `U` names the
column in `_unchanged`, and `_before` is the JSON object of the old key, `{"id": "1"}`, where
the value stands. `_before` together with `_unchanged` means this and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.events import ENVELOPE, Operation, event_schema
from replication_assets.core.json_text import json_objects
from replication_assets.core.overflow import overflow_json
from replication_assets.core.schema import TableSchema
from replication_assets.errors import DecodeError
from replication_assets.sources.postgres.pgoutput import DELETE, INSERT, UPDATE, Frames, Ints, Relation
from replication_assets.sources.postgres.tuples import NULL, TEXT, UNCHANGED, Spans, texts, walk
from replication_assets.sources.postgres.types import from_text

Mask = npt.NDArray[np.bool_]

_KEY, _OLD, _NEW = ord("K"), ord("O"), ord("N")
_OPERATIONS = pa.array([Operation.INSERT.value, Operation.UPDATE.value, Operation.DELETE.value], pa.string())
_I, _U, _D = 0, 1, 2


@dataclass(frozen=True, slots=True)
class _Images:
    """Old and new tuple of each message, in stream order; a missing one has NULL kinds.

    `whole` marks messages whose old tuple is the whole row rather than the key.
    """

    old: tuple[Spans, ...]
    new: tuple[Spans, ...]
    has_old: Mask
    whole: Mask
    types: npt.NDArray[np.uint8]


def decode_rows(
    frames: Frames, messages: Ints, relation: Relation, schema: TableSchema, epoch: int
) -> pa.RecordBatch:
    """Events of `messages`, which are row messages of `relation`, with `event_schema(schema)`.

    Columns of the schema that the relation lacks are null.

    Raises:
        DecodeError: the messages do not follow the protocol, or do not carry the key.
    """
    names = tuple(column.name for column in relation.columns)
    images = _filled(_images(frames, messages, len(names)), relation)
    moved = _moved(frames, images, [names.index(key) for key in schema.key if key in names])
    _refuse_lost_identity(images, moved, names, schema)
    if not schema.key:
        moved = images.types == UPDATE
    events = np.repeat(np.arange(len(messages)), np.where(moved, 2, 1))
    first_of_pair = np.zeros(len(events), dtype=bool)
    first_of_pair[:-1] = events[:-1] == events[1:]
    deletes = first_of_pair | (images.types[events] == DELETE)
    spans = {
        name: new.take(events).where(~deletes, old.take(events))
        for name, old, new in zip(names, images.old, images.new, strict=True)
    }
    columns, overflow = _typed(frames, spans, schema, len(events))
    envelope = [
        _operations(images.types[events], deletes, keyed=bool(schema.key)),
        pa.repeat(pa.scalar(epoch, pa.int32()), len(events)),
        *_positions(frames, messages[events]),
        pa.nulls(len(events), pa.string()),
        _unchanged(spans, ~deletes),
        _before(frames, images, spans, names, schema, events, deletes, moved),
        overflow,
        pa.nulls(len(events), pa.string()),
    ]
    return pa.RecordBatch.from_arrays([*envelope, *columns], schema=event_schema(schema))


# --- tuples ------------------------------------------------------------------------------


def _images(frames: Frames, messages: Ints, columns: int) -> _Images:
    at = frames.starts[messages] + 5
    types = frames.types[messages]
    marker = frames.bytes[at]
    has_old = (types != INSERT) & ((marker == _KEY) | (marker == _OLD))
    if np.any(~has_old & ((types == DELETE) | (marker != _NEW))):
        raise DecodeError("a row message has neither an old nor a new tuple where one belongs")
    old = walk(frames, at[has_old] + 1, columns)
    after_old = at.copy()
    after_old[has_old] = old.end
    has_new = types != DELETE
    if np.any(frames.bytes[after_old[has_new]] != _NEW):
        raise DecodeError("an update has no new tuple")
    new = walk(frames, after_old[has_new] + 1, columns)
    end = after_old
    end[has_new] = new.end
    if np.any(end != frames.ends[messages]):
        raise DecodeError("a row message is longer or shorter than its tuples")
    return _Images(
        tuple(_spread(spans, has_old, at) for spans in old.columns),
        tuple(_spread(spans, has_new, at) for spans in new.columns),
        has_old,
        has_old & (marker == _OLD),
        types,
    )


def _spread(spans: Spans, present: Mask, at: Ints) -> Spans:
    """One value per message: NULL at the message's own place where the tuple is missing."""
    if present.all():
        return spans
    kind = np.full(len(present), NULL, dtype=np.uint8)
    start, end = at.copy(), at.copy()
    kind[present], start[present], end[present] = spans.kind, spans.start, spans.end
    return Spans(kind, start, end)


def _filled(images: _Images, relation: Relation) -> _Images:
    """Values that an update left out, taken from its old tuple where that carries them."""
    new = []
    for column, old_spans, new_spans in zip(relation.columns, images.old, images.new, strict=True):
        known = images.has_old if column.in_identity else images.whole
        fill = (new_spans.kind == UNCHANGED) & known & (old_spans.kind == TEXT)
        new.append(old_spans.where(fill, new_spans) if fill.any() else new_spans)
    return _Images(images.old, tuple(new), images.has_old, images.whole, images.types)


def _moved(frames: Frames, images: _Images, key: list[int]) -> Mask:
    """Updates whose old tuple has another key than the new one."""
    moved = np.zeros(len(images.types), dtype=bool)
    both = np.flatnonzero(images.has_old & (images.types == UPDATE))
    for column in key:
        moved[both] |= _differs(frames, images.old[column].take(both), images.new[column].take(both))
    return moved


def _differs(frames: Frames, one: Spans, other: Spans) -> Mask:
    """Where values are distinct, SQL NULL being a value like any other."""
    distinct: Mask = (one.kind != other.kind) | (one.end - one.start != other.end - other.start)
    unsure = np.flatnonzero(~distinct & (one.kind == TEXT) & (one.start != other.start))
    if len(unsure):
        different = pc.not_equal(texts(frames, one.take(unsure)), texts(frames, other.take(unsure)))
        distinct[unsure] = different.to_numpy(zero_copy_only=False)
    return distinct


def _refuse_lost_identity(images: _Images, moved: Mask, names: tuple[str, ...], schema: TableSchema) -> None:
    fix = "ALTER TABLE ... REPLICA IDENTITY FULL (or USING an index of the key), then load the table again"
    if not schema.key:
        if np.any((images.types != INSERT) & ~images.whole):
            raise DecodeError("a table without key has an update or delete without the old row", fix=fix)
        return
    for position in (i for i, name in enumerate(names) if name in schema.key):
        carried = images.old[position].kind == TEXT
        # A key column may be NULL only where the whole row is the identity.
        lost = images.has_old & ~carried & ((images.types == DELETE) | moved) & ~images.whole
        left_out = (images.types != DELETE) & (images.new[position].kind == UNCHANGED)
        if np.any(lost | left_out):
            raise DecodeError(f"a change does not carry key column {names[position]!r}", fix=fix)


# --- columns of the events ---------------------------------------------------------------


def _typed(
    frames: Frames, spans: dict[str, Spans], schema: TableSchema, rows: int
) -> tuple[list[pa.Array], pa.StringArray]:
    columns: list[pa.Array] = []
    odd: list[pa.StringArray | None] = []
    for column in schema.columns:
        if column.name in spans:
            typed, odd_text = from_text(column, texts(frames, spans[column.name]))
        else:
            typed, odd_text = pa.nulls(rows, column.arrow), None
        columns.append(typed)
        odd.append(odd_text)
    if any(text is not None for text in odd):
        return columns, overflow_json(schema.names, odd)
    return columns, pa.nulls(rows, pa.string())


def _operations(types: npt.NDArray[np.uint8], deletes: Mask, *, keyed: bool) -> pa.StringArray:
    updates = (types == UPDATE) & keyed
    return _OPERATIONS.take(pa.array(np.where(deletes, _D, np.where(updates, _U, _I))))


def _positions(frames: Frames, messages: Ints) -> list[pa.Array]:
    clock = ENVELOPE.field("_committed_at").type
    return [
        pa.array(frames.commit[messages]),
        pa.array(frames.sequence[messages]),
        pa.array(frames.committed_at[messages]).cast(clock),
        pa.array(frames.xid[messages]),
    ]


def _unchanged(spans: dict[str, Spans], rows: Mask) -> pa.ListArray:
    """Names of the columns without a value, in the relation's order; null for none."""
    left_out = np.stack([(column.kind == UNCHANGED) & rows for column in spans.values()], axis=1)
    counts = left_out.sum(axis=1)
    if not counts.any():
        return pa.nulls(len(rows), pa.list_(pa.string()))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    names = pa.array(list(spans), pa.string()).take(pa.array(np.nonzero(left_out)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names, mask=pa.array(counts == 0))


def _before(
    frames: Frames,
    images: _Images,
    spans: dict[str, Spans],
    names: tuple[str, ...],
    schema: TableSchema,
    events: Ints,
    deletes: Mask,
    moved: Mask,
) -> pa.StringArray:
    before = pa.nulls(len(events), pa.string())
    kept = np.flatnonzero(~deletes & ~moved[events] & (images.whole & (images.types == UPDATE))[events])
    if len(kept):
        members = []
        for position, name in enumerate(names):
            old = images.old[position].take(events[kept])
            changed = _differs(frames, old, spans[name].take(kept))
            members.append((name, texts(frames, old), changed))
        before = _put(before, kept, json_objects(members))
    partial = np.zeros(len(events), dtype=bool)
    for column in spans.values():
        partial |= column.kind == UNCHANGED
    chased = np.flatnonzero(~deletes & moved[events] & partial)
    if len(chased):
        everywhere = np.ones(len(chased), dtype=bool)
        members = [
            (name, texts(frames, images.old[names.index(name)].take(events[chased])), everywhere)
            for name in schema.key
        ]
        before = _put(before, chased, json_objects(members))
    return before


def _put(into: pa.StringArray, rows: Ints, values: pa.StringArray) -> pa.StringArray:
    chosen = np.zeros(len(into), dtype=bool)
    chosen[rows] = True
    return pc.replace_with_mask(into, pa.array(chosen), values)
