"""Values of messages are stored exactly as declared, or stand in full in the overflow."""

from __future__ import annotations

import base64
import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.envelopes.json_values import Number, read_json
from replication_assets.core.envelopes.types import (
    ODD,
    ValueFormat,
    late_column,
    spelled_column,
    stored,
    taker,
)

DMS = ValueFormat("hex")
DEBEZIUM = ValueFormat("base64", "precise", epochs=True)
KINDS = (
    "bigint", "numeric(20,5)", "double precision", "boolean", "text", "json", "bytea", "date",
    "timestamp", "timestamptz",
)  # fmt: skip
MESSAGES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=20),
    st.sampled_from([Number("1.5"), Number("1E+3"), Number("1e-9"), "0x00ff", "2026-02-30", "12.50", "NaN"]),
    st.dates().map(str),
    st.datetimes().map(lambda each: each.isoformat() + "Z"),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.lists(st.integers(), max_size=2),
)  # fmt: skip


def one(kind: str, value: Any, form: ValueFormat = DMS) -> tuple[Any, str | None]:
    typed, odd = stored(spelled_column(f"c {kind}"), [value], form)
    return typed[0].as_py(), None if odd is None else odd[0].as_py()


@pytest.mark.parametrize("form", [DMS, DEBEZIUM], ids=["dms", "debezium"])
@pytest.mark.parametrize("kind", KINDS)
@given(values=st.lists(MESSAGES, max_size=6))
def test_a_value_is_stored_the_same_whatever_stands_beside_it(
    kind: str, form: ValueFormat, values: list[Any]
) -> None:
    typed, odd = stored(spelled_column(f"c {kind}"), values, form)
    assert len(typed) == len(values)
    for at, value in enumerate(values):
        alone, text = one(kind, value, form)
        assert repr(typed[at].as_py()) == repr(alone)
        assert (None if odd is None else odd[at].as_py()) == text
        assert (value is None) == (alone is None and text is None)
        if text is not None:
            assert read_json(text.encode()) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_are_exact_as_numbers_and_as_text(number: int) -> None:
    assert one("bigint", number) == one("bigint", str(number)) == (number, None)


@given(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(0, 38))
def test_decimals_are_exact_in_every_spelling(unscaled: int, scale: int) -> None:
    number = Decimal(unscaled).scaleb(-scale)
    exact = Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))
    kind = f"numeric(38,{scale})"
    assert one(kind, f"{exact:f}") == (exact, None) or number != exact
    assert one(kind, Number(f"{exact:f}"))[0] == exact
    raw = unscaled.to_bytes(17, "big", signed=True)
    assert one(kind, base64.b64encode(raw).decode(), DEBEZIUM)[0] == exact


@pytest.mark.parametrize("value", ["1.234", Number("0.001"), 100_000_000, "1e400", "x", "", True, "\u0661"])
def test_a_decimal_that_does_not_fit_is_not_rounded(value: Any) -> None:
    typed, odd = one("numeric(10,2)", value)
    assert typed is None
    assert odd is not None


@given(st.binary())
def test_binary_values_are_exact_in_both_spellings(value: bytes) -> None:
    assert one("bytea", value.hex())[0] == one("bytea", "0x" + value.hex())[0] == value
    assert one("bytea", base64.b64encode(value).decode(), DEBEZIUM)[0] == value


@given(st.datetimes(), st.timedeltas(dt.timedelta(hours=-14), dt.timedelta(hours=14)))
def test_times_are_exact_in_every_spelling(moment: dt.datetime, offset: dt.timedelta) -> None:
    assert one("timestamp", moment.isoformat())[0] == moment
    assert one("timestamp", moment.isoformat(" ") + "Z")[0] == moment
    micros = (moment - dt.datetime.fromisoformat("1970-01-01")) // dt.timedelta(microseconds=1)
    assert one("timestamp", micros, DEBEZIUM)[0] == moment
    assert one("timestamp(3)", micros // 1000, DEBEZIUM)[0] == moment.replace(
        microsecond=moment.microsecond // 1000 * 1000
    )
    zone = dt.timezone(dt.timedelta(minutes=offset // dt.timedelta(minutes=1)))
    aware = moment.replace(tzinfo=zone)
    try:
        utc = aware.astimezone(dt.UTC)
    except OverflowError:
        return
    assert one("timestamptz", aware.isoformat())[0] == utc


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("timestamp", "2026-06-01T12:00:00+02:00"),
        ("timestamptz", "2026-06-01T12:00:00"),
        ("timestamp", "2026-06-01"),
        ("timestamp", "2026-06-31T00:00:00"),
        ("timestamp", "2026-06-01T12:00:00.1234567"),
        ("timestamp", 5),
        ("date", 5),
        ("date", "2026-06-01T12:00:00Z"),
        ("boolean", 1),
        ("boolean", "true"),
        ("text", 5),
        ("text", ["a"]),
        ("bigint", 2**63),
        ("bigint", Number("1.5")),
        ("bigint", "007"),
        ("bigint", True),
        ("double precision", Number("1e400")),
        ("double precision", 2**60 + 1),
        ("bytea", "0x0"),
        ("bytea", "zz"),
    ],
)
def test_a_value_of_another_kind_is_kept_as_its_json_text(kind: str, value: Any) -> None:
    typed, odd = one(kind, value)
    assert typed is None
    assert odd is not None
    assert read_json(odd.encode()) == value


def test_large_integers_that_dms_spells_with_an_exponent_are_taken() -> None:
    assert one("bigint", Number("1.23456789012345678E+17"))[0] == 123456789012345678


def test_dates_are_taken_with_a_midnight_and_as_days() -> None:
    assert one("date", "2026-06-01T00:00:00Z")[0] == dt.date(2026, 6, 1)
    assert one("date", 20_605, DEBEZIUM)[0] == dt.date(2026, 6, 1)


def test_a_column_that_nobody_declared_holds_json() -> None:
    values = ["a", 1, Number("1.50"), None, {"b": [True]}]
    typed, odd = stored(late_column("c"), values, DMS)
    assert typed.to_pylist() == ['"a"', "1", "1.50", None, '{"b":[true]}']
    assert odd is None


def test_declared_json_is_stored_as_it_is_text_or_not() -> None:
    assert one("json", '{"a": 1}')[0] == '{"a": 1}'
    assert one("json", {"a": Number("1.0")})[0] == '{"a":1.0}'


def test_text_that_utf_8_cannot_hold_is_kept_as_json() -> None:
    typed, odd = one("text", "\ud800")
    assert typed is None
    assert odd is not None
    assert json.loads(odd) == "\ud800"


@pytest.mark.parametrize(
    ("spelled", "name", "kind"),
    [
        ("id bigint", "id", "bigint"),
        ("my column text", "my column", "text"),
        ("x double precision", "x", "double precision"),
        ("password numeric(10, 2)", "password", "numeric(10,2)"),
        ("at timestamp(3)", "at", "timestamp(3)"),
    ],
)
def test_a_declared_column_is_a_name_and_a_type(spelled: str, name: str, kind: str) -> None:
    column = spelled_column(spelled)
    assert (column.name, column.source_type) == (name, kind)


@pytest.mark.parametrize(
    "spelled", ["id", "bigint", "", "id serial", "id any", "a numeric", "a numeric(39,0)", "a timestamp(9)"]
)
def test_a_column_without_a_known_type_is_refused(spelled: str) -> None:
    with pytest.raises(ValueError, match="bigint"):
        spelled_column(spelled)


def test_what_is_odd_is_told_by_the_taker() -> None:
    assert taker(spelled_column("a bigint"), DMS)("x") is ODD
