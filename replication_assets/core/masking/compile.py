"""From a policy to the mask of one table: every rule compiled for its column, or every reason why not.

A rule that nothing here knows how to compile is refused, as is whatever a builder of a rule does not
expect: there is no default but to stop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

from replication_assets.core.masking.column_checks import (
    check_warnings,
    column_problems,
    rule_problems,
    table_problems,
    unlisted_table,
)
from replication_assets.core.masking.column_kinds import length_of
from replication_assets.core.masking.families import (
    choices,
    constants,
    dates,
    dms,
    documents,
    functions,
    identifiers,
    numbers,
    people,
    texts,
    tokens,
)
from replication_assets.core.masking.key_checks import CompiledRule, unique_problems, unique_warnings
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.masker import Builder, MaskedColumn, Masker, RuleContext
from replication_assets.core.masking.policy import MaskingPolicy, TablePolicy
from replication_assets.core.masking.rules import (
    Address,
    ColumnDefault,
    Company,
    DateShift,
    Email,
    Keep,
    PersonName,
    Phone,
    PythonRule,
    Token,
    UuidId,
)
from replication_assets.core.masking.table_mask import ColumnMask, TableMask
from replication_assets.core.refresh.staged_rows import staged_schema
from replication_assets.core.schema import TableSchema
from replication_assets.core.structure import TableStructure
from replication_assets.errors import PolicyError

_VALUES: Mapping[type, Builder[Any]] = {
    **constants.BUILDERS,
    **tokens.BUILDERS,
    **identifiers.BUILDERS,
    **people.BUILDERS,
    **dates.BUILDERS,
    **numbers.BUILDERS,
    **texts.BUILDERS,
    **choices.BUILDERS,
    **functions.BUILDERS,
    **dms.BUILDERS,
}

BUILDERS: Mapping[type, Builder[Any]] = {**_VALUES, **documents.builders(_VALUES)}
"""What compiles each rule, by its class."""

_NEVER_OWN = (Token, Email, Phone, PersonName, Company, Address, DateShift, UuidId, PythonRule)
"""Rules that promise never to give a value its own back."""


def compile_table(
    policy: MaskingPolicy,
    structure: TableStructure,
    schema: TableSchema,
    *,
    allow: Collection[str],
    keys: KeyRing,
) -> TableMask:
    """The mask of a table. `schema` is that of its event log, `structure` the source's own.

    Raises:
        PolicyError: with everything that is wrong with the policy of this table.
    """
    where = f"policy {policy.name}"
    table = policy.table(str(structure.table))
    if table is None:
        raise PolicyError(list(unlisted_table(structure, policy.name)), where=where)
    by_column = column_problems(table, structure, schema, allow)
    problems = [*table_problems(table, structure, schema)]
    row_key = _row_key(table, structure, schema)
    declared = {name: column.mask for name, column in table.columns.items()}
    context = RuleContext(keys, policy, row_key, _columns(structure, schema), declared)
    maskers: dict[str, Masker] = {}
    for place, found in by_column.items():
        problems += found
        if _is_compiled(place, table, schema, context):
            masker, refused = _compiled(place, table, structure, context)
            problems += refused
            maskers |= {place: masker} if masker is not None else {}
    rules = {name: CompiledRule(table.columns[name].mask, each.uniqueness) for name, each in maskers.items()}
    problems += unique_problems(structure, rules, policy)
    if problems:
        raise PolicyError(list(dict.fromkeys(problems)), where=where)
    return _table_mask(structure, schema, context, maskers, rules)


def _is_compiled(name: str, table: TablePolicy, schema: TableSchema, context: RuleContext) -> bool:
    if name not in context.columns or name not in table.columns:
        return False
    return name in schema.names or isinstance(table.columns[name].mask, ColumnDefault)


def _columns(structure: TableStructure, schema: TableSchema) -> Mapping[str, MaskedColumn]:
    """Columns that a rule may stand at: a default may, where the log lacks the column."""
    known = set(schema.names)
    return {
        column.name: MaskedColumn(
            column,
            schema.column(column.name).arrow if column.name in known else pa.string(),
            length_of(column),
        )
        for column in structure.columns
        if column.generated is None
    }


def _row_key(table: TablePolicy, structure: TableStructure, schema: TableSchema) -> tuple[str, ...]:
    primary = structure.primary_key.columns if structure.primary_key is not None else ()
    chosen = tuple(table.row_key) or schema.key or primary
    return chosen if {*chosen} <= {*schema.names} else ()


def _compiled(
    name: str, table: TablePolicy, structure: TableStructure, context: RuleContext
) -> tuple[Masker | None, list[str]]:
    """A masker, or what speaks against it."""
    rule, where = table.columns[name].mask, f"{structure.table}.{name}"
    build = BUILDERS.get(type(rule))
    if build is None:
        known = ", ".join(sorted(each.__name__ for each in BUILDERS))
        return None, [f"{where}: {type(rule).__name__} is no rule. Fix: one of {known}"]
    refused = [f"{where}: {problem}" for problem in rule_problems(context.columns[name].structure, rule)]
    if refused:
        return None, refused
    try:
        masker: Masker = build(rule, context.columns[name], context)
    except PolicyError as error:
        return None, [f"{where}: {_with_fix(problem)}" for problem in error.problems]
    except (ValueError, TypeError, LookupError, pa.ArrowException) as error:
        what = f"{type(rule).__name__} cannot be compiled ({type(error).__name__})"
        return None, [f"{where}: {what}. Fix: its parameters, or another rule"]
    problems = list(_reading_problems(masker, where, context))
    return (None if problems else masker), problems


def _with_fix(problem: str) -> str:
    return problem if "Fix: " in problem else f"{problem}. Fix: another rule, or its parameters"


def _reading_problems(masker: Masker, where: str, context: RuleContext) -> Iterator[str]:
    for name in masker.reads:
        if name not in context.columns:
            yield f"{where}: its rule reads {name!r}, which the table has not. Fix: one of its columns"
    if masker.draws_by_row and not context.row_key:
        yield (
            f"{where}: its rule draws by row, and the table has no key. "
            "Fix: row_key=(...) of columns that never change, or by='value'"
        )


def _table_mask(
    structure: TableStructure,
    schema: TableSchema,
    context: RuleContext,
    maskers: Mapping[str, Masker],
    rules: Mapping[str, CompiledRule],
) -> TableMask:
    defaulted = [name for name, each in rules.items() if isinstance(each.rule, ColumnDefault)]
    staged = staged_schema(schema, structure, defaulted)
    masks = [_column_mask(name, context, maskers, rules) for name in staged.names[:-1]]
    changed = {name for name, each in rules.items() if not isinstance(each.rule, Keep)}
    return TableMask(
        str(structure.table),
        staged,
        masks,
        row_key=context.row_key,
        key=schema.key,
        stored={column.name: column.arrow for column in schema.columns},
        warnings=(*check_warnings(structure, changed), *unique_warnings(structure, rules)),
    )


def _column_mask(
    name: str,
    context: RuleContext,
    maskers: Mapping[str, Masker],
    rules: Mapping[str, CompiledRule],
) -> ColumnMask:
    rule = rules[name].rule
    return ColumnMask(context.columns[name], rule, maskers[name], isinstance(rule, _NEVER_OWN))
