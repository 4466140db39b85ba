"""Parsed expressions, and the SQL of SQLite that they stand for.

Only what has been parsed is ever given to SQLite: columns and variables are identifiers that we
choose, texts are literals that we quote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from replication_assets.core.expressions.quoting import literal, quoted

HEADERS = {
    "AR_H_STREAM_POSITION": "position of the change in the source's log",
    "AR_H_TIMESTAMP": "time of the change",
    "AR_H_COMMIT_TIMESTAMP": "time of the commit",
    "AR_H_OPERATION": "INSERT, UPDATE or DELETE; INSERT in a full load",
    "AR_H_USER": "who made the change",
    "AR_H_CHANGE_SEQ": "35 digits that ascend with the changes",
}
METADATA = {
    "AR_M_SOURCE_SCHEMA": "name of the source schema",
    "AR_M_SOURCE_TABLE_NAME": "name of the source table",
    "AR_M_SOURCE_COLUMN_NAME": "name of the source column",
    "AR_M_SOURCE_COLUMN_DATATYPE": "type of the source column",
}
BEFORE = "BI__"


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Number:
    """As it is written."""

    digits: str


@dataclass(frozen=True, slots=True)
class Blob:
    digits: str


@dataclass(frozen=True, slots=True)
class Word:
    """NULL, TRUE, FALSE, CURRENT_DATE, CURRENT_TIME, CURRENT_TIMESTAMP."""

    name: str


@dataclass(frozen=True, slots=True)
class ColumnValue:
    """`$name`; with `before`, `$BI__name`: the value that an update replaced."""

    name: str
    before: bool
    at: int


@dataclass(frozen=True, slots=True)
class Variable:
    """A header or metadata variable, without its `$`."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Expression_


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Expression_
    right: Expression_


@dataclass(frozen=True, slots=True)
class Postfix:
    """`x ISNULL`, `x NOTNULL`."""

    operand: Expression_
    operator: str


@dataclass(frozen=True, slots=True)
class Between:
    operand: Expression_
    negated: bool
    low: Expression_
    high: Expression_


@dataclass(frozen=True, slots=True)
class Among:
    operand: Expression_
    negated: bool
    members: tuple[Expression_, ...]


@dataclass(frozen=True, slots=True)
class Like:
    operand: Expression_
    negated: bool
    operator: str
    pattern: Expression_
    escape: Expression_ | None


@dataclass(frozen=True, slots=True)
class Case:
    operand: Expression_ | None
    whens: tuple[tuple[Expression_, Expression_], ...]
    otherwise: Expression_ | None


@dataclass(frozen=True, slots=True)
class Cast:
    operand: Expression_
    type: str


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Expression_, ...]
    at: int


