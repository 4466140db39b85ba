"""Rules of masking policies that can be told without a table: names, classes, and parameters of rules.

Whether a rule fits the column that it stands at is the mask's to say (`core.masking.compile`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches

from replication_assets.core.masking.families.json_paths import steps_of
from replication_assets.core.masking.families.xml_paths import require_path
from replication_assets.core.masking.policy import ColumnPolicy, MaskingPolicy, Namespace, TablePolicy
from replication_assets.core.masking.rules import (
    Choice,
    DateShift,
    DigitsMask,
    FreeText,
    Generalise,
    JsonPaths,
    Noise,
    Partial,
    Phone,
    PythonRule,
    RandomRange,
    RegexReplace,
    Token,
    XmlPaths,
)
from replication_assets.declarations.masking import RULES
from replication_assets.declared_types import type_problems
from replication_assets.errors import PolicyError

DATA_CLASS = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")
FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_LONGEST_PREFIX = 8


def policy_rules(policy: MaskingPolicy, tables: Collection[str]) -> Iterator[str]:
    """What is wrong with one policy whose own fields are of the right types."""
    if not policy.version:
        yield "version is empty. Fix: any text; it stands in the audit"
    for namespace in policy.namespaces:
        yield from (f"namespace {namespace.name}: {problem}" for problem in _namespace(namespace))
    yield from _twice("namespace", [each.name for each in policy.namespaces])
    yield from _twice("table", [each.table for each in policy.tables])
    for table in policy.tables:
        yield from (f"table {table.table}: {problem}" for problem in _table(table, tables))


def near(name: str, known: Collection[object]) -> str:
    """A fix: what is called almost so."""
    words = sorted(each for each in known if isinstance(each, str))
    close = get_close_matches(name, words, n=1)
    listed = ", ".join(words[:5])
    return (
        f"did you mean {close[0]}?"
        if close
        else f"declare it, or one of {listed}"
        if listed
        else "declare it"
    )


def _twice(what: str, names: Sequence[str]) -> Iterator[str]:
    for name in sorted({str(name) for name in names if names.count(name) > 1}):
        yield f"{what} {name!r} stands there {names.count(name)} times. Fix: once"


def _namespace(namespace: Namespace) -> Iterator[str]:
    wrong = list(type_problems(namespace))
    yield from wrong
    if wrong:
        return
    if not namespace.name:
        yield "it has no name. Fix: a name, which rules refer to"
    low, high = namespace.low, namespace.high
    if (low is None) != (high is None):
        yield "it has low or high, but not both. Fix: both, or neither"
    elif low is not None and high is not None and low >= high:
        yield f"low {low} is not below high {high}. Fix: the least and the greatest identifier there may be"


def _table(table: TablePolicy, tables: Collection[str]) -> Iterator[str]:
    wrong = list(type_problems(table))
    yield from wrong
    if wrong:
        return
    if table.table not in tables:
        yield f"table {table.table!r} is not in the catalog. Fix: {near(table.table, tables)}"
    if not table.columns:
        yield "no column is listed, and none is copied that is not. Fix: columns={...}, each with its class"
    for field in ("row_key", "quasi_identifiers"):
        for name in getattr(table, field):
            if name not in table.columns:
                yield f"{field} names {name!r}, which is not listed. Fix: {near(name, table.columns)}"
    if table.k_min is not None and table.k_min < 2:
        yield f"k_min {table.k_min} demands nothing. Fix: 2 at least, 5 is usual"
    if table.k_min is not None and not table.quasi_identifiers:
        yield "k_min is of no columns. Fix: quasi_identifiers, what is known of people: ('city', 'born')"
    for name, column in table.columns.items():
        yield from (f"column {name}: {problem}" for problem in _column(column))


def _column(column: ColumnPolicy) -> Iterator[str]:
    wrong = list(type_problems(column, skip=["mask"]))
    yield from wrong
    if not wrong and not DATA_CLASS.fullmatch(column.data_class):
        yield (
            f"class {column.data_class[:40]!r} is none. "
            "Fix: public, internal, pii.email, secret.token: lower-case words with dots"
        )
    yield from rule_parameters(column.mask)


def rule_parameters(rule: object) -> Iterator[str]:
    """What is wrong with a rule's own parameters."""
    if not isinstance(rule, RULES):
        known = ", ".join(each.__name__ for each in RULES)
        yield f"mask is of type {type(rule).__name__}, which is no rule. Fix: one of {known}"
        return
    name = type(rule).__name__
    wrong = list(type_problems(rule))
    yield from (f"{name} {problem}" for problem in wrong)
    if not wrong:
        check = _CHECKS.get(type(rule))
        yield from (f"{name} {problem}" for problem in (check(rule) if check is not None else ()))
        if getattr(rule, "namespace", "given") == "":
            yield f"{name} namespace is empty. Fix: the name of an identity domain, as 'email'"


