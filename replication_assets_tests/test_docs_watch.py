"""The guide to the watch is true: its code runs, its tables are those of the program."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

from replication_assets.catalog import Catalog, Table, Watch
from replication_assets.declarations.watch import ALL_EVENTS
from replication_assets.flows.watch.metrics import FIGURES
from replication_assets.ports.watch import Kind, as_json
from replication_assets_tests.e2e.system import system_of
from replication_assets_tests.markdown import ROOT, code, quoted, rows
from replication_assets_tests.notify.samples import LAG
from replication_assets_tests.postgres_servers import FreshDatabase

GUIDE = ROOT / "docs" / "watch.md"


def test_the_declared_watch_is_sound() -> None:
    names: dict[str, object] = {}
    exec(code(GUIDE, "Declaring it"), names)
    catalog = names["catalog"]
    assert isinstance(catalog, Catalog)
    assert catalog.problems() == ()


def test_the_kinds_are_those_that_channels_choose_from() -> None:
    documented = [cells[0].strip("`") for cells in rows(GUIDE, "What is watched")]
    assert documented == list(ALL_EVENTS) == list(get_args(Kind))


def test_the_defaults_are_as_documented() -> None:
    for name, default, _ in rows(GUIDE, "Limits"):
        (field,) = quoted(name)
        if hasattr(Watch(), field):
            value = getattr(Watch(), field)
            shown = {"none": None, "64 GiB": 64 * 2**30}.get(default, default)
            assert value == (float(shown) if isinstance(shown, str) else shown), field


def test_every_metric_is_documented_with_its_unit_and_dimensions() -> None:
    documented = [(cells[0].strip("`"), cells[1], cells[2], cells[4]) for cells in rows(GUIDE, "Metrics")]
    assert documented == [(each.name, each.unit, each.of, each.help) for each in FIGURES]


def test_the_message_has_the_fields_that_are_sent() -> None:
    message = json.loads(code(GUIDE, "What a message looks like", "json"))
    assert message["notifications"][0].keys() == as_json([LAG])[0].keys()


def test_the_figures_are_read_from_python(database: FreshDatabase, tmp_path: Path) -> None:
    system = system_of(database, tmp_path, [Table("app.public.t")])
    system.execute("CREATE TABLE t (id int PRIMARY KEY)")
    system.prepare()
    names: dict[str, object] = {"replication": system.replication}
    exec(code(GUIDE, "From Python"), names)
    assert re.search(r'^replication_assets_source_reachable\{source="app"\} 1\.0$', str(names["text"]), re.M)
