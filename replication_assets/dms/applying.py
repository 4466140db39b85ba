"""A mapping applied to tables: the outcome of all its rules."""

from __future__ import annotations

from collections.abc import Sequence

from replication_assets.dms.column_rules import column_outcomes, is_of_type, takes_column
from replication_assets.dms.findings import Findings
from replication_assets.dms.mapping import TableMapping
from replication_assets.dms.naming import applies, doubled, told_name, winner
from replication_assets.dms.outcome import ColumnOutcome, Outcome, Overridden, TableOutcome
from replication_assets.dms.rules import (
    AnyRule,
    ObjectMapping,
    PostProcessing,
    Selection,
    TableSettings,
    Transformation,
    ValidationOverride,
)
from replication_assets.dms.selecting import Selected, select
from replication_assets.dms.source_tables import SourceTable
from replication_assets.dms.transformations import MASKS, RENAMING, TABLESPACES


def apply_mapping(mapping: TableMapping, tables: Sequence[SourceTable] | None) -> Outcome:
    """With `tables` None, of the tables that are named exactly, with columns unknown."""
    findings = Findings()
    taken, left_out = select(mapping, tables, findings)
    used: set[int] = set()
    outcomes = tuple(_table_outcome(mapping, each, findings, used) for each in taken)
    _tell_collisions(mapping, outcomes, findings)
    unused = _unused(mapping, tables, used, findings) if tables is not None else ()
    _tell_idle(mapping, [each.source for each in outcomes], findings)
    return Outcome(outcomes, left_out, unused, findings.listed())


def _table_outcome(
    mapping: TableMapping, selected: Selected, findings: Findings, used: set[int]
) -> TableOutcome:
    table = selected.table
    rules = [
        rule for rule in mapping.transformations if rule.locator.takes(table.schema, table.name, table.kind)
    ]
    used.update(rule.order for rule in rules)
    overridden: list[Overridden] = []
    schema, schema_rule = _named(rules, "schema", table.schema, table, overridden, findings)
    name, table_rule = _named(rules, "table", table.name, table, overridden, findings)
    keys = [rule for rule in rules if rule.action == "define-primary-key"]
    key_rule, losers = winner(keys, f"key of {table}")
    columns, removed, of_columns = column_outcomes(rules, table, findings)
    settings = _first(mapping.table_settings, selected, used)
    mapped = _first(mapping.object_mappings, selected, used)
    of_table = [r for r in mapping.rules if r.locator.takes(table.schema, table.name, table.kind)]
    validations = tuple(r for r in of_table if isinstance(r, ValidationOverride))
    tagging = [r for r in of_table if isinstance(r, PostProcessing)]
    used.update(r.order for r in (*validations, *tagging))
    _check_filters(selected, findings)
    _check_validations(table, validations, findings)
    return TableOutcome(
        source=table,
        selected_by=selected.rule.id,
        load_order=selected.rule.load_order,
        target_schema=schema,
        target_table=name,
        naming_rules=tuple(rule.id for rule in (schema_rule, table_rule) if rule is not None),
        columns=columns,
        removed=removed,
        columns_known=table.columns is not None,
        key=_key(table, key_rule, columns, findings),
        defined_key=key_rule.primary_key if key_rule is not None else None,
        filters=selected.filters,
        filters_rule=selected.rule.id if selected.filters else None,
        parallel_load=settings.parallel_load if isinstance(settings, TableSettings) else None,
        lobs=settings.lobs if isinstance(settings, TableSettings) else None,
        object_mapping=mapped if isinstance(mapped, ObjectMapping) else None,
        validations=validations,
        tags=_tags(tagging, table),
        overridden=(*overridden, *losers, *of_columns),
        tablespaces=_tablespaces(rules),
    )


def _named(
    rules: list[Transformation],
    target: str,
    name: str,
    table: SourceTable,
    overridden: list[Overridden],
    findings: Findings,
) -> tuple[str, Transformation | None]:
    about = f"schema {name}" if target == "schema" else f"table {table}"
    naming = [r for r in rules if r.target == target and r.action in RENAMING and applies(r, name)]
    rule, losers = winner(naming, about)
    overridden.extend(losers)
    if rule is not None and doubled(rule, name):
        what = f"{about} has {rule.value!r} already, and gets it once more"
        findings.warn("double-prefix", what, "leave it out of the rule", rule.place, rule.id)
    return (told_name(rule, name, table, findings) if rule is not None else name), rule


def _key(
    table: SourceTable,
    rule: Transformation | None,
    columns: Sequence[ColumnOutcome],
    findings: Findings,
) -> tuple[str, ...]:
    """Columns of the key as the source calls them; a defined one may use the target's names."""
    if rule is None or rule.primary_key is None:
        return table.key
    if table.columns is None:
        return rule.primary_key.columns
    given = {each.target: each.source for each in columns if not each.before}
    found = []
    for name in rule.primary_key.columns:
        if table.column(name) is not None:
            found.append(name)
        elif name in given:
            found.append(given[name] or name)
        else:
            what = f"the key {rule.primary_key.name!r} names {name!r}, which is no column of {table}"
            near = next((c.name for c in table.columns if c.name.lower() == name.lower()), None)
            fix = f"write {near!r}: case counts" if near else "spell it as the source does"
            findings.error("unknown-column", what, fix, rule.place, rule.id)
            found.append(name)
    return tuple(found)


