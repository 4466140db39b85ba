"""The code of the documents of MySQL and MariaDB, run as it stands."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from replication_assets_tests.markdown import code
from replication_assets_tests.mysql_servers import MariaDbServer, fresh_prefix
from replication_assets_tests.postgres_servers import FreshDatabase
from replication_assets_tests.sources.mysql.conftest import Database
from replication_assets_tests.sysbench import sysbench, under_load

EXAMPLE = Path(__file__).parents[1] / "docs" / "example-sysbench.md"
ROWS = 1_000


def test_the_example_equals_the_tables_while_they_are_written_to(
    mariadb_with_binlog: MariaDbServer, database: FreshDatabase, tmp_path: Path
) -> None:
    with fresh_prefix(mariadb_with_binlog) as prefix:
        bench = Database(mariadb_with_binlog, f"{prefix.prefix}bench")
        with closing(mariadb_with_binlog.connect()) as session, session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{bench.name}`")
        sysbench(bench, "prepare", ROWS)
        names: dict[str, Any] = {"FOLDER": tmp_path, "PORT": bench.server.port, "DATABASE": bench.name}
        names |= {"COPY": database.name, "COPY_PORT": database.server.port}
        with under_load(bench, ROWS, seconds=3):
            for heading in ("Declare", "Load and capture", "Project and compare"):
                exec(compile(code(EXAMPLE, heading), f"example-sysbench.md, {heading}", "exec"), names)
        assert names["mismatches"] == 0
        assert len(names["in_projections"]) == 4
        assert all(found.rows > ROWS // 2 for found in names["at_source"])
