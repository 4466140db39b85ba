"""`dead-letters`: rows that projections refused, and what to do about them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replication_assets.cli import exits
from replication_assets.cli.lifecycle import YesOption, agreed
from replication_assets.cli.options import (
    CatalogOption,
    JsonOption,
    TablesArgument,
    chosen_rows,
    chosen_topics,
    open_replication,
)
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from replication_assets.core.schema import TableId
    from replication_assets.declarations import Projection, TopicProjection
    from replication_assets.flows.refusals import Handling
    from replication_assets.ports import DeadLetter
    from replication_assets.replication import Replication

ProjectionArgument = Annotated[str | None, typer.Argument(help="The projection; all unless named.")]
OneProjection = Annotated[str, typer.Argument(help="The projection.")]


@dataclass(frozen=True)
class _Box:
    """The dead letters of one table in one projection."""

    projection: Projection | TopicProjection
    table: TableId
    handling: Handling

    @property
    def name(self) -> str:
        return f"{self.projection.name} {self.table}"


def _boxes(replication: Replication, projection: str | None, tables: list[str] | None) -> list[_Box]:
    """Those of projections that can refuse rows.

    Raises:
        CatalogError: a name fits nothing, or the projection that is named refuses nothing.
    """
    from replication_assets.flows.publish import letters_of
    from replication_assets.flows.refusals import handling_of

    store = replication.store()
    found = [
        _Box(each, table.id, handling)
        for each, table in chosen_rows(replication, projection, tables)
        if (handling := handling_of(store, each, table.id)) is not None
    ]
    found += [
        _Box(each, table.id, letters_of(store, each, table.id))
        for each, table in chosen_topics(replication, projection, tables)
    ]
    if projection is not None and not found:
        problem = f"projection {projection} takes every row, and so has no dead letters. Fix: name another"
        raise CatalogError([problem], where="command line")
    return found


def list_(
    projection: ProjectionArgument = None,
    tables: TablesArgument = None,
    as_json: JsonOption = False,
    catalog: CatalogOption = "",
) -> None:
    """How many are open, by table and reason, and which tables are suspended. Ends with 3 if any is."""
    from replication_assets.cli.output import Heading, say, show_json, show_table

    counted: list[dict[str, Any]] = []
    for box in _boxes(open_replication(catalog), projection, tables):
        counted += _counted(box)
    if as_json:
        show_json({"open": sum(each["open"] for each in counted), "dead_letters": counted})
    elif counted:
        headings = [Heading("projection"), Heading("table"), Heading("open", True), Heading("reason")]
        headings += [Heading("column"), Heading("suspended")]
        cells = [["" if cell is None else str(cell) for cell in each.values()] for each in counted]
        show_table(headings, cells, names=2)
    else:
        say("No dead letter is open.")
    raise typer.Exit(exits.FOUND if counted else exits.OK)


def _counted(box: _Box) -> list[dict[str, Any]]:
    suspension = box.handling.letters.suspended()
    suspended = suspension.reason if suspension is not None else None
    rows = box.handling.letters.open_rows().group_by(["reason", "column"]).aggregate([([], "count_all")])
    found = [(row["count_all"], row["reason"], row["column"]) for row in rows.to_pylist()]
    if not found and suspended is not None:
        found = [(0, None, None)]
    return [
        {
            "projection": box.projection.name,
            "table": str(box.table),
            "open": number,
            "reason": reason,
            "column": column,
            "suspended": suspended,
        }
        for number, reason, column in sorted(found, key=lambda each: (-each[0], str(each)))
    ]


def show(
    projection: OneProjection,
    table: Annotated[str, typer.Argument(help="The table.")],
    limit: Annotated[int, typer.Option(min=1, help="Letters to show, oldest first.")] = 100,
    events: Annotated[
        bool,
        typer.Option("--events", help="The stored events they speak of, as JSON lines: values included."),
    ] = False,
    catalog: CatalogOption = "",
) -> None:
    """The open letters of one table: keys, reasons, attempts. With --events the rows themselves."""
    from replication_assets.cli.output import say
    from replication_assets.flows.dead_letters import letter_events

    replication = open_replication(catalog)
    (box,) = _boxes(replication, projection, [table])
    letters = box.handling.letters.open()
    if events:
        from replication_assets.flows.query import json_lines_of

        for line in json_lines_of(letter_events(replication.store(), box.table, letters[:limit])):
            sys.stdout.write(line + "\n")
    else:
        _show(letters[:limit])
    if len(letters) > limit:
        say(f"{len(letters) - limit:,} more are open. Fix: --limit {len(letters)} for all")


def _show(letters: tuple[DeadLetter, ...]) -> None:
    from replication_assets.cli.output import Heading, show_table

    rows = [
        [
            letter.refusal.key,
            str(letter.refusal.position),
            letter.refusal.column or "",
            letter.refusal.reason,
            letter.refusal.detail,
            str(letter.attempts),
            letter.first_at.isoformat(timespec="seconds"),
            letter.last_at.isoformat(timespec="seconds"),
        ]
        for letter in letters
    ]
    names = ["key", "position", "column", "reason", "detail", "attempts", "first", "last"]
    show_table([Heading(name, name == "attempts") for name in names], rows, names=1)


def retry(
    projection: ProjectionArgument = None, tables: TablesArgument = None, catalog: CatalogOption = ""
) -> None:
    """Write what the rows are now; an old event never beats a newer one.

    Ends with 3 if a row is refused again.
    """
    from replication_assets.cli.output import say, working
    from replication_assets.declarations import TopicProjection
    from replication_assets.flows.dead_letters import RetryReceipt
    from replication_assets.flows.dead_letters import retry as reprocess

    replication = open_replication(catalog)
    store = replication.store()
    boxes = [box for box in _boxes(replication, projection, tables) if box.handling.letters.count()]
    total = RetryReceipt()
    with working() as work:
        work.begin("retrying", len(boxes), "tables")
        for box in boxes:
            if isinstance(box.projection, TopicProjection):
                work.done(f"{box.name}: told again when its rows change, or by project --rebuild")
                continue
            target = replication.target(box.projection, box.table)
            receipt = reprocess(store, target, box.handling, box.table)
            total += receipt
            work.done(f"{box.name}: {_told(receipt)}")
    say(_told(total), "bold")
    raise typer.Exit(exits.FOUND if total.refused or total.waiting else exits.OK)


def _told(receipt: Any) -> str:
    return (
        f"{receipt.applied:,} applied, {receipt.superseded:,} superseded by newer events, "
        f"{receipt.refused:,} refused again, {receipt.waiting:,} wait for their range to be projected"
    )


def discard(
    projection: OneProjection,
    tables: TablesArgument = None,
    yes: YesOption = False,
    catalog: CatalogOption = "",
) -> None:
    """Give the open letters up: the target stays without these rows until they change again."""
    from replication_assets.cli.output import are, say, things
    from replication_assets.flows.dead_letters import discard as give_up

    boxes = _boxes(open_replication(catalog), projection, tables)
    number = sum(box.handling.letters.count() for box in boxes)
    agreed(yes, f"Discard {things(number, 'dead letter')} of {projection}? Their rows stay out of it")
    given_up = sum(give_up(box.handling) for box in boxes)
    say(f"{things(given_up, 'dead letter')} {are(given_up)} discarded", "bold")


def resume(projection: OneProjection, tables: TablesArgument = None, catalog: CatalogOption = "") -> None:
    """Let suspended tables be projected again. Next: replication-assets project."""
    from replication_assets.cli.output import say
    from replication_assets.flows.dead_letters import resume as let_go_on

    for box in _boxes(open_replication(catalog), projection, tables):
        done = let_go_on(box.handling)
        say(f"{box.name}: {'resumed' if done else 'was not suspended'}")


_COMMANDS = (
    (list_, "list", "list dynamo"),
    (show, "show", "show dynamo orders --events"),
    (retry, "retry", "retry dynamo orders"),
    (discard, "discard", "discard dynamo orders"),
    (resume, "resume", "resume dynamo orders"),
)


def group() -> typer.Typer:
    app = typer.Typer(
        no_args_is_help=True, help="Rows that projections refused: look, retry, discard, resume."
    )
    for function, name, example in _COMMANDS:
        app.command(name, epilog=f"Example: replication-assets dead-letters {example}")(function)
    return app
