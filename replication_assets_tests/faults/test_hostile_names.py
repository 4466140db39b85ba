"""Schemas, tables and columns called what PostgreSQL lets them be called: every step takes them as they are,
no file lies outside of the roots, and what cannot be is refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication_assets.catalog import ByWidth, Table
from replication_assets.core.schema import TableId
from replication_assets.errors import CatalogError, ReplicationError
from replication_assets.event_store.storage import dead_letters_folder, folder_of
from replication_assets.flows.validation.projection import validate_projection
from replication_assets.sources.postgres.quoting import identifier
from replication_assets.targets.delta.location import locate, safe_name
from replication_assets_tests.dynamodb_servers import DynamoDbServer, fresh_table_name, items_of
from replication_assets_tests.e2e.system import SOURCE, System, system_of
from replication_assets_tests.markdown import ROOT
from replication_assets_tests.postgres_servers import FreshDatabase

REFUSED = 3
"""Exit code of a projection that left dead letters."""
LONGEST_FOLDER = 255
"""Bytes of one name that file systems allow."""
COLUMNS = ("../../c", 'q"; DROP TABLE x --', "new\nline", "%2e%s", " blank ", "é😀" * 10, "select", "${id}")
SCHEMAS = ('a"; DROP SCHEMA public; --', "😀" * 15, "..")
TABLES = (
    "../../etc/passwd",
    "Order",
    "order",
    " order",
    "%2e%2e",
    "back\\slash\nline",
    "😀" * 15,
    "select",
    "..",
)
SHORT = [(SCHEMAS[1], TABLES[6]), (SCHEMAS[2], TABLES[0])]
LONG = [(SCHEMAS[number % len(SCHEMAS)], table) for number, table in enumerate(TABLES)]


def named(names: Sequence[tuple[str, str]]) -> list[Table]:
    return [Table(source=SOURCE, schema=s, name=t, id_ranges=ByWidth(20)) for s, t in names]


def created(system: System) -> None:
    columns = ", ".join(f"{identifier(name)} text" for name in COLUMNS)
    for schema in dict.fromkeys(table.id.schema for table in system.catalog.tables):
        system.execute(f"CREATE SCHEMA {identifier(schema)}")
    for number, table in enumerate(system.catalog.tables):
        where = f"{identifier(table.id.schema)}.{identifier(table.id.name)}"
        values = ", ".join(f"'{number}/' || i" for _ in COLUMNS)
        system.execute(
            f"CREATE TABLE {where} (id int PRIMARY KEY, {columns})",
            f"INSERT INTO {where} SELECT i, {values} FROM generate_series(1, 30) i",
        )


def changed(system: System) -> None:
    for table in system.catalog.tables:
        where = f"{identifier(table.id.schema)}.{identifier(table.id.name)}"
        system.execute(
            f"UPDATE {where} SET {identifier(COLUMNS[1])} = 'new' WHERE id % 3 = 0",
            f"DELETE FROM {where} WHERE id = 5",
            f"UPDATE {where} SET id = id + 100 WHERE id = 7",
        )


@pytest.fixture(params=[SHORT, pytest.param(LONG, marks=pytest.mark.full)], ids=["short", "long"])
def system(request: pytest.FixtureRequest, database: FreshDatabase, tmp_path: Path) -> System:
    made = system_of(database, tmp_path / "roots", named(request.param))
    created(made)
    return made


@pytest.mark.timeout(600)
def test_every_step_takes_hostile_names_as_they_are(system: System, tmp_path: Path) -> None:
    system.prepare()
    system.load_all()
    changed(system)
    system.finish()
    assert validated(system) == []
    assert [path.name for path in tmp_path.iterdir()] == ["roots"]
    assert sorted(path.name for path in (tmp_path / "roots").iterdir()) == ["event_store", "lakehouse"]
    lakes = {locate(str(tmp_path / "roots" / "lakehouse"), t.id, None).uri for t in system.catalog.tables}
    assert len(lakes) == len(system.catalog.tables)
    for lake in map(Path, lakes):
        assert (lake / "_delta_log").is_dir()
        assert lake.resolve().is_relative_to(tmp_path / "roots" / "lakehouse")


def validated(system: System) -> list[str]:
    """What the product's own validation finds wrong."""
    name = system.catalog.projections[0].name
    found = [
        validate_projection(system.store, system.target(table.id), table.id, projection=name)
        for table in system.tables()
    ]
    return [f"{each}" for validation in found for each in validation.wrong]


CATALOG = """
from replication_assets import (
    ByWidth, Catalog, DynamoDbProjection, EnvVar, EventStoreConfig, ItemKey, Items, PostgresSourceConfig,
    Table,
)

NAMES = {names!r}
catalog = Catalog(
    event_store=EventStoreConfig(root={store!r}),
    sources=[PostgresSourceConfig("app", host="127.0.0.1", port={port}, database={database!r},
                                  user="postgres", sslmode="disable", slot={database!r},
                                  publication={database!r})],
    tables=[Table(source="app", schema=s, name=t, id_ranges=ByWidth(20)) for s, t in NAMES],
    projections=[DynamoDbProjection(
        "serving",
        items=[
            Items(f"app.{{s}}.{{t}}", into={into!r},
                  partition_key=ItemKey("pk", t + "#${{{key}}}#${{id}}"))
            for s, t in NAMES
        ],
        region={region!r}, endpoint_url={endpoint!r}, control_table={control!r},
        access_key_id=EnvVar("HOSTILE_KEY"), secret_access_key=EnvVar("HOSTILE_SECRET"),
    )],
)
"""


