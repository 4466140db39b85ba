"""Values of a query come out as they are, and names mean what they say."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from replication_assets.catalog import Catalog, DeltaProjection, EventStoreConfig, Shape, Table
from replication_assets.errors import QueryError
from replication_assets.flows.query import Answer, Computed, answered, mentioned, names_of, relations
from replication_assets.replication import Replication

ODD = pa.table(
    {
        "exact": pa.array([Decimal("12345678901234567890123456789012345678")], pa.decimal128(38, 0)),
        "money": pa.array([Decimal("1.50")], pa.decimal128(12, 2)),
        "bytes": pa.array([b"\x00\xff"], pa.binary()),
        "names": pa.array([["a", None]], pa.list_(pa.string())),
        "at": pa.array([dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC)], pa.timestamp("us", tz="UTC")),
        "day": pa.array([dt.date(1, 1, 1)], pa.date32()),
        "big": pa.array([2**63 - 1], pa.int64()),
        'quote"d': pa.array(["x"], pa.string()),
        "none": pa.array([None], pa.string()),
    }
)


def test_no_digit_and_no_byte_is_lost_as_text_or_json() -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        answer = Answer(connection.from_arrow(ODD))
        (batch,) = answer.texts()
        assert batch.to_pylist() == [
            {
                "exact": "12345678901234567890123456789012345678",
                "money": "1.50",
                "bytes": "00ff",
                "names": '["a",null]',
                "at": "2026-01-02 03:04:05.678901+00",
                "day": "0001-01-01",
                "big": "9223372036854775807",
                'quote"d': "x",
                "none": None,
            }
        ]
        (line,) = answer.json_lines()
        found = json.loads(line)
        assert (found["exact"], found["money"], found["big"]) == (
            "12345678901234567890123456789012345678",
            "1.50",
            2**63 - 1,
        )
        assert (found["names"], found["bytes"], found["none"]) == (["a", None], "00ff", None)
        assert answer.numeric == {"exact", "money", "big"}
        assert answer.reader().read_all().schema.field("exact").type == pa.decimal128(38, 0)


def test_a_name_that_two_tables_share_is_written_in_full() -> None:
    catalog = Catalog(
        EventStoreConfig("/store"),
        tables=[Table("shop.public.orders"), Table("shop.old.Orders"), Table("shop.public.users")],
    )
    names = {str(table): found for table, found in names_of(catalog).items()}
    assert names == {
        "shop.public.orders": ("shop.public.orders",),
        "shop.old.Orders": ("shop.old.Orders",),
        "shop.public.users": ("users", "shop.public.users"),
    }


def test_a_table_that_a_projection_calls_otherwise_is_asked_for_by_that_name() -> None:
    catalog = Catalog(
        EventStoreConfig("/store"),
        tables=[Table("shop.public.orders"), Table("shop.public.users")],
        projections=[
            DeltaProjection(
                "lake",
                tables=["shop.*"],
                root="/lake",
                shapes=[
                    Shape("shop.public.orders", schema="dw", name="users"),
                    Shape("shop.public.users", name="people"),
                ],
            )
        ],
    )
    names = {str(table): found for table, found in names_of(catalog, catalog.projections[0]).items()}
    assert names == {
        "shop.public.orders": ("users", "shop.dw.users"),
        "shop.public.users": ("people", "shop.public.people"),
    }
    found = {name for schema, name in relations(Replication(catalog)) if schema == "lake"}
    assert found == {"users", "shop.dw.users", "people", "shop.public.people"}


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM now.orders", [("now", "orders")]),
        ('select * from NOW."Orders"', [("now", "orders")]),
        ('SELECT * FROM now . "shop.public.orders" o', [("now", "shop.public.orders")]),
        (
            "SELECT now.orders.id FROM now.orders JOIN lake.orders USING (id)",
            [("now", "orders"), ("lake", "orders")],
        ),
        ("SELECT 1", []),
        ("SELECT * FROM orders", []),
    ],
)
def test_only_what_a_query_names_is_opened(sql: str, found: list[tuple[str, str]]) -> None:
    known = dict.fromkeys([("now", "orders"), ("now", "shop.public.orders"), ("lake", "orders")], list)
    assert mentioned(sql, known) == found


def test_computed_rows_are_asked_of_once_however_often_they_are_named() -> None:
    asked = []

    def rows() -> Computed:
        asked.append(1)
        return Computed(pa.schema([("id", pa.int64())]), pa.table({"id": [1, 2]}).to_batches())

    with answered(
        "SELECT a.id FROM now.t a JOIN now.t b USING (id) ORDER BY 1", {("now", "t"): rows}
    ) as answer:
        assert answer.reader().read_all().to_pylist() == [{"id": 1}, {"id": 2}]
    assert asked == [1]


def items() -> Computed:
    columns = pa.table({"item_key": ['{"pk":{"S":"a"}}'], "item": ['{"pk":{"S":"a"},"sk":{"S":"b"}}']})
    return Computed(columns.schema, columns.to_batches())


def test_a_column_that_is_not_there_is_answered_by_those_that_are() -> None:
    wanted = r"^query: Binder Error.*sk.* Fix: columns of serving.orders are item_key, item, .*item->>"
    with (
        pytest.raises(QueryError, match=wanted),
        answered("SELECT * FROM serving.orders WHERE sk = 'b'", {("serving", "orders"): items}),
    ):
        pass


def test_attributes_of_items_are_taken_out_of_their_json() -> None:
    sql = "SELECT item->>'$.pk.S' AS pk FROM serving.orders WHERE item->>'$.sk.S' = 'b'"
    with answered(sql, {("serving", "orders"): items}) as answer:
        assert answer.reader().read_all().to_pylist() == [{"pk": "a"}]


def test_a_table_that_is_not_there_is_answered_by_the_schemas() -> None:
    with (
        pytest.raises(QueryError, match="Fix: tables are in the schemas serving"),
        answered("SELECT * FROM serving.nothing", {("serving", "orders"): items}),
    ):
        pass


def test_no_question_is_refused() -> None:
    with pytest.raises(QueryError, match="gives no rows"), answered("-- nothing", {}):
        pass


def test_a_projection_is_a_schema_of_its_own() -> None:
    from replication_assets.flows.query import relations
    from replication_assets.replication import Replication

    catalog = Catalog(
        EventStoreConfig("/store"),
        tables=[Table("shop.public.orders")],
        projections=[DeltaProjection("lake", tables=["shop.*"], root="/lake")],
    )
    assert sorted(relations(Replication(catalog))) == [
        (schema, name) for schema in ("events", "lake", "now") for name in ("orders", "shop.public.orders")
    ]
