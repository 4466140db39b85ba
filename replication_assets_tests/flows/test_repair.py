"""What is wrong in a projection is made right, row by row where that is possible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake

from replication_assets.core.fold import row_schema
from replication_assets.flows.read import fold_range
from replication_assets.flows.validation.findings import Validation
from replication_assets.flows.validation.repair import Repair, repair_event_store, repair_projection
from replication_assets.ports import RangeCheckpoint
from replication_assets.targets.delta import DeltaTarget
from replication_assets_tests.e2e.system import System
from replication_assets_tests.flows.test_validate import (
    BAG,
    T,
    as_stored,
    at_source,
    in_lake,
    lake,
    made,
    silently,
    states,
)

__all__ = ["made"]


def repaired(system: System, table: Any = T, **options: Any) -> Repair:
    return repair_projection(system.store, system.target(table), table, projection="lake", **options)


def goes_on(system: System) -> None:
    """Captures and projections after a repair find everything as they need it."""
    system.execute("INSERT INTO t VALUES (7000, 'later', NULL)", "INSERT INTO bag VALUES ('later', 1)")
    system.capture()
    system.project()
    system.check(independently=False)


def how(repair: Repair) -> dict[str, tuple[str, int, int]]:
    return {each.id_range: (each.how, each.written, each.removed) for each in repair.ranges}


def written_wrong(system: System, id_range: str, change: Any) -> RangeCheckpoint:
    """Fill a range with wrong rows at the right checkpoint, as a bug of ours would."""
    snapshot = system.store.log(T).snapshot()
    target = system.target(T)
    checkpoint = target.checkpoint(id_range)
    assert checkpoint is not None
    rows = pa.Table.from_batches(
        fold_range(snapshot, T, snapshot.id_ranges.by_key(id_range)), row_schema(snapshot.schema)
    )
    wrong: Iterable[pa.RecordBatch] = change(rows).to_batches()
    return target.replace(id_range, snapshot.schema, wrong, checkpoint.baseline, checkpoint.position)


def with_three_wrong(rows: pa.Table) -> pa.Table:
    """Row 11 differs, row 12 is missing, row 999 is extra."""
    place = rows.column_names.index("v")
    changed = pc.if_else(pc.equal(rows["id"], 11), "wrong", rows["v"])
    rows = rows.set_column(place, rows.field("v"), changed).filter(pc.not_equal(rows["id"], 12))
    extra = rows.slice(0, 1).set_column(0, rows.field("id"), pa.array([999], pa.int32()))
    return pa.concat_tables([rows, extra])


def test_single_rows_are_mended_without_moving_the_checkpoint(made: System) -> None:
    before = made.target(T).checkpoint("r000001")
    written_wrong(made, "r000001", with_three_wrong)
    assert in_lake(made).mismatches == 3
    done = repaired(made)
    assert how(done) == {"r000001": ("rows", 2, 1)}
    assert done.done
    assert set(states(in_lake(made)).values()) == {"equal"}
    assert made.target(T).checkpoint("r000001") == before
    made.execute("UPDATE t SET v = 'on' WHERE id IN (11, 12)")
    goes_on(made)


def test_an_edited_range_is_replaced(made: System) -> None:
    lake(made).update({"v": "'edited'"}, predicate="id = 11")
    write_deltalake(lake(made), as_stored(made, [{"id": 77, "v": "x"}], "r000002"), mode="append")
    done = repaired(made)
    assert {key: one[0] for key, one in how(done).items()} == {"r000001": "replaced", "r000002": "replaced"}
    assert "behind its checkpoint" in done.ranges[0].why
    assert done.done
    goes_on(made)


def test_an_emptied_or_dropped_projection_is_filled_again(made: System) -> None:
    lake(made).delete()
    assert repaired(made).done
    target = made.target(T)
    assert isinstance(target, DeltaTarget)
    target.drop()
    assert repaired(made).done
    goes_on(made)


def test_a_range_without_key_is_replaced(made: System) -> None:
    lake(made, BAG).delete("v IS NULL")
    assert how(repaired(made, BAG)) == {"r000000": ("replaced", 3, 0)}
    goes_on(made)


def test_a_range_with_too_many_wrong_rows_is_replaced(made: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication_assets.flows.validation.repair.MOST_ROWS", 2)
    written_wrong(made, "r000001", with_three_wrong)
    done = repaired(made)
    assert how(done)["r000001"][0] == "replaced"
    assert done.done


def test_only_the_ranges_that_are_asked_for_are_repaired(made: System) -> None:
    lake(made).delete("id IN (12, 25)")
    done = repaired(made, id_ranges=["r000001"])
    assert set(how(done)) == {"r000001"}
    assert states(in_lake(made)) == {"r000000": "equal", "r000001": "equal", "r000002": "differs"}


def test_nothing_is_done_where_nothing_is_wrong(made: System) -> None:
    version = lake(made).version()
    done = repaired(made)
    assert (done.ranges, done.done) == ((), True)
    assert lake(made).version() == version


def test_rows_of_no_range_are_left_with_advice(made: System) -> None:
    write_deltalake(lake(made), as_stored(made, [{"id": 99, "v": "stray"}], None), mode="append")
    done = repaired(made)
    assert how(done) == {"": ("left", 0, 0)}
    assert "Fix: delete them" in done.ranges[0].why
    assert not done.done


def test_ranges_that_differ_from_the_source_are_loaded_again(made: System) -> None:
    silently(made, "UPDATE t SET v = 'lost' WHERE id = 11", "DELETE FROM t WHERE id = 25")
    assert at_source(made).mismatches == 2
    done = repair_event_store(made.source, made.store, made.table("t"), catch_up=made.reach)
    assert how(done) == {"r000001": ("loaded", 10, 0), "r000002": ("loaded", 9, 0)}
    assert done.done
    # A new load starts the ranges anew; the projection follows it and is right as well.
    goes_on(made)
    found: Validation = in_lake(made)
    assert set(states(found).values()) == {"equal"}
