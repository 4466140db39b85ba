"""The Delta target: the contract of all targets, and what is Delta's own."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing as mp
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.core.events import ID_RANGE
from replication_assets.core.fold import row_schema
from replication_assets.core.schema import Column, TableId, TableSchema
from replication_assets.errors import CommitConflict, TargetError
from replication_assets.ports import RangeCheckpoint
from replication_assets.targets.delta import DeltaTarget
from replication_assets_tests.contracts.projection_target import (
    BASELINE,
    KEYED,
    KEYLESS,
    A,
    B,
    ProjectionTargetContract,
    apply,
    at,
    changes,
    exact,
    fill,
    holds,
    random_histories_equal_a_dict,
    row,
    table,
)
from replication_assets_tests.contracts.target_view import TargetViewContract, seen

ORDERS = TableId("shop", "public", "orders")


class DeltaPlace:
    """A Delta target in a folder of its own."""

    def __init__(self, root: Path, name: TableId = ORDERS) -> None:
        self.root = root
        self.target = DeltaTarget(str(root), name)
        self.folder = root / name.folder.replace("%", "~")

    def stored(self, id_range: str) -> pa.Table:
        return self.target.rows(id_range)

    def empty(self) -> None:
        self.delta().delete()

    def delta(self) -> DeltaTable:
        return DeltaTable(str(self.folder))

    def active(self, id_range: str = A) -> set[str]:
        """Paths of the range's files in the current version."""
        actions = pa.table(self.delta().get_add_actions(flatten=True))
        return set(actions.filter(pc.equal(actions[f"partition.{ID_RANGE}"], id_range))["path"].to_pylist())

    def on_disk(self) -> set[str]:
        return {
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*.parquet")
            if "_delta_log" not in str(path)
        }


@pytest.fixture
def place(tmp_path: Path) -> DeltaPlace:
    return DeltaPlace(tmp_path)


class TestContract(ProjectionTargetContract, TargetViewContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> DeltaPlace:
        return DeltaPlace(tmp_path)


def test_any_history_in_any_pieces_equals_a_dict(tmp_path: Path) -> None:
    count = iter(range(10**6))
    random_histories_equal_a_dict(lambda: DeltaPlace(tmp_path / str(next(count))))


@settings(max_examples=10)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "a", ""]), st.sampled_from([None, float("nan"), 0.0, -0.0]), st.booleans()
        ),
        max_size=25,
    ),
    st.integers(1, 9),
)
def test_any_history_without_key_equals_a_multiset(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any], size: int
) -> None:
    place = DeltaPlace(tmp_path_factory.mktemp("multiset"))
    fill(place.target, [], at(5), schema=KEYLESS)
    held: list[tuple[str | None, float | None]] = []
    for number in range(0, len(steps), size):
        upserts, deletes = [], []
        for sequence, (name, ratio, wants_delete) in enumerate(steps[number : number + size], 1):
            values = (name, ratio)
            found = next((i for i, one in enumerate(held) if repr(one) == repr(values)), None)
            if wants_delete and found is not None:
                held.pop(found)
                deletes.append(row(at(6 + number, sequence), name=name, ratio=ratio))
            else:
                held.append(values)
                upserts.append(row(at(6 + number, sequence), name=name, ratio=ratio))
        apply(place.target, changes(upserts, deletes, KEYLESS), at(6 + number, size), schema=KEYLESS)
        found_rows = place.stored(A).select(["name", "ratio"]).to_pylist()
        assert sorted(repr((one["name"], one["ratio"])) for one in found_rows) == sorted(map(repr, held))


# --- files ---


