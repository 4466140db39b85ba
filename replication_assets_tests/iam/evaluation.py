"""Whether policies allow a request, as AWS decides it: for the few operators that ours use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

Document = Mapping[str, Any]


def allows(documents: Iterable[Document], action: str, resource: str, context: Mapping[str, str]) -> bool:
    return any(
        action in statement["Action"]
        and any(matches(pattern, resource) for pattern in statement["Resource"])
        and all(_holds(operator, keys, context) for operator, keys in statement.get("Condition", {}).items())
        for document in documents
        for statement in document["Statement"]
    )


def _holds(operator: str, keys: Mapping[str, list[str]], context: Mapping[str, str]) -> bool:
    if operator == "StringLike":
        return all(
            name in context and any(matches(each, context[name]) for each in wanted)
            for name, wanted in keys.items()
        )
    assert operator == "StringEquals", operator
    return all(context.get(name) in wanted for name, wanted in keys.items())


def matches(pattern: str, text: str) -> bool:
    """`*` and `?` stand for more, `${*}` for itself."""
    parts = re.split(r"(\$\{[*?$]\}|[*?])", pattern)
    rule = {"*": ".*", "?": "."}
    found = "".join(
        rule.get(part) or re.escape(part[2:-1] if part.startswith("${") else part) for part in parts
    )
    return re.fullmatch(found, text, re.DOTALL) is not None
