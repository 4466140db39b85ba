"""Source filters: AND between filters, OR within one, NULL meets nothing but `null`."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.row_filters import mask, typed_value
from replication_assets.dms.filters import as_sql, declared
from replication_assets.dms.rules import Filter
from replication_assets_tests.dms.rules_text import include, mapping_of, tables_of


def condition(operator: str, *values: Any) -> dict[str, Any]:
    members = ("start-value", "end-value") if len(values) == 2 else ("value",)
    return {"filter-operator": operator, **dict(zip(members, values, strict=False))}


def filters_of(*filters: tuple[str, list[dict[str, Any]]]) -> tuple[Filter, ...]:
    listed = [
        {"filter-type": "source", "column-name": name, "filter-conditions": each} for name, each in filters
    ]
    mapping = mapping_of(include("employee", filters=listed))
    assert [each for each in mapping.findings if each.severity == "error"] == []
    return mapping.selections[0].filters


ROWS = pa.record_batch({"empid": pa.array([5, 10, 60, 100, None]), "dept": ["tech", None, "hr", "tech", "x"]})


@pytest.mark.parametrize(
    ("conditions", "passed"),
    [
        ([condition("gte", "100")], [100]),
        ([condition("lte", 10)], [5, 10]),
        ([condition("ste", "10")], [5, 10]),
        ([condition("eq", "60")], [60]),
        ([condition("noteq", "60")], [5, 10, 100]),
        ([condition("between", "10", "60")], [10, 60]),
        ([condition("notbetween", "10", "60")], [5, 100]),
        ([condition("null")], [None]),
        ([condition("notnull")], [5, 10, 60, 100]),
        ([condition("lte", "5"), condition("between", "50", "75"), condition("gte", "100")], [5, 60, 100]),
        ([condition("lte", "5.5")], [5]),
        ([condition("lte", "99999999999999999999")], [5, 10, 60, 100]),
    ],
)
def test_an_operator_takes_the_rows_that_it_says(
    conditions: list[dict[str, Any]], passed: list[int | None]
) -> None:
    found = ROWS.filter(mask(declared(filters_of(("empid", conditions))), ROWS))
    assert found.column("empid").to_pylist() == passed


def test_filters_are_combined_with_and() -> None:
    both = filters_of(("empid", [condition("lte", "100")]), ("dept", [condition("eq", "tech")]))
    assert ROWS.filter(mask(declared(both), ROWS)).column("empid").to_pylist() == [5, 100]
    assert as_sql(both) == """("empid" <= 100) AND ("dept" = 'tech')"""
    assert as_sql(filters_of(("no", [condition("eq", "007")]))) == """("no" = '007')"""
    (texts,) = tables_of({"schema": "test", "name": "t", "columns": {"empid": "varchar(9)"}})
    assert as_sql(both[:1], texts) == """("empid" <= '100')"""


def test_a_value_is_compared_as_what_the_column_is() -> None:
    rows = pa.record_batch(
        {
            "day": pa.array([dt.date(2001, 12, 31), dt.date(2002, 1, 1)]),
            "at": pa.array(
                [dt.datetime(2002, 1, 1), dt.datetime(2002, 1, 1, 1)], pa.timestamp("us", tz="UTC")
            ),
            "text": ["9", "10"],
            "price": pa.array([Decimal("9.5"), Decimal("10.0")], pa.decimal128(5, 1)),
            "real": [9.5, 10.0],
            "flag": [True, False],
        }
    )

    def passed(name: str, each: dict[str, Any]) -> list[bool]:
        return list(mask(declared(filters_of((name, [each]))), rows).to_pylist())

    assert passed("day", condition("gte", "2002-01-01")) == [False, True]
    assert passed("at", condition("lte", "2002-01-01 00:30:00")) == [True, False]
    assert passed("text", condition("gte", "9")) == [True, False]
    assert passed("price", condition("gte", "9.75")) == [False, True]
    assert passed("real", condition("between", "9.5", "9.9")) == [True, False]
    assert passed("flag", condition("eq", "true")) == [True, False]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x", pa.int64()),
        ("1e", pa.float64()),
        ("2002-13-01", pa.date32()),
        ("1_0", pa.int64()),
        ("1_0", pa.float64()),
        ("NaN", pa.float64()),
        ("2002-W01-1", pa.date32()),
        ("2002-01-01 12:00:00", pa.date32()),
        ("2002-01-01T00:00:00Z", pa.date32()),
        ("2002-01-01 00:00:00.1234567", pa.timestamp("us")),
    ],
)
def test_a_value_that_the_column_cannot_have_is_refused(text: str, kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match=r"is no|has a time of day"):
        typed_value(text, kind)


def test_a_negative_condition_beside_others_is_told() -> None:
    each = {
        "filter-type": "source",
        "column-name": "id",
        "filter-conditions": [condition("noteq", "1"), condition("eq", "2")],
    }
    codes = [each.code for each in mapping_of(include("t", filters=[each])).findings]
    assert "negative-or" in codes


def test_an_operator_that_dms_has_not_is_told_with_those_it_has() -> None:
    each = {"filter-type": "source", "column-name": "id", "filter-conditions": [condition("gt", "1")]}
    findings = mapping_of(include("t", filters=[each])).findings
    assert any(each.code == "unknown-word" and "gte" in each.fix for each in findings)


@pytest.mark.parametrize(
    "broken",
    [
        {"filter-type": "source", "column-name": "id", "filter-conditions": [condition("gt", "1")]},
        {"filter-type": "source", "column-name": "id", "filter-conditions": []},
        {"filter-type": "source", "filter-conditions": [{"filter-operator": "null"}]},
        {"filter-type": "target", "column-name": "id", "filter-conditions": [{"filter-operator": "null"}]},
        {"filter-type": "source", "column-name": "id",
         "filter-conditions": [condition("null"), {"filter-operator": "between", "start-value": "1"}]},
        "id > 1",
    ],
)  # fmt: skip
def test_a_rule_with_a_filter_that_cannot_be_read_takes_no_rows_at_all(broken: Any) -> None:
    mapping = mapping_of(include("actor", filters=[broken]))
    assert "error" in {each.severity for each in mapping.findings}
    assert mapping.selections == ()
