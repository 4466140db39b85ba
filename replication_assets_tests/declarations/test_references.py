"""Every reference of a catalog is found, wherever it stands, with its place."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from replication_assets import catalog as public
from replication_assets.catalog import (
    Catalog,
    DynamoDbProjection,
    Email,
    Environment,
    EnvVar,
    EventStoreConfig,
    KafkaSourceConfig,
    OracleSourceConfig,
    PostgresSourceConfig,
    PostgresTarget,
    SecretsManager,
    SqlProjection,
    SsmParameter,
    Watch,
    Webhook,
)
from replication_assets.declarations.base import Declaration
from replication_assets.declarations.references import declared_references

TARGET = PostgresTarget(host="h", database="d", user="u", password=EnvVar("TARGET"))
CATALOG = Catalog(
    EventStoreConfig("s3://b/p", {"AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": SsmParameter("/key")}),
    sources=[
        PostgresSourceConfig(
            "shop", host="h", database="d", user="u", password=SecretsManager("db", "password")
        ),
        OracleSourceConfig("ora", host="h", service="s", user="u", wallet_password=EnvVar("WALLET")),
        KafkaSourceConfig(
            "topics", bootstrap_servers="b", topics=["t"], envelope="dms", password=EnvVar("SASL")
        ),
    ],
    projections=[
        DynamoDbProjection("serving", items=[], access_key_id=EnvVar("ID"), secret_access_key=EnvVar("KEY")),
        SqlProjection("copy", tables=[], target=TARGET),
    ],
    environments=[Environment("qa", target=TARGET, mask_key=SsmParameter("/mask"))],
    watch=Watch(
        notify=[
            Webhook(EnvVar("HOOK"), headers={"Authorization": EnvVar("HEADER")}),
            Email("smtp", sender="s", recipients=["r"], user="u", password=EnvVar("MAIL")),
        ]
    ),
)


def test_every_reference_is_found_with_its_place() -> None:
    assert [(each.where, str(each.reference)) for each in declared_references(CATALOG)] == [
        ("event store: storage_options AWS_SECRET_ACCESS_KEY", "SSM parameter /key"),
        ("source shop: password", "Secrets Manager secret db field password"),
        ("source ora: wallet_password", "environment variable WALLET"),
        ("source topics: password", "environment variable SASL"),
        ("projection serving: access_key_id", "environment variable ID"),
        ("projection serving: secret_access_key", "environment variable KEY"),
        ("projection copy: target password", "environment variable TARGET"),
        ("environment qa: target password", "environment variable TARGET"),
        ("environment qa: mask_key", "SSM parameter /mask"),
        ("watch: notify 1 url", "environment variable HOOK"),
        ("watch: notify 1 headers Authorization", "environment variable HEADER"),
        ("watch: notify 2 password", "environment variable MAIL"),
    ]


def test_whatever_declaration_takes_a_reference_it_is_found_there() -> None:
    kinds = [
        each
        for each in vars(public).values()
        if isinstance(each, type) and issubclass(each, Declaration) and is_dataclass(each)
    ]
    with_references = 0
    for kind in kinds:
        hints = get_type_hints(kind)
        for field in fields(kind):
            if not _takes_reference(hints[field.name]):
                continue
            with_references += 1
            declared: Any = object.__new__(kind)
            for each in fields(kind):
                object.__setattr__(declared, each.name, None)
            object.__setattr__(declared, field.name, EnvVar("FOUND"))
            assert [each.reference for each in declared_references(declared)] == [EnvVar("FOUND")]
    assert with_references > 10


def _takes_reference(hint: Any) -> bool:
    return hint is EnvVar or any(_takes_reference(each) for each in get_args(hint))
