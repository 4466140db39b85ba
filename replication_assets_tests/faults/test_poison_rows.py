"""Rows that a target cannot take, from the source's SQL to its dead letters: each is kept aside with
its reason, the others flow, nothing goes missing, and a mended row comes back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import psycopg
import pytest

from replication_assets.catalog import ByCount, DynamoDbProjection, EnvVar, ItemKey, Items, Table
from replication_assets.core.schema import TableId
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import handling_of
from replication_assets.flows.validation.validate import validate_projection
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

DOCS = TableId(SOURCE, "public", "docs")
SCHEMA = """CREATE TABLE docs (id int PRIMARY KEY, name text, amount numeric, ratio float8, doc json,
    page text, seen date, tags text[], flag text, body text)"""
GOOD: dict[str, str] = {
    "name": "'n' || {id}", "amount": "1.5", "ratio": "0.25", "doc": "'{{\"a\":1}}'", "page": "'<a/>'",
    "seen": "'2026-03-01'", "tags": "'{{x}}'", "flag": "'t'", "body": "'short'",
}  # fmt: skip

POISON: dict[str, tuple[str, str, str | None]] = {
    "no key": ("name", "NULL", "key-is-null"),
    "empty key": ("name", "''", "key-is-empty"),
    "long key": ("name", "repeat('k', 2100)", "key-too-long"),
    "decimal NaN": ("amount", "'NaN'", "not-finite"),
    "decimal infinity": ("amount", "'-Infinity'", "not-finite"),
    "many digits": ("amount", "1.00000000000000000000000000000000000000000001", "number-too-precise"),
    "huge": ("amount", "1e200", "number-out-of-range"),
    "float NaN": ("ratio", "'NaN'", "not-finite"),
    "float infinity": ("ratio", "'Infinity'", "not-finite"),
    "name twice": ("doc", '\'{{"a":1,"a":2}}\'', "duplicate-name"),
    "deep": ("doc", "(repeat('[', 40) || repeat(']', 40))::json", "too-deep"),
    "no xml": ("page", "'<a>'", "malformed-xml"),
    "entities": ("page", "'<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>'", "xml-entities"),
    "null in a set": ("tags", "'{{x,NULL}}'", "null-in-set"),
    "no boolean": ("flag", "'maybe'", "not-a-boolean"),
    "over 400 KB": ("body", "repeat('b', 420000)", "item-too-large"),
    "a megabyte": ("body", "repeat('ü', 524288)", "item-too-large"),
    # Odd, and no poison.
    "before Christ": ("seen", "'0044-03-15 BC'", None),
    "infinite date": ("seen", "'infinity'", None),
    "far future": ("seen", "'294276-12-31'", None),
    "escaped NUL": ("doc", '\'{{"a":"\\u0000"}}\'', None),
    "just under 400 KB": ("body", "repeat('b', 400000)", None),
    "controls": ("body", "E'\\x01\\x1f\\x7f\\u2028'", None),
}
WHOLE_ROW = ("key-", "item-too-large")


@pytest.fixture
def system(
    database: FreshDatabase, tmp_path: Path, moto_dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch
) -> System:
    monkeypatch.setenv("TEST_AWS_KEY", moto_dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", moto_dynamodb.secret_key)
    items = Items(
        str(DOCS),
        fresh_table_name(),
        partition_key=ItemKey("pk", "${name}"),
        types={"page": "xml", "tags": "string-set", "flag": "boolean"},
        nan="dead-letter",
    )
    projection = DynamoDbProjection(
        "serving",
        items=(items,),
        region=moto_dynamodb.region,
        endpoint_url=moto_dynamodb.endpoint_url,
        access_key_id=EnvVar("TEST_AWS_KEY"),
        secret_access_key=EnvVar("TEST_AWS_SECRET"),
        control_table=fresh_table_name(),
    )
    made = system_of(database, tmp_path, [Table(str(DOCS), id_ranges=ByCount(1))])
    made = dataclasses.replace(
        made, catalog=dataclasses.replace(made.catalog, projections=(projection,)).validate()
    )
    made.execute(SCHEMA)
    made.prepare()
    return made


def insert(system: System, first: int) -> dict[int, tuple[str, str | None]]:
    """A good row before each odd one; the odd ones' columns and reasons by id."""
    wanted = {}
    for place, (column, value, code) in enumerate(POISON.values()):
        key = first + 2 * place
        wanted[key + 1] = (column, code)
        for each, odd in ((key, {}), (key + 1, {column: value})):
            row = {name: text.format(id=each) for name, text in {**GOOD, **odd}.items()}
            system.execute(
                f"INSERT INTO docs (id, {', '.join(row)}) VALUES ({each}, {', '.join(row.values())})"
            )
    return wanted


def project(system: System) -> None:
    handling = handling_of(system.store, system.catalog.projections[0], DOCS)
    snapshot = system.store.log(DOCS).snapshot()
    for id_range in ranges_of(snapshot):
        project_range(snapshot, DOCS, system.target(DOCS), id_range, handling=handling)


def letters(system: System) -> dict[int, tuple[str | None, str]]:
    handling = handling_of(system.store, system.catalog.projections[0], DOCS)
    assert handling is not None
    refusals = [each.refusal for each in handling.letters.open()]
    return {int(json.loads(each.key)["id"]): (each.column, each.reason) for each in refusals}


def served(system: System, server: DynamoDbServer) -> dict[int, set[str]]:
    """Attributes of the items by the rows' ids."""
    (projection,) = system.catalog.projections
    assert isinstance(projection, DynamoDbProjection)
    found = items_of(server, projection.items[0].into)
    return {int(item["id"]["N"]): set(item) for item in found if "_deleted" not in item}


@pytest.mark.parametrize("way", [pytest.param("load", marks=pytest.mark.full), "capture"])
def test_poison_is_kept_aside_with_its_reason_and_the_rest_flows(
    system: System, moto_dynamodb: DynamoDbServer, way: str
) -> None:
    if way == "load":
        wanted = insert(system, 1)
        system.load_all()
    else:
        system.load_all()
        project(system)
        wanted = insert(system, 1)
    system.capture()
    project(system)

    refused = {key: code for key, (_, code) in wanted.items() if code is not None}
    found = letters(system)
    assert {key: reason for key, (_, reason) in found.items()} == refused
    whole = {key for key, code in refused.items() if code.startswith(WHOLE_ROW)}
    items = served(system, moto_dynamodb)
    with system.sql() as session:
        everything = {key for (key,) in session.execute("SELECT id FROM docs").fetchall()}
    assert items.keys() == everything - whole
    for key, (column, code) in wanted.items():
        if key not in whole:
            assert (column in items[key]) == (code is None), (key, column)
    assert not validate_projection(system.store, system.target(DOCS), DOCS, projection="serving").wrong

    for key in refused:
        row = {name: text.format(id=key) for name, text in GOOD.items()}
        system.execute(f"UPDATE docs SET ({', '.join(row)}) = ({', '.join(row.values())}) WHERE id = {key}")
    system.capture()
    project(system)
    assert letters(system) == {}
    assert served(system, moto_dynamodb).keys() == everything


def test_text_with_a_nul_never_gets_into_the_source(system: System) -> None:
    for value in ("chr(0)", "E'a\\x00'", "'\"\\u0000\"'::jsonb::text"):
        with pytest.raises(psycopg.Error), system.sql() as session:
            session.execute(f"INSERT INTO docs (id, body) VALUES (1, {value})".encode())
