"""How files are read: every combination of Op, times, headers; CSV, Parquet, gzip; torn ones are named."""

from __future__ import annotations

import datetime as dt
import gzip
import traceback
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from replication_assets.core.schema import TableId
from replication_assets.errors import DecodeError
from replication_assets.sources.landed import checking, csv_rows
from replication_assets_tests.sources.landed.landing import (
    FIRST,
    GADGETS,
    SECOND,
    THIRD,
    WIDGETS,
    Landing,
    events,
)

NOON = dt.datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=dt.UTC)
CANARY = "canary-77e"


@pytest.mark.parametrize(
    ("load", "changes", "expected"),
    [
        ("I,1,a\n", "I,2,b\n", ["I", "I"]),
        ("1,a\n", "U,1,b\n", ["I", "U"]),
        ("1,a\n", "2,b\n", ["I", "I"]),
        ("I,1,a\n", "D,1,a\n", ["I", "D"]),
        ("1,a\n", "insert,2,b\nUPDATE,1,c\nDelete,1,c\n", ["I", "I", "U", "D"]),
    ],
)
def test_every_combination_of_op_is_read(
    landing: Landing, load: str, changes: str, expected: list[str]
) -> None:
    landing.land("LOAD00000001.csv", load)
    landing.land(f"{FIRST}.csv", changes)
    assert [op for op, _, _ in events(landing.setup().drain())] == expected


def test_the_timestamp_column_is_the_commit_time(landing: Landing) -> None:
    landing.settings = {"timestamp_column": "at"}
    landing.land("LOAD00000001.csv", "2026-11-21 12:00:00.123456,1,a\n")
    landing.land(f"{FIRST}.csv", "U,2026-11-21 12:00:00.123456,1,b\n")
    chunks = landing.setup().drain()
    assert events(chunks, "_op", "name", "_committed_at") == [("I", "a", NOON), ("U", "b", NOON)]
    assert "at" not in landing.schemas[WIDGETS].names


def test_a_time_that_is_none_is_told_with_its_row(landing: Landing) -> None:
    landing.settings = {"timestamp_column": "at"}
    landing.setup()
    landing.land(f"{FIRST}.csv", f"U,2026-11-21 12:00:00.123456,1,b\nU,{CANARY},1,b\n")
    with pytest.raises(DecodeError, match=f"{FIRST}.csv: row 2 has no time") as raised:
        landing.drain()
    assert CANARY not in str(raised.value)


def test_a_header_tells_the_columns_and_new_ones_are_added(landing: Landing) -> None:
    landing.settings = {"header": True}
    landing.columns = {"shop.widgets": ["id bigint"]}
    landing.land("LOAD00000001.csv", "id,name\n1,a\n")
    landing.land(f"{FIRST}.csv", "Op,name,id,colour\nU,b,1,red\n")
    chunks = landing.setup().drain()
    assert events(chunks, "_op", "id", "name") == [("I", 1, "a"), ("U", 1, "b")]
    assert [change.added for chunk in chunks for _, _, change in chunk.schema_changes] == [
        ("name",),
        ("colour",),
    ]
    assert landing.schemas[WIDGETS].names == ("id", "name", "colour")


def test_quotes_line_feeds_nulls_and_empty_texts_are_told_apart(landing: Landing) -> None:
    landing.land(f"{FIRST}.csv", 'I,1,"a,""b""\nc"\nI,2,NULL\nI,3,"NULL"\nI,4,\nI,5,""\nI,6, NULL\n')
    assert events(landing.setup().drain(), "id", "name") == [
        (1, 'a,"b"\nc'),
        (2, None),
        (3, "NULL"),
        (4, ""),
        (5, ""),
        (6, " NULL"),
    ]


def test_delimiter_and_null_are_as_declared(landing: Landing) -> None:
    landing.settings = {"delimiter": "|", "null_value": "\\N"}
    landing.land(f"{FIRST}.csv", "I|1|\\N\nI|2|NULL\n")
    assert events(landing.setup().drain(), "name") == [(None,), ("NULL",)]


