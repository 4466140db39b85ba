"""Renaming actions: which rule names an object, and what it makes of the name."""

from __future__ import annotations

from collections.abc import Iterable

from replication_assets.dms.outcome import Overridden
from replication_assets.dms.rules import Transformation


def applies(rule: Transformation, name: str) -> bool:
    """Whether a rule has something to do with a name: affixes can be taken only where they are."""
    if rule.action in ("remove-prefix", "replace-prefix"):
        return name.startswith((rule.value if rule.action == "remove-prefix" else rule.old_value) or "")
    if rule.action in ("remove-suffix", "replace-suffix"):
        return name.endswith((rule.value if rule.action == "remove-suffix" else rule.old_value) or "")
    return True


def renamed(rule: Transformation, name: str) -> str:
    """The name that a rule gives. Raises ValueError for an action that names nothing."""
    value, old = rule.value or "", rule.old_value or ""
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
