"""Net changes of any stretch of events, applied to what a target holds, give the later fold."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.baseline import baseline_of
from replication_assets.core.changes import Past, RangeChanges, range_changes
from replication_assets.core.controls import RangeReplaced
from replication_assets.core.fold import row_schema
from replication_assets.core.positions import Position
from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import Spill, engine
from replication_assets.core.table_filters import filter_text
from replication_assets.errors import NeedsReload
from replication_assets_tests.core.histories import DATES, KEYED, KEYLESS, History, Row, steps
from replication_assets_tests.core.test_fold import WHOLE


def changes_between(
    history: History,
    schema: TableSchema,
    start: Position,
    end: Position,
    *,
    past: bool = False,
    since: Position | None = None,
    where: Sequence[Where] = (),
) -> RangeChanges | None:
    """`past`: with whole rows and former rows."""
    events = history.table()
    baseline = replace(baseline_of(history.controls, WHOLE, where="t"), where=filter_text(where))

    def history_of(key: Mapping[str, str]) -> pa.Table:
        return events.filter(pc.equal(events.column("k"), int(key["k"])))

    with engine(Spill(memory_mib=128)) as connection:
        return range_changes(
            connection,
            ds.dataset(events),
            schema,
            baseline,
            start=start,
            end=end,
            most=1000,
            where="t",
            past=Past(ds.dataset(events), history_of, True, True, since) if past else None,
        )


def applied(rows: dict[int, Row], changes: RangeChanges) -> dict[int, Row]:
    """The target's part, for a table with a key."""
    result: dict[int, Any] = dict(rows)
    for gone in changes.deletes.to_pylist():
        result.pop(gone["k"], None)
    for row in changes.upserts.to_pylist():
        kept = row["_unchanged"] or []
        big = rows[row["k"]][2] if "big" in kept else row["big"]
        result[row["k"]] = (row["k"], row["a"], big, row["born"])
    return result


@given(steps, st.data())
def test_bringing_a_keyed_target_forward_equals_folding_anew(history_steps, data) -> None:
    plain = [step for step in history_steps if step[0] in ("insert", "update", "delete", "move")]
    history = History(KEYED).run([("load",), *plain])
    at = data.draw(st.integers(0, len(history.states) - 1))
    start, rows = history.states[at]
    changes = changes_between(history, KEYED, start, history.states[-1][0])
    if changes is None:
        assert any(step[0] == "move" and step[4] for step in plain), (
            "only moves that kept a value are refused"
        )
        return
    before = {row[0]: row for row in rows}
    assert applied(before, changes) == history.rows
    if changes.insert_only:
        assert not changes.deletes.num_rows
        assert not before.keys() & set(changes.upserts.column("k").to_pylist())


FILTERS = [
    (Where("k", [Compare("between", ["1", "2"])]), lambda row: 1 <= row[0] <= 2),
    (Where("big", [Compare("notnull")]), lambda row: row[2] is not None),
    (Where("a", [Compare("lte", ["x"]), Compare("null")]), lambda row: row[1] is None or row[1] <= "x"),
]  # fmt: skip


@given(steps, st.data(), st.sampled_from(FILTERS))
def test_a_filtered_table_is_brought_forward_to_the_rows_that_pass(history_steps, data, chosen) -> None:
    where, passes = chosen
    plain = [step for step in history_steps if step[0] in ("insert", "update", "delete", "move")]
    there = [("insert", k, "x", "y", DATES[0]) for k in range(5)]
    history = History(KEYED).run([("load",), *there, *plain])
    start, rows = data.draw(st.sampled_from(history.states[len(there) :]))
    changes = changes_between(history, KEYED, start, history.states[-1][0], past=True, where=[where])
    assert changes is not None
    before = {row[0]: row for row in rows if passes(row)}
    assert applied(before, changes) == {k: row for k, row in history.rows.items() if passes(row)}


@given(steps, st.data())
def test_bringing_a_keyless_target_forward_equals_folding_anew(history_steps, data) -> None:
    plain = [step for step in history_steps if step[0] in ("insert", "update", "delete", "move")]
    history = History(KEYLESS).run([("load",), *plain])
    start, rows = data.draw(st.sampled_from(history.states))
    changes = changes_between(history, KEYLESS, start, history.states[-1][0])
    assert changes is not None
    names = list(KEYLESS.names)
    added = Counter(tuple(row.values()) for row in changes.upserts.select(names).to_pylist())
    removed = Counter(tuple(row.values()) for row in changes.deletes.select(names).to_pylist())
    assert removed <= Counter(rows)
    assert Counter(rows) - removed + added == Counter(history.rows.values())


