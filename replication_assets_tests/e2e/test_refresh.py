"""A masked copy of a real source in a real environment: what arrives, what does not, and what is proven."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replication_assets.flows.refresh.run import run_refresh
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets_tests.e2e.refreshes import NAMES, RefreshSystem, refresh_system
from replication_assets_tests.postgres_servers import FreshDatabase


@pytest.fixture
def made(database: FreshDatabase, tmp_path: Path) -> Iterator[RefreshSystem]:
    with refresh_system(database, tmp_path) as system:
        yield system


def test_a_refresh_publishes_masked_rows_whose_references_hold(made: RefreshSystem) -> None:
    copy = run_refresh(made.refreshing(), run="one")
    in_source = {
        name: len(made.system.in_source(table.id, made.system.live(table.id)))
        for name in NAMES
        for table in [made.system.table(name)]
    }
    assert {table.table.name: table.rows for table in copy.tables} == {**in_source}
    assert {name: made.sql(f"SELECT count(*) FROM {name}")[0][0] for name in NAMES} == in_source
    emails = dict(made.rows("customers", "id, email"))
    assert len(emails) == 40
    assert all(email.endswith("@masked.invalid") for email in emails.values())
    orders = made.sql("SELECT customer_id, contact FROM orders")
    assert all(emails[customer] == contact for customer, contact in orders)
    everything = str([made.rows(name) for name in NAMES])
    for raw in ("corporate-mail", "Quartzmann", "+3161234", "hush-", "parcel", "Vexler"):
        assert raw not in everything
    found = verify_published(made.refreshing())
    assert found.passed, found.text()
