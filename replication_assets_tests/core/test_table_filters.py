"""Filters of tables: their text, what they refuse, what they leave of rows, and what is pushed of them."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.events import OVERFLOW
from replication_assets.core.pushed_filters import Bound, Comparable, digits_of, pushed
from replication_assets.core.row_filters import Compare, Where, mask
from replication_assets.core.schema import Column, TableSchema
from replication_assets.core.table_filters import NO_FILTER, RowFilter, filter_of, filter_text, misfits
from replication_assets.errors import SchemaConflict

SCHEMA = TableSchema(
    (
        Column("v", "int", pa.int64()),
        Column("s", "text", pa.string()),
        Column("d", "date", pa.date32()),
        Column("n", "numeric", pa.decimal128(12, 3)),
        Column("b", "bytes", pa.binary()),
        Column("t", "timestamp", pa.timestamp("us")),
    )
)
operators = st.sampled_from(["lte", "gte", "eq", "noteq", "between", "notbetween"])


def compare(operator: str, values: list[str]) -> Compare:
    return Compare(operator, values if "between" in operator else values[:1])


comparisons = st.builds(compare, operators, st.lists(st.text(max_size=5), min_size=2, max_size=2))
filters = st.lists(
    st.builds(Where, st.text(max_size=4), st.lists(comparisons, min_size=1, max_size=3)), max_size=3
)


@settings(max_examples=40)
@given(filters)
def test_a_text_is_read_back_as_filters_that_say_the_same(where: list[Where]) -> None:
    text = filter_text(where)
    assert filter_text(filter_of(text)) == text == filter_text(reversed(where))
    assert (text == NO_FILTER) == (not where)


@settings(max_examples=40)
@given(filters, filters)
def test_filters_that_differ_have_texts_that_differ(one: list[Where], other: list[Where]) -> None:
    def parts(where: list[Where]) -> list[tuple[str, list[tuple[str, ...]]]]:
        return sorted((w.column, sorted((c.operator, *c.values) for c in w.one_of)) for w in where)

    assert (filter_text(one) == filter_text(other)) == (parts(one) == parts(other))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (Where("V", [Compare("null")]), "did you mean v"),
        (Where("v", [Compare("like", ["x"])]), "not known"),
        (Where("v", [Compare("eq", ["secret"])]), "is no number"),
        (Where("d", [Compare("eq", ["2024-02-30"])]), "is no date. Fix: write it as date32"),
        (Where("d", [Compare("eq", ["secret"])]), "is no date"),
        (Where("t", [Compare("eq", ["secret"])]), "is no date and time"),
        (Where("v", [Compare("gte", ["1e-30"])]), "cannot be compared"),
        (Where("s", [Compare("eq", ["\ud800"])]), "cannot be compared"),
        (Where("n", [Compare("lte", ["1e700"])]), "Fix"),
        (Where("b", [Compare("eq", ["x"])]), "Fix"),
    ],
)
def test_a_filter_that_does_not_fit_is_refused_without_its_value(where: Where, said: str) -> None:
    (problem,) = misfits([where], SCHEMA)
    assert said in problem
    assert "secret" not in problem


def test_a_value_beyond_the_type_of_a_filtered_column_is_refused_by_name() -> None:
    rows = pa.record_batch({"v": [1, None], "s": ["a", "b"], OVERFLOW: [None, '{"v":"NaN"}']})
    with pytest.raises(SchemaConflict, match="'v'") as refused:
        RowFilter([Where("v", [Compare("null")])], "t").kept(rows)
    assert "NaN" not in str(refused.value)
    assert RowFilter([Where("s", [Compare("eq", ["b"])])], "t").kept(rows).num_rows == 1


class Spelled:
    """A dialect that compares whole numbers and decimals."""

    def comparable(self, column: Column) -> Comparable | None:
        return None if column.name in ("s", "b") else Comparable(column.name, f"{column.name} odd")

    def constant(self, bound: Bound) -> str | None:
        return digits_of(bound) if isinstance(bound, Decimal) else None

    def plain_constant(self, column: Column, bound: Bound) -> str | None:
        return None


@pytest.mark.parametrize(
    ("one_of", "condition"),
    [
        ([Compare("lte", ["1.5"])], "(v <= 1 OR v odd)"),
        ([Compare("gte", ["-1.5"])], "(v >= -1 OR v odd)"),
        ([Compare("between", ["0.5", "9e30"])], "((v >= 1 AND v <= 9223372036854775807) OR v odd)"),
        ([Compare("notbetween", ["0.5", "2.5"]), Compare("null")],
         "((v < 1 OR v > 2) OR v IS NULL OR v odd)"),
        ([Compare("notbetween", ["-9e30", "9e30"])],
         "((v < -9223372036854775808 OR v > 9223372036854775807) OR v odd)"),
        ([Compare("noteq", ["1.5"])], "(v <> 1.5 OR v odd)"),
    ],
)  # fmt: skip
def test_whole_numbers_are_compared_with_whole_numbers(one_of: list[Compare], condition: str) -> None:
    assert pushed(Spelled(), [Where("v", one_of)], SCHEMA) == [condition]


def test_what_is_outside_of_a_range_beyond_every_column_is_not_pushed() -> None:
    least, most = -(2**63), 2**63 - 1
    for low, high in [("-1e30", "-1e29"), (str(least - 9), str(least - 1)), (str(most + 1), "1e30")]:
        where = [Where("v", [Compare("notbetween", [low, high])])]
        assert mask(where, pa.table({"v": [least, most]})).to_pylist() == [True, True]
        assert pushed(Spelled(), where, SCHEMA) == []


def test_a_filter_is_pushed_whole_or_not_at_all() -> None:
    either = Where("d", [Compare("null"), Compare("gte", ["2024-01-01"])])
    kept = Where("n", [Compare("eq", ["1.50"])])
    other = Where("s", [Compare("eq", ["x"])])
    assert pushed(Spelled(), [either, kept, other], SCHEMA) == ["(n = 1.50 OR n odd)"]
    assert pushed(Spelled(), [Where("n", [Compare("lte", ["1e90"])])], SCHEMA) == []
