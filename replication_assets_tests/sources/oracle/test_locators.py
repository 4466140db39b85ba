"""Pieces of large objects name their row, or are refused; keys are the same however they came."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.schema import TableSchema
from replication_assets.sources.oracle.logminer.images import Misfit
from replication_assets.sources.oracle.logminer.locators import Locator, parse_piece, without_value
from replication_assets.sources.oracle.logminer.redo_text import NotUnderstood, Value
from replication_assets.sources.oracle.logminer.row_keys import conditions, key_of, keys_of
from replication_assets.sources.oracle.types import column_of
from replication_assets_tests.sources.oracle.test_redo_text import IMAGES, NAMES, TEXTS
from replication_assets_tests.sources.oracle.test_redo_text import conditions as printed

DECLARED = "DECLARE \n loc_c CLOB; \n buf_c VARCHAR2(6174); \n e_len NUMBER; \nBEGIN\n"
TEXT = TEXTS.map(lambda text: "'" + text.replace("'", "''") + "'")
PIECES = st.one_of(
    TEXT.map(lambda text: f"\n buf_c := {text}; \n  dbms_lob.write(loc_c, 7, 1, buf_c);\n"),
    st.binary().map(lambda data: f" buf_b := HEXTORAW('{data.hex()}'); dbms_lob.write(loc_b,2,1,buf_b);"),
    TEXT.map(lambda text: f" buf_nc := UNISTR({text});\n  dbms_lob.write(loc_nc, 7, 3073, buf_nc);\n"),
    st.just(" dbms_lob.trim(loc_c, 10);\n"),
    st.just(" e_len := 10; \n dbms_lob.erase(loc_c, e_len, 1);\n"),
)


@settings(max_examples=40)
@given(NAMES, NAMES, NAMES, IMAGES, st.none() | PIECES, st.sampled_from(["", "END;"]))
def test_a_selection_is_its_row_whatever_is_written(
    owner: str, table: str, column: str, row: Any, piece: str | None, end: str
) -> None:
    text = (
        f'{DECLARED} select "{column}" into loc_c from "{owner}"."{table}" where {printed(row)} for update;\n'
    )
    wanted = Locator(owner, table, column, row)
    assert parse_piece(f"{text}{piece or ''}{end}") == wanted
    assert parse_piece(without_value(f"{text}{piece or ''}{end}")) == wanted


@given(PIECES, st.sampled_from(["", "END;"]))
def test_a_piece_without_a_selection_goes_on_with_the_one_before(piece: str, end: str) -> None:
    assert parse_piece(piece + end) is None
    kept = without_value(piece + end)
    assert parse_piece(kept) is None
    assert ":= ''" in kept or "dbms_lob.write" not in kept


@given(st.text(max_size=60))
def test_any_other_text_is_refused_and_kept_as_it_stands(text: str) -> None:
    with pytest.raises(NotUnderstood):
        parse_piece(text)
    assert without_value(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dbms_lob.append(loc_c, other);",
        "dbms_lob.fragment_insert(loc_c, 1, 2, buf_c);",
        f'{DECLARED} select "B" into loc_c from "O"."T" where "ID" = \'1\';',
        f'{DECLARED} select "B" into loc_c from "O"."T" where for update;',
        f'{DECLARED} select "B" into loc_c from "O"."T" where "ID" = :1 for update;',
        f'{DECLARED} select "B" into loc_c from "O"."T" where "ID" = \'1\' for update; drop table t;',
        'select "B" into loc_c from "O"."T" where "ID" = \'1\' for update;',
    ],
)
def test_what_is_not_of_the_known_form_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        parse_piece(text)


# --- keys -----------------------------------------------------------------------------------

KEYS = TableSchema(
    (
        column_of("N", "NUMBER", False, identifies=True),
        column_of("A", "NUMBER(10,2)", False),
        column_of("T", "VARCHAR2(9)", False),
        column_of("R", "RAW(4)", False),
        column_of("D", "DATE", False),
    ),
    ("N", "A", "T", "R", "D"),
)
TOLD = {
    "N": Value("0017"),
    "A": Value("1.50"),
    "T": Value("it's "),
    "R": Value("00ff", "HEXTORAW"),
    "D": Value(" 2024-02-29 12:00:00", "TO_DATE"),
}


def test_a_key_of_the_log_is_the_key_of_the_row_that_is_read() -> None:
    rows = [
        pa.array([Decimal(17)], pa.decimal128(38, 0)),
        pa.array([Decimal("1.50")], pa.decimal128(10, 2)),
        pa.array(["it's "]),
        pa.array([b"\x00\xff"]),
        pa.array([dt.datetime(2024, 2, 29, 12)], pa.timestamp("us")),
    ]
    key = key_of(TOLD, KEYS)
    assert keys_of(rows, KEYS) == [key]
    text, binds = conditions(KEYS, [key])
    assert text == (
        '("N", "A", "T", "R", "D") IN ((TO_NUMBER(:k0_0), TO_NUMBER(:k0_1), :k0_2, HEXTORAW(:k0_3),'
        " TO_DATE(:k0_4, 'YYYY-MM-DD HH24:MI:SS')))"
    )
    assert list(binds.values()) == ["17", "1.5", "it's ", "00FF", "2024-02-29 12:00:00"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("N", Value(None)),
        ("N", Value("1.5")),
        ("D", Value("-4712-01-01 00:00:00", "TO_DATE")),
        ("R", Value("00")),
    ],
)
def test_a_key_that_is_no_stored_value_is_refused_without_being_quoted(name: str, value: Value) -> None:
    with pytest.raises(Misfit) as refused:
        key_of({**TOLD, name: value}, KEYS)
    assert name in str(refused.value)
    assert value.text is None or value.text not in str(refused.value)
    with pytest.raises(Misfit, match=f"key column {name}"):
        key_of({each: told for each, told in TOLD.items() if each != name}, KEYS)
