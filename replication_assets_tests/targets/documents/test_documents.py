"""Documents on their way to targets that hold rows: Delta, and a table of each SQL engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from replication_assets.catalog import (
    ByBounds,
    DeltaProjection,
    Document,
    MySqlTarget,
    PostgresTarget,
    Projection,
    Refusals,
    SqliteTarget,
    SqlProjection,
    Table,
)
from replication_assets.core.schema import TableId
from replication_assets.defs.dead_letters import dead_letters_assets
from replication_assets.demo.postgres_server import PostgresServer
from replication_assets.errors import CatalogError, TargetError
from replication_assets.flows.dead_letters import retry
from replication_assets.flows.project import ProjectReceipt, project_range
from replication_assets.flows.read import ranges_of
from replication_assets.flows.refusals import Handling, handling_of
from replication_assets.flows.validation.validate import validate_projection
from replication_assets.ports import DeadLetters
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.mysql_servers import MariaDbServer, fresh_prefix
from replication_assets_tests.postgres_servers import FreshDatabase, fresh_database

T = TableId(SOURCE, "public", "t")
BODY = Document(str(T), "body", select=("/o/@id", "/o/l"))
SETTINGS = Document(str(T), "settings", format="json")
ENGINES = ("delta", "sqlite", "postgresql", "mariadb")


@pytest.fixture(params=ENGINES)
def system(request: pytest.FixtureRequest, database: FreshDatabase, tmp_path: Path) -> Iterator[System]:
    made = system_of(database, tmp_path, [Table(str(T), id_ranges=ByBounds((100,)))])
    made.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, body text NOT NULL, settings jsonb, note text)",
        "ALTER TABLE t ALTER body SET STORAGE EXTERNAL",
        "INSERT INTO t SELECT g, '<o id=\"' || g || '\"><l>1</l><x>left out</x></o>',"
        " '{\"b\": 1.10, \"a\": []}', 'n' || g FROM generate_series(1, 5) g",
        "INSERT INTO t VALUES (6, '<o><l></o>' || repeat(' ', 3000), NULL, 'kept')",
        "INSERT INTO t VALUES (700, '<!DOCTYPE o><o/>', '1', 'kept too')",
    )
    declared: dict[str, Any] = {"tables": [str(T)], "documents": [BODY, SETTINGS]}
    if request.param == "delta":
        yield with_projection(made, DeltaProjection("lake", root=str(tmp_path / "lake"), **declared))
    elif request.param == "sqlite":
        target = SqliteTarget(folder=str(tmp_path / "copies"))
        yield with_projection(made, SqlProjection("copy", target=target, **declared))
    elif request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_18")
        with fresh_database(server) as copy:
            place = PostgresTarget(
                host="127.0.0.1", port=server.port, database=copy.name, user="postgres", sslmode="disable"
            )
            yield with_projection(made, SqlProjection("copy", target=place, **declared))
    else:
        mariadb: MariaDbServer = request.getfixturevalue("mariadb")
        with fresh_prefix(mariadb) as prefix:
            host = MySqlTarget(host=mariadb.host, port=mariadb.port, user=mariadb.user, prefix=prefix.prefix)
            yield with_projection(made, SqlProjection("copy", target=host, **declared))


def with_projection(system: System, projection: Projection) -> System:
    return replace(system, catalog=replace(system.catalog, projections=(projection,)).validate())


def lake_of(system: System) -> DeltaProjection:
    (found,) = system.catalog.projections
    assert isinstance(found, DeltaProjection)
    return found


def project(system: System, *, rebuild: bool = False) -> list[ProjectReceipt]:
    snapshot, handling = system.store.log(T).snapshot(), handling_of_(system)
    return [
        project_range(snapshot, T, system.target(T), each, rebuild=rebuild, handling=handling)
        for each in ranges_of(snapshot)
    ]


def handling_of_(system: System) -> Handling:
    found = handling_of(system.store, system.catalog.projections[0], T)
    assert found is not None
    return found


def letters(system: System) -> DeadLetters:
    return system.store.dead_letters(system.catalog.projections[0].name, T)


def held(system: System) -> dict[int, tuple[Any, Any, Any]]:
    rows = [row for batch in system.target(T).read() for row in batch.to_pylist()]
    parsed = ((row["id"], row["body"], row["settings"], row["note"]) for row in rows)
    return {
        i: (body and json.loads(body), settings and json.loads(settings), note)
        for i, body, settings, note in parsed
    }


def open_letters(system: System) -> list[tuple[str, str, str, str]]:
    found = letters(system).open_rows().to_pylist()
    return sorted((each["key"], each["column"], each["reason"], each["detail"]) for each in found)


def test_documents_arrive_as_json_and_what_cannot_be_read_is_a_dead_letter(system: System) -> None:
    system.prepare()
    system.load_all()
    project(system)
    found = held(system)
    assert found[3] == ({"o": {"@id": "3", "l": "1"}}, {"a": [], "b": 1.10}, "n3")
    assert found[6] == (None, None, "kept")
    assert found[700] == (None, 1, "kept too")
    refused = [
        ('{"id":"6"}', "body", "malformed-xml", "column body: mismatched tag at line 1, column 9"),
        (
            '{"id":"700"}',
            "body",
            "xml-entities",
            "column body: a document type declaration, which could define entities",
        ),
    ]
    assert open_letters(system) == refused
    assert validate_projection(
        system.store,
        system.target(T),
        T,
        projection=system.catalog.projections[0].name,
        letters=letters(system),
    ).passed

    # The text of row 6 is not sent again: it is refused again all the same.
    system.execute("UPDATE t SET note = 'later' WHERE id IN (3, 6)", "DELETE FROM t WHERE id = 700")
    system.execute("INSERT INTO t VALUES (8, '<o id=\"8\"/>', '[1e400]', NULL)")
    system.capture()
    assert {receipt.how for receipt in project(system)} == {"applied"}
    found = held(system)
    assert found[3] == ({"o": {"@id": "3", "l": "1"}}, {"a": [], "b": 1.10}, "later")
    assert found[6] == (None, None, "later")
    assert found[8][0] == {"o": {"@id": "8"}}
    assert 700 not in found
    assert [key for key, *_ in open_letters(system)] == ['{"id":"6"}']

    system.execute("UPDATE t SET body = '<o id=\"6\"/>' WHERE id = 6")
    system.capture()
    project(system)
    assert held(system)[6][0] == {"o": {"@id": "6"}}
    assert open_letters(system) == []
    assert {receipt.how for receipt in project(system)} == {"unchanged"}


@pytest.mark.parametrize("system", ["delta"], indirect=True)
def test_another_declaration_makes_the_rows_again(system: System) -> None:
    system.prepare()
    system.load_all()
    project(system)
    lake = lake_of(system)
    whole = with_projection(system, replace(lake, documents=(replace(BODY, select=()), SETTINGS)))
    assert {receipt.how for receipt in project(whole)} == {"replaced"}
    assert held(whole)[3][0] == {"o": {"@id": "3", "l": "1", "x": "left out"}}
    plain = with_projection(system, replace(lake, documents=()))
    snapshot = plain.store.log(T).snapshot()
    for each in ranges_of(snapshot):
        assert project_range(snapshot, T, plain.target(T), each).how == "replaced"
    rows = [row for batch in plain.target(T).read() for row in batch.to_pylist()]
    assert next(row["body"] for row in rows if row["id"] == 6).strip() == "<o><l></o>"


@pytest.mark.parametrize("system", ["delta"], indirect=True)
def test_a_policy_to_stop_stops_and_a_retry_refuses_again_what_is_not_mended(system: System) -> None:
    system.prepare()
    system.load_all()
    lake = lake_of(system)
    strict = with_projection(system, replace(lake, refusals=Refusals("stop")))
    with pytest.raises(TargetError, match="malformed-xml of column body: column body: mismatched tag"):
        project(strict)
    project(system)
    assert len(open_letters(system)) == 2
    retry(system.store, system.target(T), handling_of_(system), T)
    assert [reason for _, _, reason, _ in open_letters(system)] == ["malformed-xml", "xml-entities"]


@pytest.mark.parametrize("system", ["delta"], indirect=True)
def test_a_lake_with_documents_has_dead_letters_in_dagster(system: System) -> None:
    assert len(dead_letters_assets(system.catalog)) == 1
    lake = replace(lake_of(system), documents=())
    assert dead_letters_assets(replace(system.catalog, projections=(lake,))) == []


@pytest.mark.parametrize("system", ["delta"], indirect=True)
def test_a_declaration_that_does_not_fit_is_told(system: System) -> None:
    lake = lake_of(system)
    for documents, told in (
        ((Document("app.public.other", "body"),), "documents are of 'app.public.other'"),
        ((BODY, BODY), "is declared twice"),
        ((replace(BODY, select=("o/l",)),), "is no path of XML"),
        ((replace(BODY, format="yaml"),), "document 0: format is 'yaml'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(CatalogError, match=told):
            with_projection(system, replace(lake, documents=documents))
    system.prepare()
    system.load_all()
    with pytest.raises(CatalogError, match="'nope' is no column of the table"):
        project(with_projection(system, replace(lake, documents=(Document(str(T), "nope"),))))


@pytest.mark.parametrize("system", ["postgresql"], indirect=True)
def test_postgresql_holds_documents_in_a_column_of_type_json(system: System) -> None:
    system.prepare()
    system.load_all()
    project(system)
    copy = system.catalog.projections[0]
    assert isinstance(copy, SqlProjection)
    target = copy.target
    assert isinstance(target, PostgresTarget)
    with psycopg.connect(
        f"host={target.host} port={target.port} dbname={target.database} user=postgres"
    ) as sql:
        found = sql.execute("SELECT body -> 'o' ->> '@id', pg_typeof(body)::text FROM public.t WHERE id = 2")
        assert found.fetchall() == [("2", "json")]
