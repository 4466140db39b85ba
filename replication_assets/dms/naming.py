"""Renaming actions: which rule names an object, and what it makes of the name."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from replication_assets.core.expressions.evaluation import evaluate
from replication_assets.core.expressions.syntax import Expression
from replication_assets.dms.findings import Findings
from replication_assets.dms.outcome import Overridden
from replication_assets.dms.rules import Transformation
from replication_assets.dms.source_tables import SourceTable


def applies(rule: Transformation, name: str) -> bool:
    """Whether a rule has something to do with a name: affixes can be taken only where they are."""
    if rule.action in ("remove-prefix", "replace-prefix"):
        return name.startswith((rule.value if rule.action == "remove-prefix" else rule.old_value) or "")
    if rule.action in ("remove-suffix", "replace-suffix"):
        return name.endswith((rule.value if rule.action == "remove-suffix" else rule.old_value) or "")
    return True


def renamed(rule: Transformation, name: str, table: SourceTable) -> str:
    """The name that a rule gives to the table, or to its schema or a column. Raises ValueError for an action
    that names nothing, and for an expression that gives no text."""
    value, old = rule.value or "", rule.old_value or ""
    if rule.action == "rename" and rule.value is None and rule.expression is not None:
        return _named_by(rule.expression, name, table)
    if rule.action == "rename":
        return value
    if rule.action == "convert-lowercase":
        return name.lower()
    if rule.action == "convert-uppercase":
        return name.upper()
    if rule.action == "add-prefix":
        return value + name
    if rule.action == "add-suffix":
        return name + value
    if rule.action == "remove-prefix":
        return name.removeprefix(value)
    if rule.action == "remove-suffix":
        return name.removesuffix(value)
    if rule.action == "replace-prefix":
        return value + name.removeprefix(old)
    if rule.action == "replace-suffix":
        return name.removesuffix(old) + value
    raise ValueError(f"{rule.action} names nothing")


def told_name(rule: Transformation, name: str, table: SourceTable, findings: Findings) -> str:
    """As `renamed`; where that fails, which is told, the name as it is."""
    try:
        return renamed(rule, name, table)
    except ValueError as error:
        what = f"{rule.action} of {name!r} in {table}: {error}"
        findings.error("bad-expression", what, "write one that gives a text", rule.place, rule.id)
        return name


def _named_by(expression: Expression, name: str, table: SourceTable) -> str:
    """The result of an expression of names: it was read without columns, whose values rows have."""
    column = table.column(name)
    known = {
        "AR_M_SOURCE_SCHEMA": table.schema,
        "AR_M_SOURCE_TABLE_NAME": table.name,
        "AR_M_SOURCE_COLUMN_NAME": name,
        "AR_M_SOURCE_COLUMN_DATATYPE": column.native if column is not None else "",
    }
    one = pa.record_batch({"_": [0]})
    ((found,),) = evaluate([expression], one, {each: [known[each]] for each in expression.variables})
    if not isinstance(found, str) or not found:
        raise ValueError("its expression gives no name")
    return found


NAMES = {
    "AR_M_SOURCE_SCHEMA", "AR_M_SOURCE_TABLE_NAME", "AR_M_SOURCE_COLUMN_NAME", "AR_M_SOURCE_COLUMN_DATATYPE",
}  # fmt: skip
"""Variables that an expression of a name can have: those of rows give a table no name."""


def doubled(rule: Transformation, name: str) -> bool:
    """Whether a name has the affix that a rule adds."""
    if not rule.value:
        return False
    return (rule.action == "add-prefix" and name.startswith(rule.value)) or (
        rule.action == "add-suffix" and name.endswith(rule.value)
    )


def winner(
    rules: Iterable[Transformation], about: str
) -> tuple[Transformation | None, tuple[Overridden, ...]]:
    """The rule with the lowest rule-id, and those that it overrides."""
    ordered = sorted(rules, key=lambda rule: rule.precedence)
    if not ordered:
        return None, ()
    first, *others = ordered
    return first, tuple(Overridden(other.id, other.action, about, first.id) for other in others)