def test_inserts_alone_add_a_file_and_rewrite_none(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    before = place.active()
    apply(place.target, changes([row(at(6, 1), id=2)], insert_only=True), at(6, 1))
    assert before < place.active()
    assert len(place.active()) == 2


def test_files_and_ranges_without_a_touched_row_keep_their_paths(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1), row(at(5), id=100)], at(5))
    fill(place.target, [row(at(5), id=900)], at(5), B)
    first, other = place.active(), place.active(B)
    # Within the first file's span of keys, but not in it.
    apply(place.target, changes([row(at(6, 1), id=50, name="x")]), at(6, 1))
    assert first < place.active()
    (second,) = place.active() - first
    apply(place.target, changes([row(at(7, 1), id=50, name="y")]), at(7, 1))
    assert first < place.active()
    assert second not in place.active()
    assert place.active(B) == other
    holds(place, [row(at(5), id=1), row(at(5), id=100), row(at(7, 1), id=50, name="y")])


@pytest.mark.parametrize("insert_only", [True, False])
def test_many_small_changes_leave_a_bounded_number_of_files(place: DeltaPlace, insert_only: bool) -> None:
    fill(place.target, [], at(5))
    for i in range(100):
        apply(place.target, changes([row(at(6 + i, 1), id=i)], insert_only=insert_only), at(6 + i, 1))
        if i % 10 == 9:
            assert len(place.active()) <= 17
    holds(place, [row(at(6 + i, 1), id=i) for i in range(100)])


def test_a_rebuild_streams_and_splits_into_files(place: DeltaPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication_assets.targets.delta.parts.ROW_GROUP_ROWS", 10)
    monkeypatch.setattr("replication_assets.targets.delta.parts.FILE_BYTES", 4000)
    rows = [row(at(5), id=i, name=str(i)) for i in range(100)]
    place.target.replace(A, KEYED, table(rows).to_batches(7), BASELINE, at(5))
    assert len(place.active()) > 2
    holds(place, rows)
    apply(place.target, changes([row(at(6, 1), id=55, name="x")], [row(at(6, 2), id=3)]), at(6, 2))
    rows[55] = row(at(6, 1), id=55, name="x")
    holds(place, rows[:3] + rows[4:])


def test_statistics_prune_and_never_hide_rows(place: DeltaPlace) -> None:
    rows = [row(at(5), id=-(2**63)), row(at(5), id=0), row(at(5), id=2**63 - 1, small=7)]
    fill(place.target, rows, at(5))
    data = place.target.dataset()
    assert data.to_table(filter=pc.field("id") == 2**63 - 1).num_rows == 1
    assert data.to_table(filter=pc.field("id") == -(2**63)).num_rows == 1
    assert data.to_table(filter=pc.field("_commit_position") >= 5).num_rows == 3
    assert data.to_table(filter=pc.field("_sequence") == 0).num_rows == 3
    assert data.to_table(filter=pc.field("name").is_null()).num_rows == 3
    assert data.to_table(filter=pc.field("small") == 7).num_rows == 1
    assert duckdb.sql("SELECT count(*) FROM data WHERE id >= 0 AND small = 7").fetchall() == [(1,)]
    assert data.count_rows() == 3


def test_vacuum_deletes_replaced_and_orphaned_files_and_no_others(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    fill(place.target, [row(at(6), id=1)], at(6))
    orphan = place.folder / f"{ID_RANGE}={A}" / "part-orphan.parquet"
    orphan.write_bytes(b"half")
    assert place.target.vacuum() == 0
    assert list(place.target.tidy(dt.timedelta())) == ["2 replaced files deleted"]
    assert place.on_disk() == place.active()
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6), 1)


# --- edits by others ---


