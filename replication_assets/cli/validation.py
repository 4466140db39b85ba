"""`validate` and `repair`: source, event store and projections held against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replication_assets.cli import exits
from replication_assets.cli.exits import Interrupted
from replication_assets.cli.options import (
    CatalogOption,
    JsonOption,
    TablesArgument,
    chosen_projections,
    chosen_tables,
    open_replication,
)

if TYPE_CHECKING:
    from replication_assets.core.positions import Position
    from replication_assets.declarations import Projection, Table
    from replication_assets.flows.prepare import ReplicatedTable
    from replication_assets.flows.validation.findings import Validation
    from replication_assets.flows.validation.repair import Repair
    from replication_assets.ports import ChangeSource
    from replication_assets.replication import Replication

ProjectionArgument = Annotated[str | None, typer.Argument(help="The projection; all unless named.")]
RangesOption = Annotated[
    list[str] | None, typer.Option("--range", metavar="KEY", help="Only this id range. Repeatable.")
]
WaitOption = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds to wait for changes that another capture has in hand.")
]
SourceOption = Annotated[
    bool,
    typer.Option("--source/--no-source", help="Hold the event store of these tables against the source too."),
]


def validate(
    projection: ProjectionArgument = None,
    tables: TablesArgument = None,
    id_ranges: RangesOption = None,
    source: SourceOption = True,
    wait: WaitOption = 60.0,
    as_json: JsonOption = False,
    catalog: CatalogOption = "",
) -> None:
    """Is the event store what the source holds, and are projections what the event store holds?

    Compares digests of all id ranges, and the rows of those that differ. Rows in flight are not
    called mismatches. Changes nothing but this: where no capture runs, it captures up to now.
    Ends with 3 if something differs, or cannot be said. A source that fails stops no other.
    """
    from replication_assets.cli.failures import Failures
    from replication_assets.cli.output import show_json, working

    replication = open_replication(catalog)
    parts = list(_parts(replication, projection, tables, source, wait))
    found: list[tuple[_Part, Validation]] = []
    failures = Failures()
    with working() as work:
        work.begin("validating", len(parts), "tables")
        for part in parts:
            if failures.has(part.owner):
                continue
            with failures.of(part.owner):
                result = part.validate(tuple(id_ranges) if id_ranges else None)
                found.append((part, result))
                work.done(f"{part.name}: {_state(result)} ({result.rows:,} rows, {result.seconds:.1f} s)")
    if as_json:
        show_json([_document(part, result) for part, result in found])
    else:
        _show(found)
    failures.end()
    raise typer.Exit(exits.OK if all(result.passed for _, result in found) else exits.FOUND)


def repair(
    projection: ProjectionArgument = None,
    tables: TablesArgument = None,
    id_ranges: RangesOption = None,
    source: Annotated[
        bool,
        typer.Option(
            "--source/--no-source",
            help="Load id ranges again where the event store is not what the source is.",
        ),
    ] = False,
    wait: WaitOption = 60.0,
    catalog: CatalogOption = "",
) -> None:
    """Validate, make right exactly what is wrong, and validate that again.

    Failing rows of a projection are written as they were at its checkpoint; a range is replaced where
    rows cannot be. The event store is never edited: with --source, ranges that differ are loaded anew.
    Ends with 3 if something is still wrong.
    """
    from replication_assets.cli.output import are, say, things, working

    replication = open_replication(catalog)
    parts = list(_parts(replication, projection, tables, source, wait))
    done: list[Repair] = []
    with working() as work:
        work.begin("repairing", len(parts), "tables")
        try:
            for part in parts:
                result = part.repair(tuple(id_ranges) if id_ranges else None)
                done.append(result)
                for line in _told(part, result):
                    work.done(line)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{len(done)} of {things(len(parts), 'table')} {are(len(done))} repaired; that is kept."
            ) from None
    wrong = sum(not result.done for result in done)
    right = len(done) - wrong
    not_right = f", {wrong} {are(wrong)} not" if wrong else ""
    say(f"{right} of {things(len(done), 'table')} {are(right)} right{not_right}", "bold")
    if any(each.how == "loaded" for result in done for each in result.ranges):
        say("Next: replication-assets project")
    raise typer.Exit(exits.FOUND if wrong else exits.OK)


# --- what is held against what ---------------------------------------------------------------

Ranges = tuple[str, ...] | None


@dataclass(frozen=True)
class _Part:
    """One table against its source, or of one projection against the event store."""

    name: str
    owner: str
    """The source or projection that it asks: where that fails, others are still asked."""
    validate: Callable[[Ranges], Validation]
    repair: Callable[[Ranges], Repair]


def _parts(
    replication: Replication, projection: str | None, tables: list[str] | None, source: bool, wait: float
) -> Iterator[_Part]:
    pairs = chosen_projections(replication, projection, tables) if replication.catalog.projections else []
    from replication_assets.declarations.sources import holds_rows

    if source:
        chosen = {table.id for _, table in pairs} if projection is not None else None
        for table in chosen_tables(replication, tables):
            held = holds_rows(replication.catalog.source(table.id.source))
            if held and (chosen is None or table.id in chosen):
                yield _against_source(replication, table, wait)
    for each, table in pairs:
        yield _against_store(replication, each, table)


def _against_source(replication: Replication, table: Table, wait: float) -> _Part:
    from replication_assets.cli.opening import opened
    from replication_assets.flows.validation.repair import repair_event_store
    from replication_assets.flows.validation.validate import validate_source

    store = replication.store()

    def arguments(ranges: Ranges) -> dict[str, Any]:
        source = replication.source(table.id.source)
        every = opened(source, store, replication.catalog.tables_of(table.id.source))
        (own,) = [each for each in every if each.id == table.id]
        catch_up = None if source.status().active else _catch_up(replication, source, every)
        return {
            "source": source,
            "store": store,
            "table": own,
            "id_ranges": ranges,
            "wait_seconds": wait,
            "catch_up": catch_up,
        }

    return _Part(
        f"event store {table.id}",
        table.id.source,
        lambda ranges: validate_source(**arguments(ranges)),
        lambda ranges: repair_event_store(**arguments(ranges)),
    )


def _catch_up(
    replication: Replication, source: ChangeSource, tables: list[ReplicatedTable]
) -> Callable[[Position], None]:
    """Where no capture runs, nobody else would bring the event store to where the source was read."""
    from replication_assets.flows.capture import capture

    def up_to(position: Position) -> None:
        capture(source, replication.store(), tables, upto=position.commit)

    return up_to


def _against_store(replication: Replication, projection: Projection, table: Table) -> _Part:
    from replication_assets.flows.refusals import handling_of
    from replication_assets.flows.validation.repair import repair_projection
    from replication_assets.flows.validation.validate import validate_projection

    store = replication.store()

    def validated(ranges: Ranges) -> Validation:
        handling = handling_of(store, projection, table.id)
        target = replication.target(projection, table.id)
        letters = handling.letters if handling is not None else None
        return validate_projection(
            store, target, table.id, projection=projection.name, id_ranges=ranges, letters=letters
        )

    def repaired(ranges: Ranges) -> Repair:
        target = replication.target(projection, table.id)
        handling = handling_of(store, projection, table.id)
        return repair_projection(
            store, target, table.id, projection=projection.name, id_ranges=ranges, handling=handling
        )

    return _Part(f"{projection.name} {table.id}", f"projection {projection.name}", validated, repaired)


# --- what is told -----------------------------------------------------------------------------


def _state(result: Validation) -> str:
    if not result.passed:
        return "DIFFERS" if result.mismatches else "UNKNOWN"
    return "equal, with rows in flight or dead letters" if result.waiting else "equal"


_KINDS = ("missing", "extra", "differing", "in-flight", "dead-lettered")


def _show(found: list[tuple[_Part, Validation]]) -> None:
    from replication_assets.cli.output import Heading, count, show, show_table

    rows = [
        [
            part.name,
            _state(result),
            f"{len(result.ranges) - len(result.wrong)} of {len(result.ranges)}",
            count(result.rows),
            *(count(result.count(kind)) for kind in _KINDS),  # type: ignore[arg-type]
        ]
        for part, result in found
    ]
    headings = [Heading("what"), Heading("state"), Heading("ranges right", True), Heading("rows", True)]
    show_table([*headings, *(Heading(kind, True) for kind in _KINDS)], rows, names=1)
    for part, result in found:
        for line in _findings(result):
            show(f"{part.name}: {line}")


def _findings(result: Validation) -> Iterator[str]:
    """Ranges that are not right with the reason, and the first rows by key; all of them are in a file."""
    for each in (*result.wrong, *result.waiting):
        if each.reason:
            yield f"range {each.id_range or 'none of ours'} is {each.state}: {each.reason}"
    for row in result.shown:
        columns = f" in {', '.join(row.columns)}" if row.columns else ""
        where = f"range {row.id_range}" if row.id_range else "no range of ours"
        yield f"{row.kind}{columns}: {row.key or 'a row without key'} ({where})"
    if result.listed is not None:
        left = result.total - len(result.shown)
        yield f"{f'{left:,} more; ' if left else ''}all {result.total:,} are in {result.listed}"
    yield from result.notes


def _document(part: _Part, result: Validation) -> dict[str, Any]:
    return {
        "what": part.name,
        "table": str(result.table),
        "against": result.against,
        "passed": result.passed,
        "position": None if result.position is None else str(result.position),
        "rows": result.rows,
        "mismatches": result.mismatches,
        **{kind.replace("-", "_"): result.count(kind) for kind in _KINDS},  # type: ignore[arg-type]
        "ranges": [asdict(each) for each in result.ranges],
        "shown": [asdict(each) for each in result.shown],
        "findings": result.total,
        "listed": result.listed,
        "notes": list(result.notes),
    }


def _told(part: _Part, result: Repair) -> Iterator[str]:
    from replication_assets.cli.output import things

    if not result.ranges:
        yield f"{part.name}: nothing to repair"
    for each in result.ranges:
        why = f" ({each.why})" if each.why else ""
        written = f"{things(each.written, 'row')} written, {each.removed:,} removed"
        yield f"{part.name} {each.id_range or 'rows of no range'}: {each.how}, {written}{why}"
    if result.ranges:
        yield f"{part.name}: {_state(result.after)} now"
