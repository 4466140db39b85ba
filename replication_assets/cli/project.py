"""`project`: bring projections up to what the event store holds, or fill them anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli import exits
from replication_assets.cli.exits import Interrupted
from replication_assets.cli.lifecycle import YesOption, agreed
from replication_assets.cli.options import (
    CatalogOption,
    TablesArgument,
    chosen_rows,
    chosen_topics,
    open_replication,
)
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from replication_assets.cli.dagster_view import DagsterView
    from replication_assets.cli.output import Work
    from replication_assets.declarations import Projection, Table, TopicProjection
    from replication_assets.replication import Replication


def project(
    projection: Annotated[str | None, typer.Argument(help="The projection; all unless named.")] = None,
    tables: TablesArgument = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Replay from nothing.")] = False,
    reset: Annotated[
        bool,
        typer.Option(
            "--reset", help="Empty the targets first, and fill all id ranges: a column changed its type."
        ),
    ] = False,
    yes: YesOption = False,
    catalog: CatalogOption = "",
) -> None:
    """Bring projections forward, id range by id range. A range that was emptied or loaded again is rebuilt.

    Topics get the events that are new; with --rebuild, every row again. Ranges without a load are passed
    over, and named. Ends with 3 while dead letters are open. A projection that fails stops no other.
    """
    from replication_assets.cli.dagster_view import DagsterView
    from replication_assets.cli.failures import Failures
    from replication_assets.cli.output import things, working

    replication = open_replication(catalog)
    chosen = chosen_rows(replication, projection, tables)
    topics = chosen_topics(replication, projection, tables)
    if reset:
        _agree_to_reset(replication, chosen, bool(topics) and projection is not None, yes)
    total, view, failures = _Total(), DagsterView(), Failures()
    with working() as work:
        try:
            for number, (each, table) in enumerate(chosen, start=1):
                work.begin(f"{each.name} {table.id}", None, "id ranges")
                with failures.of(f"{each.name} {table.id}"):
                    if reset:
                        _reset(replication, each, table, work)
                    _project(replication, each, table, rebuild, work, total, view)
                work.note(f"{number} of {things(len(chosen), 'table')}")
            for topic, table in topics:
                with failures.of(f"{topic.name} {table.id}"):
                    _publish(replication, topic, table, rebuild, work, total, view)
        except KeyboardInterrupt:
            done = things(total.ranges, "id range")
            raise Interrupted(
                f"{done} projected, which is kept; the one in hand stays as it was. Run it again to go on"
                f"{', without --reset' if reset else ''}."
            ) from None
        took = work.seconds
    _summarise(total, took)
    failures.end()
    raise typer.Exit(exits.FOUND if total.refused else exits.OK)


def _agree_to_reset(
    replication: Replication, chosen: Sequence[tuple[Projection, Table]], topic_named: bool, yes: bool
) -> None:
    if topic_named:
        problem = "topics hold events, and are not emptied. Fix: --rebuild, which tells every row again"
        raise CatalogError([problem], where="command line")
    names = ", ".join(f"{each.name} {table.id}" for each, table in chosen)
    for each, table in chosen:
        _require_fillable(replication, each, table)
    agreed(yes, f"Empty {names}, and fill it again? Readers miss rows meanwhile")


class _Total:
    def __init__(self) -> None:
        self.ranges = self.rows = self.changed = 0
        self.waiting: list[str] = []
        self.messages: int | None = None
        """Sent to topics; None if there was no topic to send any to."""
        self.refused: dict[str, int] = {}
        """Open dead letters, by projection."""


def _summarise(total: _Total, took: float) -> None:
    from replication_assets.cli.output import are, say, things

    say(
        f"{things(total.ranges, 'id range')}: {things(total.rows, 'row')}, {total.changed:,} written in "
        f"{took:.1f} s, {total.changed / took:,.0f} rows/s",
        "bold",
    )
    if total.messages is not None:
        say(f"{things(total.messages, 'message')} sent to topics", "bold")
    if total.waiting:
        say(f"Not loaded yet, and so not projected: {', '.join(total.waiting)}. Fix: replication-assets load")
    for projection, number in total.refused.items():
        letters = f"{things(number, 'dead letter')} {are(number)} open"
        say(f"Rows were refused: {letters}. See: replication-assets dead-letters list {projection}", "red")


def _require_fillable(replication: Replication, projection: Projection, table: Table) -> None:
    """What a reset empties must be there to fill it with.

    Raises:
        NotLoaded: rows of an id range are not known.
        TableSuspended: the table is left alone until somebody resumes it.
    """
    from replication_assets.core.baseline import baseline_of
    from replication_assets.errors import NeedsReload, NotLoaded
    from replication_assets.flows.read import ranges_of
    from replication_assets.flows.refusals import handling_of

    store = replication.store()
    handling = handling_of(store, projection, table.id)
    if handling is not None:
        handling.require_running()
    log, known, lacking = store.log(table.id), 0, []
    if log.exists():
        snapshot = log.snapshot()
        for id_range in ranges_of(snapshot):
            try:
                baseline_of(snapshot.controls(), id_range, where=str(table.id))
                known += 1
            except (NotLoaded, NeedsReload):
                lacking.append(id_range.key)
    if lacking or not known:
        names = ", ".join(lacking) or "its id ranges"
        raise NotLoaded(
            f"nothing was emptied: {names} cannot be filled from the event store",
            where=f"{projection.name} {table.id}",
            fix=f"replication-assets load {table.id}",
        )


def _reset(replication: Replication, projection: Projection, table: Table, work: Work) -> None:
    """Empty one target, and give it the columns of today."""
    from replication_assets.flows.prepare import open_table

    source, store = replication.source(table.id.source), replication.store()
    replication.target(projection, table.id).reset(open_table(source, store, table).schema)
    work.tell(f"{projection.name} {table.id}: emptied")


def _project(
    replication: Replication,
    projection: Projection,
    table: Table,
    rebuild: bool,
    work: Work,
    total: _Total,
    view: DagsterView,
) -> None:
    from replication_assets.cli.output import things
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
            f"{name}: {receipt.how}, {things(receipt.rows, 'row')}, {receipt.changed:,} written in "
            f"{receipt.seconds:.1f} s, {rate:,.0f} rows/s"
        )
    refused = handling.letters.count() if handling is not None else 0
    if refused:
        total.refused[projection.name] = total.refused.get(projection.name, 0) + refused


def _publish(
    replication: Replication,
    projection: TopicProjection,
    table: Table,
    rebuild: bool,
    work: Work,
    total: _Total,
    view: DagsterView,
) -> None:
    from replication_assets.cli.output import things
    from replication_assets.flows.publish import publisher

    work.begin(f"{projection.name} {table.id}", None, "messages")
    total.messages = total.messages or 0
    if not replication.store().log(table.id).exists():
        total.waiting.append(str(table.id))
        return
    found = publisher(replication, projection, table.id)
    receipt = found.publish(rebuild=rebuild)
    total.messages += receipt.messages
    total.waiting += [f"{table.id} {key}" for key in receipt.waiting]
    view.published(projection, receipt)
    rate = receipt.messages / max(receipt.seconds, 0.001)
    work.done(
        f"{projection.name} {table.id}: {things(receipt.messages, 'message')} in {receipt.seconds:.1f} s, "
        f"{rate:,.0f} messages/s"
    )
    refused = found.sender.handling.letters.count()
    if refused:
        total.refused[projection.name] = total.refused.get(projection.name, 0) + refused
