"""A declared condition of writes, compiled: what a request says, and the values of each row.

`Guard.beside` puts it beside the condition that every write has, that what stands there is older.
Of a tombstone it holds if it holds where nothing stands, which the request says too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from replication_assets.core.items.conditions import (
    Among,
    Both,
    Comparison,
    Function,
    Not,
    Operand,
    Path,
    Size,
    Test,
    Value,
    comparisons,
    holds_of_nothing,
    parse,
    paths,
    value_names,
)
from replication_assets.core.items.fragments import joined, object_pieces
from replication_assets.core.items.nodes import columns_of, node_of
from replication_assets.core.items.registers import DELETED, REGISTERS
from replication_assets.core.items.rows import Refused, Rows
from replication_assets.core.items.spec import Attribute, Items, WriteCondition
from replication_assets.core.schema import TableSchema

_TOMBSTONE = "#cd"
TYPES = ("S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS")


@dataclass(frozen=True, slots=True)
class Written:
    """A condition as a request has it. `names` and `values` tell what its placeholders stand for: an
    attribute, and a placeholder of the declaration. All of them begin with `#c` or `:c`."""

    expression: str
    names: Mapping[str, str]
    values: Mapping[str, str]


def written(test: Test, names: Mapping[str, str]) -> Written:
    """`names`: what the declared placeholders of names stand for."""
    writer = _Writer(names)
    expression = writer.test(test)
    return Written(
        expression,
        {alias: name for name, alias in writer.names.items()},
        {alias: name for name, alias in writer.values.items()},
    )


class Guard:
    """The condition of one declaration, on one table's columns; both were found sound."""

    def __init__(self, condition: WriteCondition, items: Items, schema: TableSchema) -> None:
        test = parse(condition.expression)
        self._holds_of_nothing = holds_of_nothing(test)
        self._written = written(test, condition.names)
        declared = {each.name: each for each in condition.values}
        self._nodes = {
            alias: (declared[name], node_of(declared[name], items, schema))
            for alias, name in self._written.values.items()
        }

    def beside(self, order: str) -> str:
        """The expression of a write that `order` has to hold of too."""
        declared = self._written.expression
        if self._holds_of_nothing:
            return f"({order}) AND (attribute_exists({_TOMBSTONE}) OR ({declared}))"
        return f"({order}) AND attribute_not_exists({_TOMBSTONE}) AND ({declared})"

    @property
    def names(self) -> Mapping[str, str]:
        """What the placeholders of names in `beside` stand for."""
        return {**self._written.names, _TOMBSTONE: DELETED}

    def values(self, rows: Rows) -> tuple[pa.Array, list[Refused]]:
        """Members of the JSON object of values, without its braces, for each row; and the rows that
        have none, because a column is NULL or is no value of the declared type. Their text means
        nothing."""
        members, lost = [], dict[int, Refused]()
        for alias, (attribute, node) in self._nodes.items():
            before = len(rows.refused)
            value = node.convert(rows, attribute.name, 0)
            found = rows.refused_since(before, "condition")
            column = ", ".join(columns_of(attribute))
            if value.present is not None:
                absent = np.flatnonzero(~value.present).tolist()
                found += [Refused(row, column, attribute.name, "condition-is-null") for row in absent]
            for each in found:
                lost.setdefault(each.row, each)
            members.append((alias, value))
        return joined(list(object_pieces(members)), rows=len(rows), absent=""), list(lost.values())


