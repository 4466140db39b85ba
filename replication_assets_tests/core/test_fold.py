"""The fold of any history is what the table held, whatever order its events were written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.core.baseline import baseline_of
from replication_assets.core.controls import Controls, SchemaChanged
from replication_assets.core.events import stored_schema
from replication_assets.core.fold import fold_rows, row_schema
from replication_assets.core.id_ranges import IdRanges
from replication_assets.core.positions import Position
from replication_assets.core.schema import TableSchema
from replication_assets.core.sql import Spill, engine
from replication_assets.errors import NeedsReload, NotLoaded
from replication_assets_tests.core.histories import DATES, KEYED, KEYLESS, History, steps

WHOLE = IdRanges.whole().at(0)


def folded(
    events: pa.Table, controls: Controls, schema: TableSchema, as_of: Position | None = None
) -> Counter[tuple[Any, ...]]:
    baseline = baseline_of(controls, WHOLE, where="t", as_of=as_of)

    def history_of(key: Mapping[str, str]) -> pa.Table:
        return events.filter(pc.equal(events.column("k"), int(key["k"])))

    with engine(Spill(memory_mib=128)) as connection:
        batches = fold_rows(
            connection, ds.dataset(events), schema, baseline, history_of=history_of, where="t", as_of=as_of
        )
        rows = pa.Table.from_batches(batches, row_schema(schema)).select(list(schema.names)).to_pylist()
    return Counter(tuple(row.values()) for row in rows)


@given(steps, st.randoms(use_true_random=False))
def test_a_fold_is_what_the_table_held_whatever_order_events_were_written_in(history_steps, random) -> None:
    history = History(KEYED).run([("load",), *history_steps])
    order = list(range(len(history.events)))
    random.shuffle(order)
    assert folded(history.table(order), history.controls, KEYED) == Counter(history.rows.values())


@given(steps)
def test_without_a_key_the_fold_is_the_exact_multiset(history_steps) -> None:
    history = History(KEYLESS).run([("load",), *history_steps])
    assert folded(history.table(), history.controls, KEYLESS) == Counter(history.rows.values())


@given(steps)
def test_columns_may_have_the_names_that_queries_like_to_use(history_steps) -> None:
    names = {"k": "p", "a": "n", "big": "copy", "born": "began"}
    whole = [step for step in history_steps if step[0] not in ("update", "move") or not step[-1]]
    for schema in (KEYED, KEYLESS):
        columns = tuple(replace(column, name=names[column.name]) for column in schema.columns)
        renamed = TableSchema(columns, tuple(names[name] for name in schema.key))
        history = History(schema).run([("load",), *whole])
        rows = history.table()
        rows = rows.rename_columns([names.get(name, name) for name in rows.column_names])
        assert folded(rows, history.controls, renamed) == Counter(history.rows.values())


@pytest.mark.parametrize("name", ["p0", "f0", "began", "e", "f", "p"])
def test_a_key_may_have_such_a_name_where_values_did_not_change(name: str) -> None:
    columns = tuple(replace(column, name=name) if column.name == "k" else column for column in KEYED.columns)
    history = History(KEYED).run(
        [("load",), ("insert", 1, "x", "kept", DATES[0]), ("update", 1, "z", None, True)]
    )
    rows = history.table()
    rows = rows.rename_columns([name if column == "k" else column for column in rows.column_names])
    found = folded(rows, history.controls, TableSchema(columns, (name,)))
    assert found == Counter(history.rows.values())


@given(steps, st.data())
def test_a_fold_as_of_a_past_position_is_what_the_table_held_then(history_steps, data) -> None:
    history = History(KEYED).run([("load",), *(s for s in history_steps if s[0] != "load-date")])
    position, rows = data.draw(st.sampled_from(history.states))
    assert folded(history.table(), history.controls, KEYED, position) == Counter(rows)


@given(steps)
def test_folding_what_was_folded_changes_nothing(history_steps) -> None:
    history = History(KEYED).run([("load",), *history_steps])
    once = folded(history.table(), history.controls, KEYED)
    again = History(KEYED)
    again.rows = {row[0]: row for row in once}
    again.run([("load",)])
    assert folded(again.table(), again.controls, KEYED) == once


@given(steps)
def test_only_the_dates_that_were_loaded_are_known(history_steps) -> None:
    kept = [s for s in history_steps if s[0] not in ("load", "load-date", "truncate")]
    history = History(KEYED).run([*kept[:10], ("load-date", DATES[0]), *kept[10:]])
    expected = Counter(row for row in history.rows.values() if row[3] == DATES[0])
    assert folded(history.table(), history.controls, KEYED) == expected


def test_a_range_without_a_complete_load_is_refused() -> None:
    history = History(KEYED).run([("insert", 1, "x", "y", DATES[0])])
    with pytest.raises(NotLoaded, match=r"r000000.*materialize"):
        folded(history.table(), history.controls, KEYED)


def test_a_range_whose_rows_changed_unseen_is_refused_until_it_is_loaded_again() -> None:
    history = History(KEYED).run([("load",)])
    gap = SchemaChanged(Position(1, history.commit, 1), True, "column a was renamed")
    stale = Controls(history.controls.loads, (), (gap,))
    with pytest.raises(NeedsReload, match="column a was renamed"):
        folded(history.table(), stale, KEYED)
    history.commit += 10
    history.run([("load",)])
    assert folded(history.table(), Controls(history.controls.loads, (), (gap,)), KEYED) == Counter()


def test_a_value_that_no_event_holds_is_refused_and_not_guessed() -> None:
    history = History(KEYED).run(
        [("load",), ("insert", 1, "x", "y", DATES[0]), ("update", 1, "z", None, True)]
    )
    lost = history.table().filter(pc.field("_op") != "I")
    with pytest.raises(NeedsReload, match="'big' is in no stored event"):
        folded(lost, history.controls, KEYED)


def test_of_two_loads_at_one_position_only_one_counts() -> None:
    history = History(KEYED).run([("insert", 1, "x", "y", DATES[0]), ("load",)])
    twin = [dict(e, _load_id="twin") for e in history.events if e["_op"] == "R"]
    first = history.loads[0]
    history.loads.append(type(first)(first.position, "twin", None, None, 1))
    doubled = pa.concat_tables([history.table(), pa.Table.from_pylist(twin, stored_schema(KEYED))])
    assert folded(doubled, history.controls, KEYED) == Counter(history.rows.values())


def test_a_key_that_changed_to_an_equal_one_still_has_its_row() -> None:
    # -0.0 and 0.0 are one key to the fold: the delete of the old one stands at the same position.
    history = History(KEYED).run([("load",), ("insert", 1, "x", "y", DATES[0])])
    history._event("D", (1, None, None, None), 1)
    history._event("U", (1, "z", "y", DATES[0]), 1)
    for order in ([*range(len(history.events))], [*range(len(history.events))][::-1]):
        found = folded(history.table(order), history.controls, KEYED)
        assert found == Counter([(1, "z", "y", DATES[0])])
