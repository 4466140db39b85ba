"""A MariaDB source from a shell, up to a binlog that was purged and the way back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from replication_assets_tests.cli import warm
from replication_assets_tests.mysql_servers import BINLOG_SETTINGS, running_mariadb
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sources.mysql.places import purge

CATALOG = """
from pathlib import Path

from replication_assets import Catalog, DeltaProjection, EventStoreConfig, MySqlSourceConfig, Table

HERE = Path(__file__).parent

catalog = Catalog(
    event_store=EventStoreConfig(root=str(HERE / "store")),
    sources=[MySqlSourceConfig("crm", host="127.0.0.1", port={port}, user="root", sslmode="disable")],
    tables=[Table("crm.{name}.people")],
    projections=[DeltaProjection("lake", tables=["crm.*"], root=str(HERE / "lake"))],
)
"""


@pytest.fixture
def database() -> Iterator[Database]:
    """On a server of its own, whose log is purged."""
    with running_mariadb(BINLOG_SETTINGS) as server:
        found = Database(server, f"d{uuid.uuid4().hex[:8]}")
        with closing(server.connect()) as session, session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {found.name}")
        found.run(
            "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(20))",
            "INSERT INTO people SELECT seq, 'x' FROM seq_1_to_20",
        )
        yield found


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    ended = warm.run(
        arguments, folder, {"REPLICATION_ASSETS_CATALOG": "crm:catalog", "PATH": "/usr/bin:/bin"}
    )
    said = ended.out.decode() + ended.err.decode()
    assert ended.code == code, said
    return said


def test_a_purged_binlog_is_told_and_mended_from_a_shell(database: Database, tmp_path: Path) -> None:
    (tmp_path / "crm.py").write_text(CATALOG.format(port=database.server.port, name=database.name))
    for command in (["setup", "crm"], ["load"], ["capture", "crm"], ["project", "lake"]):
        run(tmp_path, *command)
    database.run("FLUSH BINARY LOGS", "DELETE FROM people WHERE id = 3")
    purge(database)
    assert "lost" in run(tmp_path, "status", code=3)
    said = run(tmp_path, "capture", "crm", code=1)
    assert "was purged: the changes between its byte" in said
    assert "load every id range again, which also finds deletes" in said
    assert "epoch 2" in run(tmp_path, "recover", "crm", "--yes")
    for command in (["load"], ["capture", "crm"], ["project", "lake"]):
        run(tmp_path, *command)
    found = run(tmp_path, "query", "SELECT count(*) AS n, sum(id) AS s FROM lake.people", "--format", "csv")
    assert found.splitlines()[-1].replace('"', "") == "19,207"
