"""The page on items is true: its examples run, its tables agree with the program."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from typing import Any, get_args

import pyarrow as pa

from replication_assets.core.fold import row_schema
from replication_assets.core.items.mapping import ItemMapping
from replication_assets.core.items.refusals import REASONS
from replication_assets.core.items.registers import REGISTERS
from replication_assets.core.items.spec import AttributeType
from replication_assets.core.items.xml_documents import parsed
from replication_assets.core.schema import Column, TableSchema
from replication_assets_tests.markdown import ROOT, code, quoted, rows, section

PAGE = ROOT / "docs" / "projection-dynamodb.md"
FIRST = "Items: how rows become items"

ORDERS = TableSchema(
    (
        Column("id", "bigint", pa.int64()),
        Column("customer_id", "bigint", pa.int64()),
        Column("placed_at", "timestamp with time zone", pa.timestamp("us", tz="UTC")),
        Column("total", "numeric(12,2)", pa.decimal128(12, 2)),
        Column("city", "text", pa.string()),
        Column("zip", "text", pa.string()),
        Column("tags", "text[]", pa.string()),
        Column("lines", "jsonb", pa.string()),
        Column("internal_note", "text", pa.string()),
    ),
    ("id",),
)


def blocks(heading: str, language: str) -> list[Any]:
    text = section(PAGE, heading)
    return [json.loads(body) for body in re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)]


def test_the_example_converts_its_row_to_its_item() -> None:
    names: dict[str, Any] = {}
    exec(compile(code(PAGE, FIRST), "projection-dynamodb.md", "exec"), names)
    row, item = blocks(FIRST, "json")
    row["placed_at"] = dt.datetime.fromisoformat(row["placed_at"])
    row["total"] = Decimal(row["total"])
    table = pa.Table.from_pylist(
        [{**row, "_epoch": 0, "_commit_position": 1, "_sequence": 1}], schema=row_schema(ORDERS)
    )
    done = ItemMapping(names["order_items"], ORDERS).convert(table)
    assert done.refusals == ()
    assert [json.loads(text) for text in done.items["item"].to_pylist()] == [item]


def test_the_xml_example_is_converted_as_shown() -> None:
    (shown,) = blocks("XML", "json")
    assert parsed(code(PAGE, "XML", "xml").strip()) == shown


def test_every_code_of_a_refusal_is_documented_with_its_reason() -> None:
    assert {cells[0].strip("`"): cells[1] for cells in rows(PAGE, "Refusals")} == dict(REASONS)


def test_the_declared_types_and_the_registers_are_named() -> None:
    assert set(get_args(AttributeType)) <= set(quoted(section(PAGE, "Types")))
    assert set(quoted(section(PAGE, FIRST))) >= REGISTERS
