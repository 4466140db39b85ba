"""A catalog is refused as a whole, with every problem, its fix, and no credential."""

from __future__ import annotations

import datetime as dt
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from replication_assets.catalog import (
    ByBounds,
    ByCount,
    ByWidth,
    Catalog,
    DeltaProjection,
    EnvVar,
    EventDate,
    EventStoreConfig,
    PostgresSourceConfig,
    SecretsManager,
    SsmParameter,
    Table,
)
from replication_assets.core.dates import EventDates
from replication_assets.core.row_filters import Compare, Where
from replication_assets.core.schema import TableId
from replication_assets.errors import CatalogError

CANARY = "canary-8f3a"
TODAY = dt.date(2026, 11, 21)


def shop(name: str = "shop", **changed: Any) -> PostgresSourceConfig:
    given = {"host": "db", "database": "shop", "user": "replicator", "password": EnvVar("SHOP_PASSWORD")}
    return PostgresSourceConfig(name=name, **(given | changed))


def orders(**changed: Any) -> Table:
    return Table("shop.public.orders", **changed)


def lake(name: str = "lake", **changed: Any) -> DeltaProjection:
    return DeltaProjection(name=name, **({"tables": ["shop.public.orders"], "root": "/data/lake"} | changed))


def catalog(
    *,
    sources: Sequence[PostgresSourceConfig] | None = None,
    tables: Sequence[Table] | None = None,
    projections: Sequence[DeltaProjection] = (),
    event_store: EventStoreConfig | None = None,
) -> Catalog:
    return Catalog(
        sources=[shop()] if sources is None else sources,
        tables=[orders()] if tables is None else tables,
        projections=projections,
        event_store=event_store or EventStoreConfig(root="/data/events"),
    )


def problems(declared: Catalog) -> tuple[str, ...]:
    found = declared.problems(today=TODAY)
    assert all("Fix: " in problem for problem in found)
    return found


def only_problem(declared: Catalog) -> str:
    (problem,) = problems(declared)
    return problem


def full_catalog() -> Catalog:
    return Catalog(
        sources=[
            shop(mode="continuous", capture_interval_seconds=2.5, sslmode="verify-full"),
            shop("crm", password=SecretsManager("crm/db", field="password"), slot="crm_capture"),
        ],
        tables=[
            orders(id_ranges=ByCount(4), event_date=EventDate("created_at", "day", dt.date(2020, 1, 1))),
            Table(
                "shop.public.lines",
                id_ranges=ByWidth(1_000_000),
                key=["order_id", "line"],
                range_column="line",
            ),
            Table(source="crm", schema="a.b", name="people", id_ranges=ByBounds(("m",)), range_column="code"),
            Table(
                "crm.public.log",
                append_only=True,
                group="crm",
                owners=["team:data", "a@b.c"],
                tags={"pii": "no"},
            ),
        ],
        projections=[
            lake(tables=["shop.*", "crm.a.b.people"]),
            lake("mirror", tables=["shop.public.orders"], root="s3://lake/mirror", follow="inline"),
        ],
        event_store=EventStoreConfig(
            root="s3://lake/events",
            storage_options={"AWS_SECRET_ACCESS_KEY": SsmParameter("/key"), "AWS_REGION": "eu-west-1"},
        ),
    )


def test_a_sound_catalog_is_accepted_whole() -> None:
    declared = full_catalog()
    assert problems(declared) == ()
    assert declared.validate(today=TODAY) is declared
    assert declared.validate() is declared


def test_a_sound_catalog_crosses_processes() -> None:
    assert pickle.loads(pickle.dumps(full_catalog())) == full_catalog()


def test_declarations_are_found_by_name() -> None:
    declared = full_catalog()
    people = TableId("crm", "a.b", "people")
    assert declared.table(people).range_column == "code"
    assert [str(table.id) for table in declared.tables_of("shop")] == [
        "shop.public.orders",
        "shop.public.lines",
    ]
    assert declared.source("crm").slot_name == "crm_capture"
    assert declared.source("shop").slot_name == declared.source("shop").publication_name
    assert [table.id.name for table in declared.projected(declared.projections[0])] == [
        "orders",
        "lines",
        "people",
    ]


