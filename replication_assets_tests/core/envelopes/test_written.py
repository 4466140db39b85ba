"""What is written in an envelope is read back to the same events, value for value."""

from __future__ import annotations

import datetime as dt
import decimal
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.controls import SchemaChanged
from replication_assets.core.envelopes.debezium import decode_debezium
from replication_assets.core.envelopes.dms import decode_dms
from replication_assets.core.envelopes.json_values import read_json
from replication_assets.core.envelopes.messages import Envelope, RowChange, TableChange
from replication_assets.core.envelopes.produced import MOVED, MessageForm, Produced, Told
from replication_assets.core.envelopes.producing import TableEvent, produced
from replication_assets.core.envelopes.rows import PlacedChange, row_events
from replication_assets.core.envelopes.types import ValueFormat, spelled_column
from replication_assets.core.events import stored_schema
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableId, TableSchema

ORDERS = TableId("shop", "public", "orders")
NOW = "2026-06-01T12:00:00.000000Z"
AT = dt.datetime(2026, 6, 1, 11, 59, 59, 123456, dt.UTC)
SCHEMA = TableSchema(
    tuple(
        spelled_column(each)
        for each in (
            "id bigint",
            "t text",
            "n numeric(38,10)",
            "b bytea",
            "at timestamptz",
            "ms timestamp(3)",
            "us timestamp",
            "day date",
            "d double precision",
            "ok boolean",
        )
    ),
    ("id", "t"),
)
DECODERS = {"dms": decode_dms, "debezium": decode_debezium}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TIMES = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))
ROWS = st.fixed_dictionaries(
    {
        "id": st.integers(-(2**63), 2**63 - 1),
        "t": TEXT,
        "n": st.none() | st.decimals(-(10**27), 10**27, allow_nan=False, allow_infinity=False, places=10),
        "b": st.none() | st.binary(max_size=12),
        "at": st.none() | TIMES.map(lambda each: each.replace(tzinfo=dt.UTC)),
        "ms": st.none() | TIMES.map(lambda each: each.replace(microsecond=each.microsecond // 1000 * 1000)),
        "us": st.none() | TIMES,
        "day": st.none() | st.dates(),
        "d": st.none() | st.floats(allow_nan=False),
        "ok": st.none() | st.booleans(),
    }
)


def told(envelope: Envelope, schema: TableSchema = SCHEMA, **form: Any) -> Told:
    return Told(ORDERS, schema, MessageForm(envelope, **form), "feed")


def event(op: str, row: dict[str, Any], number: int = 1, **more: Any) -> dict[str, Any]:
    place = {"_op": op, "_epoch": 1, "_commit_position": 7, "_sequence": number, "_committed_at": AT}
    return {**place, MOVED: False, **row, **more}


def messages(told: Told, *events: dict[str, Any], of_table: tuple[TableEvent, ...] = ()) -> list[Produced]:
    columns = pa.schema([*stored_schema(told.schema), pa.field(MOVED, pa.bool_())])
    return produced(told, pa.Table.from_pylist(list(events), columns), of_table, NOW)


def decoded(envelope: Envelope, message: Produced) -> RowChange:
    assert message.value is not None
    found = DECODERS[envelope](read_json(message.value))
    assert isinstance(found, RowChange)
    return found


@pytest.mark.parametrize("envelope", ["dms", "debezium"])
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_every_value_comes_back(envelope: Envelope, rows: list[dict[str, Any]]) -> None:
    found = messages(told(envelope), *(event("I", row, at) for at, row in enumerate(rows)))
    placed = [
        PlacedChange(number, number + 1, 0, decoded(envelope, each)) for number, each in enumerate(found)
    ]
    form = ValueFormat("hex") if envelope == "dms" else ValueFormat("base64", epochs=True)
    read, refused = row_events(placed, SCHEMA, form, epoch=1, commit=9)
    assert refused == frozenset()
    expected = pa.Table.from_pylist(rows, SCHEMA.arrow_schema())
    assert pa.Table.from_batches([read.select(list(SCHEMA.names))]).cast(expected.schema).equals(expected)
    assert read["_overflow"].null_count == len(rows)
    assert read["_committed_at"].to_pylist() == [AT] * len(rows)


@pytest.mark.parametrize(
    ("envelope", "letters"), [("dms", ["I", "I", "U", "D"]), ("debezium", ["I", "I", "U", "D"])]
)
def test_operations_are_those_of_the_events(envelope: Envelope, letters: list[str]) -> None:
    row = {"id": 1, "t": "x"}
    found = messages(
        told(envelope, tombstones=False), *(event(op, row, at) for at, op in enumerate(("R", "I", "U", "D")))
    )
    assert [decoded(envelope, each).op for each in found] == letters
    assert [each.position for each in found] == [Position(1, 7, at) for at in range(4)]


def test_a_delete_tells_what_its_event_has() -> None:
    (bare,) = messages(told("dms"), event("D", {"id": 1, "t": "x"}))
    assert decoded("dms", bare).row == {"id": 1, "t": "x"}
    (whole,) = messages(told("dms"), event("D", {"id": 1, "t": "x", "n": decimal.Decimal("1.5")}))
    assert decoded("dms", whole).row == {"id": 1, "t": "x", "n": "1.5000000000"}


def test_a_tombstone_follows_a_delete_of_debezium_and_has_its_key() -> None:
    delete, tombstone = messages(told("debezium"), event("D", {"id": 1, "t": "x"}))
    assert (tombstone.key, tombstone.value) == (b'{"id":1,"t":"x"}', None)
    assert delete.key == tombstone.key


def test_a_row_that_came_from_another_key_is_created_in_debezium() -> None:
    (found,) = messages(told("debezium"), event("U", {"id": 1, "t": "x"}, **{MOVED: True}))
    assert json.loads(found.value or b"")["op"] == "c"


def test_keys_differ_where_rows_do() -> None:
    one, other = messages(told("dms"), event("I", {"id": 1, "t": "2,3"}), event("I", {"id": 12, "t": ",3"}))
    assert (one.key, other.key) == (b'[1,"2,3"]', b'[12,",3"]')
    alone = TableSchema((spelled_column("t text"),), ("t",))
    (single,) = messages(told("dms", alone, include_table=True), event("I", {"t": 'a"b'}))
    assert single.key == b'public.orders.a"b'
    (table,) = messages(told("dms", partition_key="schema-table"), event("I", {"id": 1, "t": "x"}))
    assert table.key == b"public.orders"


def test_lines_and_tabs_say_the_same() -> None:
    row = event("U", {"id": 1, "t": "x\ny"}, _before='{"n":"7.5","t":"x"}')
    (flat,) = messages(told("dms", before_images=True), row)
    (lined,) = messages(told("dms", before_images=True, format="json"), row)
    assert json.loads(flat.value or b"") == json.loads(lined.value or b"")
    assert b"\n\t\t" in (lined.value or b"")
    assert b"\n" not in (flat.value or b"")
    assert json.loads(flat.value or b"")["before-image"] == {"id": 1, "t": "x", "n": 7.5}


def test_old_values_stand_in_the_whole_old_row_of_debezium() -> None:
    row = event("U", {"id": 1, "t": "x", "ok": True}, _before='{"ok":"f","day":null}')
    (found,) = messages(told("debezium", before_images=True), row)
    before = json.loads(found.value or b"")["before"]
    assert (before["id"], before["ok"], before["day"]) == (1, False, None)
    assert set(before) == set(SCHEMA.names)


def test_a_schema_beside_the_payload_names_each_field() -> None:
    (found,) = messages(told("debezium", with_schema=True), event("I", {"id": 1, "t": "x"}))
    body = json.loads(found.value or b"")
    after = next(each for each in body["schema"]["fields"] if each["field"] == "after")
    assert [each["field"] for each in after["fields"]] == list(SCHEMA.names)
    assert decoded("debezium", found).row["id"] == 1


@pytest.mark.parametrize("envelope", ["dms", "debezium"])
def test_a_truncate_stands_at_its_place(envelope: Envelope) -> None:
    rows = [event("I", {"id": 1, "t": "x"}, 1), event("I", {"id": 2, "t": "x"}, 3)]
    found = messages(told(envelope), *rows, of_table=(TableEvent(Position(1, 7, 2), NOW, None, 5),))
    assert [each.row for each in found] == [0, -1, 1]
    assert found[1].value is not None
    emptied = DECODERS[envelope](read_json(found[1].value))
    assert isinstance(emptied, TableChange)
    assert (emptied.kind, emptied.schema, emptied.table) == ("emptied", "public", "orders")


def test_columns_that_came_and_went_are_control_records_of_dms() -> None:
    change = SchemaChanged(Position(1, 7, 2), False, "altered", ("n",), ("old",))
    found = messages(told("dms"), of_table=(TableEvent(change.position, NOW, change),))
    bodies = [json.loads(each.value or b"") for each in found]
    assert [each["metadata"]["operation"] for each in bodies] == ["add-column", "drop-column"]
    assert bodies[0]["control"]["table-def"]["columns"] == {"n": {"type": "numeric(38,10)"}}
    assert messages(told("debezium"), of_table=(TableEvent(change.position, NOW, change),)) == []


def test_a_value_that_its_type_cannot_hold_is_its_text() -> None:
    (found,) = messages(told("dms"), event("I", {"id": 1, "t": "x"}, _overflow='{"at":"infinity"}'))
    assert decoded("dms", found).row["at"] == "infinity"
