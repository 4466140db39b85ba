"""Texts with parts of them replaced, and texts replaced by words of no meaning.

What `RegexReplace` leaves between its matches is the input's own: it is for texts whose form is
known. `FreeText` takes nothing from its input but the length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.families import filler, generalise
from replication_assets.core.masking.families.draws import Draw, draw_for
from replication_assets.core.masking.families.reading import OfValueAndDraw
from replication_assets.core.masking.families.text_columns import require_text
from replication_assets.core.masking.masker import Builder, MaskedColumn, Rows, RuleContext, Uniqueness
from replication_assets.core.masking.rules import FreeText, Partial, RegexReplace
from replication_assets.errors import GuardError, PolicyError

_MOST_KEPT = 100
_REFERENCE = re.compile(r"\\(?:[0-9]|\\)")


@dataclass(frozen=True, slots=True)
class _OfOneText:
    column: MaskedColumn
    draws_by_row: ClassVar[bool] = False
    uniqueness: ClassVar[Uniqueness] = "not_guaranteed"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column.name,)


@dataclass(frozen=True, slots=True)
class PartialMasker(_OfOneText):
    rule: Partial

    def mask(self, rows: Rows) -> pa.Array:
        values = rows.column(self.column.name)
        first, last, fill = self.rule.first, self.rule.last, self.rule.fill
        lengths = pc.utf8_length(values)
        whole = pc.less_equal(lengths, 2 * (first + last))
        filled = pc.binary_repeat(fill, pc.if_else(whole, lengths, pc.subtract(lengths, first + last)))
        empty = pa.scalar("")
        start = pc.utf8_slice_codeunits(values, 0, first) if first else empty
        end = pc.utf8_slice_codeunits(values, -last) if last else empty
        return pc.binary_join_element_wise(
            pc.if_else(whole, empty, start), filled, pc.if_else(whole, empty, end), ""
        )

    def fits(self, values: pa.Array) -> pa.Array:
        first, last, fill = self.rule.first, self.rule.last, re.escape(self.rule.fill)
        parted = f".{{{first}}}{fill}{{{first + last + 1},}}.{{{last}}}"
        return pc.match_substring_regex(values, rf"(?s)\A(?:{fill}*|{parted})\z")


@dataclass(frozen=True, slots=True)
class RegexMasker(_OfOneText):
    """`kept` is the longest part of the replacement that is in every result as it stands."""

    rule: RegexReplace
    kept: str

    def mask(self, rows: Rows) -> pa.Array:
        values = rows.column(self.column.name)
        replaced = pc.replace_substring_regex(values, self.rule.pattern, self.rule.replacement)
        matched = pc.match_substring_regex(values, self.rule.pattern)
        changed = pc.and_(matched, pc.not_equal(values, replaced))
        result = pc.if_else(changed, replaced, pa.scalar(self.rule.otherwise))
        self._require_length(result)
        return result

    def _require_length(self, values: pa.Array) -> None:
        if self.column.longest is None:
            return
        beyond = pc.sum(pc.greater(pc.utf8_length(values), self.column.longest)).as_py() or 0
        if beyond:
            raise GuardError(
                f"{beyond} values are longer than the column once replaced",
                where=f"column {self.column.name}",
                fix="use a shorter replacement",
            )

    def fits(self, values: pa.Array) -> pa.Array:
        known = pc.match_substring(values, self.kept)
        return pc.or_(known, pc.equal(values, self.rule.otherwise))


@dataclass(frozen=True, slots=True)
class FreeTextMasker(OfValueAndDraw):
    column: MaskedColumn
    draw: Draw
    longest: int
    uniqueness: ClassVar[Uniqueness] = "lossy"

    def mask(self, rows: Rows) -> pa.Array:
        """An empty text stays empty."""
        return filler.filled(rows.column(self.column.name), self.draw.words(rows), self.longest)

    def fits(self, values: pa.Array) -> pa.Array:
        short = pc.less_equal(pc.utf8_length(values), self.longest)
        return pc.and_(short, pc.match_substring_regex(values, filler.grammar()))


def partial(rule: Partial, column: MaskedColumn, _context: RuleContext) -> PartialMasker:
    require_text("Partial", column)
    problems = []
    if len(rule.fill) != 1:
        problems.append("Partial fills with one character. Fix: fill='*'")
    if min(rule.first, rule.last) < 0 or rule.first + rule.last > _MOST_KEPT:
        problems.append(f"Partial keeps 0 to {_MOST_KEPT} characters. Fix: first=0, last=4")
    if problems:
        raise PolicyError(problems)
    return PartialMasker(column, rule)


def regex_replace(rule: RegexReplace, column: MaskedColumn, _context: RuleContext) -> RegexMasker:
    require_text("RegexReplace", column)
    problems = _regex_problems(rule)
    if column.longest is not None and len(rule.otherwise) > column.longest:
        problems.append(f"its otherwise has more than {column.longest} characters. Fix: shorten it")
    if problems:
        raise PolicyError(problems)
    return RegexMasker(column, rule, max(_REFERENCE.split(rule.replacement), key=len))


def _regex_problems(rule: RegexReplace) -> list[str]:
    try:
        empty = pc.match_substring_regex(pa.scalar(""), rule.pattern).as_py()
        # The replacement is only looked at where something matches; this matches, with the groups.
        pc.replace_substring_regex(pa.scalar(""), f"(?:{rule.pattern})?", rule.replacement)
    except pa.ArrowException:
        return ["its pattern or replacement is none of RE2. Fix: RE2 knows no look-around, and no \\g<1>"]
    if empty:
        return ["its pattern matches nothing at all, and would leave texts as they are. Fix: + for *"]
    return []


def free_text(rule: FreeText, column: MaskedColumn, context: RuleContext) -> FreeTextMasker:
    require_text("FreeText", column)
    if rule.longest < 1:
        raise PolicyError(["FreeText needs a longest of 1 or more. Fix: longest=200, or Null"])
    longest = rule.longest if column.longest is None else min(rule.longest, column.longest)
    draw = draw_for("free text", rule.namespace, column, context, by=rule.by)
    return FreeTextMasker(column, draw, longest)


BUILDERS: Mapping[type, Builder[Any]] = {
    Partial: partial,
    RegexReplace: regex_replace,
    FreeText: free_text,
    **generalise.BUILDERS,
}
