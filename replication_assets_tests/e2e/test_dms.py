"""DMS task files as they ran in production, imported, and run on PostgreSQL in the place of the view."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

from replication_assets.catalog import Catalog, DynamoDbProjection, EnvVar, Table, Validation
from replication_assets.cli import dms_plan
from replication_assets.cli.app import make_app
from replication_assets.core.schema import TableId
from replication_assets.flows.validation.validate import validate_projection
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

SEEDS = Path(__file__).parent.parent / "dms" / "seeds"
ORDERS = [f"table_mappings{number}.json" for number in (1, 2, 3, 4)] + ["task_settings.json"]
EVENTS = TableId(SOURCE, "dbo", "vw_Dynamodbmigration")
PASSWORDS = TableId(SOURCE, "AUTH", "CUSTOMER_PASSWORD_MIGRATION_VW")
SCHEMA = """
CREATE SCHEMA dbo;
CREATE TABLE dbo."vw_Dynamodbmigration" (
    "Id" bigint PRIMARY KEY, "PK" text NOT NULL, "SK" text NOT NULL, itemtype text, "Ver" int, "ConvId" text,
    created text, itemdata text, expiry bigint, "Migrated" int);
CREATE TABLE dbo.events AS SELECT g AS id, timestamp '2024-01-01' + g * interval '1 hour' AS at
    FROM generate_series(1, 3) g;
INSERT INTO dbo."vw_Dynamodbmigration"
    SELECT r * 100000000 + id, 'a-' || r, 'evt#' || id, 'event', id, NULL,
        to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS'),
        '{"big": "' || repeat('x', 50000) || '"}', extract(epoch FROM at + interval '7 years'), 1
    FROM dbo.events, generate_series(0, 4) r;
CREATE SCHEMA "AUTH";
CREATE TABLE "AUTH"."CUSTOMER_PASSWORD_MIGRATION_VW" ("PK" text PRIMARY KEY, "HASH" text, "SALT" text);
INSERT INTO "AUTH"."CUSTOMER_PASSWORD_MIGRATION_VW" VALUES ('c#1', 'h1', 's1'), ('c#2', 'h2', NULL)
"""


SAKILA = """
CREATE SCHEMA test;
CREATE TABLE test.actor (actor_id int PRIMARY KEY, first_name text, last_update timestamp);
CREATE TABLE test.film_actor (actor_id int, film_id int, PRIMARY KEY (actor_id, film_id));
INSERT INTO test.actor SELECT g, 'actor ' || g, timestamp '2024-01-01' + g * interval '1 s'
    FROM generate_series(1, 300) g;
INSERT INTO test.film_actor SELECT a, f FROM generate_series(1, 300) a, generate_series(1, 3) f
"""


def imported(*files: str, more: Sequence[str] = ()) -> Catalog:
    arguments = ["dms", "import", *(str(SEEDS / file) for file in files), "--source", SOURCE, *more]
    result = CliRunner().invoke(make_app(plain=True), arguments)
    assert result.exit_code == 0, result.output
    names: dict[str, Any] = {}
    exec(result.stdout, names)
    catalog: Catalog = names["catalog"]
    return catalog


@pytest.fixture
def place(
    database: FreshDatabase, tmp_path: Path, dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch
) -> System:
    """A system without tables, whose source has those of the files."""
    monkeypatch.setenv("TEST_AWS_KEY", dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", dynamodb.secret_key)
    system = system_of(database, tmp_path, (Table(str(EVENTS)),))
    system.execute(*SCHEMA.split(";\n"))
    return system


def run(place: System, catalog: Catalog, dynamodb: DynamoDbServer) -> tuple[System, str]:
    """The imported tables and items, at this test's database and DynamoDB; the table is named anew."""
    (projection,) = catalog.projections
    assert isinstance(projection, DynamoDbProjection)
    into = fresh_table_name()
    here = dataclasses.replace(
        projection,
        items=[dataclasses.replace(each, into=into) for each in projection.items],
        region=dynamodb.region,
        endpoint_url=dynamodb.endpoint_url,
        access_key_id=EnvVar("TEST_AWS_KEY"),
        secret_access_key=EnvVar("TEST_AWS_SECRET"),
        control_table=fresh_table_name(),
    )
    running = dataclasses.replace(place.catalog, tables=catalog.tables, projections=(here,)).validate()
    return System(running, place.dsn), into


def served(dynamodb: DynamoDbServer, into: str) -> list[dict[str, Any]]:
    items = [item for item in items_of(dynamodb, into) if "_deleted" not in item]
    return [{name: value for name, value in item.items() if not name.startswith("_")} for item in items]


def by_key(item: dict[str, Any]) -> tuple[str, str]:
    return item["PK"]["S"], item["SK"]["S"] if "SK" in item else ""


