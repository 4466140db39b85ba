"""Columns of a log: what may be stored, how it grows, what is refused and when."""

from __future__ import annotations

import datetime as dt
import multiprocessing
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.id_ranges import IdRanges
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.delta_creation import give_back
from replication_assets.errors import SchemaConflict, StoreError
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.columns import new_log_schema
from replication_assets.event_store.log import DeltaEventLog
from replication_assets.event_store.storage import folder_of, ledger_folder
from replication_assets_tests.event_store.samples import (
    DATES,
    ORDERS,
    RANGES,
    SCHEMA,
    append,
    events,
    inserts,
    stored_ids,
)

ODD_NAMES = (
    'a"b', "a'b", "a b", "a/b", "..", "a\\b", "😀", "x" * 63, "a,b=c(d)", "a.b", "a.b.c", "a`b", "a%20b",
    " a ", "tab\there", "{}", "partition._id_range", "min._epoch", "c0", "SELECT", "$1", "a;b",
)  # fmt: skip


def table(*columns: tuple[str, pa.DataType], key: tuple[str, ...] = ()) -> TableSchema:
    return TableSchema(tuple(Column(name, str(kind), kind) for name, kind in columns), key)


def test_a_new_column_is_null_in_old_rows_and_no_file_is_rewritten(log: DeltaEventLog) -> None:
    append(log, inserts([1], commit=1))
    old = log.snapshot().files()
    grown = TableSchema((*SCHEMA.columns, Column("at", "timestamp", pa.timestamp("us"), ordinal=3)), ("id",))
    log.ensure(grown, RANGES, DATES)
    assert log.snapshot().schema == grown
    assert log.snapshot().files() == old
    at = dt.datetime(2026, 3, 1, 1, 2, 3, 456)
    append(log, events([{"id": 2, "at": at, "_commit_position": 2}], grown))
    append(log, inserts([3], commit=3))
    rows = log.snapshot().events("r000000").to_table().sort_by("id")
    assert rows.select(["id", "at"]).to_pylist() == [
        {"id": 1, "at": None},
        {"id": 2, "at": at},
        {"id": 3, "at": None},
    ]


def test_a_writer_takes_columns_that_were_added_after_it_opened(log: DeltaEventLog) -> None:
    writer = log.writer()
    writer.write(inserts([1], commit=1))
    grown = TableSchema((*SCHEMA.columns, Column("extra", "integer", pa.int32())), ("id",))
    log.ensure(grown, RANGES, DATES)
    writer.write(events([{"id": 2, "extra": 5, "_commit_position": 2}], grown))
    writer.commit()
    rows = log.snapshot().events("r000000").to_table().sort_by("id")
    assert rows["extra"].to_pylist() == [None, 5]


def test_a_column_dropped_at_the_source_stays_in_the_log(log: DeltaEventLog) -> None:
    append(log, inserts([1], commit=1))
    log.ensure(TableSchema(SCHEMA.columns[:1], ("id",)), RANGES, DATES)
    assert log.snapshot().events("r000000").to_table()["note"].to_pylist() == ["n1"]


def test_a_column_of_another_type_is_refused_and_nothing_changes(log: DeltaEventLog) -> None:
    append(log, inserts([1], commit=1))
    version = log.snapshot().version
    retyped = table(("id", pa.int64()), ("note", pa.binary()), ("more", pa.int32()), key=("id",))
    with pytest.raises(SchemaConflict, match="'note' is binary, and stored as string"):
        log.ensure(retyped, RANGES, DATES)
    assert log.snapshot().version == version


def test_a_changed_native_type_of_the_same_stored_type_is_remembered(log: DeltaEventLog) -> None:
    changed = TableSchema((SCHEMA.columns[0], Column("note", "varchar(9)", pa.string(), ordinal=7)), ("id",))
    log.ensure(changed, RANGES, DATES)
    assert log.snapshot().schema == changed