def _first(rules: Sequence[AnyRule], selected: Selected, used: set[int]) -> AnyRule | None:
    table = selected.table
    matching = [rule for rule in rules if rule.locator.takes(table.schema, table.name, table.kind)]
    used.update(rule.order for rule in matching)
    return min(matching, key=lambda rule: rule.precedence) if matching else None


def _tags(rules: list[PostProcessing], table: SourceTable) -> tuple[tuple[str, str], ...]:
    """One set of tags for each object: of the rule that fits best, exact names before wildcards. Names of
    schema and table are put in for `${schema-name}` and `${table-name}`."""
    if not rules:
        return ()

    def fit(rule: PostProcessing) -> tuple[int, int]:
        exact = [rule.locator.schema.exact, rule.locator.table is not None and rule.locator.table.exact]
        return (-sum(exact), rule.order)

    def filled(text: str) -> str:
        return text.replace("${schema-name}", table.schema).replace("${table-name}", table.name)

    return tuple((filled(key), filled(value)) for key, value in min(rules, key=fit).tags)


def _tablespaces(rules: list[Transformation]) -> tuple[tuple[str, str], ...]:
    return tuple((rule.target, rule.value or "") for rule in rules if rule.target in TABLESPACES)


def _check_filters(selected: Selected, findings: Findings) -> None:
    table = selected.table
    for each in selected.filters:
        if table.columns is None:
            return
        column = table.column(each.column)
        if column is None:
            near = next((c.name for c in table.columns if c.name.lower() == each.column.lower()), None)
            what = f"filter on {each.column!r}, which is no column of {table}"
            fix = f"write {near!r}: case counts" if near else "spell it as the source does"
            findings.error("unknown-column", what, fix, each.place, selected.rule.id)
        elif column.is_lob:
            what = f"filter on {each.column!r}, a large object: DMS does not filter by those"
            findings.warn("filter-on-lob", what, "filter by another column", each.place, selected.rule.id)


def _check_validations(
    table: SourceTable, validations: Sequence[ValidationOverride], findings: Findings
) -> None:
    for rule in validations:
        keys = [name for name in validated_columns(rule, table) if name in table.key]
        what = (
            f"a validation function of {', '.join(keys)}: it has no effect on columns of the key of {table}"
        )
        if keys and rule.locator.column is not None and rule.locator.column.exact:
            findings.warn("validation-of-key", what, "validate other columns", rule.place, rule.id)
        elif keys:
            findings.note("validation-of-key", what, "", rule.place, rule.id)


def validated_columns(rule: ValidationOverride, table: SourceTable) -> tuple[str, ...]:
    """Columns that a validation function is for; none where they are not known."""
    pattern = rule.locator.column
    return tuple(
        column.name
        for column in table.columns or ()
        if pattern is not None and pattern.matches(column.name) and is_of_type(rule.locator.data_type, column)
    )


def _tell_collisions(mapping: TableMapping, outcomes: Sequence[TableOutcome], findings: Findings) -> None:
    """Two tables in one target; items of several tables may share a DynamoDB table."""
    seen: dict[str, TableOutcome] = {}
    for each in outcomes:
        if each.object_mapping is not None and each.object_mapping.target_table:
            continue
        other = seen.setdefault(each.target, each)
        if other is not each:
            what = f"{other.source} and {each.source} would both become {each.target}"
            rule = next(r for r in mapping.selections if r.id == each.selected_by)
            findings.error("table-collision", what, "give one of them another name", rule.place, rule.id)


def _unused(
    mapping: TableMapping, tables: Sequence[SourceTable], used: set[int], findings: Findings
) -> tuple[str, ...]:
    found = []
    for rule in mapping.rules:
        if isinstance(rule, Selection):
            hit = any(rule.locator.takes(t.schema, t.name, t.kind) for t in tables)
        else:
            hit = rule.order in used
        if not hit:
            found.append(rule.id)
            what = f"rule {rule.id} fits no table: {rule.locator}"
            findings.warn("unused-rule", what, "spell the names as the source does", rule.place, rule.id)
    return tuple(found)


def _tell_idle(mapping: TableMapping, tables: Sequence[SourceTable], findings: Findings) -> None:
    """Rules whose tables are there, and no column that they fit. A mask of one column that is spelled
    otherwise would let it through."""
    added = [each.value or "" for each in mapping.transformations if each.action == "add-column"]
    for rule in mapping.transformations:
        pattern = rule.locator.column
        found = [each for each in tables if rule.locator.takes(each.schema, each.name, each.kind)]
        if rule.target != "column" or pattern is None or rule.action == "add-column" or not found:
            continue
        columns = [column for each in found for column in each.columns or ()]
        known = all(each.columns is not None for each in found)
        if not known or any(takes_column(rule, each) for each in columns) or any(map(pattern.matches, added)):
            continue
        what = f"{rule.action} fits no column: {rule.locator}"
        alike = [each.name for each in columns if each.name.lower() == pattern.text.lower()]
        fix = f"write {alike[0]!r}: case counts" if alike else "spell the name as the source does"
        told = findings.error if rule.action in MASKS and pattern.exact else findings.warn
        told("unused-rule", what, fix, rule.place, rule.id)
