"""Outcomes as declarations of the catalog: tables with id ranges, items, shapes, refusals.

What the declarations cannot say is refused by name; nothing of a mapping is left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from replication_assets.core.envelopes.specs import Messages
from replication_assets.core.items.spec import Attribute, ItemKey, Items
from replication_assets.core.range_specs import WHOLE_TABLE, ByBounds, ByCount, RangeSpec
from replication_assets.core.shape_specs import Computed, Shape
from replication_assets.declarations import (
    DeltaProjection,
    DynamoDbProjection,
    KafkaProjection,
    Projection,
    RefusalPolicy,
    Refusals,
    Table,
    Validation,
)
from replication_assets.dms.coverage import coverage_of
from replication_assets.dms.endpoint import KafkaEndpoint
from replication_assets.dms.filters import declared
from replication_assets.dms.findings import Finding, Findings
from replication_assets.dms.items import mapped_items
from replication_assets.dms.mapping import TableMapping
from replication_assets.dms.masking import RANDOM, value_expression
from replication_assets.dms.messages import mapped_messages
from replication_assets.dms.outcome import ColumnOutcome, TableOutcome
from replication_assets.dms.rules import DataType, ParallelLoad, Transformation
from replication_assets.dms.settings.reading import TaskSettings
from replication_assets.dms.task import Task
from replication_assets.dms.topics import declared_messages, not_declared, topics_projection

_DEFAULT_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Compiled:
    """`refused` says by name what is not declared; with an error in it nothing should be used."""

    tables: tuple[Table, ...]
    projections: tuple[Projection, ...]
    topics: tuple[KafkaProjection, ...]
    max_parallel_loads: int | None
    load_wait_seconds: float | None
    refused: tuple[Finding, ...]


def compile_task(task: Task, *, source: str, region: str, lake: str, brokers: str = "") -> Compiled:
    """`source` is what the catalog calls the database; tables without an object mapping go to a lakehouse
    at `lake`, or to the topic of the endpoint if that is Kafka's. `brokers` are given in place of the
    endpoint's own."""
    findings = Findings()
    tables: list[Table] = []
    items: list[Items] = []
    shapes: list[Shape] = []
    delta: dict[str, str | None] = {}
    messages: list[Messages] = []
    for outcomes in task.grouped.values():
        first = outcomes[0]
        _refuse(task, first, findings)
        coverage = coverage_of([each.filters for each in outcomes]) if len(outcomes) > 1 else None
        table = _table(
            first, source, None if coverage is None else (coverage.column, coverage.bounds), findings
        )
        told = mapped_messages(first, task.target, Findings())
        into_topic = told is not None and not_declared(told, first) is None
        if coverage is None and not into_topic:
            table = replace(table, where=declared(first.filters))
        tables.append(table)
        shape = shape_of(first, str(table.id), filtered=coverage is None and into_topic)
        mapped = mapped_items(first, source, findings)
        if mapped is not None:
            items.append(in_shape(mapped, first))
        elif told is not None and into_topic:
            messages.append(declared_messages(told, first, str(table.id)))
        else:
            delta[str(table.id)] = first.target if _renamed(first) else None
        shapes += [shape] if shape is not None else []
    projections = _projections(items, delta, shapes, task.settings, region=region, lake=lake)
    return Compiled(
        tuple(tables),
        projections,
        _topics(messages, shapes, task, brokers),
        _number(task.settings, "FullLoadSettings", "MaxFullLoadSubTasks"),
        _number(task.settings, "FullLoadSettings", "TransactionConsistencyTimeout"),
        findings.listed(),
    )


def _topics(
    messages: Sequence[Messages], shapes: Sequence[Shape], task: Task, brokers: str
) -> tuple[KafkaProjection, ...]:
    if not messages:
        return ()
    endpoint = task.endpoint or KafkaEndpoint()
    if brokers:
        endpoint = replace(endpoint, brokers=brokers)
    named = {each.table for each in messages}
    own = [each for each in shapes if each.table in named]
    return (topics_projection(messages, own, endpoint, task.settings, _refusals(task.settings)),)


