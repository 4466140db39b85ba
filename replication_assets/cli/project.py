"""`project`: bring projections up to what the event store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli.exits import Interrupted
from replication_assets.cli.options import CatalogOption, TablesArgument, chosen_projections, open_replication

if TYPE_CHECKING:
    from replication_assets.cli.dagster_view import DagsterView
    from replication_assets.cli.output import Work
    from replication_assets.declarations import Projection, Table
    from replication_assets.replication import Replication


def project(
    projection: Annotated[str | None, typer.Argument(help="The projection; all unless named.")] = None,
    tables: TablesArgument = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Replay from nothing.")] = False,
    catalog: CatalogOption = "",
) -> None:
    """Bring projections forward, id range by id range. A range that was emptied or loaded again is rebuilt.

    Ranges that have no load yet are passed over, and named.
    """
    from replication_assets.cli.dagster_view import DagsterView
    from replication_assets.cli.output import say, working

    replication = open_replication(catalog)
    chosen = chosen_projections(replication, projection, tables)
    total, view = _Total(), DagsterView()
    with working() as work:
        try:
            for number, (each, table) in enumerate(chosen, start=1):
                work.begin(f"{each.name} {table.id}", None, "id ranges")
                _project(replication, each, table, rebuild, work, total, view)
                work.note(f"{number} of {len(chosen)} tables")
        except KeyboardInterrupt:
            kept = f"{total.ranges} id ranges are projected and kept; the one in hand stays as it was."
            raise Interrupted(kept) from None
        took = work.seconds
    say(
        f"{total.ranges} id ranges: {total.rows:,} rows, {total.changed:,} written in {took:.1f} s, "
        f"{total.changed / took:,.0f} rows/s",
        "bold",
    )
    if total.waiting:
        say(f"Not loaded yet, and so not projected: {', '.join(total.waiting)}. Fix: replication-assets load")


class _Total:
    def __init__(self) -> None:
        self.ranges = self.rows = self.changed = 0
        self.waiting: list[str] = []


def _project(
    replication: Replication,
    projection: Projection,
    table: Table,
    rebuild: bool,
    work: Work,
    total: _Total,
    view: DagsterView,
) -> None:
    from replication_assets.errors import NotLoaded
    from replication_assets.flows.project import project_range
    from replication_assets.flows.read import ranges_of
    from replication_assets.flows.refusals import handling_of

    log = replication.store().log(table.id)
    if not log.exists():
        total.waiting.append(str(table.id))
        return
    snapshot, target = log.snapshot(), replication.target(projection, table.id)
    handling = handling_of(replication.store(), projection, table.id)
    for id_range in ranges_of(snapshot):
        name = f"{projection.name} {table.id} {id_range.key}"
        try:
            receipt = project_range(snapshot, table.id, target, id_range, rebuild=rebuild, handling=handling)
        except NotLoaded:
            total.waiting.append(f"{table.id} {id_range.key}")
            continue
        total.ranges, total.rows = total.ranges + 1, total.rows + receipt.rows
        total.changed += receipt.changed
        view.projected(projection, table.id, receipt, snapshot.schema)
        work.rows(name, receipt.changed)
        rate = receipt.changed / max(receipt.seconds, 0.001)
        work.done(
            f"{name}: {receipt.how}, {receipt.rows:,} rows, {receipt.changed:,} written in "
            f"{receipt.seconds:.1f} s, {rate:,.0f} rows/s"
        )