def test_facts_of_the_table_that_may_change_do(log: DeltaEventLog) -> None:
    changed = TableSchema(SCHEMA.columns, ("id",), append_only=True, not_replicated=("total",))
    log.ensure(changed, RANGES, DATES)
    assert log.snapshot().schema == changed


@pytest.mark.parametrize("what", ["key", "id ranges", "event dates"])
def test_what_is_fixed_at_creation_cannot_be_declared_differently(log: DeltaEventLog, what: str) -> None:
    keyless = TableSchema(SCHEMA.columns)
    monthly = type(DATES)(None, "month", DATES.start)
    declared = {
        "key": (keyless, RANGES, DATES),
        "id ranges": (SCHEMA, IdRanges.whole(), DATES),
        "event dates": (SCHEMA, RANGES, monthly),
    }
    with pytest.raises(StoreError, match=what):
        log.ensure(*declared[what])


@pytest.mark.parametrize(
    "kind",
    [
        pa.uint8(), pa.uint32(), pa.uint64(), pa.float16(), pa.time32("s"), pa.time64("us"),
        pa.duration("us"),
        pa.decimal256(50, 2), pa.timestamp("ns"), pa.timestamp("ms"), pa.timestamp("us", "Europe/Paris"),
        pa.date64(), pa.binary(4), pa.large_string(), pa.null(), pa.dictionary(pa.int32(), pa.string()),
        pa.list_(pa.uint64()), pa.struct([("a", pa.timestamp("ns"))]),
    ],
    ids=str,
)  # fmt: skip
def test_a_type_that_delta_would_change_or_refuse_is_refused_first(
    local_store: DeltaEventStore, kind: pa.DataType
) -> None:
    log = local_store.log(ORDERS)
    with pytest.raises(SchemaConflict, match="'c' is"):
        log.ensure(table(("c", kind)), RANGES, DATES)
    assert not log.exists()


@pytest.mark.parametrize(
    "names", [("a", "A"), ("_op",), ("_Id_Range",), ("",), ("a\0b",), ("a", "a")], ids=repr
)
def test_a_name_that_cannot_be_told_from_another_is_refused(
    local_store: DeltaEventStore, names: tuple[str, ...]
) -> None:
    log = local_store.log(ORDERS)
    with pytest.raises(SchemaConflict):
        log.ensure(table(*((name, pa.int64()) for name in names)), RANGES, DATES)
    assert not log.exists()


def test_every_problem_of_the_columns_is_told_at_once(local_store: DeltaEventStore) -> None:
    with pytest.raises(SchemaConflict, match=r"'_op'.*'t' is time64.*differ in case"):
        local_store.log(ORDERS).ensure(
            table(("_op", pa.string()), ("t", pa.time64("us")), ("b", pa.int64()), ("B", pa.int64())),
            RANGES,
            DATES,
        )


def test_a_column_that_differs_in_case_from_a_stored_one_is_refused(log: DeltaEventLog) -> None:
    with pytest.raises(SchemaConflict, match="case"):
        log.ensure(table(("id", pa.int64()), ("Note", pa.string()), key=("id",)), RANGES, DATES)


def test_odd_column_names_hold_their_own_values_through_growth_and_compaction(
    local_store: DeltaEventStore,
) -> None:
    log = local_store.log(ORDERS)
    first = table(*((name, pa.int64()) for name in ODD_NAMES), key=(ODD_NAMES[0], "a.b"))
    log.ensure(first, RANGES, DATES)
    row = {name: number for number, name in enumerate(ODD_NAMES)}
    append(log, events([row], first))
    grown = TableSchema(
        (*first.columns, *(Column(f"{name} 2", "text", pa.string()) for name in ODD_NAMES)), first.key
    )
    log.ensure(grown, RANGES, DATES)
    more = {**row, **{f"{name} 2": name for name in ODD_NAMES}}
    for commit in range(2, 12):
        append(log, events([{**more, "_commit_position": commit}], grown))
    DeltaTable(local_store.uri(ORDERS)).create_checkpoint()
    assert log.compact() == 11
    stored = log.snapshot().events("r000000")
    for number, name in enumerate(ODD_NAMES):
        assert set(stored.to_table(columns={"c": pc.field((name,))})["c"].to_pylist()) == {number}
        assert stored.to_table(filter=pc.field((name,)) == number).num_rows == 11
    assert stored.to_table(columns=["a.b 2"])["a.b 2"].null_count == 1


