"""`setup`, `recover`, `teardown` of a source, and `compact`."""

from __future__ import annotations

from typing import Annotated

import typer

from replication_assets.cli.options import (
    CatalogOption,
    TablesArgument,
    chosen_source,
    chosen_tables,
    open_replication,
)
from replication_assets.errors import CatalogError

SourceArgument = Annotated[str, typer.Argument(help="The source.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def setup(source: SourceArgument, catalog: CatalogOption = "") -> None:
    """Create publications, slot, logs and id ranges of a source: what is missing. Safe to repeat.

    Checks everything first, and creates nothing while something is missing.
    """
    from replication_assets.cli.dagster_view import DagsterView
    from replication_assets.cli.output import say, things
    from replication_assets.cli.range_plans import tell_plan
    from replication_assets.flows.coverage import coverage
    from replication_assets.flows.prepare import prepare

    replication = open_replication(catalog)
    adapter, store = replication.source(chosen_source(replication, source)), replication.store()
    lacking, view = 0, DagsterView()
    for table in prepare(adapter, store, replication.catalog.tables_of(source)):
        found = coverage(adapter, store, table)
        lacking += len(found.lacking)
        view.listed(table.id, [each.key for each in found.known])
        key = ", ".join(table.schema.key) or "none"
        say(f"{table.id}: key {key}, {found.loaded} of {things(len(found.known), 'id range')} loaded")
        for column in table.schema.not_replicated:
            say(f"{table.id}: column {column} is generated and not replicated")
        tell_plan(adapter, table)
    say(f"{source} is set up." + (" Next: replication-assets load" if lacking else ""), "bold")


def recover(source: SourceArgument, yes: YesOption = False, catalog: CatalogOption = "") -> None:
    """Start anew after the slot was lost: a new slot, and every id range to be loaded again.

    Nothing that is stored is edited. Refuses while a capture reads the slot, since it is not lost then.
    """
    from replication_assets.cli.output import say
    from replication_assets.flows.prepare import recover as begin_anew

    replication = open_replication(catalog)
    tables = replication.catalog.tables_of(chosen_source(replication, source))
    agreed(yes, f"Begin the log of {source} anew? Every id range must then be loaded again")
    position = begin_anew(replication.source(source), replication.store(), tables)
    say(f"{source}: epoch {position.epoch} starts at {position}. Next: replication-assets load", "bold")


def teardown(source: SourceArgument, yes: YesOption = False, catalog: CatalogOption = "") -> None:
    """Remove what capture made in a source. The event store and the projections stay.

    Slot and publications, or triggers and the log that they write.

    Captures cannot go on afterwards: changes from here on are lost to the event store.
    """
    from replication_assets.cli.output import say

    replication = open_replication(catalog)
    adapter = replication.source(chosen_source(replication, source))
    agreed(yes, f"Remove what capture made in {source}? Changes from here on are not captured")
    adapter.teardown()
    say(f"{source}: what capture made in it is gone; the event store stays", "bold")


def compact(tables: TablesArgument = None, catalog: CatalogOption = "") -> None:
    """Rewrite small files of the event store into large ones; delete what was replaced long ago.

    Safe beside loads, captures and other compactors: facts are never touched.
    """
    from replication_assets.cli.output import say, things, working
    from replication_assets.flows.upkeep import tidy_log, tidy_target

    replication = open_replication(catalog)
    store = replication.store()
    chosen = chosen_tables(replication, tables)
    changed = 0
    with working() as work:
        work.begin("compacting", len(chosen), "tables")
        for table in chosen:
            told = list(tidy_log(store, table.id))
            for projection in replication.catalog.projections:
                if table in replication.catalog.projected(projection):
                    name = f"{projection.name} {table.id}"
                    told += tidy_target(replication.target(projection, table.id), name)
            changed += bool(told)
            work.done("; ".join(told) or f"{table.id}: nothing to do")
    say(f"{changed} of {things(len(chosen), 'table')} {'was' if changed == 1 else 'were'} tidied", "bold")


def agreed(yes: bool, question: str) -> None:
    """Ask a person; a script says --yes."""
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise CatalogError([f"{question}: nobody can answer. Fix: --yes"], where="command line")
    typer.confirm(question, abort=True, err=True)