@dataclass(frozen=True)
class Program:
    """The command line, on a catalog of its own, with the tables of `SHORT`."""

    folder: Path
    server: DynamoDbServer
    into: str

    def declare(self, system: System) -> None:
        (source,) = system.catalog.sources
        text = CATALOG.format(
            names=SHORT,
            store=str(self.folder / "roots" / "store"),
            port=source.port,
            database=source.database,
            into=self.into,
            key=COLUMNS[0],
            region=self.server.region,
            endpoint=self.server.endpoint_url,
            control=fresh_table_name(),
        )
        (self.folder / "hostile.py").write_text(text)

    def run(self, *arguments: str, code: int = 0) -> str:
        ours = {
            "REPLICATION_ASSETS_CATALOG": "hostile:catalog",
            "HOSTILE_KEY": self.server.access_key,
            "HOSTILE_SECRET": self.server.secret_key,
        }
        done = subprocess.run(
            [sys.executable, "-m", "replication_assets", *arguments],
            cwd=self.folder,
            env={**os.environ, **ours, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == code, (arguments, done.stderr + done.stdout)
        return done.stdout


@pytest.mark.full
def test_items_dead_letters_and_the_command_line_take_hostile_names(
    database: FreshDatabase, tmp_path: Path, moto_dynamodb: DynamoDbServer
) -> None:
    """Attributes are called as the columns are. A row without a key is a letter in a folder of its table."""
    system = system_of(database, tmp_path / "other", named(SHORT))
    created(system)
    for schema, table in SHORT:
        null = f"{identifier(COLUMNS[0])} = NULL"
        system.execute(f"UPDATE {identifier(schema)}.{identifier(table)} SET {null} WHERE id = 9")
    program = Program(tmp_path, moto_dynamodb, fresh_table_name())
    program.declare(system)
    for command in (("setup", SOURCE), ("load",), ("capture", SOURCE)):
        program.run(*command)
    program.run("project", code=REFUSED)
    changed(system)
    program.run("capture", SOURCE)
    program.run("project", code=REFUSED)
    program.run("validate")
    for told in (program.run("status"), program.run("dead-letters", "list", code=REFUSED)):
        assert "\nline" not in told
        assert SHORT[0][1] in told
    stored = [item for item in items_of(moto_dynamodb, program.into) if "_deleted" not in item]
    assert len(stored) == len(SHORT) * 28
    assert all(set(COLUMNS) <= item.keys() for item in stored)
    letters = tmp_path / "roots" / "store" / "_dead_letters"
    assert len(list(letters.rglob("_delta_log"))) == len(SHORT)
    assert {path.name for path in tmp_path.iterdir()} <= {"roots", "hostile.py", "__pycache__"}
    assert [path.name for path in (tmp_path / "roots").iterdir()] == ["store"]


# --- what cannot be ----------------------------------------------------------------------


def test_columns_that_differ_in_case_alone_are_refused_by_name(
    database: FreshDatabase, tmp_path: Path
) -> None:
    """Delta would take them for one."""
    system = system_of(database, tmp_path, [Table("app.public.t")])
    system.execute('CREATE TABLE t (id int PRIMARY KEY, v int, "V" int)')
    with pytest.raises(ReplicationError, match=r"columns \['V', 'v'\]"):
        filled(system)


def filled(system: System) -> None:
    system.prepare()
    system.load_all()
    system.project()


def test_tables_that_are_written_alike_are_refused(database: FreshDatabase, tmp_path: Path) -> None:
    """`a`.`b.c` and `a.b`.`c`: a projection that names one could mean either."""
    with pytest.raises(CatalogError, match=r"a\.b\.c"):
        system_of(database, tmp_path, named([("a", "b.c"), ("a.b", "c")]))


# --- paths -------------------------------------------------------------------------------

names = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=70)
    | st.text("aA./\\%~-_2eE ", min_size=1, max_size=8)
    | st.sampled_from(
        [*SCHEMAS, *TABLES, "_captures", "_dead_letters", "_delta_log", "_id_range=r0", "é" * 63]
    )
)
tables = st.builds(TableId, names, names, names)


def folders(table: TableId) -> tuple[str, ...]:
    """Of a table's log, of its letters, of its lake, and of a file of each of these names."""
    lake = str(PurePosixPath(locate("/lake", table, None).uri).relative_to("/lake"))
    return folder_of(table), dead_letters_folder(table.source, table), lake, safe_name(table.name)


@settings(max_examples=30)
@given(tables)
def test_no_folder_leaves_its_root_or_is_too_long_for_a_file_system(table: TableId) -> None:
    for folder in folders(table):
        for part in PurePosixPath(folder).parts:
            assert part not in (".", "..", "/")
            assert len(part.encode()) <= LONGEST_FOLDER, folder
            assert part.isascii()
            assert part.isprintable()


@given(tables, tables)
def test_two_tables_share_no_folder_and_no_log_is_inside_of_another(one: TableId, other: TableId) -> None:
    for mine, theirs in zip(folders(one)[:3], folders(other)[:3], strict=True):
        assert (one == other) == (mine == theirs)
        assert one == other or not PurePosixPath(mine).is_relative_to(theirs)
    assert folder_of(one) != dead_letters_folder(other.source, other)
