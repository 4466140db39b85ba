"""Net changes of any stretch of events, applied to what a target holds, give the later fold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow.dataset as ds
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.baseline import baseline_of
from replication_assets.core.changes import RangeChanges, range_changes
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import Spill, engine
from replication_assets_tests.core.histories import KEYED, KEYLESS, History, Row, steps
from replication_assets_tests.core.test_fold import WHOLE


def changes_between(
    history: History, schema: TableSchema, start: Position, end: Position
) -> RangeChanges | None:
    with engine(Spill(memory_mib=128, threads=1)) as connection:
        return range_changes(
            connection,
            ds.dataset(history.table()),
            schema,
            baseline_of(history.controls, WHOLE, where="t"),
            start=start,
            end=end,
            most=1000,
            where="t",
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
    with engine(Spill(memory_mib=128, threads=1)) as connection:
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