def _between(name: str, value: float, least: float, greatest: float) -> Iterator[str]:
    if not least <= value <= greatest:
        yield f"{name} {value} is not between {least} and {greatest}. Fix: a number that is"


def _noise(rule: Noise) -> Iterator[str]:
    if not 0 < rule.ratio <= 1:
        yield f"ratio {rule.ratio} is not above 0 and at most 1. Fix: 0.1 is ten per cent"


def _range(rule: RandomRange) -> Iterator[str]:
    low, high = rule.low, rule.high
    if isinstance(low, str) != isinstance(high, str):
        yield "low and high are of two kinds. Fix: two numbers, or two dates as texts"
    elif (
        low > high
        if isinstance(low, str) and isinstance(high, str)
        else not -math.inf < float(low) <= float(high) < math.inf
    ):
        yield "low is above high, or one of them is no number. Fix: the lesser one first"


def _partial(rule: Partial) -> Iterator[str]:
    if rule.first < 0 or rule.last < 0:
        yield "first and last are numbers of characters. Fix: 0 or more"
    if len(rule.fill) != 1:
        yield "fill is not one character. Fix: as '*'"


def _regex(rule: RegexReplace) -> Iterator[str]:
    yield from _pattern("pattern", rule.pattern)
    if rule.pattern == "":
        yield "pattern is empty. Fix: what is to be replaced"


def _pattern(name: str, pattern: str) -> Iterator[str]:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        yield f"{name} is no regular expression. Fix: RE2, as r'[0-9]+'"


def _choice(rule: Choice) -> Iterator[str]:
    if not rule.values:
        yield "has no values. Fix: one at least"
    if rule.weights and len(rule.weights) != len(rule.values):
        yield f"has {len(rule.values)} values, {len(rule.weights)} weights. Fix: a weight for each, or none"
    if rule.weights and not (all(0 <= each < math.inf for each in rule.weights) and sum(rule.weights) > 0):
        yield "weights are not shares. Fix: 0 or more each, and not all of them 0"


def _generalise(rule: Generalise) -> Iterator[str]:
    if sum(part is not None for part in (rule.width, rule.unit, rule.prefix)) != 1:
        yield "takes one of width, unit and prefix. Fix: width for numbers, unit for dates, prefix for texts"
    if rule.width is not None and rule.width < 1:
        yield f"width {rule.width} is none. Fix: 10 makes 47 to 40"
    if rule.prefix is not None and not 1 <= rule.prefix <= _LONGEST_PREFIX:
        yield (
            f"prefix {rule.prefix} is not between 1 and {_LONGEST_PREFIX}: most names would be kept whole. "
            "Fix: 2 characters of a postcode, as an example"
        )


def _function(rule: PythonRule) -> Iterator[str]:
    if not FUNCTION.fullmatch(rule.function):
        yield f"{rule.function[:60]!r} names no function. Fix: as 'package.module:function'"
    yield from _pattern("output", rule.output)


def _character(rule: DigitsMask) -> Iterator[str]:
    if len(rule.character) != 1 or rule.character.isdigit():
        yield "character is not one character that is no digit. Fix: as '*'"


def _documents(rule: JsonPaths | XmlPaths) -> Iterator[str]:
    for path, each in rule.paths.items():
        try:
            if isinstance(rule, JsonPaths):
                steps_of(path)
            else:
                require_path(path)
        except PolicyError as error:
            yield from error.problems
        yield from (f"{path} {problem}" for problem in rule_parameters(each))


_CHECKS: Mapping[type, Callable[..., Iterator[str]]] = {
    Token: lambda rule: _between("length", rule.length, 1, 25),
    Phone: lambda rule: _between("digits", rule.digits, 4, 12),
    DateShift: lambda rule: _between("days", rule.days, 1, 36_525),
    FreeText: lambda rule: _between("longest", rule.longest, 1, 1_000_000),
    Noise: _noise,
    RandomRange: _range,
    Partial: _partial,
    RegexReplace: _regex,
    Choice: _choice,
    Generalise: _generalise,
    PythonRule: _function,
    DigitsMask: _character,
    JsonPaths: _documents,
    XmlPaths: _documents,
}
