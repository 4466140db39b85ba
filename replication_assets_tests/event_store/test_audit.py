"""The audit of an environment: one chain, whoever appends, and no line of it changes unnoticed."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replication_assets.errors import StoreCorrupt, StoreError
from replication_assets.event_store import DeltaEventStore
from replication_assets.ports.refresh import Audit

AT = dt.datetime(2026, 3, 1, 13, 0, 0, 5, tzinfo=dt.timezone(dt.timedelta(hours=1)))
BODY: Mapping[str, object] = {"rows": {"shop.public.orders": 3}, "who else": ["Zo\u00eb", None, 0.1, True]}


def append(audit: Audit, what: str = "planned") -> None:
    audit.append("nightly", "id-1", what, "scheduler", BODY, AT)


def test_lines_are_read_back_in_order_by_anybody(store: DeltaEventStore) -> None:
    assert store.audit("qa").lines() == ()
    told = [
        store.audit("qa").append("nightly", "id-1", what, "Zo\u00eb", BODY, AT) for what in ("begun", "done")
    ]
    assert store.audit("qa").lines() == tuple(told)
    first, second = told
    assert (first.number, second.number) == (1, 2)
    assert (first.environment, first.refresh, first.refresh_id, first.what) == (
        "qa",
        "nightly",
        "id-1",
        "begun",
    )
    assert (first.at, first.who, first.body) == (AT, "Zo\u00eb", BODY)
    assert first.hash != second.hash
    assert store.audit("dev").lines() == ()


def test_many_who_append_at_once_make_one_chain(local_store: DeltaEventStore) -> None:
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda each: append(local_store.audit("qa"), f"step {each}"), range(10)))
    lines = local_store.audit("qa").lines()
    assert sorted(line.what for line in lines) == [f"step {each}" for each in range(10)]
    assert [line.number for line in lines] == list(range(1, 11))


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (lambda row: {**row, "who": "nobody"}, 2),
        (lambda row: {**row, "body": row["body"].replace("3", "4")}, 2),
        (lambda row: {**row, "at": row["at"] + dt.timedelta(microseconds=1)}, 2),
        (lambda row: {**row, "environment": "dev"}, 2),
        (lambda row: {**row, "hash": "0" * 64}, 2),
    ],
)
def test_a_line_that_was_changed_is_named(
    local_store: DeltaEventStore, change: Callable[[dict[str, Any]], dict[str, Any]], first: int
) -> None:
    for what in ("planned", "masked", "loaded"):
        append(local_store.audit("qa"), what)
    rewrite(local_store, 2, change)
    with pytest.raises(StoreCorrupt, match=f"line {first} does not follow"):
        local_store.audit("qa").lines()


def test_an_audit_of_another_environment_does_not_stand_in(local_store: DeltaEventStore) -> None:
    append(local_store.audit("dev"))
    folder = Path(local_store.root) / "_audits"
    (folder / "dev").rename(folder / "qa")
    with pytest.raises(StoreCorrupt, match="line 1 does not follow"):
        local_store.audit("qa").lines()


def test_an_end_that_was_cut_off_is_noticed(local_store: DeltaEventStore) -> None:
    append(local_store.audit("qa"))
    append(local_store.audit("qa"), "masked")
    rewrite(local_store, 2, lambda row: {**row, "_sequence": 1})
    with pytest.raises(StoreCorrupt, match="2 lines were told"):
        local_store.audit("qa").lines()


@pytest.mark.parametrize("body", [{"at": AT}, {1: "one"}, {"n": float("nan")}, {"t": "\ud800"}])
def test_a_body_that_json_does_not_hold_is_refused(
    local_store: DeltaEventStore, body: dict[Any, object]
) -> None:
    with pytest.raises(StoreError, match="JSON does not"):
        local_store.audit("qa").append("nightly", "id-1", "planned", "scheduler", body, AT)
    assert local_store.audit("qa").lines() == ()


def test_a_time_without_zone_is_refused(local_store: DeltaEventStore) -> None:
    with pytest.raises(StoreError, match="a time has no zone"):
        local_store.audit("qa").append("nightly", "id-1", "planned", "me", {}, AT.replace(tzinfo=None))


def rewrite(store: DeltaEventStore, line: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change a line behind the store's back, with the size that the log states of its file."""
    folder = Path(store.root) / "_audits" / "qa"
    commit = folder / "_delta_log" / f"{line:020}.json"
    actions = [json.loads(text) for text in commit.read_text().splitlines()]
    added = next(action["add"] for action in actions if "add" in action)
    path = folder / added["path"]
    schema = pq.read_schema(path)
    (row,) = pq.read_table(path).to_pylist()
    pq.write_table(pa.Table.from_pylist([change(row)], schema), path, store_schema=False)
    added["size"] = path.stat().st_size
    commit.write_text("\n".join(json.dumps(action) for action in actions))


def test_the_newest_lines_are_found_without_reading_what_came_long_before(
    local_store: DeltaEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replication_assets.event_store.audit.NEWEST", 2)
    audit = local_store.audit("qa")
    for number in range(1, 12):
        audit.append("nightly", f"id-{number % 3}", "plan" if number < 10 else "mask", "cron", BODY, AT)
    assert [line.number for line in audit.back_to("id-1", "mask")] == [10, 11]
    assert [line.number for line in audit.back_to("id-0", "plan")] == [9, 10, 11]
    assert [line.number for line in audit.back_to("id-1", "plan")] == [7, 8, 9, 10, 11]
    assert len(audit.back_to("id-9", "plan")) == 11
