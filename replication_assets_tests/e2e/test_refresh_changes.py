"""A masked copy that follows its source by changes alone, and what makes it begin anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from replication_assets.core.row_filters import Compare, Where
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import RefreshError, SourceNotReady
from replication_assets.flows.refresh.plan import plan_refresh
from replication_assets.flows.refresh.run import run_refresh
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets_tests.e2e.refreshes import RefreshSystem, refresh_system
from replication_assets_tests.postgres_servers import fresh_database

TABLES = ("customers", "orders")


@pytest.fixture(scope="module")
def made(postgres_18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RefreshSystem]:
    """A copy that was published whole, and is declared to follow."""
    with (
        fresh_database(postgres_18) as database,
        refresh_system(
            database,
            tmp_path_factory.mktemp("store"),
            tables=TABLES,
            kind="data-migration",
            migration="full-load-and-cdc",
        ) as system,
    ):
        run_refresh(system.refreshing(), run="first")
        yield system


def refreshed_whole(made: RefreshSystem) -> tuple[object, object]:
    """What a full copy of the source as it is now holds."""
    run_refresh(made.with_refresh(migration="full-load").refreshing(), run="whole")
    return made.rows("customers"), made.rows("orders")


def test_a_copy_follows_inserts_updates_deletes_and_moved_keys(made: RefreshSystem) -> None:
    made.system.execute(
        "INSERT INTO customers (id, email, name) VALUES (900, 'late@corporate-mail.example', 'Quartzmann')",
        "INSERT INTO orders SELECT 900, 900, 100, 'late@corporate-mail.example', 'paid', 1, 'a parcel'",
        "UPDATE customers SET email = 'moved@corporate-mail.example' WHERE id = 7",
        "INSERT INTO orders SELECT 901, 1, NULL, NULL, 'paid', 1, NULL",
        "UPDATE orders SET id = 902 WHERE id = 901",
        "DELETE FROM shipments WHERE order_id IN (50, 99)",
        "DELETE FROM lines WHERE order_id IN (50, 99)",
        "UPDATE orders SET id = 903 WHERE id = 99",
        "UPDATE orders SET parent_id = NULL WHERE parent_id = 50",
        "DELETE FROM orders WHERE id = 50",
        "UPDATE customers SET country = 'BE' WHERE id % 2 = 0",
    )
    made.system.capture()
    plan = plan_refresh(made.refreshing(), run="follow")
    assert plan.how == "changes"
    copy = run_refresh(made.refreshing(), run="follow")
    assert copy.id == plan.id
    found = verify_published(made.refreshing())
    assert found.passed, found.text()
    followed = (made.rows("customers"), made.rows("orders"))
    assert len(followed[0]) == 41
    assert "corporate-mail" not in str(followed)
    assert followed == refreshed_whole(made)


def test_nothing_new_is_published_as_it_is(made: RefreshSystem) -> None:
    run_refresh(made.refreshing(), run="first")
    before = made.rows("orders")
    copy = run_refresh(made.refreshing(), run="again")
    assert made.rows("orders") == before
    assert copy.tables[0].rows == len(made.rows("customers"))


def test_a_copy_that_somebody_edited_is_not_followed_further(made: RefreshSystem) -> None:
    run_refresh(made.refreshing(), run="first")
    made.edit("UPDATE customers SET country = 'XX'")
    found = verify_published(made.refreshing())
    assert [proof.name for proof in found.failed] == ["content"]
    with pytest.raises(RefreshError, match="content"):
        run_refresh(made.refreshing(), run="second")
    refreshed_whole(made)
    assert verify_published(made.refreshing()).passed


def test_a_new_load_or_another_policy_makes_a_full_copy(made: RefreshSystem) -> None:
    run_refresh(made.refreshing(), run="first")
    made.system.load(made.system.table("customers"))
    made.system.capture()
    plan = plan_refresh(made.refreshing(), run="second", fresh=True)
    assert plan.how == "full"
    assert any("loaded anew" in warning for warning in plan.warnings)


def test_changes_alone_are_refused_where_no_copy_stands(made: RefreshSystem) -> None:
    made.system.load(made.system.table("customers"))
    made.system.capture()
    following = made.with_refresh(migration="cdc").refreshing()
    with pytest.raises(RefreshError, match="full-load"):
        plan_refresh(following, run="cdc", fresh=True)


def test_of_a_filtered_table_rows_that_pass_are_copied_and_always_all_of_them(made: RefreshSystem) -> None:
    few = [Where("id", [Compare("between", ["1", "60"])]), Where("total", [Compare("gte", ["10"])])]
    catalog = made.system.catalog
    tables = [replace(each, where=few) if each.id.name == "orders" else each for each in catalog.tables]
    filtered = made.with_catalog(replace(catalog, tables=tables))
    with pytest.raises(SourceNotReady, match="row filter"):
        filtered.system.capture()
    filtered.system.prepare()
    filtered.system.execute("UPDATE orders SET total = 1, parent_id = NULL WHERE id IN (30, 40)")
    filtered.system.execute(
        "UPDATE orders SET parent_id = NULL WHERE parent_id IN"
        " (SELECT id FROM orders WHERE NOT (id BETWEEN 1 AND 60 AND total >= 10))"
    )
    filtered.system.capture()
    # A plan that an earlier test left would be gone on with.
    plan_refresh(filtered.refreshing(), run="filtered", fresh=True)
    run_refresh(filtered.refreshing(), run="filtered")
    with filtered.system.sql() as session:
        passing = "SELECT id FROM orders WHERE id BETWEEN 1 AND 60 AND total >= 10 ORDER BY 1"
        expected = session.execute(passing).fetchall()
    assert [row[:1] for row in filtered.rows("orders", "id, id")] == expected
    assert expected[0] == (8,)
    assert expected[-1] == (60,)
    plan = plan_refresh(filtered.refreshing(), run="again", fresh=True)
    assert plan.how == "full"
    assert any("orders are filtered" in warning for warning in plan.warnings)