def test_without_rfc_4180_quotes_are_text(landing: Landing) -> None:
    landing.settings = {"rfc4180": False}
    landing.land(f"{FIRST}.csv", 'I,1,5" pipe\nI,2,"x"\n')
    assert events(landing.setup().drain(), "name") == [('5" pipe',), ('"x"',)]


def test_values_are_exact_and_others_stand_in_the_overflow(landing: Landing) -> None:
    columns = ["id bigint", "n numeric(6,2)", "at timestamptz", "day date", "ok boolean", "b bytea"]
    landing.columns = {"shop.widgets": [*columns, "d double precision"]}
    landing.land(
        f"{FIRST}.csv",
        "I,1,1234.50,2026-11-21 12:00:00.123456,2026-11-21,true,00ff,0.1\n"
        "I,2,1.005,2026-11-21 12:00:00+02:00,2026-13-01,yes,xyz,1e400\n"
        "I,3,-0.5,2026-11-21T12:00:00Z,2026-02-28,0,,-1.5E+3\n"
        "D,4,,,,,,\n",
    )
    chunks = landing.setup().drain()
    first, second, third, fourth = events(chunks, *(each.split()[0] for each in columns), "d", "_overflow")
    assert first == (1, Decimal("1234.50"), NOON, dt.date(2026, 11, 21), True, b"\x00\xff", 0.1, None)
    assert second[:4] == (2, None, dt.datetime(2026, 11, 21, 10, tzinfo=dt.UTC), None)
    assert second[-1] == '{"n":"1.005","day":"2026-13-01","ok":"yes","b":"xyz","d":"1e400"}'
    assert third[1:] == (
        Decimal("-0.50"),
        NOON.replace(microsecond=0),
        dt.date(2026, 2, 28),
        False,
        b"",
        -1500.0,
        None,
    )
    assert fourth == (4, None, None, None, None, None, None, None)


def test_what_the_log_did_not_have_is_unchanged(landing: Landing) -> None:
    landing.settings = {"no_sup_value": "unsent"}
    landing.land(f"{FIRST}.csv", "U,1,unsent\nU,2,b\nD,3,unsent\n")
    chunks = landing.setup().drain()
    assert events(chunks, "name", "_unchanged") == [(None, ["name"]), ("b", None), (None, None)]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f"U,2,{CANARY},x", "row 2 has not the declared number"),
        ("U,2", "row 2 has not the declared number"),
        (f"X,2,{CANARY}", "row 2 begins with no operation"),
        (f"U,,{CANARY}", "row 2: key column 'id' is null"),
        (f"U,{CANARY},a", "row 2: key column 'id' is null, or odd"),
    ],
)
def test_a_row_that_is_not_as_declared_is_told_with_file_and_number(
    landing: Landing, row: str, why: str
) -> None:
    landing.setup()
    landing.land(f"{FIRST}.csv", f"I,1,a\n{row}\n")
    with pytest.raises(DecodeError, match=f"{FIRST}.csv: {why}") as raised:
        landing.drain()
    assert CANARY not in "".join(traceback.format_exception(raised.value))


def torn_files() -> list[tuple[str, bytes]]:
    whole = b"I,1,alpha\n" * 50
    return [
        ("csv", whole[:-3]),
        ("csv", whole[:-1]),
        ("csv", whole + b'I,2,"beta\n'),
        ("csv", b""),
        ("csv.gz", gzip.compress(whole)[:-9]),
        ("csv.gz", b"no gzip at all\n"),
        ("parquet", b"PAR1" + b"\x00" * 100),
        ("parquet", b""),
    ]


@pytest.mark.parametrize(("form", "raw"), torn_files())
def test_a_torn_file_is_named_and_read_when_it_is_whole(landing: Landing, form: str, raw: bytes) -> None:
    landing.setup()
    landing.land(f"{FIRST}.csv", "I,1,a\n")
    path = landing.root / f"shop/widgets/{SECOND}.{form}"
    path.write_bytes(raw)
    landing.land(f"{THIRD}.csv", "I,3,c\n")
    with pytest.raises(DecodeError, match=f"{SECOND}.{form}: the file is torn"):
        landing.drain()
    path.unlink()
    landing.land(f"{SECOND}.csv", "I,2,b\n")
    assert [key for _, key, _ in events(landing.drain())] == [1, 2, 3]


