"""What masks may not do to keys: make distinct rows equal, or part a reference from what it refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from replication_assets.core.masking.column_checks import mentions, spelled
from replication_assets.core.masking.masker import Uniqueness
from replication_assets.core.masking.policy import MaskingPolicy
from replication_assets.core.masking.rules import (
    CardNumber,
    ColumnDefault,
    DateShift,
    DigitsId,
    IntegerId,
    JsonPaths,
    Keep,
    Null,
    Rule,
    UuidId,
    XmlPaths,
)
from replication_assets.core.schema import TableId
from replication_assets.core.structure import ColumnStructure, TableStructure

_BIJECTIONS = (IntegerId, DigitsId, CardNumber, UuidId)
_UNJOINABLE = (ColumnDefault, DateShift, JsonPaths, XmlPaths)
_IGNORES_CASE = re.compile(r"(_ci(_|$)|nocase)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with what its masker says of distinct values."""

    rule: Rule
    uniqueness: Uniqueness

    @property
    def apart(self) -> bool:
        """Whether distinct values stay distinct."""
        return isinstance(self.rule, Keep) or self.uniqueness == "preserved"


@dataclass(frozen=True, slots=True)
class _Key:
    what: str
    columns: tuple[str, ...]
    primary: bool = False


def _keys(structure: TableStructure) -> tuple[_Key, ...]:
    found = []
    if structure.primary_key is not None:
        found.append(_Key("the primary key", structure.primary_key.columns, primary=True))
    found += [_Key(f"the unique key {key.name}", key.columns) for key in structure.unique_keys]
    found += [
        _Key(f"the unique index {index.name}", index.columns)
        for index in structure.indexes
        if index.unique and index.definition is None
    ]
    return tuple(found)


def unique_problems(
    structure: TableStructure, rules: Mapping[str, CompiledRule], policy: MaskingPolicy
) -> Iterator[str]:
    """Rules under which two rows could get the same key. Columns of `rules` alone are looked at."""
    keys = _keys(structure)
    for key in keys:
        for name in _colliding(key, keys, rules):
            if _fatal(key, rules):
                yield (
                    f"{structure.table}.{name}: it is part of {key.what} ({', '.join(key.columns)}), and "
                    f"{type(rules[name].rule).__name__} can give two values the same mask. Fix: a rule that "
                    "keeps values apart, as Token (16 characters or more), Email, IntegerId or UuidId"
                )
        for name in key.columns:
            if name in rules and _merges_case(structure.column(name), rules[name], policy):
                namespace = policy.namespace(_namespace(rules[name].rule) or "")
                rest = tuple(each for each in namespace.normalise if each != "casefold")
                yield (
                    f"{structure.table}.{name}: it is part of {key.what}, which tells upper and lower case "
                    f"apart, and the namespace {namespace.name} does not: two rows could get one mask. "
                    f"Fix: Namespace({namespace.name!r}, normalise={rest!r})"
                )


def unique_warnings(structure: TableStructure, rules: Mapping[str, CompiledRule]) -> Iterator[str]:
    """Keys that masks may break, though it is unlikely or cannot be told from here."""
    keys = _keys(structure)
    for key in keys:
        names = [] if _fatal(key, rules) else list(_colliding(key, keys, rules))
        if names:
            yield _may_break(structure.table, key.what, names)
    for index in structure.indexes:
        if index.unique and index.definition is not None:
            names = [
                name
                for name, compiled in rules.items()
                if not isinstance(compiled.rule, Keep) and mentions(index.definition, name)
            ]
            if names:
                yield _may_break(structure.table, f"the unique index {index.name}", names)


def _may_break(table: TableId, what: str, names: Sequence[str]) -> str:
    return (
        f"{table}: the masks of {', '.join(names)} may give two rows the same values in {what}: "
        "that stops the refresh before publication"
    )


def _colliding(key: _Key, keys: Sequence[_Key], rules: Mapping[str, CompiledRule]) -> Iterator[str]:
    """Columns of a key whose masks may be equal where their values are not, if the rest of the key does
    not keep its rows apart. NULLs are never equal in a unique key."""
    if not key.primary and any(name in rules and isinstance(rules[name].rule, Null) for name in key.columns):
        return
    apart = {name for name in key.columns if name in rules and rules[name].apart}
    if any(other is not key and {*other.columns} <= apart for other in keys):
        return
    yield from (name for name in key.columns if name in rules and not rules[name].apart)


def _fatal(key: _Key, rules: Mapping[str, CompiledRule]) -> bool:
    """Whether rows would collide for certain or often: nothing of the key is kept apart, or a part of
    it is lost. What only may happen beside a part that is kept apart is a warning."""
    compiled = [rules[name] for name in key.columns if name in rules]
    return not any(each.apart for each in compiled) or any(
        each.uniqueness == "lossy" and not isinstance(each.rule, Keep) for each in compiled
    )


def _merges_case(column: ColumnStructure, compiled: CompiledRule, policy: MaskingPolicy) -> bool:
    name = _namespace(compiled.rule)
    if name is None or not compiled.apart or isinstance(compiled.rule, _BIJECTIONS):
        return False
    ignores = column.type.lower() == "citext" or _IGNORES_CASE.search(column.collation or "") is not None
    return not ignores and "casefold" in policy.namespace(name).normalise


def _namespace(rule: Rule) -> str | None:
    found = getattr(rule, "namespace", None)
    return found if isinstance(found, str) else None


def reference_problems(
    policy: MaskingPolicy,
    structures: Sequence[TableStructure],
    virtual_keys: Mapping[str, str],
) -> Iterator[str]:
    """References whose two sides are not masked alike. Tables that are not copied, and columns that
    are not listed, are not looked at."""
    rules = {
        f"{structure.table}.{name}": entry.mask
        for structure in structures
        if (table := policy.table(str(structure.table))) is not None
        for name, entry in table.columns.items()
    }
    pairs = [
        (f"{structure.table}.{name}", f"{key.parent}.{referred}")
        for structure in structures
        for key in structure.foreign_keys
        for name, referred in zip(key.columns, key.referred, strict=True)
    ]
    for child, parent in dict.fromkeys([*pairs, *virtual_keys.items()]):
        if child in rules and parent in rules and not _joins(rules[child], rules[parent]):
            yield (
                f"{child}: it refers to {parent}, which has the rule {spelled(rules[parent])}, and has "
                f"{spelled(rules[child])} itself: no row would find its parent. "
                "Fix: one rule by value with one namespace for both, or Keep for both"
            )


def _joins(child: Rule, parent: Rule) -> bool:
    if isinstance(child, Null):
        return True
    if child != parent or isinstance(child, _UNJOINABLE):
        return False
    return getattr(child, "by", "value") == "value"
