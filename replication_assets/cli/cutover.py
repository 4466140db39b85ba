"""`cutover plan`, `run`, `back`, `retire` and `status`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli import exits
from replication_assets.cli.options import CatalogOption, JsonOption, open_replication
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from replication_assets.core.cutover import Report
    from replication_assets.flows.cutover.attempt import Attempt
    from replication_assets.flows.cutover.handover import Handover

NameArgument = Annotated[str, typer.Argument(metavar="CUTOVER", help="The cutover, as declared.")]
ConfirmOption = Annotated[
    str, typer.Option("--confirm", metavar="CUTOVER", help="Its name once more, instead of being asked.")
]


def plan(
    name: NameArgument,
    capture: Annotated[
        bool, typer.Option("--capture", help="Capture what is committed, so that every row can be compared.")
    ] = False,
    as_json: JsonOption = False,
    catalog: CatalogOption = "",
) -> None:
    """Say what would hold a cutover up if it began now. Reads only; nothing is waited for."""
    from replication_assets.flows.cutover.plan import plan as dry_run

    report = dry_run(_handover(name, catalog), capture=capture)
    _show(report, as_json)
    _end(report)


def run(
    name: NameArgument, confirm: ConfirmOption = "", as_json: JsonOption = False, catalog: CatalogOption = ""
) -> None:
    """Cut over: writes stopped, drained, validated, GO or NO-GO, switch, watch.

    The switch hook is called after GO only. A cutover that has switched is only watched.
    """
    from replication_assets.cli.output import say
    from replication_assets.errors import CutoverError
    from replication_assets.flows.cutover.steps import run as cut_over

    handover = _handover(name, catalog)
    _confirmed(name, confirm, f"Cut over to {handover.projection.name}")
    shown: list[Report] = []

    def tell(step: str, attempt: Attempt) -> None:
        for gate in attempt.gates if step != "switched" else ():
            if gate.name not in told:
                told.add(gate.name)
                say(f"{'pass' if gate.passed else 'HOLD'}  {gate.name}: {gate.what}")
        if step == "switched":
            say(f"switched; watching for {handover.cutover.watch_seconds:g} s")

    told: set[str] = set()
    try:
        watched = cut_over(handover, tell=tell, tell_report=shown.append)
    except CutoverError:
        if shown and shown[-1].verdict == "NO-GO":
            _show(shown[-1], as_json)
            _end(shown[-1])
        raise
    except KeyboardInterrupt:
        raise exits.Interrupted(f"The record says: {handover.log.history()}.") from None
    _show(watched, as_json)
    _end(watched)


def back(
    name: NameArgument,
    confirm: ConfirmOption = "",
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="Only note that somebody took readers back.")
    ] = False,
    catalog: CatalogOption = "",
) -> None:
    """Take readers back to the source, by the hook that the cutover declares."""
    from replication_assets.cli.output import say
    from replication_assets.flows.cutover.switch import back as take_back

    handover = _handover(name, catalog)
    _confirmed(name, confirm, "Take readers back to the source")
    take_back(handover, by_hand=by_hand)
    say(f"{name}: {handover.log.history()}", "bold")


def retire(
    name: NameArgument,
    confirm: ConfirmOption = "",
    force: Annotated[
        bool,
        typer.Option("--force", help="Although it did not pass, or others need the source; ends captures."),
    ] = False,
    catalog: CatalogOption = "",
) -> None:
    """Remove what capture made in the sources once a cutover passed, and prove that nothing is left."""
    from replication_assets.cli.output import say, show
    from replication_assets.flows.cutover.retire import retire as retire_it

    handover = _handover(name, catalog)
    _confirmed(name, confirm, f"Remove what capture made in {', '.join(handover.sources)}")
    done = retire_it(handover, confirm=name, force=force)
    for line in done.removed:
        show(f"removed  {line}")
    for line in done.kept:
        show(f"kept     {line}")
    say(f"{name} is retired; nothing of it is left on {', '.join(handover.sources)}", "bold")


def status(catalog: CatalogOption = "") -> None:
    """Say of every declared cutover how far it came."""
    from replication_assets.cli.output import Heading, show_table
    from replication_assets.flows.cutover.handover import Handover

    replication = open_replication(catalog)
    rows = []
    for cutover in replication.catalog.cutovers:
        history = Handover.of(replication, cutover.name).log.history()
        rows.append((cutover.name, cutover.projection, str(history)))
    show_table([Heading("cutover"), Heading("projection"), Heading("how far it came")], rows, names=1)


def _handover(name: str, catalog: str) -> Handover:
    from replication_assets.flows.cutover.handover import Handover

    replication = open_replication(catalog)
    known = [each.name for each in replication.catalog.cutovers]
    if name not in known:
        listed = f"use one of {', '.join(known)}" if known else "declare it: Catalog(cutovers=[Cutover(...)])"
        raise CatalogError([f"cutover {name!r} is not in the catalog. Fix: {listed}"], where="command line")
    return Handover.of(replication, name)


def _confirmed(name: str, confirm: str, question: str) -> None:
    """A person types the name; a script gives it."""
    if not confirm and sys.stdin.isatty():
        confirm = typer.prompt(f"{question}? Type the name of the cutover", err=True)
    if confirm != name:
        raise CatalogError([f"{question}: not confirmed. Fix: --confirm {name}"], where="command line")


def _show(report: Report, as_json: bool) -> None:
    from replication_assets.cli.output import show
    from replication_assets.core.cutover_report import body, text

    show(body(report) if as_json else text(report).rstrip("\n"))


def _end(report: Report) -> None:
    if report.verdict == "NO-GO":
        raise typer.Exit(exits.FOUND)


def group() -> typer.Typer:
    """The commands under `cutover`, each with its example."""
    commands = typer.Typer(no_args_is_help=True, help="Hand reads over from a source to a projection.")
    for command, example in (
        (plan, "plan orders_to_lake"),
        (run, "run orders_to_lake --confirm orders_to_lake"),
        (back, "back orders_to_lake"),
        (retire, "retire orders_to_lake"),
        (status, "status"),
    ):
        commands.command(epilog=f"Example: replication-assets cutover {example}")(command)
    return commands
