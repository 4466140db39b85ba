"""PostgreSQL to tables of each engine: what is loaded, changed, drifts and is edited equals the source."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from replication_assets.catalog import (
    ByCount,
    ByWidth,
    Compare,
    Computed,
    MySqlTarget,
    PostgresTarget,
    Refusals,
    Shape,
    SqliteTarget,
    SqlProjection,
    Table,
    Where,
)
from replication_assets.core.schema import TableId
from replication_assets.declarations import DatabaseTarget
from replication_assets.defs import naming
from replication_assets.defs.build import build_definitions
from replication_assets.defs.checks import MATCHES_EVENT_STORE
from replication_assets.errors import NotLoaded, TargetError
from replication_assets.flows.dead_letters import retry
from replication_assets.flows.project import project_range
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import handling_of
from replication_assets.flows.validation.repair import repair_projection
from replication_assets.flows.validation.validate import validate_projection
from replication_assets.targets.sql.projection import SqlTarget
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.e2e.test_types_through import exact
from replication_assets_tests.mysql_servers import MariaDbServer, fresh_prefix
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database
from replication_assets_tests.sources.postgres.test_types import TYPES, VALUES
from replication_assets_tests.targets.sql.projection.places import (
    MariaDbPlace,
    PostgresPlace,
    SqlitePlace,
    SqlPlace,
)

T = TableId(SOURCE, "public", "t")
CHILD = TableId(SOURCE, "public", "child")
BAG = TableId(SOURCE, "public", "bag")
SCHEMA = (
    "CREATE TABLE t (id bigint PRIMARY KEY, v int DEFAULT 7, email text UNIQUE, big text, at timestamptz)",
    "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
    "CREATE INDEX t_v ON t (v)",
    "CREATE TABLE child (id bigint PRIMARY KEY, t_id bigint NOT NULL REFERENCES t, note varchar(20))",
    "CREATE TABLE bag (name text, ratio float8)",
    "ALTER TABLE bag REPLICA IDENTITY FULL",
    "INSERT INTO t SELECT g, g, 'p' || g, repeat('B', 3000), '2026-03-01Z' FROM generate_series(1, 120) g",
    "INSERT INTO child SELECT g, g, 'c' || g FROM generate_series(1, 60) g",
    "INSERT INTO bag SELECT 'b' || g % 5, g % 3 FROM generate_series(1, 40) g",
)
CHILDREN = [Where("id", [Compare("between", ["10", "600"])])]
TRAFFIC = (
    "UPDATE t SET v = v + 1 WHERE id % 3 = 0",
    "DELETE FROM child WHERE id > 50",
    "DELETE FROM t WHERE id > 110",
    # Unique values are exchanged, and rows move to other id ranges with theirs.
    "UPDATE t SET email = NULL WHERE id = 1",
    "UPDATE t SET email = 'p1' WHERE id = 2",
    "UPDATE t SET email = 'p2' WHERE id = 1",
    "UPDATE t SET id = id + 1000 WHERE id BETWEEN 70 AND 80",
    "INSERT INTO t SELECT g, g, 'n' || g, NULL, NULL FROM generate_series(201, 210) g",
    "INSERT INTO child VALUES (500, 205, 'late')",
    "DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag WHERE name = 'b1' LIMIT 3)",
    "INSERT INTO bag VALUES ('b1', 'NaN'), (NULL, '-0'), (NULL, NULL), (NULL, NULL)",
)


ENGINES = ("sqlite", "postgresql", "mariadb")


def on(*quick: str) -> pytest.MarkDecorator:
    """On these engines always, on the others in the long form."""
    listed = [pytest.param(each, marks=() if each in quick else pytest.mark.full) for each in ENGINES]
    return pytest.mark.parametrize("engine", listed, indirect=True)


@dataclasses.dataclass
class Engine:
    """Where a projection goes, and how to get around it."""

    name: str
    target: DatabaseTarget
    place: Callable[[TableId], SqlPlace]


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        folder = tmp_path / "copies"
        yield Engine("sqlite", SqliteTarget(str(folder)), lambda t: SqlitePlace(folder, t))
    elif request.param == "postgresql":
        server = request.getfixturevalue("postgres_18")
        with fresh_database(server) as fresh:
            target = PostgresTarget(
                host="127.0.0.1", database=fresh.name, user="postgres", port=server.port, sslmode="disable"
            )
            yield Engine("postgresql", target, lambda t: PostgresPlace(fresh, t))
    else:
        mariadb: MariaDbServer = request.getfixturevalue("mariadb")
        with fresh_prefix(mariadb) as prefix:
            login = MySqlTarget(host=mariadb.host, user=mariadb.user, port=mariadb.port, prefix=prefix.prefix)
            yield Engine("mariadb", login, lambda t: MariaDbPlace(prefix, t))


def into(engine: Engine, lake: System, **options: Any) -> System:
    projection = SqlProjection("copy", tables=[f"{SOURCE}.*"], target=engine.target, **options)
    return System(dataclasses.replace(lake.catalog, projections=(projection,)).validate(), lake.dsn)


@pytest.fixture
def system(engine: Engine, database: FreshDatabase, tmp_path: Path) -> Iterator[System]:
    tables = [
        Table(str(T), id_ranges=ByWidth(50)),
        Table(str(CHILD), id_ranges=ByCount(1)),
        Table(str(BAG), id_ranges=ByCount(1)),
    ]
    made = into(engine, system_of(database, tmp_path, tables))
    made.execute(*SCHEMA)
    made.prepare()
    made.load_all()
    made.capture()
    made.project()
    yield made
    made.source.teardown()


def sql_target(system: System, table: TableId = T) -> SqlTarget:
    found = system.target(table)
    assert isinstance(found, SqlTarget)
    return found


def repaired(system: System, table: TableId = T) -> Any:
    return repair_projection(system.store, system.target(table), table, projection="copy")


def validated(system: System, table: TableId = T) -> Any:
    return validate_projection(system.store, system.target(table), table, projection="copy")


@on(*ENGINES)
def test_what_is_loaded_and_changed_at_the_source_is_in_the_tables(system: System) -> None:
    system.execute(*TRAFFIC)
    system.capture()
    receipts = system.project()
    assert {each.how for each in receipts} >= {"applied"}
    for table in (T, CHILD):
        system.check_table(system.table(table.name))
    # Its odd values need an oracle of their own.
    system.check_table(system.table("bag"), independently=False)
    assert {each.how for each in system.project()} == {"unchanged"}


REFERENCES = {
    "sqlite": 'SELECT "from", "to" FROM pragma_foreign_key_list(\'child\')',
    "postgresql": "SELECT 't_id', 'id' FROM pg_constraint WHERE contype = 'f' AND NOT conenforced",
    "mariadb": "SELECT column_name, referenced_column_name FROM information_schema.key_column_usage"
    " WHERE referenced_table_name = 't' AND table_schema = '{schema}'",
}


@on(*ENGINES)
def test_keys_indexes_defaults_and_references_are_carried_and_what_is_not_is_listed(
    system: System, engine: Engine
) -> None:
    list(sql_target(system, CHILD).tidy(dt.timedelta(0)))
    lines, of_child = sql_target(system).not_carried(), sql_target(system, CHILD).not_carried()
    assert any("key t_email_key is an index that refuses no duplicates" in line for line in lines)
    assert not any("index t_v" in line or "column v has no default" in line for line in lines)
    assert any("column t_id may be null" in line for line in of_child)
    assert not any("foreign key" in line for line in of_child)
    place, child = engine.place(T), engine.place(CHILD)
    place.run(f"INSERT INTO {place.name} (id) VALUES (9000)")
    assert place.run(f"SELECT v FROM {place.name} WHERE id = 9000") == [(7,)]
    schema = child.name.split(".")[0].strip("`")
    assert child.run(REFERENCES[engine.name].format(schema=schema)) == [("t_id", "id")]


@on("sqlite")
def test_tables_stand_where_their_shapes_say_and_refer_to_each_other(system: System, engine: Engine) -> None:
    shapes = [Shape(str(T), name="facts"), Shape(str(CHILD), name="t", where=CHILDREN)]
    named = into(engine, system, shapes=shapes)
    # A table of the projection stands where another one of it is to be: it is refused, not written over.
    with pytest.raises(TargetError, match=f"a table of {T}, of somebody else's catalog has this name"):
        named.project(named.table("child"))
    moved = into(engine, system, into="elsewhere", shapes=shapes)
    assert {each.how for each in moved.project()} == {"replaced"}
    moved.execute(*TRAFFIC)
    moved.capture()
    moved.project()
    facts = engine.place(dataclasses.replace(T, schema="elsewhere", name="facts"))
    child = engine.place(dataclasses.replace(T, schema="elsewhere", name="t"))
    for place, wanted in ((facts, "t ORDER BY id"), (child, "child WHERE id BETWEEN 10 AND 600 ORDER BY id")):
        with moved.sql() as session:
            there = session.execute(f"SELECT id FROM {wanted}".encode()).fetchall()
        assert place.run(f"SELECT id FROM {place.name} ORDER BY id") == there
    list(moved.target(CHILD).tidy(dt.timedelta(0)))
    moved = into(
        engine, system, into="elsewhere", shapes=[Shape(str(T), name="facts"), Shape(str(CHILD), name="t")]
    )
    assert not any("foreign key" in line for line in sql_target(moved, CHILD).not_carried())
    moved = into(engine, system, into="elsewhere", shapes=shapes)
    for table in (T, CHILD):
        assert not validated(moved, table).wrong
    moved.target(T).reset(moved.live(T))
    assert place_rows(facts) == 0
    moved.project()
    assert place_rows(facts) > 100


SHAPED_REFERENCES = {
    **REFERENCES,
    "postgresql": "SELECT a.attname, b.attname FROM pg_constraint c"
    " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
    " JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1]"
    " WHERE c.contype = 'f' AND NOT c.conenforced AND c.connamespace = 'shaped'::regnamespace",
}
SHAPED = (
    Shape(str(T), rename={"id": "number", "email": "mail"}, exclude=["big"], types={"v": "string(3)"}),
    Shape(
        str(CHILD),
        rename={"t_id": "parent"},
        computed=[Computed("label", "$id||'-'||$note", "string(30)")],
        types={"note": "string(4)"},
    ),
)


@on("sqlite")
def test_columns_are_those_of_a_shape_with_their_keys_indexes_and_references(
    system: System, engine: Engine
) -> None:
    shaped = into(engine, system, into="shaped", shapes=SHAPED)
    shaped.project()
    shaped.execute("UPDATE t SET v = 8 WHERE id % 3 = 0", *TRAFFIC[1:])
    shaped.capture()
    shaped.project()
    facts, child = (engine.place(dataclasses.replace(each, schema="shaped")) for each in (T, CHILD))
    with shaped.sql() as session:
        rows = session.execute("SELECT id, v::text, email FROM t ORDER BY id").fetchall()
        children = session.execute("SELECT id, t_id, id||'-'||note FROM child ORDER BY id").fetchall()
    assert facts.run(f"SELECT number, v, mail FROM {facts.name} ORDER BY number") == rows
    assert child.run(f"SELECT id, parent, label FROM {child.name} ORDER BY id") == children
    for table in (T, CHILD):
        assert not validated(shaped, table).wrong
    list(shaped.target(CHILD).tidy(dt.timedelta(0)))
    schema = child.name.split(".")[0].strip("`")
    assert child.run(SHAPED_REFERENCES[engine.name].format(schema=schema)) == [("parent", "number")]


def place_rows(place: SqlPlace) -> int:
    ((rows,),) = place.run(f"SELECT count(*) FROM {place.name}")
    return int(rows)


@on("mariadb")
def test_columns_that_come_and_go_are_followed_and_a_retyped_one_waits_for_a_reset(system: System) -> None:
    system.execute("ALTER TABLE t ADD new text", "UPDATE t SET new = 'n' WHERE id < 10")
    system.capture()
    system.project()
    system.execute("ALTER TABLE t DROP email", "UPDATE t SET new = 'm' WHERE id < 5")
    system.capture()
    system.project()
    system.check_table(system.table("t"))
    system.execute("ALTER TABLE t ALTER v TYPE text", "UPDATE t SET v = 'x' WHERE id < 5")
    system.capture()
    with pytest.raises(NotLoaded):
        system.project()
    system.load_all()
    with pytest.raises(TargetError, match="changed their type"):
        system.project()
    system.target(T).reset(system.live(T))
    system.project()
    system.check_table(system.table("t"))


@on("postgresql")
def test_what_others_do_to_the_tables_is_noticed_and_mended(system: System, engine: Engine) -> None:
    place, bag = engine.place(T), engine.place(BAG)
    place.run(f"UPDATE {place.name} SET v = -1 WHERE id = 60")
    place.run(f"DELETE FROM {place.name} WHERE id = 61")
    assert system.target(T).checkpoint("r000000") is not None
    assert system.target(T).checkpoint("r000001") is None
    assert {each.id_range for each in validated(system).wrong} == {"r000001"}
    assert repaired(system).done
    place.run(f"INSERT INTO {place.name} (id, v) VALUES (90210, 1)")
    assert validated(system).wrong
    bag.run(f"DROP TABLE {bag.name}")
    assert system.target(BAG).checkpoint("r000000") is None
    system.project()
    system.check_table(system.table("t"))
    system.check_table(system.table("bag"))


@on("mariadb")
def test_every_type_and_odd_value_reaches_the_tables_as_documented(
    engine: Engine, database: FreshDatabase, tmp_path: Path
) -> None:
    everything = TableId(SOURCE, "public", "everything")
    system = into(engine, system_of(database, tmp_path, [Table(str(everything), id_ranges=ByCount(2))]))
    declared = ", ".join(f"c{i} {kind}" for i, (kind, *_) in enumerate(VALUES))
    system.execute(
        *TYPES.strip().split("\n"), f"CREATE TABLE everything (id int PRIMARY KEY, n int, {declared})"
    )
    system.prepare()
    literals = ", ".join(f"{literal}::{kind}" for kind, literal, *_ in VALUES)
    system.execute(f"INSERT INTO everything VALUES (1, 0, {literals})", "INSERT INTO everything VALUES (2)")
    system.load_all()
    system.capture()
    system.project()
    system.execute(f"INSERT INTO everything VALUES (11, 0, {literals})", "UPDATE everything SET n = 1")
    system.capture()
    assert "applied" in {each.how for each in system.project()}
    system.check_table(system.table("everything"), independently=False)
    rows = {row["id"]: row for batch in system.target(everything).read() for row in batch.to_pylist()}
    for key in (1, 11):
        odd = json.loads(rows[key]["_overflow"] or "{}")
        for number, (kind, literal, value, text) in enumerate(VALUES):
            found = rows[key][f"c{number}"]
            assert (exact(found), odd.get(f"c{number}")) == (exact(value), text), (kind, literal)
    system.source.teardown()


@on("mariadb")
def test_rows_that_an_engine_cannot_have_become_dead_letters(
    engine: Engine, database: FreshDatabase, tmp_path: Path
) -> None:
    words = TableId(SOURCE, "public", "words")
    lake = system_of(database, tmp_path, [Table(str(words), id_ranges=ByCount(1))])
    system = into(engine, lake, refusals=Refusals(policy="dead-letter"))
    (projection,) = system.catalog.projections
    system.execute(
        "CREATE TABLE words (word text PRIMARY KEY, n int)",
        "INSERT INTO words SELECT CASE g WHEN 2 THEN repeat('ab', 1400) ELSE 'w' || g END, g"
        " FROM generate_series(1, 5) g",
    )
    system.prepare()
    system.load_all()
    system.capture()
    handling = handling_of(system.store, projection, words)
    assert handling is not None

    def projected() -> None:
        snapshot = system.store.log(words).snapshot()
        for id_range in ranges_of(snapshot):
            project_range(snapshot, words, system.target(words), id_range, handling=handling)

    projected()
    # No engine but SQLite has an index over a text of any length.
    refused = 0 if engine.name == "sqlite" else 1
    assert handling.letters.count() == refused
    tried = retry(system.store, system.target(words), handling, words)
    assert (tried.applied, tried.refused) == (0, refused)
    found = validate_projection(
        system.store, system.target(words), words, projection="copy", letters=handling.letters
    )
    assert not found.wrong
    system.execute("UPDATE words SET word = 'short' WHERE n = 2", "UPDATE words SET n = 10 WHERE n = 1")
    system.capture()
    projected()
    # The delete of the long key, which no row has, closes its letter.
    assert handling.letters.count() == 0
    system.check_table(system.table("words"))
    system.source.teardown()


def checked(definitions: dg.Definitions, key: dg.AssetKey, instance: dg.DagsterInstance) -> Any:
    """The evaluation of the projection's check, made by a run of it alone."""
    wanted = dg.AssetCheckKey(key, MATCHES_EVENT_STORE)
    (check,) = (each for each in definitions.asset_checks or () if wanted in each.check_keys)
    job = dg.define_asset_job("alone", selection=dg.AssetSelection.checks(wanted))
    alone = dg.Definitions(asset_checks=[check], jobs=[job], resources=definitions.resources)
    (found,) = (
        alone.resolve_job_def("alone").execute_in_process(instance=instance).get_asset_check_evaluations()
    )
    return found


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_projection_is_an_asset_with_a_check(system: System, engine: Engine) -> None:
    definitions = build_definitions(system.catalog)
    key = naming.projection_key("copy", CHILD)
    system.execute("UPDATE child SET note = 'asset' WHERE id < 10")
    system.capture()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(naming.id_range_partitions(CHILD), ["r000000"])
        done = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[key], partition_key="r000000"
        )
        event = instance.get_latest_materialization_event(key)
        first = checked(definitions, key, instance)
        engine.place(CHILD).run("UPDATE child SET note = 'edited' WHERE id = 3")
        second = checked(definitions, key, instance)
    assert first.passed
    assert first.metadata["ranges"].value == 1
    assert not second.passed
    assert second.metadata["differing"].value == 1
    assert "edited" not in str(second.metadata)
    assert repaired(system, CHILD).done
    assert done.success
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["dagster/row_count"].value == 60
    assert "dagster/kind/sqlite" in definitions.resolve_asset_graph().get(key).tags
    assert naming.dead_letters_key("copy", CHILD) in definitions.resolve_asset_graph().get_all_asset_keys()
    system.check_table(system.table("child"))