def test_order_events_from_four_mapping_files_are_items_exactly_as_they_say(
    place: System, dynamodb: DynamoDbServer
) -> None:
    system, into = run(place, imported(*ORDERS), dynamodb)
    try:
        system.prepare()
        assert len(system.ranges(system.table(EVENTS.name, "dbo"))) == 4
        system.load_all()
        system.capture()
        system.project()
        items = served(dynamodb, into)
        # Rows above the last bound too, which DMS never copies.
        assert len(items) == 15
        (first,) = [each for each in items if each["PK"]["S"] == "agg#a-0" and each["SK"]["S"] == "evt#1"]
        assert first == {
            "PK": {"S": "agg#a-0"},
            "SK": {"S": "evt#1"},
            "itemtype": {"S": "event"},
            "Ver": {"N": "1"},
            "created": {"S": "2024-01-01T01:00:00"},
            # Whole, where limited mode cuts at 32 KB.
            "itemdata": {"S": '{"big": "' + "x" * 50000 + '"}'},
            "expiry": {"N": "1924995600"},
            "Migrated": {"N": "1"},
        }
        system.load_all()
        system.project()
        assert sorted(served(dynamodb, into), key=by_key) == sorted(items, key=by_key)
        assert not validate_projection(
            system.store, system.target(EVENTS), EVENTS, projection="serving"
        ).wrong
    finally:
        system.source.teardown()


def test_passwords_have_a_partition_key_only_and_follow_changes(
    place: System, dynamodb: DynamoDbServer
) -> None:
    system, into = run(place, imported("customer-password-migration.json"), dynamodb)
    try:
        system.prepare()
        system.load_all()
        system.project()
        system.execute(
            """UPDATE "AUTH"."CUSTOMER_PASSWORD_MIGRATION_VW" SET "HASH" = 'h3' WHERE "PK" = 'c#2'"""
        )
        system.capture()
        system.project()
        assert sorted(served(dynamodb, into), key=by_key) == [
            {"PK": {"S": "c#1"}, "HASH": {"S": "h1"}, "SALT": {"S": "s1"}},
            {"PK": {"S": "c#2"}, "HASH": {"S": "h3"}},
        ]
    finally:
        system.source.teardown()


def test_a_lakehouse_of_every_table_follows_changes(database: FreshDatabase, tmp_path: Path) -> None:
    keys = {"actor": ["actor_id"], "film_actor": ["actor_id", "film_id"]}
    columns = {
        "actor": {"actor_id": "integer", "first_name": "text", "last_update": "timestamp"},
        "film_actor": {"actor_id": "integer", "film_id": "integer"},
    }
    known = [{"schema": "test", "name": each, "key": keys[each], "columns": columns[each]} for each in keys]
    (tmp_path / "tables.json").write_text(json.dumps({"tables": known}))
    more = ["--tables", str(tmp_path / "tables.json"), "--lake", str(tmp_path / "lake")]
    catalog = imported("lakehouse_mapping.json", "lakehouse_settings.json", more=more)
    place = system_of(database, tmp_path, catalog.tables)
    place.execute(*SAKILA.split(";\n"))
    running = dataclasses.replace(place.catalog, projections=catalog.projections).validate()
    system = System(running, place.dsn)
    try:
        system.prepare()
        system.load_all()
        system.execute(
            "UPDATE test.actor SET first_name = 'changed' WHERE actor_id % 3 = 0",
            "DELETE FROM test.film_actor WHERE film_id = 2",
            "UPDATE test.film_actor SET film_id = 9 WHERE actor_id = 1 AND film_id = 1",
        )
        system.capture()
        system.project()
        system.check()
        assert catalog.projections[0].validation == Validation(None), "the task validates nothing"
        assert DeltaTable(str(tmp_path / "lake" / SOURCE / "test.film_actor")).count() == 600
    finally:
        system.source.teardown()


@pytest.mark.parametrize("dynamodb", ["moto_dynamodb"], indirect=True)
def test_a_plan_shows_columns_rows_bounds_and_items_before_anything_moves(
    place: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System(dataclasses.replace(place.catalog, tables=(), projections=()), place.dsn)
    monkeypatch.setattr(dms_plan, "open_replication", lambda _: system.replication)
    arguments = ["dms", "plan", str(SEEDS / "customer-password-migration.json"), "--source", SOURCE]
    result = CliRunner().invoke(
        make_app(plain=True), [*arguments, "--samples", "2", "--catalog", "x", "--json"]
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (asked,) = document["source"]
    assert (asked["key"], asked["low"], asked["high"]) == (["PK"], "c#1", "c#2")
    (table,) = document["tables"]
    assert [each["target"] for each in table["columns"]] == ["PK", "HASH", "SALT"]
    assert sorted(table["sample_items"], key=by_key) == [
        {"PK": {"S": "c#1"}, "HASH": {"S": "h1"}, "SALT": {"S": "s1"}},
        {"PK": {"S": "c#2"}, "HASH": {"S": "h2"}},
    ]
    assert not system.store.log(PASSWORDS).exists()
