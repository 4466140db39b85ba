"""Every declaration can be written in YAML; every mistake in it is told with its path, never its value."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest

from replication_assets import masks
from replication_assets.catalog import (
    ByBounds,
    ByCount,
    ByWidth,
    Catalog,
    DeltaProjection,
    DynamoDbProjection,
    EnvVar,
    EventDate,
    EventStoreConfig,
    PostgresSourceConfig,
    SecretsManager,
    SsmParameter,
    Table,
)
from replication_assets.components.declared_values import WRONG, ValueProblem, choices, read, tag_of
from replication_assets.components.json_schema import definition_name, json_schema
from replication_assets.components.places import path_of
from replication_assets.declarations import (
    ColumnPolicy,
    Environment,
    EnvironmentRefresh,
    MaskingPolicy,
    Namespace,
    PostgresTarget,
    PythonHook,
    Schedule,
    SqlHook,
    SqliteTarget,
    Subset,
    TablePolicy,
    masking,
)
from replication_assets.masks import Choice, IntegerId, JsonPaths, Keep, Null

SOUND: dict[str, Any] = {
    "event_store": {
        "root": "s3://events/store",
        "storage_options": {"AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": {"env": "AWS_SECRET"}},
    },
    "sources": [
        {
            "name": "shop",
            "host": "db",
            "database": "shop",
            "user": "replicator",
            "password": {"secrets_manager": {"secret_id": "shop/db", "field": "password"}},
            "load_wait_seconds": 10,
        }
    ],
    "tables": [
        "shop.public.customers",
        {"path": "shop.public.orders", "id_ranges": {"by_width": 1000}},
        {"path": "shop.public.users", "id_ranges": {"by_bounds": ["g", "p"]}, "key": ["name"]},
        {
            "source": "shop",
            "schema": "odd.name",
            "name": "events",
            "append_only": True,
            "id_ranges": {"by_count": {"count": 4}},
            "event_date": {"column": "at", "granularity": "month", "start": "2024-01-01"},
        },
    ],
    "projections": [
        {"delta": {"name": "lake", "tables": ["shop.*"], "root": "s3://lake/shop", "refusals": "stop"}},
        {
            "dynamodb": {
                "name": "served",
                "items": [
                    {
                        "table": "shop.public.orders",
                        "into": "orders",
                        "partition_key": {"name": "pk", "template": "order#${id}"},
                    }
                ],
            }
        },
    ],
    "policies": [
        {
            "name": "shop_masks",
            "namespaces": [
                {"name": "email", "normalise": ["trim"]},
                {"name": "id", "low": 1, "high": 999_999},
            ],
            "tables": [
                {
                    "table": "shop.public.customers",
                    "columns": {
                        "id": {
                            "data_class": "pii.identifier",
                            "mask": {"integer_id": "id"},
                            "reviewed": "bigint",
                        },
                        "email": {"data_class": "pii.email", "mask": {"email": {"namespace": "email"}}},
                        "mail2": {"data_class": "pii.email", "mask": "email"},
                        "token": {"data_class": "secret.token", "mask": "set_null"},
                        "plan": "public",
                        "status": {"data_class": "internal", "mask": {"choice": {"values": ["a", "b"]}}},
                        "profile": {
                            "data_class": "pii.json",
                            "mask": {"json_paths": {"paths": {"$.plan": "keep", "$.mail": {"email": None}}}},
                        },
                    },
                    "row_key": ["id"],
                }
            ],
        }
    ],
    "environments": [
        {
            "name": "qa",
            "target": {"postgres": {"host": "qa-db", "database": "shop", "user": "loader"}},
            "mask_key": {"env": "QA_MASK_KEY"},
            "allow": ["public", "internal"],
        },
        {"name": "laptop", "target": {"sqlite": "./copies"}, "mask_key": {"ssm": "/mask/laptop"}},
    ],
    "refreshes": [
        {
            "name": "nightly",
            "environment": "qa",
            "policy": "shop_masks",
            "tables": ["shop.public.customers"],
            "start": {"schedule": {"cron": "0 3 * * *", "timezone": "Europe/Berlin"}},
            "subset": {"begin": {"shop.public.customers": 0.01}},
            "hooks": [{"sql": "ANALYZE"}, {"python": "team.hooks:after"}],
        },
        {
            "name": "once",
            "environment": "laptop",
            "policy": "shop_masks",
            "tables": ["shop.public.customers"],
            "start": "one_time",
        },
    ],
}


def test_yaml_becomes_the_same_catalog_as_python() -> None:
    problems: list[ValueProblem] = []
    found = read(SOUND, Catalog, problems)
    assert problems == []
    assert found.problems() == ()
    assert found.event_store == EventStoreConfig(
        "s3://events/store", {"AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": EnvVar("AWS_SECRET")}
    )
    assert found.sources == (
        PostgresSourceConfig(
            "shop",
            host="db",
            database="shop",
            user="replicator",
            password=SecretsManager("shop/db", field="password"),
            load_wait_seconds=10,
        ),
    )
    assert found.tables == (
        Table("shop.public.customers"),
        Table("shop.public.orders", id_ranges=ByWidth(1000)),
        Table("shop.public.users", id_ranges=ByBounds(("g", "p")), key=("name",)),
        Table(
            source="shop",
            schema="odd.name",
            name="events",
            append_only=True,
            id_ranges=ByCount(4),
            event_date=EventDate("at", "month", dt.date(2024, 1, 1)),
        ),
    )
    assert [type(each) for each in found.projections] == [DeltaProjection, DynamoDbProjection]
    assert found.projections[0].refusals.policy == "stop"


def test_policies_environments_and_refreshes_are_written_in_yaml() -> None:
    found = read(SOUND, Catalog, [])
    columns = {
        "id": ColumnPolicy("pii.identifier", IntegerId("id"), reviewed="bigint"),
        "email": ColumnPolicy("pii.email", masks.Email("email")),
        "mail2": ColumnPolicy("pii.email", masks.Email()),
        "token": ColumnPolicy("secret.token", Null()),
        "plan": ColumnPolicy("public"),
        "status": ColumnPolicy("internal", Choice(("a", "b"))),
        "profile": ColumnPolicy("pii.json", JsonPaths({"$.plan": Keep(), "$.mail": masks.Email()})),
    }
    namespaces = (Namespace("email", normalise=("trim",)), Namespace("id", low=1, high=999_999))
    table = TablePolicy("shop.public.customers", columns=columns, row_key=("id",))
    assert found.policies == (MaskingPolicy("shop_masks", namespaces=namespaces, tables=(table,)),)
    assert (
        found.policies[0].fingerprint
        == MaskingPolicy("shop_masks", namespaces=namespaces, tables=(table,)).fingerprint
    )
    assert found.environments == (
        Environment(
            "qa",
            target=PostgresTarget(host="qa-db", database="shop", user="loader"),
            mask_key=EnvVar("QA_MASK_KEY"),
            allow=("public", "internal"),
        ),
        Environment("laptop", target=SqliteTarget("./copies"), mask_key=SsmParameter("/mask/laptop")),
    )
    assert found.refreshes == (
        EnvironmentRefresh(
            "nightly",
            environment="qa",
            policy="shop_masks",
            tables=("shop.public.customers",),
            start=Schedule("0 3 * * *", timezone="Europe/Berlin"),
            subset=Subset({"shop.public.customers": 0.01}),
            hooks=(SqlHook("ANALYZE"), PythonHook("team.hooks:after")),
        ),
        EnvironmentRefresh(
            "once", environment="laptop", policy="shop_masks", tables=("shop.public.customers",)
        ),
    )


@pytest.mark.parametrize("rule", masking.RULES, ids=lambda rule: rule.__name__)
def test_every_rule_has_a_tag_of_its_own_in_yaml(rule: type) -> None:
    hint = get_type_hints(ColumnPolicy)["mask"]
    given = {
        name: value for name, value in _SMALLEST.items() if name in {f.name for f in dataclasses.fields(rule)}
    }
    required = {
        f.name
        for f in dataclasses.fields(rule)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    problems: list[ValueProblem] = []
    inner = {name: value for name, value in given.items() if name in required}
    found = read({tag_of(rule): inner}, hint, problems)
    assert problems == []
    assert type(found) is rule


_SMALLEST: dict[str, Any] = {
    "value": "x",
    "namespace": "n",
    "part": "city",
    "low": 1,
    "high": 2,
    "pattern": "x",
    "replacement": "y",
    "values": ["a"],
    "function": "a:b",
    "output": ".*",
}


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("event_store", "rot"), "x", "event_store.rot: there is no such key. Fix: did you mean root?"),
        (("sources", 0, "port"), "5432", "sources[0].port: is text. Fix: int"),
        (("sources", 0, "port"), True, "sources[0].port: is true or false. Fix: int"),
        (("sources", 0, "sslmode"), "on", "sources[0].sslmode: is text. Fix: one of 'disable', 'allow'"),
        (("sources", 0, "password"), "hunter2", "sources[0].password: is none of what may stand here"),
        (("sources", 0, "password"), {"envv": "X"}, "{env: ...} or {secrets_manager: ...} or {ssm: ...}"),
        (("sources", 0, "host"), None, "sources[0].host: is empty. Fix: str"),
        (("tables", 1, "id_ranges"), {"by_width": "many"}, "tables[1].id_ranges.by_width: is text. Fix: int"),
        (("tables", 1, "id_ranges"), 5, "{by_width: ...} or {by_count: ...} or {by_bounds: ...}"),
        (("tables", 3, "event_date", "start"), "soon", "tables[3].event_date.start: is text. Fix: date"),
        (("tables",), "shop.*", "tables: is text. Fix: a list of Table"),
        (("projections", 0, "delta", "tables"), "shop.*", "projections[0].delta.tables: is text"),
        (("projections", 1, "dynamodb", "items", 0), {"table": "x"}, "into, partition_key is missing"),
        (
            ("policies", 0, "tables", 0, "columns", "email", "mask"),
            {"emial": {}},
            "policies[0].tables[0].columns.email.mask: is none of what may stand here. Fix: set_null or",
        ),
        (
            ("policies", 0, "tables", 0, "columns", "email", "mask"),
            {"email": {"domian": "x"}},
            "columns.email.mask.email.domian: there is no such key. Fix: did you mean domain?",
        ),
        (("environments", 0, "mask_key"), "hunter2", "environments[0].mask_key: is none of what may stand"),
        (("refreshes", 0, "start"), "nightly", "{schedule: ...} or one_time or after_load"),
        (("watch",), {"notify": [{"email": {"host": "x"}}]}, "watch.notify[0].email: sender, recipients"),
    ],
)
def test_a_mistake_is_told_with_its_path_and_never_its_value(
    path: tuple[str | int, ...], value: object, told: str
) -> None:
    problems: list[ValueProblem] = []
    assert read(_with(SOUND, path, value), Catalog, problems) is WRONG
    (problem,) = problems
    assert told in str(problem)
    assert "hunter2" not in str(problem)


def test_all_mistakes_are_told_at_once() -> None:
    values = _with(_with(SOUND, ("sources", 0, "prot"), 1), ("tables", 1, "key"), "id")
    problems: list[ValueProblem] = []
    read(values, Catalog, problems)
    assert [problem.path for problem in problems] == [("sources", 0, "prot"), ("tables", 1, "key")]


def test_every_declaration_of_a_catalog_has_a_place_in_the_schema_and_a_name_among_its_peers() -> None:
    definitions: dict[str, Any] = {}
    json_schema(Catalog, definitions)
    declared = set(_declarations(Catalog, set()))
    assert {definition_name(each) for each in declared} == definitions.keys()
    assert len(declared) == len(definitions)
    unions = [hint for each in declared for hint in get_type_hints(each).values()]
    for hint in (inner for each in unions for inner in (each, *get_args(each))):
        peers, _ = choices(hint)
        assert len({tag_of(each) for each in peers}) == len(peers)


def test_the_schema_takes_what_is_read_and_names_what_is_not() -> None:
    definitions: dict[str, Any] = {}
    schema = {**json_schema(Catalog, definitions), "$defs": definitions}
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(SOUND)) == []
    templated = _with(SOUND, ("sources", 0, "port"), "{{ env.PORT }}")
    assert list(validator.iter_errors(templated)) == []
    wrong = _with(_with(SOUND, ("sources", 0, "prot"), 1), ("tables", 1, "id_ranges"), {"by_wdth": 1})
    paths = [list(error.absolute_path) for error in validator.iter_errors(wrong)]
    assert paths == [["sources", 0], ["tables", 1, "id_ranges"]]
    literal = _with(SOUND, ("sources", 0, "password"), "hunter2")
    assert [error.message for error in validator.iter_errors(literal)] == [], "it would be quoted"


def _with(values: Any, path: tuple[str | int, ...], value: object) -> Any:
    if not path:
        return value
    head, *rest = path
    if isinstance(values, list):
        return [_with(each, tuple(rest), value) if at == head else each for at, each in enumerate(values)]
    return {**values, head: _with(values.get(head, {}), tuple(rest), value)}


def _declarations(declared: type, seen: set[type]) -> set[type]:
    if declared not in seen:
        seen.add(declared)
        for hint in get_type_hints(declared).values():
            for part in _parts(hint):
                _declarations(part, seen)
    return seen


def _parts(hint: Any) -> list[type]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return [hint]
    return [part for each in get_args(hint) for part in _parts(each)]


@pytest.mark.parametrize(
    ("problem", "place"),
    [
        ("policy shop_masks: table shop.public.customers: k_min is of no columns", ("policies", 0)),
        ("environment laptop: mask_key names no environment variable", ("environments", 1, "mask_key")),
        ("refresh nightly: table 'shop.public.customers' is not in", ("refreshes", 0, "tables", 0)),
        ("refreshes: 2 are called 'once'", ("refreshes", 1, "name")),
    ],
)
def test_what_is_told_of_a_refresh_has_its_place_in_the_file(problem: str, place: tuple[Any, ...]) -> None:
    assert path_of(SOUND, problem)[: len(place)] == place