def test_an_event_date_is_pinned_as_the_store_keeps_it() -> None:
    pinned = EventDate("created_at", "year", dt.date(2024, 1, 1)).pinned()
    assert pinned == EventDates("created_at", "year", dt.date(2024, 1, 1))


def test_every_problem_of_every_declaration_is_listed_together() -> None:
    declared = catalog(
        sources=[shop(port=0), shop("Crm", mode="sometimes")],
        tables=[orders(id_ranges=ByWidth(0)), Table("orders")],
        projections=[lake(tables=[])],
        event_store=EventStoreConfig(root=""),
    )
    with pytest.raises(CatalogError) as refused:
        declared.validate(today=TODAY)
    assert len(refused.value.problems) == 6
    for word in ("port 0", "'sometimes'", "width 0", "table orders", "projects no table", "no root"):
        assert word in str(refused.value)


LITERALS = {
    "password": catalog(sources=[shop(password=CANARY)]),
    "password bytes": catalog(sources=[shop(password=CANARY.encode())]),
    "url": catalog(sources=[shop(host=f"postgresql://me:{CANARY}@db/shop")]),
    "dsn": catalog(sources=[shop(database=f"dbname=shop password={CANARY}")]),
    "slot": catalog(sources=[shop(slot=f"password = {CANARY}")]),
    "name": catalog(sources=[shop(f"x://u:{CANARY}@h")], tables=[]),
    "option": catalog(event_store=EventStoreConfig("/e", storage_options={"AWS_SECRET_ACCESS_KEY": CANARY})),
    "lower option": catalog(event_store=EventStoreConfig("/e", storage_options={"session_token": CANARY})),
    "endpoint": catalog(
        event_store=EventStoreConfig("/e", storage_options={"endpoint": f"http://u:{CANARY}@h"})
    ),
    "root": catalog(event_store=EventStoreConfig(f"s3://key:{CANARY}@bucket/x")),
    "projection": catalog(projections=[lake(storage_options={"account_key": CANARY})]),
    "projection root": catalog(projections=[lake(root=f"s3://key:{CANARY}@bucket/x")]),
    "table": catalog(tables=[orders(tags={"dsn": f"x://u:{CANARY}@h"})]),
    "tables": catalog(projections=[lake(tables=["shop.public.orders", f"x://u:{CANARY}@h"])]),
}


@pytest.mark.parametrize("declared", LITERALS.values(), ids=LITERALS.keys())
def test_a_literal_credential_is_refused_and_shown_nowhere(declared: Catalog) -> None:
    with pytest.raises(CatalogError) as refused:
        declared.validate(today=TODAY)
    for shown in (str(refused.value), repr(refused.value.problems), repr(declared), str(declared.sources[0])):
        assert CANARY not in shown
    assert any("credential" in problem or "password" in problem for problem in refused.value.problems)


def test_an_option_without_a_secret_may_be_literal() -> None:
    options = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://localhost:5000", "timeout": "30s"}
    assert problems(catalog(event_store=EventStoreConfig("/e", storage_options=options))) == ()


@pytest.mark.parametrize("name", ["Shop", "1shop", "shop-eu", "", "shop.eu", "a" * 41, "shöp", "shop\n"])
def test_a_name_that_cannot_be_an_asset_key_is_refused(name: str) -> None:
    assert "asset key" in only_problem(catalog(sources=[shop(name)], tables=[]))
    assert "asset key" in only_problem(catalog(projections=[lake(name)]))