Expression_: TypeAlias = (
    Text | Number | Blob | Word | ColumnValue | Variable | Unary | Binary | Postfix | Between | Among | Like
    | Case | Cast | Call
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expression:
    """`text` is what was written."""

    text: str
    root: Expression_

    def parts(self) -> Iterator[Expression_]:
        return walk(self.root)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns whose current or former value is used, each once."""
        return tuple(dict.fromkeys(each.name for each in self.parts() if isinstance(each, ColumnValue)))

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.name for each in self.found_variables))

    @property
    def found_variables(self) -> tuple[Variable, ...]:
        """Each where it stands."""
        return tuple(each for each in self.parts() if isinstance(each, Variable))

    @property
    def functions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.name for each in self.parts() if isinstance(each, Call)))

    @property
    def reads_before(self) -> bool:
        return any(isinstance(each, ColumnValue) and each.before for each in self.parts())

    @property
    def unstable(self) -> str | None:
        """What makes it give another result each time it is evaluated."""
        for each in self.parts():
            if isinstance(each, Call) and each.name in ("random", "randomblob"):
                return f"{each.name}()"
            if isinstance(each, Call) and each.name in _OF_TIME:
                if not each.arguments:
                    return f"{each.name}()"
                if any(isinstance(a, Text) and a.value.lower() == "now" for a in each.arguments):
                    return f"{each.name}('now')"
            if isinstance(each, Call) and each.name == "strftime" and len(each.arguments) == 1:
                return "strftime() without a time"
            if isinstance(each, Word) and each.name.startswith("CURRENT_"):
                return each.name
        return None


_OF_TIME = {"date", "time", "datetime", "julianday", "unixepoch", "strftime"}


def walk(node: Expression_) -> Iterator[Expression_]:
    yield node
    for child in _children(node):
        yield from walk(child)


def _children(node: Expression_) -> Iterator[Expression_]:
    if isinstance(node, Unary | Postfix | Cast):
        yield node.operand
    elif isinstance(node, Binary):
        yield from (node.left, node.right)
    elif isinstance(node, Between):
        yield from (node.operand, node.low, node.high)
    elif isinstance(node, Among):
        yield from (node.operand, *node.members)
    elif isinstance(node, Like):
        yield from (node.operand, node.pattern, *([node.escape] if node.escape is not None else []))
    elif isinstance(node, Case):
        yield from [node.operand] if node.operand is not None else []
        for condition, result in node.whens:
            yield from (condition, result)
        yield from [node.otherwise] if node.otherwise is not None else []
    elif isinstance(node, Call):
        yield from node.arguments


def column_name(name: str, *, before: bool = False) -> str:
    """What a column of the source is called in the table that SQLite sees, which takes `a` and `A` for
    one name."""
    return ("b" if before else "c") + name.encode().hex()


def variable_name(name: str) -> str:
    return "v:" + name


def to_sql(node: Expression_) -> str:
    """Every part in brackets: precedence was decided by the parser."""
    if isinstance(node, Text):
        return literal(node.value)
    if isinstance(node, Number):
        return node.digits
    if isinstance(node, Blob):
        return f"x'{node.digits}'"
    if isinstance(node, Word):
        return node.name
    if isinstance(node, ColumnValue):
        return quoted(column_name(node.name, before=node.before))
    if isinstance(node, Variable):
        return quoted(variable_name(node.name))
    if isinstance(node, Unary):
        return f"({node.operator} {to_sql(node.operand)})"
    if isinstance(node, Binary):
        return f"({to_sql(node.left)} {node.operator} {to_sql(node.right)})"
    if isinstance(node, Postfix):
        return f"({to_sql(node.operand)} {node.operator})"
    return _compound_sql(node)


def _compound_sql(node: Between | Among | Like | Case | Cast | Call) -> str:
    if isinstance(node, Case):
        return _case_sql(node)
    if isinstance(node, Cast):
        return f"CAST({to_sql(node.operand)} AS {node.type})"
    if isinstance(node, Call):
        arguments = ", ".join(to_sql(each) for each in node.arguments)
        if node.name == "operation_indicator":
            return f"operation_indicator({quoted(variable_name('AR_H_OPERATION'))}, {arguments})"
        return f"{node.name}({arguments})"
    negated = "NOT " if node.negated else ""
    left = to_sql(node.operand)
    if isinstance(node, Between):
        return f"({left} {negated}BETWEEN {to_sql(node.low)} AND {to_sql(node.high)})"
    if isinstance(node, Among):
        return f"({left} {negated}IN ({', '.join(to_sql(each) for each in node.members)}))"
    escape = f" ESCAPE {to_sql(node.escape)}" if node.escape is not None else ""
    return f"({left} {negated}{node.operator} {to_sql(node.pattern)}{escape})"


def _case_sql(node: Case) -> str:
    operand = f" {to_sql(node.operand)}" if node.operand is not None else ""
    whens = "".join(f" WHEN {to_sql(condition)} THEN {to_sql(result)}" for condition, result in node.whens)
    otherwise = f" ELSE {to_sql(node.otherwise)}" if node.otherwise is not None else ""
    return f"(CASE{operand}{whens}{otherwise} END)"
