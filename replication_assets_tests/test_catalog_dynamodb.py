"""A DynamoDB projection is refused before any table is known, with every problem and its fix."""

from __future__ import annotations

import datetime as dt
import pickle
from typing import Any

import pytest

from replication_assets.catalog import (
    Attribute,
    Catalog,
    DynamoDbProjection,
    EnvVar,
    EventStoreConfig,
    ItemKey,
    Items,
    LoadCapacity,
    PostgresSourceConfig,
    S3Pointer,
    Split,
    Table,
    Ttl,
)

TODAY = dt.date(2026, 11, 21)


def orders(**changed: Any) -> Items:
    given: dict[str, Any] = {
        "table": "shop.public.orders",
        "into": "orders",
        "partition_key": ItemKey("pk", "order#${id}"),
    }
    given |= changed
    return Items(given.pop("table"), given.pop("into"), **given)


def lines(**changed: Any) -> Items:
    return orders(**{"table": "shop.public.lines", "partition_key": ItemKey("pk", "line#${id}"), **changed})


def problems(*items: Any, **changed: Any) -> tuple[str, ...]:
    catalog = Catalog(
        event_store=EventStoreConfig(root="/data/events"),
        sources=[PostgresSourceConfig("shop", host="db", database="shop", user="u", password=EnvVar("P"))],
        tables=[Table("shop.public.orders"), Table("shop.public.lines")],
        projections=[DynamoDbProjection(**{"name": "serving", "items": items or (orders(),), **changed})],
    )
    assert pickle.loads(pickle.dumps(catalog)) == catalog
    found = catalog.problems(today=TODAY)
    assert all("Fix: " in problem for problem in found)
    return found


