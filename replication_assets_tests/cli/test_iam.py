"""Policies are printed, or written to files that AWS takes as they are, and nothing is connected to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from replication_assets_tests.cli import warm

CATALOG = """
from replication_assets import (
    Catalog, DynamoDbProjection, EnvVar, EventStoreConfig, ItemKey, Items, KafkaSourceConfig,
    PostgresSourceConfig, SecretsManager, Table
)

catalog = Catalog(
    EventStoreConfig("s3://events/store"),
    sources=[
        PostgresSourceConfig("shop", host="h", database="d", user="u", password=SecretsManager("shop/db")),
        KafkaSourceConfig(
            "topics", bootstrap_servers="b:9098", topics=["a"], envelope="dms", sasl="aws-msk-iam"
        ),
    ],
    tables=[Table("shop.public.orders")],
    projections=[
        DynamoDbProjection(
            "serving",
            items=[Items("shop.public.orders", into="orders", partition_key=ItemKey("pk", "o#${id}"))],
            access_key_id=EnvVar("NOT_SET_ID"),
            secret_access_key=EnvVar("NOT_SET_KEY"),
        )
    ],
)
"""
PLACE = ("--account", "123456789012", "--region", "eu-west-1")
CLUSTER = ("--msk-cluster", "topics=arn:aws:kafka:eu-west-1:123456789012:cluster/shop/abc-1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(CATALOG)
    return tmp_path


def run(folder: Path, *arguments: str, code: int = 0) -> tuple[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    ended = warm.run(["iam", *arguments], folder, {**kept, "REPLICATION_ASSETS_CATALOG": "shop:catalog"})
    assert ended.code == code, ended.err.decode()
    return ended.out.decode(), ended.err.decode()


def test_all_policies_are_printed_by_principal_and_one_alone_as_aws_takes_it(folder: Path) -> None:
    every = json.loads(run(folder, *PLACE, *CLUSTER)[0])
    assert list(every) == ["process", "projection-serving", "secrets-operator"]
    one = json.loads(run(folder, *PLACE, *CLUSTER, "--for", "projection-serving")[0])
    assert one == every["projection-serving"]
    assert one["Version"] == "2012-10-17"
    assert one["Statement"][0]["Resource"] == ["arn:aws:dynamodb:eu-west-1:123456789012:table/orders"]


def test_a_policy_of_dms_is_asked_for_with_its_option(folder: Path) -> None:
    _, told = run(folder, *PLACE, *CLUSTER, "--for", "dms-target", code=2)
    assert "Fix: add --dms" in told
    one = json.loads(run(folder, *PLACE, *CLUSTER, "--for", "dms-target", "--dms")[0])
    assert one["Version"] == "2012-10-17"


def test_files_are_written_with_the_roles_of_dms_where_they_are_asked_for(folder: Path) -> None:
    run(folder, *PLACE, *CLUSTER, "--dms", "--existing-tables", "--out", "policies")
    written = {each.stem: json.loads(each.read_text()) for each in (folder / "policies").iterdir()}
    assert set(written) == {
        "process",
        "projection-serving",
        "secrets-operator",
        "dms-target",
        "dms-target-trust",
        "dms-secrets",
        "dms-secrets-trust",
    }
    assert "CreateTable" not in json.dumps(written["projection-serving"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (PLACE, "--msk-cluster topics="),
        ((*PLACE, "--msk-cluster", "topics"), "NAME=ARN"),
        ((*PLACE, *CLUSTER, "--for", "nobody"), "one of process, projection-serving"),
        (("--account", "1", "--region", "eu-west-1"), "12 digits"),
        (("--account", "123456789012", "--region", "cn-north-1", "--partition", "aws"), "partition aws-cn"),
    ],
)
def test_what_is_missing_or_wrong_is_said_with_its_fix(
    folder: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in run(folder, *arguments, code=2)[1]
