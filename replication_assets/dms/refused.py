"""What `import` refuses by name: everything of a table that no declaration says."""

from __future__ import annotations

from collections.abc import Iterator

from replication_assets.core.expressions.syntax import Expression
from replication_assets.dms.findings import Findings
from replication_assets.dms.mapping import TableMapping
from replication_assets.dms.masking import RANDOM
from replication_assets.dms.messages import mapped_messages
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.rules import Transformation
from replication_assets.dms.task import Task
from replication_assets.dms.topics import not_declared


def refuse(task: Task, outcome: TableOutcome, findings: Findings) -> None:
    mapping = next(mapping for mapping, found in task.files if outcome in found.tables)
    place = next(rule.place for rule in mapping.selections if rule.id == outcome.selected_by)
    refused = [
        *_refused_of_topic(task.target, outcome),
        *_refused_of_table(mapping, outcome),
        *_refused_of_columns(outcome),
    ]
    for what, fix in refused:
        findings.error("not-declared", f"{outcome.source}: {what}", fix, place, outcome.selected_by)


def _refused_of_topic(target: str, outcome: TableOutcome) -> Iterator[tuple[str, str]]:
    messages = mapped_messages(outcome, target, Findings())
    if messages is None:
        return
    if target == "kinesis" and messages.topic is not None:
        yield "kafka-target-topic is of Kafka, and a task has one stream", "delete it, or --target kafka"
    what = not_declared(messages, outcome)
    if what is not None:
        yield what, "write primary-key, or the name of a column or scalar attribute"
    if outcome.columns_known and not outcome.key:
        yield "it has no key, by which messages are ordered", "add a rule with define-primary-key"


def _refused_of_table(mapping: TableMapping, outcome: TableOutcome) -> Iterator[tuple[str, str]]:
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
        if removed.source in outcome.key and not mapped:
            what = f"column {removed.source!r} is left out, and is in the key by which rows are found"
            yield what, "keep it, or define another key"
    for column in outcome.columns:
        label = f"column {column.target!r}"
        if any(mask.action == RANDOM for mask in column.masks):
            what = f"{label} gets random digits, other ones each time that its row is written"
            yield what, "mask its digits or hash it, or refresh a masked copy (docs/refresh.md)"
        elif column.revalued and column.source in outcome.key:
            how = f"becomes {column.type}" if column.retyped else "is masked"
            yield (
                f"{label} {how}, and is in the key by which rows are found",
                "add a column with an expression",
            )
        if column.before:
            yield f"{label} is of values before an update", "query the event store, which has them"
        if column.source is None and column.expression is not None:
            yield from _refused_of_expression(label, column.expression)


def _of_columns(rule: Transformation, outcome: TableOutcome) -> bool:
    source = outcome.source
    changes = rule.target == "column" and rule.action != "add-column"
    return changes and rule.locator.takes(source.schema, source.name, source.kind)


def _refused_of_expression(label: str, expression: Expression) -> Iterator[tuple[str, str]]:
    variables = set(expression.variables)
    if expression.unstable is not None:
        what = f"{label} gives another value each time that its row is written"
        yield what, "use $AR_H_TIMESTAMP, which is of the change"
    if variables & {"AR_M_SOURCE_COLUMN_NAME", "AR_M_SOURCE_COLUMN_DATATYPE"}:
        yield f"{label} is of a column of the source, and a new column has none", "write it as a text"
    of_change = "operation_indicator" in expression.functions or expression.reads_before
    if of_change or variables & {"AR_H_OPERATION", "AR_H_USER"}:
        yield f"{label} tells of a change, and a projection has rows", "query the event store"
