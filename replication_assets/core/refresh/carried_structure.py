"""What of a table's structure a copy may have: texts of the source that may hold values stay behind.

A default, a check or an index may have a literal in it (`DEFAULT 'jane@shop.example'`, `CHECK (name <>
'...')`, an index `WHERE email = '...'`). Where it is about a column that is masked it is not carried, and
listed. Calls without a literal (`now()`, a sequence's next number) are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from replication_assets.core.masking.column_checks import has_literal, mentions
from replication_assets.core.masking.policy import TablePolicy
from replication_assets.core.masking.rules import ColumnDefault, Keep
from replication_assets.core.structure import ColumnStructure, TableStructure

_NEXT_NUMBER = re.compile(r"^nextval\('(?:[^']|'')*'(::\w+)?\)$", re.IGNORECASE)
_WHY = "which has a literal in it and is about masked columns"


def carried_structure(structure: TableStructure, policy: TablePolicy | None) -> TableStructure:
    """The structure that the copy is made from. A table without a policy has nothing of the kind."""
    masked = masked_columns(structure, policy)
    return replace(
        structure,
        columns=tuple(
            replace(column, default=None) if _telling_default(column, masked) else column
            for column in structure.columns
        ),
        checks=tuple(each for each in structure.checks if not _telling(each.expression, masked)),
        indexes=tuple(
            each
            for each in structure.indexes
            if each.definition is None or not _telling_index(each.definition, masked)
        ),
    )


def left_behind(structure: TableStructure, policy: TablePolicy | None) -> Iterator[str]:
    """A line for each part that `carried_structure` leaves out. No text of it."""
    masked = masked_columns(structure, policy)
    for column in structure.columns:
        if _telling_default(column, masked):
            yield f"{structure.table}.{column.name}: its default, which has a literal in it: it is masked"
    for check in structure.checks:
        if _telling(check.expression, masked):
            yield f"{structure.table}: check {check.name}, {_WHY}"
    for index in structure.indexes:
        if index.definition is not None and _telling_index(index.definition, masked):
            yield f"{structure.table}: index {index.name}, {_WHY}"


def masked_columns(structure: TableStructure, policy: TablePolicy | None) -> frozenset[str]:
    """Columns that are not copied as they are. All of them where nothing is said."""
    rules = policy.columns if policy is not None else {}
    open_ = {name for name, column in rules.items() if isinstance(column.mask, Keep | ColumnDefault)}
    return frozenset(structure.names) - open_ - _computed(structure)


def _computed(structure: TableStructure) -> set[str]:
    return {column.name for column in structure.columns if column.generated is not None}


def _telling_default(column: ColumnStructure, masked: Collection[str]) -> bool:
    if column.default is None or column.name not in masked or _NEXT_NUMBER.match(column.default):
        return False
    return has_literal(column.default)


def _telling(expression: str, masked: Collection[str]) -> bool:
    return has_literal(expression) and _about(expression, masked)


def _telling_index(definition: str, masked: Collection[str]) -> bool:
    """Its name and columns may have digits in them: literals are looked for as texts here."""
    return "'" in definition and _about(definition, masked)


def _about(expression: str, masked: Collection[str]) -> bool:
    return any(mentions(expression, name) for name in masked)
