"""Proposals of a policy: classes and rules from names, types, keys and sampled values.

Nothing is ever applied by itself: a proposal is text for somebody to read, change and declare. It errs
on the side of masking: what is not known is replaced, and what could be kept is proposed as
`internal`, never as `public`: somebody has to say that it is. Reasons tell shares, never values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from replication_assets.core.masking import detectors
from replication_assets.core.masking.column_kinds import bare_type, kind_of
from replication_assets.core.masking.known_names import hint_looking_like, hint_of
from replication_assets.core.masking.name_hints import INTERNAL, rule_by_kind, token, words_of
from replication_assets.core.masking.policy import ColumnPolicy, MaskingPolicy, Namespace, TablePolicy
from replication_assets.core.masking.rules import (
    ColumnDefault,
    Email,
    IntegerId,
    JsonPaths,
    Keep,
    Rule,
    Token,
    UuidId,
    XmlPaths,
)
from replication_assets.core.structure import ColumnStructure, TableStructure, describe_column

IDENTIFIER = "pii.identifier"
_SURE = 0.5
"""Share of sampled values beyond which a column is what they look like."""
_TRIPPED = 0.01
"""Share beyond which a column that would be kept is not proposed to be."""
# Half of what the type holds is left above the masked numbers, for the copy's own sequences; and
# every number below 2**53 is exact in a JSON document.
_HIGHEST: Mapping[str, int] = {
    "tinyint": 2**6 - 1,
    **dict.fromkeys(("smallint", "int2", "smallserial"), 2**14 - 1),
    **dict.fromkeys(("bigint", "int8", "bigserial"), 2**53 - 1),
    "mediumint": 2**22 - 1,
}
_HIGHEST_INTEGER = 2**30 - 1
_IGNORES_CASE = re.compile(r"(_ci(_|$)|nocase)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ColumnProposal:
    """What is proposed for a column, and why."""

    name: str
    policy: ColumnPolicy
    reason: str
    namespaces: tuple[Namespace, ...] = ()


@dataclass(frozen=True, slots=True)
class TableProposal:
    """What is proposed for all columns of a table."""

    table: str
    columns: tuple[ColumnProposal, ...]

    @property
    def policy(self) -> TablePolicy:
        return TablePolicy(self.table, columns={each.name: each.policy for each in self.columns})

    @property
    def reasons(self) -> Mapping[tuple[str, str], str]:
        """Why, by table and column."""
        return {(self.table, each.name): each.reason for each in self.columns}


def proposed_policy(name: str, proposals: Sequence[TableProposal]) -> MaskingPolicy:
    """One policy of several tables. A namespace of several tables has the integers that all hold, and
    makes no more texts equal than any may."""
    namespaces: dict[str, Namespace] = {}
    for namespace in (each for table in proposals for column in table.columns for each in column.namespaces):
        known = namespaces.get(namespace.name, namespace)
        highs = [each.high for each in (known, namespace) if each.high is not None]
        forms = min(known.normalise, namespace.normalise, key=len)
        namespaces[namespace.name] = replace(known, high=min(highs, default=None), normalise=forms)
    tables = tuple(proposal.policy for proposal in proposals)
    return MaskingPolicy(name, namespaces=tuple(namespaces.values()), tables=tables)


def suggest(
    structure: TableStructure,
    samples: pa.RecordBatch | None = None,
    others: Iterable[TableStructure] = (),
) -> TableProposal:
    """A class and a rule for each column of a table. `others` are tables that it may refer to: a
    column gets the rule of the one that it refers to, over any number of tables."""
    known = {str(each.table): each for each in (*others, structure)}
    return TableProposal(
        str(structure.table),
        tuple(_propose(structure, column, samples, known) for column in structure.columns),
    )


def suggest_rule(column: ColumnStructure) -> tuple[str, Rule]:
    """A class and a rule, from the column's name and type alone."""
    kind = kind_of(column)
    if column.generated is not None:
        return INTERNAL, ColumnDefault()
    hint = hint_of(column)
    if hint is not None:
        return hint.data_class, hint.make(column)
    if kind in ("integer", "uuid") and (kind == "uuid" or _named_identifier(column)):
        return IDENTIFIER, _identity(column, words_of(column.name) or kind)
    if kind == "json":
        return "pii.json", JsonPaths()
    if kind == "xml":
        return "pii.xml", XmlPaths()
    found = rule_by_kind(column)
    return found.data_class, found.mask


def _propose(
    structure: TableStructure,
    column: ColumnStructure,
    samples: pa.RecordBatch | None,
    known: Mapping[str, TableStructure],
) -> ColumnProposal:
    table, root, through = _root(structure, column, known)
    data_class, rule, reason = _proposed(table, root, column, samples)
    if through:
        reason = f"refers to {through}; {reason}"
    policy = ColumnPolicy(data_class, rule, reviewed=describe_column(column))
    return ColumnProposal(column.name, policy, reason, _namespaces(rule, column, _is_key(table, root)))


