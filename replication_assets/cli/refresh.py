"""`refresh plan`, `run`, `status` and `audit`."""

from __future__ import annotations

import getpass
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli import exits
from replication_assets.cli.exits import Interrupted
from replication_assets.cli.options import CatalogOption, JsonOption, open_replication
from replication_assets.errors import CatalogError, ReplicationError, is_interrupt

if TYPE_CHECKING:
    from replication_assets.cli.output import Work
    from replication_assets.flows.refresh.refreshing import Progress, Refreshing
    from replication_assets.replication import Replication

NameArgument = Annotated[str, typer.Argument(metavar="REFRESH", help="The refresh, as declared.")]
EnvironmentArgument = Annotated[
    str, typer.Argument(metavar="ENVIRONMENT", help="The environment, as declared.")
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Begin anew, even if a failed run could be resumed.")
]


def plan(name: NameArgument, catalog: CatalogOption = "") -> None:
    """Say what a refresh would copy, as of when and how much. Begins and writes nothing."""
    from replication_assets.cli.output import say, show
    from replication_assets.flows.refresh.plan import explain, preview_refresh

    refreshing = opened(name, catalog)
    preview = preview_refresh(refreshing)
    show(explain(refreshing, preview.plan))
    if preview.resumed:
        say("a run would take up this plan, which a failed one left; `refresh run --fresh` begins anew")
    else:
        say("nothing was begun: a run makes its own plan, as of what is captured then")


def run(
    name: NameArgument, fresh: FreshOption = False, as_json: JsonOption = False, catalog: CatalogOption = ""
) -> None:
    """Plan, mask, load, verify and publish. A failed run is taken up where it stopped."""
    from replication_assets.cli.output import count, say, show_json, working
    from replication_assets.flows.refresh.run import run_refresh

    refreshing = opened(name, catalog)
    with working() as work:
        work.begin(f"refresh {name}", None, "steps")
        try:
            copy = run_refresh(refreshing, run=run_id(), fresh=fresh, progress=told_by(work))
        except (KeyboardInterrupt, RuntimeError) as error:
            if not is_interrupt(error):
                raise
            kept = "Readers keep the copy that they had; the next run goes on where this one stopped."
            raise Interrupted(kept) from None
    rows = sum(table.rows for table in copy.tables)
    if as_json:
        show_json(
            {
                "refresh": copy.refresh,
                "id": copy.id,
                "published_at": copy.published_at.isoformat(),
                "policy": copy.policy,
                "key_id": copy.key_id,
                "tables": {str(table.table): {"rows": table.rows} for table in copy.tables},
            }
        )
    else:
        say(
            f"{refreshing.environment.name} is refreshed: {len(copy.tables)} tables, {count(rows)} rows, "
            f"every proof passed",
            "bold",
        )


def status(catalog: CatalogOption = "") -> None:
    """Say of every declared refresh what is published, and what is under way."""
    from replication_assets.cli.output import Heading, count, say, show_table
    from replication_assets.core.refresh.plan import RefreshPlan
    from replication_assets.flows.refresh.refreshing import Refreshing

    replication = open_replication(catalog)
    rows, unknown = [], []
    for declared in replication.catalog.refreshes:
        refreshing = Refreshing.of(replication, declared.name, who=who())
        staged = refreshing.staging.plan()
        under_way = RefreshPlan.from_json(staged).id if staged else ""
        try:
            copy = refreshing.target.published() if refreshing.target.marker() is not None else None
        except ReplicationError as error:
            # One environment that does not answer hides no other.
            unknown.append(str(error))
            rows.append((declared.name, declared.environment, "unknown", "", under_way))
            continue
        mine = copy if copy is not None and copy.refresh == declared.name else None
        published = f"{mine.published_at:%Y-%m-%d %H:%M}Z" if mine else "never"
        copied = count(sum(table.rows for table in mine.tables)) if mine else ""
        rows.append((declared.name, declared.environment, published, copied, under_way))
    show_table(
        [
            Heading("refresh"),
            Heading("environment"),
            Heading("published"),
            Heading("rows", True),
            Heading("under way"),
        ],
        rows,
        names=1,
    )
    for words in unknown:
        say(words)
    if unknown:
        raise typer.Exit(exits.FAILED)


def audit(name: EnvironmentArgument, as_json: JsonOption = False, catalog: CatalogOption = "") -> None:
    """Show what was done to an environment, once the chain of its lines is found whole."""
    from replication_assets.cli.output import Heading, say, show_json, show_table, things

    replication = open_replication(catalog)
    require_environment(replication, name)
    lines = replication.store().audit(name).lines()
    if as_json:
        show_json(
            [
                {
                    "number": line.number,
                    "at": line.at.isoformat(),
                    "refresh": line.refresh,
                    "id": line.refresh_id,
                    "what": line.what,
                    "who": line.who,
                    "body": dict(line.body),
                    "hash": line.hash,
                }
                for line in lines
            ]
        )
        return
    headings = [Heading("line", True), *map(Heading, ("at", "refresh", "what", "who", "hash"))]
    show_table(
        headings,
        [
            (
                str(each.number),
                f"{each.at:%Y-%m-%d %H:%M:%S}Z",
                each.refresh,
                each.what,
                each.who,
                each.hash[:16],
            )
            for each in lines
        ],
        names=2,
    )
    say(f"the chain of {things(len(lines), 'line')} is whole")


def opened(name: str, catalog: str) -> Refreshing:
    """Raises CatalogError for a refresh that is not declared."""
    from replication_assets.flows.refresh.refreshing import Refreshing

    replication = open_replication(catalog)
    known = [each.name for each in replication.catalog.refreshes]
    if name not in known:
        listed = f"use one of {', '.join(known)}" if known else "declare it: Catalog(refreshes=[...])"
        raise CatalogError([f"refresh {name!r} is not in the catalog. Fix: {listed}"], where="command line")
    return Refreshing.of(replication, name, who=who())


def require_environment(replication: Replication, name: str) -> None:
    """Raises CatalogError for an environment that is not declared."""
    known = [each.name for each in replication.catalog.environments]
    if name not in known:
        listed = f"use one of {', '.join(known)}" if known else "declare it: Catalog(environments=[...])"
        problem = f"environment {name!r} is not in the catalog. Fix: {listed}"
        raise CatalogError([problem], where="command line")


def told_by(work: Work) -> Progress:
    """A line for each step and table, and a rate on a terminal."""
    from replication_assets.flows.refresh.refreshing import StepProgress

    seen: set[tuple[str, str]] = set()

    def progress(step: StepProgress) -> None:
        if (step.step, step.table) not in seen:
            seen.add((step.step, step.table))
            work.done(f"{step.step}  {step.table}")
        of = f" of {step.of:,}" if step.of is not None else ""
        work.note(f"{step.step} {step.table}: {step.rows:,}{of} rows")

    return progress


def who() -> str:
    """The account that runs the command: what the audit says of it."""
    try:
        return f"{getpass.getuser()} by command"
    except (OSError, KeyError):
        return "command"


def run_id() -> str:
    return f"command {uuid.uuid4().hex[:12]}"


def group() -> typer.Typer:
    """The commands under `refresh`, each with its example."""
    commands = typer.Typer(no_args_is_help=True, help="Masked copies of tables into other environments.")
    for command, example in (
        (plan, "plan qa_nightly"),
        (run, "run qa_nightly"),
        (status, "status"),
        (audit, "audit qa"),
    ):
        commands.command(epilog=f"Example: replication-assets refresh {example}")(command)
    return commands
