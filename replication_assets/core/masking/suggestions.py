"""Proposals of class and rule for columns that have none. They are never applied by themselves.

A proposal errs on the side of masking: what is not known is replaced, and what could be kept is
proposed as `internal`, never as `public`: somebody has to say that it is.
"""

from __future__ import annotations

from replication_assets.core.masking.column_kinds import kind_of
from replication_assets.core.masking.known_names import hint_of
from replication_assets.core.masking.name_hints import rule_by_kind, words_of
from replication_assets.core.masking.rules import (
    ColumnDefault,
    IntegerId,
    JsonPaths,
    Rule,
    UuidId,
    XmlPaths,
)
from replication_assets.core.structure import ColumnStructure


def suggest_rule(column: ColumnStructure) -> tuple[str, Rule]:
    """A class and a rule, from the column's name and type alone."""
    kind = kind_of(column)
    if column.generated is not None:
        return "internal", ColumnDefault()
    hint = hint_of(column)
    if hint is not None:
        return hint.data_class, hint.make(column)
    if kind == "uuid":
        return "pii.identifier", UuidId(words_of(column.name) or "uuid")
    if kind == "integer" and _is_identifier(column):
        return "pii.identifier", IntegerId(words_of(column.name))
    if kind == "json":
        return "pii.json", JsonPaths()
    if kind == "xml":
        return "pii.xml", XmlPaths()
    found = rule_by_kind(column)
    return found.data_class, found.mask


def _is_identifier(column: ColumnStructure) -> bool:
    words = words_of(column.name)
    return column.identity is not None or words == "id" or words.endswith("_id")