def test_parquet_tells_its_types_and_keeps_every_digit(landing: Landing) -> None:
    landing.columns = {}
    rows = pa.table(
        {
            "Op": ["I", "U"],
            "at": pa.array([NOON.replace(tzinfo=None)] * 2, pa.timestamp("us")),
            "id": pa.array([1, 2], pa.int32()),
            "n": pa.array([Decimal("0.10"), None], pa.decimal128(30, 2)),
            "big": pa.array([2**64 - 1, 0], pa.uint64()),
            "t": pa.array([dt.time(1, 2, 3), None]),
            "raw": [b"\x00", None],
        }
    )
    landing.settings = {"timestamp_column": "at"}
    landing.land_parquet("LOAD00000001.parquet", rows.drop_columns(["Op"]).slice(0, 1))
    landing.land_parquet(f"{FIRST}.parquet", rows)
    chunks = landing.setup().drain()
    found = events(chunks, "_op", "id", "n", "big", "t", "raw", "_committed_at")
    assert found[0] == ("I", 1, Decimal("0.10"), Decimal(2**64 - 1), "01:02:03.000000", b"\x00", NOON)
    assert [each[0] for each in found] == ["I", "I", "U"]
    assert found[2][1:] == (2, None, Decimal(0), None, None, NOON)


def test_parquet_through_declared_types_and_columns_that_come_later(landing: Landing) -> None:
    landing.columns = {"shop.widgets": ["id bigint", "name text"]}
    landing.land_parquet(
        f"{FIRST}.parquet", pa.table({"Op": ["I"], "id": ["12"], "name": pa.array([7]), "late": [1.5]})
    )
    chunks = landing.setup().drain()
    assert events(chunks, "id", "name", "late") == [(12, "7", 1.5)]
    assert landing.schemas[WIDGETS].names == ("id", "name", "late")


TRANSACTIONS = (
    "I,widgets,shop,1,a\n"
    "INSERT,gadgets,shop,7,g,3\n"
    'I,other,shop,"x\ny"\n'
    "UPDATE,widgets,shop,1,b\n"
    "delete,gadgets,shop,7,,\n"
    "D,widgets,shop,1,b\n"
)


@pytest.fixture
def transactions(landing: Landing) -> Landing:
    landing.settings = {"cdc_path": "cdc"}
    landing.columns = {
        "shop.widgets": ["id bigint", "name text"],
        "shop.gadgets": ["id bigint", "name text", "n bigint"],
    }
    return landing


def test_files_of_transactions_tell_the_tables_of_their_rows(transactions: Landing) -> None:
    transactions.land("LOAD00000001.csv", "9,full\n")
    transactions.land("cdc/CDC_TXN-20201117153046033.csv", TRANSACTIONS)
    chunks = transactions.setup(WIDGETS, GADGETS).drain()
    assert events(chunks, "_op", "id", "name", "_sequence") == [
        ("I", 9, "full", 1),
        ("I", 1, "a", 1),
        ("U", 1, "b", 4),
        ("D", 1, "b", 6),
    ]
    assert events(chunks, "_op", "id", "n", "_sequence", table=GADGETS) == [
        ("I", 7, 3, 2),
        ("D", 7, None, 5),
    ]
    assert chunks[-1].through == 202011171530460330


def test_numbered_files_of_changes_are_read_by_their_numbers(transactions: Landing) -> None:
    transactions.land("cdc/CDC00010.csv", "UPDATE,widgets,shop,1,last\n")
    transactions.land("cdc/CDC00009.csv", "INSERT,widgets,shop,1,first\n")
    assert [name for _, _, name in events(transactions.setup().drain())] == ["first", "last"]


