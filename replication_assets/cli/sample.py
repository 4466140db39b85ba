"""`demo` and `dev`: the sample system, which has a command line of its own too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_FOLDER = ".demo"
_PORT = 54329

Folder = Annotated[
    Path,
    typer.Option(
        envvar="REPLICATION_ASSETS_DEMO_FOLDER", help="Where everything is kept. Ours alone: it is deleted."
    ),
]
Port = Annotated[
    int,
    typer.Option(
        envvar="REPLICATION_ASSETS_DEMO_PORT", min=1, max=65535, help="Port of PostgreSQL on 127.0.0.1."
    ),
]
Events = Annotated[int, typer.Option(min=1_000, help="Rows of the largest table, order_events.")]
Rate = Annotated[float, typer.Option(min=1, help="Transactions a second of the live traffic.")]


def demo(
    folder: Folder = Path(_FOLDER),
    port: Port = _PORT,
    events: Events = 200_000,
    seconds: Annotated[float, typer.Option(min=0, help="Live traffic after the loads.")] = 10.0,
    rate: Rate = 100.0,
    backlog: Annotated[int, typer.Option(min=1, help="Transactions of 150 changes that pile up.")] = 400,
) -> None:
    """The whole job on a real system of its own, with live traffic, to a row-by-row comparison.

    Takes some two minutes. Ends with 1 if one row differs.
    """
    from replication_assets.demo.__main__ import run

    run(folder, port, events, seconds, rate, backlog)


def dev(
    folder: Folder = Path(_FOLDER),
    port: Port = _PORT,
    events: Events = 200_000,
    rate: Rate = 20.0,
    ui_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the Dagster UI; the next free one if it is taken.")
    ] = 3000,
) -> None:
    """The sample system left running, with the Dagster UI open. Ctrl-C ends it.

    Continues what is in the folder; an empty one is set up and loaded first.
    """
    from replication_assets.demo.__main__ import dev as keep_running

    keep_running(folder, port, events, rate, ui_port)
