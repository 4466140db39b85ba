"""What is wrong or dangerous in a mapping beyond single members: ids, prefixes, filters, order."""

from __future__ import annotations

import re
from collections.abc import Sequence

from replication_assets.core.expressions.functions import OF_SQLITE
from replication_assets.core.row_filters import typed_value
from replication_assets.dms.coverage import divided, tell
from replication_assets.dms.findings import Finding, Findings, Place
from replication_assets.dms.items import mapped_items
from replication_assets.dms.json_source import Scalar
from replication_assets.dms.mapping import TableMapping
from replication_assets.dms.messages import mapped_messages
from replication_assets.dms.outcome import Outcome, TableOutcome
from replication_assets.dms.rules import (
    AnyRule,
    ConditionExpression,
    Filter,
    ObjectMapping,
    PostProcessing,
    Transformation,
    ValidationOverride,
)
from replication_assets.dms.samples import stored_type
from replication_assets.dms.transformations import TABLESPACES

_IDENTIFIERS = re.compile(r"(^|_)(id|key|uuid|guid|no|number|seq)$|created|inserted|Id$|ID$", re.IGNORECASE)

UNKNOWN_TABLES = "tables-unknown"
NOT_APPLICABLE = "not-applicable"


def lint_rules(mapping: TableMapping) -> tuple[Finding, ...]:
    """What can be told without knowing any table."""
    findings = Findings()
    _tell_ids(mapping.rules, findings)
    if mapping.rules and not mapping.selections:
        first = mapping.rules[0]
        what = "there is no selection rule: no table is replicated"
        findings.error("no-selection", what, "add a rule of rule-type selection", first.place)
    elif mapping.selections and all(rule.action == "exclude" for rule in mapping.selections):
        what = "all selection rules exclude: no table is replicated"
        findings.error("no-selection", what, "add an include rule", mapping.selections[0].place)
    for rule in mapping.selections:
        for each in rule.filters:
            _tell_filter(each, rule.id, findings)
    unread = {each.rule for each in mapping.findings if each.code == "bad-expression"}
    for each_rule in mapping.transformations:
        _tell_transformation(each_rule, findings, unread=each_rule.id in unread)
    for mapped in mapping.object_mappings:
        _tell_templates(mapped, findings)
    for rule_of_any in mapping.rules:
        _tell_not_applicable(rule_of_any, findings)
    return findings.listed()


def _tell_not_applicable(rule: AnyRule, findings: Findings) -> None:
    """What changes no data, and is not there to be told to."""
    if isinstance(rule, PostProcessing):
        what = "tags of objects in S3 are not applicable: no projection tags what it writes"
        findings.note(NOT_APPLICABLE, what, "", rule.place, rule.id)
    elif isinstance(rule, ValidationOverride):
        what = (
            "functions for validation are not applicable: here both sides are compared as the target holds "
            "the values, so that no engine's own form of them has to be evened out"
        )
        findings.note(NOT_APPLICABLE, what, "", rule.place, rule.id)


def _tell_ids(rules: Sequence[AnyRule], findings: Findings) -> None:
    for attribute, code in (("id", "duplicate-rule-id"), ("name", "duplicate-rule-name")):
        seen: dict[str, AnyRule] = {}
        for rule in rules:
            value = getattr(rule, attribute)
            other = seen.setdefault(value, rule) if value else rule
            if other is not rule:
                what = f"rule-{attribute} {value[:40]!r} stands twice, first in line {other.place.line}"
                findings.warn(code, what, "give each rule its own", rule.place, rule.id)


def _tell_filter(each: Filter, rule: str, findings: Findings) -> None:
    if not _IDENTIFIERS.search(each.column):
        what = (
            f"filter on {each.column!r}, which may change: DMS keeps the status that a row had first; here a "
            "row that an update moves out leaves the projection"
        )
        findings.warn("mutable-filter", what, "filter by a column that never changes", each.place, rule)
    if len(each.conditions) > 1:
        what = f"{len(each.conditions)} conditions of one filter are combined with OR"
        findings.note("or-conditions", what, "write a filter for each if AND is meant", each.place, rule)
    for condition in each.conditions:
        if condition.operator in ("between", "notbetween"):
            low, high = condition.values
            if _number(low) is not None and _number(high) is not None and _number(low) > _number(high):  # type: ignore[operator]
                what = f"{condition.operator} {low} and {high}: the bounds are swapped, nothing is between"
                findings.error("empty-range", what, "swap them", condition.place, rule)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _tell_transformation(rule: Transformation, findings: Findings, *, unread: bool) -> None:
    if rule.target in TABLESPACES:
        what = f"{rule.target} is not applicable: tables are made where their owner's tables are by default"
        findings.note(NOT_APPLICABLE, what, "", rule.place, rule.id)
    if rule.action == "rename" and rule.value is not None:
        patterns = (
            [rule.locator.schema] if rule.target == "schema" else [rule.locator.table, rule.locator.column]
        )
        wide = [each for each in patterns if each is not None and not each.exact]
        if (
            wide
            and "tablespace" not in rule.target
            and rule.target != "schema"
            and (rule.target == "table" or not (rule.locator.column or wide[0]).exact)
        ):
            what = (
                f"rename to {rule.value!r} of everything that {rule.locator} fits: two of them would collide"
            )
            findings.warn("rename-many", what, "name one object, or use prefixes", rule.place, rule.id)
    if rule.action == "add-column" and rule.expression is None and not unread:
        what = f"column {rule.value!r} has no expression: it is NULL in every row"
        findings.warn("empty-column", what, "add an expression", rule.place, rule.id)
    if rule.action == "add-column" and rule.data_type is None:
        what = f"column {rule.value!r} has no data-type"
        findings.error(
            "missing-member", what, 'add "data-type": {"type": "string", "length": 50}', rule.place, rule.id
        )
    if rule.primary_key is not None and rule.primary_key.origin == "unique-index":
        what = "a unique index: here its columns are the key by which rows are found, as of a primary key"
        findings.note("key-origin", what, "", rule.place, rule.id)
    _tell_functions(rule, findings)


