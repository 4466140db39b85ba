"""Expressions give what SQLite gives, and what is none is told with its place."""

import datetime as dt
import sqlite3
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.expressions.evaluation import evaluate, fitted
from replication_assets.core.expressions.parser import ExpressionError, parse_expression

ROW = pa.record_batch(
    {
        "a": pa.array([7], pa.int64()),
        "A": pa.array(["upper"]),
        "s": pa.array(["Straße"]),
        "n": pa.array([None], pa.string()),
        "d": pa.array([dt.date(2024, 2, 29)]),
        "t": pa.array([dt.datetime(2024, 2, 29, 12, 30)], pa.timestamp("us", tz="UTC")),
        "m": pa.array([Decimal("0.10")], pa.decimal128(10, 2)),
        "b": pa.array([True]),
        "x": pa.array([b"\x01\xff"]),
    }
)


def value(text: str, **variables: Any) -> Any:
    (results,) = evaluate([parse_expression(text)], ROW, {name: [each] for name, each in variables.items()})
    return results[0]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$s||'_'||$a", "Straße_7"),
        ("$s || $n", None),
        ("coalesce($n, 'x')", "x"),
        ("ifnull($n, $a)", 7),
        ("nullif($a, 7)", None),
        ("CASE WHEN $a > 5 THEN 'big' ELSE 'small' END", "big"),
        ("case $a when 7 then 'seven' end", "seven"),
        ("upper(substr($A, 1, 2))", "UP"),
        ("round(3.14159, 2)", 3.14),
        ("max($a, 9)", 9),
        ("replace($A, 'p', 'P')", "uPPer"),
        ("trim('  x ')", "x"),
        ("replaceChars('abcde', 'abcd', '123')", "1231e"),
        ("REPLACECHARS('a/b', '/', '')", "ab"),
        ("$a BETWEEN 1 AND 7 AND NOT $a IN (1, 2)", 1),
        ("$n IS NULL", 1),
        ("$n ISNULL OR 0", 1),
        ("$s NOT LIKE 'str%'", 0),
        ("strftime('%Y', $d)", "2024"),
        ("date($t, '+1 day')", "2024-03-01"),
        ("$t", "2024-02-29 12:30:00"),
        ("$m + 1", 1.1),
        ("$b", 1),
        ("hex($x)", "01FF"),
        ("1 + 2 * 3 || 4", 69),
        ("-2 - -3", 1),
        ("2 << 1 | 1", 5),
        ("CAST('12' AS INTEGER) % 5", 2),
        ("'it''s'", "it's"),
        ('"double"', "double"),
        ("x'6869'", b"hi"),
        ("${a}", 7),
        (
            "hash_sha256('abc')",
            "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
        ),
        ("hash_sha256($n)", None),
    ],
)
def test_an_expression_gives_what_it_stands_for(text: str, result: object) -> None:
    assert value(text) == result


def test_headers_and_the_operation_are_values_of_the_change() -> None:
    assert value("$AR_H_STREAM_POSITION||'!'", AR_H_STREAM_POSITION="00/1") == "00/1!"
    assert value("operation_indicator('D', 'U', 'I')", AR_H_OPERATION="UPDATE") == "U"
    assert value("operation_indicator(1, 2, 3)", AR_H_OPERATION="DELETE") == 1


def test_the_value_before_a_change_is_that_of_the_row_before() -> None:
    before = ROW.set_column(0, "a", pa.array([6], pa.int64()))
    assert evaluate([parse_expression("$a - $BI__a")], ROW, before=before) == [[1]]


_ATOMS = st.sampled_from(["1", "2.5", "'a'", "'3'", "NULL", "0", "''", "-4"])
_BINARY = st.sampled_from(
    ["+", "-", "*", "/", "%", "||", "=", "<>", "<", ">=", "AND", "OR", "IS", "IS NOT", "LIKE", "&", "<<"]
)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        _ATOMS,
        lambda inner: (
            st.tuples(inner, _BINARY, inner).map(" ".join)
            | st.tuples(st.sampled_from(["-", "+"]), inner).map(" ".join)
            | inner.map(lambda text: f"(NOT {text})")
            | inner.map(lambda text: f"({text})")
            | st.tuples(inner, inner, inner).map(lambda parts: "{} BETWEEN {} AND {}".format(*parts))
        ),
        max_leaves=8,
    )
)
def test_precedence_is_that_of_sqlite(text: str) -> None:
    with sqlite3.connect(":memory:") as connection:
        assert value(text) == connection.execute(f"SELECT {text}").fetchone()[0]