names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=80)


@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_no_two_tables_share_a_folder_and_none_leaves_the_root(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    folders = [folder_of(TableId(*one)), folder_of(TableId(*other))]
    assert (folders[0] == folders[1]) == (one == other)
    for folder in (*folders, ledger_folder(one[0])):
        parts = folder.split("/")
        assert len(parts) == 2
        assert all(set(part) - {"."} and len(part) <= 200 for part in parts)
        assert all(letter.isascii() and (letter.isalnum() or letter in "_-./") for letter in folder)
    assert ledger_folder(one[0]) not in folders


@given(st.text("ab.-/%2D", min_size=1, max_size=4), st.text("ab.-/%2D", min_size=1, max_size=4),
       st.text("ab.-/%2D", min_size=1, max_size=4), st.text("ab.-/%2D", min_size=1, max_size=4))  # fmt: skip
def test_names_made_of_the_separators_stay_apart(a: str, b: str, c: str, d: str) -> None:
    assert (folder_of(TableId("s", a, b)) == folder_of(TableId("s", c, d))) == ((a, b) == (c, d))


@pytest.mark.parametrize(
    "name", ['a"; DROP TABLE x--', "../../x", "a/b", "%2e%2e", "😀" * 15, "é" * 31, "x" * 300, "-", "--", "~"]
)
def test_a_table_of_any_name_has_a_log(store: DeltaEventStore, name: str) -> None:
    hostile, plain = store.log(TableId(name, name, name)), store.log(TableId(name, name, "plain"))
    for number, log in enumerate((hostile, plain)):
        log.ensure(SCHEMA, RANGES, DATES)
        append(log, inserts([number], commit=1))
    assert (stored_ids(hostile), stored_ids(plain)) == ([0], [1])


def test_a_root_that_delta_cannot_address_is_refused(bucket: Any) -> None:
    for root in ("/data/100%", "data\\store", f"{bucket.root} é", "s3://bucket/a~b", "s3://bucket/a?x=1"):
        with pytest.raises(StoreError, match="Delta cannot address"):
            DeltaEventStore(root)


def test_any_other_local_root_works(tmp_path: Any) -> None:
    store = DeltaEventStore(str(tmp_path / "with space+é&#?'\"~😀"))
    log = store.log(ORDERS)
    log.ensure(SCHEMA, RANGES, DATES)
    append(log, inserts([1], commit=1))
    append(log, inserts([2], commit=2))
    assert stored_ids(log) == [1, 2]


ROUNDS = 30


def ensure_in_process(root: str, barrier: Any, number: int) -> None:
    schema = TableSchema((*SCHEMA.columns, Column(f"c{number % 2}", "text", pa.string())), ("id",))
    for turn in range(ROUNDS):
        barrier.wait()
        DeltaEventStore(f"{root}/{turn}").log(ORDERS).ensure(schema, RANGES, DATES)


def test_processes_that_create_and_alter_one_log_at_once_agree(local_store: DeltaEventStore) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4, timeout=60)
    processes = [
        context.Process(target=ensure_in_process, args=(local_store.root, barrier, number))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    for turn in range(ROUNDS):
        log = DeltaEventStore(f"{local_store.root}/{turn}").log(ORDERS)
        assert set(log.snapshot().schema.names) == {"id", "note", "c0", "c1"}
        creations = [c for c in log._place.open().history() if c["operation"] == "CREATE TABLE"]
        assert [creation["version"] for creation in creations] == [0]


def test_what_a_second_creation_in_an_object_store_took_back_is_given_back(bucket: Any) -> None:
    log = DeltaEventStore(bucket.root, bucket.options).log(ORDERS)
    log.ensure(TableSchema((*SCHEMA.columns, Column("c0", "text", pa.string())), ("id",)), RANGES, DATES)
    place = log._place
    # What delta-rs does when the table appears between its two looks.
    second = DeltaTable.create(
        place.uri, new_log_schema(SCHEMA, place.where), mode="overwrite", storage_options=place.options
    )
    give_back(place.uri, place.options, second)
    log.ensure(SCHEMA, RANGES, DATES)
    assert set(log.snapshot().schema.names) == {"id", "note", "c0"}


KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "bool": (pa.bool_(), st.booleans()),
    "i8": (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    "i16": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    "i32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "i64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "f32": (pa.float32(), st.floats(width=32)),
    "f64": (pa.float64(), st.floats()),
    "dec": (pa.decimal128(38, 9), st.decimals(-(10**20), 10**20, places=9, allow_nan=False)),
    "text": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=100)),
    "bytes": (pa.binary(), st.binary(max_size=20)),
    "day": (pa.date32(), st.dates()),
    "ts": (pa.timestamp("us"), st.datetimes()),
    "tz": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(dt.UTC))),
    "list": (pa.list_(pa.string()), st.lists(st.none() | st.text(max_size=3), max_size=3)),
    "struct": (pa.struct([("x", pa.int64())]), st.fixed_dictionaries({"x": st.none() | st.integers(0, 9)})),
}
EVERY_TYPE = table(*((name, kind) for name, (kind, _) in KINDS.items()), key=("i64", "text"))
cells = st.fixed_dictionaries(
    {
        **{name: st.none() | values for name, (_, values) in KINDS.items()},
        "_id_range": st.sampled_from(["r000000", "r000001", "all"]),
        "_event_date": st.none() | st.dates(),
        "_commit_position": st.integers(0, 2**63 - 1),
        "_unchanged": st.none() | st.lists(st.text(max_size=3), max_size=2),
    }
)


