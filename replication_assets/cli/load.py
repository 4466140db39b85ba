"""`load`: id ranges of source tables in full into the event store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli.exits import Interrupted
from replication_assets.cli.options import CatalogOption, TablesArgument, chosen_tables, open_replication
from replication_assets.errors import CatalogError

if TYPE_CHECKING:
    from replication_assets.cli.dagster_view import DagsterView
    from replication_assets.cli.failures import Failures
    from replication_assets.cli.output import Work
    from replication_assets.cli.parallel import StopAsked
    from replication_assets.core.id_ranges import IdRange
    from replication_assets.declarations import Table
    from replication_assets.flows.load import LoadReceipt
    from replication_assets.flows.prepare import ReplicatedTable
    from replication_assets.ports import ChangeSource, EventStore
    from replication_assets.replication import Replication


def load(
    tables: TablesArgument = None,
    id_ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="KEY", help="This id range, as r000012, of one table. Repeatable."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All id ranges, those that are loaded already too.")
    ] = False,
    parallel: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Ranges read at the same time; by default the source's own limit."),
    ] = None,
    catalog: CatalogOption = "",
) -> None:
    """Load id ranges that lack a load. Run it again after an interruption: it goes on.

    Each range is read in a snapshot of its own, beside running writers and captures. A load is a new
    generation: loading a range again never edits what is stored. If ranges can only be read by scans
    of the whole table, that is said before, with the index to create. A source that fails stops no other.
    """
    from replication_assets.cli.failures import Failures
    from replication_assets.cli.output import say, seconds, things

    replication = open_replication(catalog)
    jobs: list[tuple[ReplicatedTable, IdRange]] = []
    receipts: list[LoadReceipt] = []
    failures = Failures()
    try:
        jobs += _jobs(replication, tables, tuple(id_ranges or ()), everything, failures)
        took = _load(replication, jobs, parallel, receipts, failures)
    except KeyboardInterrupt:
        raise Interrupted(_kept(len(receipts), len(jobs))) from None
    if not jobs and not failures:
        say("Nothing to load: every id range has a load. To load them again: --all")
    if receipts:
        rows = sum(receipt.rows for receipt in receipts)
        of = f"{things(rows, 'row')} of {things(len(receipts), 'id range')}"
        say(f"{of} in {seconds(took)}, {rows / took:,.0f} rows/s", "bold")
    failures.end()


def _load(
    replication: Replication,
    jobs: list[tuple[ReplicatedTable, IdRange]],
    parallel: int | None,
    receipts: list[LoadReceipt],
    failures: Failures,
) -> float:
    """Returns the seconds it took. Receipts are there as ranges are done."""
    from replication_assets.cli.dagster_view import DagsterView
    from replication_assets.cli.output import working
    from replication_assets.cli.parallel import in_parallel

    if not jobs:
        return 0.0
    limit = parallel or max(
        replication.catalog.source(table.id.source).max_parallel_loads for table, _ in jobs
    )
    with working() as work:
        work.begin("loading", len(jobs), "id ranges")
        view = DagsterView()
        in_parallel([_Job(replication, *each, work, receipts, view, failures) for each in jobs], limit)
        return work.seconds


def _kept(loaded: int, of: int) -> str:
    """What an interrupted load leaves. It may come before anything is begun, or even known."""
    from replication_assets.cli.output import are, things

    if not loaded:
        return (
            "No id range was finished, and nothing was left half-done; those of earlier loads are kept. "
            "Run it again to go on."
        )
    of_all = f"{loaded} of {things(of, 'id range')} {are(loaded)} loaded and kept"
    return f"{of_all}, of the others nothing is. Run it again to go on with them."


def _jobs(
    replication: Replication,
    names: list[str] | None,
    keys: tuple[str, ...],
    everything: bool,
    failures: Failures,
) -> Iterator[tuple[ReplicatedTable, IdRange]]:
    chosen = chosen_tables(replication, names)
    if keys and len(chosen) != 1:
        raise CatalogError(["--range is of one table. Fix: name the table"], where="command line")
    store = replication.store()
    for name in dict.fromkeys(table.id.source for table in chosen):
        own = [table for table in chosen if table.id.source == name]
        found: list[tuple[ReplicatedTable, IdRange]] = []
        with failures.of(name):
            found += _jobs_of(replication.source(name), store, own, keys, everything)
        yield from found


def _jobs_of(
    source: ChangeSource, store: EventStore, tables: list[Table], keys: tuple[str, ...], everything: bool
) -> Iterator[tuple[ReplicatedTable, IdRange]]:
    from replication_assets.cli.opening import opened
    from replication_assets.cli.range_plans import tell_plan
    from replication_assets.flows.coverage import coverage

    for table in opened(source, store, tables):
        found = coverage(source, store, table)
        known = tuple(id_range.key for id_range in found.known)
        unknown = sorted(set(keys) - set(known))
        if unknown:
            problem = f"{table.id} has no id range {', '.join(unknown)}. Fix: {known[0]} to {known[-1]}"
            raise CatalogError([problem], where="command line")
        wanted = found.to_load(known if everything else keys or None)
        if wanted:
            tell_plan(source, table)
        for id_range in wanted:
            yield table, id_range


class _Job:
    """One id range to be loaded, in a thread of its own."""

    def __init__(
        self,
        replication: Replication,
        table: ReplicatedTable,
        id_range: IdRange,
        work: Work,
        receipts: list[LoadReceipt],
        view: DagsterView,
        failures: Failures,
    ) -> None:
        self._replication = replication
        self._table = table
        self._id_range = id_range
        self._work = work
        self._receipts = receipts
        self._view = view
        self._failures = failures

    def __call__(self, stopped: StopAsked) -> None:
        if not self._failures.has(self._table.id.source):
            with self._failures.of(self._table.id.source):
                self._load(stopped)

    def _load(self, stopped: StopAsked) -> None:
        from replication_assets.cli.output import things
        from replication_assets.flows.load import load_range

        name = f"{self._table.id} {self._id_range.key}"

        def progress(rows: int, _: float) -> None:
            stopped.check()
            self._work.rows(name, rows)

        source = self._replication.source(self._table.id.source)
        receipt = load_range(
            source,
            self._replication.store(),
            self._table,
            self._id_range,
            progress=progress,
            progress_seconds=0.2,
        )
        self._receipts.append(receipt)
        self._view.loaded(self._table, receipt)
        self._work.rows(name, receipt.rows)
        rate = receipt.rows / max(receipt.seconds, 0.001)
        told = f"{things(receipt.rows, 'row')} in {receipt.seconds:.1f} s, {rate:,.0f} rows/s"
        self._work.done(f"{name}: {told}")