@pytest.mark.parametrize(
    ("text", "at", "fix"),
    [
        ("uper($a)", 0, "did you mean upper?"),
        ("upper($a", 8, "write ) there"),
        ("upper()", 0, "give it 1"),
        ("max($a)", 0, "give it 2 or more"),
        ("$a || ", 6, "complete it"),
        ("FIRST_NAME", 0, "write $FIRST_NAME for the column"),
        ("(SELECT 1)", 1, "write it without"),
        ("'open", 0, "close it with '"),
        ("$AR_H_OPERATON", 0, "did you mean $AR_H_OPERATION?"),
        ("$a; DROP TABLE r", 2, "delete it"),
        ("CASE 1 END", 7, "write CASE WHEN"),
        ("load_extension('x')", 0, "use one of"),
        ("$a $b", 3, "delete the rest"),
    ],
)
def test_what_is_no_expression_is_told_with_its_place_and_fix(text: str, at: int, fix: str) -> None:
    with pytest.raises(ExpressionError) as told:
        parse_expression(text)
    assert told.value.at == at
    assert told.value.fix.startswith(fix)


def test_what_gives_another_value_each_time_is_known() -> None:
    assert parse_expression("datetime('now')").unstable == "datetime('now')"
    assert parse_expression("1 + random()").unstable == "random()"
    assert parse_expression("CURRENT_TIMESTAMP").unstable == "CURRENT_TIMESTAMP"
    assert parse_expression("datetime($t)").unstable is None


def test_rows_are_evaluated_in_batches_and_in_their_order() -> None:
    rows = pa.record_batch({"i": pa.array(range(20_000))})
    assert evaluate([parse_expression("$i * 2")], rows) == [[2 * each for each in range(20_000)]]


def test_a_result_that_does_not_fit_its_type_is_refused_and_never_cut() -> None:
    array, refused = fitted(["abc", "abcd", None], "string", 3, None, None)
    assert array.to_pylist() == ["abc", None, None]
    assert refused == [(1, "not-string")]
    assert fitted([127, 128], "int1", None, None, None)[1] == [(1, "not-int1")]
    assert fitted(["1.25"], "numeric", None, 3, 1)[1] == [(0, "not-numeric")]
    assert fitted(["2024-02-30"], "date", None, None, None)[1] == [(0, "not-date")]


NIGHT = dt.datetime(2024, 1, 1)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("date", ["2024-01-01", "2024-01-01 00:00:00", "2024-01-01T02:00:00+02:00"], [NIGHT.date()] * 3),
        ("date", ["2024-01-01 23:59", "2024-01-01T00:00:00+02:00", "2024-01-01x", "2024-W01-1", 20240101],
         ["no"] * 5),
        ("datetime", ["2024-01-01", "2024-01-01 00:00", "2024-01-01T02:00:00.000+0200"], [NIGHT] * 3),
        ("datetime", ["2024-01-01 00:00:00.1234567", "20240101T000000", "2024-01-01T00:00:00,5"], ["no"] * 3),
        ("datetime", [20240101, 1.5, b"2024-01-01"], ["no"] * 3),
        ("datetime", ["9999-12-31T23:00:00-02:00"], ["no"]),
        ("int8", ["1_0", "\uff11", " 1", b"1", 1.0, "1e0"], ["no", "no", "no", "no", 1, 1]),
        ("numeric", ["1_000.5", 1000.5, "inf", float("nan")], ["no", Decimal("1000.5"), "no", "no"]),
        ("real8", ["1_0", b"1", "nan", "0.10000000000000000001", 2**53 + 1, "0.1", 3],
         ["no", "no", "no", "no", "no", 0.1, 3.0]),
    ],
)  # fmt: skip
def test_a_text_is_read_in_the_forms_of_its_type_alone(
    kind: str, given: list[object], expected: list[object]
) -> None:
    array, refused = fitted(given, kind, None, None, None)
    lost = {at for at, _ in refused}
    assert ["no" if at in lost else each for at, each in enumerate(array.to_pylist())] == expected


def test_a_decimal_of_many_digits_reaches_sqlite_as_its_text() -> None:
    rows = pa.record_batch({"m": pa.array([Decimal("1234567890123456.789")], pa.decimal128(20, 3))})
    assert evaluate([parse_expression("$m")], rows) == [["1234567890123456.789"]]


def test_a_failing_function_tells_no_value() -> None:
    with pytest.raises(ValueError, match=r"SQLite refuses the expression") as told:
        value("json_extract($s, '$.a')")
    assert "Straße" not in str(told.value)
