"""`metrics`: how everything fares, as Prometheus text."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli.options import CatalogOption, open_replication
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replication_assets.ports.watch import Metric
    from replication_assets.replication import Replication


def metrics(
    serve: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Answer GET /metrics on this port until Ctrl-C."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to serve on; 0.0.0.0 for all.")] = "127.0.0.1",
    catalog: CatalogOption = "",
) -> None:
    """Lag, throughput, headroom, dead letters and alarms as Prometheus text, with DMS's names.

    Rates need two looks: --serve gives them from the second scrape on.
    """
    from replication_assets.metrics.prometheus import render

    replication = open_replication(catalog)
    collect = _collector(replication)
    if serve is None:
        sys.stdout.write(render(collect()).decode())
        return
    _serve(collect, host, serve)


def _collector(replication: Replication) -> Callable[[], Sequence[Metric]]:
    from threading import Lock

    from replication_assets.flows.watch.look import Memory, look
    from replication_assets.flows.watch.metrics import metrics_of

    memory, alone = Memory(), Lock()

    def collect() -> Sequence[Metric]:
        with alone:
            return metrics_of(look(replication, memory))

    return collect


def _serve(collect: Callable[[], Sequence[Metric]], host: str, port: int) -> None:
    from replication_assets.cli.output import say
    from replication_assets.metrics.prometheus import server

    try:
        exposition = server(collect, host, port)
    except OSError as error:
        problem = f"port {port} of {host} cannot be served on: {error.strerror}. Fix: --serve another port"
        raise CatalogError([problem], where="command line") from error
    with exposition:
        say(f"Serving http://{host}:{port}/metrics. Ctrl-C ends it.")
        exposition.serve_forever(poll_interval=0.2)
