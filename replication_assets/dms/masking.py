"""Masks and changed types as expressions: what a column holds in the target, from what it holds now.

Digits and hashes are functions of expressions. Random digits are not: they would be other ones each time
the row is written, so that a projection would never be the same twice.
"""

from __future__ import annotations

from replication_assets.core.expressions.quoting import literal
from replication_assets.core.expressions.syntax import Expression
from replication_assets.dms.outcome import ColumnOutcome
from replication_assets.dms.source_tables import SourceTable

DIGITS = "data-masking-digits-mask"
HASH = "data-masking-hash-mask"
HASH_LETTERS = 64
RANDOM = "data-masking-digits-randomize"


def value_expression(column: ColumnOutcome, table: SourceTable) -> str | None:
    """The expression of a column's value; None where no expression gives it.

    Raises ValueError for a mask that is not known.
    """
    if column.expression is not None:
        text = with_metadata(column.expression, table)
    elif column.source is None:
        text = "NULL"
    else:
        text = f"${{{column.source}}}"
    for mask in column.masks:
        if mask.action == RANDOM:
            return None
        if mask.action == DIGITS:
            text = f"replaceChars({text}, '0123456789', {literal(mask.character)})"
        elif mask.action == HASH:
            text = f"hash_sha256({text})"
        else:
            raise ValueError(f"mask {mask.action} is not known")
    return text


def with_metadata(expression: Expression, table: SourceTable) -> str:
    """The text of an expression with the names of its schema and table put in: they are constants."""
    known = {"AR_M_SOURCE_SCHEMA": table.schema, "AR_M_SOURCE_TABLE_NAME": table.name}
    text = expression.text
    found = [each for each in expression.found_variables if each.name in known]
    for each in sorted(found, key=lambda variable: -variable.at):
        braced = text.startswith("${", each.at)
        end = each.at + len(each.name) + (3 if braced else 1)
        text = text[: each.at] + literal(known[each.name]) + text[end:]
    return text
