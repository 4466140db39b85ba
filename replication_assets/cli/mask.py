"""`mask suggest`, `setup`, `verify` and `drop`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from replication_assets.cli import exits
from replication_assets.cli.options import (
    CatalogOption,
    JsonOption,
    TablesArgument,
    chosen_tables,
    open_replication,
)
from replication_assets.cli.refresh import EnvironmentArgument, require_environment, run_id, who
from replication_assets.errors import CatalogError


class Format(StrEnum):
    """What a proposal is written in."""

    PYTHON = "python"
    YAML = "yaml"


def suggest(
    tables: TablesArgument = None,
    output: Annotated[Format, typer.Option("--format", help="python or yaml.")] = Format.PYTHON,
    name: Annotated[str, typer.Option(help="What the policy is called.")] = "proposed",
    rows: Annotated[int, typer.Option(min=0, help="Stored rows of each table that are looked at.")] = 1000,
    catalog: CatalogOption = "",
) -> None:
    """Propose a masking policy, from names, types and a sample of stored rows.

    It is printed with the reason for each column, to be read and declared. Nothing is applied, and no
    sampled value is shown.
    """
    from replication_assets.cli.output import say, show, things
    from replication_assets.core.masking.policy_text import as_python, as_yaml
    from replication_assets.core.masking.suggestions import proposed_policy
    from replication_assets.flows.masking.suggest import suggest_policy

    replication = open_replication(catalog)
    chosen = [table.id for table in chosen_tables(replication, tables)]
    proposals = suggest_policy(replication.store(), chosen, sample_rows=rows)
    policy = proposed_policy(name, proposals)
    reasons = {place: reason for each in proposals for place, reason in each.reasons.items()}
    write = as_python if output == Format.PYTHON else as_yaml
    show(write(policy, reasons).rstrip("\n"))
    columns = sum(len(each.columns) for each in proposals)
    say(f"a proposal for {things(columns, 'column')}: read each line before you declare it")


def setup(
    name: EnvironmentArgument,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm", help="Although the database holds tables; or exchange the mask key of before."
        ),
    ] = False,
    catalog: CatalogOption = "",
) -> None:
    """Mark a database as the environment that it is declared to be, with the key whose seals it takes.

    A database that is marked as another environment stays what it is.
    """
    from replication_assets.cli.output import say
    from replication_assets.flows.masking.environment import set_up_environment

    replication = open_replication(catalog)
    require_environment(replication, name)
    environment = replication.catalog.environment(name)
    marker = set_up_environment(replication, environment, confirm=confirm, who=who())
    say(f"the database is {marker.environment} ({marker.trust}), key {marker.key_id}", "bold")


def verify(name: EnvironmentArgument, as_json: JsonOption = False, catalog: CatalogOption = "") -> None:
    """Prove what an environment's readers see now, once more. Ends with 3 if a proof fails."""
    from replication_assets.cli.output import Heading, show, show_table
    from replication_assets.flows.refresh.refreshing import Refreshing
    from replication_assets.flows.refresh.verify_published import verify_published

    replication = open_replication(catalog)
    require_environment(replication, name)
    copy = replication.environment_target(replication.catalog.environment(name)).published()
    declared = [each.name for each in replication.catalog.refreshes if each.environment == name]
    if copy is None or copy.refresh not in declared:
        what = "nothing is published" if copy is None else f"refresh {copy.refresh}, not declared, published"
        fix = f"replication-assets refresh run {declared[0]}" if declared else "declare a refresh"
        raise CatalogError([f"environment {name!r}: {what}. Fix: {fix}"], where="command line")
    found = verify_published(Refreshing.of(replication, copy.refresh, who=who()))
    if as_json:
        show(found.to_json())
    else:
        show_table(
            [Heading("proof"), Heading("holds"), Heading("what was found")],
            [(proof.name, "yes" if proof.passed else "NO", proof.what) for proof in found.proofs],
            names=2,
        )
    if not found.passed:
        raise typer.Exit(exits.FOUND)


def drop(
    name: EnvironmentArgument,
    confirm: Annotated[
        str, typer.Option("--confirm", metavar="ENVIRONMENT", help="Its name once more.")
    ] = "",
    catalog: CatalogOption = "",
) -> None:
    """Drop the published copy of an environment, with what is staged and loaded for the next.

    For a copy that must not be read any longer. The environment stays set up.
    """
    from replication_assets.cli.output import say
    from replication_assets.flows.masking.environment import drop_copy

    replication = open_replication(catalog)
    require_environment(replication, name)
    if confirm != name:
        problem = f"the copy in {name} would be dropped: not confirmed. Fix: --confirm {name}"
        raise CatalogError([problem], where="command line")
    environment = replication.catalog.environment(name)
    dropped = drop_copy(replication, environment, who=who(), run=run_id())
    say(f"the copy in {name} is dropped" if dropped else f"nothing was published in {name}", "bold")


def group() -> typer.Typer:
    """The commands under `mask`, each with its example."""
    commands = typer.Typer(no_args_is_help=True, help="Masking policies, environments and their proofs.")
    for command, example in (
        (suggest, "suggest customers orders --format yaml"),
        (setup, "setup qa"),
        (verify, "verify qa"),
        (drop, "drop qa --confirm qa"),
    ):
        commands.command(epilog=f"Example: replication-assets mask {example}")(command)
    return commands
