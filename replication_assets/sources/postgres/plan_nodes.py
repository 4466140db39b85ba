"""A plan as `EXPLAIN (VERBOSE, FORMAT JSON)` tells it: which relations are read whole, and where the
bounds of a range are compared.

Conditions hold the bounds, which are keys, and the constants of views: nothing of them is told on. They
are taken apart only as far as needed to say which column a bound is compared with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from replication_assets.core.id_ranges import IdRange
from replication_assets.sources.postgres.quoting import literal

Plan: TypeAlias = dict[str, Any]

_WHOLE = ("Seq Scan", "Sample Scan")
_INDEXED = ("Index Scan", "Index Only Scan")
_CONDITIONS = ("Index Cond", "Filter", "Recheck Cond", "Join Filter", "Hash Cond", "Merge Cond")
_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_COLUMN = re.compile(rf"(?:{_NAME}\.)?({_NAME})")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")


@dataclass(frozen=True, slots=True)
class Scan:
    """A relation as one node of a plan reads it. `compared` is what the range's bounds are compared
    with there, as it stands in the condition; None if they are not. `above` names the nodes above."""

    schema: str
    relation: str
    node: str
    whole: bool
    compared: str | None
    above: tuple[str, ...]
    index: str
    rows: int

    def column(self, cast: str) -> str | None:
        """The column that the bounds are compared with, be it under this one cast (`::text`) and in the
        collation of ours; None if it is an expression."""
        if self.compared is None:
            return None
        bare = self.compared.replace(' COLLATE "C"', "").strip()
        while bare.startswith("(") and bare.endswith(")"):
            bare = bare[1:-1]
        if cast and bare.endswith(cast):
            bare = bare.removesuffix(cast).removeprefix("(").removesuffix(")")
        found = _COLUMN.fullmatch(bare)
        return _unquoted(found[1]) if found is not None else None

    def __str__(self) -> str:
        by = f" by {self.index}" if self.index else ""
        return f"{self.node} on {self.schema}.{self.relation}{by}, about {self.rows} rows"


def scans(plan: Plan, id_range: IdRange, above: tuple[str, ...] = ()) -> Iterator[Scan]:
    """Every relation that the plan reads, subplans included: those run once or for every row."""
    if "Relation Name" in plan:
        yield _scan(plan, id_range, above)
    for inner in plan.get("Plans", ()):
        # A bitmap's index is read for the heap scan above it, which is told of already.
        if inner["Node Type"] != "Bitmap Index Scan":
            yield from scans(inner, id_range, (*above, plan["Node Type"]))


def nodes(plan: Plan) -> Iterator[Plan]:
    """All nodes, from the top."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def compared_with(plan: Plan, id_range: IdRange) -> str | None:
    """What a node's conditions compare the bounds of the range with; None if they do not."""
    for kind in _CONDITIONS:
        condition = plan.get(kind)
        if isinstance(condition, str):
            for bound in (id_range.lo, id_range.hi):
                if bound is not None and (found := _operand(condition, bound)) is not None:
                    return found
    return None


def _scan(plan: Plan, id_range: IdRange, above: tuple[str, ...]) -> Scan:
    node = plan["Node Type"]
    whole = node in _WHOLE or (node in _INDEXED and "Index Cond" not in plan)
    return Scan(
        plan["Schema"],
        plan["Relation Name"],
        node,
        whole,
        compared_with(plan, id_range),
        above,
        next((str(each["Index Name"]) for each in nodes(plan) if "Index Name" in each), ""),
        int(plan["Plan Rows"]),
    )


def _operand(condition: str, bound: object) -> str | None:
    """What stands before `>= bound` or `< bound`, inside its own brackets."""
    number = isinstance(bound, int)
    constant = rf"'?{bound}'?" if number else re.escape(literal(str(bound)))
    for found in re.finditer(rf" (?:>=|<) \(?{constant}(?=\)|::)", condition):
        start = _opened(condition, found.start())
        if start is not None:
            return condition[start : found.start()]
    return None


def _opened(condition: str, at: int) -> int | None:
    """Behind the innermost bracket that is open at a place; None if the place is inside quotes."""
    quoted = {place for found in _QUOTED.finditer(condition) for place in range(*found.span())}
    if at in quoted:
        return None
    opened: list[int] = []
    for place, letter in enumerate(condition[:at]):
        if place in quoted:
            continue
        if letter == "(":
            opened.append(place + 1)
        elif letter == ")" and opened:
            opened.pop()
    return opened[-1] if opened else 0


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
