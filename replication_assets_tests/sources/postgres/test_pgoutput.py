"""The pgoutput decoder against a model: any transactions, cut into pieces anywhere."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import struct
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.events import event_schema
from replication_assets.core.json_text import json_objects
from replication_assets.core.positions import Position
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import DecodeError
from replication_assets.sources.postgres.decoding import Decoded, Decoder
from replication_assets.sources.postgres.pgoutput import SPARE, Relation
from replication_assets_tests.sources.postgres import pgoutput_encoder as pg
from replication_assets_tests.sources.postgres.pgoutput_encoder import UNSENT

COLUMNS = (
    Column("id", "integer", pa.int32()),
    Column("small", "text", pa.string()),
    Column("large", "text", pa.string()),
)
NAMES = tuple(column.name for column in COLUMNS)
KEYED, FULL, KEYLESS, FOREIGN = 16001, 16002, 16003, 2**32 - 1
LEAF, OTHER_LEAF = 16005, 16006
"""Partitions of the first."""
EPOCH = 7
CLOCK_AT_2000 = 946_684_800_000_000


def table_id(oid: int) -> TableId:
    return TableId("s", "public", {LEAF: "t16001", OTHER_LEAF: "t16001"}.get(oid, f"t{oid}"))


def schema_of(oid: int) -> TableSchema:
    return TableSchema(COLUMNS, () if oid == KEYLESS else ("id",))


class FixedRelations:
    """What a session without a catalog knows: the tables never change, one is not declared."""

    def __init__(self) -> None:
        self._current: dict[int, Relation] = {}

    def current(self, oid: int) -> Relation:
        if oid not in self._current:
            raise DecodeError(f"relation {oid} was never described")
        return self._current[oid]

    def learn(self, relation: Relation) -> None:
        self._current[relation.oid] = relation

    def resolve(self, relation: Relation, at: Position, xid: int) -> tuple[TableId | None, list[Any]]:
        return (None if relation.oid == FOREIGN else table_id(relation.oid)), []

    def holds_all_rows(self, table: TableId, leaves: Set[int]) -> bool:
        return leaves >= {LEAF, OTHER_LEAF}

    def schema(self, table: TableId) -> TableSchema:
        return TableSchema(COLUMNS, () if table.name == f"t{KEYLESS}" else ("id",))


def described(oid: int) -> bytes:
    identity = "d" if oid in (KEYED, LEAF, OTHER_LEAF) else "f"
    columns = [(c.name, 23 if c.name == "id" else 25, identity == "f" or c.name == "id") for c in COLUMNS]
    return pg.relation(oid, "public", f"t{oid}", identity, columns)


def decoder() -> Decoder:
    return Decoder(FixedRelations(), EPOCH, "test")  # type: ignore[arg-type]


def decode_in_pieces(messages: Sequence[bytes], cuts: Sequence[int]) -> list[Decoded]:
    framed = [pg.wal_data(message) for message in messages]
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(framed)}), len(framed)]
    one = decoder()
    found = []
    for low, high in itertools.pairwise(edges):
        ends, at = [], 0
        for message in framed[low:high]:
            at += len(message)
            ends.append(at)
        found.append(one.decode(b"".join([*framed[low:high], SPARE]), ends))
    return found


def rows_of(pieces: Sequence[Decoded], table: TableId) -> list[dict[str, Any]]:
    """Events of a table as dicts, those of its leaf partitions merged in by position."""
    rows = []
    for piece in pieces:
        for batch in piece.batches:
            if batch.table == table:
                assert batch.rows.schema.equals(event_schema(batch.schema), check_metadata=True)
                batch.rows.validate(full=True)
                rows += batch.rows.to_pylist()
    return sorted(rows, key=lambda row: (row["_commit_position"], row["_sequence"]))


# --- the model ---------------------------------------------------------------------------


@dataclass
class Stream:
    """Messages written so far and the events that they mean."""

    messages: list[bytes] = field(default_factory=list)
    events: dict[TableId, list[dict[str, Any]]] = field(default_factory=dict)
    truncated: list[tuple[TableId, Position]] = field(default_factory=list)
    known: set[int] = field(default_factory=set)
    commit: int = 0
    clock: int = 0
    xid: int = 0
    sequence: int = 0

    def describe(self, oid: int) -> None:
        if oid not in self.known:
            self.known.add(oid)
            self.messages.append(described(oid))

    def event(self, oid: int, op: str, values: Sequence[Any], **envelope: Any) -> None:
        if oid == FOREIGN:
            return
        unchanged = [name for name, value in zip(NAMES, values, strict=True) if value is UNSENT]
        row: dict[str, Any] = {
            "_op": op,
            "_epoch": EPOCH,
            "_commit_position": self.commit,
            "_sequence": self.sequence,
            "_committed_at": dt.datetime.fromtimestamp(0, dt.UTC)
            + dt.timedelta(microseconds=self.clock + CLOCK_AT_2000),
            "_transaction_id": self.xid,
            "_load_id": None,
            "_unchanged": unchanged or None,
            "_before": None,
            "_overflow": None,
            "_control": None,
            **envelope,
        }
        row |= {n: None if v is UNSENT else v for n, v in zip(NAMES, values, strict=True)}
        row["id"] = None if row["id"] is None else int(row["id"])
        self.events.setdefault(table_id(oid), []).append(row)


text = st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
key = st.integers(-(2**31), 2**31 - 1).map(str)
oids = st.sampled_from([KEYED, FULL, KEYLESS, FOREIGN, LEAF])


@st.composite
def rows(draw: st.DrawFn) -> list[Any]:
    return [draw(key), draw(text), draw(text)]


def write_insert(draw: st.DrawFn, stream: Stream, oid: int) -> None:
    new = draw(rows())
    stream.messages.append(pg.insert(oid, new))
    stream.event(oid, "I", new)


def write_delete(draw: st.DrawFn, stream: Stream, oid: int) -> None:
    old = draw(rows())
    whole = oid not in (KEYED, LEAF, OTHER_LEAF)
    old = old if whole else [old[0], None, None]
    stream.messages.append(pg.delete(oid, old, "O" if whole else "K"))
    stream.event(oid, "D", old)


def write_update(draw: st.DrawFn, stream: Stream, oid: int) -> None:
    old, new = draw(rows()), draw(rows())
    moves, unsent = draw(st.booleans()), draw(st.booleans())
    if not moves:
        new[0] = old[0]
    moves = new[0] != old[0]
    if draw(st.booleans()):
        new[1] = old[1]
    sent = [new[0], new[1], UNSENT] if unsent else new
    if oid in (KEYED, LEAF, OTHER_LEAF):
        key_only = [old[0], None, None]
        stream.messages.append(pg.update(oid, sent, old=key_only if moves else None))
        if moves:
            stream.event(oid, "D", key_only)
        before = json.dumps({"id": old[0]}, separators=(",", ":")) if moves and unsent else None
        stream.event(oid, "U", sent, _before=before)
        return
    if unsent:
        # A large value is not NULL, and the old row carries it.
        old[2] = new[2] = old[2] or "large"
    stream.messages.append(pg.update(oid, sent, old=old, old_kind="O"))
    if oid == KEYLESS:
        stream.event(oid, "D", old)
        stream.event(oid, "I", new)
    elif moves:
        stream.event(oid, "D", old)
        stream.event(oid, "U", new)
    else:
        differing = {n: o for n, o, v in zip(NAMES, old, new, strict=True) if o != v}
        stream.event(oid, "U", new, _before=differing)


def write_truncate(draw: st.DrawFn, stream: Stream, _: int) -> None:
    emptied = draw(st.lists(st.sampled_from([KEYED, FULL, KEYLESS, FOREIGN]), min_size=1, unique=True))
    for oid in emptied:
        stream.describe(oid)
        stream.sequence += 1
        if oid != FOREIGN:
            stream.truncated.append((table_id(oid), Position(EPOCH, stream.commit, stream.sequence)))
    stream.messages.append(pg.truncate(*emptied))


WRITES = (write_insert, write_update, write_delete, write_truncate)


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    stream = Stream()
    for _ in range(draw(st.integers(1, 4))):
        stream.commit += draw(st.integers(1, 2**40))
        stream.clock = draw(st.integers(0, 2**50))
        stream.xid = draw(st.integers(3, 2**32 - 1))
        stream.sequence = 0
        stream.messages.append(pg.begin(stream.commit, stream.clock, stream.xid))
        for write in draw(st.lists(st.sampled_from(WRITES), max_size=8)):
            if draw(st.booleans()):
                stream.known.clear()  # The server describes relations again as it likes.
            oid = draw(oids)
            stream.describe(oid)
            if write is not write_truncate:
                stream.sequence += 1
            write(draw, stream, oid)
        stream.messages.append(pg.commit(stream.commit, stream.clock))
    return stream


def comparable(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`_before` as the object that it is: the order of its members is no promise."""
    return [
        {**row, "_before": json.loads(row["_before"]) if isinstance(row["_before"], str) else row["_before"]}
        for row in rows
    ]