def _tell_functions(rule: Transformation, findings: Findings) -> None:
    for name in rule.expression.functions if rule.expression is not None else ():
        if name in OF_SQLITE:
            what = f"{name}() is SQLite's, and not in the list of functions that DMS documents"
            findings.note("undocumented-function", what, "", rule.place, rule.id)


def _tell_templates(rule: ObjectMapping, findings: Findings) -> None:
    for each in rule.attributes:
        text = each.value.value if isinstance(each.value, Scalar) else None
        if not isinstance(text, str):
            continue
        doubled = re.match(r"(\w+[^\w\s])\1", text)
        if doubled:
            what = f"{each.name!r} begins with {doubled.group(1)!r} twice"
            findings.warn("double-prefix", what, "write it once", each.place, rule.id)
        if each.name in (rule.partition_key_name, rule.sort_key_name) and re.search(r"\}\$\{", text):
            what = (
                f"key {each.name!r}: two columns stand side by side, so that 1 and 23 is the key of 12 and 3"
            )
            findings.warn("touching-columns", what, "put a text between them", each.place, rule.id)
    if rule.condition is not None:
        _tell_condition(rule, rule.condition, findings)


def _tell_condition(rule: ObjectMapping, condition: ConditionExpression, findings: Findings) -> None:
    if condition.during_full_load and not condition.during_cdc:
        what = "the condition holds in full loads only: changes overwrite what it protects"
        findings.warn("condition-of-load", what, '"apply-during-cdc": true', condition.place, rule.id)
    names, expression = dict(condition.attribute_names), condition.expression.split()
    keys = {rule.partition_key_name, rule.sort_key_name}
    asked = re.fullmatch(r"attribute_not_exists\(([^)]+)\)", "".join(expression))
    if asked is not None and names.get(asked[1], asked[1]) in keys:
        what = (
            "no item is ever written over: a second load refuses all rows that have changed since the first"
        )
        findings.note("condition-of-nothing", what, "compare a version too", condition.place, rule.id)


def lint_tables(mapping: TableMapping, outcome: Outcome) -> tuple[Finding, ...]:
    """What can be told with the columns and sample rows of tables."""
    findings = Findings()
    for table in outcome.tables:
        _tell_filter_values(table, findings)
        _tell_doubled_values(table, findings)
        _tell_null_segments(table, findings)
        _tell_kept_columns(mapping, table, findings)
        if table.source.kind == "view":
            what = f"{table.source} is a view: DMS copies views in full loads alone, never their changes"
            rule = next(each for each in mapping.selections if each.id == table.selected_by)
            findings.note("view", what, "", rule.place, rule.id)
    return findings.listed()


def _tell_kept_columns(mapping: TableMapping, table: TableOutcome, findings: Findings) -> None:
    """Columns that a rule would leave out, if another one had not been first."""
    for each in table.overridden:
        if each.action == "remove-column":
            rule = next(rule for rule in mapping.transformations if rule.id == each.rule)
            what = f"{each.about} of {table.source} is kept: rule {each.by} wins over the one that removes it"
            fix = f"give rule {each.rule} a lower rule-id than {each.by}"
            findings.warn("remove-gives-way", what, fix, rule.place, rule.id)


def tell_unknown_tables(mapping: TableMapping, findings: Findings) -> None:
    """Rules that take tables which nobody has named."""
    for rule in mapping.selections:
        exact = rule.locator.schema.exact and rule.locator.table is not None and rule.locator.table.exact
        if rule.action == "include" and not exact:
            what = f"which tables {rule.locator} takes is not known"
            findings.note(UNKNOWN_TABLES, what, "give the source's tables with --tables", rule.place, rule.id)


