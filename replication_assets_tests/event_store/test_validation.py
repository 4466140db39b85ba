"""Digests that are kept are found again, by anybody, and their files stay few."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from replication_assets.core.digests import Digest
from replication_assets.core.schema import TableId
from replication_assets.event_store import DeltaEventStore
from replication_assets.event_store.validation import MOST_FILES
from replication_assets.ports import KnownDigest
from replication_assets_tests.event_store.conftest import Bucket

T = TableId("shop", "public", "orders")


def known(n: int) -> KnownDigest:
    return KnownDigest(f"state {n}", Digest(n, 2**64 - 1 - n))


def test_digests_that_were_kept_are_known(tmp_path: Path) -> None:
    DeltaEventStore(str(tmp_path)).known_digests(T).keep({"a": known(1), "b": known(2)})
    DeltaEventStore(str(tmp_path)).known_digests(T).keep({"b": known(3)})
    assert DeltaEventStore(str(tmp_path)).known_digests(T).read() == {"a": known(1), "b": known(3)}
    other = TableId("shop", "public", "other")
    assert DeltaEventStore(str(tmp_path)).known_digests(other).read() == {}


def test_their_files_stay_few_and_nothing_is_forgotten(tmp_path: Path) -> None:
    digests = DeltaEventStore(str(tmp_path)).known_digests(T)
    for n in range(100):
        digests.keep({f"r{n}": known(n)})
    assert digests.read() == {f"r{n}": known(n) for n in range(100)}
    assert len(list(tmp_path.rglob("*.parquet"))) <= MOST_FILES + 1


def test_they_may_be_kept_by_several_at_once(tmp_path: Path) -> None:
    def keep(n: int) -> None:
        DeltaEventStore(str(tmp_path)).known_digests(T).keep({f"r{n}": known(n)})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(60)))
    found = DeltaEventStore(str(tmp_path)).known_digests(T).read()
    assert all(found[name] == known(int(name[1:])) for name in found)


def test_torn_and_deleted_files_cost_digests_and_nothing_else(tmp_path: Path) -> None:
    digests = DeltaEventStore(str(tmp_path)).known_digests(T)
    digests.keep({"a": known(1)})
    digests.keep({"b": known(2)})
    first, second = sorted(tmp_path.rglob("*.parquet"))
    first.write_bytes(first.read_bytes()[:50])
    second.unlink()
    assert digests.read() == {}
    digests.keep({"a": known(3)})
    assert digests.read() == {"a": known(3)}


def test_an_object_store_keeps_them_like_a_folder(bucket: Bucket) -> None:
    store = DeltaEventStore(bucket.root, bucket.options)
    assert store.known_digests(T).read() == {}
    for n in range(MOST_FILES + 3):
        store.known_digests(T).keep({f"r{n}": known(n)})
    assert store.known_digests(T).read() == {f"r{n}": known(n) for n in range(MOST_FILES + 3)}
    store.try_writing()
    rows = pa.table({"key": ["1"]})
    assert store.finding_lists(T).write("a", rows.schema, rows.to_batches()).startswith("s3://")


def test_a_list_is_written_where_it_says(tmp_path: Path) -> None:
    rows = pa.table({"key": ["1", "2"]})
    lists = DeltaEventStore(str(tmp_path)).finding_lists(T)
    places = [lists.write(name, rows.schema, rows.to_batches()) for name in ("first", "second")]
    assert [pq.read_table(place).to_pylist() for place in places] == [rows.to_pylist()] * 2
    assert places[0] != places[1]
