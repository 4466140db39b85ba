"""Each type of Oracle is stored exactly or refused by name; loads and LogMiner's literals agree."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.schema import TableSchema
from replication_assets.errors import DecodeError, SourceNotReady
from replication_assets.sources.oracle.select_list import loaded_batch, loaded_schema
from replication_assets.sources.oracle.types import column_of, type_name
from replication_assets.sources.oracle.values import canonical_number, from_frame, from_text, old_texts

D38 = pa.decimal128(38, 0)
ANY = pa.decimal128(38, 10)


@pytest.mark.parametrize(
    ("dictionary", "native", "stored"),
    [
        (("NUMBER", None, None, None, 22), "NUMBER", ANY),
        (("NUMBER", None, None, 0, 22), "NUMBER(*,0)", D38),
        (("NUMBER", None, 4, 0, 22), "NUMBER(4)", pa.int16()),
        (("NUMBER", None, 9, 0, 22), "NUMBER(9)", pa.int32()),
        (("NUMBER", None, 18, 0, 22), "NUMBER(18)", pa.int64()),
        (("NUMBER", None, 19, 0, 22), "NUMBER(19)", pa.decimal128(19, 0)),
        (("NUMBER", None, 38, 0, 22), "NUMBER(38)", D38),
        (("NUMBER", None, 10, 2, 22), "NUMBER(10,2)", pa.decimal128(10, 2)),
        (("NUMBER", None, 2, 5, 22), "NUMBER(2,5)", pa.decimal128(5, 5)),
        (("NUMBER", None, 5, 127, 22), "NUMBER(5,127)", pa.string()),
        (("NUMBER", None, 3, -2, 22), "NUMBER(3,-2)", pa.int32()),
        (("NUMBER", None, 38, -84, 22), "NUMBER(38,-84)", pa.string()),
        (("FLOAT", None, 126, None, 22), "FLOAT(126)", ANY),
        (("BINARY_FLOAT", None, None, None, 4), "BINARY_FLOAT", pa.float32()),
        (("BINARY_DOUBLE", None, None, None, 8), "BINARY_DOUBLE", pa.float64()),
        (("DATE", None, None, None, 7), "DATE", pa.timestamp("us")),
        (("TIMESTAMP(9)", None, None, 9, 11), "TIMESTAMP(9)", pa.timestamp("us")),
        (("TIMESTAMP(6) WITH TIME ZONE", None, None, 6, 13), "TIMESTAMP(6) WITH TIME ZONE", pa.string()),
        (
            ("TIMESTAMP(6) WITH LOCAL TIME ZONE", None, None, 6, 11),
            "TIMESTAMP(6) WITH LOCAL TIME ZONE",
            pa.timestamp("us", tz="UTC"),
        ),
        (("INTERVAL YEAR(2) TO MONTH", None, 2, 0, 5), "INTERVAL YEAR(2) TO MONTH", pa.string()),
        (("INTERVAL DAY(2) TO SECOND(6)", None, 2, 6, 11), "INTERVAL DAY(2) TO SECOND(6)", pa.string()),
        (("CHAR", None, None, None, 10), "CHAR(10)", pa.string()),
        (("NVARCHAR2", None, None, None, 10), "NVARCHAR2(10)", pa.string()),
        (("RAW", None, None, None, 16), "RAW(16)", pa.binary()),
        (("CLOB", None, None, None, 4000), "CLOB", pa.string()),
        (("BLOB", None, None, None, 4000), "BLOB", pa.binary()),
        (("LONG", None, None, None, 0), "LONG", pa.string()),
        (("LONG RAW", None, None, None, 0), "LONG RAW", pa.binary()),
        (("ROWID", None, None, None, 10), "ROWID", pa.string()),
        (("UROWID", None, None, None, 4000), "UROWID", pa.string()),
        (("XMLTYPE", "SYS", None, None, 2000), "XMLTYPE", pa.string()),
        (("JSON", None, None, None, 8200), "JSON", pa.string()),
        (("VECTOR", None, None, None, 8200), "VECTOR", pa.string()),
        (("BOOLEAN", None, None, None, 1), "BOOLEAN", pa.bool_()),
    ],
)
def test_a_type_is_stored_as_the_table_says(
    dictionary: tuple[Any, ...], native: str, stored: pa.DataType
) -> None:
    assert type_name(*dictionary) == native
    assert column_of("C", native, True).arrow == stored


@pytest.mark.parametrize(
    ("data_type", "owner"),
    [
        ("SDO_GEOMETRY", "MDSYS"),
        ("ANYDATA", "SYS"),
        ("ADDRESS_T", "SALES"),
        ("BFILE", None),
        ("MLSLABEL", None),
        ("TIMESTAMP", None),
    ],
)
def test_any_other_type_is_refused_by_name(data_type: str, owner: str | None) -> None:
    with pytest.raises(SourceNotReady, match=data_type):
        type_name(data_type, owner, None, None, None)


def test_a_number_that_identifies_rows_is_a_whole_one() -> None:
    assert column_of("ID", "NUMBER", False, identifies=True).arrow == D38
    assert column_of("ID", "NUMBER(9)", False, identifies=True).arrow == pa.int32()


def values(native: str, *texts: str | None) -> tuple[list[Any], list[str | None] | None]:
    typed, odd = from_text(column_of("C", native, True), pa.array(texts, pa.string()))
    assert typed.type == column_of("C", native, True).arrow
    return typed.to_pylist(), None if odd is None else odd.to_pylist()


def test_numbers_have_one_value_whichever_way_they_are_printed() -> None:
    assert values("NUMBER(10,2)", "1.50", "1.5", "-.5", "15E-1", None) == (
        [Decimal("1.50"), Decimal("1.50"), Decimal("-0.50"), Decimal("1.50"), None],
        None,
    )
    assert values("NUMBER(3,-2)", "12300", "-500") == ([12300, -500], None)
    assert values("NUMBER(2,5)", ".00012") == ([Decimal("0.00012")], None)
    assert values("NUMBER(38,-84)", "1E+120", "0") == (["1" + 120 * "0", "0"], None)


def test_a_number_that_its_column_cannot_hold_stands_in_the_overflow() -> None:
    big, small = "9" * 40, "0.00000000001"
    assert values("NUMBER", "1.5", big, small) == ([Decimal("1.5"), None, None], [None, big, small])
    assert values("NUMBER(*,0)", "7", big) == ([Decimal(7), None], [None, big])


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12))
def test_every_number_is_told_exactly_once(number: Decimal) -> None:
    (typed,), odd = values("NUMBER", str(number))
    if typed is None:
        assert odd is not None
        assert Decimal(odd[0] or "") == number
    else:
        assert odd in (None, [None])
        assert typed == number


def test_a_number_of_declared_digits_with_more_is_an_error_that_does_not_quote_it() -> None:
    with pytest.raises(DecodeError, match="is not a NUMBER") as caught:
        values("NUMBER(3)", "123456")
    assert "123456" not in str(caught.value)
    with pytest.raises(DecodeError):
        values("NUMBER(3)", "twelve")


def test_floats_keep_infinities_and_what_is_no_number() -> None:
    typed, _ = values("BINARY_DOUBLE", "Nan", "Inf", "-Inf", "1.5E+000", None)
    assert math.isnan(typed[0])
    assert typed[1:] == [math.inf, -math.inf, 1.5, None]


def test_moments_before_christ_and_nanoseconds_stand_in_the_overflow() -> None:
    assert values("DATE", " 2024-02-29 23:59:59", "-0044-03-15 12:00:00") == (
        [dt.datetime(2024, 2, 29, 23, 59, 59), None],
        [None, "-0044-03-15 12:00:00"],
    )
    assert values("TIMESTAMP(9)", " 9999-12-31 23:59:59.123456000", " 2024-01-01 00:00:00.123456780") == (
        [dt.datetime(9999, 12, 31, 23, 59, 59, 123456), None],
        [None, "2024-01-01 00:00:00.12345678"],
    )
    (utc,), _ = values("TIMESTAMP(6) WITH LOCAL TIME ZONE", "2024-01-01 00:00:00.5")
    assert utc == dt.datetime(2024, 1, 1, 0, 0, 0, 500_000, dt.UTC)
    with pytest.raises(DecodeError):
        values("DATE", "01-JAN-24")


def test_zones_and_intervals_are_kept_as_text_of_one_form() -> None:
    native = "TIMESTAMP(9) WITH TIME ZONE"
    assert values(
        native, " 2024-01-01 00:00:00.500000000 +02:00 ", " 2024-01-01 00:00:00.000 Europe/Berlin CET"
    )[0] == ["2024-01-01 00:00:00.5 +02:00", "2024-01-01 00:00:00 Europe/Berlin CET"]
    assert values("INTERVAL DAY(2) TO SECOND(6)", "+01 02:03:04.000000")[0] == ["+01 02:03:04.000000"]


def test_bytes_truth_and_padding_are_kept() -> None:
    assert values("RAW(4)", "00ff", None)[0] == [b"\x00\xff", None]
    assert values("BOOLEAN", "TRUE", "FALSE", None)[0] == [True, False, None]
    assert values("CHAR(3)", "a  ")[0] == ["a  "]


@pytest.mark.parametrize(
    ("native", "frame", "text"),
    [
        ("NUMBER(9)", pa.array([5, None], pa.int64()), ["5", None]),
        ("NUMBER(10,2)", pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)), ["1.5", None]),
        ("NUMBER(30)", pa.array([Decimal(7), None], pa.decimal128(30, 0)), ["7", None]),
        ("BINARY_FLOAT", pa.array([1.5, None], pa.float32()), ["1.5E+000", None]),
        ("VARCHAR2(9)", pa.array(["é", None]), ["é", None]),
        ("CLOB", pa.array(["é", None], pa.large_string()), ["é", None]),
        ("RAW(2)", pa.array([b"\x01", None]), ["01", None]),
        ("BLOB", pa.array([b"\x01", None], pa.large_binary()), ["01", None]),
        ("BOOLEAN", pa.array([True, None]), ["TRUE", None]),
        ("DATE", pa.array([" 2024-01-01 00:00:00", None]), ["2024-01-01 00:00:00", None]),
    ],
)
def test_a_load_and_the_log_store_the_same(native: str, frame: pa.Array, text: list[str | None]) -> None:
    column = column_of("C", native, True)
    loaded, odd = from_frame(column, frame)
    mined, _ = from_text(column, pa.array(text, pa.string()))
    assert odd is None
    assert loaded.type == column.arrow
    assert loaded.equals(mined)
    assert old_texts(loaded, None).equals(old_texts(mined, None))


def test_an_exact_number_that_the_driver_gives_as_a_double_is_refused() -> None:
    with pytest.raises(DecodeError):
        from_frame(column_of("C", "NUMBER(9)", True), pa.array([1.0]))


def test_odd_values_of_a_batch_stand_beside_their_row_and_never_in_a_key() -> None:
    table = TableSchema((column_of("ID", "NUMBER(9)", False), column_of("N", "NUMBER", True)), ("ID",))
    frame = pa.RecordBatch.from_pydict({"ID": pa.array([1, 2]), "N": pa.array(["1.5", "9" * 40])})
    batch = loaded_batch(table, loaded_schema(table), frame)
    assert batch.column("_overflow").to_pylist() == [None, '{"N":"' + "9" * 40 + '"}']
    keyed = TableSchema((column_of("ID", "NUMBER", False, identifies=True),), ("ID",))
    with pytest.raises(DecodeError, match="key column 'ID'"):
        loaded_batch(keyed, loaded_schema(keyed), pa.RecordBatch.from_pydict({"ID": pa.array(["1.5"])}))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("0", "0"), ("-0.0", "0"), (".5", "0.5"), ("007", "7"), ("1E3", "1000"), ("1.2300", "1.23")],
)
def test_a_number_has_one_text(text: str, canonical: str) -> None:
    assert canonical_number(text) == canonical
