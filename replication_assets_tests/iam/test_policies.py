"""Policies name exactly what a catalog declares, in every partition, and AWS knows all they name."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from policy_sentry.querying.actions import get_action_data

from replication_assets.catalog import (
    Catalog,
    DeltaProjection,
    DmsTask,
    DynamoDbProjection,
    EnvVar,
    EventStoreConfig,
    ItemKey,
    Items,
    KafkaProjection,
    KafkaSourceConfig,
    KinesisProjection,
    LandedSourceConfig,
    LoadCapacity,
    PostgresSourceConfig,
    PostgresTarget,
    S3Pointer,
    SecretsManager,
    Sns,
    SqliteSourceConfig,
    SqliteTarget,
    SqlProjection,
    SsmParameter,
    Table,
    Watch,
)
from replication_assets.errors import CatalogError
from replication_assets.iam.catalog_policies import Wanted, catalog_policies
from replication_assets.iam.dms_roles import dms_policies
from replication_assets.iam.place import literal, place_of
from replication_assets.iam.policy import MOST_CHARACTERS, Document, Statement, documents
from replication_assets_tests.iam.evaluation import matches

ACCOUNT = "123456789012"
PLACE = place_of(ACCOUNT, "eu-west-1")
TASK = f"arn:aws:dms:eu-west-1:{ACCOUNT}:task:ABC"
CLUSTER = f"arn:aws:kafka:eu-west-1:{ACCOUNT}:cluster/shop/abc-1"


def items(name: str, **more: Any) -> Items:
    return Items(f"shop.public.{name}", into=name, partition_key=ItemKey("pk", "x#${id}"), **more)


SERVING = DynamoDbProjection(
    "serving",
    items=[items("orders", oversize=S3Pointer("large", "a*b")), items("customers")],
    region="eu-central-1",
    load_capacity=LoadCapacity(),
)
CATALOG = Catalog(
    EventStoreConfig("s3://events/store", {"AWS_SSE_KMS_KEY_ID": EnvVar("EVENTS_KEY")}),
    sources=[
        PostgresSourceConfig(
            "shop", host="h", database="d", user="u", password=SecretsManager("shop/db", "pw")
        ),
        KafkaSourceConfig(
            "topics", bootstrap_servers="b:9098", topics=["a", "b"], envelope="dms", sasl="aws-msk-iam"
        ),
        LandedSourceConfig("files", root="s3://landing/dms", columns={"public.orders": ["id bigint"]}),
    ],
    tables=[Table("shop.public.orders"), Table("shop.public.customers")],
    projections=[
        DeltaProjection("lake", tables=["shop.*"], root="s3://lake"),
        SERVING,
        SqlProjection(
            "copy",
            tables=["shop.*"],
            target=PostgresTarget(
                host="h", database="d", user="u", password=SsmParameter("/copy", "us-east-1")
            ),
        ),
    ],
    topics=[
        KafkaProjection(
            "told",
            tables=["shop.*"],
            bootstrap_servers="b:9098",
            envelope="debezium",
            partitions=3,
            sasl="aws-msk-iam",
        )
    ],
    dms_tasks=[DmsTask("full", arn=TASK)],
    watch=Watch(notify=[Sns(f"arn:aws:sns:eu-west-1:{ACCOUNT}:alarms")]),
)
WANTED = Wanted(kms_keys=["alias/shop"], clusters={"topics": CLUSTER, "told": CLUSTER})


TOLD = ("shop.public.customers", "shop.public.orders")


def statements(found: dict[str, Document], principal: str = "process") -> dict[str, dict[str, Any]]:
    return {
        each["Sid"]: each
        for name, document in found.items()
        if name.startswith(principal)
        for each in document["Statement"]
    }


def test_arns_are_those_of_the_declared_tables_regions_secrets_and_topics() -> None:
    found = statements(catalog_policies(CATALOG, PLACE, WANTED))
    table = f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table"
    before = f"arn:aws:kafka:eu-west-1:{ACCOUNT}"
    assert {sid: each["Resource"] for sid, each in found.items()} == {
        "ObjectsOfTheEventStore": ["arn:aws:s3:::events/store/*"],
        "ListTheEventStore": ["arn:aws:s3:::events"],
        "KeyOfS3": [f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/*"],
        "LogInToTheCluster": [CLUSTER],
        "ReadTopics": [f"{before}:topic/shop/abc-1/a", f"{before}:topic/shop/abc-1/b"],
        "KeyOfS32": [f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/*"],
        "NumberMessages": [CLUSTER],
        "WriteTopics": [f"{before}:topic/shop/abc-1/{topic}" for topic in TOLD],
        "MakeTopics": [f"{before}:topic/shop/abc-1/{topic}" for topic in TOLD],
        "FindTheCoordinator": [
            f"{before}:group/shop/abc-1/replication_assets_topics",
            f"{before}:group/shop/abc-1/replication_assets_publisher",
        ],
        "Transactions": [
            f"{before}:transactional-id/shop/abc-1/replication_assets-told-shop/public.{table}"
            for table in ("orders", "customers")
        ],
        "ObjectsOfSourceFiles": ["arn:aws:s3:::landing/dms/*"],
        "ListSourceFiles": ["arn:aws:s3:::landing"],
        "LookAtTasksOfDMS": ["*"],
        "RunTasksOfDMS": [TASK],
        "ObjectsOfProjectionLake": ["arn:aws:s3:::lake/*"],
        "ListProjectionLake": ["arn:aws:s3:::lake"],
        "Items": [f"{table}/orders", f"{table}/customers"],
        "CheckpointsOfItems": [f"{table}/replication_assets"],
        "MakeTablesOfItems": [f"{table}/orders", f"{table}/customers"],
        "MakeTheTableOfCheckpoints": [f"{table}/replication_assets"],
        "CapacityForLoads": [f"{table}/orders", f"{table}/customers"],
        "ObjectsOfLargeItems": ["arn:aws:s3:::large/a${*}b/shop/public.orders/*"],
        "ListLargeItems": ["arn:aws:s3:::large"],
        "Tell": [f"arn:aws:sns:eu-west-1:{ACCOUNT}:alarms"],
        "ReadSecrets": [f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:shop/db-??????"],
        "ReadParameters": [f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/copy"],
        "KeyOfSecretsmanager": [f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/*"],
        "KeyOfSsm": [f"arn:aws:kms:us-east-1:{ACCOUNT}:key/*"],
    }
    assert found["KeyOfS3"]["Condition"] == {
        "StringEquals": {"kms:ViaService": ["s3.eu-west-1.amazonaws.com"]},
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/shop"]},
    }
    assert "Condition" not in found["ListProjectionLake"], "a bucket of its own"


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(document, id=name)
        for name, document in {
            **catalog_policies(CATALOG, PLACE, WANTED),
            **dms_policies(CATALOG, PLACE),
        }.items()
        if not name.endswith("-trust")
    ],
)
def test_every_action_resource_and_condition_is_one_that_aws_has(document: Document) -> None:
    for statement in document["Statement"]:
        for action in statement["Action"]:
            service, name = action.split(":")
            known = get_action_data(service, name)
            assert known, f"AWS has no action {action}"
            formats = {each["resource_arn_format"] for each in known[service]}
            for resource in statement["Resource"]:
                if resource == "*":
                    assert formats == {"*"}, f"{action} takes a resource"
                else:
                    assert any(_is_of(each, resource) for each in formats - {"*"}), (action, resource)
            keys = {key for each in known[service] for key in each["condition_keys"]}
            for asked in statement.get("Condition", {}).values():
                assert set(asked) <= keys, (action, asked)


def _is_of(arn_format: str, resource: str) -> bool:
    pattern = re.sub(r"\\\$\\\{\w+\\\}|\\\*", ".+", re.escape(arn_format))
    return re.fullmatch(pattern, resource) is not None


@pytest.mark.parametrize(
    ("region", "partition", "via"),
    [
        ("eu-west-1", "aws", ["s3.eu-west-1.amazonaws.com"]),
        ("us-gov-west-1", "aws-us-gov", ["s3.us-gov-west-1.amazonaws.com"]),
        ("cn-north-1", "aws-cn", ["s3.cn-north-1.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn"]),
    ],
)
def test_arns_are_of_the_partition_that_the_region_is_in(region: str, partition: str, via: list[str]) -> None:
    catalog = dataclasses.replace(
        CATALOG, sources=CATALOG.sources[:1], topics=(), dms_tasks=(), watch=Watch()
    )
    found = catalog_policies(catalog, place_of(ACCOUNT, region), WANTED)
    arns = [arn for each in statements(found).values() for arn in each["Resource"]]
    assert {arn.split(":")[1] for arn in arns} == {partition}
    assert statements(found)["KeyOfS3"]["Condition"]["StringEquals"]["kms:ViaService"] == via


@pytest.mark.parametrize(
    ("account", "region", "partition", "problem"),
    [
        ("1234", "eu-west-1", "", "12 digits"),
        (ACCOUNT, "Ireland", "", "a name like eu-west-1"),
        (ACCOUNT, "cn-north-1", "aws", "is in partition aws-cn"),
    ],
)
def test_a_place_that_cannot_be_is_refused(account: str, region: str, partition: str, problem: str) -> None:
    with pytest.raises(CatalogError, match=problem):
        place_of(account, region, partition)


def test_who_has_keys_of_its_own_has_a_policy_of_its_own() -> None:
    keys = {"AWS_ACCESS_KEY_ID": EnvVar("ID"), "AWS_SECRET_ACCESS_KEY": EnvVar("KEY")}
    catalog = dataclasses.replace(
        CATALOG,
        event_store=EventStoreConfig("s3://events/store", keys),
        projections=[dataclasses.replace(SERVING, access_key_id=EnvVar("A"), secret_access_key=EnvVar("B"))],
    )
    found = catalog_policies(catalog, PLACE, WANTED)
    assert list(found) == ["process", "event-store", "projection-serving", "secrets-operator"]
    assert not [sid for sid in statements(found) if "EventStore" in sid or "Items" in sid]
    assert "Items" in statements(found, "projection-serving")


def test_what_is_elsewhere_than_at_aws_needs_nothing_of_it() -> None:
    catalog = Catalog(
        EventStoreConfig("/data/store"),
        sources=[SqliteSourceConfig("shop", path="/data/shop.db")],
        tables=[Table("shop.main.orders")],
        projections=[
            DeltaProjection("lake", tables=["shop.*"], root="az://lake/shop"),
            SqlProjection("copy", tables=["shop.*"], target=SqliteTarget("/data/copy")),
        ],
    )
    assert catalog_policies(catalog, PLACE) == {}


def test_tables_that_are_there_are_not_made() -> None:
    found = catalog_policies(CATALOG, PLACE, dataclasses.replace(WANTED, create=False))
    assert "dynamodb:CreateTable" not in json.dumps(found)
    assert "dynamodb:UpdateTimeToLive" not in json.dumps(found)


def test_streams_are_named_and_their_key_works_through_kinesis_alone() -> None:
    streams = KinesisProjection(
        "streams",
        tables=["shop.*"],
        stream="${schema}.${table}",
        envelope="dms",
        shards=2,
        region="eu-north-1",
    )
    catalog = dataclasses.replace(CATALOG, topics=[streams])
    found = statements(catalog_policies(catalog, PLACE, WANTED))
    before = f"arn:aws:kinesis:eu-north-1:{ACCOUNT}:stream"
    names = [f"{before}/public.customers", f"{before}/public.orders"]
    assert [found[sid]["Resource"] for sid in ("WriteStreams", "ReadStreams", "MakeStreams")] == [names] * 3
    assert found["KeyOfKinesis"]["Condition"]["StringEquals"] == {
        "kms:ViaService": ["kinesis.eu-north-1.amazonaws.com"]
    }
    there = catalog_policies(catalog, PLACE, dataclasses.replace(WANTED, create=False))
    assert "MakeStreams" not in statements(there)
    keyed = dataclasses.replace(streams, access_key_id=EnvVar("A"), secret_access_key=EnvVar("B"))
    own = dataclasses.replace(CATALOG, topics=[keyed])
    assert "WriteStreams" in statements(catalog_policies(own, PLACE, WANTED), "projection-streams")
    assert "WriteStreams" not in statements(catalog_policies(own, PLACE, WANTED))
    for document in catalog_policies(own, PLACE, WANTED).values():
        test_every_action_resource_and_condition_is_one_that_aws_has(document)


def test_a_cluster_that_is_not_known_is_asked_for_and_never_any() -> None:
    for clusters in ({}, {"topics": "arn:aws:kafka:eu-west-1:123456789012:cluster/*"}):
        with pytest.raises(CatalogError, match="--msk-cluster topics="):
            catalog_policies(CATALOG, PLACE, dataclasses.replace(WANTED, clusters=clusters))
    with pytest.raises(CatalogError, match=r"projection told .* --msk-cluster told="):
        catalog_policies(CATALOG, PLACE, dataclasses.replace(WANTED, clusters={"topics": CLUSTER}))


def test_keys_are_named_by_id_by_arn_or_by_alias_and_work_through_the_service_alone() -> None:
    arn = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/0a1b"
    for given, resource in (("0a1b", arn), (arn, arn), (arn.replace("key/0a1b", "alias/x"), arn[:-4] + "*")):
        wanted = dataclasses.replace(WANTED, kms_keys=[given])
        key = statements(catalog_policies(CATALOG, PLACE, wanted))["KeyOfSecretsmanager"]
        assert key["Resource"] == [resource]
        assert key["Condition"]["StringEquals"] == {
            "kms:ViaService": ["secretsmanager.eu-west-1.amazonaws.com"]
        }
        named = key["Condition"].get("ForAnyValue:StringEquals")
        assert named == ({"kms:ResourceAliases": ["alias/x"]} if "alias" in given else None)


def test_a_key_that_is_declared_by_reference_is_asked_for() -> None:
    with pytest.raises(CatalogError, match=r"the event store is encrypted .* --kms-key"):
        catalog_policies(CATALOG, PLACE, dataclasses.replace(WANTED, kms_keys=[]))


def test_a_declaration_of_an_unknown_kind_is_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class Carrier:
        name: str = "pigeons"

    for changed in (
        {"sources": [Carrier()]},
        {"projections": [Carrier()]},
        {"watch": Watch(notify=[Carrier()])},  # type: ignore[list-item]
        {"watch": Watch(metrics=[Carrier()])},  # type: ignore[list-item]
    ):
        with pytest.raises(CatalogError, match="Carrier is not known"):
            catalog_policies(dataclasses.replace(CATALOG, **changed), PLACE, WANTED)  # type: ignore[arg-type]


def test_what_is_longer_than_aws_takes_becomes_several_policies() -> None:
    many = [
        Statement(f"tables {number}", ("dynamodb:Scan",), tuple(f"{number}-{n:060}" for n in range(30)))
        for number in range(8)
    ]
    parts = documents(many)
    assert len(parts) > 1
    assert [each["Sid"] for part in parts for each in part["Statement"]] == [f"Tables{n}" for n in range(8)]
    for part in parts:
        assert len(re.sub(r"\s", "", json.dumps(part))) <= MOST_CHARACTERS
    with pytest.raises(CatalogError, match="more than one policy takes"):
        documents([Statement("all", ("dynamodb:Scan",), tuple(f"{n:060}" for n in range(200)))])


@pytest.mark.parametrize("text", ["plain", "a*b", "a?b", "a$b", "${aws:username}"])
def test_a_name_stands_for_itself_alone(text: str) -> None:
    assert matches(literal(text), text)
    assert not matches(literal(text), text.replace("*", "x").replace("?", "x").replace("$", "x") + "y")
    assert text in ("plain", literal(text)) or not matches(literal(text), re.sub(r"[*?$]", "x", text))


def test_secrets_are_found_by_name_with_the_letters_that_aws_appends_or_by_arn() -> None:
    arn = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:shop/db-AbCdEf"
    source = dataclasses.replace(CATALOG.sources[0], password=SecretsManager(arn))  # type: ignore[call-arg]
    catalog = dataclasses.replace(
        CATALOG, sources=[source], topics=(), event_store=EventStoreConfig("/data/store")
    )
    assert statements(catalog_policies(catalog, PLACE))["ReadSecrets"]["Resource"] == [arn, f"{arn}-??????"]


def test_dms_writes_to_the_tables_and_is_trusted_for_this_account_alone() -> None:
    found = dms_policies(CATALOG, PLACE)
    (target,) = found["dms-target-trust"]["Statement"]
    assert target["Principal"]["Service"] == "dms.amazonaws.com"
    assert target["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:dms:eu-west-1:{ACCOUNT}:endpoint:*"},
    }
    (secrets,) = found["dms-secrets-trust"]["Statement"]
    assert secrets["Principal"]["Service"] == "dms.eu-west-1.amazonaws.com"
    tables = found["dms-target"]["Statement"][0]["Resource"]
    assert [arn.rpartition("/")[2] for arn in tables] == [
        "orders",
        "customers",
        "awsdms_apply_exceptions",
        "awsdms_full_load_exceptions",
    ]