@given(streams(), st.lists(st.integers(0, 60), max_size=6))
def test_any_transactions_cut_anywhere_decode_to_their_events(stream: Stream, cuts: list[int]) -> None:
    pieces = decode_in_pieces(stream.messages, cuts)
    for table in map(table_id, (KEYED, FULL, KEYLESS)):
        assert comparable(rows_of(pieces, table)) == comparable(stream.events.get(table, []))
    found = [(table, at) for piece in pieces for table, at, _, _ in piece.truncated]
    assert sorted(found) == sorted(stream.truncated)
    assert {batch.table for piece in pieces for batch in piece.batches} <= set(stream.events)


# --- single promises ---------------------------------------------------------------------


def one_transaction(*messages: bytes) -> list[bytes]:
    return [pg.begin(100, 0, 9), *messages, pg.commit(100, 0)]


def test_the_rows_of_one_relation_are_in_stream_order() -> None:
    messages = one_transaction(
        described(KEYED), pg.insert(KEYED, ["1", "a", None]), pg.delete(KEYED, ["1", None, None]),
        pg.insert(KEYED, ["1", "b", None]),
    )  # fmt: skip
    (piece,) = decode_in_pieces(messages, [])
    (batch,) = piece.batches
    assert batch.rows.column("_op").to_pylist() == ["I", "D", "I"]
    assert batch.rows.column("_sequence").to_pylist() == [1, 2, 3]


