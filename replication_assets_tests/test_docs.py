"""The documents are true: their code runs, their tables agree with the program, their links hold."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import psycopg
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from replication_assets.catalog import (
    ByWidth,
    Catalog,
    DeltaProjection,
    EventDate,
    EventStoreConfig,
    PostgresSourceConfig,
    Table,
)
from replication_assets.core.cutover import Step
from replication_assets.core.events import ENVELOPE
from replication_assets.core.schema import TableId
from replication_assets.definitions import load_catalog
from replication_assets.defs.build import build_definitions
from replication_assets.demo import pgbench
from replication_assets.event_store.audit import SCHEMA as AUDITS
from replication_assets.event_store.columns import DELTA_PROPERTIES
from replication_assets.event_store.cutover_log import SCHEMA as CUTOVERS
from replication_assets.event_store.dead_letters import FACTS
from replication_assets.event_store.structures import SCHEMA as STRUCTURES
from replication_assets.flows.capture import capture
from replication_assets.flows.load import load_range
from replication_assets.flows.prepare import open_table, prepare
from replication_assets.flows.project import project_range
from replication_assets.flows.validation.findings import LISTED
from replication_assets.replication import Replication
from replication_assets.sources.postgres.reflection import replicated_columns
from replication_assets_tests.architecture_rules import MAY_IMPORT
from replication_assets_tests.breaks.edits import EDITS
from replication_assets_tests.markdown import (
    DOCUMENTS,
    ROOT,
    anchors,
    code,
    local_links,
    quoted,
    rows,
    section,
)
from replication_assets_tests.postgres_servers import FreshDatabase

README = ROOT / "README.md"
EVENT_STORE = ROOT / "docs" / "event-store.md"
DELTA = ROOT / "docs" / "projection-delta.md"
PGBENCH = ROOT / "docs" / "example-pgbench.md"
OPERATIONS = ROOT / "docs" / "operations.md"
ORDERS = TableId("shop", "public", "orders")


# --- a small store with a history ---------------------------------------------------------


@dataclass
class Shop:
    """One table, loaded twice and captured three times; `moment` is between the last two captures."""

    catalog: Catalog
    dsn: str
    moment: dt.datetime
    then: list[tuple[Any, ...]]
    first_day: dt.date

    @property
    def root(self) -> str:
        return self.catalog.event_store.root

    def orders(self) -> list[tuple[Any, ...]]:
        return orders(self.dsn)


def orders(dsn: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as session:
        return session.execute("SELECT id, status, total FROM orders ORDER BY id").fetchall()


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())


@pytest.fixture
def shop(database: FreshDatabase, tmp_path: Path) -> Iterator[Shop]:
    dsn = database.dsn
    execute(
        dsn,
        "CREATE TABLE orders (id bigint PRIMARY KEY, status text NOT NULL, total numeric(12,2) NOT NULL)",
        "INSERT INTO orders SELECT g, 'placed', g * 1.5 FROM generate_series(1, 150) g",
    )
    catalog = shop_catalog(database, tmp_path / "event_store")
    replication = Replication(catalog)
    source, store = replication.source("shop"), replication.store()
    prepare(source, store, catalog.tables)

    def load() -> None:
        table = open_table(source, store, catalog.tables[0])
        for id_range in table.loads(source.bounds(ORDERS, "id").high):
            load_range(source, store, table, id_range)

    def capture_all() -> None:
        capture(source, store, [open_table(source, store, catalog.tables[0])], upto=source.status().head)

    execute(dsn, "UPDATE orders SET status = 'lost' WHERE id = 1", "DELETE FROM orders WHERE id = 5")
    load()
    execute(dsn, "UPDATE orders SET status = 'packed' WHERE id = 2", "DELETE FROM orders WHERE id = 3")
    capture_all()
    load()
    execute(dsn, "INSERT INTO orders VALUES (3, 'again', 30)", "UPDATE orders SET id = 99000 WHERE id = 4")
    capture_all()
    then, moment = orders(dsn), dt.datetime.now(dt.UTC)
    time.sleep(0.01)  # the next commit is later than `moment` by any clock
    execute(
        dsn, "UPDATE orders SET status = 'sent', total = 7.25 WHERE id = 2", "DELETE FROM orders WHERE id = 9"
    )
    capture_all()
    yield Shop(catalog, dsn, moment, then, moment.date())
    source.teardown()


def shop_catalog(database: FreshDatabase, root: Path, **options: Any) -> Catalog:
    """The catalog that the queries of the documents are written for."""
    described: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": database.server.port,
        "database": database.name,
        "user": "postgres",
        "sslmode": "disable",
        "slot": f"docs_{database.name}",
        "publication": f"docs_{database.name}",
        **options,
    }
    return Catalog(
        event_store=EventStoreConfig(root=str(root)),
        sources=[PostgresSourceConfig("shop", **described)],
        tables=[
            Table(str(ORDERS), id_ranges=ByWidth(1_000), event_date=EventDate(granularity="day")),
        ],
    ).validate()


# --- the event store: queries in place ----------------------------------------------------

QUERIES = {"DuckDB": "arrow", "Polars": "polars", "pandas": "pandas"}
"""Examples by heading, and the kind of frame that they end with."""


def run_query(shop: Shop, heading: str) -> dict[str, Any]:
    names: dict[str, Any] = {"EVENT_STORE": shop.root, "DAY": shop.first_day}
    exec(compile(code(EVENT_STORE, heading), f"event-store.md, {heading}", "exec"), names)
    return names


def tuples(frame: Any, kind: str) -> list[tuple[Any, ...]]:
    if kind == "arrow":
        return [tuple(row.values()) for row in frame.to_pylist()]
    return frame.rows() if kind == "polars" else list(frame.itertuples(index=False, name=None))


@pytest.mark.parametrize(("heading", "kind"), QUERIES.items())
def test_an_example_gives_the_current_rows_the_events_of_a_day_and_the_history_of_a_key(
    shop: Shop, heading: str, kind: str
) -> None:
    found = run_query(shop, heading)
    assert tuples(found["current"], kind) == [row for row in shop.orders() if row[0] < 1_000]
    days = {dt.datetime.now(dt.UTC).date(), shop.first_day}
    if len(days) == 1:  # a test that runs over midnight has its events on two days
        # 149 and 148 rows loaded; one update before the first load is captured with those after it.
        assert dict(tuples(found["day"], kind)) == {"D": 4, "I": 1, "R": 149 + 148, "U": 4}
    history = [(op, status, total) for _, op, status, total in tuples(found["history"], kind)]
    assert history == [
        ("R", "placed", Decimal("3.00")),
        ("U", "packed", Decimal("3.00")),
        ("R", "packed", Decimal("3.00")),
        ("U", "sent", Decimal("7.25")),
    ]


def test_the_library_reads_now_and_as_of_a_time(shop: Shop) -> None:
    names = {"catalog": shop.catalog, "AN_HOUR_AGO": shop.moment}
    exec(compile(code(EVENT_STORE, "As-of reads"), "event-store.md, as-of reads", "exec"), names)
    assert read_rows(names["now"]) == shop.orders()
    assert read_rows(names["before"]) == shop.then != shop.orders()


def read_rows(batches: list[pa.RecordBatch]) -> list[tuple[Any, ...]]:
    table = pa.Table.from_batches(batches).select(["id", "status", "total"])
    return sorted(tuple(row.values()) for row in table.to_pylist())


def test_folders_and_properties_are_as_documented(shop: Shop) -> None:
    store = Replication(shop.catalog).store()
    assert store.uri(ORDERS) == f"{shop.root}/shop/public.orders"  # type: ignore[attr-defined]
    layout = code(EVENT_STORE, "Layout", "")
    found = {path.relative_to(shop.root).parts[0:3] for path in Path(shop.root).rglob("*")}
    assert {("shop", "public.orders", "_id_range=all"), ("shop", "_captures", "_delta_log")} <= found
    for folder in ("shop/", "public.orders/", "_id_range=r000000/", "_id_range=all/", "_captures/"):
        assert folder in layout
    log = DeltaTable(f"{shop.root}/shop/public.orders")
    documented = [name for row in rows(EVENT_STORE, "Layout", 1) for name in quoted(row[0])]
    named = {name.split(" = ")[0] for name in documented if name.startswith("delta.")}
    assert named == set(DELTA_PROPERTIES)
    for name in documented:
        if " = " in name:
            key, _, value = name.partition(" = ")
            assert DELTA_PROPERTIES[key] == value
    ours = {name.rpartition(".")[2] for name in documented if not name.startswith("delta.")}
    assert {f"replication_assets.{name}" for name in ours} == log.metadata().configuration.keys() - named
    assert log.protocol().min_reader_version == 1


def test_the_columns_are_as_documented() -> None:
    documented = [(quoted(row[0])[0], quoted(row[1])[0]) for row in rows(EVENT_STORE, "Columns")]
    assert documented == [(field.name, str(field.type)) for field in ENVELOPE]


def test_what_stands_beside_the_logs_is_as_documented() -> None:
    letters = [(quoted(row[0])[0], quoted(row[1])[0]) for row in rows(EVENT_STORE, "Dead letters")]
    assert letters == [(field.name, str(field.type)) for field in FACTS]
    assert [quoted(row[0])[0] for row in rows(EVENT_STORE, "Findings")] == LISTED.names
    cutovers = rows(EVENT_STORE, "Cutovers")
    assert [quoted(row[0])[0] for row in cutovers] == CUTOVERS.names[2:]
    assert tuple(quoted(cutovers[2][1])) == get_args(Step)
    for title, schema in (("Structures", STRUCTURES), ("Audits", AUDITS)):
        assert [quoted(row[0])[0] for row in rows(EVENT_STORE, title)] == schema.names[2:]


def test_types_are_stored_as_documented(database: FreshDatabase) -> None:
    expected = {source: quoted(row[1])[0] for row in rows(EVENT_STORE, "Types") for source in quoted(row[0])}
    columns = ", ".join(f'"{number}" {source}' for number, source in enumerate(expected))
    with psycopg.connect(database.dsn, autocommit=True) as session:
        session.execute(f"CREATE TABLE kinds ({columns})".encode())
        stored = replicated_columns(session, TableId("shop", "public", "kinds"))
    found = {source: str(column.arrow) for source, column in zip(expected, stored, strict=True)}
    assert found == expected


# --- projections to Delta -----------------------------------------------------------------


def test_a_projection_is_read_and_reset_as_documented(shop: Shop, tmp_path: Path) -> None:
    lake = DeltaProjection("lake", tables=["shop.*"], root=str(tmp_path / "lake"))
    catalog = dataclasses.replace(shop.catalog, projections=(lake,)).validate()
    replication = Replication(catalog)
    snapshot, target = replication.store().log(ORDERS).snapshot(), replication.target(lake, ORDERS)
    for key in snapshot.range_keys():
        project_range(snapshot, ORDERS, target, snapshot.id_ranges.by_key(key))
    with psycopg.connect(shop.dsn) as session:
        grouped = "SELECT status, count(*), sum(total) FROM orders GROUP BY status ORDER BY status"
        expected = session.execute(grouped.encode()).fetchall()
    for heading, kind in QUERIES.items():
        names: dict[str, Any] = {"LAKE": lake.root}
        exec(compile(code(DELTA, heading), f"projection-delta.md, {heading}", "exec"), names)
        assert tuples(names["by_status"], kind) == expected, heading
    names = {"catalog": catalog}
    exec(compile(code(DELTA, "Columns that change"), "projection-delta.md, reset", "exec"), names)
    assert target.checkpoint("r000000") is None


def test_a_delta_projection_is_declared_as_documented() -> None:
    names: dict[str, Any] = {}
    exec(compile(code(DELTA, "Declare"), "projection-delta.md, declare", "exec"), names)
    assert isinstance(names["lake"], DeltaProjection)


# --- the README ---------------------------------------------------------------------------


def test_the_catalog_of_the_readme_is_sound_and_becomes_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "readme_catalog.py").write_text(code(README, "Declare a catalog"))
    monkeypatch.syspath_prepend(tmp_path)
    catalog = load_catalog("readme_catalog:catalog")
    assert catalog.problems() == ()
    defs = sys.modules.pop("readme_catalog").defs
    assert isinstance(defs, dg.Definitions)
    dg.Definitions.validate_loadable(defs)
    keys = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    named = {name for name in quoted(section(README, "Declare a catalog")) if name.count("/") == 3}
    assert named, "the README names no asset"
    assert named <= keys
    jobs = {job.name for job in build_definitions(catalog).resolve_all_job_defs()}
    assert {"shop_setup", "shop_capture", "shop_recover", "shop_teardown"} <= jobs


def test_the_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make (\w+)", "\n".join(path.read_text() for path in DOCUMENTS), re.M))
    assert {"demo", "dev", "test"} <= named <= targets


def test_every_promise_names_tests_that_exist_and_an_edit_that_is_made_or_none() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    promises = re.findall(r"^\| (.+) \| (.+) \| (\[.+) \| (.*) \|$", text, re.MULTILINE)
    assert len(promises) >= 25
    for promise, _, tests, broken_by in promises:
        files = re.findall(r"\]\(([^)]+)\)", tests)
        assert files, promise
        for file in files:
            assert "def test_" in (ROOT / "docs" / file).read_text(), file
        assert broken_by in {"", *(edit.name for edit in EDITS)}, promise
    assert {edit.name for edit in EDITS} <= {broken_by for *_, broken_by in promises}


def test_the_rooms_of_the_readme_are_those_of_the_architecture_test() -> None:
    documented = {row[0]: set(row[2].split(", ")) - {"nothing"} for row in rows(README, "Layout")}
    rules = {room: allowed for room, allowed in MAY_IMPORT.items() if room not in ("cli", "package")}
    assert documented == rules


# --- operations ---------------------------------------------------------------------------


def test_the_documented_grants_are_enough(database: FreshDatabase, tmp_path: Path) -> None:
    execute(
        database.dsn,
        "CREATE ROLE shop_owner",
        "CREATE TABLE orders (id bigint PRIMARY KEY, status text NOT NULL, total numeric(12,2) NOT NULL)",
        "ALTER TABLE orders OWNER TO shop_owner",
    )
    try:
        grants = code(OPERATIONS, "The role", "sql").replace("DATABASE shop", f"DATABASE {database.name}")
        execute(database.dsn, *(part for part in grants.split(";") if part.strip()))
        catalog = shop_catalog(database, tmp_path / "store", user="replicator")
        source, store = Replication(catalog).source("shop"), Replication(catalog).store()
        (table,) = prepare(source, store, catalog.tables)
        execute(database.dsn, "INSERT INTO orders VALUES (1, 'placed', 2)")
        assert load_range(source, store, table, table.loads(1)[0]).rows == 1
        execute(database.dsn, "UPDATE orders SET status = 'sent'")
        assert capture(source, store, [table], upto=source.status().head).rows == 2
        source.teardown()
    finally:
        roles = ("replicator", "shop_owner")
        execute(database.dsn, *(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}" for role in roles))


def test_the_upkeep_of_operations_runs(shop: Shop) -> None:
    names: dict[str, Any] = {"catalog": shop.catalog}
    exec(compile(code(OPERATIONS, "Compaction and vacuum"), "operations.md, vacuum", "exec"), names)
    assert names["deleted"] == 0
    exec(compile(code(OPERATIONS, "Choosing id ranges and dates"), "operations.md, plan", "exec"), names)
    assert names["plan"].problems == ()
    assert code(OPERATIONS, "Choosing id ranges and dates", "text").strip() == str(names["plan"])


# --- the example --------------------------------------------------------------------------


def test_the_example_equals_the_bank_while_it_is_open(database: FreshDatabase, tmp_path: Path) -> None:
    pgbench.initialise(database.server.binaries, database.dsn, scale=1)
    names: dict[str, Any] = {"FOLDER": tmp_path, "PORT": database.server.port, "DATABASE": database.name}
    with ThreadPoolExecutor(1) as opened:
        bank = opened.submit(pgbench.run, database.server.binaries, database.dsn, clients=4, seconds=4)
        for heading in ("Declare", "Load and capture", "Project and compare"):
            exec(compile(code(PGBENCH, heading), f"example-pgbench.md, {heading}", "exec"), names)
        assert bank.result().transactions > 0
    exec(compile(code(PGBENCH, "Tidy up"), "example-pgbench.md, tidy up", "exec"), names)
    assert names["mismatches"] == 0
    assert [comparison.rows for comparison in names["at_source"][:3]] == [100_000, 10, 1]
    assert names["at_source"][3].rows > 0


# --- all documents ------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    for path, anchor in local_links(document):
        assert path.exists(), f"{document.name}: {path}"
        if anchor:
            assert anchor in anchors(path), f"{document.name}: #{anchor} of {path.name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_of_modules_that_a_document_names_exist(document: Path) -> None:
    folders = [ROOT, ROOT / "replication_assets", ROOT / "replication_assets_tests"]
    for word in quoted(document.read_text()):
        if re.fullmatch(r"[\w/]+\.py", word):
            assert any((folder / word).exists() for folder in folders), f"{document.name}: {word}"
