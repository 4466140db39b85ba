"""The sample system's catalog: a small monolith, a lakehouse and a service that follow it."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

from replication_assets.catalog import (
    ByCount,
    ByWidth,
    Catalog,
    DeltaProjection,
    DynamoDbProjection,
    Environment,
    EnvironmentRefresh,
    EnvVar,
    EventDate,
    EventStoreConfig,
    ItemKey,
    Items,
    PostgresSourceConfig,
    PostgresTarget,
    Schedule,
    Table,
)
from replication_assets.demo.policy import sample_policy

PORT_VARIABLE = "REPLICATION_ASSETS_DEMO_PORT"
FOLDER_VARIABLE = "REPLICATION_ASSETS_DEMO_FOLDER"
AWS_PORT_VARIABLE = "REPLICATION_ASSETS_DEMO_AWS_PORT"
AWS_KEY_VARIABLE = "REPLICATION_ASSETS_DEMO_AWS_KEY"
MASK_KEY_VARIABLE = "REPLICATION_ASSETS_DEMO_MASK_KEY"
DEFAULT_PORT = 54329
DEFAULT_AWS_PORT = 54330
DEFAULT_FOLDER = ".demo"
SOURCE = "shop"
"""Name of the source, and of its database."""
LAKE = "lake"
SERVICE = "service"
WIDGETS = "shop.public.widgets"
QA = "qa"
"""Name of the environment for testers, and of its database."""
REFRESH = "qa_nightly"


def demo_folder() -> Path:
    """Where the sample system keeps everything: server, store, lakehouse, Dagster's files."""
    return Path(os.environ.get(FOLDER_VARIABLE, DEFAULT_FOLDER)).absolute()


def demo_port() -> int:
    return int(os.environ.get(PORT_VARIABLE, DEFAULT_PORT))


def aws_port() -> int:
    return int(os.environ.get(AWS_PORT_VARIABLE, DEFAULT_AWS_PORT))


def sample_catalog() -> Catalog:
    """Widgets, customers, orders and order events of the sample monolith."""
    folder = demo_folder()
    start = dt.date(2026, 1, 1)
    monthly = EventDate(granularity="month", start=start)
    return Catalog(
        event_store=EventStoreConfig(root=str(folder / "event_store")),
        sources=(
            PostgresSourceConfig(
                SOURCE,
                host="127.0.0.1",
                port=demo_port(),
                database=SOURCE,
                user="postgres",
                sslmode="disable",
                mode="continuous",
            ),
        ),
        tables=(
            Table("shop.public.widgets", event_date=monthly, id_ranges=ByWidth(1_000)),
            Table("shop.public.customers", event_date=monthly, id_ranges=ByCount(2)),
            Table("shop.public.orders", event_date=monthly, id_ranges=ByWidth(10_000)),
            Table(
                "shop.public.order_events",
                append_only=True,
                id_ranges=ByWidth(50_000),
                event_date=EventDate(column="created_at", granularity="month", start=start),
            ),
        ),
        projections=(
            DeltaProjection(LAKE, tables=("shop.*",), root=str(folder / "lakehouse"), follow="inline"),
            _service(),
        ),
        policies=(sample_policy(),),
        environments=(_testers(),),
        refreshes=(_nightly(),),
    )


def _service() -> DynamoDbProjection:
    """What a product service reads: widgets, their JSON and XML as maps, and customers."""
    return DynamoDbProjection(
        SERVICE,
        region="eu-central-1",
        endpoint_url=f"http://127.0.0.1:{aws_port()}",
        access_key_id=EnvVar(AWS_KEY_VARIABLE),
        secret_access_key=EnvVar(AWS_KEY_VARIABLE),
        follow="inline",
        items=(
            Items(
                WIDGETS,
                into="products",
                partition_key=ItemKey("pk", "widget#${id}"),
                types={"datasheet": "xml"},
            ),
            Items(
                "shop.public.customers",
                into="customers",
                partition_key=ItemKey("pk", "customer#${id}"),
                sort_key=ItemKey("sk", "profile"),
            ),
        ),
    )


def _testers() -> Environment:
    """A database on the same server, which testers read."""
    return Environment(
        QA,
        target=PostgresTarget(
            host="127.0.0.1", port=demo_port(), database=QA, user="postgres", sslmode="disable"
        ),
        mask_key=EnvVar(MASK_KEY_VARIABLE),
    )


def _nightly() -> EnvironmentRefresh:
    return EnvironmentRefresh(
        REFRESH,
        environment=QA,
        policy="testers",
        tables=("shop.*",),
        start=Schedule("0 2 * * *", timezone="Europe/Berlin"),
    )