def test_more_changes_than_a_target_should_hold_are_refused() -> None:
    history = History(KEYED).run([("load",), *(("insert", k, "a", "b", None) for k in range(5))])
    with engine(Spill(memory_mib=128)) as connection:
        found = range_changes(
            connection,
            ds.dataset(history.table()),
            KEYED,
            baseline_of(history.controls, WHOLE, where="t"),
            start=Position(1, 11),
            end=Position(1, 999),
            most=4,
            where="t",
        )
    assert found is None


Image = tuple[Any, ...]


def images(history: History) -> list[tuple[Position, int, Image | None]]:
    """Each change of a key with the row that it made, every value known; None for a delete."""
    told: list[tuple[Position, int, Image | None]] = []
    rows: dict[int, Image] = {}
    for event in history.events:
        position, k = Position(1, event["_commit_position"], event["_sequence"]), event["k"]
        if event["_op"] == "D":
            told.append((position, k, None))
            continue
        before = json.loads(event["_before"])["k"] if event["_before"] else k
        big = rows[int(before)][2] if event["_unchanged"] else event["big"]
        rows[k] = (k, event["a"], big, event["born"], position)
        told.append((position, k, rows[k]))
    return told


def held(told: list[tuple[Position, int, Image | None]], at: Position) -> dict[int, Image | None]:
    return {k: image for position, k, image in told if position <= at}


def positioned(rows: pa.Table) -> list[Image]:
    found = [
        (r["k"], r["a"], r["big"], r["born"], Position(r["_epoch"], r["_commit_position"], r["_sequence"]))
        for r in rows.to_pylist()
    ]
    return sorted(found, key=repr)


@given(steps, st.data())
def test_whole_rows_lack_no_value_and_former_rows_are_all_that_the_keys_were(history_steps, data) -> None:
    plain = [step for step in history_steps if step[0] in ("insert", "update", "delete", "move")]
    history = History(KEYED).run([("load",), *plain])
    start, _ = data.draw(st.sampled_from(history.states))
    end, _ = data.draw(st.sampled_from([state for state in history.states if state[0] >= start]))
    since, _ = data.draw(st.sampled_from([state for state in history.states if state[0] <= start]))
    changes = changes_between(history, KEYED, start, end, past=True, since=since)
    assert changes is not None
    assert changes.former is not None
    told = images(history)
    touched = {k for position, k, _ in told if start < position <= end}
    first, last = held(told, since), held(told, end)
    ever = {image for position, k, image in told if since < position <= end and k in touched}
    ever |= {first.get(k) for k in touched}
    assert changes.upserts["_unchanged"].null_count == changes.upserts.num_rows
    assert positioned(changes.upserts) == sorted((last[k] for k in touched if last[k] is not None), key=repr)
    assert {row["k"] for row in changes.deletes.to_pylist()} == {k for k in touched if last[k] is None}
    assert changes.former.schema.names == row_schema(KEYED).names
    assert positioned(changes.former) == sorted(ever - {last[k] for k in touched} - {None}, key=repr)


def test_an_odd_value_comes_along_into_whole_and_former_rows() -> None:
    day = dt.date(2026, 1, 1)
    history = History(KEYED).run([("insert", 1, "a", "big", day), ("update", 1, "b", None, True)])
    history.run([("update", 1, "c", None, True)])
    history.loads.append(RangeReplaced(Position(1, 1), "first", None, None, 0, None))
    history.events[0] |= {"big": None, "_overflow": '{"big":"infinity"}'}
    changes = changes_between(history, KEYED, Position(1, 10, 1), Position(1, 99), past=True)
    assert changes is not None
    assert changes.former is not None
    assert changes.upserts["_overflow"].to_pylist() == ['{"big":"infinity"}']
    assert changes.former["a"].to_pylist() == ["a", "b"]
    assert changes.former["_overflow"].to_pylist() == ['{"big":"infinity"}'] * 2


def test_a_value_that_no_event_has_is_refused_also_for_whole_rows() -> None:
    day = dt.date(2026, 1, 1)
    history = History(KEYED).run([("load",), ("insert", 1, "a", "big", day), ("update", 1, "b", None, True)])
    del history.events[0]
    with pytest.raises(NeedsReload, match="'big' is in no stored event"):
        changes_between(history, KEYED, Position(1, 25), Position(1, 99), past=True)
