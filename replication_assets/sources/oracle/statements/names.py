"""Names and constants in SQL text. Constants stand in what people are told to run; all else is bound."""

from __future__ import annotations

from replication_assets.core.quoting import constant, double_quoted, oracle_name_problem
from replication_assets.errors import SourceNotReady

literal = constant


def quoted(*names: str) -> str:
    """Identifiers joined by dots.

    Raises:
        SourceNotReady: no identifier of Oracle has such a name, so that none can be quoted.
    """
    problem = oracle_name_problem(names)
    if problem is not None:
        fix = "spell names as the data dictionary does, usually in upper case"
        raise SourceNotReady(problem, fix=fix)
    return double_quoted(*names)