def test_rows_of_undeclared_tables_count_in_the_sequence_and_make_no_events() -> None:
    messages = one_transaction(
        described(FOREIGN),
        described(KEYED),
        pg.insert(FOREIGN, ["1", "", ""]),
        pg.insert(KEYED, ["1", "", ""]),
    )
    (row,) = rows_of(decode_in_pieces(messages, []), table_id(KEYED))
    assert row["_sequence"] == 2


def test_an_old_value_shared_by_both_events_of_a_move_is_read_for_both() -> None:
    messages = one_transaction(
        described(FULL),
        pg.update(FULL, ["2", "new", UNSENT], old=["1", "old", "L" * 100], old_kind="O"),
        pg.insert(FULL, ["3", "x", "y"]),
    )
    events = rows_of(decode_in_pieces(messages, []), table_id(FULL))
    assert [(e["_op"], e["id"], e["small"], e["large"]) for e in events] == [
        ("D", 1, "old", "L" * 100),
        ("U", 2, "new", "L" * 100),
        ("I", 3, "x", "y"),
    ]


def test_a_key_that_was_sent_though_it_did_not_change_makes_one_update() -> None:
    messages = one_transaction(described(KEYED), pg.update(KEYED, ["1", "n", None], old=["1", None, None]))
    events = rows_of(decode_in_pieces(messages, []), table_id(KEYED))
    assert [(e["_op"], e["id"], e["_before"]) for e in events] == [("U", 1, None)]


