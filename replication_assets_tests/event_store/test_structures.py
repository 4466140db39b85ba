"""Structures of source tables: the last one is known, and only what differs is told."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable

from replication_assets.core.schema import TableId
from replication_assets.core.structure import (
    Check,
    ColumnStructure,
    ForeignKey,
    Index,
    OwnedSequence,
    TableStructure,
    UniqueKey,
)
from replication_assets.errors import StoreCorrupt, StoreError
from replication_assets.event_store import DeltaEventStore

AT = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
TABLE = TableId("shop", 'sch"ema', "or.ders/\N{PILE OF POO}")
STRUCTURE = TableStructure(
    TABLE,
    "postgresql",
    (
        ColumnStructure("id", "bigint", nullable=False, identity="always"),
        ColumnStructure("mood", "public.mood", labels=("happy", "s'ad"), default="'happy'::public.mood"),
        ColumnStructure("double", "bigint", generated="(id * 2)", collation="C"),
    ),
    primary_key=UniqueKey("orders_pkey", ("id",)),
    unique_keys=(UniqueKey("u", ("mood", "id")),),
    foreign_keys=(ForeignKey("f", ("id",), replace(TABLE, name="other"), ("id",), on_delete="CASCADE"),),
    indexes=(Index("i", ("mood",)), Index("j", (), definition="CREATE INDEX j ON t (lower(mood))")),
    checks=(Check("c", "id > 0"),),
    sequences=(OwnedSequence("orders_id_seq", "id"),),
    others=("trigger audit",),
)


def test_what_is_recorded_is_read_back_by_anybody(store: DeltaEventStore) -> None:
    assert store.structures(TABLE).last() is None
    assert store.structures(TABLE).record(STRUCTURE, AT)
    assert store.structures(TABLE).last() == STRUCTURE
    assert store.structures(replace(TABLE, name="other")).last() is None


def test_only_what_differs_from_the_last_is_recorded(local_store: DeltaEventStore) -> None:
    changed = replace(STRUCTURE, others=())
    structures = local_store.structures(TABLE)
    told = [structures.record(each, AT) for each in (STRUCTURE, STRUCTURE, changed, changed, STRUCTURE)]
    assert told == [True, False, True, False, True]
    assert structures.last() == STRUCTURE
    lines = DeltaTable(lines_of(local_store)).to_pyarrow_table().sort_by("_sequence")
    assert lines["_sequence"].to_pylist() == [1, 2, 3]
    assert lines["structure"].to_pylist() == [each.to_json() for each in (STRUCTURE, changed, STRUCTURE)]


def test_many_who_see_one_change_at_once_record_it_once(local_store: DeltaEventStore) -> None:
    local_store.structures(TABLE).record(STRUCTURE, AT)
    changed = replace(STRUCTURE, checks=())

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda _: local_store.structures(TABLE).record(changed, AT), range(6)))
    assert told.count(True) == 1
    assert local_store.structures(TABLE).last() == changed


def test_a_time_without_zone_is_refused(local_store: DeltaEventStore) -> None:
    with pytest.raises(StoreError, match="a time has no zone"):
        local_store.structures(TABLE).record(STRUCTURE, AT.replace(tzinfo=None))
    assert local_store.structures(TABLE).last() is None


def test_a_line_that_was_lost_is_noticed(local_store: DeltaEventStore) -> None:
    local_store.structures(TABLE).record(STRUCTURE, AT)
    (part,) = Path(lines_of(local_store)).glob("*.parquet")
    part.unlink()
    with pytest.raises(StoreCorrupt, match="is missing"):
        local_store.structures(TABLE).last()


def lines_of(store: DeltaEventStore) -> str:
    (log,) = (Path(store.root) / "_structures").rglob("_delta_log")
    return str(log.parent)