def _proposed(
    table: TableStructure, root: ColumnStructure, column: ColumnStructure, samples: pa.RecordBatch | None
) -> tuple[str, Rule, str]:
    """Class, rule and reason of a column whose values are those of `root` of `table`."""
    hint = hint_of(root)
    if hint is not None and hint.data_class.startswith("secret."):
        return hint.data_class, hint.make(column), f"name says {hint.what}"
    identified = kind_of(root) in ("integer", "uuid", "text")
    if _is_key(table, root) and identified and (hint is None or not _keeps_apart(hint.make(root))):
        made = _identity(root, _namespace(table, root))
        return IDENTIFIER, made, "key: distinct values stay distinct, and references hold"
    data_class, rule = suggest_rule(root)
    reason = f"name says {hint.what}" if hint is not None else f"type {root.type}"
    return _by_samples(column, data_class, rule, reason, samples)


def _by_samples(
    column: ColumnStructure, data_class: str, rule: Rule, reason: str, samples: pa.RecordBatch | None
) -> tuple[str, Rule, str]:
    """The proposal with what sampled values say: more than a name's absence, less than a name."""
    if samples is None or column.name not in samples.schema.names:
        return data_class, rule, reason
    values = samples.column(column.name)
    seen = detectors.detect(values)
    if not seen:
        return data_class, rule, reason
    what, share = max(seen.items(), key=lambda each: each[1])
    told = f"{reason}; {share:.0%} of {len(values) - values.null_count:,} sampled values look like {what}"
    unknown = hint_of(column) is None or isinstance(rule, Keep)
    hint = hint_looking_like(what, column)
    if unknown and hint is not None and share >= (_TRIPPED if isinstance(rule, Keep) else _SURE):
        return hint.data_class, hint.make(column), told
    return data_class, rule, told


def _root(
    structure: TableStructure, column: ColumnStructure, known: Mapping[str, TableStructure]
) -> tuple[TableStructure, ColumnStructure, str]:
    """The column that the column's values come from, and its place if it is another one."""
    place, seen = "", set()
    while (structure.table, column.name) not in seen:
        seen.add((structure.table, column.name))
        for key in structure.foreign_keys:
            parent = known.get(str(key.parent))
            if column.name in key.columns and parent is not None:
                referred = key.referred[key.columns.index(column.name)]
                structure, column = parent, parent.column(referred)
                place = f"{parent.table}.{referred}"
                break
    return structure, column, place


def _is_key(structure: TableStructure, column: ColumnStructure) -> bool:
    keys = [key.columns for key in structure.unique_keys]
    keys += [index.columns for index in structure.indexes if index.unique]
    if structure.primary_key is not None:
        keys.append(structure.primary_key.columns)
    referring = any(column.name in key.columns for key in structure.foreign_keys)
    return referring or any(column.name in columns for columns in keys)


def _keeps_apart(rule: Rule) -> bool:
    """Whether a rule is one of values, that keeps distinct ones distinct."""
    return hasattr(rule, "namespace") and not hasattr(rule, "by")


def _identity(column: ColumnStructure, namespace: str) -> Rule:
    kind = kind_of(column)
    if kind == "integer":
        return IntegerId(namespace)
    if kind == "uuid":
        return UuidId(namespace)
    if kind == "text":
        return token(namespace)(column)
    return suggest_rule(column)[1]


def _namespace(structure: TableStructure, column: ColumnStructure) -> str:
    """Named after the table that the values come from, and after the column where it is not its own
    `id`."""
    table, name = structure.table.name, column.name
    for key in structure.foreign_keys:
        if name in key.columns:
            table, name = key.parent.name, key.referred[key.columns.index(name)]
            break
    return table if words_of(name) == "id" else f"{table}_{name}"


def _named_identifier(column: ColumnStructure) -> bool:
    words = words_of(column.name)
    return column.identity is not None or words == "id" or words.endswith("_id")


def _namespaces(rule: Rule, column: ColumnStructure, key: bool) -> tuple[Namespace, ...]:
    """What a proposed namespace has to declare: its integers, or that letters differ by their case where
    a key tells them apart."""
    if isinstance(rule, IntegerId):
        return (Namespace(rule.namespace, low=1, high=_HIGHEST.get(bare_type(column), _HIGHEST_INTEGER)),)
    told_apart = key and bare_type(column) != "citext" and not _IGNORES_CASE.search(column.collation or "")
    if told_apart and kind_of(column) == "text" and isinstance(rule, Token | Email):
        return (Namespace(rule.namespace, normalise=("nfc", "trim")),)
    return ()