def shape_of(outcome: TableOutcome, table: str, *, filtered: bool = True) -> Shape | None:
    """Rows and columns that differ from the source's; None where none do. Columns of a table with an object
    mapping are left out by `Items.exclude` or `Messages.exclude`."""
    mapped = outcome.object_mapping is not None
    recomputed = [c for c in outcome.columns if c.recomputed]
    shape = Shape(
        table,
        where=declared(outcome.filters) if filtered else (),
        exclude=[
            *([] if mapped else [each.source for each in outcome.removed]),
            *(each.source for each in recomputed if each.source),
        ],
        rename={c.source: c.target for c in _kept(outcome) if c.source and c.source != c.target},
        computed=[
            *_computed(outcome, recomputed),
            *_computed(outcome, [each for each in outcome.columns if each.source is None]),
        ],
    )
    return shape if shape.where or shape.exclude or shape.rename or shape.computed else None


def _renamed(outcome: TableOutcome) -> bool:
    return (outcome.target_schema, outcome.target_table) != (outcome.source.schema, outcome.source.name)


def _kept(outcome: TableOutcome) -> list[ColumnOutcome]:
    return [c for c in outcome.columns if c.source and not c.before and not c.recomputed]


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


def in_shape(items: Items, outcome: TableOutcome) -> Items:
    """Items whose templates name columns as the shape of their table calls them."""
    names = {c.source: c.target for c in outcome.columns if c.source and not c.before}
    names = {source: target for source, target in names.items() if source != target}
    if not names:
        return items

    def text(template: str) -> str:
        return re.sub(r"\$\{([^}]+)\}", lambda found: f"${{{names.get(found[1], found[1])}}}", template)

    def attribute(each: Attribute) -> Attribute:
        return replace(
            each,
            template=None if each.template is None else text(each.template),
            fields=None if each.fields is None else [attribute(inner) for inner in each.fields],
            elements=None if each.elements is None else [attribute(inner) for inner in each.elements],
        )

    def key(each: ItemKey) -> ItemKey:
        return replace(each, template=text(each.template))

    return replace(
        items,
        partition_key=key(items.partition_key),
        sort_key=None if items.sort_key is None else key(items.sort_key),
        attributes=[attribute(each) for each in items.attributes],
        exclude=[names.get(name, name) for name in items.exclude],
    )


def _table(
    outcome: TableOutcome, source: str, ranges: tuple[str, tuple[int, ...]] | None, findings: Findings
) -> Table:
    schema, name = outcome.source.schema, outcome.source.name
    column: str | None = None
    spec: RangeSpec = WHOLE_TABLE
    if ranges is not None:
        column, spec = ranges[0], ByBounds(ranges[1]) if ranges[1] else WHOLE_TABLE
    elif outcome.parallel_load is not None:
        column, spec = _segments(outcome.parallel_load, findings)
    key = outcome.key if outcome.defined_key is not None else ()
    if "." in schema or "." in name:
        return Table(source=source, schema=schema, name=name, id_ranges=spec, key=key, range_column=column)
    return Table(f"{source}.{schema}.{name}", id_ranges=spec, key=key, range_column=column)


def _segments(load: ParallelLoad, findings: Findings) -> tuple[str | None, RangeSpec]:
    """Segments change how fast a load is, not what it takes: the first column cuts well enough."""
    if load.type != "ranges" or not load.columns or not load.boundaries:
        return None, WHOLE_TABLE if load.type == "none" else ByCount(load.number_of_partitions or 8)
    values = list(dict.fromkeys(each[0] for each in load.boundaries))
    if len(load.columns) > 1:
        what = f"segments by {', '.join(load.columns)}: id ranges are cut by {load.columns[0]} alone"
        findings.note("segments", what, "", load.place)
    try:
        return load.columns[0], ByBounds(sorted(int(value) for value in values))
    except ValueError:
        # By UTF-8 bytes, as ranges of texts are.
        return load.columns[0], ByBounds([key.decode() for key in sorted(value.encode() for value in values)])


def _refuse(task: Task, outcome: TableOutcome, findings: Findings) -> None:
    """Everything of a table that no declaration says."""
    mapping = next(mapping for mapping, found in task.files if outcome in found.tables)
    place = next(rule.place for rule in mapping.selections if rule.id == outcome.selected_by)
    refused = [
        *_refused_of_topic(task.target, outcome),
        *_refused_of_table(mapping, outcome, task.target),
        *_refused_of_columns(outcome),
    ]
    for what, fix in refused:
        findings.error("not-declared", f"{outcome.source}: {what}", fix, place, outcome.selected_by)


