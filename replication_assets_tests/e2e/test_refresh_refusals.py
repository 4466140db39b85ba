"""What stops a refresh before a row is read, what a subset and hooks do, and what proofs find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from replication_assets.core.masking.rules import Email, Keep
from replication_assets.declarations.refreshes import SeedRows, SqlHook, Subset
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import GuardError, NotLoaded, PolicyError, RefreshError, VerificationFailed
from replication_assets.flows.masking.suggest import suggest_policy
from replication_assets.flows.refresh.load import load_refresh
from replication_assets.flows.refresh.mask import mask_refresh
from replication_assets.flows.refresh.plan import explain, plan_refresh
from replication_assets.flows.refresh.publish import publish_refresh
from replication_assets.flows.refresh.run import run_refresh
from replication_assets.flows.refresh.verify import verify_refresh
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets_tests.e2e.refreshes import KEY, NAMES, RefreshSystem, refresh_system
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database

CUSTOMERS = "app.public.customers"


@pytest.fixture(scope="module")
def made(postgres_18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RefreshSystem]:
    with (
        fresh_database(postgres_18) as database,
        refresh_system(database, tmp_path_factory.mktemp("store"), customers=60, orders=120) as system,
    ):
        yield system


def test_more_rows_than_allowed_are_refused_before_any_is_read(made: RefreshSystem) -> None:
    refreshing = made.with_refresh(max_rows=100).refreshing()
    with pytest.raises(RefreshError, match="max_rows=100"):
        plan_refresh(refreshing, run="a")
    assert refreshing.audit.lines()[-1].what == "failed"


def test_another_key_than_the_database_was_set_up_with_is_refused(
    made: RefreshSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshing = made.refreshing()
    monkeypatch.setenv(KEY, "00112233445566778899aabbccddeeff" * 2)
    with pytest.raises(GuardError, match="set up with"):
        plan_refresh(refreshing, run="a")


def test_a_table_of_which_a_range_was_never_loaded_is_refused(
    database: FreshDatabase, tmp_path: Path
) -> None:
    with refresh_system(database, tmp_path, tables=("customers", "orders"), loaded=("customers",)) as partly:
        table = partly.system.table("orders")
        partly.system.load_range(table, partly.system.ranges(table)[0])
        partly.system.capture()
        with pytest.raises(NotLoaded, match="orders range r000001"):
            plan_refresh(partly.refreshing(), run="a")


def test_readers_may_read_what_is_published_and_nothing_else(made: RefreshSystem) -> None:
    made.edit("DROP ROLE IF EXISTS tester")
    catalog = made.system.catalog
    environment = replace(catalog.environments[0], readers=("tester",))
    reading = made.with_catalog(replace(catalog, environments=(environment,)))
    with pytest.raises(RefreshError, match="no role tester"):
        run_refresh(reading.refreshing(), run="a")
    made.edit("CREATE ROLE tester")
    run_refresh(reading.refreshing(), run="a")
    allowed = made.sql(
        "SELECT has_table_privilege('tester', 'customers', 'SELECT'),"
        " has_table_privilege('tester', 'customers', 'UPDATE')"
    )
    assert allowed == [(True, False)]


def test_a_subset_is_complete_and_explained(made: RefreshSystem) -> None:
    subset = Subset(
        begin={CUSTOMERS: "id <= 3", "app.public.people": 1.0}, children={"orders.customer_id": "all"}
    )
    refreshing = made.with_refresh(subset=subset).refreshing()
    plan = plan_refresh(refreshing, run="a")
    told = explain(refreshing, plan)
    assert "to begin with" in told
    copy = run_refresh(refreshing, run="a")
    rows = {table.table.name: table.rows for table in copy.tables}
    assert 0 < rows["orders"] < 120
    assert {each.table: each.rows for each in plan.tables} == {each.table: each.rows for each in copy.tables}
    assert made.sql(
        "SELECT count(*) FROM orders LEFT JOIN customers c ON c.id = customer_id WHERE c.id IS NULL"
    )[0] == (0,)


def test_hooks_change_the_copy_once_before_it_is_shown(made: RefreshSystem) -> None:
    hooked = made.with_refresh(hooks=(SqlHook("UPDATE teams SET title = 'a team'"),))
    run_refresh(hooked.refreshing(), run="a")
    assert {row[1] for row in made.rows("teams")} == {"a team"}
    assert verify_published(hooked.refreshing()).passed


def made_customers(schema: pa.Schema) -> pa.Table:
    row = {"id": 77, "email": "0" * 16 + "@masked.invalid", "name": "x", "country": "NL"}
    return pa.Table.from_pylist([row], schema=schema)


def test_made_rows_that_no_rule_could_make_are_refused(made: RefreshSystem) -> None:
    seeds = (SeedRows(CUSTOMERS, function=f"{__name__}:made_customers"),)
    refreshing = made.with_refresh(seed_rows=seeds).refreshing()
    with pytest.raises(RefreshError, match=r"customers\.name"):
        run_refresh(refreshing, run="a")


def test_what_was_edited_in_the_shadow_is_not_published(made: RefreshSystem) -> None:
    refreshing = made.refreshing()
    run_refresh(refreshing, run="old")
    before = made.rows("teams")
    plan = plan_refresh(refreshing, run="a", fresh=True)
    mask_refresh(refreshing, plan, run="a")
    load_refresh(refreshing, plan, run="a")
    with pytest.raises(VerificationFailed, match="no verification"):
        publish_refresh(refreshing, plan, run="a")
    plan = plan_refresh(refreshing, run="a")
    mask_refresh(refreshing, plan, run="a")
    load_refresh(refreshing, plan, run="a")
    (shadow,) = made.sql(
        "SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relname = 'teams' AND relkind = 'r' AND n.nspname <> 'public'"
    )
    made.edit(f"UPDATE {shadow[0]}.teams SET title = 'person9@corporate-mail.example'")
    with pytest.raises(VerificationFailed, match="content") as caught:
        verify_refresh(refreshing, plan, run="a")
    assert "raw values occur" in str(caught.value)
    assert "person9" not in str(caught.value)
    assert made.rows("teams") == before
    run_refresh(refreshing, run="b")


def test_an_edited_copy_does_not_verify(made: RefreshSystem) -> None:
    run_refresh(made.refreshing(), run="a")
    assert verify_published(made.refreshing()).passed
    made.edit(
        "UPDATE customers SET email = 'somebody@corporate-mail.example'"
        " WHERE id IN (SELECT min(id) FROM customers)"
    )
    found = verify_published(made.refreshing())
    assert {proof.name for proof in found.failed} == {"content", "rules"}
    assert "somebody" not in found.to_json()


def test_kept_columns_with_addresses_in_them_stop_a_refresh(made: RefreshSystem) -> None:
    kept = made.with_rules("orders", contact=("public", Keep()))
    policy = kept.system.catalog.policies[0]
    unapproved = tuple(
        replace(
            table, columns={name: replace(column, approved_by="") for name, column in table.columns.items()}
        )
        for table in policy.tables
    )
    refreshing = kept.with_policy(replace(policy, tables=unapproved)).refreshing()
    with pytest.raises(VerificationFailed, match="kept columns"):
        run_refresh(refreshing, run="a")


def test_no_raw_value_is_anywhere_in_the_environment(made: RefreshSystem) -> None:
    made.system.execute(
        "COMMENT ON TABLE customers IS 'ask canary-person'",
        "ALTER TABLE customers ALTER phone SET DEFAULT '+31canary'",
        "UPDATE customers SET name = 'canary-name', phone = '+31canary'",
        'UPDATE customers SET profile = \'{"canary": "canary-json"}\'',
        "UPDATE orders SET note = 'canary-note', contact = 'canary@corporate-mail.example'",
        "UPDATE people SET name = 'canary-people'",
    )
    made.system.capture()
    made = made.with_rules("customers")
    run_refresh(made.refreshing(), run="a")
    everything = str([made.rows(name) for name in NAMES]) + str(list(made.refreshing().target.texts(None)))
    assert "canary" not in everything


def test_a_kept_value_that_somebody_wrote_elsewhere_is_no_leak(made: RefreshSystem) -> None:
    made.system.execute(
        "ALTER TYPE order_status ADD VALUE 'cancelled'",
        "UPDATE orders SET status = 'cancelled' WHERE id = 1",
        "UPDATE customers SET country = 'Westphalia'",
        "UPDATE orders SET note = 'Westphalia' WHERE id = 2",
        "UPDATE orders SET note = 'cancelled' WHERE id = 3",
    )
    made.system.prepare()
    made.system.capture()
    made = made.with_rules("customers")
    run_refresh(made.refreshing(), run="a")
    assert made.sql("SELECT status, country FROM orders JOIN customers c ON c.id = customer_id")
    made.system.execute(
        "UPDATE orders SET contact = 'one@corporate-mail.example' WHERE id = 4",
        "UPDATE customers SET country = 'one@corporate-mail.example' WHERE id = 4",
    )
    made.system.capture()
    with pytest.raises(VerificationFailed, match=r"raw values occur: 1 in app\.public\.customers\.country"):
        run_refresh(made.refreshing(), run="a", fresh=True)


def test_columns_that_changed_since_they_were_reviewed_stop_the_plan_by_name(made: RefreshSystem) -> None:
    made.system.execute(
        "ALTER TABLE customers ADD nickname text",
        "ALTER TABLE orders ALTER note SET NOT NULL",
        "ALTER TYPE order_status ADD VALUE 'lost'",
        "UPDATE customers SET nickname = 'zeb'",
        "UPDATE orders SET total = total + 1",
    )
    made.system.prepare()
    made.system.capture()
    with pytest.raises(PolicyError) as caught:
        plan_refresh(made.refreshing(), run="a")
    told = str(caught.value)
    assert all(name in told for name in ("customers.nickname", "orders.note", "orders.status"))
    assert "zeb" not in told


def test_a_policy_is_suggested_without_a_value_in_it(made: RefreshSystem) -> None:
    tables = [table.id for table in made.system.catalog.tables]
    proposals = {each.table: each for each in suggest_policy(made.system.store, tables)}
    assert isinstance(proposals[CUSTOMERS].policy.columns["email"].mask, Email)
    assert "corporate-mail" not in repr(proposals)
