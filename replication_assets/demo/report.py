"""The last page of a demonstration: what arrived where, how fast, whether it matches, what next."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from replication_assets.catalog import Catalog, DeltaProjection
from replication_assets.demo.catalog import DEFAULT_FOLDER, DEFAULT_PORT, LAKE, SERVICE
from replication_assets.demo.dagster_runs import Drained
from replication_assets.demo.figures import Lag, TableReport, event_store_path, projection_path
from replication_assets.demo.refresh import RefreshReport

DUCKDB = (
    "import duckdb, deltalake; files = deltalake.DeltaTable('{path}').file_uris(); "
    "duckdb.read_parquet(files, union_by_name=True)"
    ".aggregate('_op, count(*) AS events, max(_committed_at) AS newest').show()"
)
POLARS = (
    "import polars; print(polars.scan_delta('{path}')"
    ".group_by('status').agg(polars.len(), polars.sum('total')).collect())"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that one demonstration measured."""

    tables: Sequence[TableReport]
    transactions: int
    lag: Lag
    backlog: Drained
    refreshed: RefreshReport
    seconds: float

    @property
    def mismatches(self) -> int:
        return sum(table.mismatches for table in self.tables)

    @property
    def sound(self) -> bool:
        """No row differs anywhere, and nothing reached the testers unmasked."""
        return self.mismatches == 0 and self.refreshed.passed


def print_outcome(console: Console, outcome: Outcome) -> None:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    grid.add_column("table", no_wrap=True)
    for heading in ("source rows", "events", "lake", "items", "mismatches", "load rows/s"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for table in outcome.tables:
        grid.add_row(
            f"{table.table.schema}.{table.table.name}",
            f"{table.source_rows:,}",
            f"{table.events:,}",
            _count(table.projected.get(LAKE)),
            _count(table.projected.get(SERVICE)),
            _judged(table.mismatches),
            f"{table.load_rows_per_second:,.0f}",
        )
    console.print(grid)
    _print_masked(console, outcome.refreshed)
    for line in _totals(outcome):
        console.print(line, highlight=False, soft_wrap=True)


def _print_masked(console: Console, report: RefreshReport) -> None:
    """Two customers as testers see them, beside what the originals are. Originals are not shown."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, expand=True)
    for at, heading in enumerate(("customers", "is", "rule")):
        cells = [(column.name, column.data_class, column.rule)[at] for column in report.customers]
        grid.add_column(heading, no_wrap=True, min_width=max(map(len, (heading, *cells))))
    for heading in ("for testers", "")[: len(report.customers[0].masked)]:
        grid.add_column(heading, overflow="ellipsis", no_wrap=True, ratio=1)
    for column in report.customers:
        grid.add_row(*map(escape, (column.name, column.data_class, column.rule, *column.masked)))
    console.print(grid)


def _count(rows: int | None) -> str:
    return f"{rows:,}" if rows is not None else "[dim]-[/dim]"


def _judged(mismatches: int) -> str:
    return f"[green]{mismatches}[/green]" if mismatches == 0 else f"[bold red]{mismatches:,}[/bold red]"


def _totals(outcome: Outcome) -> list[str]:
    backlog, lag = outcome.backlog, outcome.lag
    rate = backlog.events / backlog.seconds if backlog.seconds else 0.0
    verdict = "[bold green]0 mismatches[/bold green] between source, event store, lakehouse and DynamoDB"
    if outcome.mismatches:
        verdict = f"[bold red]{outcome.mismatches:,} mismatches[/bold red]: please report it"
    piled_up = f"{backlog.events:,} changes that had piled up, in {backlog.seconds:.1f} s"
    live = f"{lag.events:,} changes of {outcome.transactions:,} transactions, during the loads and after"
    latency = f"[bold]{lag.median:.2f} s[/bold] median, {lag.p95:.2f} s p95"
    return [
        f"  result    {verdict}",
        f"  testers   {_proven(outcome.refreshed)}",
        f"  capture   [bold]{rate:,.0f}[/bold] changes a second ({piled_up})",
        f"  lag       {latency}, from commit in the source to durable in the store ({live})",
        f"  time      {outcome.seconds:.0f} s",
    ]


def _proven(report: RefreshReport) -> str:
    failed = [f"{name}: {what}" for name, passed, what in report.proofs if not passed]
    if failed:
        return f"[bold red]not proven masked[/bold red]: {escape('; '.join(failed))}"
    return f"{report.rows:,} masked rows, proven by {', '.join(name for name, _, _ in report.proofs)}"


def print_next_steps(console: Console, catalog: Catalog, root: Path, port: int) -> None:
    console.print("\n[bold]Look further[/bold]")
    for title, command in [
        *looks(catalog),
        ("The same, live, with the Dagster UI", _command("dev", root, port)),
        ("Delete it all", f"rm -rf {shlex.quote(_short(root))}"),
    ]:
        console.print(f"  [dim]# {title}[/dim]", highlight=False, soft_wrap=True)
        console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


def looks(catalog: Catalog) -> list[tuple[str, str]]:
    """Commands that read the event store and the lakehouse in place, without us."""
    ids = {table.id.name: table.id for table in catalog.tables}
    events = _short(Path(event_store_path(catalog, ids["orders"])))
    delta = next(each for each in catalog.projections if isinstance(each, DeltaProjection))
    lake = _short(Path(projection_path(delta, ids["orders"])))
    found = [("The event store: everything that happened to orders (DuckDB)", _python(DUCKDB, events))]
    if importlib.util.find_spec("polars"):
        found.append(("The lakehouse: orders as they are now (Polars)", _python(POLARS, lake)))
    return found


def _python(program: str, path: str) -> str:
    return f'{shlex.quote(_short(Path(sys.executable)))} -c "{program.format(path=path)}"'


def _command(name: str, root: Path, port: int) -> str:
    """`make` for what it knows; the whole command for a folder or a port of one's own."""
    if root == Path(DEFAULT_FOLDER).absolute() and port == DEFAULT_PORT and Path("Makefile").exists():
        return f"make {name}"
    python = shlex.quote(_short(Path(sys.executable)))
    return f"{python} -m replication_assets.demo {name} --folder {shlex.quote(_short(root))} --port {port}"


def _short(path: Path) -> str:
    """Relative to where the user is, when that is shorter."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
