"""What the runbook and the guide to cutovers tell people to type, exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from replication_assets import errors
from replication_assets.cli.app import make_app
from replication_assets.defs.build import build_definitions
from replication_assets_tests.markdown import ROOT, code, quoted, rows

CUTOVER = ROOT / "docs" / "cutover.md"
WATCH = ROOT / "docs" / "watch.md"
RUNBOOK = ROOT / "docs" / "runbook.md"
REFRESH = ROOT / "docs" / "refresh.md"
MASKING = ROOT / "docs" / "masking.md"


def commands(document: Path) -> list[str]:
    """What is to be typed: in shell blocks, and between backticks."""
    text = document.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()] + quoted(text)
    found = (line.partition("#")[0].strip() for line in lines)
    return [line for line in found if line.startswith("replication-assets ")]


@pytest.mark.parametrize("document", [CUTOVER, RUNBOOK, REFRESH, MASKING], ids=lambda path: path.name)
def test_every_command_that_is_to_be_typed_exists_with_its_options(document: Path) -> None:
    typed = commands(document)
    assert typed
    for line in typed:
        command: Any = typer.main.get_command(make_app(plain=True))
        words = shlex.split(line)[1:]
        while words and hasattr(command, "commands"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_the_catalog_of_the_cutover_guide_is_sound_and_has_the_jobs_that_are_named() -> None:
    names: dict[str, Any] = {}
    exec(compile(code(CUTOVER, "Declare"), "cutover.md", "exec"), names)
    catalog = names["catalog"]
    assert catalog.problems() == ()
    jobs = {job.name for job in build_definitions(catalog).resolve_all_job_defs()}
    named = set(re.findall(r"`(orders_to_lake_\w+)`", CUTOVER.read_text()))
    assert named == {f"orders_to_lake_{each}" for each in ("plan", "cutover", "back", "retire")}
    assert named <= jobs
    definition = build_definitions(catalog).resolve_job_def("orders_to_lake_cutover")
    (picture,) = [line for line in code(CUTOVER, "Run", "text").splitlines() if line]
    assert picture.split(" -> ") == [node.name for node in definition.nodes_in_topological_order]


def test_the_metrics_and_errors_of_the_runbook_exist() -> None:
    metrics = {quoted(row[0])[0] for row in rows(WATCH, "Metrics")}
    of_aws = {"WriteThrottleEvents", "ConsumedWriteCapacityUnits"}
    named = {word for word in quoted(RUNBOOK.read_text()) if re.fullmatch(r"[A-Z]\w*[a-z][A-Z]\w+", word)}
    assert {"CDCLatencySource", "SlotHeadroomHours", "SlotLost", "CommitConflict"} <= named
    assert named <= metrics | set(vars(errors)) | of_aws


def test_the_gates_of_the_guide_are_those_of_the_report() -> None:
    from replication_assets.flows.cutover import agreement, gates

    constants = {value for name, value in vars(gates).items() if name.isupper() and type(value) is str}
    known = constants | {agreement.AGAINST_SOURCE, agreement.AGAINST_STORE, "earlier attempt"}
    assert {row[0] for row in rows(CUTOVER, "The gates")} == known - {"log headroom"}
