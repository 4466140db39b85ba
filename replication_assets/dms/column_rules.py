"""Columns of a table under transformation rules.

One naming or removing action for each column: the lowest rule-id wins. A change of type goes with
any name. Masks are exempt and run one after the other. Added columns come last, in rule order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from replication_assets.dms.findings import Findings
from replication_assets.dms.masking import DIGITS, HASH, HASH_LETTERS
from replication_assets.dms.naming import applies, doubled, told_name, winner
from replication_assets.dms.outcome import ColumnOutcome, Mask, Overridden, Removed
from replication_assets.dms.rules import DataType, Transformation
from replication_assets.dms.source_tables import SourceColumn, SourceTable
from replication_assets.dms.transformations import MASKS, RENAMING

_DECIDING = {*RENAMING, "remove-column"}
_TEXTS = ("string", "wstring")
_UNTRANSFORMABLE = set("#\\/-")


def column_outcomes(
    rules: list[Transformation], table: SourceTable, findings: Findings
) -> tuple[tuple[ColumnOutcome, ...], tuple[Removed, ...], tuple[Overridden, ...]]:
    """`rules` are those whose locator takes the table."""
    of_columns = sorted((rule for rule in rules if rule.target == "column"), key=lambda rule: rule.precedence)
    kept: list[ColumnOutcome] = []
    removed: list[Removed] = []
    overridden: list[Overridden] = []
    including = [rule for rule in of_columns if rule.action == "include-column"]
    for column in table.columns or ():
        if including and not any(takes_column(rule, column) for rule in including):
            removed.append(Removed(column.name, including[0].id, "no include-column rule names it"))
            continue
        found = _column(of_columns, table, column, findings, overridden)
        if isinstance(found, Removed):
            removed.append(found)
        else:
            kept.append(found)
    kept += list(_added(of_columns, table, tuple(kept), findings, overridden))
    _tell_collisions(kept, table, of_columns, findings)
    _tell_keys(removed, table, rules, findings)
    return tuple(kept), tuple(removed), tuple(overridden)


def takes_column(rule: Transformation, column: SourceColumn) -> bool:
    pattern = rule.locator.column
    if pattern is None or not pattern.matches(column.name):
        return False
    return is_of_type(rule.locator.data_type, column)


def is_of_type(wanted: str | None, column: SourceColumn) -> bool:
    """Whether a locator's `data-type` is that of a column: DMS's, or the database's. Which texts are `string`
    and which `wstring` depends on the engine: a locator with one is of both, lest a mask is missing."""
    if wanted is None:
        return True
    of_source = re.match(r"[A-Za-z_0-9 ]*", column.native)
    known = column.type.type if column.type is not None else ""
    name = wanted.strip().lower()
    if name in _TEXTS and known in _TEXTS:
        return True
    return name in (known, of_source[0].strip().lower() if of_source else "")


def _column(
    rules: list[Transformation],
    table: SourceTable,
    column: SourceColumn,
    findings: Findings,
    overridden: list[Overridden],
) -> ColumnOutcome | Removed:
    matching = [rule for rule in rules if takes_column(rule, column)]
    about = f"column {table}.{column.name}"
    deciding = [rule for rule in matching if rule.action in _DECIDING and applies(rule, column.name)]
    first, losers = winner(deciding, about)
    overridden.extend(losers)
    typing, type_losers = winner([r for r in matching if r.action == "change-data-type"], f"type of {about}")
    overridden.extend(type_losers)
    if first is not None and first.action == "remove-column":
        return Removed(column.name, first.id, f"rule {first.id} removes it")
    masks = [rule for rule in matching if rule.action in MASKS]
    deciders = [rule for rule in (first, typing, *masks) if rule is not None]
    _tell_limits(deciders, table, column, findings)
    for mask in masks:
        _tell_mask_type(mask, typing, table, column, findings)
    return ColumnOutcome(
        source=column.name,
        target=told_name(first, column.name, table, findings) if first is not None else column.name,
        type=_masked_type(typing.data_type if typing is not None else column.type, masks),
        native=column.native,
        rules=tuple(rule.id for rule in deciders),
        expression=typing.expression if typing is not None else None,
        masks=tuple(_mask(rule) for rule in masks),
        retyped=typing is not None,
    )


def _masked_type(kind: DataType | None, masks: list[Transformation]) -> DataType | None:
    """A text that holds a hash where there is one."""
    if kind is None or kind.length is None or not any(rule.action == HASH for rule in masks):
        return kind
    return replace(kind, length=max(kind.length, HASH_LETTERS))


def _mask(rule: Transformation) -> Mask:
    return Mask(rule.action, rule.value or "" if rule.action == DIGITS else "")


def _tell_limits(
    rules: list[Transformation], table: SourceTable, column: SourceColumn, findings: Findings
) -> None:
    for rule in rules:
        if column.is_lob:
            what = (
                f"{rule.action} of {table}.{column.name}: DMS can only remove large objects; here it is done"
            )
            findings.note("lob-transformed", what, "", rule.place, rule.id)
        if _UNTRANSFORMABLE & set(column.name):
            what = (
                f"{rule.action} of {table}.{column.name}: DMS does not transform columns with # \\ / - in "
                "their name; here it is done"
            )
            findings.note("special-letters", what, "", rule.place, rule.id)
        if doubled(rule, column.name):
            _tell_double(rule, f"{table}.{column.name}", findings)


def _tell_mask_type(
    mask: Transformation,
    typing: Transformation | None,
    table: SourceTable,
    column: SourceColumn,
    findings: Findings,
) -> None:
    """A mask sees the type that a change of type with a lower rule-id gives."""
    later = typing is not None and typing.precedence > mask.precedence
    kind = column.type if typing is None or later else typing.data_type
    if kind is None or _maskable(mask.action, kind.type):
        return
    what = f"{mask.action} of {table}.{column.name}, which is {kind}"
    fix = "digits are masked in texts, and randomized in whole numbers too; hashes are of texts"
    if typing is not None and later and typing.data_type and _maskable(mask.action, typing.data_type.type):
        fix = f"give rule {typing.id}, which makes it {typing.data_type}, a lower rule-id than {mask.id}"
    elif typing is None:
        fix += "; a rule change-data-type with a lower rule-id makes it a text first"
    findings.error("mask-type", what, fix, mask.place, mask.id)


def _maskable(action: str, kind: str) -> bool:
    texts = kind in ("string", "wstring", "clob", "nclob")
    whole = kind.startswith(("int", "uint")) or kind == "numeric"
    return texts or (action == "data-masking-digits-randomize" and whole)


def _tell_double(rule: Transformation, name: str, findings: Findings) -> None:
    what = f"{name} has {rule.value!r} already, and gets it once more"
    findings.warn("double-prefix", what, "leave it out of the rule", rule.place, rule.id)


def _added(
    rules: list[Transformation],
    table: SourceTable,
    kept: tuple[ColumnOutcome, ...],
    findings: Findings,
    overridden: list[Overridden],
) -> Iterator[ColumnOutcome]:
    names: dict[str, Transformation] = {}
    for rule in rules:
        if rule.action == "add-column" and rule.value is not None:
            earlier = names.setdefault(rule.value, rule)
            if earlier is not rule:
                overridden.append(Overridden(rule.id, rule.action, f"column {rule.value}", earlier.id))
                continue
            _check_columns(rule, table, findings)
            masks = [each for each in rules if each.action in MASKS and _takes_added(each, rule)]
            _tell_copies(rule, rules, table, masked=bool(masks), findings=findings)
            yield ColumnOutcome(
                None,
                rule.value,
                _masked_type(rule.data_type, masks),
                "",
                (rule.id, *(each.id for each in masks)),
                rule.expression,
                tuple(_mask(each) for each in masks),
            )
        elif rule.action == "add-before-image-columns" and rule.before_image is not None:
            image = rule.before_image
            for each in kept:
                if each.source is not None and _imaged(each, table, image.only):
                    target = f"{image.prefix}{each.target}{image.suffix}"
                    yield replace(each, target=target, rules=(rule.id,), before=True)


def _takes_added(mask: Transformation, added: Transformation) -> bool:
    """Whether a mask is for a column that another rule adds."""
    pattern, wanted = mask.locator.column, mask.locator.data_type
    if pattern is None or not pattern.matches(added.value or ""):
        return False
    return wanted is None or (added.data_type is not None and added.data_type.type == wanted.lower())


def _tell_copies(
    added: Transformation,
    rules: list[Transformation],
    table: SourceTable,
    *,
    masked: bool,
    findings: Findings,
) -> None:
    """An added column reads what the source holds, also of columns that are masked in the target."""
    if masked or added.expression is None:
        return
    for name in added.expression.columns:
        column = table.column(name)
        if column is not None and any(rule.action in MASKS and takes_column(rule, column) for rule in rules):
            what = f"column {added.value!r} is made of {name!r} as it is before it is masked"
            findings.warn("unmasked-copy", what, "mask the added column too", added.place, added.id)


def _imaged(column: ColumnOutcome, table: SourceTable, only: str) -> bool:
    source = table.column(column.source or "")
    if only == "pk-only":
        return column.source in table.key
    return only == "all" or (source is not None and not source.is_lob)


def _check_columns(rule: Transformation, table: SourceTable, findings: Findings) -> None:
    if rule.expression is None or table.columns is None:
        return
    for name in rule.expression.columns:
        if table.column(name) is None:
            near = next((c.name for c in table.columns if c.name.lower() == name.lower()), None)
            what = f"expression uses ${name}, which is no column of {table}"
            fix = f"write ${near}: case counts" if near else "spell it as the source does"
            findings.error("unknown-column", what, fix, rule.place, rule.id)
    if "operation_indicator" in rule.expression.functions and not table.key:
        what = f"operation_indicator() on {table}, which has no primary key"
        findings.error("no-key", what, "add a primary key, or leave the table out", rule.place, rule.id)


def _tell_collisions(
    columns: list[ColumnOutcome], table: SourceTable, rules: list[Transformation], findings: Findings
) -> None:
    seen: dict[str, ColumnOutcome] = {}
    for each in columns:
        other = seen.setdefault(each.target, each)
        if other is not each:
            deciding = (*each.rules, *other.rules)
            rule = next((r for r in rules if r.id in deciding), None)
            what = f"two columns of {table} would be called {each.target!r}"
            if rule is not None:
                findings.error("column-collision", what, "give one of them another name", rule.place, rule.id)
    _tell_spellings(columns, table, rules, findings)


def _tell_spellings(
    columns: list[ColumnOutcome], table: SourceTable, rules: list[Transformation], findings: Findings
) -> None:
    """Names that differ in case alone are one name to DMS, and to many targets."""
    seen: dict[str, ColumnOutcome] = {}
    for each in columns:
        other = seen.setdefault(each.target.lower(), each)
        rule = next((r for r in rules if r.id in (*each.rules, *other.rules)), None)
        if other.target != each.target and rule is not None:
            what = f"columns {other.target!r} and {each.target!r} of {table} differ in case alone"
            fix = "give one of them another name: DMS and most databases take them for one"
            findings.warn("column-case", what, fix, rule.place, rule.id)


def _tell_keys(
    removed: list[Removed], table: SourceTable, rules: list[Transformation], findings: Findings
) -> None:
    for each in removed:
        if each.source in table.key:
            rule = next(r for r in rules if r.id == each.rule)
            what = f"{each.source!r} is part of the key of {table}: without it updates do not find their row"
            findings.warn("key-removed", what, "keep it, or define another key", rule.place, rule.id)
