"""What a refresh would do, asked without beginning it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from replication_assets.catalog import ByCount, Table
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import RefreshError
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.plan import plan_refresh, preview_refresh
from replication_assets.flows.refresh.run import run_refresh
from replication_assets_tests.e2e.refreshes import RULES, RefreshSystem, policy_of, refresh_system
from replication_assets_tests.postgres_servers import fresh_database

TABLES = ("customers", "orders")


@pytest.fixture(scope="module")
def made(postgres_18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RefreshSystem]:
    with (
        fresh_database(postgres_18) as database,
        refresh_system(database, tmp_path_factory.mktemp("store"), tables=TABLES) as system,
    ):
        yield system


def test_a_preview_decides_as_a_run_does_and_writes_nothing(made: RefreshSystem) -> None:
    refreshing = made.refreshing()
    lines = refreshing.audit.lines()
    preview = preview_refresh(refreshing)
    assert not preview.resumed
    assert refreshing.staging.plan() is None
    with pytest.raises(RefreshError, match="max_rows=100"):
        preview_refresh(made.with_refresh(max_rows=100).refreshing())
    assert refreshing.audit.lines() == lines
    with refreshing.held("another run"):
        assert preview_refresh(refreshing).plan.tables == preview.plan.tables
    planned = plan_refresh(refreshing, run="a")
    assert planned == replace(preview.plan, id=planned.id)


def test_a_preview_shows_the_plan_that_a_run_would_take_up(made: RefreshSystem) -> None:
    refreshing = made.refreshing()
    begun = plan_refresh(refreshing, run="a")
    mask_refresh(refreshing, begun, run="a")
    staged = refreshing.staging.completed()
    preview = preview_refresh(refreshing)
    assert (preview.plan, preview.resumed) == (begun, True)
    assert refreshing.staging.completed() == staged
    assert run_refresh(refreshing, run="b").id == begun.id
    assert not preview_refresh(refreshing).resumed


def test_changes_of_a_view_are_refused_before_anything_is_begun(made: RefreshSystem) -> None:
    made.system.execute("CREATE VIEW contacts AS SELECT id, email FROM customers")
    view = Table("app.public.contacts", key=("id",), id_ranges=ByCount(1))
    catalog = replace(made.system.catalog, tables=(*made.system.catalog.tables, view))
    system = replace(made.system, catalog=catalog)
    system.prepare()
    system.load(system.table("contacts"))
    system.capture()
    names = ("id", "email")
    rules = {**{name: RULES[name] for name in TABLES}, "contacts": {n: RULES["customers"][n] for n in names}}
    viewing = replace(made, system=system).with_policy(policy_of(system, rules))
    assert len(preview_refresh(viewing.refreshing()).plan.tables) == 3
    moves = viewing.with_refresh(kind="data-migration", migration="full-load-and-cdc")
    with pytest.raises(RefreshError, match=r"app\.public\.contacts is a view") as caught:
        preview_refresh(moves.refreshing())
    assert "full-load" in caught.value.fix
