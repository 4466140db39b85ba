"""Values inside of documents: masked by the rules of columns, all values of one path in a batch at once.

A rule at a path is compiled for each kind of value that it takes. A value of another kind is refused
with how many there are, unless the rule ignores its input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.masker import Builder, MaskedColumn, Masker, Rows, RuleContext
from replication_assets.core.masking.rules import Address, Choice, ColumnDefault, Constant, Keep, Rule
from replication_assets.core.structure import ColumnStructure
from replication_assets.errors import GuardError, PolicyError

LeafKind: TypeAlias = Literal["text", "integer", "number", "boolean"]

_ROW = "row and path"
_TYPES: Mapping[LeafKind, tuple[str, pa.DataType]] = {
    "text": ("text", pa.string()),
    "integer": ("bigint", pa.int64()),
    "number": ("double precision", pa.float64()),
    "boolean": ("boolean", pa.bool_()),
}
_KINDS: Mapping[type, LeafKind] = {str: "text", int: "integer", float: "number", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class LeafMask:
    """The rule of one path. `maskers` are those of the kinds that it takes; `given` is the kind that
    comes out whatever went in, where the rule ignores its input."""

    path: str
    column: str
    rule: Rule
    maskers: Mapping[LeafKind, Masker] = field(hash=False)
    given: LeafKind | None = None

    @property
    def kept(self) -> bool:
        return isinstance(self.rule, Keep)

    @property
    def draws_by_row(self) -> bool:
        return any(masker.draws_by_row for masker in self.maskers.values())

    @property
    def by_container(self) -> bool:
        """Whether values side by side belong together, as the parts of an address do."""
        return isinstance(self.rule, Address)

    def kind_for(self, kind: LeafKind) -> LeafKind | None:
        """The kind that a value of this one is masked as; None if the rule takes none such."""
        if self.given is not None:
            return self.given
        if kind in self.maskers:
            return kind
        return "number" if kind == "integer" and "number" in self.maskers else None

    def mask(self, kind: LeafKind, values: Sequence[object], rows: Sequence[str]) -> list[Any]:
        """One value for each; `rows` tell them apart where the rule draws by row."""
        arrow = _TYPES[kind][1]
        data = pa.nulls(len(values), arrow) if self.given is not None else pa.array(values, arrow)
        batch = pa.RecordBatch.from_arrays([data, pa.array(rows, pa.string())], [self.column, _ROW])
        masked: list[Any] = self.maskers[kind].mask(Rows(batch, (_ROW,))).to_pylist()
        return masked

    def fits(self, kind: LeafKind, values: Sequence[object]) -> list[bool]:
        """For each value, none of them null, whether the rule could have made it."""
        found = self.maskers[kind].fits(pa.array(values, _TYPES[kind][1]))
        fitting: list[bool] = pc.fill_null(found, False).to_pylist()
        return fitting


@dataclass(slots=True)
class Leaves:
    """Values of one rule and kind, gathered from the documents of a batch; `at` says whose they are
    (what a document calls a place, for whoever puts them back)."""

    values: list[object] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    at: list[Any] = field(default_factory=list)


def compile_leaf(
    path: str,
    rule: Rule,
    column: MaskedColumn,
    context: RuleContext,
    builders: Mapping[type, Builder[Any]],
    kinds: Sequence[LeafKind],
) -> LeafMask:
    """Raises PolicyError if the rule takes values of none of the kinds."""
    name = f"{column.name} {path}"
    if isinstance(rule, Keep):
        return LeafMask(path, name, rule, {})
    build = builders.get(type(rule))
    if build is None or isinstance(rule, ColumnDefault):
        raise PolicyError(
            [f"{path}: {type(rule).__name__} is no rule for a part of a document. Fix: Constant"]
        )
    own_key = (_ROW,) if context.row_key else ()
    maskers: dict[LeafKind, Masker] = {}
    problems: list[str] = []
    for kind in _kinds_of(rule, kinds):
        leaf = MaskedColumn(ColumnStructure(name, _TYPES[kind][0]), _TYPES[kind][1])
        try:
            maskers[kind] = build(
                rule, leaf, RuleContext(context.keys, context.policy, own_key, {name: leaf})
            )
        except PolicyError as error:
            problems = problems or [f"{path}: {problem}" for problem in error.problems]
    if not maskers:
        raise PolicyError(problems)
    _require_own(path, name, maskers)
    given = next((kind for kind, masker in maskers.items() if not masker.reads), None)
    return LeafMask(path, name, rule, maskers, given)


def _kinds_of(rule: Rule, kinds: Sequence[LeafKind]) -> Sequence[LeafKind]:
    """Rules that name their values give values of that kind, not the same ones as texts."""
    if isinstance(rule, Constant):
        own = [_KINDS[type(rule.value)]]
    elif isinstance(rule, Choice):
        found = {_KINDS[type(value)] for value in rule.values}
        own = ["number"] if found == {"integer", "number"} else sorted(found)
    else:
        return kinds
    return [kind for kind in own if kind in kinds] or kinds


def _require_own(path: str, name: str, maskers: Mapping[LeafKind, Masker]) -> None:
    for masker in maskers.values():
        if not {*masker.reads} <= {name}:
            raise PolicyError(
                [f"{path}: its rule needs other columns, which a document has not. Fix: another rule"]
            )


def refuse(problems: Mapping[str, int], where: str, fix: str) -> None:
    """Raises GuardError with how many documents or values cannot be masked, by reason."""
    told = "; ".join(f"{count} {what}" for what, count in problems.items() if count)
    if told:
        raise GuardError(told, where=where, fix=fix)
