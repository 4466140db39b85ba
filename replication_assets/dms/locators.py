"""Reading of `object-locator` objects."""

from __future__ import annotations

from replication_assets.dms.findings import Place
from replication_assets.dms.members import Members
from replication_assets.dms.patterns import Pattern
from replication_assets.dms.rules import Locator

_TABLE_TYPES = ("table", "view", "all")


def read_locator(
    rule: Members,
    *,
    table: bool = True,
    column: bool = False,
    type_default: str | None = None,
    escape: str = "",
) -> Locator | None:
    """None where it is missing or says too little; `table` and `column`: what it must name."""
    located = rule.object("object-locator", "object-locator", required=True)
    if located is None:
        return None
    schema = _pattern(located, "schema-name", escape, required=True)
    table_pattern = _pattern(located, "table-name", escape, required=table)
    table_type = located.word("table-type", _TABLE_TYPES) or type_default
    column_pattern = _pattern(located, "column-name", escape, required=column)
    data_type = located.text("data-type")
    tablespaces = located.text("table-tablespace-name"), located.text("index-tablespace-name")
    located.finish()
    if schema is None or (table and table_pattern is None) or (column and column_pattern is None):
        return None
    return Locator(schema, table_pattern, table_type, column_pattern, data_type, *tablespaces, located.place)


def _pattern(located: Members, name: str, escape: str, *, required: bool) -> Pattern | None:
    text = located.text(name, required=required)
    if text is None:
        return None
    pattern = Pattern(text, escape)
    problem = pattern.problem()
    place: Place = located.place_of(name)
    if problem is not None:
        located.error("bad-wildcard", f"{name} has {problem}", "wildcards are % _ [_] [ab] [a-d]", place)
        return None
    if "*" in text or "?" in text:
        what = f"{name} {text!r} has * or ?, which are ordinary letters to DMS"
        located.warn("shell-wildcard", what, "write % for any letters and _ for one", place)
    if text != text.strip():
        located.warn("blanks", f"{name} begins or ends with a blank", "delete it", place)
    return pattern
