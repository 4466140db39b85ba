"""`status`: how sources, tables and projections fare."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli import exits
from replication_assets.cli.options import CatalogOption, JsonOption, open_replication

if TYPE_CHECKING:
    from replication_assets.flows.status import Status
    from replication_assets.flows.watch.health import Health
    from replication_assets.flows.watch.readings import Readings
    from replication_assets.replication import Replication


_PROJECTIONS = "Projections"


def health_errors(health: Health) -> list[str]:
    """What could not be read, each cause once."""
    told = [source.error for source in health.sources]
    told += [table.error for table in health.tables]
    told += [projection.error for projection in health.projections]
    return list(dict.fromkeys(error for error in told if error))


def status(
    as_json: JsonOption = False,
    watch: Annotated[
        float | None,
        typer.Option(min=0.5, metavar="SECONDS", help="Look again every so many seconds, until Ctrl-C."),
    ] = None,
    catalog: CatalogOption = "",
) -> None:
    """How sources, tables and projections fare: slots, ranges loaded, positions, lag, dead letters.

    Reads the source, the event store and the targets; asks no orchestrator. Ends with 3 if something
    cannot be read or a slot is lost. The keys of --json are documented and stay.
    """
    from replication_assets.flows.status import read_status
    from replication_assets.flows.watch.readings import Readings

    replication = open_replication(catalog)
    readings = Readings()
    if watch is not None:
        _watch(replication, readings, watch, as_json)
        return
    found = read_status(replication, readings)
    _print(found, as_json)
    raise typer.Exit(exits.FOUND if _is_wrong(found) else exits.OK)


def _watch(replication: Replication, readings: Readings, every: float, as_json: bool) -> None:
    from replication_assets.cli.status_json import document
    from replication_assets.flows.status import read_status

    while True:
        found = read_status(replication, readings)
        if as_json:
            import json

            # One line a look: a stream of documents that line tools can follow.
            sys.stdout.write(json.dumps(document(found), ensure_ascii=False) + "\n")
        else:
            if sys.stdout.isatty():
                sys.stdout.write("\x1b[H\x1b[2J")
            _print(found, as_json)
        sys.stdout.flush()
        time.sleep(every)


def _is_wrong(found: Status) -> bool:
    health = found.health
    known = [source.status for source in health.sources if source.set_up and source.status is not None]
    lost = any(each.state in ("lost", "missing") for each in known)
    return lost or bool(health_errors(health))


def _print(found: Status, as_json: bool) -> None:
    from replication_assets.cli.output import show, show_json, show_table
    from replication_assets.cli.status_json import document
    from replication_assets.cli.status_tables import projections, sources, tables, wrong

    if as_json:
        show_json(document(found))
        return
    for title, (headings, rows) in (
        ("Sources", sources(found)),
        ("Tables in the event store", tables(found)),
        (_PROJECTIONS, projections(found)),
    ):
        if rows:
            show(title, "bold")
            show_table(headings, rows, names=2 if title == _PROJECTIONS else 1)
            show("")
    disk = found.health.disk
    if disk is not None:
        from replication_assets.cli.output import size

        show(f"{size(disk.free_bytes)} of {size(disk.total_bytes)} are free on the disk of the event store")
    for line in wrong(found):
        show(line, "red")
