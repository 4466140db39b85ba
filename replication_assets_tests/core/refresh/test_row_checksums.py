"""Checksums of rows: equal for equal rows however Arrow holds them, different for any other rows."""

import datetime as dt
import json
import math
import struct
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from replication_assets.core.events import OVERFLOW
from replication_assets.core.masking.prf import Prf
from replication_assets.core.refresh.row_checksums import checksum
from replication_assets.errors import RefreshError

PRF = Prf(bytes(range(16)))

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("small", pa.int16()),
        pa.field("name", pa.string()),
        pa.field("other", pa.string()),
        pa.field("data", pa.binary()),
        pa.field("ratio", pa.float64()),
        pa.field("amount", pa.decimal128(20, 2)),
        pa.field("yes", pa.bool_()),
        pa.field("day", pa.date32()),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field(OVERFLOW, pa.string()),
    ]
)


def _rows(count: int = 3) -> list[dict[str, object]]:
    return [
        {
            "id": number,
            "small": -(number % 100),
            "name": f"name {number}",
            "other": None if number % 2 else "",
            "data": bytes([number % 256]) * (number % 9),
            "ratio": number / 7,
            "amount": Decimal(number) / 4,
            "yes": number % 2 == 0,
            "day": dt.date(2000, 1, 1 + number % 28),
            "at": dt.datetime(2001, 2, 3, 4, 5, 6, number % 1_000, dt.UTC),
            OVERFLOW: None,
        }
        for number in range(count)
    ]


def _batch(rows: list[dict[str, object]], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def _sum(rows: list[dict[str, object]]) -> tuple[int, int]:
    return checksum(_batch(rows), PRF)


values = st.one_of(st.none(), st.text(max_size=4))
pairs = st.tuples(values, values)


def _pairs(rows: list[tuple[str | None, str | None]]) -> tuple[int, int]:
    arrays = [pa.array([row[place] for row in rows], pa.string()) for place in (0, 1)]
    return checksum(pa.RecordBatch.from_arrays(arrays, ["a", "b"]), PRF)


@given(st.lists(pairs, max_size=6), st.lists(pairs, max_size=6))
@settings(max_examples=150, deadline=None)
def test_two_sets_of_rows_have_one_checksum_only_if_they_are_the_same_rows_as_often(
    some: list[tuple[str | None, str | None]], others: list[tuple[str | None, str | None]]
) -> None:
    def counted(rows: list[tuple[str | None, str | None]]) -> list[str]:
        return sorted(map(json.dumps, rows))

    assert (_pairs(some) == _pairs(others)) == (counted(some) == counted(others))


@given(pairs)
@settings(max_examples=80, deadline=None)
def test_columns_that_are_swapped_are_seen(pair: tuple[str | None, str | None]) -> None:
    assume(pair[0] != pair[1])

    assert _pairs([pair]) != _pairs([(pair[1], pair[0])])


@given(st.integers(0, 9), st.sampled_from(SCHEMA.names))
@settings(max_examples=60, deadline=None)
def test_any_value_that_is_lost_or_found_is_seen(row: int, column: str) -> None:
    rows = _rows(10)
    changed = [dict(each) for each in rows]
    found = _batch([{**rows[row], column: None}]).column(column)
    instead = {
        "id": 99, "small": 99, "name": "", "other": "x", "data": b"xyz", "ratio": 1e9, "yes": None,
        "amount": Decimal("-0.01"), "day": dt.date(1, 1, 1), "at": dt.datetime(1999, 1, 1, tzinfo=dt.UTC),
        OVERFLOW: '{"day":"infinity"}',
    }  # fmt: skip
    changed[row][column] = instead[column]

    assert found.null_count == 1
    assert _sum(changed) != _sum(rows)


def test_the_order_of_rows_and_the_batches_they_come_in_do_not_matter() -> None:
    rows = _rows(40_000)
    whole = _batch(rows)
    parts = [checksum(whole.slice(start, 1_700), PRF) for start in range(0, len(rows), 1_700)]

    assert _sum(rows[::-1]) == _sum(rows)
    assert (sum(part[0] for part in parts), sum(part[1] for part in parts) % 2**64) == _sum(rows)


def test_a_row_that_is_there_twice_or_not_at_all_is_seen() -> None:
    rows = _rows(5)

    assert len({_sum(rows)[1], _sum([*rows, rows[2]])[1], _sum([*rows, rows[2], rows[2]])[1]}) == 3
    assert _sum(rows[:-1])[1] != _sum(rows)[1]


def test_no_rows_have_the_sum_zero_and_another_key_gives_another_sum() -> None:
    assert _sum([]) == (0, 0)
    assert checksum(_batch(_rows()), Prf(b"another key, 16b")) != _sum(_rows())


def test_how_arrow_holds_a_value_does_not_matter() -> None:
    rows = _rows(20)
    held = pa.schema(
        [
            pa.field("id", pa.int64()),
            pa.field("small", pa.int32()),
            pa.field("name", pa.dictionary(pa.int32(), pa.string())),
            pa.field("other", pa.large_string()),
            pa.field("data", pa.large_binary()),
            pa.field("ratio", pa.float64()),
            pa.field("amount", pa.decimal128(38, 2)),
            pa.field("yes", pa.bool_()),
            pa.field("day", pa.date32()),
            pa.field("at", pa.timestamp("us", "America/New_York")),
            pa.field(OVERFLOW, pa.string_view()),
        ]
    )

    assert checksum(_batch(rows, held), PRF) == _sum(rows)


def test_what_stands_in_the_buffer_under_a_null_does_not_matter() -> None:
    number = pa.array([1, 5, 3], pa.int64())
    validity = pa.array([True, False, True]).buffers()[1]
    hidden = pa.Array.from_buffers(pa.int64(), 3, [validity, number.buffers()[1]])
    plain = pa.array([1, None, 3], pa.int64())

    sums = [checksum(pa.RecordBatch.from_arrays([each], ["n"]), PRF) for each in (hidden, plain, number)]
    assert sums[0] == sums[1] != sums[2]


def _floats(*numbers: float) -> tuple[int, int]:
    return checksum(pa.RecordBatch.from_pydict({"f": pa.array(numbers, pa.float64())}), PRF)


def test_floats_are_compared_by_their_bits_with_one_nan() -> None:
    other_nan = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))[0]

    assert _floats(math.nan) == _floats(other_nan)
    assert _floats(0.0) != _floats(-0.0)
    assert _floats(1.0) != _floats(math.nextafter(1.0, 2))


