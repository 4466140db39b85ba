"""JSON documents, masked path by path: what no path names does not come out.

    $.plan   $.address.city   $.emails[*]   $.orders[*].note   $['odd name']   $ (a scalar alone)

Members that are not named are dropped with what they hold, elements likewise; a scalar at a path that
is not named is null. Numbers that are kept have the digits that they had: none passes through a float.
Documents that are no JSON, or name a member twice (readers differ on which one counts), are refused.
Output is compact, with sorted names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from json.encoder import encode_basestring as quoted_json
from typing import Any, ClassVar, TypeAlias

import pyarrow as pa

from replication_assets.core.masking.families.leaves import LeafKind, LeafMask, Leaves, refuse
from replication_assets.core.masking.masker import Rows, Uniqueness
from replication_assets.errors import PolicyError

Node: TypeAlias = "str | NumberText | int | float | bool | list[Any] | dict[str, Any] | None"
"""A document in Python's containers. Numbers that were read are their text; masked ones are numbers."""

_STEP = re.compile(r"\.([^\W\d]\w*)|\['((?:[^'\\]|\\.)+)'\]|(\[\*\])")
_FIX = "a rule that takes what is there, another rule for the column, or the documents at the source"
_INT64 = 2**63


class NumberText(str):
    """A JSON number as written."""

    __slots__ = ()


class _Refused(ValueError):
    """A document that is not masked; its text is never shown."""


@dataclass(slots=True)
class PathNode:
    """A place in documents that a path names or goes through."""

    members: dict[str, PathNode] = field(default_factory=dict)
    elements: PathNode | None = None
    leaf: LeafMask | None = None


def steps_of(path: str) -> tuple[str | None, ...]:
    """Names of members on the way; None for elements.

    Raises:
        PolicyError: it is no path.
    """
    problem = f"{path!r} is no path. Fix: as $.plan, $.emails[*], $.address.city or $['odd name']"
    if not path.startswith("$"):
        raise PolicyError([problem])
    steps: list[str | None] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise PolicyError([problem])
        name, quoted, _ = found.groups()
        steps.append(name if name is not None else re.sub(r"\\(.)", r"\1", quoted) if quoted else None)
        at = found.end()
    return tuple(steps)


def tree_of(leaves: Mapping[str, LeafMask]) -> PathNode:
    """Raises PolicyError for two spellings of one path."""
    root = PathNode()
    for path, leaf in leaves.items():
        node = root
        for step in steps_of(path):
            if step is None:
                node.elements = node.elements or PathNode()
                node = node.elements
            else:
                node = node.members.setdefault(step, PathNode())
        if node.leaf is not None:
            raise PolicyError([f"{path!r} and {node.leaf.path!r} are one path. Fix: name it once"])
        node.leaf = leaf
    return root


@dataclass(frozen=True, slots=True)
class JsonMasker:
    """The rules of a column of JSON documents."""

    column: str
    root: PathNode
    draws_by_row: bool
    longest: int | None
    uniqueness: ClassVar[Uniqueness] = "lossy"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def mask(self, rows: Rows) -> pa.Array:
        texts = rows.column(self.column).to_pylist()
        keys = rows.row_keys.to_pylist() if self.draws_by_row else [""] * len(texts)
        walk = _Masking()
        documents: list[list[Node]] = []
        for text, key in zip(texts, keys, strict=True):
            # In a list of its own, so that a document that is one scalar has a place as well.
            holder: list[Node] = [None]
            documents.append(holder)
            if text is not None:
                node = walk.parsed(text)
                walk.place(node, self.root, holder, 0, key, "")
        refuse(walk.refused, f"column {self.column}", _FIX)
        walk.put_back()
        masked = [
            None if text is None else spelled(holder[0])
            for text, holder in zip(texts, documents, strict=True)
        ]
        if self.longest is not None:
            long = sum(len(text) > self.longest for text in masked if text is not None)
            refuse({"masked documents are longer than the column takes": long}, f"column {self.column}", _FIX)
        return pa.array(masked, pa.string())

    def fits(self, values: pa.Array) -> pa.Array:
        check = _Fitting()
        texts = values.to_pylist()
        for number, text in enumerate(texts):
            if text is not None:
                check.look(text, self.root, number)
        wrong = check.wrong()
        return pa.array(
            [None if text is None else number not in wrong for number, text in enumerate(texts)], pa.bool_()
        )


