"""`capture`: the change stream of one source into the event store."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from replication_assets.cli.exits import Interrupted
from replication_assets.cli.options import CatalogOption, chosen_source, open_replication

if TYPE_CHECKING:
    from replication_assets.cli.output import Work
    from replication_assets.flows.capture import FlushReceipt

_LINE_SECONDS = 10.0
"""At most so often a line, where nothing moves: a continuous capture flushes twice a second."""


def capture(
    source: Annotated[str, typer.Argument(help="The source to capture.")],
    continuous: Annotated[
        bool,
        typer.Option(
            "--continuous/--until-caught-up",
            help="Go on until Ctrl-C, or end at what is committed now (the default).",
        ),
    ] = False,
    catalog: CatalogOption = "",
) -> None:
    """Capture changes, from the last one that is durable. Exactly once, whatever was killed before.

    One capture runs per source. A continuous one flushes twice a second and compacts beside itself;
    Ctrl-C ends it after a last flush.
    """
    from replication_assets.cli.dagster_view import DagsterView
    from replication_assets.cli.opening import opened
    from replication_assets.cli.output import say, things, working
    from replication_assets.flows.capture import FlushPolicy
    from replication_assets.flows.capture import capture as drain
    from replication_assets.flows.upkeep import RunningCompaction

    replication = open_replication(catalog)
    adapter, store = replication.source(chosen_source(replication, source)), replication.store()
    tables = opened(adapter, store, replication.catalog.tables_of(source))
    upto = None if continuous else adapter.status().head
    with working() as work, _Stop() as stop:
        compaction = RunningCompaction(store)
        told, view = _Told(work), DagsterView().capturing(tables)
        work.begin(f"capturing {source}", None, "flushes")

        def on_flush(receipt: FlushReceipt) -> None:
            compaction.count(receipt)
            told.flushed(receipt)
            view.flushed(receipt)

        policy = FlushPolicy(seconds=0.5) if continuous else FlushPolicy()
        try:
            done = drain(adapter, store, tables, upto=upto, stop=stop, policy=policy, on_flush=on_flush)
        finally:
            compaction.close()
            view.tell()
    rate = done.rows / max(done.seconds, 0.001)
    of = f"{things(done.rows, 'change')} of {things(len(done.tables), 'table')}"
    summary = f"{of} in {done.seconds:.1f} s, {rate:,.0f} changes/s"
    if stop.asked:
        raise Interrupted(f"{summary}; durable up to {done.position}, where the next capture goes on.")
    say(f"{source}: {summary}; durable up to {done.position}", "bold")


class _Told:
    """What flushes did, since it was last said."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._rows = 0
        self._all = 0
        self._said = time.monotonic()

    def flushed(self, receipt: FlushReceipt) -> None:
        self._rows, self._all = self._rows + receipt.rows, self._all + receipt.rows
        lag = f", lag {receipt.lag_seconds:.1f} s" if receipt.rows and receipt.lag_seconds is not None else ""
        self._work.advance()
        self._work.note(f"{self._all:,} changes{lag}")
        waited = time.monotonic() - self._said
        if self._rows and waited >= _LINE_SECONDS:
            self._work.tell(f"{self._rows:,} changes, {self._rows / waited:,.0f} changes/s{lag}")
            self._rows, self._said = 0, time.monotonic()


class _Stop:
    """Ctrl-C and SIGTERM as a question that the capture asks between transactions. A second one
    interrupts it where it is; nothing that is durable is lost by that either."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> _Stop:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self.asked

    def _ask(self, _: int, __: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
