"""Outcomes as declarations of the catalog: tables with id ranges, items, shapes, refusals.

What the declarations cannot say is refused by name; nothing of a mapping is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from replication_assets.core.envelopes.specs import Messages
from replication_assets.core.items.spec import Items
from replication_assets.core.range_keys import kind_of
from replication_assets.core.range_specs import WHOLE_TABLE, ByBounds, ByCount, RangeSpec
from replication_assets.core.row_filters import Where
from replication_assets.core.shape_specs import Computed, Shape
from replication_assets.core.typed_texts import moment_in
from replication_assets.declarations import (
    DeltaProjection,
    DynamoDbProjection,
    Projection,
    RefusalPolicy,
    Refusals,
    SqlProjection,
    Table,
    TopicProjection,
    Validation,
)
from replication_assets.declarations.environments import ProjectionDatabase
from replication_assets.dms.coverage import divided
from replication_assets.dms.endpoint import KafkaEndpoint
from replication_assets.dms.filters import declared
from replication_assets.dms.findings import Finding, Findings
from replication_assets.dms.items import in_shape, mapped_items
from replication_assets.dms.kinesis_endpoint import KinesisEndpoint
from replication_assets.dms.masking import value_expression
from replication_assets.dms.messages import Messages as StreamMessages
from replication_assets.dms.messages import mapped_messages
from replication_assets.dms.outcome import ColumnOutcome, TableOutcome
from replication_assets.dms.refused import refuse
from replication_assets.dms.rules import DataType, ParallelLoad
from replication_assets.dms.samples import stored_type
from replication_assets.dms.settings.reading import TaskSettings
from replication_assets.dms.task import Task
from replication_assets.dms.topics import (
    declared_messages,
    not_declared,
    streams_projection,
    topics_projection,
)
from replication_assets.errors import CatalogError

_DEFAULT_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Compiled:
    """`refused` says by name what is not declared; with an error in it nothing should be used."""

    tables: tuple[Table, ...]
    projections: tuple[Projection, ...]
    topics: tuple[TopicProjection, ...]
    max_parallel_loads: int | None
    load_wait_seconds: float | None
    refused: tuple[Finding, ...]


def compile_task(
    task: Task,
    *,
    source: str,
    region: str,
    lake: str,
    brokers: str = "",
    database: ProjectionDatabase | None = None,
    all_partitions: bool = False,
) -> Compiled:
    """`source` is what the catalog calls the database; tables without an object mapping go to a lakehouse
    at `lake`, to a SQL `database`, or to the topic or stream of the endpoint if that is Kafka's or Kinesis'.
    `brokers` are given in place of the endpoint's own, `region` where it has none. With `all_partitions`
    tables of which some are listed are loaded whole."""
    findings = Findings()
    tables: list[Table] = []
    items: list[Items] = []
    shapes: list[Shape] = []
    delta: list[str] = []
    messages: list[Messages] = []
    for outcomes in task.grouped.values():
        first = outcomes[0]
        for each in outcomes:
            refuse(task, each, findings, all_partitions=all_partitions)
        coverage, filters = divided([each.filters for each in outcomes])
        bounds = None if coverage is None else (coverage.column, coverage.bounds)
        table = _table(first, source, bounds, findings)
        told, rows = _sayable_messages(task, first), declared(filters)
        tables.append(table if told else replace(table, where=rows))
        shape = shape_of(first, str(table.id), in_topic=told is not None, where=rows if told else ())
        mapped = mapped_items(first, source, findings)
        if mapped is not None:
            items.append(in_shape(mapped, first))
        elif told is not None:
            messages.append(declared_messages(told, first, str(table.id)))
        else:
            _tell_no_items(task, first, findings)
            delta.append(str(table.id))
        shapes += [shape] if shape is not None else []
    projections = _projections(
        items, delta, shapes, task.settings, region=region, lake=lake, database=database
    )
    return Compiled(
        tuple(tables),
        projections,
        _topics(messages, shapes, task, brokers, region),
        _number(task.settings, "FullLoadSettings", "MaxFullLoadSubTasks"),
        _number(task.settings, "FullLoadSettings", "TransactionConsistencyTimeout"),
        findings.listed(),
    )


def _sayable_messages(task: Task, outcome: TableOutcome) -> StreamMessages | None:
    told = mapped_messages(outcome, task.target, Findings())
    return told if told is not None and not_declared(told, outcome) is None else None


def _tell_no_items(task: Task, outcome: TableOutcome, findings: Findings) -> None:
    """Nothing says what the keys of its items are."""
    if task.target == "dynamodb" and outcome.object_mapping is None:
        place = next(
            rule.place
            for mapping, found in task.files
            if outcome in found.tables
            for rule in mapping.selections
            if rule.id == outcome.selected_by
        )
        what = f"{outcome.source} has no object mapping, and goes to the lakehouse"
        findings.warn("no-object-mapping", what, "add a rule with its key", place, outcome.selected_by)


def _topics(
    messages: Sequence[Messages], shapes: Sequence[Shape], task: Task, brokers: str, region: str
) -> tuple[TopicProjection, ...]:
    if not messages:
        return ()
    named, refusals = {each.table for each in messages}, _refusals(task.settings)
    own = [each for each in shapes if each.table in named]
    if task.target == "kinesis":
        stream = task.endpoint if isinstance(task.endpoint, KinesisEndpoint) else KinesisEndpoint()
        return (streams_projection(messages, own, stream, task.settings, refusals, region),)
    endpoint = task.endpoint if isinstance(task.endpoint, KafkaEndpoint) else KafkaEndpoint()
    if brokers:
        endpoint = replace(endpoint, brokers=brokers)
    return (topics_projection(messages, own, endpoint, task.settings, refusals),)


def shape_of(
    outcome: TableOutcome, table: str, *, in_topic: bool = False, where: Sequence[Where] = ()
) -> Shape | None:
    """Columns and names that differ from the source's, with rows by `where`; None where none do. Columns of a
    table with an object mapping are left out by `Items.exclude` or `Messages.exclude`; the messages of a
    topic name their table themselves."""
    mapped = outcome.object_mapping is not None
    recomputed = [c for c in outcome.columns if c.revalued]
    shape = Shape(
        table,
        where=where,
        exclude=[
            *(outcome.displaced if mapped else [each.source for each in outcome.removed]),
            *(each.source for each in recomputed if each.source),
        ],
        rename={c.source: c.target for c in _kept(outcome) if c.source and c.source != c.target},
        computed=[
            *_computed(outcome, recomputed),
            *_computed(outcome, [each for each in outcome.columns if each.source is None]),
        ],
        types={c.source: _declared_type(c.type) for c in _kept(outcome) if c.source and c.retyped},
    )
    if outcome.object_mapping is None and not in_topic:
        schema = outcome.target_schema if outcome.target_schema != outcome.source.schema else None
        name = outcome.target_table if outcome.target_table != outcome.source.name else None
        shape = replace(shape, schema=schema, name=name)
    return shape if shape != Shape(table) else None


def _kept(outcome: TableOutcome) -> list[ColumnOutcome]:
    return [c for c in outcome.columns if c.source and not c.before and not c.revalued]


def _computed(outcome: TableOutcome, columns: Sequence[ColumnOutcome]) -> Iterator[Computed]:
    """Columns by their expressions; one that no expression gives is left out, and refused elsewhere."""
    for column in columns:
        expression = value_expression(column, outcome.source)
        if expression is not None:
            yield Computed(column.target, expression, _declared_type(column.type))


def _declared_type(kind: DataType | None) -> str:
    if kind is None:
        return "string"
    if kind.type == "numeric" and kind.precision is not None:
        return f"numeric({kind.precision}, {kind.scale or 0})"
    if kind.type == "numeric" and kind.scale is not None:
        return f"numeric(38, {kind.scale})"
    figure = f"({kind.length})" if kind.length is not None else ""
    return f"{kind.type}{figure}"


def _table(
    outcome: TableOutcome, source: str, ranges: tuple[str, tuple[int, ...]] | None, findings: Findings
) -> Table:
    schema, name = outcome.source.schema, outcome.source.name
    column: str | None = None
    spec: RangeSpec = WHOLE_TABLE
    if ranges is not None:
        column, spec = ranges[0], ByBounds(ranges[1]) if ranges[1] else WHOLE_TABLE
    elif outcome.parallel_load is not None:
        column, spec = _segments(outcome, outcome.parallel_load, findings)
    key = outcome.key if outcome.defined_key is not None else ()
    if "." in schema or "." in name:
        return Table(source=source, schema=schema, name=name, id_ranges=spec, key=key, range_column=column)
    return Table(f"{source}.{schema}.{name}", id_ranges=spec, key=key, range_column=column)


def _segments(outcome: TableOutcome, load: ParallelLoad, findings: Findings) -> tuple[str | None, RangeSpec]:
    """Segments change how fast a load is, not what it takes: the first column cuts well enough, and the key
    where ids are not cut by such a column."""
    if load.type == "none":
        return None, WHOLE_TABLE
    if load.type != "ranges" or not load.columns or not load.boundaries:
        return None, _by_count(outcome, load.number_of_partitions or 8)
    if not _cuts(outcome, load.columns[0], [each[0] for each in load.boundaries]):
        what = f"segments by {load.columns[0]}: id ranges are of whole numbers and texts, and cut by the key"
        findings.note("segments", what, "", load.place)
        return None, _by_count(outcome, len(load.boundaries) + 1)
    values = list(dict.fromkeys(each[0] for each in load.boundaries))
    if len(load.columns) > 1:
        what = f"segments by {', '.join(load.columns)}: id ranges are cut by {load.columns[0]} alone"
        findings.note("segments", what, "", load.place)
    try:
        return load.columns[0], ByBounds(sorted(int(value) for value in values))
    except ValueError:
        # By UTF-8 bytes, as ranges of texts are.
        return load.columns[0], ByBounds([key.decode() for key in sorted(value.encode() for value in values)])


def _by_count(outcome: TableOutcome, number: int) -> RangeSpec:
    known = outcome.columns_known
    return WHOLE_TABLE if known and not (outcome.key and _cuts(outcome, outcome.key[0])) else ByCount(number)


def _cuts(outcome: TableOutcome, name: str, bounds: Sequence[str] = ()) -> bool:
    """Whether ids can be cut by a column; where that is not known, whether its bounds are no dates."""
    column = outcome.source.column(name)
    try:
        if column is None or column.type is None:
            return not bounds or not all(moment_in(each) for each in bounds)
        kind_of(stored_type(column), column.native)
    except (CatalogError, ValueError) as error:
        return not isinstance(error, CatalogError)
    return True


def _projections(
    items: Sequence[Items],
    delta: Sequence[str],
    shapes: Sequence[Shape],
    settings: Sequence[TaskSettings],
    *,
    region: str,
    lake: str,
    database: ProjectionDatabase | None,
) -> tuple[Projection, ...]:
    refusals, validation = _refusals(settings), _validation(settings)
    found: list[Projection] = []
    if items:
        threads = _number(settings, "TargetMetadata", "ParallelLoadThreads") or 0
        named = {each.table for each in items}
        found.append(
            DynamoDbProjection(
                "serving",
                items=items,
                region=region,
                connections=max(threads, _DEFAULT_CONNECTIONS),
                refusals=refusals,
                validation=validation,
                shapes=[each for each in shapes if each.table in named],
            )
        )
    if delta:
        own = [each for each in shapes if each.table in delta]
        lakehouse = DeltaProjection(
            "lake", tables=delta, root=lake, refusals=refusals, validation=validation, shapes=own
        )
        found.append(lakehouse if database is None else _in_database(lakehouse, database, settings))
    return tuple(found)


def _in_database(
    lakehouse: DeltaProjection, database: ProjectionDatabase, settings: Sequence[TaskSettings]
) -> SqlProjection:
    schemas = [each.value("TargetMetadata", "TargetSchema") for each in settings]
    return SqlProjection(
        "copy",
        tables=lakehouse.tables,
        target=database,
        into=next((each for each in schemas if isinstance(each, str) and each), None),
        refusals=lakehouse.refusals,
        validation=lakehouse.validation,
        shapes=lakehouse.shapes,
    )


def _refusals(settings: Sequence[TaskSettings]) -> Refusals:
    """As the error policies say. What DMS would ignore is kept aside all the same."""
    if not settings:
        return Refusals()
    first = settings[0]
    policies = {
        first.value("ErrorBehavior", name) for name in ("DataErrorPolicy", "DataTruncationErrorPolicy")
    }
    count = first.value("ErrorBehavior", "DataErrorEscalationCount")
    escalate_after = count if isinstance(count, int) and count > 0 else None
    stops = first.value("ErrorBehavior", "DataErrorEscalationPolicy") == "STOP_TASK"
    gentle: Literal["suspend", "dead-letter"] = "suspend" if "SUSPEND_TABLE" in policies else "dead-letter"
    policy: RefusalPolicy = "stop" if "STOP_TASK" in policies else gentle
    return Refusals(
        policy,
        escalate_after=escalate_after if policy == "dead-letter" else None,
        escalate_to="stop" if stops and escalate_after and policy == "dead-letter" else "suspend",
    )


def _validation(settings: Sequence[TaskSettings]) -> Validation:
    """On demand alone where the task says that nothing is validated."""
    section = ("ValidationSettings", "EnableValidation")
    off = any(each.is_given(*section) and not each.value(*section) for each in settings)
    return Validation(None) if off else Validation()


def _number(settings: Sequence[TaskSettings], section: str, name: str) -> int | None:
    for each in settings:
        value = each.value(section, name)
        if each.is_given(section, name) and isinstance(value, int):
            return value
    return None
