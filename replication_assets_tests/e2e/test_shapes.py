"""Shapes through the whole system: filters, renames and computed columns, under changes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from replication_assets.catalog import (
    ByWidth,
    Compare,
    Computed,
    DeltaProjection,
    DynamoDbProjection,
    EnvVar,
    ItemKey,
    Items,
    Shape,
    Table,
    Where,
)
from replication_assets.core.schema import TableId
from replication_assets.errors import TargetError
from replication_assets.flows.dead_letters import retry
from replication_assets.flows.project import project_range
from replication_assets.flows.query import answered, relations
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import handling_of
from replication_assets.flows.validation.repair import repair_projection
from replication_assets.flows.validation.validate import validate_projection
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.postgres_servers import FreshDatabase

STAFF = TableId(SOURCE, "public", "staff")
SCHEMA = """
CREATE TABLE staff (id bigint PRIMARY KEY, first_name text, last_name text, dept text, bio text);
ALTER TABLE staff ALTER bio SET STORAGE EXTERNAL;
INSERT INTO staff SELECT g, 'f' || g, 'l' || g, CASE g % 2 WHEN 0 THEN 'tech' ELSE 'hr' END,
    repeat('b', 3000) FROM generate_series(1, 40) g
"""
TRAFFIC = (
    # Out of the filter, into it, within it, and rows that never were in it.
    "UPDATE staff SET dept = 'hr' WHERE id IN (2, 4)",
    "UPDATE staff SET dept = 'tech' WHERE id IN (1, 3)",
    "UPDATE staff SET last_name = 'new' WHERE id < 10",
    "DELETE FROM staff WHERE id IN (11, 12)",
    "UPDATE staff SET id = id + 100 WHERE id IN (13, 14)",
    "INSERT INTO staff VALUES (50, 'a', 'b', 'tech', ''), (51, 'c', 'd', NULL, '')",
    "UPDATE staff SET dept = 'hr' WHERE id = 2",
)
SHAPE = Shape(
    str(STAFF),
    where=[Where("dept", [Compare("eq", ["tech"])])],
    exclude=["bio", "first_name"],
    rename={"last_name": "surname"},
    computed=[Computed("full_name", "$first_name||' '||$last_name", "string(50)")],
)


@pytest.fixture
def system(database: FreshDatabase, tmp_path: Path) -> Iterator[System]:
    lake = system_of(database, tmp_path, (Table(str(STAFF), id_ranges=ByWidth(20)),))
    projection = DeltaProjection("lake", tables=[str(STAFF)], root=str(tmp_path / "lake2"), shapes=[SHAPE])
    served = System(dataclasses.replace(lake.catalog, projections=(projection,)).validate(), database.dsn)
    served.execute(*SCHEMA.split(";\n"))
    yield served
    served.source.teardown()


def held(system: System) -> set[tuple[Any, ...]]:
    rows: set[tuple[Any, ...]] = set()
    for batch in system.target(STAFF).read():
        names = [name for name in batch.schema.names if not name.startswith("_")]
        assert names == ["id", "surname", "dept", "full_name"]
        found = list(zip(*(batch.column(name).to_pylist() for name in names), strict=True))
        assert not rows & set(found)
        rows |= set(found)
    return rows


def expected(system: System) -> set[tuple[Any, ...]]:
    query = "SELECT id, last_name, dept, first_name || ' ' || last_name FROM staff WHERE dept = 'tech'"
    with system.sql() as session:
        return set(session.execute(query).fetchall())


def test_rows_that_an_update_moves_out_of_a_filter_leave_and_those_moved_in_come(system: System) -> None:
    system.prepare()
    system.load_all()
    system.capture()
    assert {each.how for each in system.project()} == {"replaced"}
    assert held(system) == expected(system)
    for statement in TRAFFIC:
        system.execute(statement)
        system.capture()
        system.project()
        assert held(system) == expected(system), statement
    found = validate_projection(system.store, system.target(STAFF), STAFF, projection="lake")
    assert not found.wrong
    assert not repair_projection(system.store, system.target(STAFF), STAFF, projection="lake").after.wrong


def test_changes_of_one_transaction_and_filled_anew_are_the_same(system: System) -> None:
    system.prepare()
    system.load_all()
    system.project()
    system.execute(*TRAFFIC)
    system.capture()
    assert "applied" in {each.how for each in system.project()}
    assert held(system) == expected(system)


def test_rows_written_under_another_filter_are_replaced(system: System) -> None:
    system.prepare()
    system.load_all()
    system.capture()
    system.project()
    (projection,) = system.catalog.projections
    other = dataclasses.replace(SHAPE, where=[Where("id", [Compare("between", ["5", "9"])])])
    changed = dataclasses.replace(projection, shapes=[other])
    system = System(dataclasses.replace(system.catalog, projections=(changed,)), system.dsn)
    assert {each.how for each in system.project()} == {"replaced"}
    assert {row[0] for row in held(system)} == {5, 6, 7, 8, 9}


TYPED = Shape(
    str(STAFF),
    exclude=["bio", "first_name"],
    rename={"id": "number"},
    computed=[Computed("initial", "$first_name", "string(3)")],
    types={"id": "numeric(10)", "dept": "string(4)"},
)


def project(system: System) -> set[str]:
    """With dead letters."""
    projection, snapshot = system.catalog.projections[0], system.store.log(STAFF).snapshot()
    handling = handling_of(system.store, projection, STAFF)
    assert handling is not None
    return {
        project_range(snapshot, STAFF, system.target(STAFF), each, handling=handling).how
        for each in ranges_of(snapshot)
    }


def held_numbers(system: System) -> dict[int, tuple[Any, ...]]:
    found = pa.Table.from_batches(system.target(STAFF).read())
    assert str(found.schema.field("number").type) == "decimal128(10, 0)"
    names = ("dept", "initial", "last_name")
    return {int(row["number"]): tuple(row[name] for name in names) for row in found.to_pylist()}


def test_rows_that_do_not_have_the_types_of_a_shape_are_dead_letters_until_they_do(system: System) -> None:
    (projection,) = system.catalog.projections
    typed = dataclasses.replace(projection, shapes=[TYPED])
    system = System(dataclasses.replace(system.catalog, projections=(typed,)).validate(), system.dsn)
    letters = system.store.dead_letters("lake", STAFF)

    def is_right(refused: set[int]) -> None:
        assert {json.loads(each.refusal.key)["id"] for each in letters.open()} == set(map(str, refused))
        with system.sql() as session:
            rows = session.execute("SELECT id, dept, first_name, last_name FROM staff").fetchall()
        assert held_numbers(system) == {row[0]: row[1:] for row in rows if row[0] not in refused}
        assert not validate_projection(system.store, system.target(STAFF), STAFF, projection="lake").wrong

    system.execute("UPDATE staff SET dept = 'management' WHERE id = 7")
    system.prepare()
    system.load_all()
    assert project(system) == {"replaced"}
    is_right({7})
    # A row that was there and does not fit any more goes; one that is deleted or mended is no letter.
    system.execute(
        "UPDATE staff SET first_name = 'long' WHERE id IN (8, 9)", "DELETE FROM staff WHERE id = 7"
    )
    system.capture()
    assert "applied" in project(system)
    is_right({8, 9})
    system.execute(
        "UPDATE staff SET first_name = 'f' WHERE id = 8", "INSERT INTO staff VALUES (60, 'g', 'h', 'hr')"
    )
    system.capture()
    project(system)
    is_right({9})
    # A type that holds it is another shape: everything is made again.
    wider = dataclasses.replace(TYPED, computed=[Computed("initial", "$first_name", "string(4)")])
    changed = dataclasses.replace(typed, shapes=[wider])
    system = System(dataclasses.replace(system.catalog, projections=(changed,)), system.dsn)
    assert project(system) == {"replaced"}
    is_right(set())


def test_a_refused_row_is_tried_again(system: System) -> None:
    (projection,) = system.catalog.projections
    typed = dataclasses.replace(projection, shapes=[TYPED])
    system = System(dataclasses.replace(system.catalog, projections=(typed,)).validate(), system.dsn)
    system.execute("UPDATE staff SET dept = 'management' WHERE id IN (7, 8)")
    system.prepare()
    system.load_all()
    project(system)
    handling = handling_of(system.store, typed, STAFF)
    assert handling is not None
    system.execute("UPDATE staff SET dept = 'mgmt' WHERE id = 7")
    system.capture()
    receipt = retry(system.store, system.target(STAFF), handling, STAFF)
    assert (receipt.applied + receipt.superseded, receipt.refused) == (1, 1)
    assert held_numbers(system)[7][0] == "mgmt"
    assert 8 not in held_numbers(system)


def renamed(system: System, **names: str) -> System:
    (projection,) = system.catalog.projections
    shape = Shape(str(STAFF), **names)  # type: ignore[arg-type]
    changed = dataclasses.replace(projection, shapes=[shape])
    return System(dataclasses.replace(system.catalog, projections=(changed,)).validate(), system.dsn)


def test_a_renamed_table_is_filled_followed_validated_asked_and_tidied(
    system: System, tmp_path: Path
) -> None:
    system = renamed(system, schema="hr", name="people")
    system.prepare()
    system.load_all()
    system.capture()
    system.project()
    for statement in TRAFFIC:
        system.execute(statement)
    system.capture()
    assert "applied" in {each.how for each in system.project()}
    there = DeltaTable(str(tmp_path / "lake2" / SOURCE / "hr.people"))
    with system.sql() as session:
        wanted = session.execute("SELECT id, dept FROM staff ORDER BY id").fetchall()
    with answered("SELECT id, dept FROM lake.people ORDER BY id", relations(system.replication)) as answer:
        assert [tuple(row.values()) for row in answer.reader().read_all().to_pylist()] == wanted
    assert there.to_pyarrow_dataset().count_rows() == len(wanted)
    assert [each.name for each in (tmp_path / "lake2" / SOURCE).iterdir()] == ["hr.people"]
    target = system.target(STAFF)
    assert not validate_projection(system.store, target, STAFF, projection="lake").wrong
    assert list(target.tidy(dt.timedelta(0)))
    target.reset(system.table("staff").schema)
    assert {each.how for each in system.project()} == {"replaced"}


def test_the_folder_of_another_table_is_left_alone(system: System, tmp_path: Path) -> None:
    system = renamed(system, name="people")
    system.prepare()
    system.load_all()
    system.project()
    folder = tmp_path / "lake2" / SOURCE
    (folder / "public.people").rename(folder / "public.everybody")
    before = DeltaTable(str(folder / "public.everybody")).version()
    system.execute("CREATE TABLE managers (id bigint PRIMARY KEY)", "INSERT INTO managers VALUES (1)")
    managers = TableId(SOURCE, "public", "managers")
    (projection,) = system.catalog.projections
    taking = dataclasses.replace(
        projection, tables=[str(managers)], shapes=[Shape(str(managers), name="everybody")]
    )
    catalog = dataclasses.replace(system.catalog, tables=(Table(str(managers)),), projections=(taking,))
    taken = System(catalog.validate(), system.dsn)
    target = taken.target(managers)
    taken.prepare()
    taken.load_all()
    with pytest.raises(TargetError, match=f"the table that stands there is of {STAFF}"):
        taken.project()
    for act in (lambda: target.reset(taken.table("managers").schema), lambda: list(target.read())):
        with pytest.raises(TargetError, match="move its folder away"):
            act()
    assert list(target.tidy(dt.timedelta(0))) == []
    assert DeltaTable(str(folder / "public.everybody")).version() == before


def test_items_have_the_shape_of_their_table(
    system: System, dynamodb: DynamoDbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_AWS_KEY", dynamodb.access_key)
    monkeypatch.setenv("TEST_AWS_SECRET", dynamodb.secret_key)
    into = fresh_table_name()
    serving = DynamoDbProjection(
        "serving",
        items=[Items(str(STAFF), into, partition_key=ItemKey("pk", "${dept}#${full_name}"))],
        region=dynamodb.region,
        endpoint_url=dynamodb.endpoint_url,
        access_key_id=EnvVar("TEST_AWS_KEY"),
        secret_access_key=EnvVar("TEST_AWS_SECRET"),
        control_table=fresh_table_name(),
        shapes=[SHAPE],
    )
    system = System(dataclasses.replace(system.catalog, projections=(serving,)).validate(), system.dsn)

    def keys() -> set[str]:
        return {item["pk"]["S"] for item in items_of(dynamodb, into) if "_deleted" not in item}

    system.prepare()
    system.load_all()
    system.capture()
    system.project()
    assert keys() == {f"tech#{row[3]}" for row in expected(system)}
    for statement in TRAFFIC:
        system.execute(statement)
        system.capture()
        system.project()
        assert keys() == {f"tech#{row[3]}" for row in expected(system)}, statement
    assert not validate_projection(system.store, system.target(STAFF), STAFF, projection="serving").wrong
