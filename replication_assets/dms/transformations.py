"""Reading of transformation rules: which action goes with which target, and what it needs."""

from __future__ import annotations

from replication_assets.core.expressions.parser import ExpressionError, parse_expression
from replication_assets.core.expressions.syntax import Expression
from replication_assets.dms.json_source import Scalar
from replication_assets.dms.members import Members
from replication_assets.dms.rules import BeforeImage, DataType, PrimaryKey

NAMED = ("schema", "table", "column")
TABLESPACES = ("table-tablespace", "index-tablespace")
MASKS = ("data-masking-digits-mask", "data-masking-digits-randomize", "data-masking-hash-mask")
RENAMING = (
    "rename",
    "convert-lowercase",
    "convert-uppercase",
    "add-prefix",
    "remove-prefix",
    "replace-prefix",
    "add-suffix",
    "remove-suffix",
    "replace-suffix",
)
_COLUMN_ONLY = (
    "add-column", "remove-column", "include-column", "change-data-type", "add-before-image-columns", *MASKS,
)  # fmt: skip

TARGETS_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(RENAMING, NAMED + TABLESPACES),
    **dict.fromkeys(_COLUMN_ONLY, ("column",)),
    # Documented with the rule target `table`.
    "define-primary-key": ("table",),
}
"""Rule targets that an action can have."""

NEEDS_VALUE = {
    "rename", "add-prefix", "remove-prefix", "replace-prefix", "add-suffix", "remove-suffix",
    "replace-suffix", "add-column", "data-masking-digits-mask",
}  # fmt: skip
NEEDS_OLD_VALUE = {"replace-prefix", "replace-suffix"}

DATA_TYPES = (
    "string", "wstring", "bytes", "date", "time", "datetime", "int1", "int2", "int4", "int8", "uint1",
    "uint2", "uint4", "uint8", "numeric", "real4", "real8", "boolean", "blob", "clob", "nclob",
)  # fmt: skip
"""AWS DMS data types (https://docs.aws.amazon.com/dms/latest/userguide/CHAP_Reference.DataTypes.html)."""

_COLLECTIONS = ("set", "list", "map", "tuple")
"""Data types of the documentation that are those of Cassandra."""
_TYPOGRAPHIC = str.maketrans("\u2018\u2019", "''")
"""Samples of the documentation have them."""
_DEFAULT_LENGTH = {"string": 255, "wstring": 255, "bytes": 255}


def read_data_type(rule: Members, *, required: bool) -> DataType | None:
    members = rule.object("data-type", "data-type", required=required)
    if members is None:
        return None
    kind = _type(members)
    length = members.integer("length", least=1, empty=True)
    precision = members.integer("precision", most=38, empty=True)
    scale = members.integer("scale", least=-38, most=38, empty=True)
    members.finish()
    if kind is None:
        return None
    if length is None and kind in _DEFAULT_LENGTH and _is_said(members, "length"):
        return None
    if kind == "numeric" and precision is not None and scale is not None and scale > precision:
        members.error("out-of-range", f"scale {scale} is greater than precision {precision}", "swap them")
    return DataType(kind, length, precision, scale)


def _type(members: Members) -> str | None:
    given = members.text("type") if members.has("type") else None
    if given is not None and given.strip().lower() in _COLLECTIONS:
        what = f"type {given!r} is one of collections, which no target here has"
        members.error("unknown-word", what, "write string, or nclob", members.place_of("type"))
        return None
    return members.word("type", DATA_TYPES, required=True)


def _is_said(members: Members, name: str) -> bool:
    node = members.take(name)
    return node is not None and not (isinstance(node, Scalar) and node.value == "")


def read_expression(rule: Members) -> Expression | None:
    text = rule.text("expression")
    if text is None:
        return None
    straight = text.translate(_TYPOGRAPHIC)
    try:
        return parse_expression(text)
    except ExpressionError as error:
        if straight != text and (found := _parsed(straight)) is not None:
            what = "the expression has typographic quotes, which are none to SQLite; they are read as '"
            rule.warn("typographic-quotes", what, "write '", rule.place_of("expression"))
            return found
        rule.error(
            "bad-expression",
            f"expression: {error.what}, at its character {error.at + 1}",
            error.fix,
            rule.place_of("expression"),
        )
        return None


def _parsed(text: str) -> Expression | None:
    try:
        return parse_expression(text)
    except ExpressionError:
        return None


def read_primary_key(rule: Members) -> PrimaryKey | None:
    members = rule.object("primary-key-def", "primary-key-def", required=True)
    if members is None:
        return None
    name = members.text("name", required=True)
    origin = members.word("origin", ("primary-key", "unique-index")) or "primary-key"
    columns = members.texts("columns", required=True)
    members.finish()
    if len(set(columns)) != len(columns):
        members.error("duplicate-column", "a column stands twice in the key", "keep one of them")
    if members.has("columns") and not columns:
        members.error("no-column", "the key has no columns", "name at least one")
    return PrimaryKey(name, origin, columns) if name is not None and columns else None


def read_before_image(rule: Members) -> BeforeImage | None:
    members = rule.object("before-image-def", "before-image-def", required=True)
    if members is None:
        return None
    prefix = members.text("column-prefix", empty=True)
    suffix = members.text("column-suffix", empty=True) or ""
    only = members.word("column-filter", ("pk-only", "non-lob", "all")) or "pk-only"
    members.finish()
    prefix = "BI_" if prefix is None and not suffix else prefix or ""
    if not prefix and not suffix:
        what = "column-prefix and column-suffix are both empty: two columns would have one name"
        members.error("no-affix", what, 'write "column-prefix": "BI_"')
    return BeforeImage(prefix, suffix, only)
