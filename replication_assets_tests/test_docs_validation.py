"""The guide to validation is true: its code runs, on a source that nobody captures right now too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from replication_assets.catalog import Table
from replication_assets_tests.e2e.system import system_of
from replication_assets_tests.markdown import ROOT, code
from replication_assets_tests.postgres_servers import FreshDatabase

GUIDE = ROOT / "docs" / "validation.md"


def test_the_program_of_the_guide_brings_an_idle_source_up_to_date_and_compares_it(
    database: FreshDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system = system_of(database, tmp_path, [Table("app.public.t")])
    system.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 9)")
    system.prepare()
    system.load_all()
    system.capture()
    system.project()
    system.execute("INSERT INTO t VALUES (10)")
    names: dict[str, Any] = {}
    exec(compile(code(GUIDE, "From Python"), "validation.md", "exec"), names)
    names["load_catalog"] = lambda _: system.catalog
    assert names["validate"]("catalog:catalog", system.table("t").id)
    told = capsys.readouterr().out
    assert "10 rows" in told
    assert "late" not in told
    system.finish()
