"""The command line of the demonstration: `python -m replication_assets.demo run`, or `dev`.

Heavy imports wait until there is something to do: `--help` answers at once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import Console
from rich.markup import escape

from replication_assets.demo.catalog import (
    DEFAULT_FOLDER,
    DEFAULT_PORT,
    FOLDER_VARIABLE,
    PORT_VARIABLE,
)
from replication_assets.errors import ReplicationError

INTERRUPTED = 130
"""What a shell says of a program that Ctrl-C ended."""

app = typer.Typer(
    name="python -m replication_assets.demo",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="A complete, real system on this machine: PostgreSQL, event store, lakehouse, Dagster.",
)

Folder = Annotated[
    Path, typer.Option(envvar=FOLDER_VARIABLE, help="Where everything is kept. Ours alone: it is deleted.")
]
Port = Annotated[
    int, typer.Option(envvar=PORT_VARIABLE, min=1, max=65535, help="Port of PostgreSQL on 127.0.0.1.")
]
Events = Annotated[int, typer.Option(min=1_000, help="Rows of the largest table, order_events.")]
Rate = Annotated[float, typer.Option(min=1, help="Transactions a second of the live traffic.")]


@app.command(
    epilog="Example: python -m replication_assets.demo run --events 1000000",
)
def run(
    folder: Folder = Path(DEFAULT_FOLDER),
    port: Port = DEFAULT_PORT,
    events: Events = 200_000,
    seconds: Annotated[float, typer.Option(min=0, help="Live traffic after the loads.")] = 10.0,
    rate: Rate = 100.0,
    backlog: Annotated[int, typer.Option(min=1, help="Transactions of 150 changes that pile up.")] = 400,
) -> None:
    """The whole job from an empty folder, with live traffic, to a row-by-row comparison.

    Takes under two minutes. Ends with code 1 if one row differs.
    """
    from replication_assets.demo.run import RunOptions
    from replication_assets.demo.run import run as demonstrate

    with _told():
        outcome = demonstrate(RunOptions(folder, port, events, seconds, rate, backlog), Console())
    raise typer.Exit(0 if outcome.sound else 1)


@app.command(
    epilog="Example: python -m replication_assets.demo dev --rate 20",
)
def dev(
    folder: Folder = Path(DEFAULT_FOLDER),
    port: Port = DEFAULT_PORT,
    events: Events = 200_000,
    rate: Rate = 20.0,
    ui_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the Dagster UI; the next free one if it is taken.")
    ] = 3000,
) -> None:
    """The same system left running: traffic, capture, lakehouse, and the Dagster UI. Ctrl-C ends it.

    Continues what is in the folder; an empty one is set up and loaded first.
    """
    from replication_assets.demo.dev import DevOptions
    from replication_assets.demo.dev import dev as keep_running

    with _told():
        keep_running(DevOptions(folder, port, events, rate, ui_port), Console())


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the project are one paragraph, and Ctrl-C is no error: never a traceback."""
    import dagster as dg

    console = Console(stderr=True)
    # SIGINT too: a shell that is not interactive starts programs with it ignored, and Dagster
    # gives SIGTERM whatever handler SIGINT has.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        console.print("\nStopped. Everything that was started has ended.")
        raise typer.Exit(INTERRUPTED) from None
    except psycopg.Error as refused:
        # The first line: further ones may quote rows.
        _fail(console, f"PostgreSQL: {str(refused).splitlines()[0]}. Fix: read postgres.log in the folder")
    except ReplicationError as error:
        _fail(console, str(error))


def _fail(console: Console, words: str) -> None:
    console.print(f"[bold red]Failed.[/bold red] {escape(words)}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
