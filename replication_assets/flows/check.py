"""Check: would what a catalog declares work, here and now? Everything that would not, at once.

Reads the source's catalogs and plans, asks the event store and the targets for what they hold,
and writes one small file to the event store, which it deletes. Nothing is set up or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from replication_assets.core.schema import TableId, TableSchema
from replication_assets.declarations import Projection, SourceConfig, Table, TopicProjection
from replication_assets.errors import CatalogError, ReplicationError
from replication_assets.flows.filtered_tables import not_pushed
from replication_assets.flows.prepare import open_table
from replication_assets.flows.range_plans import VIEW, VIEW_FIX, plan_of_declared, plan_of_loads
from replication_assets.flows.watch.health import Adapters
from replication_assets.ports import ChangeSource, EventStore, IntrusiveSource
from replication_assets.ports.topics import Topic
from replication_assets.table_fit import TableFit, fit_table

Severity = Literal["problem", "advice"]
"""A problem stops a load, a capture or a projection; advice makes it faster or tells of a step
that is still to be taken."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, and the statement or step that puts it right."""

    severity: Severity
    where: str
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Examined:
    """One part of the catalog that was looked at; without findings it is as it should be."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> int:
        return sum(finding.severity == "problem" for finding in self.findings)


def check(adapters: Adapters) -> Iterator[Examined]:
    """Look at the event store, each source with its tables, and each projection, one after another."""
    catalog = adapters.catalog
    yield Examined("event store", tuple(_found_by(partial(_event_store, adapters))))
    for config in catalog.sources:
        yield Examined(f"source {config.name}", tuple(_source(adapters, config)))
    for projection in catalog.projections:
        yield Examined(f"projection {projection.name}", tuple(_projection(adapters, projection)))
    for topic in catalog.topics:
        yield Examined(f"projection {topic.name}", tuple(_topics(adapters, topic)))


def _event_store(adapters: Adapters) -> None:
    adapters.store().try_writing()


def _found_by(attempt: Callable[[], None]) -> Iterator[Finding]:
    try:
        attempt()
    except ReplicationError as error:
        yield from findings_of(error)


def findings_of(error: ReplicationError) -> Iterator[Finding]:
    """An error as findings: one for each problem that it lists."""
    if isinstance(error, CatalogError):
        yield from (_finding(error.where, problem) for problem in error.problems)
    elif error.fix:
        yield Finding("problem", error.where, error.what, error.fix)
    else:
        lines = error.what.splitlines()
        listed = [line.removeprefix("  - ") for line in lines if line.startswith("  - ")]
        yield from (_finding(error.where, text) for text in listed or lines)


def _finding(where: str, text: str) -> Finding:
    """Problems name their remedy in their own words: `... Run: STATEMENT`, or `... Fix: step`."""
    for mark in (" Run: ", " Fix: "):
        what, found, fix = text.partition(mark)
        if found:
            return Finding("problem", where, what.rstrip("."), fix)
    return Finding("problem", where, text, "")


# --- sources -------------------------------------------------------------------------------


def _source(adapters: Adapters, config: SourceConfig) -> Iterator[Finding]:
    try:
        source = adapters.source(config.name)
        # As a load or a capture connects: with the right to replicate, to this database.
        source.identify()
    except ReplicationError as error:
        yield from findings_of(error)
        return
    tables = adapters.catalog.tables_of(config.name)
    sound: list[tuple[TableId, TableSchema]] = []
    for table in tables:
        found = list(_table(adapters, source, table, sound))
        yield from found
    yield from _set_up(adapters, source, tables, sound)


def _table(
    adapters: Adapters, source: ChangeSource, table: Table, sound: list[tuple[TableId, TableSchema]]
) -> Iterator[Finding]:
    where = str(table.id)
    try:
        schema = source.reflect(table.id, key=table.key, append_only=table.append_only)
        fit = fit_table(table, schema)
        told = (_finding(where, text) for text in not_pushed(source, table, schema))
        yield from (replace(finding, severity="advice") for finding in told)
        if source.is_captured(table.id):
            sound.append((table.id, schema))
        else:
            yield Finding("advice", where, VIEW, VIEW_FIX)
        yield from _plan(adapters, source, table, schema, fit)
    except ReplicationError as error:
        yield from findings_of(error)
        return
    for column in schema.not_replicated:
        what = f"column {column} is generated, and so not replicated"
        yield Finding("advice", where, what, "compute it where the rows are read")


def _plan(
    adapters: Adapters, source: ChangeSource, table: Table, schema: TableSchema, fit: TableFit
) -> Iterator[Finding]:
    store = adapters.store()
    if store.log(table.id).exists():
        plan = plan_of_loads(source, open_table(source, store, table))
    else:
        plan = plan_of_declared(source, table.id, schema, fit)
    if plan is not None and plan.scanned:
        yield Finding("advice", str(table.id), f"{plan}", plan.fix)


def _set_up(
    adapters: Adapters,
    source: ChangeSource,
    tables: Sequence[Table],
    sound: Sequence[tuple[TableId, TableSchema]],
) -> Iterator[Finding]:
    try:
        yield from (_finding(source.name, text) for text in source.missing(sound))
        if isinstance(source, IntrusiveSource):
            told = (_finding(source.name, text) for text in source.consequences(sound))
            yield from (replace(finding, severity="advice") for finding in told)
        store = adapters.store()
        mark = store.ledger(source.name).last()
        if mark is None:
            yield _not_set_up(source.name, "it was never set up")
            return
        status = source.status()
        if sound and status.state in ("missing", "lost"):
            what = f"its place in the change stream is {status.state}: changes are gone"
            fix = f"replication-assets recover {source.name}, then load every id range again"
            yield Finding("problem", source.name, what, fix)
        yield from _new_tables(store, source.name, tables)
    except ReplicationError as error:
        yield from findings_of(error)


def _new_tables(store: EventStore, source: str, tables: Sequence[Table]) -> Iterator[Finding]:
    new = [str(table.id) for table in tables if not store.log(table.id).exists()]
    if new:
        yield _not_set_up(source, f"{', '.join(new)} came to the catalog since it was set up")


def _not_set_up(source: str, what: str) -> Finding:
    return Finding("advice", source, what, f"replication-assets setup {source}")


# --- projections ---------------------------------------------------------------------------


def _projection(adapters: Adapters, projection: Projection) -> Iterator[Finding]:
    seen: set[Finding] = set()
    for table in adapters.catalog.projected(projection):
        for finding in _found_by(partial(_reach, adapters, projection, table)):
            # One that is out of reach is so for all of its tables.
            if finding not in seen:
                seen.add(finding)
                yield finding


def _topics(adapters: Adapters, projection: TopicProjection) -> Iterator[Finding]:
    seen: set[Finding] = set()
    for table in adapters.catalog.projected(projection):
        topic = adapters.topic(projection, table.id)
        for finding in _found_by(partial(_stand, topic)):
            if finding not in seen:
                seen.add(finding)
                yield finding


def _stand(topic: Topic) -> None:
    topic.place()


def _reach(adapters: Adapters, projection: Projection, table: Table) -> None:
    adapters.target(projection, table.id).checkpoint("r000000")