def test_a_table_of_very_many_columns_has_checksums_too() -> None:
    names = [f"c{number}" for number in range(300)]
    row: dict[str, object] = {name: number for number, name in enumerate(names)}
    schema = pa.schema([pa.field(name, pa.int64()) for name in names])
    sums = {
        checksum(_batch([{**row, changed: -1}], schema), PRF)[1] for changed in ("c0", "c95", "c150", "c299")
    }

    assert len(sums | {checksum(_batch([row], schema), PRF)[1]}) == 5


def test_a_type_without_a_checksum_is_refused_by_the_name_of_its_column() -> None:
    batch = pa.RecordBatch.from_pydict({"tags": pa.array([["a"]])})

    with pytest.raises(RefreshError, match=r"column tags: values of type list.* have no checksum"):
        checksum(batch, PRF)


def _document(text: str | None) -> int:
    batch = pa.RecordBatch.from_pydict({"doc": pa.array([text], pa.string())})
    return checksum(batch, PRF, json_columns=["doc"])[1]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('{"b":1,"a":[1,2]}', '{ "a": [1, 2], "b": 1 }'),
        ('{"n":1e2}', '{"n": 100}'),
        ('{"n":1.50}', '{"n": 1.5}'),
        ('{"n":-0}', '{"n": 0.0}'),
        ('{"n":12345678901234567890123}', '{"n":1.2345678901234567890123e22}'),
        ('"caf\\u00e9"', '"café"'),
        ("1E+2", "100"),
    ],
)
def test_one_document_has_one_checksum_however_it_is_spelled(text: str, same: str) -> None:
    assert _document(text) == _document(same)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ('{"a":1}', '{"a":"1"}'),
        ("[1,2]", "[2,1]"),
        ('{"n":0.1}', '{"n":0.1000000000000000055511151231257827}'),
        ('{"n":12345678901234567890123}', '{"n":12345678901234567890124}'),
        ('{"n":10}', '{"n":-10}'),
        ("null", '"null"'),
        ('{"a":null}', "{}"),
    ],
)
def test_other_documents_have_other_checksums(text: str, other: str) -> None:
    assert _document(text) != _document(other)


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts, max_size=3),
    max_leaves=8,
)


@given(documents)
@settings(max_examples=100, deadline=None)
def test_a_document_printed_otherwise_is_the_same_document(document: object) -> None:
    assert _document(json.dumps(document)) == _document(json.dumps(document, indent=2, ensure_ascii=False))


def test_null_is_not_the_document_null_and_what_is_no_json_is_refused_without_its_text() -> None:
    assert _document(None) != _document("null")
    for text in ("{secret", '{"a": NaN}', '"\\ud800"', "1e999999999999999999999"):
        with pytest.raises(RefreshError) as refused:
            _document(text)
        assert str(refused.value).startswith("column doc: a value is no JSON")
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__