def test_a_large_key_left_out_of_the_new_row_is_that_of_the_old_row() -> None:
    messages = one_transaction(described(KEYED), pg.update(KEYED, [UNSENT, "n", None], old=["5", None, None]))
    events = rows_of(decode_in_pieces(messages, []), table_id(KEYED))
    assert [(e["_op"], e["id"], e["_unchanged"]) for e in events] == [("U", 5, None)]


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"S" + bytes(8), "message type 'S'"),
        (pg.insert(KEYED, ["1", "a"]), "columns"),
        (pg.insert(KEYED, ["1", "a", "b"])[:-1], "tuple"),
        (pg.insert(KEYED, ["1", "a", "b"]) + b"x", "longer"),
        (pg.insert(KEYED, ["1", "a", "b"]).replace(b"t", b"b"), "binary"),
        (pg.insert(KEYED, ["word", "a", "b"]), "'id'"),
        (pg.insert(KEYED, ["1", "a", "b"])[:-1] + b"\xff", "UTF-8"),
        (pg.insert(424242, ["1"]), "never described"),
        (pg.update(KEYED, [UNSENT, "a", "b"]), "key column 'id'"),
        (pg.delete(KEYED, [None, "a", "b"]), "key column 'id'"),
        (struct.pack(">cI", b"D", KEYED) + b"N", "neither"),
        (struct.pack(">cI", b"I", KEYED) + b"N\x00\x03t\x7f\xff\xff\xff", "text format"),
    ],
)
def test_what_is_not_understood_is_refused(message: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint) as caught:
        decode_in_pieces(one_transaction(described(KEYED), message), [])
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    "message", [pg.update(KEYLESS, ["1", "a", "b"]), pg.delete(KEYLESS, ["1", None, None], "K")]
)
def test_a_table_without_key_needs_whole_old_rows(message: bytes) -> None:
    with pytest.raises(DecodeError, match="REPLICA IDENTITY FULL"):
        decode_in_pieces(one_transaction(described(KEYLESS), message), [])


def test_a_row_outside_of_any_transaction_is_refused() -> None:
    with pytest.raises(DecodeError, match="outside"):
        decode_in_pieces([described(KEYED), pg.insert(KEYED, ["1", "a", "b"])], [])


def test_types_origins_and_logical_messages_are_passed_over() -> None:
    messages = one_transaction(
        b"Y" + struct.pack(">I", 9) + b"public\0mood\0",
        b"O" + struct.pack(">Q", 1) + b"origin\0",
        described(KEYED),
        pg.insert(KEYED, ["1", "a", "b"]),
    )
    (row,) = rows_of(decode_in_pieces(messages, []), table_id(KEYED))
    assert row["_sequence"] == 1


def test_truncating_a_leaf_alone_asks_for_a_reload_of_its_table() -> None:
    messages = one_transaction(described(LEAF), pg.truncate(LEAF))
    (piece,) = decode_in_pieces(messages, [])
    assert piece.truncated == []
    ((table, _, change),) = piece.schema_changes
    assert (table, change.reload, change.position) == (table_id(KEYED), True, Position(EPOCH, 100, 1))


def test_truncating_every_leaf_is_one_truncate_of_the_table() -> None:
    messages = one_transaction(described(LEAF), described(OTHER_LEAF), pg.truncate(LEAF, OTHER_LEAF))
    (piece,) = decode_in_pieces(messages, [])
    assert [(table, at.sequence) for table, at, _, _ in piece.truncated] == [(table_id(KEYED), 1)]
    assert piece.schema_changes == []


@given(
    st.lists(
        st.tuples(st.none() | st.text(st.characters(exclude_categories=("Cs",))), st.booleans()), min_size=1
    ),
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1),
)
def test_json_objects_read_back_as_they_were(members: list[tuple[str | None, bool]], name: str) -> None:
    values = pa.array([value for value, _ in members], pa.string())
    present = pa.array([there for _, there in members]).to_numpy(zero_copy_only=False)
    built = json_objects([(name, values, present), (name + ",", values, ~present)]).to_pylist()
    assert [json.loads(text) for text in built] == [
        {name if there else name + ",": value} for value, there in members
    ]
