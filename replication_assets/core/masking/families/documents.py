"""Documents in a column: JSON and XML, by rules at paths. What no path names does not come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from replication_assets.core.masking.column_kinds import Kind, kind_of
from replication_assets.core.masking.families import json_paths, xml_paths
from replication_assets.core.masking.families.leaves import LeafKind, LeafMask, compile_leaf
from replication_assets.core.masking.masker import Builder, MaskedColumn, RuleContext
from replication_assets.core.masking.rules import JsonPaths, XmlPaths
from replication_assets.errors import PolicyError

_JSON_KINDS: Sequence[LeafKind] = ("text", "integer", "number", "boolean")
_XML_KINDS: Sequence[LeafKind] = ("text",)


def builders(values: Mapping[type, Builder[Any]]) -> Mapping[type, Builder[Any]]:
    """What compiles the rules of documents; `values` compiles those that stand at their paths."""

    def json_builder(rule: JsonPaths, column: MaskedColumn, context: RuleContext) -> json_paths.JsonMasker:
        leaves = _leaves(rule, column, context, values, _JSON_KINDS)
        by_row = any(leaf.draws_by_row for leaf in leaves.values())
        return json_paths.JsonMasker(column.name, json_paths.tree_of(leaves), by_row, column.longest)

    def xml_builder(rule: XmlPaths, column: MaskedColumn, context: RuleContext) -> xml_paths.XmlMasker:
        leaves = _leaves(rule, column, context, values, _XML_KINDS)
        by_row = any(leaf.draws_by_row for leaf in leaves.values())
        return xml_paths.XmlMasker(column.name, leaves, by_row, column.longest)

    return {JsonPaths: json_builder, XmlPaths: xml_builder}


def _leaves(
    rule: JsonPaths | XmlPaths,
    column: MaskedColumn,
    context: RuleContext,
    values: Mapping[type, Builder[Any]],
    kinds: Sequence[LeafKind],
) -> Mapping[str, LeafMask]:
    own: Kind = "json" if isinstance(rule, JsonPaths) else "xml"
    if not pa.types.is_string(column.arrow) or kind_of(column.structure) not in (own, "text"):
        problem = f"{type(rule).__name__} is for {own} and text, not for {column.structure.type}"
        raise PolicyError([f"{problem}. Fix: another rule"])
    found: dict[str, LeafMask] = {}
    problems: list[str] = []
    for path, each in rule.paths.items():
        try:
            if own == "xml":
                xml_paths.require_path(path)
            found[path] = compile_leaf(path, each, column, context, values, kinds)
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    return found