SOURCES = {
    "mode is 'hourly'. Fix: one of 'micro-batch', 'continuous'": {"mode": "hourly"},
    "sslmode is 'on'": {"sslmode": "on"},
    "port is of type str. Fix: int": {"port": "5432"},
    "port is of type bool": {"port": True},
    "port 70000": {"port": 70000},
    "host is empty": {"host": ""},
    "slot 'My-Slot'": {"slot": "My-Slot"},
    "publication": {"publication": "p" * 64},
    "max_parallel_loads 0": {"max_parallel_loads": 0},
    "capture_interval_seconds": {"capture_interval_seconds": 0},
    "load_wait_seconds": {"load_wait_seconds": float("nan")},
    "password names no environment variable": {"password": EnvVar("correct horse")},
    "password is of type int. Fix: EnvVar or SecretsManager or SsmParameter or None": {"password": 5},
}


@pytest.mark.parametrize(("complaint", "changed"), SOURCES.items(), ids=SOURCES.keys())
def test_a_wrong_source_field_is_named_with_its_fix(complaint: str, changed: dict[str, object]) -> None:
    assert f"source shop: {complaint}" in only_problem(catalog(sources=[shop(**changed)]))


WEEKLY: Any = "week"
MIDNIGHT = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

TABLES = {
    "key is of type str. Fix: a list of str": {"key": "id"},
    "key is of other contents": {"key": ["id", 5]},
    "key names a column twice": {"key": ["id", "id"]},
    "id_ranges: width -1": {"id_ranges": ByWidth(-1)},
    "id_ranges: count 0": {"id_ranges": ByCount(0)},
    "id_ranges: bounds do not ascend": {"id_ranges": ByBounds([3, 2])},
    "id_ranges width is of type str": {"id_ranges": ByWidth("1000")},  # type: ignore[arg-type]
    "id_ranges bounds is of other contents": {"id_ranges": ByBounds((1.5,))},  # type: ignore[arg-type]
    "id_ranges is of type int. Fix: ByWidth or ByCount or ByBounds": {"id_ranges": 4},
    "where is of other contents": {"where": ["v = 1"]},
    "where: one_of is of type str": {"where": [Where("v", "null")]},  # type: ignore[arg-type]
    "where: values is of other contents": {"where": [Where("v", [Compare("eq", [1])])]},  # type: ignore[list-item]
    "where: filter operator 'like' is not known": {"where": [Where("v", [Compare("like", ["x"])])]},
    "where: filter operator between has 1 values": {"where": [Where("v", [Compare("between", ["1"])])]},
    "range_column is given, but the table is one range": {"range_column": "id"},
    "range_column 'at' is not in the key": {"id_ranges": ByCount(2), "key": ["id"], "range_column": "at"},
    "column '_OP' is reserved": {"key": ["_OP"]},
    "column '' is reserved for the event store, or empty": {"event_date": EventDate("")},
    "event_date granularity is 'week'. Fix: one of 'day', 'month'": {"event_date": EventDate("at", WEEKLY)},
    "event_date start is of type datetime. Fix: date": {"event_date": EventDate(start=MIDNIGHT)},
    "event_date.start 2026-11-22 is in the future": {"event_date": EventDate(start=dt.date(2026, 11, 22))},
    "event_date is of type str": {"event_date": "created_at"},
    "append_only is of type str": {"append_only": "no"},
    "group 'a b'": {"group": "a b"},
    "owner 'me'": {"owners": ["me"]},
    "tags is of other contents": {"tags": {"a": 1}},
}


@pytest.mark.parametrize(("complaint", "changed"), TABLES.items(), ids=TABLES.keys())
def test_a_wrong_table_field_is_named_with_its_fix(complaint: str, changed: dict[str, object]) -> None:
    assert f"table shop.public.orders: {complaint}" in only_problem(catalog(tables=[orders(**changed)]))


def test_rows_that_only_ever_arrive_may_be_cut_on_a_column_outside_the_key() -> None:
    table = orders(id_ranges=ByCount(2), key=["id"], range_column="seq", append_only=True)
    assert problems(catalog(tables=[table])) == ()


@pytest.mark.parametrize(
    "table",
    [
        Table("orders"),
        Table("shop.public.orders.x"),
        Table("shop..orders"),
        Table(source="shop", schema="public"),
        Table(),
        Table("shop.public.orders", source="shop"),
    ],
)
def test_a_table_is_named_fully_and_once(table: Table) -> None:
    assert "exactly one source, schema and name" in only_problem(catalog(tables=[table]))


