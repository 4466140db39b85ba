"""Every declaration can be written in YAML; every mistake in it is told with its path, never its value."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest

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
    Table,
)
from replication_assets.components.declared_values import WRONG, ValueProblem, choices, read, tag_of
from replication_assets.components.json_schema import json_schema

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
    assert {each.__name__ for each in declared} == definitions.keys()
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