class _Masking:
    """What is gathered of a batch, by path and kind."""

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}
        self._found: dict[tuple[int, LeafKind], tuple[LeafMask, Leaves]] = {}

    def parsed(self, text: str) -> Node:
        try:
            return parse(text)
        except _Refused as error:
            self._refuse(str(error))
            return None

    def place(
        self, node: Node, named: PathNode, holder: Any, at: Any, key: str, path: str, parent: str = ""
    ) -> None:
        """Put what may come out of a node at `holder[at]`; values that are masked are noted."""
        if isinstance(node, dict):
            made: dict[str, Node] = {}
            holder[at] = made
            for name in sorted(node.keys() & named.members.keys()):
                self.place(node[name], named.members[name], made, name, key, f"{path}.{name}", path)
        elif isinstance(node, list):
            inner = named.elements
            holder[at] = elements = [None] * len(node) if inner is not None else []
            if inner is not None:
                for number, each in enumerate(node):
                    self.place(each, inner, elements, number, key, f"{path}[{number}]", path)
        elif node is not None and named.leaf is not None:
            if named.leaf.kept:
                holder[at] = node
            else:
                holder[at] = None
                self._note(
                    node, named.leaf, (holder, at), key + (parent if named.leaf.by_container else path)
                )
        else:
            holder[at] = None

    def _note(self, node: Node, leaf: LeafMask, at: tuple[Any, Any], row: str) -> None:
        kind, value = kind_of_node(node)
        taken = leaf.kind_for(kind)
        if taken is None:
            self._refuse(
                f"values at {leaf.path} are of kind {kind}, which {type(leaf.rule).__name__} takes not"
            )
        elif leaf.given is None and not _holdable(taken, value):
            self._refuse(f"numbers at {leaf.path} are too great to be masked")
        else:
            _, leaves = self._found.setdefault((id(leaf), taken), (leaf, Leaves()))
            leaves.values.append(float(value) if taken == "number" and leaf.given is None else value)
            leaves.rows.append(row)
            leaves.at.append(at)

    def put_back(self) -> None:
        for (_, kind), (leaf, leaves) in self._found.items():
            masked = leaf.mask(kind, leaves.values, leaves.rows)
            for (holder, at), value in zip(leaves.at, masked, strict=True):
                holder[at] = value

    def _refuse(self, what: str) -> None:
        self.refused[what] = self.refused.get(what, 0) + 1


class _Fitting:
    """Which documents could not have come out of the mask."""

    def __init__(self) -> None:
        self._wrong: set[int] = set()
        self._found: dict[tuple[int, LeafKind], tuple[LeafMask, Leaves]] = {}

    def look(self, text: str, root: PathNode, number: int) -> None:
        try:
            self._visit(parse(text), root, number)
        except _Refused:
            self._wrong.add(number)

    def _visit(self, node: Node, named: PathNode, number: int) -> None:
        if isinstance(node, dict):
            for name, part in node.items():
                if name not in named.members:
                    raise _Refused("a member that is not named")
                self._visit(part, named.members[name], number)
        elif isinstance(node, list):
            for each in node:
                if named.elements is None:
                    raise _Refused("an element that is not named")
                self._visit(each, named.elements, number)
        elif node is not None:
            if named.leaf is None:
                raise _Refused("a value at a path that is not named")
            if not named.leaf.kept:
                self._note(node, named.leaf, number)

    def _note(self, node: Node, leaf: LeafMask, number: int) -> None:
        kind, value = kind_of_node(node)
        as_number = kind == "integer" and "integer" not in leaf.maskers
        taken: LeafKind = "number" if as_number else kind
        if taken not in leaf.maskers or not _holdable(taken, value):
            raise _Refused("a value of another kind")
        _, leaves = self._found.setdefault((id(leaf), taken), (leaf, Leaves()))
        leaves.values.append(float(value) if taken == "number" else value)
        leaves.at.append(number)

    def wrong(self) -> set[int]:
        for (_, kind), (leaf, leaves) in self._found.items():
            fitting = leaf.fits(kind, leaves.values)
            self._wrong.update(at for at, fits in zip(leaves.at, fitting, strict=True) if not fits)
        return self._wrong


def kind_of_node(node: Node) -> tuple[LeafKind, Any]:
    """A scalar's kind, and its value as Arrow takes it; numbers with a point or an exponent as text."""
    if isinstance(node, NumberText):
        whole = node.lstrip("-").isdecimal()
        return ("integer", int(node)) if whole else ("number", str(node))
    if isinstance(node, bool):
        return "boolean", node
    return "text", node


def _holdable(kind: LeafKind, value: Any) -> bool:
    if kind == "integer":
        return -_INT64 <= int(value) < _INT64
    return kind != "number" or abs(float(value)) != float("inf")


def parse(text: str) -> Node:
    """Raises _Refused with the reason, which quotes nothing."""
    try:
        node: Node = _DECODER.decode(text)
        if "\\u" in text:
            quoted_json(json.dumps(node, ensure_ascii=False)).encode()
    except RecursionError:
        raise _Refused("documents are too deep") from None
    except _Refused:
        raise
    except ValueError:
        # Also half a surrogate pair, which no UTF-8 can hold.
        raise _Refused("documents are no JSON") from None
    return node


def _no_constant(_: str) -> Node:
    raise _Refused("documents are no JSON")


def _members(pairs: list[tuple[str, Node]]) -> dict[str, Node]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("documents name a member twice")
    return members


_DECODER = json.JSONDecoder(
    parse_float=NumberText, parse_int=NumberText, parse_constant=_no_constant, object_pairs_hook=_members
)


def spelled(node: Node) -> str:
    """Compact JSON with sorted names."""
    return _WRITERS[type(node)](node)


def _number(value: float) -> str:
    # Without an exponent: databases spell numbers so, and what is read back is what was written.
    return format(Decimal(repr(value)), "f")


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: quoted_json,
    NumberText: str,
    bool: lambda node: "true" if node else "false",
    int: str,
    float: _number,
    type(None): lambda _: "null",
    list: lambda node: f"[{','.join(spelled(each) for each in node)}]",
    dict: lambda node: (
        f"{{{','.join(f'{quoted_json(name)}:{spelled(node[name])}' for name in sorted(node))}}}"
    ),
}
