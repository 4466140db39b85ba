"""A team's own rule: a Python function over whole columns, and everything that it gives checked.

The function sees raw values, and is trusted not to keep them; what it gives is not trusted at all.
Nothing that it says in an exception is repeated: only the exception's class and the line.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any, ClassVar, NoReturn, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.families.draws import Draw, draw_for
from replication_assets.core.masking.masker import (
    Builder,
    MaskedColumn,
    Rows,
    RuleContext,
    Uniqueness,
    canonical_text,
)
from replication_assets.core.masking.prf import Words
from replication_assets.core.masking.rules import PythonRule
from replication_assets.errors import GuardError, PolicyError

Function: TypeAlias = Callable[[pa.Array, Words], pa.Array]


@dataclass(frozen=True, slots=True)
class FunctionMasker:
    column: MaskedColumn
    draw: Draw
    rule: PythonRule
    function: Function
    uniqueness: ClassVar[Uniqueness] = "not_guaranteed"
    draws_by_row: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column.name,)

    def mask(self, rows: Rows) -> pa.Array:
        values = rows.column(self.column.name)
        failure, result = None, None
        try:
            result = self.function(values, self.draw.words(rows))
        except Exception as error:  # noqa: BLE001  # told below, outside of the handler: no context
            failure = f"raised {type(error).__name__}{_line(error.__traceback__, self.function)}"
        if failure is not None:
            self._refuse(failure)
        return self._checked(result, values)

    def _checked(self, result: object, values: pa.Array) -> pa.Array:
        if not isinstance(result, pa.Array) or result.type != self.column.arrow:
            self._refuse("gave another type than the column's")
        if len(result) != len(values):
            self._refuse(f"gave {len(result)} values for {len(values)}")
        wrong = _count(pc.not_equal(result.is_null(), values.is_null()))
        if wrong:
            self._refuse(f"gave null for values, or values for null, in {wrong} rows")
        own = _count(pc.equal(result, values))
        if own:
            self._refuse(f"left {own} values as they are")
        strange = _count(pc.invert(self.fits(result)))
        if strange:
            self._refuse(f"gave {strange} values that its output pattern or the column's length forbids")
        return result

    def fits(self, values: pa.Array) -> pa.Array:
        texts = canonical_text(values)
        found = pc.match_substring_regex(texts, _whole(self.rule.output))
        if self.column.longest is None:
            return found
        lengths = pc.binary_length if pa.types.is_binary(texts.type) else pc.utf8_length
        return pc.and_(found, pc.less_equal(lengths(texts), self.column.longest))

    def _refuse(self, what: str) -> NoReturn:
        raise GuardError(
            f"the function {self.rule.function} {what}",
            where=f"column {self.column.name}",
            fix="nothing was masked by it; correct the function",
        )


def _whole(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"


def _count(flags: pa.Array) -> int:
    return int(pc.sum(flags).as_py() or 0)


def _line(trace: TracebackType | None, function: Function) -> str:
    """Where the innermost line of the function itself was."""
    code, line = getattr(function, "__code__", None), None
    while isinstance(code, CodeType) and trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code is code else line
        trace = trace.tb_next
    return "" if line is None else f" at line {line}"


def python_rule(rule: PythonRule, column: MaskedColumn, context: RuleContext) -> FunctionMasker:
    function = _imported(rule.function)
    problem = None
    try:
        # By itself: around it, brackets that it lacks would be found.
        pc.match_substring_regex(pa.scalar(""), rule.output)
    except pa.ArrowException:
        problem = "its output is no pattern of RE2. Fix: RE2 knows no look-around"
    if problem is not None:
        raise PolicyError([problem])
    return FunctionMasker(column, draw_for("python", rule.namespace, column, context), rule, function)


def _imported(reference: str) -> Function:
    module, colon, name = reference.partition(":")
    failure, found = "is no package.module:function", None
    if module and colon and name.isidentifier():
        try:
            found = getattr(importlib.import_module(module), name)
            failure = "is nothing that can be called"
        except Exception as error:  # noqa: BLE001  # importing runs code that may raise anything
            failure = f"cannot be imported ({type(error).__name__})"
    if not callable(found):
        raise PolicyError([f"the function {reference} {failure}. Fix: name one that is installed here"])
    imported: Function = found
    return imported


BUILDERS: Mapping[type, Builder[Any]] = {PythonRule: python_rule}
