"""What messages of DMS and of Debezium say, and which are refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from replication_assets.core.envelopes.debezium import UNAVAILABLE, decode_debezium
from replication_assets.core.envelopes.dms import decode_dms
from replication_assets.core.envelopes.messages import RowChange, TableChange
from replication_assets.errors import DecodeError
from replication_assets_tests.kafka_servers import debezium, dms

NOON = 1_780_315_200_000_000
ROW = {"id": 1, "name": "x"}


@pytest.mark.parametrize(
    ("operation", "op"), [("load", "I"), ("insert", "I"), ("update", "U"), ("delete", "D")]
)
def test_a_data_record_of_dms_is_a_change(operation: str, op: str) -> None:
    told = decode_dms(dms(operation, ROW))
    assert told == RowChange(op, "public", "orders", ROW, None, NOON, 4711)  # type: ignore[arg-type]


def test_a_delete_of_dms_may_have_its_row_in_the_before_image() -> None:
    told = decode_dms(dms("delete", None, before=ROW))
    assert isinstance(told, RowChange)
    assert told.row == ROW


def test_the_commit_time_goes_before_the_time_of_the_record() -> None:
    message = dms("insert", ROW)
    message["metadata"]["commit-timestamp"] = "2026-06-01T11:59:59.5Z"
    told = decode_dms(message)
    assert told is not None
    assert told.committed_at == NOON - 500_000


@pytest.mark.parametrize("operation", ["create-table", "add-column", "change-columns", "drop-column"])
def test_ddl_that_the_data_shows_is_passed_over(operation: str) -> None:
    assert decode_dms(dms(operation, None, kind="control")) is None


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("truncate-table", "emptied"),
        ("drop-table", "emptied"),
        ("rename-column", "stale"),
        ("rename-table", "stale"),
    ],
)
def test_ddl_that_no_data_shows_is_told(operation: str, kind: str) -> None:
    told = decode_dms(dms(operation, None, kind="control"))
    assert isinstance(told, TableChange)
    assert told.kind == kind


@pytest.mark.parametrize(("letter", "op"), [("r", "I"), ("c", "I"), ("u", "U")])
def test_a_record_of_debezium_is_a_change(letter: str, op: str) -> None:
    told = decode_debezium(debezium(letter, ROW))
    assert told == RowChange(op, "public", "orders", ROW, None, NOON, 4711)  # type: ignore[arg-type]


def test_a_delete_of_debezium_has_the_old_row() -> None:
    told = decode_debezium(debezium("d", None, before=ROW))
    assert isinstance(told, RowChange)
    assert (told.op, told.row) == ("D", ROW)


def test_a_record_with_its_schema_says_the_same() -> None:
    bare = debezium("u", ROW, before={"id": 1, "name": UNAVAILABLE})
    told = decode_debezium({"schema": {"type": "struct"}, "payload": bare})
    assert told == decode_debezium(bare)
    assert isinstance(told, RowChange)
    assert told.before == {"id": 1}


def test_what_debezium_did_not_send_is_told_however_it_is_spelled() -> None:
    spelled = [
        UNAVAILABLE,
        base64.b64encode(UNAVAILABLE.encode()).decode(),
        UNAVAILABLE.encode().hex(),
        [UNAVAILABLE],
    ]
    row = {"id": 1} | {f"c{number}": each for number, each in enumerate(spelled)}
    told = decode_debezium(debezium("u", row, before=row))
    assert isinstance(told, RowChange)
    assert told.unsent == ("c0", "c1", "c2", "c3")
    assert told.before == {"id": 1}


def test_microseconds_of_debezium_go_before_milliseconds() -> None:
    message = debezium("c", ROW)
    message["source"]["ts_us"] = NOON + 7
    told = decode_debezium(message)
    assert told is not None
    assert told.committed_at == NOON + 7


def test_a_truncate_of_debezium_empties_the_table_and_its_messages_say_nothing() -> None:
    told = decode_debezium(debezium("t", None))
    assert isinstance(told, TableChange)
    assert told.kind == "emptied"
    assert decode_debezium({"op": "m", "message": {}}) is None
    assert decode_debezium({"schema": {}, "payload": None}) is None


def test_a_table_of_mysql_is_named_by_its_database() -> None:
    message = debezium("c", ROW)
    del message["source"]["schema"]
    told = decode_debezium(message)
    assert told is not None
    assert told.schema == "shop"


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        7,
        "text",
        {},
        {"id": 1},
        {"metadata": None},
        {"metadata": {"operation": 1, "record-type": "data", "schema-name": "s", "table-name": "t"}},
        dms("upsert", ROW),
        dms("insert", None),
        dms("insert", [1]),  # type: ignore[arg-type]
        dms("insert", ROW, kind="other"),
        dms("explode-table", None, kind="control"),
        debezium("c", ROW),
    ],
)
def test_what_is_not_in_the_envelope_of_dms_is_refused(wrong: Any) -> None:
    with pytest.raises(DecodeError):
        decode_dms(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        7,
        {},
        ROW,
        debezium("x", ROW),
        debezium("u", None),
        debezium("d", ROW),
        {"op": "c", "after": ROW},
        dms("insert", ROW),
    ],
)
def test_what_is_not_in_the_envelope_of_debezium_is_refused(wrong: Any) -> None:
    with pytest.raises(DecodeError):
        decode_debezium(wrong)
