"""`cutover`: the report in a pipe, the exit codes, and what is asked before readers move."""

from __future__ import annotations

import json

import psycopg
import pytest

from replication_assets_tests.cli.conftest import Project

CUTOVERS = """    cutovers=[
        Cutover(
            "to_lake",
            projection="lake",
            switch=PythonHook("readers:move"),
            back=PythonHook("readers:move"),
            quiet_seconds=0.1,
            drain_seconds=20,
            watch_seconds=0.1,
        )
    ],
)
"""
READERS = """
from pathlib import Path

def move(call):
    with (Path(__file__).parent / "moves").open("a") as moves:
        moves.write(f"{call.direction} {call.projection} {len(call.tables)}\\n")
"""


@pytest.fixture
def declared(project: Project) -> Project:
    """With a cutover whose hooks are a module of the same folder."""
    module = project.folder / "shop.py"
    text = module.read_text().replace("ByCount,", "ByCount, Cutover, PythonHook,")
    module.write_text(text.rstrip().removesuffix(")") + CUTOVERS)
    (project.folder / "readers.py").write_text(READERS)
    return project


@pytest.fixture
def ready(declared: Project) -> Project:
    """Loaded, captured and projected."""
    for command in (["setup", "shop"], ["load"], ["capture", "shop"], ["project"]):
        declared.run(*command)
    return declared


def moves(project: Project) -> list[str]:
    file = project.folder / "moves"
    return file.read_text().splitlines() if file.exists() else []


def test_a_cutover_from_its_plan_to_its_end(ready: Project) -> None:
    plan = ready.run("cutover", "plan", "to_lake")
    assert plan.lines[0] == "GO  dry run of cutover to_lake to lake"
    assert "pass    way back: by function readers:move" in plan.lines
    assert json.loads(ready.run("cutover", "plan", "to_lake", "--json").text)["verdict"] == "GO"
    assert "Fix: --confirm to_lake" in ready.run("cutover", "run", "to_lake", code=2).err
    assert moves(ready) == []
    ran = ready.run("cutover", "run", "to_lake", "--confirm", "to_lake")
    assert ran.lines[0] == "GO  watch of cutover to_lake to lake"
    assert "pass  writes stopped: no open transaction writes" in ran.err
    assert moves(ready) == ["switch lake 2"]
    assert "switched at" in ready.run("cutover", "status").text
    back = ready.run("cutover", "back", "to_lake", "--confirm", "to_lake").err
    assert "last step: back" in back
    assert "did not pass" in ready.run("cutover", "retire", "to_lake", "--confirm", "to_lake", code=1).err
    ready.run("cutover", "run", "to_lake", "--confirm", "to_lake")
    retired = ready.run("cutover", "retire", "to_lake", "--confirm", "to_lake")
    assert [line.split(" (")[0] for line in retired.lines[:3]] == [
        f"removed  shop: replication slot {ready.source['slot']}",
        f"removed  shop: publication {ready.source['publication']}",
        f"removed  shop: publication {ready.source['publication']}_append",
    ]
    assert ready.rows("SELECT pubname FROM pg_publication") == []
    assert ready.slot_is_read is None
    assert moves(ready) == ["switch lake 2", "back lake 2", "switch lake 2"]


def test_no_go_ends_with_3_and_the_report_on_standard_output(ready: Project) -> None:
    with psycopg.connect(ready.database.dsn, application_name="shop api") as writing:
        writing.execute("DELETE FROM orders WHERE id = 1")
        for command in (["plan", "to_lake"], ["run", "to_lake", "--confirm", "to_lake"]):
            ran = ready.run("cutover", *command, code=3)
            assert ran.lines[0].startswith("NO-GO  ")
            assert "application shop api" in ran.text
            assert "Fix: stop the applications that write" in ran.text
        writing.rollback()
    assert moves(ready) == []


def test_a_cutover_that_is_not_declared_is_told_those_that_are(declared: Project) -> None:
    ran = declared.run("cutover", "plan", "to_lak", code=2)
    assert "'to_lak' is not in the catalog. Fix: use one of to_lake" in ran.err
