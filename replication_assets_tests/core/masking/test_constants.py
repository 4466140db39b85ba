"""Rules that look at no value: they do not read the column, and say what fits."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.masking.families.constants import BUILDERS
from replication_assets.core.masking.rules import ColumnDefault, Constant, Keep, Null
from replication_assets.errors import GuardError, PolicyError
from replication_assets_tests.core.masking.single_columns import column_of, compiled, masked, rows_of

TEXT = column_of(pa.string())
FOUR = rows_of(other=pa.array(["a", None, "b", "c"]))


def test_what_is_kept_is_as_it_was() -> None:
    values = pa.array(["a", None, ""])
    assert masked(compiled(BUILDERS, Keep(), TEXT), values).equals(values)
    assert compiled(BUILDERS, Keep(), TEXT).reads == ("it",)


def test_null_is_null_in_every_row_without_reading_the_column() -> None:
    masker = compiled(BUILDERS, Null(), column_of(pa.date32()))
    assert masker.reads == ()
    assert masker.mask(FOUR).equals(pa.nulls(4, pa.date32()))
    assert masker.fits(pa.array([None, 1], pa.date32())).to_pylist() == [None, False]


@pytest.mark.parametrize(
    ("value", "arrow", "stored"),
    [
        ("x", pa.string(), "x"),
        (5, pa.string(), "5"),
        (5, pa.int16(), 5),
        ("5", pa.int64(), 5),
        (0.5, pa.float32(), 0.5),
        (1, pa.float64(), 1.0),
        (True, pa.bool_(), True),
        ("12.50", pa.decimal128(6, 2), Decimal("12.50")),
        (0.1, pa.decimal128(6, 2), Decimal("0.10")),
        ("1900-01-01", pa.date32(), date(1900, 1, 1)),
        ("1900-01-01T01:02:03", pa.timestamp("us"), datetime(1900, 1, 1, 1, 2, 3)),
        ("none", pa.binary(), b"none"),
    ],
    ids=str,
)
def test_a_constant_is_typed_and_stands_in_every_row(value: Any, arrow: pa.DataType, stored: object) -> None:
    masker = compiled(BUILDERS, Constant(value), column_of(arrow))
    assert masker.reads == ()
    result = masker.mask(FOUR)
    assert result.type == arrow
    assert result.to_pylist() == [stored] * 4
    assert masker.fits(result).to_pylist() == [True] * 4


def test_anything_but_the_constant_does_not_fit() -> None:
    fits = compiled(BUILDERS, Constant("x"), TEXT).fits(pa.array(["x", "X", "", None]))
    assert fits.to_pylist() == [True, False, False, None]


MOOD = column_of(pa.string(), type="mood", labels=("sad", "ok"))


@pytest.mark.parametrize(
    ("value", "column"),
    [
        (1.5, column_of(pa.int32())),
        (70_000, column_of(pa.int16())),
        (True, column_of(pa.int32())),
        (True, TEXT),
        (1, column_of(pa.bool_())),
        ("0.001", column_of(pa.decimal128(6, 2))),
        ("99999.00", column_of(pa.decimal128(6, 2))),
        (float("nan"), column_of(pa.float64())),
        (1e300, column_of(pa.float32())),
        ("yesterday", column_of(pa.date32())),
        ("2020-01-01T00:00:00+01:00", column_of(pa.timestamp("us"))),
        (5, column_of(pa.date32())),
        ("abcd", column_of(pa.string(), longest=3)),
        ("happy", MOOD),
    ],
    ids=str,
)
def test_a_constant_that_the_column_cannot_hold_exactly_is_refused(value: Any, column: Any) -> None:
    with pytest.raises(PolicyError, match="Fix:"):
        compiled(BUILDERS, Constant(value), column)


def test_null_is_refused_where_the_column_must_have_a_value() -> None:
    with pytest.raises(PolicyError, match="NOT NULL"):
        compiled(BUILDERS, Null(), column_of(pa.string(), nullable=False))


@pytest.mark.parametrize(
    ("structure", "uniqueness"),
    [
        ({"nullable": False, "default": "now()"}, "lossy"),
        ({"nullable": False, "identity": "always"}, "preserved"),
        ({"nullable": False, "default": "nextval('s'::regclass)"}, "preserved"),
        ({"nullable": False, "generated": "a + b"}, "lossy"),
        ({"nullable": True}, "lossy"),
    ],
    ids=str,
)
def test_a_default_leaves_the_column_out(structure: dict[str, Any], uniqueness: str) -> None:
    masker: Any = compiled(BUILDERS, ColumnDefault(), column_of(pa.int64(), **structure))
    assert masker.leaves_out
    assert masker.reads == ()
    assert masker.uniqueness == uniqueness
    with pytest.raises(GuardError, match="filled in by the copy"):
        masker.mask(FOUR)


def test_a_default_is_refused_where_nothing_would_fill_the_column_in() -> None:
    with pytest.raises(PolicyError, match="has none"):
        compiled(BUILDERS, ColumnDefault(), column_of(pa.int64(), nullable=False))