def test_a_removed_folder_is_noticed(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    shutil.rmtree(place.folder)
    assert place.target.checkpoint(A) is None
    fill(place.target, [row(at(5), id=1)], at(5))
    holds(place, [row(at(5), id=1)])


def test_an_overwritten_table_is_noticed(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    write_deltalake(
        str(place.folder), place.target.dataset().to_table(), mode="overwrite", partition_by=[ID_RANGE]
    )
    assert place.target.checkpoint(A) is None


def test_rows_updated_in_place_are_noticed_though_their_number_stays(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    place.delta().update({"name": "'edited'"})
    assert place.target.checkpoint(A) is None
    fill(place.target, [row(at(5), id=1)], at(5))
    holds(place, [row(at(5), id=1)])


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_a_missing_or_torn_file_is_noticed(place: DeltaPlace, damage: str) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    (path,) = place.active()
    if damage == "gone":
        (place.folder / path).unlink()
    else:
        (place.folder / path).write_bytes(b"PAR1")
    assert place.target.checkpoint(A) is None


def test_rows_hidden_by_a_deletion_vector_are_noticed(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
    log = sorted((place.folder / "_delta_log").glob("*.json"))[-1]
    add = next(
        action["add"] for line in log.read_text().splitlines() if "add" in (action := json.loads(line))
    )
    features = ["deletionVectors", "timestampNtz"]
    vector = {
        "storageType": "u",
        "pathOrInlineDv": "vBn[lx{q8@P<9BNH/isA",
        "offset": 1,
        "sizeInBytes": 36,
        "cardinality": 1,
    }
    protocol = {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": features,
        "writerFeatures": features,
    }
    actions: list[dict[str, Any]] = [
        {"protocol": protocol},
        {"remove": {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}},
        {"add": {**add, "deletionVector": vector}},
    ]
    after = log.with_name(f"{int(log.stem) + 1:020}.json")
    after.write_text("\n".join(map(json.dumps, actions)))
    assert place.target.checkpoint(A) is None
    with pytest.raises(TargetError, match="reset"):
        fill(place.target, [row(at(5), id=1)], at(5))


@pytest.mark.parametrize("id_range", ["r 1", "a/b", "%41", "..", "é😀", "a=b&c"])
def test_any_range_name_and_files_of_others_in_it_are_replaced(place: DeltaPlace, id_range: str) -> None:
    fill(place.target, [row(at(5), id=1)], at(5), id_range)
    rows = place.target.dataset().to_table()
    write_deltalake(str(place.folder), rows, mode="append")
    assert place.target.checkpoint(id_range) is None
    fill(place.target, [row(at(6), id=1)], at(6), id_range)
    holds(place, [row(at(6), id=1)], id_range)
    assert place.target.checkpoint(id_range) == RangeCheckpoint(BASELINE, at(6), 1)


# --- columns and names ---


def test_a_retyped_column_is_refused_until_the_projection_is_reset(place: DeltaPlace) -> None:
    old = TableSchema((Column("id", "int", pa.int64()), Column("v", "int", pa.int64())), ("id",))
    new = TableSchema((Column("id", "int", pa.int64()), Column("v", "text", pa.string())), ("id",))
    fill(place.target, [row(at(5), id=1, v=1)], at(5), schema=old)
    with pytest.raises(TargetError, match=r"v \(int64 stored, string now\).*reset"):
        fill(place.target, [row(at(6), id=1, v="x")], at(6), schema=new)
    place.target.reset(new)
    assert place.target.checkpoint(A) is None
    fill(place.target, [row(at(6), id=1, v="x")], at(6), schema=new)
    holds(place, [row(at(6), id=1, v="x")], schema=new)


def test_columns_that_differ_in_case_alone_are_refused_by_name(place: DeltaPlace) -> None:
    schema = TableSchema((Column("Id", "int", pa.int64()), Column("id", "int", pa.int64())), ("id",))
    with pytest.raises(TargetError, match="'Id', 'id'"):
        fill(place.target, [], at(5), schema=schema)
    fill(place.target, [], at(5))
    wider = TableSchema((*KEYED.columns, Column("NAME", "text", pa.string())), ("id",))
    with pytest.raises(TargetError, match="NAME"):
        fill(place.target, [], at(5), schema=wider)


HOSTILE = (
    "a.b",
    "a",
    'q"; DROP TABLE x --',
    "c0",
    "",
    " ,;{}()\n\t=",
    "é😀",
    "%2e/..",
    "x" * 300,
    "_file",
    "s",
)


@pytest.mark.parametrize("key", [("a.b",), ("a", 'q"; DROP TABLE x --'), ("", "c0")])
def test_hostile_column_names_work_everywhere(place: DeltaPlace, key: tuple[str, ...]) -> None:
    schema = TableSchema(tuple(Column(name, "text", pa.string()) for name in HOSTILE), key)
    first = [row(at(5), **{name: f"{name}{i}" for name in HOSTILE}) for i in range(3)]
    fill(place.target, first, at(5), schema=schema)
    update = {**first[1], "a": first[1]["a"], "s": "new", **row(at(6, 1))}
    partial = {**update, "_file": None, "_unchanged": ["_file"]}
    apply(place.target, changes([partial], [{**first[2], **row(at(6, 2))}], schema), at(6, 2), schema=schema)
    holds(place, [first[0], update], schema=schema)


@pytest.mark.parametrize("name", ["a.b", "../../x", "%2e", 'q"; DROP', "é😀 #?", "~"])
def test_hostile_table_names_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    place = DeltaPlace(tmp_path / "lake", TableId("s~%", name, name))
    fill(place.target, [row(at(5), id=1)], at(5))
    holds(place, [row(at(5), id=1)])
    assert place.folder.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]
    place.target.drop()
    assert place.target.checkpoint(A) is None
    place.target.drop()


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        (pa.string(), "a\x00b", "a\x00c"),
        (pa.binary(), b"\x00", b"\x00\x00"),
        (pa.decimal128(38, 0), 10**37, 10**37 + 1),
        (pa.int16(), -1, 1),
        (
            pa.timestamp("us", tz="UTC"),
            dt.datetime(1, 1, 1, tzinfo=dt.UTC),
            dt.datetime(9999, 1, 1, tzinfo=dt.UTC),
        ),
        (pa.timestamp("us"), dt.datetime(1, 1, 1), dt.datetime(1, 1, 1, 0, 0, 0, 1)),
        (pa.date32(), dt.date(1, 1, 1), dt.date(9999, 12, 31)),
        (pa.bool_(), True, False),
        (pa.string(), None, ""),
    ],
)
def test_keys_of_any_type_are_told_apart_exactly(
    place: DeltaPlace, kind: pa.DataType, first: object, second: object
) -> None:
    schema = TableSchema((Column("k", "k", kind), Column("tags", "t", pa.list_(pa.string()))), ("k",))
    fill(
        place.target,
        [row(at(5), k=first, tags=["a", None]), row(at(5), k=second, tags=[])],
        at(5),
        schema=schema,
    )
    changed = row(at(6, 1), k=first, tags=None)
    apply(
        place.target, changes([{**changed, "_unchanged": ["tags"]}], schema=schema), at(6, 1), schema=schema
    )
    kept = {**changed, "tags": ["a", None]}
    holds(place, [kept, row(at(5), k=second, tags=[])], schema=schema)
    apply(place.target, changes((), [row(at(7, 1), k=second)], schema), at(7, 1), schema=schema)
    holds(place, [kept], schema=schema)


def test_a_source_column_type_travels_with_the_table(place: DeltaPlace) -> None:
    fill(place.target, [], at(5))
    assert (
        place.target.dataset().schema.field("amount").metadata == row_schema(KEYED).field("amount").metadata
    )


def test_rows_of_another_shape_are_refused(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    with pytest.raises(TargetError, match="'big'"):
        place.target.replace(A, KEYED, table([row(at(6), id=1)]).drop(["big"]).to_batches(), BASELINE, at(6))
    bent = table([row(at(6), id=1)])
    bent = bent.set_column(0, "id", bent["id"].cast(pa.int32()))
    with pytest.raises(TargetError, match="int32"):
        place.target.replace(A, KEYED, bent.to_batches(), BASELINE, at(6))
    holds(place, [row(at(5), id=1)])
    assert place.on_disk() == place.active()


def test_a_table_that_is_not_ours_is_refused(place: DeltaPlace) -> None:
    write_deltalake(str(place.folder), pa.table({"id": [1]}))
    with pytest.raises(TargetError, match="not partitioned"):
        place.target.checkpoint(A)


def test_credentials_are_in_no_repr_and_no_message() -> None:
    options = {
        "AWS_ACCESS_KEY_ID": "canary1",
        "AWS_SECRET_ACCESS_KEY": "canary2",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": "true",
        "max_retries": "0",
        "AWS_REGION": "us-east-1",
    }
    target = DeltaTarget("s3://bucket/lake", ORDERS, options)
    assert "canary" not in repr(target)
    assert "canary" not in repr(target._location)
    with pytest.raises(TargetError) as refused:
        target.checkpoint(A)
    assert "canary" not in f"{refused.value!r} {refused.value.__cause__!r}"


# --- several processes, and crashes ---


def project(root: str, id_range: str, first: int, count: int, barrier: Any) -> None:
    target = DeltaTarget(root, ORDERS)
    barrier.wait()
    fill(target, [row(at(5), id=first)], at(5), id_range)
    for i in range(1, count):
        update = [row(at(5 + i, 1), id=first, name=str(i)), row(at(5 + i, 2), id=first + i)]
        apply(target, changes(update), at(5 + i, 2), id_range)


def test_processes_on_different_ranges_of_a_new_table_all_stand(place: DeltaPlace) -> None:
    context = mp.get_context("spawn")
    barrier = context.Barrier(3)
    ranges = {A: 0, B: 1000, "r0003": 2000}
    workers = [
        context.Process(target=project, args=(str(place.root), r, n, 8, barrier)) for r, n in ranges.items()
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    for id_range, first in ranges.items():
        expected = [row(at(5 + i, 2), id=first + i) for i in range(1, 8)]
        holds(place, [row(at(12, 1), id=first, name="7"), *expected], id_range)
        assert place.target.checkpoint(id_range) == RangeCheckpoint(BASELINE, at(12, 2), 8)


ROUNDS = 20


def fill_new_tables(root: str, number: int, barrier: Any) -> None:
    """As columns come and go at the source, each process knows one that the other does not."""
    schema = TableSchema((*KEYED.columns, Column(f"c{number % 2}", "text", pa.string())), KEYED.key)
    for turn in range(ROUNDS):
        barrier.wait()
        fill(DeltaTarget(f"{root}/{turn}", ORDERS), [row(at(5), id=number)], at(5), f"r000{number}", schema)


def test_processes_that_make_one_table_at_once_make_it_once(place: DeltaPlace) -> None:
    context = mp.get_context("spawn")
    barrier = context.Barrier(4, timeout=60)
    workers = [
        context.Process(target=fill_new_tables, args=(str(place.root), number, barrier))
        for number in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    for turn in range(ROUNDS):
        target = DeltaTarget(f"{place.root}/{turn}", ORDERS)
        assert sorted(target.rows()["id"].to_pylist()) == [0, 1, 2, 3]
        assert {"c0", "c1"} <= set(target.dataset().schema.names)
        history = DeltaTable(target._location.uri).history()
        assert [each["version"] for each in history if each["operation"] == "CREATE TABLE"] == [0]


def die_before_commit(root: str) -> None:
    DeltaTable.create_write_transaction = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment, method-assign]
    apply(DeltaTarget(root, ORDERS), changes([row(at(6, 1), id=1, name="never")]), at(6, 1))


def die_after_commit(root: str) -> None:
    original = DeltaTable.create_write_transaction

    def committed(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    DeltaTable.create_write_transaction = committed  # type: ignore[method-assign]
    apply(DeltaTarget(root, ORDERS), changes([row(at(6, 1), id=1, name="new")]), at(6, 1))


@pytest.mark.parametrize("die", [die_before_commit, die_after_commit])
def test_a_killed_projector_leaves_either_all_or_nothing_and_a_valid_checkpoint(
    place: DeltaPlace, die: Any
) -> None:
    fill(place.target, [row(at(5), id=1, name="old"), row(at(5), id=2)], at(5))
    worker = mp.get_context("spawn").Process(target=die, args=(str(place.root),))
    worker.start()
    worker.join()
    assert worker.exitcode == -signal.SIGKILL
    done = die is die_after_commit
    first = row(at(6, 1), id=1, name="new") if done else row(at(5), id=1, name="old")
    holds(place, [first, row(at(5), id=2)])
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(6, 1) if done else at(5), 2)
    apply(place.target, changes([row(at(6, 1), id=1, name="new")]), at(6, 1))
    holds(place, [row(at(6, 1), id=1, name="new"), row(at(5), id=2)])


def interleaved(monkeypatch: pytest.MonkeyPatch, before: Any = None, after: Any = None) -> None:
    """Run `before` or `after` around the next commit, once."""
    original = DeltaTable.create_write_transaction

    def commit(*args: Any, **kwargs: Any) -> None:
        monkeypatch.setattr(DeltaTable, "create_write_transaction", original)
        if before is not None:
            before()
        original(*args, **kwargs)
        if after is not None:
            after()

    monkeypatch.setattr(DeltaTable, "create_write_transaction", commit)


@pytest.mark.parametrize("insert_only", [True, False])
def test_of_two_projectors_of_one_range_the_second_is_told_and_leaves_no_files(
    place: DeltaPlace, monkeypatch: pytest.MonkeyPatch, insert_only: bool
) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    these = changes([row(at(6, 1), id=2)], insert_only=insert_only)
    rival = DeltaPlace(place.root)
    interleaved(monkeypatch, before=lambda: apply(rival.target, these, at(6, 1)))
    with pytest.raises(CommitConflict):
        apply(place.target, these, at(6, 1))
    holds(place, [row(at(5), id=1), row(at(6, 1), id=2)])
    assert place.on_disk() == place.active()


def test_a_rival_rebuild_of_the_same_range_loses_and_leaves_no_files(
    place: DeltaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    first = place.active()
    interleaved(monkeypatch, before=lambda: fill(DeltaPlace(place.root).target, [row(at(6), id=1)], at(6)))
    with pytest.raises(CommitConflict):
        fill(place.target, [row(at(5), id=9)], at(5))
    holds(place, [row(at(6), id=1)])
    assert place.on_disk() == place.active() | first


def test_commits_of_other_ranges_in_between_are_borne(
    place: DeltaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    fill(place.target, [row(at(5), id=900)], at(5), B)
    other = changes([row(at(6, 1), id=900, name="other")])
    interleaved(monkeypatch, before=lambda: apply(DeltaPlace(place.root).target, other, at(6, 1), B))
    apply(place.target, changes([row(at(6, 1), id=1, name="x")]), at(6, 1))
    holds(place, [row(at(6, 1), id=1, name="x")])
    holds(place, [row(at(6, 1), id=900, name="other")], B)


def test_a_commit_whose_answer_was_lost_is_found_in_the_log(
    place: DeltaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))

    def lose() -> None:
        raise CommitFailedError("response lost")

    interleaved(monkeypatch, after=lose)
    version = place.delta().version()
    assert apply(place.target, changes([row(at(6, 1), id=1, name="x")]), at(6, 1)).rows == 1
    assert place.delta().version() == version + 1
    holds(place, [row(at(6, 1), id=1, name="x")])


def test_a_commit_overtaken_after_its_answer_was_lost_keeps_the_files_that_the_log_needs(
    place: DeltaPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    rival = DeltaPlace(place.root)

    def overtaken() -> None:
        apply(rival.target, changes([row(at(7, 1), id=3)], insert_only=True), at(7, 1))
        raise CommitFailedError("response lost")

    interleaved(monkeypatch, after=overtaken)
    with pytest.raises(CommitConflict):
        apply(place.target, changes([row(at(6, 1), id=2)], insert_only=True), at(6, 1))
    holds(place, [row(at(5), id=1), row(at(6, 1), id=2), row(at(7, 1), id=3)])
    assert place.target.checkpoint(A) == RangeCheckpoint(BASELINE, at(7, 1), 3)


def test_a_source_of_rows_that_fails_midway_leaves_the_old_rows_and_no_files(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))

    def broken() -> Any:
        yield from table([row(at(6), id=i) for i in range(1000)]).to_batches()
        raise RuntimeError("source failed")

    with pytest.raises(RuntimeError, match="source failed"):
        place.target.replace(A, KEYED, broken(), BASELINE, at(6))
    holds(place, [row(at(5), id=1)])
    assert place.on_disk() == place.active()
    assert exact(place.target.rows()) == exact(place.stored(A))


# --- object stores ---


@pytest.fixture(scope="module")
def s3_options() -> Iterator[dict[str, str]]:
    """An S3 server in its own process: deltalake holds the interpreter while it waits for one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        assert reachable(port)
        urlopen(Request(f"{url}/bucket", method="PUT"), timeout=10).close()
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
    finally:
        server.kill()
        server.wait()


def reachable(port: int) -> bool:
    for _ in range(120):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.25)
    return False


def test_an_object_store_is_a_target_like_any_other(s3_options: dict[str, str]) -> None:
    target = DeltaTarget("s3://bucket/lake", TableId("shop", "public", "a.b %"), s3_options)
    assert target.checkpoint(A) is None
    fill(target, [row(at(5), id=1), row(at(5), id=2), row(at(5), id=3)], at(5))
    apply(target, changes([row(at(6, 1), id=1, name="x")], [row(at(6, 2), id=2)]), at(6, 2))
    apply(target, changes([row(at(7, 1), id=9)], insert_only=True), at(7, 1))
    expected = [row(at(5), id=3), row(at(6, 1), id=1, name="x"), row(at(7, 1), id=9)]
    assert exact(target.rows(A)) == exact(table(expected))
    assert target.checkpoint(A) == RangeCheckpoint(BASELINE, at(7, 1), 3)
    target.vacuum(dt.timedelta())
    assert exact(target.rows(A)) == exact(table(expected))
    target.drop()
    assert target.checkpoint(A) is None


# --- what somebody else did to the table ---


def test_rows_that_somebody_added_are_shown_as_nobodys_or_as_their_ranges(place: DeltaPlace) -> None:
    fill(place.target, [row(at(5), id=1)], at(5))
    for id_range, key in ((A, 2), (None, 3)):
        added = table([row(at(5), id=key)]).append_column(ID_RANGE, pa.array([id_range], pa.string()))
        write_deltalake(place.delta(), added, mode="append")
    rows = {one["id"]: one[ID_RANGE] for one in seen(place.target).to_pylist()}
    assert rows == {1: A, 2: A, 3: None}
    assert place.target.view(KEYED).checkpoint(A) == RangeCheckpoint(BASELINE, at(5), 1)


def test_an_edited_range_is_not_repaired_row_by_row(place: DeltaPlace) -> None:
    checkpoint = fill(place.target, [row(at(5), id=1), row(at(5), id=2)], at(5))
    place.delta().delete("id = 1")
    with pytest.raises(TargetError, match="replace the range"):
        place.target.repair(A, KEYED, table([row(at(5), id=1)]), table([]).select(["id"]), checkpoint)


def test_a_repair_removes_every_copy_of_a_key(place: DeltaPlace) -> None:
    checkpoint = fill(place.target, [row(at(5), id=1, name="a"), row(at(5), id=1, name="b")], at(5))
    place.target.repair(A, KEYED, table([row(at(5), id=1, name="a")]), table([]).select(["id"]), checkpoint)
    holds(place, [row(at(5), id=1, name="a")])


def test_a_column_that_the_table_lacks_is_null_in_the_view(place: DeltaPlace) -> None:
    old = TableSchema(KEYED.columns[:2], ("id",))
    fill(place.target, [row(at(5), id=1, name="x")], at(5), schema=old)
    assert [(one["id"], one["name"], one["big"]) for one in seen(place.target).to_pylist()] == [
        (1, "x", None)
    ]