def _tell_filter_values(table: TableOutcome, findings: Findings) -> None:
    for each in table.filters:
        column = table.source.column(each.column)
        if column is None or column.type is None:
            continue
        for condition in each.conditions:
            for value in condition.values:
                try:
                    typed_value(value, stored_type(column))
                except ValueError as error:
                    what = f"filter value of {each.column!r} {error}, and the column is {column.native}"
                    findings.error(
                        "filter-value", what, "write a value of the column's type", condition.place
                    )


def _tell_doubled_values(table: TableOutcome, findings: Findings) -> None:
    """`agg#${PK}` where the column holds `agg#7` already."""
    rule = table.object_mapping
    for each in rule.attributes if rule is not None else ():
        text = each.value.value if isinstance(each.value, Scalar) else None
        found = re.match(r"([^$]+)\$\{(\w+)\}", text) if isinstance(text, str) else None
        if found is None or rule is None:
            continue
        prefix, column = found.groups()
        values = [row.get(column) for row in table.source.rows]
        if any(isinstance(value, str) and value.startswith(prefix) for value in values):
            what = f"{each.name!r} puts {prefix!r} before {column!r}, whose values begin with it already"
            findings.warn("double-prefix", what, f'"value": "${{{column}}}"', each.place, rule.id)


def _tell_null_segments(table: TableOutcome, findings: Findings) -> None:
    load = table.parallel_load
    if load is None or load.type != "ranges":
        return
    for name in load.columns:
        column = table.source.column(name)
        if table.columns_known and column is None:
            what = f"parallel-load by {name!r}, which is no column of {table.source}"
            findings.error("unknown-column", what, "spell it as the source does", load.place)
        elif column is not None and (
            column.is_lob or (column.type and column.type.type in ("real4", "real8"))
        ):
            what = f"parallel-load by {name!r}, a {column.native}: DMS takes no floats and no large objects"
            findings.error("segment-type", what, "use another column", load.place)
    if set(load.columns) <= set(table.source.key):
        return
    what = f"rows of {table.source} with NULL in {', '.join(load.columns)} are in no segment: DMS loses them"
    findings.warn("segment-null", what, "here they are in the first id range", load.place)


def lint_ranges(files: Sequence[tuple[TableMapping, Outcome]]) -> tuple[Finding, ...]:
    """Tables that several files take by a range each: gaps, overlaps, the ends and NULL."""
    findings = Findings()
    for name, tables in by_table(files).items():
        if len(tables) > 1:
            _same_rules(name, tables, findings)
            coverage, _ = divided([table.filters for table in tables])
            if coverage is not None:
                column = tables[0].source.column(coverage.column)
                in_key = coverage.column in tables[0].source.key
                tell(coverage, name, findings, nullable=not in_key and (column is None or column.nullable))
                continue
            what = f"{name} is taken by {len(tables)} files, and their filters are not ranges of one column"
            place = next((t.filters[0].place for t in tables if t.filters), Place(files[0][0].file, 1, 1))
            findings.error("not-ranges", what, "filter each by between, gte or lte on one column", place)
    return findings.listed()


def _same_rules(name: str, tables: Sequence[TableOutcome], findings: Findings) -> None:
    """Id ranges are of one table, which has one form: a mask of one file is not one of another's rows."""
    for other in tables[1:]:
        differ = _differing(tables[0], other)
        if differ:
            what = f"files that take {name} by ranges differ in {', '.join(differ)}: ids decide what a row is"
            place = other.filters[0].place if other.filters else tables[0].filters[0].place
            findings.error("differing-rules", what, "give every file the same rules for the table", place)


def _differing(one: TableOutcome, other: TableOutcome) -> list[str]:
    """Rules, their ids and places apart."""
    said = [_form(each) for each in (one, other)]
    return [name for name in said[0] if said[0][name] != said[1][name]]


def _form(table: TableOutcome) -> dict[str, object]:
    columns = [
        (c.source, c.target, c.type, c.expression and c.expression.text, c.masks, c.before, c.retyped)
        for c in table.columns
    ]
    mapped = mapped_items(table, "source", Findings())
    rule = table.object_mapping
    return {
        "columns": (columns, [each.source for each in table.removed]),
        "names": (table.target_schema, table.target_table),
        "keys": table.key,
        "object mappings": (mapped, rule is None, mapped_messages(table, "kafka", Findings())),
        "validation": [(each.source_function, each.target_function) for each in table.validations],
        "tags": table.tags,
        "tablespaces": table.tablespaces,
    }


def by_table(files: Sequence[tuple[TableMapping, Outcome]]) -> dict[str, list[TableOutcome]]:
    """Outcomes by the name of the source table, over all files."""
    found: dict[str, list[TableOutcome]] = {}
    for _, outcome in files:
        for table in outcome.tables:
            found.setdefault(str(table.source), []).append(table)
    return found
