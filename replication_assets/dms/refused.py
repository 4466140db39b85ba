"""What `import` refuses by name: everything of a table that no declaration says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

from replication_assets.core.expressions.syntax import Expression
from replication_assets.dms.findings import Findings
from replication_assets.dms.json_source import plain
from replication_assets.dms.mapping import TableMapping
from replication_assets.dms.masking import RANDOM
from replication_assets.dms.messages import mapped_messages
from replication_assets.dms.outcome import TableOutcome
from replication_assets.dms.rules import ObjectMapping, Rule, Selection, TableSettings, Transformation
from replication_assets.dms.task import Task
from replication_assets.dms.topics import not_declared
from replication_assets.dms.transformations import MASKS

Fault: TypeAlias = tuple[str, str, Rule]
"""What is refused, its fix, and the rule that asks for it."""


def refuse(task: Task, outcome: TableOutcome, findings: Findings, *, all_partitions: bool = False) -> None:
    """With `all_partitions` a table of which some are listed is loaded whole, which is told."""
    mapping = next(mapping for mapping, found in task.files if outcome in found.tables)
    selection = next(rule for rule in mapping.selections if rule.id == outcome.selected_by)
    refused: list[Fault] = [
        *_refused_of_topic(task.target, outcome, selection),
        *_refused_of_rules(mapping, outcome, all_partitions=all_partitions),
        *_refused_of_columns(mapping, outcome),
    ]
    for what, fix, rule in refused:
        findings.error("not-declared", f"{outcome.source}: {what}", fix, rule.place, rule.id)
    if all_partitions and _lists_partitions(outcome):
        what = f"all partitions of {outcome.source} are loaded, not the listed ones alone"
        findings.warn("all-partitions", what, "", _settings_of(mapping, outcome).place)


def _refused_of_topic(target: str, outcome: TableOutcome, selection: Selection) -> Iterator[Fault]:
    messages = mapped_messages(outcome, target, Findings())
    if messages is None:
        return
    rule: Rule = outcome.object_mapping or selection
    if target == "kinesis" and messages.topic is not None:
        what = "kafka-target-topic is of Kafka, and a task has one stream"
        yield what, "delete it, or --target kafka", rule
    told = not_declared(messages, outcome)
    if told is not None:
        yield told, "write primary-key, or the name of a column or scalar attribute", rule
    if outcome.columns_known and not outcome.key:
        fix = "add a rule with define-primary-key"
        yield "it has no key, by which messages are ordered", fix, selection


def _refused_of_rules(
    mapping: TableMapping, outcome: TableOutcome, *, all_partitions: bool
) -> Iterator[Fault]:
    changing = [each for each in mapping.transformations if _of_columns(each, outcome)]
    if not outcome.columns_known and changing:
        what = "rules change its columns, which are not known"
        yield what, "give its columns with --tables", changing[0]
    if _lists_partitions(outcome) and not all_partitions:
        fix = "--all-partitions loads all of them; or declare the listed ones as tables"
        yield "only the listed partitions are loaded", fix, _settings_of(mapping, outcome)
    for name in outcome.displaced:
        rule = outcome.object_mapping
        if rule is not None and (name in outcome.key or _uses(rule, name)):
            what = f"column {name!r} is removed and used by the object mapping, and another one has its name"
            yield what, "give the other one another name", rule


def _lists_partitions(outcome: TableOutcome) -> bool:
    return outcome.parallel_load is not None and outcome.parallel_load.type == "partitions-list"


def _settings_of(mapping: TableMapping, outcome: TableOutcome) -> TableSettings:
    source = outcome.source
    return min(
        (r for r in mapping.table_settings if r.locator.takes(source.schema, source.name, source.kind)),
        key=lambda rule: rule.precedence,
    )


def _uses(rule: ObjectMapping, column: str) -> bool:
    said = json.dumps([plain(each.value) for each in rule.attributes if each.value is not None])
    keyed = column in (rule.partition_key_name, rule.sort_key_name)
    return keyed or re.search(rf"\$\{{\s*{re.escape(column)}\s*\}}", said) is not None


def _refused_of_columns(mapping: TableMapping, outcome: TableOutcome) -> Iterator[Fault]:
    mapped = outcome.object_mapping is not None
    rules = {rule.id: rule for rule in reversed(mapping.transformations)}
    for removed in outcome.removed:
        if removed.source in outcome.key and not mapped:
            what = f"column {removed.source!r} is left out, and is in the key by which rows are found"
            yield what, "keep it, or define another key", rules[removed.rule]
    for column in outcome.columns:
        label, deciding = f"column {column.target!r}", [rules[each] for each in column.rules]
        masking = [rule for rule in deciding if rule.action in MASKS]
        if any(mask.action == RANDOM for mask in column.masks):
            what = f"{label} gets random digits, other ones each time that its row is written"
            fix = "mask its digits or hash it, or refresh a masked copy (docs/refresh.md)"
            yield what, fix, next(rule for rule in masking if rule.action == RANDOM)
        elif column.revalued and column.source in outcome.key:
            how = f"becomes {column.type}" if column.retyped else "is masked"
            what = f"{label} {how}, and is in the key by which rows are found"
            yield what, "add a column with an expression", (masking or deciding)[-1]
        if column.before:
            fix = "query the event store, which has them"
            yield f"{label} is of values before an update", fix, deciding[0]
        if column.source is None and column.expression is not None:
            for what, fix in _refused_of_expression(label, column.expression):
                yield what, fix, deciding[0]


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
