"""A write was done and its reply is lost: nobody may take it for undone, nor do it twice."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from replication_assets.catalog import (
    ByCount,
    DeltaProjection,
    DynamoDbProjection,
    EnvVar,
    ItemKey,
    Items,
    Table,
)
from replication_assets.core.schema import TableId
from replication_assets.declarations import PostgresTarget
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import TargetUnavailable
from replication_assets.flows.refresh.run import run_refresh
from replication_assets.flows.refresh.verify_published import verify_published
from replication_assets.secret_references import SecretReference
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.e2e.refreshes import RefreshSystem, refresh_system, run_name
from replication_assets_tests.e2e.system import System, audit, check_changes, system_of
from replication_assets_tests.faults.proxy import Fault, Proxy, proxy_to
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database

T = TableId("app", "public", "t")


def prepared(system: System) -> System:
    system.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT i, 0 FROM generate_series(1, 60) i",
    )
    system.prepare()
    audit(system, "t")
    system.load_all()
    return system


def changed(system: System, turn: int) -> None:
    system.execute(
        f"UPDATE t SET v = v + 1 WHERE id % 3 = {turn % 3}",
        f"INSERT INTO t SELECT i, {turn} FROM generate_series({turn}001, {turn}010) i",
        f"DELETE FROM t WHERE id % 50 = {turn}",
    )


# --- object store ------------------------------------------------------------------------


@pytest.fixture
def s3(moto_dynamodb: DynamoDbServer) -> Iterator[Proxy]:
    """moto's server answers for S3 as well."""
    port = int(moto_dynamodb.endpoint_url.rpartition(":")[2])
    with proxy_to("127.0.0.1", port) as running:
        yield running


@pytest.fixture
def stored_in_s3(
    database: FreshDatabase, tmp_path: Path, s3: Proxy, moto_dynamodb: DynamoDbServer,
    monkeypatch: pytest.MonkeyPatch,
) -> System:  # fmt: skip
    """Event store and lakehouse in a bucket behind the proxy."""
    monkeypatch.setenv("TEST_AWS_KEY", moto_dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", moto_dynamodb.secret_key)
    bucket = f"lake-{uuid.uuid4().hex}"
    boto3.client(
        "s3",
        endpoint_url=moto_dynamodb.endpoint_url,
        region_name=moto_dynamodb.region,
        aws_access_key_id=moto_dynamodb.access_key,
        aws_secret_access_key=moto_dynamodb.secret_key,
    ).create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": moto_dynamodb.region})
    options: dict[str, str | SecretReference] = {
        "AWS_ENDPOINT_URL": s3.url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": moto_dynamodb.region,
        "AWS_ACCESS_KEY_ID": EnvVar("TEST_AWS_KEY"),
        "AWS_SECRET_ACCESS_KEY": EnvVar("TEST_AWS_SECRET"),
        "max_retries": "2",
        "retry_timeout": "5s",
        "backoff_config.init_backoff": "20ms",
        "backoff_config.max_backoff": "50ms",
    }
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByCount(2))])
    (lake,) = made.catalog.projections
    assert isinstance(lake, DeltaProjection)
    catalog = replace(
        made.catalog,
        event_store=replace(made.catalog.event_store, root=f"s3://{bucket}/log", storage_options=options),
        projections=(replace(lake, root=f"s3://{bucket}/lake", storage_options=options),),
    )
    return prepared(replace(made, catalog=catalog.validate()))


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_commit_of_log_ledger_or_lakehouse_whose_reply_is_lost_stands_once(
    stored_in_s3: System, s3: Proxy
) -> None:
    """The first commits of a cycle in turn: of the table's log, of the ledger, of the lakehouse."""
    system = stored_in_s3
    system.project()
    turn, fired = 0, 1
    while fired and turn < 8:
        turn += 1
        changed(system, turn)
        s3.arm(Fault("lose_reply", pattern=r"PUT /[^ ]*_delta_log/[^ ]*\.json", nth=turn))
        system.capture()
        system.project()
        fired = s3.fired()
        s3.heal()
    assert turn > 2
    system.finish()
    check_changes(system, T)


# --- DynamoDB ----------------------------------------------------------------------------