def test_a_table_of_an_unknown_source_is_refused_with_the_nearest_one() -> None:
    problem = only_problem(catalog(tables=[Table("shoop.public.orders")]))
    assert problem.startswith(
        "tables: shoop.public.orders is of source 'shoop', which is not in the catalog."
    )
    assert problem.endswith("Fix: did you mean shop?")


def test_a_table_declared_twice_is_refused_however_it_is_spelled() -> None:
    twice = [orders(), Table(source="shop", schema="public", name="orders")]
    assert "declared 2 times" in only_problem(catalog(tables=twice))


PROJECTIONS = {
    "table 'shop.public.order' is not in the catalog. Fix: did you mean shop.public.orders": {
        "tables": ["shop.public.order"]
    },
    "table 'crm.*' is not in the catalog": {"tables": ["crm.*"]},
    "table 'shop.public.orders' is named twice": {"tables": ["shop.public.orders"] * 2},
    "projects no table": {"tables": []},
    "tables is of type str": {"tables": "shop.public.orders"},
    "follow is 'hourly'. Fix: one of 'micro-batch', 'inline'": {"follow": "hourly"},
}


@pytest.mark.parametrize(("complaint", "changed"), PROJECTIONS.items(), ids=PROJECTIONS.keys())
def test_a_wrong_projection_field_is_named_with_its_fix(complaint: str, changed: dict[str, object]) -> None:
    declared = catalog(tables=[orders(key=["id"])], projections=[lake(**changed)])
    assert any(problem.startswith(f"projection lake: {complaint}") for problem in problems(declared))


def test_two_declarations_of_one_name_are_refused_also_across_kinds() -> None:
    assert "2 are called 'shop'" in only_problem(catalog(sources=[shop(), shop(host="other")]))
    assert "2 are called 'shop'" in only_problem(catalog(projections=[lake("shop")]))


def test_two_sources_on_one_server_do_not_share_a_slot() -> None:
    shared = [shop(slot="capture"), shop("crm", database="crm", host="DB", slot="capture")]
    assert "share slot 'capture' of db:5432" in only_problem(catalog(sources=shared))
    apart = [shop(slot="capture"), shop("crm", host="other", slot="capture")]
    assert problems(catalog(sources=apart)) == ()


@pytest.mark.parametrize(
    ("store", "root"),
    [
        ("/data", "/data/lake"),
        ("/data/lake/", "/data/x/../lake"),
        ("/data/lake/events", "/data/lake"),
        ("s3://b/x", "s3a://b/x/y"),
        ("file:///data", "/data"),
        (".", "lake"),
        ("s3://b", "s3://b/lake"),
    ],
)
def test_roots_that_lie_in_each_other_are_refused(store: str, root: str) -> None:
    declared = catalog(projections=[lake(root=root)], event_store=EventStoreConfig(store))
    assert "the event store and projection lake overlap" in only_problem(declared)


@pytest.mark.parametrize(
    ("store", "root"), [("/data/a", "/data/ab"), ("s3://a/x", "s3://b/x"), ("/data", "data")]
)
def test_roots_side_by_side_are_accepted(store: str, root: str) -> None:
    assert problems(catalog(projections=[lake(root=root)], event_store=EventStoreConfig(store))) == ()


def test_two_projections_do_not_share_a_root() -> None:
    assert "projection lake and projection mirror overlap" in only_problem(
        catalog(projections=[lake(), lake("mirror")])
    )


@pytest.mark.parametrize(
    "wrong", [{"sources": ["shop"]}, {"tables": "shop.public.orders"}, {"event_store": "/data"}]
)
def test_a_catalog_of_other_things_is_refused_without_a_crash(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"event_store": EventStoreConfig("/data"), "sources": [shop()]}
    assert len(problems(Catalog(**(given | wrong)))) == 1
