"""The capture job marks exactly what it wrote, and projections follow."""

from __future__ import annotations

import dagster as dg

from replication_assets_tests.defs.conftest import ITEMS, Graph
from replication_assets_tests.defs.test_event_store_assets import EVENTS, THIS_MONTH, cell

LAKE = ["lake", "shop", "public", "items"]


def loaded(graph: Graph) -> Graph:
    graph.materialize(EVENTS, cell(THIS_MONTH, "r000000"), cell(THIS_MONTH, "r000002"))
    return graph


def test_a_capture_marks_exactly_the_partitions_that_it_wrote(ready: Graph) -> None:
    loaded(ready)
    before = ready.materialized(EVENTS)
    ready.sql("UPDATE items SET name = 'new' WHERE id IN (150, 151)")
    ready.run("shop_capture")
    after = ready.materialized(EVENTS)
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed == {cell(THIS_MONTH, "r000001")}
    assert after[cell(THIS_MONTH, "r000001")]["rows"] == 2


def test_keys_that_grow_beyond_the_last_range_become_a_new_partition(ready: Graph) -> None:
    loaded(ready)
    ready.sql("INSERT INTO items VALUES (999, 'far')")
    ready.run("shop_capture")
    assert "r000009" in ready.instance.get_dynamic_partitions("shop__public__items__id_range")
    assert ready.materialized(EVENTS)[cell(THIS_MONTH, "r000009")]["rows"] == 1
    ready.materialize(LAKE, "r000009")
    assert ready.materialized(LAKE)["r000009"]["dagster/row_count"] == 1


def test_keys_that_grow_before_the_first_load_are_covered_by_it(ready: Graph) -> None:
    ready.sql("INSERT INTO items VALUES (999, 'early')")
    ready.run("shop_capture")
    assert "r000009" not in ready.instance.get_dynamic_partitions("shop__public__items__id_range")
    loaded(ready)
    assert "r000009" in ready.instance.get_dynamic_partitions("shop__public__items__id_range")
    ready.materialize(LAKE, "r000009")
    assert ready.materialized(LAKE)["r000009"]["dagster/row_count"] == 1


def test_a_capture_with_nothing_new_marks_nothing(ready: Graph) -> None:
    loaded(ready)
    before = ready.materialized(EVENTS)
    ready.run("shop_capture")
    assert ready.materialized(EVENTS) == before


def test_projections_follow_exactly_the_ranges_that_a_capture_touched(ready: Graph) -> None:
    loaded(ready)
    definitions = ready.definitions
    first = dg.evaluate_automation_conditions(definitions, instance=ready.instance)
    assert first.get_requested_partitions(dg.AssetKey(LAKE)) == {"r000000", "r000001", "r000002"}
    ready.materialize(LAKE, "r000000", "r000002")
    settled = dg.evaluate_automation_conditions(definitions, instance=ready.instance, cursor=first.cursor)
    assert settled.get_requested_partitions(dg.AssetKey(LAKE)) == set()
    ready.sql("DELETE FROM items WHERE id = 250")
    ready.run("shop_capture")
    then = dg.evaluate_automation_conditions(definitions, instance=ready.instance, cursor=settled.cursor)
    assert then.get_requested_partitions(dg.AssetKey(LAKE)) == {"r000002"}
    ready.materialize(LAKE, "r000002")
    assert ready.materialized(LAKE)["r000002"]["dagster/row_count"] == 50


def test_a_range_that_was_never_loaded_is_refused_by_hand_and_waited_for_by_automation(ready: Graph) -> None:
    ready.sql("UPDATE items SET name = 'early' WHERE id = 5")
    ready.run("shop_capture")
    by_hand = ready.materialize(LAKE, "r000000", raise_on_error=False)
    assert not by_hand.success
    assert "r000000: not loaded yet" in str(by_hand.all_events)
    automated = ready.materialize(LAKE, "r000000", tags={"dagster/from_automation_condition": "true"})
    assert automated.success
    assert ready.materialized(LAKE) == {}


def test_teardown_leaves_nothing_on_the_source(ready: Graph) -> None:
    ready.run("shop_teardown")
    assert ready.replication.source("shop").status().state == "missing"


def test_a_lost_slot_stops_everything_until_it_is_recovered_and_loaded_again(ready: Graph) -> None:
    loaded(ready)
    ready.run("shop_teardown")
    ready.sql("DELETE FROM items WHERE id = 1")
    assert not ready.run("shop_capture", raise_on_error=False).success
    assert not ready.run("shop_setup", raise_on_error=False).success
    ready.run("shop_recover")
    stale = ready.materialize(LAKE, "r000000", raise_on_error=False)
    assert "changes were lost with the slot or change log" in str(stale.all_events)
    ready.materialize(EVENTS, cell(THIS_MONTH, "r000000"))
    ready.materialize(LAKE, "r000000")
    assert ready.materialized(LAKE)["r000000"]["dagster/row_count"] == 98
    assert ready.replication.store().log(ITEMS).snapshot().controls().schema_changes[0].reload


def test_a_retyped_column_reaches_the_projection_after_a_new_load_and_a_reset(ready: Graph) -> None:
    loaded(ready)
    ready.materialize(LAKE, "r000000", "r000002")
    ready.sql("ALTER TABLE items ALTER name TYPE int USING length(name)")
    ready.sql("UPDATE items SET name = 7 WHERE id = 1")
    ready.run("shop_capture")
    loaded(ready)
    refused = ready.materialize(LAKE, "r000000", raise_on_error=False)
    assert "reset" in str(refused.all_events)
    config = {"ops": {"lake__shop__public__items": {"config": {"reset": True}}}}
    assert ready.materialize(LAKE, "r000000", "r000002", run_config=config).success
    rows = ready.replication.target(ready.catalog.projections[0], ITEMS)
    assert sum(batch.num_rows for batch in rows.read()) == 250