def test_a_sound_projection_is_accepted_whole() -> None:
    full = orders(
        sort_key=ItemKey("sk", "${at}"),
        attributes=[
            Attribute("kind", constant="order"),
            Attribute(
                "m", fields=[Attribute("a", "${x}"), Attribute("l", elements=[Attribute("", constant=1)])]
            ),
        ],
        exclude=["id"],
        types={"payload": "json"},
        ttl=Ttl("expires", column="at", days=30),
        oversize=S3Pointer("my-bucket", "big", ["payload"]),
    )
    capacity = LoadCapacity("pre-warm", write_units=4000)
    assert problems(full, load_capacity=capacity) == ()
    assert problems(orders(oversize=Split(), columns="document", nulls="null")) == ()
    assert problems(orders(), lines()) == ()
    assert problems(orders(sort_key=ItemKey("sk", "profile"))) == ()


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        (orders(into="o"), "into 'o' is no DynamoDB table"),
        (orders(into=7), "into is of type int"),
        (orders(partition_key="id"), "partition_key is of type str"),
        (orders(partition_key=ItemKey("", "${id}")), "key name '' is empty or too long"),
        (orders(partition_key=ItemKey("pk", "order")), "the key names no column"),
        (orders(partition_key=ItemKey("pk", "order#${id")), "the template has a ${"),
        (orders(partition_key=ItemKey("pk", "agg#agg#${id}")), "the template starts with 'agg#' twice"),
        (orders(partition_key=ItemKey("pk", "${a}${b}")), "two columns stand side by side"),
        (orders(partition_key=ItemKey("pk", "${id}", type="text")), "key type is 'text'"),
        (orders(sort_key=ItemKey("pk", "${id}")), "attribute 'pk' is declared 2 times"),
        (orders(ttl=Ttl("pk", column="at")), "attribute 'pk' is declared 2 times"),
        (orders(ttl=Ttl("expires", column="at", days="30")), "ttl days is of type str"),
        (orders(attributes=[Attribute("_position", "${id}")]), "is what projections keep their books in"),
        (orders(attributes=[Attribute("a")]), "attribute 'a' has nothing to hold"),
        (orders(attributes=[Attribute("a", "${x}", constant=1)]), "has template and constant"),
        (orders(attributes=[Attribute("a", constant="x", type="number")]), "no number that DynamoDB holds"),
        (orders(attributes=[Attribute("a", constant=True, type="string")]), "the constant is a boolean"),
        (orders(attributes=[Attribute("a", constant="{}", type="json")]), "a constant cannot be 'json'"),
        (orders(attributes=[Attribute("a", constant=1.5)]), "attribute constant is of type float"),
        (orders(attributes=[Attribute("a", fields=[], type="json")]), "has a type beside fields"),
        (orders(attributes=[Attribute("a", fields=[Attribute("", "${x}")])]), "name '' is empty"),
        (
            orders(attributes=[Attribute("a", fields=[Attribute("b", "${x}"), Attribute("b", "${y}")])]),
            "names a field twice",
        ),
        (orders(attributes=[Attribute("a", fields=[Attribute("b", "${")])]), "the template has a ${"),
        (orders(types={"x": "jsonb"}), "types is of other contents"),
        (orders(columns="document", document_name=""), "document_name name '' is empty"),
        (orders(oversize="drop"), "oversize is of type str. Fix: one of 'dead-letter' or S3Pointer"),
        (orders(oversize=S3Pointer("s3://bucket")), "is no S3 bucket"),
        (orders(oversize=S3Pointer("bucket", attributes=["pk"])), "oversize attribute 'pk' is a key"),
        (orders(oversize=Split(part_bytes=1)), "part_bytes is not between"),
        (
            orders(partition_key=ItemKey("pk", "${id}", type="number"), oversize=Split()),
            "oversize Split tells parts apart by 'pk', a number",
        ),
        (orders(into="replication_assets"), "into is the control table"),
        (orders(table="shop.*"), "keys are declared for one table at a time"),
    ],
)
def test_a_wrong_field_of_items_is_named_with_its_fix(items: Items, complaint: str) -> None:
    assert any(complaint in problem for problem in problems(items)), problems(items)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"connections": 0}, "connections 0 is not between"),
        ({"tombstone_hours": 0}, "tombstone_hours is not above 0"),
        ({"control_table": "?"}, "control_table '?' is no DynamoDB table"),
        ({"access_key_id": EnvVar("A")}, "one of access_key_id and secret_access_key is missing"),
        ({"load_capacity": LoadCapacity("pre-warm")}, "has no write_units"),
        ({"load_capacity": LoadCapacity(write_units=5)}, "on-demand has write_units"),
        ({"load_capacity": LoadCapacity("warm")}, "load_capacity mode is 'warm'"),  # type: ignore[arg-type]
        ({"access_key_id": "AKIA123"}, "access_key_id is a literal credential (dropped)"),
    ],
)
def test_a_wrong_field_of_the_projection_is_named_with_its_fix(
    changed: dict[str, Any], complaint: str
) -> None:
    (problem,) = problems(**changed)
    assert complaint in problem
    assert "AKIA123" not in problem


def test_source_tables_that_share_a_table_have_one_shape_of_key_and_never_meet() -> None:
    (shape,) = problems(orders(), lines(sort_key=ItemKey("sk", "${id}")))
    assert "write to 'orders' with different keys" in shape
    (same,) = problems(orders(), lines(partition_key=ItemKey("pk", "order#${id}")))
    assert "the same key templates" in same
    assert problems(orders(), lines(into="lines", partition_key=ItemKey("pk", "order#${id}"))) == ()


def test_all_problems_of_all_items_are_listed() -> None:
    wrong = orders(into="o", partition_key=ItemKey("pk", "x"), types={"a": "json"})
    found = problems(wrong, lines(into="l"), connections=999)
    assert len(found) == 4
    assert found[0].startswith("projection serving: items of shop.public.orders: into 'o'")


def test_two_projections_of_one_table_into_one_table_are_refused() -> None:
    def catalog(into: str) -> Catalog:
        return Catalog(
            event_store=EventStoreConfig(root="/data/events"),
            sources=[
                PostgresSourceConfig("shop", host="db", database="shop", user="u", password=EnvVar("P"))
            ],
            tables=[Table("shop.public.orders")],
            projections=[
                DynamoDbProjection("serving", items=[orders()]),
                DynamoDbProjection("reports", items=[orders(into=into)]),
            ],
        )

    assert catalog("reports").problems(today=TODAY) == ()
    (problem,) = catalog("orders").problems(today=TODAY)
    assert "serving and reports both write the rows of shop.public.orders to 'orders'" in problem