@pytest.fixture
def served(
    database: FreshDatabase, tmp_path: Path, s3: Proxy, moto_dynamodb: DynamoDbServer,
    monkeypatch: pytest.MonkeyPatch,
) -> System:  # fmt: skip
    """Items behind the proxy."""
    monkeypatch.setenv("TEST_AWS_KEY", moto_dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", moto_dynamodb.secret_key)
    projection = DynamoDbProjection(
        "serving",
        items=(Items("app.public.t", fresh_table_name(), partition_key=ItemKey("pk", "t#${id}")),),
        region=moto_dynamodb.region,
        endpoint_url=s3.url,
        access_key_id=EnvVar("TEST_AWS_KEY"),
        secret_access_key=EnvVar("TEST_AWS_SECRET"),
        control_table=fresh_table_name(),
        connections=2,
    )
    made = system_of(database, tmp_path, [Table("app.public.t", id_ranges=ByCount(1))])
    return prepared(replace(made, catalog=replace(made.catalog, projections=(projection,)).validate()))


def serves_the_source(system: System, server: DynamoDbServer) -> None:
    (projection,) = system.catalog.projections
    assert isinstance(projection, DynamoDbProjection)
    items = items_of(server, projection.items[0].into)
    found = {(int(item["id"]["N"]), int(item["v"]["N"])) for item in items if "_deleted" not in item}
    with system.sql() as session:
        assert found == set(session.execute("SELECT id, v FROM t").fetchall())
    rows = system.target(T).checkpoint("r000000")
    assert rows is not None
    assert rows.rows == len(found)


WRITES = r"DynamoDB_20120810\.(Put|Update|Delete|Batch|Transact|Execute|Create)"


@pytest.mark.timeout(600)
def test_a_write_to_dynamodb_whose_reply_is_lost_counts_once(
    served: System, s3: Proxy, moto_dynamodb: DynamoDbServer, *, full: bool
) -> None:
    """Each write of a filling and of a bringing forward in turn: items, lease and checkpoint."""
    turn, fired = 0, 1
    while fired and turn < (24 if full else 4):
        turn += 1
        changed(served, turn)
        served.capture()
        s3.arm(Fault("lose_reply", pattern=WRITES, nth=turn))
        served.project()
        fired = s3.fired()
        s3.heal()
        serves_the_source(served, moto_dynamodb)
    assert turn > 3
    assert [receipt.how for receipt in served.project()] == ["unchanged"]


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_lease_or_checkpoint_whose_reply_is_lost_holds_nobody_up(
    served: System, s3: Proxy, moto_dynamodb: DynamoDbServer
) -> None:
    served.project()
    (projection,) = served.catalog.projections
    assert isinstance(projection, DynamoDbProjection)
    turn, fired = 0, 1
    while fired:
        turn += 1
        changed(served, turn)
        served.capture()
        pattern = f'"TableName": ?"{projection.control_table}"'
        s3.arm(Fault("lose_reply", pattern=pattern, nth=turn))
        served.project()
        fired = s3.fired()
        s3.heal()
        serves_the_source(served, moto_dynamodb)
    assert turn > 3


# --- a database that copies go to --------------------------------------------------------


@pytest.fixture
def copied(postgres_18: PostgresServer, tmp_path: Path) -> Iterator[tuple[RefreshSystem, Proxy]]:
    """An environment behind a proxy, with a copy that is published."""
    with (
        fresh_database(postgres_18) as database,
        refresh_system(database, tmp_path, customers=10, orders=20, tables=("customers", "orders")) as system,
        proxy_to("127.0.0.1", postgres_18.port) as proxy,
    ):
        (environment,) = system.system.catalog.environments
        assert isinstance(environment.target, PostgresTarget)
        there = replace(environment, target=replace(environment.target, port=proxy.port))
        behind = system.with_catalog(replace(system.system.catalog, environments=(there,)))
        run_refresh(behind.refreshing(), run="first")
        yield behind, proxy


COMMIT = r"COMMIT\x00"


def commits_of_a_refresh(made: RefreshSystem, proxy: Proxy) -> int:
    proxy.arm(Fault("lose_reply", pattern=COMMIT, nth=10**6))
    refresh(made)
    return proxy.matches()


def refresh(made: RefreshSystem) -> None:
    made.system.execute("UPDATE customers SET country = 'X' || substr(md5(random()::text), 1, 6)")
    made.system.capture()
    run_refresh(made.refreshing(), run=run_name())


def is_published(made: RefreshSystem) -> bool:
    found = {row[0] for row in made.system.sql().execute("SELECT country FROM customers").fetchall()}
    return {row[-1] for row in made.rows("customers")} == found


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_commit_of_a_refresh_whose_reply_is_lost_is_done_once(copied: tuple[RefreshSystem, Proxy]) -> None:
    """The last COMMIT, which publishes, and every few before it: the run ends with an error or goes
    on, readers have one whole copy, and the next run publishes."""
    made, proxy = copied
    total = commits_of_a_refresh(made, proxy)
    for nth in sorted({*range(1, total, max(1, total // 4)), total}):
        proxy.arm(Fault("lose_reply", pattern=COMMIT, nth=nth))
        with suppress(TargetUnavailable):
            refresh(made)
        assert [len(made.rows(name)) for name in ("customers", "orders")] == [10, 20]
        proxy.heal()
        run_refresh(made.refreshing(), run=run_name())
        assert is_published(made)
        assert verify_published(made.refreshing()).passed
        assert [len(made.rows(name)) for name in ("customers", "orders")] == [10, 20]
