"""Which tables a mapping takes, in which order, and which rows of them.

An exclude rule wins over every include, wherever it stands, but over an explicit rule only if it names
that very table: one table taken out of what a wildcard excludes is what AWS shows explicit rules for. Of
several that include a table the one with its exact name decides, then the lowest rule-id. Schemas of the
database itself are never taken by a wildcard. Without a list of tables, those that are named exactly are
taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from replication_assets.dms.findings import Findings
from replication_assets.dms.mapping import TableMapping
from replication_assets.dms.outcome import LeftOut
from replication_assets.dms.rules import Filter, Selection, TableKind
from replication_assets.dms.source_tables import SourceTable

SYSTEM_SCHEMAS = {
    "pg_catalog", "information_schema", "pg_toast", "mysql", "performance_schema", "sys", "SYS", "SYSTEM",
    "INFORMATION_SCHEMA", "awsdms_control",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selected:
    table: SourceTable
    rule: Selection
    filters: tuple[Filter, ...]


def select(
    mapping: TableMapping, tables: Sequence[SourceTable] | None, findings: Findings
) -> tuple[tuple[Selected, ...], tuple[LeftOut, ...]]:
    """Tables taken, those of a higher load-order first; the order of the source otherwise."""
    taken, left_out = [], []
    for table in tables if tables is not None else named_tables(mapping):
        found = _decide(mapping, table, findings)
        if isinstance(found, LeftOut):
            left_out.append(found)
        else:
            taken.append(found)
    taken.sort(key=lambda each: -each.rule.load_order)
    return tuple(taken), tuple(left_out)


def named_tables(mapping: TableMapping) -> tuple[SourceTable, ...]:
    """Tables that a rule names exactly; their columns are not known."""
    found: dict[tuple[str, str], SourceTable] = {}
    for rule in mapping.selections:
        schema, table = rule.locator.schema, rule.locator.table
        if rule.action != "exclude" and table is not None and schema.exact and table.exact:
            kind: TableKind = "view" if rule.locator.table_type == "view" else "table"
            named = (schema.literal, table.literal)
            found.setdefault(named, SourceTable(*named, kind))
    return tuple(found.values())


def _decide(mapping: TableMapping, table: SourceTable, findings: Findings) -> Selected | LeftOut:
    matching = [rule for rule in mapping.selections if _takes(rule, table)]
    excluding = [rule for rule in matching if rule.action == "exclude"]
    including = sorted((r for r in matching if r.action != "exclude"), key=_decides)
    explicit = [rule for rule in including if rule.action == "explicit"]
    if explicit and excluding and not any(_exact(rule) for rule in excluding):
        _tell_explicit(explicit[0], excluding[0], table, findings)
        excluding, including = [], [explicit[0], *(r for r in including if r is not explicit[0])]
    if excluding:
        first = min(excluding, key=lambda rule: rule.precedence)
        why = f"rule {first.id} excludes it" + (", which wins over every include" if including else "")
        return LeftOut(table, why, first.id)
    if not including:
        return LeftOut(table, _why_not(mapping, table), None)
    if table.schema in SYSTEM_SCHEMAS and not any(rule.locator.schema.exact for rule in including):
        return LeftOut(table, "a schema of the database itself, which no wildcard takes", including[0].id)
    return Selected(table, including[0], _filters(including, table, findings))


def _tell_explicit(rule: Selection, excluding: Selection, table: SourceTable, findings: Findings) -> None:
    what = (
        f"{table} is taken: rule {rule.id} names it explicitly, rule {excluding.id} excludes it by a wildcard"
    )
    fix = "write an exclude rule of its exact name if it is to be left out"
    findings.note("explicit-wins", what, fix, rule.place, rule.id)


def _takes(rule: Selection, table: SourceTable) -> bool:
    if rule.action == "explicit":
        exact = rule.locator.schema.literal == table.schema
        return exact and rule.locator.table is not None and rule.locator.table.literal == table.name
    return rule.locator.takes(table.schema, table.name, table.kind)


def _why_not(mapping: TableMapping, table: SourceTable) -> str:
    for rule in mapping.selections:
        locator = rule.locator
        if rule.action == "exclude" or locator.table is None:
            continue
        named = locator.schema.matches(table.schema) and locator.table.matches(table.name)
        if named:
            return f"rule {rule.id} takes table-type {locator.table_type}, and this is a {table.kind}"
        if (locator.schema.text.lower(), locator.table.text.lower()) == (
            table.schema.lower(),
            table.name.lower(),
        ):
            return f"rule {rule.id} spells its name in another case"
    return "no rule includes it"


def _decides(rule: Selection) -> tuple[bool, tuple[int, int, str, int]]:
    return (not _exact(rule), rule.precedence)


def _exact(rule: Selection) -> bool:
    return rule.locator.schema.exact and rule.locator.table is not None and rule.locator.table.exact


def _filters(rules: list[Selection], table: SourceTable, findings: Findings) -> tuple[Filter, ...]:
    """Those of the rule that decides. What DMS makes of others beside it is documented nowhere: told
    where that rule has the exact name, and refused where none is nearer than the other."""
    first = rules[0]
    for other in rules[1:]:
        if _shape(other.filters) == _shape(first.filters):
            continue
        what = f"rules {first.id} and {other.id} both include {table}, with other filters"
        if _exact(first) and not _exact(other):
            what += f"; those of rule {first.id} are applied, which has its exact name"
            findings.warn("ambiguous-filters", what, "exclude it from the wildcard", other.place, other.id)
        else:
            findings.error("ambiguous-filters", what, "write one include rule for it", other.place, other.id)
    return first.filters


def _shape(filters: Iterable[Filter]) -> tuple[object, ...]:
    return tuple((f.column, tuple((c.operator, c.values) for c in f.conditions)) for f in filters)
