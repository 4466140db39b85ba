"""What is asked of AWS in the life of a catalog, written down by the server that was asked."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from replication_assets.catalog import (
    ByWidth,
    Catalog,
    CloudWatch,
    DeltaProjection,
    DynamoDbProjection,
    Environment,
    EventStoreConfig,
    ItemKey,
    Items,
    KinesisProjection,
    LoadCapacity,
    S3Pointer,
    SecretsManager,
    Sns,
    SqliteSourceConfig,
    SqliteTarget,
    SsmParameter,
    Table,
    Watch,
    Webhook,
)
from replication_assets.core.schema import TableId
from replication_assets.declarations.references import declared_references
from replication_assets.flows.project import project_range
from replication_assets.flows.publish import publisher
from replication_assets.flows.read import ranges_of
from replication_assets.flows.upkeep import tidy_log, tidy_target
from replication_assets.flows.validation.validate import validate_projection
from replication_assets.ports.watch import Metric
from replication_assets.secret_references import EnvVar, Secret, resolve
from replication_assets.secret_storing import Storing, store
from replication_assets_tests.e2e.system import SOURCE, System
from replication_assets_tests.iam.recording_server import TESTER
from replication_assets_tests.notify.samples import LAG

REGION = "eu-west-1"
ORDERS = TableId(SOURCE, "main", "orders")
TOPIC = f"arn:aws:sns:{REGION}:123456789012:alarms"


@dataclass(frozen=True)
class Request:
    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Life:
    """A catalog, and what was asked of AWS by the process, and by who stored its secrets."""

    catalog: Catalog
    by_process: Sequence[Request]
    by_operator: Sequence[Request]


def catalog_in(folder: Path) -> Catalog:
    items = Items(
        str(ORDERS),
        into="orders",
        partition_key=ItemKey("pk", "order#${id}"),
        sort_key=ItemKey("sk", "order"),
        oversize=S3Pointer("large", "items"),
    )
    return Catalog(
        EventStoreConfig("s3://events/store"),
        sources=[SqliteSourceConfig(SOURCE, path=str(folder / "shop.db"))],
        tables=[Table(str(ORDERS), id_ranges=ByWidth(100))],
        projections=[
            DeltaProjection("lake", tables=[f"{SOURCE}.*"], root="s3://lake/shop"),
            DynamoDbProjection(
                "serving", items=[items], load_capacity=LoadCapacity("on-demand"), region=REGION
            ),
        ],
        topics=[
            KinesisProjection(
                "told", tables=[str(ORDERS)], stream="changes", envelope="dms", shards=1, region=REGION
            )
        ],
        environments=[
            Environment(
                "qa", target=SqliteTarget(str(folder / "qa")), mask_key=SsmParameter("/qa/mask", REGION)
            )
        ],
        watch=Watch(
            notify=[
                Sns(TOPIC),
                Webhook(SecretsManager("chat", "url", REGION)),
                Webhook("https://localhost", headers={"X-Key": EnvVar("CHAT_KEY")}),
            ],
            metrics=[CloudWatch("Shop/Replication", region=REGION)],
        ),
    )


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("life")
    recorded = folder / "requests"
    with _recording(recorded) as url, pytest.MonkeyPatch.context() as patch:
        for name, value in _environment(url).items():
            patch.setenv(name, value)
        _make_buckets()
        catalog = catalog_in(folder)
        recorded.write_text("")
        _store_secrets(catalog)
        by_operator = _requests(recorded)
        recorded.write_text("")
        _live(System(catalog, ""), folder / "shop.db")
        yield Life(catalog, _requests(recorded), by_operator)


def _environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "CHAT_KEY": "x",
    }


@contextmanager
def _recording(file: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "replication_assets_tests.iam.recording_server", str(file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


def _make_buckets() -> None:
    s3 = boto3.client("s3")
    for name in ("events", "lake", "large"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    boto3.client("sns").create_topic(Name="alarms")
    # A table that was made by hand, with a capacity that a load raises and restores.
    boto3.client("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        ProvisionedThroughput={"ReadCapacityUnits": 5, "WriteCapacityUnits": 5},
    )


def _store_secrets(catalog: Catalog) -> None:
    """Each twice, the second time with a key of one's own."""
    for each in declared_references(catalog):
        if not isinstance(each.reference, EnvVar):
            store(each.reference, Secret("https://first"))
            store(each.reference, Secret("https://second"), Storing(rotate=True))
            store(each.reference, Secret("https://third"), Storing(rotate=True, kms_key="alias/shop"))


def _live(system: System, database: Path) -> None:
    """Load, capture, project, validate, tidy up, begin anew, tell and measure."""
    with closing(sqlite3.connect(database)) as session:
        session.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT NOT NULL)")
        session.executemany("INSERT INTO orders VALUES (?, ?)", [(n, "note") for n in range(1, 40)])
        session.execute("INSERT INTO orders VALUES (50, ?)", ["x" * 500_000])
        session.commit()
        system.store.try_writing()
        system.prepare()
        system.load_all()
        _project(system)
        session.execute("UPDATE orders SET note = 'changed' WHERE id IN (1, 50)")
        session.execute("DELETE FROM orders WHERE id = 2")
        session.commit()
        system.capture()
        _project(system)
        _publish(system)
    for projection in system.catalog.projections:
        target = system.replication.target(projection, ORDERS)
        assert not validate_projection(system.store, target, ORDERS, projection=projection.name).wrong
        list(tidy_target(target, projection.name))
        target.vacuum(dt.timedelta(0))  # type: ignore[attr-defined]
    list(tidy_log(system.store, ORDERS))
    (serving,) = (each for each in system.catalog.projections if each.name == "serving")
    target = system.replication.target(serving, ORDERS)
    target.reset(system.store.log(ORDERS).snapshot().schema)
    boto3.client("dynamodb", aws_access_key_id=TESTER, aws_secret_access_key="x").delete_table(
        TableName="orders"
    )
    _project(system)
    _tell(system)


def _project(system: System) -> None:
    snapshot = system.store.log(ORDERS).snapshot()
    for projection in system.catalog.projections:
        for id_range in ranges_of(snapshot):
            project_range(snapshot, ORDERS, system.replication.target(projection, ORDERS), id_range)


def _publish(system: System) -> None:
    """The second publisher looks up what stands of the last step."""
    (told,) = system.catalog.topics
    assert publisher(system.replication, told, ORDERS).publish().messages
    assert not publisher(system.replication, told, ORDERS).publish().messages


def _tell(system: System) -> None:
    now = dt.datetime.now(dt.UTC)
    for each in declared_references(system.catalog):
        assert resolve(each.reference).reveal()
    sns, export = system.catalog.watch.notify[0], system.catalog.watch.metrics[0]
    system.replication.notifier(sns).send([LAG])
    system.replication.metric_sink(export).publish([Metric("Lag", "Seconds", 1.0, now, "", {})])


def _requests(file: Path) -> tuple[Request, ...]:
    found: dict[Request, None] = {}
    for line in file.read_text().splitlines():
        told: dict[str, Any] = json.loads(line)
        context = {}
        if "prefix" in told:
            context["s3:prefix"] = told["prefix"]
        if "namespace" in told:
            context["cloudwatch:namespace"] = told["namespace"]
        found[Request(told["action"], told["resource"], context)] = None
    return tuple(found)