def text_of(rows: pa.Table) -> list[str]:
    """Rows as comparable text: NaN equals NaN, -0.0 differs from 0.0."""
    return sorted(repr(list(row.items())) for row in rows.to_pylist())


@given(st.lists(st.lists(cells, max_size=12), min_size=1, max_size=4))
def test_any_batches_are_read_back_as_the_same_multiset_with_their_types(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[dict[str, Any]]]
) -> None:
    log = DeltaEventStore(str(tmp_path_factory.mktemp("store"))).log(ORDERS)
    log.ensure(EVERY_TYPE, RANGES, DATES)
    written = [events(rows, EVERY_TYPE) for rows in batches]
    for rows in written:
        append(log, rows)
    snapshot = log.snapshot()
    stored = [snapshot.events(key).to_table() for key in ("r000000", "r000001", "all")]
    assert all(rows.schema.equals(written[0].schema) for rows in stored)
    assert text_of(pa.concat_tables(stored)) == text_of(pa.concat_tables(written))
    for row in pa.concat_tables(written).select(["i64", "text", "_id_range", "_commit_position"]).to_pylist():
        found = snapshot.events(row["_id_range"]).to_table(
            filter=equals("i64", row["i64"]) & equals("text", row["text"])
            & (pc.field("_commit_position") == row["_commit_position"])
        )  # fmt: skip
        assert found.num_rows >= 1


def equals(name: str, value: Any) -> pc.Expression:
    return pc.field(name).is_null() if value is None else pc.field(name) == value


def test_decimals_of_every_scale_are_exact(local_store: DeltaEventStore) -> None:
    schema = table(("d", pa.decimal128(38, 38)))
    log = local_store.log(ORDERS)
    log.ensure(schema, RANGES, DATES)
    exact = Decimal("0." + "9" * 38)
    append(log, events([{"d": exact}], schema))
    assert log.snapshot().events("r000000").to_table()["d"].to_pylist() == [exact]