def _refused_of_topic(target: str, outcome: TableOutcome) -> Iterator[tuple[str, str]]:
    messages = mapped_messages(outcome, target, Findings())
    if messages is None:
        return
    if target == "kinesis":
        yield "rows go to a Kinesis stream, and nothing writes to those", "a topic instead: --target kafka"
    what = not_declared(messages, outcome)
    if what is not None:
        yield what, "write primary-key, or the name of a column or scalar attribute"
    if outcome.columns_known and not outcome.key:
        yield "it has no key, by which messages are ordered", "add a rule with define-primary-key"


def _refused_of_table(mapping: TableMapping, outcome: TableOutcome, target: str) -> Iterator[tuple[str, str]]:
    rule = outcome.object_mapping
    if rule is not None and rule.condition is not None:
        what = "condition-expression: every write here is on the condition that what stands there is older"
        yield f"{what}, and takes no second one", "filter the rows instead, or delete it"
    to_lake = mapped_messages(outcome, target, Findings()) is None and (rule is None or rule.streams)
    if to_lake and _renamed(outcome) and "." in outcome.target_schema + outcome.target_table:
        what = f"it is called {outcome.target_table!r} in schema {outcome.target_schema!r} of its target"
        yield f"{what}, and names in a lakehouse have no dot", "write a name without one"
    if not outcome.columns_known and any(_of_columns(each, outcome) for each in mapping.transformations):
        yield "rules change its columns, which are not known", "give its columns with --tables"
    if outcome.validations:
        fix = "both sides are compared as the target holds them: delete the rule"
        yield "validation functions are overridden", fix
    if outcome.tags:
        yield "objects are tagged, and there are none", "delete the post-processing rule"
    if outcome.tablespaces:
        yield "tablespaces are renamed, and no target has any", "delete the rule"
    if outcome.parallel_load is not None and outcome.parallel_load.type == "partitions-list":
        yield "only the listed partitions are loaded", "declare the partitions as tables, or load all"


def _refused_of_columns(outcome: TableOutcome) -> Iterator[tuple[str, str]]:
    mapped = outcome.object_mapping is not None
    for removed in outcome.removed:
        if removed.source in outcome.source.key and not mapped:
            what = f"column {removed.source!r} is left out, and is in the key by which rows are found"
            yield what, "keep it, or define another key"
    for column in outcome.columns:
        label = f"column {column.target!r}"
        if any(mask.action == RANDOM for mask in column.masks):
            what = f"{label} gets random digits, other ones each time that its row is written"
            yield what, "mask its digits or hash it, or refresh a masked copy (docs/refresh.md)"
        elif column.recomputed and column.source in outcome.source.key:
            how = f"becomes {column.type}" if column.retyped else "is masked"
            yield (
                f"{label} {how}, and is in the key by which rows are found",
                "add a column with an expression",
            )
        if column.before:
            yield f"{label} is of values before an update", "query the event store, which has them"
        if column.source is None and _of_changes(column):
            yield f"{label} tells of a change, and a projection has rows", "query the event store"


def _of_columns(rule: Transformation, outcome: TableOutcome) -> bool:
    source = outcome.source
    changes = rule.target == "column" and rule.action != "add-column"
    return changes and rule.locator.takes(source.schema, source.name, source.kind)


def _of_changes(column: ColumnOutcome) -> bool:
    expression = column.expression
    if expression is None:
        return False
    unknown = {"AR_H_OPERATION", "AR_H_USER", "AR_M_SOURCE_COLUMN_NAME", "AR_M_SOURCE_COLUMN_DATATYPE"}
    of_change = "operation_indicator" in expression.functions or expression.reads_before
    return of_change or bool(unknown & set(expression.variables)) or expression.unstable is not None


def _projections(
    items: Sequence[Items],
    delta: Mapping[str, str | None],
    shapes: Sequence[Shape],
    settings: Sequence[TaskSettings],
    *,
    region: str,
    lake: str,
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
        found.append(
            DeltaProjection(
                "lake",
                tables=list(delta),
                root=lake,
                names={table: name for table, name in delta.items() if name is not None},
                refusals=refusals,
                validation=validation,
                shapes=own,
            )
        )
    return tuple(found)


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
