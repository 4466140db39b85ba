"""Cut over to DynamoDB: a target that anybody can write to, and that refuses rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from replication_assets.catalog import (
    ByWidth,
    Cutover,
    DynamoDbProjection,
    EnvVar,
    ItemKey,
    Items,
    Table,
    WebhookHook,
)
from replication_assets.core.cutover import Report
from replication_assets.errors import CutoverError
from replication_assets.flows.cutover.plan import plan
from replication_assets.flows.cutover.steps import run
from replication_assets.flows.validation.repair import repair_projection
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name
from replication_assets_tests.e2e.cutovers import handover
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.hooks.receiver import Receiver, listening
from replication_assets_tests.postgres_servers import FreshDatabase

ORDERS = f"{SOURCE}.public.orders"
NAME = "orders_served"


@pytest.fixture
def readers() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def system(
    database: FreshDatabase,
    tmp_path: Path,
    moto_dynamodb: DynamoDbServer,
    readers: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[System]:
    """Projected, with a cutover that waits for next to nothing."""
    monkeypatch.setenv("TEST_AWS_KEY", moto_dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", moto_dynamodb.secret_key)
    serving = DynamoDbProjection(
        "serving",
        items=[
            Items(
                ORDERS,
                fresh_table_name(),
                partition_key=ItemKey("pk", "order#${id}"),
                types={"lines": "json"},
            )
        ],
        region=moto_dynamodb.region,
        endpoint_url=moto_dynamodb.endpoint_url,
        access_key_id=EnvVar("TEST_AWS_KEY"),
        secret_access_key=EnvVar("TEST_AWS_SECRET"),
        control_table=fresh_table_name(),
        connections=4,
    )
    cutover = Cutover(
        NAME,
        projection="serving",
        switch=WebhookHook(readers.url),
        quiet_seconds=0.1,
        drain_seconds=20,
        watch_seconds=0.1,
    )
    lake = system_of(database, tmp_path, [Table(ORDERS, id_ranges=ByWidth(100))])
    catalog = replace(lake.catalog, projections=(serving,), cutovers=(cutover,))
    served = System(catalog.validate(), database.dsn)
    served.execute(
        "CREATE TABLE orders (id bigint PRIMARY KEY, lines text)",
        "INSERT INTO orders SELECT g, '[' || g || ']' FROM generate_series(1, 150) g",
    )
    served.prepare()
    served.load_all()
    served.capture()
    yield served
    served.source.teardown()


def held(report: Report) -> set[str]:
    return {gate.name for gate in report.holding_up}


def no_go(system: System) -> set[str]:
    reports: list[Report] = []
    with pytest.raises(CutoverError, match="NO-GO"):
        run(handover(system, NAME), tell_report=reports.append)
    return held(reports[0])


def test_a_planted_item_is_no_go_until_it_is_repaired(
    system: System, moto_dynamodb: DynamoDbServer, readers: Receiver
) -> None:
    system.project()
    (serving,) = system.catalog.projections
    assert isinstance(serving, DynamoDbProjection)
    client, into = moto_dynamodb.client(), serving.items[0].into
    stored = client.get_item(TableName=into, Key={"pk": {"S": "order#7"}})["Item"]
    client.put_item(TableName=into, Item={**stored, "lines": {"S": "planted"}})
    client.delete_item(TableName=into, Key={"pk": {"S": "order#120"}})
    assert "validated against the event store" in held(plan(handover(system, NAME)))
    assert no_go(system) == {"validated against the event store"}
    assert readers.received == []
    table = system.catalog.tables[0].id
    repair_projection(system.store, system.target(table), table, projection="serving")
    watched = run(handover(system, NAME))
    assert watched.verdict == "GO", watched
    assert [told["projection"] for told in readers.received] == ["serving"]


def test_a_row_that_is_refused_is_no_go_until_it_is_mended(system: System, readers: Receiver) -> None:
    system.execute("UPDATE orders SET lines = '{not json' WHERE id = 5")
    assert {"dead letters", "validated against the event store"} & no_go(system)
    assert "dead letters" in held(plan(handover(system, NAME)))
    system.execute("UPDATE orders SET lines = '[]' WHERE id = 5")
    assert run(handover(system, NAME)).verdict == "GO"
    assert len(readers.received) == 1
