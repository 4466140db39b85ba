"""The list of commands, in the order in which help shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from replication_assets.cli.capture import capture
from replication_assets.cli.check import check
from replication_assets.cli.cutover import group as cutover_group
from replication_assets.cli.dead_letters import group as dead_letters_group
from replication_assets.cli.dms import group as dms_group
from replication_assets.cli.lifecycle import compact, recover, setup, teardown
from replication_assets.cli.load import load
from replication_assets.cli.mask import group as mask_group
from replication_assets.cli.metrics import metrics
from replication_assets.cli.overhead import overhead
from replication_assets.cli.project import project
from replication_assets.cli.query import query
from replication_assets.cli.refresh import group as refresh_group
from replication_assets.cli.sample import demo, dev
from replication_assets.cli.status import status
from replication_assets.cli.validation import repair, validate

_COMMANDS: tuple[tuple[Callable[..., Any], str], ...] = (
    (demo, "demo"),
    (dev, "dev"),
    (check, "check --catalog shop:catalog"),
    (setup, "setup shop"),
    (load, "load shop.public.orders --parallel 4"),
    (capture, "capture shop --continuous"),
    (project, "project lake orders"),
    (validate, "validate lake orders"),
    (repair, "repair lake orders"),
    (status, "status --watch 5"),
    (query, 'query "SELECT status, count(*) FROM now.orders GROUP BY 1" --as-of 2026-06-01T00:00Z'),
    (metrics, "metrics --serve 9187"),
    (overhead, "overhead shop --scale 0.05 --rounds 5 --seconds 5"),
    (compact, "compact orders"),
    (recover, "recover shop"),
    (teardown, "teardown shop"),
)
"""Each with its example, without the name of the program."""


def add_to(app: typer.Typer) -> None:
    for function, example in _COMMANDS:
        app.command(epilog=f"Example: replication-assets {example}")(function)
    app.add_typer(dead_letters_group(), name="dead-letters")
    app.add_typer(cutover_group(), name="cutover")
    app.add_typer(mask_group(), name="mask")
    app.add_typer(refresh_group(), name="refresh")
    app.add_typer(dms_group(), name="dms")