def test_a_late_file_of_transactions_leaves_newer_changes(transactions: Landing) -> None:
    transactions.land("cdc/CDC00002.csv", "U,widgets,shop,1,new\nI,gadgets,shop,1,g,1\n")
    transactions.setup(WIDGETS, GADGETS).drain()
    transactions.land("cdc/CDC00001.csv", "I,widgets,shop,1,old\nI,widgets,shop,2,old\n")
    assert events(transactions.drain()) == [("I", 1, "old"), ("I", 2, "old"), ("U", 1, "new")]


def test_a_row_of_transactions_with_too_few_fields_is_told(transactions: Landing) -> None:
    transactions.setup(WIDGETS, GADGETS)
    transactions.land("cdc/CDC00001.csv", f"I,widgets,shop,1,a\nI,gadgets,shop,1,{CANARY}\n")
    with pytest.raises(DecodeError, match=r"CDC00001.csv: row 2 has") as raised:
        transactions.drain()
    assert CANARY not in str(raised.value)


def test_a_table_that_is_declared_after_its_transactions_were_passed_over_asks_for_a_new_epoch(
    transactions: Landing,
) -> None:
    transactions.land("cdc/CDC00001.csv", TRANSACTIONS)
    transactions.setup(WIDGETS).drain()
    with pytest.raises(Exception, match=r"gadgets was passed over.*recover"):
        transactions.setup(WIDGETS, GADGETS)


def test_folders_of_tables_below_the_path_of_changes_are_read(transactions: Landing) -> None:
    transactions.land(f"cdc/shop/widgets/{FIRST}.csv", "I,1,a\n")
    assert events(transactions.setup().drain()) == [("I", 1, "a")]


def test_large_files_are_read_in_pieces_with_the_same_events(
    landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "SMALL_BYTES", 10)
    monkeypatch.setattr(checking, "KEPT_BYTES", 10)
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 2000)
    text = "".join(f'U,{n},"line\n{n}"\n' for n in range(1000))
    landing.land(f"{FIRST}.csv", text)
    landing.land(f"{SECOND}.csv.gz", text.replace("U", "D"))
    rows: dict[str, Any] = {"Op": ["I"] * 3, "id": [1, 2, 3], "name": ["a", "b", "c"]}
    landing.land_parquet(f"{THIRD}.parquet", pa.table(rows))
    chunks = landing.setup().drain()
    found = events(chunks, "_op", "id", "name", "_sequence")
    assert found[:1000] == [("U", n, f"line\n{n}", n + 1) for n in range(1000)]
    assert found[1000:2000] == [("D", n, f"line\n{n}", n + 1) for n in range(1000)]
    assert found[2000:] == [("I", 1, "a", 1), ("I", 2, "b", 2), ("I", 3, "c", 3)]
    assert len([chunk for chunk in chunks if chunk.batches]) > 4


def test_transactions_are_numbered_alike_in_pieces(
    transactions: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 500)
    lines = [f"I,widgets,shop,{n},a" if n % 3 else f"I,gadgets,shop,{n},g,{n}" for n in range(500)]
    transactions.land("cdc/CDC00001.csv", "\n".join(lines) + "\n")
    chunks = transactions.setup(WIDGETS, GADGETS).drain()
    found = [each for batch in _batches(chunks) for each in batch]
    assert sorted(found) == [(n, n + 1) for n in range(500)]


def _batches(chunks: Any) -> list[list[tuple[int, int]]]:
    def pairs(table: TableId) -> list[tuple[int, int]]:
        batches = [batch.rows for chunk in chunks for batch in chunk.batches if batch.table == table]
        return [(row["id"], row["_sequence"]) for rows in batches for row in rows.to_pylist()]

    return [pairs(WIDGETS), pairs(GADGETS)]


def test_hostile_names_stay_in_their_folder(tmp_path: Path) -> None:
    landing = Landing(tmp_path, columns={'we"ird; DROP.a%2e b': ["id bigint", "name text"]})
    table = TableId("lake", 'we"ird; DROP', "a%2e b")
    landing.land(f'we"ird; DROP/a%2e b/{FIRST}.csv', "I,1,a\n")
    assert events(landing.setup(table).drain(), table=table) == [("I", 1, "a")]