def condition_problems(condition: WriteCondition) -> Iterator[str]:
    """What is wrong with its expression and placeholders, each with its fix. Values are attributes, and
    looked at as those are."""
    try:
        test = parse(condition.expression)
    except ValueError as error:
        yield f"condition: the expression {error}. Fix: as DynamoDB's condition expressions are"
        return
    for name in (each.name for each in condition.values if not each.name.startswith(":")):
        yield f"condition: value {name[:40]!r} has no colon. Fix: {':' + name[:40]!r}"
    for name in (name for name in condition.names if not name.startswith("#")):
        yield f"condition: name {name[:40]!r} has no #. Fix: {'#' + name[:40]!r}"
    steps = {step for path in paths(test) for step in path.steps if isinstance(step, str)}
    used = {step for step in steps if step.startswith("#")} | set(value_names(test))
    given = [*(each.name for each in condition.values), *condition.names]
    for name in sorted(used - set(given)):
        yield f"condition: {name} is not declared. Fix: add it to {'values' if name[0] == ':' else 'names'}"
    for name in sorted(set(given) - used):
        yield f"condition: {name[:40]!r} is declared and not used. Fix: delete it"
    for name in sorted({name for name in given if given.count(name) > 1}):
        yield f"condition: {name[:40]!r} is declared twice. Fix: once"
    for name in sorted({condition.names.get(step, step) for step in steps} & REGISTERS):
        yield f"condition: {name!r} is what projections keep their books in. Fix: another attribute"
    if not (condition.on_load or condition.on_change):
        yield "condition: it holds neither on loads nor on changes. Fix: on_load=True, or delete it"
    declared = {each.name: each for each in condition.values}
    for each in comparisons(test):
        yield from _type_problems(each, declared)


def _type_problems(test: Comparison | Among | Function, declared: Mapping[str, Attribute]) -> Iterator[str]:
    """Values that DynamoDB compares with nothing: it would refuse each write."""
    allowed: tuple[str, ...] = ("string", "number", "binary")
    match test:
        case Function("attribute_type", (_, Value(name))) if name in declared:
            if declared[name].constant not in TYPES:
                yield f"condition: {name} is no type of DynamoDB. Fix: a constant, one of {', '.join(TYPES)}"
            return
        case Comparison(left, "<" | "<=" | ">" | ">=", right):
            compared: tuple[Operand, ...] = (left, right)
        case Function("begins_with", arguments):
            compared, allowed = arguments, ("string", "binary")
        case _:
            return
    for each in compared:
        attribute = declared.get(each.name) if isinstance(each, Value) else None
        kind = value_type(attribute) if attribute is not None else None
        if attribute is not None and kind is not None and kind not in allowed:
            what = f"{attribute.name} is a {kind}, which DynamoDB does not compare so"
            yield f"condition: {what}. Fix: a value that is {' or '.join(allowed)}"


def value_type(attribute: Attribute) -> str | None:
    """The type that a value has whatever the columns are; None where a column decides."""
    if attribute.fields is not None:
        return "map"
    if attribute.elements is not None:
        return "list"
    if attribute.type is not None or attribute.constant is None:
        return attribute.type
    if isinstance(attribute.constant, bool):
        return "boolean"
    return "number" if isinstance(attribute.constant, int) else "string"


class _Writer:
    """Gives every name and value a placeholder of its own."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.names: dict[str, str] = {}
        self.values: dict[str, str] = {}

    def test(self, test: Test) -> str:
        match test:
            case Both(word, parts):
                return f" {word} ".join(self._inner(part) for part in parts)
            case Not(inner):
                return f"NOT {self._inner(inner)}"
            case Function(name, arguments):
                return f"{name}({', '.join(self._operand(each) for each in arguments)})"
            case Comparison(left, operator, right):
                return f"{self._operand(left)} {operator} {self._operand(right)}"
            case Among(left, choices):
                return f"{self._operand(left)} IN ({', '.join(self._operand(each) for each in choices)})"

    def _inner(self, test: Test) -> str:
        """Parentheses wherever precedence could matter, and never two pairs, which are refused."""
        return f"({self.test(test)})" if isinstance(test, Both | Not) else self.test(test)

    def _operand(self, operand: Operand) -> str:
        if isinstance(operand, Value):
            return self.values.setdefault(operand.name, f":c{len(self.values)}")
        if isinstance(operand, Size):
            return f"size({self._path(operand.path)})"
        return self._path(operand)

    def _path(self, path: Path) -> str:
        text = ""
        for step in path.steps:
            if isinstance(step, int):
                text += f"[{step}]"
            else:
                name = self._given.get(step, step)
                text += ("." if text else "") + self.names.setdefault(name, f"#c{len(self.names)}")
        return text
