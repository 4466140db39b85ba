"""Shapes: rows and columns that a projection has."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.fold import row_schema
from replication_assets.core.positions import Position
from replication_assets.core.refusals import Refusal
from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.core.shape_specs import Computed, Shape, called, shape_problems
from replication_assets.core.shapes import Shaping
from replication_assets.errors import CatalogError, TargetError

SCHEMA = TableSchema(
    (
        Column("id", "bigint", pa.int64()),
        Column("name", "text", pa.string()),
        Column("at", "timestamp", pa.timestamp("us")),
    ),
    key=("id",),
)
WIDE = TableSchema((*SCHEMA.columns, Column("n", "numeric(38)", pa.decimal128(38, 0))), key=("id",))
AT = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def rows(*values: tuple[Any, Any, Any], overflow: str | None = None) -> pa.RecordBatch:
    table = [
        dict(zip(row_schema(SCHEMA).names, (*row, 1, 50, number, AT, overflow), strict=True))
        for number, row in enumerate(values)
    ]
    return pa.RecordBatch.from_pylist(table, schema=row_schema(SCHEMA))


def test_columns_are_renamed_left_out_and_computed() -> None:
    shape = Shape(
        "s.p.t",
        exclude=["at"],
        rename={"id": "ID"},
        computed=[Computed("both", "$id||'-'||$name", "string(9)")],
    )
    shaping = Shaping(shape, SCHEMA)
    assert shaping.schema.names == ("ID", "name", "both")
    assert shaping.schema.key == ("ID",)
    found = shaping.shaped(rows((1, "a", None), (2, None, None)))
    assert found.schema.names == row_schema(shaping.schema).names
    assert found.select(["ID", "name", "both"]).to_pylist() == [
        {"ID": 1, "name": "a", "both": "1-a"},
        {"ID": 2, "name": None, "both": None},
    ]


def test_rows_pass_by_all_filters() -> None:
    shape = Shape("t", where=[Where("id", [Compare("gte", ["2"])]), Where("name", [Compare("notnull")])])
    given = rows((1, "a", None), (2, None, None), (3, "c", None))
    assert Shaping(shape, SCHEMA).passes(given).to_pylist() == [False, False, True]


def test_odd_values_follow_their_column_and_cannot_be_filtered_by() -> None:
    odd = rows((1, "a", None), overflow='{"at":"infinity"}')
    renamed = Shaping(Shape("t", rename={"at": "seen_at"}), SCHEMA).shaped(odd)
    assert renamed.column("_overflow").to_pylist() == ['{"seen_at":"infinity"}']
    left_out = Shaping(Shape("t", exclude=["at"]), SCHEMA).shaped(odd)
    assert left_out.column("_overflow").to_pylist() == [None]
    with pytest.raises(TargetError, match=r"'at'.*beyond its type") as told:
        Shaping(Shape("t", where=[Where("at", [Compare("notnull")])]), SCHEMA).passes(odd)
    assert "infinity" not in str(told.value)


SHORT = Shape("t", rename={"id": "ID"}, computed=[Computed("short", "$name", "string(2)")])


def test_a_row_whose_computed_value_does_not_fit_is_refused_without_the_value_being_shown() -> None:
    given = rows((1, "ab", None), (2, "secret", None), (3, None, None))
    found = Shaping(SHORT, SCHEMA).fitting(given)
    assert found.rows.column("ID").to_pylist() == [1, 3]
    assert found.fits.to_pylist() == [True, False, True]
    detail = "the value of column 'short' is no string(2)"
    assert found.refused == (Refusal('{"id":"2"}', Position(1, 50, 1), None, "not-string", detail),)


def test_without_a_key_a_value_that_does_not_fit_ends_the_run() -> None:
    with pytest.raises(TargetError, match=r"1 values of column 'short' are no string\(2\)") as told:
        Shaping(SHORT, dataclasses.replace(SCHEMA, key=())).fitting(rows((1, "secret", None)))
    assert "secret" not in str(told.value)


def test_columns_have_the_types_that_they_are_given_and_what_does_not_fit_is_refused() -> None:
    shape = Shape("t", rename={"name": "n"}, types={"id": "string", "name": "numeric(5, 2)", "at": "date"})
    shaping = Shaping(shape, SCHEMA)
    assert [str(each.arrow) for each in shaping.schema.columns] == [
        "string",
        "decimal128(5, 2)",
        "date32[day]",
    ]
    night, noon = dt.datetime(2024, 2, 3), dt.datetime(2024, 2, 3, 12)
    found = shaping.fitting(rows((1, "1.5", night), (2, "1.555", night), (3, "x", noon), (4, None, noon)))
    assert found.rows.select(["id", "n", "at"]).to_pylist() == [
        {"id": "1", "n": Decimal("1.50"), "at": dt.date(2024, 2, 3)}
    ]
    assert [(each.key, each.reason) for each in found.refused] == [
        ('{"id":"2"}', "not-numeric"),
        ('{"id":"3"}', "not-numeric"),
        ('{"id":"4"}', "not-date"),
    ]
    # What is deleted was there only if its key fits.
    narrow = Shaping(Shape("t", types={"id": "int1", "name": "int8"}), SCHEMA)
    kept = narrow.keys(rows((1, "a", None), (1000, "b", None)))
    assert kept.select(["id", "name"]).to_pylist() == [{"id": 1, "name": None}]


def test_rows_whose_keys_differ_stay_different_in_another_type() -> None:
    texts = TableSchema((SCHEMA.columns[1], SCHEMA.columns[0], SCHEMA.columns[2]), key=("name",))
    shaping = Shaping(Shape("t", types={"name": "int8"}), texts)
    spelled = ["1", "01", " 1", "+1", "1.0", "1e0", "\uff11"]
    given = rows(*[(number, each, None) for number, each in enumerate(spelled)])
    found = shaping.fitting(given)
    assert found.rows.select(["name", "id"]).to_pylist() == [{"name": 1, "id": 0}]
    assert [each.reason for each in found.refused] == ["not-int8"] * 6
    # The row of another spelling was never written, so that its end takes none away.
    assert shaping.keys(given.slice(1)).num_rows == 0


def test_an_odd_value_is_part_of_a_column_that_becomes_a_text() -> None:
    odd = rows((1, "a", None), overflow='{"at":"infinity"}')
    found = Shaping(Shape("t", types={"at": "string"}), SCHEMA).fitting(odd).rows
    assert (found.column("at").to_pylist(), found.column("_overflow").to_pylist()) == (["infinity"], [None])
    typed = Shaping(Shape("t", types={"at": "date"}), SCHEMA).fitting(odd).rows
    assert typed.column("_overflow").to_pylist() == ['{"at":"infinity"}']


def test_headers_are_those_of_the_event_that_made_the_row() -> None:
    computed = [Computed("seq", "$AR_H_CHANGE_SEQ"), Computed("at2", "$AR_H_TIMESTAMP", "datetime")]
    found = Shaping(Shape("t", computed=computed), SCHEMA).shaped(rows((1, "a", None)))
    assert found.column("seq").to_pylist() == ["000001" + "50".zfill(19) + "0" * 10]
    assert found.column("at2").to_pylist() == [dt.datetime(2024, 1, 1)]


def test_a_table_keeps_its_name_where_no_shape_gives_it_another() -> None:
    orders, items = TableId("shop", "public", "orders"), TableId("shop", "public", "items")
    shapes = [Shape(str(orders), name="facts"), Shape(str(items), schema="dw", exclude=["note"])]
    assert called(shapes, orders) == TableId("shop", "public", "facts")
    assert called(shapes, items) == TableId("shop", "dw", "items")
    assert called(shapes, TableId("shop", "public", "x")) == TableId("shop", "public", "x")
    assert [each.is_of_rows for each in shapes] == [False, True]


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (Shape("t"), "says nothing"),
        (Shape("t", name=""), "name is no name"),
        (Shape("t", schema="s" * 129), "schema is no name"),
        (Shape("t", where=[Where("id", [Compare("gt", ["1"])])]), "operator 'gt' is not known"),
        (Shape("t", where=[Where("id", [Compare("between", ["1"])])]), "has 1 values"),
        (Shape("t", exclude=["name"], rename={"name": "n"}), "both left out and renamed"),
        (Shape("t", types={"name": "text"}), "types 'name': 'text' is not known"),
        (Shape("t", types={"name": "numeric(50, 2)"}), "is not known"),
        (Shape("t", types={"name": "int8"}, exclude=["name"]), "left out and of another type"),
        (Shape("t", computed=[Computed("x", "uper($a)")]), "did you mean upper?"),
        (Shape("t", computed=[Computed("x", "datetime('now')")]), "another value each time"),
        (Shape("t", computed=[Computed("x", "operation_indicator(1,2,3)")]), "rows, not changes"),
        (Shape("t", computed=[Computed("x", "$AR_H_USER")]), "is not of a row"),
        (Shape("t", computed=[Computed("x", "1", "text")]), "type 'text' is not known"),
    ],
)
def test_what_no_columns_could_fit_is_told(shape: Shape, problem: str) -> None:
    assert any(problem in each for each in shape_problems(shape))


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        (Shape("t", exclude=["id"]), "in the key"),
        (Shape("t", exclude=["nmae"]), "no column"),
        (Shape("t", types={"nmae": "int8"}), "no column"),
        (Shape("t", types={"at": "int8"}), "timestamp\\[us\\] is never int8"),
        (Shape("t", rename={"Name": "n"}), "did you mean name?"),
        (Shape("t", rename={"name": "at"}), "two columns would be called 'at'"),
        (Shape("t", rename={"name": "_epoch"}), "which is taken"),
        (Shape("t", where=[Where("id", [Compare("eq", ["x"])])]), "a value is no number"),
        (Shape("t", where=[Where("id", [Compare("gte", ["1e-30"])])]), "a value cannot be compared"),
        (Shape("t", where=[Where("n", [Compare("gte", ["0.5"])])]), "a value cannot be compared"),
        (Shape("t", computed=[Computed("x", "$nobody")]), "'nobody' is no column"),
    ],
)
def test_what_does_not_fit_the_columns_is_told(shape: Shape, problem: str) -> None:
    with pytest.raises(CatalogError, match=problem):
        Shaping(shape, WIDE)


def test_rows_of_other_columns_than_the_filters_were_written_for_are_told_without_a_value() -> None:
    shaping = Shaping(Shape("t", where=[Where("name", [Compare("eq", ["secret"])])]), SCHEMA)
    given = rows((1, "a", None))
    other = given.set_column(1, "name", pa.array([1], pa.int64()))
    with pytest.raises(TargetError, match="filters of the shape were written for") as told:
        shaping.passes(other)
    assert "secret" not in str(told.value)
