"""What a policy must say of every column of a table before a row of it is read, and what it may not say.

Nothing is copied by omission: a column that is not listed, that was reviewed as something else, or that
the event log and the source do not agree on, stops the refresh.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from difflib import get_close_matches

from replication_assets.core.masking.policy import ColumnPolicy, TablePolicy
from replication_assets.core.masking.rules import Choice, ColumnDefault, Constant, JsonPaths, Keep, Null, Rule
from replication_assets.core.masking.suggestions import suggest_rule
from replication_assets.core.schema import TableSchema
from replication_assets.core.structure import ColumnStructure, TableStructure, describe_column

SECRET = "secret"
"""Class of what is worth nothing outside of production: `secret` and `secret.*`."""

_DESTROYS = (Null, Constant)
_ENUM_RULES = (Keep, Choice, Null, Constant, ColumnDefault)

_LITERAL = re.compile(r"'|\d|\$\w*\$")


def spelled(rule: Rule) -> str:
    """A rule as it is written in Python, without what it has by default."""
    given = []
    for each in fields(rule):
        value = getattr(rule, each.name)
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        if value != default:
            given.append(f"{each.name}={value!r}")
    return f"{type(rule).__name__}({', '.join(given)})"


def unlisted_table(structure: TableStructure, policy: str) -> Iterator[str]:
    """One line for the table, and one for each column that has to be listed."""
    yield (
        f"{structure.table}: the policy {policy} does not list the table, so none of it is copied. "
        f"Fix: TablePolicy({str(structure.table)!r}, columns={{...}}) with the columns below, or leave "
        "the table out of the refresh"
    )
    for column in structure.columns:
        if column.generated is None:
            yield f"{structure.table}.{column.name}: {_unlisted(column)}"


def column_problems(
    table: TablePolicy, structure: TableStructure, schema: TableSchema, allow: Collection[str]
) -> Mapping[str, Sequence[str]]:
    """By column, all that is wrong with the columns of a table that is listed, each line with its
    place and its fix. Columns of policy and log that the source has not are there too."""
    found = {
        column.name: list(_of_column(column, table.columns.get(column.name), schema, allow))
        for column in structure.columns
    }
    for name in [*table.columns, *schema.names]:
        if name not in structure.names and not _is_gone(name, table, schema):
            found[name] = [_stranger(name, structure, schema)]
    return {
        name: [f"{structure.table}.{name}: {problem}" for problem in problems]
        for name, problems in found.items()
    }


def table_problems(table: TablePolicy, structure: TableStructure, schema: TableSchema) -> Iterator[str]:
    """What is wrong with what is said of the table as a whole."""
    there = {column.name for column in structure.columns if column.generated is None} & {*schema.names}
    for field in ("row_key", "quasi_identifiers"):
        for name in getattr(table, field):
            if name not in there:
                yield f"{structure.table}: {field} names {name!r}, {_near(name, there)}"
    if table.k_min is not None and table.k_min < 2:
        yield f"{structure.table}: k_min {table.k_min} demands nothing. Fix: 2 at least, 5 is usual"
    if table.k_min is not None and not table.quasi_identifiers:
        yield (
            f"{structure.table}: k_min is of no columns. Fix: quasi_identifiers, what somebody could know "
            "of a person: ('city', 'born')"
        )


def _of_column(
    column: ColumnStructure, entry: ColumnPolicy | None, schema: TableSchema, allow: Collection[str]
) -> Iterator[str]:
    if column.generated is not None:
        if entry is not None and not isinstance(entry.mask, ColumnDefault):
            yield "it is computed from other columns, also in the copy. Fix: leave it out of the policy"
        return
    if entry is None:
        yield _unlisted(column)
        return
    yield from _log_problems(column, entry, schema)
    now = describe_column(column)
    if entry.reviewed != now:
        was = f"was reviewed as {entry.reviewed!r}" if entry.reviewed else "was never reviewed"
        yield f"{was}, and is {now!r} now. Fix: look at class and rule again, then reviewed={now!r}"
    yield from _class_problems(column, entry, allow)


def _unlisted(column: ColumnStructure) -> str:
    data_class, rule = suggest_rule(column)
    reviewed = describe_column(column)
    return (
        f"the policy does not list it. Fix: if that is what it holds, "
        f"{column.name!r}: ColumnPolicy({data_class!r}, {spelled(rule)}, reviewed={reviewed!r})"
    )


def _log_problems(column: ColumnStructure, entry: ColumnPolicy, schema: TableSchema) -> Iterator[str]:
    if column.name in schema.names or isinstance(entry.mask, ColumnDefault):
        return
    if column.name in schema.not_replicated:
        yield "the change stream of the source lacks it. Fix: ColumnDefault(), or publish the column"
    else:
        yield "the event log lacks it: it is new at the source. Fix: capture the table up to now"


def _is_gone(name: str, table: TablePolicy, schema: TableSchema) -> bool:
    """A column that the log has from before the source dropped it, and that is listed as not copied."""
    entry = table.columns.get(name)
    return name in schema.names and entry is not None and isinstance(entry.mask, Null)


def _stranger(name: str, structure: TableStructure, schema: TableSchema) -> str:
    if name in schema.names:
        return (
            "the event log has it, and the recorded structure of the source has not. Fix: capture the table, "
            f"which records its structure; if the source dropped it, "
            f"{name!r}: ColumnPolicy('internal', Null())"
        )
    return f"the policy lists it, {_near(name, structure.names)}"


def _near(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, sorted(known), n=1)
    fix = f"did you mean {close[0]!r}?" if close else "leave it out"
    return f"and the table has no such column. Fix: {fix}"


def _class_problems(column: ColumnStructure, entry: ColumnPolicy, allow: Collection[str]) -> Iterator[str]:
    is_secret = entry.data_class == SECRET or entry.data_class.startswith(f"{SECRET}.")
    if is_secret and not isinstance(entry.mask, _DESTROYS):
        yield (
            f"{entry.data_class} is replaced whole, and its rule is {type(entry.mask).__name__}. "
            f"Fix: {'Null()' if column.nullable else 'Constant(...)'}"
        )
    elif _keeps(entry.mask) and entry.data_class not in allow:
        data_class, rule = suggest_rule(column)
        other = "" if isinstance(rule, Keep) else f"as {spelled(rule)}, "
        personal = entry.data_class.split(".", 1)[0] == "pii"
        allowed = "" if personal else f", or {entry.data_class!r} in Environment(allow=[...])"
        yield (
            f"it would be kept, and its class {entry.data_class!r} is not one that the environment allows. "
            f"Fix: a rule, {other}or another class if it holds nothing of {data_class!r}{allowed}"
        )


def rule_problems(column: ColumnStructure, rule: Rule) -> Iterator[str]:
    """What speaks against a rule at a column whatever the rule's own builder says."""
    yield from _label_problems(column, rule)
    yield from _null_problems(column, rule)


def _keeps(rule: Rule) -> bool:
    """Whether values come out whole: also as documents that are one scalar, such as digits."""
    return isinstance(rule, Keep) or (isinstance(rule, JsonPaths) and isinstance(rule.paths.get("$"), Keep))


def _label_problems(column: ColumnStructure, rule: Rule) -> Iterator[str]:
    if not column.labels:
        return
    if not isinstance(rule, _ENUM_RULES):
        yield (
            f"{type(rule).__name__} makes no value of the enumeration {column.type}. "
            f"Fix: {', '.join(each.__name__ for each in _ENUM_RULES)}"
        )
        return
    values: tuple[object, ...] = ()
    if isinstance(rule, Choice):
        values = tuple(rule.values)
    elif isinstance(rule, Constant):
        values = (rule.value,)
    for value in values:
        if value not in column.labels:
            yield f"{value!r} is no label of {column.type}. Fix: one of {', '.join(column.labels)}"


def _null_problems(column: ColumnStructure, rule: Rule) -> Iterator[str]:
    if column.nullable:
        return
    if isinstance(rule, Null):
        yield "it is NOT NULL, and its rule is Null. Fix: Constant(...), or a rule that gives a value"
    filled = column.default is not None or column.identity is not None
    if isinstance(rule, ColumnDefault) and not filled:
        yield "it is NOT NULL and has no default. Fix: Constant(...), or a rule that gives a value"


def check_warnings(structure: TableStructure, masked: Collection[str]) -> Iterator[str]:
    """CHECK constraints that speak of masked columns: whether masked values pass is known when the copy
    is made, before it is published."""
    for check in structure.checks:
        named = [name for name in structure.names if name in masked and mentions(check.expression, name)]
        # One with a literal in it stays behind, and is listed as not carried.
        if named and not has_literal(check.expression):
            yield (
                f"{structure.table}: CHECK {check.name} is about masked columns ({', '.join(named)}): rows "
                "that do not pass it stop the refresh before publication"
            )


def has_literal(expression: str) -> bool:
    """Whether SQL text may have a value in it."""
    return _LITERAL.search(expression) is not None


def mentions(expression: str, name: str) -> bool:
    """Whether SQL text has the name as a word; it may be a word of something else."""
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", expression, re.IGNORECASE) is not None
